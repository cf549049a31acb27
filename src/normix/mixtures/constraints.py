"""What an M-step may be asked to hold fixed."""

from __future__ import annotations

from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from normix.mixtures.statistics import MixtureStatistics


class Constraints(eqx.Module):
    """Restrictions of a fit; None stands for none.

    - ``symmetric``: γ = 0.
    - ``mu``: the location.
    - ``p``: the order of a GIG mixing law.
    - ``alpha_min``: the least shape of a gamma mixing law, or order of a GIG.
    """

    symmetric: bool = eqx.field(static=True, default=False)
    mu: Float[Array, " d"] | None = None
    p: Float[Array, ""] | None = None
    alpha_min: Float[Array, ""] | None = None

    def translated(self, shift: Float[Array, " d"]) -> Constraints:
        """The same restrictions on the law of ``X + shift``."""
        if self.mu is None:
            return self
        return eqx.tree_at(lambda c: c.mu, self, self.mu + shift)


class Pin(NamedTuple):
    """A location that is kept where ``stay`` holds."""

    stay: Bool[Array, ""]
    mu: Float[Array, " d"]

    def held(self, constraints: Constraints) -> Constraints:
        """The restrictions with the location kept."""
        return Constraints(constraints.symmetric, self.mu)


def location_and_skewness(
    eta: MixtureStatistics, constraints: Constraints, pin: Pin | None = None
) -> tuple[Float[Array, " d"], Float[Array, " d"]]:
    """``μ`` and ``γ`` of maximum likelihood: least squares of X on (1, Y).

    The weights are 1/Y; Σ does not enter, whether or not one of the two is given.
    """
    if pin is not None:
        free = location_and_skewness(eta, constraints)
        there = location_and_skewness(eta, pin.held(constraints))
        mu, gamma = (
            jnp.where(pin.stay, x, y) for x, y in zip(there, free, strict=True)
        )
        return mu, gamma
    if constraints.mu is not None:
        mu = constraints.mu
        gamma = jnp.zeros_like(mu)
        return mu, gamma if constraints.symmetric else (eta.E_X - mu) / eta.E_Y
    if constraints.symmetric:
        return eta.E_X_inv_Y / eta.E_inv_Y, jnp.zeros_like(eta.E_X)
    determinant = eta.E_inv_Y * eta.E_Y - 1
    # When Y is constant to rounding, μ and γ are no longer told apart.
    spread = determinant > 4 * jnp.finfo(determinant.dtype).eps * eta.E_inv_Y * eta.E_Y
    gamma = jnp.where(
        spread,
        (eta.E_inv_Y * eta.E_X - eta.E_X_inv_Y) / jnp.where(spread, determinant, 1.0),
        0.0,
    )
    return eta.E_X - gamma * eta.E_Y, gamma
