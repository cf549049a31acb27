# pyright: reportArgumentType=false, reportAttributeAccessIssue=false
"""Laws of normix in SciPy's terms, beside SciPy's own laws."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from scipy import stats

import normix
from normix import FiniteMixture
from normix.adapters.scipy import Multivariate, Univariate, distribution
from normix.parametrizations import to_norminvgauss

NIG = normix.UnivariateNormalInverseGaussian.from_classical(
    mu=0.1, gamma=0.3, sigma=1.0, mu_ig=1.0, lam=1.5
)
GAMMA = normix.Gamma(alpha=2.0, beta=3.0)
LAWS = {
    "nig": (
        distribution(NIG),
        stats.norminvgauss(**{k: float(v) for k, v in to_norminvgauss(NIG).items()}),
    ),
    "gamma": (distribution(GAMMA), stats.gamma(2, scale=1 / 3)),
}
X = np.array([[-3.0, -0.5, 0.0], [0.2, 1.0, 6.0]])
Q = np.array([0.0, 1e-6, 0.3, 0.5, 0.999, 1.0])


@pytest.mark.parametrize("name", LAWS)
@pytest.mark.parametrize("method", ["pdf", "logpdf", "cdf", "logcdf", "sf", "logsf"])
def test_at_points(name, method):
    mine, own = LAWS[name]
    found = getattr(mine, method)(X)
    assert found.shape == X.shape
    # SciPy's tails of the normal inverse Gaussian law are integrals of its density.
    rtol = 1e-12 if name == "gamma" or "pdf" in method else 1e-7
    np.testing.assert_allclose(found, getattr(own, method)(X), rtol=rtol, atol=1e-14)


@pytest.mark.parametrize("name", LAWS)
def test_quantiles(name):
    mine, own = LAWS[name]
    np.testing.assert_allclose(mine.ppf(Q), own.ppf(Q), rtol=1e-6)
    # One by one: SciPy's isf of several returns one value for all.
    wanted = [own.isf(q) for q in Q]
    np.testing.assert_allclose(mine.isf(Q), wanted, rtol=1e-6)
    assert np.isnan(mine.ppf(1.5))
    assert mine.median() == pytest.approx(own.median(), rel=1e-9)
    np.testing.assert_allclose(mine.interval(0.9), own.interval(0.9), rtol=1e-9)
    assert mine.support() == own.support()


@pytest.mark.parametrize("name", LAWS)
def test_moments_entropy_and_expectations(name):
    mine, own = LAWS[name]
    np.testing.assert_allclose(
        mine.stats(moments="mvsk"), own.stats(moments="mvsk"), rtol=1e-10
    )
    assert mine.mean() == pytest.approx(own.mean(), rel=1e-12)
    assert mine.std() == pytest.approx(own.std(), rel=1e-12)
    assert mine.moment(3) == pytest.approx(own.moment(3), rel=1e-9)
    assert mine.entropy() == pytest.approx(own.entropy(), abs=1e-12)
    for ends in ({}, {"lb": 0.5}, {"lb": 0.2, "ub": 1.0, "conditional": True}):
        assert mine.expect(np.abs, **ends) == pytest.approx(
            own.expect(np.abs, **ends), rel=1e-8
        )


def test_higher_moments_and_options():
    law, _ = LAWS["nig"]
    fifth = law.expect(lambda x: x**5)
    assert law.moment(5) == pytest.approx(fifth, rel=1e-8)
    payoff = float(NIG.partial_moment(1.0, 1, True))
    assert law.expect(lambda x: max(x - 1, 0.0)) == pytest.approx(payoff, rel=1e-8)


def test_a_narrow_law_keeps_its_mass():
    """Where an integral over the line would look past it."""
    law = distribution(NIG.affine(1e-9))
    assert law.expect(lambda x: 1.0) == pytest.approx(1.0, rel=1e-10)
    assert law.entropy() == pytest.approx(LAWS["nig"][0].entropy() - 9 * np.log(10))


def test_location_and_scale():
    law = LAWS["nig"][0].dist(loc=1.0, scale=2.0)
    x = np.array([0.0, 1.5])
    np.testing.assert_allclose(law.cdf(x), NIG.affine(2.0, 1.0).cdf(x), rtol=1e-12)
    second = law.expect(lambda x: x**2)
    assert second == pytest.approx(law.var() + law.mean() ** 2, rel=1e-9)
    assert distribution(GAMMA).dist(loc=1.0).support() == (1.0, np.inf)


def test_draws_and_seeds():
    law = LAWS["nig"][0]
    one, other = law.rvs(size=(20, 3), random_state=1), law.rvs((20, 3), random_state=1)
    assert one.shape == (20, 3) and (one == other).all()
    generator = np.random.default_rng(0)
    first, second = (law.rvs(3, random_state=generator) for _ in range(2))
    assert (first != second).all()
    assert np.isscalar(law.rvs(random_state=np.random.RandomState(0)))
    np.random.seed(3)
    assert np.isfinite(law.rvs(2)).all()


def test_functions_of_scipy_take_it():
    law = LAWS["nig"][0]
    sample = law.rvs(200, random_state=5)
    assert stats.kstest(sample, law.cdf).pvalue > 0.01
    assert stats.kstest(sample + 1, law.cdf).pvalue < 1e-6
    slope, _, r = np.array(stats.probplot(sample, dist=law)[1], float)
    assert slope == pytest.approx(1, abs=0.2) and r > 0.98
    known = {"loc": 0.0, "scale": 1.0}
    options = {"statistic": "ks", "n_mc_samples": 49, "rng": 1}
    test = stats.goodness_of_fit(law.dist, sample, known_params=known, **options)
    assert test.pvalue > 0.01
    loc, scale = law.dist.fit(3 + 2 * sample)
    assert loc == pytest.approx(3, abs=0.5) and scale == pytest.approx(2, rel=0.2)


def test_pickled():
    law = pickle.loads(pickle.dumps(LAWS["nig"][0]))
    assert law.pdf(0.3) == LAWS["nig"][0].pdf(0.3)


def test_finite_mixtures():
    model = FiniteMixture([0.4, 0.6], [NIG, NIG.affine(2.0, 3.0)])
    law = distribution(model)
    x = np.array([-2.0, 0.0, 4.0])
    np.testing.assert_allclose(law.logsf(x), np.log(model.sf(x)), rtol=1e-12)
    q = np.array([1e-6, 0.4, 0.9])
    np.testing.assert_allclose(law.sf(law.isf(q)), q, rtol=1e-12)
    assert law.sf(law.isf(1e-250)) == pytest.approx(1e-250, rel=1e-9)
    assert law.mean() == pytest.approx(float(model.mean()))
    assert law.moment(3) == pytest.approx(law.expect(lambda x: x**3), rel=1e-7)


def test_vectors():
    """A normal law against SciPy's; a mixture against its own log-density."""
    cov = np.array([[2.0, 0.3], [0.3, 1.0]])
    normal = normix.MultivariateNormal.from_classical(mu=[1.0, 0.0], sigma=cov)
    mine, own = distribution(normal), stats.multivariate_normal([1.0, 0.0], cov)
    points = np.random.default_rng(0).normal(size=(3, 4, 2))
    np.testing.assert_allclose(mine.logpdf(points), own.logpdf(points), rtol=1e-12)
    np.testing.assert_allclose(
        mine.pdf(points[0, 0]), own.pdf(points[0, 0]), rtol=1e-12
    )
    np.testing.assert_allclose(mine.cov, cov, rtol=1e-14)
    model = normix.NormalInverseGaussian.from_classical(
        mu=[0, 0], gamma=[0.5, 0], sigma=cov, mu_ig=1.0, lam=1.0
    )
    law = distribution(model)
    wanted = [float(model.log_prob(x)) for x in points[0]]
    np.testing.assert_allclose(law.logpdf(points[0]), wanted, rtol=1e-12)
    assert law.rvs(random_state=1).shape == (2,)
    assert law.rvs((3, 4), random_state=1).shape == (3, 4, 2)
    assert isinstance(distribution(FiniteMixture([1.0], [model])), Multivariate)
    np.testing.assert_allclose(law.mean, model.mean())
    with pytest.raises(ValueError, match="shape"):
        law.logpdf(np.zeros(3))


def test_bad_input_is_told():
    with pytest.raises(ValueError, match="a law of normix"):
        distribution(stats.norm())
    assert isinstance(LAWS["nig"][0].dist, Univariate)
