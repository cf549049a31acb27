"""Quantiles of a law whose distribution function is a sum of others.

They lie between those of the others. Newton's method is in the logarithm of the
probability, which is near a straight line where a tail is exponential; of the two tails
the smaller one decides, which has the digits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from normix._compile import grid
from normix._inline import while_loop

# Newton's steps; where they leave the bracket it is halved, of which a hundred halvings
# leave nothing.
_STEPS = 100

Function = Callable[[Any], Array]


class Tails(NamedTuple):
    """The logarithms of a law's tails and density, elementwise."""

    logcdf: Function
    logsf: Function
    log_prob: Function


def quantile(
    law: Tails,
    parts: Sequence[Function],
    q: Float[np.ndarray, "..."],
    below: bool,
) -> Float[Array, "..."]:
    """``x`` with the probability ``q`` below it, or above; NaN outside [0, 1].

    ``parts``: the quantile functions of the others.
    """
    found, near = np.full(q.shape, np.nan), q <= 0.5
    for small, place in ((True, near), (False, ~near)):
        if not place.any():
            continue
        asked = q[place]
        with np.errstate(divide="ignore", invalid="ignore"):  # of 0, and outside
            logs = np.log(asked) if small else np.log1p(-asked)
        lower = small == below
        tail, sign = (law.logcdf, 1.0) if lower else (law.logsf, -1.0)
        between = np.stack([np.asarray(part(asked), float) for part in parts])
        ends = between.min(axis=0), between.max(axis=0)
        found[place] = _solved(tail, law.log_prob, logs, *ends, sign)
    return jax.device_put(found.astype(q.dtype))


def _solved(tail, log_density, wanted, low, high, sign) -> np.ndarray:
    # Of probabilities 0 and 1, and of others, the ends are equal or not finite.
    found = np.where(low == high, low, np.nan)
    left = np.flatnonzero(np.isfinite(low) & np.isfinite(high) & (low < high))
    x = np.where(np.isfinite(low) & np.isfinite(high), low, 0.0)
    x[left] = 0.5 * (low[left] + high[left])
    for _ in range(_STEPS):
        if not len(left):
            break
        at = x[left]
        reached, density = _of_length(tail, at), _of_length(log_density, at)
        excess = sign * (reached - wanted[left])
        low[left] = np.where(excess <= 0, at, low[left])
        high[left] = np.where(excess >= 0, at, high[left])
        with np.errstate(all="ignore"):  # far out a slope may overflow
            new = at - excess * np.exp(reached - density)
        inside = (new > low[left]) & (new < high[left])
        new = np.where(inside, new, low[left] + 0.5 * (high[left] - low[left]))
        new = np.where(excess == 0, at, new)
        x[left] = found[left] = new
        left = left[np.abs(new - at) > 2 * np.finfo(float).eps * np.abs(new)]
    return found


def _of_length(function: Function, x: np.ndarray) -> np.ndarray:
    """Values at ``x``, filled up to a length of the grid."""
    filled = np.full(grid(len(x)), x[0])
    filled[: len(x)] = x
    return np.asarray(function(jax.device_put(filled)), float)[: len(x)]


def traced_quantile(
    law: Tails, parts: Sequence[Function], q: Float[Array, "..."], below: bool
) -> Float[Array, "..."]:
    """The same of traced values; differentiable, as an implicit function."""
    near, inner = q <= 0.5, jnp.clip(q, 0.0, 1.0)
    wanted = jnp.where(near, jnp.log(inner), jnp.log1p(-inner))
    lower = near == below
    sign = jnp.where(lower, 1.0, -1.0)
    between = lax.stop_gradient(jnp.stack([part(q) for part in parts]))
    low, high = between.min(axis=0), between.max(axis=0)
    ends = jnp.where(low == high, low, jnp.nan)
    inside = jnp.isfinite(low) & jnp.isfinite(high) & (low < high)
    low, high = (jnp.where(inside, x, 0.0) for x in (low, high))

    def tail(x: Array) -> Array:
        return jnp.where(lower, law.logcdf(x), law.logsf(x))

    def step(carry):
        k, x, low, high, _ = carry
        reached = tail(x)
        excess = sign * (reached - wanted)
        low, high = jnp.where(excess <= 0, x, low), jnp.where(excess >= 0, x, high)
        new = x - excess * jnp.exp(reached - law.log_prob(x))
        new = jnp.where((new > low) & (new < high), new, low + 0.5 * (high - low))
        new = jnp.where(excess == 0, x, new)
        rests = jnp.abs(new - x) <= 2 * jnp.finfo(x.dtype).eps * jnp.abs(new)
        return k + 1, new, low, high, (rests | ~inside).all()

    def going(carry):
        return (carry[0] < _STEPS) & ~carry[-1]

    # No derivative goes through the loop: one more step of Newton's has it.
    begin = jnp.array(0), 0.5 * (low + high), low, high, jnp.array(False)
    x = lax.stop_gradient(while_loop(going, step, lax.stop_gradient(begin))[1])
    reached = tail(x)
    slope = lax.stop_gradient(jnp.exp(reached - law.log_prob(x)))
    return jnp.where(inside, x - sign * (reached - wanted) * slope, ends)
