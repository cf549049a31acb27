"""η → θ of the GIG: round trips, its boundaries, and its derivative."""

from __future__ import annotations

from functools import partial
from itertools import product
from typing import Any

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest
from scipy import optimize, special

from normix.special.gig import gig_means
from normix.special.gig_inverse import boundary, gig_from_expectation

from . import oracles
from .oracles import worst


def in_blocks(f, rows=45):
    """``vmap(f)`` over any number of rows, compiled for one number of them."""
    compiled = jax.jit(jax.vmap(f))

    def call(x):
        padded = np.pad(x, ((0, -len(x) % rows), (0, 0)), mode="edge")
        blocks = padded.reshape(-1, rows, x.shape[1])
        return np.concatenate([compiled(block) for block in blocks])[: len(x)]

    return call


def solver(*options):
    return partial(gig_from_expectation, options=options)


newton = solver("jax", "newton", 100, 1e-10)
invert = in_blocks(newton)
expectations = in_blocks(lambda params: jnp.stack(gig_means(*params)))
jacobians = in_blocks(jax.jacfwd(newton))


# -- the interior ------------------------------------------------------------------


def test_round_trip():
    """η → θ → η over the whole domain, at any scale."""
    rng = np.random.default_rng(11)
    n = 20_000
    # Half of the orders from the whole range, half from where most data lie.
    p = np.append(rng.uniform(-50, 50, n // 2), rng.uniform(-3, 3, n // 2))
    z = 10.0 ** rng.uniform(-6, 4, n)
    scale = 10.0 ** rng.uniform(-8, 8, n)
    eta = expectations(np.stack([p, z / scale, z * scale], axis=1))
    assert np.isfinite(eta).all()
    params = invert(eta)
    assert np.isfinite(params).all()
    assert (params[:, 1:] >= 0).all()
    back = expectations(params)
    assert worst(back[:, 0], eta[:, 0], floor=1.0) <= 1e-10
    assert worst(back[:, 1:], eta[:, 1:]) <= 1e-10


# p, sqrt(ab) and sqrt(b/a) at which all three parameters are well determined
TYPICAL = [
    (1.0, 1.0, 1.0),
    (0.3, 0.1, 1e-3),
    (-0.5, 4.0, 2.0),
    (-2.0, 0.5, 1e3),
    (0.0, 2.0, 1.0),
    (5.0, 1.0, 1e-8),
    (-8.0, 3.0, 1e8),
    (2.5, 10.0, 0.1),
    (-0.1, 50.0, 7.0),
    (20.0, 5.0, 0.3),
    (-3.0, 0.01, 1.5),
    (0.7, 1e-3, 1.0),
    (-1.0, 20.0, 50.0),
    (12.0, 30.0, 13.0),
    (-40.0, 8.0, 26.0),
    (3.0, 0.2, 52.0),
    (1.5, 0.01, 0.01),
    (-6.0, 10.0, 200.0),
    (0.05, 0.3, 500.0),
    (30.0, 2.0, 1000.0),
]
PARAMS = np.array([(p, z / s, z * s) for p, z, s in TYPICAL])


@pytest.fixture(scope="module")
def exact():
    """E[log Y], E[1/Y], E[Y] at ``PARAMS`` by quadrature, and their covariance."""
    laws = [oracles.gig_cumulants(*row, order=2) for row in PARAMS]
    eta = [[float(law[k]) for k in ((1, 0, 0), (0, 1, 0), (0, 0, 1))] for law in laws]
    return np.array(eta), laws


def test_parameters(exact):
    """Not only η comes back, but the law that it was made from."""
    eta, _ = exact
    some = np.abs(PARAMS[:, 0]) < 4
    got = invert(eta)[some]
    assert worst(got[:, 0], PARAMS[some, 0], floor=1.0) <= 1e-6
    assert worst(got[:, 1:], PARAMS[some, 1:]) <= 1e-6


def log_likelihood(params, eta):
    """The mean log-density, less what does not depend on the parameters."""
    (p, a, b), (e_log, e_inv, e_y) = np.transpose(params), np.transpose(eta)
    z = np.sqrt(a * b)
    psi = np.log(2) + 0.5 * p * np.log(b / a) + np.log(special.kve(p, z)) - z
    return p * e_log - 0.5 * b * e_inv - 0.5 * a * e_y - psi


@pytest.mark.parametrize("method", ["newton", "lbfgs", "bfgs"])
@pytest.mark.parametrize("backend", ["jax", "cpu"])
def test_every_solver_reaches_the_maximum(exact, backend, method):
    """It is attained at the parameters themselves."""
    eta, _ = exact
    by_default = (backend, method) == ("jax", "newton")
    chosen = in_blocks(solver(backend, method, 100, 1e-10), len(eta))
    got = invert(eta) if by_default else chosen(eta)
    gap = log_likelihood(PARAMS, eta) - log_likelihood(got, eta)
    assert np.abs(gap).max() <= 1e-8, TYPICAL[np.abs(gap).argmax()]


# -- the boundary ------------------------------------------------------------------


def limit_of_c(r):
    """c*(r) from 60 digits; at small r half of them cancel."""
    with mpmath.workdps(60):
        less_one = 1 / mpmath.expm1(r)
        x = 1 + less_one
        return float(mpmath.digamma(x) - mpmath.log(x * less_one) / 2)


def test_boundary_curve():
    r = np.concatenate([10.0 ** np.linspace(-9, 2, 45), [0.0304, 0.0305]])
    want = [limit_of_c(x) for x in r]
    assert worst(boundary(jnp.asarray(r)), want) <= 1e-12


@pytest.mark.parametrize("side", [1, -1])
def test_laws_on_the_boundary(side):
    """η of a Gamma law gives b = 0, of an inverse Gamma law a = 0."""
    shapes = [1.001, 1.3, 2.0, 3.7, 10.0, 55.0, 300.0]
    alpha, beta = np.array(list(product(shapes, [1e-8, 0.7, 1e8]))).T
    log_y = special.digamma(alpha) - np.log(beta)
    mean, mean_inverse = alpha / beta, beta / (alpha - 1)
    if side > 0:
        eta = np.stack([log_y, mean_inverse, mean], axis=1)
        p, rate, zero = invert(eta).T
    else:
        eta = np.stack([-log_y, mean, mean_inverse], axis=1)
        p, zero, rate = invert(eta).T
    assert (zero == 0).all()
    # log E[Y] - E[log Y] loses digits as it falls, about as 1/(2α).
    assert worst(side * p, alpha) <= 1e-10
    assert worst(rate, 2 * beta) <= 1e-10


@pytest.fixture(scope="module")
def beyond():
    """η of samples more skewed, on the scale of logarithms, than any GIG law.

    With the Gamma law of maximum likelihood, from an independent solver.
    """
    rows = []
    for r, share, scale in product(
        (1e-4, 0.02, 0.3, 2.0, 9.0), (0.01, 0.5, 0.9), (1e-8, 1.0, 1e8)
    ):
        c_limit = limit_of_c(r)
        c = c_limit + share * (0.5 * r - c_limit)
        e_y, e_inv = np.exp(0.5 * r) * scale, np.exp(0.5 * r) / scale
        gap = 0.5 * r - c  # log E[Y] - E[log Y]

        def misfit(log_alpha, gap=gap):
            return log_alpha - special.digamma(np.exp(log_alpha)) - gap

        root: Any = optimize.brentq(misfit, -12, 12, xtol=1e-14)
        alpha = np.exp(root)
        rows.append([c + np.log(scale), e_inv, e_y, alpha])
    return np.array(rows)


@pytest.mark.parametrize("side", [1, -1])
def test_beyond_the_boundary(beyond, side):
    eta, alpha = beyond[:, :3], beyond[:, 3]
    # It is the maximum: no b > 0 does better, as E[1/Y] there exceeds the sample's,
    # and in the other two directions the derivative vanishes.
    exists = alpha > 1
    rate = 2 * alpha / eta[:, 2]
    assert (0.5 * rate[exists] / (alpha[exists] - 1) < eta[exists, 1]).all()
    if side < 0:
        eta = eta[:, [0, 2, 1]] * [-1, 1, 1]
    got = invert(eta)
    assert (got[:, 2 if side > 0 else 1] == 0).all()
    assert worst(side * got[:, 0], alpha) <= 1e-9
    assert worst(got[:, 1 if side > 0 else 2], rate) <= 1e-9


def test_nothing_beats_the_boundary(beyond):
    """The likelihood of random GIG laws, by SciPy, against that of the answer."""
    rng = np.random.default_rng(3)
    for row in beyond[beyond[:, 3] < 100][::4]:
        eta = row[:3]
        alpha, rate = row[3], 2 * row[3] / eta[2]
        best = alpha * eta[0] - 0.5 * rate * eta[2]
        best -= special.gammaln(alpha) - alpha * np.log(0.5 * rate)
        near = np.array([alpha, rate]) * np.exp(0.1 * rng.normal(size=(300, 2)))
        b = 10.0 ** rng.uniform(-9, 0, 300) / rate
        others = np.column_stack([near, b])
        assert (log_likelihood(others, eta) <= best + 1e-10 * max(1, abs(best))).all()


def test_unattainable():
    """Jensen's inequalities are strict; beyond them there is no law at all."""
    eta = np.array(
        [
            [0.0, 1.0, 1.0],  # E[Y] E[1/Y] = 1: a constant
            [0.0, 0.9, 1.0],
            [0.1, 1.2, 1.1],  # E[log Y] > log E[Y]
            [-0.2, 1.2, 1.1],  # E[log Y] < -log E[1/Y]
            [0.0, -1.0, 2.0],
            [0.0, 2.0, -1.0],
            [0.0, -1.0, -2.0],
            [np.nan, 2.0, 2.0],
            [0.0, np.nan, 2.0],
            [0.0, 2.0, np.nan],
            [0.0, 2.0, 2.0],  # attainable
        ]
    )
    got = invert(eta)
    assert np.isnan(got[:-1]).all()
    assert np.isfinite(got[-1]).all()


def test_nearly_constant():
    """Down to a relative spread of 1e-7 there is an answer, with the right η."""
    r = 10.0 ** np.linspace(-14, -4, 21)
    mean, inverse = np.exp(r), np.ones_like(r)
    eta = np.stack([0.5 * r, inverse, mean], axis=1)
    back = expectations(invert(eta))
    assert worst(back[:, 0], eta[:, 0], floor=1.0) <= 1e-12
    assert worst(back[:, 1:], eta[:, 1:]) <= 1e-12


# -- the derivative ----------------------------------------------------------------


def test_derivative_in_the_interior(exact):
    """d(p, -b/2, -a/2)/dη is the inverse of the covariance of (log Y, 1/Y, Y)."""
    eta, laws = exact
    got = jacobians(eta)
    for k, (p, z, _) in enumerate(TYPICAL):
        if abs(p) > 4 or z > 10:
            continue  # θ itself is known to fewer digits there
        keys = np.eye(3, dtype=int)
        with mpmath.workdps(40):
            entries = [
                [laws[k][tuple(int(i) for i in x + y)] for y in keys] for x in keys
            ]
            inverse: Any = mpmath.matrix(entries) ** -1
        d_p, d_half_b, d_half_a = np.array(inverse.tolist(), float)
        want = np.stack([d_p, -2 * d_half_a, -2 * d_half_b])
        spread = np.sqrt([float(entries[i][i]) for i in range(3)])
        size = np.abs(want * spread).max(axis=1, keepdims=True)
        assert worst(got[k] * spread / size, want * spread / size, floor=1.0) <= 1e-7


def test_derivative_beyond_the_boundary(beyond):
    """Of the Gamma law of maximum likelihood, which ignores E[1/Y]."""
    eta, alpha = beyond[:, :3], beyond[:, 3]
    slope = 1 / (1 / alpha - special.polygamma(1, alpha))  # dα/d(log E[Y] - E[log Y])
    e_y, zero = eta[:, 2], np.zeros_like(alpha)
    d_alpha = np.stack([-slope, zero, slope / e_y], axis=1)
    d_rate = 2 / e_y[:, None] * d_alpha
    d_rate[:, 2] -= 2 * alpha / e_y**2
    want = np.stack([d_alpha, d_rate, np.zeros_like(d_rate)], axis=1)
    # Of the inverse Gamma law: 1/Y for Y
    got = jacobians(eta)
    swapped = [0, 2, 1]
    signs = np.array([-1, 1, 1])
    mirrored = jacobians(eta[:, swapped] * signs)
    mirrored = mirrored[:, swapped][:, :, swapped] * np.outer(signs, signs)
    size = np.abs(want).max(axis=2, keepdims=True)
    size = np.where(size > 0, size, 1.0)
    for value in (got, mirrored):
        assert (value[:, 2] == 0).all()
        assert worst(value / size, want / size, floor=1.0) <= 1e-6


# -- single precision --------------------------------------------------------------


def test_single_precision(exact):
    eta, _ = exact
    single = eta.astype(np.float32)
    got = invert(single)
    assert got.dtype == jnp.float32
    assert np.isfinite(got).all()
    back = expectations(got.astype(np.float64))
    assert worst(back[:, 0], single[:, 0], floor=1.0) <= 3e-5
    assert worst(back[:, 1:], single[:, 1:]) <= 3e-5


@pytest.mark.parametrize("backend", ["jax", "cpu"])
@pytest.mark.parametrize("e_inv", [2.4e3, 1e30, 5e209, 1e300])
@pytest.mark.parametrize("reflected", [False, True])
def test_moments_whose_law_has_an_argument_that_underflows(backend, e_inv, reflected):
    """A Gamma law with ``E[1/Y]`` infinite, but for a ``b`` that no number can hold."""
    e_log, e_y = -0.57804719, 0.99926461  # about those of the exponential law
    if e_inv == 1e30:  # here b is a number
        e_log, e_y = -2.0, 1.0
    eta = jnp.array([-e_log, e_y, e_inv] if reflected else [e_log, e_inv, e_y])
    p, a, b = gig_from_expectation(eta, (backend, "newton", 100, 1e-10))
    if reflected:
        p, a, b = -p, b, a
    gap = np.log(e_y) - e_log
    alpha: Any = optimize.brentq(
        lambda x: float(mpmath.log(x) - mpmath.digamma(x)) - gap, 1e-3, 10, xtol=1e-15
    )
    # The share of b in E[log Y] and E[Y] is below 1e-12, and b is told by E[1/Y].
    np.testing.assert_allclose([p, a], [alpha, 2 * alpha / e_y], rtol=1e-9)
    if e_inv == 1e30:
        np.testing.assert_allclose(gig_means(p, a, b)[1], e_inv, rtol=1e-9)
    else:
        assert b == 0
