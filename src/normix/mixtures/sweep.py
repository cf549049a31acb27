"""The sweep operator: regressions on some columns of a covariance matrix.

Without a call of LAPACK: of many small matrices side by side each would be a call of
its own, and XLA on the CPU may run two such batches at once, each waiting for threads
that the other holds, for ever (seen in jaxlib 0.10).
"""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from normix._inline import fori_loop


def swept(
    sigma: Float[Array, "d d"], mask: Bool[Array, " d"]
) -> tuple[Float[Array, "d d"], Float[Array, ""]]:
    """A positive definite matrix swept on the columns in ``mask``; and ``log |Σ_ss|``.

    With s in the mask and u not, the blocks are ``-Σ_ss⁻¹`` at ss, ``Σ_us Σ_ss⁻¹`` at
    us and its transpose at su, and ``Σ_uu - Σ_us Σ_ss⁻¹ Σ_su`` at uu (Beaton, 1964).
    Pivots are those of the Cholesky factorisation. Differentiable.
    """
    places = jnp.arange(sigma.shape[0])

    def step(j, state):
        matrix, log_det = state
        column, here = matrix[:, j], places == j
        pivot = jnp.where(mask[j], column[j], 1.0)
        scaled = column / pivot
        new = matrix - scaled[:, None] * column
        beside = jnp.where(here, -1 / pivot, scaled)
        new = jnp.where(here[:, None], beside, jnp.where(here, beside[:, None], new))
        matrix = jnp.where(mask[j], new, matrix)
        return matrix, log_det + jnp.where(mask[j], jnp.log(pivot), 0.0)

    start = sigma, jnp.zeros((), sigma.dtype)
    return fori_loop(0, sigma.shape[0], step, start)
