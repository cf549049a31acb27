"""skfolio: mixtures as priors by simulation, under stress, and as margins of vines.

skfolio is installed by ``pip install skfolio``. Call
``jax.config.update("jax_enable_x64", True)`` first.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self, cast

import numpy as np
from jaxtyping import ArrayLike, Float

from normix.mixtures.marginal import MarginalMixture
from normix.mixtures.multivariate import VectorMixture
from normix.mixtures.scenarios import condition_of
from normix.mixtures.univariate import UnivariateNormalMixture

try:
    from skfolio.distribution import BaseMultivariateDist, BaseUnivariateDist
except ImportError as error:
    raise ImportError(
        "normix.adapters.skfolio needs skfolio: pip install skfolio"
    ) from error

from sklearn.utils.validation import check_is_fitted, validate_data

from normix.adapters.sklearn._rows import (
    Table,
    fitted,
    key_of,
    log_density,
)

# A number, the ends of an interval, or a number for every draw.
Condition = float | tuple[float | None, float | None] | ArrayLike

# More quantiles than that take longer than a table of them does.
_FEW = 512


class MultivariateMixture(BaseMultivariateDist):
    """The law of all assets' returns, for :class:`skfolio.prior.SyntheticData`.

    - ``family``: "nig" (normal inverse Gaussian), "vg" (variance gamma), "t" (skew t)
      or "gh" (generalized hyperbolic).
    - ``factors``: 0 for a full dispersion matrix, r for a factor form with r factors,
      which many assets need.
    - ``symmetric``: hold the skewness vector γ at 0.
    - ``alpha_min``: a lower bound on the shape of "vg", or order of "gh", whose
      likelihood is unbounded without: see :class:`~normix.BatchEMFitter`.
    - ``max_iter``, ``tol``: stop after so many iterations, or when no more than ``tol``
      of log-likelihood, in nats over all rows, is to be gained.
    - ``random_state``: the seed of ``sample``, or a generator; None uses NumPy's global
      one.

    After ``fit``: ``model_``, the fitted model of normix; ``result_``, the
    :class:`~normix.EMResult`; ``n_features_in_`` and, of a data frame,
    ``feature_names_in_``.

    The law is of returns as they are given, which should be simple returns: those of a
    portfolio are ``model_.project(weights)``.

    >>> import numpy as np
    >>> from skfolio.prior import SyntheticData
    >>> from normix.adapters.skfolio import MultivariateMixture
    >>> X = 0.01 * np.random.default_rng(0).standard_t(5, (500, 2))
    >>> fall = {"conditioning": {0: -0.05}}
    >>> law = MultivariateMixture("t", random_state=0)
    >>> prior = SyntheticData(law, n_samples=1000, sample_args=fall).fit(X)
    >>> prior.return_distribution_.returns.shape
    (1000, 2)
    """

    model_: VectorMixture

    def __init__(
        self,
        family: str = "nig",
        *,
        factors: int = 0,
        symmetric: bool = False,
        alpha_min: float | str | None = None,
        max_iter: int = 200,
        tol: float = 1e-3,
        random_state: int | None = None,
    ):
        super().__init__(random_state=random_state)
        self.family = family
        self.factors = factors
        self.symmetric = symmetric
        self.alpha_min = alpha_min
        self.max_iter = max_iter
        self.tol = tol

    @property
    def n_params(self) -> int:
        """The number of free parameters."""
        check_is_fitted(self)
        return self.result_.n_parameters

    @property
    def fitted_repr(self) -> str:
        """The fitted law and the parameters of its mixing variable, in a line."""
        check_is_fitted(self)
        return _in_a_line(self, self.model_)

    def fit(self, X: Table, y: None = None) -> Self:
        """Fit by EM to returns ``X``, shape ``(n, d)``; ``y`` is ignored.

        **Raises**: ``ValueError`` for an unknown family, ``d`` rows or less for a full
        dispersion, NaN or infinite entries, constant columns, and columns that depend
        on each other linearly.
        """
        rows = _rows(self, X, reset=True)
        self.result_ = fitted(rows, factors=self.factors, **_options(self))
        self.model_ = self.result_.model
        return self

    def score_samples(self, X: Table) -> Float[np.ndarray, " n"]:
        """The log-density at each row of ``X``, shape ``(n, d)``.

        ``score``, ``aic`` and ``bic``, of skfolio, are of their sum.

        **Raises**: ``ValueError`` for other columns, NaN or infinite entries.
        """
        check_is_fitted(self)
        return log_density(self.model_, _rows(self, X, reset=False))

    def sample(
        self,
        n_samples: int = 1,
        conditioning: Mapping[int | str, Condition] | None = None,
    ) -> Float[np.ndarray, "n d"]:
        """``n_samples`` independent draws, one a row: of all, or given a scenario.

        ``conditioning``: for some assets, by name or number, a return that they have,
        or a pair ``(low, high)`` that it lies between, an end of which may be None or
        infinite; or an array of ``n_samples`` returns, one for each draw. The draws are
        exact, see :meth:`~normix.NormalMixture.rvs_given`; rare events are no matter.

        **Raises**: ``ValueError`` for an unknown asset, an empty interval, a condition
        that is none, arrays together with intervals, and several intervals that hardly
        any draw meets.
        """
        check_is_fitted(self)
        key = key_of(self.random_state)
        if not conditioning:
            return np.array(self.model_.rvs(n_samples, key=key), float)
        names = list(getattr(self, "feature_names_in_", range(self.n_features_in_)))
        given = {asset: _as_given(asset, c) for asset, c in conditioning.items()}
        if not any(isinstance(c, np.ndarray) for c in given.values()):
            draws = self.model_.rvs_given(given, n_samples, key=key, columns=names)
            return np.array(draws, float)
        rows = _rows_with(given, names, n_samples)
        return np.array(self.model_.impute(rows, n=1, key=key)[0], float)


class UnivariateMixture(BaseUnivariateDist):
    """The law of one asset's returns, for example as a margin of a vine copula.

    - ``family``, ``symmetric``, ``alpha_min``, ``max_iter``, ``tol``, ``random_state``:
      as of :class:`MultivariateMixture`. A criterion such as AIC is only fair to "vg"
      and "gh" with ``alpha_min="density"``: equal returns, such as several of 0, can
      make their likelihood infinite.

    After ``fit``: ``model_``, the fitted model of normix; ``result_``, the
    :class:`~normix.EMResult`.

    >>> import numpy as np
    >>> from skfolio.distribution import Gaussian, VineCopula, select_univariate_dist
    >>> from normix.adapters.skfolio import UnivariateMixture
    >>> margins = [UnivariateMixture("nig"), UnivariateMixture("t")]
    >>> vine = VineCopula(marginal_candidates=margins)
    >>> X = 0.01 * np.random.default_rng(0).standard_t(3, (1000, 1))
    >>> best = select_univariate_dist(X, [Gaussian(), UnivariateMixture("t")])
    >>> best.family, best.cdf(X).shape
    ('t', (1000, 1))
    """

    model_: UnivariateNormalMixture

    def __init__(
        self,
        family: str = "nig",
        *,
        symmetric: bool = False,
        alpha_min: float | str | None = None,
        max_iter: int = 200,
        tol: float = 1e-3,
        random_state: int | None = None,
    ):
        super().__init__(random_state=random_state)
        self.family = family
        self.symmetric = symmetric
        self.alpha_min = alpha_min
        self.max_iter = max_iter
        self.tol = tol

    @property
    def _scipy_params(self) -> dict[str, float]:
        # The base class asks for it: SciPy has not all of the families, so that all
        # that would use it is of normix here.
        model = self.model_
        own = {"mu": model.mu, "gamma": model.gamma, "sigma": model.sigma()}
        return {k: float(v) for k, v in (own | model._mixing_parameters()).items()}

    @property
    def n_params(self) -> int:
        """The number of free parameters."""
        check_is_fitted(self)
        return self.result_.n_parameters

    @property
    def fitted_repr(self) -> str:
        """The fitted law and its parameters, in a line."""
        check_is_fitted(self)
        return _in_a_line(self, self.model_)

    def fit(self, X: Table, y: None = None) -> Self:
        """Fit by EM to returns ``X``, shape ``(n, 1)``; ``y`` is ignored.

        **Raises**: ``ValueError`` for an unknown family, more columns, NaN or infinite
        entries, and for less than 2 different ones.
        """
        values = _rows(self, X, reset=True)[:, 0]
        self.result_ = fitted(values, **_options(self))
        self.model_ = self.result_.model
        return self

    def score_samples(self, X: Table) -> Float[np.ndarray, " n"]:
        """The log-density at each row of ``X``, shape ``(n, 1)``.

        ``score``, ``aic`` and ``bic``, of skfolio, are of their sum.

        **Raises**: ``ValueError`` for more columns, NaN or infinite entries.
        """
        check_is_fitted(self)
        return log_density(self.model_, _rows(self, X, reset=False))

    def sample(self, n_samples: int = 1) -> Float[np.ndarray, "n 1"]:
        """``n_samples`` independent draws, one a row.

        **Raises**: ``ValueError`` for an ``n_samples`` that is not a count.
        """
        check_is_fitted(self)
        draws = self.model_.rvs(n_samples, key=key_of(self.random_state))
        return np.array(draws, float)[:, None]

    def cdf(self, X: Table) -> Float[np.ndarray, "*n"]:
        """``P(return <= x)`` for each ``x`` of ``X``, of any shape."""
        check_is_fitted(self)
        return np.asarray(self.model_.cdf(np.asarray(X, float)))[()]

    def ppf(self, X: Table) -> Float[np.ndarray, "*n"]:
        """The quantiles of probabilities ``X``, of any shape; NaN outside [0, 1].

        More than some hundred are read from a table, with relative errors of 1e-5 at
        most for "t" and "gh" and far less for "nig" and "vg".
        """
        check_is_fitted(self)
        law = self.model_ if np.size(X) <= _FEW else self.model_.quantile_table()
        return np.asarray(law.ppf(np.asarray(X, float)))[()]


def _options(law: MultivariateMixture | UnivariateMixture) -> dict[str, Any]:
    names = "family", "symmetric", "alpha_min", "max_iter", "tol"
    return {name: getattr(law, name) for name in names}


def _rows(
    law: MultivariateMixture | UnivariateMixture, X: Table, *, reset: bool
) -> Float[np.ndarray, "n d"]:
    found = validate_data(law, X, reset=reset, dtype=np.float64)
    rows = cast(np.ndarray, found)
    if isinstance(law, UnivariateMixture) and rows.shape[1] != 1:
        raise ValueError(f"X must have one column, got shape {rows.shape}")
    return rows


def _in_a_line(law: Any, model: MarginalMixture) -> str:
    numbers = model._mixing_parameters()
    parts = ", ".join(f"{name}={float(v):.3g}" for name, v in numbers.items())
    return f"{type(law).__name__}({type(model).__name__}: {parts})"


def _as_given(asset: object, condition: Condition) -> Condition:
    """A condition as ``rvs_given`` takes it, with an infinity for None; or an array."""
    if not isinstance(condition, tuple):
        return np.asarray(condition) if np.ndim(condition) else condition
    if len(condition) != 2:
        raise ValueError(
            f"the condition of {asset!r} must be a pair (low, high), got {condition}"
        )
    low, high = condition
    return (-np.inf if low is None else low, np.inf if high is None else high)


def _rows_with(
    given: Mapping[int | str, Condition], names: list[Any], n: int
) -> Float[np.ndarray, "n d"]:
    """Rows of what each draw is given, NaN elsewhere."""
    rows = np.full((n, len(names)), np.nan)
    columns = condition_of(dict.fromkeys(given, 0.0), len(names), names).values
    for k, (asset, values) in zip(columns, given.items(), strict=True):
        if isinstance(values, tuple):
            raise ValueError(
                "conditioning cannot give an interval to one asset and an array to "
                "another"
            )
        array = np.asarray(values, float)
        if array.shape not in ((), (n,)) or not np.isfinite(array).all():
            raise ValueError(
                f"the condition of {asset!r} must be finite numbers of shape ({n},), "
                f"one for each draw, got shape {array.shape}"
            )
        rows[:, k] = array
    return rows
