"""Mixtures of one variable."""

from __future__ import annotations

from typing import ClassVar

from jaxtyping import ArrayLike

from normix.adapters.numpyro.base import check_gig, constraints
from normix.adapters.numpyro.mixtures import SCALAR, ScalarMixture
from normix.mixtures.families import FAMILIES, Family


class UnivariateNormalInverseGaussian(ScalarMixture):
    r"""The normal inverse Gaussian law of one variable.

    :math:`X = \mu + \gamma Y + \sqrt{\Sigma Y}\,Z` with
    ``Y ~ InverseGaussian(mu_ig, lam)``.

    - ``mu``, ``gamma``: the location and the skewness, any numbers, 0 by default.
    - ``sigma`` or ``scale``: the dispersion Σ, or its root; positive, one of the two.
    - ``mu_ig``, ``lam``: the mean and the shape of Y, positive.
    - ``validate_args``: whether parameters and values are checked; NumPyro's default.

    **Raises**: ``ValueError`` for none or both of ``sigma`` and ``scale``, shapes that
    do not broadcast, and, where they are checked, parameters out of range.

    >>> from normix.adapters.numpyro import UnivariateNormalInverseGaussian
    >>> law = UnivariateNormalInverseGaussian(gamma=0.5, scale=1.0, mu_ig=1.0, lam=2.0)
    >>> print(round(float(law.variance), 12))
    1.125
    """

    _family: ClassVar[Family] = FAMILIES["nig"]
    arg_constraints = SCALAR | {
        "mu_ig": constraints.positive,
        "lam": constraints.positive,
    }

    def __init__(
        self,
        *,
        mu: ArrayLike = 0.0,
        gamma: ArrayLike = 0.0,
        sigma: ArrayLike | None = None,
        scale: ArrayLike | None = None,
        mu_ig: ArrayLike,
        lam: ArrayLike,
        validate_args: bool | None = None,
    ):
        mixing = {"mu_ig": mu_ig, "lam": lam}
        self._prepare(mu, gamma, sigma, scale, mixing, validate_args)


class UnivariateVarianceGamma(ScalarMixture):
    r"""The variance gamma law of one variable.

    :math:`X = \mu + \gamma Y + \sqrt{\Sigma Y}\,Z` with
    ``Y ~ Gamma(alpha, beta)``.

    - ``mu``, ``gamma``: the location and the skewness, any numbers, 0 by default.
    - ``sigma`` or ``scale``: the dispersion Σ, or its root; positive, one of the two.
    - ``alpha``, ``beta``: the shape and the rate of Y, positive. The density has a
      pole at μ where ``alpha <= 1/2``.
    - ``validate_args``: whether parameters and values are checked; NumPyro's default.

    **Raises**: ``ValueError`` for none or both of ``sigma`` and ``scale``, shapes that
    do not broadcast, and, where they are checked, parameters out of range.

    >>> from normix.adapters.numpyro import UnivariateVarianceGamma
    >>> law = UnivariateVarianceGamma(gamma=0.5, scale=1.0, alpha=2.0, beta=2.0)
    >>> print(round(float(law.variance), 12))
    1.125
    """

    _family: ClassVar[Family] = FAMILIES["vg"]
    arg_constraints = SCALAR | {
        "alpha": constraints.positive,
        "beta": constraints.positive,
    }

    def __init__(
        self,
        *,
        mu: ArrayLike = 0.0,
        gamma: ArrayLike = 0.0,
        sigma: ArrayLike | None = None,
        scale: ArrayLike | None = None,
        alpha: ArrayLike,
        beta: ArrayLike,
        validate_args: bool | None = None,
    ):
        mixing = {"alpha": alpha, "beta": beta}
        self._prepare(mu, gamma, sigma, scale, mixing, validate_args)


class UnivariateNormalInverseGamma(ScalarMixture):
    r"""The skew t law of one variable.

    :math:`X = \mu + \gamma Y + \sqrt{\Sigma Y}\,Z` with
    ``Y ~ InverseGamma(alpha, beta)``; Student's law for γ = 0.

    - ``mu``, ``gamma``: the location and the skewness, any numbers, 0 by default.
    - ``sigma`` or ``scale``: the dispersion Σ, or its root; positive, one of the two.
    - ``alpha``, ``beta``: the shape and the scale of Y, positive. For γ = 0 there are
      ``2 alpha`` degrees of freedom.
    - ``validate_args``: whether parameters and values are checked; NumPyro's default.

    **Raises**: ``ValueError`` for none or both of ``sigma`` and ``scale``, shapes that
    do not broadcast, and, where they are checked, parameters out of range.

    >>> from normix.adapters.numpyro import UnivariateNormalInverseGamma
    >>> law = UnivariateNormalInverseGamma(gamma=0.5, scale=1.0, alpha=3.0, beta=2.0)
    >>> print(round(float(law.variance), 12))
    1.25
    """

    _family: ClassVar[Family] = FAMILIES["t"]
    arg_constraints = SCALAR | {
        "alpha": constraints.positive,
        "beta": constraints.positive,
    }

    def __init__(
        self,
        *,
        mu: ArrayLike = 0.0,
        gamma: ArrayLike = 0.0,
        sigma: ArrayLike | None = None,
        scale: ArrayLike | None = None,
        alpha: ArrayLike,
        beta: ArrayLike,
        validate_args: bool | None = None,
    ):
        mixing = {"alpha": alpha, "beta": beta}
        self._prepare(mu, gamma, sigma, scale, mixing, validate_args)


class UnivariateGeneralizedHyperbolic(ScalarMixture):
    r"""The generalized hyperbolic law of one variable.

    :math:`X = \mu + \gamma Y + \sqrt{\Sigma Y}\,Z` with
    ``Y ~ GIG(p, a, b)``.

    - ``mu``, ``gamma``: the location and the skewness, any numbers, 0 by default.
    - ``sigma`` or ``scale``: the dispersion Σ, or its root; positive, one of the two.
    - ``p``, ``a``, ``b``: of Y, whose density is proportional to
      ``y^(p-1) exp(-(a y + b/y)/2)``; any number and two that are not negative:
      ``a = 0`` needs ``p < 0``, and ``b = 0`` needs ``p > 0``.
    - ``validate_args``: whether parameters and values are checked; NumPyro's default.

    **Raises**: ``ValueError`` for none or both of ``sigma`` and ``scale``, shapes that
    do not broadcast, and, where they are checked, parameters out of range.

    >>> from normix.adapters.numpyro import UnivariateGeneralizedHyperbolic
    >>> law = UnivariateGeneralizedHyperbolic(
    ...     gamma=0.5, scale=1.0, p=-0.5, a=2.0, b=2.0)
    >>> print(round(float(law.variance), 12))
    1.125
    """

    _family: ClassVar[Family] = FAMILIES["gh"]
    arg_constraints = SCALAR | {
        "p": constraints.real,
        "a": constraints.nonnegative,
        "b": constraints.nonnegative,
    }

    def __init__(
        self,
        *,
        mu: ArrayLike = 0.0,
        gamma: ArrayLike = 0.0,
        sigma: ArrayLike | None = None,
        scale: ArrayLike | None = None,
        p: ArrayLike,
        a: ArrayLike,
        b: ArrayLike,
        validate_args: bool | None = None,
    ):
        mixing = {"p": p, "a": a, "b": b}
        self._prepare(mu, gamma, sigma, scale, mixing, validate_args)

    def validate_args(self, strict: bool = True) -> None:
        """Check the parameters, that those of Y belong together too."""
        super().validate_args(strict)
        check_gig(self)
