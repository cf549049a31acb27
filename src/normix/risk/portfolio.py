"""A portfolio of assets whose returns a mixture describes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from normix._arrays import as_float, as_scalar, check_option, is_traced
from normix._compile import of_few
from normix.mixtures.cholesky import CholeskyDispersion
from normix.mixtures.joint import JointNormalMixture
from normix.mixtures.losses import MEASURES
from normix.mixtures.multivariate import VectorMixture
from normix.mixtures.univariate import UnivariateNormalMixture

MEASURE_NAMES = (*MEASURES, "standard_deviation")


class Portfolio(eqx.Module):
    """The return ``wᵀX`` of weights ``w`` on assets with returns ``X``.

    - ``model``: the law of X, a mixture in the full or factor form.
    - ``weights``: shape ``(d,)``; or by name, ``{"AAPL": 0.5}``, with ``columns``, the
      names of X's columns, others having the weight 0.

    ``wᵀX`` is a mixture of one variable, of the same family, in the three numbers
    ``(wᵀμ, wᵀγ, wᵀΣw)``: derivatives in ``w`` follow from those in them, by the chain
    rule, and are exact. Value at risk, expected shortfall and expectile are homogeneous
    of degree 1, so that the contributions ``w ∂R/∂w`` add up to the measure (Euler).

    **Raises**: ``ValueError`` for weights of another length, that are all 0 or not
    finite, and for unknown columns.

    >>> import jax.numpy as jnp
    >>> from normix import NormalInverseGaussian
    >>> from normix.risk import Portfolio
    >>> model = NormalInverseGaussian.from_classical(
    ...     mu=[0, 0], gamma=[0, 0], sigma=[[1, 0.5], [0.5, 1]], mu_ig=1, lam=1
    ... )
    >>> portfolio = Portfolio(model, [0.5, 0.5])
    >>> risk = portfolio.expected_shortfall(0.99)
    >>> parts = portfolio.contributions("expected_shortfall", 0.99)
    >>> bool(jnp.isclose(parts.sum(), risk, rtol=1e-12))
    True
    """

    model: VectorMixture
    weights: Float[Array, " d"]

    def __init__(
        self,
        model: VectorMixture,
        weights: Float[ArrayLike, " d"] | Mapping[Any, float],
        columns: Sequence[object] | None = None,
    ):
        if not isinstance(model, VectorMixture):
            raise ValueError(
                "a portfolio needs a multivariate mixture, got a "
                f"{type(model).__name__}"
            )
        self.model = model
        self.weights = weights_of(weights, model.d, columns)

    @property
    def law(self) -> UnivariateNormalMixture:
        """The law of the portfolio's return."""
        law = self.model.project(self.weights)
        assert isinstance(law, UnivariateNormalMixture)
        return law

    def mean(self) -> Float[Array, ""]:
        """The mean of the return."""
        return self.law.mean()

    def standard_deviation(self) -> Float[Array, ""]:
        """The standard deviation of the return."""
        return self.law.std()

    def value_at_risk(self, level: ArrayLike) -> Float[Array, "..."]:
        """As of :meth:`~normix.UnivariateNormalMixture.value_at_risk`."""
        return self.law.value_at_risk(level)

    def expected_shortfall(self, level: ArrayLike) -> Float[Array, "..."]:
        """As of :meth:`~normix.UnivariateNormalMixture.expected_shortfall`."""
        return self.law.expected_shortfall(level)

    def expectile(self, level: ArrayLike) -> Float[Array, "..."]:
        """As of :meth:`~normix.UnivariateNormalMixture.expectile`."""
        return self.law.expectile(level)

    def partial_moment(
        self, x: ArrayLike, order: int = 1, upper: bool = False
    ) -> Float[Array, "..."]:
        """As of :meth:`~normix.UnivariateNormalMixture.partial_moment`."""
        return self.law.partial_moment(x, order, upper)

    def omega(self, x: ArrayLike = 0.0) -> Float[Array, "..."]:
        """As of :meth:`~normix.UnivariateNormalMixture.omega`."""
        return self.law.omega(x)

    def gradient(
        self, measure: str = "expected_shortfall", level: ArrayLike = 0.99
    ) -> Float[Array, " d"]:
        """The derivatives of a measure by the weights, shape ``(d,)``.

        ``measure``: "value_at_risk", "expected_shortfall", "expectile" or
        "standard_deviation", to which ``level`` does not matter.

        **Raises**: ``ValueError`` for another measure, a level outside ``(0, 1)``, or
        a measure that the law does not have.
        """
        return self._derivatives(measure, level)[1]

    def contributions(
        self, measure: str = "expected_shortfall", level: ArrayLike = 0.99
    ) -> Float[Array, " d"]:
        """What each asset adds to a measure, ``w ∂R/∂w``; their sum is the measure.

        **Raises**: as :meth:`gradient`.
        """
        return self.weights * self.gradient(measure, level)

    def hessian(
        self, measure: str = "expected_shortfall", level: ArrayLike = 0.99
    ) -> Float[Array, "d d"]:
        """The second derivatives of a measure by the weights, shape ``(d, d)``.

        **Raises**: as :meth:`gradient`.
        """
        check_option("measure", measure, MEASURE_NAMES)
        at = self._checked(measure, level)
        return _hessian(self.model.joint, self.weights, at, measure)

    def _derivatives(self, measure: str, level: ArrayLike) -> tuple[Array, Array]:
        check_option("measure", measure, MEASURE_NAMES)
        at = self._checked(measure, level)
        return value_and_gradient(self.model.joint, self.weights, at, measure)

    def _checked(self, measure: str, level: ArrayLike) -> Array:
        at = as_scalar("level", level)
        if not is_traced(at) and not 0 < float(at) < 1:
            raise ValueError(f"a level must be between 0 and 1, got {level}")
        if measure in ("expected_shortfall", "expectile"):
            self.law._check_losses(gains=measure == "expectile")
        return at


def weights_of(
    weights: Any, d: int, columns: Sequence[object] | None
) -> Float[Array, " d"]:
    """Checked weights, given in order or by name; see :class:`Portfolio`."""
    if isinstance(weights, Mapping):
        names = list(range(d)) if columns is None else list(columns)
        unknown = [name for name in weights if name not in names]
        if unknown:
            raise ValueError(
                f"unknown column {unknown[0]!r}; known: {', '.join(map(repr, names))}"
            )
        weights = [weights.get(name, 0.0) for name in names]
    found = as_float(weights)
    if found.shape != (d,):
        raise ValueError(f"weights must have shape ({d},), got {found.shape}")
    if not is_traced(found):
        here = np.asarray(found)
        if not np.isfinite(here).all() or not here.any():
            raise ValueError(f"weights must be finite and not all 0, got {weights}")
    return found


# -- derivatives ---------------------------------------------------------------------


def _of_numbers(joint: JointNormalMixture, three: Array, level: Array, measure: str):
    """A measure of the law with μ, γ and Σ of one variable, and this joint law's Y."""
    mu, gamma, sigma = three
    if measure == "standard_deviation":
        mean, var = joint.subordinator.cumulants(2)
        return jnp.sqrt(mean * sigma + var * gamma**2)
    dispersion = CholeskyDispersion(jnp.sqrt(sigma)[None, None])
    one = type(joint)(mu[None], gamma[None], dispersion, joint.subordinator)
    return MEASURES[measure](one, level)


def _numbers(joint: JointNormalMixture, w: Array) -> tuple[Array, Array]:
    """``(wᵀμ, wᵀγ, wᵀΣw)`` and their derivatives by w, as columns."""
    spread = joint.sigma() @ w
    three = jnp.stack([w @ joint.mu, w @ joint.gamma, w @ spread])
    return three, jnp.stack([joint.mu, joint.gamma, 2 * spread], axis=1)


@of_few("measure")
def value_and_gradient(
    joint: JointNormalMixture, w: Array, level: Array, measure: str
) -> tuple[Array, Array]:
    """A measure of a portfolio, and its derivatives by the weights."""
    three, slopes = _numbers(joint, w)

    def both(x):
        value = _of_numbers(joint, x, level, measure)
        return value, value

    by_three, value = jax.jacfwd(both, has_aux=True)(three)
    return value, slopes @ by_three


@of_few("measure")
def _hessian(joint: JointNormalMixture, w: Array, level: Array, measure: str) -> Array:
    three, slopes = _numbers(joint, w)

    def value(x):
        return _of_numbers(joint, x, level, measure)

    second = jax.jacfwd(jax.jacfwd(value))(three)
    by_sigma = jax.jacfwd(value)(three)[2]
    return slopes @ second @ slopes.T + 2 * by_sigma * joint.sigma()
