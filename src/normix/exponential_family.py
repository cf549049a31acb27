"""The abstract exponential family."""

from __future__ import annotations

from abc import abstractmethod
from functools import partial
from typing import ClassVar, Self, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, PRNGKeyArray

from normix import _powers
from normix._arrays import as_float, as_weights, check_count, check_option, is_traced
from normix._compile import of_few
from normix._solving import (
    BACKENDS,
    METHODS,
    SolverOptions,
    StatisticsRecord,
    as_order,
    as_vector,
)
from normix.divergences import kl_divergence, squared_hellinger

Family = TypeVar("Family", bound="ExponentialFamily")

# One observation: an array, or the pair (x, y) of a joint law.
Observation = ArrayLike | tuple[ArrayLike, ArrayLike]


class ExponentialFamily(eqx.Module):
    r"""A law with density :math:`h(x)\exp(\theta^\top t(x) - \psi(\theta))`.

    Instances are immutable pytrees; every method works under ``jit``, ``vmap`` and
    ``grad``. A subclass supplies the log-partition, the natural parameters, the
    sufficient statistics and the base measure, the two maps back from :math:`\theta`
    and :math:`\eta`, its first two moments and its sampler; everything else is
    derived from them.
    """

    sampling_methods: ClassVar[tuple[str, ...]]
    """What :meth:`rvs` accepts as its ``method``."""

    _terms: ClassVar[tuple[int, int, int]]
    """The number of natural parameters, in terms of 1, d and d²."""

    def __hash__(self) -> int:
        # By identity, arrays having no hash: so that jax.jit(model.log_prob) works.
        return id(self)

    def __repr__(self) -> str:
        return eqx.tree_pformat(self, short_arrays=False)

    # -- what a family is ------------------------------------------------------

    @staticmethod
    @abstractmethod
    def _log_partition_from_theta(theta: Array, backend: str = "jax") -> Array:
        r""":math:`\psi(\theta)`, differentiable; ``backend`` chooses its kernel."""

    @abstractmethod
    def natural_params(self) -> Float[Array, " k"]:
        r"""The natural parameters :math:`\theta`, shape ``(k,)``."""

    @staticmethod
    @abstractmethod
    def sufficient_statistics(x: Observation) -> Float[Array, " k"]:
        """The statistics ``t(x)`` of one observation, shape ``(k,)``."""

    @staticmethod
    @abstractmethod
    def log_base_measure(x: Observation) -> Float[Array, ""]:
        """``log h(x)`` of one observation."""

    @classmethod
    @abstractmethod
    def from_natural(cls, theta: ArrayLike) -> Self:
        r"""The member with natural parameters :math:`\theta`, shape ``(k,)``."""

    @classmethod
    @abstractmethod
    def _from_eta(
        cls, eta: Array, theta0: Array | None, options: SolverOptions
    ) -> Self:
        r"""Solve :math:`\nabla\psi(\theta) = \eta`."""

    @abstractmethod
    def _check_observation(self, x: Observation) -> Observation:
        """One observation as floats; ``ValueError`` for another shape."""

    @classmethod
    @abstractmethod
    def _violation(cls, eta: Array) -> tuple[Array, str]:
        """Whether ``eta`` is unattainable, and the inequality that it violates."""

    @abstractmethod
    def _log_density(self, x: Observation) -> Array:
        r"""The log-density at ``x``.

        Not :math:`\theta^\top t(x) - \psi(\theta)`, whose terms cancel where the law
        is narrow or far from 0, but about the law's own location.
        """

    @classmethod
    @abstractmethod
    def _most_likely(
        cls,
        sample: Array,
        weights: Array,
        theta0: Array | None,
        options: SolverOptions,
    ) -> Self:
        """The member of maximum likelihood, NaN if there is none.

        By centred statistics of the sample, weights of sum 1; the differences between
        means of the statistics themselves cancel where data lie far from 0.
        """

    @abstractmethod
    def _log_power(self, alpha: Array) -> Array:
        r""":math:`\log\int p(x)^\alpha\,dx`, differentiable in ``alpha`` at 1."""

    @abstractmethod
    def _kl(self, other: ExponentialFamily) -> Array:
        """The divergence to ``other``; ``ValueError`` for one that has none."""

    @abstractmethod
    def _log_affinity(self, other: ExponentialFamily) -> Array:
        r""":math:`\log\int\sqrt{p(x)\,q(x)}\,dx`, as :meth:`_kl`."""

    @abstractmethod
    def mean(self) -> Array:
        """The mean."""

    @abstractmethod
    def _draw(self, key: PRNGKeyArray, n: int, method: str = "exact") -> Array:
        """``n`` independent draws along the first axis."""

    # -- what follows ----------------------------------------------------------

    def log_partition(self) -> Float[Array, ""]:
        r"""The log-partition :math:`\psi(\theta)`."""
        return _log_partition(self)

    def expectation_params(self, backend: str = "jax") -> Float[Array, " k"]:
        r"""The expectation parameters :math:`\eta = E[t(X)] = \nabla\psi(\theta)`.

        ``backend="cpu"`` evaluates Bessel functions by SciPy. Shape ``(k,)``.
        """
        check_option("backend", backend, BACKENDS)
        return _gradient(self, backend)

    def fisher_information(self, backend: str = "jax") -> Float[Array, "k k"]:
        r"""The Fisher information :math:`\nabla^2\psi(\theta)` in :math:`\theta`."""
        check_option("backend", backend, BACKENDS)
        return _hessian(self, backend)

    def log_prob(self, x: Observation) -> Float[Array, ""]:
        """The log-density at one observation; batch with :func:`jax.vmap`.

        **Raises**: ``ValueError`` for another shape.
        """
        return _log_prob(self, self._check_observation(x))

    def pdf(self, x: Observation) -> Float[Array, ""]:
        """The density at one observation; batch with :func:`jax.vmap`."""
        return jnp.exp(self.log_prob(x))

    # -- information -----------------------------------------------------------

    def entropy(self) -> Float[Array, ""]:
        r"""The differential entropy :math:`-E[\log p(X)]`, in nats."""
        return _powers.entropy(self)

    def varentropy(self) -> Float[Array, ""]:
        r"""The variance of the information, :math:`\mathrm{Var}[\log p(X)]`."""
        return _powers.varentropy(self)

    def log_density_power(self, alpha: ArrayLike) -> Float[Array, ""]:
        r""":math:`\log\int p(x)^\alpha\,dx`, ``alpha > 0``; may be infinite."""
        return _powers.log_density_power(self, as_order(alpha))

    def renyi(self, alpha: ArrayLike) -> Float[Array, ""]:
        r"""The Rényi entropy :math:`\frac{1}{1-\alpha}\log\int p(x)^\alpha\,dx`.

        At ``alpha = 1`` it is :meth:`entropy`, with derivative minus half of
        :meth:`varentropy`, and smooth there.

        **Raises**: ``ValueError`` for an ``alpha`` that is not a positive scalar.
        """
        return _powers.renyi(self, as_order(alpha))

    def kl_divergence(self, other: ExponentialFamily) -> Float[Array, ""]:
        """The divergence to ``other``; see :func:`normix.kl_divergence`."""
        return kl_divergence(self, other)

    def squared_hellinger(self, other: ExponentialFamily) -> Float[Array, ""]:
        """The squared distance to ``other``; see :func:`normix.squared_hellinger`."""
        return squared_hellinger(self, other)

    @classmethod
    def bregman_divergence(cls, theta: ArrayLike, eta: ArrayLike) -> Float[Array, ""]:
        r""":math:`\psi(\theta) - \theta^\top\eta`, the objective of η → θ.

        Convex in :math:`\theta`, and least at the member whose expectation parameters
        are :math:`\eta`: maximum likelihood minimises it at the sample's.
        """
        theta, eta = as_vector(cls, "theta", theta), as_vector(cls, "eta", eta)
        return cls._log_partition_from_theta(theta) - jnp.dot(theta, eta)

    def rvs(
        self,
        n: int,
        seed: int = 42,
        *,
        key: PRNGKeyArray | None = None,
        method: str = "exact",
    ) -> Float[Array, "n ..."]:
        """``n`` independent draws along the first axis.

        ``key``, a JAX random key, takes the place of ``seed``. ``method`` is "exact"
        or, for laws of one variable, "inversion" of the tabulated quantile function.

        **Raises**: ``ValueError`` for a negative ``n`` or another method.
        """
        check_count("n", n)
        check_option("method", method, self.sampling_methods)
        return _draw(self, jax.random.key(seed) if key is None else key, n, method)

    @classmethod
    def from_expectation(
        cls,
        eta: ArrayLike | StatisticsRecord,
        *,
        theta0: ArrayLike | None = None,
        maxiter: int = 100,
        tol: float = 1e-10,
        backend: str = "jax",
        method: str = "newton",
        verbose: int = 0,
    ) -> Self:
        r"""The member whose expectation parameters are ``eta``, shape ``(k,)``.

        Works under ``jit``, ``vmap`` and ``grad`` (implicit differentiation).
        ``theta0`` seeds an iterative solver; families with a closed form, and solvers
        that start near enough by themselves, have no use for it. ``backend``,
        ``method``, ``maxiter`` and ``tol`` choose and bound that solver; the answer
        does not depend on them.

        **Raises**: ``ValueError`` for an unattainable ``eta``, naming the violated
        inequality; under ``jit`` the parameters are NaN instead.
        """
        check_option("backend", backend, BACKENDS)
        check_option("method", method, METHODS)
        if isinstance(eta, StatisticsRecord):
            eta = eta.vector()
        eta = as_vector(cls, "eta", eta)
        if not is_traced(eta):
            violated, inequality = cls._violation(eta)
            if bool(jnp.any(violated)):
                raise ValueError(f"{cls.__name__}: eta violates {inequality}: {eta}")
        options = SolverOptions(maxiter, tol, backend, method)
        start = None if theta0 is None else as_vector(cls, "theta0", theta0)
        model = _solve(cls, eta, start, options)
        if verbose and not is_traced(model):
            print(f"{cls.__name__}.from_expectation: {model}")
        return model

    @classmethod
    def fit_mle(
        cls,
        X: Float[ArrayLike, "n ..."],
        *,
        theta0: ArrayLike | None = None,
        weights: Float[ArrayLike, " n"] | None = None,
        maxiter: int = 100,
        tol: float = 1e-10,
        verbose: int = 0,
    ) -> Self:
        r"""Maximum likelihood: match the sample's mean statistics, :math:`\eta`.

        ``X`` holds observations along its first axis; ``weights``, shape ``(n,)``,
        not negative, count them. See :meth:`from_expectation`.

        **Raises**: ``ValueError`` for data or weights that are not as described, and
        for data without a maximum (a single point, say).
        """
        sample = cls._check_sample(X)
        n = len(jax.tree.leaves(sample)[0])
        w = None if weights is None else as_weights(weights, n)
        start = None if theta0 is None else as_float(theta0)
        model = _fit(cls, sample, w, start, SolverOptions(maxiter, tol))
        if not is_traced(model):
            leaves = map(np.asarray, jax.tree.leaves(model))
            if not all(np.isfinite(leaf).all() for leaf in leaves):
                eta = _mean_statistics(sample, w, cls)
                inequality = cls._violation(eta)[1]
                raise ValueError(
                    f"{cls.__name__}: X has no maximum of the likelihood: its mean "
                    f"statistics eta violate {inequality}: {eta}"
                )
            if verbose:
                print(f"{cls.__name__}.fit_mle: {model}")
        return model

    @classmethod
    def default_init(cls, X: Float[ArrayLike, "n ..."]) -> Self:
        """A member to start from: that of maximum likelihood, which is at hand."""
        return cls.fit_mle(X)

    def fit(self, X: Float[ArrayLike, "n ..."], **options) -> Self:
        """:meth:`fit_mle`, started from this member."""
        return type(self).fit_mle(X, theta0=self.natural_params(), **options)

    @classmethod
    @abstractmethod
    def _check_sample(cls, X: ArrayLike) -> Array:
        """Observations along the first axis, checked."""


# Compiled here, once for all instances of a class.


@of_few()
def _log_prob(model: ExponentialFamily, x: Observation) -> Array:
    return model._log_density(x)


@of_few()
def _log_partition(model: ExponentialFamily) -> Array:
    return model._log_partition_from_theta(model.natural_params())


@of_few("backend")
def _gradient(model: ExponentialFamily, backend: str) -> Array:
    psi = partial(model._log_partition_from_theta, backend=backend)
    return jax.grad(psi)(model.natural_params())


@of_few("backend")
def _hessian(model: ExponentialFamily, backend: str) -> Array:
    psi = partial(model._log_partition_from_theta, backend=backend)
    # Forward over forward, which keeps the infinite entries of boundary laws.
    return jax.jacfwd(jax.jacfwd(psi))(model.natural_params())


@of_few("n", "method")
def _draw(model: ExponentialFamily, key: PRNGKeyArray, n: int, method: str) -> Array:
    return model._draw(key, n, method)


@of_few("cls")
def _mean_statistics(
    sample: Array, weights: Array | None, cls: type[ExponentialFamily]
) -> Array:
    """The mean over observations of the sufficient statistics, by weight."""
    statistics = jax.vmap(cls.sufficient_statistics)(sample)
    if weights is None:
        return statistics.mean(axis=0)
    return weights @ statistics / weights.sum()


@of_few("cls", "options")
def _solve(
    cls: type[Family],
    eta: Array,
    theta0: Array | None,
    options: SolverOptions,
) -> Family:
    return cls._from_eta(eta, theta0, options)


@of_few("cls", "options")
def _fit(
    cls: type[Family],
    sample: Array,
    weights: Array | None,
    theta0: Array | None,
    options: SolverOptions,
) -> Family:
    if weights is None:
        n = jax.tree.leaves(sample)[0].shape[0]
        weights = jnp.full(n, 1 / n, jax.tree.leaves(sample)[0].dtype)
    else:
        weights = weights / weights.sum()
    return cls._most_likely(sample, weights, theta0, options)
