"""Quantiles of a law whose distribution function is a sum of others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Float

from normix.mixtures.rows import grid

# Newton's steps; where they leave the bracket it is halved, of which a hundred halvings
# leave nothing.
_STEPS = 100

Function = Callable[[Any], Array]


def mixed_quantile(
    log_q: Float[np.ndarray, "..."],
    between: list[Array],
    log_tail: Function,
    log_density: Function,
    sign: float,
) -> Float[np.ndarray, "..."]:
    """``x`` with ``log_tail(x) = log_q``, which lies between these quantiles of parts.

    By Newton's method in the logarithm of the probability, which is near a straight
    line where a tail is exponential. ``sign``: 1 for the lower tail, -1 for the upper.
    """
    each = np.stack([np.asarray(x, float).ravel() for x in between])
    low, high, wanted = each.min(axis=0), each.max(axis=0), log_q.ravel()
    # Of probabilities 0 and 1, and of others, the ends are equal or not finite.
    found = np.where(low == high, low, np.nan)
    left = np.flatnonzero(np.isfinite(low) & np.isfinite(high) & (low < high))
    x = 0.5 * (low + high)
    for _ in range(_STEPS):
        if not len(left):
            break
        at = x[left]
        reached, density = _of_length(log_tail, at), _of_length(log_density, at)
        excess = sign * (reached - wanted[left])
        low[left] = np.where(excess <= 0, at, low[left])
        high[left] = np.where(excess >= 0, at, high[left])
        with np.errstate(all="ignore"):  # far out a slope may overflow
            new = at - excess * np.exp(reached - density)
        inside = (new > low[left]) & (new < high[left])
        new = np.where(inside, new, low[left] + 0.5 * (high[left] - low[left]))
        x[left] = new
        still = np.abs(new - at) > 2 * np.finfo(float).eps * np.abs(new)
        still &= excess != 0
        found[left] = np.where(excess == 0, at, new)
        left = left[still]
    return found.reshape(log_q.shape)


def _of_length(function: Function, x: np.ndarray) -> np.ndarray:
    """Values at ``x``, filled up to a length of the grid."""
    filled = np.full(grid(len(x)), x[0])
    filled[: len(x)] = x
    return np.asarray(function(jax.device_put(filled)), float)[: len(x)]
