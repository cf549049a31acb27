"""The inverse Gaussian distribution."""

from __future__ import annotations

import math
from typing import ClassVar, Self

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, PRNGKeyArray

from normix._arrays import as_float, check_positive
from normix._solving import as_vector
from normix.distributions._sampling import draw_inverse_gaussian
from normix.distributions.positive import PositiveFamily
from normix.exponential_family import SolverOptions
from normix.special._hypot import hypot
from normix.special.gig import gig_log_mass, gig_log_partition, gig_means


class InverseGaussian(PositiveFamily):
    r"""The inverse Gaussian (Wald) law.

    Density :math:`\sqrt{\lambda/(2\pi x^3)}\exp(-\lambda(x-\mu)^2/(2\mu^2x))`, scalar
    parameters ``mu > 0`` (mean) and ``lam > 0`` (shape); :math:`t(x) = (x, 1/x)`,
    :math:`\theta = (-\lambda/(2\mu^2), -\lambda/2)`. It is
    ``GIG(-1/2, lam/mu**2, lam)``.

    **Raises**: ``ValueError`` for a parameter that is not positive.

    >>> from normix import InverseGaussian
    >>> float(InverseGaussian(mu=2.0, lam=4.0).var())
    2.0
    """

    _terms: ClassVar[tuple[int, int, int]] = (2, 0, 0)
    closed_form: ClassVar[bool] = True
    has_order: ClassVar[bool] = False
    bounded_below: ClassVar[bool] = False
    own_coordinates: ClassVar[tuple[int, ...]] = (1,)

    mu: Float[Array, ""] = eqx.field(converter=as_float)
    lam: Float[Array, ""] = eqx.field(converter=as_float)

    def __check_init__(self):
        check_positive("InverseGaussian", mu=self.mu, lam=self.lam)

    @staticmethod
    def _log_partition_from_theta(theta, backend="jax"):
        # -λ/μ - log(λ)/2, with sqrt(ab) = λ/μ
        root = jnp.sqrt(-2 * theta[0]) * jnp.sqrt(-2 * theta[1])
        return -root - 0.5 * jnp.log(-2 * theta[1])

    def natural_params(self) -> Float[Array, " 2"]:
        return jnp.stack([-0.5 * self.lam / self.mu / self.mu, -0.5 * self.lam])

    @staticmethod
    def sufficient_statistics(x: ArrayLike) -> Float[Array, " 2"]:
        x = as_float(x)
        return jnp.stack([x, 1 / x])

    @staticmethod
    def log_base_measure(x: ArrayLike) -> Float[Array, ""]:
        x = as_float(x)
        inside = x > 0
        log_x = jnp.log(jnp.where(inside, x, 1.0))
        return jnp.where(inside, -0.5 * math.log(2 * math.pi) - 1.5 * log_x, -jnp.inf)

    @staticmethod
    def _log_mass(p, a, b):
        # With K_{1/2}(z) = sqrt(π/(2z)) e^{-z}; the mode is z/(ω + 1/2) times the mean.
        z = jnp.sqrt(a) * jnp.sqrt(b)
        beyond = 0.25 / (hypot(0.5, z) + z)  # ω - z
        return 0.5 * jnp.log(2 * jnp.pi / z) + beyond - 0.5 * jnp.arcsinh(0.5 / z)

    @staticmethod
    def _log_mass_of_powers(p, a, b):
        return gig_log_mass(p, a, b)

    def _means_about_mode(self):
        z = self.lam / self.mu
        omega = hypot(0.5, z)
        beyond = 0.25 / (omega + z)
        # That of log X drops out: laws of one order.
        below, above = (0.5 - beyond) / (omega + 0.5), (0.5 + beyond) / z
        return jnp.zeros_like(z), below, above

    @classmethod
    def from_natural(cls, theta: ArrayLike) -> Self:
        theta = as_vector(cls, "theta", theta)
        return cls(mu=jnp.sqrt(theta[1] / theta[0]), lam=-2 * theta[1])

    def summed(self, n: ArrayLike) -> Self:
        """The law of a sum of ``n`` independent variables of this law, ``n > 0``."""
        n = as_float(n)
        return type(self)(mu=n * self.mu, lam=n * n * self.lam)

    @classmethod
    def _from_eta(cls, eta, theta0, options: SolverOptions) -> Self:
        # E[1/X] = 1/μ + 1/λ (Tweedie, Ann. Math. Stat. 28, 1957)
        excess = eta[1] - 1 / eta[0]
        return cls(
            mu=eta[0],
            lam=jnp.where((excess > 0) & (excess < jnp.inf), 1 / excess, jnp.nan),
        )

    @classmethod
    def _most_likely(cls, sample, weights, theta0, options):
        mean = weights @ sample
        excess = weights @ (((sample - mean) / mean) ** 2 / sample)
        return cls(mu=mean, lam=jnp.where(excess > 0, 1 / excess, jnp.nan))

    @classmethod
    def _violation(cls, eta):
        product = eta[0] * eta[1]
        attainable = (eta[0] > 0) & (product > 1) & (product < jnp.inf)
        return ~attainable, "E[X] E[1/X] > 1, both finite"

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
        return cls._from_eta(jnp.stack([E_Y, E_inv_Y]), None, options)

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
        """Mean 1 and variance ``spread``."""
        return cls(mu=jnp.ones_like(spread), lam=1 / spread)

    def gig_params(self) -> tuple[Array, Array, Array]:
        p = jnp.full_like(self.lam, -0.5)
        return p, self.lam / self.mu / self.mu, self.lam

    @classmethod
    def from_gig_params(cls, p: Array, a: Array, b: Array) -> Self:
        """The law that is ``GIG(p, a, b)``, which has to be a member."""
        return cls(mu=jnp.sqrt(b) / jnp.sqrt(a), lam=b)

    def scaled(self, s: ArrayLike) -> Self:
        return type(self)(mu=s * self.mu, lam=s * self.lam)

    def _log_moment(self, k):
        p, a, b = self.gig_params()
        return gig_log_partition(p + k, a, b) - gig_log_partition(p, a, b)

    def mean_and_spread(self) -> tuple[Array, Array]:
        """The mean and the variance over its square."""
        return self.mu, self.mu / self.lam

    def cumulants(self, order: int) -> tuple[Array, ...]:
        """The first ``order`` cumulants."""
        mu, ratio = self.mu, self.mu / self.lam
        second = mu * mu * ratio
        third = 3 * second * mu * ratio
        return (mu, second, third, 5 * third * mu * ratio)[:order]

    def mean(self) -> Float[Array, ""]:
        return self.mu

    def var(self) -> Float[Array, ""]:
        """The variance."""
        return self.mu**3 / self.lam

    def _draw_exact(self, key: PRNGKeyArray, n: int):
        return draw_inverse_gaussian(key, self.mu, self.lam, n)
