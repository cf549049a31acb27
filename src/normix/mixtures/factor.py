"""Marginal laws with a factor dispersion, for many dimensions."""

from __future__ import annotations

from typing import ClassVar, Self

from jaxtyping import Array, ArrayLike, Float

from normix._passes import Data
from normix.mixtures.classical import check_vectors, factor_dispersion, from_parts
from normix.mixtures.initial import initial_factor_joint
from normix.mixtures.low_rank import FactorDispersion
from normix.mixtures.multivariate import VectorMixture


class FactorNormalMixture(VectorMixture):
    r"""A mixture with ``Σ = F Fᵀ + diag(D)``, ``F`` of shape ``(d, r)``.

    :math:`X = \mu + \gamma Y + \sqrt Y (F Z + \sqrt D \varepsilon)`: r common factors
    and a noise of its own for every component. Densities, sampling and EM cost
    O(d r) a row; ``F`` is determined up to a rotation.
    """

    _dispersion_class: ClassVar[type[FactorDispersion]] = FactorDispersion
    _form: ClassVar[str] = "factor"
    takes_collinear: ClassVar[bool] = True

    @classmethod
    def from_classical(
        cls,
        *,
        mu: Float[ArrayLike, " d"],
        gamma: Float[ArrayLike, " d"],
        F: Float[ArrayLike, "d r"],
        D: Float[ArrayLike, " d"],
        **mixing: Float[ArrayLike, ""],
    ) -> Self:
        """From μ, γ and D ``(d,)``, F ``(d, r)`` and the parameters of Y.

        ``mixing``: the mixing variable's parameters, by the names that the class
        gives.

        **Raises**: ``ValueError`` for shapes that do not fit, a ``D`` that is not
        positive, or a parameter of Y that is missing or out of range.
        """
        mu, gamma = check_vectors(mu, gamma)
        dispersion = factor_dispersion(F, D, mu.shape[0])
        return cls(from_parts(cls._joint_class, mu, gamma, dispersion, mixing))

    def _dispersion_parameters(self):
        return {"F": self.F, "D": self.D}

    @property
    def _factors(self) -> FactorDispersion:
        dispersion = self.joint.dispersion
        assert isinstance(dispersion, FactorDispersion)
        return dispersion

    @property
    def F(self) -> Float[Array, "d r"]:
        """The loadings, shape ``(d, r)``."""
        return self._factors.F

    @property
    def D(self) -> Float[Array, " d"]:
        """The components' own dispersions, shape ``(d,)``."""
        return self._factors.D

    @property
    def r(self) -> int:
        """The number of factors."""
        return self._factors.rank

    @classmethod
    def _check_size(cls, n, d):
        if n < 2:
            raise ValueError("X has 1 row; a fit needs at least 2")

    @classmethod
    def default_init(cls, X: Data, r: int = 1, missing: str = "raise") -> Self:
        """A start for EM with ``r`` factors, from data of shape ``(n, d)``.

        The loadings are the leading principal components of the standardised columns;
        ``n`` may be less than ``d``. ``missing``: as of ``fit``. See also
        :meth:`NormalMixture.default_init`.

        **Raises**: ``ValueError`` for an ``r`` that is not from 1 to ``d``, fewer than
        2 rows, columns that are constant or equal up to their units, NaN or infinite
        entries.
        """
        rows = cls._rows_to_start(X, missing)
        if not 1 <= r <= rows.shape[1]:
            raise ValueError(f"r must be from 1 to {rows.shape[1]}, got {r}")
        return cls(initial_factor_joint(cls._joint_class, rows, r))
