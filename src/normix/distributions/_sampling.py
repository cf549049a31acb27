r"""Exact draws from the generalized inverse Gaussian law and its limits.

Rejection on ``t = log y``, where the density is log-concave: the hat joins the two
tangents at which the log-density has dropped by one from its mode to a flat top
(Devroye, Statistics and Computing 24, 2014). Its area is the distance between the
tangent points, and the acceptance rate is at least ``1 - 1/e`` for all parameters.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from normix._inline import while_loop
from normix.special._hypot import hypot

# Proposals a round: few enough to stay in cache.
_ROUND = 1 << 16


def _batch(n: int) -> int:
    """Proposals a round for ``n`` draws, of which a part is refused."""
    return n if n < 8 else min(n + n // 5 + 8, _ROUND)


def _tangents(omega_plus, omega_minus):
    """Where ``D(u) = 1`` on either side, and the slopes of ``D`` there."""

    def drop(u):
        x = jnp.expm1(u)
        # Far down, where exp(-u) overflows, it counts only if there is a factor to it.
        y = jnp.where(omega_minus > 0, jnp.expm1(-u), 0.0)
        value = 0.5 * (omega_plus * (x - u) + omega_minus * (y + u))
        return value, 0.5 * (omega_plus * x - omega_minus * y)

    def solve(sign):
        # From outside, where convexity makes Newton's method monotone; the start is
        # the root of the larger of the two terms alone.
        r = 2 / omega_plus
        s = 2 / jnp.maximum(omega_minus, 1e-30)
        outer = jnp.log1p(r + jnp.sqrt(2 * r))
        if sign < 0:
            inner = jnp.log1p(s + jnp.sqrt(2 * s))
            outer = jnp.minimum(inner, r + jnp.sqrt(2 * r))
        u = sign * outer
        for _ in range(6):
            value, slope = drop(u)
            u = u - (value - 1) / slope
        return jnp.abs(u), jnp.abs(drop(u)[1])

    return solve(1), solve(-1), drop


def draw_log_gig(
    key: PRNGKeyArray, p: Array, a: Array, b: Array, n: int
) -> Float[Array, " n"]:
    """``n`` draws of ``log Y``, ``Y ~ GIG(p, a, b)``, scalars ``p``, ``a``, ``b``.

    ``b = 0`` (Gamma) and ``a = 0`` (inverse Gamma) are included.
    """
    negative = p < 0
    order = jnp.abs(p)
    rate = jnp.where(negative, b, a)
    z = jnp.sqrt(a) * jnp.sqrt(b)
    omega_plus = hypot(order, z) + order
    omega_minus = z * (z / omega_plus)
    (right, d_right), (left, d_left), drop = _tangents(omega_plus, omega_minus)
    top_right, top_left = right - 1 / d_right, left - 1 / d_left
    batch = _batch(n)

    def propose(key):
        k_place, k_accept = jax.random.split(key)
        place = jax.random.uniform(k_place, (batch,), p.dtype) * (left + right)
        beyond = left + right - place
        in_left, in_right = place < 1 / d_left, beyond < 1 / d_right
        # Within a tail its place is uniform, too, and not yet used.
        share = jnp.where(in_left, place * d_left, beyond * d_right)
        in_tail = in_left | in_right
        tiny = jnp.finfo(share.dtype).tiny
        tail = -jnp.log(jnp.where(in_tail, jnp.maximum(share, tiny), 1.0))
        u = jnp.where(
            in_left,
            -top_left - tail / d_left,
            jnp.where(in_right, top_right + tail / d_right, place - left),
        )
        height = jax.random.uniform(k_accept, (batch,), p.dtype)
        return u, height < jnp.exp(tail - drop(u)[0])

    def refill(state):
        key, out, filled = state
        key, now = jax.random.split(key)
        u, accepted = propose(now)
        slot = filled + jnp.cumsum(accepted, dtype=filled.dtype) - 1
        out = out.at[jnp.where(accepted, slot, n)].set(u, mode="drop")
        return key, out, jnp.minimum(filled + accepted.sum(dtype=filled.dtype), n)

    # Invalid parameters would never accept: they give NaN instead.
    valid = jnp.isfinite(left + right) & jnp.isfinite(omega_plus / rate)
    start = (key, jnp.full(n, jnp.nan, p.dtype), jnp.zeros((), jnp.result_type(int)))
    _, u, _ = while_loop(lambda s: (s[2] < n) & valid, refill, start)
    log_y = jnp.log(omega_plus / rate) + u
    return jnp.where(negative, -log_y, log_y)


def draw_inverse_gaussian(
    key: PRNGKeyArray, mu: Array, lam: Array, n: int
) -> Float[Array, " n"]:
    """``n`` draws from ``IG(mu, lam)`` (Michael, Schucany, Haas, 1976).

    The smaller root is formed without the cancellation of the published formula.
    """
    k_normal, k_uniform = jax.random.split(key)
    chi2 = jax.random.normal(k_normal, (n,), mu.dtype) ** 2
    v = 0.5 * chi2 / lam
    # In units of mu the squares of large numbers overflow.
    smaller = 1 / (1 / mu + v + jnp.sqrt(v) * jnp.sqrt(2 / mu + v))
    root = smaller / mu
    uniform = jax.random.uniform(k_uniform, (n,), mu.dtype)
    return jnp.where(uniform * (1 + root) <= 1, smaller, mu / root)
