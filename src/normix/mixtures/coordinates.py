r"""Gauges and unconstrained coordinates of a law of X.

``sY`` for ``Y``, ``Σ/s`` for Σ and ``γ/s`` for γ is the same law of X: a gauge is a
choice among them. The coordinates are taken in the gauge where the mixing law has
``a = b``, or in the limits, where one of them is 0, ``E[Y] = 1`` or ``E[1/Y] = 1``.
"""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from normix.mixtures.law import Law


def gauge_a_eq_b(gig: Float[Array, " 3"]) -> Float[Array, ""]:
    """The ``s`` for which ``s Y`` has ``a = b``, of ``Y ~ GIG(p, a, b)``.

    On the boundary, where one of them is 0: for which ``E[Y]`` or ``E[1/Y]``, the one
    of them that surely exists, is 1.
    """
    p, a, b = gig
    inside = (a > 0) & (b > 0)
    between = jnp.sqrt(jnp.where(inside, a, 1.0)) / jnp.sqrt(jnp.where(inside, b, 1.0))
    # Of the Gamma and inverse Gamma laws E[Y] = 2p/a and E[1/Y] = -2p/b.
    edge = jnp.where(b > 0, -2 * p / jnp.where(b > 0, b, 1.0), a / (2 * p))
    return jnp.where(inside, between, edge)


def coordinates(law: Law, has_order: ArrayLike) -> Float[Array, " k"]:
    """μ, γ, Σ, and two of the mixing law: of its order, and of its argument.

    ``has_order`` says whether the order is a parameter of its own: then these are
    ``p`` and ``log sqrt(ab)``. Otherwise one of them is 0: the inverse Gaussian has
    ``log sqrt(ab)``, and the gamma and inverse gamma laws, which are the limits of the
    others, have ``log |p|``.
    """
    own = law.rescaled(gauge_a_eq_b(law.gig))
    p, a, b = own.gig
    limit = (a == 0) | (b == 0)
    inside = 0.0 * p  # of the order of an inverse Gaussian law, which is -1/2
    order = jnp.where(limit, jnp.log(jnp.abs(p)), jnp.where(has_order, p, inside))
    argument = jnp.where(limit, 0.0, 0.5 * (jnp.log(a) + jnp.log(b)))
    mixing = jnp.stack([order, argument])
    return jnp.concatenate([own.mu, own.gamma, own.dispersion.coordinates(), mixing])


def at_coordinates(like: Law, vector: Float[Array, " k"], has_order: ArrayLike) -> Law:
    """The law with these coordinates: the inverse of :func:`coordinates`.

    ``like`` is a law of the same family, in any place; or, of the limits of a family
    whose order is a parameter, in the same limit.
    """
    d = like.mu.shape[0]
    p, a, b = like.gig
    order, argument = vector[-2:]
    z = jnp.exp(argument)
    size = jnp.exp(order)  # |p| of a limit law
    interior = jnp.stack([jnp.where(has_order, order, p), z, z])
    gamma = jnp.stack([size, 2 * size, 0.0 * size])
    inverse = jnp.stack([-size, 0.0 * size, 2 * size])
    limit = (a == 0) | (b == 0)
    gig = jnp.where(limit, jnp.where(b == 0, gamma, inverse), interior)
    dispersion = like.dispersion.at(vector[2 * d : -2])
    return Law(vector[:d], vector[d : 2 * d], dispersion, gig)


REGULARIZATIONS = ("none", "det_sigma_one", "det_sigma_x", "a_eq_b")


def gauge_scale(
    law: Law, regularization: Float[Array, ""], log_det: Float[Array, ""]
) -> Float[Array, ""]:
    """The ``s`` of ``Y -> sY`` that leads to the chosen gauge.

    ``regularization`` indexes :data:`REGULARIZATIONS`: a number, so that one compiled
    fit serves all of them. ``log_det`` is the target of "det_sigma_x".
    """
    d = law.mu.shape[0]
    excess = law.dispersion.log_det() / d
    log_s = jnp.stack(
        [
            jnp.zeros_like(excess),
            excess,
            excess - log_det / d,
            jnp.log(gauge_a_eq_b(law.gig)),
        ]
    )
    return jnp.exp(log_s[regularization.astype(int)])
