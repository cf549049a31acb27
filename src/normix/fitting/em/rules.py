"""Rules by which the expectations of a new E-step update those kept so far."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike

from normix._arrays import is_traced
from normix.mixtures.statistics import MixtureStatistics

Weight = Any
"""A scalar, a record of statistics with a weight a field, or a function of the step."""


def affine_combine(
    eta_prev: MixtureStatistics,
    eta_new: MixtureStatistics,
    b: Weight,
    c: Weight,
    a: Weight | None = None,
) -> MixtureStatistics:
    """``a + b eta_prev + c eta_new``, field by field; ``a`` None stands for 0.

    Each weight is a scalar or a record like ``eta_new``, whose fields broadcast.
    """
    fields, structure = jax.tree.flatten(eta_new)

    def spread(weight):
        leaves = jax.tree.leaves(weight)
        return leaves if len(leaves) == len(fields) else leaves * len(fields)

    pairs = zip(jax.tree.leaves(eta_prev), fields, spread(b), spread(c), strict=True)
    mixed = [wb * old + wc * new for old, new, wb, wc in pairs]
    if a is not None:
        mixed = [x + y for x, y in zip(mixed, spread(a), strict=True)]
    return jax.tree.unflatten(structure, mixed)


class EtaUpdateRule(eqx.Module):
    """``rule(eta_prev, eta_new, step, batch_size, state) -> (eta, state)``.

    ``step`` counts from 1; ``state`` is a pytree of the rule's own, at first
    :meth:`initial_state`. A rule is a pure function, which compiles into the fit.
    """

    @abstractmethod
    def initial_state(self) -> Any:
        """What the rule remembers before the first step."""

    @abstractmethod
    def __call__(
        self,
        eta_prev: MixtureStatistics,
        eta_new: MixtureStatistics,
        step: Array,
        batch_size: Array,
        state: Any,
    ) -> tuple[MixtureStatistics, Any]: ...


class AffineRule(EtaUpdateRule):
    """A rule of the form ``a + b eta_prev + c eta_new``."""

    @abstractmethod
    def weights(
        self, step: Array, batch_size: Array, state: Any
    ) -> tuple[Weight | None, Weight, Weight, Any]:
        """``a``, ``b``, ``c`` and the next state."""

    def __call__(self, eta_prev, eta_new, step, batch_size, state):
        a, b, c, state = self.weights(step, batch_size, state)
        return affine_combine(eta_prev, eta_new, b, c, a), state


class IdentityUpdate(AffineRule):
    """The new expectations alone."""

    def initial_state(self):
        return ()

    def weights(self, step, batch_size, state):
        return None, 0.0, 1.0, state


class RobbinsMonroUpdate(AffineRule):
    """Weight ``1/(tau0 + step)`` on the new expectations.

    **Raises**: ``ValueError`` for a negative ``tau0``.
    """

    tau0: float = eqx.field(static=True, default=10.0)

    def __check_init__(self):
        if not self.tau0 >= 0:
            raise ValueError(f"tau0 must not be negative, got {self.tau0}")

    def initial_state(self):
        return ()

    def weights(self, step, batch_size, state):
        w = 1 / (self.tau0 + step)
        return None, 1 - w, w, state


class PolynomialUpdate(AffineRule):
    """Weight ``(tau0 + step)^-power`` on the new expectations.

    Falls more slowly than 1/t and so forgets a poor start; the noise that stays is
    taken out by averaging, ``IncrementalEMFitter(average_from=...)`` (Cappé & Moulines,
    J. R. Stat. Soc. B 71, 2009, recommend powers near 0.6).

    **Raises**: ``ValueError`` for a ``power`` outside (0.5, 1] or a negative ``tau0``.
    """

    power: float = eqx.field(static=True, default=0.6)
    tau0: float = eqx.field(static=True, default=1.0)

    def __check_init__(self):
        if not 0.5 < self.power <= 1:
            raise ValueError(f"power must be in (0.5, 1], got {self.power}")
        if not self.tau0 >= 0:
            raise ValueError(f"tau0 must not be negative, got {self.tau0}")

    def initial_state(self):
        return ()

    def weights(self, step, batch_size, state):
        w = (self.tau0 + step) ** -self.power
        return None, 1 - w, w, state


class SampleWeightedUpdate(AffineRule):
    """The mean over all observations so far: weight m/(n + m), n seen, m new."""

    def initial_state(self):
        return jnp.zeros(())

    def weights(self, step, batch_size, state):
        seen = state + batch_size
        w = batch_size / seen
        return None, 1 - w, w, seen.astype(state.dtype)


class EWMAUpdate(AffineRule):
    """An exponentially weighted mean: weight ``w`` on the new expectations.

    **Raises**: ``ValueError`` for a ``w`` outside (0, 1].
    """

    w: float = eqx.field(static=True, default=0.1)

    def __check_init__(self):
        if not 0 < self.w <= 1:
            raise ValueError(f"w must be in (0, 1], got {self.w}")

    def initial_state(self):
        return ()

    def weights(self, step, batch_size, state):
        return None, 1 - self.w, self.w, state


def _as_pytree(weight):
    """A function becomes a pytree of no leaves: rules are passed to compiled code."""
    plain = callable(weight) and not isinstance(weight, eqx.Module)
    return jax.tree_util.Partial(weight) if plain else weight


class AffineUpdate(AffineRule):
    """``a + b eta_prev + c eta_new`` with weights of your own.

    Each is a scalar, a record of statistics with a weight a field, or a function of
    the step that returns one of these; ``a`` may be None, for 0.
    """

    a: Weight | Callable[[Array], Weight] | None = eqx.field(
        default=None, converter=_as_pytree
    )
    b: Weight | Callable[[Array], Weight] = eqx.field(default=0.0, converter=_as_pytree)
    c: Weight | Callable[[Array], Weight] = eqx.field(default=1.0, converter=_as_pytree)

    def initial_state(self):
        return ()

    def weights(self, step, batch_size, state):
        def at(weight):
            record = isinstance(weight, eqx.Module)
            return weight(step) if callable(weight) and not record else weight

        return at(self.a), at(self.b), at(self.c), state


class Shrinkage(EtaUpdateRule):
    """``(tau eta0 + base)/(1 + tau)``: any rule's result, drawn towards ``eta0``.

    ``tau`` is a scalar or a record of statistics with one a field. With the identity
    as base, the fixed point of EM is the maximum of the mean log-likelihood less
    ``tau`` times the divergence from the joint law of ``eta0``.

    A base with a memory is handed expectations that have been shrunk before, so that
    the pull adds up: with weight w on the new ones to that of ``tau/w``.

    **Raises**: ``ValueError`` for a negative ``tau``.
    """

    base: EtaUpdateRule
    eta0: MixtureStatistics
    tau: ArrayLike | MixtureStatistics

    def __check_init__(self):
        for tau in jax.tree.leaves(self.tau):
            if not is_traced(tau) and not np.all(np.asarray(tau) >= 0):
                raise ValueError(f"tau must not be negative, got {tau}")

    def initial_state(self):
        return self.base.initial_state()

    def __call__(self, eta_prev, eta_new, step, batch_size, state):
        eta, state = self.base(eta_prev, eta_new, step, batch_size, state)
        pull = jax.tree.map(lambda t: t / (1 + t), self.tau)
        stay = jax.tree.map(lambda t: 1 / (1 + t), self.tau)
        return affine_combine(self.eta0, eta, pull, stay), state
