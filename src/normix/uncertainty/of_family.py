"""What the inference of an exponential family stands on: scores and information."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from normix._compile import of_few
from normix.distributions import MultivariateNormal
from normix.exponential_family import ExponentialFamily
from normix.uncertainty.parameters import normal_names
from normix.uncertainty.told import Told, enough, numbers


@dataclass(frozen=True, eq=False)
class PositiveParameters:
    """The scalars that a positive law is written with; those that are 0 are held."""

    model: ExponentialFamily
    free: tuple[str, ...]

    def of_model(self, model: ExponentialFamily) -> Float[Array, " p"]:
        return jnp.stack([getattr(model, field.name) for field in fields(model)])

    def derivative(self, f: Callable[[Any], ArrayLike]) -> tuple[Array, Array]:
        return _slopes_of_positive(f, self.free, self.model)


@dataclass(frozen=True, eq=False)
class NormalParameters:
    """The mean and the covariance, by steps from them in the law's own units.

    A step δ of the mean and ε of the covariance, symmetric, lead to ``mu + L δ`` and
    ``L (I + ε) Lᵀ``. In these the Fisher information is diagonal.
    """

    model: MultivariateNormal

    def of_model(self, model: MultivariateNormal) -> Float[Array, " p"]:
        return jnp.concatenate([model.mu, model.sigma()[np.tril_indices(model.d)]])

    def derivative(self, f: Callable[[Any], ArrayLike]) -> tuple[Array, Array]:
        return _slopes_of_normal(f, self.model)


def told_by_family(
    model: ExponentialFamily,
    rows: Float[np.ndarray, "n *d"],
    w: Float[np.ndarray, " n"] | None,
    columns: Sequence[object] | None,
) -> Told:
    """What rows of positive weight say of a member of an exponential family."""
    if isinstance(model, MultivariateNormal):
        return _told_by_normal(model, rows, w, columns)
    names = tuple(field.name for field in fields(model))
    values = np.array([float(getattr(model, name)) for name in names])
    free = tuple(
        name
        for name, value in zip(names, values, strict=True)
        # An order of 0 is a value like others; a and b are 0 in a limit.
        if name == "p" or value != 0
    )
    enough(len(rows), len(free))
    share = np.full(len(rows), 1 / len(rows)) if w is None else w / w.sum()
    mean_llf, scores, curvature = _of_positive(
        model, jnp.asarray(rows), jnp.asarray(share), free
    )
    total = len(rows) if w is None else w.sum()
    limits = [name for name in names if name not in free]
    return Told(
        parameters=PositiveParameters(model, free),
        names=names,
        params=values,
        positive=np.array([name != "p" and name in free for name in names]),
        slopes=np.eye(len(names))[:, [names.index(name) for name in free]],
        scores=np.asarray(scores, float),
        information=-total * np.asarray(curvature, float),
        redundant=np.zeros((len(free), 0)),
        mean_llf=float(mean_llf),
        held=tuple(f"{name} is 0, a limit, and held there" for name in limits),
    )


def _moved(model: ExponentialFamily, free: tuple[str, ...], step: Array):
    parts = {field.name: getattr(model, field.name) for field in fields(model)}
    for name, by in zip(free, step, strict=True):
        parts[name] = parts[name] + by
    return type(model)(**parts)


@of_few("free")
def _of_positive(
    model: ExponentialFamily, rows: Array, share: Array, free: tuple[str, ...]
) -> tuple[Array, Array, Array]:
    """The mean log-density, scores row by row, and the mean's second derivatives."""

    def log_density(step: Array, x: Array) -> Array:
        return _moved(model, free, step)._log_density(x)

    def mean_score(step: Array) -> Array:
        return share @ scores(step)

    def scores(step: Array) -> Array:
        return jax.vmap(jax.grad(log_density), (None, 0))(step, rows)

    here = jnp.zeros(len(free), rows.dtype)
    mean = share @ jax.vmap(log_density, (None, 0))(here, rows)
    return mean, scores(here), jax.jacfwd(mean_score)(here)


@partial(jax.jit, static_argnums=(0, 1))
def _slopes_of_positive(
    f: Callable[[Any], ArrayLike], free: tuple[str, ...], model: ExponentialFamily
) -> tuple[Array, Array]:
    def moved(step: Array) -> Array:
        return numbers(f(_moved(model, free, step)))

    here = jnp.zeros(len(free), jax.tree.leaves(model)[0].dtype)
    return moved(here), jax.jacfwd(moved)(here)


def _told_by_normal(
    model: MultivariateNormal,
    rows: Float[np.ndarray, "n d"],
    w: Float[np.ndarray, " n"] | None,
    columns: Sequence[object] | None,
) -> Told:
    from scipy.linalg import solve_triangular  # here, for a quick import of normix

    d = model.d
    mu, root = np.asarray(model.mu, float), np.asarray(model.L_Sigma, float)
    i, j = np.tril_indices(d)
    enough(len(rows), d + len(i))
    z = solve_triangular(root, (rows - mu).T, lower=True).T
    total = len(rows) if w is None else w.sum()
    # d log f/dε = z zᵀ - I, over 2 on the diagonal; of the mean z itself.
    half = np.where(i == j, 0.5, 1.0)
    sigma = root @ root.T
    to_sigma = root[i][:, i] * root[j][:, j]
    to_sigma = np.where(i == j, to_sigma, to_sigma + root[i][:, j] * root[j][:, i])
    of_rows = -0.5 * ((z**2).sum(axis=1) + d * np.log(2 * np.pi))
    return Told(
        parameters=NormalParameters(model),
        names=normal_names(d, columns),
        params=np.concatenate([mu, sigma[i, j]]),
        positive=np.concatenate([np.zeros(d, bool), i == j]),
        slopes=np.block(
            [[root, np.zeros((d, len(i)))], [np.zeros((len(i), d)), to_sigma]]
        ),
        scores=np.concatenate([z, half * (z[:, i] * z[:, j] - (i == j))], axis=1),
        information=total * np.diag(np.concatenate([np.ones(d), half])),
        redundant=np.zeros((d + len(i), 0)),
        mean_llf=float(np.average(of_rows, weights=w) - np.log(np.diag(root)).sum()),
        held=(),
    )


@partial(jax.jit, static_argnums=0)
def _slopes_of_normal(
    f: Callable[[Any], ArrayLike], model: MultivariateNormal
) -> tuple[Array, Array]:
    i, j = np.tril_indices(model.d)

    def moved(step: Array) -> Array:
        by = jnp.zeros_like(model.L_Sigma).at[i, j].set(step[model.d :])
        # To first order the Cholesky factor of I + ε is I + ε's lower half.
        lower = jnp.tril(by, -1) + 0.5 * jnp.diag(jnp.diagonal(by))
        root = model.L_Sigma + model.L_Sigma @ lower
        mu = model.mu + model.L_Sigma @ step[: model.d]
        return numbers(f(MultivariateNormal(mu, root)))

    here = jnp.zeros(model.d + len(i), model.mu.dtype)
    return moved(here), jax.jacfwd(moved)(here)
