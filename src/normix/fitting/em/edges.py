"""Which limit of its family a fit has ended in, by name."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from normix.mixtures.initial import mean_and_covariance
from normix.mixtures.law import Frame
from normix.mixtures.limits import flattest, thinnest

# Nats, over all rows, by which a fit has to be better than a limit to count as another
# law; and an ω from which on it is worth asking.
_NO_BETTER = 0.01
_NEARLY_NORMAL = 30.0


def edge(
    vector: Any,
    frame: Frame,
    has_order: bool,
    log_likelihood: float,
    n: float,
    rows: object,
    weights: np.ndarray | None,
) -> str | None:
    """The limit that a law, packed in a vector, is in; None for none.

    ``n``: how many rows there are. ``rows``, where they are an array, decide between a
    law that is near the normal one and one that is no better.
    """
    law = frame.unpack(vector)
    p, a, b = law.gig.tolist()
    if not np.isfinite([p, a, b]).all():
        return None
    dtype = vector.dtype
    omega = math.hypot(p, math.sqrt(a) * math.sqrt(b))
    if omega >= 0.5 * flattest(dtype):
        return "normal"
    if omega >= _NEARLY_NORMAL and isinstance(rows, np.ndarray):
        best, total = _normal(rows, weights)
        if total * (log_likelihood - best) <= _NO_BETTER:
            return "normal"
    gamma = law.gamma
    if gamma.any():
        total = omega + abs(p)
        typical = total / a if p >= 0 else b / total
        sigma = np.asarray(law.dispersion.matrix())
        s = typical / omega * float(gamma @ np.linalg.solve(sigma, gamma))
        # The likelihood of n rows differs from that of the limit by about n/s.
        if s >= min(0.5 * thinnest(dtype), n / _NO_BETTER):
            return "mixing"
    if has_order:
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
