"""Tails and quantiles of normal mixtures against quadrature at 40 digits."""

from __future__ import annotations

import csv
from pathlib import Path

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest

from normix.special._normal import scaled_normal_sf
from normix.special.gig_tails import gig_log_tails
from normix.special.mixture_tails import (
    mixture_log_quantile,
    mixture_log_tails,
)

from .oracles import worst

EPS = np.finfo(float).eps
NAMES = ("p", "a", "b", "B", "x")


def read():
    """The columns of make_mixture_tails_reference.py, as arrays."""
    path = Path(__file__).with_name("mixture_tails_reference.csv")
    with path.open(encoding="ascii") as file:
        rows = list(csv.DictReader(file))
    return {key: np.array([float(row[key]) for row in rows]) for key in rows[0]}


REFERENCE = read()
INPUTS = P, A, B, SKEW, X = [REFERENCE[f"{name}_"] for name in NAMES]
LOG_CDF, LOG_SF = REFERENCE["log_cdf"], REFERENCE["log_sf"]
SMALLER = np.minimum(LOG_CDF, LOG_SF)
UPPER = LOG_SF < LOG_CDF
# Where the derivatives are listed: of the lower tail, unless it is more than half.
LISTED_UPPER = LOG_CDF > -np.log(2)

log_tails = jax.jit(jax.vmap(mixture_log_tails))
log_quantile = jax.jit(mixture_log_quantile)


def filled(*values):
    """Repeated to the length of the reference: one shape to compile for."""
    return tuple(np.resize(v, X.shape) for v in values)


def test_scaled_normal_sf():
    """To a few units in the last place, over all of the half line."""
    m = np.concatenate([np.linspace(0, 60, 150), 10.0 ** np.arange(-9, 10)])
    with mpmath.workdps(40):
        root = mpmath.sqrt(2)
        want = [
            mpmath.exp(mpmath.mpf(x) ** 2 / 2) * mpmath.erfc(x / root) / 2
            if x < 1e3
            # the next term is 3/m⁴
            else (1 - mpmath.mpf(x) ** -2) / (x * mpmath.sqrt(2 * mpmath.pi))
            for x in m
        ]
    some = m != 1e3  # where the asymptotic series is short of digits
    got = np.asarray(jax.jit(scaled_normal_sf)(m))
    assert worst(got[some], np.array(want, float)[some]) <= 1e-15


def test_the_reference_covers_the_domain():
    """Orders, arguments and skewness to the ends; tails to 1e-280; both boundaries."""
    z = np.sqrt(A * B)
    assert P.min() <= -50 and P.max() >= 50
    assert z[z > 0].min() <= 1.01e-12 and z.max() >= 1e4
    assert (A == 0).sum() >= 40 and (B == 0).sum() >= 40
    small = (np.abs(P) < 0.4) & (z < 1e-3)
    assert small.sum() >= 80
    assert LOG_CDF.min() < -640 and LOG_SF.min() < -640
    with np.errstate(all="ignore"):
        root = np.hypot(P, z) + np.abs(P)
        size = np.where(P >= 0, root / A, B / root)
    skewness = np.abs(SKEW) * np.sqrt(size)
    assert skewness.max() >= 999 and ((skewness > 30) & (skewness < 200)).sum() >= 30
    assert (SKEW == 0).sum() >= 40


# -- the two tails -----------------------------------------------------------------


@pytest.fixture(scope="module")
def tails():
    return [np.asarray(v) for v in log_tails(*INPUTS)]


def test_smaller_tail(tails):
    """A relative error of a probability is an absolute one of its logarithm."""
    error = np.abs(np.minimum(*tails) - SMALLER)
    allowed = 5e-13 + 2 * EPS * np.abs(SMALLER)
    worst_ = np.argmax(error / allowed)
    assert (error <= allowed).all(), ([v[worst_] for v in INPUTS], error[worst_])


def test_larger_tail(tails):
    """Its distance from 1 is the smaller tail, to as many digits."""
    some = SMALLER > -700
    larger = np.maximum(LOG_CDF, LOG_SF)[some]
    assert worst(np.maximum(*tails)[some], larger) <= 1e-12


def test_both_tails_make_one(tails):
    np.testing.assert_allclose(np.exp(tails[0]) + np.exp(tails[1]), 1, rtol=1e-14)


def test_ends_of_the_line():
    x = [-np.inf, np.inf, np.nan]
    lower, upper = (v[:3] for v in log_tails(*filled(0.5, 1.0, 1.0, 0.3, x)))
    np.testing.assert_array_equal(lower, [-np.inf, 0, np.nan])
    np.testing.assert_array_equal(upper, [0, -np.inf, np.nan])


def test_outside_the_domain():
    """No law, no probability."""
    bad = [(1.0, -1.0, 1.0), (1.0, 1.0, -1.0), (np.nan, 1.0, 1.0), (-1.0, 1.0, 0.0)]
    p, a, b = filled(*np.array(bad).T)
    for x in (0.3, np.inf):
        assert np.isnan(log_tails(*filled(p, a, b, 1.0, x)))[:, :4].all()
    assert np.isnan(log_quantile(*filled(-1.0, True, p, a, b, 1.0)))[:4].all()


def test_steepest_fronts():
    """``X`` is ``B Y`` to all digits: no normal noise is left."""
    p, a, b = (
        np.array(v) for v in zip((-0.05, 0.0, 0.1), (0.4, 2.0, 0.5), strict=True)
    )
    p, a, b = filled(p, a, b)
    y = np.resize([0.2, 0.2, 1.0, 1.0, 9.0, 9.0, 1e3, 30.0], X.shape)
    want = jax.jit(gig_log_tails)(p, a, b, y)
    for skew in (1e9, 1e60):
        lower, upper = log_tails(p, a, b, *filled(skew), skew * y)
        assert np.abs(lower - want[0]).max() <= 1e-12
        assert np.abs(upper - want[1]).max() <= 1e-12
        upper, lower = log_tails(p, a, b, *filled(-skew), -skew * y)
        assert np.abs(lower - want[0]).max() <= 1e-12


# -- quantiles ---------------------------------------------------------------------

# sqrt(ab) in the gauge E[Y] = 1, and the location, scale and skewness.
Z, MU, SIGMA, GAMMA = 0.6538512409, 0.0002489753956, 0.01180009319, -0.0002190145454


def test_known_normal_inverse_gaussian():
    law = (-0.5, Z, Z, GAMMA / SIGMA)
    at_zero = log_tails(*filled(*law, -MU / SIGMA))[0][0]
    assert round(float(np.exp(at_zero)), 12) == 0.494452599331
    x = MU + SIGMA * log_quantile(*filled(np.log([0.001, 0.05]), False, *law))
    assert round(float(x[0]), 8) == -0.05790760
    assert round(float(x[1]), 10) == -0.0185651069


def test_quantiles():
    """In units of the logarithm of the probability, as the tails above."""
    got = np.asarray(log_quantile(SMALLER, UPPER, *INPUTS[:4]))
    # At 0 with the pivot elsewhere, or a density that is infinite there, x has no
    # digits of its own.
    some = X != 0
    slope = REFERENCE["x"][some]
    error = np.abs((got[some] - X[some]) * slope)
    size = np.abs(SMALLER[some]) + np.abs(X[some] * slope)
    assert (error <= 1e-12 + 4 * EPS * size).all()


def test_quantiles_about_a_cusp():
    """Newton's method alone goes from one side of the cusp at 0 to the other."""
    law = filled(0.25354322, 1.5436e-06, 2.6249e-05, 0.00088868)
    q = np.resize([0.3291391745966308, 0.2, 0.31, 0.4, 0.45, 0.5], X.shape)
    x = log_quantile(np.log(q), filled(False)[0], *law)
    assert np.abs(log_tails(*law, x)[0] - np.log(q)).max() <= 1e-12


@pytest.mark.parametrize("upper", [False, True])
def test_round_trip(upper):
    """From 1e-300 to the larger tail, which knows little, but enough."""
    log_q = np.log([1e-300, 1e-100, 1e-10, 1e-3, 0.2, 0.45, 0.55, 0.8, 0.99])
    log_q = np.tile(log_q, 32)
    laws = ((-0.5, Z, Z, -0.02), (1.5, 2.0, 1.0, 3.0), (0.3, 1e-4, 1e-4, 0.5))
    laws += ((4.0, 50.0, 50.0, -80.0),)
    p, a, b, skew = np.repeat(np.array(laws), 72, axis=0).T
    x = np.asarray(log_quantile(log_q, np.full(X.shape, upper), p, a, b, skew))
    back = log_tails(p, a, b, skew, x)[int(upper)]
    assert worst(back, log_q) <= 1e-12


def test_no_quantile():
    """Of probabilities that are none."""
    log_q = [0.1, 0.0, -np.inf, np.nan]
    assert np.isnan(log_quantile(*filled(log_q, True, 0.5, 1.0, 2.0, 1.0))).all()


# -- derivatives -------------------------------------------------------------------


def listed(tails):
    return jnp.where(LISTED_UPPER, tails[1], tails[0])


@pytest.fixture(scope="module")
def slopes():
    """Of the logarithm of the listed tail, in all five."""

    def total(*inputs):
        return listed(mixture_log_tails(*inputs)).sum()

    return jax.jit(jax.grad(total, range(5)))(*INPUTS)


# 1/sqrt(Y) has no mean in these Gamma limits, and neither has the density a bound.
BOUNDED = ~((B == 0) & (P <= 0.5) & (np.abs(X) < 1e-9))


def test_slope_in_x(slopes):
    assert np.isfinite(slopes[4]).all()
    assert worst(slopes[4][BOUNDED], REFERENCE["x"][BOUNDED]) <= 1e-10


def test_slope_in_the_skewness(slopes):
    # A slope of sqrt(Y), which some inverse Gamma laws have no mean of.
    some = ~((A == 0) & (P >= -0.5))
    assert worst(slopes[3][some], REFERENCE["B"][some]) <= 1e-10


@pytest.mark.parametrize("k", range(3), ids=NAMES[:3])
def test_slope_in_the_parameters(slopes, k):
    """Or relative to the parts that cancel, near the middle of a symmetric law."""
    want = REFERENCE[NAMES[k]]
    some = np.isfinite(want)
    part = 1 / INPUTS[k][some] if k else 1.0
    error = np.abs(slopes[k][some] - want[some])
    assert (error <= 1e-9 * np.abs(want[some]) + 1e-12 * part).all()


@pytest.mark.slow
def test_slopes_of_quantiles():
    """Implicitly: minus those of the tail over the density."""
    some = (UPPER == LISTED_UPPER) & (X != 0) & BOUNDED
    assert some.sum() >= 200

    def total(log_q, *law):
        return mixture_log_quantile(log_q, UPPER, *law).sum()

    got = jax.jit(jax.grad(total, range(5)))(SMALLER, *INPUTS[:4])
    wanted = (-np.ones_like(X), *(REFERENCE[k] for k in NAMES[:4]))
    for k, (value, slope) in enumerate(zip(got, wanted, strict=True)):
        inner = some & np.isfinite(slope)
        if k == 4:
            inner &= ~((A == 0) & (P >= -0.5))
        density = REFERENCE["x"][inner]
        error = np.abs(value[inner] * density + slope[inner])
        part = 1 / INPUTS[k - 1][inner] if k in (2, 3) else 1.0
        part = part + np.abs(density * X[inner])
        assert (error <= 1e-9 * np.abs(slope[inner]) + 1e-11 * part).all(), k


@pytest.mark.slow
def test_second_derivatives():
    """Against differences of the first, at one law."""
    law = np.array([0.7, 1.3, 0.6, -0.8, -3.0])

    @jax.jit
    def gradient(v):
        return jax.grad(lambda v: mixture_log_tails(*v)[0])(v)

    hessian = jax.jit(jax.jacfwd(gradient))(law)
    np.testing.assert_allclose(hessian, hessian.T, rtol=1e-9, atol=1e-12)
    h = 1e-5
    steps = h * np.eye(5)
    rows = [(gradient(law + s) - gradient(law - s)) / (2 * h) for s in steps]
    np.testing.assert_allclose(hessian, np.stack(rows), rtol=1e-6, atol=1e-8)


# -- single precision --------------------------------------------------------------


@pytest.mark.slow
def test_single_precision():
    """Against double precision at the same, rounded inputs."""
    moderate = (np.abs(X) < 1e15) & (np.abs(P) <= 10) & (A * B < 1e3) & (SMALLER > -200)
    assert moderate.sum() >= 100
    inputs = filled(*(v[moderate] for v in INPUTS))
    single = [v.astype(np.float32) for v in inputs]
    double = [v.astype(float) for v in single]
    got, want = log_tails(*single), log_tails(*double)
    assert got[0].dtype == got[1].dtype == jnp.float32
    assert worst(np.minimum(*got), np.minimum(*want), floor=1.0) <= 1e-4
    log_q = np.resize([-0.7, -3.0, -20.0], X.shape).astype(np.float32)
    x = log_quantile(log_q, True, *single[:4])
    assert x.dtype == jnp.float32
