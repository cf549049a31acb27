r"""Limits in which digits are lost, and laws that come as near to them as is of use.

Some likelihoods have their supremum at infinity. Where the variance of :math:`\log Y`,
about :math:`1/\omega`, goes to 0, the law is the normal one; where Σ vanishes beside
:math:`\delta\delta^\top`, Y is a function of X, and the law that of :math:`\mu +
\gamma Y` along γ. (ω and ``δ = γ/√ω`` are those of
:mod:`normix.mixtures.coordinates`.) On the way there the difference to the limit falls
as :math:`1/\omega`, or as :math:`1/s` with :math:`s = \delta^\top\Sigma^{-1}\delta`,
while rounding grows as ω, or s, times the unit in the last place. Where the two are
equal, nothing is to be gained by going on.
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from normix.mixtures.coordinates import Moving
from normix.mixtures.law import Law
from normix.special._mode import typical_value

# A row in the limit is told from one that is not by a posterior of Y that is as wide
# as Y itself: sqrt(ab) of a posterior law below this is no narrow peak.
_NARROW = 10.0


def flattest(dtype) -> float:
    """The largest ω: there rounding, 128 ω units of it, is about 1/(8 ω)."""
    return 0.03 * float(jnp.finfo(dtype).eps) ** -0.5


def thinnest(dtype) -> float:
    """The largest ``s``: there the rounding of Σ, ``s`` units of it, is 1/s."""
    return float(jnp.finfo(dtype).eps) ** -0.5


def within_reach(
    like: Law, vector: Float[Array, " k"], moving: Moving
) -> tuple[Float[Array, " k"], Bool[Array, ""]]:
    """Coordinates brought back to where digits are left, and whether that took any.

    ``vector`` holds those of a law such as ``like``, see
    :func:`~normix.mixtures.coordinates.at_coordinates`.
    """
    d, dtype = like.mu.shape[0], vector.dtype
    limit = (like.gig[1:] == 0).any()
    most = jnp.log(jnp.asarray(flattest(dtype), dtype))
    by_omega = jnp.stack([limit | moving.p, ~(limit | moving.p)])
    mixing = jnp.where(by_omega, jnp.minimum(vector[-2:], most), vector[-2:])
    normal = like.dispersion.apart(vector[d:-2], thinnest(dtype))
    brought = jnp.concatenate([vector[:d], normal, mixing])
    return brought, (brought != vector).any()


class Nearness(NamedTuple):
    """How near a law is to the normal one, and to that of ``μ + γY`` alone."""

    omega: Float[Array, ""]
    s: Float[Array, ""]
    skew: Float[Array, ""]  # γᵀΣ⁻¹γ
    y: Float[Array, ""]  # a typical value of Y


def nearness(law: Law) -> Nearness:
    """See the top of the file for ω and s."""
    p, a, b = law.gig
    y = typical_value(p, a, b)
    omega = 0.5 * (a * y + b / y)
    skew = law.dispersion.inner_products(law.gamma[None, :], law.gamma).skew
    return Nearness(omega, y * skew / omega, skew, y)


def collapsed(law: Law, near: Nearness, scale: Float[Array, " d"]) -> Bool[Array, ""]:
    """Whether a column's values about its typical one lie closer than digits tell.

    Beside ``scale``, standard deviations of the data. Only columns with many equal
    values, or very few rows, draw a law there, and its likelihood to infinity.
    """
    width = near.y * law.dispersion.variances()
    square = width + (near.y * law.gamma) ** 2 / near.omega
    part = 100 * float(jnp.finfo(law.gig.dtype).eps)
    return (square <= part**2 * scale**2).any()


def at_edge(law: Law, near: Nearness, nearest: Float[Array, ""]) -> Bool[Array, ""]:
    r"""Whether Σ vanishes, and a row lies at the edge of ``μ + γY``, at a pole there.

    The density of a Gamma law of a shape below 1 is infinite at 0. With Σ vanishing
    beside :math:`\delta\delta^\top` that of X at μ grows without bound for orders
    below :math:`(d + 1)/2`. ``nearest`` is the least
    :math:`b + (x-\mu)^\top\Sigma^{-1}(x-\mu)` of a row.
    """
    p, a, _ = law.gig
    thin = near.s >= 0.5 * thinnest(p.dtype)
    beside = jnp.sqrt(a + near.skew) * jnp.sqrt(nearest) <= _NARROW
    return thin & beside & (p < 0.5 * (law.mu.shape[0] + 1))
