r"""Tail probabilities and quantiles of univariate normal variance-mean mixtures.

For ``X = B Y + sqrt(Y) Z`` with ``Y ~ GIG(p, a, b)`` and ``Z`` standard normal,

.. math:: P(X \le x) = \int e^{h(t)}\,dt, \qquad
    h(t) = pt - \tfrac12 a e^t - \tfrac12 b e^{-t} - \psi
        + \log\Phi\bigl(x e^{-t/2} - B e^{t/2}\bigr),

over ``t = log y``. Of the two tails the one that does not hold most of the law is
integrated; the upper tail is the lower one of ``-X``. There ``h`` is concave, but for a
few hundredths where the argument ``m`` of ``Φ`` is positive, and all it is made of
varies at a scale of 1 in ``t`` or falls steeply at either end; but ``Φ`` may step
from 0 to 1 at a front, ``m = 0``, of any width. Panels of Gauss-Legendre nodes part
at the mode of ``h``, at the front and where the step is complete.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, ArrayLike, Float

from normix._inline import fori_loop, while_loop
from normix.special._legendre import NODES_32 as NODES
from normix.special._legendre import WEIGHTS_32 as WEIGHTS
from normix.special._mixture_panels import (
    At,
    bounded_exp,
    front_of,
    mode_of,
    no_sharper,
    panels_of,
    parts,
    width_of,
)
from normix.special._mode import fall, slope_of_fall
from normix.special._normal import (
    normal_excess,
    scaled_normal_sf,
    weighted_cdf,
    weighted_excess,
)
from normix.special._quadrature import sinh_minus
from normix.special.bessel import as_floats
from normix.special.gig import gig_log_mass
from normix.special.gig_tails import _centre, _largest

Real = Float[Array, "..."]

_MOST_STEPS = 100


def _log_integral(at: At, kappa, panels, order: int = 0):
    """The logarithm of the integral of ``exp(h)`` over the prior's part at ``at``.

    ``kappa`` is minus the slope of the prior's part there. With an ``order`` ``k`` of 1
    or 2 in place of ``Φ(m)`` the moment ``E[(m - Z)₊ᵏ]``, times ``√Yᵏ``, in units of
    that at ``at``.
    """
    fixed = lax.stop_gradient(at)
    mode_m = jnp.minimum(fixed.u - fixed.v, 0)
    constant = 0.5 * mode_m**2
    large = 0.5 * _largest(mode_m)
    ends, ranges, growths = panels
    nodes = jnp.asarray(NODES, mode_m.dtype)
    weights = jnp.asarray(WEIGHTS, mode_m.dtype)
    n = len(NODES)

    def term(k, at):
        i, j = k // n, k % n
        graded, i = i % 2, i // 2
        reach = jnp.where(graded, jnp.exp(growths[i] * nodes[j]), nodes[j])
        measure = jnp.abs(ranges[i]) * jnp.where(graded, growths[i] * reach, 1)
        s = ends[i] + ranges[i] * reach
        half = jnp.clip(0.5 * s, -large, large)
        less, q = jnp.expm1(half), jnp.exp(half)
        up = less * (2 + less)
        down = up / (q * q)
        # e^s - 1 - s and e^{-s} - 1 + s: of narrow laws they are tiny, κs is not large
        near = jnp.abs(s) < 1 / 3
        even, odd = 0.5 * (up / q) * (up / q), sinh_minus(jnp.where(near, s, 0.0))
        rise = jnp.where(near, even + odd, up - s)
        fall_ = jnp.where(near, even - odd, s - down)
        g = -kappa * s - at.alpha * rise - at.beta * fall_
        # u and v may be far larger than m: by the fall from the mode's m, if near.
        fall = less * (at.u / q + at.v)
        m = jnp.where(jnp.abs(s) < 1, at.u - at.v - fall, at.u / q - at.v * q)
        square = -0.5 * m * m
        square = jnp.where(mode_m < 0, 0.5 * fall * (mode_m + m), square)
        square = jnp.where(m < 0, square, constant)
        # Its derivatives are those of -m²/2, however they are asked for.
        at_m = lax.stop_gradient(m)
        change = jnp.where(m < 0, 0.5 * (at_m - m) * (at_m + m), 0.0)
        square = lax.stop_gradient(square) + change
        if order == 0:
            return weights[j] * measure * weighted_cdf(g, m, square)
        f = weighted_excess(g, m, square, order)
        return weights[j] * measure * f * q**order

    def body(k, total):
        return total + term(k, at)

    start = jnp.zeros_like(ends[0])
    total = fori_loop(0, 2 * n * len(ends), body, start)
    return jnp.log(total) - constant


def _log_mass(p, a, b):
    """That of the prior's log-density; NaN where nothing is a law."""
    mass = gig_log_mass(p, a, b)
    return jnp.where(mass == jnp.inf, jnp.nan, mass)


def _log_at_point(at: At, width, order: int = 0):
    """:func:`_log_integral` by Laplace's method."""
    m = at.u - at.v
    if order > 0:
        value, square = normal_excess(lax.stop_gradient(m), order)
        share = jnp.log(value) + square
        return share + jnp.log(width) + 0.5 * jnp.log(2 * jnp.pi)
    log_share = jnp.log(scaled_normal_sf(lax.stop_gradient(jnp.abs(m))))
    below = jnp.minimum(m, 0.0)
    share = jnp.where(m < 0, log_share - 0.5 * below * below, 0.0)
    return share + jnp.log(width) + 0.5 * jnp.log(2 * jnp.pi)


def _log_lower(p, a, b, B, mass, x, order: int = 0):
    """``log E[(x - X)₊ᵏ]`` for an ``x`` that is not far in the upper tail.

    ``order`` is k; of 0, the default, ``log P(X <= x)``.
    """
    before = x
    x, B = no_sharper(*lax.stop_gradient((p, a, b)), B, x)
    # The nodes are held fixed under differentiation.
    fixed = lax.stop_gradient((p, a, b, B, x))
    if order > 0:
        # Where to integrate: at both ends the integrand is about y^k times that of
        # order 0. With a = 0 there is a mode for a negative order alone.
        tilted = fixed[0] + order
        fixed = jnp.where(a > 0, tilted, jnp.minimum(tilted, 0.1 * p)), *fixed[1:]
        fixed = lax.stop_gradient(fixed)
    front, full = front_of(*fixed[3:])
    t = mode_of(*fixed, front)
    fixed_at, at = parts(*fixed, t), parts(p, a, b, B, x, t)
    width, narrow = width_of(fixed_at)
    # Elsewhere the panels serve; both have finite arguments.
    plain = At(*(jnp.where(narrow, 0.5, v) for v in fixed_at))
    panels = panels_of(
        plain, tuple(jnp.where(narrow, jnp.nan, v - t) for v in (front, full))
    )
    safe = At(*(jnp.where(narrow, 0.5, v) for v in at))
    kappa = jnp.where(narrow, -0.5, slope_of_fall(p, a, b, t))
    total = _log_integral(safe, kappa, panels, order)
    total = jnp.where(narrow, _log_at_point(at, width, order), total)
    total = total - fall(p, a, b, t) - mass
    if order == 0:
        return total
    # In units of √Y at t; and of those by which the front is no sharper.
    sharper = jnp.where(x != 0, before / jnp.where(x != 0, x, 1.0), 1.0)
    return total + order * (0.5 * t + jnp.log(lax.stop_gradient(sharper)))


# -- tails and quantiles -----------------------------------------------------------


def _pivot_and_scale(p, a, b, B):
    """A point with at least a sixth of the law on either side; a distance."""
    centre = _centre(p, a, b)[0]
    return B * bounded_exp(centre), bounded_exp(0.5 * centre)


def _arguments(p, a, b, B, x):
    """Parameters of one shape, ``x`` of its own, all of one dtype."""
    p, a, b, B = as_floats(p, a, b, B)
    dtype = jnp.result_type(p, x)
    p, a, b, B = (v.astype(dtype) for v in (p, a, b, B))
    return p, a, b, B, jnp.asarray(x, dtype)


def mixture_log_tails(
    p: ArrayLike, a: ArrayLike, b: ArrayLike, B: ArrayLike, x: ArrayLike
) -> tuple[Real, Real]:
    """``log P(X <= x)`` and ``log P(X > x)`` for ``X = B Y + sqrt(Y) Z``.

    ``p``, ``a``, ``b`` and ``B`` of one shape, which broadcasts with that of ``x``.
    Relative accuracy is that of the smaller probability; differentiable in all five.
    """
    p, a, b, B, x = _arguments(p, a, b, B, x)
    mass = _log_mass(p, a, b)
    finite = jnp.isfinite(x)
    at = jnp.where(finite, x, 0.0)
    upper = at > lax.stop_gradient(_pivot_and_scale(p, a, b, B)[0])
    sign = jnp.where(upper, -1, 1)
    one = _log_lower(p, a, b, sign * B, mass, sign * at)
    # log(1 - exp(one)); one is never near 0
    other = jnp.log1p(-jnp.exp(one))
    lower, upper = jnp.where(upper, other, one), jnp.where(upper, one, other)
    full, none = (jnp.where(jnp.isnan(x + mass), jnp.nan, v) for v in (0.0, -jnp.inf))
    lower = jnp.where(finite, lower, jnp.where(x > 0, full, none))
    return lower, jnp.where(finite, upper, jnp.where(x > 0, none, full))


def mixture_log_shortfall(
    p: ArrayLike, a: ArrayLike, b: ArrayLike, B: ArrayLike, x: ArrayLike, order: int
) -> Real:
    """``log E[(x - X)₊ᵏ]`` for ``X = B Y + sqrt(Y) Z``, ``order`` k being 1 or 2.

    For an ``x`` below the upper tail; all terms are positive, and the relative accuracy
    that of :func:`mixture_log_tails`. Differentiable in all of the law and ``x``.
    Infinite moments are not told: the integral is cut where little is left of it.
    """
    p, a, b, B, x = _arguments(p, a, b, B, x)
    return _log_lower(p, a, b, B, _log_mass(p, a, b), x, order)


def is_upper(
    p: ArrayLike, a: ArrayLike, b: ArrayLike, B: ArrayLike, x: ArrayLike
) -> Array:
    """Whether ``x`` lies in the upper part of the law."""
    p, a, b, B, x = _arguments(p, a, b, B, x)
    return x > lax.stop_gradient(_pivot_and_scale(p, a, b, B)[0])


def _log_lower_and_slope(p, a, b, B, mass, x):
    def along(x):
        return _log_lower(p, a, b, B, mass, x)

    return jax.jvp(along, (x,), (jnp.ones_like(x),))


@jax.custom_jvp
def _lower_quantile(log_q, p, a, b, B, mass, pivot, scale):
    """The ``x`` with ``log P(X <= x) = log_q``, for ``log_q`` up to ``log(1/2)``.

    Newton's method for ``log(-log P)`` in ``v = asinh((pivot - x)/scale)``, between
    which the relation is about linear if the tail is normal or exponential. Bracketed,
    and by steps to at most twice the distance.
    """
    target = jnp.log(-log_q)
    eps = jnp.finfo(target.dtype).eps
    # Above the pivot rounding may have made a certainty of a probability.
    highest = -jnp.finfo(target.dtype).tiny

    def v_of(x):
        return jnp.arcsinh((pivot - x) / scale)

    def step(state):
        x, near, far, before, active, k = state
        v = v_of(x)
        log_cdf, hazard = _log_lower_and_slope(p, a, b, B, mass, x)
        log_cdf = jnp.minimum(log_cdf, highest)
        miss = jnp.log(-log_cdf) - target
        # Where x overflows miss is NaN: too far.
        short = miss < 0
        near, far = jnp.where(short, x, near), jnp.where(short, far, x)
        change = miss * log_cdf / (hazard * scale * jnp.cosh(v))
        # sinh(v + change) - sinh(v): rounding of v, where it is large, is no matter
        new = x - 2 * scale * jnp.cosh(v + 0.5 * change) * jnp.sinh(0.5 * change)
        # One more step squares the error.
        last = (jnp.abs(miss) <= eps ** (2 / 3)) | (jnp.abs(change) <= eps * jnp.abs(v))
        last |= near - far <= 2 * eps * jnp.maximum(jnp.abs(x), jnp.abs(pivot))
        good = (new < near) & (new > far) & (jnp.abs(change) <= jnp.abs(v) + 1)
        middle = 0.5 * (v_of(near) + v_of(far))
        beyond = 2 * v + jnp.where(short, 1, -1)
        bounded = jnp.isfinite(near - far)
        # About a cusp of the density Newton's method goes from side to side.
        good &= ~(bounded & (jnp.abs(miss) > 0.5 * before))
        middle = pivot - scale * jnp.sinh(jnp.where(bounded, middle, beyond))
        new = jnp.where(last, jnp.clip(new, far, near), jnp.where(good, new, middle))
        new = jnp.where(active, new, x)
        return new, near, far, jnp.abs(miss), active & ~last, k + 1

    def unfinished(state):
        return state[4].any() & (state[5] < _MOST_STEPS)

    start = pivot - scale + 0 * target
    active = jnp.full(start.shape, True)
    most = jnp.full_like(start, jnp.inf)
    return while_loop(unfinished, step, (start, most, -most, most, active, 0))[0]


@_lower_quantile.defjvp
def _lower_quantile_jvp(primals, tangents):
    p, a, b, B, mass = primals[1:6]
    x = _lower_quantile(*primals)

    def log_cdf(p, a, b, B, mass):
        return _log_lower(p, a, b, B, mass, x)

    along = jax.jvp(log_cdf, (p, a, b, B, mass), tangents[1:6])[1]
    hazard = _log_lower_and_slope(p, a, b, B, mass, x)[1]
    return x, (tangents[0] - along) / hazard


def mixture_log_quantile(
    log_q: ArrayLike,
    upper: ArrayLike,
    p: ArrayLike,
    a: ArrayLike,
    b: ArrayLike,
    B: ArrayLike,
) -> Real:
    """The ``x`` with probability ``exp(log_q)`` above it if ``upper``, else below it.

    ``log_q < 0``; of the two tails, name the smaller, as the other's logarithm says
    little of ``x``. ``p``, ``a``, ``b`` and ``B`` of one shape, which broadcasts with
    that of ``log_q`` and ``upper``. NaN where there is no such point.
    """
    p, a, b, B, log_q = _arguments(p, a, b, B, log_q)
    mass = _log_mass(p, a, b)
    valid = (log_q > -jnp.inf) & (log_q < 0) & jnp.isfinite(mass)
    log_q = jnp.where(valid, log_q, -1.0)
    pivot, scale = lax.stop_gradient(_pivot_and_scale(p, a, b, B))
    # That of the two tails is solved for which has less than half.
    beyond = log_q > -jnp.log(2.0)
    log_q = jnp.where(beyond, jnp.log(-jnp.expm1(log_q)), log_q)
    sign = jnp.where(beyond ^ upper, -1, 1)
    x = _lower_quantile(log_q, p, a, b, sign * B, mass, sign * pivot, scale)
    return jnp.where(valid, sign * x, jnp.nan)
