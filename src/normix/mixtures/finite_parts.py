"""What finite mixtures check, and what they compute of their components' values."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from normix._arrays import is_traced
from normix._compile import small
from normix.mixtures.families import Family
from normix.mixtures.marginal import MarginalMixture

# By how much weights may miss a sum of 1.
_OFF = 1e-6


def form_of(family: Family, axes: int, factors: int) -> Any:
    """The class of a component."""
    if axes == 1:
        if factors:
            raise ValueError("data of one variable have no factors")
        return family.univariate
    return family.factor if factors else family.full


def check_components(components: tuple[Any, ...]) -> None:
    if not components:
        raise ValueError("a finite mixture needs a component")
    for one in components:
        if not isinstance(one, MarginalMixture):
            raise ValueError(
                "components must be mixtures such as NormalInverseGaussian, got a "
                f"{type(one).__name__}"
            )
    kinds = {(one._axes, one.joint.mu.shape[-1]) for one in components}
    if len(kinds) > 1:
        told = ", ".join(
            f"{type(one).__name__} in {one.joint.mu.shape[-1]}" for one in components
        )
        raise ValueError(
            "components must be of the same number of dimensions, all of vectors or "
            f"all univariate, got {told}"
        )


def check_weights(weights: Any, k: int) -> None:
    if not hasattr(weights, "shape"):  # as JAX rebuilds a pytree with other leaves
        return
    if weights.shape[-1:] != (k,):
        raise ValueError(f"weights must have shape ({k},), got {weights.shape}")
    if is_traced(weights):
        return
    here = np.asarray(weights)
    if not ((here >= 0).all() and (abs(here.sum(axis=-1) - 1) <= _OFF).all()):
        raise ValueError(f"weights must be probabilities of sum 1, got {here.tolist()}")


@small()
def mixed(each: Array, weights: Array) -> Array:
    """Of log-densities with the components along the last axis."""
    return jax.scipy.special.logsumexp(each, axis=-1, b=weights)


@small()
def shares_of(each: Float[Array, "n k"], weights: Array) -> Array:
    return jax.nn.softmax(each + jnp.log(weights), axis=1)


@small()
def chosen_by(key: Array, weights: Array, each: list[Array]) -> tuple[Array, Array]:
    n = each[0].shape[0]
    labels = jax.random.categorical(key, jnp.log(weights), shape=(n,))
    return jnp.stack(each, axis=1)[jnp.arange(n), labels], labels
