"""Where EM starts: moments of the data and a ladder of tail weights."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from normix._arrays import is_traced
from normix.exponential_family import SolverOptions
from normix.mixtures.dispersion import CholeskyDispersion
from normix.mixtures.joint import JointNormalMixture
from normix.mixtures.rows import sum_over_rows

# Var[Y]/E[Y]^2 from nearly normal to far heavier than any Student law with a variance.
_SPREADS = np.geomspace(0.01, 100.0, 9)
_STEPS = 5  # of EM, which find the skewness
# The share of the variance that skewness may claim in any direction.
_SKEW_SHARE = 0.8
# The ladder is judged on at most this many rows: it only has to find the rung.
_SAMPLE = 4096


def check_full_rank(X: Float[Array, "n d"]) -> None:
    """Raise ``ValueError`` where a full dispersion cannot be estimated."""
    n, d = X.shape
    if n < d + 1:
        raise ValueError(
            f"X has {n} rows; a full dispersion in {d} dimensions needs at least "
            f"{d + 1}"
        )
    if is_traced(X):
        return
    constant = np.nonzero(np.ptp(np.asarray(X), axis=0) == 0)[0]
    if constant.size:
        raise ValueError(f"X has constant columns: {constant.tolist()}")


@partial(jax.jit, static_argnums=0)
def initial_joint(
    family: type[JointNormalMixture], X: Float[Array, "n d"]
) -> JointNormalMixture:
    """A member with the mean and covariance of ``X``."""
    n, d = X.shape
    centre = X.mean(axis=0)
    cov = sum_over_rows(lambda rows: (rows - centre).T @ (rows - centre), X) / n
    dispersion = CholeskyDispersion.from_matrix(cov)
    # Centred, so that raw second moments do not cancel.
    sample = X[:: max(1, n // _SAMPLE)] - centre
    zero = jnp.zeros_like(centre)

    def rung(spread):
        subordinator = family._subordinator_class.with_unit_mean(spread)
        return family(centre, zero, dispersion, subordinator)

    # Up the ladder, then on by EM from its best rung: one loop, one E-step to compile.
    def climb(carry, turn):
        k, spread = turn
        top, proposal = carry
        on_ladder = k < len(_SPREADS)
        model = tree_where(on_ladder, rung(spread).translated(-centre), proposal)
        eta, score = model.row_sums(sample, "jax")
        eta = jax.tree.map(lambda total: total / sample.shape[0], eta)
        after = family._maximise(eta, SolverOptions())
        better = jnp.where(on_ladder, score > top, jnp.isfinite(score))
        return (
            jnp.where(better, score, top),
            tree_where(better, after, proposal),
        ), None

    spreads = jnp.asarray(np.append(_SPREADS, np.ones(_STEPS)), X.dtype)
    begin = jnp.asarray(-jnp.inf, X.dtype), rung(spreads[0]).translated(-centre)
    (_, step), _ = lax.scan(climb, begin, (jnp.arange(len(spreads)), spreads))

    # Back to the sample's covariance, E[Y] Σ + Var[Y] γγᵀ.
    mean, var, *_ = step.subordinator.cumulants()
    gamma = step.gamma * mean
    relative = var / mean**2
    claimed = relative * dispersion.inner_products(gamma[None, :], gamma)[2]
    share = jnp.minimum(1.0, _SKEW_SHARE / jnp.where(claimed > 0, claimed, 1.0))
    gamma = gamma * jnp.sqrt(share)
    sigma = cov - relative * jnp.outer(gamma, gamma)
    unit = step.subordinator.scaled(1 / mean)
    fitted = family(centre - gamma, gamma, CholeskyDispersion.from_matrix(sigma), unit)
    start = rung(spreads[0])
    # A sample without any spread in Y gets the lowest rung.
    finite = jnp.isfinite(relative) & jnp.isfinite(fitted.dispersion.L).all()
    return tree_where(finite, fitted, start)


def tree_where(condition, new, old):
    """``new`` where the scalar ``condition`` holds, else ``old``."""
    return jax.tree.map(lambda x, y: jnp.where(condition, x, y), new, old)
