"""Densities and moments of one law at arrays of any length, for adapters."""

from __future__ import annotations

import math

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.special import expit, log_expit

from normix._compile import grid, of_each
from normix.mixtures.cholesky import CholeskyDispersion
from normix.mixtures.law import Frame
from normix.mixtures.posterior import log_density_of_rows

# A law of one variable as a vector: μ, γ, the root of Σ, and p, a, b of Y.
OF_ONE = Frame(CholeskyDispersion, 1, 0)
# Beyond, weights and what lies nearer to an end than a node are below rounding.
_T = np.linspace(-4.0, 4.0, grid(256))


@of_each(rank=1)
def _log_densities(vector: Array | np.ndarray, z: Array | np.ndarray) -> Array:
    law = OF_ONE.unpack(jnp.asarray(vector))
    return log_density_of_rows(law, jnp.asarray(z)[:, None])


def log_density(vector: np.ndarray, z: np.ndarray) -> Float[np.ndarray, " n"]:
    return np.asarray(_log_densities(vector, z))


def moment_by_quadrature(vector: np.ndarray, order: int, z: float) -> float:
    """``E[X^order; X <= z]`` of a law of mean 0, where it is finite.

    By the double exponential rule (Takahasi & Mori, Publ. RIMS 9, 1974), in pieces that
    meet at the peak, μ, and at 0.
    """
    if z == -math.inf:
        return 0.0
    ends = [-math.inf, *sorted({min(float(vector[0]), z), min(0.0, z), z})]
    total = 0.0
    for low, high in zip(ends, ends[1:], strict=False):
        x, log_weight = _nodes(low, high)
        with np.errstate(divide="ignore"):  # at 0
            log_size = np.log(np.abs(x))
        size = order * log_size + log_density(vector, x) + log_weight
        total += float(np.sum(np.sign(x) ** order * np.exp(size)))
    return total


def _nodes(low: float, high: float) -> tuple[np.ndarray, np.ndarray]:
    """Of the rule between two ends, of which one may be infinite."""
    log_step = np.log(0.5 * np.pi * np.cosh(_T)) + math.log(_T[1] - _T[0])
    u = 0.5 * np.pi * np.sinh(_T)
    if math.isinf(low):
        return high - np.exp(u), u + log_step
    if math.isinf(high):
        return low + np.exp(u), u + log_step
    width = high - low
    share = log_expit(2 * u) + log_expit(-2 * u) + math.log(2 * width)
    return low + width * expit(2 * u), share + log_step
