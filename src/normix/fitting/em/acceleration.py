"""Extrapolation of the EM iteration, on vectors of unconstrained coordinates.

A model x and its EM step g(x) are known at every turn. What an accelerator proposes
next is only a proposal: the loop accepts it if the log-likelihood does not fall, and
otherwise goes to g(x), which EM guarantees.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.scipy.linalg import cho_solve
from jaxtyping import Array, Bool, Float, Int

_MEMORY = 5
# Least squares on normalised columns: below this they count as dependent.
_RIDGE = 1e-13


class Accelerator(Protocol):
    """What an acceleration remembers; a pytree."""

    def proposal(
        self, x: Float[Array, " k"], g: Float[Array, " k"]
    ) -> tuple[Float[Array, " k"], Accelerator]:
        """Where to go next, after ``x`` was accepted; not finite for plain EM."""
        ...

    def refused(self) -> Accelerator:
        """After the last proposal was not accepted."""
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
        return cls(zero, zero, rows, rows, jnp.asarray(-1), jnp.ones((), dtype))

    def proposal(self, x, g):
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
        return self._replace(used=used, damping=self.damping / 4)


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

    def proposal(self, x, g):
        r, v = self.f, (g - x) - self.f
        length = -jnp.sqrt(r @ r) / jnp.sqrt(v @ v)
        # Not shorter than the two plain steps.
        length = jnp.minimum(length, -1.0)
        following = self.x - 2 * length * r + length**2 * v
        state = Squarem(x, g - x, ~self.second)
        return jnp.where(self.second, following, jnp.nan), state

    def refused(self):
        return self._replace(second=jnp.array(False))


class Plain(NamedTuple):
    """No acceleration."""

    @classmethod
    def begin(cls, size: int, dtype) -> Plain:
        return cls()

    def proposal(self, x, g):
        return jnp.full_like(x, jnp.nan), self

    def refused(self):
        return self


ACCELERATIONS = {"none": Plain, "anderson": Anderson, "squarem": Squarem}
