# pyright: reportArgumentType=false, reportAttributeAccessIssue=false
"""Fits to rows with missing entries, against a likelihood written independently."""

from __future__ import annotations

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import optimize, special, stats

import normix
from normix import BatchEMFitter, IncrementalEMFitter

FAMILIES = {
    "NormalInverseGaussian": "wald",
    "VarianceGamma": "gamma",
    "NormalInverseGamma": "inverse gamma",
    "GeneralizedHyperbolic": "wald",
}
FORMS = ("", "Factor")
SOME = ("VarianceGamma", "GeneralizedHyperbolic")


@cache
def whole(n: int, d: int, law: str, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    y = {
        "wald": rng.wald(1.0, 1.0, (n, 1)),
        "gamma": rng.gamma(3.0, 1 / 3, (n, 1)),
        "inverse gamma": 1 / rng.gamma(3.0, 0.5, (n, 1)),
    }[law]
    # One factor and noise, so that neither form ends at a boundary.
    factor = rng.normal(size=(n, 1)) * np.linspace(0.6, 1.2, d)
    noise = rng.normal(size=(n, d)) * np.linspace(0.8, 1.4, d)
    return (0.3 * y + np.sqrt(y) * (factor + noise)) * 10.0 ** np.arange(-1, d - 1)


def holed(X: np.ndarray, share: float = 0.2, seed: int = 1) -> np.ndarray:
    gone = np.random.default_rng(seed).uniform(size=X.shape) < share
    return np.where(gone, np.nan, X)


@cache
def data(family: str, n: int = 300, d: int = 3) -> np.ndarray:
    return holed(whole(n, d, FAMILIES[family]))


@cache
def fitted(family: str, form: str = "", tol: float = 1e-9):
    X = data(family)
    cls = getattr(normix, form + family)
    fitter = BatchEMFitter(tol=tol, max_iter=1000, track_ll=True)
    return fitter.fit(cls.default_init(X, missing="em"), X, missing="em")


def log_likelihood(model, X: np.ndarray) -> float:
    """The textbook density of what is seen of each row, by SciPy."""
    mu, gamma, sigma = (np.asarray(x) for x in (model.mu, model.gamma, model.sigma()))
    p, a, b = (float(x) for x in model.subordinator().gig_params())

    def log_partition(p, a, b):
        a, b = np.broadcast_arrays(a, b)
        inside = (a > 0) & (b > 0)
        w = np.sqrt(np.where(inside, a * b, 1.0))
        bessel = np.log(2 * special.kve(p, w)) - w
        ratio = np.log(np.where(inside, b, 1.0) / np.where(inside, a, 1.0))
        value = bessel + 0.5 * p * ratio
        gamma_law = special.gammaln(abs(p)) + abs(p) * np.log(2 / np.maximum(a, 1e-300))
        inverse = special.gammaln(abs(p)) + abs(p) * np.log(2 / np.maximum(b, 1e-300))
        return np.where(inside, value, np.where(b == 0, gamma_law, inverse))

    total = 0.0
    seen = ~np.isnan(X)
    for mask in np.unique(seen, axis=0):
        if not mask.any():
            continue
        rows = X[(seen == mask).all(axis=1)][:, mask] - mu[mask]
        part = sigma[np.ix_(mask, mask)]
        inverse, half = np.linalg.inv(part), 0.5 * mask.sum()
        q = ((rows @ inverse) * rows).sum(axis=1)
        skew = gamma[mask] @ inverse @ gamma[mask]
        value = rows @ inverse @ gamma[mask] - half * np.log(2 * np.pi)
        value += log_partition(p - half, a + skew, b + q) - log_partition(p, a, b)
        total += value.sum() - 0.5 * len(rows) * np.linalg.slogdet(part)[1]
    return float(total)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("family", FAMILIES)
def test_the_maximum_is_that_of_direct_maximisation(family, form):
    X, fit = data(family), fitted(family, form)
    assert fit.converged, fit.message
    at = float(fit.n_obs * fit.log_likelihood)
    np.testing.assert_allclose(at, log_likelihood(fit.model, X), rtol=1e-11)
    # From a start of its own, over the same parameters.
    start = np.asarray(fit.model.coordinates())
    start = start + 0.2 * np.random.default_rng(0).normal(size=len(start))
    place = fit.model.at
    if family == "GeneralizedHyperbolic" and fit.boundary:
        pytest.fail(f"the data were to have a maximum inside, not at {fit.boundary}")

    def loss(c):
        return -log_likelihood(place(c), X)

    found = optimize.minimize(loss, start, method="BFGS", options={"gtol": 1e-4})
    # As far as differences of a sum of this size lead; and never above the fit.
    assert -found.fun <= at + 1e-6
    assert at <= -found.fun + 1e-4 * abs(at)
    best = optimize.minimize(
        loss, np.asarray(fit.model.coordinates()), method="BFGS", options={"gtol": 1e-5}
    )
    assert abs(-best.fun - at) <= 1e-6


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("family", FAMILIES)
def test_the_likelihood_never_falls(family, form):
    steps = np.diff(np.asarray(fitted(family, form).log_likelihoods))
    assert steps.min() >= -1e-13


SEEDS = [
    pytest.param(seed, marks=() if seed < 6 else pytest.mark.exhaustive)
    for seed in range(100)
]


@pytest.mark.parametrize("seed", SEEDS)
def test_the_likelihood_never_falls_on_random_problems(seed):
    rng = np.random.default_rng(seed)
    family = list(FAMILIES)[seed % 4]
    d, share = int(rng.integers(2, 6)), rng.uniform(0.05, 0.6)
    X = holed(whole(150, d, FAMILIES[family], seed), share, seed)
    cls = getattr(normix, FORMS[seed // 4 % 2] + family)
    acceleration = ("auto", "none", "anderson", "squarem")[seed // 8 % 4]
    fitter = BatchEMFitter(track_ll=True, max_iter=60, acceleration=acceleration)
    fit = fitter.fit(cls.default_init(X, missing="em"), X, missing="em")
    steps = np.diff(np.asarray(fit.log_likelihoods))
    assert steps.min(initial=0.0) >= -1e-12
    assert np.isfinite(fit.log_likelihood)


@pytest.mark.parametrize("family", FAMILIES)
def test_complete_data_have_the_same_answers(family):
    X = whole(300, 3, FAMILIES[family])
    cls = getattr(normix, family)
    plain = cls.default_init(X).fit(X)
    for missing in ("em", "drop"):
        start = cls.default_init(X, missing=missing)
        fit = start.fit(X, missing=missing)
        assert fit.n_iter == plain.n_iter and fit.left_out == 0
        for one, two in zip(
            jax.tree.leaves(fit.model), jax.tree.leaves(plain.model), strict=True
        ):
            np.testing.assert_array_equal(one, two)


def test_dropping_is_leaving_out_the_rows():
    X = data("NormalInverseGaussian")
    kept = X[~np.isnan(X).any(axis=1)]
    cls = normix.NormalInverseGaussian
    start = cls.default_init(kept)
    fit, same = start.fit(X, missing="drop"), start.fit(kept)
    assert fit.left_out == len(X) - len(kept) and fit.n_obs == len(kept)
    np.testing.assert_array_equal(fit.model.mu, same.model.mu)
    weights = np.arange(len(X)) + 1.0
    fit = start.fit(X, weights=weights, missing="drop")
    same = start.fit(kept, weights=weights[~np.isnan(X).any(axis=1)])
    np.testing.assert_array_equal(fit.model.mu, same.model.mu)


def parts(model, X, **options):
    sums = model.e_step_sums(X, **options)
    return [sums.log_likelihood, sums.weight, *sums.totals.fields(), sums.nearest]


@pytest.mark.parametrize("form", FORMS)
def test_all_ways_to_the_same_sums(form):
    """Tiles, tables, rows one by one under jit, SciPy, chunks, parts; and weights."""
    X = whole(3000, 3, "wald").copy()
    X[:2000, 2] = np.nan  # a pattern with a table
    X[2500:] = holed(X[2500:], 0.4)
    X[2900] = np.nan  # a row of nothing
    model = getattr(normix, form + "NormalInverseGaussian").default_init(
        X, missing="em"
    )
    w = np.random.default_rng(3).uniform(0, 2, len(X))
    some = ~np.isnan(X).all(axis=1)
    want = parts(model, X[some], weights=w[some], missing="em")
    ways = {
        "with a row of nothing": parts(model, X, weights=w, missing="em"),
        "SciPy": parts(model, X, weights=w, missing="em", backend="cpu"),
        "traced": jax.jit(lambda x: parts(model, x, weights=w, missing="em"))(X),
        "shuffled": parts(model, X[::-1], weights=w[::-1], missing="em"),
    }
    halves = [
        model.e_step_sums(X[part], weights=w[part], missing="em")
        for part in (slice(0, 1234), slice(1234, None))
    ]
    joined = normix.merge(*halves)
    ways["merged"] = [
        joined.log_likelihood,
        joined.weight,
        *joined.totals.fields(),
        joined.nearest,
    ]
    for name, found in ways.items():
        for one, two in zip(want, found, strict=True):
            if name == "traced" and np.ndim(one) == 0 and one is want[1]:
                continue
            scale = np.abs(np.asarray(one)).max()
            np.testing.assert_allclose(
                two, one, rtol=1e-9, atol=1e-11 * scale, err_msg=name
            )


def test_data_in_chunks_and_in_a_file(tmp_path):
    X = data("NormalInverseGaussian").copy()
    X[7] = np.nan
    path = tmp_path / "rows.npy"
    np.save(path, X)
    model = normix.NormalInverseGaussian.default_init(X, missing="em")
    fitter = BatchEMFitter(tol=1e-7)
    want = fitter.fit(model, X, missing="em")
    weights = np.ones(len(X))
    for name, rows in (
        ("memmap", np.load(path, mmap_mode="r")),
        ("chunks", [X[:100], X[100:117], X[117:]]),
    ):
        start = normix.NormalInverseGaussian.default_init(rows, missing="em")
        np.testing.assert_allclose(start.mu, model.mu, rtol=1e-6, atol=1e-3)
        fit = fitter.fit(model, rows, missing="em", weights=weights)
        np.testing.assert_allclose(fit.log_likelihood, want.log_likelihood, rtol=1e-10)
        assert (fit.left_out, fit.n_obs) == (want.left_out, want.n_obs), name
        np.testing.assert_allclose(fit.missing_share, want.missing_share)
        dropped = fitter.fit(model, rows, missing="drop", weights=weights)
        same = fitter.fit(model, X, missing="drop")
        np.testing.assert_allclose(dropped.model.mu, same.model.mu, rtol=1e-6)


@pytest.mark.parametrize("form", FORMS)
def test_constraints(form):
    X = data("GeneralizedHyperbolic")
    cls = getattr(normix, form + "GeneralizedHyperbolic")
    fitter = BatchEMFitter(
        symmetric=True, fix={"p": 1.0}, tol=1e-8, regularization="det_sigma_one"
    )
    fit = fitter.fit(cls.default_init(X, missing="em"), X, missing="em")
    assert fit.converged
    np.testing.assert_array_equal(fit.model.gamma, 0)
    np.testing.assert_allclose(fit.model.p, 1.0)
    np.testing.assert_allclose(fit.model.log_det_sigma(), 0, atol=1e-10)
    total = float(fit.n_obs * fit.log_likelihood)
    np.testing.assert_allclose(total, log_likelihood(fit.model, X), rtol=1e-11)


@pytest.mark.slow
def test_derivatives_of_a_fit():
    """By implicit differentiation, against refits."""
    X = data("NormalInverseGaussian")
    some = ~np.isnan(X).all(axis=1)
    X = X[some]
    model = fitted("NormalInverseGaussian").model
    fitter = BatchEMFitter(tol=1e-11, max_iter=300)

    def mean(w):
        return fitter.fit(model, X, weights=w, missing="em").model.mean()[0]

    w = jnp.ones(len(X))
    slopes = jax.grad(mean)(w)
    for k in (3, 50):
        h = 0.05
        ends = [
            float(
                fitter.fit(
                    model, X, weights=np.asarray(w.at[k].add(s)), missing="em"
                ).model.mean()[0]
            )
            for s in (h, -h)
        ]
        np.testing.assert_allclose(slopes[k], (ends[0] - ends[1]) / (2 * h), rtol=3e-3)


@pytest.mark.parametrize(
    "family",
    [
        pytest.param(name, marks=() if name in SOME else pytest.mark.exhaustive)
        for name in FAMILIES
    ],
)
def test_standard_errors(family):
    """The Hessian of the independent likelihood, by differences."""
    X, fit = data(family), fitted(family)
    found = fit.inference(X)
    model, c = fit.model, np.asarray(fit.model.coordinates())
    k = len(c)
    step = 0.02 * found.delta(lambda model: model.coordinates()).bse

    def value(*moves):
        at = c.copy()
        for i, s in moves:
            at[i] += s * step[i]
        return log_likelihood(model.at(at), X)

    centre, second = value(), np.empty((k, k))
    for i in range(k):
        second[i, i] = (value((i, 1)) - 2 * centre + value((i, -1))) / step[i] ** 2
        for j in range(i):
            mixed = value((i, 1), (j, 1)) - value((i, 1), (j, -1))
            mixed += value((i, -1), (j, -1)) - value((i, -1), (j, 1))
            second[i, j] = second[j, i] = mixed / (4 * step[i] * step[j])
    slopes = np.asarray(jax.jacfwd(lambda c: found.of_model(model.at(c)))(c))
    expected = slopes @ np.linalg.inv(-second) @ slopes.T
    np.testing.assert_allclose(found.bse, np.sqrt(np.diag(expected)), rtol=2e-3)
    np.testing.assert_allclose(found.llf, log_likelihood(model, X), rtol=1e-11)
    assert found.nobs == fit.n_obs


def test_standard_errors_of_complete_rows_are_the_same():
    X = whole(300, 3, "wald")
    fit = normix.NormalInverseGaussian.default_init(X).fit(X, tol=1e-9)
    plain = fit.inference(X)
    X = np.vstack([X, np.full((1, 3), np.nan)])
    one = np.full((1, 3), np.nan)
    one[0, 0] = 0.1
    # By the other code: with a row that has a gap, of a weight that does not count.
    w = np.ones(302)
    w[-1] = 1e-12
    other = normix.inference(fit.model, np.vstack([X, one]), weights=w, missing="em")
    np.testing.assert_allclose(other.bse, plain.bse, rtol=1e-7)
    np.testing.assert_allclose(other.influence()[:300], plain.influence(), atol=1e-9)


def test_streams():
    X = data("NormalInverseGaussian")
    model = normix.NormalInverseGaussian.default_init(X, missing="em")
    fitter = IncrementalEMFitter(max_steps=60, batch_size=100)
    fit = fitter.fit(model, X, key=jax.random.key(0), missing="em")
    best = fitted("NormalInverseGaussian")
    assert float(best.log_likelihood - fit.log_likelihood) < 0.02
    assert fit.left_out == best.left_out
    batches = [X[:100], np.full((5, 3), np.nan), X[100:]]
    state = fitter.fit_stream(model, batches, missing="em")
    assert int(state.step) == 2 and np.isfinite(state.model.mu).all()
    with pytest.raises(ValueError, match="batch 1: X must be finite"):
        fitter.fit_stream(model, batches)
    # One step by the identity rule is an EM step.
    one = IncrementalEMFitter(eta_update=normix.IdentityUpdate())
    state = one.update(one.init(model), X[:200], missing="em")
    step = model.m_step(model.e_step_sums(X[:200], missing="em"))
    np.testing.assert_allclose(state.model.mu, step.mu, rtol=1e-9)


def test_bootstrap_and_comparison():
    X = data("NormalInverseGaussian")
    fit = fitted("NormalInverseGaussian")
    fitter = BatchEMFitter(tol=1e-5)
    for kind, batch in (("rows", 1), ("parametric", 5)):
        drawn = normix.bootstrap(
            fit.model,
            X,
            10,
            key=jax.random.key(0),
            kind=kind,
            fitter=fitter,
            batch=batch,
            missing="em",
        )
        assert drawn.n_failed <= 2
        ratio = drawn.std(lambda model: model.mean()) / np.nanstd(X, axis=0)
        assert (ratio > 0.02).all() and (ratio < 0.2).all()
    table = normix.compare(X, ("nig", "t"), (False,), fitter=fitter, missing="em")
    np.testing.assert_allclose(
        table.fits[0].result.log_likelihood, fit.log_likelihood, atol=1e-6
    )


def test_estimates_are_nearer_to_the_truth_than_of_complete_rows():
    """Few of 200 simulations, which the benchmark makes."""
    truth = normix.NormalInverseGaussian.from_classical(
        mu=np.zeros(4),
        gamma=np.full(4, 0.3),
        sigma=0.4 + 0.6 * np.eye(4),
        mu_ig=1.0,
        lam=1.5,
    )
    better = 0
    for seed in range(6):
        X = holed(np.asarray(truth.rvs(400, seed)), 0.2, seed)
        start = normix.NormalInverseGaussian.default_init(X, missing="em")
        gaps = []
        for missing in ("em", "drop"):
            model = start.fit(X, missing=missing).model
            gaps.append(np.abs(np.asarray(model.cov() - truth.cov())).sum())
        better += gaps[0] < gaps[1]
    assert better >= 4


# -- imputation and scenarios --------------------------------------------------------


def law(form: str = ""):
    shape = {"F": np.array([[0.5], [0.8], [0.3], [0.6]]), "D": np.full(4, 0.5)}
    if not form:
        shape = {"sigma": shape["F"] @ shape["F"].T + np.diag(shape["D"])}
    return getattr(normix, form + "NormalInverseGaussian").from_classical(
        mu=np.array([0.1, 0.2, 0.3, 0.4]),
        gamma=np.array([0.5, -0.3, 0.2, 0.0]),
        mu_ig=1.0,
        lam=2.0,
        **shape,
    )


@pytest.mark.parametrize("form", FORMS)
def test_imputed_values_are_conditional_means(form):
    model = law(form)
    X = holed(np.asarray(model.rvs(40)), 0.4)
    X[0], X[1] = np.nan, np.arange(4.0)
    means, stds = model.impute(X, return_std=True)
    for row, mean, std in zip(X, np.asarray(means), np.asarray(stds), strict=True):
        seen = np.flatnonzero(~np.isnan(row))
        rest = np.flatnonzero(np.isnan(row))
        np.testing.assert_array_equal(mean[seen], row[seen])
        np.testing.assert_array_equal(std[seen], 0)
        if len(rest):
            given = model.conditional(seen, row[seen]) if len(seen) else model
            np.testing.assert_allclose(mean[rest], given.mean(), rtol=1e-12, atol=1e-12)
            deviations = np.sqrt(np.diagonal(np.atleast_2d(given.cov())))
            np.testing.assert_allclose(std[rest], deviations, rtol=1e-11)


def test_observed_log_density():
    model = law()
    X = holed(np.asarray(model.rvs(20)), 0.4)
    X[0] = np.nan
    found = jax.vmap(model.log_prob_observed)(jnp.asarray(X))
    assert found[0] == 0
    for row, value in zip(X[1:], found[1:], strict=True):
        seen = np.flatnonzero(~np.isnan(row))
        want = model.marginal(seen).log_prob(row[seen]) if len(seen) else 0.0
        np.testing.assert_allclose(value, want, rtol=1e-12)
    total = model.marginal_log_likelihood(X[1:], missing="em")
    np.testing.assert_allclose(total, found[1:].mean(), rtol=1e-12)
    slopes = jax.grad(model.log_prob_observed)(jnp.array([0.3, jnp.nan, 1.0, jnp.nan]))
    assert np.isfinite(slopes).all() and slopes[1] == 0


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
def test_completions_have_the_conditional_law(form):
    model = law(form)
    row = np.array([[np.nan, 1.5, np.nan, -0.5]])
    copies = model.impute(np.repeat(row, 20_000, axis=0), n=1, key=jax.random.key(0))
    X = np.asarray(copies[0])
    given = model.conditional([1, 3], row[0, [1, 3]])
    np.testing.assert_array_equal(X[:, [1, 3]], row[:, [1, 3]].repeat(20_000, axis=0))
    for k in (0, 1):
        margin = given.project(np.eye(2)[k])
        pit = np.asarray(margin.cdf(X[:, [0, 2][k]]))
        assert stats.kstest(pit, "uniform").pvalue > 1e-3
    np.testing.assert_allclose(
        np.corrcoef(X[:, [0, 2]].T)[0, 1],
        given.cov()[0, 1] / np.sqrt(given.cov()[0, 0] * given.cov()[1, 1]),
        atol=0.03,
    )


@pytest.mark.slow
def test_scenarios_against_rejection():
    model, n = law(), 60_000
    given = {1: (1.0, 3.0), 2: (-np.inf, 0.0)}
    X, Y = model.rvs_given(given, n, key=jax.random.key(1), with_y=True)
    every, mixing = (np.asarray(x) for x in model.joint.rvs(1_000_000, 5))
    met = (every[:, 1] > 1) & (every[:, 1] < 3) & (every[:, 2] < 0)
    for k in range(4):
        assert stats.ks_2samp(np.asarray(X)[:, k], every[met, k]).pvalue > 1e-3
    assert stats.ks_2samp(np.asarray(Y), mixing[met]).pvalue > 1e-3


@pytest.mark.slow
def test_far_scenarios_and_values():
    model = law()
    key = jax.random.key(2)
    far = np.asarray(
        model.rvs_given({"a": (40.0, np.inf)}, 500, key=key, columns="abcd")
    )
    assert (far[:, 0] >= 40).all()
    # Far out the excess is exponential, at the rate of the tail.
    margin = model.project(np.eye(4)[0])
    rate = float(np.log(margin.sf(40.0) / margin.sf(41.0)))
    assert abs((far[:, 0] - 40).mean() * rate - 1) < 0.2
    both = np.asarray(model.rvs_given({0: 2.0, 1: (0.0, np.inf)}, 2000, key=key))
    assert (both[:, 0] == 2).all() and (both[:, 1] >= 0).all()
    given = model.conditional([0], [2.0])
    share = given.project(np.array([1.0, 0, 0]))
    pit = (share.cdf(both[:, 1]) - share.cdf(0.0)) / share.sf(0.0)
    assert stats.kstest(np.asarray(pit), "uniform").pvalue > 1e-3


# -- what cannot be done -------------------------------------------------------------


def test_bad_data():
    X = data("NormalInverseGaussian").copy()
    cls, factor = normix.NormalInverseGaussian, normix.FactorNormalInverseGaussian
    model = fitted("NormalInverseGaussian").model
    with pytest.raises(ValueError, match='missing="em" or "drop" takes NaN'):
        model.fit(X)
    with pytest.raises(ValueError, match="missing must be one of"):
        model.fit(X, missing="mean")
    empty = X.copy()
    empty[:, 1] = np.nan
    for fit in (
        lambda x: cls.default_init(x, missing="em"),
        lambda x: model.fit(x, missing="em"),
    ):
        with pytest.raises(ValueError, match="column 1 of X has no entry at all"):
            fit(empty)
    apart = X.copy()
    apart[:150, 0] = apart[150:, 2] = np.nan
    with pytest.raises(ValueError, match="columns 0 and 2 of X are never seen"):
        model.fit(apart, missing="em")
    with pytest.raises(ValueError, match="columns 0 and 2 of X are never seen"):
        model.fit([apart[:100], apart[100:]], missing="em")
    # A factor form ties them together.
    assert factor.default_init(apart, missing="em").fit(apart, missing="em").converged
    X[5, 1] = np.inf
    with pytest.raises(ValueError, match="1 infinite values, the first in row 5"):
        model.fit(X, missing="em")
    X = data("NormalInverseGaussian")
    with pytest.raises(ValueError, match="weights must be finite"):
        model.fit(X, missing="em", weights=np.where(np.arange(300) == 3, np.nan, 1.0))
    with pytest.raises(ValueError, match="no row without a missing entry"):
        model.fit(
            np.where(np.eye(3)[np.arange(300) % 3] > 0, np.nan, 1.0), missing="drop"
        )
    with pytest.raises(ValueError, match="no entry that is not missing"):
        model.fit(np.full((20, 3), np.nan), missing="em")


def test_bad_conditions():
    model, key = law(), jax.random.key(0)
    for given, words in (
        ({7: 1.0}, "unknown column 7"),
        ({"z": 1.0}, "unknown column 'z'; known: 'a', 'b', 'c', 'd'"),
        ({0: (1.0, 1.0)}, "interval of column 0 is empty"),
        ({0: (2.0, 1.0)}, "interval of column 0 is empty"),
        ({0: 1.0, "a": 2.0}, "column 'a' has two conditions"),
        ({0: "low"}, "must be a finite number or a pair"),
        ({0: np.nan}, "must be a finite number or a pair"),
        ({0: (1.0, 2.0, 3.0)}, "must be a finite number or a pair"),
    ):
        with pytest.raises(ValueError, match=words):
            model.rvs_given(given, 5, key=key, columns="abcd")
    with pytest.raises(ValueError, match="met all conditions, of 100 that are asked"):
        model.rvs_given({0: (30.0, 40.0), 2: (-40.0, -30.0)}, 100, key=key)
    with pytest.raises(ValueError, match="n and key go together"):
        model.impute(np.zeros((2, 4)), n=3)
