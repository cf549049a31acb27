r"""GIG laws of a given order from ``E[1/Y]`` and ``E[Y]``.

At a fixed order ``p`` the two expectations determine ``(a, b)``, and that law is the
one of maximum likelihood: the log-likelihood is concave in ``(a, b)``. With
``q = |p|`` (for ``p < 0`` the roles of ``Y`` and ``1/Y`` change), ``z = sqrt(ab)`` and
``v = z K_{q-1}(z)/K_q(z)``,

.. math:: b\,E[1/Y] = v, \qquad a\,E[Y] = v + 2q, \qquad
          E[Y]\,E[1/Y] = v (v + 2q)/z^2,

so one equation is left, the last, for ``z``. Its right-hand side decreases from
``q/(q - 1)``, or from infinity where ``q <= 1``, to 1.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import gammaln
from jaxtyping import Array, ArrayLike, Float

from normix._inline import while_loop
from normix.special._hypot import hypot
from normix.special._quadrature import moments, tilt
from normix.special._series import log_kv_series
from normix.special.bessel import as_floats, in_series_domain
from normix.special.gig import gig_cumulants

Real = Float[Array, "..."]

_PAIRS = 40
_DROP = 46.0
_MAX_STEPS = 60
# From here on the expansion in 1/hypot(q, z) is closer than a difference of terms
# that cancel to one part in hypot(q, z).
_FLAT = 1e4
_LOWEST = 0.975  # log z down to this part of log(tiny), which is 1e-300 for doubles
_LOG_2 = float(np.log(2.0))


class _At(NamedTuple):
    """What the equation needs of one ``(q, log z)``; ``w = E[Y] E[1/Y] - 1``."""

    log_w: Real
    log_v: Real
    log_w_slope: Real  # in log z
    log_v_slope: Real


def _series(q, log_z) -> tuple[Real, Real]:
    """``log w`` and ``log v`` by ratios of Bessel functions; ``z < 1``."""
    below = jnp.abs(q - 1)
    orders = jnp.stack([below, q])
    lower, upper = log_kv_series(orders, log_z, max_order=7, reduced=True)
    power = q - 1 - below  # 0 for q >= 1: no power of z is left
    log_ratio = lower - upper + power * (log_z - _LOG_2) - _LOG_2  # log(v/z^2)
    log_v = log_ratio + 2 * log_z
    log_product = log_ratio + jnp.log(2 * q + jnp.exp(log_v))
    # w itself, and not its logarithm, overflows.
    tall = log_product > 1
    flat = jnp.log(jnp.expm1(jnp.where(tall, 1.0, log_product)))
    return jnp.where(tall, log_product + jnp.log1p(-jnp.exp(-log_product)), flat), log_v


def _quadrature(q, log_z) -> tuple[Real, Real]:
    """The same by the trapezoid rule, from positive sums."""
    z = jnp.exp(log_z)
    at = tilt(q, z, drop=_DROP)

    def inv_y(u, c, s):
        return c, -s

    def y(u, c, s):
        return c, s

    _, means = moments(at, (inv_y, y), 1, pairs=_PAIRS)
    down, up = means[1, 0], means[0, 1]
    log_v = 2 * log_z + jnp.log1p(down) - jnp.log(at.omega + q)
    return jnp.log(down + up + down * up), log_v


def _product_slope(q, z, v, u):
    """``d log(1 + w)/d log z`` at fixed ``q``, from ``u = 1/w``: negative."""
    omega = hypot(q, z)
    near = 2 * (v + q) / (1 + u) - 2
    # u = omega - q^2/omega^2 - 1/(8 omega) + …
    bend = 1 + 0.125 / omega**2 + 2 * (q / omega) ** 2 / omega
    flat = omega > _FLAT
    u = jnp.where(flat, u, 1.0)
    far = -(z / omega) * z * bend / (u * (1 + u))
    return jnp.where(flat, far, near)


def _evaluate(q, log_z) -> _At:
    z = jnp.exp(log_z)
    small = in_series_domain(q, z)
    series = _series(jnp.where(small, q, 1.0), jnp.where(small, log_z, -1.0))
    quad = _quadrature(jnp.where(small, 1.0, q), jnp.where(small, 0.0, log_z))
    log_w, log_v = (jnp.where(small, x, y) for x, y in zip(series, quad, strict=True))
    u = jnp.exp(-log_w)
    slope = _product_slope(q, z, jnp.exp(log_v), u)
    # The recurrences of the Bessel functions give dv/dlog z = z^2 w.
    return _At(log_w, log_v, slope * (1 + u), jnp.exp(2 * log_z + log_w - log_v))


def _start(q, log_w):
    """``log z`` from the leading terms for small ``z``, or for large."""
    # Of E[Y] E[1/Y] = q (1 - Γ(1-s)/Γ(1+s) (z/2)^{2s})/s, s = q - 1, for q < 2
    s = jnp.clip(q - 1, -0.99, 0.99)
    s = jnp.where(jnp.abs(s) < 1e-4, 1e-4, s)
    power = jnp.logaddexp(0.0, log_w + jnp.log(jnp.abs(s)))
    room = jnp.log1p(-jnp.minimum(jnp.exp(log_w) * jnp.maximum(s, 0.0), 0.99))
    power = jnp.where(s > 0, room, power) - jnp.log(1 + s)
    small = _LOG_2 + (power - gammaln(1 - s) + gammaln(1 + s)) / (2 * s)
    # Of 1/w = q - 1 + z^2/(2 (q - 2)), for q > 2, and w = 1/z for large z
    excess = jnp.maximum(jnp.exp(-log_w) - jnp.maximum(q - 1, 0.0), 0.0)
    large = 0.5 * jnp.log(excess * (excess + 2 * jnp.maximum(q - 2, 0.0)))
    return jnp.where((q < 1.9) & (small < -1.5), small, large)


def _solve(q, r) -> Real:
    """``log v`` for ``r = log(1 + w) > 0`` in the range of the order; else ``-inf``.

    Safeguarded Newton steps for ``log(1/w - max(q - 1, 0))``, which increases in
    ``log z`` and is nearly linear at both ends.
    """
    eps = jnp.finfo(r.dtype).eps
    log_w = jnp.where(r > 1, r + jnp.log1p(-jnp.exp(-r)), jnp.log(jnp.expm1(r)))
    log_gap = jnp.log(jnp.maximum(q - 1, 0.0))
    lowest = _LOWEST * jnp.log(jnp.finfo(r.dtype).tiny)

    def coordinate(log_w):
        used = jnp.exp(log_w + log_gap)  # (q - 1) w < 1 in the interior
        return -log_w + jnp.log1p(-jnp.minimum(used, 1.0)), 1 - used

    target, room = coordinate(log_w)
    # 1/w is known to this relative accuracy, and no better can be asked of it.
    rounding = 4 * eps * jnp.maximum(1 + jnp.exp(-log_w), jnp.abs(log_w))
    at_edge = room <= rounding

    def running(state):
        return (state[0] < _MAX_STEPS) & ~state[-1]

    def step(state):
        k, log_z, low, high, _, _ = state
        at = _evaluate(q, log_z)
        value, free = coordinate(at.log_w)
        above = value > target
        low, high = jnp.where(above, low, log_z), jnp.where(above, log_z, high)
        move = (value - target) * free / at.log_w_slope
        # Convergence is quadratic: the step from here is exact to rounding.
        done = jnp.abs(value - target) <= 2 * jnp.sqrt(eps)
        done |= jnp.abs(at.log_w - log_w) <= rounding
        beyond = above & (log_z <= lowest) & (q > 0)
        log_v = jnp.where(beyond, -jnp.inf, at.log_v + at.log_v_slope * move)
        onward = jnp.maximum(log_z + move, lowest)
        inside = (onward > low) & (onward < high)
        onward = jnp.where(inside, onward, 0.5 * (jnp.maximum(low, lowest) + high))
        return k + 1, onward, low, high, log_v, done | beyond

    # z < 1 + 1/w
    high = jnp.log1p(jnp.exp(-log_w))
    log_z = _start(q, log_w)
    log_z = jnp.where(jnp.isnan(log_z), 0.0, jnp.clip(log_z, lowest, high))
    zero = jnp.zeros((), jnp.result_type(int))
    start = (zero, log_z, jnp.full_like(r, -jnp.inf), high, log_z, at_edge)
    log_v = while_loop(running, step, start)[4]
    return jnp.where(at_edge, -jnp.inf, log_v)


@jax.custom_jvp
def _at_order(p, e_inv, e_y):
    negative = p < 0
    q = jnp.abs(p)
    near, far = jnp.where(negative, e_y, e_inv), jnp.where(negative, e_inv, e_y)
    product = e_inv * e_y
    finite = jnp.isfinite(p) & jnp.isfinite(e_inv) & jnp.isfinite(e_y)
    valid = finite & (e_inv > 0) & (e_y > 0) & (product > 1)
    # A difference of large logarithms only where the product overflows.
    r = jnp.where(jnp.isinf(product), jnp.log(e_inv) + jnp.log(e_y), jnp.log(product))
    v = jnp.exp(_solve(jnp.where(valid, q, 1.0), jnp.where(valid, r, 1.0)))
    rate, other = (v + 2 * q) / far, v / near
    a, b = jnp.where(negative, other, rate), jnp.where(negative, rate, other)
    return jnp.where(valid, a, jnp.nan), jnp.where(valid, b, jnp.nan)


@_at_order.defjvp
def _at_order_jvp(primals, tangents):
    p, e_inv, e_y = primals
    d_p, d_inv, d_y = tangents
    a, b = _at_order(*primals)
    negative = p < 0
    sign = jnp.where(negative, -1.0, 1.0)
    q, d_q = sign * p, sign * d_p
    d_inv, d_y = d_inv / e_inv, d_y / e_y
    at_edge = (a == 0) | (b == 0)
    rate, other = jnp.where(negative, b, a), jnp.where(negative, a, b)
    d_far, d_near = jnp.where(negative, d_inv, d_y), jnp.where(negative, d_y, d_inv)

    z = jnp.where(at_edge, 1.0, jnp.sqrt(a) * jnp.sqrt(b))
    k = gig_cumulants(2, False, q, z, z)
    v = z * k[0, 1, 0]
    u = -1 / k[0, 1, 1]
    to_up, to_down = k[1, 0, 1] / k[0, 0, 1], k[1, 1, 0] / k[0, 1, 0]
    d_log_z = (d_far + d_near - (to_up + to_down) * d_q) / _product_slope(q, z, v, u)
    d_v = v * to_down * d_q + (z / u) * (z * d_log_z)
    d_v = jnp.where(at_edge, 0.0, d_v)
    scale = jnp.where(at_edge, 2 * q, v + 2 * q) / rate
    d_rate = (d_v + 2 * d_q) / scale - rate * d_far
    scale = jnp.where(at_edge, 1.0, v / jnp.where(at_edge, 1.0, other))
    d_other = d_v / scale - other * d_near
    d_a = jnp.where(negative, d_other, d_rate)
    d_b = jnp.where(negative, d_rate, d_other)
    return (a, b), (d_a, d_b)


def gig_at_order(
    p: ArrayLike, e_inv: ArrayLike, e_y: ArrayLike
) -> tuple[Float[Array, "..."], Float[Array, "..."]]:
    """``(a, b)`` of the ``GIG(p, a, b)`` with given ``E[1/Y]`` and ``E[Y]``.

    **Shapes**: ``p``, ``e_inv`` and ``e_y`` broadcast; so do the results.

    Where ``|p| > 1`` and ``E[Y] E[1/Y]`` reaches ``|p|/(|p| - 1)``, the bound of the
    order, the law of maximum likelihood is the Gamma law (``p > 0``: ``b = 0``,
    ``a = 2p/E[Y]``) or the inverse Gamma law (``p < 0``: ``a = 0``,
    ``b = 2|p|/E[1/Y]``); so it is where ``sqrt(ab)`` is too small for the floating
    type (1e-300 in double precision). NaN where ``E[Y] E[1/Y] <= 1`` or an argument
    is not finite. Differentiable in every argument; one-sided at the boundary.
    """
    return jnp.vectorize(_at_order)(*as_floats(p, e_inv, e_y))
