"""The skew t family."""

from __future__ import annotations

from typing import ClassVar

from jaxtyping import Array, Float

from normix.distributions.inverse_gamma import InverseGamma
from normix.mixtures.factor import FactorNormalMixture
from normix.mixtures.joint import JointNormalMixture
from normix.mixtures.marginal import MarginalMixture
from normix.mixtures.multivariate import NormalMixture
from normix.mixtures.univariate import UnivariateNormalMixture


class JointNormalInverseGamma(JointNormalMixture[InverseGamma]):
    """The law of ``(X, Y)`` with ``Y ~ InverseGamma(alpha, beta)``.

    >>> import jax.numpy as jnp
    >>> from normix import JointNormalInverseGamma
    >>> joint = JointNormalInverseGamma.from_classical(
    ...     mu=jnp.zeros(2), gamma=jnp.zeros(2), sigma=jnp.eye(2), alpha=3.0, beta=2.0)
    >>> X, Y = joint.rvs(5, seed=0)
    >>> X.shape, Y.shape
    ((5, 2), (5,))
    """

    _subordinator_class: ClassVar[type[InverseGamma]] = InverseGamma
    _mixing_names: ClassVar[dict[str, str]] = {"alpha": "alpha", "beta": "beta"}


class NormalInverseGammaFamily(MarginalMixture):
    """What the forms of the skew t law share."""

    _joint_class: ClassVar[type[JointNormalInverseGamma]] = JointNormalInverseGamma

    @property
    def alpha(self) -> Float[Array, ""]:
        """The shape of the mixing variable."""
        return self.joint.subordinator.alpha

    @property
    def beta(self) -> Float[Array, ""]:
        """The scale of the mixing variable."""
        return self.joint.subordinator.beta


class NormalInverseGamma(NormalInverseGammaFamily, NormalMixture):
    r"""The normal inverse gamma, or generalized hyperbolic skew t, law.

    :math:`X = \mu + \gamma Y + \sqrt Y L Z` with ``Y ~ InverseGamma(alpha, beta)``
    (Aas & Haff, 2006). For γ = 0 it is Student's with ``2 alpha`` degrees of freedom
    and scale matrix ``beta/alpha Σ``; moments of order ``alpha`` and above in the
    direction of γ, ``2 alpha`` in others, are infinite.

    >>> import jax.numpy as jnp
    >>> from normix import NormalInverseGamma
    >>> t = NormalInverseGamma.from_classical(
    ...     mu=jnp.zeros(2), gamma=jnp.array([0.5, 0.0]), sigma=jnp.eye(2),
    ...     alpha=3.0, beta=2.0)
    >>> print(t.cov())
    [[1.25 0.  ]
     [0.   1.  ]]
    """

    joint: JointNormalInverseGamma


class FactorNormalInverseGamma(NormalInverseGammaFamily, FactorNormalMixture):
    """The skew t law with a factor dispersion.

    >>> import jax.numpy as jnp
    >>> from normix import FactorNormalInverseGamma
    >>> t = FactorNormalInverseGamma.from_classical(
    ...     mu=jnp.zeros(3), gamma=jnp.zeros(3), F=jnp.ones((3, 1)), D=jnp.ones(3),
    ...     alpha=3.0, beta=2.0)
    >>> print(t.cov()[0])
    [2. 1. 1.]
    """

    joint: JointNormalInverseGamma


class UnivariateNormalInverseGamma(NormalInverseGammaFamily, UnivariateNormalMixture):
    """The skew t law of one variable.

    >>> from normix import UnivariateNormalInverseGamma
    >>> t = UnivariateNormalInverseGamma.from_classical(
    ...     mu=0.0, gamma=0.0, sigma=2.0, alpha=0.5, beta=0.5)
    >>> print(round(float(t.cdf(0.0)), 12), round(float(t.var()), 12))  # a Cauchy law
    0.5 nan
    """

    joint: JointNormalInverseGamma
