"""The marginal law of X: what users fit, evaluate and draw from."""

from functools import partial
from typing import TYPE_CHECKING, Any, Self

import equinox as eqx
import jax
import jax.numpy as jnp
from equinox import AbstractVar
from jaxtyping import Array, ArrayLike, Float, PRNGKeyArray

from normix._arrays import as_data, as_float, check_option
from normix.exponential_family import BACKENDS, METHODS, SolverOptions
from normix.mixtures.initial import check_full_rank, initial_joint
from normix.mixtures.joint import JointNormalMixture, normal_part
from normix.mixtures.rows import sum_over_rows
from normix.mixtures.statistics import NormalMixtureEta
from normix.mixtures.subordinator import Subordinator

if TYPE_CHECKING:
    from typing import ClassVar as AbstractClassVar
else:
    from equinox import AbstractClassVar


class MarginalMixture(eqx.Module):
    r"""The law of :math:`X = \mu + \gamma Y + \sqrt Y L Z` with ``Y`` unobserved.

    It is not itself an exponential family, but the law of ``(X, Y)`` is: that is
    :attr:`joint`, whose parameters it shares.
    """

    joint: AbstractVar[JointNormalMixture]

    _joint_class: AbstractClassVar[type[JointNormalMixture]]

    def __hash__(self) -> int:
        # By identity, arrays having no hash: so that jax.jit(model.log_prob) works.
        return id(self)

    def __repr__(self) -> str:
        return eqx.tree_pformat(self, short_arrays=False)

    # -- views -------------------------------------------------------------------

    @property
    def mu(self) -> Float[Array, " d"]:
        """The location μ, shape ``(d,)``."""
        return self.joint.mu

    @property
    def gamma(self) -> Float[Array, " d"]:
        """The skewness vector γ, shape ``(d,)``."""
        return self.joint.gamma

    @property
    def d(self) -> int:
        """The number of dimensions."""
        return self.joint.d

    def sigma(self) -> Float[Array, "d d"]:
        """The dispersion Σ, shape ``(d, d)``; for the covariance see :meth:`cov`."""
        return self.joint.sigma()

    def log_det_sigma(self) -> Float[Array, ""]:
        """``log |Σ|``."""
        return self.joint.log_det_sigma()

    def subordinator(self) -> Subordinator:
        """The law of the mixing variable Y."""
        return self.joint.subordinator

    # -- distribution --------------------------------------------------------------

    def log_prob(self, x: Float[ArrayLike, " d"]) -> Float[Array, ""]:
        r"""The log-density at one ``x`` of shape ``(d,)``; batch with ``jax.vmap``.

        Differentiable in ``x`` and in every parameter. With
        :math:`q = (x-\mu)^\top\Sigma^{-1}(x-\mu)` and
        :math:`g = \gamma^\top\Sigma^{-1}\gamma`, it is
        :math:`-\frac d2\log 2\pi - \frac12\log|\Sigma| + \gamma^\top\Sigma^{-1}(x-\mu)
        + \psi(p - \frac d2, a + g, b + q) - \psi(p, a, b)`, ψ the log-partition of the
        GIG law.

        **Raises**: ``ValueError`` for another shape.
        """
        x = as_float(x)
        if x.shape != (self.d,):
            raise ValueError(
                f"x must have shape ({self.d},), got {x.shape}; for many observations "
                "use jax.vmap(model.log_prob)"
            )
        return _log_prob(self.joint, x)

    def pdf(self, x: Float[ArrayLike, " d"]) -> Float[Array, ""]:
        """The density at one ``x`` of shape ``(d,)``."""
        return jnp.exp(self.log_prob(x))

    def marginal_log_likelihood(self, X: Float[ArrayLike, "n d"]) -> Float[Array, ""]:
        """The mean log-density over the rows of ``X``, shape ``(n, d)``.

        **Raises**: ``ValueError`` for another shape, NaN or infinite entries.
        """
        return _mean_log_prob(self.joint, as_data(X, columns=self.d))

    def mean(self) -> Float[Array, " d"]:
        """The mean, shape ``(d,)``."""
        return self.joint.mean()[0]

    def cov(self) -> Float[Array, "d d"]:
        """The covariance ``E[Y] Σ + Var[Y] γγᵀ``, shape ``(d, d)``."""
        mean, var, *_ = self.joint.subordinator.cumulants()
        return mean * self.sigma() + var * jnp.outer(self.gamma, self.gamma)

    def skewness(self) -> Float[Array, " d"]:
        """The skewness of each component, shape ``(d,)``."""
        second, third, _ = self._component_cumulants()
        return third / second**1.5

    def kurtosis(self) -> Float[Array, " d"]:
        """The excess kurtosis of each component, shape ``(d,)``."""
        second, _, fourth = self._component_cumulants()
        return fourth / second**2

    def _component_cumulants(self):
        # Of the cumulant generating function K_Y(γ t + σ² t²/2).
        k1, k2, k3, k4 = self.joint.subordinator.cumulants()
        g, s2 = self.gamma, self.joint.dispersion.variances()
        return (
            k1 * s2 + k2 * g**2,
            3 * k2 * g * s2 + k3 * g**3,
            3 * k2 * s2**2 + 6 * k3 * g**2 * s2 + k4 * g**4,
        )

    def rvs(
        self, n: int, seed: int = 42, *, key: PRNGKeyArray | None = None
    ) -> Float[Array, "n d"]:
        """``n`` independent draws, shape ``(n, d)``; ``key`` takes ``seed``'s place."""
        return self.joint.rvs(n, seed, key=key)[0]

    # -- EM --------------------------------------------------------------------------

    @classmethod
    def default_init(cls, X: Float[ArrayLike, "n d"]) -> Self:
        """A start for EM with the mean and covariance of ``X``, shape ``(n, d)``.

        Skewness and the mixing law's spread come from a few EM steps on at most some
        thousand rows, begun at the best of a ladder of symmetric models.

        **Raises**: ``ValueError`` for fewer than ``d + 1`` rows, constant columns,
        NaN or infinite entries.
        """
        X = as_data(X)
        check_full_rank(X)
        return cls(initial_joint(cls._joint_class, X))

    def e_step(
        self, X: Float[ArrayLike, "n d"], backend: str = "jax"
    ) -> NormalMixtureEta:
        """The mean over the rows of ``X`` of E[t(X, Y) | X]; see the return type.

        ``backend="cpu"`` evaluates Bessel functions by :func:`scipy.special.kve`.
        """
        check_option("backend", backend, BACKENDS)
        return _e_step(self.joint, as_data(X, columns=self.d), backend)[0]

    def m_step(self, eta: NormalMixtureEta, **options: Any) -> Self:
        """The model of maximum likelihood for expectations ``eta``.

        ``options`` (``maxiter``, ``tol``, ``backend``, ``method``) go to the
        subordinator's solver.
        """
        return self.from_expectation(eta, **options)

    def m_step_normal(self, eta: NormalMixtureEta) -> Self:
        """Only μ, γ and Σ of maximum likelihood; the subordinator is kept."""
        mu, gamma, dispersion = normal_part(eta)
        kept = self.joint.subordinator
        return type(self)(type(self.joint)(mu, gamma, dispersion, kept))

    def m_step_subordinator(self, eta: NormalMixtureEta, **options: Any) -> Self:
        """Only the subordinator of maximum likelihood; μ, γ and Σ are kept."""
        new = type(self.joint)._maximise(eta, solver_options(**options)).subordinator
        return eqx.tree_at(lambda model: model.joint.subordinator, self, new)

    @classmethod
    def from_expectation(cls, eta: NormalMixtureEta, **options: Any) -> Self:
        """The model whose joint law has the expectations ``eta``.

        ``options`` (``maxiter``, ``tol``, ``backend``, ``method``) go to the
        subordinator's solver.
        """
        return cls(cls._joint_class._maximise(eta, solver_options(**options)))

    def compute_eta_from_model(self) -> NormalMixtureEta:
        """The expectations of the model itself."""
        return self.joint.expectations()

    def em_convergence_params(self) -> tuple[Array, Array, Array]:
        """The parameters whose change EM watches: ``(mu, gamma, L_Sigma)``."""
        return self.joint.mu, self.joint.gamma, self.joint.L_Sigma

    def regularize_det_sigma(self, target_log_det: ArrayLike = 0.0) -> Self:
        """The same law in the gauge with ``log |Σ| = target_log_det``."""
        s = jnp.exp((self.log_det_sigma() - target_log_det) / self.d)
        return type(self)(self.joint.rescaled(s))

    def regularize_det_sigma_one(self) -> Self:
        """The same law in the gauge with ``|Σ| = 1``."""
        return self.regularize_det_sigma(0.0)

    def regularize_a_eq_b(self) -> Self:
        """The same law in the gauge in which the subordinator has ``a = b``."""
        _, a, b = self.joint.subordinator.gig_params()
        return type(self)(self.joint.rescaled(jnp.sqrt(a / b)))

    def fit(self, X: Float[ArrayLike, "n d"], **options: Any):
        """Fit to ``X`` by EM, starting here; an :class:`~normix.EMResult`.

        ``options`` are those of :class:`~normix.BatchEMFitter`.
        """
        from normix.fitting.em.batch import BatchEMFitter

        return BatchEMFitter(**options).fit(self, X)


class NormalMixture(MarginalMixture):
    """A mixture with a full dispersion, held by its Cholesky factor."""

    @property
    def L_Sigma(self) -> Float[Array, "d d"]:
        """The lower Cholesky factor of Σ, shape ``(d, d)``."""
        return self.joint.L_Sigma


def solver_options(**options: Any) -> SolverOptions:
    """Checked options for the subordinator's solver."""
    unknown = set(options) - set(SolverOptions._fields)
    if unknown:
        raise ValueError(
            f"unknown solver options {sorted(unknown)}; "
            f"accepted are {', '.join(SolverOptions._fields)}"
        )
    chosen = SolverOptions(**options)
    check_option("backend", chosen.backend, BACKENDS)
    check_option("method", chosen.method, METHODS)
    return chosen


@jax.jit
def _log_prob(joint: JointNormalMixture, x: Array) -> Array:
    return joint.log_prob_marginal(x[None, :])[0]


@jax.jit
def _mean_log_prob(joint: JointNormalMixture, X: Array) -> Array:
    def total(rows):
        return joint.log_prob_marginal(rows).sum()

    return sum_over_rows(total, X) / X.shape[0]


@partial(jax.jit, static_argnums=2)
def _e_step(joint: JointNormalMixture, X: Array, backend: str):
    return mean_statistics(joint, X, backend)


def mean_statistics(
    joint: JointNormalMixture, X: Float[Array, "n d"], backend: str
) -> tuple[NormalMixtureEta, Float[Array, ""]]:
    """The E-step's expectations and the mean log-density, in bounded memory."""
    sums = sum_over_rows(lambda rows: joint.row_sums(rows, backend), X)
    return jax.tree.map(lambda total: total / X.shape[0], sums)
