"""The dispersion Σ of a normal variance-mean mixture, by its Cholesky factor."""

from __future__ import annotations

from typing import Self

import equinox as eqx
import jax.numpy as jnp
from jax.scipy.linalg import solve_triangular
from jaxtyping import Array, Float


class CholeskyDispersion(eqx.Module):
    """A full dispersion ``Σ = L Lᵀ``; ``L`` is lower triangular, shape ``(d, d)``."""

    L: Float[Array, "d d"]

    @classmethod
    def from_matrix(cls, sigma: Float[Array, "d d"]) -> Self:
        """From Σ; the factor is NaN where Σ is not positive definite."""
        return cls(jnp.linalg.cholesky(0.5 * (sigma + sigma.T)))

    def matrix(self) -> Float[Array, "d d"]:
        """Σ itself."""
        return self.L @ self.L.T

    def variances(self) -> Float[Array, " d"]:
        """The diagonal of Σ."""
        return (self.L**2).sum(axis=1)

    def log_det(self) -> Float[Array, ""]:
        """``log |Σ|``."""
        return 2 * jnp.log(jnp.diagonal(self.L)).sum()

    def inner_products(
        self, residuals: Float[Array, "n d"], gamma: Float[Array, " d"]
    ) -> tuple[Float[Array, " n"], Float[Array, " n"], Float[Array, ""]]:
        """``rᵀΣ⁻¹r`` and ``rᵀΣ⁻¹γ`` of every row ``r``, and ``γᵀΣ⁻¹γ``."""
        # One small inverse, then a product over the rows, which is several times
        # faster than a triangular solve with n right-hand sides.
        eye = jnp.eye(self.L.shape[0], dtype=self.L.dtype)
        whitener = solve_triangular(self.L, eye, lower=True)
        white = whitener @ residuals.T
        skew = whitener @ gamma
        return (white * white).sum(axis=0), skew @ white, skew @ skew

    def scaled(self, s: Float[Array, ""]) -> Self:
        """The dispersion ``s Σ``."""
        return type(self)(jnp.sqrt(s) * self.L)

    def apply_root(self, noise: Float[Array, "n d"]) -> Float[Array, "n d"]:
        """``L z`` for every row ``z``."""
        return noise @ self.L.T
