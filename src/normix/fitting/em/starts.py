"""Fits from several starts: side by side, or one after the other."""

from __future__ import annotations

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from normix.fitting.em.result import EMResult


def stacked(trees: list) -> Any:
    """One pytree with an axis of starts in front of every leaf."""
    return jax.tree.map(lambda *x: jnp.stack(x), *trees)


def best_of_batch(every: EMResult) -> EMResult:
    """The best of fits that are traced, with all of them beside it."""
    score = jnp.where(every.unbounded, -jnp.inf, every.log_likelihood)
    first = jnp.argmax(jnp.where(jnp.isnan(score), -jnp.inf, score))
    chosen = jax.tree.map(lambda leaf: leaf[first], every)
    return eqx.tree_at(lambda r: r.starts, chosen, every, is_leaf=_is_none)


def best(fits: list[EMResult], max_iter: int) -> EMResult:
    """The best of several fits, with all of them beside it."""

    def score(fit: EMResult) -> float:
        # At a pole there is no maximum, however high the likelihood.
        worst = fit.unbounded or np.isnan(fit.log_likelihood)
        return -np.inf if worst else fit.log_likelihood

    def padded(history):
        if history is None:
            return None
        return np.pad(history, (0, max_iter - len(history)), constant_values=np.nan)

    chosen = max(fits, key=score)
    ties = max((fit.ties or 0 for fit in fits), default=0) or None
    whole = [_comparable(fit, padded, ties) for fit in fits]
    every = jax.tree.map(lambda *x: jnp.asarray(np.stack(x)), *whole)
    return eqx.tree_at(lambda r: r.starts, chosen, every, is_leaf=_is_none)


def _comparable(fit: EMResult, change, ties: int | None) -> EMResult:
    """With histories of one length, and what is fixed in a batch the same for all."""
    return dataclasses.replace(
        fit,
        log_likelihoods=change(fit.log_likelihoods),
        param_changes=change(fit.param_changes),
        criteria=change(fit.criteria),
        ties=ties,
        edge=None,
    )


def _is_none(x) -> bool:
    return x is None
