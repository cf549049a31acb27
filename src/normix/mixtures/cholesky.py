"""The full dispersion of a mixture: a triangular root."""

from __future__ import annotations

import dataclasses
import math
from functools import cache
from typing import Self

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import cho_solve, solve_triangular
from jaxtyping import Array, Float

from normix.mixtures.constraints import location_and_skewness
from normix.mixtures.dispersion import Dispersion, InnerProducts, Seen, slope_along
from normix.mixtures.statistics import MixtureStatistics, NormalMixtureEta
from normix.mixtures.sweep import swept


class CholeskyDispersion(Dispersion):
    """A full dispersion ``Σ = L Lᵀ``; ``L`` is lower triangular, shape ``(d, d)``."""

    L: Float[Array, "d d"]

    def __check_init__(self):
        shape = np.shape(self.L)
        if len(shape) < 2 or shape[-1] != shape[-2]:
            raise ValueError(f"CholeskyDispersion: L must be (d, d), got {shape}")

    @property
    def shape(self):
        return np.shape(self.L)[:-1]

    @classmethod
    def from_matrix(cls, sigma: Float[Array, "d d"]) -> Self:
        """From Σ; the factor is NaN where Σ is not positive definite."""
        return cls(jnp.linalg.cholesky(0.5 * (sigma + sigma.T)))

    @property
    def rank(self):
        return 0

    def matrix(self):
        return self.L @ self.L.T

    def precision(self):
        return cho_solve((self.L, True), jnp.eye(self.L.shape[0], dtype=self.L.dtype))

    def variances(self):
        return (self.L**2).sum(axis=1)

    def log_det(self):
        return 2 * jnp.log(jnp.diagonal(self.L)).sum()

    def inner_products(self, residuals, gamma):
        # One small inverse, then a product over the rows, which is several times
        # faster than a triangular solve with n right-hand sides.
        eye = jnp.eye(self.L.shape[0], dtype=self.L.dtype)
        whitener = solve_triangular(self.L, eye, lower=True)
        white = whitener @ residuals.T
        skew = whitener @ gamma
        cross, size = skew @ white, skew @ skew
        across = white - skew[:, None] * slope_along(cross, size)
        if len(skew) == 1:  # nothing is across γ, not even rounding
            across = jnp.where(size > 0, 0.0, white)
        # As products with ones: of a sum down long columns XLA makes a loop that is
        # several times slower.
        ones = jnp.ones_like(skew)
        squares = ones @ (white * white), ones @ (across * across)
        return InnerProducts(squares[0], cross, size, squares[1])

    def seen(self, mask, residuals, gamma):
        found, log_det = swept(self.matrix(), mask)
        slope = jnp.where(~mask[:, None] & mask, found, 0.0)
        rows, skew = jnp.where(mask, residuals, 0.0), jnp.where(mask, gamma, 0.0)
        left = jnp.where(~mask[:, None] & ~mask, found, 0.0)
        return Seen(rows + rows @ slope.T, skew + slope @ skew, log_det, left)

    def unseen_variances(self, mask, left):
        return jnp.maximum(jnp.diagonal(left), 0.0)

    def completed(self, eta, mask, kappa, left, weight):
        cross = jnp.outer(eta.E_X, kappa)
        second = cross + cross.T + eta.E_Y * jnp.outer(kappa, kappa) + weight * left
        return dataclasses.replace(
            eta,
            E_X=eta.E_X + kappa * eta.E_Y,
            E_X_inv_Y=eta.E_X_inv_Y + kappa * weight,
            E_XXT_inv_Y=eta.E_XXT_inv_Y + second,
        )

    def scaled(self, s):
        return type(self)(jnp.sqrt(s) * self.L)

    def widened(self, v):
        return self.from_matrix(self.matrix() + jnp.outer(v, v))

    def at_least(self, cov):
        # In the metric of cov: -log|Σ| - tr(Σ⁻¹S) is a sum over eigenvalues there.
        root = jnp.linalg.cholesky(cov)
        inner = solve_triangular(root, self.L, lower=True)
        turns, sizes, _ = jnp.linalg.svd(inner, full_matrices=False)
        wider = _lower_root(root @ (turns * jnp.maximum(sizes, 1.0)))
        narrow = (sizes < 1).any()
        return type(self)(jnp.where(narrow, wider, self.L)), narrow

    def in_units(self, unit):
        return type(self)(unit[:, None] * self.L)

    def noise(self, key, n):
        return jax.random.normal(key, (n, self.L.shape[0]), self.L.dtype) @ self.L.T

    def selected(self, indices):
        # A QR factorisation of the rows keeps the digits that Σ itself would lose.
        return type(self)(_lower_root(self.L[indices]))

    def conditional(self, given, rest):
        order = jnp.concatenate([given, rest])
        root, m = _lower_root(self.L[order]), given.shape[0]
        corner = root[:m, :m]
        slope = solve_triangular(corner, root[m:, :m].T, lower=True, trans=1).T
        return slope, type(self)(corner), type(self)(root[m:, m:])

    def parameters(self):
        return (self.L,)

    def flat(self):
        return self.L.ravel()

    @classmethod
    def from_flat(cls, vector, d, r):
        return cls(vector.reshape(d, d))

    @staticmethod
    def stored(d, r):
        return d * d

    @staticmethod
    def shapes(d, r):
        return (d,), (d,), (d, d)

    def collect(self, X, mu, gamma, means):
        sums, weighted = means.common(X)
        return NormalMixtureEta(**sums, E_XXT_inv_Y=weighted @ X)

    def expectations(self, mu, gamma, means):
        cross = jnp.outer(mu, gamma)
        second = (
            self.matrix()
            + jnp.outer(mu, mu) * means.inv_y
            + jnp.outer(gamma, gamma) * means.y
        )
        return NormalMixtureEta(
            **means.common_of_model(mu, gamma), E_XXT_inv_Y=second + cross + cross.T
        )

    @classmethod
    def maximised(cls, eta, constraints, pin=None):
        mu, gamma = location_and_skewness(eta, constraints, pin)
        return mu, gamma, cls.from_matrix(_residual_scatter(eta, mu, gamma))

    def gradient(self, eta, mu, gamma):
        eye = jnp.eye(self.L.shape[0], dtype=self.L.dtype)
        whitener = solve_triangular(self.L, eye, lower=True)
        by_mu = eta.E_X_inv_Y - eta.E_inv_Y * mu - gamma
        by_gamma = eta.E_X - mu - eta.E_Y * gamma
        white = whitener @ jnp.stack([by_mu, by_gamma], axis=1)
        scatter = whitener @ _residual_scatter(eta, mu, gamma) @ whitener.T
        root = whitener.T @ (scatter - eye)
        steps = whitener.T @ white
        return steps[:, 0], steps[:, 1], type(self)(root)

    # Of the whole ``Σ + δδᵀ = R Rᵀ`` the root, and of ``ρ = R⁻¹δ``, which is shorter
    # than 1, ``u = ρ artanh|ρ|/|ρ|``. ``|u| = arsinh √(δᵀΣ⁻¹δ)``.

    def coordinates(self, delta):
        d = self.L.shape[0]
        whole = self.widened(delta).L
        white = solve_triangular(self.L, delta, lower=True)
        rho = solve_triangular(whole, delta, lower=True)
        size, s = rho @ rho, white @ white
        length = jnp.arcsinh(jnp.sqrt(s)) / jnp.sqrt(jnp.where(size > 0, size, 1.0))
        places, _ = _triangle(d)
        entries = jnp.take(whole.ravel(), places, mode="clip")
        return jnp.concatenate([length * rho, jnp.log(entries[:d]), entries[d:]])

    def at(self, coordinates):
        d = self.L.shape[0]
        u, logs, below = coordinates[:d], coordinates[d : 2 * d], coordinates[2 * d :]
        square = u @ u
        length = jnp.sqrt(jnp.where(square > 0, square, 1.0))
        rho = jnp.where(square > 0, jnp.tanh(length) / length, 1.0) * u
        _, sources = _triangle(d)
        entries = [jnp.exp(logs), below, jnp.zeros_like(logs[:1])]
        flat = jnp.take(jnp.concatenate(entries), sources, mode="clip")
        whole = flat.reshape(d, d)
        # The root of 1 - ρρᵀ in closed form, from 1 - ρ₁² - ... - ρₖ², of which the
        # last is 1/cosh²|u|: sums, so that nothing cancels.
        left = jnp.where(square > 0, 1 / jnp.cosh(length) ** 2, 1.0)
        before = left + jnp.cumsum(rho[::-1] ** 2)[::-1]
        after = jnp.append(before[1:], left)
        root = jnp.diag(jnp.sqrt(after / before))
        root = root - jnp.tril(jnp.outer(rho, rho / jnp.sqrt(before * after)), -1)
        return whole @ rho, type(self)(whole @ root)

    def pulled_back(self, delta, by_delta, slopes):
        # L = R T with T Tᵀ = 1 - ρρᵀ: B, the slopes by L, make B Tᵀ of those by R, and
        # -Rᵀ B L⁻¹δ of those by ρ.
        d, whole = self.L.shape[0], self.widened(delta).L
        white = solve_triangular(self.L, delta, lower=True)
        asked = jnp.concatenate([delta[:, None], self.L], axis=1)
        rho, turned = jnp.split(solve_triangular(whole, asked, lower=True), [1], axis=1)
        by_whole = slopes.L @ turned.T + by_delta[:, None] * rho.T
        by_rho, rho, s = (
            whole.T @ (by_delta - slopes.L @ white),
            rho[:, 0],
            white @ white,
        )
        # ρ = tanh|u| u/|u|, with s = sinh²|u|.
        size, length = s / (1 + s), jnp.arcsinh(jnp.sqrt(jnp.where(s > 0, s, 1.0)))
        ratio = jnp.where(s > 0, jnp.sqrt(size) / length, 1.0)
        size = jnp.where(s > 0, size, 1.0)
        by_u = ratio * by_rho + (rho @ by_rho / size) * (1 / (1 + s) - ratio) * rho
        places, _ = _triangle(d)
        entries = jnp.take(by_whole.ravel(), places, mode="clip")
        by_logs = jnp.diagonal(whole) * entries[:d]
        return jnp.concatenate([by_u, by_logs, entries[d:]])

    def apart(self, coordinates, most):
        u = coordinates[: self.L.shape[0]]
        length = jnp.sqrt(u @ u)
        longest = jnp.asarray(math.asinh(math.sqrt(most)), u.dtype)
        u = jnp.where(length > longest, u * (longest / length), u)
        return jnp.concatenate([u, coordinates[self.L.shape[0] :]])


def _residual_scatter(eta: MixtureStatistics, mu, gamma) -> Float[Array, "d d"]:
    """``E (X - μ - γY)(X - μ - γY)ᵀ/Y``, whether or not μ and γ are their best."""
    cross = jnp.outer(eta.E_X_inv_Y, mu) + jnp.outer(eta.E_X, gamma)
    skew = jnp.outer(mu, gamma)
    scatter = eta.E_XXT_inv_Y - (cross + cross.T)
    scatter = scatter + eta.E_inv_Y * jnp.outer(mu, mu) + skew + skew.T
    return scatter + eta.E_Y * jnp.outer(gamma, gamma)


@cache
def _triangle(d: int) -> tuple[np.ndarray, np.ndarray]:
    """Where in a flat matrix its diagonal and what is below lie; and the inverse.

    The inverse sends what is above the diagonal to one place more, for a 0.
    """
    row, column = np.tril_indices(d, -1)
    places = np.concatenate([np.arange(d) * (d + 1), row * d + column])
    sources = np.full(d * d, len(places))
    sources[places] = np.arange(len(places))
    return places, sources


def _lower_root(rows: Float[Array, "m d"]) -> Float[Array, "m m"]:
    """The lower triangular root, with a positive diagonal, of ``rows rowsᵀ``."""
    upper = jnp.linalg.qr(rows.T, mode="r")
    signs = jnp.where(jnp.diagonal(upper) < 0, -1.0, 1.0).astype(rows.dtype)
    return (signs[:, None] * upper).T
