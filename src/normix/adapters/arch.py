r"""Innovations for the models of the package `arch`: NIG, VG, skew t and GH laws.

Each class is a distribution of arch, of mean 0 and variance 1. Set it on a model, and
``fit`` estimates its shape together with the mean and the volatility::

    model = arch_model(returns)
    model.distribution = StandardizedNormalInverseGaussian()

**Shape.** An innovation is :math:`X = \gamma (Y - 1) + \sigma \sqrt Y Z`, with ``Z``
standard normal and ``Y`` positive with mean 1 and variance ``v``. Two numbers say
which law it is:

.. math:: \xi = (1 + 1/v)^{-1/2}, \qquad \chi = \rho\,\xi, \qquad
    \rho = \operatorname{corr}(X, Y), \qquad |\chi| < \xi < 1,

so that :math:`\gamma = \rho/\sqrt v` and :math:`\sigma^2 = 1 - \rho^2`. For the NIG law
these are the steepness and the asymmetry of its shape triangle (Barndorff-Nielsen,
Blaesild, Jensen and Sørensen, A Celebration of Statistics, 1985; Barndorff-Nielsen,
Scandinavian Journal of Statistics 24, 1997): there :math:`1/v` is
:math:`\zeta = \delta\sqrt{\alpha^2 - \beta^2}` and ρ is :math:`\beta/\alpha`. Here the
other families have the same triangle. Its corner 0 is the normal law. Near it, with χ
small beside ξ, the skewness is :math:`3\chi` and the excess kurtosis
:math:`3\xi^2`, for all families. So data determine χ and ξ there, too, where they do
not determine ρ or ζ; and the heaviest tails are no farther away than ``ξ = 1``.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Sequence
from functools import partial
from itertools import product
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import ArrayLike
from numpy.random import Generator, RandomState

from normix._compile import grid
from normix.adapters import _arch_triangle as triangle
from normix.adapters._arch_density import (
    OF_ONE,
    log_density,
    moment_by_quadrature,
)
from normix.adapters._arch_triangle import Gig
from normix.mixtures.families import family_of
from normix.mixtures.losses import exists
from normix.mixtures.model_steps import of_vector
from normix.mixtures.univariate import UnivariateNormalMixture

try:
    from arch.univariate import Distribution
except ImportError as error:
    raise ImportError(
        "normix.adapters.arch needs the package arch: pip install arch"
    ) from error

Shape = Sequence[float] | ArrayLike
Size = int | tuple[int, ...]

# The names of the shape parameters; the last is that of a family with an order.
_NAMES = ("xi", "chi", "kappa")
# The least ξ of a fit: an excess kurtosis of 0.0075. To tell such a law from the normal
# one takes more than a million observations.
_NEARLY_NORMAL = 0.05
# Fits keep this far away from the other edges, where laws are one-sided or have no
# variance. Arch's differences step over bounds: half of it is left for them.
_EDGE = 0.01
# Variance gamma laws have a pole at their mode, and an unbounded likelihood, from
# ξ = sqrt(2/3) on: where the shape of Y is at most 1/2.
_POLE = 0.8
# What starts are chosen from, the best of them.
_STEEPNESSES = (0.15, 0.35, 0.55, 0.75)
_POSITIONS = (-0.6, 0.0, 0.6)


class StandardizedMixture(Distribution):
    """What the four families share. Abstract.

    ``seed``: of simulations, an integer, or a NumPy Generator or RandomState to draw
    from; None for one that differs each time. The draws themselves are JAX's, from a
    key that the generator gives.

    ``parameters`` of the methods are the shape, ξ and χ, and κ of the generalized
    hyperbolic family; see the module. A fit's are
    ``result.params[model.distribution.parameter_names()]``.

    **Raises**: ``ValueError`` in single precision: arch takes differences of
    likelihoods. ``TypeError`` for another seed.
    """

    _family: ClassVar[str]
    _label: ClassVar[str]
    _has_order: ClassVar[bool] = False
    _steepest: ClassVar[float] = 1 - _EDGE

    def __init__(self, *, seed: int | RandomState | Generator | None = None):
        if not jax.config.read("jax_enable_x64"):
            raise ValueError(
                "arch takes differences of likelihoods, which need double precision: "
                'call jax.config.update("jax_enable_x64", True) first'
            )
        super().__init__(seed=seed)
        self.num_params = 2 + self._has_order

    @property
    def name(self) -> str:
        """What a summary prints."""
        return f"Standardized {self._label}"

    @staticmethod
    @abstractmethod
    def _mixing(xi: float, *rest: float) -> Gig:
        """``(p, a, b)`` of Y: of mean 1 and variance ``ξ²/(1 - ξ²)``."""

    # -- the law -----------------------------------------------------------------

    def law(self, parameters: Shape) -> UnivariateNormalMixture:
        """The innovation's law, with its risk measures, tails and moments.

        ``law(...).affine(sd, mean)`` is that of a day with this mean and standard
        deviation, in units of the data.

        **Raises**: ``ValueError`` for another number of parameters, or outside the
        triangle.
        """
        family = family_of(self._family)
        vector = self._vector(self._checked(parameters))
        joint = of_vector(jnp.asarray(vector), OF_ONE, family.joint)
        return family.univariate(joint)

    def _vector(self, shape: np.ndarray) -> np.ndarray:
        xi, chi, *rest = shape
        return triangle.mixture(xi, chi, self._mixing(xi, *rest))

    def _checked(self, parameters: Shape | None) -> np.ndarray:
        names = self.parameter_names()
        shape = np.empty(0) if parameters is None else np.asarray(parameters, float)
        if shape.shape != (len(names),):
            raise ValueError(
                f"parameters must be {len(names)} numbers, {', '.join(names)}; got "
                f"shape {shape.shape}"
            )
        xi, chi, *rest = shape
        if not 0 < xi < 1:
            raise ValueError(f"xi must be between 0 and 1, got {xi}")
        if not abs(chi) < xi:
            raise ValueError(f"chi must be between -xi and xi = {xi}, got {chi}")
        if rest and not abs(rest[0]) <= 1:
            raise ValueError(f"kappa must be between -1 and 1, got {rest[0]}")
        return shape

    # -- what arch fits with -----------------------------------------------------

    def parameter_names(self) -> list[str]:
        """The names of the shape parameters."""
        return list(_NAMES[: self.num_params])

    def bounds(self, resids: ArrayLike) -> list[tuple[float, float]]:
        """The box that fits keep to, whatever the residuals ``resids`` are."""
        most = self._steepest
        box = [(_NEARLY_NORMAL, most), (-most, most), (_EDGE - 1, 1 - _EDGE)]
        return box[: self.num_params]

    def constraints(self) -> tuple[np.ndarray, np.ndarray]:
        """``A`` and ``b``: fits keep to ``A parameters >= b``.

        That is the triangle and, with an order, a distance from the poles of variance
        gamma laws: κ falls from 1 at ξ = 0.8 to 1/2, the NIG law, at ξ = 1.
        """
        side, slope = 1 - _EDGE, 0.5 / (1 - _POLE)
        A = np.array([[side, -1.0, 0.0], [side, 1.0, 0.0], [-slope, 0.0, -1.0]])
        b = np.array([0.0, 0.0, -1 - slope * _POLE])
        k = self.num_params
        return A[:k, :k], b[:k]

    def starting_values(self, std_resid: ArrayLike) -> np.ndarray:
        """The likeliest of a few shapes for standardised residuals, ``(n,)``."""
        z = np.asarray(std_resid, float)
        # Half of what it is near the normal law: well inside of the triangle.
        chi = np.mean((z - z.mean()) ** 3) / z.std() ** 3 / 6
        starts = [
            np.array([xi, np.clip(chi, -xi / 2, xi / 2), *kappa])
            for xi, *kappa in product(_STEEPNESSES, *[_POSITIONS] * self._has_order)
        ]
        one = np.ones_like(z)
        return max(starts, key=lambda shape: self.loglikelihood(shape, z, one))

    def loglikelihood(
        self,
        parameters: Shape,
        resids: ArrayLike,
        sigma2: ArrayLike,
        individual: bool = False,
    ) -> Any:
        """The log-likelihood of residuals given their conditional variances.

        ``resids`` and ``sigma2``, shape ``(n,)``. Their sum, a float, or with
        ``individual`` an array ``(n,)``. Outside of the triangle that of the nearest
        shape within.
        """
        variance = np.asarray(sigma2, float)
        z = np.asarray(resids, float) / np.sqrt(variance)
        vector = self._vector(self._inside(np.asarray(parameters, float)))
        values = log_density(vector, z) - 0.5 * np.log(variance)
        return values if individual else float(values.sum())

    def _inside(self, shape: np.ndarray) -> np.ndarray:
        edge = 0.5 * _EDGE
        xi, chi, *rest = shape
        xi = np.clip(xi, _NEARLY_NORMAL - edge, self._steepest + edge)
        most = (1 - edge) * xi
        return np.array([xi, np.clip(chi, -most, most), *np.clip(rest, -1, 1)])

    # -- simulation --------------------------------------------------------------

    def simulate(self, parameters: Shape) -> Callable[[Size], np.ndarray]:
        """A function that draws innovations: from a size or shape to an array.

        **Raises**: ``ValueError`` as :meth:`law`.
        """
        self._parameters = self._checked(parameters)
        return partial(self._draw, self.law(self._parameters))

    def _simulator(self, size: Size) -> np.ndarray:
        return self._draw(self.law(self._checked(self._parameters)), size)

    def _draw(self, law: UnivariateNormalMixture, size: Size) -> np.ndarray:
        random, most = self.generator, np.iinfo(np.int64).max
        if isinstance(random, Generator):
            seed = random.integers(most)
        else:
            seed = random.randint(most, dtype=np.int64)
        n = int(np.prod(size))
        draws = law.rvs(grid(n), key=jax.random.key(int(seed)))
        return np.array(draws)[:n].reshape(size)

    # -- probabilities and moments -----------------------------------------------

    def cdf(self, resids: ArrayLike, parameters: Shape | None = None) -> np.ndarray:
        """``P(X <= x)``, elementwise in ``resids``; of the shape ``parameters``.

        **Raises**: ``ValueError`` as :meth:`law`.
        """
        law = self.law(self._checked(parameters))
        return np.asarray(law.cdf(resids), float)[()]

    def ppf(self, pits: ArrayLike, parameters: Shape | None = None) -> Any:
        """The quantiles at the probabilities ``pits``, elementwise.

        **Raises**: ``ValueError`` as :meth:`law`.
        """
        law = self.law(self._checked(parameters))
        return np.asarray(law.ppf(pits), float)[()]

    def moment(self, n: int, parameters: Shape | None = None) -> float:
        """``E[Xⁿ]``, NaN where that is infinite; from order 5 on by quadrature.

        **Raises**: ``ValueError`` as :meth:`law`.
        """
        law = self.law(self._checked(parameters))
        if n in (0, 1, 2):
            return float(n != 1)
        if n in (3, 4):
            value = float(law.skewness() if n == 3 else law.kurtosis() + 3)
            return value if math.isfinite(value) else math.nan
        if n < 0 or not bool(exists(law.joint, n, True)):
            return math.nan
        return self.partial_moment(n, math.inf, parameters)

    def partial_moment(
        self, n: int, z: float = 0.0, parameters: Shape | None = None
    ) -> float:
        """``E[Xⁿ; X <= z]``, NaN where infinite; from order 3 on by quadrature.

        **Raises**: ``ValueError`` as :meth:`law`.
        """
        shape = self._checked(parameters)
        law = self.law(shape)
        if n < 0 or not bool(exists(law.joint, n, False)):
            return math.nan
        if n > 2 or math.isinf(z):
            return moment_by_quadrature(self._vector(shape), n, z)
        chance = float(law.cdf(z))
        if n == 0:
            return chance
        # From E[(z - X)₊] and its like of order 2.
        first = z * chance - float(law.partial_moment(z))
        if n == 1:
            return first
        return float(law.partial_moment(z, 2)) - z * z * chance + 2 * z * first


class StandardizedNormalInverseGaussian(StandardizedMixture):
    r"""Normal inverse Gaussian innovations.

    Tails are exponential, with a factor :math:`|x|^{-3/2}`. As ``xi`` grows from 0 to
    1, the excess kurtosis of the symmetric law, :math:`3\xi^2/(1 - \xi^2)`, grows from
    that of the normal law beyond all bounds.

    >>> from normix.adapters.arch import StandardizedNormalInverseGaussian
    >>> nig = StandardizedNormalInverseGaussian(seed=1)
    >>> law = nig.law([0.6, -0.1])
    >>> print(round(float(law.lam), 4), round(float(law.var()), 12))
    1.7778 1.0
    >>> print(round(float(law.value_at_risk(0.99)), 3))
    2.793
    """

    _family: ClassVar[str] = "nig"
    _label: ClassVar[str] = "normal inverse Gaussian"

    @staticmethod
    def _mixing(xi: float, *rest: float) -> Gig:
        return triangle.inverse_gaussian(xi)


class StandardizedVarianceGamma(StandardizedMixture):
    r"""Variance gamma innovations.

    Tails are exponential, the peak is sharp. ``Y`` has the shape
    :math:`\xi^{-2} - 1`. From ``xi`` 0.707 on the peak is a cusp, and arch's standard
    errors, which ask for two derivatives, are far too small. From 0.816 on it is a
    pole, and the likelihood has no bound: fits keep to 0.8.

    >>> from normix.adapters.arch import StandardizedVarianceGamma
    >>> law = StandardizedVarianceGamma().law([0.5, 0.0])
    >>> print(round(float(law.alpha), 12), round(float(law.kurtosis()), 12))
    3.0 1.0
    """

    _family: ClassVar[str] = "vg"
    _label: ClassVar[str] = "variance gamma"
    _steepest: ClassVar[float] = _POLE

    @staticmethod
    def _mixing(xi: float, *rest: float) -> Gig:
        return triangle.gamma(xi)


class StandardizedNormalInverseGamma(StandardizedMixture):
    r"""Skew t innovations, of the generalized hyperbolic skew t law.

    With ``chi = 0`` Student's t with :math:`\nu = 2 + 2/\xi^2` degrees of freedom,
    always above 4, as a skewed law of this family has no variance below (Aas & Haff,
    Journal of Financial Econometrics 4, 2006). The tail that skewness points to falls
    with the power ν/2 of x (the other one exponentially), without skewness with ν.

    >>> from normix.adapters.arch import StandardizedNormalInverseGamma
    >>> law = StandardizedNormalInverseGamma().law([0.5, 0.0])
    >>> print(round(2 * float(law.alpha), 12), round(float(law.var()), 12))
    10.0 1.0
    """

    _family: ClassVar[str] = "t"
    _label: ClassVar[str] = "normal inverse gamma (skew t)"

    @staticmethod
    def _mixing(xi: float, *rest: float) -> Gig:
        return triangle.inverse_gamma(xi)


class StandardizedGeneralizedHyperbolic(StandardizedMixture):
    r"""Generalized hyperbolic innovations, with the shape parameters ξ, χ and κ.

    The order of ``Y ~ GIG(p, a, b)`` is :math:`p = -1 + \kappa/\xi^2`. So κ says where
    between the families of the same ξ and χ a law is: -1 is the skew t law, 1 variance
    gamma, :math:`\xi^2/2` normal inverse Gaussian, :math:`2\xi^2` hyperbolic. It needs
    thousands of observations, and near the normal law more: its standard error tells.

    >>> from normix.adapters.arch import StandardizedGeneralizedHyperbolic
    >>> law = StandardizedGeneralizedHyperbolic().law([0.5, 0.1, 0.125])
    >>> print(round(float(law.p), 12), round(float(law.a), 12))
    -0.5 3.0
    """

    _family: ClassVar[str] = "gh"
    _label: ClassVar[str] = "generalized hyperbolic"
    _has_order: ClassVar[bool] = True

    @staticmethod
    def _mixing(xi: float, *rest: float) -> Gig:
        return triangle.generalized(xi, *rest)
