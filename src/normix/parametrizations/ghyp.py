"""The parameters of R's ghyp, and of McNeil, Frey and Embrechts."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from normix._arrays import as_float, is_traced
from normix._compile import small
from normix.distributions import GeneralizedInverseGaussian
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


def to_chi_psi(model: MarginalMixture) -> Parameters:
    r"""``lam, chi, psi, mu, sigma, gamma`` of a model, as it is.

    Those of McNeil, Frey & Embrechts (Quantitative Risk Management, 2015, §6.2), and of
    ``ghyp(lambda, chi, psi, mu, sigma, gamma)`` in R: :math:`\lambda = p`,
    :math:`\chi = b`, :math:`\psi = a`. ``sigma`` is Σ of vectors, and of a univariate
    model its root σ, a standard deviation given Y = 1.
    """
    lam, chi, psi, mu, sigma, gamma = _chi_psi(model, 1.0)
    return {
        "lam": lam,
        "chi": chi,
        "psi": psi,
        "mu": mu,
        "sigma": sigma,
        "gamma": gamma,
    }


def from_chi_psi(
    *,
    lam: Float[ArrayLike, ""],
    chi: Float[ArrayLike, ""],
    psi: Float[ArrayLike, ""],
    mu: Float[ArrayLike, "*d"],
    sigma: Float[ArrayLike, "*d_d"],
    gamma: Float[ArrayLike, "*d"],
    family: str | None = None,
) -> Any:
    """The model with these parameters; see :func:`to_chi_psi`.

    **Raises**: ``ValueError`` for shapes that do not fit, a ``sigma`` that is not
    positive, negative ``chi`` or ``psi``, and where one that is 0 leaves no law of this
    ``lam``.
    """
    lam, chi, psi = check_scalars(lam=lam, chi=chi, psi=psi)
    gamma, mu, root, scalar = vectors_of(gamma, mu, sigma, "gamma", "sigma")
    return built(Law(mu, gamma, root, jnp.stack([lam, psi, chi])), scalar, family)


def to_alpha_bar(model: MarginalMixture) -> Parameters:
    r"""``lam, alpha_bar, mu, sigma, gamma`` of a model, in the unit where E[Y] = 1.

    The parameters that ghyp's fits report: :math:`\bar\alpha = \sqrt{ab}`, 0 of
    variance gamma and skew t laws. ``sigma`` is as of :func:`to_chi_psi`.

    **Raises**: ``ValueError`` for a skew t law whose ``E[Y]`` is infinite.
    """
    mean = joint_of(model).subordinator.mean()
    if not is_traced(mean) and not np.isfinite(float(mean)):
        raise ValueError("alpha_bar needs a finite E[Y]; see to_chi_psi")
    lam, chi, psi, mu, sigma, gamma = _chi_psi(model, 1 / mean)
    bar = jnp.sqrt(chi) * jnp.sqrt(psi)
    return {"lam": lam, "alpha_bar": bar, "mu": mu, "sigma": sigma, "gamma": gamma}


def from_alpha_bar(
    *,
    lam: Float[ArrayLike, ""],
    alpha_bar: Float[ArrayLike, ""],
    mu: Float[ArrayLike, "*d"],
    sigma: Float[ArrayLike, "*d_d"],
    gamma: Float[ArrayLike, "*d"],
    family: str | None = None,
) -> Any:
    """The model with these parameters; see :func:`to_alpha_bar`.

    **Raises**: ``ValueError`` for shapes that do not fit, a negative ``alpha_bar``, and
    one of 0 unless ``lam > 0`` (variance gamma) or ``lam < -1`` (skew t).

    >>> from normix.parametrizations import from_alpha_bar
    >>> model = from_alpha_bar(lam=2.0, alpha_bar=0.0, mu=0.0, sigma=1.0, gamma=0.0)
    >>> type(model).__name__, float(model.var())
    ('UnivariateVarianceGamma', 1.0)
    """
    lam, alpha_bar = check_scalars(lam=lam, alpha_bar=alpha_bar)
    gamma, mu, root, scalar = vectors_of(gamma, mu, sigma, "gamma", "sigma")
    if is_traced(lam, alpha_bar) or float(alpha_bar) > 0:
        ratio = GeneralizedInverseGaussian(p=lam, a=alpha_bar, b=alpha_bar).mean()
        a, b = alpha_bar * ratio, alpha_bar / ratio
    else:
        order = float(lam)
        if float(alpha_bar) < 0 or -1 <= order <= 0:
            raise ValueError(
                "alpha_bar must be positive, or 0 with lam > 0 or lam < -1; got "
                f"alpha_bar={alpha_bar}, lam={lam}"
            )
        a, b = as_float(max(2 * order, 0.0)), as_float(max(-2 * (order + 1), 0.0))
    return built(Law(mu, gamma, root, jnp.stack([lam, a, b])), scalar, family)


def _chi_psi(model: MarginalMixture, unit: Array | float) -> tuple[Array, ...]:
    """λ, χ, ψ, μ, Σ or σ, and γ, of ``unit * Y``."""
    p, chi, psi, mu, sigma, gamma = _of_joint(joint_of(model), as_float(unit))
    if isinstance(model, UnivariateNormalMixture):
        return p, chi, psi, mu[0], jnp.sqrt(sigma[0, 0]), gamma[0]
    return p, chi, psi, mu, sigma, gamma


@small()
def _of_joint(joint: JointNormalMixture, unit: Array) -> tuple[Array, ...]:
    law = joint.rescaled(unit)
    p, a, b = law.subordinator.gig_params()
    return p, b, a, law.mu, law.sigma(), law.gamma
