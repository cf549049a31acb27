# pyright: reportArgumentType=false
"""Options of the batch fitter: each against what it must not change, or must."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import normix
from normix import (
    BatchEMFitter,
    EWMAUpdate,
    FactorNormalInverseGaussian,
    GeneralizedHyperbolic,
    IdentityUpdate,
    IncrementalEMFitter,
    NormalInverseGaussian,
    Outcome,
    UnivariateNormalInverseGaussian,
    VarianceGamma,
)


def simulate(n: int = 600, d: int = 2, seed: int = 0, spread: float = 1.0):
    """Skewed data with a mixing variable of mean 1 and that variance."""
    rng = np.random.default_rng(seed)
    y = rng.wald(1.0, 1 / spread, n)
    skew = np.linspace(0.5, -0.3, d)
    return y[:, None] * skew + np.sqrt(y)[:, None] * rng.normal(size=(n, d))


X = simulate()
START = NormalInverseGaussian.default_init(X)


@pytest.fixture(scope="module")
def plain():
    return START.fit(X, acceleration="none", tol=1e-10, max_iter=2000, track_ll=True)


@pytest.mark.parametrize(
    "options",
    [
        {"algorithm": "mcecm"},
        {"acceleration": "anderson"},
        {"acceleration": "quasi-newton"},
        {"acceleration": "squarem"},
        {"acceleration": "anderson", "regularization": "det_sigma_one"},
    ],
    ids=str,
)
def test_the_same_maximum_and_never_a_fall(options, plain):
    fit = START.fit(X, tol=1e-10, max_iter=2000, track_ll=True, **options)
    assert fit.converged
    assert fit.log_likelihood == pytest.approx(plain.log_likelihood, abs=1e-10)
    for ours, exact in zip(
        fit.model.regularize_det_sigma_one().em_convergence_params(),
        plain.model.regularize_det_sigma_one().em_convergence_params(),
        strict=True,
    ):
        np.testing.assert_allclose(ours, exact, atol=2e-5)
    falls = np.diff(np.asarray(fit.log_likelihoods))
    assert (falls >= -1e-10 * abs(fit.log_likelihood)).all()
    if "acceleration" in options:
        assert fit.n_iter < 0.7 * plain.n_iter


def test_weights_are_counts():
    w = np.where(np.arange(len(X)) < 200, 2.0, 1.0)
    by_weight = START.fit(X, weights=w, tol=1e-9, max_iter=1000)
    repeated = START.fit(np.concatenate([X[:200], X]), tol=1e-9, max_iter=1000)
    assert by_weight.log_likelihood == pytest.approx(repeated.log_likelihood, abs=1e-9)
    value = by_weight.model.marginal_log_likelihood(X, weights=w)
    assert float(value) == pytest.approx(by_weight.log_likelihood, abs=1e-12)
    with pytest.raises(ValueError, match=r"weights must have shape \(600,\)"):
        START.fit(X, weights=w[:5])


@pytest.mark.slow
@pytest.mark.parametrize("acceleration", ["anderson", "quasi-newton"])
def test_constraints_hold_and_are_stationary(acceleration):
    """What is held stays; in all else the likelihood is at its highest."""
    rng = np.random.default_rng(0)
    heavy = np.sqrt(1 / rng.gamma(2, 1, 600))[:, None] * rng.normal(size=(600, 2))
    options: Any = {"tol": 1e-9, "max_iter": 500, "acceleration": acceleration}
    mu = np.array([0.05, -0.02])
    cases: Any = (
        (X, {"symmetric": True}),
        (X, {"fix": {"p": 1.0}}),
        (X, {"fix": {"mu": mu, "p": -0.5}}),
        (heavy, {"alpha_min": 0.8}),
    )
    for data, held in cases:
        free = GeneralizedHyperbolic.default_init(data)
        fit = free.fit(data, **options, **held)
        assert fit.converged

        def likelihood(mu, gamma, p, model=fit.model, data=data):
            moved = model.replace(mu=mu, gamma=gamma, p=p)
            return moved.marginal_log_likelihood(data)

        at = fit.model.mu, fit.model.gamma, fit.model.p
        slopes = jax.grad(likelihood, argnums=(0, 1, 2))(*at)
        fix = held.get("fix", {})
        if "mu" in fix:
            np.testing.assert_array_equal(fit.model.mu, mu)
        else:
            np.testing.assert_allclose(slopes[0], 0, atol=1e-5)
        if held.get("symmetric"):
            np.testing.assert_array_equal(fit.model.gamma, 0)
        else:
            np.testing.assert_allclose(slopes[1], 0, atol=1e-5)
        if "p" in fix:
            assert float(fit.model.p) == fix["p"]
        elif "alpha_min" in held:
            assert float(fit.model.p) >= 0.8 and float(slopes[2]) < 0
            assert float(fit.model.p) == pytest.approx(0.8, abs=1e-6)
    with pytest.raises(ValueError, match="fix names alpha; .* can hold mu, p"):
        free.fit(X, fix={"alpha": 1.0})
    with pytest.raises(ValueError, match="fix names p; .* can hold mu"):
        START.fit(X, fix={"p": 1.0})
    with pytest.raises(ValueError, match="has no pole"):
        START.fit(X, alpha_min=1.0)
    with pytest.raises(ValueError, match="alpha_min must be one of 'density'"):
        free.fit(X, alpha_min="dense")


def test_several_starts():
    key = jax.random.key(3)
    fitter = BatchEMFitter(tol=1e-6, acceleration="anderson")
    fit = fitter.fit(START, X, n_starts=4, key=key)
    assert fit.starts is not None
    assert fit.starts.log_likelihood.shape == (4,)
    assert fit.log_likelihood == pytest.approx(float(fit.starts.log_likelihood.max()))
    alone = fitter.fit(START, X)
    first = float(fit.starts.log_likelihood[0])
    assert first == pytest.approx(alone.log_likelihood, abs=1e-10)
    assert fit.converged and "converged" in fit.message
    assert "4 converged" in fit.starts.message
    again = fitter.fit(START, X, n_starts=4, key=key)
    assert again.log_likelihood == fit.log_likelihood
    with pytest.raises(ValueError, match="n_starts must be at least 1"):
        START.fit(X, n_starts=0)


def test_starts_that_end_in_a_limit_or_at_a_pole():
    """They are told apart, and a pole is no maximum, however high the likelihood."""
    rng = np.random.default_rng(0)
    x = np.append(np.zeros(6), rng.gamma(2.0, 1.0, 60) - 0.5)
    start = normix.UnivariateVarianceGamma.default_init(x)
    fit = start.fit(x, n_starts=6, tol=1e-6)
    assert fit.starts is not None
    values, outcomes = map(np.asarray, (fit.starts.log_likelihood, fit.starts.outcome))
    kept = outcomes != Outcome.UNBOUNDED
    assert kept.any() and not kept.all()
    assert values[~kept].min() > fit.log_likelihood
    assert not fit.unbounded
    assert fit.log_likelihood == values[kept].max()


def test_update_rules():
    same = START.fit(X, eta_update=IdentityUpdate(), max_iter=5, tol=0.0)
    plain = START.fit(X, acceleration="none", max_iter=5, tol=0.0)
    assert same.log_likelihood == pytest.approx(plain.log_likelihood, abs=1e-12)
    slow = START.fit(X, eta_update=EWMAUpdate(w=0.2), max_iter=5, tol=0.0)
    assert slow.log_likelihood < plain.log_likelihood
    with pytest.raises(ValueError, match="eta_update needs"):
        BatchEMFitter(eta_update=IdentityUpdate(), acceleration="squarem")


def test_a_pole_is_named():
    rng = np.random.default_rng(1)
    y = rng.gamma(0.4, 2.5, 300)
    data = np.sqrt(y)[:, None] * rng.normal(size=(300, 2))
    data[:20] = 0.0
    # With a shape below 1 any row is a pole; the start is nearest to the tied ones.
    start = VarianceGamma.default_init(data).replace(mu=np.full(2, 1e-3))
    fit = start.fit(data, max_iter=500, tol=1e-8)
    assert fit.unbounded and not fit.converged and fit.ties == 20
    assert bool(jnp.isfinite(fit.model.mu).all())
    bounded = start.fit(data, alpha_min="inverse_moment", max_iter=500, tol=1e-6)
    assert bounded.converged and float(bounded.model.alpha) == pytest.approx(2.1)
    # on a cusp, where the shape is at a bound that leaves the density finite
    cusp = start.fit(data, alpha_min=1.1, max_iter=500, tol=1e-6, track_ll=True)
    assert cusp.converged and float(cusp.model.alpha) == pytest.approx(1.1)
    np.testing.assert_array_equal(cusp.model.mu, 0.0)
    assert (np.diff(np.asarray(cusp.log_likelihoods)) >= -1e-10).all()
    batch = jax.vmap(lambda x: start.fit(x, max_iter=500, tol=1e-8))(data[None])
    assert batch.unbounded.tolist() == [True]


@pytest.mark.slow
def test_many_dimensions_take_the_factor_form():
    d, n, r = 500, 2000, 5
    rng = np.random.default_rng(2)
    F = rng.normal(size=(d, r))
    y = rng.wald(1.0, 1.5, n)
    noise = rng.normal(size=(n, r)) @ F.T + rng.normal(size=(n, d))
    data = np.sqrt(y)[:, None] * noise + 0.2 * y[:, None]
    start = FactorNormalInverseGaussian.default_init(data, r=r)
    options: Any = {"acceleration": "anderson", "track_ll": True}
    fit = start.fit(data, max_iter=30, tol=1e-4, **options)
    assert fit.converged
    assert (np.diff(np.asarray(fit.log_likelihoods)) >= -1e-9 * 1000).all()
    scale = float(fit.model.subordinator().mean())
    ours = scale * np.asarray(fit.model.sigma())
    exact = F @ F.T + np.eye(d)
    assert np.linalg.norm(ours - exact) < 0.15 * np.linalg.norm(exact)
    # fewer rows than columns: an error that names the way out, which works
    few = data[:300]
    with pytest.raises(ValueError, match="300 rows.*at least 501.*[Ff]actor"):
        NormalInverseGaussian.default_init(few)
    lean = FactorNormalInverseGaussian.default_init(few, r=2).fit(few, max_iter=10)
    assert np.isfinite(lean.log_likelihood)
    with pytest.raises(ValueError, match="r must be from 1 to 500"):
        FactorNormalInverseGaussian.default_init(few, r=0)


def test_the_law_of_y_must_have_come_to_rest():
    """A start whose normal part is right does not pass for a maximum."""
    rng = np.random.default_rng(1)
    heavy = np.sqrt(1 / rng.gamma(1.5, 1, 600))[:, None] * rng.normal(size=(600, 2))
    free = GeneralizedHyperbolic.default_init(heavy)
    start = free.fit(heavy, fix={"p": 3.0}, tol=1e-6)
    fit = start.model.fit(heavy, tol=1e-6, max_iter=500)
    best = start.model.fit(heavy, tol=1e-9, max_iter=500, acceleration="anderson")
    assert best.log_likelihood > start.log_likelihood + 1e-4
    assert fit.log_likelihood == pytest.approx(best.log_likelihood, abs=1e-6)


def test_a_series_is_one_dimensional():
    series = X[:, 0]
    start = UnivariateNormalInverseGaussian.default_init(series)
    fit = start.fit(series, tol=1e-8, max_iter=500)
    column = NormalInverseGaussian.default_init(series[:, None])
    same = column.fit(series[:, None], tol=1e-8, max_iter=500)
    assert fit.log_likelihood == pytest.approx(same.log_likelihood, abs=1e-12)
    assert fit.model.mu.shape == ()
    with pytest.raises(ValueError, match=r"X must have shape \(n,\)"):
        start.fit(X)


@pytest.mark.parametrize("kind", [BatchEMFitter, IncrementalEMFitter])
def test_a_jitted_fit_takes_every_option(kind, key):
    """Options are dictionaries and arrays, too, which have no hash."""
    model = normix.VarianceGamma.from_classical(
        mu=np.zeros(1), gamma=np.zeros(1), sigma=np.eye(1), alpha=1.5, beta=1.5
    )
    rule = normix.Shrinkage(
        normix.IdentityUpdate(), model.compute_eta_from_model(), 0.1
    )
    options = dict(
        fix={"mu": [0.25]},
        m_step_kwargs={"maxiter": 20},
        alpha_min=np.array(0.75),
        eta_update=rule,
    )
    X = np.random.default_rng(0).standard_t(4, size=(60, 1))
    if kind is BatchEMFitter:
        fitter, given = kind(max_iter=2, tol=0.0, **options), {}
    else:
        fitter, given = kind(max_steps=2, **options), {"key": key}
    found = jax.jit(fitter.fit)(model, X, **given)
    assert int(found.n_iter) == 2 and float(found.model.mu[0]) == 0.25
    assert fitter.m_step_kwargs == {"maxiter": 20}
    assert hash(fitter) == hash(fitter)
    # The fitter itself may be an argument, its values traced.
    again = jax.jit(lambda f: f.fit(model, X, **given).log_likelihood)(fitter)
    np.testing.assert_allclose(again, found.log_likelihood, rtol=1e-12)
