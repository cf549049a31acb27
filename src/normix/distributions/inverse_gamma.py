"""The inverse gamma distribution."""

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


class InverseGamma(PositiveFamily):
    r"""The inverse gamma law, that of ``1/X`` for a gamma variable ``X``.

    Density :math:`\beta^\alpha x^{-\alpha-1}e^{-\beta/x}/\Gamma(\alpha)`; scalar
    parameters ``alpha > 0`` (shape) and ``beta > 0`` (scale);
    :math:`t(x) = (-1/x, \log x)`, :math:`\theta = (\beta, -\alpha - 1)`. It is
    ``GIG(-alpha, 0, 2 beta)``. Moments of order ``alpha`` and above are infinite.

    **Raises**: ``ValueError`` for a parameter that is not positive.

    >>> from normix import InverseGamma
    >>> law = InverseGamma(alpha=3.0, beta=4.0)
    >>> float(law.mean()), float(law.raw_moment(3.0))
    (2.0, inf)
    """

    _terms: ClassVar[tuple[int, int, int]] = (2, 0, 0)
    closed_form: ClassVar[bool] = True
    has_order: ClassVar[bool] = False
    bounded_below: ClassVar[bool] = False
    own_coordinates: ClassVar[tuple[int, ...]] = (0,)

    alpha: Float[Array, ""] = eqx.field(converter=as_float)
    beta: Float[Array, ""] = eqx.field(converter=as_float)

    def __check_init__(self):
        check_positive("InverseGamma", alpha=self.alpha, beta=self.beta)

    @staticmethod
    def _log_partition_from_theta(theta, backend="jax"):
        alpha, beta = -theta[1] - 1, theta[0]
        valid = (alpha > 0) & (beta > 0)
        alpha, beta = jnp.where(valid, alpha, 1.0), jnp.where(valid, beta, 1.0)
        return jnp.where(valid, gammaln(alpha) - alpha * jnp.log(beta), jnp.inf)

    def natural_params(self) -> Float[Array, " 2"]:
        return jnp.stack([self.beta, -self.alpha - 1])

    @staticmethod
    def sufficient_statistics(x: ArrayLike) -> Float[Array, " 2"]:
        x = as_float(x)
        return jnp.stack([-1 / x, jnp.log(x)])

    @staticmethod
    def log_base_measure(x: ArrayLike) -> Float[Array, ""]:
        return jnp.where(as_float(x) > 0, 0.0, -jnp.inf)

    @staticmethod
    def _log_mass(p, a, b):
        return log_gamma_remainder(-p)

    @staticmethod
    def _log_mass_of_powers(p, a, b):
        proper = p < 0
        return jnp.where(
            proper, log_gamma_remainder(jnp.where(proper, -p, 1.0)), jnp.inf
        )

    def _means_about_mode(self):
        zero = jnp.zeros_like(self.alpha)
        return log_minus_digamma(self.alpha), zero, zero

    @classmethod
    def from_natural(cls, theta: ArrayLike) -> Self:
        theta = as_vector(cls, "theta", theta)
        return cls(alpha=-theta[1] - 1, beta=theta[0])

    @classmethod
    def _from_eta(cls, eta, theta0, options: SolverOptions) -> Self:
        # That of 1/X, which is a gamma variable.
        alpha = inverse_log_minus_digamma(jnp.log(-eta[0]) + eta[1])
        return cls(alpha=alpha, beta=-alpha / eta[0])

    @classmethod
    def _most_likely(cls, sample, weights, theta0, options):
        # As the gamma law of 1/X, about the harmonic mean.
        mean = 1 / (weights @ (1 / sample))
        gap = (mean - sample) / sample
        alpha = inverse_log_minus_digamma(
            weights @ unit_deviance(gap, jnp.log(mean) - jnp.log(sample))
        )
        return cls(alpha=alpha, beta=alpha * mean)

    @classmethod
    def _violation(cls, eta):
        finite = jnp.isfinite(eta).all()
        violated = ~(finite & (-eta[1] < jnp.log(-eta[0])))
        return violated, "-inf < -log E[1/X] < E[log X]"

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
        """The member of maximum likelihood for given GIG expectations."""
        return cls._from_eta(jnp.stack([-E_inv_Y, E_log_Y]), None, options)

    def bounded(self, p: Array | None, alpha_min: Array | None) -> Self:
        """The law itself, which has no such parameter."""
        return self

    @classmethod
    def closest_to_gig(cls, p: Array, a: Array, b: Array) -> Self:
        """The member nearest in KL to ``GIG(p, a, b)``."""
        e_log, e_inv, e_y = gig_means(p, a, b)
        return cls.closest_to_mixing(e_log, e_inv, e_y, SolverOptions())

    @classmethod
    def with_unit_mean(cls, spread: Array, order: Array) -> Self:
        """Mean 1, of heavier tails as ``spread`` grows; finite variance below 1."""
        alpha = 1 + 1 / spread
        return cls(alpha=alpha, beta=alpha - 1)

    def mean_and_spread(self) -> tuple[Array, Array]:
        """The mean and the variance over its square; infinite where they are."""
        mean, var = self.cumulants(2)
        return mean, jnp.where(jnp.isfinite(var), var / mean**2, jnp.inf)

    def cumulants(self, order: int) -> tuple[Array, ...]:
        r"""The first ``order`` cumulants; infinite for ``alpha`` of that order or less.

        With :math:`m = \beta/(\alpha-1)`, by Student's: variance
        :math:`m^2/(\alpha-2)`, then :math:`4m^3/((\alpha-2)(\alpha-3))` and
        :math:`6m^4(5\alpha-11)/((\alpha-2)^2(\alpha-3)(\alpha-4))`.
        """
        alpha = self.alpha
        gaps = [jnp.where(alpha > k, alpha - k, 1.0) for k in range(1, 5)]
        m = self.beta / gaps[0]
        values = (
            m,
            m**2 / gaps[1],
            4 * m**3 / (gaps[1] * gaps[2]),
            6 * m**4 * (5 * alpha - 11) / (gaps[1] ** 2 * gaps[2] * gaps[3]),
        )
        return tuple(
            jnp.where(alpha > k + 1, value, jnp.inf)
            for k, value in enumerate(values[:order])
        )

    def gig_params(self) -> tuple[Array, Array, Array]:
        return -self.alpha, jnp.zeros_like(self.alpha), 2 * self.beta

    @classmethod
    def from_gig_params(cls, p: Array, a: Array, b: Array) -> Self:
        """The law that is ``GIG(p, a, b)``, which has to be a member."""
        return cls(alpha=-p, beta=0.5 * b)

    def scaled(self, s: ArrayLike) -> Self:
        return type(self)(alpha=self.alpha, beta=s * self.beta)

    def _log_moment(self, k):
        order = self.alpha - k
        exists = order > 0
        ratio = gammaln(jnp.where(exists, order, 1.0)) - gammaln(self.alpha)
        return jnp.where(exists, ratio + k * jnp.log(self.beta), jnp.inf)

    def mean(self) -> Float[Array, ""]:
        exists = self.alpha > 1
        below = jnp.where(exists, self.alpha - 1, 1.0)
        return jnp.where(exists, self.beta / below, jnp.inf)

    def var(self) -> Float[Array, ""]:
        """The variance; infinite for ``alpha <= 2``."""
        exists = self.alpha > 2
        below = jnp.where(exists, self.alpha, 3.0)
        value = (self.beta / (below - 1)) ** 2 / (below - 2)
        return jnp.where(exists, value, jnp.inf)

    def _draw_exact(self, key: PRNGKeyArray, n: int):
        return jnp.exp(draw_log_gig(key, *self.gig_params(), n))
