"""log K_v(z) against 75-digit quadrature (``bessel_reference.csv``) and mpmath."""

from __future__ import annotations

import csv
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest

from normix import log_kv
from normix.special.bessel import log_kve

from .oracles import bessel_partials, log_k_scaled, worst

with Path(__file__).with_name("bessel_reference.csv").open(encoding="ascii") as file:
    ROWS = list(csv.DictReader(file))
REFERENCE = {c: np.array([float(row[c]) for row in ROWS]) for c in ROWS[0]}
V, Z = REFERENCE["v"], REFERENCE["z"]


# log K is elementwise: one forward tangent, or the gradient of the sum, gives the
# derivative at every point without a Jacobian.
def forward(f, i):
    def derivative(*x):
        def along(t):
            return f(*x[:i], t, *x[i + 1 :])

        return jax.jvp(along, (x[i],), (jnp.ones_like(x[i]),))[1]

    return derivative


def reverse(f, i):
    return jax.grad(lambda *x: f(*x).sum(), i)


MODES = {"forward": forward, "reverse": reverse}


@partial(jax.jit, static_argnums=(0, 1))
def second_derivatives(outer, inner, v, z):
    """``[[vv, vz], [zv, zz]]``, the outer variable first."""
    first = [MODES[inner](log_kv, i) for i in (0, 1)]
    return [[MODES[outer](f, i)(v, z) for f in first] for i in (0, 1)]


@jax.jit
def first_derivatives(v, z):
    return jax.grad(lambda v, z: log_kv(v, z).sum(), (0, 1))(v, z)


# -- double precision ------------------------------------------------------------


def test_reference_covers_the_domain():
    assert len(ROWS) == 1010
    assert np.abs(V).max() == 1e4
    assert (Z.min(), Z.max()) == (1e-300, 1e8)


def test_values():
    assert worst(log_kv(V, Z), REFERENCE["log_k"], floor=1.0) <= 1e-13


def test_scaled_values():
    p, z = np.array([(0.3, 1e-5), (2.0, 0.7), (-4.5, 3.0), (80.0, 1e4), (1.0, 1e9)]).T
    want = [log_k_scaled(*x) for x in zip(p, z, strict=True)]
    assert worst(log_kve(p, z), want, floor=1.0) <= 1e-13


def test_first_derivatives():
    dv, dz = first_derivatives(V, Z)
    assert worst(dv, REFERENCE["dv"]) <= 1e-12
    assert worst(dz, REFERENCE["dz"]) <= 1e-12


@pytest.mark.parametrize(("outer", "inner"), list(product(MODES, MODES)))
def test_second_derivatives(outer, inner):
    """A rule inside a loop may be right to first order and silently wrong here."""
    (vv, vz), (zv, zz) = second_derivatives(outer, inner, V, Z)
    assert worst(vv, REFERENCE["dvv"]) <= 1e-10
    assert worst(vz, REFERENCE["dvz"]) <= 1e-10
    assert worst(zv, REFERENCE["dvz"]) <= 1e-10
    assert worst(zz, REFERENCE["dzz"]) <= 1e-10  # infinite where it overflows


def test_third_derivatives():
    v = np.array([0.0, 0.3, -1.0, 2.5, 6.4, 6.6, -40.0, 0.5, 3.0, 300.0])
    z = np.array([0.4, 1e-3, 1e-12, 0.9, 0.5, 0.5, 7.0, 1.1, 50.0, 1e4])

    def log_k(x):
        return log_kv(x[0], x[1])

    third = jax.jit(jax.vmap(jax.jacfwd(jax.jacrev(jax.grad(log_k)))))
    got = third(np.stack([v, z], axis=1))
    exact = [bessel_partials(*x) for x in zip(v, z, strict=True)]
    for index in product((0, 1), repeat=3):
        want = [float(law[3 - sum(index), sum(index)]) for law in exact]
        # At v = 0 the odd ones vanish, as cancelling sums of terms of order one.
        assert worst(got[:, *index], want, floor=1e-10) <= 1e-9, index


def test_third_derivative_agrees_with_differences():
    """The oracle of the test above, against differences of mpmath's own Bessel."""
    with mpmath.workdps(60):
        v, z = mpmath.mpf(2.5), mpmath.mpf(0.9)
        want = mpmath.diff(
            lambda v, z: mpmath.log(mpmath.besselk(v, z)), (v, z), (2, 1)
        )
    assert worst(bessel_partials(2.5, 0.9)[2, 1], want) <= 1e-15


def test_symmetric_in_the_order():
    """Even in v, so the odd derivatives at v = 0 are exactly zero."""
    np.testing.assert_array_equal(log_kv(V, Z), log_kv(-V, Z))
    dv, _ = first_derivatives(V, Z)
    flipped, _ = first_derivatives(-V, Z)
    np.testing.assert_array_equal(dv, -flipped)
    assert (dv[V == 0] == 0).all()
    slope = jax.jvp(lambda v: log_kv(v, 0.7), (0.0,), (1.0,))[1]
    assert slope == 0


# -- single precision --------------------------------------------------------------

# Points out of reach of float32 become (1, 1), so that shapes, and with them what is
# compiled, stay the same.
WITHIN = Z >= 1.01 * np.finfo(np.float32).tiny
SINGLE = [np.where(WITHIN, x, 1.0).astype(np.float32) for x in (V, Z)]


def in_single(got, want, tolerance, *, floor=0.0):
    """Float32, near float64 results, and finite wherever those fit."""
    got, want = np.asarray(got), np.asarray(want)
    assert got.dtype == np.float32
    fits = np.abs(want) < np.finfo(np.float32).max
    # Below the smallest normal number relative accuracy is out of reach.
    assert worst(got[fits], want[fits], floor=max(floor, 1e-30)) <= tolerance
    np.testing.assert_array_equal(got[~fits], np.sign(want[~fits]) * np.inf)


def test_single_precision_reference_points():
    """The rows whose order and argument are float32 numbers, with no detour."""
    exact = (V == V.astype(np.float32)) & (Z == Z.astype(np.float32))
    assert exact.sum() >= 30
    got = log_kv(SINGLE[0], SINGLE[1]), *first_derivatives(*SINGLE)
    for value, column in zip(got, ("log_k", "dv", "dz"), strict=True):
        floor = 1.0 if column == "log_k" else 0.0
        in_single(value[exact], REFERENCE[column][exact], 1e-5, floor=floor)


def test_single_precision():
    """Against double precision, whose accuracy the tests above establish."""
    doubles: Any = [x.astype(np.float64) for x in SINGLE]
    in_single(
        log_kv(SINGLE[0], SINGLE[1]), log_kv(doubles[0], doubles[1]), 1e-5, floor=1.0
    )
    for got, want in zip(
        first_derivatives(*SINGLE), first_derivatives(*doubles), strict=True
    ):
        in_single(got, want, 1e-5)
    # Under vmap, where both regimes are computed for every point. One basis of
    # tangents serves both variables: where d2/dz2 overflows, so may the others.
    got = jax.jit(jax.vmap(jax.hessian(log_kv, (0, 1))))(*SINGLE)
    want = second_derivatives("forward", "reverse", *doubles)
    some = np.abs(want[1][1]) < np.finfo(np.float32).max
    for i, j in product((0, 1), (0, 1)):
        in_single(got[i][j][some], want[i][j][some], 3e-5)


def test_dtype_follows_the_inputs():
    one, two = jnp.float32(1.0), jnp.float64(1.0)
    for backend in ("jax", "cpu"):
        assert log_kv(one, one, backend=backend).dtype == jnp.float32
        assert log_kv(one, two, backend=backend).dtype == jnp.float64
        assert log_kv(1, 2, backend=backend).dtype == jnp.float64
        assert log_kv(one, 2.0, backend=backend).dtype == jnp.float32


# -- the edges of the domain -------------------------------------------------------


@pytest.mark.parametrize("v", [0.0, 0.5, -3.0, 6.5, 1e4])
def test_edges_of_the_argument(v):
    assert log_kv(v, 0.0) == np.inf
    assert log_kv(v, 1e-310) == np.inf  # subnormal: as zero
    assert np.isnan(log_kv(v, -1e-300))
    assert np.isnan(log_kv(v, -1.0))
    assert np.isnan(log_kv(v, np.nan))
    assert log_kv(v, np.inf) == -np.inf
    single = log_kv(jnp.float32(v), jnp.array([0.0, 1e-39, -1.0, jnp.inf], jnp.float32))
    np.testing.assert_array_equal(single, [np.inf, np.inf, np.nan, -np.inf])


def test_edges_do_not_spoil_their_neighbours():
    """Elements outside the domain leave values and gradients of the others alone."""
    z = Z.copy()
    z[:8] = [0.0, -1.0, np.inf, np.nan] * 2
    for got, column in zip(first_derivatives(V, z), ("dv", "dz"), strict=True):
        assert worst(got[8:], REFERENCE[column][8:]) <= 1e-12


def test_broadcasting():
    v, z = np.array([[0.5], [1.5], [7.0]]), np.array([0.3, 2.0])
    want = [[float(mpmath.log(mpmath.besselk(*x))) for x in product(w, z)] for w in v]
    assert worst(log_kv(v, z), want, floor=1.0) <= 1e-14


# -- the cpu backend ---------------------------------------------------------------


def test_cpu_values():
    assert worst(log_kv(V, Z, backend="cpu"), REFERENCE["log_k"], floor=1.0) <= 1e-11


def test_cpu_is_finite_where_kve_overflows():
    from scipy.special import kve

    v, z = np.array([(1e4, 1e-300), (1e4, 50.0), (30.0, 1e-20), (6.0, 1e-100)]).T
    with np.errstate(over="ignore"):
        assert np.isinf(kve(v, z)).all()
    want = [log_k_scaled(*x) for x in zip(v, z, strict=True)]  # z is lost in rounding
    assert worst(log_kv(v, z, backend="cpu"), want - z) <= 1e-13


def test_cpu_edges():
    z = np.array([0.0, -1.0, np.inf, np.nan])
    want = [np.inf, np.nan, -np.inf, np.nan]
    np.testing.assert_array_equal(log_kv(1.5, z, backend="cpu"), want)


def test_cpu_under_transformations():
    """jit, vmap and grad, as the jax backend has them."""
    some = slice(0, None, 25)
    v, z = V[some], Z[some]
    on_cpu = partial(log_kv, backend="cpu")
    values = jax.jit(jax.vmap(on_cpu))(v, z)
    assert worst(values, REFERENCE["log_k"][some], floor=1.0) <= 1e-11
    dv, dz = jax.jit(jax.vmap(jax.grad(on_cpu, (0, 1))))(v, z)
    assert worst(dv, REFERENCE["dv"][some]) <= 1e-11
    assert worst(dz, REFERENCE["dz"][some]) <= 1e-11


@pytest.mark.parametrize("backend", ["scipy", "", "JAX", None])
def test_unknown_backend(backend):
    with pytest.raises(ValueError, match="backend") as caught:
        log_kv(1.0, 1.0, backend=backend)
    assert "jax" in str(caught.value) and "cpu" in str(caught.value)
