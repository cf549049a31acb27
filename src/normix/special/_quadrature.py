r"""The trapezoid rule for :math:`\int e^{pt - z\cosh t}\,dt`, centred at its mode.

Substituting ``t = t* + u`` with ``t* = asinh(p/z)`` gives, for ``p >= 0``,

.. math:: p t - z\cosh t = (p t^* - \omega) - D(u), \qquad
          D(u) = \omega(\cosh u - 1) + p(\sinh u - u), \quad
          \omega = \sqrt{p^2 + z^2}.

``D`` is convex with ``D(0) = 0`` and grows doubly exponentially, so equally
spaced nodes converge exponentially (Trefethen & Weideman, SIAM Review 56, 2014).

Nodes come in pairs ``±u``. The even and the odd part of every summand are carried
side by side, so that odd means, which vanish with ``p``, keep their relative
accuracy.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from normix._inline import fori_loop
from normix.special._cumulants import Index, multi_indices
from normix.special._hypot import hypot

Real = Float[Array, "..."]
# The even and the odd part of a function of u, from (u, cosh u - 1, sinh u).
Feature = Callable[[Real, Real, Real], tuple[Real, Real]]


_UNROLL = 1  # nodes a pass over the arrays; more gains little, compiles longer


class Tilt(NamedTuple):
    """Where the integrand lies, for an order ``p >= 0`` and an argument ``z > 0``."""

    p: Real
    omega: Real
    mode: Real
    reach: Real


def locate_mode(p: Real, z: Real, omega: Real) -> Real:
    """``asinh(p/z)`` for ``p >= 0``, where ``p/z`` itself may overflow."""
    small = z < 1e-3 * p
    near = jnp.log1p((p + p * (p / (z + omega))) / jnp.where(small, p, z))
    far = jnp.log(jnp.where(small, p + omega, 1.0)) - jnp.log(z)
    return jnp.where(small, far, near)


def tilt(p: Real, z: Real, *, drop: float) -> Tilt:
    """Find the reach: ``D(-reach) = drop``, the longer side for ``p >= 0``.

    The closed-form limit bounds the true one from outside (it inverts a minorant of
    ``D``); ``D`` is convex, so two Newton steps move it inwards, never past.
    """
    omega = hypot(p, z)
    omega_plus = omega + p
    omega_minus = z * (z / omega_plus)
    r = 2 * drop / omega_plus
    # omega_minus underflows at small z, where the other bound is the smaller one.
    s = 2 * drop / jnp.maximum(omega_minus, 1e-30)
    reach = jnp.minimum(jnp.log1p(s + jnp.sqrt(2 * s)), r + jnp.sqrt(2 * r))
    for _ in range(2):
        x = jnp.expm1(reach)
        y = -x / (1 + x)
        defect = 0.5 * (omega_plus * (y + reach) + omega_minus * (x - reach)) - drop
        reach = reach - defect / (0.5 * (omega_minus * x - omega_plus * y))
    return Tilt(p, omega, locate_mode(p, z, omega), reach)


def sinh_minus(h: Real) -> Real:
    """``sinh h - h`` for ``0 <= h < 1/3``, by its series."""
    h2 = h * h
    total = jnp.ones_like(h)
    for m in (156, 110, 72, 42, 20):
        total = 1 + h2 / m * total
    return h * h2 / 6 * total


def moments(
    at: Tilt, features: tuple[Feature, ...], order: int, *, pairs: int
) -> tuple[Real, dict[Index, Real]]:
    r"""The integral ``∫ e^{-D(u)} du`` and the moments of ``features`` up to ``order``.

    Every feature vanishes at ``u = 0``. The loop runs over nodes and carries only the
    sums: they stay in cache, where an ``(..., nodes)`` array would not.
    """
    step = at.reach / pairs
    indices = multi_indices(len(features), order)
    # cosh h - 1, sinh h and sinh h - h
    half = jnp.sinh(0.5 * step)
    c_step = 2 * half * half
    s_step = jnp.sinh(step)
    q_step = sinh_minus(step)

    def body(k, state):
        c, q, sums = state
        # On to u + h by the addition theorems: sums of positive terms, which keep the
        # relative accuracy of cosh u - 1 and of q = sinh u - u without any exp.
        u = k * step
        s = q + u
        rise = s * c_step + c * s_step
        c = c + (c * c_step + s * s_step + c_step)
        q = q + (rise + q_step)
        u = u + step
        s = q + u

        skew = at.p * q
        left = jnp.exp(skew - at.omega * c)
        excess = left * jnp.expm1(-2 * skew)
        # weight(u) ± weight(-u), then times each feature in turn:
        parts = {indices[0]: (left + left + excess, excess)}
        values = [feature(u, c, s) for feature in features]
        for a in indices[1:]:
            i = next(j for j, degree in enumerate(a) if degree)
            even, odd = parts[tuple(d - (j == i) for j, d in enumerate(a))]
            f_even, f_odd = values[i]
            parts[a] = (even * f_even + odd * f_odd, odd * f_even + even * f_odd)
        sums = tuple(t + parts[a][0] for t, a in zip(sums, indices, strict=True))
        return c, q, sums

    zero = jnp.zeros_like(step)
    start = (jnp.ones_like(zero),) + (zero,) * (len(indices) - 1)
    total, *rest = fori_loop(0, pairs, body, (zero, zero, start), unroll=_UNROLL)[2]
    means = {indices[0]: jnp.ones_like(zero)}
    means |= {a: t / total for a, t in zip(indices[1:], rest, strict=True)}
    return step * total, means
