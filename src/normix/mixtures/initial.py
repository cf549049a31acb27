"""Where EM starts: moments of the data and a ladder of tail weights."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, PRNGKeyArray

from normix._arrays import is_spread, is_traced
from normix.exponential_family import SolverOptions
from normix.mixtures.constraints import Constraints
from normix.mixtures.dispersion import CholeskyDispersion, Dispersion
from normix.mixtures.joint import JointNormalMixture
from normix.mixtures.low_rank import FactorDispersion
from normix.mixtures.rows import sum_over_rows

# Var[Y]/E[Y]^2 from nearly normal to far heavier than any Student law with a variance.
_SPREADS = np.geomspace(0.01, 100.0, 9)
# Orders whose short fits compete for the start of a family with a free order: near
# the skew t, normal inverse Gaussian, hyperbolic and variance gamma families.
_ORDERS = (-2.0, -0.5, 1.0, 2.0)
_STEPS = 5  # of EM, which find the skewness
# The share of the variance that skewness may claim in any direction.
_SKEW_SHARE = 0.8
# The ladder is judged on at most this many rows: it only has to find the rung.
_SAMPLE = 4096


def check_constant(constant: list[int]) -> None:
    """Raise ``ValueError`` where columns are constant."""
    if constant:
        raise ValueError(f"X has constant columns: {constant}")


def constant_columns(X: Float[Array, "n d"]) -> list[int]:
    """Which columns have one value; none of what is being traced."""
    if is_traced(X):
        return []
    xp = jnp if is_spread(X) else np
    return np.nonzero(np.asarray(xp.ptp(xp.asarray(X), axis=0) == 0))[0].tolist()


def check_full_rank(n: int, d: int) -> None:
    """Raise ``ValueError`` where a full dispersion cannot be estimated."""
    if n < d + 1:
        raise ValueError(
            f"X has {n} rows; a full dispersion in {d} dimensions needs at least "
            f"{d + 1}. The factor form (Factor..., with few factors r) does with fewer"
        )


@partial(jax.jit, static_argnums=0)
def initial_joint(
    family: type[JointNormalMixture], X: Float[Array, "n d"]
) -> JointNormalMixture:
    """A member with the mean and covariance of ``X``."""
    centre, cov = _mean_and_covariance(X)
    dispersion = CholeskyDispersion.from_matrix(cov)
    step = _short_fit(family, X, centre, dispersion)

    # Back to the sample's covariance, E[Y] Σ + Var[Y] γγᵀ.
    mean, relative = step.subordinator.mean_and_spread()
    gamma = step.gamma * mean
    claimed = relative * dispersion.inner_products(gamma[None, :], gamma).skew
    share = jnp.minimum(1.0, _SKEW_SHARE / jnp.where(claimed > 0, claimed, 1.0))
    gamma = gamma * jnp.sqrt(share)
    sigma = cov - relative * jnp.outer(gamma, gamma)
    unit = step.subordinator.scaled(1 / mean)
    fitted = family(centre - gamma, gamma, CholeskyDispersion.from_matrix(sigma), unit)
    # A law without a variance cannot have that of the sample.
    fitted = tree_where(jnp.isfinite(relative), fitted, step.translated(centre))
    return _or_nearly_normal(fitted, centre, dispersion)


@partial(jax.jit, static_argnums=(0, 2))
def initial_factor_joint(
    family: type[JointNormalMixture], X: Float[Array, "n d"], r: int
) -> JointNormalMixture:
    """A member with ``r`` factors, from principal components."""
    centre, cov = _mean_and_covariance(X)
    sd = jnp.sqrt(jnp.diagonal(cov))
    values, vectors = jnp.linalg.eigh(cov / jnp.outer(sd, sd))
    # As of a law whose other directions share what the components leave over
    # (Tipping & Bishop, J. R. Stat. Soc. B 61, 1999).
    rest = values[:-r].sum() / max(1, cov.shape[0] - r)
    loadings = vectors[:, -r:] * jnp.sqrt(jnp.maximum(values[-r:] - rest, 0.0))
    # With no noise of its own a component would never get any.
    own = jnp.maximum(1 - (loadings**2).sum(axis=1), 0.05)
    dispersion = FactorDispersion(sd[:, None] * loadings, sd**2 * own)
    step = _short_fit(family, X, centre, dispersion).translated(centre)
    return _or_nearly_normal(step, centre, dispersion)


def _mean_and_covariance(X: Array) -> tuple[Array, Array]:
    centre = X.mean(axis=0)

    def scatter(centre, rows, weights):
        columns = (rows - centre).T
        return (columns if weights is None else columns * weights) @ columns.T

    return centre, sum_over_rows(scatter, centre, X, None, jnp.add) / X.shape[0]


def _rung(family, centre, dispersion: Dispersion, spread, order):
    """A symmetric member with the given mean and dispersion."""
    law = family._subordinator_class.with_unit_mean(spread, order)
    return family(centre, jnp.zeros_like(centre), dispersion, law)


def _or_nearly_normal(fitted, centre, dispersion: Dispersion):
    """``fitted``, or the lowest rung for a sample without any spread in Y."""
    one = jnp.ones((), centre.dtype)
    start = _rung(type(fitted), centre, dispersion, _SPREADS[0] * one, one)
    finite = jnp.stack([jnp.isfinite(x).all() for x in jax.tree.leaves(fitted)]).all()
    return tree_where(finite, fitted, start)


def _short_fit(family, X: Array, centre: Array, dispersion: Dispersion):
    """A member about the mean of ``X``: up the ladder, then on by a few EM steps.

    A family with a free order climbs once for each of several, all together, and the
    best goes on.
    """
    # Centred, so that raw second moments do not cancel.
    sample = X[:: max(1, X.shape[0] // _SAMPLE)] - centre
    zero = jnp.zeros_like(centre)
    free = family._subordinator_class.has_order
    orders = jnp.asarray(_ORDERS if free else _ORDERS[:1], X.dtype)
    spreads = jnp.asarray(np.append(_SPREADS, np.ones(_STEPS)), X.dtype)

    def fit(order):
        held = Constraints(p=order) if free else Constraints()
        rung = partial(_rung, family, zero, dispersion, order=order)

        # One loop over rungs and steps: one E-step to compile.
        def climb(carry, turn):
            k, spread = turn
            top, proposal = carry
            on_ladder = k < len(_SPREADS)
            model = tree_where(on_ladder, rung(spread), proposal)
            sums = model.row_sums(sample, "jax")
            score = sums.log_likelihood
            after = model.maximised_about(sums.means(), SolverOptions(), held)
            better = jnp.where(on_ladder, score > top, jnp.isfinite(score))
            return (
                jnp.where(better, score, top),
                tree_where(better, after, proposal),
            ), None

        begin = jnp.asarray(-jnp.inf, X.dtype), rung(spreads[0])
        return lax.scan(climb, begin, (jnp.arange(len(spreads)), spreads))[0]

    scores, models = jax.vmap(fit)(orders)
    best = jnp.argmax(jnp.where(jnp.isnan(scores), -jnp.inf, scores))
    return jax.tree.map(lambda leaf: leaf[best], models)


def random_joint(
    like: JointNormalMixture, X: Float[Array, "n d"], key: PRNGKeyArray
) -> JointNormalMixture:
    """A random member with the mean of ``X`` and, its skewness apart, its covariance.

    Tails from nearly normal to very heavy, a random direction of skewness that claims
    up to half of the variance, and a random order between -3 and 3.
    """
    k_spread, k_order, k_gamma, k_share = jax.random.split(key, 4)
    dtype = X.dtype
    centre, cov = _mean_and_covariance(X)
    log_spread = jax.random.uniform(k_spread, (), dtype, np.log(0.05), np.log(10.0))
    order = jax.random.uniform(k_order, (), dtype, -3.0, 3.0)
    law = type(like.subordinator).with_unit_mean(jnp.exp(log_spread), order)
    direction = jax.random.normal(k_gamma, centre.shape, dtype)
    share = jax.random.uniform(k_share, (), dtype, 0.0, 0.5)
    # Var[γY] is that share of the variance along γ if spread is Var[Y]/E[Y]².
    gamma = jnp.sqrt(jnp.diagonal(cov)) * direction / jnp.linalg.norm(direction)
    gamma = gamma * jnp.sqrt(share * jnp.exp(-log_spread))
    return type(like)(centre - gamma, gamma, like.dispersion, law)


def tree_where(condition, new, old):
    """``new`` where the scalar ``condition`` holds, else ``old``."""
    return jax.tree.map(lambda x, y: jnp.where(condition, x, y), new, old)
