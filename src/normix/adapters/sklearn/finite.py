"""The clustering estimator: a finite mixture of normal variance-mean mixtures."""

from __future__ import annotations

from typing import Self

import numpy as np
from jaxtyping import ArrayLike, Float, Int
from scipy.special import logsumexp, softmax

from normix.adapters.sklearn._rows import (
    LikelihoodEstimator,
    Table,
    factors_for,
    key_of,
    log_density,
    warn_of,
)
from normix.fitting.finite.fitter import FiniteMixtureFitter
from normix.fitting.finite.result import FiniteMixtureResult
from normix.mixtures.finite import FiniteMixture
from normix.mixtures.finite_steps import MIN_SCALE


class FiniteMixtureModel(LikelihoodEstimator):
    r"""Groups with heavy tails and skewness, as an estimator of scikit-learn.

    A mixture of ``n_components`` laws of one family, fitted by EM. It is used as
    :class:`~sklearn.mixture.GaussianMixture` is: it clusters rows, and estimates their
    density.

    - ``n_components``: the number of components, k.
    - ``family``: that of all of them: "nig" (normal inverse Gaussian), "vg" (variance
      gamma), "t" (skew t) or "gh" (generalized hyperbolic).
    - ``factors``: 0 for full dispersion matrices, r for factor forms with r factors.
      "auto" is 0 where there are ``k (d + 1)`` rows, of which more than d differ, and
      1 elsewhere.
    - ``symmetric``: hold the skewness vectors γ at 0.
    - ``max_iter``, ``tol``: stop after so many iterations, or when no more than ``tol``
      of log-likelihood, in nats over all rows, is to be gained. The ``tol`` of
      ``GaussianMixture`` is a mean over rows.
    - ``n_init``: the number of starts. Each is tried by a few EM steps, and the best
      one is fitted; ``GaussianMixture`` fits all.
    - ``min_scale``: the least spread of a component, as a part of the standard
      deviation of all rows along any direction; ``min_rows``: the least weight of a
      component, in rows, by default ``d + 1``, and of factor forms ``factors + 2``. See
      :class:`~normix.FiniteMixtureFitter`.
    - ``missing``: "raise" refuses NaN; with "em" NaN is a missing entry, in all
      methods.
    - ``random_state``: the seed of starts and of ``sample``, or a generator, which
      moves on; None uses NumPy's global one.

    After ``fit``:

    - ``weights_``, ``means_``, ``covariances_``: of the components, shapes ``(k,)``,
      ``(k, d)`` and ``(k, d, d)``. Moments of a skew t law may be infinite.
    - ``model_``: the fitted :class:`~normix.FiniteMixture`, whose ``components`` are
      the laws themselves.
    - ``result_``: the :class:`~normix.FiniteMixtureResult`. Its ``message`` says how
      the fit ended; its ``at_bound`` names components that only a bound keeps from
      vanishing or from shrinking onto a few rows.
    - ``n_iter_``, ``converged_``: iterations done, and whether that was enough.
    - ``lower_bound_``: the mean log-likelihood of the rows that were fitted.
    - ``n_features_in_``, ``feature_names_in_``: of the data; the names only if all
      columns have one.

    >>> import numpy as np
    >>> from normix.adapters.sklearn import FiniteMixtureModel
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_t(4, (300, 2)) + 10 * rng.integers(2, size=(300, 1))
    >>> mixture = FiniteMixtureModel(2, family="t", n_init=2, random_state=0).fit(X)
    >>> sorted(mixture.predict([[0.0, 0.0], [10.0, 10.0]]).tolist())
    [0, 1]
    """

    model_: FiniteMixture
    result_: FiniteMixtureResult
    weights_: Float[np.ndarray, " k"]
    means_: Float[np.ndarray, "k d"]
    covariances_: Float[np.ndarray, "k d d"]
    n_iter_: int
    converged_: bool
    lower_bound_: float

    def __init__(
        self,
        n_components: int = 1,
        *,
        family: str = "nig",
        factors: int | str = "auto",
        symmetric: bool = False,
        max_iter: int = 500,
        tol: float = 1e-3,
        n_init: int = 10,
        min_scale: float = MIN_SCALE,
        min_rows: float | None = None,
        missing: str = "raise",
        random_state: int | np.random.RandomState | None = None,
    ):
        self.n_components = n_components
        self.family = family
        self.factors = factors
        self.symmetric = symmetric
        self.max_iter = max_iter
        self.tol = tol
        self.n_init = n_init
        self.min_scale = min_scale
        self.min_rows = min_rows
        self.missing = missing
        self.random_state = random_state

    def fit(
        self,
        X: Table,
        y: object = None,
        sample_weight: Float[ArrayLike, " n"] | None = None,
    ) -> Self:
        """Fit by EM to ``X``, shape ``(n, d)``; ``y`` is ignored.

        ``sample_weight``, shape ``(n,)``, not negative, counts the rows: 2 is a row
        twice, 0 none. Starts are looked for among all rows of positive weight alike. A
        :class:`~sklearn.exceptions.ConvergenceWarning` tells of a fit that did not
        converge; the model is finite in any case.

        **Raises**: ``ValueError`` for an option that is none, fewer rows than the
        components need, NaN (unless ``missing="em"``) or infinite entries, constant
        columns, columns that depend on each other linearly, and weights that do not
        fit.
        """
        _check_counts(n_components=self.n_components, n_init=self.n_init)
        fitter = FiniteMixtureFitter(
            max_iter=self.max_iter,
            tol=self.tol,
            symmetric=self.symmetric,
            min_scale=self.min_scale,
            min_rows=self.min_rows,
        )
        rows, weights = self._rows_to_fit(X, sample_weight)
        self.result_ = self._fitted(fitter, rows, weights)
        self.model_ = self.result_.model
        self.weights_ = np.array(self.model_.weights, float)
        components = self.model_.components
        self.means_ = np.array([one.mean() for one in components], float)
        self.covariances_ = np.array([one.cov() for one in components], float)
        self.n_iter_ = int(self.result_.n_iter)
        self.converged_ = bool(self.result_.converged)
        self.lower_bound_ = float(self.result_.log_likelihood)
        return self

    def fit_predict(
        self,
        X: Table,
        y: object = None,
        sample_weight: Float[ArrayLike, " n"] | None = None,
    ) -> Int[np.ndarray, " n"]:
        """The most probable component of every row, after a fit to ``X``.

        **Raises**: as ``fit``.
        """
        return self.fit(X, y, sample_weight).predict(X)

    def predict(self, X: Table) -> Int[np.ndarray, " n"]:
        """The most probable component of each row of ``X``, shape ``(n, d)``.

        **Raises**: as ``score_samples``.
        """
        return self._weighed(X).argmax(axis=1)

    def predict_proba(self, X: Table) -> Float[np.ndarray, "n k"]:
        """The probability of every component, given each row of ``X``.

        With ``missing="em"`` given the entries that are not NaN.

        **Raises**: as ``score_samples``.
        """
        return softmax(self._weighed(X), axis=1)

    def score_samples(self, X: Table) -> Float[np.ndarray, " n"]:
        """The log-density at each row of ``X``, shape ``(n, d)``.

        With ``missing="em"`` that of the entries that are not NaN.

        **Raises**: ``ValueError`` for another number of columns, other names of
        columns, NaN (unless ``missing="em"``) or infinite entries.
        """
        return np.asarray(logsumexp(self._weighed(X), axis=1))

    def sample(
        self, n_samples: int = 1
    ) -> tuple[Float[np.ndarray, "n d"], Int[np.ndarray, " n"]]:
        """``n_samples`` independent draws, one a row, and the component of each.

        By ``random_state``: with a seed always the same. They come in no order, those
        of ``GaussianMixture`` component by component.

        **Raises**: ``ValueError`` for an ``n_samples`` that is not a count.
        """
        self._check_fitted()
        key = key_of(self.random_state)
        draws, labels = self.model_.rvs_labelled(n_samples, key=key)
        return np.array(draws, float), np.array(labels, np.int64)

    def _fitted(
        self,
        fitter: FiniteMixtureFitter,
        rows: Float[np.ndarray, "n d"],
        weights: Float[np.ndarray, " n"] | None,
    ) -> FiniteMixtureResult:
        (n, d), k = rows.shape, self.n_components
        factors = factors_for(self.factors, rows, k)
        least = max(self.min_rows or 0, factors + 2 if factors else d + 1)
        if k * least > n:
            raise ValueError(
                "Expected n_samples >= n_components * min_rows but got "
                f"n_components = {k}, min_rows = {least:g}, n_samples = {n}"
            )
        start = FiniteMixture.default_init(
            rows,
            k,
            self.family,
            factors,
            # One component has one start.
            n_starts=self.n_init if k > 1 else 1,
            key=key_of(self.random_state),
            missing=self.missing,
        )
        result = fitter.fit(start, rows, weights=weights, missing=self.missing)
        warn_of(result)
        return result

    def _weighed(self, X: Table) -> Float[np.ndarray, "n k"]:
        """Log-densities of all components, and the logarithms of their weights."""
        rows = self._rows_to_score(X)
        each = [log_density(one, rows) for one in self.model_.components]
        return np.stack(each, axis=1) + np.log(self.weights_)


def _check_counts(**counts: int) -> None:
    for name, count in counts.items():
        if not isinstance(count, int | np.integer) or count < 1:
            raise ValueError(f"{name} must be a number from 1 on, got {count!r}")
