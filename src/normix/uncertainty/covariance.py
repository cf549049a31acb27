"""From information and scores to covariances; what is no maximum, or not determined."""

from __future__ import annotations

import numpy as np

# Nats that may still be gained at a maximum: an estimate is √(2 gain) standard errors
# from it, here a seventh of one.
_AT_MAXIMUM = 0.01
# Eigenvalues of an information, in units in which its diagonal is 1, that are lost in
# the rounding of its terms.
_LOST = 1e-10


def inverse_of(
    information: np.ndarray, redundant: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The inverse where the data tell something, and the directions where not.

    Directions in which the law does not change at all are left out.
    """
    k = len(information)
    basis = np.eye(k)
    if redundant.size:
        basis = np.linalg.svd(redundant)[0][:, redundant.shape[1] :]
        information = basis.T @ information @ basis
    scale = np.sqrt(np.maximum(np.diagonal(information), np.finfo(float).tiny))
    values, vectors = np.linalg.eigh(information / np.outer(scale, scale))
    if values.min(initial=0.0) < -len(values) * _LOST:
        raise ValueError(
            "the model is not at a maximum: the likelihood is convex in some direction"
        )
    told = values > len(values) * _LOST
    vectors = vectors / scale[:, None]
    inverse = (vectors[:, told] / values[told]) @ vectors[:, told].T
    lost = basis @ vectors[:, ~told]
    return basis @ inverse @ basis.T, lost / np.sqrt((lost**2).sum(axis=0))


def check_maximum(score: np.ndarray, inverse: np.ndarray, nobs: float) -> None:
    """Raise ``ValueError`` where the score tells of more to be gained than rounding."""
    gain = 0.5 * score @ inverse @ score
    if not gain <= _AT_MAXIMUM:
        raise ValueError(
            f"the model is not at a maximum of the likelihood of these {nobs:g} rows: "
            f"about {gain:.3g} nats are to be gained. Fit on, with a smaller tol; or "
            "say what the fit held, by fix, symmetric and alpha_min"
        )


def covariance_by(
    cov_type: str, inverse: np.ndarray, outer: np.ndarray, redundant: np.ndarray
) -> np.ndarray:
    """The covariance of the coordinates; ``outer`` sums the scores' products."""
    if cov_type == "observed":
        return inverse
    if cov_type == "opg":
        return inverse_of(outer, redundant)[0]
    return inverse @ outer @ inverse
