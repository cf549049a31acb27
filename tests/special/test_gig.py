"""Cumulants of GIG laws against 40-digit quadrature and closed forms."""

from __future__ import annotations

import csv
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import digamma, gammaln, polygamma

from normix.special.gig import (
    gig_cumulants,
    gig_log_partition,
    gig_log_partition_scaled,
    gig_means,
    gig_means_cpu,
)
from normix.special.gig_shared import gig_means_shared

from . import oracles
from .oracles import worst

# p, a, b
POINTS = [
    (1.0, 1.0, 1.0),
    (0.3, 2.0, 0.5),
    (-0.5, 1.0, 4.0),
    (-2.0, 3.0, 1.0),
    (0.0, 1.0, 1.0),
    (0.0, 1e-3, 1e-3),
    (0.5, 1e-6, 1e-6),
    (1e-3, 1e-5, 1e-5),
    (-1.0, 1e-6, 1e-6),
    (-3.0, 1e-12, 1e-12),
    (3.5, 1e-8, 1e-14),
    # far from a = b, and far from scale 1
    (1.0, 1e8, 1e-8),
    (1.0, 1e-8, 1e8),
    (-3.2, 1e8, 1e-10),
    (2.5, 1e-8, 1e3),
    (-2.5, 1e8, 1e8),
    (4.0, 1e-8, 1e-8),
    (-30.0, 1e8, 1e-6),
    (12.0, 1e-5, 1e7),
    # large orders and arguments
    (50.0, 1e-3, 1e-3),
    (-50.0, 1e4, 1e4),
    (100.0, 1e3, 1e-8),
    (-0.5, 100.0, 100.0),
    # seams of the two regimes
    (6.4, 0.3, 0.3),
    (6.6, 0.3, 0.3),
    (-6.5, 0.9, 0.9),
    (0.2, 1.1, 1.1),
    (0.2, 0.99, 0.99),
]
P, A, B = np.array(POINTS).T
TOLERANCES = (1e-13, 1e-13, 1e-10, 1e-8)  # by degree
AXES = ((1, 0, 0), (0, 0, 1), (0, 1, 0))  # of p, a and b
FACTORS = np.array([1.0, -0.5, -0.5])  # psi's derivatives in them, per statistic

cumulants = jax.jit(gig_cumulants, static_argnums=(0, 1))


@pytest.fixture(scope="module")
def exact():
    """Every cumulant to the third order, one array a key."""
    laws = [oracles.gig_cumulants(*point, order=3) for point in POINTS]
    return {key: np.array([float(law[key]) for law in laws]) for key in laws[0]}


def spread(exact, key):
    """The product of standard deviations that a cumulant is compared with."""
    squares = [(2, 0, 0), (0, 2, 0), (0, 0, 2)]
    return np.prod(
        [exact[s] ** (d / 2) for s, d in zip(squares, key, strict=True)], axis=0
    )


# -- the cumulants -----------------------------------------------------------------


def test_cumulants(exact):
    for key, got in cumulants(3, False, P, A, B).items():
        if sum(key) > 1:
            scale = np.maximum(np.abs(exact[key]), spread(exact, key))
        else:
            floor = float(sum(key) == 0 or key[0])  # of logarithms
            scale = np.maximum(np.abs(exact[key]), floor)
        error = worst(got / scale, exact[key] / scale, floor=1.0)
        assert error <= TOLERANCES[sum(key)], key


def test_means_at_the_reference_points():
    """With a = b = z they are ratios of Bessel functions and d log K / dv."""
    path = Path(__file__).with_name("bessel_reference.csv")
    with path.open(encoding="ascii") as file:
        rows = list(csv.DictReader(file))
    v, z, dv, up, down = (
        np.array([float(row[c]) for row in rows])
        for c in ("v", "z", "dv", "log_ratio_up", "log_ratio_down")
    )
    log_y, inv_y, y = jax.jit(gig_means)(v, z, z)
    size = np.maximum(1.0, np.abs(np.log(z)))  # of log Y, which scale shifts
    for got, want in ((log_y, dv), (np.log(inv_y), down), (np.log(y), up)):
        assert worst(got / size, want / size, floor=1.0) <= 1e-13


def scaled_log_partition(p, a, b):
    scale, z = np.sqrt(b / a), np.sqrt(a) * np.sqrt(b)
    return np.log(2) + p * np.log(scale) + oracles.log_k_scaled(p, z)


def test_scaled_log_partition():
    """The log-partition proper is -z at large z: all digits of interest are lost."""
    large = [(0.5, 1e12, 1e12), (-3.0, 1e3, 1e21), (1e3, 1e6, 1e12), (1.0, 1e8, 1e8)]
    points = POINTS[: -len(large)] + large
    want = [scaled_log_partition(*point) for point in points]
    assert abs(want[-1]) < 20  # moderate, as the function promises
    got = gig_log_partition_scaled(*np.array(points).T)
    assert worst(got, want, floor=1.0) <= 1e-13


# -- derivatives -------------------------------------------------------------------


gradients = jax.jit(jax.vmap(jax.grad(gig_log_partition, (0, 1, 2))))


def psi(x):
    return gig_log_partition(x[0], x[1], x[2])


def test_gradient(exact):
    got = gradients(P, A, B)
    for value, key, factor in zip(got, AXES, FACTORS, strict=True):
        assert worst(value, factor * exact[key], floor=key[0]) <= 1e-12


@pytest.mark.parametrize("inner", [jax.jacfwd, jax.jacrev])
@pytest.mark.parametrize("outer", [jax.jacfwd, jax.jacrev])
def test_hessian(exact, outer, inner):
    got = jax.jit(jax.vmap(outer(inner(psi))))(jnp.stack([P, A, B], axis=1))
    for i, j in np.ndindex(3, 3):
        key = tuple(int(k) for k in np.add(AXES[i], AXES[j]))
        factor = FACTORS[i] * FACTORS[j] * spread(exact, key)
        want = exact[key] / spread(exact, key)
        assert worst(got[:, i, j] / factor, want, floor=1.0) <= 1e-10, key


# -- the Gamma and inverse Gamma limits ---------------------------------------------

SHAPES = np.concatenate(
    [
        [1e-3, 0.03, 0.3, 0.5, 0.9, 1.0, 1.1, 1.5, 2.0, 2.2, 2.5, 3.0, 3.7, 4.0],
        [4.5, 5.0, 5.7, 6.0, 6.4, 6.49, 6.5, 6.6, 7.0, 12.0, 40.0, 100.0, 500.0, 1e3],
    ]
)
RATES = np.resize([1.0, 1e-8, 3.0, 1e8, 0.5, 2.0, 1e4, 0.1, 7.0, 1e-3, 30.0], 28)


def gamma_cumulants(alpha, beta):
    """Of ``(log Y, 1/Y, Y)`` for ``Y ~ Gamma(alpha, beta)``, to the second order."""
    with np.errstate(all="ignore"):
        below, below2 = alpha - 1, (alpha - 1) ** 2 * (alpha - 2)
        return {
            (0, 0, 0): gammaln(alpha) - alpha * np.log(beta),
            (1, 0, 0): digamma(alpha) - np.log(beta),
            (0, 1, 0): np.where(alpha > 1, beta / below, np.inf),
            (0, 0, 1): alpha / beta,
            (2, 0, 0): polygamma(1, alpha),
            (0, 2, 0): np.where(alpha > 2, beta**2 / below2, np.inf),
            (0, 0, 2): alpha / beta**2,
            (1, 1, 0): np.where(alpha > 1, -beta / below**2, -np.inf),
            (1, 0, 1): 1 / beta,
            (0, 1, 1): np.where(alpha > 1, -1 / below, -np.inf),
            (3, 0, 0): polygamma(2, alpha),
            (2, 0, 1): np.zeros_like(alpha),
            (1, 0, 2): 1 / beta**2,
            (0, 0, 3): 2 * alpha / beta**3,
        }


@pytest.fixture(scope="module")
def gamma():
    """The closed forms, and the same from the kernel at b = 0."""
    return gamma_cumulants(SHAPES, RATES), cumulants(3, False, *gamma_side())


def gamma_side():
    return SHAPES, 2 * RATES, np.zeros_like(RATES)


def test_gamma_limit(gamma):
    want, got = gamma
    for key in want:
        scale = spread(want, key) if sum(key) > 1 and key[1] == 0 else 1.0
        # Moments that do not exist are infinite. No limit b -> 0 gives the sign of
        # the covariance of Y and 1/Y where it does not.
        exists = (SHAPES > 1) | (key != (0, 1, 1))
        error = worst(
            (got[key] / scale)[exists], (want[key] / scale)[exists], floor=1.0
        )
        assert error <= TOLERANCES[sum(key)], key
        assert not np.isfinite(got[key][~exists]).any()


def test_inverse_gamma_limit(gamma):
    """Y and 1/Y change places, and the sign of log Y."""
    _, reflected = gamma
    got = cumulants(3, False, -SHAPES, np.zeros_like(RATES), 2 * RATES)
    for (i, j, k), value in reflected.items():
        np.testing.assert_array_equal(got[i, k, j], (-1.0) ** i * value)


def test_limit_is_approached(gamma):
    """At tiny b the law is the Gamma law to all digits."""
    some = SHAPES >= 3.5  # the others differ by powers of b below one
    want = {key: value[some] for key, value in gamma[0].items()}
    got = cumulants(3, False, SHAPES, 2 * RATES, np.full_like(RATES, 1e-60))
    for key in want:
        scale = spread(want, key) if sum(key) > 1 else np.maximum(1, np.abs(want[key]))
        error = worst(got[key][some] / scale, want[key] / scale, floor=1.0)
        assert error <= TOLERANCES[sum(key)], key


@pytest.mark.parametrize("side", [1, -1])
def test_gradient_at_the_limit(gamma, side):
    """Also, one-sided, in the parameter that is zero."""
    p, rate, zero = gamma_side()
    d_p, *others = gradients(*((p, rate, zero) if side > 0 else (-p, zero, rate)))
    d_rate, d_zero = others[::side]
    want, _ = gamma
    assert worst(d_p, side * want[1, 0, 0], floor=1.0) <= 1e-12
    assert worst(d_rate, -0.5 * want[0, 0, 1]) <= 1e-12
    assert worst(d_zero, -0.5 * want[0, 1, 0]) <= 1e-12


def test_hessian_at_the_limit(gamma):
    hessian = jax.jit(jax.vmap(jax.hessian(gig_log_partition, (0, 1))))
    (pp, pr), (_, rr) = hessian(*gamma_side())
    want, _ = gamma
    assert worst(pp, want[2, 0, 0]) <= 1e-10
    assert worst(pr, -0.5 * want[1, 0, 1]) <= 1e-10
    assert worst(rr, 0.25 * want[0, 0, 2]) <= 1e-10


# -- the edges of the domain ---------------------------------------------------------


@pytest.mark.parametrize(
    ("p", "a", "b", "want"),
    [
        (1.0, -1.0, 1.0, np.nan),
        (1.0, 1.0, -1e-300, np.nan),
        (-1.0, -1.0, -1.0, np.nan),
        (np.nan, 1.0, 1.0, np.nan),
        (1.0, np.nan, 1.0, np.nan),
        (-1.0, 1.0, np.nan, np.nan),
        (0.0, 1.0, 0.0, np.inf),
        (0.0, 0.0, 1.0, np.inf),
        (-1.0, 1.0, 0.0, np.inf),
        (1.0, 0.0, 1.0, np.inf),
        (1.0, 0.0, 0.0, np.inf),
        (-1.0, 0.0, 0.0, np.inf),
        (0.0, 0.0, 0.0, np.inf),
    ],
)
def test_outside_the_domain(p, a, b, want):
    """The integral diverges: psi is infinite. No such integral: NaN."""
    np.testing.assert_array_equal(gig_log_partition(p, a, b), want)
    np.testing.assert_array_equal(gig_log_partition_scaled(p, a, b), want)


# -- single precision ----------------------------------------------------------------


def test_single_precision():
    single = [x.astype(np.float32) for x in (P, A, B)]
    want = cumulants(1, False, *(x.astype(np.float64) for x in single))
    for key, got in cumulants(1, False, *single).items():
        assert got.dtype == jnp.float32
        floor = float(sum(key) == 0 or key[0])  # of logarithms
        assert worst(got, want[key], floor=floor) <= 1e-5, key


# -- the cpu backend -----------------------------------------------------------------


def test_cpu_means(exact):
    """By SciPy's kve; E[log Y] is a fourth-order difference."""
    log_y, inv_y, y = gig_means(P, A, B, backend="cpu")
    assert worst(log_y, exact[1, 0, 0], floor=1.0) <= 1e-9
    assert worst(inv_y, exact[0, 1, 0]) <= 1e-11
    assert worst(y, exact[0, 0, 1]) <= 1e-11
    log_partition = gig_log_partition(P, A, B, backend="cpu")
    assert worst(log_partition, exact[0, 0, 0], floor=1.0) <= 1e-11


def test_cpu_under_transformations(exact):
    on_cpu = partial(gig_log_partition, backend="cpu")
    values = jax.jit(jax.vmap(on_cpu))(P, A, B)
    assert worst(values, exact[0, 0, 0], floor=1.0) <= 1e-11
    slopes = jax.jit(jax.vmap(jax.grad(on_cpu, (0, 1, 2))))(P, A, B)
    for got, key, factor in zip(slopes, AXES, FACTORS, strict=True):
        # The gradient is the host's own means: see above for their accuracy.
        tolerance = 1e-9 if key[0] else 1e-11
        assert worst(got, factor * exact[key], floor=key[0]) <= tolerance


def test_cpu_at_the_limits(gamma):
    """By SciPy's gammaln and digamma, without a warning."""
    want, _ = gamma
    p, rate, zero = gamma_side()
    log_y, inv_y, y = gig_means(p, rate, zero, backend="cpu")
    assert (
        worst(gig_log_partition(p, rate, zero, backend="cpu"), want[0, 0, 0]) <= 1e-13
    )
    assert worst(log_y, want[1, 0, 0], floor=1.0) <= 1e-13
    assert worst(inv_y, np.where(p > 1, want[0, 1, 0], np.inf)) <= 1e-13
    assert worst(y, want[0, 0, 1]) <= 1e-13
    mirrored = gig_means(-p, zero, rate, backend="cpu")
    for got, same in zip(mirrored, (-log_y, y, inv_y), strict=True):
        np.testing.assert_array_equal(got, same)


def test_cpu_at_small_arguments():
    """Down to 1e-300, where ``kve`` overflows: against the kernel."""
    rng = np.random.default_rng(8)
    p = np.append(rng.uniform(-50, 50, 300), rng.uniform(-2, 2, 300))
    p[-8:] = [0.0, 1e-5, -1e-4, 0.5, -0.5, 0.5 + 1e-9, 1.0, -1.0]
    z = 10.0 ** rng.uniform(-300, 0, p.size)
    scale = 10.0 ** rng.uniform(-3, 3, p.size)
    a, b = z / scale, z * scale
    k = cumulants(1, False, p, a, b)
    log_y, inv_y, y = gig_means(p, a, b, backend="cpu")
    log_partition = gig_log_partition(p, a, b, backend="cpu")
    assert worst(log_partition, k[0, 0, 0], floor=1.0) <= 1e-12
    assert worst(log_y, k[1, 0, 0], floor=1.0) <= 1e-9
    assert worst(inv_y, k[0, 1, 0]) <= 1e-10
    assert worst(y, k[0, 0, 1]) <= 1e-10


# -- many laws that share their order and rate ----------------------------------------

# p, a and the decades of z; some ranges need several tables.
SHARED = [
    (0.7, 1.3, 0.0, 1.0),
    (-2.0, 0.8, -1.0, 2.0),
    (-7.0, 1e-6, -3.0, 3.0),
    (0.5, 1.0, -8.0, 4.0),
    (-1.5, 1e4, 2.0, 4.0),
    (0.0, 1.0, -1.0, 1.0),
    (-50.0, 3.0, -1.0, 1.5),
    (-3.0, 1e-8, -8.0, -6.0),
    (2.0, 5.0, 0.5, 0.5),  # a single z
    (-1.0, 1.0, -8.0, 4.0),
    (3.3, 2.0, -8.0, 4.0),
]
WIDE = [(-2.5, 1.0, -30.0, 4.0), (0.05, 1.0, -30.0, 4.0)]  # in double precision only


ROWS = 97  # the fewest that need a table


def shared_inputs(case, n=ROWS, dtype: Any = np.float64):
    p, a, low, high = case
    rng = np.random.default_rng(5)
    z = 10.0 ** np.append([low, high], rng.uniform(low, high, n - 2))
    posterior = p, a, z * z / a
    prior = p + 0.6, 0.7 * a, 1.3
    return [tuple(np.asarray(x, dtype) for x in group) for group in (posterior, prior)]


def check_shared(got, inputs, tolerance):
    """Against the direct kernel, which the tests above compare with quadrature."""
    (p, a, b), prior = ([np.asarray(x, np.float64) for x in g] for g in inputs)
    k = cumulants(1, True, np.full_like(b, p), np.full_like(b, a), b)
    psi_prior = gig_log_partition_scaled(*prior)
    (psi, log_y, inv_y, y), own = got
    want = k[0, 0, 0] - psi_prior
    # A difference of terms of the size of p log z
    size = max(1.0, float(np.abs(want).max()))
    assert worst(psi, want, floor=size) <= tolerance
    assert worst(log_y, k[1, 0, 0], floor=1.0) <= tolerance
    assert worst(inv_y, k[0, 1, 0]) <= tolerance
    assert worst(y, k[0, 0, 1]) <= tolerance
    # The law beside, of which a moment may be infinite where it counts as a limit.
    k = cumulants(1, True, *(x[None] for x in prior))
    assert worst(own[:1], k[1, 0, 0], floor=1.0) <= tolerance
    rate, other = prior[1], prior[2]
    if rate * other == 0 or rate * other > 1e-200:
        assert worst(own[1:2], k[0, 1, 0]) <= tolerance
        assert worst(own[2:], k[0, 0, 1]) <= tolerance


shared = jax.jit(gig_means_shared)


@pytest.mark.parametrize("case", SHARED + WIDE, ids=str)
def test_shared(case):
    inputs = shared_inputs(case)
    check_shared(shared(*inputs), inputs, 1e-12)


def test_shared_few_rows():
    """They take the direct kernel."""
    inputs = shared_inputs((-2.5, 0.8, -1.0, 2.0), 28)
    check_shared(shared(*inputs), inputs, 1e-12)


LIMITS = [
    (-2.5, 0.0, (-1.0, 0.0, 0.9)),  # symmetric skew-t: inverse Gamma throughout
    (-0.7, 0.0, (-0.2, 0.0, 0.9)),  # without E[Y]
    (-2.5, 1e-300, (-1.0, 1e-300, 0.9)),
    (-2.5, 0.8, (-1.0, 0.0, 0.9)),
    (0.5, 0.8, (2.0, 0.8, 0.0)),  # variance gamma, some rows on its location
    (1.5, 0.8, (3.0, 0.8, 0.0)),
]


def limit_inputs(case, n=ROWS):
    p, a, prior = case
    b = np.random.default_rng(6).uniform(0.1, 9.0, n)
    if p > 0:
        b[[3, 50]] = 0.0
    posterior = np.float64(p), np.float64(a), b
    return posterior, tuple(np.float64(x) for x in prior)


@pytest.mark.parametrize("case", LIMITS, ids=str)
def test_shared_at_the_limits(case):
    inputs = limit_inputs(case)
    check_shared(shared(*inputs), inputs, 1e-12)


@pytest.mark.parametrize("order", [1e-12, 1e-6, 0.01])
def test_shared_at_limits_of_small_order(order):
    """Tails as slow as these must not take a node for every unit of them."""
    b, rate = np.zeros(3), np.float64(1.7)
    (psi, log_y, _, y), own = shared((np.float64(order), rate, b), (order, rate, 0.0))
    np.testing.assert_allclose(psi, 0, atol=1e-12)
    want = digamma(order) - np.log(rate / 2)
    np.testing.assert_allclose(log_y, want, rtol=1e-13)
    np.testing.assert_allclose(y, 2 * order / rate, rtol=1e-13)
    np.testing.assert_allclose(own[0], want, rtol=1e-13)


def test_shared_under_vmap():
    """Laws of any kind, side by side in one loop."""
    every = [tuple(shared_inputs(case)) for case in SHARED + WIDE]
    every += [limit_inputs(case) for case in LIMITS]
    stacked = jax.tree.map(lambda *x: np.stack(x), *every)
    got = jax.jit(jax.vmap(gig_means_shared))(*stacked)
    for lane, inputs in enumerate(every):
        one = jax.tree.map(lambda x, lane=lane: x[lane], got)
        check_shared(one, inputs, 1e-12)


def test_shared_over_ranges_of_any_width():
    """However they divide, no last table is so narrow that it is all rounding."""
    rng = np.random.default_rng(9)
    low = rng.uniform(-9, 2, 400)
    high = low + rng.uniform(0, 9, 400)
    p, a = rng.uniform(-4, 4, 400), 10.0 ** rng.uniform(-3, 3, 400)
    every = [tuple(shared_inputs(case)) for case in zip(p, a, low, high, strict=True)]
    (p, a, b), prior = jax.tree.map(lambda *x: np.stack(x), *every)
    got, _ = jax.jit(jax.vmap(gig_means_shared))((p, a, b), prior)
    p, a = (np.broadcast_to(x[:, None], b.shape) for x in (p, a))
    k = cumulants(1, True, p, a, b)
    assert worst(got[1], k[1, 0, 0], floor=1.0) <= 1e-12
    assert worst(got[2], k[0, 1, 0]) <= 1e-12
    assert worst(got[3], k[0, 0, 1]) <= 1e-12


def test_shared_keeps_what_is_not_a_number():
    (p, a, b), prior = shared_inputs(SHARED[1])
    b[[5, 9]] = np.nan, -1.0
    got, _ = shared((p, a, b), prior)
    bad = np.isnan(b) | (b < 0)
    for x in got:
        np.testing.assert_array_equal(np.isnan(x), bad)
    got, _ = shared((np.full_like(p, np.nan), a, b), prior)
    assert all(np.isnan(x).all() for x in got)


@jax.jit
@jax.vmap
def alone(p, a, b):
    """The E-step's kernel at single rows, beside the prior GIG(1, 1, 1)."""
    one = jnp.ones_like(p)
    (psi, *means), _ = gig_means_shared((p, a, b[None]), (one, one, one))
    return psi[0], *(mean[0] for mean in means)


def test_kernel_of_the_table(exact):
    """Against the 40-digit laws; every order and argument by one plain sum."""
    psi, log_y, inv_y, y = alone(P, A, B)
    prior = float(gig_log_partition_scaled(1.0, 1.0, 1.0))
    want = np.array([scaled_log_partition(*point) for point in POINTS], float) - prior
    assert worst(psi, want, floor=1.0) <= 1e-13
    assert worst(log_y, exact[1, 0, 0], floor=1.0) <= 1e-13
    assert worst(inv_y, exact[0, 1, 0]) <= 1e-13
    assert worst(y, exact[0, 0, 1]) <= 1e-13


def test_kernel_of_the_table_at_the_limits(gamma):
    """b = 0 is the Gamma law, a = 0 the inverse Gamma law."""
    want, _ = gamma
    p, rate, zero = gamma_side()
    prior = float(gig_log_partition_scaled(1.0, 1.0, 1.0))
    psi, log_y, inv_y, y = alone(p, rate, zero)
    assert worst(psi, want[0, 0, 0] - prior, floor=1.0) <= 1e-13
    assert worst(log_y, want[1, 0, 0], floor=1.0) <= 1e-13
    assert worst(inv_y, np.where(p > 1, want[0, 1, 0], np.inf)) <= 1e-13
    assert worst(y, want[0, 0, 1]) <= 1e-13
    mirrored = alone(-p, zero, rate)
    for got, same in zip(mirrored, (psi, -log_y, y, inv_y), strict=True):
        np.testing.assert_array_equal(got, same)


@pytest.fixture(scope="module")
def single_lanes():
    """All cases at once, in single precision."""
    lanes = [shared_inputs(case, dtype=np.float32) for case in SHARED]
    stacked = jax.tree.map(lambda *x: np.stack(x), *map(tuple, lanes))
    return lanes, jax.jit(jax.vmap(gig_means_shared))(*stacked)


@pytest.mark.parametrize("lane", range(len(SHARED)), ids=[str(c) for c in SHARED])
def test_shared_single_precision_under_vmap(single_lanes, lane):
    """One lane that needs many tables changes no other."""
    lanes, got = single_lanes
    assert all(x.dtype == jnp.float32 for x in jax.tree.leaves(got))
    check_shared(jax.tree.map(lambda x: x[lane], got), lanes[lane], 1e-5)


def test_shared_on_the_host():
    on_host = jax.jit(gig_means_cpu)
    for case in SHARED[:3]:
        inputs = shared_inputs(case, 28)
        check_shared(on_host(*inputs), inputs, 1e-9)


@pytest.mark.parametrize(
    ("p", "a", "prior"),
    [
        (-2.5, 0.0, (-1.0, 0.0, 0.9)),  # symmetric skew-t
        (-2.5, 0.8, (-1.0, 0.0, 0.9)),
        (1.5, 0.8, (3.0, 0.8, 0.0)),  # variance gamma, a row on its location
        (0.5, 0.8, (2.0, 0.8, 0.0)),
    ],
)
def test_shared_on_the_host_at_the_limits(p, a, prior):
    b = np.linspace(0.0 if p > 0 else 0.1, 5.0, 28)
    prior = tuple(map(np.float64, prior))
    inputs = (np.float64(p), np.float64(a), b), prior
    check_shared(jax.jit(gig_means_cpu)(*inputs), inputs, 1e-9)
