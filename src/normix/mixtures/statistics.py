"""The expectations that an E-step collects."""

from __future__ import annotations

import math
from typing import Self

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float


class NormalMixtureEta(eqx.Module):
    r"""Expectation parameters of a joint normal variance-mean mixture.

    With :math:`X = \mu + \gamma Y + \sqrt Y L Z`: the expectations of
    :math:`1/Y, Y, \log Y, X, X/Y, XX^\top/Y`, of shapes ``()``, ``()``, ``()``,
    ``(d,)``, ``(d,)``, ``(d, d)``.
    """

    E_inv_Y: Float[Array, ""]
    E_Y: Float[Array, ""]
    E_log_Y: Float[Array, ""]
    E_X: Float[Array, " d"]
    E_X_inv_Y: Float[Array, " d"]
    E_XXT_inv_Y: Float[Array, "d d"]

    def vector(self) -> Float[Array, " k"]:
        """One vector, in the order of the joint law's sufficient statistics."""
        scalars = jnp.stack([self.E_log_Y, self.E_inv_Y, self.E_Y])
        matrix = self.E_XXT_inv_Y.ravel()
        return jnp.concatenate([scalars, self.E_X, self.E_X_inv_Y, matrix])

    @classmethod
    def from_vector(cls, eta: Float[Array, " k"]) -> Self:
        """The inverse of :meth:`vector`."""
        d = math.isqrt(eta.shape[0] - 2) - 1
        matrix = eta[3 + 2 * d :].reshape(d, d)
        return cls(
            eta[1], eta[2], eta[0], eta[3 : 3 + d], eta[3 + d : 3 + 2 * d], matrix
        )

    def translate(self, shift: Float[Array, " d"]) -> Self:
        """The expectations with ``X + shift`` in place of ``X``."""
        cross = jnp.outer(self.E_X_inv_Y, shift)
        return type(self)(
            self.E_inv_Y,
            self.E_Y,
            self.E_log_Y,
            self.E_X + shift,
            self.E_X_inv_Y + shift * self.E_inv_Y,
            self.E_XXT_inv_Y + cross + cross.T + jnp.outer(shift, shift) * self.E_inv_Y,
        )
