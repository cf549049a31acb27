"""Statistics of how far data are from a law."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
from jaxtyping import Float

from normix.diagnostics._grid import nodes_of
from normix.diagnostics._rows import Whitened, whitened

Tails = Float[np.ndarray, "n d"]
_ROWS = 512  # of which distances to all rows are in memory at once
_DEGREE = 40  # of a polynomial that is then good to 1e-11


def _kolmogorov_smirnov(lower: np.ndarray, upper: np.ndarray) -> float:
    n = len(lower)
    steps = np.arange(n + 1) / n
    return float(max((steps[1:] - lower).max(), (lower - steps[:-1]).max()))


def _cramer_von_mises(lower: np.ndarray, upper: np.ndarray) -> float:
    n = len(lower)
    middles = (np.arange(n) + 0.5) / n
    return float(((lower - middles) ** 2).sum() + 1 / (12 * n))


def _anderson_darling(lower: np.ndarray, upper: np.ndarray) -> float:
    n = len(lower)
    odd = 2 * np.arange(n) + 1
    # Values beyond the range of numbers are as far out as the last within it.
    least = np.finfo(float).tiny
    logs = np.log(np.maximum(lower, least)) + np.log(np.maximum(upper[::-1], least))
    return float(-n - (odd * logs).mean())


def _summed(of_one: Callable[[np.ndarray, np.ndarray], float], combine: Any) -> Any:
    """Of several columns the sum, or the greatest, of the statistics of each."""

    def of_columns(lower: Tails, upper: Tails) -> float:
        found = []
        for below, above in zip(lower.T, upper.T, strict=True):
            seen = ~np.isnan(below)
            below, above = below[seen], above[seen]
            # By both tails, of which each tells some values apart that round to 1.
            order = np.lexsort((-above, below))
            found.append(of_one(below[order], above[order]))
        return float(combine(found))

    return of_columns


BY_TRANSFORM: dict[str, Callable[[Tails, Tails], float]] = {
    "ks": _summed(_kolmogorov_smirnov, max),
    "ad": _summed(_anderson_darling, sum),
    "cvm": _summed(_cramer_von_mises, sum),
}
STATISTICS = (*BY_TRANSFORM, "energy")


# -- energy --------------------------------------------------------------------------


def energy(model: Any, rows: Float[np.ndarray, "n d"]) -> float:
    r"""The energy statistic of rows without missing entries.

    :math:`n\,(2 E|x_i - X| - E|x_i - x_j| - E|X - X'|)/E|X - X'|`, averaged over rows,
    in coordinates in which Σ is the identity (Székely & Rizzo, J. Stat. Plan. Inference
    143, 2013). The expectations under the model are sums over the mixing variable.
    """
    (group,) = whitened(model, rows)
    e, g = group.e, group.skew
    n, d = e.shape
    y, weights = _mixing(group)
    size = float(g @ g)
    squares, along = (e**2).sum(axis=1), e @ g
    to_law = np.empty(n)
    root = np.sqrt(y)
    for begin in range(0, n, _ROWS):
        k = slice(begin, begin + _ROWS)
        gap = squares[k, None] - 2 * along[k, None] * y + size * y**2
        to_law[k] = (root * _mean_norm(np.maximum(gap, 0) / y, d)) @ weights
    both = y[:, None] + y
    within = np.sqrt(both) * _mean_norm(size * (y[:, None] - y) ** 2 / both, d)
    spread = float(weights @ within @ weights)
    return float(n * (2 * to_law.mean() - _mean_distance(e) - spread) / spread)


def _mixing(group: Whitened) -> tuple[np.ndarray, np.ndarray]:
    """Nodes of the law of Y, and their probabilities."""
    if group.gig is None:
        return np.ones(1), np.ones(1)
    p, a, b = group.gig
    # How far is at most in proportion to y, or to its root without skewness.
    power = 1.0 if group.skew.any() else 0.5
    far = (group.e**2).sum(axis=1).max()
    found = nodes_of(p, a, np.array([b]), 0.0, np.array([far]), power)
    ((_, y, weights),) = found
    return y, weights[0]


def _mean_norm(squares: np.ndarray, d: int) -> np.ndarray:
    """``E|r + Z|`` of standard normal Z in d dimensions, from ``|r|²``."""
    from scipy import special  # here, for a quick import of normix

    if d == 1:
        r = np.sqrt(squares)
        density = np.exp(-0.5 * squares) / math.sqrt(2 * math.pi)
        return r * special.erf(r / math.sqrt(2)) + 2 * density
    total = squares + d
    at = squares / total
    return np.sqrt(total) * np.polynomial.chebyshev.chebval(2 * at - 1, _series(d))


@lru_cache
def _series(d: int) -> np.ndarray:
    r"""``E|r + Z|/√(r² + d)`` as a Chebyshev series in ``r²/(r² + d)`` of [0, 1].

    By :math:`E|v| = \sqrt{2/\pi}\int_0^\infty (1 - E e^{-s^2v^2/2})\,ds/s^2`.
    """
    x = np.polynomial.chebyshev.chebpts1(_DEGREE + 1)
    at = 0.5 * (1 + x)
    squares = (d * at / (1 - at))[:, None]
    step = 0.25  # of log s, of which the integrand is analytic where |Im| < pi/2
    s = np.exp(np.arange(-40 - 0.5 * math.log(squares.max() + d), 40, step))
    tail = 0.5 * (d * np.log1p(s**2) + squares * s**2 / (1 + s**2))
    means = math.sqrt(2 / math.pi) * step * (-np.expm1(-tail) / s).sum(axis=1)
    values = means / np.sqrt(squares[:, 0] + d)
    return np.polynomial.chebyshev.chebfit(x, values, _DEGREE)


def _mean_distance(e: Float[np.ndarray, "n d"]) -> float:
    """Between two rows, each drawn from all."""
    from scipy.spatial import distance  # here, for a quick import of normix

    n, d = e.shape
    if d == 1:
        places = 2 * np.arange(n) - n + 1
        return float(2 * (places * np.sort(e[:, 0])).sum() / n**2)
    total = 0.0
    for begin in range(0, n, _ROWS):
        total += distance.cdist(e[begin : begin + _ROWS], e).sum()
    return float(total / n**2)
