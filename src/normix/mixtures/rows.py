"""Sums over the rows of a data matrix, a chunk at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from jax import lax
from jaxtyping import Array, Float

Sums = TypeVar("Sums")

# Rows a chunk: temporaries of a few arrays of this length stay in the outer cache.
CHUNK = 16_384


def sum_over_rows(
    statistics: Callable[[Float[Array, "m d"], Float[Array, " m"] | None], Sums],
    X: Float[Array, "n d"],
    weights: Float[Array, " n"] | None,
    merge: Callable[[Sums, Sums], Sums],
    chunk: int = CHUNK,
) -> Sums:
    """``statistics(X, weights)``, where ``merge`` joins those of two sets of rows.

    Chunks are slices of ``X`` itself, which is neither padded nor copied; memory
    beyond it is that of one chunk.
    """
    n = X.shape[0]
    whole, rest = divmod(n, chunk)
    if whole <= 1 and n <= 2 * chunk:
        return statistics(X, weights)

    def part(start, size):
        rows = lax.dynamic_slice_in_dim(X, start, size)
        if weights is None:
            return statistics(rows, None)
        return statistics(rows, lax.dynamic_slice_in_dim(weights, start, size))

    def body(i, total):
        return merge(total, part(i * chunk, chunk))

    total = lax.fori_loop(1, whole, body, part(0, chunk))
    return merge(total, part(whole * chunk, rest)) if rest else total
