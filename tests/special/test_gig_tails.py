"""Tails and quantiles of GIG laws against quadrature at 50 digits."""

from __future__ import annotations

import csv
import itertools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from normix.special.gig_tails import gig_log_density, gig_log_quantile, gig_log_tails

from .oracles import worst

EPS = np.finfo(float).eps
BY_PARAMETER = ("p", "a", "b")


def read():
    """The columns of make_gig_tails_reference.py, as arrays."""
    path = Path(__file__).with_name("gig_tails_reference.csv")
    with path.open(encoding="ascii") as file:
        rows = list(csv.DictReader(file))
    return {key: np.array([float(row[key]) for row in rows]) for key in rows[0]}


REFERENCE = read()
P, A, B = (REFERENCE[key] for key in ("p_", "a_", "b_"))
X = REFERENCE["x"]
LOG_CDF, LOG_SF = REFERENCE["log_cdf"], REFERENCE["log_sf"]
SMALLER = np.minimum(LOG_CDF, LOG_SF)
HAZARD = REFERENCE["hazard"]
# Whether the tail whose derivatives are listed is the upper one: the modes tell.
ROOT = np.sqrt(P * P + A * B)
with np.errstate(all="ignore"):
    MODE = np.where(P >= 0, (P + ROOT) / A, B / (ROOT - P))
UPPER = X > MODE

log_tails = jax.jit(gig_log_tails)
log_quantile = jax.jit(gig_log_quantile)


def filled(*values):
    """Repeated to the length of the reference: one shape to compile for."""
    return tuple(np.resize(v, X.shape) for v in values)


def listed(tails):
    """Of both tails, that without the mode."""
    return jnp.where(UPPER, tails[1], tails[0])


def test_the_reference_covers_the_domain():
    """Orders and arguments to the ends, tails to 1e-280, and both boundaries."""
    z = np.sqrt(A * B)
    assert P.min() < -300 and P.max() > 300
    assert z[z > 0].min() < 2e-6 and z.max() > 9e3
    assert LOG_CDF.min() < -640 and LOG_SF.min() < -640
    assert (A == 0).sum() >= 15 and (B == 0).sum() >= 15
    scale = np.log10(B[z > 0] / A[z > 0]) / 2
    assert scale.min() < -7 and scale.max() > 7


# -- the two tails -----------------------------------------------------------------


@pytest.fixture(scope="module")
def tails():
    return [np.asarray(v) for v in log_tails(P, A, B, X)]


def test_smaller_tail(tails):
    """A relative error of a probability is an absolute one of its logarithm."""
    error = np.abs(np.minimum(*tails) - SMALLER)
    assert error.max() <= 1e-10, (P, A, B, X)[error.argmax()]


def test_larger_tail(tails):
    """Its distance from 1 is the smaller tail, to as many digits."""
    assert worst(np.maximum(*tails), np.maximum(LOG_CDF, LOG_SF)) <= 1e-10


def test_both_tails_make_one(tails):
    np.testing.assert_allclose(np.exp(tails[0]) + np.exp(tails[1]), 1, rtol=1e-14)


def test_log_density():
    """The hazard is the density of log Y over the tail."""
    one = np.where(UPPER, LOG_SF, LOG_CDF)
    got = jax.jit(gig_log_density)(P, A, B, np.log(X))
    # log X is rounded, and the density falls steeply.
    t = np.log(X)
    size = 1 + np.abs(P * t) + 0.5 * (A * X + B / X) * (1 + np.abs(t))
    assert (np.abs(got - (np.log(HAZARD) + one)) / size).max() <= 1e-14


def test_gamma_laws():
    """At b = 0 SciPy's incomplete gamma function, in both tails; a = 0 its mirror."""
    shapes, rates = [0.05, 0.9, 4.0, 30.0], [1e-8, 1.0, 1e8]
    shares = [1e-3, 0.2, 0.8, 1.0, 1.5, 4.0]
    rows = np.array(list(itertools.product(shapes, rates, shares)))
    shape, rate, share, zero = filled(*rows.T, 0.0)
    x = share * (shape + 1) / rate
    lower, upper = log_tails(shape, 2 * rate, zero, x)
    assert worst(np.exp(lower), special.gammainc(shape, rate * x)) <= 1e-11
    assert worst(np.exp(upper), special.gammaincc(shape, rate * x)) <= 1e-11
    mirrored = log_tails(-shape, zero, 2 * rate, 1 / x)
    assert worst(mirrored[1], lower) <= 1e-11
    assert worst(mirrored[0], upper) <= 1e-11


def test_edges_of_the_support():
    x = [-np.inf, -1.0, 0.0, np.inf, np.nan]
    lower, upper = (v[:5] for v in log_tails(*filled(0.5, 1.0, 1.0, x)))
    np.testing.assert_array_equal(lower, [-np.inf, -np.inf, -np.inf, 0, np.nan])
    np.testing.assert_array_equal(upper, [0, 0, 0, -np.inf, np.nan])


def test_outside_the_domain():
    """No law, no probability."""
    bad = [(1.0, -1.0, 1.0), (1.0, 1.0, -1.0), (np.nan, 1.0, 1.0), (-1.0, 1.0, 0.0)]
    p, a, b = filled(*np.array(bad).T)
    assert np.isnan(log_tails(*filled(p, a, b, 1.0)))[:, :4].all()
    for upper in (True, False):
        assert np.isnan(log_quantile(*filled(-1.0, upper, p, a, b)))[:4].all()


# -- quantiles ---------------------------------------------------------------------


def at_smaller(f):
    """The quantile of every listed smaller tail, as a function of its logarithm."""

    def call(log_q, p, a, b):
        return f(log_q, LOG_SF < LOG_CDF, p, a, b)

    return call


def test_quantiles():
    """In units of the logarithm of the probability, as the tails above."""
    got = at_smaller(log_quantile)(SMALLER, P, A, B)
    density = np.exp(np.log(HAZARD) + np.where(UPPER, LOG_SF, LOG_CDF) - SMALLER)
    error = np.abs(got - np.log(X)) * density
    assert error.max() <= 1e-10 + 4 * EPS * np.abs(SMALLER).max()


def test_no_quantile():
    """Of probabilities that are none."""
    for upper in (True, False):
        log_q = [0.1, 0.0, -np.inf, np.nan]
        assert np.isnan(log_quantile(*filled(log_q, upper, 0.5, 1.0, 2.0))).all()


# -- derivatives -------------------------------------------------------------------


@pytest.fixture(scope="module")
def slopes():
    """Of the logarithm of the listed tail, in p, a, b and x."""

    def total(*inputs):
        return listed(gig_log_tails(*inputs)).sum()

    return jax.jit(jax.grad(total, (0, 1, 2, 3)))(P, A, B, X)


def test_slope_in_x(slopes):
    want = np.where(UPPER, -1, 1) * HAZARD / X
    assert worst(slopes[3], want) <= 1e-10


@pytest.mark.parametrize("k", range(3), ids=BY_PARAMETER)
def test_slope_in_the_parameters(slopes, k):
    want = REFERENCE[BY_PARAMETER[k]]
    some = (P, A, B)[k] != 0
    assert worst(slopes[k][some], want[some]) <= 1e-7


@pytest.mark.parametrize("k", [1, 2], ids=BY_PARAMETER[1:])
def test_slope_in_the_parameter_that_is_zero(slopes, k):
    """From the one side that there is; where the moment exists."""
    want = REFERENCE[BY_PARAMETER[k]]
    some = ((P, A, B)[k] == 0) & np.isfinite(want)
    assert some.sum() >= 15
    assert worst(slopes[k][some], want[some]) <= 1e-7


@pytest.fixture(scope="module")
def slopes_of_quantiles():
    """In the logarithm of the smaller tail, p, a and b; what they should be; where."""
    f = at_smaller(gig_log_quantile)
    gradient = jax.jit(jax.grad(lambda *x: f(*x).sum(), (0, 1, 2, 3)))
    some = (LOG_SF < LOG_CDF) == UPPER  # where the smaller tail is the listed one
    assert some.sum() >= 200
    sign = np.where(UPPER, 1, -1)
    want = [-sign / HAZARD, *(sign * REFERENCE[k] / HAZARD for k in BY_PARAMETER)]
    return gradient(SMALLER, P, A, B), want, some


def test_slopes_of_quantiles(slopes_of_quantiles):
    """Implicitly: minus those of the tail over the density."""
    got, want, some = slopes_of_quantiles
    for k, at in enumerate((np.ones_like(P), np.ones_like(P), A, B)):
        inner = some & (at != 0)
        assert worst(got[k][inner], want[k][inner]) <= 1e-7, k


def test_slopes_of_quantiles_in_the_parameter_that_is_zero(slopes_of_quantiles):
    got, want, some = slopes_of_quantiles
    for k, at in ((2, A), (3, B)):
        edge = some & (at == 0) & np.isfinite(want[k])
        assert edge.sum() >= 10
        assert worst(got[k][edge], want[k][edge]) <= 1e-7, k


def test_second_derivatives():
    """Conditional less plain variances of the statistics, at interior members."""
    some = (A > 0) & (B > 0)
    inputs = [v[some] for v in (P, A, B, X, UPPER)]

    def one(p, a, b, x, upper):
        lower_tail, upper_tail = gig_log_tails(p, a, b, x)
        return jnp.where(upper, upper_tail, lower_tail)

    ((pp, pa), (_, aa)) = jax.jit(jax.vmap(jax.hessian(one, (0, 1))))(*inputs)
    for name, got in (("pp", pp), ("pa", pa), ("aa", aa)):
        want = REFERENCE[name][some]
        assert worst(got, want) <= 1e-6, name


# -- single precision --------------------------------------------------------------


def test_single_precision():
    """Against double precision at the same, rounded inputs."""
    with np.errstate(over="ignore"):
        single = [v.astype(np.float32) for v in (P, A, B, X)]
    double = [v.astype(float) for v in single]
    got, want = log_tails(*single), log_tails(*double)
    assert got[0].dtype == got[1].dtype == jnp.float32
    smaller = np.minimum(*np.asarray(want))
    moderate = (np.abs(P) <= 60) & (np.abs(np.log(X)) < 30) & (A * B < 1e4)
    assert moderate.sum() >= 100
    error = worst(np.minimum(*np.asarray(got))[moderate], smaller[moderate], floor=1.0)
    assert error <= 1e-4
    upper = LOG_SF < LOG_CDF
    log_q = SMALLER.astype(np.float32)
    t = log_quantile(log_q, upper, *single[:3])
    assert t.dtype == jnp.float32
    exact = log_quantile(log_q.astype(float), upper, *double[:3])
    assert worst(t[moderate], exact[moderate], floor=1.0) <= 1e-4
