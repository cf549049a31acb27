"""Extrapolation of the EM iteration, on vectors of unconstrained coordinates.

A model x, its EM step g(x) and its score are known at every turn. What an accelerator
proposes next is only a proposal: the loop accepts it if the log-likelihood does not
fall. Otherwise it asks for another, or goes to g(x), which EM guarantees.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.scipy.linalg import cho_solve, solve_triangular
from jaxtyping import Array, Bool, Float, Int

_MEMORY = 5
# Least squares on normalised columns: below this they count as dependent.
_RIDGE = 1e-13


Score = Callable[[], Float[Array, " k"]]


class Accelerator(Protocol):
    """What an acceleration remembers; a pytree."""

    def proposal(
        self, x: Float[Array, " k"], g: Float[Array, " k"], score: Score
    ) -> tuple[Float[Array, " k"], Accelerator]:
        """Where to go next, after ``x`` was accepted; not finite for plain EM.

        ``score()`` is the score at ``x``, traced only for those that ask for it.
        """
        ...

    def refused(self) -> tuple[Float[Array, " k"], Accelerator]:
        """Where to go after the last proposal was not accepted; as above."""
        ...


class Anderson(NamedTuple):
    """Anderson's method of memory 5 (Walker & Ni, SIAM J. Numer. Anal. 49, 2011)."""

    x: Float[Array, " k"]
    f: Float[Array, " k"]
    steps: Float[Array, "m k"]  # differences of successive x, normalised by those of f
    changes: Float[Array, "m k"]  # and of f = g - x, of length 1
    used: Int[Array, ""]  # rows filled, the newest first
    # Of the extrapolation beyond g: along a curved ridge the whole of it would be
    # refused at every other turn, and progress be that of plain EM.
    damping: Float[Array, ""]

    @classmethod
    def begin(cls, size: int, dtype) -> Anderson:
        zero, rows = jnp.zeros(size, dtype), jnp.zeros((_MEMORY, size), dtype)
        return cls(zero, zero, rows, rows, jnp.array(-1, int), jnp.ones((), dtype))

    def proposal(self, x, g, score):
        f = g - x
        step, change = x - self.x, f - self.f
        length = jnp.sqrt(change @ change)
        good = (length > 0) & jnp.isfinite(length)
        length = jnp.where(good, length, 1.0)

        def push(rows, new):
            return jnp.concatenate([(new / length)[None, :], rows[:-1]])

        # The first model has no predecessor; one without coordinates forgets all.
        fresh = good & (self.used >= 0)
        used = jnp.where(fresh, jnp.minimum(self.used + 1, _MEMORY), 0)
        steps = jnp.where(fresh, push(self.steps, step), self.steps)
        changes = jnp.where(fresh, push(self.changes, change), self.changes)
        kept = (np.arange(_MEMORY) < used)[:, None]
        steps, changes = jnp.where(kept, steps, 0.0), jnp.where(kept, changes, 0.0)

        gram = changes @ changes.T
        ridge = jnp.where(kept, _RIDGE, 1.0).astype(x.dtype) * np.eye(_MEMORY)
        weights = cho_solve((lax.linalg.cholesky(gram + ridge), True), changes @ f)
        following = g - self.damping * (weights @ (steps + changes))
        finite = jnp.isfinite(f).all()
        state = Anderson(
            jnp.where(finite, x, 0.0),
            jnp.where(finite, f, 0.0),
            steps,
            changes,
            jnp.where(finite, used, -1),
            jnp.minimum(2 * self.damping, 1.0),
        )
        return jnp.where(used > 0, following, jnp.nan), state

    def refused(self):
        used = jnp.maximum(self.used - 1, 0)
        nowhere = jnp.full_like(self.x, jnp.nan)
        return nowhere, self._replace(used=used, damping=self.damping / 4)


# Pairs that a quasi-Newton method remembers.
_PAIRS = 8
# The longest step, in standard deviations of columns and in logarithms: further away
# the score at hand says little.
_LONGEST = 2.0
# By how much EM may be slower than Newton's method where no more is known.
_SLOWEST = 1e4
# Shorter steps along one direction, each a quarter of the last; or longer ones.
_TRIES = 3
_FACTOR = 4.0
# How many times too short EM's metric is taken to be for a probe.
_PROBE = 100.0


class QuasiNewton(NamedTuple):
    """Limited-memory BFGS on the score, with EM's own step for a first guess.

    EM's step is the score in the metric of the complete data's information, to first
    order. That is what the updates of limited-memory BFGS begin with, and nothing needs
    to be scaled: without a memory the direction is EM's (as in QN2 of Jamshidian &
    Jennrich, J. R. Stat. Soc. B 59, 1997, there with a full matrix).
    """

    x: Float[Array, " k"]
    f: Float[Array, " k"]  # g - x
    score: Float[Array, " k"]
    # Pairs, the newest first: steps in x, falls of the score, and changes of f, each
    # in the unit in which step · fall = 1.
    steps: Float[Array, "m k"]
    falls: Float[Array, "m k"]
    changes: Float[Array, "m k"]
    used: Int[Array, ""]  # pairs seen; -1 where x has no predecessor
    direction: Float[Array, " k"]
    longer: Float[Array, " k"]  # that of a probe
    rate: Float[Array, ""]  # score · direction: twice the gain to be expected
    # Of shorter steps; -1 where EM's own was made, -2 where a probe.
    tries: Int[Array, ""]

    @classmethod
    def begin(cls, size: int, dtype) -> QuasiNewton:
        zero, rows = jnp.zeros(size, dtype), jnp.zeros((_PAIRS, size), dtype)
        none, infinite = jnp.array(-1, int), jnp.full((), jnp.inf, dtype)
        state = zero, zero, zero, rows, rows, rows
        return cls(*state, none, zero, zero, infinite, none)

    def proposal(self, x, g, score):
        f = g - x
        # What EM does not move is held.
        slope = jnp.where(f == 0, 0.0, score())
        step, fall, change = x - self.x, self.score - slope, f - self.f
        curvature = step @ fall
        least = jnp.finfo(x.dtype).eps * jnp.sqrt((step @ step) * (fall @ fall))
        finite = jnp.isfinite(f).all() & jnp.isfinite(slope).all()
        good = finite & (self.used >= 0) & (curvature > least)
        unit = jnp.sqrt(jnp.where(good, curvature, 1.0))

        def push(rows, new):
            both = jnp.concatenate([(new / unit)[None, :], rows[:-1]])
            # A model without coordinates, as on the way into a limit, forgets all.
            return jnp.where(finite, jnp.where(good, both, rows), 0.0)

        steps, falls = push(self.steps, step), push(self.falls, fall)
        changes = push(self.changes, change)
        used = jnp.maximum(self.used, 0) + good
        # The first guess H0 is EM's metric. Of the score it makes f, and of a fall of
        # the score minus the change of f: nothing else is needed.
        # The recursion of Nocedal (Math. Comp. 35, 1980) goes from the newest pair to
        # the oldest and back. Either way is a triangular system. Pairs that are not
        # there are rows of zeros.
        absent = np.arange(_PAIRS) >= jnp.minimum(used, _PAIRS)
        products = jnp.tril(steps @ falls.T) + jnp.diag(absent.astype(x.dtype))
        first = solve_triangular(products, steps @ slope, lower=True)
        # Twice, the second time for a metric in which EM is a hundred times too short.
        half = np.array([[1.0], [_PROBE]]).astype(x.dtype) * (f + first @ changes)
        left = (first - half @ falls.T).T
        second = solve_triangular(products, left, lower=True, trans=1)
        direction, longer = half + second.T @ steps
        rate = slope @ direction
        # Without pairs only EM's metric is known, in which a gain looks smaller by the
        # factor that EM is slow.
        rate = jnp.where(used > 0, rate, _SLOWEST * jnp.abs(slope @ f))
        # Where the score has not fallen the likelihood is convex along the last step,
        # and no metric fits: on by longer steps, as in a search along a line.
        along = slope @ step
        rising = finite & (self.used >= 0) & ~good & (along > 0)
        direction = jnp.where(rising, _FACTOR * step, direction)
        rate = jnp.where(rising, _FACTOR * along, rate)
        useful = ((used > 0) | rising) & (rate > 0) & jnp.isfinite(direction).all()
        direction = _bounded(direction)
        following = jnp.where(useful, x + direction, jnp.nan)
        state = QuasiNewton(
            jnp.where(finite, x, 0.0),
            jnp.where(finite, f, 0.0),
            jnp.where(finite, slope, 0.0),
            steps,
            falls,
            changes,
            jnp.where(finite, used, -1),
            direction,
            longer,
            jnp.where((useful | (used == 0)) & (rate < jnp.inf), rate, jnp.inf),
            jnp.where(useful, 0, jnp.array(-1, int)),
        )
        return following, state

    @property
    def probed(self) -> Bool[Array, ""]:
        """Whether the last proposal was a probe."""
        return self.tries == -2

    def probe(self) -> tuple[Float[Array, " k"], QuasiNewton]:
        """The step by a metric a hundred times EM's, where little is to be gained.

        In directions that no pair knows the metric is that of EM, and a step may be a
        thousand times too short. Where the likelihood is higher there, it was.
        """
        direction = _bounded(self.longer)
        probing = self._replace(direction=direction, tries=jnp.array(-2, int))
        return self.x + direction, probing

    def refused(self):
        tries = self.tries + 1
        again = (self.tries >= 0) & (tries <= _TRIES)
        shorter = self.x + _FACTOR ** -tries.astype(self.x.dtype) * self.direction
        following = jnp.where(again, shorter, jnp.nan)
        # Pairs that lead nowhere are forgotten.
        steps, falls, changes = (
            jnp.where(again, x, 0.0) for x in (self.steps, self.falls, self.changes)
        )
        return following, self._replace(
            steps=steps,
            falls=falls,
            changes=changes,
            used=jnp.where(again, self.used, 0),
            tries=jnp.where(again, tries, -1),
        )


def _bounded(direction: Float[Array, " k"]) -> Float[Array, " k"]:
    return direction * jnp.minimum(1.0, _LONGEST / jnp.abs(direction).max())


class Squarem(NamedTuple):
    """SQUAREM with the third steplength (Varadhan & Roland, Scand. J. Stat. 35, 2008).

    A cycle is a plain step and an extrapolation from two.
    """

    x: Float[Array, " k"]
    f: Float[Array, " k"]
    second: Bool[Array, ""]  # whether the plain step of a cycle has been made

    @classmethod
    def begin(cls, size: int, dtype) -> Squarem:
        zero = jnp.zeros(size, dtype)
        return cls(zero, zero, jnp.array(False))

    def proposal(self, x, g, score):
        r, v = self.f, (g - x) - self.f
        length = -jnp.sqrt(r @ r) / jnp.sqrt(v @ v)
        # Not shorter than the two plain steps.
        length = jnp.minimum(length, -1.0)
        following = self.x - 2 * length * r + length**2 * v
        state = Squarem(x, g - x, ~self.second)
        return jnp.where(self.second, following, jnp.nan), state

    def refused(self):
        nowhere = jnp.full_like(self.x, jnp.nan)
        return nowhere, self._replace(second=jnp.array(False))


class Plain(NamedTuple):
    """No acceleration."""

    @classmethod
    def begin(cls, size: int, dtype) -> Plain:
        return cls()

    def proposal(self, x, g, score):
        return jnp.full_like(x, jnp.nan), self

    def refused(self):
        return jnp.full((), jnp.nan), self


ACCELERATIONS = {
    "none": Plain,
    "quasi-newton": QuasiNewton,
    "anderson": Anderson,
    "squarem": Squarem,
}
