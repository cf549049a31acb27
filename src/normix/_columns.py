"""Columns of data that leave no room for a dispersion: constant, or collinear."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AbstractMesh, Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float

from normix._arrays import is_spread, is_traced

# Rows that are looked at together: the first of them nearly always settle it.
_ROWS = 4096
# A column that is a combination of others up to 1e-6 of its standard deviation, or to
# what the floating type tells apart, is one.
_RELATIVE = 1e-12
_ULPS = 8
# The least coefficient, of standardised columns, that makes a column part of it.
_PART = 1e-5


def constant_columns(X: Float[Array, "n d"] | np.ndarray) -> list[int]:
    """Which columns have one value, NaN apart; none of what is being traced."""
    if is_traced(X):
        return []
    xp: Any = jnp if is_spread(X) else np
    here = xp.asarray(X)
    low, high = xp.nanmin(here, axis=0), xp.nanmax(here, axis=0)
    return np.nonzero(np.asarray(low == high))[0].tolist()


def dependent_columns(
    X: Float[Array, "n d"] | np.ndarray, *, equal_only: bool = False
) -> list[int]:
    """Columns of which one is a linear combination of the others and a constant.

    The first that there are, in their order, and no more than belong together; none
    of what is being traced. See :class:`Independence`.
    """
    if is_traced(X):
        return []
    watch = Independence(equal_only=equal_only)
    if isinstance(X, jax.Array) and is_spread(X) and _named(X):
        watch.see_spread(X)
    else:
        for rows in _samples(np.asarray(X)):
            watch.see(rows)
            if watch.proved:
                break
    return watch.dependent()


def _named(X: Array) -> bool:
    return isinstance(X.sharding, NamedSharding)


def _samples(X: np.ndarray) -> Iterator[np.ndarray]:
    """All rows, evenly spaced ones first."""
    every = -(-len(X) // _ROWS)
    return (X[k::every] for k in range(every))


class Independence:
    """Looks at rows until they prove that no column is a combination of others.

    ``equal_only`` asks only for pairs of columns that are equal up to their units, as
    a factor form can do with others.
    """

    def __init__(self, *, equal_only: bool = False):
        self.proved = False
        self._equal_only = equal_only
        self._chosen: np.ndarray | None = None  # the columns that are looked at
        self._n = 0
        self._mean: Any = 0.0
        self._scatter: Any = 0.0
        self._size: Any = 0.0
        self._eps = float(np.finfo(float).eps)

    def see(self, rows: Float[np.ndarray, "m d"]) -> None:
        """Look at some more rows."""
        if self.proved or len(rows) == 0:
            return
        rows = np.asarray(rows)
        eps = float(np.finfo(rows.dtype).eps)
        rows = rows.astype(float)
        if self._chosen is None:
            equal = self._equal_only
            self._chosen = _twins(rows) if equal else np.arange(rows.shape[1])
        rows = rows[:, self._chosen]
        mean = rows.mean(axis=0)
        about = rows - mean
        largest = np.abs(rows).max(axis=0, initial=0.0)
        self._add(len(rows), mean, about.T @ about, largest, eps)

    def see_spread(self, X: Array) -> None:
        """Look at rows that lie on several devices, where they are but for a sample."""
        sharding = X.sharding
        assert isinstance(sharding, NamedSharding)

        def found(function, *args):
            arrays = _on_all(function, sharding.mesh)(*args)
            return [np.asarray(x.addressable_data(0)) for x in arrays]

        every = -(-X.shape[0] // _ROWS)
        self.see(found(_evenly, X, every)[0])
        if not self.proved:
            chosen = np.asarray(self._chosen)
            mean, scatter, largest = found(_moments, X, chosen)
            self._n = 0
            self._mean = self._scatter = self._size = 0.0
            self._add(X.shape[0], mean, scatter, largest, self._eps)

    def _add(self, n: int, mean, scatter, largest, eps: float) -> None:
        total = self._n + n
        gap = mean - self._mean
        outer = np.outer(gap, gap) * (self._n * n / total)
        self._scatter = self._scatter + scatter + outer
        self._mean = self._mean + gap * (n / total)
        self._n, self._size = total, np.maximum(self._size, largest)
        self._eps = max(self._eps, eps)
        if len(mean) == 0:
            self.proved = True
            return
        correlation, least = self._standard()
        try:
            # Succeeds where all eigenvalues are greater, at a tenth of their price.
            np.linalg.cholesky(correlation - least * np.eye(len(correlation)))
            self.proved = bool(np.diagonal(correlation).all())
        except np.linalg.LinAlgError:
            pass

    def _standard(self) -> tuple[np.ndarray, float]:
        """The correlations, 0 with a constant column; and the least eigenvalue."""
        scatter = np.atleast_2d(self._scatter)
        sd = np.sqrt(np.diagonal(scatter) / self._n)
        unit = np.where(sd > 0, sd, 1.0)
        correlation = scatter / self._n / np.outer(unit, unit)
        # Digits that the columns' own means have cost.
        lost = np.max(self._size / unit, initial=1.0) * 4 * self._eps
        least = max(_RELATIVE, _ULPS * self._eps, min(lost, 0.01) ** 2)
        return correlation, least * len(correlation)

    def dependent(self) -> list[int]:
        """Columns of which one is a combination of the others; none if proved."""
        if self.proved or self._chosen is None:
            return []
        correlation, least = self._standard()
        varies = np.nonzero(np.diagonal(correlation))[0]
        correlation = correlation[np.ix_(varies, varies)]
        pick = _first_equal if self._equal_only else _first_dependent
        return self._chosen[varies[pick(correlation, least)]].tolist()


def _first_equal(correlation: np.ndarray, least: float) -> list[int]:
    """The first column that equals one before it, and that."""
    pairs = np.argwhere(np.tril(1 - np.abs(correlation) <= least, -1))
    return pairs[0, ::-1].tolist() if len(pairs) else []


def _first_dependent(correlation: np.ndarray, least: float) -> list[int]:
    """The fewest leading columns that depend on each other, those of them that do.

    By bisection: the smallest eigenvalue falls with every column.
    """
    low, high = 1, len(correlation)
    if high < 2 or _smallest(correlation) > least:
        return []
    while high - low > 1:
        middle = (low + high) // 2
        if _smallest(correlation[:middle, :middle]) > least:
            low = middle
        else:
            high = middle
    direction = np.linalg.eigh(correlation[:high, :high])[1][:, 0]
    part = np.abs(direction) > _PART
    part[-1] = True  # without it they do not depend on each other
    return np.nonzero(part)[0].tolist()


def _smallest(matrix: np.ndarray) -> float:
    return float(np.linalg.eigvalsh(matrix)[0])


@cache
def _on_all(function: Callable[..., tuple[Array, ...]], mesh: Mesh | AbstractMesh):
    """Compiled once for a mesh, with results that all of its devices have."""
    everywhere = NamedSharding(mesh, PartitionSpec())
    static = ("every",) if function is _evenly else ()
    return jax.jit(function, static_argnames=static, out_shardings=everywhere)


def _evenly(X: Array, every: int) -> tuple[Array]:
    return (X[::every],)


def _moments(X: Array, chosen: Array) -> tuple[Array, Array, Array]:
    X = X[:, chosen]
    mean = X.mean(axis=0)
    about = X - mean
    return mean, about.T @ about, jnp.abs(X).max(axis=0)


def _twins(rows: Float[np.ndarray, "m d"]) -> np.ndarray:
    """Columns that may equal another up to unit and sign.

    Of very many columns, the correlations would not fit in memory. One combination of
    the rows with random weights tells columns apart.
    """
    about = rows - rows.mean(axis=0)
    sd = np.sqrt((about**2).mean(axis=0))
    seen = np.random.default_rng(0).normal(size=len(rows)) @ about
    seen = np.abs(seen / np.where(sd > 0, sd, 1.0))
    order = np.argsort(seen)
    near = np.diff(seen[order]) <= 4 * np.sqrt(_RELATIVE * len(rows))
    both = np.append(near, False) | np.append(False, near)
    return np.sort(order[both])


def check_columns(
    constant: Sequence[int],
    dependent: Sequence[int],
    names: Sequence[object] | None = None,
) -> None:
    """Raise ``ValueError`` where columns are constant or depend on each other.

    ``names`` of the columns stand for their numbers in the message.
    """

    def listed(columns: Sequence[int]) -> str:
        return str([k if names is None else names[k] for k in columns])

    if constant:
        raise ValueError(f"X has constant columns: {listed(constant)}")
    if dependent:
        raise ValueError(
            f"columns {listed(dependent)} of X depend on each other linearly: with "
            "them no dispersion is positive definite; leave one of them out"
        )


def column_names(X: object) -> list[object] | None:
    """The names that a data frame gives its columns."""
    columns = getattr(X, "columns", None)
    return None if columns is None else list(columns)


def like(X: Any, values: np.ndarray) -> Any:
    """Values in the shape of ``X``; a data frame if that is one, else of JAX."""
    if column_names(X) is None or not hasattr(X, "index"):
        return jax.device_put(values)
    return type(X)(values, index=X.index, columns=X.columns)
