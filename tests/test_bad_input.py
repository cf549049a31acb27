# pyright: reportArgumentType=false
"""Bad input: a clear ``ValueError``, or NaN where values cannot be looked at."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from normix import (
    GIG,
    FactorNormalInverseGaussian,
    FactorVarianceGamma,
    Gamma,
    IncrementalEMFitter,
    InverseGamma,
    InverseGaussian,
    JointNormalInverseGaussian,
    MultivariateNormal,
    NormalInverseGaussian,
    UnivariateNormalInverseGaussian,
    VarianceGamma,
    kl_divergence_from_psi,
    squared_hellinger_from_psi,
)
from normix._columns import dependent_columns
from normix.mixtures.cholesky import CholeskyDispersion
from normix.mixtures.low_rank import FactorDispersion

from .distributions.registry import ORACLES

IDS = [oracle.name for oracle in ORACLES]
every_oracle = pytest.mark.parametrize("oracle", ORACLES, ids=IDS)
POSITIVE = [Gamma, InverseGamma, InverseGaussian, GIG]
every_positive = pytest.mark.parametrize("family", POSITIVE, ids=lambda f: f.__name__)


def refuses(*parts: str):
    """A ``ValueError`` whose message has every one of ``parts``, in this order."""
    return pytest.raises(ValueError, match="(?s)" + ".*".join(map(re.escape, parts)))


# -- parameters --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("family", "parameters", "parts"),
    [
        (Gamma, dict(alpha=1.0, beta=-1.0), ("Gamma: beta", "positive", "-1")),
        (Gamma, dict(alpha=0.0, beta=1.0), ("Gamma: alpha", "positive", "0")),
        (InverseGamma, dict(alpha=-2.0, beta=1.0), ("InverseGamma: alpha", "-2")),
        (InverseGamma, dict(alpha=2.0, beta=0.0), ("beta must be positive", "0")),
        (InverseGaussian, dict(mu=-2.0, lam=1.0), ("mu must be positive", "-2")),
        (InverseGaussian, dict(mu=1.0, lam=0.0), ("lam must be positive", "0")),
        (GIG, dict(p=1.0, a=-3.0, b=1.0), ("a must not be negative", "-3")),
        (GIG, dict(p=1.0, a=1.0, b=-3.0), ("b must not be negative", "-3")),
        (GIG, dict(p=0.0, a=1.0, b=0.0), ("b = 0 needs p > 0", "p=0", "b=0")),
        (GIG, dict(p=-1.0, a=1.0, b=0.0), ("b = 0 needs p > 0", "p=-1")),
        (GIG, dict(p=1.0, a=0.0, b=1.0), ("a = 0 needs p < 0", "p=1", "a=0")),
        (GIG, dict(p=1.0, a=0.0, b=0.0), ("a = 0 needs p < 0",)),
    ],
)
def test_parameters_out_of_range(family, parameters, parts):
    with refuses(*parts):
        family(**parameters)


@pytest.mark.parametrize(
    ("mu", "sigma", "parts"),
    [
        (np.zeros(2), -np.eye(2), ("sigma", "positive definite", "-1")),
        (np.zeros(2), np.ones((2, 2)), ("sigma", "positive definite", "eigenvalue")),
        (np.zeros(2), [[1.0, 0.5], [0.0, 1.0]], ("sigma must be symmetric",)),
        (np.zeros(2), [[1.0, np.nan], [np.nan, 1.0]], ("sigma", "finite")),
        (np.zeros(2), np.eye(2)[:1], ("sigma must have shape (d, d)", "(1, 2)")),
        (np.zeros(2), np.ones(2), ("sigma must have shape (d, d)", "(2,)")),
        (np.zeros(3), np.eye(2), ("(d,)", "(3,)", "(2, 2)")),
        (0.0, np.eye(2), ("(d,)", "()", "(2, 2)")),
    ],
)
def test_normal_parameters(mu, sigma, parts):
    with refuses(*parts):
        MultivariateNormal.from_classical(mu, sigma)


# -- shapes ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("family", "parameters"),
    [
        (Gamma, dict(alpha=np.ones(3), beta=1.0)),
        (InverseGamma, dict(alpha=1.0, beta=np.ones((1,)))),
        (InverseGaussian, dict(mu=np.ones(2), lam=np.ones(3))),
        (GIG, dict(p=1.0, a=np.ones(2), b=1.0)),
    ],
)
def test_parameters_of_different_shapes(family, parameters):
    with refuses("parameters must be scalars", "got"):
        family(**parameters)


@every_oracle
@pytest.mark.parametrize("change", ["longer", "shorter", "matrix", "scalar"])
def test_vectors_of_another_length(oracle, change):
    """θ and η, wherever they are given."""
    model, family = oracle.make(**oracle.typical[0]), oracle.family
    eta = np.asarray(model.expectation_params())
    change = {
        "longer": lambda x: np.append(x, 1.0),
        "shorter": lambda x: x[:-1],
        "matrix": lambda x: np.stack([x, x]),
        "scalar": lambda x: x[0],
    }[change]
    bad, said = change(eta), (family.__name__, "must have shape", ",)")
    with refuses(*said, "got", str(bad.shape)):
        family.from_expectation(bad)
    with refuses(*said, "got", str(bad.shape)):
        jax.jit(family.from_expectation)(bad)
    with refuses("theta0 must have shape"):
        family.from_expectation(eta, theta0=bad)
    with refuses("theta must have shape"):
        family.from_natural(bad)
    with refuses("theta must have shape"):
        family.bregman_divergence(bad, eta)
    with refuses("eta must have shape"):
        family.bregman_divergence(eta, bad)


@every_oracle
def test_observations_and_orders_of_another_shape(oracle):
    model = oracle.make(**oracle.typical[0])
    for x in (np.ones((2, 3)), np.ones((2, 2, 2))):
        with refuses("x must", "shape", str(x.shape)):
            model.log_prob(x)
        with refuses("x must", "shape", str(x.shape)):
            model.pdf(x)
    with refuses("alpha must be a scalar", "(2,)"):
        model.renyi(np.array([0.5, 2.0]))
    with refuses("alpha must be a scalar", "(2,)"):
        model.log_density_power(np.array([0.5, 2.0]))
    for alpha in (0.0, -1.0):
        with refuses("alpha must be positive", str(alpha)):
            model.renyi(alpha)
    with refuses("n must be an integer", "2.5"):
        model.rvs(2.5)


def test_natural_parameters_of_no_law():
    with refuses("MultivariateNormal: theta", "positive definite"):
        MultivariateNormal.from_natural([0.0, 0.0, 1.0, 0.0, 0.0, 1.0])
    with refuses("JointNormalInverseGaussian: theta", "negative definite"):
        theta = [-2.0, -1.0, -1.0, 0.0, 0.0, 1.0]
        JointNormalInverseGaussian.from_natural(theta)


def test_functions_of_vectors_of_different_lengths():
    psi = jnp.sum
    for function in (
        lambda *theta: kl_divergence_from_psi(psi, psi, *theta),
        lambda *theta: squared_hellinger_from_psi(psi, *theta),
    ):
        with refuses("theta_p and theta_q must have one shape", "(2,)", "(1,)"):
            function(np.ones(2), np.ones(1))
    with refuses("p, a and b", "(2,)", "(3,)"):
        GIG.expectation_params_batch(np.ones(2), np.ones(3), 1.0)


JOINT = JointNormalInverseGaussian.from_classical(
    mu=np.zeros(2), gamma=np.zeros(2), sigma=np.eye(2), mu_ig=1.0, lam=1.0
)


@pytest.mark.parametrize("shape", [(), (1,), (3,), (4, 1), (4, 3), (2, 4, 2)])
def test_rows_of_another_width_for_a_joint_law(shape):
    x = np.ones(shape)
    with refuses("x must have shape (2,) or (n, 2)", str(shape)):
        JOINT.conditional_expectations(x)
    with refuses("shapes (2,) and ()", str(shape)):
        JOINT.log_prob_joint(x, 1.0)
    with refuses("shapes (2,) and ()", "(1,)"):
        JOINT.log_prob_joint(np.ones(2), np.ones(1))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (dict(mu=np.zeros(3)), ("(3,), (2,), (2, 2)",)),
        (dict(gamma=np.zeros(1)), ("(2,), (1,), (2, 2)",)),
        (dict(gamma=0.0), ("(2,), (), (2, 2)",)),
        (dict(dispersion=CholeskyDispersion(np.eye(1))), ("(2,), (2,), (1, 1)",)),
        (dict(subordinator=Gamma(alpha=1.0, beta=1.0)), ("InverseGaussian", "Gamma")),
        (
            dict(subordinator=InverseGaussian(mu=np.ones(2), lam=np.ones(2))),
            ("(2,), (2,), (2, 2) and (2,)",),
        ),
        (dict(dispersion=np.eye(2)), ("a CholeskyDispersion or", "ndarray")),
    ],
)
def test_parts_of_a_joint_law_that_do_not_fit(change, said):
    names = ("mu", "gamma", "dispersion", "subordinator")
    given = {name: getattr(JOINT, name) for name in names} | change
    with refuses("JointNormalInverseGaussian", *said):
        JointNormalInverseGaussian(**given)


def test_laws_of_another_class():
    with refuses("VarianceGamma is made of a JointVarianceGamma", "NormalInverse"):
        VarianceGamma(JOINT)
    with refuses("FactorNormalInverseGaussian has a FactorDispersion", "Cholesky"):
        FactorNormalInverseGaussian(JOINT)
    with refuses("UnivariateNormalInverseGaussian has one variable", "2"):
        UnivariateNormalInverseGaussian(JOINT)
    for shape in ((3,), (3, 2)):
        with refuses("L must be (d, d)", str(shape)):
            CholeskyDispersion(np.ones(shape))
    with refuses("F must be (d, r) and D (d,)", "(3, 1) and (2,)"):
        FactorDispersion(np.ones((3, 1)), np.ones(2))
    with refuses("target_log_det must be a scalar", "(2,)"):
        NormalInverseGaussian(JOINT).regularize_det_sigma(np.ones(2))


# -- expectations ------------------------------------------------------------------


def unattainable():
    return [
        pytest.param(oracle.family, eta, inequality, id=f"{oracle.name}-{k}")
        for oracle in ORACLES
        for k, (eta, inequality) in enumerate(oracle.unattainable)
    ]


@pytest.mark.parametrize(("family", "eta", "inequality"), unattainable())
def test_unattainable_expectations(family, eta, inequality):
    """The message names the inequality and shows what was given."""
    with refuses(family.__name__, "eta violates", inequality):
        family.from_expectation(np.array(eta))
    # NaN is not an expectation either.
    with refuses(family.__name__, "eta violates", inequality, "nan"):
        family.from_expectation(np.full(len(eta), np.nan))


@every_oracle
def test_unattainable_expectations_under_jit(oracle):
    """NaN, and the other lanes of a ``vmap`` are none the worse for it."""
    good = oracle.make(**oracle.typical[0])
    attainable = np.asarray(good.expectation_params())
    etas = np.array([attainable] + [eta for eta, _ in oracle.unattainable])
    solve: Any = jax.jit(jax.vmap(oracle.family.from_expectation))
    leaves = [
        np.asarray(v).reshape(len(etas), -1) for v in jax.tree.leaves(solve(etas))
    ]
    found = np.concatenate(leaves, axis=1)
    want = np.concatenate([np.ravel(v) for v in jax.tree.leaves(good)])
    np.testing.assert_allclose(found[0], want, rtol=1e-8, atol=1e-8)
    assert np.isnan(found[1:]).any(axis=1).all()


def test_parameters_out_of_range_under_jit():
    """No exception from inside, and no finite number either."""

    def density(law):
        return jax.jit(lambda *x: law(*x).log_prob(1.0))

    with np.errstate(all="ignore"):
        assert not np.isfinite(density(Gamma)(2.0, -1.0))
        assert not np.isfinite(density(InverseGamma)(2.0, -1.0))
        assert not np.isfinite(density(InverseGaussian)(1.0, -1.0))
        assert not np.isfinite(density(GIG)(1.0, -1.0, 1.0))
        assert not np.isfinite(density(GIG)(1.0, 0.0, 1.0))
        assert np.isnan(jax.jit(lambda b: GIG(1.0, -1.0, b).rvs(3))(1.0)).all()
    sigma = jnp.array([[1.0, 2.0], [2.0, 1.0]])
    normal = jax.jit(MultivariateNormal.from_classical)(jnp.zeros(2), sigma)
    assert np.isnan(normal.log_prob(np.zeros(2)))


# -- data --------------------------------------------------------------------------


@every_positive
@pytest.mark.parametrize(
    ("data", "parts"),
    [
        ([1.0, np.nan, 2.0, np.inf], ("2 NaN or infinite", "first in row 1")),
        ([1.0, 2.0, -np.inf], ("1 NaN or infinite", "first in row 2")),
        ([1.0, 3.0, -2.0, 0.0], ("must be positive", "-2", "row 2")),
        ([0.0, 3.0], ("must be positive", "0", "row 0")),
        ([], ("shape (n,)", "(0,)")),
        ([[1.0, 2.0]], ("shape (n,)", "(1, 2)")),
        (3.0, ("shape (n,)", "()")),
    ],
)
def test_positive_data(family, data, parts):
    with refuses("X", *parts):
        family.fit_mle(np.array(data))


@every_positive
@pytest.mark.parametrize("value", [2.0, 0.1, 1e5, 0.8736765079566392, 0.815])
@pytest.mark.parametrize("n", [1, 5, 7])
def test_constant_data(family, value, n):
    """No law has a single value, however its mean is rounded."""
    with refuses("X has the single value", str(value)):
        family.fit_mle(np.full(n, value))


@pytest.mark.parametrize(
    ("data", "parts"),
    [
        ([[1.0, np.nan], [np.nan, 2.0]], ("2 NaN or infinite", "first in row 0")),
        ([[1.0, 2.0], [2.0, np.inf]], ("1 NaN or infinite", "first in row 1")),
        ([1.0, 2.0], ("shape (n, d)", "(2,)", "X[:, None]")),
        (np.zeros((0, 2)), ("must not be empty", "(0, 2)")),
        (np.zeros((2, 0)), ("must not be empty", "(2, 0)")),
        (np.ones((5, 2)), ("constant columns", "[0, 1]")),
        ([[0.0, 1.0]], ("X has 1 row;", "2 dimensions", "at least 3")),
    ],
)
def test_normal_data(data, parts):
    with refuses(*parts):
        MultivariateNormal.fit_mle(np.array(data))


class Frame:
    """As much of a data frame as is looked at."""

    def __init__(self, columns, values):
        self.columns, self.values = columns, values

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.values, dtype)


WIDE = np.random.default_rng(0).standard_t(4, size=(300, 3))
MIXED = np.array([[1.0, 2.0], [3.0, "4.5"], [None, "n/a"]], dtype=object)
START = NormalInverseGaussian.from_classical(
    mu=np.zeros(2), gamma=np.zeros(2), sigma=np.eye(2), mu_ig=1.0, lam=1.0
)
SCALAR = UnivariateNormalInverseGaussian.from_classical(
    mu=0.0, gamma=0.0, sigma=1.0, mu_ig=1.0, lam=1.0
)
TAKERS = {
    "default_init": NormalInverseGaussian.default_init,
    "fit": START.fit,
    "incremental": lambda X: IncrementalEMFitter().fit(START, X, key=jax.random.key(0)),
    "update": lambda X: IncrementalEMFitter().update(
        IncrementalEMFitter().init(START), X
    ),
    "e_step": START.e_step,
    "e_step_sums": START.e_step_sums,
    "likelihood": START.marginal_log_likelihood,
    "normal": MultivariateNormal.fit_mle,
    "joint": lambda X: JointNormalInverseGaussian.fit_mle((X, np.ones(3))),
}


@pytest.mark.parametrize("take", TAKERS)
def test_data_that_are_no_numbers(take):
    take = TAKERS[take]
    with refuses("X: real numbers are expected", "'4.5' in row 1, column 1"):
        take(MIXED)
    with refuses("X: real numbers are expected", "'4.5' in row 1, column 'size'"):
        take(Frame(["weight", "size"], MIXED))
    with refuses("X: real numbers", "'1.5' in row 0, column 0"):
        take(np.array([["1.5", "2"], ["3", "4"]]))
    with refuses("X: real numbers", "row 0, column 0"):
        take(np.ones((3, 2)) + 1j)
    with refuses("X: real numbers", "1970", "row 0, column 0"):
        take(np.ones((3, 2), dtype="M8[D]"))
    with refuses("X: real numbers", "complex128"):
        take(jnp.ones((3, 2), complex))
    with refuses("X: an array of numbers", "inhomogeneous"):
        take([[1.0, 2.0], [3.0]])
    with refuses("X must be finite", "1 NaN", "row 2"):
        take(np.array([[1, 2], [2, 1], [None, 3]], dtype=object))


@pytest.mark.parametrize(
    "take",
    [
        Gamma.fit_mle,
        SCALAR.fit,
        UnivariateNormalInverseGaussian.default_init,
        lambda X: JointNormalInverseGaussian.fit_mle((np.ones((2, 1)), X)),
    ],
)
def test_series_that_are_no_numbers(take):
    with refuses("real numbers are expected", "'x' in row 1"):
        take(np.array([1.0, "x"], dtype=object))


@pytest.mark.parametrize(
    "call",
    [
        lambda bad: Gamma(alpha=bad, beta=1.0),
        lambda bad: Gamma(alpha=1.0, beta=1.0).cdf(bad),
        lambda bad: SCALAR.log_prob(bad),
        lambda bad: SCALAR.ppf(bad),
        lambda bad: SCALAR.replace(mu=bad),
        lambda bad: Gamma.from_natural(bad),
    ],
)
def test_arguments_that_are_no_numbers(call):
    for bad, said in (("a", "'a'"), (None, "None"), (object(), "object")):
        with refuses("real numbers are expected, got", said):
            call(bad)


def test_weights_that_are_no_numbers():
    with refuses("weights: real numbers are expected", "'a' in row 0"):
        START.fit(WIDE[:, :2], weights=["a"] * 300)


def test_objects_that_are_numbers():
    """What holds numbers is taken, whatever it is made of."""
    x = np.array([1, 2.5, np.float32(4), True, Fraction(1, 2)], dtype=object)
    found = Gamma.fit_mle(x)
    want = Gamma.fit_mle(x.astype(float))
    assert float(found.alpha) == float(want.alpha)


def test_one_row():
    """The message speaks of what the form can do."""
    univariate = UnivariateNormalInverseGaussian
    for call in (SCALAR.fit, univariate.default_init):
        with refuses("X has 1 value; a fit needs at least 2 different ones") as caught:
            call(np.ones(1))
        assert "actor" not in str(caught.value)
    with refuses("X has 1 row; a full dispersion in 2 dimensions needs") as caught:
        START.fit(np.ones((1, 2)))
    assert "actor" not in str(caught.value)
    with refuses("X has 2 rows; a full dispersion in 2 dimensions", "factor form"):
        START.fit(WIDE[:2, :2])
    with refuses("X has 1 row; a fit needs at least 2"):
        FactorVarianceGamma.default_init(np.ones((1, 2)))


# -- columns that leave no room for a dispersion -------------------------------------

A, B, C = WIDE.T
# Columns, and those of them that belong together.
COLLINEAR = {
    "equal": ([A, B, A], [0, 2]),
    "other units": ([1e9 * A - 3e6, B, C, -1e-6 * C], [2, 3]),
    "a sum": ([C, A, B, A + 2 * B], [1, 2, 3]),
    "two pairs": ([A, B, B, A], [1, 2]),
    "offset": ([1e8 + A, B, 1e8 + A + B], [0, 1, 2]),
    "single precision": ([x.astype("f4") for x in (A + 50, B, A - B + 70)], [0, 1, 2]),
}
every_collinear = pytest.mark.parametrize("case", COLLINEAR)


@every_collinear
def test_collinear_columns(case):
    columns, tied = COLLINEAR[case]
    X, d = np.stack(columns, axis=1), len(columns)
    parts = ("columns", str(tied), "depend on each other linearly")
    with refuses(*parts):
        VarianceGamma.default_init(X)
    with refuses(*parts):
        MultivariateNormal.fit_mle(X)
    y = np.random.default_rng(1).exponential(size=300)
    with refuses(*parts):
        JointNormalInverseGaussian.fit_mle((X, y))
    start = VarianceGamma.from_classical(
        mu=np.zeros(d), gamma=np.zeros(d), sigma=np.eye(d), alpha=1.0, beta=1.0
    )
    with refuses(*parts):
        start.fit(X)
    with refuses(*parts):
        start.fit([X[:2], X[2:50], X[50:]])  # read chunk by chunk
    with refuses(*parts):
        IncrementalEMFitter().fit(start, X, key=jax.random.key(0))
    names = [f"column {k}" for k in range(d)]
    with refuses("columns", str([names[k] for k in tied])):
        MultivariateNormal.fit_mle(Frame(names, X))
    with refuses("columns", str([names[k] for k in tied])):
        start.fit(Frame(names, X))


def test_rows_that_weigh_nothing_prove_nothing():
    X = np.stack([A, B, np.where(np.arange(300) < 200, A, C)], axis=1)
    assert dependent_columns(X) == []
    start = VarianceGamma.from_classical(
        mu=np.zeros(3), gamma=np.zeros(3), sigma=np.eye(3), alpha=1.0, beta=1.0
    )
    with refuses("columns", "[0, 2]"):
        start.fit(X, weights=(np.arange(300) < 200) * 0.5)


@every_collinear
def test_factors_take_what_is_not_equal(case):
    columns, tied = COLLINEAR[case]
    X = np.stack(columns, axis=1)
    if len(tied) == 2:
        with refuses("columns", str(tied)):
            FactorVarianceGamma.default_init(X)
    else:
        assert dependent_columns(X, equal_only=True) == []


@pytest.mark.parametrize("equal_only", [False, True])
def test_columns_that_are_nearly_collinear(equal_only):
    """What the floating type tells apart is taken; also if most rows are collinear."""
    X = np.stack([A, B, A + 1e-4 * C], axis=1)
    assert dependent_columns(X, equal_only=equal_only) == []
    X = np.tile(np.stack([A, B, A], axis=1), (40, 1))
    assert dependent_columns(X, equal_only=equal_only) == [0, 2]
    X[7, 2] += 1.0
    assert dependent_columns(X, equal_only=equal_only) == []


def test_collinear_columns_under_jit():
    """Nothing is raised, and no finite density comes out."""
    X = np.stack([A, B, A], axis=1)
    with np.errstate(all="ignore"):
        normal = jax.jit(MultivariateNormal.fit_mle)(X)
    assert not np.isfinite(normal.log_prob(np.ones(3)))


def test_joint_sample():
    X, y = WIDE, np.ones(300) + A**2
    with refuses("Y must have shape (300,)", "(299,)"):
        JointNormalInverseGaussian.fit_mle((X, y[1:]))
    with refuses("X has 4 rows", "3 dimensions", "at least 5"):
        JointNormalInverseGaussian.fit_mle((X[:4], y[:4]))


# -- weights -----------------------------------------------------------------------


@every_oracle
@pytest.mark.parametrize(
    ("weights", "parts"),
    [
        ([1.0, 2.0], ("weights must have shape (5,)", "(2,)")),
        (np.ones((5, 1)), ("weights must have shape (5,)", "(5, 1)")),
        ([1.0, 1.0, -1.0, 1.0, 1.0], ("weights must be", "not negative")),
        ([1.0, 1.0, np.nan, 1.0, 1.0], ("weights must be finite",)),
        (np.zeros(5), ("weights", "positive sum")),
    ],
)
def test_weights(oracle, weights, parts):
    x = np.array([0.5, 1.0, 2.0, 3.0, 7.0])
    if oracle.gig is None:
        x = np.stack([x, x**2], axis=1)
    with refuses(*parts):
        oracle.family.fit_mle(x, weights=np.array(weights))


# -- options -----------------------------------------------------------------------


@every_oracle
def test_unknown_options(oracle):
    """The message lists what there is."""
    model = oracle.make(**oracle.typical[0])
    eta = model.expectation_params()
    with refuses("backend must be one of", "'jax'", "'cpu'", "'gpu'"):
        oracle.family.from_expectation(eta, backend="gpu")
    with refuses("method must be one of", "'newton'", "'lbfgs'", "'bfgs'", "'adam'"):
        oracle.family.from_expectation(eta, method="adam")
    with refuses("backend must be one of", "'jax'", "'cpu'", "'numpy'"):
        model.expectation_params(backend="numpy")
    with refuses("backend must be one of", "'jax'", "'cpu'", "''"):
        model.fisher_information(backend="")
    with refuses("n must be at least 0", "-1"):
        model.rvs(-1)
    listed = [repr(method) for method in oracle.family.sampling_methods]
    with refuses("method must be one of", *listed, "'magic'"):
        model.rvs(3, method="magic")


def test_unknown_backend_in_a_batch():
    with refuses("backend must be one of", "'jax'", "'cpu'", "'gpu'"):
        GIG.expectation_params_batch(1.0, 1.0, 1.0, backend="gpu")


@every_positive
def test_outside_the_support(family):
    """Not an error: the density there is zero."""
    case = next(o for o in ORACLES if o.family is family)
    model = case.make(**case.typical[0])
    for x in (0.0, -1.0, -np.inf):
        assert model.log_prob(x) == -np.inf
        assert model.pdf(x) == 0
