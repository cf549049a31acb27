r"""GIG moments of many laws that share their order and rate: the E-step's kernel.

With ``p`` and ``a`` fixed, everything about ``GIG(p, a, b_i)`` is a smooth function of
``log z_i = log(a b_i)/2``. Polynomials, two side by side, interpolate it over the range
of the data, at a small part of the price of the direct kernel; over a wide range there
are several such pairs.

:func:`gig_table` makes them: a program whose size and shape depend neither on the data
nor on the number of their columns. :func:`gig_means_by_table` evaluates them, row by
row. :func:`gig_means_shared` is one after the other.

Each is interpolated at Chebyshev points, and summed in powers of the variable by
Horner's rule, which costs a third of Clenshaw's recurrence. Powers lose nothing here:
the coefficients of a piece of ``log z`` fall by a factor of 3 or more from degree to
degree, more than the ``1 + sqrt(2)`` by which the change of basis can amplify them.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import jax
import jax.custom_batching
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int

from normix._inline import fori_loop, map_in_turn, while_loop
from normix.special.gig_sum import about_mode

Real = Float[Array, "..."]

_NODES = 32  # of each of the two pieces, in double precision
_BLOCK = 8  # degrees between two looks at the loop counter
_TURNS = 32  # pairs of pieces that a table has room for; a few are what it takes
# Tables that the kernel takes at a time: its temporaries should stay in the cache.
_TABLES = 4
# sqrt(ab) below tiny**_LIMIT_POWER counts as 0: ab must not underflow, nor 1/(ab)
# times 46, the fall of the density that the kernel sums over, overflow.
_LIMIT_POWER = 0.45


class Query(NamedTuple):
    """Which laws a table is for: ``GIG(p, a, b)`` with ``low <= b <= high``, and one.

    Each of shape ``(m,)``, for ``m`` tables side by side. ``low > high`` where there
    is no such law; ``limit`` is 1 where there are some of so small a ``b`` (or ``a``)
    that they count as Gamma (or inverse Gamma) laws, and else 0. ``prior``, shape
    ``(3, m)``, is the one law beside.
    """

    p: Real
    a: Real
    low: Real
    high: Real
    limit: Real
    prior: Real


class Table(NamedTuple):
    """Polynomials in ``log z``; of ``m`` tables side by side."""

    coefficients: Float[Array, "turns degrees 3 2 m 1"]
    places: Float[Array, "turns 2 m 1"]  # where a pair starts, and half of a piece
    blocks: Int[Array, " turns"]  # blocks of degrees that count
    turns: Int[Array, ""]  # pairs that count; later ones replace earlier ones
    limit: Float[Array, "3 m 1"]  # of the Gamma limit in scale one
    prior: Float[Array, "4 m"]  # of the law beside: psi + sqrt(ab), and its moments


def _abscissae(nodes: int) -> np.ndarray:
    """The Chebyshev points of ``[-1, 1]``."""
    return np.cos((np.arange(nodes) + 0.5) * np.pi / nodes)


@cache
def _transforms(nodes: int) -> tuple[np.ndarray, np.ndarray]:
    """From values at the points to Chebyshev coefficients, and from these to powers."""
    angles = (np.arange(nodes) + 0.5) * np.pi / nodes
    transform = np.cos(np.outer(np.arange(nodes), angles)) * 2 / nodes
    transform[0] /= 2
    powers = np.zeros((nodes, nodes))
    powers[0, 0] = powers[1, 1] = 1
    for k in range(2, nodes):
        powers[1:, k] = 2 * powers[:-1, k - 1]
        powers[:, k] -= powers[:, k - 2]
    return transform, powers


def _floor(dtype) -> float:
    """The ``log z`` below which a law counts as its limit."""
    return float(_LIMIT_POWER * np.log(np.finfo(dtype).tiny))


def _kernel(q: Real, log_z: Real) -> Float[Array, "3 ..."]:
    r"""Of ``GIG(q, z, z)``, ``q >= 0``: ``psi + z``, ``E t``, ``log(E e^{-t}/z)``.

    ``t = log Y``. In the limit, ``log_z`` minus infinity, of ``GIG(q, 1, 0)``, the last
    with 1 for z.
    """
    limit = log_z < _floor(log_z.dtype)
    # In the limit at order + 2, of which both tails are short, also under the weight
    # e^{-t} that the sum reaches out for; and back by Γ(q + 2) = (q + 1) q Γ(q).
    order = jnp.where(limit, q + 2, q)
    at = about_mode(order, jnp.where(limit, -jnp.inf, log_z))
    z = jnp.where(limit, 0.0, jnp.exp(log_z))
    mode = jnp.log(at.plus) - jnp.where(limit, 0.0, log_z)
    # The peak is order * mode - omega, omega = plus - order, and
    # omega - z = order²/(omega + z).
    psi = order * mode - order * (order / (at.plus - order + z)) + at.log_mass
    psi = psi - jnp.where(limit, jnp.log(2 * q) + jnp.log(2 * (q + 1)), 0.0)
    log_y = mode + at.u - jnp.where(limit, 1 / q + 1 / (q + 1), 0.0)
    lacking = jnp.where(q > 1, -jnp.log(2 * (q - 1)), jnp.inf)
    log_near = jnp.where(limit, lacking, jnp.log1p(at.below) - jnp.log(at.plus))
    return jnp.stack([psi, log_y, log_near])


def _in_groups(q: Float[Array, "m k"], log_z: Float[Array, "m k"]):
    """:func:`_kernel`; of many tables side by side, of some at a time."""
    m, k = q.shape
    if m <= _TABLES:
        return _kernel(q, log_z)
    groups = -(-m // _TABLES)
    more = ((0, groups * _TABLES - m), (0, 0))
    parts = (jnp.pad(x, more, mode="edge") for x in (q, log_z))
    parts = tuple(x.reshape(groups, _TABLES, k) for x in parts)
    values = map_in_turn(lambda part: _kernel(*part), parts)
    return jnp.moveaxis(values, 1, 0).reshape(3, groups * _TABLES, k)[:, :m]


def gig_table(query: Query) -> Table:
    """Polynomials that give the moments of all laws that are asked for."""
    p, a, low_b, high_b, some_limit, prior = query
    dtype = a.dtype
    nodes = _NODES if dtype == jnp.float64 else _NODES // 2
    order, log_a = jnp.abs(p), jnp.log(a)
    some = low_b <= high_b
    low = jnp.where(some, 0.5 * (jnp.log(low_b) + log_a), 0.0)
    top = jnp.where(some, 0.5 * (jnp.log(high_b) + log_a), 0.0)
    top = jnp.maximum(top, low + 1e-3)

    # The law of scale one in the limit, where some row is there (its slow left tail
    # takes many nodes), and the prior.
    prior_p, prior_a, prior_b = prior
    absent = jnp.where(some_limit > 0, -jnp.inf, 0.0)
    prior_log_z = 0.5 * (jnp.log(prior_a) + jnp.log(prior_b))
    beside_q = jnp.stack([order, jnp.abs(prior_p)], axis=1)
    beside_z = jnp.stack([absent, prior_log_z], axis=1)
    m = p.shape[0]

    def turn(state):
        """Both pieces of ``[low, low + width]``; half the width if they are rough."""
        k, low, width, _, _, table = state
        # Without a last piece so short that its variable is all rounding; and all
        # that is left where there is no room for another.
        rest = (top - low < 1.05 * width) | (k == _TURNS - 1)
        high = jnp.where(rest, top, low + width)
        half = (high - low)[:, None, None] / 4
        centre = low[:, None, None] + half * jnp.asarray([[1.0], [3.0]], dtype)
        log_z = centre + half * jnp.asarray(_abscissae(nodes), dtype)
        log_z = jnp.concatenate([log_z.reshape(m, 2 * nodes), beside_z], axis=1)
        q = jnp.broadcast_to(order[:, None], (m, 2 * nodes))
        values = _in_groups(jnp.concatenate([q, beside_q], axis=1), log_z)
        samples = values[:, :, : 2 * nodes].reshape(3, m, 2, nodes)
        powers, blocks, fallen = _tabulate(samples)
        place = jnp.stack([low, half[:, 0, 0]])[..., None]
        new = powers, place, blocks
        table = tuple(x.at[k].set(y) for x, y in zip(table, new, strict=True))
        # Nothing is singular within pi/2 of the axis of log z: pieces of two units are
        # smooth enough, whatever rounding adds.
        fallen |= (width <= 4) | rest & (k == _TURNS - 1)
        onward = fallen & (high < top)
        low = jnp.where(onward, high, low)
        width = jnp.where(fallen, jnp.where(onward, 2 * width, width), width / 2)
        more = (onward | ~fallen).any()
        return k + 1, low, width, more, values[:, :, 2 * nodes :], table

    table = (
        jnp.zeros((_TURNS, nodes, 3, 2, m, 1), dtype),
        jnp.zeros((_TURNS, 2, m, 1), dtype),
        jnp.zeros(_TURNS, int),
    )
    first, edge = jnp.zeros((), int), jnp.zeros((3, m, 2), dtype)
    start = first, low, top - low, jnp.array(True), edge, table
    turns, _, _, _, beside, table = while_loop(lambda s: s[3], turn, start)

    logs = jnp.log(prior_a), jnp.log(prior_b)
    prior_limit = prior_log_z < _floor(dtype)
    own = _scaled(beside[:, :, 1], prior, logs, prior_limit)
    return Table(*table, turns, beside[:, :, :1], jnp.stack(own))


def _scaled(values, law, logs, limit) -> tuple[Real, Real, Real, Real]:
    """``psi + sqrt(ab)`` and ``E[log Y]``, ``E[1/Y]``, ``E[Y]`` of ``GIG(p, a, b)``.

    ``values`` are those of the law of scale one, see :func:`_kernel`; ``logs`` are
    ``log a`` and ``log b``.
    """
    log_kve, mean_t, log_near = values
    (p, a, b), (log_a, log_b) = law, logs
    order, negative = jnp.abs(p), p < 0
    log_scale = 0.5 * (log_b - log_a)
    log_scale = jnp.where(limit, jnp.where(negative, log_b, -log_a), log_scale)
    # z times the scale sqrt(a/b) of 1/Y is a; for negative orders Y and 1/Y change.
    rate, other = jnp.where(negative, b, a), jnp.where(negative, a, b)
    near = rate * jnp.exp(log_near)
    # From the density's derivative, a sum of positive terms: a E[Y] = b E[1/Y] + 2p
    far = (2 * order + jnp.where(limit, 0.0, other * near)) / rate
    return (
        log_kve + p * log_scale,
        log_scale + jnp.where(negative, -mean_t, mean_t),
        jnp.where(negative, far, near),
        jnp.where(negative, near, far),
    )


def _tabulate(samples: Float[Array, "3 m 2 nodes"]):
    """Chebyshev coefficients to powers of the variable, and whether they have fallen.

    **Returns** the powers, ``(nodes, 3, 2, m, 1)``, the number of blocks that count,
    and a flag a law.
    """
    dtype = samples.dtype
    transform, powers = _transforms(samples.shape[-1])
    series = jnp.einsum("kj,qlpj->kqpl", jnp.asarray(transform, dtype), samples)
    eps = jnp.finfo(dtype).eps
    size = jnp.abs(series)
    unit = jnp.maximum(1.0, size.max(axis=(0, 2)))[:, None]
    worst = (size / unit).max(axis=(1, 2))
    fallen = worst[-3:].max(axis=0) <= 32 * eps
    counts = worst.max(axis=1) > 8 * eps  # below, they are the samples' rounding
    degrees = jnp.arange(len(counts))
    degree = jnp.max(jnp.where(counts, degrees, 1))
    series = jnp.where((degrees <= degree)[:, None, None, None], series, 0.0)
    table = jnp.einsum("mk,kqpl->mqpl", jnp.asarray(powers, dtype), series)
    return table[..., None], degree // _BLOCK + 1, fallen


def _interpolate(coefficients, blocks, x, right) -> Float[Array, "3 m n"]:
    """Horner's rule for all quantities, by the piece on which each ``x`` lies.

    ``coefficients`` has shape ``(degrees, 3, 2, m, 1)``; ``blocks`` is the number of
    blocks of degrees that count.
    """

    def block(j, total):
        first = (blocks - 1 - j) * _BLOCK
        part = lax.dynamic_slice_in_dim(coefficients, first, _BLOCK)
        for pieces in part[::-1]:
            total = total * x + jnp.where(right, pieces[:, 1], pieces[:, 0])
        return total

    start = jnp.zeros((coefficients.shape[1], *x.shape), x.dtype)
    return fori_loop(0, blocks, block, start)


def gig_means_by_table(
    table: Table, p: Real, a: Real, b: Float[Array, "m n"]
) -> tuple[Real, Real, Real, Real]:
    """The rows' part of :func:`gig_means_shared`, by tables made for these laws.

    ``p`` and ``a`` have shape ``(m,)``, ``b`` and every value ``(m, n)``.
    """
    p, a = p[:, None], a[:, None]
    # Once: left to itself, XLA computes it anew in every consumer.
    log_a, log_b = jnp.log(a), lax.optimization_barrier(jnp.log(b))
    log_z = jnp.where(a > 0, 0.5 * (log_b + log_a), 0.5 * log_b - jnp.inf)
    limit = log_z < _floor(b.dtype)

    def turn(k, rows):
        start, half = table.places[k]
        right = log_z > start + 2 * half
        x = (log_z - start) / half - jnp.where(right, 3.0, 1.0)
        found = _interpolate(table.coefficients[k], table.blocks[k], x, right)
        # The least may differ from where the first pair starts by rounding.
        here = (log_z >= start) | (k == 0)
        return jnp.where(here, found, rows)

    blank = jnp.full((3, *b.shape), jnp.nan, b.dtype)
    rows = fori_loop(0, table.turns, turn, blank)
    values = tuple(
        jnp.where(limit, x, y) for x, y in zip(table.limit, rows, strict=True)
    )
    psi, log_y, inv_y, y = _scaled(values, (p, a, b), (log_a, log_b), limit)
    return psi - table.prior[0][:, None], log_y, inv_y, y


def limit_below(a: Real) -> Real:
    """The ``b`` below which ``GIG(p, a, b)`` counts as the limit law."""
    return jnp.exp(2 * _floor(a.dtype) - jnp.log(a))


def query(posterior: tuple[Real, Real, Real], prior: Real) -> Query:
    """What a table has to cover for these laws.

    ``posterior`` is ``(p, a, b)`` of shapes ``(m,)``, ``(m,)`` and ``(m, n)``;
    ``prior`` has shape ``(3, m)``.
    """
    p, a, b = posterior
    least = limit_below(a)
    inside = (b >= least[:, None]) & (b < jnp.inf)
    low = jnp.where(inside, b, jnp.inf).min(axis=1)
    high = jnp.where(inside, b, 0.0).max(axis=1)
    limit = (b < least[:, None]).any(axis=1).astype(b.dtype)
    return Query(p, a, low, high, limit, prior)


@jax.custom_batching.custom_vmap
def _one_sweep(p, a, b, prior):
    found = _sweep(p[None], a[None], b[None], prior[:, None])
    return tuple(x[0] for x in found)


def _sweep(p, a, b, prior):
    table = gig_table(query((p, a, b), prior))
    return *gig_means_by_table(table, p, a, b), table.prior[1:].T


@_one_sweep.def_vmap
def _many_sweeps(m, batched, *arguments):
    # Laws side by side in one loop, where batching the loop would carry a copy of
    # every array through every step for the laws that are through.
    p, a, b, prior = (
        x if whether else jnp.broadcast_to(x, (m, *x.shape))
        for x, whether in zip(arguments, batched, strict=True)
    )
    return _sweep(p, a, b, prior.T), (True,) * 5


def gig_means_directly(
    posterior: tuple[Real, Real, Real],
    prior: tuple[Float[Array, ""], Float[Array, ""], Float[Array, ""]],
) -> tuple[tuple[Real, Real, Real, Real], Float[Array, " 3"]]:
    """The same as :func:`gig_means_shared` where few laws share their order and rate.

    Every law has a sum of its own; ``posterior`` is of shapes that go together.
    """
    p, a, b = jnp.broadcast_arrays(*posterior)
    shape, n = b.shape, b.size
    every = [jnp.append(x.ravel(), y) for x, y in zip((p, a, b), prior, strict=True)]
    p, a, b = every
    log_a, log_b = jnp.log(a), jnp.log(b)
    log_z = 0.5 * (log_a + log_b)
    limit = log_z < _floor(b.dtype)
    values = _kernel(jnp.abs(p), log_z)
    found = _scaled(values, (p, a, b), (log_a, log_b), limit)
    psi, log_y, inv_y, y = (x[:n].reshape(shape) for x in found)
    own = jnp.stack([x[n] for x in found[1:]])
    return (psi - found[0][n], log_y, inv_y, y), own


def gig_means_shared(
    posterior: tuple[Float[Array, ""], Float[Array, ""], Float[Array, " n"]],
    prior: tuple[Float[Array, ""], Float[Array, ""], Float[Array, ""]],
) -> tuple[tuple[Real, Real, Real, Real], Float[Array, " 3"]]:
    """What an E-step needs of ``GIG(p, a, b_i)``, ``(p, a, b) = posterior``.

    **Returns**: four arrays of shape ``(n,)``: ``psi(posterior) + sqrt(a b_i)`` less
    the same of the prior, ``E[log Y]``, ``E[1/Y]`` and ``E[Y]``; and these three
    moments of the prior itself. ``a = 0`` gives the inverse Gamma limit and
    ``b_i = 0`` the Gamma limit. To be used where no derivative is needed.
    """
    p, a, b = (jnp.asarray(x) for x in posterior)
    beside = jnp.stack([jnp.asarray(x, b.dtype) for x in prior])
    *found, own = _one_sweep(p.astype(b.dtype), a.astype(b.dtype), b, beside)
    return tuple(found), own
