"""What conversions of parameters have in common."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Array

from normix._arrays import as_float, check_positive, is_traced
from normix.mixtures.cholesky import CholeskyDispersion
from normix.mixtures.classical import check_scalars, check_vectors, full_dispersion
from normix.mixtures.families import family_of
from normix.mixtures.joint import JointNormalMixture
from normix.mixtures.law import Law
from normix.mixtures.marginal import MarginalMixture
from normix.mixtures.univariate import UnivariateNormalMixture

Parameters = dict[str, Array]


def joint_of(model: Any) -> JointNormalMixture:
    if not isinstance(model, MarginalMixture):
        raise ValueError(
            f"a mixture such as NormalInverseGaussian is expected, got a "
            f"{type(model).__name__}"
        )
    return model.joint


def of_half(model: UnivariateNormalMixture) -> UnivariateNormalMixture:
    """The model, if it is normal inverse Gaussian: its order is -1/2."""
    order = joint_of(model).subordinator.gig_params()[0]
    known = type(model) is family_of("nig").univariate
    if not known and (is_traced(order) or float(order) != -0.5):
        raise ValueError(
            f"a univariate normal inverse Gaussian is expected, got a "
            f"{type(model).__name__}"
        )
    return model


def vectors_of(
    direction: Any, mu: Any, matrix: Any, name: str, of: str
) -> tuple[Array, Array, CholeskyDispersion, bool]:
    """A vector, μ and a dispersion, each of a univariate law as of one of vectors."""
    direction, mu = as_float(direction), as_float(mu)
    scalar = mu.ndim == 0
    if scalar:
        one = 1.0 if matrix is None else matrix
        direction, mu, sd = check_scalars(**{name: direction, "mu": mu, of: one})
        check_positive("a univariate law", **{of: sd})
        return direction[None], mu[None], CholeskyDispersion(sd[None, None]), True
    if matrix is None:
        raise ValueError(f"{of} is needed beside a mu of shape {mu.shape}")
    mu, direction = check_vectors(mu, direction)
    return direction, mu, full_dispersion(matrix, mu.shape[0]), False


def built(law: Law, scalar: bool, family: str | None) -> Any:
    """The member of a family, by default of the smallest, that is this law."""
    p, a, b = law.gig
    if not is_traced(law.gig):
        order, a, b = (float(x) for x in np.asarray(law.gig))
        if a < 0 or b < 0 or (b == 0 and order <= 0) or (a == 0 and order >= 0):
            raise ValueError(
                "no law has these parameters: of Y they make a generalized inverse "
                f"Gaussian law with p={order:g}, a={a:g}, b={b:g}"
            )
        smallest = "nig" if order == -0.5 else "gh"
        smallest = "vg" if b == 0 else "t" if a == 0 else smallest
        family = smallest if family is None else family
        if family not in (smallest, "gh"):
            raise ValueError(f"this is no law of family {family!r}")
    of = family_of("gh" if family is None else family)
    joint = of.joint.of_law(law)
    return of.univariate(joint) if scalar else of.full(joint)
