"""What the estimators share: checked rows, log-densities of them, criteria."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, cast

import jax
import numpy as np
from jaxtyping import ArrayLike, Float, PRNGKeyArray

from normix._arrays import check_option
from normix.fitting.em.batch import BatchEMFitter
from normix.fitting.em.result import EMResult
from normix.fitting.finite.result import FiniteMixtureResult
from normix.mixtures.families import start
from normix.mixtures.marginal import MarginalMixture
from normix.mixtures.model_steps import log_prob_of_rows, log_prob_seen
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


class LikelihoodEstimator(DensityMixin, BaseEstimator, ABC):
    """An estimator of a density, by maximum likelihood."""

    missing: str
    result_: EMResult | FiniteMixtureResult
    n_features_in_: int
    feature_names_in_: np.ndarray

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = self.missing == "em"
        return tags

    @abstractmethod
    def score_samples(self, X: Table) -> Float[np.ndarray, " n"]:
        """The log-density at each row of ``X``, shape ``(n, d)``.

        With ``missing="em"`` that of the entries that are not NaN.

        **Raises**: ``ValueError`` for another number of columns, other names of
        columns, NaN (unless ``missing="em"``) or infinite entries.
        """

    def score(self, X: Table, y: object = None) -> float:
        """The mean log-density over the rows of ``X``, shape ``(n, d)``.

        As of :class:`~sklearn.mixture.GaussianMixture`; that of
        :class:`~sklearn.neighbors.KernelDensity` is the sum. ``y`` is ignored.

        **Raises**: as ``score_samples``.
        """
        return float(self.score_samples(X).mean())

    def aic(self, X: Table) -> float:
        """Akaike's criterion of the model on ``X``, shape ``(n, d)``: less is better.

        **Raises**: as ``score_samples``.
        """
        density = self.score_samples(X)
        return 2 * self.result_.n_parameters - 2 * float(density.sum())

    def bic(self, X: Table) -> float:
        """Schwarz's criterion of the model on ``X``, shape ``(n, d)``: less is better.

        **Raises**: as ``score_samples``.
        """
        density = self.score_samples(X)
        penalty = float(np.log(len(density))) * self.result_.n_parameters
        return penalty - 2 * float(density.sum())

    def _rows_to_fit(
        self, X: Table, sample_weight: ArrayLike | None
    ) -> tuple[Float[np.ndarray, "n d"], Float[np.ndarray, " n"] | None]:
        """Checked rows, those of weight 0 left out, and their weights."""
        check_option("missing", self.missing, ("raise", "em"))
        # One row can be scored, but not fitted.
        rows = self._checked(X, reset=True, ensure_min_samples=2)
        if sample_weight is None:
            return rows, None
        weights = _weights(sample_weight, len(rows))
        return rows[weights > 0], weights[weights > 0]

    def _check_fitted(self) -> None:
        check_is_fitted(self)

    def _rows_to_score(self, X: Table) -> Float[np.ndarray, "n d"]:
        self._check_fitted()
        return self._checked(X, reset=False)

    def _checked(self, X: Table, **how: Any) -> Float[np.ndarray, "n d"]:
        finite = "allow-nan" if self.missing == "em" else True
        checked = validate_data(
            self, X, dtype=np.float64, ensure_all_finite=finite, **how
        )
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
    warn_of(result)
    return result


def warn_of(result: EMResult | FiniteMixtureResult) -> None:
    """Warn of a fit that did not converge: the caller's caller's caller."""
    if not result.converged:
        warnings.warn(result.message, ConvergenceWarning, stacklevel=4)


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


def factors_for(
    factors: int | str, X: Float[np.ndarray, "n d"], n_components: int = 1
) -> int:
    """The number of factors, 0 for a full dispersion.

    "auto" is 0 where more than d of the rows differ, and every component could have as
    many rows; elsewhere 1.

    **Raises**: ``ValueError`` for what is not "auto" or a number from 0 to d.
    """
    n, d = X.shape
    if factors == "auto":
        full = n >= n_components * (d + 1) and _as_many_differ(X, d + 1)
        return 0 if full else 1
    if not isinstance(factors, int | np.integer) or not 0 <= factors <= d:
        raise ValueError(
            f'factors must be "auto" or a number from 0 to {d}, got {factors!r}'
        )
    return int(factors)


def _as_many_differ(X: Float[np.ndarray, "n d"], count: int) -> bool:
    """Whether ``count`` of the rows differ, without looking at all of them."""
    seen = set()
    for row in X:
        seen.add(row.tobytes())
        if len(seen) >= count:
            return True
    return False


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
