"""E-steps of several laws to which rows belong in shares: those of a finite mixture.

Every row is of component ``j`` with probability ``πⱼ fⱼ(x) / Σ πᵢ fᵢ(x)``. All
components go through the same rows, by the pieces of :mod:`normix.mixtures.rows` and
:mod:`normix.mixtures.patterns`: first for the density of every row and the means of its
Y, then, once the shares are known, for sums in which these are weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from normix._compile import ROWS, compiled
from normix.mixtures.law import Frame, Swept
from normix.mixtures.patterns import Patterned, Tiles, tiles_collected, tiles_described
from normix.mixtures.rows import Blocks, Described, nothing


class Shares(NamedTuple):
    """What rows of one part of the data say, by weight.

    ``of_rows``: for every component the shares of the rows, times their weights.
    ``totals``: the log-likelihood, then for every component the sum of its shares.
    """

    of_rows: list[Array]
    totals: Float[Array, " k_and_1"]


Part = tuple[Any, Any] | Tiles
"""Rows and their weights, all with the same columns; or tiles."""


def parts_of(rows: Blocks | Patterned) -> list[tuple[Blocks | None, Part]]:
    """The data part by part; with the :class:`Blocks` that a part is of."""
    if isinstance(rows, Blocks):
        return [(rows, part) for part in rows.parts]
    found: list[tuple[Blocks | None, Part]] = []
    for block in rows.blocks:
        found += [(block, part) for part in block.parts]
    return found + [(None, tiles) for tiles in rows.tiles]


def described(
    owner: Blocks | None, part: Part, vector: Array, frame: Frame
) -> Described:
    """Densities of the rows of a part under a law, and the means of Y."""
    if isinstance(part, Tiles):
        return tiles_described(vector, part, frame)
    assert owner is not None
    return owner.described(part, vector, frame)


def collected_by(
    owner: Blocks | None,
    part: Part,
    found: Described,
    weights: Array,
    vector: Array,
    total: Swept,
    frame: Frame,
) -> Swept:
    """Sums over the rows of a part by other weights, added to ``total``."""
    if isinstance(part, Tiles):
        return tiles_collected(vector, part, found, weights, total, frame)
    assert owner is not None
    return owner.collected(part, found, weights, vector, total, frame)


@compiled(options=ROWS)
def shared(
    log_weights: Float[Array, " k"], densities: Sequence[Array], weights: Array
) -> Shares:
    """The shares of rows with these log-densities, an array for each component."""
    every = jnp.stack(densities)
    every = every + log_weights.reshape(-1, *(1,) * (every.ndim - 1))
    top = every.max(axis=0)
    # Where no component reaches, all are as good.
    safe = jnp.where(jnp.isfinite(top), top, 0.0)
    parts = jnp.exp(every - safe)
    size = parts.sum(axis=0)
    counts = weights > 0
    of_rows = jnp.where(counts, parts / size * weights, 0.0)
    value = jnp.where(counts, (jnp.log(size) + safe) * weights, 0.0).sum()
    axes = tuple(range(1, of_rows.ndim))
    totals = jnp.append(value, of_rows.sum(axis=axes))
    return Shares(list(of_rows), totals)


def swept_in_shares(
    rows: Blocks | Patterned,
    log_weights: Float[Array, " k"],
    vectors: Sequence[Array],
    frames: Sequence[Frame],
) -> tuple[np.ndarray, list[Swept]]:
    """The E-step of a finite mixture.

    **Returns** the totals of :class:`Shares` over all rows, and the E-step of every
    component by its shares.
    """
    totals: Any = 0.0
    swept = [nothing(f, v) for f, v in zip(frames, vectors, strict=True)]
    for owner, part in parts_of(rows):
        weights = part.weights if isinstance(part, Tiles) else part[1]
        each = [
            described(owner, part, vector, frame)
            for vector, frame in zip(vectors, frames, strict=True)
        ]
        found = shared(log_weights, [one.log_density for one in each], weights)
        totals = totals + np.asarray(found.totals)
        for j, (one, share) in enumerate(zip(each, found.of_rows, strict=True)):
            swept[j] = collected_by(
                owner, part, one, share, vectors[j], swept[j], frames[j]
            )
    return totals, swept
