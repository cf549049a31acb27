"""What is missing of rows, from what is seen of them: means, deviations, draws."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from normix._compile import LOOPS, compiled, grid
from normix.distributions._sampling import draw_log_gig
from normix.mixtures.joint import JointNormalMixture
from normix.mixtures.posterior import gaps_of_rows
from normix.mixtures.rows import padded
from normix.special.gig import gig_means

# Rows that are gone through together.
_AT_ONCE = 4096


class Completed(NamedTuple):
    """Of every row: conditional means, and standard deviations, 0 of what is seen."""

    means: Float[np.ndarray, "n d"]
    stds: Float[np.ndarray, "n d"]


class Drawn(NamedTuple):
    """Rows completed at random, and the Y that they were drawn with."""

    X: Float[np.ndarray, "n d"]
    Y: Float[np.ndarray, " n"]


def completed_by_means(
    joint: JointNormalMixture, X: Float[np.ndarray, "n d"]
) -> Completed:
    """Conditional means and standard deviations of what is missing, NaN in ``X``."""
    parts = [_means(joint, block) for block in _blocks(X)]
    return Completed(*_joined(parts, len(X)))


def completed_at_random(
    joint: JointNormalMixture, X: Float[np.ndarray, "n d"], key: PRNGKeyArray
) -> Drawn:
    """Draws of what is missing, NaN in ``X``, given what is seen."""
    parts = [
        _draws(joint, block, jax.random.fold_in(key, k))
        for k, block in enumerate(_blocks(X))
    ]
    return Drawn(*_joined(parts, len(X)))


def _blocks(X: np.ndarray) -> Iterator[Any]:
    size = min(grid(len(X)), _AT_ONCE)
    return (block for block, _, _ in padded(X, None, size))


def _joined(parts: list[Any], n: int):
    columns = zip(*parts, strict=True)
    return (np.concatenate([np.asarray(x) for x in column])[:n] for column in columns)


@compiled(options=LOOPS)
def _means(joint: JointNormalMixture, X: Array) -> tuple[Array, Array]:
    law, mask = joint.law(), ~jnp.isnan(X)
    gaps, (p, a, b) = gaps_of_rows(law, X)
    rows, kappa = gaps.rows[:, 0], law.gamma - gaps.gamma
    assert gaps.left is not None
    variances = jax.vmap(law.dispersion.unseen_variances)(mask, gaps.left)
    y = gig_means(p, a, b)[2][:, None]
    # Weighted by Y the law of Y is that of the next order: E[Y²] = E[Y] E'[Y].
    following = gig_means(p + 1, a, b)[2][:, None]
    means = law.mu + rows + jnp.where(kappa != 0, kappa * y, 0.0)
    spread = jnp.where(kappa != 0, kappa**2 * y * (following - y), 0.0)
    stds = jnp.sqrt(variances * y + spread)
    return jnp.where(mask, X, means), jnp.where(mask, 0.0, stds)


@compiled(options=LOOPS)
def _draws(
    joint: JointNormalMixture, X: Array, key: PRNGKeyArray
) -> tuple[Array, Array]:
    law, mask, n = joint.law(), ~jnp.isnan(X), X.shape[0]
    gaps, posterior = gaps_of_rows(law, X)
    rows, kappa = gaps.rows[:, 0], law.gamma - gaps.gamma
    k_mixing, k_noise = jax.random.split(key)

    def one(key, p, a, b):
        return draw_log_gig(key, p, a, b, 1)[0]

    y = jnp.exp(jax.vmap(one)(jax.random.split(k_mixing, n), *posterior))[:, None]
    # Of a draw of the whole noise, what its own regression leaves.
    noise = law.dispersion.noise(k_noise, n)

    def residual(r, seen):
        known = law.dispersion.seen(seen, r[None], jnp.zeros_like(r))
        return jnp.where(seen, 0.0, r - known.rows[0])

    left = jax.vmap(residual)(noise, mask)
    X = jnp.where(mask, X, law.mu + rows + kappa * y + jnp.sqrt(y) * left)
    return X, y[:, 0]
