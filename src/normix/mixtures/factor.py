"""Marginal laws with a factor dispersion, for many dimensions."""

from __future__ import annotations

from typing import ClassVar, Self

from jaxtyping import Array, ArrayLike, Float

from normix._arrays import as_data
from normix.mixtures.classical import check_vectors, factor_dispersion, from_parts
from normix.mixtures.initial import check_columns, initial_factor_joint
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
        return self._factors.r

    @classmethod
    def check_rows(cls, X):
        check_columns(X, least=2)

    @classmethod
    def default_init(cls, X: Float[ArrayLike, "n d"], r: int = 1) -> Self:
        """A start for EM with ``r`` factors, from data of shape ``(n, d)``.

        The loadings are the leading principal components of the standardised columns;
        ``n`` may be less than ``d``. See also :meth:`NormalMixture.default_init`.

        **Raises**: ``ValueError`` for an ``r`` that is not from 1 to ``d``, fewer than
        2 rows, constant columns, NaN or infinite entries.
        """
        X = as_data(X)
        check_columns(X, least=2)
        if not 1 <= r <= X.shape[1]:
            raise ValueError(f"r must be from 1 to {X.shape[1]}, got {r}")
        return cls(initial_factor_joint(cls._joint_class, X, r))
