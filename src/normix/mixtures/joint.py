"""The joint law of a normal variance-mean mixture and its mixing variable."""

import math
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Generic, Self, TypeVar, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import cho_solve
from jaxtyping import Array, ArrayLike, Float, PRNGKeyArray

from normix._arrays import as_data, as_float, as_sample, check_option, is_traced
from normix._columns import (
    check_columns,
    column_names,
    constant_columns,
    dependent_columns,
)
from normix._compile import small
from normix._solving import as_vector
from normix.exponential_family import BACKENDS, ExponentialFamily, SolverOptions
from normix.mixtures import information
from normix.mixtures.cholesky import CholeskyDispersion
from normix.mixtures.classical import (
    check_parts,
    check_vectors,
    from_parts,
    full_dispersion,
)
from normix.mixtures.constraints import Constraints
from normix.mixtures.coordinates import Moving, at_coordinates, coordinates
from normix.mixtures.dispersion import Dispersion
from normix.mixtures.law import Frame, Law
from normix.mixtures.natural import classical_of
from normix.mixtures.posterior import log_density_of_rows, posterior_means
from normix.mixtures.statistics import (
    MixtureStatistics,
    NormalMixtureEta,
    PosteriorMeans,
)
from normix.mixtures.subordinator import Subordinator
from normix.special.gig import gig_log_partition, gig_means

if TYPE_CHECKING:
    from typing import ClassVar as AbstractClassVar
else:
    from equinox import AbstractClassVar

_LOG_2PI = math.log(2 * math.pi)

S = TypeVar("S", bound=Subordinator)
Joint = TypeVar("Joint", bound="JointNormalMixture")


class JointNormalMixture(ExponentialFamily, Generic[S]):
    r"""The law of ``(X, Y)``, :math:`X = \mu + \gamma Y + \sqrt Y L Z`.

    ``Z`` is standard normal in d dimensions, ``Y`` positive and independent of it.
    An observation is a pair ``(x, y)`` of shapes ``(d,)`` and ``()``;
    :math:`t(x, y) = (\log y, 1/y, y, x, x/y, \mathrm{vec}(xx^\top/y))`.
    """

    mu: Float[Array, " d"]
    gamma: Float[Array, " d"]
    dispersion: Dispersion
    subordinator: S

    sampling_methods: ClassVar[tuple[str, ...]] = ("exact",)
    _terms: ClassVar[tuple[int, int, int]] = (3, 2, 1)
    _subordinator_class: AbstractClassVar[type]
    _mixing_names: AbstractClassVar[dict[str, str]]
    """The subordinator's parameters: as named for the mixture, and by itself."""

    def __check_init__(self):
        check_parts(self)

    @classmethod
    def from_classical(
        cls,
        *,
        mu: Float[ArrayLike, " d"],
        gamma: Float[ArrayLike, " d"],
        sigma: Float[ArrayLike, "d d"],
        **mixing: Float[ArrayLike, ""],
    ) -> Self:
        """From μ and γ ``(d,)``, the dispersion Σ ``(d, d)`` and those of Y.

        ``mixing``: the mixing variable's parameters, by the names that the class
        gives.

        **Raises**: ``ValueError`` for shapes that do not fit, a dispersion that is
        not positive definite, or a parameter of Y that is missing or out of range.
        """
        mu, gamma = check_vectors(mu, gamma)
        dispersion = full_dispersion(sigma, mu.shape[0])
        return from_parts(cls, mu, gamma, dispersion, mixing)

    # -- views -------------------------------------------------------------------

    @property
    def d(self) -> int:
        """The number of dimensions."""
        return self.mu.shape[-1]

    def sigma(self) -> Float[Array, "d d"]:
        """The dispersion Σ (not the covariance)."""
        return self.dispersion.matrix()

    def log_det_sigma(self) -> Float[Array, ""]:
        """``log |Σ|``."""
        return self.dispersion.log_det()

    # -- exponential family ------------------------------------------------------

    @staticmethod
    def _log_partition_from_theta(theta, backend="jax"):
        p, a, b, mu, gamma, root = classical_of(theta)
        whitened = root.T @ gamma, root.T @ mu
        log_det = -2 * jnp.log(jnp.diagonal(root)).sum()
        cross = whitened[0] @ whitened[1]
        return gig_log_partition(p, a, b, backend=backend) + 0.5 * log_det + cross

    def natural_params(self) -> Float[Array, " k"]:
        p, a, b = self.subordinator.gig_params()
        precision = self.dispersion.precision()
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

    def _log_density(self, x):
        x, y = _pair(x)
        inside = (y > 0) & (y < jnp.inf)
        at = jnp.where(inside, y, 1.0)
        gap = (x - self.mu) - self.gamma * at
        quadratic = self.dispersion.inner_products(gap[None], self.gamma).quadratic[0]
        log_det = self.d * (_LOG_2PI + jnp.log(at)) + self.log_det_sigma()
        normal = -0.5 * (log_det + quadratic / at)
        outside = jnp.where(jnp.isnan(y), y, -jnp.inf)
        return jnp.where(inside, self.subordinator.log_prob(at) + normal, outside)

    @classmethod
    def _most_likely(cls, sample, weights, theta0, options):
        # Y as it is, and X given Y, in a frame in which its mean is 0.
        x, y = sample
        centre = weights @ x
        subordinator = cls._subordinator_class._most_likely(y, weights, None, options)
        pairs = jax.vmap(cls.sufficient_statistics)((x - centre, y))
        eta = NormalMixtureEta.from_vector(weights @ pairs)
        mu, gamma, dispersion = CholeskyDispersion.maximised(eta, Constraints())
        return cls(mu + centre, gamma, dispersion, subordinator)

    def _log_power(self, alpha):
        return information.log_density_power(self, alpha)

    def _kl(self, other):
        return information.kl_divergence(self, self._comparable(other))

    def _log_affinity(self, other):
        return information.log_affinity(self, self._comparable(other))

    def _comparable(self, other: ExponentialFamily) -> "JointNormalMixture":
        if not isinstance(other, JointNormalMixture) or other.d != self.d:
            raise ValueError(
                f"a {type(self).__name__} in {self.d} dimensions cannot be compared "
                f"with {other}"
            )
        return other

    @classmethod
    def from_natural(cls, theta: ArrayLike) -> Self:
        p, a, b, mu, gamma, root = classical_of(as_vector(cls, "theta", theta))
        if not is_traced(root) and not np.isfinite(np.asarray(root)).all():
            raise ValueError(
                f"{cls.__name__}: theta must be finite, and its last {root.size} "
                "entries a negative definite matrix"
            )
        sigma = cho_solve((root, True), jnp.eye(mu.shape[0], dtype=mu.dtype))
        # The member of this family that the parameters name, or the closest one
        # where they name another GIG.
        subordinator = cls._subordinator_class.closest_to_gig(p, a, b)
        return cls(mu, gamma, CholeskyDispersion.from_matrix(sigma), subordinator)

    @classmethod
    def _from_eta(cls, eta, theta0, options: SolverOptions) -> Self:
        return cls.maximised(
            CholeskyDispersion, NormalMixtureEta.from_vector(eta), options
        )

    @classmethod
    def maximised(
        cls,
        form: type[Dispersion],
        eta: MixtureStatistics,
        options: SolverOptions,
        constraints: Constraints | None = None,
    ) -> Self:
        """The member of maximum likelihood for given expectations."""
        held = Constraints() if constraints is None else constraints
        mu, gamma, dispersion = form.maximised(eta, held)
        subordinator = cls._subordinator_class.closest_to_mixing(
            eta.E_log_Y, eta.E_inv_Y, eta.E_Y, options, held.p, held.alpha_min
        )
        return cls(mu, gamma, dispersion, subordinator)

    @classmethod
    def _violation(cls, eta):
        return ~((eta[2] > 0) & (eta[1] * eta[2] > 1)), "E[Y] E[1/Y] > 1"

    @classmethod
    def _check_sample(cls, X):
        X, Y = cast(tuple[ArrayLike, ArrayLike], X)
        rows, y = as_data(X), as_sample(Y)
        n, d = rows.shape
        if y.shape != (n,):
            raise ValueError(f"Y must have shape ({n},) as X has rows, got {y.shape}")
        if n < d + 2:
            raise ValueError(
                f"X has {n} rows; their regression on Y in {d} dimensions needs at "
                f"least {d + 2}"
            )
        check_columns(constant_columns(rows), dependent_columns(rows), column_names(X))
        return rows, y

    def _check_observation(self, x):
        value, y = _pair(x)
        if value.shape != (self.d,) or y.shape:
            raise ValueError(
                f"an observation must be a pair (x, y) of shapes ({self.d},) and (), "
                f"got {value.shape} and {y.shape}; for many use jax.vmap"
            )
        return value, y

    def mean(self) -> tuple[Float[Array, " d"], Float[Array, ""]]:
        """The means of X and of Y."""
        (e_y,) = self.subordinator.cumulants(1)
        return self.mu + times(self.gamma, e_y), e_y

    def _draw(self, key: PRNGKeyArray, n: int, method: str = "exact"):
        k_y, k_z = jax.random.split(key)
        y = self.subordinator._draw(k_y, n)
        noise = jnp.sqrt(y)[:, None] * self.dispersion.noise(k_z, n)
        return self.mu + y[:, None] * self.gamma + noise, y

    def log_prob_joint(self, x: ArrayLike, y: ArrayLike) -> Float[Array, ""]:
        """The joint log-density at one ``x`` of shape ``(d,)`` and one ``y > 0``."""
        return self.log_prob((x, y))

    # -- the mixing variable given the data --------------------------------------

    def law(self) -> Law:
        """The law in the terms that all families share."""
        gig = jnp.stack(self.subordinator.gig_params())
        return Law(self.mu, self.gamma, self.dispersion, gig)

    @classmethod
    def of_law(cls, law: Law) -> Self:
        """The member of this family that is a law in those terms."""
        subordinator = cls._subordinator_class.from_gig_params(*law.gig)
        return cls(law.mu, law.gamma, law.dispersion, subordinator)

    @property
    def frame(self) -> Frame:
        """The form and size of the law."""
        return Frame(type(self.dispersion), self.d, self.dispersion.rank)

    def log_prob_marginal(self, X: Float[Array, "n d"]) -> Float[Array, " n"]:
        """The log-density of every row under the law of X alone; differentiable."""
        return log_density_of_rows(self.law(), X)

    def conditional_expectations(
        self, x: Float[ArrayLike, "*n d"], backend: str = "jax"
    ) -> dict[str, Float[Array, "*n"]]:
        """``E[log Y]``, ``E[1/Y]`` and ``E[Y]`` given ``X = x``.

        ``x`` has shape ``(d,)`` or ``(n, d)``; the values ``()`` or ``(n,)``. Keys:
        ``E_log_Y``, ``E_inv_Y``, ``E_Y``.

        **Raises**: ``ValueError`` for another shape or an unknown backend.
        """
        check_option("backend", backend, BACKENDS)
        x = as_float(x)
        if x.ndim not in (1, 2) or x.shape[-1] != self.d:
            raise ValueError(
                f"x must have shape ({self.d},) or (n, {self.d}), got {x.shape}"
            )
        means = _posterior_means(self.law(), jnp.atleast_2d(x), backend)
        shaped = (m.reshape(x.shape[:-1]) for m in means)
        return dict(zip(("E_log_Y", "E_inv_Y", "E_Y"), shaped, strict=True))

    def within(self, family: type[Joint]) -> Joint:
        """The member of another family nearest in KL, or the same law in a larger.

        **Raises**: ``ValueError`` where a mean that it is to share is infinite.
        """
        found = _within(self, family)
        if not is_traced(self) and not _all_finite(found.subordinator):
            if _all_finite(self.subordinator):
                raise ValueError(
                    f"no {family.__name__} is nearest in KL: E[Y] or E[1/Y] of the "
                    f"mixing variable is infinite, {self.subordinator}"
                )
        return found

    def expectations(self) -> MixtureStatistics:
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

    def coordinates(self) -> Float[Array, " k"]:
        """Unconstrained coordinates of the law of X, in the gauge of its own.

        On the boundary of the family of Y they are those along the boundary.
        """
        law = self.law()
        return coordinates(law, self.moving)[self.free]

    def at(self, coordinates: Float[Array, " k"]) -> Self:
        """The law with these coordinates: the inverse of :meth:`coordinates`."""
        law, free, size = self.law(), self.free, self.chart_size + 2
        every = jnp.zeros(size, coordinates.dtype).at[free].set(coordinates)
        return self.of_law(at_coordinates(law, every, self.moving))

    @property
    def moving(self) -> Moving:
        """What may differ between the laws of a chart."""
        return Moving(True, self.subordinator.has_order)

    @property
    def free(self) -> np.ndarray:
        """Which of the coordinates that all families share are this family's own."""
        names, size = self.subordinator.own_coordinates, self.chart_size
        return np.append(np.arange(size), [size + k for k in names])

    @property
    def chart_size(self) -> int:
        """How many coordinates there are of μ, γ and Σ."""
        normal = jax.eval_shape(self.dispersion.coordinates, self.gamma)
        return self.d + normal.shape[0]

    def translated(self, shift: Float[Array, " d"]) -> Self:
        """The law of ``(X + shift, Y)``."""
        return type(self)(
            self.mu + shift, self.gamma, self.dispersion, self.subordinator
        )


def times(x: Array, moment: Array) -> Array:
    """``x * moment``, and 0 where ``x = 0`` although the moment is infinite."""
    return jnp.where(x == 0, 0.0, x * moment)


def _all_finite(tree: object) -> bool:
    return all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(tree))


@small("family")
def _within(joint: JointNormalMixture, family: type[Joint]) -> Joint:
    p, a, b = joint.subordinator.gig_params()
    subordinator = family._subordinator_class.closest_to_gig(p, a, b)
    return family(joint.mu, joint.gamma, joint.dispersion, subordinator)


@small()
def _expectations(joint: JointNormalMixture) -> MixtureStatistics:
    means = PosteriorMeans(*gig_means(*joint.subordinator.gig_params()))
    return joint.dispersion.expectations(joint.mu, joint.gamma, means)


_posterior_means = partial(jax.jit, static_argnames="backend")(posterior_means)


def _pair(observation) -> tuple[Array, Array]:
    x, y = observation
    return as_float(x), as_float(y)
