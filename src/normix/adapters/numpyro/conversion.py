"""From a model of normix to a distribution of NumPyro."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array

from normix.adapters.numpyro import positive, univariate, vectors
from normix.adapters.numpyro.base import Distribution, distributions
from normix.distributions.gamma import Gamma
from normix.distributions.generalized_inverse_gaussian import (
    GeneralizedInverseGaussian,
)
from normix.distributions.inverse_gamma import InverseGamma
from normix.distributions.inverse_gaussian import InverseGaussian
from normix.distributions.multivariate_normal import MultivariateNormal
from normix.exponential_family import ExponentialFamily
from normix.mixtures.cholesky import CholeskyDispersion
from normix.mixtures.dispersion import Dispersion
from normix.mixtures.low_rank import FactorDispersion
from normix.mixtures.marginal import MarginalMixture
from normix.mixtures.univariate import UnivariateNormalMixture

_MIXTURES = {
    kind._family.joint: (kind, other)
    for kind, other in (
        (vectors.VarianceGamma, univariate.UnivariateVarianceGamma),
        (vectors.NormalInverseGaussian, univariate.UnivariateNormalInverseGaussian),
        (vectors.NormalInverseGamma, univariate.UnivariateNormalInverseGamma),
        (vectors.GeneralizedHyperbolic, univariate.UnivariateGeneralizedHyperbolic),
    )
}


def from_model(model: MarginalMixture | ExponentialFamily) -> Distribution:
    """The NumPyro distribution of a law of normix, fitted or made.

    - ``model``: a mixture of any family and form, with factors too, which become a full
      dispersion; or one of the positive laws or the normal law, for which NumPyro's own
      classes are taken where it has them. Models that :func:`jax.vmap` made, as a
      bootstrap does, have a batch of the same shape.

    **Returns**: a distribution with the same parameters.

    **Raises**: ``ValueError`` for another object, a joint law too.

    >>> import normix
    >>> from normix.adapters.numpyro import from_model
    >>> law = normix.UnivariateNormalInverseGaussian.from_classical(
    ...     mu=0.0, gamma=0.5, sigma=1.0, mu_ig=1.0, lam=2.0)
    >>> print(from_model(law).variance, law.var())
    1.125 1.125
    """
    if isinstance(model, MarginalMixture):
        return _of_mixture(model)
    if isinstance(model, GeneralizedInverseGaussian):
        return positive.GeneralizedInverseGaussian(model.p, model.a, model.b)
    if isinstance(model, InverseGaussian):
        return positive.InverseGaussian(model.mu, model.lam)
    if isinstance(model, Gamma):
        return distributions.Gamma(model.alpha, model.beta)
    if isinstance(model, InverseGamma):
        return distributions.InverseGamma(model.alpha, model.beta)
    if isinstance(model, MultivariateNormal):
        return distributions.MultivariateNormal(model.mu, scale_tril=model.L_Sigma)
    raise ValueError(
        "model must be a mixture, a positive law or a normal law of normix, got a "
        f"{type(model).__name__}"
    )


def _of_mixture(model: MarginalMixture) -> Distribution:
    joint = model.joint
    of_vectors, of_scalars = _MIXTURES[type(joint)]
    names = type(joint)._mixing_names
    mixing = {name: getattr(joint.subordinator, own) for name, own in names.items()}
    root = _root(joint.dispersion)
    if isinstance(model, UnivariateNormalMixture):
        mu, gamma, scale = joint.mu[..., 0], joint.gamma[..., 0], root[..., 0, 0]
        return of_scalars(mu=mu, gamma=gamma, scale=scale, **mixing)
    return of_vectors(mu=joint.mu, gamma=joint.gamma, scale_tril=root, **mixing)


def _root(dispersion: Dispersion) -> Array:
    """The lower triangular root of Σ; of many, with axes in front."""
    if isinstance(dispersion, CholeskyDispersion):
        return dispersion.L
    assert isinstance(dispersion, FactorDispersion)
    own = dispersion.D[..., None] * jnp.eye(dispersion.D.shape[-1])
    return jnp.linalg.cholesky(dispersion.F @ jnp.swapaxes(dispersion.F, -1, -2) + own)
