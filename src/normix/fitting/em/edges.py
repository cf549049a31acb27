"""Which limit of its family a fit has ended in, by name."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float

from normix.fitting.em.acceptance import Status
from normix.mixtures.initial import mean_and_covariance
from normix.mixtures.limits import flattest, thinnest

# Nats, over all rows, by which a fit has to be better than a limit to count as another
# law; and an ω from which on it is worth asking.
_NO_BETTER = 0.01
_NEARLY_NORMAL = 30.0


def edge(
    at: Status,
    gig: Float[np.ndarray, " 3"],
    has_order: bool,
    n: float,
    rows: object,
    weights: np.ndarray | None,
) -> str | None:
    """The limit that a fit has ended in; None for none.

    ``gig`` is its mixing law, ``n`` how many rows there are. ``rows``, where they are
    an array, decide between a law that is near the normal one and one that is no
    better.
    """
    omega, s = float(at.omega), float(at.s)
    if omega >= 0.5 * flattest(gig.dtype):
        return "normal"
    if omega >= _NEARLY_NORMAL and isinstance(rows, np.ndarray):
        # Of so many rows, whatever weights are counted in.
        if n * (float(at.log_likelihood) - _normal(rows, weights)) <= _NO_BETTER:
            return "normal"
    # The likelihood of n rows differs from that of the limit by about n/s.
    if s >= min(0.5 * thinnest(gig.dtype), n / _NO_BETTER):
        return "mixing"
    _, a, b = gig
    if has_order and b == 0:
        return "variance gamma"
    return "skew t" if has_order and a == 0 else None


def _normal(rows: np.ndarray, weights: np.ndarray | None) -> float:
    """The mean log-likelihood of the best normal law."""
    _, cov = mean_and_covariance(rows, weights)
    d = rows.shape[1]
    _, log_det = np.linalg.slogdet(np.asarray(cov, float))
    return -0.5 * (d * (1 + math.log(2 * math.pi)) + float(log_det))
