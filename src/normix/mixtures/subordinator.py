"""What a mixture asks of its mixing variable."""

from __future__ import annotations

from typing import ClassVar, Protocol, Self

from jaxtyping import Array, ArrayLike, PRNGKeyArray

from normix.exponential_family import SolverOptions


class Subordinator(Protocol):
    """A positive law within the GIG family."""

    closed_form: ClassVar[bool]
    """Whether :meth:`closest_to_mixing` needs no iteration, hence no options."""

    @classmethod
    def closest_to_mixing(
        cls, E_log_Y: Array, E_inv_Y: Array, E_Y: Array, options: SolverOptions
    ) -> Self:
        """The member of maximum likelihood for given expectations."""
        ...

    @classmethod
    def with_unit_mean(cls, spread: Array) -> Self:
        """A member with mean 1, of heavier tails as ``spread > 0`` grows."""
        ...

    def gig_params(self) -> tuple[Array, Array, Array]:
        """``(p, a, b)`` of the same law as a GIG."""
        ...

    def mean(self) -> Array:
        """The mean."""
        ...

    def scaled(self, s: ArrayLike) -> Self:
        """The law of ``s Y``."""
        ...

    def cumulants(self) -> tuple[Array, Array, Array, Array]:
        """The first four cumulants."""
        ...

    def _draw(self, key: PRNGKeyArray, n: int) -> Array:
        """``n`` draws."""
        ...
