"""The dispersion Σ of a normal variance-mean mixture, and what depends on its form."""

from __future__ import annotations

from abc import abstractmethod
from typing import NamedTuple, Self

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from normix.mixtures.constraints import Constraints, Pin
from normix.mixtures.statistics import MixtureStatistics, PosteriorMeans


class InnerProducts(NamedTuple):
    """``rᵀΣ⁻¹r`` and ``rᵀΣ⁻¹γ`` of every row ``r``, and ``γᵀΣ⁻¹γ``.

    ``across`` is the part of the first that is orthogonal to γ, computed without the
    cancellation of ``quadratic - cross²/skew``.
    """

    quadratic: Float[Array, " n"]
    cross: Float[Array, " n"]
    skew: Float[Array, ""]
    across: Float[Array, " n"]


class Seen(NamedTuple):
    """Rows ``r = x - μ`` of which some columns are not seen, completed given Y.

    Given Y, what is not seen has the mean ``rows + (γ - gamma) Y``: ``rows`` is its
    regression on what is seen, and ``gamma`` that of γ. ``log_det``: ``log |Σ|`` of the
    columns that are seen. ``left``: what :meth:`Dispersion.completed` needs besides.
    """

    rows: Float[Array, "n d"]
    gamma: Float[Array, " d"]
    log_det: Float[Array, ""]
    left: Array


def slope_along(cross: Array, skew: Array) -> Array:
    """The multiple of γ nearest to each row; 0 where γ is."""
    return cross / jnp.where(skew > 0, skew, 1.0)


class Dispersion(eqx.Module):
    """A positive definite Σ in one of its forms.

    A form says how Σ is stored and applied, which expectations an E-step collects for
    it and how an M-step estimates it. Everything else about a mixture is written once.
    """

    @property
    @abstractmethod
    def shape(self) -> tuple[int, ...]:
        """``(d,)``, the shape of a vector beside it."""

    @property
    @abstractmethod
    def rank(self) -> int:
        """The number of factors, 0 for a full dispersion."""

    @abstractmethod
    def matrix(self) -> Float[Array, "d d"]:
        """Σ itself."""

    @abstractmethod
    def precision(self) -> Float[Array, "d d"]:
        """``Σ⁻¹``."""

    @abstractmethod
    def variances(self) -> Float[Array, " d"]:
        """The diagonal of Σ."""

    @abstractmethod
    def log_det(self) -> Float[Array, ""]:
        """``log |Σ|``."""

    @abstractmethod
    def inner_products(
        self, residuals: Float[Array, "n d"], gamma: Float[Array, " d"]
    ) -> InnerProducts:
        """The inner products of every row and γ in the metric of ``Σ⁻¹``."""

    @abstractmethod
    def seen(
        self,
        mask: Bool[Array, " d"],
        residuals: Float[Array, "n d"],
        gamma: Float[Array, " d"],
    ) -> Seen:
        """Rows of which the columns in ``mask`` are seen, the others being any number.

        Inner products of the completed rows, and of the ``gamma`` found, in the metric
        of the whole ``Σ⁻¹`` are those of what is seen in that of its own.
        """

    @abstractmethod
    def unseen_variances(
        self, mask: Bool[Array, " d"], left: Array
    ) -> Float[Array, " d"]:
        """Of the columns not seen, given the others and per unit of Y; else 0."""

    @abstractmethod
    def completed(
        self,
        eta: MixtureStatistics,
        mask: Bool[Array, " d"],
        kappa: Float[Array, " d"],
        left: Array,
        weight: Float[Array, ""],
    ) -> MixtureStatistics:
        """Sums of :meth:`collect` over completed rows, with what is not seen.

        ``kappa`` is the rest ``γ - gamma`` of :meth:`seen`, ``left`` its last part, and
        ``weight`` that of the rows.
        """

    @abstractmethod
    def scaled(self, s: Float[Array, ""]) -> Self:
        """The dispersion ``s Σ``."""

    @abstractmethod
    def widened(self, v: Float[Array, " d"]) -> Self:
        """``Σ + v vᵀ``; or, in a form that has none, something as wide along v."""

    @abstractmethod
    def at_least(self, cov: Float[Array, "d d"]) -> tuple[Self, Bool[Array, ""]]:
        """Σ, but along no direction less than ``cov``; and whether it was.

        Of full dispersions that solve an M-step for Σ it is the best; in a form with
        variances of its own these are at least those of ``cov``.
        """

    @abstractmethod
    def in_units(self, unit: Float[Array, " d"]) -> Self:
        """The dispersion of ``unit * X``, component by component."""

    @abstractmethod
    def noise(self, key: PRNGKeyArray, n: int) -> Float[Array, "n d"]:
        """``n`` draws of N(0, Σ)."""

    @abstractmethod
    def selected(self, indices: Array) -> Self:
        """The rows and columns ``indices`` of Σ."""

    @abstractmethod
    def conditional(
        self, given: Array, rest: Array
    ) -> tuple[Float[Array, "k m"], Self, Self]:
        """``Σ_rg Σ_gg⁻¹``, ``Σ_gg`` and ``Σ_rr - Σ_rg Σ_gg⁻¹ Σ_gr``."""

    @abstractmethod
    def parameters(self) -> tuple[Array, ...]:
        """What EM watches, of the data's units along the first axis."""

    @abstractmethod
    def flat(self) -> Float[Array, " k"]:
        """What Σ is stored as, in one vector."""

    @classmethod
    @abstractmethod
    def from_flat(cls, vector: Float[Array, " k"], d: int, r: int) -> Self:
        """The inverse of :meth:`flat`, in ``d`` dimensions and with ``r`` factors."""

    @staticmethod
    @abstractmethod
    def stored(d: int, r: int) -> int:
        """The length of that vector."""

    @staticmethod
    @abstractmethod
    def shapes(d: int, r: int) -> tuple[tuple[int, ...], ...]:
        """Of the statistics that an M-step takes, but those of Y alone."""

    @abstractmethod
    def collect(
        self,
        X: Float[Array, "n d"],
        mu: Float[Array, " d"],
        gamma: Float[Array, " d"],
        means: PosteriorMeans,
    ) -> MixtureStatistics:
        """Sums over rows, by weight, of the expected statistics."""

    @abstractmethod
    def expectations(
        self, mu: Float[Array, " d"], gamma: Float[Array, " d"], means: PosteriorMeans
    ) -> MixtureStatistics:
        """The same expectations under the model itself, whose Y has these means."""

    @abstractmethod
    def gradient(
        self,
        eta: MixtureStatistics,
        mu: Float[Array, " d"],
        gamma: Float[Array, " d"],
    ) -> tuple[Float[Array, " d"], Float[Array, " d"], Self]:
        """Of the expected log-density of what the mixture is made of, given Y.

        That of X, or of X and its factors; by μ, γ and what Σ is stored as. Of a root
        also by its upper part, as if it had one.
        """

    @classmethod
    @abstractmethod
    def maximised(
        cls,
        eta: MixtureStatistics,
        constraints: Constraints,
        pin: Pin | None = None,
    ) -> tuple[Float[Array, " d"], Float[Array, " d"], Self]:
        """``μ``, ``γ`` and Σ of maximum likelihood for these expectations."""

    @abstractmethod
    def coordinates(self, delta: Float[Array, " d"]) -> Float[Array, " k"]:
        """Unconstrained coordinates of δ, which come first, and of Σ, as one vector.

        δ is the part of the variance that skewness takes: X has about Σ + δδᵀ.
        """

    @abstractmethod
    def at(self, coordinates: Float[Array, " k"]) -> tuple[Float[Array, " d"], Self]:
        """δ and Σ: the inverse of :meth:`coordinates`, for a Σ such as this."""

    @abstractmethod
    def pulled_back(self, delta: Array, by_delta: Array, slopes: Self) -> Array:
        """Slopes by :meth:`coordinates`, of those by δ and by what Σ is stored as."""

    @abstractmethod
    def apart(self, coordinates: Float[Array, " k"], most: float) -> Array:
        """Coordinates with a ``δᵀΣ⁻¹δ`` of ``most``, where it is larger."""
