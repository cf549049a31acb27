r"""From ``E[log Y], E[1/Y], E[Y]`` back to ``GIG(p, a, b)``: a total inverse.

Scale drops out. With ``r = log(E[Y] E[1/Y]) > 0`` and
``c = E[log Y] - log(E[Y]/E[1/Y])/2`` there are two equations left, for ``p`` and
``log z``, ``z = sqrt(ab)``. Every GIG law has ``|c| < c*(r)``; at ``c = c*`` lies the
Gamma family (``b = 0``), at ``c = -c*`` the inverse Gamma family (``a = 0``), and
beyond them the maximum of the likelihood is on that boundary.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from normix._inline import map_in_turn, while_loop
from normix.special._gig_inverse_host import host_solve
from normix.special.gamma import inverse_log_minus_digamma, log_minus_digamma
from normix.special.gig import gig_cumulants
from normix.special.gig_sum import about_mode

Real = Float[Array, "..."]

# c*(r) about r = 0, in x = 1 - exp(-r).
_BOUNDARY = (1 / 6, 1 / 6, 1 / 8 + 1 / 120, 1 / 10, 1 / 12 - 1 / 252, 1 / 14)
_BOUNDARY += (1 / 16 + 1 / 240, 1 / 18)


# Lanes solved together: their arrays stay in cache.
_BLOCK = 1024


def boundary(r: Float[Array, "..."]) -> Float[Array, "..."]:
    r"""``c*(r) = digamma(α) - log(α(α - 1))/2`` with ``α = 1/(1 - exp(-r))``."""
    x = -jnp.expm1(-r)
    small = x < 0.03
    total = jnp.zeros_like(x)
    for k in reversed(_BOUNDARY):
        total = (total + k) * x
    x_safe = jnp.where(small, 0.5, x)
    return jnp.where(small, total * x, 0.5 * r - log_minus_digamma(1 / x_safe))


def _start(r, kappa):
    """Rational approximations to the solution, fitted over the whole domain."""
    alpha = -1 / jnp.expm1(-r)
    m = (1 + r * (0.46483095 + r * (0.34617539 + r * 0.0073863))) / (
        1 + r * (1.34847737 + r * 0.04553445)
    )
    v = kappa / (m - (m - 1) * jnp.abs(kappa) ** 3)
    v = jnp.clip(v, 0.0, 1 - 1e-12)
    bend = jnp.maximum(r - 0.0323594 * r * r, 1e-3 * r + 1e-9)
    depth = 0.15285183 * r * r / (1 + 0.1663813 * r) * v * v
    depth = jnp.minimum(600.0, depth / (1 - v + 0.18701132 / bend))
    log_z = 0.5 * jnp.log1p(-v * v) + jnp.log(alpha) - r / 2 - jnp.log1p(r / 2) - depth
    return jnp.arctanh(v), log_z


class _At(NamedTuple):
    """Of one ``(p, log z)``, ``p >= 0``; and the Jacobian of ``(r, c)`` in them."""

    r: Real
    c: Real
    tilt: Real  # log(E e^t / E e^{-t})
    r_p: Real
    r_l: Real
    c_p: Real
    c_l: Real


def _with_jacobian(p, log_z) -> _At:
    """What the equations need of one law.

    The slopes in ``log z`` are covariances with ``-z cosh t``, which integration by
    parts turns into the means themselves.
    """
    at = about_mode(p, log_z, all_moments=True)
    assert at.above is not None and at.square is not None
    assert at.u_above is not None and at.u_below is not None
    log_up, log_down = jnp.log1p(at.above), jnp.log1p(at.below)
    k_up = (at.u_above - at.u * at.above) / (1 + at.above)  # Cov(t, e^t)/E e^t
    k_down = (at.u_below - at.u * at.below) / (1 + at.below)
    r, skew = log_up + log_down, log_up - log_down
    tilt = 2 * (jnp.log(at.plus) - log_z) + skew
    z = jnp.exp(log_z)
    up, down = jnp.exp(0.5 * (r + tilt)), jnp.exp(0.5 * (r - tilt))
    c_l = -0.5 * z * (up * k_up + down * k_down)
    return _At(
        r=r,
        c=at.u - 0.5 * skew,
        tilt=tilt,
        r_p=k_up + k_down,
        r_l=-z * (up + down) * jnp.expm1(-r) - 2,
        c_p=at.square - at.u * at.u - 0.5 * (k_up - k_down),
        c_l=c_l - 0.5 * (z * (up - 1 / up) - z * (down - 1 / down) - 4 * p),
    )


def _newton(r0, c0, maxiter: int):
    """``(p, log z, log(E e^t/E e^-t))`` for ``r0 > 0``, ``0 <= c0 < c*(r0)``.

    Under ``vmap`` the lanes are solved in blocks: arrays that stay in cache, and only
    the block of a slow lane waits for it.
    """

    lane = partial(_newton_lane, maxiter=maxiter)
    solve = jax.custom_batching.custom_vmap(lane)

    @solve.def_vmap
    def in_blocks(n, batched, r0, c0):
        r0, c0 = (
            x if is_batched else jnp.broadcast_to(x, (n, *x.shape))
            for x, is_batched in zip((r0, c0), batched, strict=True)
        )
        if n <= _BLOCK:
            return jax.vmap(lane)(r0, c0), True
        blocks = -(-n // _BLOCK)

        def fold(x):
            more = blocks * _BLOCK - n
            x = jnp.concatenate([x, jnp.broadcast_to(x[-1:], (more, *x.shape[1:]))])
            return x.reshape(blocks, _BLOCK, *x.shape[1:])

        found = map_in_turn(lambda x: jax.vmap(lane)(*x), (fold(r0), fold(c0)))
        return found.reshape(blocks * _BLOCK, *found.shape[2:])[:n], True

    return solve(r0, c0)


def _newton_lane(r0, c0, maxiter: int):
    alpha0 = -1 / jnp.expm1(-r0)
    kappa = c0 / boundary(r0)
    s, log_z = _start(r0, kappa)

    def residual(r, c, p):
        # log((α(r) - max(p, 1)) / (α(r0) - max(p, 1))), with α - 1 = 1/(e^r - 1)
        excess = jnp.maximum(p - 1, 0.0)
        first = jnp.log((1 / jnp.expm1(r) - excess) / (1 / jnp.expm1(r0) - excess))
        return first, jnp.arctanh(c / boundary(r)) - jnp.arctanh(kappa)

    def evaluate(s, log_z):
        p = alpha0 * jnp.tanh(s)
        at = _with_jacobian(p, log_z)
        miss = jnp.maximum(
            jnp.abs(at.r - r0) / jnp.maximum(r0, 0.02) / 1e-13,
            jnp.abs(at.c - c0) / jnp.maximum(1.0, jnp.abs(c0)) / 1e-14,
        )
        return p, at, jnp.where(jnp.isnan(miss), jnp.inf, miss)

    def step(state):
        k, s, log_z, best, best_miss, stalled, _ = state
        p, at, miss = evaluate(s, log_z)
        better = miss < best_miss
        best = jnp.where(better, jnp.stack([p, log_z, at.tilt]), best)
        stalled = jnp.where(better, 0, stalled + 1)
        best_miss = jnp.minimum(miss, best_miss)

        def along(dr, dc, dp):
            return jax.jvp(residual, (at.r, at.c, p), (dr, dc, dp))

        p_s = alpha0 / jnp.cosh(s) ** 2
        # Both directions together: one graph to compile.
        directions = (
            (at.r_p * p_s, at.r_l),
            (at.c_p * p_s, at.c_l),
            (p_s, jnp.zeros_like(p)),
        )
        both = jax.vmap(along, out_axes=(None, 0))(*map(jnp.stack, directions))
        g, columns = both
        a, b = ([column[k] for column in columns] for k in (0, 1))
        det = a[0] * b[1] - b[0] * a[1]
        ds = -(g[0] * b[1] - b[0] * g[1]) / det
        dl = -(a[0] * g[1] - g[0] * a[1]) / det
        cap = 2 + 0.3 * jnp.abs(log_z)
        ok = jnp.isfinite(ds) & jnp.isfinite(dl)
        ds, dl = jnp.where(ok, ds, 0.0), jnp.where(ok, dl, 0.0)
        s = s + jnp.clip(ds, -1.0, 1.0)
        log_z = log_z + jnp.clip(dl, -cap, cap)
        return k + 1, s, log_z, best, best_miss, stalled, ok

    def running(state):
        k, _, _, _, best_miss, stalled, ok = state
        return (k < maxiter) & (best_miss > 1) & (stalled < 3) & ok

    zero = jnp.zeros((), jnp.result_type(int))
    best = jnp.stack([alpha0 * jnp.tanh(s), log_z, jnp.zeros_like(s)])
    start = (zero, s, log_z, best, jnp.inf * jnp.ones_like(s), zero, jnp.array(True))
    return while_loop(running, step, start)[3]


def _objective(x, targets):
    """Negative log-likelihood in ``(p, log z, log s)``, ``s = sqrt(b/a)``."""
    (r, c), (p, log_z, log_s) = targets, x
    z = jnp.exp(log_z)
    psi = gig_cumulants(0, True, p, z, z)[0, 0, 0] + p * log_s
    # z (e^{r/2} cosh(log s) - 1), with sqrt(ab) taken out of both terms
    quadratic = jnp.expm1(r / 2) + jnp.exp(r / 2) * (jnp.cosh(log_s) - 1)
    return psi + z * quadratic - p * c


def _quasi_newton(r0, c0, start, maxiter: int, tol: float, limited: bool):
    import optimistix as optx  # here, for a quick import of normix

    solver = optx.LBFGS(tol, tol) if limited else optx.BFGS(tol, tol)
    found = optx.minimise(
        _objective,
        solver,
        jnp.stack([*start, jnp.zeros_like(r0)]),
        (r0, c0),
        max_steps=maxiter,
        throw=False,
    )
    return found.value


def _interior(at: _Reduced, options) -> tuple[Real, Real, Real]:
    """``p``, ``log z`` and ``log(E e^t/E e^-t)`` by the chosen backend and method."""
    backend, method, maxiter, tol = options
    if backend == "jax" and method == "newton":
        p, log_z, tilt = _newton(at.r, at.c, maxiter)
        return p, log_z, tilt
    if backend == "cpu":
        p, log_z, tilt = jax.pure_callback(
            partial(host_solve, method=method, maxiter=maxiter, tol=tol),
            jax.ShapeDtypeStruct((3,), at.r.dtype),
            at.r,
            at.c,
            at.limit,
            *at.start,
            vmap_method="sequential",
        ).astype(at.r.dtype)
        return p, log_z, tilt
    limited = method == "lbfgs"
    p, log_z, _ = _quasi_newton(at.r, at.c, at.start, 10 * maxiter, tol, limited)
    z = jnp.exp(log_z)
    k = gig_cumulants(1, False, p, z, z)
    return p, log_z, jnp.log(k[0, 0, 1]) - jnp.log(k[0, 1, 0])


def _edge(eta, negative):
    """The Gamma or inverse Gamma law that matches ``E[log Y]`` and the moment it has.

    At the gamma edge that is ``E[Y]``, at the other, ``negative``, ``E[1/Y]``.
    """
    e_log, e_inv, e_y = eta
    gap = jnp.where(negative, jnp.log(e_inv) + e_log, jnp.log(e_y) - e_log)
    alpha = inverse_log_minus_digamma(gap)
    rate = 2 * alpha / jnp.where(negative, e_inv, e_y)
    zero = jnp.zeros_like(alpha)
    return jnp.where(
        negative, jnp.stack([-alpha, zero, rate]), jnp.stack([alpha, rate, zero])
    )


class _Reduced(NamedTuple):
    """The two equations that are left without scale, and which laws solve them."""

    r: Real  # of the interior; 1 elsewhere
    c: Real  # its size; 0 elsewhere
    limit: Real  # c*(r)
    start: tuple[Real, Real]  # p, log z
    negative: Array  # the sign of c
    narrow: Array
    at_edge: Array
    attainable: Array


def _spread(eta: Float[Array, " 3"]) -> tuple[Real, Real]:
    """``r`` and ``c``, signed."""
    e_log, e_inv, e_y = eta
    r = jnp.log(e_y) + jnp.log(e_inv)
    return r, e_log - 0.5 * (jnp.log(e_y) - jnp.log(e_inv))


def _reduced(eta: Float[Array, " 3"], r: Real, c_signed: Real) -> _Reduced:
    e_log, e_inv, e_y = eta
    c = jnp.abs(c_signed)
    # Only laws on the boundary have one expectation, but not both, infinite.
    one_missing = jnp.isinf(e_inv) != jnp.isinf(e_y)
    jensen = (e_log < jnp.log(e_y)) & (e_log > -jnp.log(e_inv))
    attainable = (r > 0) & jnp.where(one_missing, jensen, c < r / 2)
    limit = boundary(jnp.where(attainable, r, 1.0))
    narrow = attainable & (r < 2.5e-7)
    near = one_missing | (limit - c <= 1e-13 * jnp.maximum(1.0, c))
    at_edge = attainable & ~narrow & near
    interior = attainable & ~narrow & ~at_edge

    r_in = jnp.where(interior, r, 1.0)
    c_in = jnp.where(interior, c, 0.0)
    limit = boundary(r_in)
    s, log_z = _start(r_in, c_in / limit)
    start = -jnp.tanh(s) / jnp.expm1(-r_in), log_z
    negative = c_signed < 0
    return _Reduced(r_in, c_in, limit, start, negative, narrow, at_edge, attainable)


def _completed(eta, r, at: _Reduced, p, log_z, tilt) -> Float[Array, " 3"]:
    """``(p, a, b)`` from the interior solution ``GIG(p, z, z)``, or in its place."""
    _, e_inv, e_y = eta
    # Nearly degenerate: order and argument are no longer told apart, and the
    # inverse Gaussian of the same r has eta right to rounding.
    z_narrow = 1 / jnp.expm1(jnp.where(at.narrow, r, 1.0))
    p = jnp.where(at.narrow, -0.5, jnp.where(at.negative, -p, p))
    tilt = jnp.where(
        at.narrow, -jnp.log1p(1 / z_narrow), jnp.where(at.negative, -tilt, tilt)
    )
    z = jnp.where(at.narrow, z_narrow, jnp.exp(log_z))
    log_s = 0.5 * (jnp.log(e_y) - jnp.log(e_inv) - tilt)
    inside = jnp.stack([p, z * jnp.exp(-log_s), z * jnp.exp(log_s)])

    # Where z underflows a law is taken for one on the boundary: so it is here.
    on_edge = at.at_edge | (z < jnp.finfo(z.dtype).tiny)
    solution = jnp.where(on_edge, _edge(eta, at.negative), inside)
    return jnp.where(at.attainable, solution, jnp.nan)


def gig_from_expectation(
    eta: Float[Array, " 3"], options: tuple[str, str, int, float]
) -> Float[Array, " 3"]:
    """``(p, a, b)`` of the GIG law closest to expectations of ``(log Y, 1/Y, Y)``.

    ``options`` is ``(backend, method, maxiter, tol)``. On or beyond the boundary of
    the attainable set the result is the Gamma (``b = 0``) or inverse Gamma
    (``a = 0``) law of maximum likelihood. NaN where ``E[Y] E[1/Y] < 1`` or where
    ``E[log Y]`` exceeds ``log E[Y]`` or falls below ``-log E[1/Y]`` (Jensen), or both
    of these are infinite.
    """
    return gig_from_spread(eta, *jax.lax.stop_gradient(_spread(eta)), options)


@partial(jax.custom_jvp, nondiff_argnums=(3,))
def gig_from_spread(
    eta: Float[Array, " 3"], r: Real, c: Real, options: tuple[str, str, int, float]
) -> Float[Array, " 3"]:
    """The same from ``r`` and ``c`` as well, known better than ``eta`` tells them.

    They are not differentiated: ``eta``, of which they are functions, is.
    """
    at = _reduced(eta, r, c)
    return _completed(eta, r, at, *_interior(at, options))


_spread_jit = jax.jit(_spread)
_reduced_jit, _completed_jit = jax.jit(_reduced), jax.jit(_completed)


def gig_from_expectation_host(
    eta: Float[np.ndarray, " 3"], method: str, maxiter: int, tol: float
) -> Float[Array, " 3"]:
    """The same with SciPy's solver on the host, of values that can be looked at."""
    r, c = _spread_jit(eta)
    at = _reduced_jit(eta, r, c)
    found = host_solve(
        at.r, at.c, at.limit, *at.start, method=method, maxiter=maxiter, tol=tol
    )
    return _completed_jit(eta, r, at, *found.astype(eta.dtype))


@gig_from_spread.defjvp
def _gig_from_spread_jvp(options, primals, tangents):
    # Implicitly: d eta = Fisher d theta, theta = (p, -b/2, -a/2).
    solution = gig_from_spread(*primals, options)
    p, a, b = solution
    at_edge = (a == 0) | (b == 0)
    along_edge = jax.jvp(lambda e: _edge(e, a == 0), primals[:1], tangents[:1])[1]
    k = gig_cumulants(2, False, *(jnp.where(at_edge, 1.0, x) for x in solution))
    rows = ((1, 0, 0), (0, 1, 0), (0, 0, 1))
    fisher = jnp.stack(
        [
            jnp.stack(
                [k[tuple(i + j for i, j in zip(x, y, strict=True))] for y in rows]
            )
            for x in rows
        ]
    )
    scale = jnp.sqrt(jnp.diagonal(fisher))  # unit variances: scale-free elimination
    d_theta = jnp.linalg.solve(fisher / jnp.outer(scale, scale), tangents[0] / scale)
    d_p, d_half_b, d_half_a = d_theta / scale
    within = jnp.stack([d_p, -2 * d_half_a, -2 * d_half_b])
    return solution, jnp.where(at_edge, along_edge, within)
