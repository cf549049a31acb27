"""The inverse gamma distribution."""

from __future__ import annotations

from typing import Self

import equinox as eqx
import jax.numpy as jnp
from jax.scipy.special import gammaln
from jaxtyping import Array, ArrayLike, Float, PRNGKeyArray

from normix._arrays import as_float, check_positive
from normix.distributions._sampling import draw_log_gig
from normix.distributions.positive import PositiveFamily
from normix.exponential_family import SolverOptions
from normix.special.gamma import inverse_log_minus_digamma


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

    def _constant_base(self):
        return self, 0.0

    @classmethod
    def from_natural(cls, theta: ArrayLike) -> Self:
        theta = as_float(theta)
        return cls(alpha=-theta[1] - 1, beta=theta[0])

    @classmethod
    def _from_eta(cls, eta, theta0, options: SolverOptions) -> Self:
        # That of 1/X, which is a gamma variable.
        alpha = inverse_log_minus_digamma(jnp.log(-eta[0]) + eta[1])
        return cls(alpha=alpha, beta=-alpha / eta[0])

    @classmethod
    def _violation(cls, eta):
        finite = jnp.isfinite(eta).all()
        violated = ~(finite & (-eta[1] < jnp.log(-eta[0])))
        return violated, "-inf < -log E[1/X] < E[log X]"

    def gig_params(self) -> tuple[Array, Array, Array]:
        return -self.alpha, jnp.zeros_like(self.alpha), 2 * self.beta

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
