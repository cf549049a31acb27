"""What must hold of every exponential family, over the registry of oracles."""

from __future__ import annotations

from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from normix import InverseGaussian

from .registry import ORACLES, Oracle

IDS = [oracle.name for oracle in ORACLES]
every_oracle = pytest.mark.parametrize("oracle", ORACLES, ids=IDS)
FEW = 8


def stack_parameters(cases: list[dict[str, Any]]) -> dict[str, np.ndarray]:
    return {key: np.array([case[key] for case in cases], float) for key in cases[0]}


def leaves(law) -> jax.Array:
    return jnp.concatenate([jnp.ravel(v) for v in jax.tree.leaves(law)])


def some_of(x: np.ndarray) -> np.ndarray:
    """A few nodes of a grid, from one end to the other."""
    return x[np.linspace(0, len(x) - 1, FEW).astype(int)]


def everything(oracle: Oracle):
    """All that the laws look at, of one member, as one function to compile."""

    def compute(parameters, x, few):
        # Under jit, so that values are not looked at.
        model = oracle.make(**parameters)
        theta = model.natural_params()
        eta = model.expectation_params()

        def log_prob_at(theta, x):
            return oracle.family.from_natural(theta).log_prob(x)

        fitted = oracle.family.from_expectation(eta)
        return {
            "parameters": leaves(model),
            "from_natural": leaves(oracle.family.from_natural(theta)),
            "from_expectation": leaves(fitted),
            "eta": eta,
            "eta_again": fitted.expectation_params(),
            "fisher": model.fisher_information(),
            "log_prob": jax.vmap(model.log_prob)(x),
            "pdf": jax.vmap(model.pdf)(few),
            "statistics": jax.vmap(model.sufficient_statistics)(few),
            "score": jax.vmap(jax.grad(log_prob_at), (None, 0))(theta, few),
            "slope": jax.vmap(jax.grad(model.log_prob))(few),
            "bregman_slope": jax.grad(oracle.family.bregman_divergence)(theta, eta),
            "mean": model.mean(),
            "var": model.var(),
            "std": model.std(),
        }

    return compute


@cache
def truths(name: str) -> dict[str, np.ndarray]:
    oracle = ORACLES[IDS.index(name)]
    rows = zip(*map(oracle.moments, oracle.cases), strict=True)
    keys = ("total", "eta", "fisher", "mean", "var")
    out = {k: np.stack(v) for k, v in zip(keys, rows, strict=True)}
    out["x"] = np.stack([oracle.grid(case)[0] for case in oracle.cases])
    out["few"] = np.stack([some_of(x) for x in out["x"]])
    return out


@cache
def computed(name: str):
    """For all cases of a record at once: our results, and the truth."""
    oracle = ORACLES[IDS.index(name)]
    truth = truths(name)
    parameters = stack_parameters(oracle.cases)
    ours = jax.jit(jax.vmap(everything(oracle)))(parameters, truth["x"], truth["few"])
    return {key: np.asarray(value) for key, value in ours.items()}, truth


def spreads(truth) -> np.ndarray:
    """Standard deviations of the statistics, the scale of errors in θ and η."""
    return np.sqrt(np.einsum("nii->ni", truth["fisher"]))


def sizes(truth) -> np.ndarray:
    """The scale of errors of E[t]: its size, or the spread of t where that is more."""
    return np.maximum(np.abs(truth["eta"]), spreads(truth))


# -- the density -------------------------------------------------------------------


@every_oracle
def test_the_reference_is_a_density(oracle):
    np.testing.assert_allclose(truths(oracle.name)["total"], 1, rtol=1e-11)


@pytest.mark.parametrize(
    "oracle", [o for o in ORACLES if o.scipy], ids=lambda o: o.name
)
def test_the_reference_is_scipys(oracle):
    for case, x in zip(oracle.cases, truths(oracle.name)["x"], strict=True):
        want = oracle.scipy(case).logpdf(x)
        some = want > want.max() - 30
        got = oracle.log_density(case, x)
        np.testing.assert_allclose(got[some], want[some], rtol=1e-9, atol=1e-9)


def check_log_density(oracle):
    ours, truth = computed(oracle.name)
    for row, case, x in zip(ours["log_prob"], oracle.cases, truth["x"], strict=True):
        want = oracle.log_density(case, x)
        some = want > want.max() - 100
        np.testing.assert_allclose(row[some], want[some], rtol=1e-10, atol=1e-10)
    for row, case, x in zip(ours["pdf"], oracle.cases, truth["few"], strict=True):
        want = np.exp(oracle.log_density(case, x))
        np.testing.assert_allclose(row, want, rtol=1e-9, atol=1e-300)


def check_density_integrates_to_one(oracle):
    ours, _ = computed(oracle.name)
    for row, case in zip(ours["log_prob"], oracle.cases, strict=True):
        _, weights = oracle.grid(case)
        assert weights @ np.exp(row) == pytest.approx(1, abs=1e-10)


# -- expectations ------------------------------------------------------------------


def check_gradient_of_psi_is_the_mean_of_the_statistics(oracle):
    ours, truth = computed(oracle.name)
    error = np.abs(ours["eta"] - truth["eta"]) / sizes(truth)
    assert error.max() <= 1e-10


def check_hessian_of_psi_is_the_covariance_of_the_statistics(oracle):
    ours, truth = computed(oracle.name)
    unit = spreads(truth)
    scale = np.einsum("ni,nj->nij", unit, unit)
    error = np.abs(ours["fisher"] - truth["fisher"]) / scale
    assert error.max() <= 1e-7


def check_moments(oracle):
    ours, truth = computed(oracle.name)
    scale = np.sqrt(truth["var"])
    assert (np.abs(ours["mean"] - truth["mean"]) / scale).max() <= 1e-8
    np.testing.assert_allclose(ours["var"], truth["var"], rtol=1e-8)
    np.testing.assert_allclose(ours["std"], scale, rtol=1e-8)


# -- round trips -------------------------------------------------------------------


def check_round_trip_by_natural_parameters(oracle):
    ours, _ = computed(oracle.name)
    want = ours["parameters"]
    rounding = 1e-14 * np.abs(want).max(axis=1, keepdims=True)
    error = np.abs(ours["from_natural"] - want)
    assert (error <= 1e-11 * np.abs(want) + rounding).all()


def check_round_trip_by_expectations(oracle):
    ours, truth = computed(oracle.name)
    error = np.abs(ours["eta_again"] - ours["eta"]) / sizes(truth)
    assert error.max() <= 1e-10
    # The parameters are as good where η determines them.
    n = len(oracle.typical)
    got, want = ours["from_expectation"][:n], ours["parameters"][:n]
    np.testing.assert_allclose(got, want, rtol=1e-8, atol=1e-9)


# -- derivatives -------------------------------------------------------------------


def check_score(oracle):
    """The derivative of log p(x) in θ is t(x) - E[t]."""
    ours, truth = computed(oracle.name)
    t = np.stack([oracle.statistics(x) for x in truth["few"]])
    np.testing.assert_allclose(ours["statistics"], t, rtol=1e-14, atol=1e-14)
    want = t - truth["eta"][:, None]
    scale = np.maximum(np.abs(t), sizes(truth)[:, None])
    assert (np.abs(ours["score"] - want) / scale).max() <= 1e-10


def check_slope_of_the_log_density(oracle):
    """The derivative in x, in closed form."""
    ours, truth = computed(oracle.name)
    for k, case in enumerate(oracle.cases):
        x = truth["few"][k]
        if oracle.gig is None:
            precision = np.linalg.inv(np.asarray(case["sigma"]))
            parts = [-(x - np.asarray(case["mu"])) @ precision]
        else:
            p, a, b = oracle.gig(case)
            inverse = 0.5 * b / (x * x) if b else np.zeros_like(x)
            parts = [(p - 1) / x, np.full_like(x, -0.5 * a), inverse]
        size = np.abs(parts).max(axis=0).max(axis=-1, keepdims=True)
        assert (np.abs(ours["slope"][k] - np.sum(parts, axis=0)) / size).max() <= 1e-9


def check_bregman_divergence_is_least_at_the_solution(oracle):
    ours, truth = computed(oracle.name)
    assert (np.abs(ours["bregman_slope"]) / sizes(truth)).max() <= 1e-12
    model = oracle.make(**oracle.typical[0])
    theta, eta = model.natural_params(), ours["eta"][0]
    rng = np.random.default_rng(0)
    others = theta * np.exp(0.2 * rng.normal(size=(50, len(theta))))
    values = jax.vmap(oracle.family.bregman_divergence, (0, None))(others, eta)
    best = oracle.family.bregman_divergence(theta, eta)
    inside = np.isfinite(values)
    assert inside.sum() >= 20
    assert (values[inside] > best).all()


@every_oracle
def test_derivative_of_the_solution(oracle):
    """dθ/dη is the inverse of the covariance of the statistics."""
    truth = truths(oracle.name)
    eta = truth["eta"][0]

    def theta(eta):
        return oracle.family.from_expectation(eta).natural_params()

    got = np.asarray(jax.jit(jax.jacfwd(theta))(eta))
    if oracle.gig is None:  # the statistics xy and yx coincide
        product = truth["fisher"][0] @ got @ truth["fisher"][0]
        np.testing.assert_allclose(product, truth["fisher"][0], atol=1e-7)
        return
    scale = np.outer(spreads(truth)[0], spreads(truth)[0])
    want = np.linalg.inv(truth["fisher"][0] / scale)
    np.testing.assert_allclose(got * scale, want, rtol=1e-6)


# -- information -------------------------------------------------------------------

# On either side of where the formula changes, and about 1
NEAR = (1 - 0.0101, 1 - 0.0099, 1 - 1e-3, 1 + 1e-3, 1 + 0.0099, 1 + 0.0101)
POWERS = (0.5, 0.8, *NEAR, 2.0, 5.0)


@cache
def information(name: str):
    oracle = ORACLES[IDS.index(name)]

    def compute(parameters):
        model = oracle.make(**parameters)
        powers = jnp.array([*POWERS, 1.0])
        if oracle.family is InverseGaussian:  # computed as a GIG: once is enough
            renyi, slope = jax.vmap(model.renyi)(powers), powers * jnp.nan
        else:
            ones = jnp.ones_like(powers)
            renyi, slope = jax.jvp(jax.vmap(model.renyi), (powers,), (ones,))
        return {
            "entropy": model.entropy(),
            "varentropy": model.varentropy(),
            "renyi": renyi,
            "slope": slope,
            "power": jax.vmap(model.log_density_power)(powers),
        }

    ours = jax.jit(jax.vmap(compute))(stack_parameters(oracle.cases))
    return {key: np.asarray(value) for key, value in ours.items()}


def check_entropy_and_varentropy(oracle):
    ours = information(oracle.name)
    for k, case in enumerate(oracle.cases):
        x, weights = oracle.grid(case)
        log_density = oracle.log_density(case, x)
        weights = weights * np.exp(log_density)
        entropy = -weights @ log_density
        variance = weights @ (log_density + entropy) ** 2
        assert ours["entropy"][k] == pytest.approx(entropy, rel=1e-10, abs=1e-10)
        assert ours["varentropy"][k] == pytest.approx(variance, rel=1e-8), case


def check_density_powers(oracle):
    ours = information(oracle.name)
    for k, case in enumerate(oracle.cases):
        want = np.array([oracle.log_power(case, alpha) for alpha in POWERS])
        np.testing.assert_allclose(ours["power"][k, :-1], want, rtol=1e-9, atol=1e-10)
        assert ours["power"][k, -1] == pytest.approx(0, abs=1e-12)


def check_renyi_entropies(oracle):
    ours = information(oracle.name)
    alpha = np.array(POWERS)
    for k, case in enumerate(oracle.cases):
        want = [oracle.log_power(case, a) / (1 - a) for a in POWERS]
        # The reference, as a quotient, loses digits about 1.
        allowed = 1e-10 + 4e-12 / abs(alpha - 1)
        size = np.maximum(1, np.abs(want))
        got = ours["renyi"][k, :-1]
        with np.errstate(invalid="ignore"):
            error = np.where(got == want, 0, np.abs(got - want) / size)
        assert (error <= allowed).all(), case


def check_renyi_entropies_about_one(oracle):
    """The entropy, with derivative minus half of the varentropy, and smooth."""
    ours = information(oracle.name)
    np.testing.assert_allclose(ours["renyi"][:, -1], ours["entropy"], rtol=1e-12)
    if oracle.family is InverseGaussian:
        return  # without slopes
    half = -0.5 * ours["varentropy"]
    np.testing.assert_allclose(ours["slope"][:, -1], half, rtol=1e-8)
    # No step at the seams between two formulas, nor in the slope.
    renyi, slope = ours["renyi"], ours["slope"]
    for near, far in ((1, 0), (-2, -1)):
        k, j = POWERS.index(NEAR[near]), POWERS.index(NEAR[far])
        rise = (renyi[:, j] - renyi[:, k]) / (POWERS[j] - POWERS[k])
        size = 1 + np.abs(rise)
        assert (np.abs(rise - slope[:, k]) / size).max() <= 1e-2
        mean = 0.5 * (slope[:, j] + slope[:, k])
        assert (np.abs(rise - mean) / size).max() <= 1e-5


# -- samples -----------------------------------------------------------------------


def methods():
    for oracle in ORACLES:
        for method in oracle.family.sampling_methods:
            yield pytest.param(oracle, method, id=f"{oracle.name}-{method}")


@pytest.mark.parametrize(("oracle", "method"), list(methods()))
def test_draws(oracle, method):
    """Kolmogorov-Smirnov at every member; the seed decides, and nothing else."""
    n = 20_000
    for k, case in enumerate(oracle.cases):
        model = oracle.make(**case)
        x = np.asarray(model.rvs(n, seed=3, method=method))
        uniform = oracle.uniforms(case, x)
        assert scipy.stats.kstest(uniform, "uniform").pvalue > 1e-3, case
        # Means of the statistics, in standard errors
        truth = truths(oracle.name)
        miss = oracle.statistics(x).mean(axis=0) - truth["eta"][k]
        assert (np.abs(miss) <= 4.5 * spreads(truth)[k] / np.sqrt(n)).all(), case
    again = partial(model.rvs, n, method=method)
    np.testing.assert_array_equal(again(seed=3), x)
    np.testing.assert_array_equal(again(key=jax.random.key(3)), x)
    assert (np.asarray(again(seed=4)) != x).mean() > 0.99
    assert model.rvs(0, method=method).shape == (0, *x.shape[1:])


# -- maximum likelihood ------------------------------------------------------------


@every_oracle
def test_maximum_likelihood(oracle):
    truth = oracle.make(**oracle.typical[0])
    x = np.asarray(truth.rvs(500, seed=5))
    fitted = oracle.family.fit_mle(x)
    want = oracle.statistics(x).mean(axis=0)
    np.testing.assert_allclose(fitted.expectation_params(), want, rtol=1e-10)
    gain = jax.vmap(fitted.log_prob)(x).sum() - jax.vmap(truth.log_prob)(x).sum()
    assert gain > 0
    started = oracle.family.fit_mle(x, theta0=truth.natural_params())
    for other in (started, truth.fit(x), oracle.family.default_init(x)):
        np.testing.assert_allclose(other.expectation_params(), want, rtol=1e-10)


@every_oracle
def test_weights_count_observations(oracle):
    x = np.asarray(oracle.make(**oracle.typical[0]).rvs(40, seed=6))
    counts = np.random.default_rng(1).integers(0, 4, 40)
    assert (counts == 0).any()
    weighted = oracle.family.fit_mle(x, weights=0.3 * counts)
    repeated = oracle.family.fit_mle(np.repeat(x, counts, axis=0))
    np.testing.assert_allclose(leaves(weighted), leaves(repeated), rtol=1e-7)
    assert not np.allclose(leaves(weighted), leaves(oracle.family.fit_mle(x)))


# -- how it is called --------------------------------------------------------------


def check_eager_compiled_and_batched_agree(oracle):
    ours, truth = computed(oracle.name)
    at = len(truth["x"][0]) // 2
    x = truth["x"][0][at]
    model = oracle.make(**oracle.typical[0])
    np.testing.assert_allclose(model.log_prob(x), ours["log_prob"][0, at], rtol=1e-12)
    compiled = jax.jit(model.log_prob)(x)
    np.testing.assert_allclose(compiled, model.log_prob(x), rtol=1e-14)
    eta = model.expectation_params()
    np.testing.assert_allclose(eta, ours["eta"][0], rtol=1e-12, atol=1e-14)
    alone = oracle.family.from_expectation(eta)
    np.testing.assert_allclose(leaves(alone), ours["from_expectation"][0], rtol=1e-9)


# Together, as they look at what is compiled once for a process.
OF_MEMBERS = (
    check_log_density,
    check_density_integrates_to_one,
    check_gradient_of_psi_is_the_mean_of_the_statistics,
    check_hessian_of_psi_is_the_covariance_of_the_statistics,
    check_moments,
    check_round_trip_by_natural_parameters,
    check_round_trip_by_expectations,
    check_score,
    check_slope_of_the_log_density,
    check_bregman_divergence_is_least_at_the_solution,
    check_eager_compiled_and_batched_agree,
)
OF_INFORMATION = (
    check_entropy_and_varentropy,
    check_density_powers,
    check_renyi_entropies,
    check_renyi_entropies_about_one,
)


def all_hold(checks, oracle):
    """Every check, and all the failures."""
    failures = []
    for check in checks:
        try:
            check(oracle)
        except AssertionError as failure:
            failures.append(failure)
    if failures:
        raise ExceptionGroup(oracle.name, failures)


@every_oracle
def test_members(oracle):
    all_hold(OF_MEMBERS, oracle)


@every_oracle
def test_information(oracle):
    all_hold(OF_INFORMATION, oracle)


@every_oracle
def test_single_precision(oracle):
    """Same code, same answers to the precision of the inputs, same dtype."""
    truth = truths(oracle.name)
    single = {
        key: jnp.asarray(value, jnp.float32) for key, value in oracle.typical[0].items()
    }
    model = oracle.make(**single)
    x = truth["few"][0][2:6].astype(np.float32)
    got = {
        "log_prob": jax.vmap(model.log_prob)(x),
        "eta": model.expectation_params(),
        "mean": model.mean(),
        "std": model.std(),
    }
    again = oracle.family.from_expectation(got["eta"])
    assert all(v.dtype == jnp.float32 for v in got.values())
    assert all(v.dtype == jnp.float32 for v in jax.tree.leaves(again))
    assert model.rvs(3).dtype == jnp.float32
    want = {
        "log_prob": oracle.log_density(oracle.typical[0], x.astype(np.float64)),
        "eta": truth["eta"][0],
        "mean": truth["mean"][0],
        "std": np.sqrt(truth["var"][0]),
    }
    for key, value in got.items():
        np.testing.assert_allclose(value, want[key], rtol=2e-5, atol=2e-5, err_msg=key)
    eta = again.expectation_params()
    np.testing.assert_allclose(eta, truth["eta"][0], rtol=1e-4, atol=1e-4)
