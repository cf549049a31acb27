"""Equal observations, at which a likelihood may be unbounded."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from normix._arrays import is_spread
from normix._passes import RowPasses


def largest_group(data: Array | RowPasses) -> int | None:
    """How many rows are equal, at most; None where not all rows are at hand."""
    if isinstance(data, RowPasses) or is_spread(data):
        return None
    host = np.asarray(data)
    # Rows as numbers, by a direction that tells different rows apart.
    direction = np.random.default_rng(0).normal(size=host.shape[1])
    return int(np.unique(host @ direction, return_counts=True)[1].max())


def equal_to_nearest(data: Array | RowPasses, mu: Float[Array, " d"]) -> int:
    """How many rows equal the one nearest to ``mu``."""
    if isinstance(data, RowPasses):
        return data.equal_to_nearest(np.asarray(mu))
    return int(_equal_to_nearest(data, mu))


@jax.jit
def _equal_to_nearest(X: Array, mu: Array) -> Array:
    spread = X.std(axis=0)
    gaps = jnp.abs(X - mu) / jnp.where(spread > 0, spread, 1.0)
    nearest = X[jnp.argmin(gaps.max(axis=1))]
    return (X == nearest).all(axis=1).sum()
