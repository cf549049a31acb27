"""All families and their forms, by the words that name them in options."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import ArrayLike

from normix.mixtures.factor import FactorNormalMixture
from normix.mixtures.generalized_hyperbolic import (
    FactorGeneralizedHyperbolic,
    GeneralizedHyperbolic,
    JointGeneralizedHyperbolic,
    UnivariateGeneralizedHyperbolic,
)
from normix.mixtures.joint import JointNormalMixture
from normix.mixtures.marginal import MarginalMixture
from normix.mixtures.multivariate import NormalMixture
from normix.mixtures.normal_inverse_gamma import (
    FactorNormalInverseGamma,
    JointNormalInverseGamma,
    NormalInverseGamma,
    UnivariateNormalInverseGamma,
)
from normix.mixtures.normal_inverse_gaussian import (
    FactorNormalInverseGaussian,
    JointNormalInverseGaussian,
    NormalInverseGaussian,
    UnivariateNormalInverseGaussian,
)
from normix.mixtures.univariate import UnivariateNormalMixture
from normix.mixtures.variance_gamma import (
    FactorVarianceGamma,
    JointVarianceGamma,
    UnivariateVarianceGamma,
    VarianceGamma,
)


class Family(NamedTuple):
    """The forms of a family, and its joint law."""

    full: type[NormalMixture]
    factor: type[FactorNormalMixture]
    univariate: type[UnivariateNormalMixture]
    joint: type[JointNormalMixture]


FAMILIES: dict[str, Family] = {
    "nig": Family(
        NormalInverseGaussian,
        FactorNormalInverseGaussian,
        UnivariateNormalInverseGaussian,
        JointNormalInverseGaussian,
    ),
    "vg": Family(
        VarianceGamma,
        FactorVarianceGamma,
        UnivariateVarianceGamma,
        JointVarianceGamma,
    ),
    "t": Family(
        NormalInverseGamma,
        FactorNormalInverseGamma,
        UnivariateNormalInverseGamma,
        JointNormalInverseGamma,
    ),
    "gh": Family(
        GeneralizedHyperbolic,
        FactorGeneralizedHyperbolic,
        UnivariateGeneralizedHyperbolic,
        JointGeneralizedHyperbolic,
    ),
}


def family_of(word: str) -> Family:
    """The family that ``word`` names.

    **Raises**: ``ValueError`` for an unknown word, with those that there are.
    """
    found = FAMILIES.get(word) if isinstance(word, str) else None
    if found is None:
        raise ValueError(f"unknown family {word!r}; there are {', '.join(FAMILIES)}")
    return found


def start(
    word: str, X: ArrayLike, factors: int = 0, *, missing: str = "raise"
) -> MarginalMixture:
    """The ``default_init`` of a family in the form that ``X`` and ``factors`` ask for.

    Data of shape ``(n,)`` have the univariate form; ``factors`` 0 is a full dispersion.

    **Raises**: ``ValueError`` for an unknown family, factors of one variable, and as
    ``default_init`` does.
    """
    family = family_of(word)
    if np.ndim(X) == 1:
        if factors:
            raise ValueError("data of one variable have no factors")
        return family.univariate.default_init(X, missing=missing)
    if factors:
        return family.factor.default_init(X, factors, missing=missing)
    return family.full.default_init(X, missing=missing)
