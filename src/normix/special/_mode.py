r"""The mode of ``log Y``, ``Y ~ GIG(p, a, b)``, and the fall of the density from it.

With the mode ``log m`` the log-density of ``t = log Y`` is that at the mode less

.. math:: D(t) = \tfrac12 am\,d(e^t/m) + \tfrac{b}{2m}\,d(m/e^t), \qquad
    d(q) = q - 1 - \log q,

two terms that are never negative: however narrow the law, nothing cancels, where
``pt - (a e^t + b e^{-t})/2 - psi`` is a difference of large numbers.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from normix.special._cumulants import times
from normix.special._hypot import hypot
from normix.special.deviance import unit_deviance

Real = Float[Array, "..."]


def _total(p, a, b):
    return hypot(p, jnp.sqrt(a) * jnp.sqrt(b)) + jnp.abs(p)


def log_mode(p: Real, a: Real, b: Real) -> Real:
    """The mode of ``log Y``, ``Y ~ GIG(p, a, b)``; also where a or b is 0."""
    return _log_mode(_total(p, a, b), p, a, b)


def _log_mode(total, p, a, b):
    far = jnp.where(p >= 0, jnp.log(total) - jnp.log(a), jnp.log(b) - jnp.log(total))
    # Of narrow laws the difference of two logarithms would lose the digits.
    z = jnp.sqrt(a) * jnp.sqrt(b)
    narrow = jnp.abs(p) <= z
    ratio = jnp.where(narrow, b, 1.0) / jnp.where(narrow, a, 1.0)
    narrow = narrow & (ratio > jnp.finfo(ratio.dtype).tiny) & (ratio < jnp.inf)
    slope = jnp.where(narrow, p, 0.0) / jnp.where(narrow, z, 1.0)
    near = jnp.arcsinh(slope) + 0.5 * jnp.log(jnp.where(narrow, ratio, 1.0))
    return jnp.where(narrow, near, far)


def log_mode_of_roots(p: Real, root_a: Real, root_b: Real) -> Real:
    """The same from the roots of a and b, whose squares may overflow."""
    z = root_a * root_b
    small = z < jnp.abs(p)
    total = hypot(p, jnp.where(small, z, 0.0)) + jnp.abs(p)
    large = jnp.log(root_a) + jnp.log(root_b)
    large = large + jnp.arcsinh(jnp.abs(p) / jnp.where(small, jnp.inf, z))
    log_total = jnp.where(small, jnp.log(total), large)
    return jnp.where(
        p >= 0, log_total - 2 * jnp.log(root_a), 2 * jnp.log(root_b) - log_total
    )


@jax.custom_jvp
def typical_value(p: Real, a: Real, b: Real) -> Real:
    """That mode, exponentiated; with slopes in the limits.

    A scale of Y in closed form, finite and positive also where its mean is infinite.
    """
    return _mode_itself(_total(p, a, b), p, a, b)


def _mode_itself(total, p, a, b):
    return jnp.where(p >= 0, total / jnp.where(p >= 0, a, 1.0), b / total)


@typical_value.defjvp
def _typical_value_jvp(primals, tangents):
    m = typical_value(*primals)
    return m, m * _change(m, primals, tangents)


def _change(m, primals, tangents):
    """Of the mode of log Y; ``m`` is its exponential."""
    _, a, b = primals
    change = tangents[0] - 0.5 * m * tangents[1] + 0.5 / m * tangents[2]
    return change / (0.5 * (a * m + b / m))


@jax.custom_jvp
def mode(p: Real, a: Real, b: Real) -> tuple[Real, Real]:
    """The mode of ``log Y``, exponentiated, and itself; with slopes in the limits."""
    total = _total(p, a, b)
    return _mode_itself(total, p, a, b), _log_mode(total, p, a, b)


@mode.defjvp
def _mode_jvp(primals, tangents):
    m, log_m = mode(*primals)
    change = _change(m, primals, tangents)
    return (m, log_m), (m * change, change)


@jax.custom_jvp
def log_height(p: Real, a: Real, b: Real, x: Real) -> Real:
    """``-D(log x) - log x`` for ``0 < x < inf``.

    The log-density of ``Y``, relative to that of ``log Y`` at its mode.
    """
    m, log_m = mode(p, a, b)
    log_x = jnp.log(x)
    return -_fall(m, a, b, (x - m) / m, (x - m) / x, log_x - log_m) - log_x


def _fall(m, a, b, above, below, log_q):
    right, left = unit_deviance(above, log_q), unit_deviance(-below, -log_q)
    return times(right, 0.5 * a * m) + times(left, 0.5 * b / m)


@log_height.defjvp
def _log_height_jvp(primals, tangents):
    p, a, b, x = primals
    dp, da, db, dx = tangents
    m, log_m = mode(p, a, b)
    gap = x - m
    change = (jnp.log(x) - log_m) * dp - 0.5 * gap * da
    change = change + times(gap / x, 0.5 / m * db)
    # About the mode by the distance from it, elsewhere as it stands.
    near = -0.5 * a * (gap / x) - times(gap / x, 0.5 * b / m / x) - 1 / x
    per = 1 / x  # as XLA would divide by a square, which underflows
    far = (p - 1) * per - 0.5 * a + 0.5 * b * per * per
    return log_height(*primals), change + jnp.where(x < 0.5 * m, far, near) * dx


@jax.custom_jvp
def fall(p: Real, a: Real, b: Real, t: Real) -> Real:
    """``D(t)``; infinite where one of its terms overflows."""
    m, log_m = mode(p, a, b)
    u = t - log_m
    # Far from the mode by e^t itself: t has lost digits of it.
    half = jnp.exp(0.5 * t)
    y = half * half
    far = (jnp.abs(u) > 1) & (y > jnp.finfo(y.dtype).tiny) & (y < jnp.inf)
    near, gap = jnp.where(far, 0.0, u), y - m
    above = jnp.where(far, gap / m, jnp.expm1(near))
    below = jnp.where(far, gap / y, -jnp.expm1(-near))
    return _fall(m, a, b, above, below, u)


@fall.defjvp
def _fall_jvp(primals, tangents):
    p, a, b, t = primals
    dp, da, db, dt = tangents
    m, log_m = mode(p, a, b)
    u = t - log_m
    above, below = jnp.expm1(u), jnp.expm1(-u)
    slope = slope_of_fall(p, a, b, t)
    change = times(above, 0.5 * m * da) + times(below, 0.5 / m * db) - u * dp
    return fall(*primals), change + slope * dt


@jax.custom_jvp
def slope_of_fall(p: Real, a: Real, b: Real, t: Real) -> Real:
    """``D'(t)``, minus the slope of the log-density."""
    m, log_m = mode(p, a, b)
    u = t - log_m
    right, left = jnp.expm1(u), jnp.expm1(-u)
    return times(right, 0.5 * a * m) - times(left, 0.5 * b / m)


@slope_of_fall.defjvp
def _slope_of_fall_jvp(primals, tangents):
    # Of (a e^t - b e^{-t})/2 - p, which it is.
    _, a, b, t = primals
    dp, da, db, dt = tangents
    up, down = jnp.exp(t), jnp.exp(-t)
    curvature = 0.5 * (times(up, a) + times(down, b))
    change = 0.5 * (times(up, da) - times(down, db)) - dp
    return slope_of_fall(*primals), change + times(curvature, dt)
