"""Starts for fits of finite mixtures: many, of which a few EM steps choose one."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from normix._compile import small
from normix.mixtures.cholesky import CholeskyDispersion
from normix.mixtures.finite_steps import Bounds, Member, Place, bounds_for, em_step
from normix.mixtures.initial import near_covariance
from normix.mixtures.joint import JointNormalMixture
from normix.mixtures.law import Frame
from normix.mixtures.low_rank import FactorDispersion
from normix.mixtures.maximum import nowhere
from normix.mixtures.model_steps import of_vector
from normix.mixtures.rows import Blocks, block_length, blocks_in_memory, moments_of

# Rows that starts are tried on: enough to tell them apart.
_ROWS = 2000
_LLOYD = 5  # iterations of k-means
# EM steps of all starts; then more of so many, the best of them.
_FIRST, _MORE, _LEFT = 10, 20, 4
# Var[Y]/E[Y]² of the components to begin with, and the order of GIG laws.
_SPREAD, _ORDER = 1.0, -0.5
# Beside the covariance of a group's rows, that of all: few rows may have none.
_OF_ALL = 1e-3


class Start(NamedTuple):
    """Weights and components, in the coordinates of the data."""

    weights: Float[np.ndarray, " k"]
    joints: list[JointNormalMixture]


def best_start(
    family: type[JointNormalMixture],
    X: Float[np.ndarray, "n d"],
    k: int,
    factors: int,
    n_starts: int,
    key: PRNGKeyArray,
) -> Start:
    """The best of ``n_starts`` by likelihood, no component at a bound if possible."""
    random = np.random.default_rng(np.asarray(jax.random.key_data(key)).ravel())
    n, d = X.shape
    if n > _ROWS:
        X = X[np.sort(random.permutation(n)[:_ROWS])]
    form = FactorDispersion if factors else CholeskyDispersion
    frame = Frame(form, d, factors)
    members = (Member(frame, family._subordinator_class),) * k
    moments = moments_of(X)
    rows = blocks_in_memory(X, None, moments, X.dtype, block_length(len(X)))
    cov = np.atleast_2d(np.cov(X.T, bias=True)).astype(X.dtype)
    bounds = bounds_for(cov, float(len(X)), k, members)
    centred = X - moments.centre
    white = np.linalg.lstsq(_root(cov), centred.T, rcond=None)[0].T
    begun = []
    for start in range(n_starts):
        labels = _groups(white, k, random, spread=start % 2 == 0)
        begun.append(_place(centred, labels, cov, k, frame, family))
    how = rows, members, bounds
    tried = sorted((_climbed(at, *how, _FIRST) for at in begun), key=_worth)
    best = tried[0]
    if n_starts > 1:
        again = [_climbed(t.place, *how, _MORE) for t in tried[:_LEFT]]
        best = min(again, key=_worth)
    weights = np.exp(best.place.log_weights)
    centre: Any = moments.centre
    joints = [of_vector(vector, frame, family, centre) for vector in best.place.vectors]
    return Start(weights / weights.sum(), joints)


def _root(cov: np.ndarray) -> np.ndarray:
    """A root of a covariance that may be singular."""
    values, vectors = np.linalg.eigh(cov)
    return vectors * np.sqrt(np.maximum(values, values[-1] * np.finfo(cov.dtype).eps))


def _groups(
    white: Float[np.ndarray, "n d"], k: int, random: np.random.Generator, spread: bool
) -> Int[np.ndarray, " n"]:
    """A group for every row: by k-means++ if ``spread``, else about rows at random."""
    n = len(white)
    chosen = [int(random.integers(n))]
    while len(chosen) < k:
        if not spread:
            chosen.append(int(random.integers(n)))
            continue
        near = _squares(white, white[chosen]).min(axis=1)
        total = near.sum()
        chance = near / total if total > 0 else np.full(n, 1 / n)
        chosen.append(int(random.choice(n, p=chance)))
    centres = white[chosen]
    labels = _squares(white, centres).argmin(axis=1)
    for _ in range(_LLOYD if spread else 0):
        sizes = np.bincount(labels, minlength=k)[:, None]
        sums = np.zeros_like(centres)
        np.add.at(sums, labels, white)
        centres = np.where(sizes > 0, sums / np.maximum(sizes, 1), centres)
        labels = _squares(white, centres).argmin(axis=1)
    return labels


def _squares(rows: np.ndarray, centres: np.ndarray) -> np.ndarray:
    return ((rows[:, None, :] - centres[None]) ** 2).sum(axis=2)


def _place(
    centred: Float[np.ndarray, "n d"],
    labels: Int[np.ndarray, " n"],
    cov: Float[np.ndarray, "d d"],
    k: int,
    frame: Frame,
    family: type[JointNormalMixture],
) -> Place:
    """Components with the means and covariances of groups of rows."""
    vectors, sizes = [], np.ones(k)
    for j in range(k):
        own = centred[labels == j]
        sizes[j] = max(len(own), 1)
        mean = own.mean(axis=0) if len(own) else np.zeros(len(cov), cov.dtype)
        within = cov / k
        if len(own) > len(cov):
            within = np.atleast_2d(np.cov(own.T, bias=True)) + _OF_ALL * cov
        vectors.append(_symmetric(mean, within.astype(cov.dtype), frame, family))
    return Place(np.log(sizes / sizes.sum()), vectors)


@small("frame", "family")
def _symmetric(mean, cov, frame: Frame, family: type[JointNormalMixture]) -> Array:
    """A law about ``mean`` without skewness, its covariance ``cov``."""
    spread, order = (jnp.asarray(x, cov.dtype) for x in (_SPREAD, _ORDER))
    law = family._subordinator_class.with_unit_mean(spread, order)
    gig = jnp.stack(law.gig_params())
    return jnp.concatenate([mean, 0 * mean, near_covariance(cov, frame), gig])


class _Tried(NamedTuple):
    place: Place
    log_likelihood: float
    held: bool


def _climbed(
    place: Place, rows: Blocks, members: tuple[Member, ...], bounds: Bounds, steps: int
) -> _Tried:
    gauge = nowhere(members[0].frame, rows.scale.dtype)[2]
    failed = tried = _Tried(place, -np.inf, True)
    for _ in range(steps):
        step = em_step(tried.place, rows, members, bounds, gauge, False)
        if not np.isfinite(step.log_likelihood):
            return failed
        failed = failed._replace(place=tried.place)
        held = bool(step.held.any())
        tried = _Tried(step.following, step.log_likelihood, held)
    return tried


def _worth(tried: _Tried) -> tuple[bool, float]:
    """Less is better; a component at a bound is worse than all else."""
    return tried.held, -tried.log_likelihood
