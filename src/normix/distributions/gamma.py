"""The gamma distribution."""

from __future__ import annotations

from typing import ClassVar, Self

import equinox as eqx
import jax.numpy as jnp
from jax.scipy.special import gammaln
from jaxtyping import Array, ArrayLike, Float, PRNGKeyArray

from normix._arrays import as_float, check_positive
from normix._solving import as_vector
from normix.distributions._sampling import draw_log_gig
from normix.distributions.positive import PositiveFamily
from normix.exponential_family import SolverOptions
from normix.special.deviance import unit_deviance
from normix.special.gamma import (
    inverse_log_minus_digamma,
    log_gamma_remainder,
    log_minus_digamma,
)
from normix.special.gig import gig_means


class Gamma(PositiveFamily):
    r"""The gamma law.

    Density :math:`\beta^\alpha x^{\alpha-1}e^{-\beta x}/\Gamma(\alpha)`;
    scalar parameters ``alpha > 0`` (shape) and ``beta > 0`` (rate);
    :math:`t(x) = (\log x, x)`, :math:`\theta = (\alpha - 1, -\beta)`. It is
    ``GIG(alpha, 2 beta, 0)``.

    **Raises**: ``ValueError`` for a parameter that is not positive.

    >>> from normix import Gamma
    >>> float(Gamma(alpha=2.0, beta=4.0).mean())
    0.5
    """

    _terms: ClassVar[tuple[int, int, int]] = (2, 0, 0)
    closed_form: ClassVar[bool] = True
    has_order: ClassVar[bool] = False
    bounded_below: ClassVar[bool] = True
    own_coordinates: ClassVar[tuple[int, ...]] = (0,)

    alpha: Float[Array, ""] = eqx.field(converter=as_float)
    beta: Float[Array, ""] = eqx.field(converter=as_float)

    def __check_init__(self):
        check_positive("Gamma", alpha=self.alpha, beta=self.beta)

    @staticmethod
    def _log_partition_from_theta(theta, backend="jax"):
        alpha, beta = theta[0] + 1, -theta[1]
        valid = (alpha > 0) & (beta > 0)
        alpha, beta = jnp.where(valid, alpha, 1.0), jnp.where(valid, beta, 1.0)
        return jnp.where(valid, gammaln(alpha) - alpha * jnp.log(beta), jnp.inf)

    def natural_params(self) -> Float[Array, " 2"]:
        return jnp.stack([self.alpha - 1, -self.beta])

    @staticmethod
    def sufficient_statistics(x: ArrayLike) -> Float[Array, " 2"]:
        x = as_float(x)
        return jnp.stack([jnp.log(x), x])

    @staticmethod
    def log_base_measure(x: ArrayLike) -> Float[Array, ""]:
        return jnp.where(as_float(x) > 0, 0.0, -jnp.inf)

    @staticmethod
    def _log_mass(p, a, b):
        return log_gamma_remainder(p)

    @staticmethod
    def _log_mass_of_powers(p, a, b):
        proper = p > 0
        return jnp.where(
            proper, log_gamma_remainder(jnp.where(proper, p, 1.0)), jnp.inf
        )

    def _means_about_mode(self):
        zero = jnp.zeros_like(self.alpha)
        return -log_minus_digamma(self.alpha), zero, zero

    @classmethod
    def from_natural(cls, theta: ArrayLike) -> Self:
        theta = as_vector(cls, "theta", theta)
        return cls(alpha=theta[0] + 1, beta=-theta[1])

    def summed(self, n: ArrayLike) -> Self:
        """The law of a sum of ``n`` independent variables of this law, ``n > 0``."""
        n = as_float(n)
        return type(self)(alpha=n * self.alpha, beta=self.beta + 0 * n)

    @classmethod
    def _from_eta(cls, eta, theta0, options: SolverOptions) -> Self:
        # log E X - E log X = log α - digamma(α): one equation, solved to rounding.
        alpha = inverse_log_minus_digamma(jnp.log(eta[1]) - eta[0])
        return cls(alpha=alpha, beta=alpha / eta[1])

    @classmethod
    def _most_likely(cls, sample, weights, theta0, options):
        # The mean deviance is log E X - E log X.
        mean = weights @ sample
        gap = (sample - mean) / mean
        alpha = inverse_log_minus_digamma(
            weights @ unit_deviance(gap, jnp.log(sample) - jnp.log(mean))
        )
        return cls(alpha=alpha, beta=alpha / mean)

    @classmethod
    def _violation(cls, eta):
        finite = jnp.isfinite(eta).all()
        return ~(finite & (eta[0] < jnp.log(eta[1]))), "E[log X] < log E[X] < inf"

    @classmethod
    def closest_to_mixing(
        cls,
        E_log_Y: Array,
        E_inv_Y: Array,
        E_Y: Array,
        options: SolverOptions,
        p: Array | None = None,
        alpha_min: Array | None = None,
    ) -> Self:
        """The member of maximum likelihood for given GIG expectations.

        The likelihood has one maximum in ``alpha``: a bound is met or does not matter.
        """
        free = cls._from_eta(jnp.stack([E_log_Y, E_Y]), None, options)
        if alpha_min is None:
            return free
        alpha = jnp.maximum(free.alpha, alpha_min)
        return cls(alpha=alpha, beta=alpha / E_Y)

    def bounded(self, p: Array | None, alpha_min: Array | None) -> Self:
        """The law of the same mean with a shape of at least ``alpha_min``."""
        if alpha_min is None:
            return self
        alpha = jnp.maximum(self.alpha, alpha_min)
        return type(self)(alpha=alpha, beta=self.beta * (alpha / self.alpha))

    @classmethod
    def closest_to_gig(cls, p: Array, a: Array, b: Array) -> Self:
        """The member nearest in KL to ``GIG(p, a, b)``."""
        e_log, e_inv, e_y = gig_means(p, a, b)
        return cls.closest_to_mixing(e_log, e_inv, e_y, SolverOptions())

    @classmethod
    def with_unit_mean(cls, spread: Array, order: Array) -> Self:
        """Mean 1 and variance ``spread``."""
        return cls(alpha=1 / spread, beta=1 / spread)

    def mean_and_spread(self) -> tuple[Array, Array]:
        """The mean and the variance over its square."""
        return self.alpha / self.beta, 1 / self.alpha

    def cumulants(self, order: int) -> tuple[Array, ...]:
        """The first ``order`` cumulants."""
        factorials = (1, 1, 2, 6)[:order]
        return tuple(
            f * self.alpha / self.beta ** (k + 1) for k, f in enumerate(factorials)
        )

    def gig_params(self) -> tuple[Array, Array, Array]:
        return self.alpha, 2 * self.beta, jnp.zeros_like(self.alpha)

    @classmethod
    def from_gig_params(cls, p: Array, a: Array, b: Array) -> Self:
        """The law that is ``GIG(p, a, b)``, which has to be a member."""
        return cls(alpha=p, beta=0.5 * a)

    def scaled(self, s: ArrayLike) -> Self:
        return type(self)(alpha=self.alpha, beta=self.beta / s)

    def _log_moment(self, k):
        order = self.alpha + k
        exists = order > 0
        ratio = gammaln(jnp.where(exists, order, 1.0)) - gammaln(self.alpha)
        return jnp.where(exists, ratio - k * jnp.log(self.beta), jnp.inf)

    def mean(self) -> Float[Array, ""]:
        return self.alpha / self.beta

    def var(self) -> Float[Array, ""]:
        """The variance."""
        return self.alpha / self.beta**2

    def _draw_exact(self, key: PRNGKeyArray, n: int):
        return jnp.exp(draw_log_gig(key, *self.gig_params(), n))
