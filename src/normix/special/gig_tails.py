r"""Tail probabilities and quantiles of the generalized inverse Gaussian law.

In ``t = log y`` the law has a log-concave density. Beyond ``t``, relative to the
density there,

.. math:: \frac{P(\log Y > t)}{f(t)} = \int_0^\infty
    \exp\bigl(ps - \alpha(e^s - 1) + \beta(1 - e^{-s})\bigr)\,ds, \qquad
    \alpha = \tfrac12 a e^t,\ \beta = \tfrac12 b e^{-t},

an integral of moderate size however far out ``t`` lies. The lower tail is the upper
one of ``1/Y``, and ``a = 0`` and ``b = 0`` need no special case. The exponent is taken
as :math:`-\kappa s - \alpha(e^s - 1 - s) - \beta(e^{-s} - 1 + s)` with the slope
:math:`\kappa` of the fall from the mode, and the density relative to that at the mode
(:mod:`normix.special._mode`): nothing large cancels.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, ArrayLike, Float

from normix._inline import fori_loop, while_loop
from normix.special._hypot import hypot
from normix.special._legendre import NODES, WEIGHTS
from normix.special._mode import fall, log_mode, slope_of_fall
from normix.special.bessel import as_floats
from normix.special.gig import gig_log_mass

Real = Float[Array, "..."]

# e^{-60} ~ 1e-26: derivatives weigh the far end more than the integral does.
_DROP = 60.0
# The integrand ends in a double exponential: this length of it has its own panel.
_END = 8.0
_MOST_STEPS = 60


class Tails(NamedTuple):
    """Probabilities on either side of a point, and their logarithms."""

    cdf: Real
    sf: Real
    logcdf: Real
    logsf: Real

    @classmethod
    def of_logarithms(cls, lower: Real, upper: Real) -> Tails:
        return cls(jnp.exp(lower), jnp.exp(upper), lower, upper)


def _right_end(drop, kappa, log_alpha, log_beta):
    """Where ``κs + α(e^s - 1 - s) + β(e^{-s} - 1 + s)`` has risen to ``drop``.

    Each term alone gives a bound in closed form; Newton's method tightens the least.
    ``α`` may be too small for a floating-point number: it comes with ``e^s``.
    """
    alpha, beta = jnp.exp(log_alpha), jnp.exp(log_beta)
    log_r, s = jnp.log(drop) - log_alpha, drop / beta
    r = jnp.exp(jnp.minimum(log_r, 60.0))
    end = jnp.where(log_r > 60, log_r, jnp.log1p(r + jnp.sqrt(2 * r)))
    end = jnp.minimum(end, s + jnp.sqrt(2 * s))
    falling = kappa > 0
    linear = drop / jnp.where(falling, kappa, 1.0)
    end = jnp.where(falling, jnp.minimum(end, linear), end)
    for _ in range(3):
        near = end < 1
        up = alpha * jnp.expm1(jnp.where(near, end, 0.0))
        up = jnp.where(near, up, jnp.exp(log_alpha + end) - alpha)
        down = -jnp.expm1(-end)
        value = kappa * end + (up - alpha * end) + beta * (end - down)
        end = end - (value - drop) / (kappa + up + beta * down)
    return end


def _log_integral(kappa, half_a, t, alpha, beta):
    """The logarithm of the integral above, by two Gauss-Legendre panels."""
    # The limits are held fixed under differentiation: beyond them there is nothing.
    fixed = lax.stop_gradient((kappa, jnp.log(half_a) + t, jnp.log(beta)))
    end = _right_end(_DROP, *fixed)
    last = jnp.minimum(0.5 * end, _END)
    first = end - last
    nodes, weights = jnp.asarray(NODES, end.dtype), jnp.asarray(WEIGHTS, end.dtype)

    def integrand(s):
        near = s < 1
        less = jnp.expm1(jnp.where(near, s, 0.0))
        # α e^s by itself: α alone may underflow, or e^s overflow.
        rise = jnp.where(
            near, alpha * (less - s), _times_exp(half_a, t + s) - alpha * (1 + s)
        )
        down = jnp.where(near, less / (1 + less), -jnp.expm1(-s))
        return jnp.exp(-kappa * s - rise - beta * (s - down))

    def body(k, total):
        x = nodes[k]
        both = first * integrand(first * x) + last * integrand(first + last * x)
        return total + weights[k] * both

    start = jnp.zeros_like(end)
    return jnp.log(fori_loop(0, len(NODES), body, start))


def _proper_log_mass(p, a, b):
    """That of the log-density; NaN where it is infinite, and nothing is a law."""
    mass = gig_log_mass(p, a, b)
    return jnp.where(mass == jnp.inf, jnp.nan, mass)


def gig_log_density(p: ArrayLike, a: ArrayLike, b: ArrayLike, t: ArrayLike) -> Real:
    """The log-density of ``t = log Y`` for ``Y ~ GIG(p, a, b)``."""
    p, a, b, t = _parameters_and(p, a, b, t)
    return -fall(p, a, b, t) - gig_log_mass(p, a, b)


def _times_exp(x, t):
    """``x exp(t)``; for ``x = 0`` that is 0, with slope ``exp(t)`` if it is finite."""
    return x * jnp.exp(jnp.where(x > 0, t, jnp.minimum(t, _largest(t))))


def _largest(t):
    """An argument near the end of what exp can take."""
    return 0.98 * jnp.log(jnp.finfo(t.dtype).max)


def _centre(p, a, b):
    """A point in ``t`` with a good part of the law on either side, and the mode.

    The mode will not do where one tail is long; midway between the points at which
    the density has fallen by a factor e from it, there are.
    """
    mode = log_mode(p, a, b)
    steep, flat = _steepness(p, a, b)
    # Side by side: half of the graph to compile.
    right, left = _right_end(
        1.0, 0.0, jnp.stack([steep, flat]), jnp.stack([flat, steep])
    )
    return mode + 0.5 * (right - left), mode


def _steepness(p, a, b):
    """Logarithms of the factors of the two terms of the fall from the mode."""
    total = hypot(p, jnp.sqrt(a) * jnp.sqrt(b)) + jnp.abs(p)
    steep = jnp.log(0.5 * total)
    # The product may underflow.
    flat = jnp.log(0.5 * a) + jnp.log(b) - jnp.log(total)
    return jnp.where(p >= 0, steep, flat), jnp.where(p >= 0, flat, steep)


def _log_tails(p, a, b, mass, t):
    """``log P(log Y <= t)`` and ``log P(log Y > t)``."""
    centre, mode = lax.stop_gradient(_centre(p, a, b))
    # So far out that its density is 0 for the floating-point numbers, too, is the tail.
    nothing = lax.stop_gradient(jnp.isinf(fall(p, a, b, t)))
    side = t > centre
    t = jnp.where(nothing, mode, t)
    kappa = slope_of_fall(p, a, b, t)
    p_half, q_half = (
        jnp.where(side, 0.5 * a, 0.5 * b),
        jnp.where(side, 0.5 * b, 0.5 * a),
    )
    outwards = jnp.where(side, t, -t)
    alpha, beta = _times_exp(p_half, outwards), _times_exp(q_half, -outwards)
    kappa = jnp.where(side, kappa, -kappa)
    beyond = _log_integral(kappa, p_half, outwards, alpha, beta)
    one = jnp.where(nothing, -jnp.inf, beyond - fall(p, a, b, t) - mass)
    # log(1 - exp(one)); one is never near 0
    other = jnp.log1p(-jnp.exp(one))
    return jnp.where(side, other, one), jnp.where(side, one, other)


def gig_log_tails(
    p: ArrayLike, a: ArrayLike, b: ArrayLike, x: ArrayLike
) -> tuple[Real, Real]:
    """``log P(Y <= x)`` and ``log P(Y > x)`` for ``Y ~ GIG(p, a, b)``.

    ``p``, ``a`` and ``b`` of one shape, which broadcasts with that of ``x``.
    Relative accuracy is that of the smaller probability; differentiable in all four.
    """
    p, a, b, x = _parameters_and(p, a, b, x)
    inside = (x > 0) & (x < jnp.inf)
    mass = _proper_log_mass(p, a, b)
    lower, upper = _log_tails(p, a, b, mass, jnp.log(jnp.where(inside, x, 1.0)))
    below = x <= 0
    outside = jnp.where(x == jnp.inf, 0.0, jnp.nan)
    lower = jnp.where(inside, lower, jnp.where(below, -jnp.inf, outside))
    outside = jnp.where(x == jnp.inf, -jnp.inf, jnp.nan)
    return lower, jnp.where(inside, upper, jnp.where(below, 0.0, outside))


def _parameters_and(p, a, b, x):
    """Parameters of one shape, ``x`` of its own, all of one dtype."""
    p, a, b = as_floats(p, a, b)
    dtype = jnp.result_type(p, x)
    return p.astype(dtype), a.astype(dtype), b.astype(dtype), jnp.asarray(x, dtype)


@jax.custom_jvp
def _upper_quantile(log_q, p, a, b, mass):
    """The ``t`` with ``log P(log Y > t) = log_q``, for ``log_q <= log(1/2)``.

    The logarithm of the tail of a log-concave law is concave: Newton's method from
    beyond the solution moves towards it and never past.
    """
    mode = log_mode(p, a, b)
    # A log-concave law has at most (1 + v) e^{-v} of its mass where its density is
    # e^{-v} times the highest or less.
    v = -log_q + jnp.log1p(-2 * log_q) + 1
    start = mode + _right_end(v, 0.0, *_steepness(p, a, b))
    eps = jnp.finfo(start.dtype).eps

    def newton(state):
        t, moving, k = state
        log_density = -fall(p, a, b, t) - mass
        log_sf = _log_tails(p, a, b, mass, t)[1]
        miss = log_sf - log_q
        # Rounding of t, too, at the rate at which the tail falls.
        rate = jnp.exp(log_density - log_sf)
        size = 1 - log_q + jnp.abs(mass) + rate * jnp.maximum(jnp.abs(t), 1.0)
        more = jnp.abs(miss) > 4 * eps * size
        # The step that finds it near enough is taken too: it costs nothing more.
        return jnp.where(moving, t + miss / rate, t), moving & more, k + 1

    def unfinished(state):
        return state[1].any() & (state[2] < _MOST_STEPS)

    moving = jnp.ones(start.shape, bool)
    return while_loop(unfinished, newton, (start, moving, 0))[0]


@_upper_quantile.defjvp
def _upper_quantile_jvp(primals, tangents):
    log_q, p, a, b, mass = primals
    t = _upper_quantile(*primals)

    def log_sf(p, a, b, mass):
        return _log_tails(p, a, b, mass, t)[1]

    value, along = jax.jvp(log_sf, (p, a, b, mass), tangents[1:])
    log_density = -fall(p, a, b, t) - mass
    return t, (along - tangents[0]) * jnp.exp(value - log_density)


def gig_log_quantile(
    log_q: ArrayLike, upper: ArrayLike, p: ArrayLike, a: ArrayLike, b: ArrayLike
) -> Real:
    """``log y`` with probability ``exp(log_q)`` above it if ``upper``, else below it.

    ``log_q <= log(1/2)``: of the two tails, name the smaller. ``p``, ``a`` and ``b``
    of one shape, which broadcasts with that of ``log_q`` and ``upper``.
    """
    p, a, b, log_q = _parameters_and(p, a, b, log_q)
    mass = _proper_log_mass(p, a, b)
    # The lower tail of Y is the upper tail of 1/Y, which is GIG(-p, b, a).
    near, far = jnp.where(upper, a, b), jnp.where(upper, b, a)
    valid = (log_q > -jnp.inf) & (log_q < 0) & jnp.isfinite(mass)
    log_q = jnp.where(valid, log_q, -1.0)
    t = _upper_quantile(log_q, jnp.where(upper, p, -p), near, far, mass)
    return jnp.where(valid, jnp.where(upper, t, -t), jnp.nan)
