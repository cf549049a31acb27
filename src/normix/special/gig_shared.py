r"""GIG moments of many laws that share their order and rate: the E-step's kernel.

With ``p`` and ``a`` fixed, everything about ``GIG(p, a, b_i)`` is a smooth function of
``log z_i = log(a b_i)/2``. Two polynomials side by side interpolate it over the range
of the data, at a small part of the price of the direct kernel; a wide range is swept
by several such pairs.

Each is interpolated at Chebyshev points, and summed in powers of the variable by
Horner's rule, which costs a third of Clenshaw's recurrence. Powers lose nothing here:
the coefficients of a piece of ``log z`` fall by a factor of 3 or more from degree to
degree, more than the ``1 + sqrt(2)`` by which the change of basis can amplify them.

The kernel under the table serves some sixty parameter sets at a time and is never
differentiated. It therefore affords one plain sum for all orders and arguments, with
as many nodes as the widest of them needs, where :mod:`normix.special.gig` takes a
series for small arguments: a quarter of the time to compile.
"""

from __future__ import annotations

from functools import cache

import jax
import jax.custom_batching
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from normix.special._quadrature import sinh_minus

Real = Float[Array, "..."]

_NODES = 32  # of each of the two pieces, in double precision
_FEW = 96  # rows that take the kernel itself: as many lanes as a table needs
_BLOCK = 8  # degrees between two looks at the loop counter
# Steps of _STEP/sqrt(omega + _STEP_SHIFT) resolve the density to rounding: 0.18 where
# its tails are exponential, 0.45 standard deviations where it is nearly normal.
_STEP = 0.45
_STEP_SHIFT = 6.0
_DROP = 46.0  # e^{-46} ~ 1e-20
# sqrt(ab) below tiny**_LIMIT_POWER counts as 0: ab must not underflow, nor 1/(ab)
# times _DROP overflow.
_LIMIT_POWER = 0.45


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


def _kernel(p: Real, a: Real, b: Real) -> Float[Array, "4 n"]:
    r"""``psi + sqrt(ab)``, ``E[log Y]``, ``E[1/Y]`` and ``E[Y]`` by the trapezoid rule.

    About the mode of ``log Y``, in ``u``, the density falls as :math:`e^{-D(u)}` with

    .. math:: D(u) = \tfrac12\omega_+(e^u - 1 - u) + \tfrac12\omega_-(e^{-u} - 1 + u),
        \quad \omega_\pm = \sqrt{p^2 + ab} \pm p,

    two terms that are never negative and do not cancel, whatever ``p`` and ``ab``.
    ``b = 0`` with ``p > 0`` and ``a = 0`` with ``p < 0`` give the Gamma and the inverse
    Gamma law; so do values so small that their product would underflow.
    """
    dtype = b.dtype
    negative = p < 0  # then Y -> 1/Y
    order = jnp.abs(p)
    rate, other = jnp.where(negative, b, a), jnp.where(negative, a, b)
    z = jnp.sqrt(a) * jnp.sqrt(b)
    limit = z < jnp.finfo(dtype).tiny ** _LIMIT_POWER
    z = jnp.where(limit, 0.0, z)
    # In the limit at order + 1, whose tails are short, and back by Γ(p + 1) = p Γ(p).
    q = jnp.where(limit, order + 1, order)
    omega = jnp.hypot(q, z)
    plus = omega + q
    minus = z * (z / plus)

    # The left end, for the law of weight e^{-u} times the density: either of the two
    # terms alone has fallen by _DROP there. For q <= 1 the first never does.
    r = 2 * _DROP / jnp.where(limit, plus, jnp.maximum(plus - 2, 0.0))
    s = 2 * (_DROP + jnp.log1p(2 * _DROP / minus)) / minus
    reach = jnp.minimum(r + jnp.sqrt(2 * r), jnp.log1p(s + jnp.sqrt(2 * s)))
    needed = reach / _STEP * jnp.sqrt(omega + _STEP_SHIFT)
    # Improper or NaN parameters in one lane must not count for the others.
    pairs = jnp.ceil(jnp.where(jnp.isfinite(needed), needed, 1.0).max())
    step = reach / pairs

    # e^h - 1 ∓ h, and from node to node by the addition theorems: sums of positive
    # terms, which keep their relative accuracy without any exp.
    grow = jnp.expm1(step)
    shrink = grow / (1 + grow)
    even, odd = 0.5 * grow * shrink, sinh_minus(step)
    first = even + odd, even - odd

    def body(k, state):
        up, down, sums = state
        u = (k - 1) * step
        up = up + grow * (up + u) + first[0]
        down = down - shrink * (down - u) + first[1]
        u = u + step
        right = jnp.exp(-0.5 * (plus * up + minus * down))
        left = jnp.exp(-0.5 * (plus * down + minus * up))
        terms = right + left, (right - left) * u, right * (down - u) + left * (up + u)
        return up, down, tuple(x + y for x, y in zip(sums, terms, strict=True))

    zero = jnp.zeros_like(step)
    start = zero, zero, (jnp.ones_like(step), zero, zero)
    last = pairs.astype(int) + 1
    total, mean_u, mean_down = lax.fori_loop(1, last, body, start)[2]

    unit = plus / rate  # the mode of log Y, exponentiated
    location = jnp.log(unit)
    psi = q * location - q * (q / (omega + z)) + jnp.log(step * total)
    log_y = location + mean_u / total
    near = (1 + mean_down / total) / unit
    inverse = 1 / order
    psi = jnp.where(limit, psi - jnp.log(2 * order / rate), psi)
    log_y = jnp.where(limit, log_y - inverse, log_y)
    lacking = jnp.where(order > 1, 0.5 * rate / (order - 1), jnp.inf)
    near = jnp.where(limit, lacking, near)
    # From the density's derivative: rate E[Y] - other E[1/Y] = 2 |p|.
    far = (2 * order + jnp.where(limit, 0.0, other * near)) / rate
    log_y = jnp.where(negative, -log_y, log_y)
    inv_y, y = jnp.where(negative, far, near), jnp.where(negative, near, far)
    return jnp.stack([psi, log_y, inv_y, y])


def _interpolate(coefficients, blocks, x, right) -> tuple[Real, ...]:
    """Horner's rule for each quantity, by the piece on which each ``x`` lies.

    ``coefficients`` has shape ``(degrees, quantities, pieces, laws, 1)``; ``blocks``
    is the number of blocks of degrees that count.
    """

    def block(j, sums):
        first = (blocks - 1 - j) * _BLOCK
        part = lax.dynamic_slice_in_dim(coefficients, first, _BLOCK)
        out = []
        for quantity, total in enumerate(sums):
            for pieces in part[::-1, quantity]:
                total = total * x + jnp.where(right, pieces[1], pieces[0])
            out.append(total)
        return tuple(out)

    start = (jnp.zeros_like(x),) * coefficients.shape[1]
    return lax.fori_loop(0, blocks, block, start)


def _tabulate(samples):
    """Chebyshev coefficients to powers of ``x``, and whether they fell to rounding.

    ``samples`` has shape ``(quantities, laws, pieces, nodes)``. **Returns** the
    powers, ``(nodes, quantities, pieces, laws, 1)``, the number of blocks that count,
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


def _sweep(p, a, b, prior):
    """:func:`gig_means_shared` of several laws.

    ``p``, ``a`` and each of ``prior`` have shape ``(m,)``, ``b`` has ``(m, n)``.
    """
    dtype = b.dtype
    nodes = _NODES if dtype == jnp.float64 else _NODES // 2
    p, a = p[:, None], a[:, None]
    order, negative = jnp.abs(p), p < 0
    # Once: left to itself, XLA computes it anew in every consumer.
    log_a, log_b = jnp.log(a), lax.optimization_barrier(jnp.log(b))
    log_z = jnp.where(a > 0, 0.5 * (log_b + log_a), 0.5 * log_b - jnp.inf)
    floor = _LIMIT_POWER * jnp.log(jnp.finfo(dtype).tiny)
    limit = log_z < floor

    # The law of scale one in the limit, where some row is there (its slow left tail
    # takes many nodes), and the prior.
    one = jnp.ones_like(p)
    absent = jnp.where((log_z.min(axis=1, keepdims=True) < floor), 0.0, one)
    beside = [
        jnp.concatenate([x, y[:, None]], axis=1)
        for x, y in zip(
            (p, jnp.where(negative, absent, one), jnp.where(negative, one, absent)),
            prior,
            strict=True,
        )
    ]

    counted = jnp.isfinite(log_z) & ~limit & jnp.isfinite(p)
    low = jnp.where(counted, log_z, jnp.inf).min(axis=1)
    top = jnp.where(counted, log_z, -jnp.inf).max(axis=1)
    some = low <= top
    low = jnp.where(some, low, 0.0)
    top = jnp.where(some, jnp.maximum(top, low + 1e-3), 1e-3)

    def turn(state):
        """Both pieces of ``[low, low + width]``; half the width if they are rough."""
        low, width, _, _, rows = state
        # Without a last piece so short that its variable is all rounding
        high = jnp.where(top - low < 1.05 * width, top, low + width)
        half = (high - low)[:, None, None] / 4
        centre = low[:, None, None] + half * jnp.asarray([[1.0], [3.0]], dtype)
        z = jnp.exp(centre + half * jnp.asarray(_abscissae(nodes), dtype))
        z = z.reshape(-1, 2 * nodes)
        lanes = jnp.broadcast_to(order, z.shape)
        lanes = [
            jnp.concatenate([x, y], axis=1)
            for x, y in zip((lanes, z, z), beside, strict=True)
        ]
        values = _kernel(*lanes)
        # log 2K_q(z) + z, E t and log E e^{-t} for the order |p|.
        samples = values[:3, :, : 2 * nodes].reshape(3, -1, 2, nodes)
        samples = jnp.stack([samples[0], samples[1], jnp.log(samples[2])])
        table, blocks, fallen = _tabulate(samples)

        start, half = low[:, None], half[:, :, 0]
        right = log_z > start + 2 * half
        x = (log_z - start) / half - jnp.where(right, 3.0, 1.0)
        found = _interpolate(table, blocks, x, right)
        rows = tuple(
            jnp.where(log_z >= start, new, old)
            for new, old in zip(found, rows, strict=True)
        )
        # Nothing is singular within pi/2 of the axis of log z: pieces of two units are
        # smooth enough, whatever rounding adds.
        fallen |= width <= 4
        onward = fallen & (high < top)
        low = jnp.where(onward, high, low)
        width = jnp.where(fallen, jnp.where(onward, 2 * width, width), width / 2)
        more = (onward | ~fallen).any()
        return low, width, more, values[:, :, 2 * nodes :], rows

    blank = jnp.full_like(b, jnp.nan)
    edge = jnp.zeros((4, *beside[0].shape), dtype)
    start = low, top - low, jnp.array(True), edge, (blank,) * 3
    _, _, _, edge, rows = lax.while_loop(lambda s: s[2], turn, start)

    psi_1, log_y_1, inv_y_1, y_1 = edge[:, :, :1]
    of_limit = (
        psi_1,
        jnp.where(negative, -log_y_1, log_y_1),
        jnp.log(jnp.where(negative, y_1, inv_y_1)),
    )
    log_kve, mean_t, log_near = (
        jnp.where(limit, x, y) for x, y in zip(of_limit, rows, strict=True)
    )
    log_scale = 0.5 * (log_b - log_a)
    log_scale = jnp.where(limit, jnp.where(negative, log_b, -log_a), log_scale)
    near = jnp.exp(log_near + jnp.where(negative, log_scale, -log_scale))
    # From the density's derivative, a sum of positive terms: a E[Y] = b E[1/Y] + 2p
    rate, other = jnp.where(negative, b, a), jnp.where(negative, a, b)
    far = (2 * order + jnp.where(limit, 0.0, other * near)) / rate
    return (
        log_kve + p * log_scale - edge[0, :, 1:],
        log_scale + jnp.where(negative, -mean_t, mean_t),
        jnp.where(negative, far, near),
        jnp.where(negative, near, far),
    )


@jax.custom_batching.custom_vmap
def _one_sweep(p, a, b, prior):
    prior = tuple(x[None] for x in prior)
    return tuple(x[0] for x in _sweep(p[None], a[None], b[None], prior))


@_one_sweep.def_vmap
def _many_sweeps(m, batched, *arguments):
    # Laws side by side in one loop, where batching the loop would carry a copy of
    # every array through every step for the laws that are through.
    arguments = jax.tree.map(
        lambda x, whether: x if whether else jnp.broadcast_to(x, (m, *x.shape)),
        arguments,
        tuple(batched),
    )
    return _sweep(*arguments), (True,) * 4


def gig_means_shared(
    posterior: tuple[Float[Array, ""], Float[Array, ""], Float[Array, " n"]],
    prior: tuple[Float[Array, ""], Float[Array, ""], Float[Array, ""]],
) -> tuple[Real, Real, Real, Real]:
    """What an E-step needs of ``GIG(p, a, b_i)``, ``(p, a, b) = posterior``.

    **Returns**: four arrays of shape ``(n,)``: ``psi(posterior) + sqrt(a b_i)`` less
    the same of the prior, ``E[log Y]``, ``E[1/Y]`` and ``E[Y]``. ``a = 0`` gives the
    inverse Gamma limit and ``b_i = 0`` the Gamma limit. To be used where no
    derivative is needed.
    """
    p, a, b = (jnp.asarray(x) for x in posterior)
    first, second, third = (jnp.asarray(x, b.dtype) for x in prior)
    prior = first, second, third
    if b.shape[0] <= _FEW:
        pairs = zip((p, a), prior[:2], strict=True)
        lanes = [jnp.append(jnp.full_like(b, x), y) for x, y in pairs]
        psi, log_y, inv_y, y = _kernel(lanes[0], lanes[1], jnp.append(b, prior[2]))
        return psi[:-1] - psi[-1], log_y[:-1], inv_y[:-1], y[:-1]
    return _one_sweep(p.astype(b.dtype), a.astype(b.dtype), b, prior)
