"""Marginal laws of one variable: scalars in, scalars out, and quantiles."""

from __future__ import annotations

from typing import ClassVar, Self

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from normix._arrays import as_float, as_series, is_traced
from normix._compile import ROWS, of_each, of_few
from normix._passes import Data
from normix.distributions.quantile_table import QuantileTable
from normix.mixtures.cholesky import CholeskyDispersion
from normix.mixtures.classical import check_scalars
from normix.mixtures.initial import initial_joint
from normix.mixtures.joint import JointNormalMixture
from normix.mixtures.losses import (
    exists,
    measured,
    omegas,
    partial_moments,
    quantile,
    standard,
)
from normix.mixtures.marginal import MarginalMixture
from normix.special.gig_tails import Tails
from normix.special.mixture_tails import mixture_log_quantile, mixture_log_tails

Real = Float[Array, "..."]


class UnivariateNormalMixture(MarginalMixture):
    r"""A mixture of one variable, :math:`X = \mu + \gamma Y + \sqrt{\Sigma Y}\,Z`.

    Parameters and moments are scalars, data of shape ``(n,)``; ``sigma`` is the
    dispersion Σ here too, the square of a standard deviation.
    """

    _dispersion_class: ClassVar[type[CholeskyDispersion]] = CholeskyDispersion
    _form: ClassVar[str] = "univariate"
    takes_collinear: ClassVar[bool] = False
    _axes: ClassVar[int] = 1

    @classmethod
    def _rows(cls, X, columns=None, *, missing=False):
        return as_series(X, missing=missing)[:, None]

    @staticmethod
    def _view(x, axes=1):
        return x[(..., *(0,) * axes)]

    @classmethod
    def from_classical(
        cls,
        *,
        mu: Float[ArrayLike, ""],
        gamma: Float[ArrayLike, ""],
        sigma: Float[ArrayLike, ""],
        **mixing: Float[ArrayLike, ""],
    ) -> Self:
        """From scalars μ, γ, the dispersion Σ (σ²) and the parameters of Y.

        ``mixing``: the mixing variable's parameters, by the names that the class
        gives.

        **Raises**: ``ValueError`` for values that are not scalars, a ``sigma`` that is
        not positive, or a parameter of Y that is missing or out of range.
        """
        mu, gamma, sigma = check_scalars(mu=mu, gamma=gamma, sigma=sigma)
        return cls(
            cls._joint_class.from_classical(
                mu=mu[None], gamma=gamma[None], sigma=sigma[None, None], **mixing
            )
        )

    def replace(self, **parameters: ArrayLike) -> Self:
        """The model with some of its classical parameters replaced.

        **Raises**: ``ValueError`` for a name that is not one of them, and as
        ``from_classical`` does.
        """
        kept = {"mu": self.mu, "gamma": self.gamma, "sigma": self.sigma()}
        return self.from_classical(**(kept | self._mixing_parameters() | parameters))

    @property
    def L_Sigma(self) -> Float[Array, ""]:
        """The square root of the dispersion."""
        return jnp.sqrt(self.sigma())

    def log_prob(self, x: ArrayLike) -> Real:
        """The log-density, elementwise in ``x``; infinite at a pole."""
        return _log_prob(self.joint, as_float(x))

    def pdf(self, x: ArrayLike) -> Real:
        """The density, elementwise in ``x``."""
        return jnp.exp(self.log_prob(x))

    def var(self) -> Float[Array, ""]:
        """The variance ``E[Y] Σ + Var[Y] γ²``."""
        return self.cov()

    def std(self) -> Float[Array, ""]:
        """The standard deviation."""
        return jnp.sqrt(self.var())

    def affine(self, a: ArrayLike, b: ArrayLike = 0.0) -> Self:
        """The law of ``a X + b``, of the same family.

        **Raises**: ``ValueError`` for an ``a`` that is 0 or values that are no scalars.
        """
        a, b = check_scalars(a=a, b=b)
        return self.replace(
            mu=a * self.mu + b, gamma=a * self.gamma, sigma=a * a * self.sigma()
        )

    # -- tails and quantiles ---------------------------------------------------------

    def cdf(self, x: ArrayLike) -> Real:
        """``P(X <= x)``, elementwise in ``x``.

        Relative accuracy holds for whichever of ``cdf`` and ``sf`` is smaller, down
        to the least positive number. Differentiable in ``x`` and the parameters.
        """
        return _tails(self.joint, as_float(x)).cdf

    def sf(self, x: ArrayLike) -> Real:
        """``P(X > x)``, elementwise in ``x``, without the cancellation of 1 - cdf."""
        return _tails(self.joint, as_float(x)).sf

    def logcdf(self, x: ArrayLike) -> Real:
        """``log P(X <= x)``, elementwise in ``x``; finite where the cdf underflows."""
        return _tails(self.joint, as_float(x)).logcdf

    def logsf(self, x: ArrayLike) -> Real:
        """``log P(X > x)``, elementwise in ``x``; finite where the sf underflows."""
        return _tails(self.joint, as_float(x)).logsf

    def ppf(self, q: ArrayLike) -> Real:
        """The quantile: ``x`` with ``cdf(x) = q``, elementwise; NaN outside [0, 1].

        Differentiable in ``q`` and the parameters (implicitly).
        """
        return _quantile(self.joint, as_float(q), True)

    def isf(self, q: ArrayLike) -> Real:
        """``x`` with ``sf(x) = q``, elementwise; the way to small upper tails."""
        return _quantile(self.joint, as_float(q), False)

    def quantile_table(self) -> QuantileTable:
        """Tabulated ``cdf``, ``ppf`` and ``rvs``, for repeated use of one law."""
        return _quantile_table(self.joint)

    # -- losses ----------------------------------------------------------------------
    #
    # A loss is -X, and a level a probability that losses stay below, such as .99.

    def value_at_risk(self, level: ArrayLike) -> Real:
        """The loss ``-X`` that is exceeded with probability ``1 - level``.

        Elementwise in ``level``, such as .99; differentiable in it and the parameters.

        **Raises**: ``ValueError`` for a level outside ``(0, 1)``.

        >>> from normix import UnivariateNormalInverseGaussian
        >>> nig = UnivariateNormalInverseGaussian.from_classical(
        ...     mu=0.0, gamma=0.0, sigma=1.0, mu_ig=1.0, lam=1.0)
        >>> bool(abs(nig.cdf(-nig.value_at_risk(0.99)) - 0.01) < 1e-12)
        True
        """
        return measured(self.joint, _level(level), "value_at_risk")

    def expected_shortfall(self, level: ArrayLike) -> Real:
        """The mean loss beyond the value at risk, ``E[-X | -X >= VaR]``.

        Also known as conditional or tail value at risk. Elementwise in ``level``;
        differentiable; by quadrature, far in the tail too.

        **Raises**: ``ValueError`` for a level outside ``(0, 1)``, and for a law whose
        losses have no mean.
        """
        self._check_losses(gains=False)
        return measured(self.joint, _level(level), "expected_shortfall")

    def expectile(self, level: ArrayLike) -> Real:
        """The expectile of the loss, ``e`` with ``level E[(-X - e)₊] =
        (1 - level) E[(e + X)₊]`` (Newey & Powell, Econometrica 55, 1987).

        Elementwise in ``level``; that of one half is ``-mean()``. Differentiable.

        **Raises**: as :meth:`expected_shortfall`.
        """
        self._check_losses(gains=True)
        return measured(self.joint, _level(level), "expectile")

    def partial_moment(self, x: ArrayLike, order: int = 1, upper: bool = False) -> Real:
        """``E[(x - X)₊ᵏ]`` of ``order`` k 0, 1 or 2; if ``upper``, ``E[(X - x)₊ᵏ]``.

        Elementwise in ``x``: of order 0 the probability, of order 1 the price of an
        option on X, undiscounted, of order 2 the semivariance about ``x``. Infinite
        where the moment is. Differentiable.

        **Raises**: ``ValueError`` for another order.
        """
        if order not in (0, 1, 2):
            raise ValueError(f"order must be 0, 1 or 2, got {order!r}")
        return partial_moments(self.joint, as_float(x), int(order))[bool(upper)]

    def omega(self, x: ArrayLike = 0.0) -> Real:
        """The Omega ratio ``E[(X - x)₊]/E[(x - X)₊]`` about a return ``x``.

        Elementwise (Keating & Shadwick, J. Perform. Meas. 6, 2002). Differentiable.

        **Raises**: ``ValueError`` for a law without a mean.
        """
        self._check_losses(gains=True)
        return omegas(self.joint, as_float(x))

    def _check_losses(self, *, gains: bool) -> None:
        """Raise ``ValueError`` where the mean of losses, or of gains, is infinite."""
        if is_traced(self):
            return
        for upper, name in ((False, "losses"), (True, "gains"))[: 1 + gains]:
            if not bool(exists(self.joint, 1, upper)):
                shape = abs(float(self.joint.subordinator.gig_params()[0]))
                raise ValueError(
                    f"the {name} of this law have no mean: the shape of its mixing "
                    f"variable is {shape:g}"
                )

    @classmethod
    def _check_size(cls, n, d):
        if n < 2:
            raise ValueError("X has 1 value; a fit needs at least 2 different ones")

    @classmethod
    def default_init(cls, X: Data, missing: str = "raise") -> Self:
        """A start for EM from data of shape ``(n,)``; see ``NormalMixture``.

        ``missing="em"`` or "drop" leaves out observations that are NaN.

        **Raises**: ``ValueError`` for fewer than 2 different values, NaN or infinite
        entries.
        """
        return cls(initial_joint(cls._joint_class, cls._rows_to_start(X, missing)))


def _level(level: ArrayLike) -> Array:
    """Checked levels."""
    levels = as_float(level)
    if not is_traced(levels):
        here = np.asarray(levels)
        if not ((here > 0) & (here < 1)).all():
            raise ValueError(f"a level must be between 0 and 1, got {level}")
    return levels


@of_each(options=ROWS)
def _log_prob(joint: JointNormalMixture, x: Array) -> Array:
    return joint.log_prob_marginal(x.reshape(-1, 1)).reshape(x.shape)


@of_each()
def _tails(joint: JointNormalMixture, x: Array) -> Tails:
    law, mu, sd = standard(joint)
    return Tails.of_logarithms(*mixture_log_tails(*law, (x - mu) / sd))


_quantile = of_each()(quantile)


@of_few()
def _quantile_table(joint: JointNormalMixture) -> QuantileTable:
    law, mu, sd = standard(joint)

    def of_log(log_q, upper):
        return mu + sd * mixture_log_quantile(log_q, upper, *law)

    def log_density(x):
        flat = joint.log_prob_marginal(x.reshape(-1, 1))
        return flat.reshape(x.shape)

    return QuantileTable.tabulate(of_log, log_density, of_logarithm=False)
