"""The generalized hyperbolic family."""

from __future__ import annotations

from typing import ClassVar

from jaxtyping import Array, Float

from normix.distributions.generalized_inverse_gaussian import (
    GeneralizedInverseGaussian,
)
from normix.mixtures.factor import FactorNormalMixture
from normix.mixtures.joint import JointNormalMixture
from normix.mixtures.marginal import MarginalMixture
from normix.mixtures.multivariate import NormalMixture
from normix.mixtures.normal_inverse_gamma import JointNormalInverseGamma
from normix.mixtures.normal_inverse_gaussian import JointNormalInverseGaussian
from normix.mixtures.univariate import UnivariateNormalMixture
from normix.mixtures.variance_gamma import JointVarianceGamma


class JointGeneralizedHyperbolic(JointNormalMixture[GeneralizedInverseGaussian]):
    """The law of ``(X, Y)`` with ``Y ~ GIG(p, a, b)``.

    >>> import jax.numpy as jnp
    >>> from normix import JointGeneralizedHyperbolic
    >>> joint = JointGeneralizedHyperbolic.from_classical(
    ...     mu=jnp.zeros(2), gamma=jnp.zeros(2), sigma=jnp.eye(2), p=-0.5, a=2.0, b=2.0)
    >>> X, Y = joint.rvs(5, seed=0)
    >>> X.shape, Y.shape
    ((5, 2), (5,))
    """

    _subordinator_class: ClassVar[type[GeneralizedInverseGaussian]] = (
        GeneralizedInverseGaussian
    )
    _mixing_names: ClassVar[dict[str, str]] = {"p": "p", "a": "a", "b": "b"}


class GeneralizedHyperbolicFamily(MarginalMixture):
    """What the forms of the generalized hyperbolic law share."""

    _joint_class: ClassVar[type[JointGeneralizedHyperbolic]] = (
        JointGeneralizedHyperbolic
    )

    @property
    def p(self) -> Float[Array, ""]:
        """The order of the mixing variable."""
        return self.joint.subordinator.p

    @property
    def a(self) -> Float[Array, ""]:
        """The rate of the mixing variable's upper tail."""
        return self.joint.subordinator.a

    @property
    def b(self) -> Float[Array, ""]:
        """The rate of the mixing variable's lower tail."""
        return self.joint.subordinator.b

    def to_variance_gamma(self) -> MarginalMixture:
        """The variance gamma law nearest in KL (of the joint laws); exact if b = 0.

        **Raises**: ``ValueError`` where ``E[Y]`` is infinite.
        """
        return self._sibling(self.joint.within(JointVarianceGamma))

    def to_normal_inverse_gaussian(self) -> MarginalMixture:
        """The normal inverse Gaussian law nearest in KL; exact if p = -1/2.

        **Raises**: ``ValueError`` where ``E[Y]`` or ``E[1/Y]`` is infinite.
        """
        return self._sibling(self.joint.within(JointNormalInverseGaussian))

    def to_normal_inverse_gamma(self) -> MarginalMixture:
        """The skew t law nearest in KL (of the joint laws); exact if a = 0.

        **Raises**: ``ValueError`` where ``E[1/Y]`` is infinite.
        """
        return self._sibling(self.joint.within(JointNormalInverseGamma))


class GeneralizedHyperbolic(GeneralizedHyperbolicFamily, NormalMixture):
    r"""The generalized hyperbolic law (Barndorff-Nielsen, 1977).

    :math:`X = \mu + \gamma Y + \sqrt Y L Z` with ``Y ~ GIG(p, a, b)``. It holds the
    normal inverse Gaussian (p = -1/2), hyperbolic (p = 1 in any dimension, or
    p = (d + 1)/2), variance gamma (b = 0) and skew t (a = 0) laws.

    >>> import jax.numpy as jnp
    >>> from normix import GeneralizedHyperbolic
    >>> gh = GeneralizedHyperbolic.from_classical(
    ...     mu=jnp.zeros(2), gamma=jnp.array([0.5, 0.0]), sigma=jnp.eye(2),
    ...     p=-0.5, a=2.0, b=2.0)
    >>> print(gh.cov())
    [[1.125 0.   ]
     [0.    1.   ]]
    """

    joint: JointGeneralizedHyperbolic


class FactorGeneralizedHyperbolic(GeneralizedHyperbolicFamily, FactorNormalMixture):
    """The generalized hyperbolic law with a factor dispersion.

    >>> import jax.numpy as jnp
    >>> from normix import FactorGeneralizedHyperbolic
    >>> gh = FactorGeneralizedHyperbolic.from_classical(
    ...     mu=jnp.zeros(3), gamma=jnp.zeros(3), F=jnp.ones((3, 1)), D=jnp.ones(3),
    ...     p=-0.5, a=2.0, b=2.0)
    >>> print(gh.cov()[0])
    [2. 1. 1.]
    """

    joint: JointGeneralizedHyperbolic


class UnivariateGeneralizedHyperbolic(
    GeneralizedHyperbolicFamily, UnivariateNormalMixture
):
    """The generalized hyperbolic law of one variable.

    >>> from normix import UnivariateGeneralizedHyperbolic
    >>> gh = UnivariateGeneralizedHyperbolic.from_classical(
    ...     mu=0.0, gamma=0.0, sigma=2.0, p=1.0, a=2.0, b=0.0)
    >>> print(round(float(gh.cdf(0.0)), 12), round(float(gh.var()), 12))
    0.5 2.0
    """

    joint: JointGeneralizedHyperbolic
