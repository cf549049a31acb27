"""Quantiles of a law whose distribution function is a sum of others."""

from __future__ import annotations

from collections.abc import Callable

import jax
import numpy as np
from jaxtyping import Array


def mixed_quantile(
    cdf: Callable[[Array], Array],
    sf: Callable[[Array], Array],
    q: Array,
    between: list[Array],
) -> Array:
    """``x`` with ``cdf(x) = q``, which lies between these quantiles of the parts.

    Bisection until no number is left between the ends. In the upper half the survival
    function decides, which has more digits there.
    """
    wanted = np.asarray(q)
    each = np.stack([np.asarray(x) for x in between])
    low, high = each.min(axis=0), each.max(axis=0)
    upper = wanted > 0.5
    # At probabilities 0 and 1, and outside, the ends are not finite: they stay.
    ends, finite = np.where(low == high, low, np.nan), np.isfinite(low + high)
    low, high = np.where(finite, low, 0.0), np.where(finite, high, 0.0)
    while True:
        middle = low + 0.5 * (high - low)
        inside = (middle > low) & (middle < high)
        if not inside.any():
            return jax.device_put(np.where(finite, high, ends))
        at = jax.device_put(np.where(inside, middle, 0.0))
        # 1 - q is exact for q above one half.
        reached = np.where(
            upper, np.asarray(sf(at)) <= 1 - wanted, np.asarray(cdf(at)) >= wanted
        )
        high = np.where(inside & reached, middle, high)
        low = np.where(inside & ~reached, middle, low)
