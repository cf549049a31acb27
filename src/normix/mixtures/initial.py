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
from normix._cache import cache_folder
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
# fitters leave word here how, for a family, a law as a vector, rows in outline and a
# frame.
BEFORE_FITS: list[Callable[[type[Subordinator], Array, Blocks, Frame], None]] = []


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
        centre, cov = mean_and_covariance(X)
        frame = Frame(CholeskyDispersion, X.shape[1], 0)
        step, mean_y, flats = _short_fit(family, X, centre, cov, frame)
        settled = _settled(step, mean_y, cov, frame)
        return _finished(settled, flats, centre, family, frame)


def initial_factor_joint(
    family: type[JointNormalMixture], X: Float[Array, "n d"], r: int
) -> JointNormalMixture:
    """A member with ``r`` factors, from principal components."""
    with eagerly(X):
        centre, cov = mean_and_covariance(X)
        frame = Frame(FactorDispersion, X.shape[1], r)
        step, _, flats = _short_fit(family, X, centre, cov, frame)
        return _finished(step, flats, centre, family, frame)


def mean_and_covariance(X: Any) -> tuple[Any, Any]:
    """Of rows that are at hand, by NumPy; of others by JAX."""
    xp: Any = jnp if is_traced(X) else np
    X = xp.asarray(X)
    centre = X.mean(axis=0)
    columns = (X - centre).T
    return centre, columns @ columns.T / X.shape[0]


class _Leaning(NamedTuple):
    """γ by standard deviation of Y and Σ, of the laws with each share of skewness."""

    skew: Float[Array, "m d"]
    flat: Float[Array, "m k"]


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


@small("frame")
def _leaning(cov: Array, direction: Array, frame: Frame) -> _Leaning:
    """Laws of covariance ``cov``, skewed in a direction."""
    root = frame.form.from_flat(_flat(cov, frame), frame.d, frame.r)
    size = root.inner_products(direction[None], direction).skew
    direction = direction / jnp.sqrt(jnp.where(size > 0, size, 1.0))

    def law(share):
        skew = share * direction
        return skew, _flat(cov - jnp.outer(skew, skew), frame)

    return _Leaning(*jax.vmap(law)(jnp.asarray(_LEANS, cov.dtype)))


def _flat(cov: Array, frame: Frame) -> Array:
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


@cache
def _ladder(law: type[Subordinator]) -> Any:
    """``(p, a, b)`` of the laws of mean 1 that are tried, by order and spread."""
    if not law.has_order:
        with eagerly():
            return np.asarray(_unit_means(_SPREADS, law))[None]
    p, z = np.meshgrid(_ORDERS, 1 / _SPREADS, indexing="ij")
    mean = gig_moments_host(p, z)[3]
    return np.stack([p, z * mean, z / mean], axis=-1)


@small("law")
def _unit_means(spreads: Any, law: type[Subordinator]) -> Array:
    return jnp.stack(law.with_unit_mean(spreads, spreads).gig_params(), axis=-1)


class _Climb(NamedTuple):
    """``status``: next rung, score of the last, the best score, and its order."""

    status: Float[Array, " 4"]
    best: Float[Array, " k"]


@small("frame")
def _rung(status: Array, leaning: _Leaning, ladder: Array, frame: Frame) -> Array:
    """The law about 0 of a rung: symmetric for every order, then skewed ones."""
    orders, rungs, _ = ladder.shape
    rung, symmetric = status[0].astype(int), orders * rungs
    lean = jnp.where(rung < symmetric, 0, 1 + (rung - symmetric) // rungs)
    order = jnp.where(rung < symmetric, rung // rungs, status[3].astype(int))
    spread = jnp.asarray(_SPREADS, ladder.dtype)[rung % rungs]
    gamma = leaning.skew[lean] / jnp.sqrt(spread)
    gig = ladder[order, rung % rungs]
    return jnp.concatenate([-gamma, gamma, leaning.flat[lean], gig])


@small("orders", "rungs", "d")
def _climbed(
    state: _Climb, vector: Array, head: Array, orders: int, rungs: int, d: int
) -> _Climb:
    """Up while the likelihood rises, then on to the next ladder."""
    k, last, best, order = state.status
    # At the edge of a Gamma law of small shape is a pole, see limits.at_edge.
    p, _, b = vector[-3:]
    edge = (k >= orders * rungs) & (b == 0) & (p <= 0.5 * (d + 1))
    score = jnp.where(edge, -jnp.inf, head[0])
    first = k % rungs == 0
    rising = (first | (score > last)) & ((k + 1) % rungs > 0)
    following = jnp.where(rising, k + 1, (k // rungs + 1) * rungs)
    better = score > best
    order = jnp.where(better & (k < orders * rungs), k // rungs, order)
    status = jnp.stack([following, score, jnp.where(better, score, best), order])
    return _Climb(status, jnp.where(better, vector, state.best))


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
    family: type[JointNormalMixture], X: Array, centre, cov: Array, frame: Frame
) -> tuple[Array, Array, Array]:
    """A law about the mean of ``X``: up the ladders, then on by a few EM steps.

    A family with a free order climbs once for each of several; with the best of them
    it climbs on for each share of skewness, and the best of all goes on. Also the
    rows' mean of E[Y], and the dispersions that the ladders began with.
    """
    law = family._subordinator_class
    rows, sample = _sample(X, centre)
    direction = _direction(sample - centre, cov, frame)
    dtype = cov.dtype
    table = _ladder(law)
    ladder, (orders, rungs) = table.astype(dtype), table.shape[:2]

    def climb(state: _Climb, leaning: _Leaning, rows: Rows = rows) -> _Climb:
        vector = _rung(state.status, leaning, ladder, frame)
        swept: Swept = rows.swept(vector, frame, "jax")
        return _climbed(state, vector, swept.head, orders, rungs, frame.d)

    def begun() -> tuple[_Climb, _Leaning]:
        leaning = _leaning(cov, direction, frame)
        status: Any = np.array([0.0, -np.inf, -np.inf, 0.0], dtype)
        return _Climb(status, _rung(status, leaning, ladder, frame)), leaning

    def step(state: _Stepping, rows: Rows = rows) -> _Stepping:
        swept: Swept = rows.swept(state.vector, frame, "jax")
        gig = mixing_maximised(swept.head, law, SolverOptions())
        vector, _ = normal_maximised(
            state.vector, swept, gig, None, gauge, frame, False
        )
        return _stepped(state, vector, swept.head)

    gauge = nowhere(frame, np.dtype(dtype))[2]
    left: Any = np.full(1, _STEPS, dtype)
    one: Any = np.ones((), dtype)
    if (outline := rows.outline) is not None:

        def opening():
            begin, leaning = begun()
            climb(begin, leaning, outline)
            step(_Stepping(left, begin.best, one), outline)

        new = rehearse(("start", law, frame, outline.size, dtype), opening)
        # With a cache there is no compiling, behind which to hide the tracing of a fit
        # that may yet be another.
        if new and cache_folder() is None:
            size = 2 * frame.d + frame.form.stored(frame.d, frame.r) + 3
            vector: Any = jax.ShapeDtypeStruct((size,), dtype)
            for prepare in BEFORE_FITS:
                prepare(law, vector, outline, frame)
    begin, leaning = begun()
    ladders = orders + len(_LEANS) - 1
    top = repeat(
        lambda status: status[0] < ladders * rungs, lambda s: climb(s, leaning), begin
    )
    state = repeat(lambda status: status[0] > 0, step, _Stepping(left, top.best, one))
    return state.vector, state.mean_y, leaning.flat


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


@small("frame")
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


def _finished(vector, flats, centre, family, frame: Frame) -> JointNormalMixture:
    lowest = _ladder(family._subordinator_class)[-1, 0].astype(flats.dtype)
    return _in_family(vector, flats, centre, lowest, family, frame)


@small("family", "frame")
def _in_family(vector, flats, centre, lowest, family, frame: Frame):
    """The law about the data's mean, or the lowest rung for a sample without spread."""
    zero = jnp.zeros(frame.d, flats.dtype)
    start = jnp.concatenate([zero, zero, flats[0], lowest])
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
