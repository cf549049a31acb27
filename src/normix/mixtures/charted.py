"""A law of X by unconstrained coordinates, and the score by them."""

from abc import abstractmethod
from typing import Self

import jax
from jaxtyping import Array, ArrayLike, Float

from normix._arrays import as_float
from normix._compile import small
from normix.mixtures.gauges import Gauged
from normix.mixtures.joint import JointNormalMixture
from normix.mixtures.score import score_of_rows


class Charted(Gauged):
    """A law of X whose parameters are also a vector without constraints."""

    @classmethod
    @abstractmethod
    def _rows(
        cls, X: ArrayLike, columns: int | None = None, *, missing: bool = False
    ) -> Float[Array, "n d"]:
        """Observations along the first axis, checked, as rows; ``missing`` takes NaN.

        **Raises**: ``ValueError`` for another shape, NaN or infinite entries.
        """

    def coordinates(self) -> Float[Array, " k"]:
        """The parameters of the law of X as ``k`` numbers, each of any value.

        Nothing is redundant: the unit of Y, which the law of X does not tell, is the
        one in which the density of ``log Y`` is highest at 0. In it, with
        ``ω = √(p² + ab)``, ``δ = γ/√ω``, ``R`` the Cholesky factor of ``Σ + δδᵀ`` and
        ``ρ = R⁻¹δ``, they are

        - ``μ + γ``;
        - ``ρ artanh(|ρ|)/|ρ|``, the share of skewness;
        - the logarithms of the diagonal of R, then what lies below it, row by row;
        - of the mixing law ``log ω`` (variance gamma, skew t), ``log √(ab)`` (normal
          inverse Gaussian), or ``log ω`` and ``artanh(p/ω)`` (generalized hyperbolic;
          with ``a = 0`` or ``b = 0`` ``log ω`` alone).

        Of factor forms the second and third are δ itself, ``log D`` and F row by row;
        turning F is redundant.

        >>> from normix import UnivariateNormalInverseGaussian
        >>> model = UnivariateNormalInverseGaussian.from_classical(
        ...     mu=0.1, gamma=0.2, sigma=1.0, mu_ig=1.0, lam=1.5
        ... )
        >>> model.coordinates().shape
        (4,)
        """
        return _coordinates(self.joint)

    def at(self, coordinates: Float[ArrayLike, " k"]) -> Self:
        """The law with these coordinates: the inverse of :meth:`coordinates`.

        In the same limit as this law, if it is in one; and of the same order, where
        that is no coordinate.

        **Raises**: ``ValueError`` for another shape.
        """
        point = as_float(coordinates)
        wanted = jax.eval_shape(_coordinates, self.joint).shape
        if point.shape != wanted:
            raise ValueError(f"coordinates must have shape {wanted}, got {point.shape}")
        return type(self)(_at(self.joint, point))

    def score(self, X: ArrayLike) -> Float[Array, "n k"]:
        """The gradient of every observation's log-density by :meth:`coordinates`.

        ``X``: shape ``(n, d)``, or ``(n,)`` for a univariate model. At a maximum of the
        likelihood the columns sum to 0. From the expectations of ``Y`` given ``X``, by
        Fisher's identity (Dempster, Laird & Rubin, J. R. Stat. Soc. B 39, 1977).

        **Raises**: ``ValueError`` for another shape, NaN or infinite entries.
        """
        return _score(self.joint, self._rows(X, self.joint.d))


@small()
def _coordinates(joint: JointNormalMixture) -> Array:
    return joint.coordinates()


@small()
def _at(joint: JointNormalMixture, point: Array) -> JointNormalMixture:
    return joint.at(point)


@jax.jit
def _score(joint: JointNormalMixture, X: Array) -> Array:
    law = joint.law()
    return score_of_rows(law, X, joint.moving)[:, joint.free]


def n_parameters(joint: JointNormalMixture, held: tuple[str, ...] = ()) -> int:
    """How many parameters the law of X has, less those ``held``: "mu", "p", "gamma".

    Turning the loadings of a factor form leaves the law as it is.
    """
    d, r = joint.d, joint.dispersion.rank
    fewer = {"mu": d, "gamma": d, "p": 1}
    return len(joint.free) - r * (r - 1) // 2 - sum(fewer[name] for name in held)
