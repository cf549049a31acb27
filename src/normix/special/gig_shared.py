r"""GIG moments of many laws that share their order and rate: the E-step's kernel.

With ``p`` and ``a`` fixed, everything about ``GIG(p, a, b_i)`` is a smooth function of
``log z_i = log(a b_i)/2``. It is interpolated in Chebyshev polynomials over the range
of the data and summed by Clenshaw's recurrence, at a small part of the price of the
direct kernel. Where the range is too wide for the table, the direct kernel is used.

The kernel under the table serves a hundred parameter sets at a time and is never
differentiated. It therefore affords one plain sum for all orders and arguments, with
as many nodes as the widest of them needs, where :mod:`normix.special.gig` takes a
series for small arguments: a quarter of the time to compile.
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from normix.special._quadrature import sinh_minus

Real = Float[Array, "..."]

_NODES = 95
_LANES = _NODES + 1  # one call of the kernel: the nodes and the prior
_ANGLES = (np.arange(_NODES) + 0.5) * np.pi / _NODES
_ABSCISSAE = np.cos(_ANGLES)
_TRANSFORM = np.cos(np.outer(np.arange(_NODES), _ANGLES)) * 2 / _NODES
_TRANSFORM[0] /= 2
# Steps of _STEP/sqrt(omega + _STEP_SHIFT) resolve the density to rounding: 0.18 where
# its tails are exponential, 0.45 standard deviations where it is nearly normal.
_STEP = 0.45
_STEP_SHIFT = 6.0
_DROP = 46.0  # e^{-46} ~ 1e-20
# sqrt(ab) below tiny**_LIMIT_POWER counts as 0: ab must not underflow, nor 1/(ab)
# times _DROP overflow.
_LIMIT_POWER = 0.45
_BLOCK = 2  # Clenshaw steps between two looks at the loop counter


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


def _clenshaw(table, degree, x) -> Float[Array, "3 n"]:
    """The series with coefficients ``table[:, m]`` at ``x``, up to ``degree``."""
    twice = 2 * x
    blocks = (degree + _BLOCK - 1) // _BLOCK
    width = table.shape[1]
    # Zero rows, so that the last block may reach past the highest degree.
    padded = jnp.concatenate([table, jnp.zeros((_BLOCK, width), table.dtype)])

    def block(j, state):
        first = (blocks - 1 - j) * _BLOCK + 1
        part = lax.dynamic_slice(padded, (first, 0), (_BLOCK, width))
        u, v = state
        for i in reversed(range(_BLOCK)):
            u, v = part[i][:, None] + twice * u - v, u
        return u, v

    zero = jnp.zeros((width, *x.shape), x.dtype)
    u, v = lax.fori_loop(0, blocks, block, (zero, zero))
    return table[0][:, None] + x * u - v


def gig_means_shared(
    posterior: tuple[Float[Array, ""], Float[Array, ""], Float[Array, " n"]],
    prior: tuple[Float[Array, ""], Float[Array, ""], Float[Array, ""]],
) -> tuple[Real, Real, Real, Real]:
    """What an E-step needs of ``GIG(p, a, b_i)``, ``(p, a, b) = posterior``.

    **Returns**: four arrays of shape ``(n,)``: ``psi(posterior) + sqrt(a b_i)`` less
    the same of the prior, ``E[log Y]``, ``E[1/Y]`` and ``E[Y]``. To be used where no
    derivative is needed.
    """
    p, a, b = posterior
    n = b.shape[0]
    if n <= 2 * _NODES:
        pairs = zip((p, a), prior[:2], strict=True)
        lanes = [jnp.append(jnp.full_like(b, x), y) for x, y in pairs]
        psi, log_y, inv_y, y = _kernel(lanes[0], lanes[1], jnp.append(b, prior[2]))
        return psi[:-1] - psi[-1], log_y[:-1], inv_y[:-1], y[:-1]

    log_scale = 0.5 * (jnp.log(b) - jnp.log(a))
    log_z = jnp.log(a) + log_scale
    low, high = log_z.min(), log_z.max()
    high = jnp.maximum(high, low + 1e-3)
    order = jnp.abs(p)
    nodes = jnp.asarray(_ABSCISSAE, b.dtype)
    nodes = jnp.exp(0.5 * (high + low) + 0.5 * (high - low) * nodes)
    eps = jnp.finfo(b.dtype).eps

    def tabulate(values):
        # log K_p(z) + z, E t and log E e^{-t} for the order |p|. E e^t follows from
        # the last by E e^t = E e^{-t} + 2|p|/z, a sum of positive terms.
        rows = jnp.stack([values[0] - jnp.log(2.0), values[1], jnp.log(values[2])])
        return jnp.asarray(_TRANSFORM, b.dtype) @ rows[:, :_NODES].T

    # Parameters that are NaN give NaN by either way: no need of the slow one.
    sensible = jnp.isfinite(p + a + b.sum())

    def unresolved(table):
        size = jnp.abs(table)
        limit = 32 * eps * jnp.maximum(1.0, size.max(axis=0))
        return sensible & ~(size[-4:] <= limit).all()

    # The first turn of this loop makes the table. Further turns, the direct kernel on
    # block after block of the data, follow only where the range is too wide for it;
    # under vmap, only if that is so in some lane, where cond would always do both.
    blocks = -(-n // _LANES)
    filled = jnp.pad(b, (0, blocks * _LANES - n), mode="edge")

    def turn(state):
        j, _, table, psi_prior, out = state
        first = j == 0
        block = lax.dynamic_slice(filled, (jnp.maximum(j - 1, 0) * _LANES,), (_LANES,))
        p_lane = jnp.where(first, jnp.full(_NODES, order), p)
        lanes = (
            jnp.append(p_lane, jnp.where(first, prior[0], p)),
            jnp.where(first, jnp.append(nodes, prior[1]), a),
            jnp.where(first, jnp.append(nodes, prior[2]), block),
        )
        values = _kernel(*lanes)
        table = jnp.where(first, tabulate(values), table)
        psi_prior = jnp.where(first, values[0, -1], psi_prior)
        start = (jnp.zeros_like(j), jnp.maximum(j - 1, 0) * _LANES)
        out = lax.dynamic_update_slice(out, values, start)
        more = unresolved(table) & (j < blocks)
        return j + 1, more, table, psi_prior, out

    zero = jnp.zeros((), jnp.result_type(int))
    start = (
        zero,
        jnp.array(True),
        jnp.zeros((_NODES, 3), b.dtype),
        jnp.zeros((), b.dtype),
        jnp.zeros((4, blocks * _LANES), b.dtype),
    )
    turns, _, table, psi_prior, direct = lax.while_loop(lambda s: s[1], turn, start)

    size = jnp.abs(table)
    kept = (size > 2 * eps * jnp.maximum(1.0, size.max(axis=0))).any(axis=1)
    degree = jnp.max(jnp.where(kept, jnp.arange(_NODES), 1))
    x = (2 * log_z - (high + low)) / (high - low)
    log_kve, mean_t, log_near = _clenshaw(table, degree, x)
    near = jnp.exp(log_near)
    far = near + 2 * order * jnp.exp(-log_z)
    negative = p < 0
    scale = jnp.exp(log_scale)
    fast = (
        jnp.log(2.0) + p * log_scale + log_kve,
        log_scale + jnp.where(negative, -mean_t, mean_t),
        jnp.where(negative, far, near) / scale,
        jnp.where(negative, near, far) * scale,
    )
    psi, log_y, inv_y, y = (
        jnp.where(turns > 1, slow, quick)
        for slow, quick in zip(direct[:, :n], fast, strict=True)
    )
    return psi - psi_prior, log_y, inv_y, y
