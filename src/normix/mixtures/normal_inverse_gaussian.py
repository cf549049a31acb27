"""The normal inverse Gaussian family."""

from __future__ import annotations

from typing import ClassVar, Self

from jaxtyping import Array, ArrayLike, Float

from normix.distributions.inverse_gaussian import InverseGaussian
from normix.mixtures.classical import classical_parts
from normix.mixtures.joint import JointNormalMixture
from normix.mixtures.marginal import NormalMixture


class JointNormalInverseGaussian(JointNormalMixture[InverseGaussian]):
    """The law of ``(X, Y)`` with ``Y`` inverse Gaussian.

    >>> import jax.numpy as jnp
    >>> from normix import JointNormalInverseGaussian
    >>> joint = JointNormalInverseGaussian.from_classical(
    ...     mu=jnp.zeros(2), gamma=jnp.zeros(2), sigma=jnp.eye(2), mu_ig=1.0, lam=1.0)
    >>> X, Y = joint.rvs(5, seed=0)
    >>> X.shape, Y.shape
    ((5, 2), (5,))
    """

    _subordinator_class: ClassVar[type[InverseGaussian]] = InverseGaussian

    @classmethod
    def from_classical(
        cls,
        *,
        mu: Float[ArrayLike, " d"],
        gamma: Float[ArrayLike, " d"],
        sigma: Float[ArrayLike, "d d"],
        mu_ig: Float[ArrayLike, ""],
        lam: Float[ArrayLike, ""],
    ) -> Self:
        """From μ, γ ``(d,)``, the dispersion Σ ``(d, d)`` and ``Y ~ IG(mu_ig, lam)``.

        **Raises**: ``ValueError`` for shapes that do not fit, a dispersion that is
        not positive definite, or a parameter of ``Y`` that is not positive.
        """
        mu, gamma, dispersion = classical_parts(mu, gamma, sigma)
        return cls(mu, gamma, dispersion, InverseGaussian(mu=mu_ig, lam=lam))


class NormalInverseGaussian(NormalMixture):
    r"""The normal inverse Gaussian law (Barndorff-Nielsen, 1997).

    :math:`X = \mu + \gamma Y + \sqrt Y L Z` with ``Y ~ InverseGaussian(mu_ig, lam)``:
    heavy, exponentially damped tails and skewness along γ.

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

    _joint_class: ClassVar[type[JointNormalInverseGaussian]] = (
        JointNormalInverseGaussian
    )

    @classmethod
    def from_classical(
        cls,
        *,
        mu: Float[ArrayLike, " d"],
        gamma: Float[ArrayLike, " d"],
        sigma: Float[ArrayLike, "d d"],
        mu_ig: Float[ArrayLike, ""],
        lam: Float[ArrayLike, ""],
    ) -> Self:
        """From μ, γ ``(d,)``, the dispersion Σ ``(d, d)`` and ``Y ~ IG(mu_ig, lam)``.

        **Raises**: ``ValueError`` for shapes that do not fit, a dispersion that is
        not positive definite, or a parameter of ``Y`` that is not positive.
        """
        return cls(
            JointNormalInverseGaussian.from_classical(
                mu=mu, gamma=gamma, sigma=sigma, mu_ig=mu_ig, lam=lam
            )
        )

    @property
    def mu_ig(self) -> Float[Array, ""]:
        """The mean of the mixing variable."""
        return self.joint.subordinator.mu

    @property
    def lam(self) -> Float[Array, ""]:
        """The shape of the mixing variable."""
        return self.joint.subordinator.lam
