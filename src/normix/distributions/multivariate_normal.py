"""The multivariate normal distribution."""

from __future__ import annotations

import math
from typing import ClassVar, Self, cast

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import cho_solve, solve_triangular
from jaxtyping import Array, ArrayLike, Float, PRNGKeyArray

from normix._arrays import as_data, as_float, is_traced
from normix._columns import (
    check_columns,
    column_names,
    constant_columns,
    dependent_columns,
)
from normix._solving import as_vector
from normix.divergences import kl_within, log_affinity_within
from normix.exponential_family import ExponentialFamily, SolverOptions


class MultivariateNormal(ExponentialFamily):
    r"""The normal law on :math:`R^d` with mean ``mu`` and covariance ``L L^T``.

    ``mu`` has shape ``(d,)`` and ``L_Sigma``, lower triangular with a positive
    diagonal, shape ``(d, d)``; :math:`t(x) = (x, \mathrm{vec}\,xx^\top)` (row-major),
    :math:`\theta = (\Sigma^{-1}\mu, -\tfrac12\mathrm{vec}\,\Sigma^{-1})`.

    **Raises**: ``ValueError`` for shapes that do not fit.

    >>> import jax.numpy as jnp
    >>> from normix import MultivariateNormal
    >>> normal = MultivariateNormal.from_classical(mu=jnp.zeros(2), sigma=jnp.eye(2))
    >>> round(float(normal.log_prob(jnp.zeros(2))), 6)  # -log(2 pi)
    -1.837877
    """

    mu: Float[Array, " d"] = eqx.field(converter=as_float)
    L_Sigma: Float[Array, "d d"] = eqx.field(converter=as_float)

    def __check_init__(self):
        d = self.mu.shape[-1:]
        if self.mu.ndim < 1 or self.L_Sigma.shape[-2:] != d + d:
            raise ValueError(
                "MultivariateNormal: mu (d,) and L_Sigma (d, d) expected, got "
                f"{self.mu.shape} and {self.L_Sigma.shape}"
            )

    @classmethod
    def from_classical(cls, mu: ArrayLike, sigma: ArrayLike) -> Self:
        """From the mean ``(d,)`` and the covariance ``(d, d)``.

        **Raises**: ``ValueError`` for a covariance that is not symmetric positive
        definite.
        """
        return cls(mu=mu, L_Sigma=cholesky(sigma, name="sigma"))

    @staticmethod
    def _log_partition_from_theta(theta, backend="jax"):
        h, precision = _split(theta)
        root = jnp.linalg.cholesky(-2 * precision)
        y = solve_triangular(root, h, lower=True)
        return 0.5 * jnp.dot(y, y) - jnp.log(jnp.diagonal(root)).sum()

    def natural_params(self) -> Float[Array, " k"]:
        precision = cho_solve(
            (self.L_Sigma, True), jnp.eye(self.d, dtype=self.mu.dtype)
        )
        h = cho_solve((self.L_Sigma, True), self.mu)
        return jnp.concatenate([h, -0.5 * precision.ravel()])

    @staticmethod
    def sufficient_statistics(x: ArrayLike) -> Float[Array, " k"]:
        x = as_float(x)
        return jnp.concatenate([x, jnp.outer(x, x).ravel()])

    @staticmethod
    def log_base_measure(x: ArrayLike) -> Float[Array, ""]:
        x = as_float(x)
        return jnp.asarray(-0.5 * x.shape[-1] * math.log(2 * math.pi), x.dtype)

    def _log_peak(self):
        """The log-density at the mean."""
        log_det = jnp.log(jnp.diagonal(self.L_Sigma)).sum()
        return self.log_base_measure(self.mu) - log_det

    def _log_density(self, x: ArrayLike):
        gap = as_float(x) - self.mu
        white = solve_triangular(self.L_Sigma, gap, lower=True)
        return self._log_peak() - 0.5 * jnp.dot(white, white)

    def _log_power(self, alpha):
        return (alpha - 1) * self._log_peak() - 0.5 * self.d * jnp.log(alpha)

    def _kl(self, other):
        return kl_within(*self._beside(other))

    def _log_affinity(self, other):
        return log_affinity_within(*self._beside(other))

    def _beside(self, other):
        """Both laws in coordinates that make this one standard."""
        if not isinstance(other, MultivariateNormal) or other.d != self.d:
            raise ValueError(
                f"a normal law in {self.d} dimensions cannot be compared with {other}"
            )
        shift = solve_triangular(self.L_Sigma, other.mu - self.mu, lower=True)
        root = solve_triangular(self.L_Sigma, other.L_Sigma, lower=True)
        standard = type(self)(jnp.zeros_like(shift), jnp.eye(self.d, dtype=shift.dtype))
        return standard, type(self)(shift, root)

    @classmethod
    def from_natural(cls, theta: ArrayLike) -> Self:
        h, precision = _split(as_vector(cls, "theta", theta))
        root = jnp.linalg.cholesky(-2 * precision)
        if not is_traced(root) and not np.isfinite(np.asarray(root)).all():
            raise ValueError(
                "MultivariateNormal: theta[:d] must be finite and the precision "
                f"-2 theta[d:] positive definite, got\n{-2 * precision}"
            )
        sigma = cho_solve((root, True), jnp.eye(h.shape[0], dtype=h.dtype))
        return cls(mu=sigma @ h, L_Sigma=jnp.linalg.cholesky(sigma))

    @classmethod
    def _from_eta(cls, eta, theta0, options: SolverOptions) -> Self:
        mu, second = _split(eta)
        return cls(mu=mu, L_Sigma=jnp.linalg.cholesky(second - jnp.outer(mu, mu)))

    @classmethod
    def _most_likely(cls, sample, weights, theta0, options):
        mu = weights @ sample
        centred = sample - mu
        # What rounding left of the mean of the deviations belongs to mu.
        rest = weights @ centred
        sigma = (weights[:, None] * centred).T @ centred - jnp.outer(rest, rest)
        return cls(mu=mu + rest, L_Sigma=jnp.linalg.cholesky(sigma))

    @classmethod
    def _violation(cls, eta):
        mu, second = _split(eta)
        values = jnp.linalg.eigvalsh(second - jnp.outer(mu, mu))
        return ~(values > 0).all(), "E[xx'] - E[x]E[x]' positive definite"

    @classmethod
    def _check_sample(cls, X):
        rows = as_data(X)
        n, d = rows.shape
        if n < d + 1:
            rows = "1 row" if n == 1 else f"{n} rows"
            dimensions = "1 dimension" if d == 1 else f"{d} dimensions"
            raise ValueError(
                f"X has {rows}; a covariance in {dimensions} needs at least {d + 1}"
            )
        constant, dependent = constant_columns(rows), dependent_columns(rows)
        check_columns(constant, dependent, column_names(X))
        return rows

    def _check_observation(self, x):
        value = as_float(cast(ArrayLike, x))
        if value.shape != (self.d,):
            raise ValueError(
                f"x must have shape ({self.d},), got {value.shape}; for many "
                "observations use jax.vmap"
            )
        return value

    @property
    def d(self) -> int:
        """The number of dimensions."""
        return self.mu.shape[-1]

    def sigma(self) -> Float[Array, "d d"]:
        """The covariance matrix."""
        return self.L_Sigma @ self.L_Sigma.T

    def cov(self) -> Float[Array, "d d"]:
        """The covariance matrix."""
        return self.sigma()

    def mean(self) -> Float[Array, " d"]:
        return self.mu

    def var(self) -> Float[Array, " d"]:
        """The variances of the components."""
        return (self.L_Sigma**2).sum(axis=1)

    def std(self) -> Float[Array, " d"]:
        """The standard deviations of the components."""
        return jnp.sqrt(self.var())

    sampling_methods: ClassVar[tuple[str, ...]] = ("exact",)
    _terms: ClassVar[tuple[int, int, int]] = (0, 1, 1)

    def _draw(self, key: PRNGKeyArray, n: int, method: str = "exact"):
        noise = jax.random.normal(key, (n, self.d), self.mu.dtype)
        return self.mu + noise @ self.L_Sigma.T


def _split(theta: Array) -> tuple[Array, Array]:
    """A vector and a symmetric matrix from ``(d + d*d,)``."""
    d = (math.isqrt(1 + 4 * theta.shape[0]) - 1) // 2
    matrix = theta[d:].reshape(d, d)
    return theta[:d], 0.5 * (matrix + matrix.T)


def cholesky(sigma: ArrayLike, *, name: str) -> Float[Array, "d d"]:
    """The lower Cholesky factor; ``ValueError`` where there visibly is none."""
    matrix = as_float(sigma)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ValueError(f"{name} must have shape (d, d), got {matrix.shape}")
    if is_traced(matrix):
        return jnp.linalg.cholesky(matrix)
    host = np.asarray(matrix)
    tolerance = 1e-6 * np.abs(host).max(initial=0.0)
    if not np.isfinite(host).all() or np.abs(host - host.T).max() > tolerance:
        raise ValueError(f"{name} must be symmetric and finite, got\n{host}")
    try:
        return jnp.asarray(np.linalg.cholesky(host))  # LAPACK, nothing to compile
    except np.linalg.LinAlgError:
        smallest = float(np.linalg.eigvalsh(host).min())
        raise ValueError(
            f"{name} must be positive definite, its smallest eigenvalue is "
            f"{smallest:.3g}"
        ) from None
