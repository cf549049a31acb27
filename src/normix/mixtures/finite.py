"""Finite mixtures: a law of X for each of several groups, and their weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Int, PRNGKeyArray

from normix._arrays import as_float, as_weights, check_count, is_traced
from normix._missing import present
from normix.mixtures.charted import n_parameters
from normix.mixtures.families import family_of
from normix.mixtures.finite_parts import (
    check_components,
    check_weights,
    chosen_by,
    form_of,
    mixed,
    shares_of,
)
from normix.mixtures.finite_quantiles import Tails, quantile, traced_quantile
from normix.mixtures.finite_start import best_start
from normix.mixtures.marginal import MarginalMixture
from normix.mixtures.model_steps import log_prob_of_rows, log_prob_seen
from normix.mixtures.multivariate import VectorMixture
from normix.mixtures.univariate import UnivariateNormalMixture


class FiniteMixture(eqx.Module):
    r"""A mixture of ``k`` laws: X is of component j with probability :math:`\pi_j`.

    - ``weights``: the probabilities, shape ``(k,)``.
    - ``components``: ``k`` models such as :class:`~normix.NormalInverseGaussian`, of
      any families and forms: all of vectors of the same length, or all univariate.

    Its density is :math:`\sum_j \pi_j f_j(x)` (McLachlan & Peel, Finite Mixture Models,
    2000). :meth:`fit` is EM for all parameters together.

    **Raises**: ``ValueError`` for no components, components of different dimensions or
    mixed with univariate ones, and weights that are no probabilities.

    >>> from normix import FiniteMixture, UnivariateNormalInverseGaussian
    >>> def nig(mu):
    ...     return UnivariateNormalInverseGaussian.from_classical(
    ...         mu=mu, gamma=0.0, sigma=1.0, mu_ig=1.0, lam=1.0)
    >>> model = FiniteMixture([0.25, 0.75], [nig(-4.0), nig(4.0)])
    >>> float(model.mean()), model.predict([-3.0, 5.0]).tolist()
    (2.0, [0, 1])
    """

    weights: Float[Array, " k"] = eqx.field(converter=as_float)
    components: tuple[MarginalMixture, ...] = eqx.field(converter=tuple)

    def __check_init__(self):
        check_components(self.components)
        check_weights(self.weights, len(self.components))

    def __hash__(self) -> int:
        # By identity, arrays having no hash: so that jax.jit(model.log_prob) works.
        return id(self)

    def __repr__(self) -> str:
        return eqx.tree_pformat(self, short_arrays=False)

    @property
    def k(self) -> int:
        """The number of components."""
        return len(self.components)

    @property
    def d(self) -> int:
        """The number of dimensions."""
        return self.components[0].d

    @property
    def n_parameters(self) -> int:
        """The free parameters: those of the components, and ``k - 1`` weights."""
        each = (n_parameters(component.joint) for component in self.components)
        return sum(each) + self.k - 1

    # -- distribution ----------------------------------------------------------------

    def log_prob(self, x: ArrayLike) -> Array:
        """The log-density at one ``x`` of shape ``(d,)``, or elementwise if univariate.

        **Raises**: ``ValueError`` for another shape.
        """
        each = jnp.stack([c.log_prob(x) for c in self._any], axis=-1)
        return mixed(each, self.weights)

    def pdf(self, x: ArrayLike) -> Array:
        """The density, as :meth:`log_prob`."""
        return jnp.exp(self.log_prob(x))

    def log_prob_observed(self, x: Float[ArrayLike, " d"]) -> Float[Array, ""]:
        """The log-density of those entries of ``x``, shape ``(d,)``, that are not NaN.

        **Raises**: ``ValueError`` for another shape, and for a univariate mixture.
        """
        parts = self._vectors("log_prob_observed")
        return mixed(jnp.stack([c.log_prob_observed(x) for c in parts]), self.weights)

    def marginal_log_likelihood(
        self,
        X: ArrayLike,
        weights: Float[ArrayLike, " n"] | None = None,
        missing: str = "raise",
    ) -> Float[Array, ""]:
        """The mean log-density over the observations ``X``, by weight if given.

        ``missing``: as of :meth:`fit`.

        **Raises**: ``ValueError`` for another shape, NaN or infinite entries.
        """
        each, w = self._densities(X, weights, missing)
        values = mixed(each, self.weights)
        return values.mean() if w is None else values @ w / w.sum()

    def predict_proba(
        self, X: ArrayLike, missing: str = "raise"
    ) -> Float[Array, "n k"]:
        """The probability of every component, given each observation of ``X``.

        With ``missing="em"`` given the entries that are not NaN, of which a row may
        have none.

        **Raises**: ``ValueError`` for another shape, NaN or infinite entries.
        """
        each = self._densities(X, None, missing, empty=True)[0]
        return shares_of(each, self.weights)

    def predict(self, X: ArrayLike, missing: str = "raise") -> Int[Array, " n"]:
        """The most probable component of each observation, as :meth:`predict_proba`."""
        return self.predict_proba(X, missing).argmax(axis=1)

    def mean(self) -> Float[Array, "*d"]:
        """The mean."""
        return self._average([c.mean() for c in self.components])

    def cov(self) -> Float[Array, "*d_d"]:
        """The covariance: within components, and between their means."""
        within = self._average([c.cov() for c in self.components])
        means = jnp.stack([c.mean() for c in self.components])
        gaps = means - self._average(list(means))
        between = [jnp.outer(gap, gap).reshape(within.shape) for gap in gaps]
        return within + self._average(between)

    def rvs(
        self, n: int, seed: int = 42, *, key: PRNGKeyArray | None = None
    ) -> Float[Array, "n *d"]:
        """``n`` independent draws along the first axis; ``key`` replaces ``seed``.

        >>> from normix import FiniteMixture, UnivariateVarianceGamma
        >>> vg = UnivariateVarianceGamma.from_classical(
        ...     mu=0.0, gamma=0.0, sigma=1.0, alpha=2.0, beta=2.0)
        >>> FiniteMixture([0.5, 0.5], [vg, vg.affine(2.0)]).rvs(3).shape
        (3,)
        """
        return self.rvs_labelled(n, seed, key=key)[0]

    def rvs_labelled(
        self, n: int, seed: int = 42, *, key: PRNGKeyArray | None = None
    ) -> tuple[Float[Array, "n *d"], Int[Array, " n"]]:
        """Draws as :meth:`rvs`, and the component of each."""
        check_count("n", n)
        own, *keys = jax.random.split(
            jax.random.key(seed) if key is None else key, self.k + 1
        )
        each = [c.rvs(n, key=k) for c, k in zip(self.components, keys, strict=True)]
        return chosen_by(own, self.weights, each)

    # -- one variable ----------------------------------------------------------------

    def cdf(self, x: ArrayLike) -> Array:
        """``P(X <= x)`` of a univariate mixture, elementwise in ``x``.

        **Raises**: ``ValueError`` for a mixture of vectors.
        """
        return self._average([c.cdf(x) for c in self._scalars("cdf")])

    def sf(self, x: ArrayLike) -> Array:
        """``P(X > x)`` of a univariate mixture, elementwise in ``x``.

        **Raises**: ``ValueError`` for a mixture of vectors.
        """
        return self._average([c.sf(x) for c in self._scalars("sf")])

    def logcdf(self, x: ArrayLike) -> Array:
        """``log P(X <= x)`` of a univariate mixture, elementwise in ``x``.

        **Raises**: ``ValueError`` for a mixture of vectors.
        """
        each = [c.logcdf(x) for c in self._scalars("logcdf")]
        return mixed(jnp.stack(each, axis=-1), self.weights)

    def logsf(self, x: ArrayLike) -> Array:
        """``log P(X > x)`` of a univariate mixture, elementwise in ``x``.

        **Raises**: ``ValueError`` for a mixture of vectors.
        """
        each = [c.logsf(x) for c in self._scalars("logsf")]
        return mixed(jnp.stack(each, axis=-1), self.weights)

    def ppf(self, q: ArrayLike) -> Array:
        """The quantile: ``x`` with ``cdf(x) = q``, elementwise; NaN outside [0, 1].

        Differentiable in ``q`` and the parameters (implicitly).

        **Raises**: ``ValueError`` for a mixture of vectors.
        """
        return self._quantile("ppf", q)

    def isf(self, q: ArrayLike) -> Array:
        """``x`` with ``sf(x) = q``, elementwise; the way to small upper tails.

        **Raises**: as :meth:`ppf`.
        """
        return self._quantile("isf", q)

    def _quantile(self, name: str, q: ArrayLike) -> Array:
        parts = [getattr(c, name) for c in self._scalars(name)]
        law = Tails(self.logcdf, self.logsf, self.log_prob)
        if not is_traced(self, q):
            return quantile(law, parts, np.asarray(as_float(q)), name == "ppf")
        q = jnp.asarray(q, self.weights.dtype)
        return traced_quantile(law, parts, q, name == "ppf")

    # -- laws of parts and images ----------------------------------------------------

    def marginal(self, indices: Sequence[int] | Array) -> FiniteMixture:
        """The law of the components ``indices`` of X, in their order.

        **Raises**: ``ValueError`` for indices that are out of range or repeated, and
        for a univariate mixture.
        """
        parts = [c.marginal(indices) for c in self._vectors("marginal")]
        return FiniteMixture(self.weights, parts)

    def conditional(
        self, indices: Sequence[int] | Array, x: Float[ArrayLike, " k"]
    ) -> FiniteMixture:
        """The law of the other components of X given that ``X[indices] = x``.

        The weights are those that the components have given ``x``.

        **Raises**: as :meth:`NormalMixture.conditional`, and for a univariate mixture.
        """
        parts = self._vectors("conditional")
        x = jnp.atleast_1d(as_float(x))
        left = [c.conditional(indices, x) for c in parts]
        each = jnp.stack([c.marginal(indices).log_prob(x) for c in parts])
        return FiniteMixture(shares_of(each[None], self.weights)[0], left)

    def project(self, w: Float[ArrayLike, " d"]) -> FiniteMixture:
        """The univariate law of ``wᵀX``.

        **Raises**: ``ValueError`` for another shape or a ``w`` that is 0, and for a
        univariate mixture.
        """
        parts = [c.project(w) for c in self._vectors("project")]
        return FiniteMixture(self.weights, parts)

    # -- fits ------------------------------------------------------------------------

    @classmethod
    def default_init(
        cls,
        X: ArrayLike,
        k: int,
        family: str = "nig",
        factors: int = 0,
        *,
        n_starts: int = 10,
        key: PRNGKeyArray | None = None,
        missing: str = "raise",
    ) -> FiniteMixture:
        """A start for :meth:`fit`: the best of several after a few EM steps of each.

        - ``X``: shape ``(n, d)``, or ``(n,)`` for univariate components.
        - ``k``: the number of components.
        - ``family``: that of all of them, "nig", "vg", "t" or "gh".
        - ``factors``: of every component, 0 for a full dispersion.
        - ``n_starts``: every other one from k-means++ (Arthur & Vassilvitskii, SODA
          2007) and Lloyd's iteration, in the metric of the covariance of all rows; the
          others from rows at random.
        - ``key``: a JAX random key; by default always the same.
        - ``missing``: as of :meth:`fit`.

        Of many rows a random part is used.

        **Raises**: ``ValueError`` for a ``k`` or ``n_starts`` below 1, an unknown
        family, and data that no component could be fitted to, or not ``k`` of them.
        """
        member = form_of(family_of(family), np.ndim(X), factors)
        if k < 1 or n_starts < 1:
            raise ValueError(
                f"k and n_starts must be at least 1, got k={k}, n_starts={n_starts}"
            )
        rows = np.asarray(member._rows_to_start(X, missing))
        if not 0 <= factors <= rows.shape[1]:
            raise ValueError(f"factors must be from 0 to {rows.shape[1]}")
        chosen = jax.random.key(0) if key is None else key
        found = best_start(member._joint_class, rows, k, factors, n_starts, chosen)
        return cls(found.weights, [member(joint) for joint in found.joints])

    def fit(
        self,
        X: ArrayLike,
        *,
        weights: Float[ArrayLike, " n"] | None = None,
        callback: Callable[[Any], object] | None = None,
        missing: str = "raise",
        **options: Any,
    ):
        """Fit to ``X`` from here; a :class:`~normix.FiniteMixtureResult`.

        ``options`` are those of :class:`~normix.FiniteMixtureFitter`, the other
        arguments those of its ``fit``.
        """
        from normix.fitting.finite.fitter import FiniteMixtureFitter

        fitter = FiniteMixtureFitter(**options)
        return fitter.fit(self, X, weights=weights, callback=callback, missing=missing)

    # -- parts -----------------------------------------------------------------------

    @property
    def _any(self) -> list[Any]:
        return list(self.components)

    def _vectors(self, asked: str) -> list[VectorMixture]:
        if not isinstance(self.components[0], VectorMixture):
            raise ValueError(f"{asked} is of mixtures of vectors; this is univariate")
        return cast(list[VectorMixture], self._any)

    def _scalars(self, asked: str) -> list[UnivariateNormalMixture]:
        if not isinstance(self.components[0], UnivariateNormalMixture):
            raise ValueError(f"{asked} is of univariate mixtures; see project")
        return cast(list[UnivariateNormalMixture], self._any)

    def _average(self, values: list[Array]) -> Array:
        return jnp.tensordot(self.weights, jnp.stack(values), 1)

    def _densities(
        self, X: ArrayLike, weights: Any, missing: str, empty: bool = False
    ) -> tuple[Array, Array | None]:
        """Log-densities of all rows under all components, shape ``(n, k)``.

        With ``missing="em"`` also, if ``empty``, of rows without an entry: 0.
        """
        first = self.components[0]
        rows: Any = first._rows(X, self.d, missing=missing != "raise")
        w = None if weights is None else as_weights(weights, rows.shape[0])
        found = present(rows, w, missing)
        if missing == "em" and empty and found.left_out:
            found = found._replace(rows=rows, share=1.0)
        gaps = missing == "em" and found.has_gaps
        density = log_prob_seen if gaps else log_prob_of_rows
        each = [density(c.joint, found.rows) for c in self.components]
        return jnp.stack(each, axis=1), found.weights
