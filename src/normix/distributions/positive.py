"""What all laws of one positive variable have in common: they are GIG laws."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar, Self, cast

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, ArrayLike, Float, PRNGKeyArray

from normix._arrays import as_float, as_sample, is_traced
from normix._compile import of_each, of_few
from normix.distributions.quantile_table import QuantileTable, of_smaller_tail
from normix.exponential_family import ExponentialFamily
from normix.special._cumulants import times
from normix.special._hypot import hypot
from normix.special._mode import fall, log_height, mode, typical_value
from normix.special.deviance import unit_deviance
from normix.special.gig_tails import (
    Tails,
    gig_log_density,
    gig_log_quantile,
    gig_log_tails,
)

if TYPE_CHECKING:
    from normix.distributions.generalized_inverse_gaussian import (
        GeneralizedInverseGaussian,
    )

Real = Float[Array, "..."]


class PositiveFamily(ExponentialFamily):
    """A law on (0, ∞) within the GIG family.

    The gamma, inverse gamma, inverse Gaussian and generalized inverse Gaussian laws.
    Tail probabilities, quantiles and the mode are written once, in GIG coordinates.
    """

    sampling_methods: ClassVar[tuple[str, ...]] = ("exact", "inversion")

    @abstractmethod
    def gig_params(self) -> tuple[Array, Array, Array]:
        """``(p, a, b)`` of the same law as a GIG."""

    @staticmethod
    @abstractmethod
    def _log_mass(p: Array, a: Array, b: Array) -> Array:
        """``log ∫ exp(-D(t)) dt`` over ``t = log x``, of a member in GIG coordinates.

        ``D`` is the fall of the density of t from its mode: see
        :mod:`normix.special._mode`.
        """

    @abstractmethod
    def _means_about_mode(self) -> tuple[Array, Array, Array]:
        """Means of ``log X - log m``, ``m/X - 1`` and ``X/m - 1``, m as there.

        One that no divergence within the family depends on may be anything.
        """

    @staticmethod
    @abstractmethod
    def _log_mass_of_powers(p: Array, a: Array, b: Array) -> Array:
        """:meth:`_log_mass` of the laws that a member's density, to powers, is of."""

    @abstractmethod
    def scaled(self, s: ArrayLike) -> Self:
        """The law of ``s`` times the variable, ``s > 0``."""

    @abstractmethod
    def var(self) -> Float[Array, ""]:
        """The variance."""

    @abstractmethod
    def _log_moment(self, k: Array) -> Array:
        """``log E[X^k]``, elementwise; infinite where the moment does not exist."""

    @abstractmethod
    def _draw_exact(self, key: PRNGKeyArray, n: int) -> Float[Array, " n"]:
        """``n`` independent draws by rejection or in closed form."""

    @classmethod
    def _check_sample(cls, X):
        sample = as_sample(X)
        if not is_traced(sample) and np.ptp(np.asarray(sample)) == 0:
            raise ValueError(
                f"X has the single value {sample[0]}: the likelihood has no maximum"
            )
        return sample

    def _check_observation(self, x):
        value = as_float(cast(ArrayLike, x))
        if value.ndim > 1:
            raise ValueError(
                f"x must be a scalar or have shape (n,), got {value.shape}; "
                "for others use jax.vmap"
            )
        return value

    # -- density -----------------------------------------------------------------

    def _log_density(self, x: ArrayLike):
        x = as_float(x)
        p, a, b = self.gig_params()
        inside = (x > 0) & (x < jnp.inf)
        at = jnp.where(inside, x, 1.0)
        value = log_height(p, a, b, at) - self._log_mass(p, a, b)
        # At 0 its limit: a power of x, unless b > 0.
        rising = (b > 0) | (p > 1)
        flat = jnp.log(0.5 * jnp.where(rising, 1.0, a))
        at_zero = jnp.where(rising, -jnp.inf, jnp.where(p < 1, jnp.inf, flat))
        outside = jnp.where(jnp.isnan(x), x, jnp.where(x == 0, at_zero, -jnp.inf))
        return jnp.where(inside, value, outside)

    # -- moments and mode --------------------------------------------------------

    def std(self) -> Float[Array, ""]:
        """The standard deviation."""
        return jnp.sqrt(self.var())

    def raw_moment(self, k: ArrayLike) -> Float[Array, ""]:
        """``E[X^k]`` for any real ``k``; infinite where it does not exist."""
        return _raw_moments(self, as_float(k))

    def raw_moments(self, ks: Float[ArrayLike, " m"]) -> Float[Array, " m"]:
        """``E[X^k]`` for every ``k`` of an array, shape ``(m,)``."""
        return _raw_moments(self, as_float(ks))

    def mode(self) -> Float[Array, ""]:
        """Where the density is highest; 0 where it decreases throughout."""
        p, a, b = self.gig_params()
        q = p - 1
        root = hypot(q, jnp.sqrt(a) * jnp.sqrt(b))
        rising = q > 0
        # Two forms of the same root, each a sum of positive terms.
        above = (q + root) / jnp.where(rising, a, 1.0)
        below = b / jnp.where(rising, 1.0, jnp.where(root == q, 1.0, root - q))
        return jnp.where(rising, above, below)

    # -- tails and quantiles -----------------------------------------------------

    def cdf(self, x: ArrayLike) -> Real:
        """``P(X <= x)``, elementwise in ``x``.

        Relative accuracy holds for whichever of ``cdf`` and ``sf`` is smaller, down
        to the least positive number. Differentiable in ``x`` and the parameters.
        """
        return _tails(self, as_float(x)).cdf

    def sf(self, x: ArrayLike) -> Real:
        """``P(X > x)``, elementwise in ``x``, without the cancellation of 1 - cdf."""
        return _tails(self, as_float(x)).sf

    def logcdf(self, x: ArrayLike) -> Real:
        """``log P(X <= x)``, elementwise in ``x``; finite where the cdf underflows."""
        return _tails(self, as_float(x)).logcdf

    def logsf(self, x: ArrayLike) -> Real:
        """``log P(X > x)``, elementwise in ``x``; finite where the sf underflows."""
        return _tails(self, as_float(x)).logsf

    def ppf(self, q: ArrayLike) -> Real:
        """The quantile: ``x`` with ``cdf(x) = q``, elementwise; NaN outside [0, 1].

        Solved by Newton's method on the logarithm of the smaller tail, which cannot
        overshoot; differentiable in ``q`` and the parameters (implicitly).
        """
        return _quantile(self, as_float(q), True)

    def isf(self, q: ArrayLike) -> Real:
        """``x`` with ``sf(x) = q``, elementwise; the way to small upper tails."""
        return _quantile(self, as_float(q), False)

    def quantile_table(self) -> QuantileTable:
        """Tabulated ``cdf``, ``ppf`` and ``rvs``, for repeated use of one law."""
        return _quantile_table(self)

    def _draw(self, key: PRNGKeyArray, n: int, method: str = "exact"):
        if method == "inversion":
            return self.quantile_table()._draw(key, n)
        return self._draw_exact(key, n)

    # -- relations to other laws -------------------------------------------------

    def to_gig(self) -> GeneralizedInverseGaussian:
        """The same law as a generalized inverse Gaussian law."""
        from normix.distributions.generalized_inverse_gaussian import (
            GeneralizedInverseGaussian,
        )

        p, a, b = self.gig_params()
        return GeneralizedInverseGaussian(p=p, a=a, b=b)

    def _beside(self, other):
        """Both laws in one family, in a unit that this law sets."""
        if not isinstance(other, PositiveFamily):
            raise ValueError(
                f"a {type(self).__name__} cannot be compared with a "
                f"{type(other).__name__}"
            )
        pair = self, other
        if type(self) is not type(other):
            pair = self.to_gig(), other.to_gig()
        # In units in which this law's log has its mode at 0: neither log-partition
        # then carries the scale that both have in common.
        s = 1 / typical_value(*lax.stop_gradient(self.gig_params()))
        return tuple(law.scaled(s) for law in pair)

    # Divergences and powers from the modes and what is left beside them: the
    # log-partitions of narrow laws are large numbers, of which those are differences.

    def _kl(self, other):
        law, other = self._beside(other)
        p, q = law.gig_params(), other.gig_params()
        m, n = mode(*p)[0], mode(*q)[0]
        log_y, inv_y, y = law._means_about_mode()
        log_ratio = mode(*p)[1] - mode(*q)[1]
        # Of a law's two terms the mean deviances, for both laws' modes.
        above = unit_deviance((m - n) / n, log_ratio) + m / n * y - log_y
        below = unit_deviance((n - m) / m, -log_ratio) + n / m * inv_y + log_y
        fall_of_other = times(above, 0.5 * q[1] * n) + times(below, 0.5 * q[2] / n)
        own = times(y - log_y, 0.5 * p[1] * m) + times(inv_y + log_y, 0.5 * p[2] / m)
        return law._log_mass(*q) - law._log_mass(*p) + fall_of_other - own

    def _log_affinity(self, other):
        law, other = self._beside(other)
        p, q = law.gig_params(), other.gig_params()
        middle = tuple(0.5 * (x + y) for x, y in zip(p, q, strict=True))
        t = mode(*middle)[1]
        masses = law._log_mass(*p) + law._log_mass(*q)
        return law._log_mass(*middle) - 0.5 * (masses + fall(*p, t) + fall(*q, t))

    def _log_power(self, alpha):
        # The mode of density^alpha in log x is where alpha times the fall is weighed
        # against (1 - alpha) log x.
        p, a, b = self.gig_params()
        power = alpha * (p - 1) + 1, alpha * a, alpha * b
        t = mode(*power)[1]
        mass = self._log_mass_of_powers(*power)
        value = mass - alpha * self._log_mass(p, a, b)
        value = value + (1 - alpha) * t - alpha * fall(p, a, b, t)
        return jnp.where(mass == jnp.inf, jnp.inf, value)


@of_each()
def _raw_moments(law: PositiveFamily, k: Array) -> Array:
    return jnp.exp(law._log_moment(k))


@of_each()
def _tails(law: PositiveFamily, x: Array) -> Tails:
    return Tails.of_logarithms(*gig_log_tails(*law.gig_params(), x))


@of_each()
def _quantile(law: PositiveFamily, q: Array, lower: bool | Array) -> Array:
    def quantile(log_q, upper):
        return jnp.exp(gig_log_quantile(log_q, upper, *law.gig_params()))

    return of_smaller_tail(quantile, q, lower, 0.0)


@of_few()
def _quantile_table(law: PositiveFamily) -> QuantileTable:
    params = law.gig_params()

    def quantile(log_q, upper):
        return gig_log_quantile(log_q, upper, *params)

    def log_density(t):
        return gig_log_density(*params, t)

    return QuantileTable.tabulate(quantile, log_density, of_logarithm=True)
