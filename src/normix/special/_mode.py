"""Where the density of ``log Y`` is highest, of GIG laws."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

Real = Float[Array, "..."]


def log_mode(p: Real, a: Real, b: Real) -> Real:
    """The mode of ``log Y``, ``Y ~ GIG(p, a, b)``; also where a or b is 0."""
    total = jnp.hypot(p, jnp.sqrt(a) * jnp.sqrt(b)) + jnp.abs(p)
    return jnp.where(p >= 0, jnp.log(total) - jnp.log(a), jnp.log(b) - jnp.log(total))


def typical_value(p: Real, a: Real, b: Real) -> Real:
    """That mode, exponentiated.

    A scale of Y in closed form, finite and positive also where its mean is infinite.
    """
    return jnp.exp(log_mode(p, a, b))
