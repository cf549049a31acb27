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

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, ArrayLike, Float

from normix.special._normal import rough_log_cdf_and_slope, weighted_cdf
from normix.special.bessel import as_floats
from normix.special.gig import gig_log_partition, gig_log_partition_scaled
from normix.special.gig_tails import _centre, _largest

Real = Float[Array, "..."]

# The positive nodes of the Gauss-Legendre rule of 32 points, and their weights.
_RULE = (
    (0.048307665687738316235, 0.096540088514727800567),
    (0.14447196158279649349, 0.095638720079274859419),
    (0.23928736225213707454, 0.093844399080804565639),
    (0.33186860228212764978, 0.091173878695763884713),
    (0.42135127613063534536, 0.087652093004403811143),
    (0.50689990893222939002, 0.083311924226946755222),
    (0.58771575724076232904, 0.078193895787070306472),
    (0.66304426693021520098, 0.072345794108848506225),
    (0.73218211874028968039, 0.065822222776361846838),
    (0.79448379596794240696, 0.058684093478535547145),
    (0.84936761373256997013, 0.050998059262376176196),
    (0.89632115576605212397, 0.042835898022226680657),
    (0.93490607593773968917, 0.034273862913021433103),
    (0.96476225558750643077, 0.025392065309262059456),
    (0.9856115115452683354, 0.016274394730905670605),
    (0.99726386184948156354, 0.0070186100094700966004),
)
_X, _W = np.array(_RULE).T
# On [0, 1].
NODES = 0.5 * (1 + np.concatenate([-_X[::-1], _X]))
WEIGHTS = 0.5 * np.concatenate([_W[::-1], _W])

# h is integrated to where it has fallen by about this much, e^{-60} ~ 1e-26:
# derivatives weigh the far ends more than the integral does.
_DROP = 60.0
# What bends at a scale of 1 in t does so within this distance of a break.
_END = 8.0
# Φ(m) = 1 beyond it.
_FULL = 9.0
_MOST_STEPS = 100


class _At(NamedTuple):
    """The parts of ``h`` at one ``t``; of ``m = u - v``, ``u = x e^{-t/2}``."""

    p: Array
    alpha: Array
    beta: Array
    u: Array
    v: Array

    def shifted(self, s) -> _At:
        """At ``t + s``."""
        grow, half = _exp(s), _exp(0.5 * s)
        u, v = self.u / half, self.v * half
        return _At(self.p, self.alpha * grow, self.beta / grow, u, v)


def _exp(t):
    """Without overflow: what is 0 remains so, and what is not is large."""
    large = _largest(t)
    return jnp.exp(jnp.clip(t, -large, large))


def _parts(p, a, b, B, x, t) -> _At:
    grow, half = _exp(t), _exp(0.5 * t)
    return _At(p, 0.5 * a * grow, 0.5 * b / grow, x / half, B * half)


def _height_and_slopes(at: _At):
    """``h`` but for ``pt - psi``, and its first two derivatives, to 1%."""
    m, bend = at.u - at.v, -0.5 * (at.u + at.v)
    log_cdf, r = rough_log_cdf_and_slope(m)
    slope = at.p - at.alpha + at.beta + r * bend
    curvature = -at.alpha - at.beta - r * (m + r) * bend**2 + 0.25 * r * m
    return log_cdf - at.alpha - at.beta, slope, curvature


# -- where to integrate ------------------------------------------------------------


def _prior_mode(p, a, b):
    """The mode of ``log Y``."""
    total = jnp.hypot(p, jnp.sqrt(a) * jnp.sqrt(b)) + jnp.abs(p)
    return jnp.where(p >= 0, jnp.log(total) - jnp.log(a), jnp.log(b) - jnp.log(total))


def _front(B, x):
    """Where ``m`` is 0 and where it is 9: NaN if nowhere."""
    product = jnp.where(x * jnp.sign(B) > 0, x * B, jnp.nan)
    root = 0.5 * (_FULL + jnp.sqrt(_FULL**2 + 4 * product))
    full = jnp.log(root) - jnp.log(jnp.where(B > 0, x, -B))
    return jnp.log(jnp.abs(x)) - jnp.log(jnp.abs(B)), jnp.where(B > 0, -2, 2) * full


def _mode(p, a, b, B, x, front):
    """The ``t`` at which ``h`` is highest, to a part of the width of its peak.

    Newton's method on the slope, which falls; kept to where the root can be, and by
    steps that at most triple the distance or halve what is left.
    """
    prior = _prior_mode(p, a, b)
    # log Φ(m) is about -m²/2 where m < 0: a GIG exponent like the prior's.
    start = _prior_mode(p, a + B * B, b + x * x)
    at = _parts(p, a, b, B, x, start)
    turned = jnp.where(B > 0, jnp.minimum(prior, front), jnp.maximum(prior, front))
    start = jnp.where(at.u - at.v < 0, start, jnp.where(front == front, turned, prior))

    def step(state):
        t, left, right, _, k = state
        _, slope, curvature = _height_and_slopes(_parts(p, a, b, B, x, t))
        more = ~(slope * slope <= -0.1 * curvature) & (slope != 0)
        left = jnp.where(slope > 0, t, left)
        right = jnp.where(slope < 0, t, right)
        reach = 1 + 2 * jnp.abs(t - start)
        middle = jnp.where(
            jnp.isfinite(right - left),
            0.5 * (left + right),
            t + jnp.sign(slope) * reach,
        )
        newton = t - slope / curvature
        good = (newton > left) & (newton < right) & (jnp.abs(newton - t) <= reach)
        new = jnp.where(good & (k % 3 < 2), newton, middle)
        return jnp.where(more, new, t), left, right, more.any(), k + 1

    def unfinished(state):
        return state[3] & (state[4] < _MOST_STEPS)

    ends = jnp.full_like(start, -jnp.inf), jnp.full_like(start, jnp.inf)
    return lax.while_loop(unfinished, step, (start, *ends, jnp.array(True), 0))[0]


def _reaches(at: _At):
    """How far to the left and right of the mode ``h`` has fallen by ``_DROP``.

    Newton's method on the logarithm of the fall in that of the distance, bracketed.
    """
    top, _, curvature = _height_and_slopes(at)
    width = jnp.sqrt(2 * _DROP / -curvature)
    start = jnp.where(width < 4, width, 4.0)
    side = jnp.array([-1.0, 1.0], start.dtype).reshape((2,) + (1,) * start.ndim)

    def step(state):
        s, near, far, _, k = state
        height, slope, _ = _height_and_slopes(at.shifted(side * s))
        fall = top - height - at.p * side * s
        miss = jnp.log(fall / _DROP)
        more = ~(jnp.abs(miss) < 0.1)
        short = ~(fall > _DROP)
        near, far = jnp.where(short, s, near), jnp.where(short, far, s)
        newton = s * jnp.exp(miss * fall / (s * side * slope))
        middle = jnp.where(near == 0, 0.25 * s, jnp.sqrt(near * far))
        middle = jnp.where(jnp.isfinite(far), middle, 4 * s)
        good = (newton > near) & (newton < jnp.minimum(far, 8 * s)) & (k % 3 < 2)
        new = jnp.where(good, newton, middle)
        return jnp.where(more, new, s), near, far, more.any(), k + 1

    def unfinished(state):
        return state[3] & (state[4] < _MOST_STEPS)

    s = jnp.broadcast_to(start, (2, *start.shape))
    state = (s, jnp.zeros_like(s), jnp.full_like(s, jnp.inf), jnp.array(True), 0)
    left, right = lax.while_loop(unfinished, step, state)[0]
    return -left, right


def _panels(at: _At, offsets):
    """A linear and a graded panel from either end of what lies between two breaks.

    Their ends relative to the mode, the first's signed length, and the logarithm of
    how many times that the second reaches, to the middle; stacked.
    """
    left, right = _reaches(at)
    inner = [jnp.where(s == s, s, 0.0) for s in offsets]
    first, last = jnp.minimum(*inner), jnp.maximum(*inner)
    breaks = (
        jnp.minimum(first, 0),
        jnp.maximum(first, jnp.minimum(last, 0)),
        jnp.maximum(last, 0),
    )
    breaks = [left, *(jnp.clip(s, left, right) for s in breaks), right]
    ends, ranges, growths = [], [], []
    for low, high in zip(breaks[:-1], breaks[1:], strict=True):
        end = jnp.minimum(0.25 * (high - low), _END)
        growth = jnp.log(jnp.where(end > 0, 0.5 * (high - low) / end, 2.0))
        ends += [low, high]
        ranges += [end, -end]
        growths += [growth, growth]
    return jnp.stack(ends), jnp.stack(ranges), jnp.stack(growths)


def _no_sharper(B, x):
    """``x`` and ``B`` by one factor, so that ``t`` can tell ``m = 9`` from ``m = 0``.

    So narrow a front is a step to all digits: its place, ``x/B``, is all that matters.
    """
    steepness = jnp.sqrt(jnp.abs(x)) * jnp.sqrt(jnp.abs(B))
    steepest = jnp.finfo(steepness.dtype).eps ** -0.6
    step = (jnp.sign(x) * B > 0) & (steepness > steepest)
    factor = jnp.where(step, steepest / jnp.where(step, steepness, 1.0), 1.0)
    factor = lax.stop_gradient(factor)
    return factor * x, factor * B


# -- the integral ------------------------------------------------------------------


def _log_integral(at: _At, panels):
    """The logarithm of the integral of ``exp(h)`` over the prior's part at ``at``."""
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
        g = at.p * s - at.alpha * up + at.beta * (up / (q * q))
        # u and v may be far larger than m: by the fall from the mode's m, if near.
        fall = less * (at.u / q + at.v)
        m = jnp.where(jnp.abs(s) < 1, at.u - at.v - fall, at.u / q - at.v * q)
        square = -0.5 * m * m
        square = jnp.where(mode_m < 0, 0.5 * fall * (mode_m + m), square)
        square = jnp.where(m < 0, square, constant)
        # Its derivatives are those of -m²/2, however they are asked for.
        at_m = lax.stop_gradient(m)
        change = jnp.where(m < 0, 0.5 * (at_m - m) * (at_m + m), 0.0)
        f = weighted_cdf(g, m, lax.stop_gradient(square) + change)
        return weights[j] * measure * f

    def body(k, total):
        return total + term(k, at)

    start = jnp.zeros_like(ends[0])
    total = lax.fori_loop(0, 2 * n * len(ends), body, start)
    return jnp.log(total) - constant


@jax.custom_jvp
def _log_density_part(p, a, b, t):
    """``pt - a e^t/2 - b e^{-t}/2 + sqrt(ab)``, by a square."""
    half = _exp(0.5 * t)
    return p * t - 0.5 * (jnp.sqrt(a) * half - jnp.sqrt(b) / half) ** 2


@_log_density_part.defjvp
def _log_density_part_jvp(primals, tangents):
    p, a, b, t = primals

    # Without the root, which the partition's derivative lacks as well: see there.
    def plain(p, a, b):
        return p * t - 0.5 * (a * _exp(t) + b * _exp(-t))

    return _log_density_part(*primals), jax.jvp(plain, primals[:3], tangents[:3])[1]


@jax.custom_jvp
def _log_partition(p, a, b):
    """``psi + sqrt(ab)``, of which psi is differentiated; NaN where nothing is a law.

    The root, which has no derivative at 0, is common to density and partition.
    """
    psi = gig_log_partition_scaled(p, a, b)
    return jnp.where(psi == jnp.inf, jnp.nan, psi)


@_log_partition.defjvp
def _log_partition_jvp(primals, tangents):
    return _log_partition(*primals), jax.jvp(gig_log_partition, primals, tangents)[1]


def _log_lower(p, a, b, B, psi, x):
    """``log P(X <= x)`` for an ``x`` that is not far in the upper tail."""
    x, B = _no_sharper(B, x)
    # The nodes are held fixed under differentiation.
    fixed = lax.stop_gradient((p, a, b, B, x))
    front, full = _front(*fixed[3:])
    t = _mode(*fixed, front)
    panels = _panels(_parts(*fixed, t), (front - t, full - t))
    total = _log_integral(_parts(p, a, b, B, x, t), panels)
    return _log_density_part(p, a, b, t) - psi + total


# -- tails and quantiles -----------------------------------------------------------


def _pivot_and_scale(p, a, b, B):
    """A point with at least a sixth of the law on either side; a distance."""
    centre = _centre(p, a, b)[0]
    return B * _exp(centre), _exp(0.5 * centre)


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
    psi = _log_partition(p, a, b)
    finite = jnp.isfinite(x)
    at = jnp.where(finite, x, 0.0)
    upper = at > lax.stop_gradient(_pivot_and_scale(p, a, b, B)[0])
    sign = jnp.where(upper, -1, 1)
    one = _log_lower(p, a, b, sign * B, psi, sign * at)
    # log(1 - exp(one)); one is never near 0
    other = jnp.log1p(-jnp.exp(one))
    lower, upper = jnp.where(upper, other, one), jnp.where(upper, one, other)
    full, none = (jnp.where(jnp.isnan(x + psi), jnp.nan, v) for v in (0.0, -jnp.inf))
    lower = jnp.where(finite, lower, jnp.where(x > 0, full, none))
    return lower, jnp.where(finite, upper, jnp.where(x > 0, none, full))


def _log_lower_and_slope(p, a, b, B, psi, x):
    def along(x):
        return _log_lower(p, a, b, B, psi, x)

    return jax.jvp(along, (x,), (jnp.ones_like(x),))


@jax.custom_jvp
def _lower_quantile(log_q, p, a, b, B, psi, pivot, scale):
    """The ``x`` below the pivot with ``log P(X <= x) = log_q``.

    Newton's method for ``log(-log P)`` in ``v = asinh((pivot - x)/scale)``, between
    which the relation is about linear if the tail is normal or exponential. Bracketed,
    and by steps to at most twice the distance.
    """
    target = jnp.log(-log_q)
    eps = jnp.finfo(target.dtype).eps

    def v_of(x):
        return jnp.arcsinh((pivot - x) / scale)

    def step(state):
        x, near, far, active, k = state
        v = v_of(x)
        log_cdf, hazard = _log_lower_and_slope(p, a, b, B, psi, x)
        miss = jnp.log(-log_cdf) - target
        # Where x overflows miss is NaN: too far.
        short = miss < 0
        near, far = jnp.where(short, x, near), jnp.where(short, far, x)
        change = miss * log_cdf / (hazard * scale * jnp.cosh(v))
        # sinh(v + change) - sinh(v): rounding of v, where it is large, is no matter
        new = x - 2 * scale * jnp.cosh(v + 0.5 * change) * jnp.sinh(0.5 * change)
        # One more step squares the error.
        last = (jnp.abs(miss) <= eps ** (2 / 3)) | (jnp.abs(change) <= eps * v)
        last |= near - far <= 2 * eps * jnp.maximum(jnp.abs(x), jnp.abs(pivot))
        good = (new < near) & (new > far) & (change <= v + 1)
        middle = 0.5 * (v_of(near) + v_of(far))
        middle = pivot - scale * jnp.sinh(jnp.where(far > -jnp.inf, middle, 2 * v + 1))
        new = jnp.where(last, jnp.clip(new, far, near), jnp.where(good, new, middle))
        return jnp.where(active, new, x), near, far, active & ~last, k + 1

    def unfinished(state):
        return state[3].any() & (state[4] < _MOST_STEPS)

    start = pivot - scale + 0 * target
    active = jnp.full(start.shape, True)
    near = jnp.broadcast_to(pivot, start.shape)
    state = (start, near, jnp.full_like(start, -jnp.inf), active, 0)
    return lax.while_loop(unfinished, step, state)[0]


@_lower_quantile.defjvp
def _lower_quantile_jvp(primals, tangents):
    p, a, b, B, psi = primals[1:6]
    x = _lower_quantile(*primals)

    def log_cdf(p, a, b, B, psi):
        return _log_lower(p, a, b, B, psi, x)

    along = jax.jvp(log_cdf, (p, a, b, B, psi), tangents[1:6])[1]
    hazard = _log_lower_and_slope(p, a, b, B, psi, x)[1]
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
    psi = _log_partition(p, a, b)
    valid = (log_q > -jnp.inf) & (log_q < 0) & jnp.isfinite(psi)
    log_q = jnp.where(valid, log_q, -1.0)
    pivot, scale = lax.stop_gradient(_pivot_and_scale(p, a, b, B))
    log_half = lax.stop_gradient(_log_lower(p, a, b, B, psi, pivot))
    log_half = jnp.where(upper, jnp.log1p(-jnp.exp(log_half)), log_half)
    # The tail without the pivot is the one that is solved for.
    beyond = log_q > log_half
    log_q = jnp.where(beyond, jnp.log(-jnp.expm1(log_q)), log_q)
    sign = jnp.where(beyond ^ upper, -1, 1)
    x = _lower_quantile(log_q, p, a, b, sign * B, psi, sign * pivot, scale)
    return jnp.where(valid, sign * x, jnp.nan)
