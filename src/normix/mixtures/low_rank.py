"""A dispersion of low rank plus a diagonal: factor mixtures."""

from __future__ import annotations

import dataclasses
from typing import Self

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import cho_solve, solve_triangular
from jaxtyping import Array, Float

from normix.mixtures.constraints import Constraints, Pin
from normix.mixtures.dispersion import Dispersion, InnerProducts, Seen, slope_along
from normix.mixtures.statistics import FactorMixtureStats, MixtureStatistics
from normix.mixtures.sweep import swept


class FactorDispersion(Dispersion):
    r"""``Σ = F Fᵀ + diag(D)``, ``F`` of shape ``(d, r)``, ``D > 0`` of shape ``(d,)``.

    Everything costs O(d r) a row by Woodbury's identity: with
    :math:`M = I + F^\top D^{-1} F`, :math:`\Sigma^{-1} = D^{-1} - D^{-1} F M^{-1}
    F^\top D^{-1}` and :math:`|\Sigma| = |D|\,|M|`.
    """

    F: Float[Array, "d r"]
    D: Float[Array, " d"]

    def __check_init__(self):
        F, D = np.shape(self.F), np.shape(self.D)
        if len(F) < 2 or F[:-1] != D:
            raise ValueError(
                f"FactorDispersion: F must be (d, r) and D (d,), got {F} and {D}"
            )

    @property
    def shape(self):
        return np.shape(self.D)

    @property
    def rank(self):
        return self.F.shape[-1]

    def _gram(self, inverse: Float[Array, " d"]) -> Float[Array, "r r"]:
        """M, with ``inverse`` for ``1/D``."""
        return jnp.eye(self.rank, dtype=self.F.dtype) + (self.F.T * inverse) @ self.F

    def _core(self) -> Float[Array, "r r"]:
        """The lower Cholesky root of M."""
        return jnp.linalg.cholesky(self._gram(1 / self.D))

    def _regression(self) -> Float[Array, "r d"]:
        """``M⁻¹FᵀD⁻¹ = FᵀΣ⁻¹``: from X to the conditional mean of Z."""
        return cho_solve((self._core(), True), (self.F / self.D[:, None]).T)

    def matrix(self):
        return self.F @ self.F.T + jnp.diag(self.D)

    def precision(self):
        half = solve_triangular(self._core(), (self.F / self.D[:, None]).T, lower=True)
        return jnp.diag(1 / self.D) - half.T @ half

    def variances(self):
        return (self.F**2).sum(axis=1) + self.D

    def log_det(self):
        core = jnp.log(jnp.diagonal(self._core())).sum()
        return jnp.log(self.D).sum() + 2 * core

    def inner_products(self, residuals, gamma):
        # zᵀD⁻¹z + (x - Fz)ᵀ... : of x = Fz + e with z = M⁻¹FᵀD⁻¹x, the two squares
        # |z|² + eᵀD⁻¹e add up to xᵀΣ⁻¹x, and nothing cancels.
        inverse = 1 / self.D
        both = jnp.concatenate([residuals, gamma[None, :]])
        factors = both @ self._regression().T
        rest = both - factors @ self.F.T

        def squares(factors, rest):
            return (factors**2).sum(axis=1) + (rest**2) @ inverse

        quadratic = squares(factors, rest)
        cross = factors[:-1] @ factors[-1] + rest[:-1] @ (inverse * rest[-1])
        t = slope_along(cross, quadratic[-1])[:, None]
        across = squares(factors[:-1] - t * factors[-1], rest[:-1] - t * rest[-1])
        return InnerProducts(quadratic[:-1], cross, quadratic[-1], across)

    def seen(self, mask, residuals, gamma):
        inverse = jnp.where(mask, 1 / self.D, 0.0)
        found, log_det = swept(self._gram(inverse), jnp.full(self.rank, True))
        left = -found
        regression = left @ (self.F.T * inverse)
        rows, skew = jnp.where(mask, residuals, 0.0), jnp.where(mask, gamma, 0.0)
        loadings = jnp.where(mask[:, None], 0.0, self.F)
        own = jnp.log(jnp.where(mask, self.D, 1.0)).sum()
        return Seen(
            rows + (rows @ regression.T) @ loadings.T,
            skew + loadings @ (regression @ skew),
            own + log_det,
            left,
        )

    def unseen_variances(self, mask, left):
        of_factors = ((self.F @ left) * self.F).sum(axis=1)
        return jnp.where(mask, 0.0, of_factors + self.D)

    def completed(self, eta, mask, kappa, left, weight):
        assert isinstance(eta, FactorMixtureStats)
        loadings = jnp.where(mask[:, None], 0.0, self.F)
        spread = loadings @ left  # the covariance with Z, that of Z being `left`
        own = self.unseen_variances(mask, left)
        eye = jnp.eye(self.rank, dtype=self.F.dtype)
        whole = cho_solve((self._core(), True), eye)
        return dataclasses.replace(
            eta,
            E_X=eta.E_X + kappa * eta.E_Y,
            E_X_inv_Y=eta.E_X_inv_Y + kappa * weight,
            E_XXT_inv_Y=eta.E_XXT_inv_Y
            + kappa * (2 * eta.E_X + kappa * eta.E_Y)
            + weight * own,
            E_XZT_inv_sqrtY=eta.E_XZT_inv_sqrtY
            + jnp.outer(kappa, eta.E_Z_sqrtY)
            + weight * spread,
            E_ZZT=eta.E_ZZT + weight * (left - whole),
        )

    def scaled(self, s):
        return type(self)(jnp.sqrt(s) * self.F, s * self.D)

    def widened(self, v):
        # A diagonal matrix that is at least vvᵀ, by Cauchy and Schwarz.
        return type(self)(self.F, self.D + v.shape[0] * v**2)

    def at_least(self, cov):
        least = jnp.diagonal(cov)
        return type(self)(self.F, jnp.maximum(self.D, least)), (self.D < least).any()

    def in_units(self, unit):
        return type(self)(unit[:, None] * self.F, unit**2 * self.D)

    def noise(self, key, n):
        k_factor, k_own = jax.random.split(key)
        d, r = self.F.shape
        factors = jax.random.normal(k_factor, (n, r), self.F.dtype)
        own = jax.random.normal(k_own, (n, d), self.F.dtype)
        return factors @ self.F.T + jnp.sqrt(self.D) * own

    def selected(self, indices):
        return type(self)(self.F[indices], self.D[indices])

    def conditional(self, given, rest):
        # Given X_g the factors keep the covariance M_g⁻¹.
        known, other = self.selected(given), self.selected(rest)
        eye = jnp.eye(self.rank, dtype=self.F.dtype)
        half = solve_triangular(known._core(), eye, lower=True)
        left = type(self)(other.F @ half.T, other.D)
        return other.F @ known._regression(), known, left

    def parameters(self):
        return self.F, jnp.sqrt(self.D)

    def flat(self):
        return jnp.concatenate([self.F.ravel(), self.D])

    @classmethod
    def from_flat(cls, vector, d, r):
        return cls(vector[: d * r].reshape(d, r), vector[d * r :])

    @staticmethod
    def stored(d, r):
        return d * r + d

    @staticmethod
    def shapes(d, r):
        return (d,), (d,), (d,), (d, r), (r,), (r,), (r, r)

    def collect(self, X, mu, gamma, means):
        sums, columns = means.common(X)
        regression = self._regression()
        factors = regression @ (X - mu).T  # E[Z sqrt(Y)] without the part of γ
        skew = regression @ gamma
        w = jnp.ones_like(means.y) if means.weights is None else means.weights
        inv_y = means.inv_y * w
        size = w.sum()
        weighted = factors * inv_y
        cross = jnp.outer(factors @ w, skew)
        eye = jnp.eye(self.rank, dtype=self.F.dtype)
        core = cho_solve((self._core(), True), eye)
        return FactorMixtureStats(
            **sums,
            E_XXT_inv_Y=(columns * X.T).sum(axis=1),
            E_XZT_inv_sqrtY=X.T @ weighted.T - jnp.outer(sums["E_X"], skew),
            E_Z_inv_sqrtY=weighted.sum(axis=1) - size * skew,
            E_Z_sqrtY=factors @ w - skew * sums["E_Y"],
            E_ZZT=size * core
            + weighted @ factors.T
            - (cross + cross.T)
            + sums["E_Y"] * jnp.outer(skew, skew),
        )

    def expectations(self, mu, gamma, means):
        second = self.variances() + mu**2 * means.inv_y
        second = second + gamma**2 * means.y + 2 * mu * gamma
        zero = jnp.zeros(self.rank, self.F.dtype)
        return FactorMixtureStats(
            **means.common_of_model(mu, gamma),
            E_XXT_inv_Y=second,
            E_XZT_inv_sqrtY=self.F,
            E_Z_inv_sqrtY=zero,
            E_Z_sqrtY=zero,
            E_ZZT=jnp.eye(self.rank, dtype=self.F.dtype),
        )

    def gradient(self, eta, mu, gamma):
        assert isinstance(eta, FactorMixtureStats)
        # Of X/√Y on (1/√Y, √Y, Z): squares of what the coefficients leave.
        gram, target = _regression_of(eta)
        coefficients = jnp.concatenate([mu[:, None], gamma[:, None], self.F], axis=1)
        fitted = coefficients @ gram
        squares = eta.E_XXT_inv_Y + ((fitted - 2 * target) * coefficients).sum(axis=1)
        slopes = (target - fitted) / self.D[:, None]
        own = 0.5 * (squares / self.D - 1) / self.D
        return slopes[:, 0], slopes[:, 1], type(self)(slopes[:, 2:], own)

    @classmethod
    def maximised(
        cls,
        eta: MixtureStatistics,
        constraints: Constraints,
        pin: Pin | None = None,
    ) -> tuple[Float[Array, " d"], Float[Array, " d"], Self]:
        if pin is not None:
            free = cls.maximised(eta, constraints)
            there = cls.maximised(eta, pin.held(constraints))
            return jax.tree.map(lambda x, y: jnp.where(pin.stay, x, y), there, free)
        # Least squares of X/√Y on (1/√Y, √Y, Z), column by column.
        assert isinstance(eta, FactorMixtureStats)
        gram, target = _regression_of(eta)
        given = {} if constraints.mu is None else {0: constraints.mu}
        if constraints.symmetric:
            given[1] = jnp.zeros_like(eta.E_X)
        free = jnp.array([k for k in range(gram.shape[0]) if k not in given])
        moved = target - sum(
            (jnp.outer(value, gram[k]) for k, value in given.items()),
            start=jnp.zeros_like(target),
        )
        # In units in which the Gram matrix has a diagonal of ones.
        unit = 1 / jnp.sqrt(jnp.diagonal(gram))[free]
        matrix = gram[free][:, free] * jnp.outer(unit, unit)
        solved = jnp.linalg.solve(matrix, (moved[:, free] * unit).T).T * unit
        coefficients = jnp.zeros_like(target).at[:, free].set(solved)
        for k, value in given.items():
            coefficients = coefficients.at[:, k].set(value)
        fitted = coefficients @ gram
        residual = ((2 * target - fitted) * coefficients).sum(axis=1)
        own = eta.E_XXT_inv_Y - residual
        return (
            coefficients[:, 0],
            coefficients[:, 1],
            cls(coefficients[:, 2:], jnp.where(own > 0, own, jnp.nan)),
        )

    def coordinates(self, delta):
        return jnp.concatenate([delta, jnp.log(self.D), self.F.ravel()])

    def at(self, coordinates):
        d = self.D.shape[0]
        delta, log_own, loadings = jnp.split(coordinates, [d, 2 * d])
        return delta, type(self)(loadings.reshape(self.F.shape), jnp.exp(log_own))

    def pulled_back(self, delta, by_delta, slopes):
        return jnp.concatenate([by_delta, self.D * slopes.D, slopes.F.ravel()])

    def apart(self, coordinates, most):
        delta, at = self.at(coordinates)
        s = at.inner_products(delta[None, :], delta).skew
        # (Σ + λδδᵀ)⁻¹ makes s/(1 + λs) of it.
        lacking = 1 / most - 1 / s
        thin = lacking > 0
        wider = at.widened(jnp.sqrt(jnp.where(thin, lacking, 0.0)) * delta)
        return jnp.where(thin, wider.coordinates(delta), coordinates)


def _regression_of(
    eta: FactorMixtureStats,
) -> tuple[Float[Array, "k k"], Float[Array, "d k"]]:
    """Of X/√Y on (1/√Y, √Y, Z): the expected products of these, and with X/√Y."""
    one = jnp.ones_like(eta.E_Y)
    head = jnp.array([[eta.E_inv_Y, one], [one, eta.E_Y]])
    side = jnp.stack([eta.E_Z_inv_sqrtY, eta.E_Z_sqrtY])
    gram = jnp.block([[head, side], [side.T, eta.E_ZZT]])
    columns = eta.E_X_inv_Y[:, None], eta.E_X[:, None], eta.E_XZT_inv_sqrtY
    return gram, jnp.concatenate(columns, axis=1)


def turns_of(F: Float[Array, "d r"]) -> Float[Array, "m k"]:
    """Directions in which loadings turn, ``F K`` with an antisymmetric K, as rows."""
    r = F.shape[1]
    every = np.eye(r)
    turns = [np.outer(every[i], every[j]) for i in range(r) for j in range(i)]
    if not turns:
        return jnp.zeros((0, F.size), F.dtype)
    return jnp.stack([(F @ (K - K.T).astype(F.dtype)).ravel() for K in turns])
