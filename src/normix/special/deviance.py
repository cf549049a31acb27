r"""The unit deviance ``q - 1 - log q``, of which positive laws' densities are made.

It is the Kullback-Leibler price of a scale that is wrong by a factor ``q`` (Itakura and
Saito's distance): 0 at ``q = 1``, convex in ``log q``, never negative.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Real = Float[Array, "..."]

_NEAR = 0.3
_TERMS = 11


@jax.custom_jvp
def unit_deviance(excess: Real, log_q: Real) -> Real:
    """``q - 1 - log q`` from ``excess = q - 1`` and ``log q``.

    Relative accuracy is that of ``excess`` near ``q = 1``, and of ``log_q`` where q
    itself is too small to be told from 0.
    """
    # log q = 2 artanh y, with y = (q - 1)/(q + 1); of q - 1 - 2y a product is left.
    near = jnp.abs(excess) < _NEAR
    r = jnp.where(near, excess, 0.0)
    y = r / (2 + r)
    y2 = y * y
    total = jnp.full_like(y, 1 / (2 * _TERMS + 1))
    for k in range(_TERMS - 1, 0, -1):
        total = total * y2 + 1 / (2 * k + 1)
    return jnp.where(near, r * y - 2 * y * y2 * total, excess - log_q)


@unit_deviance.defjvp
def _unit_deviance_jvp(primals, tangents):
    return unit_deviance(*primals), primals[0] * tangents[1]
