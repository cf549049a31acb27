r"""Scores of rows and the observed information of a mixture, from E-step moments.

Given ``(x, Y)`` the log-density is linear in ``t = (log Y, 1/Y, Y)``. With ``s(x, t)``
its gradient, the score of a row is ``s(x, E[t | x])``, and Louis' formula (J. R. Stat.
Soc. B 44, 1982) gives the observed information:

.. math:: -\ell''(c) = -\sum_i E[\ell_c''(x_i, Y) | x_i]
    - \sum_i A_i \operatorname{Cov}(t | x_i) A_i^\top, \qquad
    A_i = \partial s(x_i, t)/\partial t.

The first sum is that of complete data, a function of the E-step's sums alone; the
second takes the covariances of each row's law of Y, which one sum gives as well
(:mod:`normix.special.gig_spread`). No log-likelihood is differentiated, and what
compiles does not depend on the data's shape but for the lengths of arrays.
"""

from __future__ import annotations

from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from normix._compile import LOOPS, compiled, grid, rehearse, small
from normix.mixtures.cholesky import CholeskyDispersion
from normix.mixtures.coordinates import (
    Moving,
    at_coordinates,
    coordinates,
    pulled_back,
)
from normix.mixtures.law import Frame, Law
from normix.mixtures.posterior import posterior_laws
from normix.mixtures.rows import padded
from normix.mixtures.score import score_of_row, slopes_given
from normix.mixtures.statistics import PosteriorMeans
from normix.special._mode import typical_value
from normix.special.gig_spread import gig_spread

# Numbers that the temporaries of one block of rows may have.
_AT_ONCE = 4_000_000


class OfMixing(NamedTuple):
    """Means and covariances of ``(log Y, 1/Y, Y)`` under the mixing law itself."""

    means: Any  # shape (3,)
    covariances: Any  # shape (3, 3)


class OfRows(NamedTuple):
    """Scores, the information that is missing, and the E-step's sums.

    In the chart of the full form, of both coordinates of Y.
    """

    scores: Any  # shape (n, k)
    missing: Any  # shape (k, k)
    of_y: Any  # of log Y, 1/Y, Y and 1, shape (4,)
    tail: Any
    mixing: OfMixing


class Complete(NamedTuple):
    """The information of complete data, and what leads to other parameters.

    ``to_full``: the derivative of the full form's chart by that of the form at hand;
    ``classical`` and ``slopes``: the classical parameters and their derivatives.
    """

    information: Float[Array, "k k"]
    to_full: Float[Array, "f k"]
    classical: Float[Array, " p"]
    slopes: Float[Array, "p k"]


class Observed(NamedTuple):
    """What rows say of a law, by the coordinates of its form."""

    scores: Float[np.ndarray, "n k"]
    information: Float[np.ndarray, "k k"]
    classical: Any  # the classical parameters, shape (p,), and their derivatives
    slopes: Any  # shape (p, k)


class At(NamedTuple):
    """A law as a vector, and the units in which X is counted from a centre."""

    vector: Float[Array, " k"]
    centre: Any  # shape (d,)
    unit: Any
    edge: OfMixing  # of a mixing law on the boundary of its family
    # The same of Y given rows, in the one limit where those laws are in it as well: a
    # symmetric skew t law, by which they are inverse Gamma laws of one shape.
    of_rows: OfMixing


def placed(
    vector: Array, centre: Float[np.ndarray, " d"], unit: Float[np.ndarray, " d"]
) -> At:
    """Of values that are at hand."""
    from scipy import special  # here, for a quick import of normix

    dtype = vector.dtype
    p, a, b = np.asarray(vector, float)[-3:]

    def edge(order, a, b):
        q = abs(order)
        log_mean = special.digamma(q) - np.log(q)
        found = at_edge(order, a, b, log_mean, special.polygamma(1, q), np)
        return OfMixing(*(x.astype(dtype) for x in found))

    both = edge(p, a, b), edge(p - 0.5 * len(centre), 0.0, 1.0)
    return At(vector, centre.astype(dtype), unit.astype(dtype), *both)


def placed_in_trace(vector: Array, centre: Array, unit: Array) -> At:
    """Of traced values."""
    p, a, b = vector[-3:]

    def edge(order, a, b):
        q = jnp.abs(order)
        log_mean = jax.scipy.special.digamma(q) - jnp.log(q)
        slope = jax.scipy.special.polygamma(1, q)
        return at_edge(order, a, b, log_mean, slope, jnp)

    zero, one = jnp.zeros_like(a), jnp.ones_like(a)
    both = edge(p, a, b), edge(p - 0.5 * centre.shape[0], zero, one)
    return At(vector, centre, unit, *both)


def at_edge(p: Any, a: Any, b: Any, log_mean: Any, slope: Any, xp: Any) -> OfMixing:
    """Of gamma and inverse gamma laws, in closed form; of others of no use.

    In the unit in which ``log Y`` is likeliest to be 0 the rate is the shape ``|p|``.
    ``log_mean``: ``digamma(|p|) - log |p|``, ``slope``: ``trigamma(|p|)``. The moment
    that may be infinite is 0, as its rate does not move; but an inverse gamma law's
    ``E[Y]`` is told, for the gauge in which it is 1.
    """
    q, gamma = xp.abs(p), b == 0
    sign = xp.where(gamma, 1.0, -1.0)
    finite = ~gamma & (q > 1)
    less = xp.where(finite, q - 1, 1.0)
    zero, one = 0.0 * q, 1.0 + 0.0 * q
    y = xp.where(gamma, one, xp.where(finite, q / less, zero))
    log_y = xp.where(gamma, 1 / q, xp.where(finite, q / less**2, zero))
    log_inv = xp.where(gamma, zero, -1 / q)
    between = xp.where(finite, -1 / less, zero)
    means = xp.stack([sign * log_mean, xp.where(gamma, zero, one), y])
    rows = [
        [slope, log_inv, log_y],
        [log_inv, xp.where(gamma, zero, 1 / q), between],
        [log_y, between, xp.where(gamma, 1 / q, zero)],
    ]
    return OfMixing(means, xp.stack([xp.stack(row) for row in rows]))


def in_one(
    at: At,
    X: Float[Array, "n d"],
    weights: Float[Array, " n"] | None,
    frame: Frame,
    moving: Moving,
) -> Float[Array, "k k"]:
    """The observed information of traced rows, by the coordinates of the form."""
    w = jnp.ones_like(X[:, 0]) if weights is None else weights
    found = _block(at, X, w, frame, moving)
    sums = found.of_y, found.tail, found.mixing
    known = complete(at, *sums, frame, moving, ("p",), False)
    return known.information - known.to_full.T @ found.missing @ known.to_full


def information_of(
    at: At,
    X: Float[np.ndarray, "n d"],
    weights: Float[np.ndarray, " n"] | None,
    frame: Frame,
    moving: Moving,
    names: tuple[str, ...],
    unit_mean: bool,
) -> Observed:
    """Of all rows, block by block, and of the complete data."""
    n, d = X.shape
    size = min(grid(n), grid(max(_AT_ONCE // (8 * d * d), 16)))
    rest = frame, moving, names, unit_mean
    of_block = _of_few if n * d * d <= _FEW else _of_many

    def opening() -> None:
        # What takes the longest to compile comes first.
        shapes = (4,), (2 * d + d * d,), (3,), (3, 3)
        of_y, tail, *own = (jax.ShapeDtypeStruct(x, X.dtype) for x in shapes)
        complete(at, of_y, tail, OfMixing(*own), *rest)
        block, ones = np.empty((size, d), X.dtype), np.empty(size, X.dtype)
        of_block(at, cast(Any, block), cast(Any, ones), frame, moving)

    rehearse((of_block, size, X.dtype.name, *rest), opening)
    parts = []
    for block, counts, m in padded(X, weights, size):
        found = of_block(at, block, counts, frame, moving)
        parts.append(found._replace(scores=np.asarray(found.scores)[:m]))
    scores: Any = np.concatenate([part.scores for part in parts])
    missing, of_y, tail = (
        np.sum([np.asarray(getattr(part, name)) for part in parts], axis=0)
        for name in ("missing", "of_y", "tail")
    )
    known = complete(at, of_y, tail, parts[0].mixing, *rest)
    to_full, whole = (np.asarray(x, float) for x in (known.to_full, known.information))
    information = whole - to_full.T @ np.asarray(missing, float) @ to_full
    scores = np.asarray(scores, float) @ to_full
    return Observed(scores, information, known.classical, known.slopes)


def classical_of(law: Law, unit: Array, names: tuple[str, ...]) -> Float[Array, " p"]:
    """μ, γ, Σ row by row and the parameters of Y, in the gauge where ``unit`` is 1.

    ``unit`` is a scale of Y, as a rule its mean.
    """
    p, a, b = law.gig[0], law.gig[1] * unit, law.gig[2] / unit
    inside = a * b > 0
    bar = jnp.where(inside, jnp.sqrt(jnp.where(inside, a * b, 1.0)), 0.0)
    told = {"alpha": jnp.abs(p), "lam": b, "p": p, "alpha_bar": bar}
    entries = (unit * law.dispersion.matrix())[np.tril_indices(law.mu.shape[0])]
    of_mixing = jnp.stack([told[name] for name in names])
    return jnp.concatenate([law.mu, unit * law.gamma, entries, of_mixing])


def law_at(at: At, frame: Frame) -> Law:
    """In the units of X at hand, and in the gauge of the chart."""
    law = frame.unpack(at.vector).translated(-at.centre).in_units(1 / at.unit)
    return law.rescaled(1 / typical_value(*law.gig))


def _full(law: Law) -> Law:
    if isinstance(law.dispersion, CholeskyDispersion):
        return law
    root = CholeskyDispersion.from_matrix(law.dispersion.matrix())
    return law._replace(dispersion=root)


def own_mixing(at: At, frame: Frame) -> OfMixing:
    """Of the mixing law itself, in the gauge of the chart."""
    gig = law_at(at, frame).gig
    limit = (gig[1:] == 0).any()
    means, covariances = gig_spread(*(jnp.where(limit, 1.0, x)[None] for x in gig))
    return _inside_or_at_edge(at, limit, means[:, 0], covariances[..., 0])


def _inside_or_at_edge(at: At, limit, means, covariances) -> OfMixing:
    return OfMixing(
        jnp.where(limit, at.edge.means, means),
        jnp.where(limit, at.edge.covariances, covariances),
    )


def _of_inverse_gamma(
    standard: OfMixing, scale: Float[Array, " n"]
) -> tuple[Float[Array, "3 n"], Float[Array, "3 3 n"]]:
    """Of laws of one shape, in several scales, by those in the scale of 1."""
    one = jnp.ones_like(scale)
    units = jnp.stack([one, 1 / scale, scale])
    means = standard.means[:, None] * units
    covariances = standard.covariances[..., None] * units[:, None] * units
    return means.at[0].add(jnp.log(scale)), covariances


def own_means(mixing: OfMixing, law: Law, like: Law) -> Float[Array, " 3"]:
    """Of the mixing law of ``law`` to first order about ``like``, which has ``mixing``.

    The first derivatives of the means of Y are its covariances.
    """
    p, a, b = law.gig - like.gig
    return mixing.means + mixing.covariances @ jnp.stack([p, -0.5 * b, -0.5 * a])


def _block(at: At, X: Array, weights: Array, frame: Frame, moving: Moving) -> OfRows:
    law, d = _full(law_at(at, frame)), frame.d
    X = (X - at.centre) / at.unit
    gap = X - law.mu
    limit = (law.gig[1:] == 0).any()
    own = (jnp.where(limit, 1.0, x) for x in law.gig)
    p, a, b = posterior_laws(law, X)
    inverse_gamma = a[0] == 0
    posterior = p, jnp.where(inverse_gamma, 1.0, a), b
    every = (jnp.append(x, y) for x, y in zip(posterior, own, strict=True))
    means, covariances = gig_spread(*every)
    mixing = _inside_or_at_edge(at, limit, means[:, -1], covariances[..., -1])
    of_shape = _of_inverse_gamma(at.of_rows, 0.5 * b / jnp.abs(p))
    means, covariances = (
        jnp.where(inverse_gamma, x, y[..., :-1])
        for x, y in zip(of_shape, (means, covariances), strict=True)
    )
    zero = jnp.zeros_like(law.mu)

    def gradient(x, t):
        return score_of_row(law, x, t, mixing.means, moving)

    corners = jnp.concatenate([jnp.zeros((1, 3)), jnp.eye(3)]).astype(X.dtype)
    # One batch of rows and corners: a batch of batches is traced twice.
    pairs = jnp.repeat(gap, 4, axis=0), jnp.tile(corners, (gap.shape[0], 1))
    seen = jax.vmap(gradient)(*pairs).reshape(gap.shape[0], 4, -1)
    along = seen[:, 1:] - seen[:, :1]
    scores = seen[:, 0] + jnp.einsum("njk,jn->nk", along, means)
    # Rows at once: A Cov Aᵀ, summed.
    spread = jnp.einsum("ijn,njk,n->nik", covariances, along, weights)
    missing = jnp.einsum("nik,nil->kl", spread, along)
    log_y, inv_y, y = means
    by_weight = PosteriorMeans(log_y, inv_y, y, weights)
    eta = law.dispersion.collect(gap, zero, law.gamma, by_weight)
    of_y = jnp.stack([eta.E_log_Y, eta.E_inv_Y, eta.E_Y, weights.sum()])
    full = Frame(CholeskyDispersion, d, 0)
    return OfRows(scores, missing, of_y, full.tail(eta), mixing)


def _classical(
    law: Law, like: Law, mixing: OfMixing, names: tuple[str, ...], unit_mean: bool
) -> Array:
    """The parameters of a law near ``like``, whose Y has the moments ``mixing``."""
    unit = own_means(mixing, law, like)[2] if unit_mean else typical_value(*law.gig)
    return classical_of(law, unit, names)


@small("frame", "moving", "names", "unit_mean")
def classical_by_coordinates(
    at: At,
    mixing: OfMixing,
    frame: Frame,
    moving: Moving,
    names: tuple[str, ...],
    unit_mean: bool,
) -> tuple[Float[Array, " p"], Float[Array, "p k"]]:
    """The classical parameters and their derivatives, as :func:`complete` has them."""
    like = law_at(at, frame)

    def told(c: Array) -> tuple[Array, Array]:
        law = at_coordinates(like, c, moving)
        found = _classical(law, like, mixing, names, unit_mean)
        return found, found

    slopes, found = jax.jacfwd(told, has_aux=True)(coordinates(like, moving))
    return found, slopes


# Of some rows the compiling is what takes time, of many the arithmetic.
_of_few = small("frame", "moving")(_block)
_of_many = compiled("frame", "moving", options=LOOPS)(_block)
_FEW = 50_000  # rows times squares of columns


@small("frame", "moving", "names", "unit_mean")
def complete(
    at: At,
    of_y: Any,
    tail: Any,
    mixing: OfMixing,
    frame: Frame,
    moving: Moving,
    names: tuple[str, ...],
    unit_mean: bool,
) -> Complete:
    """Of the E-step's sums; ``names`` are the parameters of Y to be told.

    In the gauge where ``E[Y] = 1``, or where that is infinite in that of the chart.
    """
    like = law_at(at, frame)
    point, total, told_as = coordinates(like, moving), of_y[3], (names, unit_mean)
    full = Frame(CholeskyDispersion, frame.d, 0)
    eta = full.statistics(of_y[:3] / total, tail / total)

    def in_full(c: Array) -> Array:
        return coordinates(_full(at_coordinates(like, c, moving)), moving)

    def gradient(c: Array) -> Array:
        law = at_coordinates(like, c, moving)
        whole, moved = _full(law), law.mu - like.mu
        slopes = slopes_given(whole, eta, own_means(mixing, law, like), moved)
        by_full = pulled_back(whole, slopes, moving)
        if frame.form is CholeskyDispersion:
            return by_full
        return jax.vjp(in_full, c)[1](by_full)[0]

    def classical(c: Array) -> Array:
        return _classical(at_coordinates(like, c, moving), like, mixing, *told_as)

    def both(c: Array) -> tuple[tuple[Array, Array], Array]:
        told = classical(c)
        return (gradient(c), told), told

    (curvature, slopes), told = jax.jacfwd(both, has_aux=True)(point)
    to_full = jnp.eye(point.shape[0], dtype=point.dtype)
    if frame.form is not CholeskyDispersion:
        to_full = jax.jacfwd(in_full)(point)
    return Complete(-total * curvature, to_full, told, slopes)
