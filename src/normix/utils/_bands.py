"""Bands that the order statistics of a sample keep."""

from __future__ import annotations

from functools import cache

import numpy as np
from jaxtyping import Float, Int

# More points than this are not told apart in a picture.
_MOST = 5000


def shown_ranks(n: int) -> Int[np.ndarray, " m"]:
    """The ranks, from 1, of the order statistics that are drawn: all, if not many.

    Of more than 5,000 the outermost 1,250 at either end, and evenly spaced ones.
    """
    if n <= _MOST:
        return np.arange(1, n + 1)
    ends = _MOST // 4
    inner = np.linspace(ends + 1, n - ends, _MOST - 2 * ends).round().astype(int)
    return np.concatenate(
        [np.arange(1, ends + 1), inner, np.arange(n - ends + 1, n + 1)]
    )


def order_bands(
    n: int, level: float, simultaneous: bool
) -> tuple[Float[np.ndarray, " m"], Float[np.ndarray, " m"]]:
    """Ends of intervals for the uniform order statistics of :func:`shown_ranks`.

    Each is of the law Beta(k, n + 1 - k), with equal tails. Pointwise ones hold their
    own order statistic with probability ``level``; simultaneous ones have equal
    local levels, and hold all with that probability.
    """
    local = local_level(n, level) if simultaneous else 1 - level
    return _intervals(shown_ranks(n), n, local)


def _intervals(
    ranks: Int[np.ndarray, " m"], n: int, local: float
) -> tuple[Float[np.ndarray, " m"], Float[np.ndarray, " m"]]:
    from scipy import special  # here, for a quick import of normix

    low = special.betaincinv(ranks, n + 1 - ranks, 0.5 * local)
    # By symmetry, which keeps the digits of small ends; as distances from 1 the upper
    # ends would lose theirs only where no picture shows it.
    high = 1 - special.betaincinv(n + 1 - ranks, ranks, 0.5 * local)
    return low, high


@cache
def local_level(n: int, level: float) -> float:
    """The probability with which each interval fails, where all hold with ``level``.

    Bands of equal local levels: Aldor-Noiman, Brown, Buja, Rolke & Stine, The American
    Statistician 67 (2013). The level is found by the exact probability that all
    intervals hold, see :func:`coverage`.
    """
    from scipy import optimize  # here, for a quick import of normix

    ranks = shown_ranks(n)

    def excess(log_local: float) -> float:
        held = coverage(ranks, n, *_intervals(ranks, n, float(np.exp(log_local))))
        return float(np.log(-np.log(held)) - np.log(-np.log(level)))

    # Nearly linear with slope 1: a secant needs few steps from anywhere. For large n
    # the number of independent intervals grows as log n log log n.
    several = 1 + np.log(n) * np.log1p(np.log(n))
    first = np.log(-np.expm1(np.log(level) / several))
    second = first - excess(first)
    if n == 1 or second == first:
        return float(np.exp(second))
    found = optimize.root_scalar(excess, x0=first, x1=second, xtol=1e-4)
    return float(np.exp(found.root))


def coverage(
    ranks: Int[np.ndarray, " m"],
    n: int,
    low: Float[np.ndarray, " m"],
    high: Float[np.ndarray, " m"],
) -> float:
    """The probability that uniform order statistics lie between ``low`` and ``high``.

    Exact: how many of a Poisson process's points lie below t has to keep between two
    steps, and is followed from one end of an interval to the next (Moscovich & Nadler,
    Statistics & Probability Letters 123, 2017); given n points in all, these are
    uniform.
    """
    from scipy import special  # here, for a quick import of normix

    times = np.sort(np.concatenate([low, high]))
    below = np.append(ranks, n + 1)[np.searchsorted(low, times, "left")] - 1
    above = np.append(0, ranks)[np.searchsorted(high, times, "right")]
    means = n * np.diff(np.concatenate([[0.0], times, [1.0]]))
    log_factorial = special.gammaln(np.arange(n + 1) + 1.0)
    counts = np.arange(n + 1)
    least, held = 0, np.ones(1)
    most_at, least_at = np.append(below, n).tolist(), np.append(above, n).tolist()
    for mean, most, bound in zip(means.tolist(), most_at, least_at, strict=True):
        if most < bound:
            return 0.0
        if mean > 0:
            # Beyond twelve standard deviations nothing is left.
            reach = min(most - least, int(mean + 12 * mean**0.5 + 30)) + 1
            k = counts[:reach]
            steps = np.exp(k * np.log(mean) - mean - log_factorial[:reach])
            held = np.convolve(held, steps)
        held = held[max(bound - least, 0) : most - least + 1]
        least = max(least, bound)
    if not len(held):
        return 0.0
    in_all = np.exp(n * np.log(n) - n - log_factorial[n])
    return float(min(held[0] / in_all, 1.0))
