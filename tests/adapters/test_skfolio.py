"""The adapters within skfolio: priors by simulation, stress, margins of vines."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from skfolio import RiskMeasure
from skfolio.distribution import (
    Gaussian,
    GaussianCopula,
    NormalInverseGaussian,
    VineCopula,
    select_univariate_dist,
)
from skfolio.optimization import MeanRisk
from skfolio.prior import SyntheticData
from sklearn.base import clone
from sklearn.pipeline import Pipeline

from normix import FactorNormalInverseGaussian
from normix.adapters.skfolio import MultivariateMixture, UnivariateMixture
from normix.datasets import load_sp500_returns

NAMES = ["AAPL", "JPM", "XOM"]
# Draws, always as many: every number compiles for itself.
N = 4000


@pytest.fixture(scope="module")
def X() -> pd.DataFrame:
    """Simple returns a day."""
    data = load_sp500_returns(NAMES)
    return pd.DataFrame(np.expm1(data.values), columns=NAMES, index=list(data.dates))


@pytest.fixture(scope="module")
def law(X) -> MultivariateMixture:
    return MultivariateMixture("nig", random_state=0).fit(X)


@pytest.fixture(scope="module")
def margin(X) -> UnivariateMixture:
    return UnivariateMixture("nig", random_state=0).fit(X[["JPM"]])


def within(values, expected, errors: float = 4.0):
    """Whether means of draws are what they should be, in so many standard errors."""
    error = np.std(values, axis=0) / np.sqrt(len(values))
    return bool(
        (abs(np.mean(values, axis=0) - np.asarray(expected)) < errors * error).all()
    )


# -- all assets ---------------------------------------------------------------------


def test_samples_have_the_moments_of_the_model(law):
    draws = law.sample(N)
    assert isinstance(draws, np.ndarray) and draws.shape == (N, 3)
    mean, cov = np.asarray(law.model_.mean()), np.asarray(law.model_.cov())
    assert within(draws, mean)
    about = draws - mean
    products = about[:, :, None] * about[:, None]
    assert within(products.reshape(N, 9), cov.ravel())
    np.testing.assert_array_equal(draws, law.sample(N))


def test_likelihood_and_criteria(law, X):
    value = law.score_samples(X)
    assert value.shape == (len(X),)
    assert float(law.model_.log_prob(X.values[7])) == pytest.approx(value[7])
    assert law.score(X) == pytest.approx(value.sum())  # the total, as of skfolio
    assert law.n_params == 3 + 3 + 6 + 1
    assert law.aic(X) == pytest.approx(float(law.result_.aic))
    assert law.bic(X) == pytest.approx(float(law.result_.bic))
    assert law.fitted_repr.startswith("MultivariateMixture(NormalInverseGaussian: mu_")


def test_given_a_value(law):
    draws = law.sample(N, conditioning={"JPM": -0.1})
    assert (draws[:, 1] == -0.1).all()
    truth = law.model_.conditional([1], [-0.1])
    others = draws[:, [0, 2]]
    assert within(others, truth.mean())
    about = others - np.asarray(truth.mean())
    assert within(about**2, np.diag(np.asarray(truth.cov())))


def test_given_an_interval(law):
    draws = law.sample(N, conditioning={"JPM": (None, -0.05)})
    assert (draws[:, 1] <= -0.05).all()
    # That column's mean is an expected shortfall. For the others there is no such form:
    # they are held against those of many unconditional draws that meet the condition.
    one = law.model_.project(np.eye(3)[1])
    level = 1 - float(one.cdf(-0.05))
    assert within(-draws[:, 1], one.expected_shortfall(level))
    many = np.asarray(law.model_.rvs(400_000, seed=3))
    many = many[many[:, 1] <= -0.05]
    error = np.sqrt(draws.var(axis=0) / N + many.var(axis=0) / len(many))
    assert (abs(draws.mean(axis=0) - many.mean(axis=0)) < 4 * error).all()


def test_given_values_and_intervals(law):
    draws = law.sample(N, conditioning={0: 0.02, "XOM": (-0.03, np.inf)})
    assert (draws[:, 0] == 0.02).all() and (draws[:, 2] >= -0.03).all()


def test_given_a_value_for_each_draw(law):
    path = np.repeat([-0.1, 0.05], N // 2)
    draws = law.sample(N, conditioning={"JPM": path, "XOM": -0.01})
    assert (draws[:, 1] == path).all() and (draws[:, 2] == -0.01).all()
    for value in (-0.1, 0.05):
        truth = law.model_.conditional([1, 2], [value, -0.01])
        assert within(draws[path == value][:, [0]], truth.mean())


@pytest.mark.parametrize(
    "conditioning, message",
    [
        ({"SPX": 0.0}, "unknown column 'SPX'"),
        ({"JPM": (0.1,)}, r"must be a pair \(low, high\)"),
        ({"JPM": (0.1, -0.1)}, "is empty"),
        ({"JPM": "low"}, "finite number or a pair"),
        ({"JPM": np.zeros(3)}, r"shape \(10,\)"),
        ({"JPM": np.zeros(10), "XOM": (0.0, 1.0)}, "interval to one asset"),
        ({"JPM": 0.0, 1: 0.0}, "two conditions"),
    ],
)
def test_conditions_that_are_none(law, conditioning, message):
    with pytest.raises(ValueError, match=message):
        law.sample(10, conditioning=conditioning)


def test_symmetric_laws_with_factors(X):
    law = MultivariateMixture("nig", factors=1, symmetric=True).fit(X)
    assert isinstance(law.model_, FactorNormalInverseGaussian)
    assert law.n_params == 3 + 3 + 3 + 1  # μ, F, D and the shape
    assert not np.asarray(law.model_.gamma).any()
    one = UnivariateMixture("nig", symmetric=True).fit(X[["JPM"]])
    assert one.n_params == 3 and one.model_.gamma == 0


# -- portfolios ---------------------------------------------------------------------


def test_the_cvar_of_a_portfolio_is_the_exact_expected_shortfall(X):
    law = MultivariateMixture("nig", random_state=0)
    model: Any = MeanRisk(
        risk_measure=RiskMeasure.CVAR,
        prior_estimator=SyntheticData(distribution_estimator=law, n_samples=N),
    ).fit(X)
    assert model.weights_.sum() == pytest.approx(1)
    fitted = model.prior_estimator_.distribution_estimator_.model_
    portfolio = fitted.project(model.weights_)
    # Draws of another seed: those of the prior look best for the weights they chose.
    others = np.asarray(fitted.rvs(N, seed=1)) @ model.weights_
    exact = float(portfolio.expected_shortfall(0.95))
    risk = float(portfolio.value_at_risk(0.95))
    # E[L | L >= VaR] = VaR + E[(L - VaR)+]/(1 - level), a mean of draws.
    excess = np.maximum(-others - risk, 0) / 0.05
    assert within(risk + excess, exact)
    simulated = model.predict(model.prior_estimator_.return_distribution_).cvar
    assert abs(simulated - exact) < 4 * excess.std() / np.sqrt(N)
    # The exact optimum is not better than what this allows for.
    equal = fitted.project(np.full(3, 1 / 3)).expected_shortfall(0.95)
    assert exact < float(equal)


def test_stress_by_sample_args(X):
    prior: Any = SyntheticData(
        MultivariateMixture("nig", random_state=0),
        n_samples=500,
        sample_args={"conditioning": {"JPM": -0.1}},
    ).fit(X)
    found = prior.return_distribution_
    # skfolio adds a little noise to what is constant.
    np.testing.assert_allclose(found.returns[:, 1], -0.1, atol=1e-5)
    given = prior.distribution_estimator_.model_.conditional([1], [-0.1])
    assert within(found.returns[:, [0, 2]], given.mean())
    assert (found.mu[[0, 2]] < -0.02).all()


def test_clones_and_parameters_within_pipelines(law, X):
    copied: Any = clone(law)
    assert copied.get_params() == law.get_params() and not hasattr(copied, "model_")
    prior = SyntheticData(MultivariateMixture(), n_samples=200)
    pipe = Pipeline([("optimization", MeanRisk(prior_estimator=prior))])
    name = "optimization__prior_estimator__distribution_estimator__random_state"
    assert pipe.set_params(**{name: 5}).get_params()[name] == 5
    pipe.fit(X)
    last: Any = pipe[-1]
    used = last.prior_estimator_.distribution_estimator_
    assert used.random_state == 5
    assert list(used.feature_names_in_) == NAMES


# -- margins ------------------------------------------------------------------------


def test_a_margin_is_scipys_law(margin, X):
    """Of normal inverse Gaussian laws, which SciPy and skfolio have as well."""
    own = margin._scipy_params
    ratio = own["gamma"] / own["sigma"]
    delta = np.sqrt(own["lam"] * own["sigma"])
    alpha = np.sqrt(own["lam"] / own["mu_ig"] ** 2 / own["sigma"] + ratio**2)
    truth = stats.norminvgauss(alpha * delta, ratio * delta, own["mu"], delta)
    days = X[["JPM"]][:50]
    column = days.values
    np.testing.assert_allclose(margin.cdf(column), truth.cdf(column), rtol=1e-6)
    levels = np.array([[0.001], [0.3], [0.99]])
    np.testing.assert_allclose(margin.ppf(levels), truth.ppf(levels), rtol=1e-6)
    density = stats.norminvgauss.logpdf(
        column[:, 0], alpha * delta, ratio * delta, own["mu"], delta
    )
    np.testing.assert_allclose(margin.score_samples(days), density, rtol=1e-8)


def test_a_margin_is_no_worse_than_skfolios_own_fit(margin, X):
    other = NormalInverseGaussian().fit(X[["JPM"]])
    assert margin.score(X[["JPM"]]) > other.score(X[["JPM"]]) - 1e-2
    assert margin.n_params == other.n_params == 4
    assert margin.aic(X[["JPM"]]) == pytest.approx(float(margin.result_.aic))


def test_quantiles_of_few_and_of_many_probabilities_agree(margin):
    levels = np.linspace(1e-6, 1 - 1e-6, 1500)[:, None]
    many = margin.ppf(levels)
    assert many.shape == (1500, 1)
    np.testing.assert_allclose(many[::500], margin.ppf(levels[::500]), rtol=1e-9)
    np.testing.assert_allclose(margin.cdf(many), levels, rtol=1e-9)
    assert margin.cdf(0.0).shape == () and np.isnan(margin.ppf(2.0))


def test_samples_of_a_margin(margin):
    draws = margin.sample(N)
    assert draws.shape == (N, 1)
    assert stats.kstest(margin.cdf(draws)[:, 0], "uniform").pvalue > 0.001


def test_margins_are_chosen_by_aic(X):
    best = select_univariate_dist(X[["AAPL"]], [Gaussian(), UnivariateMixture("nig")])
    assert isinstance(best, UnivariateMixture) and hasattr(best, "model_")
    normal = np.random.default_rng(0).normal(size=(len(X), 1))
    best = select_univariate_dist(normal, [Gaussian(), UnivariateMixture("nig")])
    assert isinstance(best, Gaussian)


def test_margins_of_a_vine(X):
    vine = VineCopula(
        marginal_candidates=[Gaussian(), UnivariateMixture("nig")],
        copula_candidates=[GaussianCopula()],
        central_assets=["JPM"],
        random_state=0,
    ).fit(X)
    margins = vine.marginal_distributions_
    assert all(isinstance(one, UnivariateMixture) for one in margins)
    draws = vine.sample(2000, conditioning={"JPM": (-0.2, -0.05)})
    assert draws[:, 1].max() <= -0.05 and draws[:, [0, 2]].mean() < 0
    assert np.isfinite(vine.score(X))
    # The margins count their free parameters; a correlation for each of three pairs.
    assert vine.n_params == 3 * 4 + 3


def test_a_margin_takes_one_column(X):
    with pytest.raises(ValueError, match="one column"):
        UnivariateMixture().fit(X)
    with pytest.raises(ValueError, match="unknown family"):
        UnivariateMixture("normal").fit(X[["JPM"]])


def test_pictures(margin, law, X):
    assert len(margin.plot_pdf(X[["JPM"]][:50]).data) == 2
    assert len(margin.qq_plot(X[["JPM"]][:50]).data) == 2
    shown = law.plot_scatter_matrix(X, conditioning={"JPM": -0.1}, n_samples=200)
    assert len(shown.data) == 2
