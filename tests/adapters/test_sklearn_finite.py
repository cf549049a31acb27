"""The clustering estimator: scikit-learn's checks, Gaussian mixtures, the truth."""

import pickle
import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

from normix import FactorNormalInverseGaussian, FiniteMixture, NormalInverseGaussian
from normix.adapters.sklearn import FiniteMixtureModel

# Three skewed groups with heavy tails. Fits find them from a few starts.
PARTS: list[dict[str, Any]] = [
    {"mu": [0.0, 0.0], "gamma": [1.5, 0.0], "sigma": [[1.0, 0.3], [0.3, 1.0]]},
    {"mu": [0.0, 6.0], "gamma": [0.0, 1.5], "sigma": [[1.0, -0.3], [-0.3, 1.0]]},
    {"mu": [9.0, 2.0], "gamma": [1.0, 1.0], "sigma": [[1.0, 0.0], [0.0, 1.0]]},
]
TRUTH = FiniteMixture(
    np.array([0.5, 0.3, 0.2]),
    [NormalInverseGaussian.from_classical(**one, mu_ig=1.0, lam=1.0) for one in PARTS],
)
N = 1000
FEW: dict[str, Any] = {"n_init": 3, "random_state": 0}


@pytest.fixture(scope="module")
def drawn() -> tuple[np.ndarray, np.ndarray]:
    X, labels = TRUTH.rvs_labelled(N, seed=1)
    return np.asarray(X), np.asarray(labels)


@pytest.fixture(scope="module")
def X(drawn) -> np.ndarray:
    return drawn[0]


@pytest.fixture(scope="module")
def mixture(X) -> FiniteMixtureModel:
    return FiniteMixtureModel(3, **FEW).fit(X)


def order(mixture: Any, truth: np.ndarray) -> np.ndarray:
    """The component that is nearest to each of the true means."""
    gaps = np.linalg.norm(truth[:, None] - mixture.means_[None], axis=2)
    found = gaps.argmin(axis=1)
    assert len(set(found)) == len(truth)
    return found


# -- scikit-learn's checks ----------------------------------------------------------


# Tiny odd data have no maximum, of which the estimator's own warning tells.
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.slow
def test_all_checks_of_scikit_learn_pass():
    # Skipped is only what needs SCIPY_ARRAY_API in the environment.
    found = check_estimator(FiniteMixtureModel(missing="em"), on_skip=None)
    skipped = [one["check_name"] for one in found if one["status"] == "skipped"]
    assert skipped == ["check_array_api_input"]
    assert len(found) > 45


# -- against Gaussian mixtures ------------------------------------------------------


def test_normal_groups_are_those_of_gaussian_mixtures():
    random = np.random.default_rng(0)
    X = random.normal(size=(N, 2)) @ [[1.0, 0.5], [0.0, 1.0]]
    X[400:] = 0.7 * X[400:] + [4.0, -1.0]
    theirs: Any = GaussianMixture(2, n_init=3, tol=1e-6, random_state=0).fit(X)
    mine = FiniteMixtureModel(2, **FEW).fit(X)
    of = order(mine, theirs.means_)
    assert adjusted_rand_score(mine.predict(X), theirs.predict(X)) > 0.97
    # Normal laws are a limit of the family, and what it has more of gains little.
    assert theirs.score(X) - 1e-4 < mine.score(X) < theirs.score(X) + 10 / N
    np.testing.assert_allclose(mine.weights_[of], theirs.weights_, atol=0.01)
    np.testing.assert_allclose(mine.means_[of], theirs.means_, atol=0.05)
    np.testing.assert_allclose(mine.covariances_[of], theirs.covariances_, atol=0.1)
    mine_p, theirs_p = mine.predict_proba(X)[:, of], theirs.predict_proba(X)
    assert abs(mine_p - theirs_p).mean() < 0.01


# -- against simulated truth --------------------------------------------------------


def test_simulated_groups_are_found(mixture, drawn):
    X, labels = drawn
    best = adjusted_rand_score(labels, np.asarray(TRUTH.predict(X)))
    assert adjusted_rand_score(labels, mixture.predict(X)) > best - 0.03
    assert mixture.lower_bound_ >= float(TRUTH.marginal_log_likelihood(X))
    means = np.array([one.mean() for one in TRUTH.components])
    of = order(mixture, means)
    np.testing.assert_allclose(mixture.weights_[of], TRUTH.weights, atol=0.04)
    covs = np.array([one.cov() for one in TRUTH.components])
    error = np.sqrt(np.array([np.diag(c) for c in covs]) / (N * 0.2))
    assert (abs(mixture.means_[of] - means) < 4 * error).all()


@pytest.mark.slow
def test_bic_finds_the_number_of_groups(X, mixture):
    """Laws with heavy tails need no more than there are; normal ones do."""
    bic = {3: mixture.bic(X)}
    with warnings.catch_warnings():
        # Too many components may not come to rest.
        warnings.simplefilter("ignore", ConvergenceWarning)
        for k in (2, 4):
            bic[k] = FiniteMixtureModel(k, **FEW).fit(X).bic(X)
    assert min(bic, key=lambda k: bic[k]) == 3
    normal = [
        GaussianMixture(k, n_init=3, random_state=0).fit(X).bic(X) for k in range(1, 9)
    ]
    assert int(np.argmin(normal)) + 1 > 3
    assert min(normal) > bic[3] + 50


# -- what methods return ------------------------------------------------------------


def test_probabilities_are_bayes_rule_on_scipys_densities(X):
    """Of one column SciPy has the density: norminvgauss(a, b, loc, scale)."""
    one = FiniteMixtureModel(2, **FEW).fit(X[:400, :1])
    x, joint = X[400:450, :1], []
    for weight, law in zip(one.weights_, one.model_.components, strict=True):
        law: Any = law.project(np.ones(1))
        sigma, gamma = float(law.sigma()), float(law.gamma)
        mu_ig, lam = (
            float(law.joint.subordinator.mu),
            float(law.joint.subordinator.lam),
        )
        delta, beta = np.sqrt(lam * sigma), gamma / sigma
        alpha = np.sqrt(lam / mu_ig**2 / sigma + beta**2)
        where = float(law.mu), delta
        scipy: Any = stats.norminvgauss(alpha * delta, beta * delta, *where)
        joint.append(weight * scipy.pdf(x[:, 0]))
        at = list(one.weights_).index(weight)
        assert one.means_[at, 0] == pytest.approx(scipy.mean(), rel=1e-6)
        assert one.covariances_[at, 0, 0] == pytest.approx(scipy.var(), rel=1e-6)
    joint = np.array(joint).T
    total = joint.sum(axis=1)
    np.testing.assert_allclose(one.predict_proba(x), joint / total[:, None], rtol=1e-7)
    np.testing.assert_allclose(one.score_samples(x), np.log(total), rtol=1e-9)
    np.testing.assert_array_equal(one.predict(x), joint.argmax(axis=1))


def test_scores_and_criteria_are_those_of_the_fit(mixture, X):
    assert mixture.score(X) == pytest.approx(mixture.lower_bound_, rel=1e-9)
    # Eight for each law, as the scale of Y is redundant, and two weights.
    assert mixture.aic(X) == pytest.approx(2 * 26 - 2 * N * mixture.score(X))
    assert mixture.bic(X) == pytest.approx(mixture.result_.bic)
    assert mixture.bic(X) == pytest.approx(mixture.aic(X) + 26 * (np.log(N) - 2))


def test_attributes(mixture, X):
    assert isinstance(mixture.model_, FiniteMixture)
    shapes = mixture.weights_.shape, mixture.means_.shape, mixture.covariances_.shape
    assert shapes == ((3,), (3, 2), (3, 2, 2))
    assert mixture.converged_ is True and mixture.result_.at_bound == ()
    assert mixture.n_iter_ == mixture.result_.n_iter > 1
    assert mixture.n_features_in_ == 2 and not hasattr(mixture, "feature_names_in_")
    again: Any = clone(mixture)
    np.testing.assert_array_equal(again.fit_predict(X), mixture.predict(X))


def test_samples_are_of_the_components(mixture):
    draws, labels = mixture.sample(6000)
    assert draws.shape == (6000, 2) and labels.dtype == np.int64
    share = np.bincount(labels, minlength=3) / 6000
    assert (abs(share - mixture.weights_) < 4 * np.sqrt(0.25 / 6000)).all()
    for j in range(3):
        own = draws[labels == j]
        error = np.sqrt(np.diag(mixture.covariances_[j]) / len(own))
        assert (abs(own.mean(axis=0) - mixture.means_[j]) < 4 * error).all()
    # With a seed always the same, as of GaussianMixture.
    np.testing.assert_array_equal(mixture.sample(6000)[0], draws)


# -- data ---------------------------------------------------------------------------


@pytest.mark.slow
def test_missing_entries(drawn):
    X, labels = drawn
    holes = X.copy()
    gone = np.random.default_rng(0).random(holes.shape) < 0.15
    holes[gone] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        FiniteMixtureModel(3).fit(holes)
    found = FiniteMixtureModel(3, missing="em", **FEW).fit(holes)
    assert found.score(X) > float(TRUTH.marginal_log_likelihood(X)) - 0.02
    # Given one entry, that of the marginal laws; given none, the weights.
    only = np.flatnonzero(gone[:, 0] & ~gone[:, 1])[:20]
    second = found.model_.marginal([1])
    expected = second.predict_proba(holes[only, 1:])
    np.testing.assert_allclose(found.predict_proba(holes)[only], expected, rtol=1e-8)
    none = gone.all(axis=1)
    assert none.any()
    np.testing.assert_allclose(
        found.predict_proba(holes)[none], [found.weights_] * none.sum()
    )
    whole = ~gone.any(axis=1)
    best = adjusted_rand_score(labels[whole], np.asarray(TRUTH.predict(X[whole])))
    mine = adjusted_rand_score(labels[whole], found.predict(holes)[whole])
    assert mine > best - 0.04


def test_weights_count_rows(X):
    weights = np.random.default_rng(0).integers(0, 3, N)
    fine: Any = {"tol": 1e-7, **FEW}
    weighted = FiniteMixtureModel(3, **fine).fit(X, sample_weight=weights)
    repeated = FiniteMixtureModel(3, **fine).fit(X.repeat(weights, axis=0))
    assert weighted.result_.n_obs == weights.sum()
    of = order(weighted, repeated.means_)
    np.testing.assert_allclose(weighted.means_[of], repeated.means_, atol=1e-3)
    np.testing.assert_allclose(
        weighted.score_samples(X), repeated.score_samples(X), atol=1e-3
    )


def test_more_components_than_the_rows_allow(X):
    message = (
        r"Expected n_samples >= n_components \* min_rows but got "
        r"n_components = 4, min_rows = 3, n_samples = 10"
    )
    with pytest.raises(ValueError, match=message):
        FiniteMixtureModel(4).fit(X[:10])
    weights = np.arange(N) < 10  # rows without weight are none
    with pytest.raises(ValueError, match=message):
        FiniteMixtureModel(4).fit(X, sample_weight=weights)


def test_many_columns_have_factors():
    rows = np.random.default_rng(0).standard_t(5, (30, 12))
    rows[15:] += 6.0
    few = FiniteMixtureModel(3, max_iter=5, **FEW)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        few.fit(rows)
    assert isinstance(few.model_.components[0], FactorNormalInverseGaussian)
    with pytest.raises(ValueError, match="min_rows = 13, n_samples = 30"):
        few.set_params(factors=0).fit(rows)


def test_equal_rows_end_at_a_bound(X):
    """Without one, the likelihood would grow for ever."""
    tied = np.vstack([X[:200], np.tile(X[:1] + 30.0, (40, 1))])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        found = FiniteMixtureModel(2, family="t", **FEW).fit(tied)
    assert found.result_.at_bound and "at a bound" in found.result_.message
    assert np.isfinite(found.score_samples(tied)).all()
    assert np.isfinite(found.predict_proba(tied)).all()


def test_a_fit_that_is_cut_short_warns(X):
    with pytest.warns(ConvergenceWarning, match="iterations were used up"):
        found = FiniteMixtureModel(3, max_iter=2, **FEW).fit(X)
    assert not found.converged_ and found.n_iter_ == 2


@pytest.mark.parametrize(
    "options, message",
    [
        ({"n_components": 0}, "n_components must be a number from 1 on, got 0"),
        ({"n_components": 2.0}, "n_components must be a number from 1 on, got 2.0"),
        ({"n_init": 0}, "n_init must be"),
        ({"family": "normal"}, "unknown family 'normal'"),
        ({"factors": 3}, "number from 0 to 2, got 3"),
        ({"missing": "drop"}, "missing must be one of"),
        ({"min_scale": 0.0}, "min_scale must be"),
        ({"min_rows": 60}, "min_rows = 60, n_samples = 50"),
        ({"tol": 0.0}, "tol must be positive"),
    ],
)
def test_options_that_are_none(X, options, message):
    with pytest.raises(ValueError, match=message):
        FiniteMixtureModel(**options).fit(X[:50])


# -- within scikit-learn ------------------------------------------------------------


def test_pickle_clone_and_names(mixture, X):
    loaded = pickle.loads(pickle.dumps(mixture))
    np.testing.assert_array_equal(loaded.predict_proba(X), mixture.predict_proba(X))
    assert loaded.result_.message == mixture.result_.message
    copied: Any = clone(mixture)
    assert copied.get_params() == mixture.get_params()
    assert not hasattr(copied, "model_")
    frame = pd.DataFrame(X, columns=["length", "width"])
    named = copied.fit(frame)
    assert list(named.feature_names_in_) == ["length", "width"]
    with pytest.raises(ValueError, match="feature names should match"):
        named.predict(frame[["width", "length"]])


@pytest.mark.slow
def test_a_search_in_a_pipeline_finds_the_groups(drawn):
    """By held-out likelihood; a pipeline passes predict and predict_proba on."""
    X, labels = drawn
    pipe = make_pipeline(StandardScaler(), FiniteMixtureModel(**FEW))
    name = "finitemixturemodel__"
    grid = {name + "n_components": [1, 2, 3], name + "family": ["nig", "t"]}
    with warnings.catch_warnings():
        # Too few components may end in a limit.
        warnings.simplefilter("ignore", ConvergenceWarning)
        search = GridSearchCV(pipe, grid, cv=3).fit(X)
    assert search.best_params_[name + "n_components"] == 3
    best = adjusted_rand_score(labels, np.asarray(TRUTH.predict(X)))
    assert adjusted_rand_score(labels, search.predict(X)) > best - 0.04
    assert search.predict_proba(X).shape == (N, 3)
