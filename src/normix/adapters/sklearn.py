"""scikit-learn: normal variance-mean mixtures as density estimators.

scikit-learn is installed by ``pip install scikit-learn``. Call
``jax.config.update("jax_enable_x64", True)`` first. Worker processes (``n_jobs``) do
not see that call: for them set the environment variable ``JAX_ENABLE_X64=1`` instead,
before JAX is imported.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, Self, cast

import jax
import numpy as np
from jaxtyping import ArrayLike, Float, PRNGKeyArray

from normix._arrays import check_option
from normix.fitting.em.batch import BatchEMFitter
from normix.fitting.em.result import EMResult
from normix.mixtures.families import start
from normix.mixtures.marginal import MarginalMixture
from normix.mixtures.model_steps import log_prob_of_rows, log_prob_seen
from normix.mixtures.multivariate import VectorMixture
from normix.mixtures.rows import block_length, padded

try:
    from sklearn.base import BaseEstimator, DensityMixin
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.utils import check_random_state
    from sklearn.utils.validation import check_is_fitted, validate_data
except ImportError as error:
    raise ImportError(
        "normix.adapters.sklearn needs scikit-learn: pip install scikit-learn"
    ) from error

# An array of shape (n, d), or a data frame.
Table = Any


class NormalVarianceMeanMixture(DensityMixin, BaseEstimator):
    """A normal variance-mean mixture as a density estimator of scikit-learn.

    It works in pipelines and searches, such as
    :class:`~sklearn.model_selection.GridSearchCV`, which compares families by held-out
    likelihood.

    - ``family``: "nig" (normal inverse Gaussian), "vg" (variance gamma), "t" (skew t)
      or "gh" (generalized hyperbolic, which has the others within it).
    - ``factors``: 0 for a full dispersion matrix, r for a factor form with r factors.
      "auto" is 0 where there are more different rows than columns, as a full matrix
      needs, and 1 elsewhere.
    - ``symmetric``: hold the skewness vector γ at 0.
    - ``alpha_min``: a lower bound on the shape of "vg", or order of "gh", whose
      likelihood is unbounded without: see :class:`~normix.BatchEMFitter`.
    - ``max_iter``, ``tol``: stop after so many iterations, or when no more than ``tol``
      of log-likelihood, in nats over all rows, is to be gained.
    - ``n_starts``: fit from so many starts, and keep the best.
    - ``missing``: "raise" refuses NaN; with "em" NaN is a missing entry, in ``fit`` and
      in ``score_samples``.

    After ``fit``:

    - ``model_``: the fitted model of normix, with moments, quantiles of projections,
      conditional laws and more.
    - ``result_``: the :class:`~normix.EMResult`; its ``message`` says how the fit
      ended, its ``inference(X)`` how sure the estimates are.
    - ``n_iter_``, ``converged_``: iterations done, and whether that was enough.
    - ``n_features_in_``, ``feature_names_in_``: of the data; the names only if all
      columns have one.

    >>> import numpy as np
    >>> from normix.adapters.sklearn import NormalVarianceMeanMixture
    >>> X = np.random.default_rng(0).standard_t(5, (500, 2))
    >>> density = NormalVarianceMeanMixture("t").fit(X)
    >>> density.score_samples(X[:3]).shape, density.sample(4, random_state=0).shape
    ((3,), (4, 2))
    """

    model_: VectorMixture
    result_: EMResult
    n_iter_: int
    converged_: bool
    n_features_in_: int
    feature_names_in_: np.ndarray

    def __init__(
        self,
        family: str = "nig",
        *,
        factors: int | str = "auto",
        symmetric: bool = False,
        alpha_min: float | str | None = None,
        max_iter: int = 200,
        tol: float = 1e-3,
        n_starts: int = 1,
        missing: str = "raise",
    ):
        self.family = family
        self.factors = factors
        self.symmetric = symmetric
        self.alpha_min = alpha_min
        self.max_iter = max_iter
        self.tol = tol
        self.n_starts = n_starts
        self.missing = missing

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = self.missing == "em"
        return tags

    def fit(
        self,
        X: Table,
        y: object = None,
        sample_weight: Float[ArrayLike, " n"] | None = None,
    ) -> Self:
        """Fit by EM to ``X``, shape ``(n, d)``; ``y`` is ignored.

        ``sample_weight``, shape ``(n,)``, not negative, counts the rows: 2 is a row
        twice, 0 none. A :class:`~sklearn.exceptions.ConvergenceWarning` tells of a fit
        that did not converge; the model is finite in any case.

        **Raises**: ``ValueError`` for an option that is none, less than 2 rows, NaN
        (unless ``missing="em"``) or infinite entries, constant columns, columns that
        depend on each other linearly, and weights that do not fit.
        """
        check_option("missing", self.missing, ("raise", "em"))
        rows = self._rows(X, reset=True)
        weights = None
        if sample_weight is not None:
            weights = _weights(sample_weight, len(rows))
            rows, weights = rows[weights > 0], weights[weights > 0]
        self.result_ = fitted(
            rows,
            weights,
            family=self.family,
            factors=_factors(self.factors, rows),
            missing=self.missing,
            n_starts=self.n_starts,
            symmetric=self.symmetric,
            alpha_min=self.alpha_min,
            max_iter=self.max_iter,
            tol=self.tol,
        )
        self.model_ = self.result_.model
        self.n_iter_ = int(self.result_.n_iter)
        self.converged_ = bool(self.result_.converged)
        return self

    def score_samples(self, X: Table) -> Float[np.ndarray, " n"]:
        """The log-density at each row of ``X``, shape ``(n, d)``.

        With ``missing="em"`` that of the entries that are not NaN.

        **Raises**: ``ValueError`` for another number of columns, other names of
        columns, NaN (unless ``missing="em"``) or infinite entries.
        """
        check_is_fitted(self)
        rows = self._rows(X, reset=False)
        return log_density(self.model_, rows)

    def score(self, X: Table, y: object = None) -> float:
        """The mean log-density over the rows of ``X``, shape ``(n, d)``.

        As of :class:`~sklearn.mixture.GaussianMixture`; that of
        :class:`~sklearn.neighbors.KernelDensity` is the sum. ``y`` is ignored.

        **Raises**: as ``score_samples``.
        """
        return float(self.score_samples(X).mean())

    def sample(
        self,
        n_samples: int = 1,
        random_state: int | np.random.RandomState | None = None,
    ) -> Float[np.ndarray, "n d"]:
        """``n_samples`` independent draws, one a row.

        ``random_state``: a seed, or a generator, which moves on; None uses NumPy's
        global one.

        **Raises**: ``ValueError`` for an ``n_samples`` that is not a count.
        """
        check_is_fitted(self)
        draws = self.model_.rvs(n_samples, key=key_of(random_state))
        return np.array(draws, float)

    def aic(self, X: Table) -> float:
        """Akaike's criterion of the model on ``X``, shape ``(n, d)``: less is better.

        **Raises**: as ``score_samples``.
        """
        return 2 * self._n_parameters - 2 * float(self.score_samples(X).sum())

    def bic(self, X: Table) -> float:
        """Schwarz's criterion of the model on ``X``, shape ``(n, d)``: less is better.

        **Raises**: as ``score_samples``.
        """
        density = self.score_samples(X)
        penalty = float(np.log(len(density))) * self._n_parameters
        return penalty - 2 * float(density.sum())

    @property
    def _n_parameters(self) -> int:
        check_is_fitted(self)
        return self.result_.n_parameters

    def _rows(self, X: Table, *, reset: bool) -> Float[np.ndarray, "n d"]:
        finite = "allow-nan" if self.missing == "em" else True
        # One row can be scored, but not fitted.
        least = 2 if reset else 1
        how = {"ensure_all_finite": finite, "ensure_min_samples": least}
        checked = validate_data(self, X, reset=reset, dtype=np.float64, **how)
        return cast(np.ndarray, checked)


def fitted(
    X: Float[np.ndarray, "n *d"],
    weights: Float[np.ndarray, " n"] | None = None,
    *,
    family: str,
    factors: int = 0,
    missing: str = "raise",
    n_starts: int = 1,
    **options: Any,
) -> EMResult:
    """A fit from the family's own start, with a warning where it did not converge.

    ``options`` are those of :class:`~normix.BatchEMFitter`.
    """
    fitter = BatchEMFitter(**options)
    begin = start(family, X, factors, missing=missing)
    how = {"weights": weights, "n_starts": n_starts, "missing": missing}
    result = fitter.fit(begin, X, **how)
    if not result.converged:
        warnings.warn(result.message, ConvergenceWarning, stacklevel=3)
    return result


def log_density(
    model: MarginalMixture, X: Float[np.ndarray, "n d"]
) -> Float[np.ndarray, " n"]:
    """The log-density of every row, of what is not NaN in it."""
    of_rows = log_prob_seen if np.isnan(X).any() else log_prob_of_rows
    # Lengths from a grid, so that other numbers of rows find programs compiled.
    return by_blocks(lambda block: of_rows(model.joint, block), X, block_length(len(X)))


def by_blocks(
    function: Callable[[Any], Any], X: Float[np.ndarray, "n d"], size: int
) -> Float[np.ndarray, "n *k"]:
    """``function`` of the rows of ``X``, of ``size`` rows at once, filled up."""
    blocks = padded(X, None, size)
    parts = [np.asarray(function(block))[:m] for block, _, m in blocks]
    return np.concatenate(parts).astype(float)


def key_of(random_state: int | np.random.RandomState | None) -> PRNGKeyArray:
    """A key of JAX from what scikit-learn takes for randomness."""
    generator = check_random_state(random_state)
    return jax.random.key(generator.randint(np.iinfo(np.int32).max))


def _weights(sample_weight: ArrayLike, n: int) -> Float[np.ndarray, " n"]:
    """Checked weights.

    **Raises**: ``ValueError`` for another shape, weights that are negative or not
    finite, and for zeros only.
    """
    weights = np.asarray(sample_weight, float)
    if weights.shape != (n,):
        raise ValueError(f"sample_weight must have shape ({n},), got {weights.shape}")
    if not (np.isfinite(weights) & (weights >= 0)).all():
        raise ValueError("sample_weight must be finite and not negative")
    if not weights.any():
        raise ValueError("every sample_weight is zero: nothing is left to fit")
    return weights


def _factors(factors: int | str, X: Float[np.ndarray, "n d"]) -> int:
    """The number of factors, 0 for a full dispersion.

    **Raises**: ``ValueError`` for what is not "auto" or a number from 0 to d.
    """
    if factors == "auto":
        return 0 if _has_more_rows_than_columns(X) else 1
    d = X.shape[1]
    if not isinstance(factors, int | np.integer) or not 0 <= factors <= d:
        raise ValueError(
            f'factors must be "auto" or a number from 0 to {d}, got {factors!r}'
        )
    return int(factors)


def _has_more_rows_than_columns(X: Float[np.ndarray, "n d"]) -> bool:
    """Whether more than d of the rows differ, without looking at all of them."""
    seen = set()
    for row in X:
        seen.add(row.tobytes())
        if len(seen) > X.shape[1]:
            return True
    return False
