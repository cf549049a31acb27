r"""Where a likelihood has no maximum: poles of the density, and rows that sit on one.

Where the posterior order ``p - d/2`` is negative, the density grows without bound at μ
as ``b`` goes to 0, and with it the weight ``E[1/Y]`` of a row that is there: at least
:math:`2|p - d/2|` over its :math:`b + (x-\mu)^\top\Sigma^{-1}(x-\mu)`, and nearly that
at a pole. One such row, or several equal ones, can draw the location onto them.
"""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from normix.special._mode import typical_value


def on_row(gig: Float[Array, " 3"], nearest: Float[Array, ""]) -> Bool[Array, ""]:
    """Whether μ is a row, to rounding, and the density has a peak there.

    A hundred units in the last place of a standard deviation, and no ``b`` to speak
    of; ``nearest`` is the least ``b + (x-μ)ᵀΣ⁻¹(x-μ)`` of a row.
    """
    eps = jnp.finfo(gig.dtype).eps
    return nearest <= 1e4 * eps**2 * typical_value(*gig)


def at_pole(
    gig: Float[Array, " 3"],
    d: int,
    nearest: Float[Array, ""],
    total_inv_y: Float[Array, ""],
) -> tuple[Bool[Array, ""], Float[Array, ""]]:
    """Whether a row sits at a pole of the density, and its share of all ``E[1/Y]``."""
    excess = jnp.maximum(0.5 * d - gig[0], 0.0)
    share = 2 * excess / (nearest * total_inv_y)
    return (excess > 0) & on_row(gig, nearest), share
