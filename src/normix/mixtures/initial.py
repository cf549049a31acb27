"""Where EM starts: moments of the data and a ladder of tail weights."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from normix._arrays import is_traced
from normix._cache import is_filled
from normix._compile import rehearse, small
from normix._loops import eagerly, repeat
from normix.exponential_family import SolverOptions
from normix.mixtures.cholesky import CholeskyDispersion
from normix.mixtures.in_one import InOne, Layout
from normix.mixtures.joint import JointNormalMixture
from normix.mixtures.law import Frame, Law, Swept
from normix.mixtures.low_rank import FactorDispersion
from normix.mixtures.maximum import mixing_maximised, normal_maximised, nowhere
from normix.mixtures.rows import (
    BLOCK,
    Blocks,
    Moments,
    Rows,
    block_length,
    blocks_in_memory,
)
from normix.mixtures.subordinator import Subordinator
from normix.special._gig_host import gig_moments_host

# Var[Y]/E[Y]^2 from nearly normal to far heavier than any Student law with a variance.
_SPREADS = np.geomspace(1e-4, 100.0, 13)
# Orders from which a family with a free order starts: near the skew t, normal inverse
# Gaussian, hyperbolic and variance gamma families.
_ORDERS = np.array([-2.0, -0.5, 1.0, 2.0])
# Shares of the standard deviation that skewness takes, in the data's own direction of
# it: the likelihood of a one-sided or two-humped sample may have its highest maximum
# where no symmetric start leads.
_LEANS = np.array([0.0, 0.5, 0.85, 0.97])
_STEPS = 6  # of EM
# The share of the variance that skewness may claim in any direction.
_SKEW_SHARE = 0.8

# A fit comes next as a rule. What it needs is compiled beside what the start needs:
# fitters leave word here how, for a model and rows in outline.
BEFORE_FITS: list[Callable[[JointNormalMixture, Blocks], None]] = []


def check_full_rank(n: int, d: int) -> None:
    """Raise ``ValueError`` where a full dispersion cannot be estimated."""
    if n < d + 1:
        rows = "1 row" if n == 1 else f"{n} rows"
        dimensions = "1 dimension" if d == 1 else f"{d} dimensions"
        # One row is too little for any form.
        other = ". The factor form (Factor..., with few factors r) does with fewer"
        raise ValueError(
            f"X has {rows}; a full dispersion in {dimensions} needs at least {d + 1}"
            + (other if n > 1 else "")
        )


def initial_joint(
    family: type[JointNormalMixture], X: Float[Array, "n d"]
) -> JointNormalMixture:
    """A member with the mean and covariance of ``X``."""
    with eagerly(X):
        return _short_fit(family, X, Frame(CholeskyDispersion, X.shape[1], 0))


def initial_factor_joint(
    family: type[JointNormalMixture], X: Float[Array, "n d"], r: int
) -> JointNormalMixture:
    """A member with ``r`` factors, from principal components."""
    with eagerly(X):
        return _short_fit(family, X, Frame(FactorDispersion, X.shape[1], r))


def mean_and_covariance(X: Any, weights: Any = None) -> tuple[Any, Any]:
    """Of rows that are at hand, by NumPy; of others by JAX. By weight, if given."""
    xp: Any = jnp if is_traced(X, weights) else np
    X = xp.asarray(X)
    if weights is None:
        centre = X.mean(axis=0)
        columns = (X - centre).T
        return centre, columns @ columns.T / X.shape[0]
    share = weights / weights.sum()
    centre = share @ X
    columns = (X - centre).T
    return centre, (columns * share) @ columns.T


def _direction(rows: Any, cov: Any, frame: Frame) -> Any:
    """That in which centred rows are skewed.

    With ``q`` the squared Mahalanobis distance, ``E[(X - E X) h(q)]`` has the direction
    of γ for any ``h``: a mixture is symmetric across γ. This one is bounded.
    """
    xp: Any = jnp if is_traced(rows, cov) else np
    if frame.form is FactorDispersion:  # cov may be singular
        white = rows / xp.diagonal(cov)
    else:
        white = xp.linalg.solve(cov, rows.T).T
    q = (rows * white).sum(axis=1)
    return (q / (frame.d + q)) @ rows


def near_covariance(cov: Array, frame: Frame) -> Array:
    """A dispersion of the form in question that comes near ``cov``."""
    if frame.form is FactorDispersion:
        return _principal(cov, frame.r)
    return CholeskyDispersion.from_matrix(cov).flat()


def _principal(cov: Array, r: int) -> Array:
    """A factor dispersion that comes near ``cov``."""
    sd = jnp.sqrt(jnp.diagonal(cov))
    values, vectors = jnp.linalg.eigh(cov / jnp.outer(sd, sd))
    # As of a law whose other directions share what the components leave over
    # (Tipping & Bishop, J. R. Stat. Soc. B 61, 1999).
    rest = values[:-r].sum() / max(1, cov.shape[0] - r)
    loadings = vectors[:, -r:] * jnp.sqrt(jnp.maximum(values[-r:] - rest, 0.0))
    # With no noise of its own a component would never get any.
    own = jnp.maximum(1 - (loadings**2).sum(axis=1), 0.05)
    return FactorDispersion(sd[:, None] * loadings, sd**2 * own).flat()


# -- up the ladder -------------------------------------------------------------------


class _Ladders(NamedTuple):
    """What the rungs are made of.

    ``(p, a, b)`` of laws of mean 1, by order and spread; γ by standard deviation of Y
    and Σ, for each share of skewness.
    """

    laws: Float[Array, "orders rungs 3"]
    skew: Float[Array, "m d"]
    flat: Float[Array, "m k"]


class _Climb(NamedTuple):
    """``status``: next rung, score of the last, the best score, and its order.

    Then the law of the next rung, and the best so far.
    """

    status: Float[Array, " 4"]
    vector: Float[Array, " k"]
    best: Float[Array, " k"]


@cache
def _of_orders() -> np.ndarray:
    """``(p, a, b)`` of the laws with a free order, of mean 1."""
    p, z = np.meshgrid(_ORDERS, 1 / _SPREADS, indexing="ij")
    mean = gig_moments_host(p, z)[3]
    return np.stack([p, z * mean, z / mean], axis=-1)


@small("frame", "law")
def _begun(
    cov: Array, direction: Array, frame: Frame, law: type[Subordinator]
) -> tuple[_Climb, _Ladders]:
    """At the foot of the ladders."""
    if law.has_order:
        laws = _of_orders()
    else:
        unit_mean = law.with_unit_mean(jnp.asarray(_SPREADS), jnp.asarray(_SPREADS))
        laws = jnp.stack(unit_mean.gig_params(), axis=-1)[None]
    root = frame.form.from_flat(near_covariance(cov, frame), frame.d, frame.r)
    size = root.inner_products(direction[None], direction).skew
    direction = direction / jnp.sqrt(jnp.where(size > 0, size, 1.0))

    def leaning(share):
        skew = share * direction
        return skew, near_covariance(cov - jnp.outer(skew, skew), frame)

    shares = jax.vmap(leaning)(jnp.asarray(_LEANS, cov.dtype))
    ladders = _Ladders(jnp.asarray(laws, cov.dtype), *shares)
    status = jnp.array([0.0, -jnp.inf, -jnp.inf, 0.0], cov.dtype)
    first = _rung(status, ladders)
    return _Climb(status, first, first), ladders


def _rung(status: Array, ladders: _Ladders) -> Array:
    """The law about 0 of a rung: symmetric for every order, then skewed ones."""
    orders, rungs, _ = ladders.laws.shape
    rung, symmetric = status[0].astype(int), orders * rungs
    lean = jnp.where(rung < symmetric, 0, 1 + (rung - symmetric) // rungs)
    order = jnp.where(rung < symmetric, rung // rungs, status[3].astype(int))
    spread = jnp.asarray(_SPREADS, status.dtype)[rung % rungs]
    gamma = ladders.skew[lean] / jnp.sqrt(spread)
    gig = ladders.laws[order, rung % rungs]
    return jnp.concatenate([-gamma, gamma, ladders.flat[lean], gig])


@small("d")
def _climbed(state: _Climb, head: Array, ladders: _Ladders, d: int) -> _Climb:
    """Up while the likelihood rises, then on to the next ladder."""
    orders, rungs, _ = ladders.laws.shape
    k, last, best, order = state.status
    # At the edge of a Gamma law of small shape is a pole, see limits.at_edge.
    p, _, b = state.vector[-3:]
    edge = (k >= orders * rungs) & (b == 0) & (p <= 0.5 * (d + 1))
    score = jnp.where(edge, -jnp.inf, head[0])
    first = k % rungs == 0
    rising = (first | (score > last)) & ((k + 1) % rungs > 0)
    following = jnp.where(rising, k + 1, (k // rungs + 1) * rungs)
    better = score > best
    order = jnp.where(better & (k < orders * rungs), k // rungs, order)
    status = jnp.stack([following, score, jnp.where(better, score, best), order])
    highest = jnp.where(better, state.vector, state.best)
    return _Climb(status, _rung(status, ladders), highest)


class _Stepping(NamedTuple):
    """``status``: how many EM steps are left."""

    status: Float[Array, " 1"]
    vector: Float[Array, " k"]
    mean_y: Float[Array, ""]  # the rows' mean of E[Y], which the law was matched to


@small()
def _stepped(state: _Stepping, vector: Array, head: Array) -> _Stepping:
    good = jnp.isfinite(head).all() & jnp.isfinite(vector).all()
    return _Stepping(
        state.status - 1,
        jnp.where(good, vector, state.vector),
        jnp.where(good, head[4] / head[1], state.mean_y),
    )


def _short_fit(
    family: type[JointNormalMixture], X: Array, frame: Frame
) -> JointNormalMixture:
    """A law about the mean of ``X``: up the ladders, then on by a few EM steps.

    A family with a free order climbs once for each of several; with the best of them
    it climbs on for each share of skewness, and the best of all goes on.
    """
    centre, cov = mean_and_covariance(X)
    law = family._subordinator_class
    rows, sample = _sample(X, centre)
    direction = _direction(sample - centre, cov, frame)
    dtype = cov.dtype

    def climb(state: _Climb, ladders: _Ladders, rows: Rows = rows) -> _Climb:
        swept: Swept = rows.swept(state.vector, frame, "jax")
        return _climbed(state, swept.head, ladders, frame.d)

    def step(state: _Stepping, rows: Rows = rows) -> _Stepping:
        swept: Swept = rows.swept(state.vector, frame, "jax")
        gig = mixing_maximised(swept.head, law, SolverOptions())
        vector, _ = normal_maximised(
            state.vector, swept, gig, None, gauge, frame, False
        )
        return _stepped(state, vector, swept.head)

    def finished(state: _Stepping, ladders: _Ladders) -> JointNormalMixture:
        return _finished(state, ladders, centre, cov, family, frame)

    gauge = nowhere(frame, np.dtype(dtype))[2]
    left: Any = np.full(1, _STEPS, dtype)
    one: Any = np.ones((), dtype)
    if (outline := rows.outline) is not None:

        def opening():
            begin, ladders = _begun(cov, direction, frame, law)
            joint = finished(_Stepping(left, begin.best, one), ladders)
            # With a cache there is no compiling, behind which to hide the tracing of a
            # fit that may yet be another.
            for prepare in () if is_filled() else BEFORE_FITS:
                prepare(joint, outline)
            climb(begin, ladders, outline)
            step(_Stepping(left, begin.best, one), outline)

        rehearse(("start", family, frame, outline.size, dtype), opening)
    begin, ladders = _begun(cov, direction, frame, law)
    orders, rungs, _ = ladders.laws.shape
    rungs_in_all = (orders + len(_LEANS) - 1) * rungs
    top = repeat(
        lambda status: status[0] < rungs_in_all, lambda s: climb(s, ladders), begin
    )
    state = repeat(lambda status: status[0] > 0, step, _Stepping(left, top.best, one))
    return finished(state, ladders)


def _sample(X: Array, centre) -> tuple[Rows, Any]:
    """Evenly spaced rows, in a length for which a fit compiles; and as an array."""
    n = X.shape[0]
    sample = X[:: -(-n // BLOCK)]
    if is_traced(X):
        one = jnp.ones_like(centre)
        return InOne(sample, None, (centre, one), Layout()), sample
    moments = Moments(centre, np.ones_like(centre))
    host = np.asarray(sample)
    size = block_length(n)
    return blocks_in_memory(host, None, moments, host.dtype, size), host


def _settled(vector: Array, mean_y: Array, cov: Array, frame: Frame) -> Array:
    """Back to the sample's covariance, E[Y] Σ + Var[Y] γγᵀ."""
    step = frame.unpack(vector)
    mean, relative = _mean_and_spread(step.gig, mean_y)
    gamma = step.gamma * mean
    root = CholeskyDispersion.from_matrix(cov)
    claimed = relative * root.inner_products(gamma[None, :], gamma).skew
    share = jnp.minimum(1.0, _SKEW_SHARE / jnp.where(claimed > 0, claimed, 1.0))
    gamma = gamma * jnp.sqrt(share)
    sigma = CholeskyDispersion.from_matrix(cov - relative * jnp.outer(gamma, gamma))
    p, a, b = step.gig
    unit = jnp.stack([p, a * mean, b / mean])
    fitted = frame.pack(Law(-gamma, gamma, sigma, unit))
    # A law without a variance cannot have that of the sample.
    return jnp.where(jnp.isfinite(relative), fitted, vector)


def _mean_and_spread(gig: Array, mean_y: Array) -> tuple[Array, Array]:
    """The mean of a GIG law and its variance over its square; infinite where they are.

    Inside, ``mean_y`` is the mean, which an M-step matches; the second moment follows
    by parts.
    """
    p, a, b = gig
    inside, gamma, q = (a > 0) & (b > 0), b == 0, jnp.abs(p)
    mean = jnp.where(inside, mean_y, 1.0)
    rate = jnp.where(a > 0, a, 1.0)
    spread = (2 * (p + 1) * mean + b) / (rate * mean**2) - 1
    edge = jnp.where(gamma, 2 * q / rate, b / (2 * (q - 1)))
    edge = jnp.where(gamma | (q > 1), edge, jnp.inf)
    edge_spread = jnp.where(gamma, 1 / q, 1 / (q - 2))
    edge_spread = jnp.where(gamma | (q > 2), edge_spread, jnp.inf)
    return jnp.where(inside, mean, edge), jnp.where(inside, spread, edge_spread)


@small("family", "frame")
def _finished(
    state: _Stepping,
    ladders: _Ladders,
    centre: Array,
    cov: Array,
    family: type[JointNormalMixture],
    frame: Frame,
) -> JointNormalMixture:
    """The law about the data's mean, or the lowest rung for a sample without spread."""
    vector = state.vector
    if frame.form is CholeskyDispersion:
        vector = _settled(vector, state.mean_y, cov, frame)
    zero = jnp.zeros_like(ladders.skew[0])
    start = jnp.concatenate([zero, zero, ladders.flat[0], ladders.laws[-1, 0]])
    vector = jnp.where(jnp.isfinite(vector).all(), vector, start)
    return family.of_law(frame.unpack(vector).translated(centre))


# -- at random -----------------------------------------------------------------------


@small()
def random_joint(
    like: JointNormalMixture, centre: Array, cov: Array, key: PRNGKeyArray
) -> JointNormalMixture:
    """A random member with a given mean and, its skewness apart, covariance.

    Tails from nearly normal to very heavy, a random direction of skewness that claims
    up to half of the variance, and a random order between -3 and 3.
    """
    k_spread, k_order, k_gamma, k_share = jax.random.split(key, 4)
    dtype = cov.dtype
    log_spread = jax.random.uniform(k_spread, (), dtype, np.log(0.05), np.log(10.0))
    order = jax.random.uniform(k_order, (), dtype, -3.0, 3.0)
    law = type(like.subordinator).with_unit_mean(jnp.exp(log_spread), order)
    direction = jax.random.normal(k_gamma, centre.shape, dtype)
    share = jax.random.uniform(k_share, (), dtype, 0.0, 0.5)
    # Var[γY] is that share of the variance along γ if spread is Var[Y]/E[Y]².
    gamma = jnp.sqrt(jnp.diagonal(cov)) * direction / jnp.linalg.norm(direction)
    gamma = gamma * jnp.sqrt(share * jnp.exp(-log_spread))
    return type(like)(centre - gamma, gamma, like.dispersion, law)
