r"""Gauges and unconstrained coordinates of a law of X.

``sY`` for ``Y``, ``Σ/s`` for Σ and ``γ/s`` for γ is the same law of X: a gauge is a
choice among them. The coordinates are taken in the gauge where the density of
:math:`\log Y` is highest at 0. With :math:`\omega = \sqrt{p^2 + ab}` it has
:math:`a = \omega + p` and :math:`b = \omega - p`, also in the limits where one of them
is 0, and :math:`1/\omega` is near the variance of :math:`\log Y`.

What data determine well is then apart from what they hardly tell: ``μ + γ`` is near the
mean of X, and ``R Rᵀ = Σ + δδᵀ`` with ``δ = γ/√ω`` near its covariance. The share of it
that skewness takes is ``ρ = R⁻¹δ``, of any length below 1. In μ, γ, Σ, ``p`` and
``√(ab)`` themselves the likelihood has ridges that bend.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from normix.mixtures.law import Law
from normix.special._mode import typical_value


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


class Moving(NamedTuple):
    """Which of μ and the order ``p`` may differ between the laws of a chart.

    The others have μ, or p, in common. It is a choice of coordinates: without it,
    ``μ + γ`` would move a μ that is held.
    """

    mu: ArrayLike
    p: ArrayLike


def coordinates(law: Law, moving: Moving) -> Float[Array, " k"]:
    """Of the location, of γ and of Σ, and two of the mixing law.

    These are ``log ω`` and ``artanh(p/ω)``; of laws with one order between them, 0 and
    ``log sqrt(ab)``; of the gamma and inverse gamma laws, the limits, ``log ω`` and 0.
    """
    own = law.rescaled(1 / typical_value(*law.gig))
    _, a, b = own.gig
    limit, omega = (a == 0) | (b == 0), 0.5 * (a + b)
    log_a, log_b = jnp.log(a), jnp.log(b)
    zero, log_omega = jnp.zeros_like(omega), jnp.log(omega)
    moves = jnp.asarray(moving.p)
    argument = 0.5 * jnp.where(moves, log_a - log_b, log_a + log_b)
    first = jnp.where(limit | moves, log_omega, zero)
    mixing = jnp.stack([first, jnp.where(limit, zero, argument)])
    location = own.mu + jnp.where(moving.mu, own.gamma, 0.0)
    normal = own.dispersion.coordinates(own.gamma / jnp.sqrt(omega))
    return jnp.concatenate([location, normal, mixing])


def at_coordinates(like: Law, vector: Float[Array, " k"], moving: Moving) -> Law:
    """The law with these coordinates: the inverse of :func:`coordinates`.

    ``like`` is a law in the same limit, if in one; and of the same order, if that does
    not move.
    """
    d = like.mu.shape[0]
    p, a, b = like.gig
    limit, gamma = (a == 0) | (b == 0), b == 0
    omega, argument = jnp.exp(vector[-2]), vector[-1]
    # 1 + tanh and 1 - tanh, where the smaller of them keeps its digits.
    rates = 2 * jax.nn.sigmoid(jnp.stack([2 * argument, -2 * argument]))
    free = jnp.concatenate([jnp.tanh(argument)[None], rates]) * omega
    order = jnp.where(limit, 1.0, p)
    z = jnp.exp(argument)
    larger = jnp.sqrt(order * order + z * z) + jnp.abs(order)
    both = jnp.stack([larger, z * z / larger])
    fixed = jnp.append(order, jnp.where(order > 0, both, both[::-1]))
    inside = jnp.where(moving.p, free, fixed)
    ends = jnp.asarray([[1.0, 2.0, 0.0], [-1.0, 0.0, 2.0]], vector.dtype) * omega
    gig = jnp.where(limit, jnp.where(gamma, ends[0], ends[1]), inside)
    delta, dispersion = like.dispersion.at(vector[d:-2])
    gamma = delta * jnp.sqrt(0.5 * (gig[1] + gig[2]))
    location = vector[:d] - jnp.where(moving.mu, gamma, 0.0)
    return Law(location, gamma, dispersion, gig)


def pulled_back(law: Law, slopes: Law, moving: Moving) -> Float[Array, " k"]:
    """A gradient by :func:`coordinates`, of one by the parameters of ``law``."""
    # Y in another unit multiplies every parameter by a number: so it does its slope,
    # on the way back.
    unit = typical_value(*law.gig)
    own, by = law.rescaled(1 / unit), slopes.rescaled(unit)
    (_, a, b), (by_p, by_a, by_b) = own.gig, by.gig
    omega, free = 0.5 * (a + b), (a == 0) | (b == 0) | jnp.asarray(moving.p)
    root = jnp.sqrt(omega)
    by_gamma = by.gamma - jnp.where(moving.mu, by.mu, 0.0)
    # With δ held, γ goes with √ω.
    along = 0.5 * (own.gamma @ by_gamma)
    # p, a and b go with ω; by artanh(p/ω) their derivatives are ab/ω, ab/ω and -ab/ω.
    # With one order ω alone is free, whose derivative by log √(ab) is ab/ω.
    first = jnp.where(free, own.gig @ by.gig + along, 0.0)
    shape = jnp.where(moving.p, by_p + by_a - by_b, by_a + by_b + along / omega)
    mixing = jnp.stack([first, a * b / omega * shape])
    normal = own.dispersion.pulled_back(
        own.gamma / root, root * by_gamma, by.dispersion
    )
    return jnp.concatenate([by.mu, normal, mixing])


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
