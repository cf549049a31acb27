"""Laws of one positive variable that NumPyro has not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, PRNGKeyArray

from normix.adapters.numpyro.base import (
    Distribution,
    check_gig,
    constraints,
    set_parameters,
    validate_sample,
)
from normix.adapters.numpyro.rows import draws_of, floats, in_groups, law_of
from normix.distributions.generalized_inverse_gaussian import (
    GeneralizedInverseGaussian as GIGLaw,
)
from normix.distributions.inverse_gaussian import InverseGaussian as InverseGaussianLaw
from normix.distributions.positive import PositiveFamily

Real = Float[Array, "..."]


class Positive(Distribution):
    """A positive law of normix for NumPyro models."""

    support: Any = constraints.positive
    _kind: ClassVar[type[PositiveFamily]]

    def _prepare(
        self, parameters: dict[str, ArrayLike], validate_args: bool | None
    ) -> None:
        batch = set_parameters(self, parameters, {})
        super().__init__(batch, (), validate_args=validate_args)

    @property
    def _parameters(self) -> dict[str, Array]:
        own = floats(*(getattr(self, name) for name in self.arg_constraints))
        return dict(zip(self.arg_constraints, own, strict=True))

    def _of_laws(self, function: Callable[..., Array], *values: ArrayLike) -> Array:
        """``function(law, *values)`` of the laws of the batch.

        It takes values along one axis; without any it is called once for each law.
        """
        parameters = self._parameters
        every = jnp.broadcast_arrays(*parameters.values())
        batch = every[0].shape
        rows = floats(*values, every[0])[:-1]
        shape = jnp.broadcast_shapes(batch, *(x.shape for x in rows))

        def of_group(shared, rows, size):
            law = law_of(self._kind, dict(zip(parameters, shared, strict=True)))
            return function(law, *rows) if rows else function(law)[None]

        rows = tuple(jnp.broadcast_to(x, shape) for x in rows)
        return in_groups(of_group, shape, batch, tuple(every), rows)

    def sample(
        self, key: PRNGKeyArray, sample_shape: tuple[int, ...] = ()
    ) -> Float[Array, "..."]:
        """Independent exact draws, of shape ``sample_shape + batch_shape``."""
        shape = tuple(sample_shape) + self.batch_shape
        return draws_of(self._kind, key, self._parameters, shape)

    @validate_sample
    def log_prob(self, value: ArrayLike) -> Real:
        """The log-density, elementwise; differentiable in all arguments."""
        return self._of_laws(lambda law, x: law.log_prob(x), value)

    @property
    def mean(self) -> Real:
        """The mean; infinite where it does not exist."""
        return jnp.broadcast_to(self._of_laws(lambda law: law.mean()), self.batch_shape)

    @property
    def variance(self) -> Real:
        """The variance; infinite where it does not exist."""
        return jnp.broadcast_to(self._of_laws(lambda law: law.var()), self.batch_shape)

    def cdf(self, value: ArrayLike) -> Real:
        """``P(X <= value)``, elementwise; differentiable in all arguments."""
        return self._of_laws(lambda law, x: law.cdf(x), value)

    def icdf(self, q: ArrayLike) -> Real:
        """The quantile, elementwise in ``q``; NaN outside of [0, 1]."""
        return self._of_laws(lambda law, x: law.ppf(x), q)


class GeneralizedInverseGaussian(Positive):
    r"""The law with density proportional to :math:`x^{p-1}e^{-(ax + b/x)/2}`, x > 0.

    - ``p``: any number.
    - ``a``, ``b``: not negative; ``a = 0`` needs ``p < 0``, and ``b = 0`` needs
      ``p > 0``. All three broadcast.
    - ``validate_args``: whether parameters and values are checked; NumPyro's default.

    **Raises**: ``ValueError`` for shapes that do not broadcast and, where they are
    checked, parameters out of range.

    >>> from normix.adapters.numpyro import GeneralizedInverseGaussian
    >>> print(round(float(GeneralizedInverseGaussian(-0.5, 1.0, 4.0).mean), 6))
    2.0
    """

    _kind: ClassVar[type[PositiveFamily]] = GIGLaw
    arg_constraints = {
        "p": constraints.real,
        "a": constraints.nonnegative,
        "b": constraints.nonnegative,
    }

    def __init__(
        self,
        p: ArrayLike,
        a: ArrayLike,
        b: ArrayLike,
        *,
        validate_args: bool | None = None,
    ):
        self._prepare({"p": p, "a": a, "b": b}, validate_args)

    def validate_args(self, strict: bool = True) -> None:
        """Check the parameters, and that they belong together."""
        super().validate_args(strict)
        check_gig(self)


class InverseGaussian(Positive):
    """The inverse Gaussian, or Wald, law.

    - ``mu``, ``lam``: the mean and the shape, positive; they broadcast. The variance is
      ``mu**3 / lam``.
    - ``validate_args``: whether parameters and values are checked; NumPyro's default.

    **Raises**: ``ValueError`` for shapes that do not broadcast and, where they are
    checked, parameters out of range.

    >>> from normix.adapters.numpyro import InverseGaussian
    >>> print(InverseGaussian(2.0, 4.0).variance)
    2.0
    """

    _kind: ClassVar[type[PositiveFamily]] = InverseGaussianLaw
    arg_constraints = {"mu": constraints.positive, "lam": constraints.positive}

    def __init__(
        self, mu: ArrayLike, lam: ArrayLike, *, validate_args: bool | None = None
    ):
        self._prepare({"mu": mu, "lam": lam}, validate_args)
