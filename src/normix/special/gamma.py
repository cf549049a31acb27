r"""The Gamma function without its leading terms, and the Gamma family's η → θ."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from normix._inline import fori_loop
from normix.special.bessel import as_floats

_SHIFT = 10
# DLMF 5.11.2: log x - digamma(x) = 1/(2x) + Σ B_{2k}/(2k x^{2k}); at x >= 10 the
# first term left out is below 1e-16.
_BERNOULLI = (
    1 / 12,
    -1 / 120,
    1 / 252,
    -1 / 240,
    1 / 132,
    -691 / 32760,
    1 / 12,
    -3617 / 8160,
)


# DLMF 5.11.1: the rest of log Γ(x) is Σ B_{2k}/(2k (2k-1) x^{2k-1}).
_STIRLING = tuple(c / (2 * k + 1) for k, c in enumerate(_BERNOULLI))


def _in_inverse_squares(x, coefficients):
    """``Σ c_k x^{-2k}``, from ``k = 1``."""
    y = 1 / x
    total = jnp.zeros_like(x)
    for c in reversed(coefficients):
        total = (total + c) * y * y
    return total


def log_minus_digamma(alpha: ArrayLike) -> Float[Array, "..."]:
    """``log α - digamma(α)``, without the cancellation at large ``α > 0``.

    It is twice the Kullback-Leibler price of replacing a Gamma variable by its mean:
    decreasing from infinity at 0 to 0 at infinity. Differentiable to any order.
    """
    (alpha,) = as_floats(alpha)
    shifted = alpha + _SHIFT
    # One array of terms: a graph of a tenth of the size to compile.
    terms = 1 / (alpha[..., None] + jnp.arange(_SHIFT, dtype=alpha.dtype))
    asymptotic = 0.5 / shifted + _in_inverse_squares(shifted, _BERNOULLI)
    return asymptotic - jnp.log1p(_SHIFT / alpha) + terms.sum(axis=-1)


def log_gamma_remainder(alpha: ArrayLike) -> Float[Array, "..."]:
    """``log Γ(α) - (α log α - α)``, without the cancellation at large ``α > 0``.

    About ``log(2π/α)/2``, with slope minus :func:`log_minus_digamma`.
    """
    return _remainder(*as_floats(alpha))


@jax.custom_jvp
def _remainder(alpha):
    x = alpha + _SHIFT
    above = 0.5 * jnp.log(2 * jnp.pi / x) + x * _in_inverse_squares(x, _STIRLING)
    # By Γ(α + 1) = α Γ(α): of the logarithms of the factors, what is left of each.
    steps = jnp.arange(_SHIFT, dtype=alpha.dtype)
    terms = jnp.log1p((_SHIFT - steps) / (alpha[..., None] + steps)).sum(axis=-1)
    return above + (terms + (alpha * jnp.log1p(_SHIFT / alpha) - _SHIFT))


@_remainder.defjvp
def _remainder_jvp(primals, tangents):
    return _remainder(*primals), -log_minus_digamma(*primals) * tangents[0]


@jax.custom_jvp
def _inverse(g):
    # log(h) is nearly linear in log(alpha) (slope between -1 and -1 up to logs):
    # Newton there, from Minka's approximation, gains at least three digits a step.
    alpha = (3 - g + jnp.sqrt((g - 3) ** 2 + 24 * g)) / (12 * g)
    log_alpha = jnp.where(g > 3, -jnp.log(jnp.maximum(g, 1.0)), jnp.log(alpha))

    def step(_, log_alpha):
        alpha = jnp.exp(log_alpha)
        value, slope = jax.jvp(log_minus_digamma, (alpha,), (alpha,))
        return log_alpha - (jnp.log(value) - jnp.log(g)) * value / slope

    return jnp.exp(fori_loop(0, 5, step, log_alpha))


@_inverse.defjvp
def _inverse_jvp(primals, tangents):
    alpha = _inverse(*primals)
    _, slope = jax.jvp(log_minus_digamma, (alpha,), (jnp.ones_like(alpha),))
    return alpha, tangents[0] / slope


def inverse_log_minus_digamma(g: ArrayLike) -> Float[Array, "..."]:
    """The ``α > 0`` with ``log α - digamma(α) = g``; NaN unless ``0 < g < inf``."""
    (g,) = as_floats(g)
    valid = (g > 0) & (g < jnp.inf)
    return jnp.where(valid, _inverse(jnp.where(valid, g, 1.0)), jnp.nan)
