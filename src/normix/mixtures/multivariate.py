"""Marginal laws of vectors: what full and factor forms have in common."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self, TypeVar, cast

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, PRNGKeyArray

from normix._arrays import as_data, as_float, check_count, is_traced
from normix._columns import like
from normix._compile import small
from normix._passes import Data
from normix.mixtures.cholesky import CholeskyDispersion
from normix.mixtures.imputation import completed_at_random, completed_by_means
from normix.mixtures.initial import check_full_rank, initial_joint
from normix.mixtures.joint import JointNormalMixture
from normix.mixtures.law import Law
from normix.mixtures.marginal import MarginalMixture
from normix.mixtures.model_steps import log_prob_of_rows, log_prob_seen
from normix.mixtures.scenarios import condition_of, drawn_given, margin_of

Joint = TypeVar("Joint", bound=JointNormalMixture)


class VectorMixture(MarginalMixture):
    """A mixture in d dimensions; arrays have an axis of length d."""

    @classmethod
    def _rows(cls, X, columns=None, *, missing=False):
        return as_data(X, columns=columns, missing=missing)

    _axes: ClassVar[int] = 2

    @staticmethod
    def _view(x, axes=1):
        return x

    @abstractmethod
    def _dispersion_parameters(self) -> dict[str, Array]:
        """The dispersion, as ``from_classical`` takes it."""

    @classmethod
    @abstractmethod
    def from_classical(cls, **parameters: ArrayLike) -> Self:
        """From classical parameters."""

    def replace(self, **parameters: ArrayLike) -> Self:
        """The model with some of its classical parameters replaced.

        **Raises**: ``ValueError`` for a name that is not one of them, and as
        ``from_classical`` does.
        """
        kept = {"mu": self.mu, "gamma": self.gamma}
        kept |= self._dispersion_parameters() | self._mixing_parameters()
        return self.from_classical(**(kept | parameters))

    def log_prob(self, x: Float[ArrayLike, " d"]) -> Float[Array, ""]:
        r"""The log-density at one ``x`` of shape ``(d,)``; batch with ``jax.vmap``.

        Differentiable in ``x`` and in every parameter; infinite at a pole. With
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
        return log_prob_of_rows(self.joint, x[None, :])[0]

    def pdf(self, x: Float[ArrayLike, " d"]) -> Float[Array, ""]:
        """The density at one ``x`` of shape ``(d,)``."""
        return jnp.exp(self.log_prob(x))

    # -- what is missing, or given ---------------------------------------------------

    def log_prob_observed(self, x: Float[ArrayLike, " d"]) -> Float[Array, ""]:
        """The log-density of those entries of ``x`` that are not NaN, shape ``(d,)``.

        Under the law of these columns, as of ``marginal``; 0 where all are NaN. Batch
        with ``jax.vmap``; differentiable in the entries and in every parameter.

        **Raises**: ``ValueError`` for another shape.

        >>> import jax.numpy as jnp
        >>> from normix import NormalInverseGaussian
        >>> model = NormalInverseGaussian.from_classical(
        ...     mu=[0, 0], gamma=[0, 0], sigma=[[1, 0.5], [0.5, 1]], mu_ig=1, lam=1
        ... )
        >>> value = model.log_prob_observed(jnp.array([0.3, jnp.nan]))
        >>> bool(jnp.isclose(value, model.marginal([0]).log_prob(jnp.array([0.3]))))
        True
        """
        x = as_float(x)
        if x.shape != (self.d,):
            raise ValueError(f"x must have shape ({self.d},), got {x.shape}")
        return log_prob_seen(self.joint, x[None, :])[0]

    def impute(
        self,
        X: ArrayLike,
        *,
        return_std: bool = False,
        n: int | None = None,
        key: PRNGKeyArray | None = None,
    ) -> Any:
        """What is missing of ``X``, shape ``(m, d)`` with NaN for it, given the rest.

        By default the conditional means, in an array like ``X`` or a data frame with
        its index and columns; with ``return_std`` a pair of these and of conditional
        standard deviations, 0 for what is seen. With ``n`` and a JAX random ``key``
        a list of ``n`` completed copies, each drawn from the conditional law: multiple
        imputation.

        **Raises**: ``ValueError`` for data that do not fit the model, infinite entries,
        and an ``n`` without ``key`` or the reverse.

        >>> import jax.numpy as jnp
        >>> from normix import NormalInverseGaussian
        >>> model = NormalInverseGaussian.from_classical(
        ...     mu=[0, 0], gamma=[0, 0], sigma=[[1, 0.5], [0.5, 1]], mu_ig=1, lam=1
        ... )
        >>> model.impute(jnp.array([[2.0, jnp.nan]])).tolist()
        [[2.0, 1.0]]
        """
        if (n is None) != (key is None):
            raise ValueError("n and key go together: so many draws, by that key")
        rows = np.asarray(self._rows(X, self.d, missing=True))
        if n is None or key is None:
            found = completed_by_means(self.joint, rows)
            means = like(X, found.means)
            return (means, like(X, found.stds)) if return_std else means
        check_count("n", n)
        keys = jax.random.split(key, n)
        return [like(X, completed_at_random(self.joint, rows, k).X) for k in keys]

    def rvs_given(
        self,
        given: Mapping[Any, Any],
        n: int,
        *,
        key: PRNGKeyArray,
        columns: Sequence[object] | None = None,
        with_y: bool = False,
    ) -> Any:
        """``n`` draws given what some columns are, shape ``(n, d)``: a scenario.

        - ``given``: for some columns a number, which they have, or a pair
          ``(low, high)``, which they lie between; an end may be infinite. Columns go by
          number, or by name with ``columns``.
        - ``with_y``: return the draws of Y, shape ``(n,)``, too: their law is that of
          the mixing variable given the event.

        The draws are exact. Values are conditioned on in closed form; the least
        probable interval is met by inversion of that column's distribution function,
        however far out it is, and others by rejection.

        **Raises**: ``ValueError`` for an unknown column or one that comes twice, an
        empty interval, and conditions that hardly any draw meets.

        >>> import jax
        >>> import jax.numpy as jnp
        >>> from normix import NormalInverseGaussian
        >>> model = NormalInverseGaussian.from_classical(
        ...     mu=[0, 0], gamma=[0, 0], sigma=[[1, 0.5], [0.5, 1]], mu_ig=1, lam=1
        ... )
        >>> draws = model.rvs_given({0: (-jnp.inf, -5.0)}, 100, key=jax.random.key(0))
        >>> draws.shape, bool((draws[:, 0] <= -5).all())
        ((100, 2), True)
        """
        check_count("n", n)
        condition = condition_of(given, self.d, columns)
        law: VectorMixture = self
        left = [k for k in range(self.d) if k not in condition.values]
        if condition.values and condition.intervals:
            at = list(condition.values)
            values = np.array([condition.values[k] for k in at])
            law = cast(VectorMixture, self.conditional(at, values))
        margins = []
        for k, interval in condition.intervals.items():
            unit = np.zeros(law.d)
            unit[left.index(k)] = 1.0
            margins.append(margin_of(law.project(unit), k, interval))
        X, Y = drawn_given(self.joint, condition, margins, n, key)
        draws = jnp.asarray(X)
        return (draws, jnp.asarray(Y)) if with_y else draws

    # -- laws of parts and images ----------------------------------------------------

    def _indices(self, indices: Sequence[int] | Array) -> tuple[Any, Any]:
        """Some components and all others."""
        chosen = np.atleast_1d(np.asarray(indices))
        if chosen.ndim != 1 or not np.issubdtype(chosen.dtype, np.integer):
            raise ValueError(f"indices must be a list of integers, got {indices}")
        if np.any((chosen < -self.d) | (chosen >= self.d)):
            raise ValueError(
                f"indices must lie within 0 to {self.d - 1}, got {indices}"
            )
        chosen = chosen % self.d
        if chosen.size == 0 or len(set(chosen.tolist())) < chosen.size:
            raise ValueError(f"indices must be some, each once, got {indices}")
        return chosen, np.delete(np.arange(self.d), chosen)

    def marginal(self, indices: Sequence[int] | Array) -> Self:
        """The law of the components ``indices``, in their order; of the same family.

        **Raises**: ``ValueError`` for indices that are out of range or repeated.
        """
        chosen, _ = self._indices(indices)
        return type(self)(_selected(self.joint, chosen))

    def conditional(
        self, indices: Sequence[int] | Array, x: Float[ArrayLike, " k"]
    ) -> MarginalMixture:
        r"""The law of the other components given that ``X[indices] = x``.

        It is generalized hyperbolic, in the same form: the normal law given Y is
        conditioned as usual, and Y given k components is
        :math:`\mathrm{GIG}(p - k/2, a + \gamma_k^\top\Sigma_{kk}^{-1}\gamma_k,
        b + (x-\mu_k)^\top\Sigma_{kk}^{-1}(x-\mu_k))` (McNeil, Frey & Embrechts,
        Quantitative Risk Management, 2015, §6.2).

        **Raises**: ``ValueError`` for indices that are out of range, repeated or all,
        and for an ``x`` that does not fit.
        """
        from normix.mixtures.generalized_hyperbolic import JointGeneralizedHyperbolic

        given, rest = self._indices(indices)
        if rest.size == 0:
            raise ValueError("indices must leave a component that is not given")
        x = jnp.atleast_1d(as_float(x))
        if x.shape != given.shape:
            raise ValueError(
                f"x must have shape {given.shape} as indices, got {x.shape}"
            )
        joint = _conditional(self.joint, given, rest, x, JointGeneralizedHyperbolic)
        return self._sibling(joint)

    def affine(
        self, A: Float[ArrayLike, "m d"], b: Float[ArrayLike, " m"] | None = None
    ) -> MarginalMixture:
        """The law of ``A X + b``, with a full dispersion; of the same family.

        **Raises**: ``ValueError`` for shapes that do not fit and for an ``A`` whose
        rows are linearly dependent.
        """
        A = as_float(A)
        if A.ndim != 2 or A.shape[1] != self.d:
            raise ValueError(f"A must have shape (m, {self.d}), got {A.shape}")
        shift = jnp.zeros(A.shape[0], A.dtype) if b is None else as_float(b)
        if shift.shape != A.shape[:1]:
            raise ValueError(f"b must have shape {A.shape[:1]}, got {shift.shape}")
        if not is_traced(A) and (rank := _row_rank(np.asarray(A))) < A.shape[0]:
            raise ValueError(
                f"A must have linearly independent rows, got shape {A.shape} of rank "
                f"{rank}"
            )
        return self._sibling(_image(self.joint, A, shift), "full")

    def project(self, w: Float[ArrayLike, " d"]) -> MarginalMixture:
        """The univariate law of ``wᵀX``, of the same family.

        **Raises**: ``ValueError`` for another shape or a ``w`` that is 0.
        """
        w = as_float(w)
        if w.shape != (self.d,):
            raise ValueError(f"w must have shape ({self.d},), got {w.shape}")
        image = self.affine(w[None, :])
        return self._sibling(image.joint, "univariate")


@small()
def _selected(joint: Joint, chosen: Array) -> Joint:
    dispersion = joint.dispersion.selected(chosen)
    mu, gamma = joint.mu[chosen], joint.gamma[chosen]
    return type(joint)(mu, gamma, dispersion, joint.subordinator)


@small("family")
def _conditional(joint: JointNormalMixture, given, rest, x: Array, family):
    slope, known, left = joint.dispersion.conditional(given, rest)
    residual, skew_known = x - joint.mu[given], joint.gamma[given]
    quadratic, _, skew, _ = known.inner_products(residual[None, :], skew_known)
    p, a, b = joint.subordinator.gig_params()
    gig = jnp.stack([p - 0.5 * given.size, a + skew, b + quadratic[0]])
    mu, gamma = joint.mu[rest] + slope @ residual, joint.gamma[rest]
    return family.of_law(Law(mu, gamma - slope @ skew_known, left, gig))


def _row_rank(A: np.ndarray) -> int:
    """The rank, whatever the units of rows and columns are."""
    rows = A / np.maximum(abs(A).max(axis=1, keepdims=True), np.finfo(A.dtype).tiny)
    columns = np.maximum(abs(rows).max(axis=0), np.finfo(A.dtype).tiny)
    return int(np.linalg.matrix_rank(rows / columns))


@small()
def _image(joint: Joint, A: Array, shift: Array) -> Joint:
    dispersion = CholeskyDispersion.from_matrix(A @ joint.sigma() @ A.T)
    mu, gamma = A @ joint.mu + shift, A @ joint.gamma
    return type(joint)(mu, gamma, dispersion, joint.subordinator)


class NormalMixture(VectorMixture):
    """A mixture with a full dispersion, held by its Cholesky factor."""

    _dispersion_class: ClassVar[type[CholeskyDispersion]] = CholeskyDispersion
    _form: ClassVar[str] = "full"
    takes_collinear: ClassVar[bool] = False

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
        return cls(
            cls._joint_class.from_classical(mu=mu, gamma=gamma, sigma=sigma, **mixing)
        )

    def _dispersion_parameters(self):
        return {"sigma": self.sigma()}

    @property
    def L_Sigma(self) -> Float[Array, "d d"]:
        """The lower Cholesky factor of Σ, shape ``(d, d)``."""
        dispersion = self.joint.dispersion
        assert isinstance(dispersion, CholeskyDispersion)
        return dispersion.L

    @classmethod
    def _check_size(cls, n, d):
        check_full_rank(n, d)

    @classmethod
    def default_init(cls, X: Data, missing: str = "raise") -> Self:
        """A start for EM with the mean and covariance of ``X``, shape ``(n, d)``.

        Skewness and the weight of the tails come from a few EM steps on at most some
        thousand rows, begun at the best of ladders of models, symmetric and more and
        less skewed; for the generalized hyperbolic family, of several orders p. Where
        the fitted law has no variance, it is kept without matching that of ``X``.

        Of data in chunks or on several devices, as ``fit`` takes them, evenly spaced
        rows are used, 65,536 of them or more if there are. ``missing``: as of ``fit``;
        with "em" the missing entries of a sample are filled by regression.

        **Raises**: ``ValueError`` for fewer than ``d + 1`` rows, columns that are
        constant or depend on each other linearly, NaN or infinite entries.
        """
        return cls(initial_joint(cls._joint_class, cls._rows_to_start(X, missing)))
