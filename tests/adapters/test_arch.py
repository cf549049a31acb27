"""Innovations for arch: against SciPy, arch's own laws and simulated truth."""

import math
import pickle
from typing import Any

import jax
import numpy as np
import pandas as pd
import pytest
from arch import arch_model
from arch.univariate import GARCH, StudentsT, ZeroMean
from scipy import integrate, optimize, special, stats
from statsmodels.tools.numdiff import approx_hess

from normix.adapters import _arch_density
from normix.adapters.arch import (
    StandardizedGeneralizedHyperbolic,
    StandardizedNormalInverseGamma,
    StandardizedNormalInverseGaussian,
    StandardizedVarianceGamma,
)

SHAPES = {
    StandardizedNormalInverseGaussian: [(0.06, 0.05), (0.6, -0.15), (0.95, 0.3)],
    StandardizedVarianceGamma: [(0.06, 0.05), (0.6, -0.15), (0.75, 0.3)],
    StandardizedNormalInverseGamma: [(0.06, 0.05), (0.6, -0.15), (0.8, 0.0)],
    StandardizedGeneralizedHyperbolic: [
        (0.06, 0.05, 0.9),
        (0.6, -0.15, 0.3),
        (0.6, -0.15, -0.99),
        (0.9, 0.3, 0.7),
    ],
}
CASES = [(cls, shape) for cls, shapes in SHAPES.items() for shape in shapes]
FAMILIES = list(SHAPES)
NAMES = ["mu", "omega", "alpha[1]", "beta[1]", "xi", "chi"]
TRUTH = np.array([0.05, 0.05, 0.08, 0.9, 0.6, -0.15])
N = 2500
LENGTH = 320  # one of those that numbers of rows are rounded up to


def named(cls):
    return cls.__name__.removeprefix("Standardized")


def scipy_nig(xi, chi) -> Any:
    """SciPy's law of mean 0 and variance 1 with this ζ and ρ."""
    zeta, rho = 1 / xi**2 - 1, chi / xi
    a = zeta / math.sqrt(1 - rho**2)
    law: Any = stats.norminvgauss(a, rho * a)
    scale = 1 / law.std()
    return stats.norminvgauss(a, rho * a, loc=-law.mean() * scale, scale=scale)


def garch(z, mu, omega, alpha, beta, burn=500):
    """A series with the innovations ``z``, less its beginning."""
    out, variance, error = np.empty(len(z)), omega / (1 - alpha - beta), 0.0
    for t, value in enumerate(z):
        if t:
            variance = omega + alpha * error**2 + beta * variance
        error = math.sqrt(variance) * value
        out[t] = mu + error
    return out[burn:]


def nig_series(seed):
    rng, (*volatility, xi, chi) = np.random.default_rng(seed), TRUTH
    return garch(scipy_nig(xi, chi).rvs(N + 500, random_state=rng), *volatility)


def model_of(y, distribution) -> Any:
    model = arch_model(y)
    model.distribution = distribution
    return model


@pytest.fixture(scope="module")
def fitted():
    y = pd.Series(nig_series(0), pd.bdate_range("2012-01-02", periods=N))
    return model_of(y, StandardizedNormalInverseGaussian(seed=7)).fit(disp="off")


# -- the law -----------------------------------------------------------------------


@pytest.mark.parametrize(("cls", "shape"), CASES, ids=str)
def test_mean_0_and_variance_1(cls, shape):
    """By the trapezoid rule in the logarithm of the distance from the peak."""
    law = cls().law(shape)
    peak = float(law.mu) if shape[0] > 0.5 else 0.0
    s = np.linspace(-40, 14, LENGTH)
    for sign in (-1, 1):
        x = peak + sign * np.exp(s)
        mass = np.exp(np.asarray(law.log_prob(x)) + s) * (s[1] - s[0])
        part = [np.sum(mass * x**k) for k in range(4)]
        total = part if sign < 0 else [a + b for a, b in zip(total, part, strict=True)]
    assert np.allclose(total[:3], [1, 0, 1], rtol=0, atol=1e-9)
    assert float(law.mean()) == pytest.approx(0, abs=1e-9)
    assert float(law.var()) == pytest.approx(1, abs=1e-9)
    if cls is not StandardizedNormalInverseGamma:  # of which the tails are too long
        assert total[3] == pytest.approx(float(law.skewness()), abs=1e-8)


@pytest.mark.parametrize(("cls", "shape"), CASES, ids=str)
def test_log_likelihood_is_that_of_the_law(cls, shape):
    rng = np.random.default_rng(1)
    resids, sigma2 = rng.standard_t(4, LENGTH), rng.uniform(0.1, 5, LENGTH)
    distribution = cls()
    law = distribution.law(shape)
    values = distribution.loglikelihood(shape, resids, sigma2, individual=True)
    assert values.shape == (LENGTH,)
    every = law.log_prob(resids / np.sqrt(sigma2)) - 0.5 * np.log(sigma2)
    assert np.allclose(values, every, rtol=1e-12, atol=0)
    total = distribution.loglikelihood(shape, resids, sigma2)
    assert type(total) is float and total == pytest.approx(values.sum(), rel=1e-14)


def test_against_scipy():
    x = np.linspace(-8, 6, LENGTH)
    one = np.ones_like(x)
    nig = StandardizedNormalInverseGaussian()
    law = scipy_nig(0.7, -0.2)
    found = nig.loglikelihood([0.7, -0.2], x, one, individual=True)
    assert np.allclose(found, law.logpdf(x), rtol=1e-11, atol=0)
    assert np.allclose(nig.cdf(x, [0.7, -0.2]), law.cdf(x), rtol=0, atol=1e-8)
    # A shape of 1: the asymmetric Laplace law.
    vg: Any = StandardizedVarianceGamma().law([math.sqrt(0.5), 0.3])
    kappa = optimize.brentq(
        lambda k: stats.laplace_asymmetric.stats(k, moments="s") - vg.skewness(), 0.1, 9
    )
    laplace: Any = stats.laplace_asymmetric(kappa)
    there = laplace.mean() + laplace.std() * x
    wanted = laplace.logpdf(there) + math.log(laplace.std())
    assert np.allclose(vg.log_prob(x), wanted, rtol=1e-9, atol=1e-9)
    # SciPy's generalized hyperbolic law, of the order p, by ᾱ = δα and δβ.
    gh = StandardizedGeneralizedHyperbolic()
    ours: Any = gh.law([0.6, 0.1, 0.5])
    delta = math.sqrt(float(ours.b * ours.sigma()))
    beta = float(ours.gamma / ours.sigma())
    alpha = math.sqrt(float(ours.a / ours.sigma()) + beta**2)
    theirs: Any = stats.genhyperbolic(
        float(ours.p), delta * alpha, delta * beta, float(ours.mu), delta
    )
    found = gh.loglikelihood([0.6, 0.1, 0.5], x, one, individual=True)
    assert np.allclose(found, theirs.logpdf(x), rtol=1e-10, atol=0)


@pytest.mark.slow
def test_the_symmetric_skew_t_is_the_t_of_arch():
    xi = 0.5
    ours, theirs = StandardizedNormalInverseGamma(), StudentsT()
    shape, nu = [xi, 0.0], [2 + 2 / xi**2]
    rng = np.random.default_rng(3)
    resids, sigma2 = rng.standard_t(4, LENGTH), rng.uniform(0.1, 5, LENGTH)
    a = ours.loglikelihood(shape, resids, sigma2, individual=True)
    b = theirs.loglikelihood(nu, resids, sigma2, individual=True)
    assert np.allclose(a, b, rtol=1e-12, atol=0)
    q = np.array([1e-6, 0.01, 0.3, 0.99])
    assert np.allclose(ours.ppf(q, shape), theirs.ppf(q, nu), rtol=1e-10)
    x = resids[:50]
    assert np.allclose(ours.cdf(x, shape), theirs.cdf(x, nu), rtol=1e-10)
    for n in (0, 1, 2, 4, 6, 8):
        even = (
            8 ** (n / 2) * special.poch(0.5, n // 2) / special.poch(5 - n / 2, n // 2)
        )
        wanted = even if n % 2 == 0 else 0.0
        assert ours.moment(n, shape) == pytest.approx(wanted, rel=1e-9)
    for n in range(5):
        for z in (-3.0, -0.5, 0.0, 1.5):
            wanted = theirs.partial_moment(n, z, nu)
            found = ours.partial_moment(n, z, shape)
            assert found == pytest.approx(wanted, rel=1e-8, abs=1e-12)
    assert math.isnan(ours.moment(10, shape))


def test_moments_by_quadrature():
    shape = [0.7, 0.2]
    distribution, law = StandardizedNormalInverseGaussian(), scipy_nig(0.7, 0.2)

    def moment(n, z=60.0):
        def integrand(x):
            return x**n * law.pdf(x)

        return integrate.quad(integrand, -60, z, limit=200)[0]

    for n in (3, 4, 5):
        assert distribution.moment(n, shape) == pytest.approx(moment(n), rel=1e-7)
    found = distribution.partial_moment(3, 0.4, shape)
    assert found == pytest.approx(moment(3, 0.4), rel=1e-7)
    assert distribution.partial_moment(2, -math.inf, shape) == 0
    assert distribution.partial_moment(2, math.inf, shape) == pytest.approx(1, rel=1e-9)
    assert math.isnan(distribution.moment(-1, shape))
    # A skew t law with ν = 5: to the left no third moment, to the right all.
    heavy = [math.sqrt(2 / 3), -0.1]
    skew_t = StandardizedNormalInverseGamma()
    assert math.isnan(skew_t.partial_moment(3, 0.0, heavy))
    assert math.isnan(skew_t.moment(3, heavy)) and math.isnan(skew_t.moment(5, heavy))


def test_families_within_the_generalized_hyperbolic():
    x = np.linspace(-8, 6, LENGTH)
    one, xi, chi = np.ones_like(x), 0.6, -0.15
    gh = StandardizedGeneralizedHyperbolic()
    for cls, kappa in (
        (StandardizedNormalInverseGamma, -1),
        (StandardizedNormalInverseGaussian, xi**2 / 2),
        (StandardizedVarianceGamma, 1),
    ):
        a = cls().loglikelihood([xi, chi], x, one, individual=True)
        b = gh.loglikelihood([xi, chi, kappa], x, one, individual=True)
        assert np.allclose(a, b, rtol=1e-10, atol=0), cls


@pytest.mark.parametrize("cls", FAMILIES, ids=named)
def test_near_the_normal_law(cls):
    """Skewness 3χ and excess kurtosis 3ξ² for all families, with χ small beside ξ."""
    shape = [0.02, 0.0004] + [0.4] * (cls().num_params - 2)
    law = cls().law(shape)
    assert float(law.skewness()) == pytest.approx(0.0012, rel=2e-3)
    assert float(law.kurtosis()) == pytest.approx(0.0012, rel=5e-3)
    x = np.linspace(-4, 4, LENGTH)
    assert np.allclose(law.log_prob(x), stats.norm.logpdf(x), rtol=0, atol=0.1)


@pytest.mark.parametrize("kappa", [-1, -0.995, -0.5, 0, 0.3, 0.995, 1])
@pytest.mark.parametrize("xi", [0.05, 0.3, 0.6, 0.9, 0.99])
def test_mixing_law_of_the_generalized_hyperbolic(xi, kappa):
    law: Any = StandardizedGeneralizedHyperbolic().law([xi, 0.0, kappa])
    mean, var = law.joint.subordinator.cumulants(2)
    assert float(mean) == pytest.approx(1, rel=1e-11)
    assert float(var) == pytest.approx(xi**2 / (1 - xi**2), rel=1e-9)
    assert float(law.p) == pytest.approx(-1 + kappa / xi**2, rel=1e-12)


@pytest.mark.parametrize("cls", FAMILIES, ids=named)
def test_bounds_hold_starts_and_outside_the_nearest_counts(cls):
    distribution = cls()
    z: Any = stats.gamma.rvs(0.5, size=LENGTH, random_state=1)
    z = -(z - z.mean()) / z.std()
    start = distribution.starting_values(z)
    A, b = distribution.constraints()
    assert start.shape == (distribution.num_params,) and (A @ start > b).all()
    for value, (low, high) in zip(start, distribution.bounds(z), strict=True):
        assert low < value < high
    rest, one = start[2:], np.ones_like(z)
    for xi, chi in ((0.5, 0.7), (-1.0, 0.0), (2.0, -0.1), (0.0, 0.0)):
        value = distribution.loglikelihood([xi, chi, *rest], z, one)
        assert math.isfinite(value)
    assert not math.isfinite(distribution.loglikelihood([math.nan, 0.0, *rest], z, one))


def test_bad_input():
    nig, gh = StandardizedNormalInverseGaussian(), StandardizedGeneralizedHyperbolic()
    parameters: Any
    for parameters, message in (
        ([0.5], r"2 numbers, xi, chi; got shape \(1,\)"),
        (None, "2 numbers"),
        ([1.0, 0.0], "xi must be between 0 and 1"),
        ([math.nan, 0.0], "xi must be between 0 and 1"),
        ([0.5, -0.5], "chi must be between"),
    ):
        for call in (nig.law, nig.simulate, lambda p: nig.cdf(0.0, p)):
            with pytest.raises(ValueError, match=message):
                call(parameters)
        for call in (nig.ppf, nig.moment, nig.partial_moment):
            with pytest.raises(ValueError, match=message):
                call(1, parameters=parameters)
    with pytest.raises(ValueError, match="kappa must be between -1 and 1"):
        gh.law([0.5, 0.0, 1.5])
    with pytest.raises(TypeError, match="seed"):
        # A type that the signature excludes, for callers without a type checker.
        StandardizedVarianceGamma(seed="x")  # type: ignore[arg-type]
    with jax.enable_x64(False), pytest.raises(ValueError, match="double precision"):
        StandardizedVarianceGamma()


# -- simulation --------------------------------------------------------------------


@pytest.mark.parametrize("cls", FAMILIES, ids=named)
def test_simulation(cls):
    shape = [0.6, -0.15] + [0.3] * (cls().num_params - 2)
    distribution = cls(seed=5)
    draw = distribution.simulate(shape)
    draws = [draw((N + 500, 1)) for _ in range(10)]
    assert draws[0].shape == (N + 500, 1)
    flat = np.concatenate(draws).ravel()
    assert flat.mean() == pytest.approx(0, abs=5 / math.sqrt(flat.size))
    assert flat.var() == pytest.approx(1, abs=0.08)
    law = distribution.law(shape)
    if cls is StandardizedNormalInverseGaussian:
        test = stats.kstest(flat[:500], scipy_nig(0.6, -0.15).cdf)
        assert test.pvalue > 0.001
    if cls is not StandardizedNormalInverseGamma:  # whose kurtosis is infinite
        assert stats.skew(flat) == pytest.approx(float(law.skewness()), abs=0.15)


def test_simulations_repeat():
    shape, nig = [0.6, -0.15], StandardizedNormalInverseGaussian
    for seed in (lambda: 3, lambda: np.random.default_rng(3)):
        a, b = (nig(seed=seed()).simulate(shape)(N) for _ in range(2))
        assert np.array_equal(a, b)
    states = (np.random.RandomState(3) for _ in range(2))
    a, b = (nig(seed=state).simulate(shape)(N) for state in states)
    assert np.array_equal(a, b)
    draw = nig(seed=3).simulate(shape)
    assert not np.array_equal(draw(N), draw(N))


# -- fits --------------------------------------------------------------------------


def test_against_a_direct_maximisation(fitted):
    """An own GARCH recursion and SciPy's density, maximised by SciPy."""
    y = nig_series(0)
    first = fitted.model.volatility.backcast(y - y.mean())

    def minus(parameters):
        mu, omega, alpha, beta, xi, chi = parameters
        errors, variance = y - mu, np.empty(N)
        last = omega + (alpha + beta) * first
        for t in range(N):
            if t:
                last = omega + alpha * errors[t - 1] ** 2 + beta * last
            variance[t] = last
        sd = np.sqrt(variance)
        return -np.sum(scipy_nig(xi, chi).logpdf(errors / sd) - np.log(sd))

    start = TRUTH + [0.01, 0.01, -0.01, -0.01, 0.03, 0.02]
    bounds = [(-1, 1), (1e-4, 1), (0, 0.4), (0.5, 0.99), (0.4, 0.9), (-0.3, 0.3)]
    best = optimize.minimize(minus, start, method="L-BFGS-B", bounds=bounds, tol=1e-10)
    assert fitted.loglikelihood == pytest.approx(-best.fun, abs=1e-4)
    assert np.allclose(fitted.params, best.x, rtol=0, atol=0.05 * fitted.std_err)
    assert fitted.params.index.tolist() == NAMES
    # Differences of likelihoods are of SciPy's, too.
    at = np.asarray(fitted.params)
    assert -minus(at) == pytest.approx(fitted.loglikelihood, abs=1e-8)
    wanted = np.sqrt(np.diag(np.linalg.inv(approx_hess(at, minus))))
    found = np.sqrt(np.diag(fitted.model.compute_param_cov(at, robust=False)))
    assert np.allclose(found, wanted, rtol=1e-3)


@pytest.mark.slow
def test_parameters_are_recovered():
    """Of 20 series' 120 parameters 95.4 % lie within two standard errors, about."""
    distances = []
    for seed in range(20):
        model = model_of(nig_series(seed), StandardizedNormalInverseGaussian())
        result = model.fit(disp="off")
        assert result.convergence_flag == 0
        distances.append((result.params - TRUTH) / result.std_err)
    sizes = np.abs(np.array(distances))
    # 112, 117 and 75 of 120; the normal law says 114.5, 119.7 and 81.9.
    assert (sizes < 2).sum() >= 108
    assert (sizes < 3).sum() >= 115
    assert 65 <= (sizes < 1).sum() <= 95
    # Of the two of the shape alone: 38 or 39 of 40 are to be expected.
    assert (sizes[:, 4:] < 2).sum() >= 36


def test_summary_names_the_parameters(fitted):
    text = str(fitted.summary())
    assert "Standardized normal inverse Gaussian" in text
    assert "xi " in text and "chi " in text
    assert np.isfinite(fitted.std_err).all()
    assert fitted.num_params == 6


def test_forecasts(fitted):
    options = {"horizon": 3, "reindex": False, "simulations": 1000}
    analytic = fitted.forecast(horizon=3, reindex=False).variance.to_numpy()
    for method in ("simulation", "bootstrap"):
        state = np.random.RandomState(1)
        found = fitted.forecast(method=method, random_state=state, **options)
        assert np.allclose(found.variance, analytic, rtol=0.1)
        assert found.simulations.values.shape == (1, 1000, 3)
    law = fitted.model.distribution.law(fitted.params[["xi", "chi"]])
    day = law.affine(math.sqrt(analytic[0, 0]), fitted.params["mu"])
    draws = fitted.forecast(method="simulation", **options).simulations.values[0, :, 0]
    beyond = (draws < -float(day.value_at_risk(0.95))).mean()
    assert beyond == pytest.approx(0.05, abs=0.03)


def test_results_can_be_pickled(fitted):
    again = pickle.loads(pickle.dumps(fitted))
    assert again.model.distribution.name == fitted.model.distribution.name
    assert np.array_equal(again.params, fitted.params)


@pytest.mark.parametrize("cls", FAMILIES, ids=named)
def test_families_recover_what_they_simulate(cls):
    truth = [0.1, 0.1, 0.8, 0.55, -0.15] + [0.3] * (cls().num_params - 2)
    model = ZeroMean(volatility=GARCH(), distribution=cls(seed=2))
    data = model.simulate(truth, N)["data"]
    result: Any = ZeroMean(data, volatility=GARCH(), distribution=cls()).fit(disp="off")
    assert result.convergence_flag == 0
    assert (abs(result.params - truth) < 4 * result.std_err).all()
    assert ("kappa" in result.params) == (len(truth) == 6)
    names = result.model.distribution.parameter_names()
    law = result.model.distribution.law(result.params[names])
    assert float(law.var()) == pytest.approx(1, abs=1e-9)
    # No better point nearby.
    at = np.asarray(result.params)
    for k, step in enumerate(result.std_err / 10):
        for sign in (-1, 1):
            near = at.copy()
            near[k] += sign * step
            assert model_value(result, near) < result.loglikelihood + 1e-4


def model_value(result, parameters):
    return result.model.fix(parameters).loglikelihood


def test_normal_innovations():
    z = np.random.default_rng(5).standard_normal(N + 500)
    y = garch(z, *TRUTH[:4])
    reference = arch_model(y).fit(disp="off").loglikelihood
    for cls in FAMILIES:
        result = model_of(y, cls()).fit(disp="off")
        assert result.convergence_flag == 0
        assert result.params["xi"] < 0.2
        # Two or three parameters more gain half a chi squared variable; the least ξ
        # costs next to nothing.
        assert -0.05 < result.loglikelihood - reference < 6


def test_innovations_of_infinite_kurtosis():
    z = np.random.default_rng(5).standard_t(3, N + 500) / math.sqrt(3)
    y = garch(z, *TRUTH[:4])
    for cls in FAMILIES:
        result = model_of(y, cls()).fit(disp="off")
        assert result.convergence_flag == 0
        assert result.params["xi"] > 0.7
        assert result.params["xi"] <= cls().bounds(y)[0][1]
        assert np.isfinite(result.std_err).all()


def test_another_length_compiles_nothing():
    nig = StandardizedNormalInverseGaussian()
    z = nig_series(0)
    nig.loglikelihood([0.6, 0.1], z[:2100], np.ones(2100))
    programs: Any = _arch_density._log_densities._outer
    count = programs._cache_size()
    for n in (2049, 2300, 2500):
        nig.loglikelihood([0.5, 0.1], z[:n], np.ones(n))
    StandardizedGeneralizedHyperbolic().loglikelihood([0.5, 0.1, 0], z, np.ones(N))
    assert programs._cache_size() == count
