r"""The logarithm of the modified Bessel function of the second kind.

Two regimes cover every order and argument: a trapezoid rule centred at the mode of
the integrand of DLMF 10.32.9, and Temme's series where that integrand has a long
plateau (small ``z``, moderate ``|v|``). Derivatives of every order are exact: they
are the joint cumulants of ``(t, -cosh t)`` on the nodes of the quadrature, and plain
differentiation of the series.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, ArrayLike, Float

from normix.special._cumulants import (
    Index,
    cumulants_from_moments,
    directional,
    multi_indices,
    slope_in,
)
from normix.special._quadrature import moments, tilt
from normix.special._series import log_kv_series

BACKENDS = ("jax", "cpu")

_PAIRS = 32
_DROP = 36.0
# The series serves z < 1 with |v| < 6.5; elsewhere 32 pairs of nodes suffice.
SERIES_ARGUMENT = 1.0
SERIES_ORDER = 6.5

# -sqrt(1 + s²) + asinh(1/s) vanishes at s0; its Taylor coefficients there. The root
# in two parts, the first of 26 bits (float64) or 12 bits (float32), so that its
# product with the leading half of an order is exact.
_ROOT = {
    "float64": (0.662743404507637, 1.4841544557048961e-08),
    "float32": (0.66259765625, 0.00014576309918158098),
}
_PEAK = (
    -1.8101705806989772745,
    0.9488864162568370515,
    -1.1001528948506503179,
    1.2953006779860538264,
    -1.5715455665619724959,
    1.9710295801345065657,
    -2.5442226725502084901,
    3.3574176889619281024,
    -4.5036397450391532152,
    6.1169161541708536195,
    -8.3911147120913043561,
)


def in_series_domain(p: Float[Array, "..."], z: Float[Array, "..."]):
    """Where the small-argument series replaces the quadrature (``p >= 0``)."""
    return (z < SERIES_ARGUMENT) & (p < SERIES_ORDER)


def _peak(p: Float[Array, "..."], z: Float[Array, "..."], mode, omega):
    """``p t* - omega``, which passes through zero near ``z = 0.6627 p``.

    There the two terms cancel, and a Taylor polynomial in the exactly formed distance
    from the zero keeps the relative error of ``log K``.
    """
    high, low = _ROOT[str(p.dtype)]
    bits = (11, 25) if p.dtype == jnp.float64 else (8, 11)
    p_high = lax.reduce_precision(p, *bits)
    gap = ((z - p_high * high) - (p - p_high) * high) - p * low
    near = (p > 10) & (jnp.abs(gap) < 0.02 * p)
    delta = jnp.where(near, gap, 0.0) / jnp.where(near, p, 1.0)
    total = jnp.zeros_like(delta)
    for c in reversed(_PEAK):
        total = total * delta + c
    return jnp.where(near, p * delta * total, p * mode - omega)


def _quadrature_partials(order: int, scaled: bool, p, z) -> dict[Index, Array]:
    """All partials of ``log K_p(z)`` (``+ z`` if ``scaled``), for ``p >= 0``."""
    at = tilt(p, z, drop=_DROP)

    def t_centred(u, c, s):
        return jnp.zeros_like(u), u

    def cosh_centred(u, c, s):  # z cosh t - omega
        return at.omega * c, p * s

    total, means = moments(at, (t_centred, cosh_centred), order, pairs=_PAIRS)
    cumulants = cumulants_from_moments(means)

    if scaled:
        peak = p * at.mode - p * (p / (z + at.omega))
    else:
        peak = _peak(p, z, at.mode, at.omega)
    partials = {(0, 0): peak + jnp.log(0.5 * total)}
    inverse = -1 / z
    for (i, j), value in cumulants.items():
        if (i, j) == (1, 0):
            value = at.mode + value
        if (i, j) == (0, 1):
            value = value + (p * (p / (at.omega + z)) if scaled else at.omega)
        for _ in range(j):  # one factor at a time: z**j may underflow
            value = value * inverse
        partials[i, j] = value
    return partials


def _series_partials(order: int, scaled: bool, p, z) -> dict[Index, Array]:
    """All partials of ``log K_p(z)`` (``+ z`` if ``scaled``) at small ``z``."""
    # In (p, log z) first: powers of 1/z, which overflow, are left to the end. Each on
    # its own: XLA takes several times as long over one graph for all.
    log_k = partial(log_kv_series, max_order=7, unroll=order <= 2)
    graphs: dict[Index, Callable[..., Array]] = {(0, 0): log_k}
    for i, j in multi_indices(2, order)[1:]:
        lower = graphs[i - 1, j] if i else graphs[i, j - 1]
        graphs[i, j] = slope_in(lower, 0 if i else 1)
    log_z = jnp.log(z)
    in_log = {a: graph(p, log_z) for a, graph in graphs.items()}

    partials = {}
    inverse = 1 / z
    stirling = [1.0]  # z^j d^j/dz^j = D (D - 1) … (D - j + 1), D = d/dlog z
    for j in range(order + 1):
        for i in range(order + 1 - j):
            value = sum(c * in_log[i, m] for m, c in enumerate(stirling) if c)
            for _ in range(j):
                value = value * inverse
            partials[i, j] = value
        stirling = np.convolve(stirling, [-float(j), 1.0]).tolist()
    if scaled:
        partials[0, 0] = partials[0, 0] + z
        if order:
            partials[0, 1] = partials[0, 1] + 1
    return partials


@partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def _tower(order: int, scaled: bool, v, z) -> dict[Index, Array]:
    """Partials up to ``order``; differentiating asks for one order more.

    The quadrature's loop is therefore never itself differentiated.
    """
    negative = v < 0
    p = jnp.where(negative, -v, v)
    series = in_series_domain(p, z)
    # Subnormal arguments count as zero, where K is infinite at every order.
    proper = (z >= jnp.finfo(z.dtype).tiny) & ~jnp.isinf(z)
    p_series = jnp.where(series, p, 1.0)
    z_series = jnp.where(series & proper, z, 0.5)
    p_quad = jnp.where(series, 1.0, p)
    z_quad = jnp.where(series | ~proper, 1.0, z)
    small = _series_partials(order, scaled, p_series, z_series)
    large = _quadrature_partials(order, scaled, p_quad, z_quad)

    partials = {}
    for i, j in multi_indices(2, order):
        value = jnp.where(series, small[i, j], large[i, j])
        value = jnp.where(negative, (-1) ** i * value, value)
        partials[i, j] = jnp.where(proper, value, jnp.nan)
    at_infinity = jnp.nan if scaled else -jnp.inf
    limit = jnp.where(z > 1, at_infinity, jnp.where(z >= 0, jnp.inf, jnp.nan))
    partials[0, 0] = jnp.where(proper, partials[0, 0], limit)
    return partials


def _tower_jvp(order, scaled, primals, tangents):
    full = _tower(order + 1, scaled, *primals)
    values = {a: full[a] for a in multi_indices(2, order)}
    return values, {a: directional(full, a, tangents) for a in values}


_tower.defjvp(_tower_jvp, symbolic_zeros=True)


def _log_kv(v: Float[Array, "..."], z: Float[Array, "..."], scaled: bool):
    return _tower(0, scaled, v, z)[0, 0]


def _kve_fallback(v: np.ndarray, z: np.ndarray) -> np.ndarray:
    """``log K_v(z)``, ``v >= 0``, where ``kve`` leaves the range of a double."""
    from scipy import special

    out = np.empty_like(v)
    large = v >= 30
    # Uniform expansion for large order (DLMF 10.41.4); twelve terms at v = 30 leave
    # less than 1e-14.
    p, x = v[large], z[large]
    ratio = x / p
    root = np.hypot(1, ratio)
    t = 1 / root
    eta = root + np.log(ratio / (1 + root))
    total = np.ones_like(p)
    for k, u in enumerate(_debye_polynomials(12), start=1):
        total += (-1 / p) ** k * np.polynomial.polynomial.polyval(t, u)
    out[large] = 0.5 * np.log(np.pi * t / (2 * p)) - p * eta + np.log(total)
    # Small order: only z so small that the leading term is exact overflows.
    p, x = v[~large], z[~large]
    out[~large] = special.gammaln(p) + (p - 1) * np.log(2) - p * np.log(x)
    return out


def _debye_polynomials(count: int) -> list[np.ndarray]:
    """Coefficients of ``U_1 … U_count`` (DLMF 10.41.9), lowest power first."""
    poly = np.polynomial.Polynomial
    u, out = poly([1.0]), []
    for _ in range(count):
        u = poly([0, 0, 0.5, 0, -0.5]) * u.deriv() + (
            0.125 * (poly([1, 0, -5]) * u).integ()
        )
        out.append(u.coef)
    return out


def log_kve_host(v: np.ndarray, z: np.ndarray) -> np.ndarray:
    """``log K_v(z) + z`` by :func:`scipy.special.kve`, on NumPy arrays."""
    from scipy import special  # here, for a quick import of normix

    v, z = np.broadcast_arrays(np.abs(np.asarray(v, float)), np.asarray(z, float))
    with np.errstate(all="ignore"):
        value = special.kve(v, z)
        out = np.atleast_1d(np.log(value))
        bad = ~np.isfinite(out) & (z > 0) & np.isfinite(z) & np.isfinite(v)
        if bad.any():
            v, z = np.atleast_1d(v, z)
            out[bad] = _kve_fallback(v[bad], z[bad]) + z[bad]
    return out.reshape(value.shape)


def _log_kv_host(v, z):
    v, z = np.asarray(v), np.asarray(z)
    with np.errstate(invalid="ignore"):
        value = np.where(np.isposinf(z), -np.inf, log_kve_host(v, z) - z)
    return value.astype(z.dtype)


@jax.custom_jvp
def _log_kv_cpu(v, z):
    shape = jax.ShapeDtypeStruct(v.shape, v.dtype)
    return jax.pure_callback(_log_kv_host, shape, v, z, vmap_method="expand_dims")


@_log_kv_cpu.defjvp
def _log_kv_cpu_jvp(primals, tangents):
    # SciPy offers no derivative in the order: the exact one comes from the kernel.
    _, slope = jax.jvp(partial(_log_kv, scaled=False), primals, tangents)
    return _log_kv_cpu(*primals), slope


_log_kv_jit = jax.jit(_log_kv, static_argnames="scaled")


def as_floats(*values: ArrayLike) -> tuple[Array, ...]:
    """Broadcast to a common shape and floating dtype."""
    arrays = jnp.broadcast_arrays(*(jnp.asarray(x) for x in values))
    dtype = jnp.result_type(*arrays)
    if not jnp.issubdtype(dtype, jnp.floating):
        dtype = jnp.result_type(float)
    return tuple(x.astype(dtype) for x in arrays)


def log_kv(v: ArrayLike, z: ArrayLike, backend: str = "jax") -> Float[Array, "..."]:
    r"""Logarithm of the modified Bessel function of the second kind, ``log K_v(z)``.

    **Shapes**: ``v`` (order, any real) and ``z`` (argument, ``z >= 0``) broadcast;
    the result has their common shape and dtype. ``z = 0`` gives ``inf``, ``z < 0``
    gives NaN.

    With ``backend="jax"`` the relative error is below 1e-13 in double precision for
    ``|v| <= 1e4`` and ``1e-300 <= z <= 1e8``, and the function works under ``jit``
    and ``vmap`` and differentiates in both arguments to any order, forward and
    reverse. With ``backend="cpu"`` the value comes from :func:`scipy.special.kve`,
    with asymptotic forms where that overflows.

    **Raises**: ``ValueError`` for an unknown backend.

    Source: DLMF 10.32.9 by the trapezoid rule; Temme, J. Comput. Phys. 19 (1975).

    >>> import jax.numpy as jnp
    >>> from normix import log_kv
    >>> round(float(log_kv(0.5, 2.0)), 6)  # log(sqrt(pi/4) exp(-2))
    -2.120782
    """
    if backend not in BACKENDS:
        raise ValueError(f"backend must be one of {BACKENDS}, got {backend!r}")
    v, z = as_floats(v, z)
    if backend == "cpu":
        return _log_kv_cpu(v, z)
    return _log_kv_jit(v, z, scaled=False)


def log_kve(v: ArrayLike, z: ArrayLike) -> Float[Array, "..."]:
    """``log K_v(z) + z``, which stays moderate at large ``z``; see :func:`log_kv`."""
    v, z = as_floats(v, z)
    return _log_kv_jit(v, z, scaled=True)
