r"""Reduced moments of ``GIG(p, z, z)`` by one plain sum for all orders and arguments.

The η → θ solver evaluates a handful of parameter sets at a time and differentiates
none of them. It therefore affords the trapezoid rule of :mod:`normix.special.gig` with
as many nodes as the widest law needs, where that module takes a series for small
arguments: a small part of the graph to compile.
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from normix.special._quadrature import sinh_minus

Real = Float[Array, "..."]

# Steps of _STEP/sqrt(omega + _STEP_SHIFT) resolve the density to rounding: 0.18 where
# its tails are exponential, 0.45 standard deviations where it is nearly normal.
_STEP = 0.45
_STEP_SHIFT = 6.0
_DROP = 46.0  # e^{-46} ~ 1e-20


class Reduced(NamedTuple):
    """With ``t = log Y``, ``A = E e^t`` and ``B = E e^{-t}``."""

    r: Real  # log(AB)
    c: Real  # E t - log(A/B)/2
    tilt: Real  # log(A/B)
    k_up: Real  # Cov(t, e^t)/A
    k_down: Real  # Cov(t, e^{-t})/B
    var: Real  # Var t


def reduced_moments(p: Real, log_z: Real) -> Reduced:
    r"""The moments of ``GIG(p, z, z)`` about the mode of ``t``; any order ``p``.

    In ``u``, the distance from the mode, the density falls as :math:`e^{-D(u)}`,

    .. math:: D(u) = \tfrac12\omega_+(e^u - 1 - u) + \tfrac12\omega_-(e^{-u} - 1 + u),
        \quad \omega_\pm = \sqrt{p^2 + z^2} \pm |p|,

    two terms that are never negative and do not cancel, whatever ``p`` and ``z``.
    """
    q, z = jnp.abs(p), jnp.exp(log_z)
    omega = jnp.hypot(q, z)
    plus = omega + q
    log_minus = 2 * log_z - jnp.log(plus)  # of a number that may underflow

    # The left end, for the law of weight e^{-u} times the density: either of the two
    # terms alone has fallen by _DROP there. For q <= 1 the first never does.
    r = 2 * _DROP / jnp.maximum(plus - 2, 0.0)
    growth = jnp.logaddexp(0.0, jnp.log(2 * _DROP) - log_minus)
    log_s = jnp.log(2 * (_DROP + growth)) - log_minus
    s = jnp.exp(jnp.minimum(log_s, 80.0))
    other = jnp.where(log_s > 80, log_s, jnp.log1p(s + jnp.sqrt(2 * s)))
    reach = jnp.minimum(r + jnp.sqrt(2 * r), other)
    needed = reach / _STEP * jnp.sqrt(omega + _STEP_SHIFT)
    # NaN parameters in one lane must not count for the others.
    pairs = jnp.ceil(jnp.where(jnp.isfinite(needed), needed, 1.0).max())
    step = reach / pairs

    # e^h - 1 ∓ h, and from node to node by the addition theorems: sums of positive
    # terms, which keep their relative accuracy without any exp. On the left e^{|u|}
    # comes with ω_- = z (z/ω_+), of which one factor z is carried along.
    grow = jnp.expm1(step)
    shrink = grow / (1 + grow)
    even, odd = 0.5 * grow * shrink, sinh_minus(step)
    first = even + odd, even - odd

    def body(k, state):
        up, z_up, down, sums = state
        u = (k - 1) * step
        z_up = z_up + grow * (z_up + z * u) + z * first[0]
        up = up + grow * (up + u) + first[0]
        down = down - shrink * (down - u) + first[1]
        u = u + step
        right = jnp.exp(-0.5 * (plus * up + z / plus * (z * down)))
        drop = -0.5 * (plus * down + z / plus * z_up)
        left = jnp.exp(drop)
        # e^{±u} - 1 on either side; far out e^u alone may overflow.
        rise, fall = up + u, down - u
        far = jnp.where(u < 1, left * rise, jnp.exp(drop + u) - left)
        near = jnp.where(right > 0, right * rise, 0.0)
        terms = (
            right + left,
            (right - left) * u,
            (right + left) * u * u,
            near + left * fall,
            right * fall + far,
            (near - left * fall) * u,
            (right * fall - far) * u,
        )
        sums = tuple(x + y for x, y in zip(sums, terms, strict=True))
        return up, z_up, down, sums

    zero = jnp.zeros_like(step)
    start = zero, zero, zero, (jnp.ones_like(step),) + (zero,) * 6
    sums = lax.fori_loop(1, pairs.astype(int) + 1, body, start)[3]
    total, *rest = sums
    u, u2, above, below, u_above, u_below = (x / total for x in rest)
    log_up, log_down = jnp.log1p(above), jnp.log1p(below)
    k_up = (u_above - u * above) / (1 + above)
    k_down = (u_below - u * below) / (1 + below)
    skew = log_up - log_down
    c, tilt = u - 0.5 * skew, 2 * (jnp.log(plus) - log_z) + skew
    negative = p < 0  # then t -> -t
    return Reduced(
        r=log_up + log_down,
        c=jnp.where(negative, -c, c),
        tilt=jnp.where(negative, -tilt, tilt),
        k_up=jnp.where(negative, -k_down, k_up),
        k_down=jnp.where(negative, -k_up, k_down),
        var=u2 - u * u,
    )
