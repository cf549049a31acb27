"""What a mixture asks of its mixing variable."""

from __future__ import annotations

from typing import ClassVar, Protocol, Self

from jaxtyping import Array, ArrayLike, PRNGKeyArray

from normix.distributions.positive import PositiveFamily
from normix.exponential_family import SolverOptions


class Subordinator(Protocol):
    """A positive law within the GIG family."""

    closed_form: ClassVar[bool]
    """Whether :meth:`closest_to_mixing` needs no iteration, hence no options."""

    has_order: ClassVar[bool]
    """Whether the order of the GIG is a parameter of its own."""

    bounded_below: ClassVar[bool]
    """Whether ``alpha_min`` bounds a parameter."""

    own_coordinates: ClassVar[tuple[int, ...]]
    """Which parameters are its own, scale apart: 0, the order, and 1, sqrt(ab)."""

    @classmethod
    def with_unit_mean(cls, spread: Array, order: Array) -> Self:
        """A member with mean 1, of heavier tails as ``spread > 0`` grows.

        ``order`` is that of a GIG law, for the family that has one.
        """
        ...

    @classmethod
    def closest_to_mixing(
        cls,
        E_log_Y: Array,
        E_inv_Y: Array,
        E_Y: Array,
        options: SolverOptions,
        p: Array | None = None,
        alpha_min: Array | None = None,
    ) -> Self:
        """The member of maximum likelihood for given expectations.

        ``p`` fixes the order of a GIG law; ``alpha_min`` bounds the order of a GIG
        law or the shape of a gamma law from below.
        """
        ...

    def bounded(self, p: Array | None, alpha_min: Array | None) -> Self:
        """A law with the order ``p``, or a shape of at least ``alpha_min``."""
        ...

    @classmethod
    def closest_to_gig(cls, p: Array, a: Array, b: Array) -> Self:
        """The member nearest in KL to ``GIG(p, a, b)``."""
        ...

    @classmethod
    def from_gig_params(cls, p: Array, a: Array, b: Array) -> Self:
        """The law that is ``GIG(p, a, b)``, which has to be a member."""
        ...

    def gig_params(self) -> tuple[Array, Array, Array]:
        """``(p, a, b)`` of the same law as a GIG."""
        ...

    def to_gig(self) -> PositiveFamily:
        """The same law as a generalized inverse Gaussian law."""
        ...

    def kl_divergence(self, other: PositiveFamily) -> Array:
        """The divergence to another positive law."""
        ...

    def scaled(self, s: ArrayLike) -> Self:
        """The law of ``s Y``."""
        ...

    def mean(self) -> Array:
        """The mean; infinite where it does not exist."""
        ...

    def mean_and_spread(self) -> tuple[Array, Array]:
        """The mean and the variance over its square; infinite where they are."""
        ...

    def cumulants(self, order: int) -> tuple[Array, ...]:
        """The first ``order`` cumulants, at most four; infinite where they are."""
        ...

    def log_prob(self, x: ArrayLike) -> Array:
        """The log-density at one value."""
        ...

    @classmethod
    def _most_likely(
        cls,
        sample: Array,
        weights: Array,
        theta0: Array | None,
        options: SolverOptions,
    ) -> Self:
        """The member of maximum likelihood, weights of sum 1."""
        ...

    def _draw(self, key: PRNGKeyArray, n: int) -> Array:
        """``n`` draws."""
        ...
