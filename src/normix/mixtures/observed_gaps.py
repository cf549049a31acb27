"""Scores and the observed information of a mixture, where entries are missing.

The score of a row is that of what is seen of it. The information is its derivative,
in forward mode: of the moments of Y given each row one derivative each. Of complete
rows :mod:`normix.mixtures.observed` has a formula that needs none.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from normix._compile import LOOPS, compiled, grid
from normix.mixtures.coordinates import Moving, at_coordinates, coordinates
from normix.mixtures.law import Frame
from normix.mixtures.observed import (
    At,
    Observed,
    OfMixing,
    classical_by_coordinates,
    law_at,
    own_means,
    own_mixing,
)
from normix.mixtures.rows import padded
from normix.mixtures.score import score_of_rows_seen

# Numbers that the temporaries of one block of rows may have.
_AT_ONCE = 4_000_000


def _of_rows(
    at: At, X: Array, weights: Array, frame: Frame, moving: Moving
) -> tuple[Array, Array, OfMixing]:
    """Scores, the information, and the moments of Y itself."""
    law, mixing = law_at(at, frame), own_mixing(at, frame)
    rows = (X - at.centre) / at.unit

    def scores(c: Array) -> Array:
        there = at_coordinates(law, c, moving)
        own = own_means(mixing, there, law)
        return score_of_rows_seen(there, rows, moving, own)

    def total(c: Array) -> tuple[Array, Array]:
        found = scores(c)
        return weights @ found, found

    here = coordinates(law, moving)
    slopes, found = jax.jacfwd(total, has_aux=True)(here)
    return found, -slopes, mixing


# One call of LAPACK after the other: of several batches side by side each may wait for
# threads that another holds; see normix.mixtures.sweep.
_IN_TURN = LOOPS | {"xla_cpu_enable_concurrency_optimized_scheduler": False}
_block = compiled("frame", "moving", options=_IN_TURN)(_of_rows)


def in_one_seen(
    at: At,
    X: Float[Array, "n d"],
    weights: Float[Array, " n"] | None,
    frame: Frame,
    moving: Moving,
) -> Float[Array, "k k"]:
    """The observed information of traced rows."""
    w = jnp.ones_like(X[:, 0]) if weights is None else weights
    return _of_rows(at, X, w, frame, moving)[1]


def information_seen(
    at: At,
    X: Float[np.ndarray, "n d"],
    weights: Float[np.ndarray, " n"] | None,
    frame: Frame,
    moving: Moving,
    names: tuple[str, ...],
    unit_mean: bool,
) -> Observed:
    """As :func:`normix.mixtures.observed.information_of`, of rows with gaps."""
    n, d = X.shape
    k = jax.eval_shape(lambda a: coordinates(law_at(a, frame), moving), at).shape[0]
    size = min(grid(n), grid(max(_AT_ONCE // (k * d * d), 16)))
    parts = []
    for block, counts, m in padded(X, weights, size):
        scores, information, mixing = _block(at, block, counts, frame, moving)
        found = np.asarray(scores, float)[:m], np.asarray(information, float), mixing
        parts.append(found)
    every, informations, mixings = zip(*parts, strict=True)
    told = classical_by_coordinates(at, mixings[0], frame, moving, names, unit_mean)
    return Observed(np.concatenate(every), np.sum(informations, axis=0), *told)
