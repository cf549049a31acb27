r"""Measures of loss of a univariate mixture: value at risk, expected shortfall, others.

A loss is ``-X``. With :math:`L_k(x) = E[(x - X)_+^k]`, a sum of positive terms
(:mod:`normix.special.mixture_tails`), and the quantile ``q`` that ``X`` falls below
with probability ``1 - level``, the expected shortfall is
:math:`-q + L_1(q)/(1 - \text{level})`: far in the tail no digits are lost.
"""

from __future__ import annotations

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from normix._compile import of_few
from normix.distributions.quantile_table import of_smaller_tail
from normix.mixtures.joint import JointNormalMixture
from normix.special.mixture_tails import (
    is_upper,
    mixture_log_quantile,
    mixture_log_shortfall,
    mixture_log_tails,
)

Real = Float[Array, "..."]

_MOST_STEPS = 200


def standard(joint: JointNormalMixture):
    """``(p, a, b, B)`` and the map from the standardised variable: μ and σ."""
    sd = jnp.sqrt(joint.dispersion.variances()[0])
    p, a, b = joint.subordinator.gig_params()
    return (p, a, b, joint.gamma[0] / sd), joint.mu[0], sd


def exists(joint: JointNormalMixture, order: int, upper: bool) -> Array:
    """Whether a partial moment is finite: that of the tail below, or above.

    It is infinite for inverse Gamma mixing laws alone: in the tail that skewness points
    to, where their shape is at most the order; without skewness, where it is at most
    half of the order; never in the tail that skewness points away from.
    """
    p, a, _ = joint.subordinator.gig_params()
    towards = joint.gamma[0] * (1 if upper else -1)
    least = jnp.where(towards > 0, order, jnp.where(towards < 0, -jnp.inf, order / 2))
    return (a > 0) | (-p > least)


def partial_moment(joint: JointNormalMixture, x: Real, order: int, upper: bool) -> Real:
    """``E[(x - X)₊ᵏ]``, or of ``(X - x)₊`` if ``upper``; infinite where it is."""
    law, mu, sd = standard(joint)
    z = (x - mu) / sd
    if order == 0:
        return jnp.exp(mixture_log_tails(*law, z)[int(upper)])
    p, a, b, B = law
    sign = -1 if upper else 1
    B, z = sign * B, sign * z
    # Beyond most of the law, what lies on the other side is little.
    mean, var = joint.subordinator.cumulants(2)
    beyond = is_upper(p, a, b, B, z) & jnp.isfinite(mean if order == 1 else var)
    direction = jnp.where(beyond, -1.0, 1.0)
    here = jnp.exp(mixture_log_shortfall(p, a, b, direction * B, direction * z, order))
    gap = z - B * jnp.where(jnp.isfinite(mean), mean, 0.0)
    total = gap
    if order == 2:
        spread = jnp.where(jnp.isfinite(var), mean + B**2 * var, 0.0)
        total = gap**2 + spread
    other = total + here if order == 1 else total - here
    value = sd**order * jnp.where(beyond, other, here)
    return jnp.where(exists(joint, order, upper), value, jnp.inf)


def quantile(joint: JointNormalMixture, q: Real, lower: bool | Array) -> Real:
    """``x`` that X falls below with probability ``q``; above if not ``lower``."""
    law, mu, sd = standard(joint)

    def of_log(log_q, upper):
        return mu + sd * mixture_log_quantile(log_q, upper, *law)

    return of_smaller_tail(of_log, q, lower, -jnp.inf)


def value_at_risk(joint: JointNormalMixture, level: Real) -> Real:
    """The loss that is not exceeded with probability ``level``."""
    return -quantile(joint, level, False)


def value_and_shortfall(joint: JointNormalMixture, level: Real) -> tuple[Real, Real]:
    """The value at risk, and the mean of the losses beyond; infinite where it is."""
    loss = value_at_risk(joint, level)
    return loss, loss + partial_moment(joint, -loss, 1, False) / (1 - level)


def expected_shortfall(joint: JointNormalMixture, level: Real) -> Real:
    """The mean of the losses beyond the value at risk; infinite where it is."""
    return value_and_shortfall(joint, level)[1]


def expectile(joint: JointNormalMixture, level: Real) -> Real:
    """The ``e`` with ``level E[(-X - e)₊] = (1 - level) E[(e + X)₊]``; with a mean."""
    mean = joint.mu[0] + joint.gamma[0] * joint.subordinator.cumulants(2)[0]
    # Convex from level one half on and concave below: from the mean Newton's method
    # comes from the side on which it cannot overshoot.

    def excess(c):
        """Of ``X < c`` over ``X > c``, by weight, and its slope.

        By the smaller of the two, and the mean for their difference.
        """
        low = level < 0.5
        beyond = partial_moment(joint, c, 1, False), partial_moment(joint, c, 1, True)
        chance = partial_moment(joint, c, 0, False), -partial_moment(joint, c, 0, True)
        share = jnp.where(low, level, 1 - level)
        weight = 2 * level - 1
        value = weight * jnp.where(low, beyond[1], beyond[0]) + share * (c - mean)
        return value, weight * jnp.where(low, chance[1], chance[0]) + share

    def newton(c):
        value, slope = excess(c)
        return c - value / slope

    def step(state):
        c, _, k = state
        new = newton(c)
        moved = jnp.abs(new - c) > 4 * jnp.finfo(c.dtype).eps * jnp.abs(new - mean)
        return new, moved.any(), k + 1

    start = mean + 0 * level, jnp.array(True), 0
    c = lax.while_loop(lambda s: s[1] & (s[2] < _MOST_STEPS), step, start)[0]
    # Two more steps have the derivatives of the root, to second order.
    return -newton(newton(lax.stop_gradient(c)))


def omega(joint: JointNormalMixture, x: Real) -> Real:
    """``E[(X - x)₊]/E[(x - X)₊]``."""
    return partial_moment(joint, x, 1, True) / partial_moment(joint, x, 1, False)


MEASURES = {
    "value_at_risk": value_at_risk,
    "expected_shortfall": expected_shortfall,
    "expectile": expectile,
}


@of_few("name")
def measured(joint: JointNormalMixture, level: Array, name: str) -> Array:
    """A measure by its name."""
    return MEASURES[name](joint, level)


@of_few("order", "upper")
def partial_moments(
    joint: JointNormalMixture, x: Array, order: int, upper: bool
) -> Array:
    """:func:`partial_moment`, compiled."""
    return partial_moment(joint, x, order, upper)


@of_few()
def omegas(joint: JointNormalMixture, x: Array) -> Array:
    """:func:`omega`, compiled."""
    return omega(joint, x)
