"""Marginal laws of one variable: scalars in, scalars out, and quantiles."""

from __future__ import annotations

from typing import ClassVar, Self

import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from normix._arrays import as_float, as_series
from normix._compile import of_few
from normix._passes import Data
from normix.distributions.quantile_table import QuantileTable, of_smaller_tail
from normix.mixtures.cholesky import CholeskyDispersion
from normix.mixtures.classical import check_scalars
from normix.mixtures.initial import initial_joint
from normix.mixtures.joint import JointNormalMixture
from normix.mixtures.marginal import MarginalMixture
from normix.mixtures.model_steps import log_prob_of_rows
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
        x = as_float(x)
        return log_prob_of_rows(self.joint, x.reshape(-1, 1)).reshape(x.shape)

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
        return jnp.exp(self.logcdf(x))

    def sf(self, x: ArrayLike) -> Real:
        """``P(X > x)``, elementwise in ``x``, without the cancellation of 1 - cdf."""
        return jnp.exp(self.logsf(x))

    def logcdf(self, x: ArrayLike) -> Real:
        """``log P(X <= x)``, elementwise in ``x``; finite where the cdf underflows."""
        return _log_tails(self.joint, as_float(x))[0]

    def logsf(self, x: ArrayLike) -> Real:
        """``log P(X > x)``, elementwise in ``x``; finite where the sf underflows."""
        return _log_tails(self.joint, as_float(x))[1]

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


def _standard(joint: JointNormalMixture):
    """``(p, a, b, B)`` and the map from the standardised variable: μ and σ."""
    sd = jnp.sqrt(joint.dispersion.variances()[0])
    p, a, b = joint.subordinator.gig_params()
    return (p, a, b, joint.gamma[0] / sd), joint.mu[0], sd


@of_few()
def _log_tails(joint: JointNormalMixture, x: Array):
    law, mu, sd = _standard(joint)
    return mixture_log_tails(*law, (x - mu) / sd)


@of_few()
def _quantile(joint: JointNormalMixture, q: Array, lower: bool | Array) -> Array:
    law, mu, sd = _standard(joint)

    def quantile(log_q, upper):
        return mu + sd * mixture_log_quantile(log_q, upper, *law)

    return of_smaller_tail(quantile, q, lower, -jnp.inf)


@of_few()
def _quantile_table(joint: JointNormalMixture) -> QuantileTable:
    law, mu, sd = _standard(joint)

    def quantile(log_q, upper):
        return mu + sd * mixture_log_quantile(log_q, upper, *law)

    def log_density(x):
        flat = joint.log_prob_marginal(x.reshape(-1, 1))
        return flat.reshape(x.shape)

    return QuantileTable.tabulate(quantile, log_density, of_logarithm=False)
