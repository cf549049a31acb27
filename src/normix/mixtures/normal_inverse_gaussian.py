"""The normal inverse Gaussian family."""

from __future__ import annotations

from typing import ClassVar

from jaxtyping import Array, Float

from normix.distributions.inverse_gaussian import InverseGaussian
from normix.mixtures.factor import FactorNormalMixture
from normix.mixtures.joint import JointNormalMixture
from normix.mixtures.marginal import MarginalMixture
from normix.mixtures.multivariate import NormalMixture
from normix.mixtures.univariate import UnivariateNormalMixture


class JointNormalInverseGaussian(JointNormalMixture[InverseGaussian]):
    """The law of ``(X, Y)`` with ``Y ~ InverseGaussian(mu_ig, lam)``.

    >>> import jax.numpy as jnp
    >>> from normix import JointNormalInverseGaussian
    >>> joint = JointNormalInverseGaussian.from_classical(
    ...     mu=jnp.zeros(2), gamma=jnp.zeros(2), sigma=jnp.eye(2), mu_ig=1.0, lam=2.0)
    >>> X, Y = joint.rvs(5, seed=0)
    >>> X.shape, Y.shape
    ((5, 2), (5,))
    """

    _subordinator_class: ClassVar[type[InverseGaussian]] = InverseGaussian
    _mixing_names: ClassVar[dict[str, str]] = {"mu_ig": "mu", "lam": "lam"}


class NormalInverseGaussianFamily(MarginalMixture):
    """What the forms of the normal inverse Gaussian law share."""

    _joint_class: ClassVar[type[JointNormalInverseGaussian]] = (
        JointNormalInverseGaussian
    )

    @property
    def mu_ig(self) -> Float[Array, ""]:
        """The mean of the mixing variable."""
        return self.joint.subordinator.mu

    @property
    def lam(self) -> Float[Array, ""]:
        """The shape of the mixing variable."""
        return self.joint.subordinator.lam


class NormalInverseGaussian(NormalInverseGaussianFamily, NormalMixture):
    r"""The normal inverse Gaussian law (Barndorff-Nielsen, 1997).

    :math:`X = \mu + \gamma Y + \sqrt Y L Z` with ``Y ~ InverseGaussian(mu_ig, lam)``,
    mean ``mu_ig`` and shape ``lam``: heavy, exponentially damped tails and skewness
    along γ.

    >>> import jax.numpy as jnp
    >>> from normix import NormalInverseGaussian
    >>> nig = NormalInverseGaussian.from_classical(
    ...     mu=jnp.zeros(2), gamma=jnp.array([0.5, 0.0]), sigma=jnp.eye(2),
    ...     mu_ig=1.0, lam=2.0)
    >>> print(nig.cov())
    [[1.125 0.   ]
     [0.    1.   ]]
    """

    joint: JointNormalInverseGaussian


class FactorNormalInverseGaussian(NormalInverseGaussianFamily, FactorNormalMixture):
    """The normal inverse Gaussian law with a factor dispersion.

    >>> import jax.numpy as jnp
    >>> from normix import FactorNormalInverseGaussian
    >>> nig = FactorNormalInverseGaussian.from_classical(
    ...     mu=jnp.zeros(3), gamma=jnp.zeros(3), F=jnp.ones((3, 1)), D=jnp.ones(3),
    ...     mu_ig=1.0, lam=2.0)
    >>> print(nig.cov()[0])
    [2. 1. 1.]
    """

    joint: JointNormalInverseGaussian


class UnivariateNormalInverseGaussian(
    NormalInverseGaussianFamily, UnivariateNormalMixture
):
    """The normal inverse Gaussian law of one variable.

    >>> from normix import UnivariateNormalInverseGaussian
    >>> nig = UnivariateNormalInverseGaussian.from_classical(
    ...     mu=0.0, gamma=0.0, sigma=2.0, mu_ig=1.0, lam=1.0)
    >>> print(round(float(nig.cdf(0.0)), 12), round(float(nig.var()), 12))
    0.5 2.0
    """

    joint: JointNormalInverseGaussian
