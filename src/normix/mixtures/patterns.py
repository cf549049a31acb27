"""Rows with missing entries: E-steps by the pattern of the columns that are seen.

Given Y everything is normal, so of a row only the columns that are there enter the law
of Y, and the others follow from it in closed form: see
:class:`~normix.mixtures.dispersion.Seen`. Rows of one pattern share a factorisation.
Patterns of many rows go through the pieces of complete rows, with a table of their own.
The others are cut into tiles, a few rows of one pattern each, and one program goes
through all tiles, some at a time: its shape depends on the number of tiles, in steps,
and not on the patterns; its memory is that of some tiles.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from normix._compile import ROWS, compiled
from normix._inline import fori_loop, map_in_turn, scan
from normix._passes import RowPasses
from normix.mixtures.law import Frame, Law, Swept
from normix.mixtures.posterior import (
    Gaps,
    RowProducts,
    collected,
    gaps_of,
    joined,
    log_densities,
    posterior_of,
    row_products,
)
from normix.mixtures.rows import (
    Blocks,
    Described,
    Moments,
    Rows,
    block_length,
    blocks_in_memory,
    nothing,
)
from normix.special.gig import gig_means_cpu
from normix.special.gig_shared import gig_means_directly

# Rows from which on a pattern is worth a table.
_MANY = 1024
# Rows that are gone through together, in tiles of so many.
_GROUP = 256
_TILES = (1, 4, 16, 64, 256)
# Groups a call of the program, at most; less is a power of two.
_GROUPS = 64


class Tiles(NamedTuple):
    """Rows in groups of tiles; ``masks`` has the columns that each tile's rows have.

    The first ``used`` groups count.
    """

    X: Any  # shape (groups, tiles, rows, d)
    weights: Any  # shape (groups, tiles, rows)
    masks: Any  # shape (groups, tiles, d)
    used: Any


class _Found(NamedTuple):
    """What the two passes over tiles need of their rows."""

    gaps: Gaps
    parts: RowProducts
    near: Float[Array, "t d_and_1"]
    laws: tuple[Array, Array, Array]  # p, a and b of Y given each row


def _of_tiles(law: Law, X, weights, masks) -> _Found:
    gaps = jax.vmap(lambda x, mask: gaps_of(law, x, mask))(X, masks)

    def products(x, of_tile, w):
        parts, _, near = row_products(law, x, of_tile, w)
        p, a, b = jnp.broadcast_arrays(*posterior_of(law, parts, of_tile.d))
        return parts, near, (p, a, b)

    return _Found(gaps, *jax.vmap(products)(X, gaps, weights))


def swept_tiles(
    law: Law,
    X: Float[Array, "t m d"],
    weights: Float[Array, "t m"],
    masks: Bool[Array, "t d"],
    frame: Frame,
    backend: str,
) -> Swept:
    """The E-step over tiles, as one function of arrays."""
    at = _of_tiles(law, X, weights, masks)
    prior = law.gig[0], law.gig[1], law.gig[2]
    if backend == "cpu":
        p, a, b = at.laws
        found, own = gig_means_cpu((p.ravel(), a.ravel(), b.ravel()), prior)
        found = tuple(x.reshape(weights.shape) for x in found)
    else:
        found, own = gig_means_directly(at.laws, prior)
    return _summed(law, at, weights, found, own, frame)


def _summed(law: Law, at: _Found, weights, found, own, frame: Frame) -> Swept:
    """The E-step over tiles, from what is found of their rows."""

    def sums(of_tile, w, of_parts, of_near, of_found):
        return collected(law, of_tile, w, of_parts, of_near, of_found, own, frame)

    swept = jax.vmap(sums)(at.gaps, weights, at.parts, at.near, tuple(found))
    first = jnp.argmin(swept.near[:, 0])
    return Swept(swept.head.sum(axis=0), swept.tail.sum(axis=0), swept.near[first])


def swept_one_by_one(
    law: Law,
    X: Float[Array, "n d"],
    weights: Float[Array, " n"] | None,
    frame: Frame,
    backend: str,
) -> Swept:
    """The E-step over rows whose patterns cannot be looked at, each by itself.

    NaN is a missing entry. A row of nothing else counts for nothing but by its weight.
    """
    n = X.shape[0]
    weights = jnp.ones(n, X.dtype) if weights is None else weights
    mask = ~jnp.isnan(X)
    X = jnp.where(mask, X, 0.0)
    size = min(_GROUP, n)
    groups = -(-n // size)
    more = groups * size - n

    def cut(x):
        padded = jnp.concatenate([x, jnp.repeat(x[:1], more, axis=0)])
        return padded.reshape(groups, size, *x.shape[1:])

    weights = jnp.pad(weights, (0, more)).reshape(groups, size, 1)
    parts = cut(X)[:, :, None], weights, cut(mask)

    def group(total, part):
        x, w, seen = part
        return joined(total, swept_tiles(law, x, w, seen, frame, backend)), None

    start = jax.tree.map(jnp.zeros_like, frame.nothing(np.dtype(X.dtype)))
    start = start._replace(near=start.near.at[0].set(jnp.inf))
    return scan(group, start, parts)[0]


@compiled("frame", "backend", options=ROWS)
def _by_tiles(vector: Array, tiles: Tiles, total: Swept, frame: Frame, backend: str):
    law = frame.unpack(vector)

    def group(i, total):
        part = tiles.X[i], tiles.weights[i], tiles.masks[i]
        return joined(total, swept_tiles(law, *part, frame, backend))

    return fori_loop(0, tiles.used, group, total)


@compiled("frame", options=ROWS)
def tiles_described(vector: Array, tiles: Tiles, frame: Frame) -> Described:
    """The rows of tiles under a law."""
    law = frame.unpack(vector)

    def group(part):
        at = _of_tiles(law, *part)
        found, own = gig_means_directly(at.laws, (law.gig[0], law.gig[1], law.gig[2]))
        density = jax.vmap(lambda *x: log_densities(law, *x))
        return density(at.gaps, found[0], at.parts), jnp.stack(found), own

    every = map_in_turn(group, (tiles.X, tiles.weights, tiles.masks))
    return Described(every[0], every[1], every[2][0])


@compiled("frame", options=ROWS)
def tiles_collected(
    vector: Array,
    tiles: Tiles,
    by: Described,
    weights: Array,
    total: Swept,
    frame: Frame,
) -> Swept:
    """``total`` together with the E-step over tiles by other weights."""
    law = frame.unpack(vector)

    def group(i, total):
        at = _of_tiles(law, tiles.X[i], tiles.weights[i], tiles.masks[i])
        return joined(total, _summed(law, at, weights[i], by.found[i], by.own, frame))

    return fori_loop(0, tiles.used, group, total)


class Patterned(Rows):
    """Rows with missing entries, at hand: blocks of one pattern each, and tiles."""

    def __init__(
        self, n: int, moments: Moments, blocks: list[Blocks], tiles: list[Tiles]
    ):
        self.n, self.blocks, self.tiles = n, blocks, tiles
        self.centre, self.scale = moments

    @property
    def size(self):
        """What programs depend on, besides the form of the law."""
        of_blocks = {(block.size, block.whole) for block in self.blocks}
        return frozenset(of_blocks), frozenset(x.X.shape for x in self.tiles)

    @property
    def outline(self):
        blocks = {(block.size, block.whole): block for block in self.blocks}
        tiles = {part.X.shape: part for part in self.tiles}
        shapes = jax.tree.map(
            lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), list(tiles.values())
        )
        outlines = [block.outline for block in blocks.values()]
        return Patterned(self.n, Moments(self.centre, self.scale), outlines, shapes)

    def swept(self, vector, frame, backend):
        return self.swept_onto(nothing(frame, vector), vector, frame, backend)

    def swept_onto(
        self, total: Swept, vector: Array, frame: Frame, backend: str
    ) -> Swept:
        """The same together with that of other rows."""
        for block in self.blocks:
            total = block.swept_onto(total, vector, frame, backend)
        for tiles in self.tiles:
            total = _by_tiles(vector, tiles, total, frame, backend)
        return total


class PatternedPasses(Rows):
    """Rows with missing entries that are read anew in every pass."""

    def __init__(
        self,
        passes: RowPasses,
        n: int,
        weights: Float[np.ndarray, " n"] | None,
        moments: Moments,
        dtype: np.dtype,
        size: int,
    ):
        self.n = n
        self.centre, self.scale = moments
        self._passes, self._asked = passes, (size, n, weights, dtype)

    def swept(self, vector, frame, backend):
        total, dtype = nothing(frame, vector), self._asked[3]
        moments = Moments(self.centre, self.scale)
        for rows, weights in self._passes.blocks(*self._asked):
            counts = (weights > 0) & ~np.isnan(rows).all(axis=1)
            if counts.any():
                part = patterned(rows[counts], weights[counts], moments, dtype)
                total = part.swept_onto(total, vector, frame, backend)
        return total


class _Group(NamedTuple):
    """Places of the rows of one pattern."""

    mask: Bool[np.ndarray, " d"]
    places: np.ndarray


def grouped(mask: Bool[np.ndarray, "n d"]) -> list[_Group]:
    """Rows by the columns that they have."""
    bits = np.packbits(mask, axis=1)
    keys = np.ascontiguousarray(bits).view(np.dtype((np.void, bits.shape[1]))).ravel()
    _, first, which = np.unique(keys, return_index=True, return_inverse=True)
    order = np.argsort(which, kind="stable")
    ends = np.cumsum(np.bincount(which))[:-1]
    parts = np.split(order, ends)
    return [_Group(mask[i], rows) for i, rows in zip(first, parts, strict=True)]


def patterned(
    X: Float[np.ndarray, "n d"],
    weights: Float[np.ndarray, " n"] | None,
    moments: Moments,
    dtype: np.dtype,
    chunk: int | None = None,
    *,
    tables: bool = True,
) -> Patterned:
    """Rows at hand, NaN where an entry is missing; each has one at least.

    ``tables``: whether patterns of many rows have a table.
    """
    mask = ~np.isnan(X)
    groups = grouped(mask)
    blocks, few = [], []
    for group in groups:
        m = len(group.places)
        if m < _MANY or not tables:
            few.append(group)
            continue
        rows = np.where(group.mask, X[group.places], moments.centre)
        w = None if weights is None else weights[group.places]
        size, only = block_length(m, chunk), None if group.mask.all() else group.mask
        blocks.append(blocks_in_memory(rows, w, moments, dtype, size, mask=only))
    tiles = [
        jax.tree.map(jax.device_put, part)
        for part in _tiles(X, weights, moments, dtype, few)
    ]
    return Patterned(len(X), moments, blocks, tiles)


def _tiles(
    X, weights, moments: Moments, dtype, groups: list[_Group]
) -> Iterator[Tiles]:
    """Rows of patterns that have few, in tiles of the length that costs the least."""
    if not groups:
        return
    d = X.shape[1]
    counts = np.array([len(group.places) for group in groups])

    def cost(m: int) -> float:
        # In rows: what a tile's factorisation costs, and its rows, seen or filled up.
        return float((-(-counts // m)).sum() * (m + d * d / 16))

    m = min(_TILES, key=cost)
    owners = np.repeat(np.arange(len(groups)), -(-counts // m))
    places = np.full((len(owners), m), -1)
    begin = 0
    for group, count in zip(groups, counts, strict=True):
        used = -(-count // m)
        places[begin : begin + used].ravel()[:count] = group.places
        begin += used
    masks = np.stack([group.mask for group in groups])[owners]
    together = _GROUP // m
    for begin in range(0, len(owners), together * _GROUPS):
        here = places[begin : begin + together * _GROUPS]
        seen = masks[begin : begin + together * _GROUPS]
        used = -(-len(here) // together)
        count = 1 << (used - 1).bit_length()
        # Tiles that fill up the last group are copies of the first, of weight 0.
        more = count * together - len(here)
        here = np.concatenate([here, np.full((more, m), -1)])
        seen = np.concatenate([seen, np.repeat(seen[:1], more, axis=0)])
        rows = np.where(here >= 0, here, here[:, :1])
        rows = np.where(rows >= 0, rows, here[0, 0])
        values = np.where(seen[:, None], X[rows] - moments.centre, 0.0)
        w = np.where(here >= 0, 1.0 if weights is None else weights[rows], 0.0)
        yield Tiles(
            values.astype(dtype).reshape(count, together, m, d),
            w.astype(dtype).reshape(count, together, m),
            seen.reshape(count, together, d),
            np.asarray(used),
        )
