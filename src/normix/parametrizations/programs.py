"""The parameters of SciPy and of TensorFlow Probability."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jaxtyping import ArrayLike, Float

from normix._arrays import check_positive, is_traced
from normix.distributions import GeneralizedInverseGaussian
from normix.distributions.positive import PositiveFamily
from normix.mixtures.classical import check_scalars
from normix.mixtures.univariate import UnivariateNormalMixture
from normix.parametrizations._parts import (
    Parameters,
    of_half,
)
from normix.parametrizations.alpha_beta import from_alpha_beta, to_alpha_beta


def to_norminvgauss(model: UnivariateNormalMixture) -> Parameters:
    r"""``a, b, loc, scale`` for :data:`scipy.stats.norminvgauss`.

    :math:`a = \alpha\delta`, :math:`b = \beta\delta`, of :func:`to_alpha_beta`.

    **Raises**: ``ValueError`` for a model that is no univariate normal inverse
    Gaussian.

    >>> from scipy import stats
    >>> from normix import UnivariateNormalInverseGaussian
    >>> from normix.parametrizations import to_norminvgauss
    >>> model = UnivariateNormalInverseGaussian.from_classical(
    ...     mu=0.1, gamma=0.2, sigma=1.0, mu_ig=1.0, lam=1.5)
    >>> law = stats.norminvgauss(**to_norminvgauss(model))
    >>> bool(abs(law.pdf(0.7) - model.pdf(0.7)) < 1e-14)
    True
    """
    found = to_genhyperbolic(of_half(model))
    del found["p"]
    return found


def from_norminvgauss(
    *,
    a: Float[ArrayLike, ""],
    b: Float[ArrayLike, ""],
    loc: Float[ArrayLike, ""] = 0.0,
    scale: Float[ArrayLike, ""] = 1.0,
) -> Any:
    """The model of :data:`scipy.stats.norminvgauss` with these parameters.

    **Raises**: ``ValueError`` for parameters that SciPy does not take.
    """
    return from_genhyperbolic(p=-0.5, a=a, b=b, loc=loc, scale=scale, family="nig")


def to_genhyperbolic(model: UnivariateNormalMixture) -> Parameters:
    r"""``p, a, b, loc, scale`` for :data:`scipy.stats.genhyperbolic`.

    :math:`p = \lambda`, :math:`a = \alpha\delta`, :math:`b = \beta\delta` and the
    scale δ, of :func:`to_alpha_beta`.

    **Raises**: ``ValueError`` for a mixture of vectors, and for variance gamma and skew
    t laws, which SciPy does not have: δ is 0, or a is ``|b|``, where it returns NaN.
    """
    if not isinstance(model, UnivariateNormalMixture):
        raise ValueError(f"a {type(model).__name__} is not univariate; see project")
    known = to_alpha_beta(model)
    delta = known["delta"]
    _, a, b = model.joint.subordinator.gig_params()
    if not is_traced(a, b) and not (float(a) > 0 and float(b) > 0):
        raise ValueError(
            "SciPy does not have the limits of the family that are variance gamma and "
            f"skew t laws, such as this {type(model).__name__}"
        )
    return {
        "p": known["lam"],
        "a": known["alpha"] * delta,
        "b": known["beta"] * delta,
        "loc": known["mu"],
        "scale": delta,
    }


def from_genhyperbolic(
    *,
    p: Float[ArrayLike, ""],
    a: Float[ArrayLike, ""],
    b: Float[ArrayLike, ""],
    loc: Float[ArrayLike, ""] = 0.0,
    scale: Float[ArrayLike, ""] = 1.0,
    family: str | None = None,
) -> Any:
    """The model of :data:`scipy.stats.genhyperbolic` with these parameters.

    **Raises**: ``ValueError`` for parameters that SciPy does not take.
    """
    a, b, loc, scale = check_scalars(a=a, b=b, loc=loc, scale=scale)
    check_positive("from_genhyperbolic", scale=scale)
    return from_alpha_beta(
        alpha=a / scale, beta=b / scale, delta=scale, mu=loc, lam=p, family=family
    )


def to_tfp(model: UnivariateNormalMixture) -> Parameters:
    """``loc, scale, tailweight, skewness`` for TensorFlow Probability.

    For its ``NormalInverseGaussian``: μ, δ, α and β of :func:`to_alpha_beta`.

    **Raises**: ``ValueError`` for a model that is no univariate normal inverse
    Gaussian.
    """
    known = to_alpha_beta(of_half(model))
    return {
        "loc": known["mu"],
        "scale": known["delta"],
        "tailweight": known["alpha"],
        "skewness": known["beta"],
    }


def from_tfp(
    *,
    loc: Float[ArrayLike, ""],
    scale: Float[ArrayLike, ""],
    tailweight: Float[ArrayLike, ""],
    skewness: Float[ArrayLike, ""],
) -> Any:
    """The model of TensorFlow Probability's ``NormalInverseGaussian``.

    **Raises**: ``ValueError`` as :func:`from_alpha_beta`.
    """
    named = {"alpha": tailweight, "beta": skewness, "delta": scale, "mu": loc}
    return from_alpha_beta(**named, family="nig")


def to_geninvgauss(law: PositiveFamily) -> Parameters:
    r"""``p, b, scale`` for :data:`scipy.stats.geninvgauss`.

    ``law``: a GIG law, or one within that family. :math:`b = \sqrt{ab}` and the scale
    is :math:`\sqrt{b/a}` of its own ``a`` and ``b``.

    **Raises**: ``ValueError`` for gamma and inverse gamma laws, which are limits.
    """
    p, a, b = law.to_gig().gig_params()
    if not is_traced(a, b) and not (float(a) > 0 and float(b) > 0):
        raise ValueError(f"a {type(law).__name__} is a limit that SciPy does not take")
    return {"p": p, "b": jnp.sqrt(a) * jnp.sqrt(b), "scale": jnp.sqrt(b) / jnp.sqrt(a)}


def from_geninvgauss(
    *,
    p: Float[ArrayLike, ""],
    b: Float[ArrayLike, ""],
    scale: Float[ArrayLike, ""] = 1.0,
) -> GeneralizedInverseGaussian:
    """The law of :data:`scipy.stats.geninvgauss` with these parameters.

    **Raises**: ``ValueError`` for a ``b`` or ``scale`` that is not positive.

    >>> from normix.parametrizations import from_geninvgauss, to_geninvgauss
    >>> law = from_geninvgauss(p=1.5, b=4.0, scale=4.0)
    >>> {name: float(value) for name, value in to_geninvgauss(law).items()}
    {'p': 1.5, 'b': 4.0, 'scale': 4.0}
    """
    p, b, scale = check_scalars(p=p, b=b, scale=scale)
    check_positive("from_geninvgauss", b=b, scale=scale)
    return GeneralizedInverseGaussian(p=p, a=b / scale, b=b * scale)
