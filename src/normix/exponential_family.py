"""The abstract exponential family."""

from __future__ import annotations

from abc import abstractmethod
from functools import partial
from typing import NamedTuple, Protocol, Self, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, PRNGKeyArray

from normix._arrays import as_float, check_option, is_traced

# One observation: an array, or the pair (x, y) of a joint law.
Observation = ArrayLike | tuple[ArrayLike, ArrayLike]

BACKENDS = ("jax", "cpu")
METHODS = ("newton", "lbfgs", "bfgs")


@runtime_checkable
class StatisticsRecord(Protocol):
    """Named expectations that can be laid out as one vector η."""

    def vector(self) -> Array: ...


class SolverOptions(NamedTuple):
    """How an iterative η → θ solver is to run; static under ``jit``."""

    maxiter: int = 100
    tol: float = 1e-10
    backend: str = "jax"
    method: str = "newton"


class ExponentialFamily(eqx.Module):
    r"""A law with density :math:`h(x)\exp(\theta^\top t(x) - \psi(\theta))`.

    Instances are immutable pytrees; every method works under ``jit``, ``vmap`` and
    ``grad``. A subclass supplies the log-partition, the natural parameters, the
    sufficient statistics and the base measure, the two maps back from :math:`\theta`
    and :math:`\eta`, its first two moments and its sampler; everything else is
    derived from them.
    """

    def __hash__(self) -> int:
        # By identity, arrays having no hash: so that jax.jit(model.log_prob) works.
        return id(self)

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

    @classmethod
    @abstractmethod
    def _violation(cls, eta: Array) -> tuple[Array, str]:
        """Whether ``eta`` is unattainable, and the inequality that it violates."""

    @abstractmethod
    def mean(self) -> Array:
        """The mean."""

    @abstractmethod
    def _draw(self, key: PRNGKeyArray, n: int) -> Array:
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
        """The log-density at one observation; batch with :func:`jax.vmap`."""
        return _log_prob(self, x)

    def pdf(self, x: Observation) -> Float[Array, ""]:
        """The density at one observation; batch with :func:`jax.vmap`."""
        return jnp.exp(self.log_prob(x))

    @classmethod
    def bregman_divergence(cls, theta: ArrayLike, eta: ArrayLike) -> Float[Array, ""]:
        r""":math:`\psi(\theta) - \theta^\top\eta`, the objective of η → θ.

        Convex in :math:`\theta`, and least at the member whose expectation parameters
        are :math:`\eta`: maximum likelihood minimises it at the sample's.
        """
        theta = as_float(theta)
        return cls._log_partition_from_theta(theta) - jnp.dot(theta, as_float(eta))

    def rvs(
        self, n: int, seed: int = 42, *, key: PRNGKeyArray | None = None
    ) -> Float[Array, "n ..."]:
        """``n`` independent draws along the first axis, exact.

        ``key``, a JAX random key, takes the place of ``seed``.

        **Raises**: ``ValueError`` for a negative ``n``.
        """
        if n < 0:
            raise ValueError(f"n must be at least 0, got {n}")
        return _draw(self, jax.random.key(seed) if key is None else key, n)

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
        eta = as_float(eta)
        if not is_traced(eta):
            violated, inequality = cls._violation(eta)
            if bool(jnp.any(violated)):
                raise ValueError(f"{cls.__name__}: eta violates {inequality}: {eta}")
        options = SolverOptions(maxiter, tol, backend, method)
        start = None if theta0 is None else as_float(theta0)
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
        maxiter: int = 100,
        tol: float = 1e-10,
        verbose: int = 0,
    ) -> Self:
        r"""Maximum likelihood: match the sample's mean statistics, :math:`\eta`.

        ``X`` holds observations along its first axis. See :meth:`from_expectation`.
        """
        eta = jax.vmap(cls.sufficient_statistics)(cls._check_sample(X)).mean(axis=0)
        return cls.from_expectation(
            eta, theta0=theta0, maxiter=maxiter, tol=tol, verbose=verbose
        )

    def fit(self, X: Float[ArrayLike, "n ..."], **options) -> Self:
        """:meth:`fit_mle`, started from this member."""
        return type(self).fit_mle(X, theta0=self.natural_params(), **options)

    @classmethod
    @abstractmethod
    def _check_sample(cls, X: ArrayLike) -> Array:
        """Observations along the first axis, checked."""


# Compiled here, once for all instances of a class.


@jax.jit
def _log_prob(model: ExponentialFamily, x: Observation) -> Array:
    theta = model.natural_params()
    log_base = model.log_base_measure(x)
    value = (
        log_base
        + jnp.dot(theta, model.sufficient_statistics(x))
        - model._log_partition_from_theta(theta)
    )
    # Outside the support the statistics need not be finite.
    return jnp.where(jnp.isneginf(log_base), -jnp.inf, value)


@jax.jit
def _log_partition(model: ExponentialFamily) -> Array:
    return model._log_partition_from_theta(model.natural_params())


@partial(jax.jit, static_argnames="backend")
def _gradient(model: ExponentialFamily, backend: str) -> Array:
    psi = partial(model._log_partition_from_theta, backend=backend)
    return jax.grad(psi)(model.natural_params())


@partial(jax.jit, static_argnames="backend")
def _hessian(model: ExponentialFamily, backend: str) -> Array:
    psi = partial(model._log_partition_from_theta, backend=backend)
    return jax.hessian(psi)(model.natural_params())


@partial(jax.jit, static_argnames="n")
def _draw(model: ExponentialFamily, key: PRNGKeyArray, n: int) -> Array:
    return model._draw(key, n)


@partial(jax.jit, static_argnums=(0, 3))
def _solve(
    cls: type[ExponentialFamily],
    eta: Array,
    theta0: Array | None,
    options: SolverOptions,
) -> ExponentialFamily:
    return cls._from_eta(eta, theta0, options)
