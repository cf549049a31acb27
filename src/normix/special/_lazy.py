"""Regimes that are computed only where some element needs them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool

from normix._inline import traced_once

Result = TypeVar("Result")


def compute_if_any(
    needed: Bool[Array, "..."], compute: Callable[..., Result], *args: Array
) -> Result:
    """``compute(*args)``, or zeros of its shape where no element is ``needed``.

    Apart from the work it saves, the branch keeps XLA from repeating ``compute``
    inside every consumer of its results, which doubles compilation time.
    """
    compute = traced_once(compute)
    shapes = jax.eval_shape(compute, *args)

    def zeros(*_: Array) -> Result:
        return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)

    return lax.cond(needed.any(), compute, zeros, *args)
