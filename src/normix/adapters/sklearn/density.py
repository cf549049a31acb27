"""The density estimator: one normal variance-mean mixture."""

from __future__ import annotations

from typing import Self

import numpy as np
from jaxtyping import ArrayLike, Float

from normix.adapters.sklearn._rows import (
    LikelihoodEstimator,
    Table,
    factors_for,
    fitted,
    key_of,
    log_density,
)
from normix.fitting.em.result import EMResult
from normix.mixtures.multivariate import VectorMixture


class NormalVarianceMeanMixture(LikelihoodEstimator):
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
        rows, weights = self._rows_to_fit(X, sample_weight)
        self.result_ = fitted(
            rows,
            weights,
            family=self.family,
            factors=factors_for(self.factors, rows),
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
        rows = self._rows_to_score(X)
        return log_density(self.model_, rows)

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
        self._check_fitted()
        draws = self.model_.rvs(n_samples, key=key_of(random_state))
        return np.array(draws, float)
