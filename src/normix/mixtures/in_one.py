"""The E-step over rows as one program: under ``jit``, and on several devices."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import AbstractMesh, Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float

from normix._arrays import is_traced
from normix._inline import fori_loop
from normix.mixtures.law import Frame, Swept
from normix.mixtures.patterns import swept_one_by_one
from normix.mixtures.posterior import joined, swept_rows
from normix.mixtures.rows import BLOCK, Rows, moments_of

Sums = TypeVar("Sums")

# Rows for a start, at least, where not all are at hand.
SAMPLE = 65_536


class Layout(NamedTuple):
    """How rows are gone through, and over which devices they are spread; hashable."""

    chunk: int = BLOCK
    mesh: Mesh | AbstractMesh | None = None
    axes: Any = None  # of the mesh, along which the rows are spread


def layout_of(X: Array, chunk: int | None = None) -> Layout:
    """The layout of rows as they lie."""
    chunk = BLOCK if chunk is None else chunk
    sharding = None if is_traced(X) else getattr(X, "sharding", None)
    if not isinstance(sharding, NamedSharding) or not sharding.spec:
        return Layout(chunk)
    axes = sharding.spec[0]
    return Layout(chunk) if axes is None else Layout(chunk, sharding.mesh, axes)


class InOne(Rows):
    """Rows that one program goes through: traced, or spread over devices."""

    def __init__(
        self,
        X: Float[Array, "n d"],
        weights: Float[Array, " n"] | None,
        moments: tuple[Any, Any],
        layout: Layout,
        missing: bool = False,
    ):
        self.n = X.shape[0]
        self.centre, self.scale = moments
        self.X, self.weights, self.layout = X, weights, layout
        self.missing = missing  # whether NaN stands for a missing entry

    def swept(self, vector, frame, backend):
        at, layout = (vector, self.centre), self.layout
        if layout.mesh is not None:
            at = replicated(at, layout)
        how = frame, backend, layout, self.missing
        found = swept_in_one(at, self.X, self.weights, *how)
        return found if layout.mesh is None else on_one_device(found)


@partial(jax.jit, static_argnames=("frame", "backend", "layout", "missing"))
def swept_in_one(
    at: tuple[Array, Array],
    X: Float[Array, "n d"],
    weights: Float[Array, " n"] | None,
    frame: Frame,
    backend: str,
    layout: Layout,
    missing: bool = False,
) -> Swept:
    """The E-step over ``X - centre``, with ``at = (vector, centre)``."""

    def part(at, rows, w):
        vector, centre = at
        if missing:
            law = frame.unpack(vector)
            return swept_one_by_one(law, rows - centre, w, frame, backend)
        return swept_rows(frame.unpack(vector), rows - centre, w, frame, backend)

    return sum_over_rows(part, at, X, weights, joined, layout, _all_reduced)


def replicated(tree: Any, layout: Layout) -> Any:
    """The arrays of a pytree, on every device of the layout."""
    assert layout.mesh is not None
    # From the host: processes have no other way to each other's devices.
    tree = jax.tree.map(np.asarray, tree)
    return jax.device_put(tree, NamedSharding(layout.mesh, PartitionSpec()))


def _all_reduced(swept: Swept, axes: Any) -> Swept:
    size = swept.head.shape[0]
    flat = lax.psum(jnp.concatenate([swept.head, swept.tail]), axes)
    near = lax.all_gather(swept.near, axes).reshape(-1, swept.near.shape[0])
    return Swept(flat[:size], flat[size:], near[jnp.argmin(near[:, 0])])


def on_one_device(tree: Any) -> Any:
    """This process's copy of arrays that every device has."""
    return jax.tree.map(lambda x: x.addressable_data(0), tree)


def rows_on_devices(
    X: Float[Array, "n d"],
    weights: Float[Array, " n"] | None,
    dtype: np.dtype,
    layout: Layout,
    missing: bool = False,
) -> InOne:
    """Rows that stay where they are; of every process its own."""
    assert layout.mesh is not None
    X = X.astype(dtype)
    if weights is not None:
        there = NamedSharding(layout.mesh, PartitionSpec(layout.axes))
        weights = jax.device_put(weights.astype(dtype), there)
    moments = on_one_device(_moments_in_one(X, missing))
    return InOne(X, weights, moments, layout, missing)


@partial(jax.jit, static_argnames="missing")
def _moments_in_one(X: Array, missing: bool) -> tuple[Array, Array]:
    centre, scale = moments_of(X, missing=missing)
    return jnp.asarray(centre), jnp.asarray(scale)


def sample_of(X: Float[Array, "n d"], layout: Layout) -> Float[Array, "m d"]:
    """``X``, or if it is spread evenly spaced rows of it, on all devices."""
    if layout.mesh is None:
        return X
    return on_one_device(_gathered(X, layout, max(1, X.shape[0] // SAMPLE)))


@partial(jax.jit, static_argnames=("layout", "every"))
def _gathered(X: Array, layout: Layout, every: int) -> Array:
    def local(rows):
        return lax.all_gather(rows[::every], layout.axes, tiled=True)

    return _over_devices(layout)(local, in_specs=PartitionSpec(layout.axes))(X)


def _over_devices(layout: Layout):
    return partial(
        jax.shard_map,
        mesh=layout.mesh,
        out_specs=PartitionSpec(),
        # The loops inside begin with constants, which are not marked as differing
        # from device to device.
        check_vma=False,
    )


def sum_over_rows(
    statistics: Callable[[Any, Float[Array, "m d"], Float[Array, " m"] | None], Sums],
    at: Any,
    X: Float[Array, "n d"],
    weights: Float[Array, " n"] | None,
    merge: Callable[[Sums, Sums], Sums],
    layout: Layout = Layout(),  # noqa: B008 (immutable)
    all_reduce: Callable[[Sums, Any], Sums] = lax.psum,
) -> Sums:
    """``statistics(at, X, weights)``, where ``merge`` joins those of two sets of rows.

    ``at`` is what the statistics depend on, a pytree. Rows of weight 0 must not count.

    Chunks are slices of ``X`` itself, which is neither padded nor copied; memory
    beyond it is that of one chunk. Of rows that are spread over devices, every device
    takes its own, and ``all_reduce`` joins their sums along an axis of the mesh.
    """
    if layout.mesh is None:
        return _sum_of_chunks(statistics, at, X, weights, merge, layout.chunk)

    def local(at, rows, w=None):
        sums = _sum_of_chunks(statistics, at, rows, w, merge, layout.chunk)
        return all_reduce(sums, layout.axes)

    rows = (X,) if weights is None else (X, weights)
    specs = PartitionSpec(), *(PartitionSpec(layout.axes) for _ in rows)
    return _over_devices(layout)(local, in_specs=specs)(at, *rows)


def _sum_of_chunks(statistics, at, X: Array, weights: Array | None, merge, chunk: int):
    n = X.shape[0]
    if n <= 2 * chunk:
        return statistics(at, X, weights)
    # Chunks of one length, so that the statistics are compiled once. The last may
    # reach back over rows that were counted before: these weigh nothing in it.
    count = -(-n // chunk)
    size = -(-n // count)

    def part(i):
        begin = jnp.minimum(i * size, n - size)
        rows = lax.dynamic_slice_in_dim(X, begin, size)
        fresh = (begin + jnp.arange(size) >= i * size).astype(X.dtype)
        if weights is None:
            return statistics(at, rows, fresh)
        return statistics(
            at, rows, fresh * lax.dynamic_slice_in_dim(weights, begin, size)
        )

    def body(i, total):
        here = part(i)
        both = merge(total, here)
        return jax.tree.map(lambda x, y: jnp.where(i == 0, x, y), here, both)

    nothing = jax.tree.map(
        lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), jax.eval_shape(part, 0)
    )
    return fori_loop(0, count, body, nothing)
