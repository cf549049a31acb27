"""Which limit of its family a fit has ended in, by name."""

from __future__ import annotations

import math

import numpy as np

from normix.mixtures.initial import mean_and_covariance
from normix.mixtures.joint import JointNormalMixture
from normix.mixtures.limits import flattest, thinnest

# Nats, over all rows, by which a fit has to be better than a limit to count as another
# law; and an ω from which on it is worth asking.
_NO_BETTER = 0.01
_NEARLY_NORMAL = 30.0


def edge(
    fitted: JointNormalMixture,
    log_likelihood: float,
    n: float,
    rows: object,
    weights: np.ndarray | None,
) -> str | None:
    """The limit that a fitted law is in, to the digits there are; None for none.

    ``n``: how many rows there are. ``rows``, where they are an array, decide between a
    law that is near the normal one and one that is no better.
    """
    law = fitted.law()
    p, a, b = (float(x) for x in law.gig)
    if not np.isfinite([p, a, b]).all():
        return None
    dtype = law.gig.dtype
    omega = math.hypot(p, math.sqrt(a) * math.sqrt(b))
    if omega >= 0.5 * flattest(dtype):
        return "normal"
    if omega >= _NEARLY_NORMAL and isinstance(rows, np.ndarray):
        best, total = _normal(rows, weights)
        if total * (log_likelihood - best) <= _NO_BETTER:
            return "normal"
    gamma = np.asarray(law.gamma, float)
    if gamma.any():
        total = omega + abs(p)
        typical = total / a if p >= 0 else b / total
        sigma = np.asarray(fitted.sigma(), float)
        s = typical / omega * float(gamma @ np.linalg.solve(sigma, gamma))
        # The likelihood of n rows differs from that of the limit by about n/s.
        if s >= min(0.5 * thinnest(dtype), n / _NO_BETTER):
            return "mixing"
    if fitted.subordinator.has_order:
        if b == 0:
            return "variance gamma"
        return "skew t" if a == 0 else None
    return None


def _normal(rows: np.ndarray, weights: np.ndarray | None) -> tuple[float, float]:
    """The mean log-likelihood of the best normal law, and the weight of all rows."""
    if weights is None:
        total, (_, cov) = float(len(rows)), mean_and_covariance(rows)
    else:
        total = float(weights.sum())
        centred = rows - weights @ rows / total
        cov = (weights[:, None] * centred).T @ centred / total
    d = rows.shape[1]
    _, log_det = np.linalg.slogdet(np.asarray(cov, float))
    return -0.5 * (d * (1 + math.log(2 * math.pi)) + float(log_det)), total
