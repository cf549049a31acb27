"""Expectations to shrink towards: those of a model, with its dispersion replaced."""

from __future__ import annotations

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import ArrayLike, Float

from normix._arrays import as_float, check_positive
from normix.mixtures.cholesky import CholeskyDispersion
from normix.mixtures.classical import full_dispersion
from normix.mixtures.dispersion import Dispersion
from normix.mixtures.low_rank import FactorDispersion
from normix.mixtures.marginal import MarginalMixture
from normix.mixtures.statistics import MixtureStatistics


def eta0_from_model(model: MarginalMixture) -> MixtureStatistics:
    """The expectations of the model itself.

    >>> import normix
    >>> model = normix.UnivariateNormalInverseGaussian.from_classical(
    ...     mu=0.0, gamma=0.0, sigma=1.0, mu_ig=1.0, lam=2.0)
    >>> round(float(normix.eta0_from_model(model).E_Y), 6)
    1.0
    """
    return model.compute_eta_from_model()


def eta0_isotropic(
    model: MarginalMixture, sigma2: Float[ArrayLike, ""] = 1.0
) -> MixtureStatistics:
    """The expectations of the model with the dispersion ``Σ = sigma2 I``.

    **Raises**: ``ValueError`` for a ``sigma2`` that is not a positive scalar.
    """
    sigma2 = as_float(sigma2)
    if sigma2.ndim:
        raise ValueError(f"sigma2 must be a scalar, got shape {sigma2.shape}")
    check_positive("eta0_isotropic", sigma2=sigma2)
    return eta0_diagonal(model, jnp.broadcast_to(sigma2, (model.d,)))


def eta0_diagonal(
    model: MarginalMixture, diag: Float[ArrayLike, " d"]
) -> MixtureStatistics:
    """The expectations of the model with the dispersion ``Σ = diag(diag)``.

    **Raises**: ``ValueError`` for another shape or an entry that is not positive.
    """
    diag = jnp.atleast_1d(as_float(diag))
    if diag.shape != (model.d,):
        raise ValueError(f"diag must have shape ({model.d},), got {diag.shape}")
    check_positive("eta0_diagonal", diag=diag)
    own = model.joint.dispersion
    if isinstance(own, FactorDispersion):
        return _with_dispersion(model, FactorDispersion(jnp.zeros_like(own.F), diag))
    return _with_dispersion(model, CholeskyDispersion(jnp.diag(jnp.sqrt(diag))))


def eta0_with_sigma(
    model: MarginalMixture, Sigma0: Float[ArrayLike, "d d"]
) -> MixtureStatistics:
    """The expectations of the model with the dispersion ``Sigma0``.

    A scalar for a univariate model.

    **Raises**: ``ValueError`` for another shape, a matrix that is not positive
    definite, or a factor model: a matrix has no F and D of its own.
    """
    sigma = as_float(Sigma0)
    full = full_dispersion(sigma.reshape(1, 1) if sigma.ndim == 0 else sigma, model.d)
    if isinstance(model.joint.dispersion, FactorDispersion):
        raise ValueError(
            "eta0_with_sigma needs a model with a full dispersion; for a factor model "
            "use eta0_diagonal, or eta0_from_model(model.replace(F=..., D=...))"
        )
    return _with_dispersion(model, full)


def _with_dispersion(model: MarginalMixture, dispersion: Dispersion):
    joint = eqx.tree_at(lambda joint: joint.dispersion, model.joint, dispersion)
    return joint.expectations()
