"""The length of a vector of two entries."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float


def hypot(x: ArrayLike, y: ArrayLike) -> Float[Array, "..."]:
    """``sqrt(x² + y²)`` of finite numbers, whose squares may overflow or underflow.

    :func:`jax.numpy.hypot` without its cases for infinite ones, which are a half of it:
    this stands in nearly every program.
    """
    x, y = jnp.abs(x), jnp.abs(y)
    larger = jnp.maximum(x, y)
    ratio = jnp.minimum(x, y) / jnp.where(larger > 0, larger, 1.0)
    return larger * jnp.sqrt(1 + ratio * ratio)
