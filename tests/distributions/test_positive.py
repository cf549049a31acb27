# pyright: reportAttributeAccessIssue=false
"""Tails, quantiles, moments and modes of the laws on (0, ∞)."""

from __future__ import annotations

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import gammaln

from normix import GIG, Gamma, InverseGamma, InverseGaussian

from .registry import POSITIVE, log_density_of_log, log_grid, log_moment
from .test_laws import all_hold, stack_parameters

IDS = [oracle.name for oracle in POSITIVE]
every_oracle = pytest.mark.parametrize("oracle", POSITIVE, ids=IDS)

# Down to where a double still has the tail, on either side
SMALL = np.array([1e-300, 1e-100, 1e-15, 1e-5, 0.01, 0.2, 0.499])
Q = np.concatenate([SMALL, [0.5, 0.7, 0.9, 0.999]])
ORDERS = np.array([-3.7, -2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0, 3.3])


@cache
def tails(name: str):
    """Quantiles of all members of a record, and the probabilities there."""
    oracle = POSITIVE[IDS.index(name)]

    def compute(parameters):
        law = oracle.make(**parameters)
        low, high = law.ppf(Q), law.isf(Q)
        x = jnp.stack([low, high])
        table = law.quantile_table()
        return {
            "x": x,
            "cdf": law.cdf(x),
            "sf": law.sf(x),
            "logcdf": law.logcdf(x),
            "logsf": law.logsf(x),
            "moments": law.raw_moments(ORDERS),
            "mode": law.mode(),
            "table": table.ppf(Q),
            "table_cdf": table.cdf(low),
        }

    ours = jax.jit(jax.vmap(compute))(stack_parameters(oracle.cases))
    return {key: np.asarray(value) for key, value in ours.items()}


def representable(x) -> np.ndarray:
    """Quantiles of power tails can be beyond the doubles."""
    return (x > 1e-290) & (x < 1e290)


# -- tails and quantiles -----------------------------------------------------------


def check_quantiles_invert_the_tails(oracle):
    ours = tails(oracle.name)
    x = ours["x"]
    inside = representable(x)
    assert inside.mean() > 0.7
    # x is rounded, and so is its logarithm.
    t = np.abs(np.log(np.where(inside, x, 1.0)))
    for row, name in enumerate(("cdf", "sf")):
        for k, case in enumerate(oracle.cases):
            p, a, b = oracle.gig(case)
            at = np.where(inside[k, row], x[k, row], 1.0)
            slope = np.abs(p) + 0.5 * (a * at + b / at)
            allowed = 1e-12 + 4e-16 * slope * (1 + t[k, row])
            error = np.abs(ours[name][k, row] / Q - 1)
            assert (error <= allowed)[inside[k, row]].all(), (name, case)


def check_tails_make_one(oracle):
    ours = tails(oracle.name)
    np.testing.assert_allclose(ours["cdf"] + ours["sf"], 1, rtol=1e-14)
    with np.errstate(divide="ignore"):
        for name in ("cdf", "sf"):
            logs = np.log(ours[name])
            np.testing.assert_allclose(ours["log" + name], logs, rtol=1e-12, atol=1e-14)


def check_quantiles_increase(oracle):
    x = tails(oracle.name)["x"]
    order = np.argsort(Q)
    low, high = x[:, 0, order], x[:, 1, order]
    inside = representable(low) & (low > 0)
    assert ((np.diff(low) > 0) | ~inside[:, 1:] | ~inside[:, :-1]).all()
    inside = representable(high)
    assert ((np.diff(high) < 0) | ~inside[:, 1:] | ~inside[:, :-1]).all()
    # The median from either side
    at = list(Q).index(0.5)
    np.testing.assert_allclose(x[:, 0, at], x[:, 1, at], rtol=1e-12)


def check_tails_are_integrals_of_the_density(oracle):
    """By Gauss-Legendre quadrature over log x, between quantiles."""
    nodes, weights = np.polynomial.legendre.leggauss(40)
    ours = tails(oracle.name)
    order = np.argsort(Q)
    for k, case in enumerate(oracle.cases):
        x, cdf = ours["x"][k, 0, order], ours["cdf"][k, 0, order]
        middle = Q[order] >= 1e-5
        s, cdf = np.log(x[middle]), cdf[middle]
        half = 0.5 * np.diff(s)
        p, a, b = oracle.gig(case)
        at = 0.5 * (s[1:] + s[:-1])[:, None] + half[:, None] * nodes
        want = half * (np.exp(log_density_of_log(p, a, b, at)) @ weights)
        np.testing.assert_allclose(np.diff(cdf), want, rtol=1e-8)


def check_tails_are_scipys(oracle):
    if oracle.scipy is None:
        return
    ours = tails(oracle.name)
    for k, case in enumerate(oracle.cases):
        law = oracle.scipy(case)
        x = ours["x"][k, 0, 3:]
        inside = representable(x)
        np.testing.assert_allclose(law.cdf(x)[inside], Q[3:][inside], rtol=1e-9)
        x = ours["x"][k, 1, 3:]
        np.testing.assert_allclose(law.sf(x), Q[3:], rtol=1e-9)


def check_quantile_tables(oracle):
    ours = tails(oracle.name)
    x = ours["x"][:, 0]
    inside = representable(x)
    np.testing.assert_allclose(ours["table"][inside], x[inside], rtol=1e-8)
    moderate = inside & (Q > 1e-16)
    wanted = np.broadcast_to(Q, x.shape)
    np.testing.assert_allclose(ours["table_cdf"][moderate], wanted[moderate], rtol=1e-8)


def test_ends():
    law = GIG(p=-0.7, a=0.9, b=2.0)
    x = np.array([-np.inf, -2.0, 0.0, np.inf, np.nan])
    np.testing.assert_array_equal(law.cdf(x), [0, 0, 0, 1, np.nan])
    np.testing.assert_array_equal(law.sf(x), [1, 1, 1, 0, np.nan])
    np.testing.assert_array_equal(law.logcdf(x)[:3], [-np.inf] * 3)
    q = np.array([0.0, 1.0, -0.1, 1.1, np.nan])
    np.testing.assert_array_equal(law.ppf(q), [0, np.inf, np.nan, np.nan, np.nan])
    np.testing.assert_array_equal(law.isf(q), [np.inf, 0, np.nan, np.nan, np.nan])
    table = law.quantile_table()
    np.testing.assert_array_equal(table.ppf(q), [0, np.inf, np.nan, np.nan, np.nan])
    np.testing.assert_array_equal(table.cdf(x[:4]), [0, 0, 0, 1])


def test_far_tails_have_logarithms():
    """Where the probability itself is below the least double."""
    law = Gamma(alpha=2.0, beta=1.0)
    x = 3000.0
    assert float(law.sf(x)) == 0
    assert float(law.logsf(x)) == pytest.approx(np.log1p(x) - x, rel=1e-14)
    mirrored = InverseGamma(alpha=2.0, beta=1.0)
    assert float(mirrored.logcdf(1 / x)) == pytest.approx(np.log1p(x) - x, rel=1e-13)


# -- moments -----------------------------------------------------------------------


def check_raw_moments(oracle):
    ours = tails(oracle.name)
    for k, case in enumerate(oracle.cases):
        p, a, b = oracle.gig(case)
        if b == 0:  # by the gamma function: at hand, and as good
            exists = ORDERS + p > 0
            safe = np.where(exists, ORDERS + p, 1.0)
            want = gammaln(safe) - gammaln(p) - ORDERS * np.log(a / 2)
            want = np.where(exists, want, np.inf)
        else:
            want = np.array([log_moment(p, a, b, order) for order in ORDERS])
        with np.errstate(over="ignore"):
            want = np.exp(want)
        np.testing.assert_allclose(ours["moments"][k], want, rtol=1e-9, err_msg=case)
        assert ours["moments"][k, list(ORDERS).index(0.0)] == pytest.approx(
            1, rel=1e-12
        )


def test_missing_moments_are_infinite():
    """At the very order too, and on either side of the law."""
    law = InverseGamma(alpha=1.5, beta=2.0)
    got = law.raw_moments(np.array([1.4, 1.5, 1.6, 20.0]))
    np.testing.assert_array_equal(np.isinf(got), [False, True, True, True])
    assert float(InverseGamma(alpha=1.0, beta=2.0).mean()) == np.inf
    assert float(InverseGamma(alpha=2.0, beta=2.0).var()) == np.inf
    assert float(InverseGamma(alpha=2.0, beta=2.0).std()) == np.inf
    assert float(InverseGamma(alpha=2.0, beta=2.0).mean()) == 2
    assert float(Gamma(alpha=1.5, beta=2.0).raw_moment(-1.5)) == np.inf
    assert np.isfinite(float(Gamma(alpha=1.5, beta=2.0).raw_moment(-1.4)))
    edge = GIG(p=-1.5, a=0.0, b=4.0)
    got = edge.raw_moments(np.array([1.4, 1.5, 1.6]))
    np.testing.assert_array_equal(np.isinf(got), [False, True, True])
    assert float(GIG(p=-0.9, a=0.0, b=4.0).mean()) == np.inf
    assert float(GIG(p=-1.9, a=0.0, b=4.0).var()) == np.inf
    assert float(GIG(p=0.7, a=3.0, b=0.0).expectation_params()[1]) == np.inf


def check_one_moment_at_a_time(oracle):
    law = oracle.make(**oracle.typical[0])
    want = tails(oracle.name)["moments"][0, -1]
    assert float(law.raw_moment(ORDERS[-1])) == pytest.approx(want, rel=1e-12)
    assert float(law.raw_moment(1)) == pytest.approx(float(law.mean()), rel=1e-12)


# -- the mode ----------------------------------------------------------------------


def check_mode(oracle):
    """No point of the reference density is higher, near by or far away."""
    ours = tails(oracle.name)
    around = np.concatenate([-(10.0 ** np.arange(-4, 2)), 10.0 ** np.arange(-4.0, 2)])
    for k, case in enumerate(oracle.cases):
        mode = ours["mode"][k]
        p, a, b = oracle.gig(case)
        if b == 0 and p <= 1:  # the density decreases
            assert mode == 0
            continue
        highest = oracle.log_density(case, np.array([mode]))[0]
        others = mode * np.exp(around)
        gap = highest - oracle.log_density(case, others)
        assert (gap > 0).all(), case
        # To second order, how far the highest point can be
        assert abs(gap[0] - gap[6]) < 1.0 + 0.5 * max(gap[0], gap[6])
        slope = (p - 1) / mode - 0.5 * a + 0.5 * b / mode**2
        size = abs(p - 1) / mode + 0.5 * a + 0.5 * b / mode**2
        assert abs(slope) <= 1e-13 * size, case


# Together, as they look at what is compiled once for a process.
OF_MEMBERS = (
    check_quantiles_invert_the_tails,
    check_tails_make_one,
    check_quantiles_increase,
    check_tails_are_integrals_of_the_density,
    check_quantile_tables,
    check_raw_moments,
    check_one_moment_at_a_time,
    check_mode,
    check_tails_are_scipys,
)


@every_oracle
def test_members(oracle):
    all_hold(OF_MEMBERS, oracle)


# -- relations ---------------------------------------------------------------------


@every_oracle
def test_the_same_law_as_a_gig(oracle):
    for case in oracle.typical:
        law = oracle.make(**case)
        x = float(law.ppf(0.3))
        gig = law.to_gig()
        assert float(gig.log_prob(x)) == pytest.approx(
            float(law.log_prob(x)), rel=1e-11
        )


def test_projections():
    """Onto a family that has the law: the law itself. Else, of least divergence."""
    gamma = GIG(p=2.5, a=3.0, b=0.0).to_gamma()
    np.testing.assert_allclose([gamma.alpha, gamma.beta], [2.5, 1.5], rtol=1e-12)
    inverse = GIG(p=-2.5, a=0.0, b=3.0).to_inverse_gamma()
    np.testing.assert_allclose([inverse.alpha, inverse.beta], [2.5, 1.5], rtol=1e-12)
    gaussian = GIG(p=-0.5, a=1.0, b=4.0).to_inverse_gaussian()
    np.testing.assert_allclose([gaussian.mu, gaussian.lam], [2.0, 4.0], rtol=1e-12)
    law = GIG(p=0.4, a=1.3, b=0.8)
    projections = [law.to_gamma(), law.to_inverse_gamma(), law.to_inverse_gaussian()]
    for best in projections:
        least = float(law.kl_divergence(best))
        assert least > 0
        theta = best.natural_params()
        for step in 0.02 * np.eye(2):
            for sign in (-1, 1):
                moved = type(best).from_natural(theta * (1 + sign * step))
                assert float(law.kl_divergence(moved)) > least


# -- random members ----------------------------------------------------------------

random_members = settings(
    max_examples=30, deadline=None, derandomize=True, database=None
)
orders = st.floats(-50, 50)
logs = st.floats(-6, 4)
scales = st.floats(-8, 8)
shares = st.floats(1e-12, 1 - 1e-12)


@jax.jit
def _round_trips(p, a, b, q):
    law = GIG(p=p, a=a, b=b)
    eta = law.expectation_params()
    again = GIG.from_expectation(eta)
    x = law.ppf(q)
    return x, law.cdf(x), eta, again.expectation_params(), again.kl_divergence(law)


@random_members
@given(orders, logs, scales, shares)
def test_any_gig(p, log_z, log_scale, q):
    z, scale = 10.0**log_z, 10.0**log_scale
    x, cdf, eta, again, kl = _round_trips(p, z / scale, z * scale, q)
    slope = abs(p) + 0.5 * (z / scale * x + z * scale / x)
    allowed = 1e-11 + 4e-16 * slope * (1 + abs(np.log(x)))
    assert abs(cdf - q) <= allowed * min(q, 1 - q) + 1e-16
    floor = np.array([1.0, 0.0, 0.0])
    assert (np.abs(again - eta) <= 1e-10 * np.maximum(np.abs(eta), floor)).all()
    assert -1e-10 <= kl <= 1e-8


@jax.jit
def _scaled(mu, lam, s):
    law = InverseGaussian(mu=mu, lam=lam)
    other = InverseGaussian(mu=s * mu, lam=s * lam)
    return jnp.stack([law.ppf(0.9) * s, other.ppf(0.9)]), other.kl_divergence(law)


@random_members
@given(scales, scales, st.floats(-3, 3))
def test_scale_is_a_unit(log_mu, log_ratio, log_s):
    mu, s = 10.0**log_mu, 10.0**log_s
    lam = mu * 10.0 ** (log_ratio / 2)
    quantiles, kl = _scaled(mu, lam, s)
    assert quantiles[0] == pytest.approx(float(quantiles[1]), rel=1e-10)
    # Of IG(mu, lam), both times s, from IG(mu, lam)
    want = 0.5 * (lam / mu) * (s - 1) ** 2 / s + 0.5 * (1 / s - 1 + np.log(s))
    assert float(kl) == pytest.approx(want, rel=1e-9, abs=1e-12 * (1 + lam / mu))


@jax.jit
def _gamma_fit(alpha, beta):
    law = Gamma(alpha=alpha, beta=beta)
    return Gamma.from_expectation(law.expectation_params())


@random_members
@given(st.floats(-2, 4), scales)
def test_any_gamma(log_alpha, log_beta):
    alpha, beta = 10.0**log_alpha, 10.0**log_beta
    again = _gamma_fit(alpha, beta)
    # log E[X] - E[log X] is about 1/(2 alpha): its digits are lost as alpha grows,
    # against logarithms of the scale.
    lost = (1 + abs(np.log(alpha)) + abs(np.log(beta))) * max(1, alpha) * 1e-15
    assert float(again.alpha) == pytest.approx(alpha, rel=1e-12 + 8 * lost)
    ratio = float(again.alpha) / float(again.beta)
    assert ratio == pytest.approx(alpha / beta, rel=1e-13)


def test_cauchy_like_quantiles():
    """A law without a mean still has quantiles: SciPy's Lévy law."""
    levy = InverseGamma(alpha=0.5, beta=0.5)
    q = np.array([1e-10, 0.01, 0.5, 0.99, 1 - 1e-6])
    np.testing.assert_allclose(levy.ppf(q), scipy.stats.levy.ppf(q), rtol=1e-9)


# -- narrow laws: what is left where log-partitions cancel --------------------------

# Of standard deviations down to 1e-5 of the mean, and the limits b = 0 and a = 0; the
# last one is broad.
NARROW = np.array(
    [
        (1.0, 1e10, 1e10),
        (-3.0, 2e9, 1e9),
        (1e8, 3.0, 4.0),
        (1e10, 2e10, 0.0),
        (-1e10, 0.0, 2e10),
        (-0.5, 1e12, 1e12),
        (2.0, 1.0, 3.0),
    ]
)
STANDARD = np.array([-6.0, -2.0, -0.3, 0.0, 0.5, 3.0, 7.0])


def deviated(p, a, b):
    """Points at so many standard deviations of log x from the mode of its density."""
    root = np.hypot(p, np.sqrt(a * b))
    mode = (root + p) / a if p >= 0 else b / (root - p)
    return mode * np.exp(STANDARD / np.sqrt(root))


@cache
def narrow():
    x = np.stack([deviated(*row) for row in NARROW])

    def compute(p, a, b, x):
        law, other = GIG(p=p, a=a, b=b), GIG(p=p, a=1.1 * a, b=b)
        one = law.scaled(1 + 1 / jnp.sqrt(jnp.hypot(p, jnp.sqrt(a * b))))
        return {
            "log_prob": jax.vmap(law.log_prob)(x),
            "slope": jax.vmap(jax.grad(law.log_prob))(x),
            "entropy": law.entropy(),
            "kl": jnp.stack([law.kl_divergence(q) for q in (law, one, other)]),
            "distance": jnp.stack([law.squared_hellinger(q) for q in (law, one)]),
        }

    ours = jax.jit(jax.vmap(compute))(*NARROW.T, x)
    return {key: np.asarray(value) for key, value in ours.items()}, x


def test_densities_of_narrow_laws():
    ours, x = narrow()
    for k, (p, a, b) in enumerate(NARROW):
        want = log_density_of_log(p, a, b, np.log(x[k])) - np.log(x[k])
        np.testing.assert_allclose(ours["log_prob"][k], want, rtol=0, atol=3e-9)
        # In standard deviations; x is given to so many digits of one.
        sd = x[k] / np.sqrt(np.hypot(p, np.sqrt(a * b)))
        want = ((p - 1) / x[k] - 0.5 * a + 0.5 * b / x[k] ** 2) * sd
        np.testing.assert_allclose(ours["slope"][k] * sd, want, rtol=0, atol=1e-8)
    # The mode itself is a double: nothing is lost to x.
    law = InverseGaussian(mu=1.0, lam=1e12)
    want = 0.5 * np.log(1e12 / (2 * np.pi))
    assert float(law.log_prob(1.0)) == pytest.approx(want, rel=1e-15)


def test_information_of_narrow_laws():
    """Entropies and divergences by integrals over ``log x``."""
    ours, _ = narrow()
    for k, (p, a, b) in enumerate(NARROW):
        root = np.hypot(p, np.sqrt(a * b))
        s = log_grid(p, a, b)
        log_density = log_density_of_log(p, a, b, s)
        weight = np.exp(log_density) * (s[1] - s[0])
        entropy = weight @ (s - log_density)
        assert ours["entropy"][k] == pytest.approx(
            entropy, abs=1e-8
        )  # the grid's step is rounded
        gap = 1 + 1 / np.sqrt(root)
        others = ((p, a, b), (p, a / gap, b * gap), (p, 1.1 * a, b))
        for j, q in enumerate(others):
            ratio = log_density - log_density_of_log(*q, s)
            want = pytest.approx(weight @ ratio, rel=1e-9, abs=2e-10)
            assert ours["kl"][k, j] == want, (p, a, b)
        log_other = log_density_of_log(*others[1], s)
        affinity = np.exp(0.5 * (log_density + log_other)).sum() * (s[1] - s[0])
        np.testing.assert_allclose(
            ours["distance"][k], [0, 1 - affinity], rtol=1e-8, atol=1e-10
        )


@pytest.mark.parametrize("family", [Gamma, InverseGamma, InverseGaussian])
def test_families_of_narrow_laws_agree(family):
    """The closed forms of what GIG computes by quadrature."""
    one, two = ((3e9, 2e9), (3.1e9, 2.1e9))
    if family is InverseGaussian:
        one, two = ((1.5, 3e9), (1.500_02, 3.1e9))
    law, other = family(*one), family(*two)
    as_gig, other_gig = law.to_gig(), other.to_gig()
    pairs = (
        (law.entropy(), as_gig.entropy()),
        (law.kl_divergence(other), as_gig.kl_divergence(other_gig)),
        (law.squared_hellinger(other), as_gig.squared_hellinger(other_gig)),
        (law.log_prob(law.mean()), as_gig.log_prob(law.mean())),
    )
    for got, want in pairs:
        assert float(got) == pytest.approx(float(want), rel=1e-9, abs=1e-9)


def test_tails_of_narrow_laws():
    x = deviated(*NARROW[3])
    law, reference = Gamma(alpha=1e10, beta=1e10), scipy.stats.gamma(1e10, scale=1e-10)
    # SciPy has no digit of the first.
    np.testing.assert_allclose(law.cdf(x)[1:], reference.cdf(x)[1:], rtol=1e-8)
    np.testing.assert_allclose(law.sf(x), reference.sf(x), rtol=1e-8)
    limit = scipy.stats.norm.cdf(STANDARD)
    np.testing.assert_allclose(law.cdf(x), limit, rtol=1e-3)
    sd = 1e-5
    np.testing.assert_allclose(
        (law.ppf(Q[3:]) - 1) / sd, (reference.ppf(Q[3:]) - 1) / sd, atol=1e-9
    )


def test_narrow_laws_in_single_precision():
    x = np.float32(1 + 3e-4 * np.linspace(-3, 3, 7))
    shape = jnp.float32(1e6)
    exact = x.astype(float)
    cases = (
        (Gamma(shape, shape), scipy.stats.gamma(1e6, scale=1e-6)),
        (InverseGamma(shape, shape), scipy.stats.invgamma(1e6, scale=1e6)),
        (
            InverseGaussian(jnp.float32(1), shape),
            scipy.stats.invgauss(1e-6, scale=1e6),
        ),
    )
    for law, reference in cases:
        got = jax.vmap(law.log_prob)(x)
        assert got.dtype == jnp.float32
        np.testing.assert_allclose(got, reference.logpdf(exact), rtol=0, atol=2e-3)


@pytest.mark.parametrize("shift", [1e2, 1e7, 1e11])
@pytest.mark.parametrize("family", [Gamma, InverseGamma, InverseGaussian, GIG])
def test_likelihood_of_data_far_from_zero(family, shift):
    """All are nearly normal, with the sample's standard deviation."""
    x = shift + np.random.default_rng(0).normal(0, 1e-6 * shift, 400)
    law = family.fit_mle(x)
    assert float(law.std()) == pytest.approx(np.std(x), rel=1e-5)
    assert float(law.mean()) == pytest.approx(np.mean(x), rel=1e-12)


def test_single_precision_data():
    """With double precision enabled they are taken to it."""
    x = (10_000 + np.random.default_rng(0).normal(size=300)).astype(np.float32)
    spread = np.std(x.astype(float))
    for family in (Gamma, InverseGamma, InverseGaussian, GIG):
        for data in (x, jnp.asarray(x)):
            law = family.fit_mle(data)
            assert float(law.std()) == pytest.approx(spread, rel=1e-4)


# -- the ends of the floating-point range -------------------------------------------


def test_shapes_whose_quantiles_underflow():
    """A quarter of a gamma law of shape 4e-4 lies below 1e-305."""
    x = np.array([1e-305, 1e-300, 1e-30, 1e-3, 1.0, 20.0])
    for shape in (4e-4, 2e-3, 0.05):
        law, reference = Gamma(alpha=shape, beta=1.0), scipy.stats.gamma(shape)
        below = np.exp(shape * np.log(x[:3]) - gammaln(1 + shape))
        np.testing.assert_allclose(law.cdf(x[:3]), below, rtol=1e-9)
        np.testing.assert_allclose(law.cdf(x[3:]), reference.cdf(x[3:]), rtol=1e-9)
        np.testing.assert_allclose(law.sf(x[3:]), reference.sf(x[3:]), rtol=1e-9)
        mirrored = InverseGamma(alpha=shape, beta=1.0)
        np.testing.assert_allclose(mirrored.sf(1 / x), law.cdf(x), rtol=1e-11)
    law = Gamma(alpha=4e-4, beta=1.0)
    assert float(law.sf(1e-305)) == pytest.approx(0.244733511, abs=1e-9)
    assert float(law.ppf(0.7535)) == pytest.approx(2.868154e-308, rel=1e-5)
    for member in (law, InverseGamma(alpha=4e-4, beta=1.0)):
        draws = np.asarray(member.rvs(2000, method="inversion"))
        assert not np.isnan(draws).any()
    # P(X > 1e-30), as SciPy's, in draws
    assert np.mean(law.rvs(2000, method="inversion") > 1e-30) < 0.05
    # In single precision a shape of 1e-2 is as small.
    single = Gamma(jnp.float32(1e-2), jnp.float32(1))
    got = single.cdf(jnp.float32(1e-37))
    assert float(got) == pytest.approx(scipy.stats.gamma(1e-2).cdf(1e-37), rel=1e-4)


def test_points_beyond_which_exponents_overflow():
    law, mirrored = Gamma(alpha=2.0, beta=1e8), InverseGamma(alpha=2.0, beta=1e8)
    assert (float(law.cdf(1e305)), float(law.sf(1e305))) == (1, 0)
    assert (float(mirrored.cdf(1e-305)), float(mirrored.sf(1e-305))) == (0, 1)
    gig = GIG(p=1.0, a=1e8, b=1.0)
    assert (float(gig.cdf(1e305)), float(gig.sf(1e305))) == (1, 0)
    wald = InverseGaussian(mu=1.0, lam=1e8)
    for member in (law, mirrored, gig, wald):
        assert float(member.log_prob(np.inf)) == -np.inf
        assert float(member.log_prob(-1.0)) == -np.inf
        assert np.isnan(float(member.log_prob(np.nan)))
        assert np.isfinite(float(jax.grad(member.log_prob)(1.0)))


def test_density_at_zero():
    """Its limit, as in SciPy."""
    for shape in (0.5, 1.0, 1.5):
        want = scipy.stats.gamma(shape, scale=0.25).pdf(0)
        for law in (Gamma(alpha=shape, beta=4.0), GIG(p=shape, a=8.0, b=0.0)):
            assert float(law.pdf(0.0)) == pytest.approx(want)
    for law in (InverseGamma(alpha=1.0, beta=1.0), GIG(p=0.5, a=1.0, b=1.0)):
        assert float(law.pdf(0.0)) == 0


def test_draws_of_a_heavy_inverse_gaussian():
    """As mu grows the law becomes Lévy's, of lam over a squared normal."""
    for mu in (1e9, 1e160, 1e300):
        x = np.asarray(InverseGaussian(mu=mu, lam=1.0).rvs(4000))
        assert scipy.stats.kstest(x, scipy.stats.levy.cdf).pvalue > 1e-3


def test_modes_at_extreme_scales():
    for z, p, want in (
        (1e-200, 1.0, 1.0),
        (1e200, 1.0, 1.0),
        (1e-200, 0.5, 1e-200),
        (1e-200, 2.0, 2e200),
    ):
        assert float(GIG(p=p, a=z, b=z).mode()) == pytest.approx(want, rel=1e-14)
