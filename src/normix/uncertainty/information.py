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

from normix._compile import LOOPS, compiled, rehearse, small
from normix.mixtures.cholesky import CholeskyDispersion
from normix.mixtures.coordinates import (
    Moving,
    at_coordinates,
    coordinates,
    pulled_back,
)
from normix.mixtures.law import Frame, Law
from normix.mixtures.rows import grid
from normix.mixtures.score import slopes_given
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


class At(NamedTuple):
    """A law as a vector, and the units in which X is counted from a centre."""

    vector: Float[Array, " k"]
    centre: Any  # shape (d,)
    unit: Any
    edge: OfMixing  # of a mixing law on the boundary of its family


def placed(
    vector: Array, centre: Float[np.ndarray, " d"], unit: Float[np.ndarray, " d"]
) -> At:
    """With what is known of the gamma and inverse gamma laws in closed form.

    The moment that may be infinite does not matter there: its rate does not move.
    """
    from scipy import special  # here, for a quick import of normix

    p, a, b = (float(x) for x in np.asarray(vector)[-3:])
    means, covariances = np.zeros(3), np.zeros((3, 3))
    if a == 0 or b == 0:
        # In the unit in which log Y is likeliest to be 0 the rate is the shape.
        q, far, sign = abs(p), 2 if b == 0 else 1, 1 if b == 0 else -1
        means[0], means[far] = sign * (special.digamma(q) - np.log(q)), 1.0
        covariances[0, 0] = special.polygamma(1, q)
        covariances[0, far] = covariances[far, 0] = sign / q
        covariances[far, far] = 1 / q
        if a == 0 and q > 1:  # for the gauge in which E[Y] = 1
            means[2] = q / (q - 1)
            covariances[0, 2] = covariances[2, 0] = q / (q - 1) ** 2
            covariances[1, 2] = covariances[2, 1] = -1 / (q - 1)
    dtype = vector.dtype
    edge = OfMixing(means.astype(dtype), covariances.astype(dtype))
    return At(vector, centre.astype(dtype), unit.astype(dtype), edge)


def information_of(
    at: At,
    X: Float[np.ndarray, "n d"],
    weights: Float[np.ndarray, " n"] | None,
    frame: Frame,
    moving: Moving,
    names: tuple[str, ...],
    unit_mean: bool,
) -> tuple[OfRows, Complete]:
    """Of all rows, block by block, and of the complete data."""
    n, d = X.shape
    size = min(grid(n), grid(max(_AT_ONCE // (8 * d * d), 16)))
    rest = frame, moving, names, unit_mean
    of_block = _of_few if n * d * d <= _FEW else _of_many

    def opening() -> None:
        block, ones = np.empty((size, d), X.dtype), np.empty(size, X.dtype)
        seen = of_block(at, cast(Any, block), cast(Any, ones), frame, moving)
        complete(at, seen.of_y, seen.tail, seen.mixing, *rest)

    rehearse((of_block, size, X.dtype.name, *rest), opening)
    w = np.ones(n, X.dtype) if weights is None else weights
    parts = []
    for begin in range(0, n, size):
        rows, counts = X[begin : begin + size], w[begin : begin + size]
        m = len(rows)
        # Those that fill up the last block are copies, of weight 0.
        block: Any = np.broadcast_to(rows[0], (size, d)).copy()
        padded: Any = np.zeros(size, X.dtype)
        block[:m], padded[:m] = rows, counts
        found = of_block(at, block, padded, frame, moving)
        parts.append(found._replace(scores=np.asarray(found.scores)[:m]))
    every: Any = np.concatenate([part.scores for part in parts])
    missing, of_y, tail = (
        np.sum([np.asarray(getattr(part, name)) for part in parts], axis=0)
        for name in ("missing", "of_y", "tail")
    )
    mixing = parts[0].mixing
    known = complete(at, of_y, tail, mixing, *rest)
    return OfRows(every, missing, of_y, tail, mixing), known


def shapes_of(p: Array, a: Array, b: Array) -> dict[str, Array]:
    """The parameters of Y by name, where its mean is 1."""
    inside = a * b > 0
    bar = jnp.where(inside, jnp.sqrt(jnp.where(inside, a * b, 1.0)), 0.0)
    return {"alpha": jnp.abs(p), "lam": b, "p": p, "alpha_bar": bar}


def law_at(at: At, frame: Frame) -> Law:
    """In the units of X at hand, and in the gauge of the chart."""
    law = frame.unpack(at.vector).translated(-at.centre).in_units(1 / at.unit)
    return law.rescaled(1 / typical_value(*law.gig))


def _full(law: Law) -> Law:
    if isinstance(law.dispersion, CholeskyDispersion):
        return law
    root = CholeskyDispersion.from_matrix(law.dispersion.matrix())
    return law._replace(dispersion=root)


def _block(at: At, X: Array, weights: Array, frame: Frame, moving: Moving) -> OfRows:
    law, d = _full(law_at(at, frame)), frame.d
    gap = (X - at.centre) / at.unit - law.mu
    products = law.dispersion.inner_products(gap, law.gamma)
    p, a, b = law.gig
    limit = (a == 0) | (b == 0)
    posterior = p - 0.5 * d, a + products.skew, b + products.quadratic
    own = (jnp.where(limit, 1.0, x) for x in law.gig)
    every = jnp.broadcast_arrays(*posterior)
    every = (jnp.append(x, y) for x, y in zip(every, own, strict=True))
    means, covariances = gig_spread(*every)
    mixing = OfMixing(
        jnp.where(limit, at.edge.means, means[:, -1]),
        jnp.where(limit, at.edge.covariances, covariances[..., -1]),
    )
    zero = jnp.zeros_like(law.mu)

    def gradient(x, t):
        one = PosteriorMeans(*t[:, None])
        eta = law.dispersion.collect(x[None], zero, law.gamma, one)
        slopes = slopes_given(law, eta, mixing.means, zero)
        return pulled_back(law, slopes, moving)

    corners = jnp.concatenate([jnp.zeros((1, 3)), jnp.eye(3)]).astype(X.dtype)
    seen = jax.vmap(lambda x: jax.vmap(lambda t: gradient(x, t))(corners))(gap)
    along = seen[:, 1:] - seen[:, :1]
    scores = seen[:, 0] + jnp.einsum("njk,jn->nk", along, means[:, :-1])
    # Rows at once: A Cov Aᵀ, summed.
    spread = jnp.einsum("ijn,njk,n->nik", covariances[..., :-1], along, weights)
    missing = jnp.einsum("nik,nil->kl", spread, along)
    log_y, inv_y, y = means[:, :-1]
    by_weight = PosteriorMeans(log_y, inv_y, y, weights)
    eta = law.dispersion.collect(gap, zero, law.gamma, by_weight)
    of_y = jnp.stack([eta.E_log_Y, eta.E_inv_Y, eta.E_Y, weights.sum()])
    full = Frame(CholeskyDispersion, d, 0)
    return OfRows(scores, missing, of_y, full.tail(eta), mixing)


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
    point, total = coordinates(like, moving), of_y[3]
    full = Frame(CholeskyDispersion, frame.d, 0)
    eta = full.statistics(of_y[:3] / total, tail / total)

    def own_means(law: Law) -> Array:
        # The first derivatives of the means of Y are its covariances.
        p, a, b = law.gig - like.gig
        return mixing.means + mixing.covariances @ jnp.stack([p, -0.5 * b, -0.5 * a])

    def in_full(c: Array) -> Array:
        return coordinates(_full(at_coordinates(like, c, moving)), moving)

    def gradient(c: Array) -> Array:
        law = at_coordinates(like, c, moving)
        whole, moved = _full(law), law.mu - like.mu
        slopes = slopes_given(whole, eta, own_means(law), moved)
        by_full = pulled_back(whole, slopes, moving)
        if frame.form is CholeskyDispersion:
            return by_full
        return jax.vjp(in_full, c)[1](by_full)[0]

    def classical(c: Array) -> Array:
        law = at_coordinates(like, c, moving)
        unit = own_means(law)[2] if unit_mean else typical_value(*law.gig)
        p, a, b = law.gig[0], law.gig[1] * unit, law.gig[2] / unit
        product = a * b
        bar = jnp.where(
            product > 0, jnp.sqrt(jnp.where(product > 0, product, 1.0)), 0.0
        )
        told = {"alpha": jnp.abs(p), "lam": b, "p": p, "alpha_bar": bar}
        sigma = unit * law.dispersion.matrix()
        entries = sigma[np.tril_indices(frame.d)]
        of_mixing = jnp.stack([told[name] for name in names])
        return jnp.concatenate([law.mu, unit * law.gamma, entries, of_mixing])

    def both(c: Array) -> tuple[tuple[Array, Array], Array]:
        told = classical(c)
        return (gradient(c), told), told

    (curvature, slopes), told = jax.jacfwd(both, has_aux=True)(point)
    to_full = jnp.eye(point.shape[0], dtype=point.dtype)
    if frame.form is not CholeskyDispersion:
        to_full = jax.jacfwd(in_full)(point)
    return Complete(-total * curvature, to_full, told, slopes)
