r"""Measures of loss of a univariate mixture: value at risk, expected shortfall, others.

A loss is ``-X``. With :math:`L_k(x) = E[(x - X)_+^k]`, a sum of positive terms
(:mod:`normix.special.mixture_tails`), and the quantile ``q`` that ``X`` falls below
with probability ``1 - level``, the expected shortfall is
:math:`-q + L_1(q)/(1 - \text{level})`: far in the tail no digits are lost.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from normix._compile import of_each
from normix._inline import while_loop
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


class _Standard(NamedTuple):
    """The law of ``B Y + √Y Z``: ``Y ~ GIG(p, a, b)``, of which two cumulants."""

    p: Array
    a: Array
    b: Array
    B: Array
    mean: Array  # of Y
    var: Array

    @property
    def mean_x(self) -> Array:
        """The mean of the mixture, where it has one."""
        return jnp.where(self.B == 0, 0.0, self.B * self.mean)

    @property
    def law(self) -> tuple[Array, Array, Array, Array]:
        return self[:4]


def _of_joint(joint: JointNormalMixture):
    """The standardised law, and the map to it: μ and σ."""
    law, mu, sd = standard(joint)
    return _Standard(*law, *joint.subordinator.cumulants(2)), mu, sd


def _beyond(of: _Standard, z: Real, order: int) -> tuple[Real, Real]:
    """``E[(z - X)₊ᵏ]`` and ``E[(X - z)₊ᵏ]`` of a standardised law.

    One of them is an integral; beyond most of the law, what lies on the other side is
    little, and the whole moment gives the other. Where there is no such moment, one at
    most is finite, that of the tail which skewness points away from; a symmetric law
    has them for fewer moments of Y.
    """
    p, a, b, B = of.law
    if order == 0:
        lower, upper = mixture_log_tails(*of.law, z)
        return jnp.exp(lower), jnp.exp(upper)
    whole = jnp.isfinite(of.mean if order == 1 else of.var) | (B == 0)
    known = is_upper(*of.law, z)
    upper = jnp.where(whole, known, B < 0)
    side = jnp.where(upper, -1.0, 1.0)
    here = jnp.exp(mixture_log_shortfall(p, a, b, side * B, side * z, order))
    mean = jnp.where(jnp.isfinite(of.mean), of.mean, 0.0)
    gap = z - B * mean
    if order == 1:
        other = here - side * gap
    else:
        var = jnp.where(jnp.isfinite(of.var), of.var, 0.0)
        other = gap**2 + mean + B**2 * var - here
    return jnp.where(upper, other, here), jnp.where(upper, here, other)


def both_partial_moments(
    joint: JointNormalMixture, x: Real, order: int
) -> tuple[Real, Real]:
    """``E[(x - X)₊ᵏ]`` and ``E[(X - x)₊ᵏ]``; infinite where they are."""
    of, mu, sd = _of_joint(joint)
    found = _beyond(of, (x - mu) / sd, order)
    if order == 0:
        return found
    lower, upper = (
        jnp.where(exists(joint, order, side), sd**order * value, jnp.inf)
        for side, value in zip((False, True), found, strict=True)
    )
    return lower, upper


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
    below, _ = both_partial_moments(joint, -loss, 1)
    return loss, loss + below / (1 - level)


def expected_shortfall(joint: JointNormalMixture, level: Real) -> Real:
    """The mean of the losses beyond the value at risk; infinite where it is."""
    return value_and_shortfall(joint, level)[1]


def _excess(level: Real, of: _Standard, z: Real) -> tuple[Real, Real]:
    """Of ``X < z`` over ``X > z``, by weight, and its slope.

    By the moment on the side of the smaller weight, and the mean for the difference.
    """
    low = level < 0.5
    share, weight = jnp.where(low, level, 1 - level), 2 * level - 1
    (below, above), (less, more) = _beyond(of, z, 1), _beyond(of, z, 0)
    value = weight * jnp.where(low, above, below) + share * (z - of.mean_x)
    return value, weight * jnp.where(low, -more, less) + share


@jax.custom_jvp
def _gain_expectile(level: Real, of: _Standard) -> Real:
    """Where :func:`_excess` is 0.

    It is convex in ``z`` for levels from one half on and concave below: from the mean
    Newton's method comes from the side on which it cannot overshoot.
    """
    mean = of.mean_x

    def step(state):
        z, _, k = state
        value, slope = _excess(level, of, z)
        new = z - value / slope
        moved = jnp.abs(new - z) > 4 * jnp.finfo(z.dtype).eps * jnp.abs(new - mean)
        return new, moved.any(), k + 1

    start = mean + 0 * level, jnp.array(True), 0
    return while_loop(lambda s: s[1] & (s[2] < _MOST_STEPS), step, start)[0]


@_gain_expectile.defjvp
def _gain_expectile_jvp(primals, tangents):
    level, of = primals
    z = _gain_expectile(level, of)
    along = jax.jvp(lambda level, of: _excess(level, of, z)[0], primals, tangents)[1]
    return z, -along / _excess(level, of, z)[1]


def expectile(joint: JointNormalMixture, level: Real) -> Real:
    """The ``e`` with ``level E[(-X - e)₊] = (1 - level) E[(e + X)₊]``; with a mean."""
    of, mu, sd = _of_joint(joint)
    level = jnp.asarray(level, of.mean.dtype)
    return -(mu + sd * _gain_expectile(level, of))


def omega(joint: JointNormalMixture, x: Real) -> Real:
    """``E[(X - x)₊]/E[(x - X)₊]``."""
    below, above = both_partial_moments(joint, x, 1)
    return above / below


MEASURES = {
    "value_at_risk": value_at_risk,
    "expected_shortfall": expected_shortfall,
    "expectile": expectile,
}


@of_each("name")
def measured(joint: JointNormalMixture, level: Array, name: str) -> Array:
    """A measure by its name."""
    return MEASURES[name](joint, level)


@of_each("order")
def partial_moments(joint: JointNormalMixture, x: Array, order: int) -> tuple:
    """:func:`both_partial_moments`, compiled."""
    return both_partial_moments(joint, x, order)


@of_each()
def omegas(joint: JointNormalMixture, x: Array) -> Array:
    """:func:`omega`, compiled."""
    return omega(joint, x)
