"""Entropies of a law, from the integrals of its density to a power."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from normix._compile import of_few

if TYPE_CHECKING:
    from normix.exponential_family import ExponentialFamily

# Rényi entropies of orders this near to 1 are integrals over the order.
_NEAR_ONE = 0.01
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(8)
_NODES, _WEIGHTS = 0.5 * (1 + _NODES), 0.5 * _WEIGHTS  # on [0, 1]


def _power_slope(model: ExponentialFamily, alpha: Array) -> Array:
    """The slope of ``log ∫ p^alpha`` in alpha."""
    return jax.jvp(model._log_power, (alpha,), (jnp.ones_like(alpha),))[1]


def _at_one(model: ExponentialFamily) -> Array:
    return jnp.ones((), jax.tree.leaves(model)[0].dtype)


@of_few()
def entropy(model: ExponentialFamily) -> Array:
    return -_power_slope(model, _at_one(model))


@of_few()
def varentropy(model: ExponentialFamily) -> Array:
    one = _at_one(model)
    return jax.jvp(lambda alpha: _power_slope(model, alpha), (one,), (one,))[1]


@of_few()
def log_density_power(model: ExponentialFamily, alpha: Array) -> Array:
    return model._log_power(alpha)


@of_few()
def renyi(model: ExponentialFamily, alpha: Array) -> Array:
    excess = alpha - 1
    near = jnp.abs(excess) < _NEAR_ONE
    # The mean slope between 1 and alpha, where the quotient loses digits.
    at = 1 + jnp.where(near, excess, 0.0) * jnp.asarray(_NODES, alpha.dtype)
    slopes = jax.vmap(lambda s: _power_slope(model, s))(at)
    far = jnp.where(near, 2.0, alpha)
    quotient = model._log_power(far) / (far - 1)
    mean = jnp.asarray(_WEIGHTS, alpha.dtype) @ slopes
    return -jnp.where(near, mean, quotient)
