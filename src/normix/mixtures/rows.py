"""Sums over the rows of a data matrix, a chunk at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import jax
from jax import lax
from jaxtyping import Array, Float

Sums = TypeVar("Sums")

# Rows a chunk: temporaries of a few arrays of this length stay in the outer cache.
CHUNK = 16_384


def sum_over_rows(
    statistics: Callable[[Float[Array, "m d"]], Sums],
    X: Float[Array, "n d"],
    chunk: int = CHUNK,
) -> Sums:
    """``statistics(X)`` for a function that is additive over rows.

    Chunks are slices of ``X`` itself, which is neither padded nor copied; memory
    beyond it is that of one chunk.
    """
    n = X.shape[0]
    whole, rest = divmod(n, chunk)
    if whole <= 1 and n <= 2 * chunk:
        return statistics(X)

    def add(total, more):
        return jax.tree.map(lambda x, y: x + y, total, more)

    def body(i, total):
        return add(total, statistics(lax.dynamic_slice_in_dim(X, i * chunk, chunk)))

    total = lax.fori_loop(1, whole, body, statistics(X[:chunk]))
    return add(total, statistics(X[whole * chunk :])) if rest else total
