"""The joint law of a normal variance-mean mixture and its mixing variable."""

import math
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Generic, Self, TypeVar, cast

import jax
import jax.numpy as jnp
from jax.scipy.linalg import cho_solve
from jaxtyping import Array, ArrayLike, Float, PRNGKeyArray

from normix._arrays import as_data, as_float, as_sample, check_option
from normix.exponential_family import BACKENDS, ExponentialFamily, SolverOptions
from normix.mixtures.dispersion import CholeskyDispersion
from normix.mixtures.statistics import NormalMixtureEta
from normix.mixtures.subordinator import Subordinator
from normix.special.gig import (
    gig_log_partition,
    gig_log_partition_scaled,
    gig_means,
    gig_means_cpu,
)
from normix.special.gig_shared import gig_means_shared

if TYPE_CHECKING:
    from typing import TYPE_CHECKING
    from typing import ClassVar as AbstractClassVar
else:
    from equinox import AbstractClassVar

_LOG_2PI = math.log(2 * math.pi)


S = TypeVar("S", bound=Subordinator)


class JointNormalMixture(ExponentialFamily, Generic[S]):
    r"""The law of ``(X, Y)``, :math:`X = \mu + \gamma Y + \sqrt Y L Z`.

    ``Z`` is standard normal in d dimensions, ``Y`` positive and independent of it.
    An observation is a pair ``(x, y)`` of shapes ``(d,)`` and ``()``;
    :math:`t(x, y) = (\log y, 1/y, y, x, x/y, \mathrm{vec}(xx^\top/y))`.
    """

    mu: Float[Array, " d"]
    gamma: Float[Array, " d"]
    dispersion: CholeskyDispersion
    subordinator: S

    sampling_methods: ClassVar[tuple[str, ...]] = ("exact",)
    _subordinator_class: AbstractClassVar[type]

    # -- views -------------------------------------------------------------------

    @property
    def d(self) -> int:
        """The number of dimensions."""
        return self.mu.shape[-1]

    @property
    def L_Sigma(self) -> Float[Array, "d d"]:
        """The lower Cholesky factor of the dispersion."""
        return self.dispersion.L

    def sigma(self) -> Float[Array, "d d"]:
        """The dispersion Σ (not the covariance)."""
        return self.dispersion.matrix()

    def log_det_sigma(self) -> Float[Array, ""]:
        """``log |Σ|``."""
        return self.dispersion.log_det()

    # -- exponential family ------------------------------------------------------

    @staticmethod
    def _log_partition_from_theta(theta, backend="jax"):
        p, a, b, mu, gamma, root = _classical(theta)
        whitened = root.T @ gamma, root.T @ mu
        log_det = -2 * jnp.log(jnp.diagonal(root)).sum()
        cross = whitened[0] @ whitened[1]
        return gig_log_partition(p, a, b, backend=backend) + 0.5 * log_det + cross

    def natural_params(self) -> Float[Array, " k"]:
        p, a, b = self.subordinator.gig_params()
        precision = cho_solve((self.L_Sigma, True), jnp.eye(self.d, dtype=p.dtype))
        h_gamma, h_mu = precision @ self.gamma, precision @ self.mu
        head = jnp.stack(
            [
                p - 1 - 0.5 * self.d,
                -0.5 * (b + self.mu @ h_mu),
                -0.5 * (a + self.gamma @ h_gamma),
            ]
        )
        return jnp.concatenate([head, h_gamma, h_mu, -0.5 * precision.ravel()])

    @staticmethod
    def sufficient_statistics(x) -> Float[Array, " k"]:
        x, y = _pair(x)
        head = jnp.stack([jnp.log(y), 1 / y, y])
        return jnp.concatenate([head, x, x / y, jnp.outer(x, x / y).ravel()])

    @staticmethod
    def log_base_measure(x) -> Float[Array, ""]:
        x, y = _pair(x)
        return jnp.where(y > 0, -0.5 * x.shape[-1] * _LOG_2PI, -jnp.inf)

    def _constant_base(self):
        log_base = jnp.asarray(-0.5 * self.d * _LOG_2PI, self.mu.dtype)
        return self.translated(-self.mu), log_base

    def _beside(self, other):
        if type(other) is not type(self) or other.d != self.d:
            raise ValueError(
                f"a {type(self).__name__} in {self.d} dimensions cannot be compared "
                f"with {other}"
            )
        return self.translated(-self.mu), other.translated(-self.mu)

    @classmethod
    def from_natural(cls, theta: ArrayLike) -> Self:
        p, a, b, mu, gamma, root = _classical(as_float(theta))
        sigma = cho_solve((root, True), jnp.eye(mu.shape[0], dtype=mu.dtype))
        e_log, e_inv, e_y = gig_means(p, a, b)
        # The member of this family that the parameters name, or the closest one
        # where they name another GIG.
        subordinator = cls._subordinator_class.closest_to_mixing(
            e_log, e_inv, e_y, SolverOptions()
        )
        return cls(mu, gamma, CholeskyDispersion.from_matrix(sigma), subordinator)

    @classmethod
    def _from_eta(cls, eta, theta0, options: SolverOptions) -> Self:
        return cls._maximise(NormalMixtureEta.from_vector(eta), options)

    @classmethod
    def _maximise(cls, eta: NormalMixtureEta, options: SolverOptions) -> Self:
        """The member of maximum likelihood for given expectations."""
        mu, gamma, dispersion = normal_part(eta)
        subordinator = cls._subordinator_class.closest_to_mixing(
            eta.E_log_Y, eta.E_inv_Y, eta.E_Y, options
        )
        return cls(mu, gamma, dispersion, subordinator)

    @classmethod
    def _violation(cls, eta):
        return ~((eta[2] > 0) & (eta[1] * eta[2] > 1)), "E[Y] E[1/Y] > 1"

    @classmethod
    def _check_sample(cls, X):
        X, Y = cast(tuple[ArrayLike, ArrayLike], X)
        return as_data(X), as_sample(Y)

    def mean(self) -> tuple[Float[Array, " d"], Float[Array, ""]]:
        """The means of X and of Y."""
        e_y = self.subordinator.cumulants()[0]
        return self.mu + self.gamma * e_y, e_y

    def _draw(self, key: PRNGKeyArray, n: int, method: str = "exact"):
        k_y, k_z = jax.random.split(key)
        y = self.subordinator._draw(k_y, n)
        z = jax.random.normal(k_z, (n, self.d), self.mu.dtype)
        noise = jnp.sqrt(y)[:, None] * self.dispersion.apply_root(z)
        return self.mu + y[:, None] * self.gamma + noise, y

    def log_prob_joint(self, x: ArrayLike, y: ArrayLike) -> Float[Array, ""]:
        """The joint log-density at one ``x`` of shape ``(d,)`` and one ``y > 0``."""
        return self.log_prob((x, y))

    # -- the mixing variable given the data --------------------------------------

    def _inner_products(self, residuals):
        return self.dispersion.inner_products(residuals, self.gamma)

    def log_prob_marginal(self, X: Float[Array, "n d"]) -> Float[Array, " n"]:
        """The log-density of every row under the law of X alone; differentiable."""
        quadratic, cross, skew = self._inner_products(X - self.mu)
        p, a, b = self.subordinator.gig_params()
        posterior = p - 0.5 * self.d, a + skew, b + quadratic
        both = jnp.broadcast_arrays(*posterior)
        both = [jnp.append(x, y) for x, y in zip(both, (p, a, b), strict=True)]
        psi = gig_log_partition_scaled(*both)  # posteriors and prior: one kernel
        return self._log_density(psi[:-1] - psi[-1], quadratic, cross, skew)

    def _log_density(self, psi, quadratic, cross, skew):
        """From the scaled log-partitions, posterior less prior, ``psi``."""
        _, a, b = self.subordinator.gig_params()
        # sqrt(a'b') - sqrt(ab), whose terms may be large and close.
        product = a * quadratic + b * skew + quadratic * skew
        prior_z = jnp.sqrt(a) * jnp.sqrt(b)
        posterior_z = jnp.sqrt(a + skew) * jnp.sqrt(b + quadratic)
        return (
            -0.5 * self.d * _LOG_2PI
            - 0.5 * self.dispersion.log_det()
            + cross
            + psi
            - product / (posterior_z + prior_z)
        )

    def conditional_expectations(
        self, x: Float[ArrayLike, "*n d"], backend: str = "jax"
    ) -> dict[str, Float[Array, "*n"]]:
        """``E[log Y]``, ``E[1/Y]`` and ``E[Y]`` given ``X = x``.

        ``x`` has shape ``(d,)`` or ``(n, d)``; the values ``()`` or ``(n,)``. Keys:
        ``E_log_Y``, ``E_inv_Y``, ``E_Y``.
        """
        check_option("backend", backend, BACKENDS)
        x = as_float(x)
        means = _posterior_means(self, jnp.atleast_2d(x), backend)
        shaped = (m.reshape(x.shape[:-1]) for m in means)
        return dict(zip(("E_log_Y", "E_inv_Y", "E_Y"), shaped, strict=True))

    def row_sums(
        self, X: Float[Array, "n d"], backend: str
    ) -> tuple[NormalMixtureEta, Float[Array, ""]]:
        """Sums over rows of the E-step's statistics, and of the log-density."""
        quadratic, cross, skew = self._inner_products(X - self.mu)
        p, a, b = self.subordinator.gig_params()
        posterior = p - 0.5 * self.d, a + skew, b + quadratic
        psi, log_y, inv_y, y = _KERNELS[backend](posterior, (p, a, b))
        log_density = self._log_density(psi, quadratic, cross, skew)
        columns = X.T
        weighted = columns * inv_y
        eta = NormalMixtureEta(
            E_inv_Y=inv_y.sum(),
            E_Y=y.sum(),
            E_log_Y=log_y.sum(),
            E_X=columns.sum(axis=1),
            E_X_inv_Y=weighted.sum(axis=1),
            E_XXT_inv_Y=weighted @ X,
        )
        return eta, log_density.sum()

    def expectations(self) -> NormalMixtureEta:
        """The model's own expectation parameters."""
        return _expectations(self)

    def rescaled(self, s: Float[Array, ""]) -> Self:
        """The same law of X with ``sY`` for ``Y``, ``Σ/s`` for Σ, ``γ/s`` for γ."""
        return type(self)(
            self.mu,
            self.gamma / s,
            self.dispersion.scaled(1 / s),
            self.subordinator.scaled(s),
        )

    def translated(self, shift: Float[Array, " d"]) -> Self:
        """The law of ``(X + shift, Y)``."""
        return type(self)(
            self.mu + shift, self.gamma, self.dispersion, self.subordinator
        )


@jax.jit
def _expectations(joint: JointNormalMixture) -> NormalMixtureEta:
    e_log, e_inv, e_y = gig_means(*joint.subordinator.gig_params())
    cross = jnp.outer(joint.mu, joint.gamma)
    return NormalMixtureEta(
        E_inv_Y=e_inv,
        E_Y=e_y,
        E_log_Y=e_log,
        E_X=joint.mu + joint.gamma * e_y,
        E_X_inv_Y=joint.mu * e_inv + joint.gamma,
        E_XXT_inv_Y=joint.sigma()
        + jnp.outer(joint.mu, joint.mu) * e_inv
        + jnp.outer(joint.gamma, joint.gamma) * e_y
        + cross
        + cross.T,
    )


@partial(jax.jit, static_argnames="backend")
def _posterior_means(joint: JointNormalMixture, X: Array, backend: str):
    quadratic, _, skew = joint._inner_products(X - joint.mu)
    p, a, b = joint.subordinator.gig_params()
    return gig_means(p - 0.5 * joint.d, a + skew, b + quadratic, backend=backend)


def _pair(observation) -> tuple[Array, Array]:
    x, y = observation
    return as_float(x), as_float(y)


def normal_part(eta: NormalMixtureEta):
    """``μ``, ``γ`` and Σ of maximum likelihood, in closed form.

    **Returns**: arrays of shape ``(d,)`` and ``(d,)``, and a dispersion.
    """
    # Weighted least squares of X on (1, Y) with weights 1/Y.
    determinant = eta.E_inv_Y * eta.E_Y - 1
    # When Y is constant to rounding, μ and γ are no longer told apart.
    spread = determinant > 4 * jnp.finfo(determinant.dtype).eps * eta.E_inv_Y * eta.E_Y
    gamma = jnp.where(
        spread,
        (eta.E_inv_Y * eta.E_X - eta.E_X_inv_Y) / jnp.where(spread, determinant, 1.0),
        0.0,
    )
    mu = eta.E_X - gamma * eta.E_Y
    cross = jnp.outer(eta.E_X_inv_Y, mu) + jnp.outer(eta.E_X, gamma)
    sigma = eta.E_XXT_inv_Y - 0.5 * (cross + cross.T)
    return mu, gamma, CholeskyDispersion.from_matrix(sigma)


def _classical(theta: Array):
    """``(p, a, b, mu, gamma, root)``, with ``root`` the factor of ``Σ⁻¹``."""
    eta = NormalMixtureEta.from_vector(theta)  # the same layout
    d = eta.E_X.shape[0]
    precision = -(eta.E_XXT_inv_Y + eta.E_XXT_inv_Y.T)
    root = jnp.linalg.cholesky(precision)
    gamma = cho_solve((root, True), eta.E_X)
    mu = cho_solve((root, True), eta.E_X_inv_Y)
    p = eta.E_log_Y + 1 + 0.5 * d
    a = -2 * eta.E_Y - eta.E_X @ gamma
    b = -2 * eta.E_inv_Y - eta.E_X_inv_Y @ mu
    return p, a, b, mu, gamma, root


# The E-step's backends.
_KERNELS = {"jax": gig_means_shared, "cpu": gig_means_cpu}
