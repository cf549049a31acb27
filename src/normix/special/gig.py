r"""Cumulants of the generalized inverse Gaussian law in its GIG coordinates.

``GIG(p, a, b)`` has density proportional to ``y^{p-1} exp(-(a y + b/y)/2)``. Its
log-partition ``psi(p, a, b)`` generates the joint cumulants of
``(log Y, 1/Y, Y)``: differentiating in ``p`` once adds a ``log Y``, in ``b`` a
``1/Y`` and in ``a`` a ``Y``, the last two with a factor ``-1/2``. One function
therefore gives the log-partition, the expectation parameters, the Fisher information
and everything above, each computed from positive sums or a convergent series, never by
differencing the one below.
"""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.custom_derivatives import SymbolicZero
from jaxtyping import Array, ArrayLike, Float

from normix.special._cumulants import (
    Index,
    cumulants_from_moments,
    directional,
    multi_indices,
    slope_in,
    times,
)
from normix.special._gig_host import gig_host
from normix.special._hypot import hypot
from normix.special._lazy import compute_if_any
from normix.special._mode import mode
from normix.special._quadrature import moments, tilt
from normix.special._series import log_kv_series
from normix.special.bessel import as_floats, in_series_domain

Real = Float[Array, "..."]

# exp(±t) needs longer tails than log K alone: drop e^{-46} ~ 1e-20.
_PAIRS = 40
_DROP = 46.0
_SERIES_MAX = 7
CENTRED = "centred"


def _by_quadrature(order: int, scaled: bool | str, p, a, z) -> dict[Index, Array]:
    at = tilt(p, z, drop=_DROP)

    def log_y(u, c, s):
        return jnp.zeros_like(u), u

    def inv_y(u, c, s):
        return c, -s

    def y(u, c, s):
        return c, s

    total, means = moments(at, (log_y, inv_y, y), order, pairs=_PAIRS)
    unit = (at.omega + p) / a  # the mode of log Y, exponentiated
    location = jnp.log(unit)
    peak = p * location - (p * (p / (at.omega + z)) if scaled else at.omega)
    centred = scaled == CENTRED
    out = {(0, 0, 0): jnp.log(total) + (0.0 if centred else peak)}
    for (i, j, k), value in cumulants_from_moments(means).items():
        if i + j + k == 1 and not centred:
            value = location + value if i else 1 + value
        for _ in range(j):
            value = value / unit
        for _ in range(k):
            value = value * unit
        out[i, j, k] = value
    return out


def _reduced_log_k(q, log_z, *, derivatives: int):
    """``log(2 K_q(z) (z/2)^q)``, ``q`` within ``derivatives`` of the series' orders."""
    order = jnp.where(q < 0, -q, q)
    top, unroll = _SERIES_MAX + derivatives, derivatives <= 2
    value = log_kv_series(order, log_z, max_order=top, reduced=True, unroll=unroll)
    return jnp.where(q < 0, value + 2 * q * (log_z - jnp.log(2.0)), value)


def _neighbours(order: int, p, log_z) -> tuple[Array, ...]:
    """Row ``j`` of entry ``m``: the m-th derivative at ``p + j``, |j| <= order - m.

    Neighbouring orders share an array: one graph a derivative to compile.
    """
    h = partial(_reduced_log_k, derivatives=order)
    entries = []
    for m in range(order + 1):
        steps = jnp.arange(m - order, order - m + 1, dtype=p.dtype)
        entries.append(h(p + steps.reshape((-1,) + (1,) * p.ndim), log_z[None]))
        h = slope_in(h, 0)
    return tuple(entries)


def _by_series(order: int, scaled: bool | str, needed, p, a, z) -> dict[Index, Array]:
    """Small ``z``, or its limit 0: moments are ratios of Bessel functions.

    Meaningful only where some element is ``needed``.
    """
    limit = z == 0
    # Far beyond the reach of exp, and still finite: the limit of every term.
    log_z = jnp.where(limit, -1e30, jnp.log(jnp.where(limit, 1.0, z)))
    log_unit = jnp.log(2 / a)
    rows = compute_if_any(needed, partial(_neighbours, order), p, log_z)
    tables: dict[int, list[Array]] = {j: [] for j in range(-order, order + 1)}
    for m, block in enumerate(rows):
        for j, row in zip(range(m - order, order - m + 1), block, strict=True):
            tables[j].append(row)
    if scaled == CENTRED:  # the mode is that unit times w
        w = 0.5 * (hypot(p, z) + p)
        psi = tables[0][0] - p * jnp.log(w) + hypot(p, z)
    else:
        psi = tables[0][0] + p * log_unit
    if scaled is True:
        psi = psi + z
    out = {(0, 0, 0): psi}
    if order == 0:
        return out

    # Moments of (log Y - E log Y, (1/Y)/E[1/Y], Y/E[Y]).
    centre = tables[0][1]
    down, up = (tables[j][0] - tables[0][0] for j in (-1, 1))
    means: dict[Index, Array] = {}
    for i, j, k in multi_indices(3, order):
        net = k - j
        table = tables[net]
        log_ratio = table[0] - tables[0][0] - j * down - k * up
        # E[(log Y - centre)^i] under the law tilted by y^net, from its cumulants.
        cumulants = [t - (centre if m == 0 else 0) for m, t in enumerate(table[1:])]
        means[i, j, k] = jnp.exp(log_ratio) * _moment(cumulants, i)
    higher = cumulants_from_moments(means)
    mean_down, mean_up = jnp.exp(down - log_unit), jnp.exp(up + log_unit)
    for i, j, k in multi_indices(3, order)[1:]:
        value = higher[i, j, k]
        for _ in range(j):
            value = value * mean_down
        for _ in range(k):
            value = value * mean_up
        if i + j + k == 1:
            value = centre + log_unit if i else mean_down if j else mean_up
            if scaled == CENTRED:
                log_w, unit = jnp.log(w), w * (2 / a)
                rise, fall = jnp.expm1(up - log_w), jnp.expm1(down + log_w)
                value = centre - log_w if i else fall / unit if j else rise * unit
        if j:  # moments of 1/Y that the Gamma limit lacks
            lacking = limit & (p <= j)
            value = jnp.where(lacking, (-1.0) ** (i + k) * jnp.inf, value)
        out[i, j, k] = value
    return out


def _moment(cumulants: list[Array], order: int):
    """The raw moment of the given order from the cumulants 1, 2, … of one variable."""
    moments_ = [jnp.ones_like(cumulants[0]) if cumulants else 1.0]
    for n in range(1, order + 1):
        total, ways = 0.0, 1
        for m in range(n):  # ways = C(n - 1, m)
            total = total + ways * cumulants[m] * moments_[n - 1 - m]
            ways = ways * (n - 1 - m) // (m + 1)
        moments_.append(total)
    return moments_[order]


@partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def gig_cumulants(
    order: int, scaled: bool | str, p: Real, a: Real, b: Real
) -> dict[Index, Real]:
    r"""All joint cumulants of ``(log Y, 1/Y, Y)`` up to total degree ``order``.

    **Shapes**: ``p``, ``a``, ``b`` of one shape and dtype; so is every value. The key
    ``(0, 0, 0)`` holds the log-partition :math:`\psi = \log 2 + \frac p2\log\frac ba
    + \log K_p(\sqrt{ab})`, plus ``sqrt(ab)`` if ``scaled``. If that is ``CENTRED``, all
    are about the mode ``log m`` of ``log Y``: at ``(0, 0, 0)`` the logarithm of the
    integral of the density of ``log Y`` relative to that at its mode, then the means of
    ``log Y - log m``, ``1/Y - 1/m`` and ``Y - m``. Nothing large cancels in them.

    ``b = 0`` (with ``p > 0``) gives the Gamma limit and ``a = 0`` (with ``p < 0``) the
    inverse Gamma limit; moments that do not exist there are infinite. Parameters
    outside the domain give an infinite or NaN log-partition.
    """
    negative = p < 0
    q = jnp.where(negative, -p, p)
    rate = jnp.where(negative, b, a)  # of the side on which log Y = O(1) as z -> 0
    z = jnp.sqrt(a) * jnp.sqrt(b)
    limit = z < jnp.finfo(z.dtype).tiny
    series = in_series_domain(q, z)
    rate = jnp.where(rate > 0, rate, jnp.nan)

    quad = compute_if_any(
        ~series,
        partial(_by_quadrature, order, scaled),
        jnp.where(series, 1.0, q),
        rate,
        jnp.where(series, 1.0, z),
    )
    small = _by_series(
        order,
        scaled,
        series,
        jnp.where(series, q, 1.0),
        rate,
        jnp.where(series, jnp.where(limit, 0.0, z), 0.5),
    )
    merged = {k: jnp.where(series, small[k], quad[k]) for k in quad}
    out = {}
    for i, j, k in multi_indices(3, order):
        # Y -> 1/Y for negative orders; psi is unchanged by the swap.
        out[i, j, k] = jnp.where(negative, (-1) ** i * merged[i, k, j], merged[i, j, k])
    improper = (rate != rate) | (limit & (q == 0))
    psi = out[0, 0, 0]
    valid = (a >= 0) & (b >= 0)
    out[0, 0, 0] = jnp.where(valid, jnp.where(improper, jnp.inf, psi), jnp.nan)
    return out


def _gig_cumulants_jvp(order, scaled, primals, tangents):
    p, a, b = primals
    dp, da, db = tangents
    full = gig_cumulants(order + 1, scaled, p, a, b)
    values = {k: full[k] for k in multi_indices(3, order)}

    def half(tangent):
        return tangent if isinstance(tangent, SymbolicZero) else -0.5 * tangent

    # (log Y, 1/Y, Y) pair with (p, -b/2, -a/2) in the density.
    along = (dp, half(db), half(da))
    slopes = {k: directional(full, k, along) for k in values}
    if scaled == CENTRED:
        if order > 0:
            fixed = tuple(_known(x, p) for x in tangents)
            (m, _), (dm, d_log_m) = jax.jvp(mode, primals, fixed)
            slopes[1, 0, 0] -= d_log_m
            slopes[0, 1, 0] += d_log_m / m
            slopes[0, 0, 1] -= dm
    elif scaled:
        root = jnp.sqrt(b / a)
        for factor, tangent in ((0.5 * root, da), (0.5 / root, db)):
            if not isinstance(tangent, SymbolicZero):
                slopes[0, 0, 0] += times(factor, tangent)
    return values, slopes


def _known(tangent, like):
    return jnp.zeros_like(like) if isinstance(tangent, SymbolicZero) else tangent


gig_cumulants.defjvp(_gig_cumulants_jvp, symbolic_zeros=True)


def gig_means(
    p: ArrayLike, a: ArrayLike, b: ArrayLike, *, backend: str = "jax"
) -> tuple[Real, Real, Real]:
    """``E[log Y]``, ``E[1/Y]`` and ``E[Y]``; parameters broadcast.

    ``backend="cpu"`` takes them from :func:`scipy.special.kve`.
    """
    p, a, b = as_floats(p, a, b)
    if backend == "cpu":
        return _host(p, a, b)[1:]
    k = gig_cumulants(1, False, p, a, b)
    return k[1, 0, 0], k[0, 1, 0], k[0, 0, 1]


def _host_values(p, a, b):
    with np.errstate(over="ignore", under="ignore"):  # of a narrower dtype
        return tuple(np.asarray(v, p.dtype) for v in gig_host(p, a, b))


@jax.custom_jvp
def _host(p, a, b):
    """Scaled log-partition and means by SciPy; the kernel gives derivatives."""
    shape = jax.ShapeDtypeStruct(p.shape, p.dtype)
    return jax.pure_callback(
        lambda *x: _host_values(*map(np.asarray, x)),
        (shape,) * 4,
        p,
        a,
        b,
        vmap_method="expand_dims",
    )


@_host.defjvp
def _host_jvp(primals, tangents):
    def kernel(p, a, b):
        return gig_log_partition_scaled(p, a, b), *gig_means(p, a, b)

    return _host(*primals), jax.jvp(kernel, primals, tangents)[1]


@jax.custom_jvp
def _host_log_partition(p, a, b):
    return _host(p, a, b)[0] - jnp.sqrt(a) * jnp.sqrt(b)


@_host_log_partition.defjvp
def _host_log_partition_jvp(primals, tangents):
    p, a, b = primals
    psi, e_log, e_inv, e_y = _host(p, a, b)
    factors = e_log, -0.5 * e_y, -0.5 * e_inv
    slope = sum(times(f, t) for f, t in zip(factors, tangents, strict=True))
    return psi - jnp.sqrt(a) * jnp.sqrt(b), slope


def gig_means_cpu(
    posterior: tuple[Real, Real, Real], prior: tuple[Real, Real, Real]
) -> tuple[tuple[Real, Real, Real, Real], Real]:
    """:func:`normix.special.gig_shared.gig_means_shared` by SciPy's ``kve``.

    Works under ``jit`` through a callback, and in the Gamma and inverse Gamma limits.
    """
    p, a, b = posterior
    pairs = zip((p, a), prior[:2], strict=True)
    lanes = [jnp.append(jnp.full_like(b, x), y) for x, y in pairs]
    psi, log_y, inv_y, y = _host(lanes[0], lanes[1], jnp.append(b, prior[2]))
    own = jnp.stack([log_y[-1], inv_y[-1], y[-1]])
    return (psi[:-1] - psi[-1], log_y[:-1], inv_y[:-1], y[:-1]), own


def gig_log_partition(
    p: ArrayLike, a: ArrayLike, b: ArrayLike, *, backend: str = "jax"
) -> Real:
    """The log-partition ``psi(p, a, b)``; see :func:`gig_cumulants`."""
    p, a, b = as_floats(p, a, b)
    if backend == "cpu":
        return _host_log_partition(p, a, b)
    return gig_cumulants(0, False, p, a, b)[0, 0, 0]


def gig_log_partition_scaled(p: ArrayLike, a: ArrayLike, b: ArrayLike) -> Real:
    """``psi(p, a, b) + sqrt(ab)``, which stays moderate as ``ab`` grows."""
    return gig_cumulants(0, True, *as_floats(p, a, b))[0, 0, 0]


def gig_log_mass(p: ArrayLike, a: ArrayLike, b: ArrayLike) -> Real:
    """``log ∫ exp(-D(t)) dt``, with the fall ``D`` of :mod:`normix.special._mode`.

    About ``log(2π/ω)/2``, ``ω = sqrt(p² + ab)``: the log-partition less the part of it
    that a log-density cancels.
    """
    return gig_cumulants(0, CENTRED, *as_floats(p, a, b))[0, 0, 0]
