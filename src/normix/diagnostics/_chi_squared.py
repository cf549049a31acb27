"""Both tails of the noncentral chi-squared law.

SciPy's own do not return within minutes for some noncentralities near 0.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

# Beyond so many standard deviations, and 20 besides, a Poisson law has less than 1e-17.
_DEVIATIONS = 9.0


def noncentral_tails(
    q: Float[np.ndarray, "m k"], d: int, noncentrality: Float[np.ndarray, " k"]
) -> tuple[Float[np.ndarray, "m k"], Float[np.ndarray, "m k"]]:
    """``P(Q <= q)`` and ``P(Q > q)`` with ``d`` degrees of freedom."""
    from scipy import special  # here, for a quick import of normix

    if not noncentrality.any():
        return special.gammainc(0.5 * d, 0.5 * q), special.gammaincc(0.5 * d, 0.5 * q)
    # Q is |Z + v|² with |v|² = noncentrality, and |Z + v| within |Z| of |v|; so far
    # away from it that no number is small enough there is nothing to compute.
    q, noncentrality = np.broadcast_arrays(q, noncentrality)
    gap = np.sqrt(q) - np.sqrt(noncentrality)
    lower, upper = (gap > 0).astype(float), (gap <= 0).astype(float)
    some = np.where(gap > 0, special.chdtrc(d, gap**2), special.ndtr(gap)) > 0
    # By magnitude of the mean, on which the number of terms depends.
    size = np.where(some, np.ceil(np.log2(1 + noncentrality) / 2), -1)
    for magnitude in np.unique(size[some]):
        k = size == magnitude
        lower[k], upper[k] = _mixed(0.5 * q[k], 0.5 * d, 0.5 * noncentrality[k])
    return lower, upper


def _mixed(
    x: Float[np.ndarray, " n"], half: float, mean: Float[np.ndarray, " n"]
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """Mixtures of gamma laws of shapes ``half + j``, j being Poisson.

    The tails of these follow from each other by adding positive terms, the lower ones
    downwards in j and the upper ones upwards: nothing cancels.
    """
    from scipy import special  # here, for a quick import of normix

    width = _DEVIATIONS * np.sqrt(mean) + 20
    first = np.maximum(np.floor(mean - width), 0.0)
    count = int(np.ceil(mean + width - first).max())
    log_mean = np.log(np.maximum(mean, np.finfo(float).tiny))
    with np.errstate(divide="ignore"):
        log_x = np.log(x)

    def weight(j: np.ndarray) -> np.ndarray:
        return np.exp(j * log_mean - mean - special.gammaln(j + 1))

    def step(j: np.ndarray) -> np.ndarray:
        """How much the lower tail of j is above that of j + 1."""
        s = half + j
        return np.exp(s * log_x - x - special.gammaln(s + 1))

    last = first + count - 1
    below, above = special.gammainc(half + last, x), special.gammaincc(half + first, x)
    lower, upper = weight(last) * below, weight(first) * above
    for k in range(1, count):
        below = below + step(last - k)
        lower += weight(last - k) * below
        above = above + step(first + k - 1)
        upper += weight(first + k) * above
    return lower, upper
