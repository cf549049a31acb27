"""Barndorff-Nielsen's parameters (α, β, δ, μ), with λ and Δ."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from normix._arrays import is_traced
from normix._compile import small
from normix.mixtures.cholesky import CholeskyDispersion
from normix.mixtures.classical import check_scalars
from normix.mixtures.joint import JointNormalMixture
from normix.mixtures.law import Law
from normix.mixtures.marginal import MarginalMixture
from normix.mixtures.univariate import UnivariateNormalMixture
from normix.parametrizations._parts import (
    Parameters,
    built,
    joint_of,
    vectors_of,
)


def to_alpha_beta(model: MarginalMixture) -> Parameters:
    r"""``lam, alpha, beta, delta, mu``, and ``Delta`` of vectors, of a model.

    Those of Barndorff-Nielsen (Proc. R. Soc. A 353, 1977): with :math:`|\Delta| = 1`,

    .. math:: \Sigma = s\Delta, \quad \lambda = p, \quad \delta^2 = s b, \quad
        \beta = \Sigma^{-1}\gamma, \quad
        \alpha^2 = a/s + \beta^\top\Delta\beta.

    ``lam`` is λ, -1/2 of normal inverse Gaussian laws; ``delta`` is 0 of variance gamma
    laws, and α is ``|β|`` of skew t laws. Scalars of a univariate model.

    >>> from normix import UnivariateNormalInverseGaussian
    >>> from normix.parametrizations import to_alpha_beta
    >>> model = UnivariateNormalInverseGaussian.from_classical(
    ...     mu=0.0, gamma=3.0, sigma=4.0, mu_ig=1.0, lam=4.0)
    >>> {name: float(value) for name, value in to_alpha_beta(model).items()}
    {'lam': -0.5, 'alpha': 1.25, 'beta': 0.75, 'delta': 4.0, 'mu': 0.0}
    """
    lam, alpha, beta, delta, mu, unit = _alpha_beta(joint_of(model))
    found = {"lam": lam, "alpha": alpha, "beta": beta, "delta": delta, "mu": mu}
    if not isinstance(model, UnivariateNormalMixture):
        return found | {"Delta": unit}
    return found | {"beta": beta[0], "mu": mu[0]}


def from_alpha_beta(
    *,
    alpha: Float[ArrayLike, ""],
    beta: Float[ArrayLike, "*d"],
    delta: Float[ArrayLike, ""],
    mu: Float[ArrayLike, "*d"],
    Delta: Float[ArrayLike, "d d"] | None = None,
    lam: Float[ArrayLike, ""] = -0.5,
    family: str | None = None,
) -> Any:
    """The model with these parameters; see :func:`to_alpha_beta`.

    Without ``Delta`` and with scalars ``beta`` and ``mu`` it is univariate. ``Delta``
    is scaled to determinant 1.

    **Raises**: ``ValueError`` for shapes that do not fit, ``alpha < |beta|`` (in the
    metric of ``Delta``), a negative ``delta``, and where ``alpha = |beta|`` or
    ``delta = 0`` leaves no law of this ``lam``.

    >>> from normix.parametrizations import from_alpha_beta
    >>> nig = from_alpha_beta(alpha=2.0, beta=0.5, delta=1.0, mu=0.0)
    >>> type(nig).__name__
    'UnivariateNormalInverseGaussian'
    """
    lam, alpha, delta = check_scalars(lam=lam, alpha=alpha, delta=delta)
    beta, mu, root, scalar = vectors_of(beta, mu, Delta, "beta", "Delta")
    a, b, gamma, unit = _from_alpha_beta(alpha, beta, delta, root)
    if not is_traced(a, b):
        if not float(a) >= 0:
            raise ValueError(f"alpha must be at least |beta|, got alpha={alpha}")
        if float(delta) < 0:
            raise ValueError(f"delta must not be negative, got {delta}")
    return built(Law(mu, gamma, unit, jnp.stack([lam, a, b])), scalar, family)


@small()
def _alpha_beta(joint: JointNormalMixture) -> tuple[Array, ...]:
    p, a, b = joint.subordinator.gig_params()
    s = jnp.exp(joint.log_det_sigma() / joint.d)
    beta = joint.dispersion.precision() @ joint.gamma
    skew = joint.dispersion.inner_products(joint.gamma[None], joint.gamma).skew
    alpha, delta = jnp.sqrt((a + skew) / s), jnp.sqrt(s * b)
    return p, alpha, beta, delta, joint.mu, joint.sigma() / s


@small()
def _from_alpha_beta(alpha, beta, delta, root: CholeskyDispersion):
    unit = root.scaled(jnp.exp(-root.log_det() / beta.shape[0]))
    along = unit.L.T @ beta
    length = jnp.sqrt(along @ along)
    # As a product: alpha and |beta| may be close.
    a = (alpha - length) * (alpha + length)
    # To rounding they are equal, as of skew t laws.
    equal = jnp.abs(alpha - length) <= 8 * jnp.finfo(alpha.dtype).eps * alpha
    a = jnp.where(equal, 0.0, a)
    return a, delta * delta, unit.L @ along, unit
