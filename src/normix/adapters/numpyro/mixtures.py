"""What all mixtures have in common as NumPyro distributions."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, PRNGKeyArray

from normix.adapters.numpyro.base import (
    Distribution,
    constraints,
    lazy_property,
    set_parameters,
    validate_sample,
)
from normix.adapters.numpyro.rows import (
    draws_of,
    floats,
    in_groups,
    joint_of,
    log_density,
)
from normix.mixtures.families import Family
from normix.mixtures.moments import covariance, mean

Real = Float[Array, "..."]

SCALAR = {
    "mu": constraints.real,
    "gamma": constraints.real,
    "sigma": constraints.positive,
    "scale": constraints.positive,
}
VECTOR = {
    "mu": constraints.real_vector,
    "gamma": constraints.real_vector,
    "sigma": constraints.positive_definite,
    "scale_tril": constraints.lower_cholesky,
}


class Mixture(Distribution):
    """A normal variance-mean mixture ``X = μ + γY + √Y L Z`` for NumPyro models."""

    _family: ClassVar[Family]
    _core: ClassVar[int]
    """How many axes an event has."""
    _root_name: ClassVar[str]
    """The parameter that is the root L of Σ, and is held."""
    mu: Any
    gamma: Any
    sigma: Any

    @staticmethod
    def _root_of(sigma: Array) -> Array:
        """The root of Σ."""
        raise NotImplementedError

    def _prepare(
        self,
        mu: ArrayLike,
        gamma: ArrayLike,
        sigma: ArrayLike | None,
        root: ArrayLike | None,
        mixing: dict[str, ArrayLike],
        validate_args: bool | None,
    ) -> None:
        """Set the parameters, of shapes that broadcast; of Σ and its root one.

        **Raises**: ``ValueError`` for none or both, and for shapes that do not fit.
        """
        core, owner = self._core, type(self).__name__
        given = {"sigma": sigma, self._root_name: root}
        given = {name: value for name, value in given.items() if value is not None}
        if len(given) != 1:
            found = "both" if given else "none"
            raise ValueError(f"{owner}: give sigma or {self._root_name}, got {found}")
        ((name, value),) = given.items()
        event: tuple[int, ...] = jnp.shape(value)[-1:] if core else ()
        if core and (jnp.ndim(value) < 2 or jnp.shape(value)[-2:] != event * 2):
            raise ValueError(
                f"{owner}: {name} must have shape (..., d, d), got {jnp.shape(value)}"
            )
        vectors, d = {"mu": mu, "gamma": gamma}, math.prod(event)
        for key, vector in vectors.items():
            if core and jnp.ndim(vector) == 0:
                vectors[key] = vector = jnp.broadcast_to(jnp.asarray(vector), event)
            if core and jnp.shape(vector)[-1:] != event:
                raise ValueError(
                    f"{owner}: {key} must have shape (..., {d}) to fit {name}, "
                    f"got {jnp.shape(vector)}"
                )
        axes = {"mu": core, "gamma": core, name: 2 * core}
        batch = set_parameters(self, vectors | {name: value} | mixing, axes)
        if name == "sigma":
            setattr(self, self._root_name, self._root_of(jnp.asarray(self.sigma)))
        super().__init__(batch, event, validate_args=validate_args)

    @property
    def _root(self) -> Array:
        return getattr(self, self._root_name)

    @property
    def _mixing(self) -> dict[str, Array]:
        """The parameters of Y by the names that its own class has for them."""
        names = self._family.joint._mixing_names
        return {own: getattr(self, name) for name, own in names.items()}

    def sample(
        self, key: PRNGKeyArray, sample_shape: tuple[int, ...] = ()
    ) -> Float[Array, "..."]:
        """Independent draws, of shape ``sample_shape + batch_shape + event_shape``.

        Exact. Their derivatives by μ, γ and Σ are those of the draws.
        """
        shape = tuple(sample_shape) + self.batch_shape
        names, kind = self._mixing, self._family.joint._subordinator_class
        mu, gamma, root, *rest = floats(
            self.mu, self.gamma, self._root, *names.values()
        )
        k_y, k_z = jax.random.split(key)
        y = draws_of(kind, k_y, dict(zip(names, rest, strict=True)), shape)
        z = jax.random.normal(k_z, shape + self.event_shape, mu.dtype)
        if not self._core:
            return mu + gamma * y + jnp.sqrt(y) * root * z
        noise = (root @ (jnp.sqrt(y)[..., None] * z)[..., None])[..., 0]
        return mu + gamma * y[..., None] + noise

    @validate_sample
    def log_prob(self, value: ArrayLike) -> Real:
        """The log-density of values, of shapes that broadcast with ``batch_shape``.

        Differentiable in the value and in every parameter; infinite at a pole.
        """
        kind, normal = self._family.joint._subordinator_class, (self.mu, self.gamma)
        return log_density(kind, self._core, value, *normal, self._root, self._mixing)

    def _of_laws(self, function: Callable[..., Array], *values: ArrayLike) -> Array:
        """``function(joint, *values)`` of the laws of the batch, with μ left out.

        It takes values along one axis. Without any it is called once for each law that
        differs in more than μ.
        """
        names, core = self._mixing, self._core
        gamma, root, *rest = floats(self.gamma, self._root, *names.values(), *values)
        mixing, rows = rest[: len(names)], rest[len(names) :]
        if not core:
            gamma, root = gamma[..., None], root[..., None, None]
        fronts = [gamma.shape[:-1], root.shape[:-2], *(x.shape for x in mixing)]
        batch = jnp.broadcast_shapes(*fronts)
        shape = jnp.broadcast_shapes(batch, *(x.shape for x in rows))

        def of_group(shared, rows, size):
            gamma, root, *own = shared
            parameters = dict(zip(names, own, strict=True))
            joint = joint_of(
                self._family, jnp.zeros_like(gamma), gamma, root, parameters
            )
            return function(joint, *rows) if rows else function(joint)[None]

        shared = [jnp.broadcast_to(gamma, batch + gamma.shape[-1:])]
        shared += [jnp.broadcast_to(root, batch + root.shape[-2:])]
        shared += [jnp.broadcast_to(x, batch) for x in mixing]
        rows = tuple(jnp.broadcast_to(x, shape) for x in rows)
        return in_groups(of_group, shape, batch, tuple(shared), rows)

    @property
    def mean(self) -> Real:
        """The mean; infinite or NaN where it does not exist, as of the normix law."""
        found = self._of_laws(mean)
        return self.mu + jnp.broadcast_to(
            found if self._core else found[..., 0], self.shape()
        )


class ScalarMixture(Mixture):
    """A mixture of one variable; ``sigma`` is Σ, the square of ``scale``."""

    _core = 0
    support: Any = constraints.real
    reparametrized_params = ["mu", "gamma", "sigma", "scale"]
    _root_name = "scale"

    @staticmethod
    def _root_of(sigma):
        return jnp.sqrt(sigma)

    @lazy_property
    def sigma(self):
        """The dispersion Σ, the square of the scale."""
        return self._root**2

    @property
    def variance(self) -> Real:
        """The variance ``E[Y] Σ + Var[Y] γ²``; infinite or NaN as of the normix law."""
        found = self._of_laws(lambda joint: covariance(joint)[0, 0])
        return jnp.broadcast_to(found, self.shape())

    def cdf(self, value: ArrayLike) -> Real:
        """``P(X <= value)``, elementwise; differentiable in all arguments."""
        gap = jnp.asarray(value) - self.mu
        return self._of_laws(lambda joint, x: self._law(joint).cdf(x), gap)

    def icdf(self, q: ArrayLike) -> Real:
        """The quantile, elementwise in ``q``; NaN outside of [0, 1]."""
        return self.mu + self._of_laws(lambda joint, x: self._law(joint).ppf(x), q)

    def _law(self, joint):
        return self._family.univariate(joint)


class VectorMixture(Mixture):
    """A mixture in d dimensions; ``sigma`` is Σ, with the root ``scale_tril``."""

    _core = 1
    support: Any = constraints.real_vector
    reparametrized_params = ["mu", "gamma", "sigma", "scale_tril"]
    _root_name = "scale_tril"

    @staticmethod
    def _root_of(sigma):
        return jnp.linalg.cholesky(sigma)

    @lazy_property
    def sigma(self):
        """The dispersion Σ, not the covariance."""
        return self._root @ jnp.swapaxes(self._root, -1, -2)

    @property
    def covariance_matrix(self) -> Float[Array, "... d d"]:
        """The covariance ``E[Y] Σ + Var[Y] γγᵀ``."""
        found = self._of_laws(covariance)
        return jnp.broadcast_to(found, self.shape() + self.event_shape)

    @property
    def variance(self) -> Real:
        """The variance of each component; infinite or NaN as of the normix law."""
        return jnp.diagonal(self.covariance_matrix, axis1=-2, axis2=-1)
