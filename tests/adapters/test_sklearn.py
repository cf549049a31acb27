"""The density estimator: scikit-learn's own checks, closed forms, simulated truth."""

import io
import warnings
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

from normix import (
    FactorNormalInverseGaussian,
    GeneralizedHyperbolic,
    NormalInverseGamma,
    NormalInverseGaussian,
    VarianceGamma,
)
from normix.adapters.sklearn import NormalVarianceMeanMixture

# Laws of two columns that other families cannot imitate.
SHAPE = {"mu": [0.0, 0.0], "gamma": [0.3, -0.2], "sigma": [[1.0, 0.4], [0.4, 1.0]]}
TRUTHS = {
    "nig": NormalInverseGaussian.from_classical(**SHAPE, mu_ig=1.0, lam=0.5),
    "vg": VarianceGamma.from_classical(**SHAPE, alpha=1.8, beta=1.8),
    "t": NormalInverseGamma.from_classical(**SHAPE, alpha=1.6, beta=1.6),
    "gh": GeneralizedHyperbolic.from_classical(**SHAPE, p=0.0, a=0.05, b=0.05),
}
FAMILIES = list(TRUTHS)


@pytest.fixture(scope="module")
def X() -> np.ndarray:
    return np.asarray(TRUTHS["nig"].rvs(2500, seed=100))


@pytest.fixture(scope="module")
def density(X) -> NormalVarianceMeanMixture:
    return NormalVarianceMeanMixture("nig").fit(X)


# -- scikit-learn's checks ---------------------------------------------------------


# Tiny odd data have no maximum, of which the estimator's own warning tells.
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        {"family": "nig"},
        {"family": "vg", "missing": "em"},
    ],
    ids=lambda options: options["family"],
)
def test_all_checks_of_scikit_learn_pass(options):
    # Skipped is only what needs SCIPY_ARRAY_API in the environment.
    found = check_estimator(NormalVarianceMeanMixture(**options), on_skip=None)
    skipped = [one["check_name"] for one in found if one["status"] == "skipped"]
    assert skipped == ["check_array_api_input"]
    assert len(found) > 45


# -- densities, criteria, samples ---------------------------------------------------


def test_score_samples_are_scipys_log_densities(X):
    """Of one column SciPy has the density: norminvgauss(a, b, loc, scale)."""
    one = NormalVarianceMeanMixture("nig").fit(X[:500, :1])
    law = one.model_.project(np.ones(1))
    # In Barndorff-Nielsen's (α, β, δ, μ), of which SciPy takes αδ and βδ.
    sigma, gamma = float(law.sigma()), float(law.gamma)
    mu_ig, lam = (float(law.joint.subordinator.mu), float(law.joint.subordinator.lam))
    delta = np.sqrt(lam * sigma)
    beta = gamma / sigma
    alpha = np.sqrt(lam / mu_ig**2 / sigma + beta**2)
    truth = alpha * delta, beta * delta, float(law.mu), delta
    found = one.score_samples(X[500:550, :1])
    expected = stats.norminvgauss.logpdf(X[500:550, 0], *truth)
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_score_is_the_mean_as_of_gaussian_mixtures(density, X):
    value = density.score_samples(X)
    assert value.shape == (2500,) and value.dtype == np.float64
    assert density.score(X) == pytest.approx(value.mean(), rel=1e-12)
    assert density.score(X) == pytest.approx(float(density.result_.log_likelihood))
    # Heavy tails beat the normal law, of which the estimator has the same convention.
    assert density.score(X) > GaussianMixture(1).fit(X).score(X) + 0.1


def test_criteria_are_those_of_the_fit(density, X):
    # 2 + 2 + 3 for μ, γ, Σ and 1 for the shape: the scale of Y is redundant.
    assert density.aic(X) == pytest.approx(2 * 8 - 2 * 2500 * density.score(X))
    assert density.aic(X) == pytest.approx(float(density.result_.aic))
    assert density.bic(X) == pytest.approx(float(density.result_.bic))


def test_samples_have_the_moments_of_the_model(density):
    draws = density.sample(20_000, random_state=1)
    assert isinstance(draws, np.ndarray) and draws.shape == (20_000, 2)
    error = np.sqrt(np.diag(np.asarray(density.model_.cov())) / 20_000)
    mean = np.asarray(density.model_.mean())
    assert (abs(draws.mean(axis=0) - mean) < 4 * error).all()
    np.testing.assert_array_equal(draws, density.sample(20_000, random_state=1))
    # A generator moves on.
    generator = np.random.RandomState(1)
    first, second = (density.sample(5, random_state=generator) for _ in range(2))
    np.testing.assert_array_equal(first, draws[:5])
    assert (first != second).all()


def test_fitted_attributes(density):
    assert isinstance(density.model_, NormalInverseGaussian)
    assert density.converged_ is True and density.n_iter_ == density.result_.n_iter
    assert density.n_features_in_ == 2
    assert not hasattr(density, "feature_names_in_")


# -- data ---------------------------------------------------------------------------


def test_data_frames_have_names(X):
    frame = pd.DataFrame(X[:500], columns=["AAPL", "XOM"])
    density = NormalVarianceMeanMixture().fit(frame)
    assert list(density.feature_names_in_) == ["AAPL", "XOM"]
    with pytest.raises(ValueError, match="feature names should match"):
        density.score_samples(frame[["XOM", "AAPL"]])


def test_single_precision_data_are_fitted_in_double(X):
    single = X[:500].astype(np.float32)
    density = NormalVarianceMeanMixture().fit(single)
    double = NormalVarianceMeanMixture().fit(single.astype(float))
    assert density.score(single) == double.score(single)
    assert density.sample(1, 0).dtype == np.float64


def test_weights_count_rows(X):
    few = X[:500]
    weights = np.random.default_rng(0).integers(0, 3, 500)
    repeated = NormalVarianceMeanMixture(tol=1e-8).fit(few.repeat(weights, axis=0))
    weighted = NormalVarianceMeanMixture(tol=1e-8).fit(few, sample_weight=weights)
    assert weighted.result_.n_obs == weights.sum()
    np.testing.assert_allclose(
        weighted.score_samples(few), repeated.score_samples(few), atol=1e-4
    )


@pytest.mark.parametrize(
    "weights, message",
    [
        (np.zeros(20), "is zero"),
        (np.full(20, -1.0), "not negative"),
        (np.full(20, np.nan), "finite"),
        (np.ones(19), r"shape \(20,\)"),
    ],
)
def test_weights_that_do_not_fit(X, weights, message):
    with pytest.raises(ValueError, match=message):
        NormalVarianceMeanMixture().fit(X[:20], sample_weight=weights)


def test_missing_entries(X):
    holes = X[:500].copy()
    gone = np.random.default_rng(0).random(holes.shape) < 0.2
    holes[gone] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        NormalVarianceMeanMixture().fit(holes)
    density = NormalVarianceMeanMixture(missing="em").fit(holes)
    value = density.score_samples(holes)
    # A row that lacks its first entry has the density of the second column's law.
    second = density.model_.marginal([1])
    rows = np.flatnonzero(gone[:, 0] & ~gone[:, 1])[:3]
    for row in rows:
        expected = float(second.log_prob(holes[row, 1:]))
        assert value[row] == pytest.approx(expected, rel=1e-9)
    assert (value[gone.all(axis=1)] == 0).all()
    # Little is lost: the truth is as good on the whole rows.
    whole = float(TRUTHS["nig"].marginal_log_likelihood(X[500:]))
    assert density.score(X[500:]) == pytest.approx(whole, abs=0.02)


@pytest.mark.parametrize("family", FAMILIES)
def test_degenerate_data_end_in_a_finite_model(family):
    """Few rows, many of them equal: the likelihood has no maximum, or none inside."""
    rows = np.array([[1, 3], [2, 1], [3, 3], [4, 1]] * 4, float)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        density = NormalVarianceMeanMixture(family).fit(rows)
    model = density.model_
    for part in (model.mu, model.gamma, model.sigma(), density.sample(10, 0)):
        assert np.isfinite(np.asarray(part)).all()
    # At a pole the density is infinite, and nowhere else.
    assert not np.isnan(density.score_samples(rows + 0.25)).any()


def test_unbounded_likelihoods_warn(X):
    tied = np.vstack([X[:50], np.zeros((10, 2))])
    with pytest.warns(ConvergenceWarning, match="alpha_min"):
        NormalVarianceMeanMixture("vg").fit(tied)
    bounded = NormalVarianceMeanMixture("vg", alpha_min="density").fit(tied)
    assert bounded.converged_


def test_a_full_dispersion_needs_more_rows_than_columns():
    rows = np.random.default_rng(0).standard_t(5, (8, 12))
    few = NormalVarianceMeanMixture(max_iter=20)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        assert isinstance(few.fit(rows).model_, FactorNormalInverseGaussian)
        # What counts are rows that differ.
        repeated = few.fit(np.vstack([rows, rows]))
    assert isinstance(repeated.model_, FactorNormalInverseGaussian)
    with pytest.raises(ValueError, match="8 rows; a full dispersion in 12"):
        NormalVarianceMeanMixture(factors=0).fit(rows)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"family": "normal"}, "unknown family 'normal'"),
        ({"factors": 3}, "number from 0 to 2, got 3"),
        ({"factors": "all"}, "got 'all'"),
        ({"missing": "drop"}, "missing must be one of"),
        ({"max_iter": 0}, "max_iter must be at least 1"),
        ({"alpha_min": "density"}, "has no pole"),
    ],
)
def test_options_that_are_none(X, options, message):
    with pytest.raises(ValueError, match=message):
        NormalVarianceMeanMixture(**options).fit(X[:50])


@pytest.mark.parametrize(
    "column, message",
    [(np.ones(50), "constant columns"), (np.arange(50.0), "depend on each other")],
)
def test_columns_that_leave_no_dispersion(X, column, message):
    rows = np.column_stack([np.arange(50.0), X[:50, 0], column])
    with pytest.raises(ValueError, match=message):
        NormalVarianceMeanMixture().fit(rows)


# -- within scikit-learn ------------------------------------------------------------


def test_pickle_joblib_and_clone(density, X):
    buffer = io.BytesIO()
    joblib.dump(density, buffer)
    buffer.seek(0)
    loaded = joblib.load(buffer)
    np.testing.assert_array_equal(loaded.score_samples(X), density.score_samples(X))
    assert loaded.result_.message == density.result_.message
    copied: Any = clone(density.set_params(tol=1e-3))
    assert copied.get_params() == density.get_params()
    assert not hasattr(copied, "model_")


def test_a_pipeline_scores_scaled_columns(density, X):
    pipe = make_pipeline(StandardScaler(), NormalVarianceMeanMixture())
    pipe.fit(X * [1.0, 100.0])
    # EM does not depend on units: the densities differ by those of the columns alone.
    gap = density.score_samples(X) - pipe.score_samples(X * [1.0, 100.0])
    assert np.ptp(gap) < 0.05
    assert gap.mean() == pytest.approx(-np.log(X.std(axis=0)).sum(), abs=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("truth", FAMILIES)
def test_grid_search_picks_the_family_of_the_data(truth):
    """By five-fold held-out likelihood.

    The generalized hyperbolic family has the others within it: it may be the equal of
    the true one, and is left out where another is true.
    """
    X = np.asarray(TRUTHS[truth].rvs(2500, seed=7))
    rivals = FAMILIES if truth == "gh" else FAMILIES[:3]
    search = GridSearchCV(NormalVarianceMeanMixture(), {"family": rivals})
    with warnings.catch_warnings():
        # A family that is not true may end in a limit.
        warnings.simplefilter("ignore", ConvergenceWarning)
        search.fit(X)
    assert search.best_params_ == {"family": truth}
    scores = np.sort(2500 * search.cv_results_["mean_test_score"])
    assert scores[-1] - scores[-2] > 3  # nats over all rows
