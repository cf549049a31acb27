"""A distribution function and its inverse, tabulated."""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, PRNGKeyArray

from normix._arrays import as_float, check_count
from normix._compile import of_each

Real = Float[Array, "..."]

# Nodes are equally spaced in ξ, log(F/(1 - F)) = 2 sinh ξ, from tails of e^-700.
_CELLS = 512
_END = float(np.arcsinh(350.0))
_STEP = 2 * _END / _CELLS


class QuantileTable(eqx.Module):
    r"""One law's quantile function by piecewise polynomials of degree five.

    The interpolant in :math:`\xi`, :math:`\log\frac{F}{1-F} = 2\sinh\xi`, matches
    value, slope and curvature at 513 nodes, tails of :math:`e^{-700}` included. Made
    by ``quantile_table()`` of a univariate law, it is a pytree as the law is, and
    serves any number of evaluations at the price of a lookup.

    >>> from normix import GIG
    >>> table = GIG(p=-0.7, a=1.0, b=2.0).quantile_table()
    >>> round(float(table.cdf(table.ppf(0.25))), 12)
    0.25
    """

    values: Float[Array, " m"]
    slopes: Float[Array, " m"]
    curvatures: Float[Array, " m"]
    of_logarithm: bool = eqx.field(static=True)

    def __hash__(self) -> int:
        # By identity, arrays having no hash: so that jax.jit(table.ppf) works.
        return id(self)

    @classmethod
    def tabulate(
        cls,
        quantile: Callable[[Array, Array], Array],
        log_density: Callable[[Array], Array],
        *,
        of_logarithm: bool,
    ) -> Self:
        """From ``quantile(log_q, upper)`` and the ``log_density`` in its coordinate.

        With ``of_logarithm`` that coordinate is the logarithm of the variable.
        """
        xi = jnp.asarray(np.linspace(-_END, _END, _CELLS + 1))
        logit = 2 * jnp.sinh(xi)
        log_q = -jax.nn.softplus(jnp.abs(logit))  # of the smaller tail
        t = quantile(log_q, logit > 0)
        slope_of_log = jax.vmap(jax.grad(log_density))(t)
        log_other = jnp.log1p(-jnp.exp(log_q))
        by_logit = jnp.exp(log_q + log_other - log_density(t))
        excess = -jnp.sign(logit) * (jnp.exp(log_other) - jnp.exp(log_q))  # S - F
        by_logit_twice = by_logit * (excess - by_logit * slope_of_log)
        first, second = 2 * jnp.cosh(xi), logit
        return cls(
            t,
            by_logit * first,
            by_logit_twice * first * first + by_logit * second,
            of_logarithm,
        )

    def ppf(self, q: ArrayLike) -> Real:
        """The quantile of ``q``, elementwise; NaN outside [0, 1]."""
        return _quantile(self, as_float(q), True)

    def isf(self, q: ArrayLike) -> Real:
        """The value that is exceeded with probability ``q``; NaN outside [0, 1]."""
        return _quantile(self, as_float(q), False)

    def cdf(self, x: ArrayLike) -> Real:
        """``P(X <= x)``, elementwise."""
        return _probability(self, as_float(x))

    def _probability(self, x: Real) -> Real:
        if self.of_logarithm:
            x = jnp.log(jnp.maximum(x, 0.0))
        t = self.values
        k = jnp.clip(jnp.searchsorted(t, x) - 1, 0, _CELLS - 1)
        width = t[k + 1] - t[k]
        slopes = 1 / self.slopes
        curvatures = -self.curvatures * slopes**3
        xi = _hermite(
            (x - t[k]) / width,
            (-_END + k * _STEP, -_END + (k + 1) * _STEP),
            (slopes[k] * width, slopes[k + 1] * width),
            (curvatures[k] * width**2, curvatures[k + 1] * width**2),
        )
        inside = jax.nn.sigmoid(2 * jnp.sinh(xi))
        beyond = jnp.where(x > t[-1], 1.0, inside)
        return jnp.where(x < t[0], 0.0, beyond)

    def rvs(
        self, n: int, seed: int = 42, *, key: PRNGKeyArray | None = None
    ) -> Float[Array, " n"]:
        """``n`` independent draws by inversion; ``key`` takes the place of ``seed``.

        **Raises**: ``ValueError`` for a negative ``n``.
        """
        check_count("n", n)
        return self._draw(jax.random.key(seed) if key is None else key, n)

    def _draw(self, key: PRNGKeyArray, n: int) -> Float[Array, " n"]:
        return self._at_logit(jax.random.logistic(key, (n,), self.values.dtype))

    def _at_logit(self, logit: Real) -> Real:
        xi = jnp.arcsinh(0.5 * logit)
        place = (xi + _END) / _STEP
        k = jnp.clip(place, 0, _CELLS - 1).astype(int)
        t = _hermite(
            place - k,
            (self.values[k], self.values[k + 1]),
            (self.slopes[k] * _STEP, self.slopes[k + 1] * _STEP),
            (self.curvatures[k] * _STEP**2, self.curvatures[k + 1] * _STEP**2),
        )
        end = jnp.sign(logit) * jnp.inf
        t = jnp.where(jnp.abs(xi) > _END, end, t)
        return jnp.exp(t) if self.of_logarithm else t


@of_each("lower", rank=1)
def _quantile(table: QuantileTable, q: Real, lower: bool) -> Real:
    logit = jnp.log(q) - jnp.log1p(-q)
    return table._at_logit(logit if lower else -logit)


@of_each(rank=1)
def _probability(table: QuantileTable, x: Real) -> Real:
    return table._probability(x)


def of_smaller_tail(
    quantile: Callable[[Array, Array], Array],
    q: Array,
    lower: bool | Array,
    least: float,
) -> Array:
    """Where ``P(X <= x) = q``, or ``P(X > x) = q`` unless ``lower``.

    NaN where q is outside [0, 1]. ``quantile(log_q, upper)`` is that of the logarithm
    of a tail; ``least`` is the left end of the law's support, whose right end is
    infinite.
    """
    inside = (q > 0) & (q < 1)
    safe = jnp.where(inside, q, 0.25)
    near = safe <= 0.5
    log_q = jnp.log(jnp.where(near, safe, 1 - safe))
    x = quantile(log_q, near != lower)
    ends = jnp.where((q == 0) == lower, least, jnp.inf)
    return jnp.where(inside, x, jnp.where((q == 0) | (q == 1), ends, jnp.nan))


def _hermite(u, values, slopes, curvatures):
    """The quintic on [0, 1] with given values and first two derivatives at its ends.

    Taylor's polynomial at 0 plus ``u³`` times a quadratic that meets the other end.
    """
    v, s, c = (pair[0] for pair in (values, slopes, curvatures))
    # What is missing at 1, in value, slope and curvature.
    gap = values[1] - (v + s + 0.5 * c)
    tilt = slopes[1] - (s + c)
    bend = curvatures[1] - c
    k3 = 10 * gap - 4 * tilt + 0.5 * bend
    k4 = -15 * gap + 7 * tilt - bend
    k5 = 6 * gap - 3 * tilt + 0.5 * bend
    return v + u * (s + u * (0.5 * c + u * (k3 + u * (k4 + u * k5))))
