"""The marginal law of X: what users fit, evaluate and draw from."""

from abc import abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Self

import equinox as eqx
from jaxtyping import Array, ArrayLike, Float, PRNGKeyArray

from normix._arrays import as_scalar, check_option, check_positive
from normix._passes import Data
from normix.distributions.gamma import Gamma
from normix.distributions.inverse_gaussian import InverseGaussian
from normix.exponential_family import BACKENDS
from normix.mixtures import model_steps
from normix.mixtures.checked import Checked
from normix.mixtures.classical import check_marginal
from normix.mixtures.dispersion import Dispersion
from normix.mixtures.expected import check_record
from normix.mixtures.joint import JointNormalMixture
from normix.mixtures.maximum import solver_options
from normix.mixtures.moments import covariance, kurtosis, mean, skewness
from normix.mixtures.statistics import MixtureStatistics, MixtureSums
from normix.mixtures.subordinator import Subordinator

if TYPE_CHECKING:
    from typing import ClassVar as AbstractClassVar
else:
    from equinox import AbstractClassVar


class MarginalMixture(Checked):
    r"""The law of :math:`X = \mu + \gamma Y + \sqrt Y L Z` with ``Y`` unobserved.

    It is not itself an exponential family, but the law of ``(X, Y)`` is: that is
    :attr:`joint`, whose parameters it shares. A family has one class for each form of
    the dispersion: full, factor, and univariate, which speaks in scalars.
    """

    _joint_class: AbstractClassVar[type[JointNormalMixture]]
    _dispersion_class: AbstractClassVar[type[Dispersion]]
    _form: AbstractClassVar[str]
    _forms: ClassVar[dict[tuple[type[JointNormalMixture], str], type]] = {}

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        family, form = getattr(cls, "_joint_class", None), getattr(cls, "_form", None)
        if isinstance(family, type) and isinstance(form, str):
            # The first: Equinox makes a second class while an object is initialised.
            MarginalMixture._forms.setdefault((family, form), cls)

    def __check_init__(self):
        wanted = self._joint_class, self._dispersion_class
        check_marginal(type(self).__name__, self.joint, *wanted, self._axes)

    def __hash__(self) -> int:
        # By identity, arrays having no hash: so that jax.jit(model.log_prob) works.
        return id(self)

    def __repr__(self) -> str:
        return eqx.tree_pformat(self, short_arrays=False)

    # -- what a form is --------------------------------------------------------------

    @staticmethod
    @abstractmethod
    def _view(x: Array, axes: int = 1) -> Array:
        """What users see of an array whose last ``axes`` are of length d."""

    @abstractmethod
    def replace(self, **parameters: ArrayLike) -> Self:
        """The model with some of its classical parameters replaced.

        **Raises**: ``ValueError`` for a name that is not one of them, and as
        ``from_classical`` does.
        """

    @classmethod
    @abstractmethod
    def default_init(cls, X: Data, *, missing: str = "raise") -> Self:
        """A start for EM from data."""

    def _sibling(
        self, joint: JointNormalMixture, form: str | None = None
    ) -> "MarginalMixture":
        """The marginal law of ``joint``, of this form or another."""
        return self._forms[type(joint), form or self._form](joint)

    # -- views -----------------------------------------------------------------------

    @property
    def mu(self) -> Float[Array, "*d"]:
        """The location μ."""
        return self._view(self.joint.mu)

    @property
    def gamma(self) -> Float[Array, "*d"]:
        """The skewness vector γ."""
        return self._view(self.joint.gamma)

    @property
    def d(self) -> int:
        """The number of dimensions."""
        return self.joint.d

    def sigma(self) -> Float[Array, "*d_d"]:
        """The dispersion Σ; for the covariance see ``cov`` and ``var``."""
        return self._view(self.joint.sigma(), axes=2)

    def log_det_sigma(self) -> Float[Array, ""]:
        """``log |Σ|``."""
        return self.joint.log_det_sigma()

    def subordinator(self) -> Subordinator:
        """The law of the mixing variable Y."""
        return self.joint.subordinator

    def _mixing_parameters(self) -> dict[str, Array]:
        names = self._joint_class._mixing_names
        return {k: getattr(self.joint.subordinator, v) for k, v in names.items()}

    # -- distribution ----------------------------------------------------------------

    def marginal_log_likelihood(
        self,
        X: ArrayLike,
        weights: Float[ArrayLike, " n"] | None = None,
        missing: str = "raise",
    ) -> Float[Array, ""]:
        """The mean log-density over the observations ``X``, by weight if given.

        With ``missing="em"`` that of the entries that are not NaN, of "drop" that of
        rows without NaN; see :meth:`fit`.

        **Raises**: ``ValueError`` for another shape, NaN or infinite entries.
        """
        rows = self._weighed(X, weights, missing)
        return model_steps.mean_log_likelihood(self.joint, *rows)

    def mean(self) -> Float[Array, "*d"]:
        """The mean.

        Infinite in a component with ``γ ≠ 0`` if ``E[Y]`` is; NaN, as there is none,
        in one with ``γ = 0`` if ``E[√Y]`` is infinite (a t of one degree of freedom).
        """
        return self._view(mean(self.joint))

    def cov(self) -> Float[Array, "*d_d"]:
        """The covariance ``E[Y] Σ + Var[Y] γγᵀ``.

        Variances are infinite where that is, and NaN where the mean is not finite.
        Covariances are infinite where both components have ``γ ≠ 0``, and NaN where
        one has not and the mean of the product does not exist.
        """
        return self._view(covariance(self.joint), axes=2)

    def skewness(self) -> Float[Array, "*d"]:
        """The skewness of each component.

        NaN where the variance is not finite, and where ``γ = 0`` and the third moment
        does not exist; infinite where ``γ ≠ 0`` and that moment is.
        """
        return self._view(skewness(self.joint))

    def kurtosis(self) -> Float[Array, "*d"]:
        """The excess kurtosis of each component.

        Infinite where the fourth moment is; NaN where the variance is not finite.
        """
        return self._view(kurtosis(self.joint))

    def rvs(
        self, n: int, seed: int = 42, *, key: PRNGKeyArray | None = None
    ) -> Float[Array, "n *d"]:
        """``n`` independent draws along the first axis; ``key`` replaces ``seed``."""
        return self._view(self.joint.rvs(n, seed, key=key)[0])

    def aggregate(self, periods: ArrayLike) -> Self:
        """The law of the sum of independent X over so many periods, any number > 0.

        That of n days, where X is a day's return. Exact, and of the same family: normal
        inverse Gaussian and variance gamma laws are closed under sums.

        **Raises**: ``ValueError`` for another family, or a number that is not positive.

        >>> from normix import UnivariateNormalInverseGaussian
        >>> day = UnivariateNormalInverseGaussian.from_classical(
        ...     mu=0.1, gamma=0.0, sigma=1.0, mu_ig=1.0, lam=1.0)
        >>> float(day.aggregate(10).var())
        10.0
        """
        law = self.joint.subordinator
        if not isinstance(law, Gamma | InverseGaussian):
            raise ValueError(
                f"sums of a {type(self).__name__} are of no family: only normal "
                "inverse Gaussian and variance gamma laws are closed under sums"
            )
        n = as_scalar("periods", periods)
        check_positive("aggregate", periods=n)
        parts = n * self.joint.mu, law.summed(n)
        joint = eqx.tree_at(lambda j: (j.mu, j.subordinator), self.joint, parts)
        return type(self)(joint)

    # -- the joint law ---------------------------------------------------------------

    def joint_entropy(self) -> Float[Array, ""]:
        """The differential entropy of the law of ``(X, Y)``, in nats."""
        return self.joint.entropy()

    def joint_varentropy(self) -> Float[Array, ""]:
        """The variance of the information of the law of ``(X, Y)``."""
        return self.joint.varentropy()

    def joint_renyi(self, alpha: ArrayLike) -> Float[Array, ""]:
        """The Rényi entropy of order ``alpha`` of the law of ``(X, Y)``."""
        return self.joint.renyi(alpha)

    def kl_divergence(self, other: "MarginalMixture") -> Float[Array, ""]:
        """The divergence of the joint laws: an upper bound for that of the laws of X.

        ``other`` may be of another family or form.

        **Raises**: ``ValueError`` for another number of dimensions, or no mixture.
        """
        return self.joint.kl_divergence(self._comparable(other))

    def squared_hellinger(self, other: "MarginalMixture") -> Float[Array, ""]:
        """The squared distance of the joint laws: an upper bound, as for KL."""
        return self.joint.squared_hellinger(self._comparable(other))

    def _comparable(self, other: "MarginalMixture") -> JointNormalMixture:
        if not isinstance(other, MarginalMixture):
            raise ValueError(f"other must be a mixture, got a {type(other).__name__}")
        return other.joint

    def to_generalized_hyperbolic(self) -> "MarginalMixture":
        """The same law as a generalized hyperbolic law, in the same form."""
        from normix.mixtures.generalized_hyperbolic import JointGeneralizedHyperbolic

        return self._sibling(self.joint.within(JointGeneralizedHyperbolic))

    # -- EM --------------------------------------------------------------------------

    def e_step(
        self,
        X: ArrayLike,
        backend: str = "jax",
        weights: Float[ArrayLike, " n"] | None = None,
        missing: str = "raise",
    ) -> MixtureStatistics:
        """The mean over the observations ``X`` of E[t(X, Y) | X]; see the return type.

        ``backend="cpu"`` evaluates Bessel functions by :func:`scipy.special.kve`;
        ``weights``, shape ``(n,)``, count the observations; ``missing``: see
        :meth:`fit`.
        """
        check_option("backend", backend, BACKENDS)
        rows = self._weighed(X, weights, missing)
        return model_steps.e_step(self.joint, *rows, backend=backend)

    def e_step_sums(
        self,
        X: ArrayLike,
        weights: Float[ArrayLike, " n"] | None = None,
        backend: str = "jax",
        missing: str = "raise",
    ) -> MixtureSums:
        """The E-step as sums over the observations, with their total weight.

        Those of parts of the data, wherever they lie, are joined by
        :func:`~normix.merge`, and :meth:`m_step` takes the result.

        **Raises**: ``ValueError`` for another shape, NaN or infinite entries, weights
        that do not fit, or an unknown backend.
        """
        check_option("backend", backend, BACKENDS)
        rows = self._weighed(X, weights, missing)
        return model_steps.e_step_sums(self.joint, *rows, backend=backend)

    def m_step(self, eta: MixtureStatistics | MixtureSums, **options: Any) -> Self:
        """The model of maximum likelihood for expectations ``eta``, or for sums.

        ``options`` (``maxiter``, ``tol``, ``backend``, ``method``) go to the
        subordinator's solver.

        **Raises**: ``ValueError`` for the expectations of another form of Σ, number
        of dimensions or of factors, and for an unknown option.
        """
        self._check_record(eta.totals if isinstance(eta, MixtureSums) else eta)
        if not isinstance(eta, MixtureSums):
            return self.from_expectation(eta, **options)
        return type(self)(
            model_steps.m_step(self.joint, eta, solver_options(**options))
        )

    def _check_record(self, eta: MixtureStatistics) -> None:
        form, r = self._dispersion_class, self.joint.dispersion.rank
        check_record(type(self).__name__, eta, form, self.d, r)

    def m_step_normal(self, eta: MixtureStatistics) -> Self:
        """Only μ, γ and Σ of maximum likelihood; the subordinator is kept."""
        self._check_record(eta)
        return type(self)(model_steps.with_normal_part(self.joint, eta))

    def m_step_subordinator(self, eta: MixtureStatistics, **options: Any) -> Self:
        """Only the subordinator of maximum likelihood; μ, γ and Σ are kept."""
        self._check_record(eta)
        family, chosen = type(self.joint.subordinator), solver_options(**options)
        new = model_steps.mixing_part(family, eta, chosen)
        return eqx.tree_at(lambda model: model.joint.subordinator, self, new)

    @classmethod
    def from_expectation(cls, eta: MixtureStatistics, **options: Any) -> Self:
        """The model whose joint law has the expectations ``eta``.

        ``options`` (``maxiter``, ``tol``, ``backend``, ``method``) go to the
        subordinator's solver.

        **Raises**: ``ValueError`` for the expectations of another form of Σ, or of
        shapes that do not fit, and for an unknown option.
        """
        chosen = solver_options(**options)
        check_record(cls.__name__, eta, cls._dispersion_class)
        return cls(model_steps.maximum(cls._joint_class, eta, chosen))

    def compute_eta_from_model(self) -> MixtureStatistics:
        """The expectations of the model itself."""
        return self.joint.expectations()

    def em_convergence_params(self) -> tuple[Array, ...]:
        """What EM watches: ``(mu, gamma, L_Sigma)``, or with F and √D for L_Sigma."""
        return self.joint.mu, self.joint.gamma, *self.joint.dispersion.parameters()

    def fit(
        self,
        X: Data,
        *,
        weights: Float[ArrayLike, " n"] | None = None,
        n_starts: int = 1,
        key: PRNGKeyArray | None = None,
        callback: Callable[[Any], object] | None = None,
        missing: str = "raise",
        **options: Any,
    ):
        """Fit to ``X`` by EM, starting here; an :class:`~normix.EMResult`.

        ``options`` are those of :class:`~normix.BatchEMFitter`, the other arguments
        those of its ``fit``.
        """
        from normix.fitting.em.batch import BatchEMFitter

        fitter = BatchEMFitter(**options)
        how = {"n_starts": n_starts, "key": key, "missing": missing}
        return fitter.fit(self, X, weights=weights, callback=callback, **how)
