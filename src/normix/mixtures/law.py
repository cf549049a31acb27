"""Every mixture in the same terms: what the E- and the M-step are written for.

All four families are generalized hyperbolic laws. A :class:`Law` says which, and as one
vector (:meth:`Frame.pack`) it goes from one compiled program to the next: these depend
on the number of columns and on the form of Σ, not on the family.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from normix.mixtures.dispersion import Dispersion
from normix.mixtures.statistics import MixtureStatistics, record_of


class Law(NamedTuple):
    """The law of ``(X, Y)``, ``X = μ + γY + √Y L Z``, with ``Y ~ GIG(p, a, b)``."""

    mu: Float[Array, " d"]
    gamma: Float[Array, " d"]
    dispersion: Dispersion
    gig: Float[Array, " 3"]  # p, a, b

    def translated(self, shift: Float[Array, " d"]) -> Law:
        """The law of ``(X + shift, Y)``."""
        return self._replace(mu=self.mu + shift)

    def rescaled(self, s: Float[Array, ""]) -> Law:
        """The same law of X with ``sY`` for ``Y``, ``Σ/s`` for Σ, ``γ/s`` for γ."""
        p, a, b = self.gig
        return Law(
            self.mu,
            self.gamma / s,
            self.dispersion.scaled(1 / s),
            jnp.stack([p, a / s, s * b]),
        )

    def in_units(self, unit: Float[Array, " d"]) -> Law:
        """The law of ``(unit * X, Y)``, component by component."""
        dispersion = self.dispersion.in_units(unit)
        return Law(unit * self.mu, unit * self.gamma, dispersion, self.gig)


class Swept(NamedTuple):
    """What an E-step gathers from rows, in arrays; sums by weight.

    The statistics are those of ``X - μ``, μ that of the law. ``head`` holds the
    log-likelihood, the weight, the totals of ``E[log Y]``, ``E[1/Y]`` and ``E[Y]``
    given the rows, and those of the law itself, as often, with 0 for what is infinite;
    ``tail`` the other statistics, field by field; ``near`` the least
    ``b + (x-μ)ᵀΣ⁻¹(x-μ)`` of a row, and that row.
    """

    head: Float[Array, " 8"]
    tail: Float[Array, " k"]
    near: Float[Array, " d_and_1"]


def statistics_head(*totals: Array) -> Float[Array, " 8"]:
    """The first five of a :attr:`Swept.head`, where no more is known.

    The law's own moments are 0 then: an M-step does not ask for them.
    """
    return jnp.pad(jnp.stack(totals), (0, 3))


class Frame(NamedTuple):
    """The form and size of a law: what is fixed while a program compiles."""

    form: type[Dispersion]
    d: int
    r: int  # factors, 0 for a full dispersion

    def pack(self, law: Law) -> Float[Array, " k"]:
        """The law as one vector."""
        return jnp.concatenate([law.mu, law.gamma, law.dispersion.flat(), law.gig])

    def unpack(self, vector: Float[Array, " k"]) -> Law:
        """The inverse of :meth:`pack`."""
        d = self.d
        dispersion = self.form.from_flat(vector[2 * d : -3], d, self.r)
        return Law(vector[:d], vector[d : 2 * d], dispersion, vector[-3:])

    def tail(self, eta: MixtureStatistics) -> Float[Array, " k"]:
        """The statistics but those of Y alone, as one vector."""
        _, _, _, *rest = eta.fields()
        return jnp.concatenate([x.ravel() for x in rest])

    def statistics(
        self, of_y: Float[Array, " 3"], tail: Float[Array, " k"]
    ) -> MixtureStatistics:
        """The record of ``E[log Y], E[1/Y], E[Y]`` and a :meth:`tail`."""
        shapes = self.form.shapes(self.d, self.r)
        parts, begin = [], 0
        for shape in shapes:
            size = math.prod(shape)
            parts.append(tail[begin : begin + size].reshape(shape))
            begin += size
        log_y, inv_y, y = of_y
        return record_of(inv_y, y, log_y, *parts)

    def means(self, swept: Swept) -> MixtureStatistics:
        """The expectations of ``X - μ``, averaged over the rows' weight."""
        weight = swept.head[1]
        return self.statistics(swept.head[2:5] / weight, swept.tail / weight)

    def nothing(self, dtype: np.dtype) -> Swept:
        """A :class:`Swept` over no rows."""
        size = sum(math.prod(shape) for shape in self.form.shapes(self.d, self.r))
        head, tail, near = (np.zeros(k, dtype) for k in (8, size, self.d + 1))
        near[0] = np.inf
        return Swept(*map(jax.device_put, (head, tail, near)))
