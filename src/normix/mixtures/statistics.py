"""The expectations that an E-step collects."""

from __future__ import annotations

import dataclasses
import math
from functools import reduce
from typing import Any, NamedTuple, Self

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from normix._arrays import is_traced


class NormalMixtureEta(eqx.Module):
    r"""Expectation parameters of a joint normal variance-mean mixture.

    With :math:`X = \mu + \gamma Y + \sqrt Y L Z`: the expectations of
    :math:`1/Y, Y, \log Y, X, X/Y, XX^\top/Y`, of shapes ``()``, ``()``, ``()``,
    ``(d,)``, ``(d,)``, ``(d, d)``.
    """

    E_inv_Y: Float[Array, ""]
    E_Y: Float[Array, ""]
    E_log_Y: Float[Array, ""]
    E_X: Float[Array, " d"]
    E_X_inv_Y: Float[Array, " d"]
    E_XXT_inv_Y: Float[Array, "d d"]

    def vector(self) -> Float[Array, " k"]:
        """One vector, in the order of the joint law's sufficient statistics."""
        scalars = jnp.stack([self.E_log_Y, self.E_inv_Y, self.E_Y])
        matrix = self.E_XXT_inv_Y.ravel()
        return jnp.concatenate([scalars, self.E_X, self.E_X_inv_Y, matrix])

    @classmethod
    def from_vector(cls, eta: Float[Array, " k"]) -> Self:
        """The inverse of :meth:`vector`."""
        d = math.isqrt(eta.shape[0] - 2) - 1
        matrix = eta[3 + 2 * d :].reshape(d, d)
        return cls(
            eta[1], eta[2], eta[0], eta[3 : 3 + d], eta[3 + d : 3 + 2 * d], matrix
        )

    def fields(self) -> tuple[Array, ...]:
        """The fields, in their order."""
        return _fields(self)

    def translate(self, shift: Float[Array, " d"]) -> Self:
        """The expectations with ``X + shift`` in place of ``X``."""
        cross = jnp.outer(self.E_X_inv_Y, shift)
        second = cross + cross.T + jnp.outer(shift, shift) * self.E_inv_Y
        return type(self)(
            self.E_inv_Y,
            self.E_Y,
            self.E_log_Y,
            self.E_X + shift,
            self.E_X_inv_Y + shift * self.E_inv_Y,
            self.E_XXT_inv_Y + second,
        )

    def rescaled(self, s: Float[Array, ""]) -> Self:
        """The expectations with ``sY`` in place of ``Y``, the same X."""
        return dataclasses.replace(self, **_rescaled(self, s))


class FactorMixtureStats(eqx.Module):
    r"""Expectation parameters of a mixture with a factor dispersion.

    With :math:`X = \mu + \gamma Y + \sqrt Y (F Z + \varepsilon)`, Z standard normal in
    r dimensions: those of :class:`NormalMixtureEta`, of :math:`XX^\top/Y` only the
    diagonal, shape ``(d,)``, and the expectations of
    :math:`XZ^\top/\sqrt Y, Z/\sqrt Y, Z\sqrt Y, ZZ^\top`, of shapes ``(d, r)``,
    ``(r,)``, ``(r,)``, ``(r, r)``.
    """

    E_inv_Y: Float[Array, ""]
    E_Y: Float[Array, ""]
    E_log_Y: Float[Array, ""]
    E_X: Float[Array, " d"]
    E_X_inv_Y: Float[Array, " d"]
    E_XXT_inv_Y: Float[Array, " d"]
    E_XZT_inv_sqrtY: Float[Array, "d r"]
    E_Z_inv_sqrtY: Float[Array, " r"]
    E_Z_sqrtY: Float[Array, " r"]
    E_ZZT: Float[Array, "r r"]

    def fields(self) -> tuple[Array, ...]:
        """The fields, in their order."""
        return _fields(self)

    def translate(self, shift: Float[Array, " d"]) -> Self:
        """The expectations with ``X + shift`` in place of ``X``."""
        second = shift * (2 * self.E_X_inv_Y + shift * self.E_inv_Y)
        return type(self)(
            self.E_inv_Y,
            self.E_Y,
            self.E_log_Y,
            self.E_X + shift,
            self.E_X_inv_Y + shift * self.E_inv_Y,
            self.E_XXT_inv_Y + second,
            self.E_XZT_inv_sqrtY + jnp.outer(shift, self.E_Z_inv_sqrtY),
            self.E_Z_inv_sqrtY,
            self.E_Z_sqrtY,
            self.E_ZZT,
        )

    def rescaled(self, s: Float[Array, ""]) -> Self:
        """The expectations with ``sY`` in place of ``Y``, the same X and Z."""
        root = jnp.sqrt(s)
        return dataclasses.replace(
            self,
            **_rescaled(self, s),
            E_XZT_inv_sqrtY=self.E_XZT_inv_sqrtY / root,
            E_Z_inv_sqrtY=self.E_Z_inv_sqrtY / root,
            E_Z_sqrtY=self.E_Z_sqrtY * root,
        )


MixtureStatistics = NormalMixtureEta | FactorMixtureStats


def record_of(*fields: Array) -> MixtureStatistics:
    """The record that has these fields, in their order."""
    return (NormalMixtureEta if len(fields) == 6 else FactorMixtureStats)(*fields)


def _fields(eta: MixtureStatistics) -> tuple[Array, ...]:
    return tuple(getattr(eta, field.name) for field in dataclasses.fields(eta))


def _rescaled(eta: MixtureStatistics, s: Float[Array, ""]) -> dict[str, Array]:
    """The fields of both records that change with the unit of Y."""
    return {
        "E_inv_Y": eta.E_inv_Y / s,
        "E_Y": eta.E_Y * s,
        "E_log_Y": eta.E_log_Y + jnp.log(s),
        "E_X_inv_Y": eta.E_X_inv_Y / s,
        "E_XXT_inv_Y": eta.E_XXT_inv_Y / s,
    }


class MixtureSums(eqx.Module):
    """What an E-step gathers from rows, summed: joined with others by :func:`merge`.

    - ``totals``: the sums, by weight, of the statistics of ``X - location``. Near a
      row that coincides with μ the weight ``E[1/Y]`` is enormous, and about μ, which
      is the location, it does not cancel digits of the others.
    - ``log_likelihood``: the total.
    - ``weight``: of all rows; their number, where each counts once.
    - ``location``: μ of the model that took the E-step, shape ``(d,)``.
    - ``nearest``: the least ``b + (x-μ)ᵀΣ⁻¹(x-μ)`` of a row, and ``nearest_row``,
      shape ``(d,)``, where that is: they tell a likelihood without bound.
    - ``law``: all parameters of that model as one vector, (μ, γ, Σ, p, a, b): sums of
      different models have nothing in common.
    """

    totals: MixtureStatistics
    log_likelihood: Float[Array, ""]
    weight: Float[Array, ""]
    location: Float[Array, " d"]
    nearest: Float[Array, ""]
    nearest_row: Float[Array, " d"]
    law: Float[Array, " k"]

    def means(self) -> MixtureStatistics:
        """The expectations of ``X - location``, averaged over the rows' weight."""
        return jax.tree.map(lambda total: total / self.weight, self.totals)

    def expectations(self) -> MixtureStatistics:
        """The expectations in the data's coordinates, as of ``model.e_step(X)``."""
        return self.means().translate(self.location)

    def mean_log_likelihood(self) -> Float[Array, ""]:
        """The mean log-likelihood of the rows, by weight."""
        return self.log_likelihood / self.weight

    def _added(self) -> tuple[MixtureStatistics, Array, Array]:
        return self.totals, self.log_likelihood, self.weight

    def merge(self, other: MixtureSums) -> MixtureSums:
        """The same of both sets of rows together; both by one model."""
        totals, ll, weight = jax.tree.map(jnp.add, self._added(), other._added())
        closer = self.nearest <= other.nearest
        nearest = jnp.where(closer, self.nearest, other.nearest)
        row = jnp.where(closer, self.nearest_row, other.nearest_row)
        return MixtureSums(totals, ll, weight, self.location, nearest, row, self.law)

    def all_reduced(self, axes: Any) -> MixtureSums:
        """The same of the rows of all devices along axes of a mesh."""
        flat, unravel = ravel_pytree(self._added())
        totals, ll, weight = unravel(lax.psum(flat, axes))
        near = jnp.append(self.nearest_row, self.nearest)
        near = lax.all_gather(near, axes).reshape(-1, near.shape[0])
        near = near[jnp.argmin(near[:, -1])]
        place = self.location, near[-1], near[:-1], self.law
        return MixtureSums(totals, ll, weight, *place)


def merge(*parts: MixtureSums) -> MixtureSums:
    """The sums over all rows, from those over parts of them.

    It does not matter how the rows are parted or in which order the parts come, to
    rounding: ``functools.reduce(merge, parts)``, a tree of pairs, and ``merge(*parts)``
    agree.

    **Raises**: ``ValueError`` for none, and for parts of different models.

    >>> import normix
    >>> from normix.datasets import load_sp500_returns
    >>> X = load_sp500_returns(["AAPL", "XOM"]).values
    >>> model = normix.NormalInverseGaussian.default_init(X)
    >>> parts = [model.e_step_sums(X[:500]), model.e_step_sums(X[500:])]
    >>> total = normix.merge(*parts)
    >>> int(total.weight) == len(X)
    True
    >>> model = model.m_step(total)
    """
    if not parts:
        raise ValueError("merge needs at least one MixtureSums")
    for part in parts[1:]:
        _check_same_model(parts[0], part)
    return reduce(_merge, parts)


def _check_same_model(one: MixtureSums, other: MixtureSums) -> None:
    """Raise ``ValueError`` for sums of two models, as far as can be seen."""
    names = [type(sums.totals).__name__ for sums in (one, other)]
    shapes = [jnp.shape(sums.law) for sums in (one, other)]
    if names[0] != names[1] or shapes[0] != shapes[1]:
        raise ValueError(
            "the sums come from different models: totals are a "
            f"{names[0]} and a {names[1]}, laws of shapes {shapes[0]} and {shapes[1]}"
        )
    if is_traced(one, other):
        return
    laws = [np.asarray(sums.law) for sums in (one, other)]
    differ = (laws[0] != laws[1]) & ~np.isnan(laws).all(axis=0)
    if not differ.any():
        return
    d = len(one.location)
    if differ[:d].any():
        raise ValueError(
            "the sums come from different models, at locations "
            f"{laws[0][:d]} and {laws[1][:d]}"
        )
    parts = {"gamma": differ[d : 2 * d], "sigma": differ[2 * d : -3]}
    parts["the mixing law"] = differ[-3:]
    named = " and ".join(name for name, values in parts.items() if values.any())
    raise ValueError(
        "the sums come from different models of the same location, which differ in "
        f"{named}"
    )


@jax.jit
def _merge(a: MixtureSums, b: MixtureSums) -> MixtureSums:
    return a.merge(b)


class PosteriorMeans(NamedTuple):
    """``E[log Y]``, ``E[1/Y]`` and ``E[Y]``, of every row or of the model."""

    log_y: Float[Array, "*n"]
    inv_y: Float[Array, "*n"]
    y: Float[Array, "*n"]
    weights: Float[Array, " n"] | None = None  # of the rows; None counts each once

    def total(self, values: Float[Array, "... n"]) -> Float[Array, "..."]:
        """The sum over rows, by weight."""
        if self.weights is None:
            return values.sum(axis=-1)
        return values @ self.weights

    def common(
        self, X: Float[Array, "n d"]
    ) -> tuple[dict[str, Array], Float[Array, "d n"]]:
        """Sums over rows that every form collects, by name; and the weighted columns.

        Those are the columns of X times ``E[1/Y]`` and the weight.
        """
        columns = X.T
        inv_y = self.inv_y if self.weights is None else self.inv_y * self.weights
        weighted = columns * inv_y
        sums = {
            "E_inv_Y": inv_y.sum(),
            "E_Y": self.total(self.y),
            "E_log_Y": self.total(self.log_y),
            "E_X": self.total(columns),
            "E_X_inv_Y": weighted.sum(axis=1),
        }
        return sums, weighted

    def common_of_model(
        self, mu: Float[Array, " d"], gamma: Float[Array, " d"]
    ) -> dict[str, Array]:
        """The same expectations under a model whose Y has these means."""
        return {
            "E_inv_Y": self.inv_y,
            "E_Y": self.y,
            "E_log_Y": self.log_y,
            "E_X": mu + gamma * self.y,
            "E_X_inv_Y": mu * self.inv_y + gamma,
        }
