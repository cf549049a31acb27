"""From the natural parameters of a joint law to the classical ones."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.scipy.linalg import cho_solve
from jaxtyping import Array, Bool, Float

from normix.mixtures.statistics import NormalMixtureEta


def classical_of(theta: Float[Array, " k"]) -> tuple[Array, ...]:
    """``(p, a, b, mu, gamma, root)``, with ``root`` the factor of ``Σ⁻¹``."""
    eta = NormalMixtureEta.from_vector(theta)  # the same layout
    d = eta.E_X.shape[0]
    precision = -(eta.E_XXT_inv_Y + eta.E_XXT_inv_Y.T)
    root = jnp.linalg.cholesky(precision)
    gamma = cho_solve((root, True), eta.E_X)
    mu = cho_solve((root, True), eta.E_X_inv_Y)
    p = eta.E_log_Y + 1 + 0.5 * d
    a = _difference(-2 * eta.E_Y, eta.E_X @ gamma, p < 0)
    b = _difference(-2 * eta.E_inv_Y, eta.E_X_inv_Y @ mu, p > 0)
    return p, a, b, mu, gamma, root


def _difference(
    x: Float[Array, ""], y: Float[Array, ""], may_vanish: Bool[Array, ""]
) -> Float[Array, ""]:
    """``x - y``; 0 where that is the rounding of its terms and 0 is a law.

    The derivative is that of the difference all the same.
    """
    gap = x - y
    tiny = jnp.abs(gap) <= 64 * jnp.finfo(gap.dtype).eps * jnp.abs(y)
    return gap - jax.lax.stop_gradient(jnp.where(may_vanish & tiny, gap, 0.0))
