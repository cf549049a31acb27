"""The variance gamma family."""

from __future__ import annotations

from typing import ClassVar

from jaxtyping import Array, Float

from normix.distributions.gamma import Gamma
from normix.mixtures.factor import FactorNormalMixture
from normix.mixtures.joint import JointNormalMixture
from normix.mixtures.marginal import MarginalMixture
from normix.mixtures.multivariate import NormalMixture
from normix.mixtures.univariate import UnivariateNormalMixture


class JointVarianceGamma(JointNormalMixture[Gamma]):
    """The law of ``(X, Y)`` with ``Y ~ Gamma(alpha, beta)``.

    >>> import jax.numpy as jnp
    >>> from normix import JointVarianceGamma
    >>> joint = JointVarianceGamma.from_classical(
    ...     mu=jnp.zeros(2), gamma=jnp.zeros(2), sigma=jnp.eye(2), alpha=2.0, beta=2.0)
    >>> X, Y = joint.rvs(5, seed=0)
    >>> X.shape, Y.shape
    ((5, 2), (5,))
    """

    _subordinator_class: ClassVar[type[Gamma]] = Gamma
    _mixing_names: ClassVar[dict[str, str]] = {"alpha": "alpha", "beta": "beta"}


class VarianceGammaFamily(MarginalMixture):
    """What the forms of the variance gamma law share."""

    _joint_class: ClassVar[type[JointVarianceGamma]] = JointVarianceGamma

    @property
    def alpha(self) -> Float[Array, ""]:
        """The shape of the mixing variable."""
        return self.joint.subordinator.alpha

    @property
    def beta(self) -> Float[Array, ""]:
        """The rate of the mixing variable."""
        return self.joint.subordinator.beta


class VarianceGamma(VarianceGammaFamily, NormalMixture):
    r"""The variance gamma law (Madan & Seneta, 1990).

    :math:`X = \mu + \gamma Y + \sqrt Y L Z` with ``Y ~ Gamma(alpha, beta)``, ``beta``
    a rate: a sharp peak and tails between normal and exponential. Its density has a
    pole at μ where ``alpha <= d/2``, and the likelihood then is unbounded.

    >>> import jax.numpy as jnp
    >>> from normix import VarianceGamma
    >>> vg = VarianceGamma.from_classical(
    ...     mu=jnp.zeros(2), gamma=jnp.array([0.5, 0.0]), sigma=jnp.eye(2),
    ...     alpha=2.0, beta=2.0)
    >>> print(vg.cov())
    [[1.125 0.   ]
     [0.    1.   ]]
    """

    joint: JointVarianceGamma


class FactorVarianceGamma(VarianceGammaFamily, FactorNormalMixture):
    """The variance gamma law with a factor dispersion.

    >>> import jax.numpy as jnp
    >>> from normix import FactorVarianceGamma
    >>> vg = FactorVarianceGamma.from_classical(
    ...     mu=jnp.zeros(3), gamma=jnp.zeros(3), F=jnp.ones((3, 1)), D=jnp.ones(3),
    ...     alpha=2.0, beta=2.0)
    >>> print(vg.cov()[0])
    [2. 1. 1.]
    """

    joint: JointVarianceGamma


class UnivariateVarianceGamma(VarianceGammaFamily, UnivariateNormalMixture):
    """The variance gamma law of one variable.

    >>> from normix import UnivariateVarianceGamma
    >>> vg = UnivariateVarianceGamma.from_classical(
    ...     mu=0.0, gamma=0.0, sigma=2.0, alpha=1.0, beta=1.0)
    >>> print(round(float(vg.cdf(0.0)), 12), round(float(vg.var()), 12))
    0.5 2.0
    """

    joint: JointVarianceGamma
