"""Where the integral of a mixture's tail is taken: its mode, ends and panels.

See :mod:`normix.special.mixture_tails` for the integrand, ``exp(h(t))``.
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array

from normix._inline import while_loop
from normix.special._hypot import hypot
from normix.special._mode import log_mode, log_mode_of_roots
from normix.special._normal import rough_log_cdf_and_slope
from normix.special.gig_tails import _largest

# h is integrated to where it has fallen by about this much, e^{-60} ~ 1e-26:
# derivatives weigh the far ends more than the integral does.
_DROP = 60.0
# What bends at a scale of 1 in t does so within this distance of a break.
_END = 8.0
# Φ(m) = 1 beyond it.
_FULL = 9.0
_MOST_STEPS = 100


class At(NamedTuple):
    """The parts of ``h`` at one ``t``; of ``m = u - v``, ``u = x e^{-t/2}``."""

    p: Array
    alpha: Array
    beta: Array
    u: Array
    v: Array

    def shifted(self, s) -> At:
        """At ``t + s``."""
        grow, half = bounded_exp(s), bounded_exp(0.5 * s)
        u, v = self.u / half, self.v * half
        return At(self.p, self.alpha * grow, self.beta / grow, u, v)


def bounded_exp(t):
    """Without overflow: what is 0 remains so, and what is not is large."""
    large = _largest(t)
    return jnp.exp(jnp.clip(t, -large, large))


def parts(p, a, b, B, x, t) -> At:
    # By sqrt(Y): where X is a floating-point number Y itself may be too large for one.
    end = 0.999 * jnp.log(jnp.finfo(t.dtype).max)
    half = jnp.exp(jnp.clip(0.5 * t, -end, end))
    alpha, beta = (0.5 * a * half) * half, (0.5 * b / half) / half
    return At(p, alpha, beta, x / half, B * half)


def _height_and_slopes(at: At):
    """``h`` but for ``pt - psi``, and its first two derivatives, to 1%."""
    m, bend = at.u - at.v, -0.5 * (at.u + at.v)
    log_cdf, r, excess = rough_log_cdf_and_slope(m)
    slope = at.p - at.alpha + at.beta + r * bend
    curvature = -at.alpha - at.beta - r * excess * bend * bend + 0.25 * r * m
    return log_cdf - at.alpha - at.beta, slope, curvature


# -- where to integrate ------------------------------------------------------------


def front_of(B, x):
    """Where ``m`` is 0 and where it is 9: NaN if nowhere."""
    somewhere = (x * jnp.sign(B) > 0) | ((B == 0) & (x > 0))
    product = jnp.where(somewhere, x * B, jnp.nan)
    root = 0.5 * (_FULL + jnp.sqrt(_FULL**2 + 4 * product))
    full = jnp.log(root) - jnp.log(jnp.where(B >= 0, x, -B))
    return jnp.log(jnp.abs(x)) - jnp.log(jnp.abs(B)), jnp.where(B >= 0, -2, 2) * full


def mode_of(p, a, b, B, x, front):
    """The ``t`` at which ``h`` is highest, to a part of the width of its peak.

    Newton's method on the slope, which falls; kept to where the root can be, and by
    steps that at most triple the distance or halve what is left.
    """
    prior = log_mode(p, a, b)
    # log Φ(m) is about -m²/2 where m < 0: a GIG exponent like the prior's.
    roots = hypot(jnp.sqrt(a), B), hypot(jnp.sqrt(b), x)
    start = log_mode_of_roots(p, *roots)
    at = parts(p, a, b, B, x, start)
    turned = jnp.where(B >= 0, jnp.minimum(prior, front), jnp.maximum(prior, front))
    start = jnp.where(at.u - at.v < 0, start, jnp.where(front == front, turned, prior))

    def step(state):
        t, left, right, _, k = state
        _, slope, curvature = _height_and_slopes(parts(p, a, b, B, x, t))
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
    return while_loop(unfinished, step, (start, *ends, jnp.array(True), 0))[0]


def width_of(at: At):
    """Of the peak of ``h`` at its mode, and whether Laplace's method is exact there.

    It is to rounding where the exponent is too large to have digits behind the point,
    and ``Φ`` changes as a normal density does, or hardly.
    """
    m, bend = at.u - at.v, 0.5 * (at.u + at.v)
    curvature = -_height_and_slopes(at)[2]
    small = jnp.finfo(curvature.dtype).eps ** 0.45
    prior = at.alpha + at.beta
    far = m < -1 / small
    narrow = far | ((prior > small**-2) & (bend * bend < small * prior))
    return jnp.sqrt(1 / curvature), narrow


def _reaches(at: At):
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
    left, right = while_loop(unfinished, step, state)[0]
    return -left, right


def panels_of(at: At, offsets):
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


def no_sharper(p, a, b, B, x):
    """``x`` and ``B`` by one factor, so that ``t`` can tell ``m = 9`` from ``m = 0``.

    So narrow a front is a step to all digits, if the prior does not fall as steeply:
    its place, ``x/B``, is all that matters.
    """
    root, root_B = jnp.sqrt(jnp.abs(x)), jnp.sqrt(jnp.abs(B))
    steepness = root * root_B
    at = bounded_exp(jnp.log(jnp.abs(x)) - jnp.log(jnp.abs(B)))
    slope = jnp.abs(p) + 0.5 * (a * at + b / at)
    eps = jnp.finfo(steepness.dtype).eps
    steepest = jnp.maximum(eps**-0.6, slope * eps**-0.5)
    step = (jnp.sign(x) * B > 0) & (steepness > steepest)
    factor = jnp.where(step, steepest / jnp.where(step, steepness, 1.0), 1.0)
    factor = lax.stop_gradient(factor)
    return factor * x, factor * B
