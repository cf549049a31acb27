r"""Moments of ``GIG(q, z, z)`` by one plain sum for all orders and arguments.

About the mode of ``t = log Y``, in ``u``, the density falls as :math:`e^{-D(u)}` with

.. math:: D(u) = \tfrac12\omega_+(e^u - 1 - u) + \tfrac12\omega_-(e^{-u} - 1 + u),
    \quad \omega_\pm = \sqrt{q^2 + z^2} \pm q,

two terms that are never negative and do not cancel, whatever ``q >= 0`` and ``z``. The
trapezoid rule converges exponentially on it.

The E-step's table and the η → θ solver evaluate a handful of laws at a time and
differentiate none of them. They therefore afford as many nodes as the widest of these
laws needs, where :mod:`normix.special.gig` takes a series for small arguments: a small
part of the graph to compile.
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from normix._inline import fori_loop
from normix.special._hypot import hypot
from normix.special._quadrature import sinh_minus

Real = Float[Array, "..."]

# Steps of _STEP/sqrt(omega + _STEP_SHIFT) resolve the density to rounding: 0.18 where
# its tails are exponential, 0.45 standard deviations where it is nearly normal.
_STEP = 0.45
_STEP_SHIFT = 6.0
_DROP = 46.0  # e^{-46} ~ 1e-20
# Nodes on either side that one turn of the loop takes together: of the table's sixty
# laws, and of the solver's one.
_NODES_OF_MANY = 8
_NODES_OF_FEW = 16


class AboutMode(NamedTuple):
    """Moments in ``u``, the distance of ``log Y`` from its mode.

    Those below the first four are None unless they are asked for.
    """

    plus: Real  # ω₊: the mode of Y is plus/z
    log_mass: Real  # log ∫ e^{-D(u)} du
    u: Real  # E u
    below: Real  # E e^{-u} - 1
    above: Real | None = None  # E e^u - 1
    square: Real | None = None  # E u²
    u_above: Real | None = None  # E u (e^u - 1)
    u_below: Real | None = None  # E u (e^{-u} - 1)


def about_mode(q: Real, log_z: Real, *, all_moments: bool = False) -> AboutMode:
    """The moments of ``GIG(q, z, z)``, ``q >= 0``; also in the limit ``z = 0``.

    ``log_z`` is minus infinity there, and ``q > 0``; ``E e^{-u}`` asks for ``q > 1``.
    Other arguments may be as small as ``tiny**0.45``, or with ``all_moments`` as
    ``tiny**0.9``.
    """
    z = jnp.exp(log_z)
    omega = hypot(q, z)
    plus = omega + q
    log_minus = 2 * log_z - jnp.log(plus)  # of a number that may underflow
    # Of many laws, common parts are computed once: left to itself, XLA repeats them in
    # every sum. Of one law, that is cheaper than to hand them on.
    nodes = _NODES_OF_FEW if all_moments else _NODES_OF_MANY
    step, turns = _steps(omega, plus, log_minus, nodes)

    def once(values):
        return values if all_moments else lax.optimization_barrier(values)

    # e^h - 1 ∓ h for the steps within a turn; from turn to turn by the addition
    # theorems: sums of positive terms, which keep their relative accuracy. On the left
    # e^{|u|} comes with ω_- = z (z/ω_+), of which one factor z is carried along.
    h = jnp.arange(1, nodes + 1, dtype=step.dtype)
    h = h.reshape(-1, *(1,) * step.ndim) * step
    grow = jnp.expm1(h)
    shrink = grow / (1 + grow)
    even = 0.5 * grow * shrink
    near = h < 1 / 3
    odd = jnp.where(
        near, sinh_minus(jnp.where(near, h, 0.0)), 0.5 * (grow + shrink) - h
    )
    rise, fall = even + odd, even - odd
    grow, shrink, rise, fall = once((grow, shrink, rise, fall))
    minus = z / plus  # over z

    def body(k, state):
        up, z_up, down, sums = state
        begin = (k * nodes) * step
        z_up = z_up + grow * (z_up + z * begin) + z * rise
        up = up + grow * (up + begin) + rise
        down = down - shrink * (down - begin) + fall
        u = begin + h
        right = jnp.exp(-0.5 * (plus * up + minus * (z * down)))
        drop = -0.5 * (plus * down + minus * z_up)
        left = jnp.exp(drop)
        up, down, right, left = once((up, down, right, left))
        # e^{±u} - 1 on either side
        to_left = left * (up + u)
        if all_moments:  # far out e^u alone may overflow
            to_left = jnp.where(u < 1, to_left, jnp.exp(drop + u) - left)
        terms = [right + left, (right - left) * u, right * (down - u) + to_left]
        if all_moments:
            to_right = jnp.where(right > 0, right * (up + u), 0.0)
            back = left * (down - u)
            terms += [
                to_right + back,
                (right + left) * u * u,
                (to_right - back) * u,
                (right * (down - u) - to_left) * u,
            ]
        sums = tuple(x + y.sum(axis=0) for x, y in zip(sums, terms, strict=True))
        return up[-1], z_up[-1], down[-1], sums

    zero = jnp.zeros_like(step)
    sums = (zero,) * (7 if all_moments else 3)
    sums = fori_loop(0, turns, body, (zero, zero, zero, sums))[3]
    total, *rest = sums
    total = 1 + total
    return AboutMode(plus, jnp.log(step * total), *(x / total for x in rest))


def _steps(omega: Real, plus: Real, log_minus: Real, nodes: int) -> tuple[Real, Array]:
    """The distance of the nodes, and turns of the loop that reach far enough.

    The left end is that for the law of weight ``e^{-u}`` times the density: either of
    the two terms alone has fallen by _DROP there. For ``q <= 1`` the first never does,
    and in the limit ``z = 0`` the second.
    """
    excess = plus - 2
    r = jnp.where(excess > 0, 2 * _DROP / jnp.where(excess > 0, excess, 1.0), jnp.inf)
    growth = jnp.logaddexp(0.0, jnp.log(2 * _DROP) - log_minus)
    log_s = jnp.log(2 * (_DROP + growth)) - log_minus
    s = jnp.exp(jnp.minimum(log_s, 80.0))
    other = jnp.where(log_s > 80, log_s, jnp.log1p(s + jnp.sqrt(2 * s)))
    reach = jnp.minimum(r + jnp.sqrt(2 * r), other)
    needed = reach / _STEP * jnp.sqrt(omega + _STEP_SHIFT)
    # NaN parameters in one lane must not count for the others.
    most = jnp.where(jnp.isfinite(needed), needed, 1.0).max()
    turns = jnp.ceil(most / nodes)
    return reach / (turns * nodes), turns.astype(int)
