r"""Sums over the mixing variable of many rows, by one trapezoid rule.

For ``Y ~ GIG(p, a, b)`` and a bounded function ``f``,

.. math:: E[f(Y)] = \frac{\int e^{h(t)} f(e^t)\,dt}{\int e^{h(t)}\,dt}, \qquad
    h(t) = pt - \tfrac12 a e^t - \tfrac12 b e^{-t},

both by equally spaced nodes in ``t = log y``, which converge exponentially (Trefethen
& Weideman, SIAM Review 56, 2014): no Bessel function is needed, and where f is
positive the sum keeps its relative accuracy. Rows share ``p`` and ``a``; those of
alike ``b`` share their nodes.

With NumPy and SciPy, which have nothing to compile.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

# What of an integrand is left out, and the rule's error: exp(-37) is 1e-16.
_DROP = 37.0
# Rows that share nodes: so many at most, and of alike reach. A row far out would have
# its many nodes multiplied by the number of the others.
_ROWS = 256
_RATIO = 64.0
_BISECTIONS = 30  # the ends need not be exact


class Nodes(NamedTuple):
    """Rows that share nodes: their places, and of each node ``y`` the probability."""

    rows: np.ndarray
    y: Float[np.ndarray, " k"]
    weights: Float[np.ndarray, "m k"]


def nodes_of(
    p: float,
    a: float,
    b: Float[np.ndarray, " n"],
    more_a: float,
    more_b: Float[np.ndarray, " n"],
    power: float = 0.0,
) -> Iterator[Nodes]:
    """Nodes and weights of ``E[f(Y)]`` for every row's ``GIG(p, a, b)``, by groups.

    ``f`` may be as steep as ``exp(-(more_a y + more_b/y)/2)``, and grow as a ``power``
    of y of which the mean is finite.
    """
    b = np.maximum(b, np.finfo(float).tiny) if p <= 0 else b
    reach = b + more_b
    order = np.argsort(reach, kind="stable")
    ascending, end = reach[order], 0
    while end < len(b):
        begin, least = end, ascending[end]
        alike = int(np.searchsorted(ascending, _RATIO * least, side="right"))
        end = max(begin + 1, min(begin + _ROWS, alike))
        rows = order[begin:end]
        here, far = b[rows], ascending[end - 1]
        step = _step(p, a + more_a, far)
        # f moves an integrand to the right, as a greater b does, or to the left.
        low = _end(p, a + more_a, float(here.min()), -1.0)
        high = _end(p + power, a, float(far), 1.0)
        t = np.arange(low, high + step, step)
        y = np.exp(t)
        log_w = p * t - 0.5 * a * y - 0.5 * here[:, None] / y
        weights = np.exp(log_w - log_w.max(axis=1, keepdims=True))
        weights /= weights.sum(axis=1, keepdims=True)
        yield Nodes(rows, y, weights)


def _step(p: float, a: float, b: float) -> float:
    """Of the trapezoid rule, for an error of ``exp(-_DROP)``.

    ``h`` shifted by ``iθ`` grows by no more than ``ω (1 - cos θ)`` where it matters,
    ``ω`` its curvature at the mode; the error is ``exp(-2πθ/step)`` times that.
    """
    omega = math.hypot(p, math.sqrt(a) * math.sqrt(b))
    theta = min(0.5 * math.pi, math.sqrt(2 * _DROP / omega))
    return 2 * math.pi * theta / (_DROP + omega * (1 - math.cos(theta)))


def _end(p: float, a: float, b: float, side: float) -> float:
    """Where ``h`` has fallen by ``_DROP`` from its maximum, on one side."""
    root = math.hypot(p, math.sqrt(a) * math.sqrt(b))
    mode = (p + root) / a if p > 0 else b / (root - p)

    def fall(u: float) -> float:
        if abs(u) > 600:
            return math.inf if (a if u > 0 else b) else -p * u
        up, down = math.expm1(u), math.expm1(-u)
        return 0.5 * (a * mode * up + b / mode * down) - p * u

    near, far = 0.0, 1.0
    while fall(side * far) < _DROP:
        near, far = far, 2 * far
    for _ in range(_BISECTIONS):
        middle = 0.5 * (near + far)
        near, far = (middle, far) if fall(side * middle) < _DROP else (near, middle)
    return math.log(mode) + side * far


def normal_tails(
    p: float,
    a: float,
    b: Float[np.ndarray, " n"],
    skew: float,
    x: Float[np.ndarray, " n"],
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """``P(X <= x)`` and ``P(X > x)`` of every row's ``X = skew Y + √Y Z``.

    ``Y ~ GIG(p, a, b)``, with a ``b`` for every row. Both tails keep their relative
    accuracy.
    """
    from scipy import special  # here, for a quick import of normix

    lower, upper = np.empty(len(x)), np.empty(len(x))
    for rows, y, weights in nodes_of(p, a, b, skew**2, x**2):
        root = np.sqrt(y)
        m = x[rows, None] / root - skew * root
        smaller = special.ndtr(-np.abs(m))
        greater, below = 1 - smaller, m < 0
        lower[rows] = (weights * np.where(below, smaller, greater)).sum(axis=1)
        upper[rows] = (weights * np.where(below, greater, smaller)).sum(axis=1)
    return lower, upper
