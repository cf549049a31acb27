"""Draws of a mixture given values, or intervals, of some of its columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from normix.mixtures.imputation import completed_at_random
from normix.mixtures.joint import JointNormalMixture

# Rows drawn for each that is asked for before the condition counts as out of reach.
_TRIES = 2_000
_LEAST = 200_000
_AT_ONCE = 65_536
_FEW = 4096


class Condition(NamedTuple):
    """Columns with given values, and with intervals, by their numbers."""

    values: dict[int, float]
    intervals: dict[int, tuple[float, float]]


def condition_of(
    given: Mapping[Any, Any], d: int, columns: Sequence[object] | None
) -> Condition:
    """Checked conditions: a number is a value, a pair an interval.

    **Raises**: ``ValueError`` for an unknown column or one that comes twice, an empty
    interval, and what is neither a number nor a pair.
    """
    values: dict[int, float] = {}
    intervals: dict[int, tuple[float, float]] = {}
    for name, told in given.items():
        k = _column(name, d, columns)
        if k in values or k in intervals:
            raise ValueError(f"column {name!r} has two conditions")
        try:
            parts = np.asarray(told, float)
        except (TypeError, ValueError):
            parts = np.full(1, np.nan)
        if parts.shape == () and np.isfinite(parts):
            values[k] = float(parts)
        elif parts.shape == (2,) and not np.isnan(parts).any():
            low, high = (float(x) for x in parts)
            if not low < high:
                raise ValueError(f"the interval of column {name!r} is empty: {told}")
            intervals[k] = low, high
        else:
            raise ValueError(
                f"the condition of column {name!r} must be a finite number or a pair "
                f"(low, high), got {told!r}"
            )
    return Condition(values, intervals)


def _column(name: object, d: int, columns: Sequence[object] | None) -> int:
    if columns is not None and name in list(columns):
        return list(columns).index(name)
    if isinstance(name, int | np.integer) and -d <= name < d:
        return int(name) % d
    known = f"0 to {d - 1}" if columns is None else ", ".join(map(repr, columns))
    raise ValueError(f"unknown column {name!r}; known: {known}")


class Margin(NamedTuple):
    """The univariate law of a column with an interval, given the values."""

    column: int
    law: Any
    low: float  # probabilities below and above the interval
    high: float
    upper: bool  # whether both are of the upper tail

    @property
    def probability(self) -> float:
        """That of the interval."""
        return self.low - self.high if self.upper else self.high - self.low

    def draw(self, key: PRNGKeyArray, n: int) -> Array:
        """Draws from within the interval, by inversion."""
        u = jax.random.uniform(key, (n,), self.law.mu.dtype)
        q = self.low + u * (self.high - self.low)
        # A table takes longer to compile than some thousand quantiles take.
        law = self.law if n <= _FEW else self.law.quantile_table()
        return law.isf(q) if self.upper else law.ppf(q)


def margin_of(law: Any, column: int, interval: tuple[float, float]) -> Margin:
    """Of a univariate law, with probabilities of the tail that the interval is in."""
    law = law.to_generalized_hyperbolic()  # for all families one program
    ends = np.array(interval)
    upper = bool(law.cdf(ends[0]) > 0.5)
    low, high = (float(x) for x in (law.sf if upper else law.cdf)(jnp.asarray(ends)))
    return Margin(column, law, low, high, upper)


def drawn_given(
    joint: JointNormalMixture,
    condition: Condition,
    margins: Sequence[Margin],
    n: int,
    key: PRNGKeyArray,
) -> tuple[Float[np.ndarray, "n d"], Float[np.ndarray, " n"]]:
    """``n`` rows and their Y: one interval by inversion, the others by rejection.

    **Raises**: ``ValueError`` where the condition is too improbable.
    """
    template = np.full(joint.d, np.nan)
    for k, value in condition.values.items():
        template[k] = value
    # The least probable interval is met by construction.
    first = min(margins, key=lambda margin: margin.probability, default=None)
    others = [margin.column for margin in margins if margin is not first]
    if first is not None and not first.probability > 0:
        raise ValueError(
            f"the interval of column {first.column} has no probability to speak of "
            f"({first.probability:.3g}), given the values"
        )
    most = max(_LEAST, _TRIES * n)
    kept_X, kept_Y, found, tried = [], [], 0, 0
    share = 1.0
    while found < n:
        wanted = (n - found) / share
        size = int(min(max(1.1 * wanted if others else wanted, 256), _AT_ONCE))
        size = size if others else min(size, n - found)
        key, k_first, k_rest = jax.random.split(key, 3)
        rows = np.broadcast_to(template, (size, joint.d)).copy()
        if first is not None:
            rows[:, first.column] = np.asarray(first.draw(k_first, size))
        X, Y = completed_at_random(joint, rows, k_rest)
        good = np.ones(size, bool)
        for k in others:
            low, high = condition.intervals[k]
            good &= (low <= X[:, k]) & (X[:, k] <= high)
        kept_X.append(X[good])
        kept_Y.append(Y[good])
        found, tried = found + int(good.sum()), tried + size
        share = max(found, 0.5) / tried
        if found < n and tried >= most:
            raise ValueError(
                f"of {tried} draws {found} met all conditions, of {n} that are asked "
                "for: their probability is too small. Widen the intervals, or ask for "
                "fewer draws"
            )
    return np.concatenate(kept_X)[:n], np.concatenate(kept_Y)[:n]
