"""Rows that are not held in memory: on disk, or given chunk by chunk in every pass."""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple, TypeGuard

import jax
import numpy as np
from jaxtyping import ArrayLike, Float

from normix._arrays import as_floating

# Rows that are read at once from a memory map: some megabytes.
_READ = 65_536


# What a fit takes: an array, or arrays one after the other.
Data = ArrayLike | Iterable[ArrayLike]


class Moments(NamedTuple):
    """What a pass over all rows finds."""

    n: int
    mean: Float[np.ndarray, " d"]
    scale: Float[np.ndarray, " d"]
    """Standard deviations; 1 for a constant column."""
    constant: list[int]
    """Columns of one value."""
    dtype: np.dtype
    together: Float[np.ndarray, "d d"] | None = None
    """In how many rows two columns are both seen; None where nothing is missing."""


class RowPasses:
    """Rows in chunks, gone through as often as asked for.

    ``ndim`` is the number of axes of a chunk: 2, or 1 of one variable. ``missing``:
    which rows are left out, see :func:`~normix._missing.present`.
    """

    def __init__(
        self,
        data: np.memmap | Iterable[ArrayLike],
        ndim: int = 2,
        missing: str = "raise",
    ):
        self._data, self._ndim, self._missing = data, ndim, missing

    def without_gaps(self, missing: str) -> RowPasses:
        """The same without the rows that this choice leaves out."""
        return RowPasses(self._data, self._ndim, missing)

    def kept(self) -> list[np.ndarray]:
        """One pass: of every chunk which rows are not left out."""
        everything = RowPasses(self._data, self._ndim)
        return [self._counts(chunk) for chunk in everything.chunks()]

    def _counts(self, rows: np.ndarray) -> np.ndarray:
        seen = ~np.isnan(rows)
        return (np.all if self._missing == "drop" else np.any)(seen, axis=1)

    def chunks(self) -> Iterator[np.ndarray]:
        """One pass: arrays of shape ``(m, d)``, of whatever lengths.

        **Raises**: ``ValueError`` for a chunk that does not hold numbers, has another
        number of axes or is not as wide as the first; it names the chunk.
        """
        data, width = self._data, None
        for k, chunk in enumerate(_read(data) if _mapped(data) else data, start=1):
            try:
                array = as_floating(chunk)
                if array.ndim != self._ndim:
                    raise ValueError(
                        f"X must have shape {_shape(self._ndim)}, got {array.shape}"
                    )
                rows = array[:, None] if array.ndim == 1 else array
                width = rows.shape[1] if width is None else width
                if rows.shape[1] != width:
                    raise ValueError(
                        f"X must have {width} columns as chunk 1 has, "
                        f"got shape {array.shape}"
                    )
            except ValueError as error:
                raise ValueError(f"chunk {k}: {error}") from None
            if self._missing != "raise":
                rows = rows[self._counts(rows)]
            yield rows

    def blocks(
        self,
        size: int,
        n: int,
        weights: Float[np.ndarray, " n"] | None,
        dtype: np.dtype,
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """One pass over ``n`` rows in blocks of ``size``, with their weights.

        The last one is filled up with rows of weight 0: one shape, one program.
        **Raises**: ``ValueError`` where it is another number of rows.
        """
        done = 0

        def weighed(rows):
            nonlocal done
            m, missing = len(rows), size - len(rows)
            if done + m > n:
                raise ValueError(f"a pass over the data gave more than {n} rows")
            w = np.ones(m) if weights is None else weights[done : done + m]
            done += m
            if missing:
                rows = np.concatenate([rows, np.repeat(rows[:1], missing, axis=0)])
            return rows, np.pad(w, (0, missing)).astype(dtype)

        held: list[np.ndarray] = []
        count = 0
        for chunk in self.chunks():
            begin = 0
            while begin < len(chunk):
                part = chunk[begin : begin + size - count]
                # A copy: the chunk may be its owner's buffer, used again.
                held.append(np.array(part, dtype))
                begin, count = begin + len(part), count + len(part)
                if count == size:
                    yield weighed(held[0] if len(held) == 1 else np.concatenate(held))
                    held, count = [], 0
        if held:
            yield weighed(np.concatenate(held))
        if done != n:
            raise ValueError(f"a pass over the data gave {done} rows, the first {n}")

    def moments(self, check: Callable[[np.ndarray], object]) -> Moments:
        """One pass that checks every chunk and finds the columns' moments.

        Merged chunk by chunk (Chan, Golub & LeVeque, Am. Stat. 37, 1983).
        **Raises**: what ``check`` raises, with the chunk's number, and ``ValueError``
        where there is no row.
        """
        n: Any = 0
        mean, second = np.zeros(1), np.zeros(1)
        low, high = np.full(1, np.inf), np.full(1, -np.inf)
        rows, together, gaps = 0, np.zeros((1, 1)), False
        for k, chunk in enumerate(self.chunks(), start=1):
            _checked(check, chunk, k)
            if len(chunk) == 0:
                continue
            rows += len(chunk)
            seen = ~np.isnan(chunk)
            gaps = gaps or not seen.all()
            # How many entries there are, column by column.
            m = seen.sum(axis=0)
            counted = seen.astype(float)
            together = together + counted.T @ counted
            values = np.where(seen, chunk, 0.0)
            here = values.sum(axis=0, dtype=float) / np.maximum(m, 1)
            gap = np.where(m > 0, here - mean, 0.0)
            share = m / np.maximum(n + m, 1)
            mean = mean + gap * share
            second = second + (np.where(seen, chunk - here, 0.0) ** 2).sum(axis=0)
            second = second + gap**2 * (n * share)
            n = n + m
            low = np.minimum(low, np.where(seen, chunk, np.inf).min(axis=0))
            high = np.maximum(high, np.where(seen, chunk, -np.inf).max(axis=0))
        if rows == 0:
            raise ValueError("the data have no chunks, or gave them away before")
        spread = second / np.maximum(n, 1)
        scale = np.where(spread > 0, np.sqrt(spread), 1.0)
        constant = np.nonzero(low == high)[0].tolist()
        dtype = np.dtype(jax.dtypes.canonicalize_dtype(float))
        return Moments(rows, mean, scale, constant, dtype, together if gaps else None)

    def sample(
        self, enough: int, check: Callable[[np.ndarray], object] | None = None
    ) -> Float[np.ndarray, "m d"]:
        """Evenly spaced rows, between ``enough`` and twice as many if there are.

        **Raises**: what ``check`` raises of a chunk, with its number, and
        ``ValueError`` where there is no row.
        """
        every, seen, count = 1, 0, 0
        kept: list[np.ndarray] = []
        for k, chunk in enumerate(self.chunks(), start=1):
            if check is not None:
                _checked(check, chunk, k)
            part = np.array(chunk[-seen % every :: every])
            seen += len(chunk)
            kept.append(part)
            count += len(part)
            while count > 2 * enough:
                kept = [np.concatenate(kept)[::2]]
                every, count = 2 * every, len(kept[0])
        if not kept:
            raise ValueError("the data have no chunks, or gave them away before")
        return np.concatenate(kept)


def passes_over(X: object, ndim: int) -> RowPasses | None:
    """Passes over ``X`` if it is to be read in chunks; None for an array.

    That is a memory map, or an iterable of arrays, which are to have ``ndim`` axes; a
    list of fewer is an array.

    **Raises**: ``ValueError`` for an iterator, which can be gone through only once.
    """
    if isinstance(X, np.memmap):
        if X.ndim != ndim:
            raise ValueError(f"X must have shape {_shape(ndim)}, got {X.shape}")
        return RowPasses(X, ndim)
    if isinstance(X, np.ndarray) or hasattr(X, "__array__"):
        return None
    if not isinstance(X, Iterable):
        return None
    if isinstance(X, Iterator):
        raise ValueError(
            f"a fit goes through the data again and again, and a {type(X).__name__} "
            "can be gone through once: pass a list of chunks, a numpy.memmap, or an "
            "object whose __iter__ begins anew; IncrementalEMFitter.fit_stream takes "
            "what comes only once"
        )
    if isinstance(X, (list, tuple)) and (not X or _axes(X[0]) < ndim):
        return None
    return RowPasses(X, ndim)


def _axes(x: object) -> int:
    """The number of axes, by the first entry of each list."""
    if isinstance(x, (list, tuple)):
        return 1 + (_axes(x[0]) if x else 0)
    return np.ndim(x)  # pyright: ignore[reportArgumentType]


def _shape(ndim: int) -> str:
    return "(n, d)" if ndim == 2 else "(n,)"


def _mapped(data: object) -> TypeGuard[np.memmap]:
    return isinstance(data, np.memmap)


def _checked(check: Callable[[np.ndarray], object], chunk: np.ndarray, k: int) -> None:
    try:
        check(chunk)
    except ValueError as error:
        raise ValueError(f"chunk {k}: {error}") from None


def _read(data: np.memmap) -> Iterator[np.ndarray]:
    """Copies of consecutive rows; what was read does not stay in resident memory."""
    # Pages of a private map may hold what its owner wrote: they cannot be read again.
    shared = data.mode != "c" and hasattr(mmap, "MADV_DONTNEED")
    mapped = getattr(data, "_mmap", None)
    for begin in range(0, len(data), _READ):
        yield np.array(data[begin : begin + _READ])
        if shared and isinstance(mapped, mmap.mmap):
            mapped.madvise(mmap.MADV_DONTNEED)
