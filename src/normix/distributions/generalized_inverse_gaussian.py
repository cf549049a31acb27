"""The generalized inverse Gaussian distribution."""

from __future__ import annotations

from typing import ClassVar, Self

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, PRNGKeyArray

from normix._arrays import as_float, check_one_shape, check_option, is_traced
from normix._compile import of_few
from normix._solving import as_vector
from normix.distributions._sampling import draw_log_gig
from normix.distributions.gamma import Gamma
from normix.distributions.inverse_gamma import InverseGamma
from normix.distributions.inverse_gaussian import InverseGaussian
from normix.distributions.positive import PositiveFamily
from normix.exponential_family import BACKENDS, SolverOptions
from normix.special._mode import mode
from normix.special.deviance import unit_deviance
from normix.special.gig import (
    CENTRED,
    gig_cumulants,
    gig_log_mass,
    gig_log_partition,
    gig_means,
)
from normix.special.gig_inverse import gig_from_expectation, gig_from_spread
from normix.special.gig_order import gig_at_order
from normix.special.gig_sum import about_mode


class GeneralizedInverseGaussian(PositiveFamily):
    r"""The law with density proportional to :math:`x^{p-1}e^{-(ax + b/x)/2}`, x > 0.

    Scalar parameters ``p`` (any real), ``a >= 0`` and ``b >= 0``: both positive, or
    ``b = 0`` with ``p > 0`` (Gamma), or ``a = 0`` with ``p < 0`` (inverse Gamma);
    :math:`t(x) = (\log x, 1/x, x)`, :math:`\theta = (p-1, -b/2, -a/2)`.

    **Raises**: ``ValueError`` for parameters outside that domain.

    >>> from normix import GIG, InverseGaussian
    >>> gig = GIG(p=-0.5, a=1.0, b=4.0)
    >>> round(float(gig.mean()), 12)
    2.0
    """

    _terms: ClassVar[tuple[int, int, int]] = (3, 0, 0)
    closed_form: ClassVar[bool] = False
    has_order: ClassVar[bool] = True
    bounded_below: ClassVar[bool] = True
    own_coordinates: ClassVar[tuple[int, ...]] = (0, 1)

    p: Float[Array, ""] = eqx.field(converter=as_float)
    a: Float[Array, ""] = eqx.field(converter=as_float)
    b: Float[Array, ""] = eqx.field(converter=as_float)

    def __check_init__(self):
        check_one_shape(type(self).__name__, p=self.p, a=self.a, b=self.b)
        if is_traced(self.p, self.a, self.b):
            return
        p, a, b = (np.asarray(v) for v in (self.p, self.a, self.b))
        for name, value in (("a", a), ("b", b)):
            if np.any(value < 0):
                raise ValueError(
                    f"GeneralizedInverseGaussian: {name} must not be negative, "
                    f"got {value}"
                )
        if np.any((b == 0) & (p <= 0)) or np.any((a == 0) & (p >= 0)):
            raise ValueError(
                "GeneralizedInverseGaussian: b = 0 needs p > 0 and a = 0 needs p < 0, "
                f"got p={p}, a={a}, b={b}"
            )

    @staticmethod
    def _log_partition_from_theta(theta, backend="jax"):
        p, a, b = theta[0] + 1, -2 * theta[2], -2 * theta[1]
        return gig_log_partition(p, a, b, backend=backend)

    def natural_params(self) -> Float[Array, " 3"]:
        return jnp.stack([self.p - 1, -0.5 * self.b, -0.5 * self.a])

    @staticmethod
    def sufficient_statistics(x: ArrayLike) -> Float[Array, " 3"]:
        x = as_float(x)
        return jnp.stack([jnp.log(x), 1 / x, x])

    @staticmethod
    def log_base_measure(x: ArrayLike) -> Float[Array, ""]:
        return jnp.where(as_float(x) > 0, 0.0, -jnp.inf)

    @staticmethod
    def _log_mass(p, a, b):
        return gig_log_mass(p, a, b)

    @staticmethod
    def _log_mass_of_powers(p, a, b):
        return gig_log_mass(p, a, b)

    def _means_about_mode(self):
        law = self.gig_params()
        m, _ = mode(*law)
        k = gig_cumulants(1, CENTRED, *law)
        return k[1, 0, 0], k[0, 1, 0] * m, k[0, 0, 1] / m

    @classmethod
    def from_natural(cls, theta: ArrayLike) -> Self:
        theta = as_vector(cls, "theta", theta)
        return cls(p=theta[0] + 1, a=-2 * theta[2], b=-2 * theta[1])

    @classmethod
    def _from_eta(cls, eta, theta0, options: SolverOptions) -> Self:
        # The solver's own start is within two Newton steps of the solution, closer
        # than a neighbouring law: theta0 is not needed.
        chosen = (options.backend, options.method, options.maxiter, options.tol)
        p, a, b = gig_from_expectation(eta, chosen)
        return cls(p=p, a=a, b=b)

    @classmethod
    def _most_likely(cls, sample, weights, theta0, options):
        mean = weights @ sample
        gap = (sample - mean) / mean
        log_ratio = jnp.log(sample) - jnp.log(mean)
        # E X E[1/X] - 1, and log E X - E log X
        spread = weights @ (gap * ((sample - mean) / sample))
        deviance = weights @ unit_deviance(gap, log_ratio)
        chosen = (options.backend, options.method, options.maxiter, options.tol)
        eta = jnp.stack([jnp.log(mean) - deviance, (1 + spread) / mean, mean])
        r = jnp.log1p(spread)
        p, a, b = gig_from_spread(eta, r, 0.5 * r - deviance, chosen)
        return cls(p=p, a=a, b=b)

    @classmethod
    def _violation(cls, eta):
        e_log, e_inv, e_x = eta
        jensen = (e_log < jnp.log(e_x)) & (e_log > -jnp.log(e_inv))
        finite = jnp.isfinite(e_log) & (jnp.isfinite(e_x) | jnp.isfinite(e_inv))
        violated = ~((e_x > 0) & (e_inv > 0) & jensen & finite)
        return violated, "-log E[1/X] < E[log X] < log E[X], one of them finite"

    @staticmethod
    def expectation_params_batch(
        p: ArrayLike, a: ArrayLike, b: ArrayLike, backend: str = "jax"
    ) -> Float[Array, "n 3"]:
        """``E[log X], E[1/X], E[X]`` of many laws at once, shape ``(n, 3)``.

        ``p``, ``a`` and ``b`` broadcast to ``(n,)``.

        **Raises**: ``ValueError`` for shapes that do not.
        """
        check_option("backend", backend, BACKENDS)
        p, a, b = (jnp.atleast_1d(as_float(x)) for x in (p, a, b))
        lengths = {x.shape[0] for x in (p, a, b) if x.ndim == 1} - {1}
        if max(p.ndim, a.ndim, b.ndim) > 1 or len(lengths) > 1:
            raise ValueError(
                "p, a and b must be scalars or have one shape (n,), got "
                f"{p.shape}, {a.shape} and {b.shape}"
            )
        p, a, b = jnp.broadcast_arrays(p, a, b)
        return _means(p, a, b, backend)

    def mean(self) -> Float[Array, ""]:
        return _cumulants(self.p, self.a, self.b, 1)[0, 0, 1]

    def var(self) -> Float[Array, ""]:
        """The variance."""
        return _cumulants(self.p, self.a, self.b, 2)[0, 0, 2]

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
        """The member of maximum likelihood for given expectations.

        The likelihood is concave in the natural parameters: where the order of the
        free maximum falls below ``alpha_min``, the bound is met.
        """
        if p is not None:
            a, b = gig_at_order(p, E_inv_Y, E_Y)
            return cls(p=p, a=a, b=b)
        free = cls._from_eta(jnp.stack([E_log_Y, E_inv_Y, E_Y]), None, options)
        if alpha_min is None:
            return free
        a, b = gig_at_order(alpha_min, E_inv_Y, E_Y)
        bound = cls(p=alpha_min, a=a, b=b)
        below = free.p < alpha_min
        return jax.tree.map(lambda x, y: jnp.where(below, x, y), bound, free)

    def bounded(self, p: Array | None, alpha_min: Array | None) -> Self:
        """A law of order ``p``, or at least ``alpha_min``, with about the same mean."""
        if p is not None:
            order = p
        elif alpha_min is not None:
            order = jnp.maximum(self.p, alpha_min)
        else:
            return self
        scale, _ = self.mean_and_spread()
        scale = jnp.where(jnp.isfinite(scale), scale, 1.0)
        # The argument sqrt(ab) is kept, away from limits that the order may not have.
        z = jnp.maximum(jnp.sqrt(self.a) * jnp.sqrt(self.b), 1e-3)
        new = type(self).with_unit_mean(1 / z, order).scaled(scale)
        same = order == self.p
        return jax.tree.map(lambda x, y: jnp.where(same, x, y), self, new)

    @classmethod
    def closest_to_gig(cls, p: Array, a: Array, b: Array) -> Self:
        """The law itself."""
        return cls(p=p, a=a, b=b)

    @classmethod
    def with_unit_mean(cls, spread: Array, order: Array) -> Self:
        """Mean near 1, of the given order, more spread out as ``spread`` grows."""
        one = cls(p=order, a=1 / spread, b=1 / spread)
        return one.scaled(1 / one.mean_and_spread()[0])

    def mean_and_spread(self) -> tuple[Array, Array]:
        """The mean and the variance over its square, by a kernel without derivatives.

        For starting values; :meth:`mean` and :meth:`var` are for use.
        """
        inside = (self.a > 0) & (self.b > 0)
        a, b = jnp.where(inside, self.a, 1.0), jnp.where(inside, self.b, 1.0)
        z = jnp.sqrt(a) * jnp.sqrt(b)
        # Of the law with a = b = z; the second moment from integration by parts.
        mean = _unit_mean(self.p, z)
        spread = (2 * (self.p + 1) * mean + z) / (z * mean**2) - 1
        gamma, q = self.b == 0, jnp.abs(self.p)
        edge = jnp.where(gamma, 2 * q / self.a, self.b / (2 * (q - 1)))
        exists = gamma | (q > 1)
        edge = jnp.where(exists, edge, jnp.inf)
        edge_spread = jnp.where(gamma, 1 / q, 1 / (q - 2))
        edge_spread = jnp.where(gamma | (q > 2), edge_spread, jnp.inf)
        return (
            jnp.where(inside, mean * jnp.sqrt(b / a), edge),
            jnp.where(inside, spread, edge_spread),
        )

    def cumulants(self, order: int) -> tuple[Array, ...]:
        """The first ``order`` cumulants; infinite where they are."""
        k = _cumulants(self.p, self.a, self.b, order)
        return tuple(k[0, 0, i] for i in range(1, order + 1))

    def gig_params(self) -> tuple[Array, Array, Array]:
        return self.p, self.a, self.b

    @classmethod
    def from_gig_params(cls, p: Array, a: Array, b: Array) -> Self:
        """The law that is ``GIG(p, a, b)``, which has to be a member."""
        return cls(p=p, a=a, b=b)

    def scaled(self, s: ArrayLike) -> Self:
        return type(self)(p=self.p, a=self.a / s, b=s * self.b)

    def _log_moment(self, k):
        above = gig_log_partition(self.p + k, self.a, self.b)
        return above - gig_log_partition(self.p, self.a, self.b)

    def to_gamma(self) -> Gamma:
        """The gamma law nearest in KL: the same ``E[log X]`` and ``E[X]``.

        Exact where ``b = 0``.

        **Raises**: ``ValueError`` where ``E[X]`` is infinite.
        """
        e_log, _, e_x = self.expectation_params()
        return Gamma.from_expectation(jnp.stack([e_log, e_x]))

    def to_inverse_gamma(self) -> InverseGamma:
        """The inverse gamma law nearest in KL: the same ``E[log X]`` and ``E[1/X]``.

        Exact where ``a = 0``.

        **Raises**: ``ValueError`` where ``E[1/X]`` is infinite.
        """
        e_log, e_inv, _ = self.expectation_params()
        return InverseGamma.from_expectation(jnp.stack([-e_inv, e_log]))

    def to_inverse_gaussian(self) -> InverseGaussian:
        """The inverse Gaussian law nearest in KL: the same ``E[X]`` and ``E[1/X]``.

        Exact where ``p = -1/2``.

        **Raises**: ``ValueError`` where one of the two is infinite.
        """
        _, e_inv, e_x = self.expectation_params()
        return InverseGaussian.from_expectation(jnp.stack([e_x, e_inv]))

    def _draw_exact(self, key: PRNGKeyArray, n: int):
        return jnp.exp(draw_log_gig(key, self.p, self.a, self.b, n))


GIG = GeneralizedInverseGaussian


def _unit_mean(p: Array, z: Array) -> Array:
    """The mean of ``GIG(p, z, z)``; by ``a E[Y] = b E[1/Y] + 2p`` for ``p >= 0``."""
    order = jnp.abs(p)
    at = about_mode(order, jnp.log(z))
    near = (1 + at.below) * z / at.plus
    return jnp.where(p < 0, near, near + 2 * order / z)


@of_few("order")
def _cumulants(p: Array, a: Array, b: Array, order: int):
    return gig_cumulants(order, False, p, a, b)


@of_few("backend")
def _means(p, a, b, backend: str):
    return jnp.stack(gig_means(p, a, b, backend=backend), axis=-1)
