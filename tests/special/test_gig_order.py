"""GIG laws of a given order from ``E[1/Y]`` and ``E[Y]``, against mpmath."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest
from mpmath import mp, mpf

from normix.special.gig_order import gig_at_order

from .oracles import worst

DIGITS = 40
_compiled = jax.jit(gig_at_order)


def at_order(*arguments):
    """``gig_at_order`` of any number of laws, compiled for 500 of them."""
    x = np.broadcast_arrays(*arguments)
    flat = [np.pad(v.ravel(), (0, 500 - v.size), mode="edge") for v in x]
    return tuple(
        np.asarray(v)[: x[0].size].reshape(x[0].shape) for v in _compiled(*flat)
    )


def expectations(p, a, b):
    """``E[1/Y]`` and ``E[Y]`` of ``GIG(p, a, b)`` at the digits of the moment."""
    p, a, b = mpf(p), mpf(a), mpf(b)
    z, scale = mpmath.sqrt(a * b), mpmath.sqrt(b / a)
    k = mpmath.besselk(p, z)
    return (
        mpmath.besselk(p - 1, z) / k / scale,
        mpmath.besselk(p + 1, z) / k * scale,
    )


def targets(n, seed=0):
    """Orders, and expectations with ``log(E[Y] E[1/Y])`` from 1e-9 to 1e3."""
    rng = np.random.default_rng(seed)
    p = np.append(rng.uniform(-50, 50, n // 2), rng.uniform(-3, 3, n - n // 2))
    special = (0, 0.5, -0.5, 1, -1, 2, -2, 3, 6.5, 1 + 1e-9, 1 - 1e-9, 1e-9)
    p[-len(special) :] = special
    grow = np.exp(0.5 * 10 ** rng.uniform(-9, 3, n))
    scale = 10 ** rng.uniform(-8, 8, n)
    return p, grow / scale, grow * scale


def spread(e_inv, e_y):
    """``log(E[Y] E[1/Y])``; the product itself may overflow."""
    return np.log(e_inv) + np.log(e_y)


def in_range(p, e_inv, e_y):
    """Where the bound of the order is not reached."""
    q = np.maximum(np.abs(p), 1 + 1e-15)
    bound = np.where(np.abs(p) > 1, -np.log1p(-1 / q), np.inf)
    return spread(e_inv, e_y) < bound


# -- the interior --------------------------------------------------------------------


def test_round_trip():
    p, e_inv, e_y = targets(300)
    a, b = np.asarray(at_order(p, e_inv, e_y))
    # Parameters below the range of a double belong to the boundary.
    inside = (a > 0) & (b > 0)
    assert inside.sum() > 200
    with mp.workdps(DIGITS):
        for k in np.flatnonzero(inside):
            down, up = expectations(p[k], a[k], b[k])
            assert abs(down / mpf(e_inv[k]) - 1) <= 1e-12
            assert abs(up / mpf(e_y[k]) - 1) <= 1e-12


@pytest.mark.parametrize("p", [-50.0, -7.3, -2.0, -1.5, -0.5, 0.0, 0.3, 1.0, 12.0])
@pytest.mark.parametrize("z", [0.02, 0.9, 1.1, 30.0, 1e4])
def test_parameters(p, z):
    """Where the expectations tell ``z``, to what their rounding leaves of it."""
    scale = 3e5
    with mp.workdps(DIGITS):
        down, up = expectations(p, z / scale, z * scale)
        v = z * (down * scale if p > 0 else up / scale)
        slope = float(abs(2 * (v + abs(p)) * (1 - 1 / (down * up)) - 2))
    a, b = at_order(p, float(down), float(up))
    tolerance = 1e-14 / slope + 1e-14
    assert worst(np.sqrt(float(a) * float(b)), z) <= tolerance


def test_nothing_fails():
    """Under ``vmap``, 20,000 laws of any order, spread and scale."""
    p, e_inv, e_y = targets(20_000, seed=1)
    a, b = np.asarray(jax.jit(jax.vmap(gig_at_order))(p, e_inv, e_y))
    assert np.isfinite(a).all() and np.isfinite(b).all()
    assert (a >= 0).all() and (b >= 0).all()
    assert ((a > 0) | (b > 0)).all()
    # An interior law wherever it exists and has parameters within range
    moderate = in_range(p, e_inv, e_y * (1 + 1e-9)) & (spread(e_inv, e_y) < 0.3)
    assert ((a > 0) & (b > 0))[moderate].all()


def test_broadcasting():
    a, b = gig_at_order(np.array([[1.0], [-2.0]]), 2, np.array([0.7, 0.8, 0.9]))
    assert a.shape == b.shape == (2, 3)
    np.testing.assert_allclose(a[1, 2], at_order(-2.0, 2.0, 0.9)[0], rtol=1e-13)


def test_mirrored():
    """``1/Y`` has the order ``-p``."""
    p, e_inv, e_y = targets(100, seed=2)
    a, b = at_order(p, e_inv, e_y)
    b_mirrored, a_mirrored = at_order(-p, e_y, e_inv)
    np.testing.assert_array_equal(a, a_mirrored)
    np.testing.assert_array_equal(b, b_mirrored)


def test_single_precision():
    p, e_inv, e_y = targets(500, seed=3)
    usable = (spread(e_inv, e_y) < 14) & (spread(e_inv, e_y) > 0.01)
    single = [x[usable].astype(np.float32) for x in (p, e_inv, e_y)]
    got = at_order(*single)
    want = at_order(*(x.astype(np.float64) for x in single))
    assert all(x.dtype == jnp.float32 for x in got)
    for x in got:
        assert np.isfinite(x).all() and (x >= 0).all()
    # a E[Y] + b E[1/Y], which is well conditioned also near the boundary
    sizes = [a * single[2] + b * single[1] for a, b in (got, want)]
    assert worst(*sizes) <= 3e-4


# -- the boundary --------------------------------------------------------------------


@pytest.mark.parametrize("p", [1.0001, 1.5, 2.0, 7.0, 50.0])
@pytest.mark.parametrize("excess", [0.0, 1e-3, 10.0])
def test_gamma_boundary(p, excess):
    product = p / (p - 1) * (1 + excess)
    a, b = at_order(p, product / 3.0, 3.0)
    np.testing.assert_allclose(a, 2 * p / 3, rtol=1e-14)
    assert b == 0
    a, b = at_order(-p, 3.0, product / 3.0)
    assert a == 0
    np.testing.assert_allclose(b, 2 * p / 3, rtol=1e-14)


@pytest.mark.parametrize("p", [1.2, 3.0, 20.0])
def test_towards_the_boundary(p):
    """It is reached without a jump."""
    gaps = np.array([1e-4, 1e-6, 1e-8, 1e-10, 1e-12])
    e_inv = p / (p - 1) * (1 - gaps)
    a, b = at_order(p, e_inv, 1.0)
    assert (np.diff(b) < 0).all() and b[-1] >= 0
    assert (np.abs(a - 2 * p) <= 2 * p * p * np.sqrt(gaps)).all()


def test_arguments_too_small_for_the_floating_type():
    a, b = at_order(0.99, np.exp(300.0), np.exp(300.0))
    np.testing.assert_allclose(a, 2 * 0.99 / np.exp(300.0), rtol=1e-14)
    assert b == 0


@pytest.mark.parametrize(
    ("p", "e_inv", "e_y"),
    [
        (1.0, 1.0, 1.0),
        (-1.0, 0.5, 1.0),
        (0.0, np.inf, 1.0),
        (0.0, 2.0, np.nan),
        (np.nan, 2.0, 2.0),
        (np.inf, 2.0, 2.0),
        (1.0, -2.0, -2.0),
        (1.0, 0.0, 3.0),
    ],
)
def test_outside_the_domain(p, e_inv, e_y):
    assert np.isnan(at_order(p, e_inv, e_y)).all()


# -- derivatives ---------------------------------------------------------------------

POINTS = [
    (p, z, scale)
    for p in (-50.0, -3.0, -1.0, -0.5, 0.0, 0.4, 1.7, 20.0)
    for z, scale in ((0.3, 1e8), (3.0, 1.0), (200.0, 1e-6), (1e6, 10.0))
]


def stacked(x):
    return jnp.stack(gig_at_order(*x))


def exact_jacobian(p, a, b):
    """Of ``log a, log b`` in ``p, log E[1/Y], log E[Y]``, by 60-digit differences."""
    with mp.workdps(60):
        point = mpf(p), mpmath.log(mpf(a)), mpmath.log(mpf(b))

        def forward(p, log_a, log_b):
            both = expectations(p, mpmath.exp(log_a), mpmath.exp(log_b))
            return [mpmath.log(x) for x in both]

        h = mpf(10) ** -20
        slopes = mpmath.matrix(2, 3)
        for j in range(3):
            ends = [
                forward(*(x + sign * h * (i == j) for i, x in enumerate(point)))
                for sign in (1, -1)
            ]
            for i in range(2):
                slopes[i, j] = (ends[0][i] - ends[1][i]) / (2 * h)
        inverse = slopes[:, 1:] ** -1
        by_order = -inverse * slopes[:, 0]
        return np.array(
            [[by_order[i], inverse[i, 0], inverse[i, 1]] for i in range(2)], float
        )


jacobian = jax.jit(jax.vmap(jax.jacfwd(stacked)))


def first(points):
    """The Jacobian at any number of points, compiled for one."""
    padded = np.pad(points, ((0, 512 - len(points)), (0, 0)), mode="edge")
    return np.asarray(jacobian(padded))[: len(points)]


def test_jacobian():
    points = []
    with mp.workdps(DIGITS):
        for p, z, scale in POINTS:
            eta = expectations(p, z / scale, z * scale)
            points.append([p, *map(float, eta)])
    points = np.array(points)
    params = np.asarray(at_order(*points.T)).T
    for x, (a, b), got in zip(points, params, first(points), strict=True):
        want = exact_jacobian(x[0], a, b)
        got = got * [1.0, *x[1:]] / np.array([[a], [b]])
        # Steep where the expectations leave sqrt(ab) open, and then known less well
        size = np.abs(want).max()
        assert np.abs(got - want).max() <= 1e-11 * size * max(1.0, size / 1e3)


@pytest.mark.slow
def test_second_derivatives():
    """Forward over reverse, against differences of the first."""
    points = np.array(
        [[0.7, 1.5, 1.3], [-2.3, 0.9, 1.5], [3.0, 1.1, 1.2], [-0.5, 3.0, 2.0]]
    )
    weights = np.array([1.0, -0.6])
    hessian = jax.jit(jax.vmap(jax.hessian(lambda x: stacked(x) @ weights)))(points)
    h = 1e-4
    for j in range(3):
        shift = h * np.eye(3)[j]
        want = (first(points + shift) - first(points - shift)) / (2 * h)
        want = weights @ want
        np.testing.assert_allclose(hessian[:, j], want, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("sign", [1, -1])
def test_gradient_at_the_boundary(sign):
    p, e_far = 2.5, 3.0
    eta = [4.0, e_far] if sign > 0 else [e_far, 4.0]
    got = first(np.array([[sign * p, *eta]]))[0]
    rate, zero = (0, 1) if sign > 0 else (1, 0)
    far = 2 if sign > 0 else 1
    want = np.zeros(3)
    want[0], want[far] = sign * 2 / e_far, -2 * p / e_far**2
    np.testing.assert_allclose(got[rate], want, rtol=1e-13)
    np.testing.assert_array_equal(got[zero], 0.0)


def test_gradients_are_finite():
    points = np.stack(targets(500, seed=4), axis=1)
    keep = spread(*points.T[1:]) < 14
    assert np.isfinite(first(points[keep])).all()
