"""The rows of a data matrix, wherever they are, and the E-step over all of them.

For data that can be looked at, the host goes through blocks of rows and runs the pieces
of :mod:`normix.mixtures.posterior`, each compiled for the length of a block. Lengths
come from a grid, the rest being rows of weight 0, which count for nothing: data of
another number of rows find all programs compiled. Under ``jit`` and ``vmap``, and for
rows that are spread over devices, the same functions are traced into one program: see
:mod:`normix.mixtures.in_one`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from normix._arrays import is_traced
from normix._compile import LOOPS, ROWS, compiled, grid
from normix._passes import RowPasses
from normix.mixtures.law import Frame, Swept
from normix.mixtures.posterior import (
    RowProducts,
    collected,
    gaps_of,
    joined,
    log_densities,
    means_by_table,
    row_products,
)
from normix.special._gig_host import gig_host
from normix.special.gig_shared import Query, Table, gig_table

Sums = TypeVar("Sums")

# Rows a block: temporaries of a few arrays of this length stay in the outer cache.
BLOCK = 16_384


def block_length(n: int, chunk: int | None = None) -> int:
    """Rows a block, of ``n`` rows: all of them or, of many, ``chunk``."""
    most = BLOCK if chunk is None else chunk
    return grid(n) if n <= most else most


def padded(
    X: Float[np.ndarray, "n d"], weights: Float[np.ndarray, " n"] | None, size: int
) -> Iterator[tuple[Any, Any, int]]:
    """Blocks of rows, their weights, and how many of them are rows.

    Those that fill up the last block are copies, of weight 0.
    """
    for begin in range(0, len(X), size):
        rows = X[begin : begin + size]
        m = len(rows)
        block, counts = np.empty((size, X.shape[1]), X.dtype), np.zeros(size, X.dtype)
        block[:m], block[m:] = rows, rows[0]
        counts[:m] = 1.0 if weights is None else weights[begin : begin + size]
        yield block, counts, m


class Rows(ABC):
    """Rows for E-steps, of which the statistics are those of ``X - centre - μ``.

    ``scale``: standard deviations of the columns, 1 for a constant one.
    """

    n: int
    centre: Any
    scale: Any

    @abstractmethod
    def swept(self, vector: Float[Array, " k"], frame: Frame, backend: str) -> Swept:
        """The E-step at the law that ``vector`` holds, over all rows."""

    @property
    def outline(self) -> Blocks | None:
        """Rows with shapes for values, for :func:`~normix._compile.rehearse`."""
        return None


class Moments(NamedTuple):
    """Column means and standard deviations, 1 for a constant column."""

    centre: Float[np.ndarray, " d"]
    scale: Float[np.ndarray, " d"]


def moments_of(X: Any, *, missing: bool = False) -> Moments:
    """Of rows that are at hand, by NumPy; of others by JAX.

    With ``missing``, of the entries that are not NaN.
    """
    xp: Any = jnp if is_traced(X) else np
    X = xp.asarray(X)
    if missing and xp is np:  # column by column: NumPy copies what it leaves NaN out of
        columns = [_mean_and_variance(column[~np.isnan(column)]) for column in X.T]
        centre, spread = np.array(columns, X.dtype).T
    else:
        mean = xp.nanmean if missing else xp.mean
        centre = mean(X, axis=0)
        # Data that are not finite must not reach the model that comes back.
        centre = xp.where(xp.isfinite(centre), centre, 0.0)
        spread = mean((X - centre) ** 2, axis=0)
    scale = xp.where(spread > 0, xp.sqrt(spread), 1.0)
    return Moments(centre.astype(X.dtype), scale.astype(X.dtype))


def _mean_and_variance(values: np.ndarray) -> tuple[float, float]:
    return (values.mean(), values.var()) if len(values) else (0.0, 0.0)


# -- the pieces, compiled ------------------------------------------------------------
#
# They hand on a few arrays: every one costs as much as some hundred rows.


@compiled("frame", options=LOOPS)
def _products(vector: Array, X: Array, weights: Array, mask, frame: Frame):
    """Three columns of inner products; and what else is known of the rows, flat."""
    law = frame.unpack(vector)
    parts, asked, near = row_products(law, X, gaps_of(law, X, mask), weights)
    columns = jnp.stack([parts.quadratic, parts.cross, parts.across])
    flat = [x.ravel() for x in asked]
    return columns, jnp.concatenate([parts.skew[None], *flat, near])


def _query(known: Array) -> Query:
    """What a table has to cover."""
    p, a, low, high, limit = known[1:6, None]
    return Query(p, a, low, high, limit, known[6:9, None])


def _parts(columns: Array, known: Array) -> tuple[RowProducts, Array]:
    """The inner products and the nearest row."""
    quadratic, cross, across = columns
    return RowProducts(quadratic, cross, across, known[0]), known[9:]


@compiled(options=LOOPS)
def _table(known: Array) -> tuple[Array, Array]:
    """The table's coefficients, and all else of it, flat."""
    coefficients, *rest = gig_table(_query(known))
    flat = [x.ravel().astype(known.dtype) for x in rest]
    return coefficients, jnp.concatenate(flat)


def _table_of(coefficients: Array, flat: Array) -> Table:
    """The inverse."""
    turns = coefficients.shape[0]
    ends = np.cumsum([2 * turns, turns, 1, 3])
    places, blocks, used, limit, prior = jnp.split(flat, ends)
    return Table(
        coefficients,
        places.reshape(turns, 2, 1, 1),
        blocks.astype(int),
        used[0].astype(int),
        limit.reshape(3, 1, 1),
        prior.reshape(4, 1),
    )


@compiled("frame", options=ROWS)
def _by_table(
    vector, X, weights, mask, columns, known, coefficients, flat, total, frame
):
    law, (parts, near) = frame.unpack(vector), _parts(columns, known)
    gaps, table = gaps_of(law, X, mask), _table_of(coefficients, flat)
    found, own = means_by_table(law, parts, gaps.d, table), table.prior[1:, 0]
    return joined(total, collected(law, gaps, weights, parts, near, found, own, frame))


@compiled("frame", options=ROWS)
def _by_means(
    vector, X, weights, mask, columns, known, found, own, total, frame: Frame
):
    law, (parts, near) = frame.unpack(vector), _parts(columns, known)
    every = law, gaps_of(law, X, mask), weights, parts, near, tuple(found), own
    return joined(total, collected(*every, frame))


class Described(NamedTuple):
    """Rows under a law: their log-densities, and the means of Y given each.

    ``found`` holds log-partitions and moments, see
    :func:`~normix.mixtures.posterior.collected`, ``own`` the moments of the mixing law;
    ``products`` and ``known`` are what the pieces hand on.
    """

    log_density: Float[Array, " n"]
    found: Any
    own: Any
    products: Any = None
    known: Any = None


@compiled("frame", options=ROWS)
def _described(vector, X, mask, columns, known, coefficients, flat, frame: Frame):
    law, (parts, _) = frame.unpack(vector), _parts(columns, known)
    gaps, table = gaps_of(law, X, mask), _table_of(coefficients, flat)
    found, own = means_by_table(law, parts, gaps.d, table), table.prior[1:, 0]
    return log_densities(law, gaps, found[0], parts), jnp.stack(found), own


def nothing(frame: Frame, like: Array) -> Swept:
    """The E-step over no rows."""
    return _nothing(frame, np.dtype(like.dtype))


@cache
def _nothing(frame: Frame, dtype: np.dtype) -> Swept:
    return frame.nothing(dtype)


def _on_the_host(columns: Array, known: Array) -> tuple[np.ndarray, np.ndarray]:
    """Log-partitions and moments of the rows' laws by SciPy, shape ``(4, n)``.

    And the moments of the mixing law itself, shape ``(3,)``.
    """
    quadratic, host = np.asarray(columns)[0], np.asarray(known)
    p, a, b = host[6:9]
    orders, rates = (np.full(len(quadratic) + 1, x) for x in host[1:3])
    orders[-1], rates[-1] = p, a
    psi, *means = gig_host(orders, rates, np.append(b + quadratic, b))
    found = psi[:-1] - psi[-1], *(mean[:-1] for mean in means)
    own = np.array([mean[-1] for mean in means])
    with np.errstate(over="ignore", under="ignore"):  # of a narrower dtype
        dtype = quadratic.dtype
        return np.stack(found).astype(dtype), own.astype(dtype)


class Blocks(Rows):
    """Rows in blocks of one length, each with its weights; or made anew in each pass.

    ``blocks`` gives pairs of shapes ``(size, d)``, less the centre, and ``(size,)``.
    ``mask``: the columns that these rows have, None for all.
    """

    def __init__(
        self,
        n: int,
        moments: Moments,
        size: int,
        blocks: Iterable[tuple[Any, Any]],
        mask: Bool[np.ndarray, " d"] | None = None,
    ):
        self.n, self.size, self._mask = n, size, mask
        self.centre, self.scale = moments
        self._blocks = blocks

    @property
    def parts(self) -> Iterable[tuple[Any, Any]]:
        """The blocks, each with its weights."""
        return self._blocks

    def described(
        self, part: tuple[Any, Any], vector: Array, frame: Frame
    ) -> Described:
        """The rows of a block under a law."""
        X, weights = part
        columns, known = _products(vector, X, weights, self._mask, frame)
        asked = vector, X, self._mask, columns, known, *_table(known)
        return Described(*_described(*asked, frame), columns, known)

    def collected(
        self,
        part: tuple[Any, Any],
        by: Described,
        weights: Array,
        vector: Array,
        total: Swept,
        frame: Frame,
    ) -> Swept:
        """``total`` together with the E-step over a block by other weights."""
        seen = vector, part[0], weights, self._mask, by.products, by.known
        return _by_means(*seen, by.found, by.own, total, frame)

    @property
    def whole(self) -> bool:
        """Whether the rows have all columns."""
        return self._mask is None

    @property
    def outline(self):
        dtype, d = self.scale.dtype, len(self.scale)
        rows = jax.ShapeDtypeStruct((self.size, d), dtype)
        block = rows, jax.ShapeDtypeStruct((self.size,), dtype)
        moments = Moments(self.centre, self.scale)
        return Blocks(self.n, moments, self.size, [block], self._mask)

    def swept(self, vector, frame, backend):
        return self.swept_onto(nothing(frame, vector), vector, frame, backend)

    def swept_onto(
        self, total: Swept, vector: Array, frame: Frame, backend: str
    ) -> Swept:
        """The same together with that of other rows."""
        mask = self._mask
        for X, weights in self._blocks:
            before = total.head
            columns, known = _products(vector, X, weights, mask, frame)
            seen = vector, X, weights, mask, columns, known
            if backend == "cpu":
                total = _by_means(*seen, *_on_the_host(columns, known), total, frame)
            else:
                total = _by_table(*seen, *_table(known), total, frame)
            # While this block is computed, the next is read; no further ahead.
            if self.n > BLOCK:
                jax.block_until_ready(before)
        return total


def blocks_in_memory(
    X: Float[np.ndarray, "n d"],
    weights: Float[np.ndarray, " n"] | None,
    moments: Moments,
    dtype: np.dtype,
    size: int,
    *,
    once: bool = False,
    mask: Bool[np.ndarray, " d"] | None = None,
) -> Blocks:
    """Rows at hand; those of weight 0 that fill up the last block are copies.

    ``once`` leaves it to the single E-step to bring them to the device.
    """
    n, d = X.shape
    made = []
    for begin in range(0, n, size):
        part = X[begin : begin + size]
        m = len(part)
        rows = np.empty((size, d), dtype)
        np.subtract(part, moments.centre, out=rows[:m], casting="same_kind")
        rows[m:] = rows[0]
        w = np.zeros(size, dtype)
        w[:m] = 1.0 if weights is None else weights[begin : begin + size]
        made.append((rows, w) if once else (jax.device_put(rows), jax.device_put(w)))
    return Blocks(n, moments, size, made, mask)


class _Reading:
    """Blocks of rows that are read in every pass."""

    def __init__(
        self, passes: RowPasses, n: int, weights, moments: Moments, dtype, size
    ):
        self._passes, self._moments = passes, moments
        self._asked = size, n, weights, dtype

    def __iter__(self) -> Iterator[tuple[Array, Array]]:
        every = self._passes.blocks(*self._asked)
        for rows, weights in every:
            rows = rows - self._moments.centre
            yield jax.device_put(rows), jax.device_put(weights)


def blocks_in_passes(
    passes: RowPasses,
    n: int,
    weights: Float[np.ndarray, " n"] | None,
    moments: Moments,
    dtype: np.dtype,
    size: int,
) -> Blocks:
    """Rows that are read anew in every pass."""
    reading = _Reading(passes, n, weights, moments, dtype, size)
    return Blocks(n, moments, size, reading)
