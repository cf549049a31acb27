"""What a fit says of equal rows, at which a likelihood may be unbounded.

See :mod:`normix.mixtures.poles` for what a pole is.
"""

from __future__ import annotations

import jax
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from normix._passes import RowPasses
from normix.mixtures.marginal import MarginalMixture

# What a fit was made to: rows at hand, on several devices, or read in passes.
Source = np.ndarray | Array | RowPasses


def largest_group(data: Source) -> int | None:
    """How many rows are equal, at most; None where not all rows are at hand."""
    if not isinstance(data, np.ndarray):
        return None
    # Rows as numbers, by a direction that tells different rows apart.
    direction = np.random.default_rng(0).normal(size=data.shape[1])
    return int(np.unique(data @ direction, return_counts=True)[1].max())


def drawn_onto_rows(
    data: Source,
    mu: Float[ArrayLike, " d"],
    scale: Float[ArrayLike, " d"],
    share: float,
) -> bool:
    """Whether the row nearest to μ, with all that equal it, has half of all ``E[1/Y]``.

    ``share`` is that of one row, and ``scale`` weighs the columns.
    """
    if share <= 0:
        return False
    mu, scale = np.asarray(mu), np.asarray(scale)
    if isinstance(data, RowPasses):
        count = _counted_in_passes(data, mu, scale)
    else:
        # Rows on several devices stay there.
        count = (_counted if isinstance(data, np.ndarray) else _counted_jit)(
            data, mu, scale
        )
    return int(count) * share >= 0.5


def _counted(X, mu, scale):
    """How many rows equal the one nearest to ``mu``."""
    gaps = (abs(X - mu) / scale).max(axis=1)
    return (X == X[gaps.argmin()]).all(axis=1).sum()


_counted_jit = jax.jit(_counted)


def _counted_in_passes(data: RowPasses, mu: np.ndarray, scale: np.ndarray) -> int:
    least, nearest, count = np.inf, mu, 0
    for chunk in data.chunks():
        gaps = (np.abs(chunk - mu) / scale).max(axis=1)
        first = int(gaps.argmin())
        if gaps[first] < least:
            least, nearest, count = gaps[first], np.array(chunk[first]), 0
        count += int((chunk == nearest).all(axis=1).sum())
    return count


def caveat(model: MarginalMixture, bounded: bool, ties: int | None) -> str:
    """What to know of a maximum beside which the likelihood is unbounded."""
    has_pole = model.joint.subordinator.bounded_below
    if not has_pole or bounded or ties in (None, 1):
        return ""
    return (
        f"; a local maximum: {ties} observations are equal, and with a shape "
        f"below {0.5 * model.d:g} and the location there the likelihood is "
        "unbounded (alpha_min excludes that)"
    )
