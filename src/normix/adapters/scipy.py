"""SciPy: laws of normix as distributions of ``scipy.stats``.

SciPy comes with normix. Call ``jax.config.update("jax_enable_x64", True)`` first:
functions of SciPy expect double precision.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jaxtyping import ArrayLike, Float, PRNGKeyArray
from scipy import integrate, stats
from scipy.special import expit, log_expit

from normix._compile import of_each
from normix.distributions import MultivariateNormal
from normix.distributions.positive import PositiveFamily
from normix.mixtures.finite import FiniteMixture
from normix.mixtures.marginal import MarginalMixture
from normix.mixtures.model_steps import log_prob_of_rows
from normix.mixtures.multivariate import VectorMixture
from normix.mixtures.univariate import UnivariateNormalMixture

# Of an integral, at a kink too: each halves what is in doubt.
_SUBDIVISIONS = 200

# What SciPy takes for randomness.
Seed = int | np.random.RandomState | np.random.Generator | None

# Integrals over a law go over the log-odds of probability, in which they fall off
# exponentially. These pieces hold all that double precision does.
_LOG_ODDS = np.array([-690.0, -40.0, 0.0, 40.0, 690.0])


def distribution(model: Any) -> Any:
    """A law of normix as a frozen distribution of SciPy.

    - ``model``: a univariate mixture, a law of a positive variable such as
      :class:`~normix.Gamma`, a mixture or normal law of vectors, or a finite mixture.

    Univariate laws have all methods of SciPy's frozen continuous distributions, from
    ``pdf`` to ``expect``; functions of SciPy that take a family, such as
    :func:`scipy.stats.goodness_of_fit`, take its ``dist``, a :class:`Univariate`. Laws
    of vectors are a :class:`Multivariate`.

    **Raises**: ``ValueError`` for anything else.

    >>> from scipy import stats
    >>> from normix import UnivariateNormalInverseGaussian
    >>> from normix.adapters.scipy import distribution
    >>> model = UnivariateNormalInverseGaussian.from_classical(
    ...     mu=0.0, gamma=0.0, sigma=1.0, mu_ig=1.0, lam=1.0)
    >>> law = distribution(model)
    >>> sample = law.rvs(size=200, random_state=1)
    >>> bool(stats.kstest(sample, law.cdf).pvalue > 0.01)
    True
    """
    if isinstance(model, VectorMixture | MultivariateNormal):
        return Multivariate(model)
    if isinstance(model, UnivariateNormalMixture | PositiveFamily):
        return Univariate(model)()
    if isinstance(model, FiniteMixture):
        scalar = isinstance(model.components[0], UnivariateNormalMixture)
        return Univariate(model)() if scalar else Multivariate(model)
    raise ValueError(f"a law of normix is expected, got a {type(model).__name__}")


class Univariate(stats.rv_continuous):
    """A univariate law of normix, its location and scale free: a family of SciPy.

    ``family(loc, scale)`` is the law of ``loc + scale * X``, frozen; ``fit`` finds the
    two. There are no shapes: all else is as in ``model``.

    >>> from normix import Gamma
    >>> from normix.adapters.scipy import Univariate
    >>> family = Univariate(Gamma(alpha=2.0, beta=1.0))
    >>> law = family(1.0, 2.0)
    >>> float(law.mean()), float(law.ppf(0.0))
    (5.0, 1.0)
    """

    def __init__(self, model: Any):
        low = 0.0 if isinstance(model, PositiveFamily) else -np.inf
        super().__init__(a=low, b=np.inf, name=type(model).__name__)
        self.model = model

    # SciPy makes copies of a distribution by what its constructor takes.
    def _updated_ctor_param(self) -> dict[str, Any]:
        return {"model": self.model}

    def _logpdf(self, x):
        model = self.model
        by_number = isinstance(model, PositiveFamily)
        found = _log_prob_of_numbers(model, x) if by_number else model.log_prob(x)
        return np.asarray(found, float)

    def _pdf(self, x):
        return np.exp(self._logpdf(x))

    def _cdf(self, x):
        return np.asarray(self.model.cdf(x), float)

    def _sf(self, x):
        return np.asarray(self.model.sf(x), float)

    def _logcdf(self, x):
        return np.asarray(self.model.logcdf(x), float)

    def _logsf(self, x):
        return np.asarray(self.model.logsf(x), float)

    def _ppf(self, q):
        return np.asarray(self.model.ppf(q), float)

    def _isf(self, q):
        return np.asarray(self.model.isf(q), float)

    def _rvs(self, size=None, random_state=None):
        shape = () if size is None else tuple(np.atleast_1d(size))
        n = int(np.prod(shape, dtype=int))
        return np.asarray(_draws(self.model, n, random_state)).reshape(shape)

    def _stats(self, moments="mv"):
        model: Any = self.model
        mean = float(model.mean())
        variance = float(
            model.cov() if isinstance(model, FiniteMixture) else model.var()
        )
        skewness = kurtosis = None
        if isinstance(model, UnivariateNormalMixture):
            skewness, kurtosis = float(model.skewness()), float(model.kurtosis())
        return mean, variance, skewness, kurtosis

    def _munp(self, n):
        if isinstance(self.model, PositiveFamily):
            return float(self.model.raw_moment(n))
        return self.expect(lambda x: x**n)

    def _entropy(self):
        if isinstance(self.model, PositiveFamily):
            return float(self.model.entropy())
        return -self._between(self._logpdf, _LOG_ODDS[0], _LOG_ODDS[-1])

    def expect(
        self,
        func: Callable[[Any], Any] | None = None,
        args: tuple = (),
        loc: float = 0.0,
        scale: float = 1.0,
        lb: float | None = None,
        ub: float | None = None,
        conditional: bool = False,
        epsrel: float = 1e-10,
        epsabs: float = 0.0,
    ) -> float:
        """``E[func(loc + scale X)]``, the integral from ``lb`` to ``ub``.

        ``func`` takes a number; None is the identity. With ``conditional`` the mean
        given that X is between ``lb`` and ``ub``. ``epsrel``, ``epsabs``: errors that
        are allowed. The integral goes over probabilities, adaptively: laws of any
        width have their mass where it looks.
        """
        of = (lambda x: x) if func is None else func
        low, high = (
            side if end is None else (end - loc) / scale
            for end, side in ((lb, -np.inf), (ub, np.inf))
        )
        begin, end = (
            float(np.clip(self.logcdf(x) - self.logsf(x), _LOG_ODDS[0], _LOG_ODDS[-1]))
            for x in (low, high)
        )

        def each(x: np.ndarray) -> np.ndarray:
            return np.array([float(of(loc + scale * value)) for value in x])

        total = self._between(each, begin, end, epsrel, epsabs)
        return total / float(self.cdf(high) - self.cdf(low)) if conditional else total

    def _between(
        self,
        f: Callable[[np.ndarray], np.ndarray],
        begin: float,
        end: float,
        epsrel: float = 1e-10,
        epsabs: float = 0.0,
    ) -> float:
        """The integral of ``f`` over the law, between two log-odds of probability."""

        def at(t: np.ndarray) -> np.ndarray:
            t = t[:, 0]
            tail, below = expit(-np.abs(t)), t <= 0
            x = np.empty_like(t)
            x[below], x[~below] = self._ppf(tail[below]), self._isf(tail[~below])
            return f(x) * np.exp(log_expit(t) + log_expit(-t))

        inner = _LOG_ODDS[(_LOG_ODDS > begin) & (_LOG_ODDS < end)]
        ends = np.concatenate([[begin], inner, [end]])
        # The tails by what the middle has: of most laws there is nothing in them.
        order = np.argsort(np.abs(ends[1:] + ends[:-1]))
        total = 0.0
        for i in order:
            least: Any = max(epsabs, epsrel * abs(total))
            found = integrate.cubature(
                at,
                ends[i : i + 1],
                ends[i + 1 : i + 2],
                rtol=epsrel,
                atol=least,
                max_subdivisions=_SUBDIVISIONS,
            )
            total += float(found.estimate)
        return total


class Multivariate:
    """A law of vectors, with the methods of SciPy's multivariate distributions.

    - ``dim``: the number of dimensions; ``mean``, ``cov``: arrays.

    >>> import numpy as np
    >>> from normix import NormalInverseGaussian
    >>> from normix.adapters.scipy import Multivariate
    >>> law = Multivariate(NormalInverseGaussian.from_classical(
    ...     mu=[0, 0], gamma=[0, 0], sigma=np.eye(2), mu_ig=1.0, lam=1.0))
    >>> law.pdf(law.rvs(5, random_state=0)).shape, law.dim
    ((5,), 2)
    """

    def __init__(self, model: Any):
        self.model = model

    @property
    def dim(self) -> int:
        """The number of dimensions."""
        return self.model.d

    @property
    def mean(self) -> Float[np.ndarray, " d"]:
        """The mean."""
        return np.asarray(self.model.mean())

    @property
    def cov(self) -> Float[np.ndarray, "d d"]:
        """The covariance."""
        return np.asarray(self.model.cov())

    def logpdf(self, x: Float[ArrayLike, "*n d"]) -> Any:
        """The log-density at points along the last axis of ``x``, shape ``(..., d)``.

        **Raises**: ``ValueError`` for points of another length.
        """
        points = np.asarray(x, float)
        if points.shape[-1:] != (self.dim,):
            raise ValueError(f"x must have shape (..., {self.dim}), got {points.shape}")
        if isinstance(self.model, MarginalMixture):
            found = log_prob_of_rows(self.model.joint, points)
        else:
            found = _log_prob_of_rows(self.model, points)
        return np.asarray(found, float)[()]

    def pdf(self, x: Float[ArrayLike, "*n d"]) -> Any:
        """The density, as :meth:`logpdf`."""
        return np.exp(self.logpdf(x))

    def rvs(self, size: int | tuple[int, ...] = 1, random_state: Seed = None) -> Any:
        """Draws, shape ``(*size, d)``; one draw has shape ``(d,)``.

        ``random_state``: a seed or a generator, which moves on; None uses NumPy's
        global one.
        """
        shape = tuple(np.atleast_1d(size))
        n = int(np.prod(shape, dtype=int))
        draws = np.asarray(_draws(self.model, n, random_state))
        return draws[0] if size == 1 else draws.reshape(*shape, self.dim)


def _draws(model: Any, n: int, random_state: Seed) -> Any:
    return model.rvs(n, key=_key(random_state))


def _key(random_state: Seed) -> PRNGKeyArray:
    """A key of JAX from what SciPy takes for randomness."""
    most = np.iinfo(np.int32).max
    if isinstance(random_state, np.random.Generator):
        return jax.random.key(int(random_state.integers(most)))
    if random_state is None:
        return jax.random.key(int(np.random.randint(most)))
    if isinstance(random_state, np.random.RandomState):
        return jax.random.key(int(random_state.randint(most)))
    return jax.random.key(int(random_state))


def _log_prob(law: Any, x: Any) -> Any:
    return jax.vmap(law.log_prob)(x)


_log_prob_of_numbers = of_each()(_log_prob)
_log_prob_of_rows = of_each(axes=1, rank=1)(_log_prob)
