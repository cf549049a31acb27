"""Batch EM: ascent, agreement, real data, reports and refusals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from normix import BatchEMFitter, NormalInverseGaussian, SampleWeightedUpdate
from normix.fitting.em import drive

DATA = Path(__file__).parents[3] / "shared" / "data"


def simulate(d: int, n: int, seed: int, lam: float, skew: float) -> np.ndarray:
    """NIG data with a random well-conditioned Σ, by NumPy alone."""
    rng = np.random.default_rng(seed)
    y = rng.wald(1.0, lam, n)
    root = np.eye(d) + 0.3 * np.tril(rng.normal(size=(d, d)), -1) / np.sqrt(d)
    gamma = skew * rng.normal(size=d)
    noise = rng.normal(size=(n, d)) @ root.T
    return rng.normal(size=d) + y[:, None] * gamma + np.sqrt(y)[:, None] * noise


def history_of(result: Any) -> np.ndarray:
    return np.asarray(result.log_likelihoods)


# 50 problems, grouped so that few shapes compile: heavy tails and strong skew too.
SHAPES = [(d, n) for d in (1, 2, 5, 20) for n in (d + 2, 400, 10_000)]


@pytest.mark.parametrize(
    ("d", "n"),
    [
        pytest.param(d, n, marks=pytest.mark.exhaustive if n > 400 and d < 20 else ())
        for d, n in SHAPES
    ],
)
def test_log_likelihood_never_falls(d, n):
    lams, skews = (0.05, 1.0, 0.3, 20.0, 1.0), (0.0, 0.5, 3.0, 0.1, 10.0)
    if (d, n) in ((2, 400), (5, 400)):  # 12 shapes of four, and two problems more
        lams, skews = lams + (0.1,), skews + (1.0,)
    fitter = BatchEMFitter(max_iter=40, tol=0.0, track_ll=True)
    for seed, (lam, skew) in enumerate(zip(lams[1:], skews[1:], strict=True)):
        X = simulate(d, n, 100 * d + seed, lam, skew)
        start = NormalInverseGaussian.default_init(X)
        result = fitter.fit(start, X)
        values = history_of(result)
        assert len(values) == result.n_iter
        values = np.append(float(start.marginal_log_likelihood(X)), values)
        assert np.isfinite(values).all()
        assert (np.diff(values) >= -1e-10 * np.abs(values[1:])).all()
        # only a collapsing likelihood (n = d + 2) may end early
        assert result.n_iter == 40 or n == d + 2
        final = float(result.model.marginal_log_likelihood(X))
        assert final == pytest.approx(values[-1], rel=1e-9)


def test_backends_and_methods_agree():
    X = simulate(3, 2000, 0, 1.0, 0.5)
    start = NormalInverseGaussian.default_init(X)
    results = [
        BatchEMFitter(
            max_iter=150,
            tol=1e-6,
            e_step_backend=e,
            m_step_backend=m,
            m_step_method=how,
        ).fit(start, X)
        for e, m, how in (
            ("jax", "jax", "newton"),
            ("cpu", "cpu", "newton"),
            ("jax", "cpu", "lbfgs"),
            ("cpu", "jax", "bfgs"),
        )
    ]
    for other in results[1:]:
        assert other.log_likelihood == pytest.approx(
            results[0].log_likelihood, abs=1e-8
        )
        np.testing.assert_allclose(
            other.model.gamma, results[0].model.gamma, rtol=1e-5, atol=1e-7
        )


def test_the_optimum_is_stationary():
    X = jnp.asarray(simulate(2, 1000, 1, 1.0, 0.5))
    start = NormalInverseGaussian.default_init(X)
    best = start.fit(X, max_iter=2000, tol=1e-12).model

    def mean_log_likelihood(leaves):
        model = jax.tree.unflatten(jax.tree.structure(best), leaves)
        return model.marginal_log_likelihood(X)

    for leaf in jax.grad(mean_log_likelihood)(jax.tree.leaves(best)):
        np.testing.assert_allclose(
            np.tril(leaf) if leaf.ndim == 2 else leaf, 0, atol=1e-7
        )


def test_recovers_the_truth():
    true = NormalInverseGaussian.from_classical(
        mu=jnp.zeros(3),
        gamma=jnp.array([0.4, -0.3, 0.1]),
        sigma=jnp.array([[1.0, 0.3, 0.1], [0.3, 1.0, 0.2], [0.1, 0.2, 1.0]]),
        mu_ig=1.0,
        lam=1.5,
    )
    X = true.rvs(40_000, seed=0)
    fit = NormalInverseGaussian.default_init(X).fit(X, tol=1e-6, max_iter=500).model
    # in one gauge, E[Y] = 1, within five standard errors or so
    gauged = fit.joint.rescaled(1 / fit.subordinator().mean())
    np.testing.assert_allclose(gauged.gamma, true.gamma, atol=0.06)
    np.testing.assert_allclose(gauged.sigma(), true.sigma(), atol=0.06)
    assert float(gauged.subordinator.lam) == pytest.approx(1.5, abs=0.12)


@pytest.mark.parametrize("factor", [1.0, 100.0])
def test_swiss_stocks_reach_the_reference_maximum(factor):
    file = DATA / "smi_stocks.csv"
    if not file.exists():
        pytest.skip("the reference data sets are not beside the checkout")
    X = np.loadtxt(file, delimiter=",", skiprows=1, usecols=range(2, 7)) * factor
    start = NormalInverseGaussian.default_init(X)
    result = start.fit(X, max_iter=500, tol=1e-9)
    total = result.log_likelihood * len(X) + X.size * np.log(factor)
    assert total == pytest.approx(26135.583352, abs=1e-5)
    _, a, b = result.model.subordinator().gig_params()
    assert float(jnp.sqrt(a * b)) == pytest.approx(0.6537481, rel=1e-5)


def test_the_fit_moves_with_the_data():
    X = simulate(2, 1500, 3, 0.8, 0.4)
    scale, shift = np.array([1e-4, 1e3]), np.array([1e3, -1e6])
    fitter = BatchEMFitter(max_iter=400, tol=1e-8)
    plain = fitter.fit(NormalInverseGaussian.default_init(X), X)
    moved_data = X * scale + shift
    moved = fitter.fit(NormalInverseGaussian.default_init(moved_data), moved_data)
    back = moved.log_likelihood + np.log(scale).sum()
    assert back == pytest.approx(plain.log_likelihood, abs=1e-7)
    np.testing.assert_allclose(
        moved.model.mean(), np.asarray(plain.model.mean()) * scale + shift, rtol=1e-9
    )
    np.testing.assert_allclose(
        moved.model.cov(),
        np.asarray(plain.model.cov()) * np.outer(scale, scale),
        rtol=1e-4,
    )


@pytest.mark.parametrize("gauge", ["det_sigma_one", "det_sigma_x", "a_eq_b", "none"])
def test_regularization_keeps_its_gauge(gauge):
    X = simulate(3, 1000, 4, 1.0, 0.5)
    start = NormalInverseGaussian.default_init(X)
    fitter = BatchEMFitter(max_iter=100, tol=1e-7, regularization=gauge)
    result = fitter.fit(start, X)
    log_det = float(result.model.log_det_sigma())
    if gauge == "det_sigma_one":
        assert abs(float(jnp.linalg.det(result.model.sigma())) - 1) <= 1e-12
    if gauge == "det_sigma_x":
        assert log_det == pytest.approx(float(start.log_det_sigma()), abs=1e-12)
    if gauge == "a_eq_b":
        _, a, b = result.model.subordinator().gig_params()
        assert float(a) == pytest.approx(float(b), rel=1e-12)
    free = BatchEMFitter(max_iter=100, tol=1e-7).fit(start, X)
    assert result.log_likelihood == pytest.approx(free.log_likelihood, abs=1e-8)


def test_vmap_and_jit_of_whole_fits_equal_the_loop():
    X = jnp.stack([jnp.asarray(simulate(2, 300, s, 1.0, 0.5)) for s in range(4)])
    fitter = BatchEMFitter(max_iter=60, tol=1e-5, track_ll=True)

    def fit(rows):
        return fitter.fit(NormalInverseGaussian.default_init(rows), rows)

    many = jax.jit(jax.vmap(fit))(X)
    for i, rows in enumerate(X):
        one = fit(rows)
        assert int(many.n_iter[i]) == one.n_iter
        assert bool(many.converged[i]) == one.converged
        assert float(many.log_likelihood[i]) == pytest.approx(
            one.log_likelihood, rel=1e-11
        )
        np.testing.assert_allclose(many.model.gamma[i], one.model.gamma, rtol=1e-8)
        history = history_of(many)[i]
        np.testing.assert_allclose(history[: one.n_iter], history_of(one), rtol=1e-10)
        assert np.isnan(history[one.n_iter :]).all()


def test_reports(capsys):
    X = simulate(2, 400, 5, 1.0, 0.5)
    start = NormalInverseGaussian.default_init(X)
    BatchEMFitter(max_iter=50).fit(start, X)
    assert capsys.readouterr().out == ""
    result = BatchEMFitter(max_iter=150, tol=1e-4, verbose=1).fit(start, X)
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == "EM Fitting: NormalInverseGaussian"
    assert "Tolerance  : 1.0e-04" in lines
    assert "E-step     : jax" in lines
    assert lines[-1].startswith(f"Converged after {result.n_iter} iterations (")
    assert lines[-1].endswith(f"final LL={result.log_likelihood:.6f}")
    assert len(history_of(result)) == result.n_iter
    assert result.param_changes is not None and result.criteria is not None
    assert len(result.param_changes) == len(result.criteria) == result.n_iter
    assert result.criteria[-1] <= 1e-4
    rows = BatchEMFitter(max_iter=150, tol=1e-4, verbose=2).fit(start, X)
    table = [
        x.split()
        for x in capsys.readouterr().out.splitlines()
        if x[:9].strip().isdigit()
    ]
    assert [int(row[0]) for row in table] == list(range(1, rows.n_iter + 1))
    np.testing.assert_allclose(
        [float(row[1]) for row in table], history_of(rows), atol=1e-8
    )
    assert history_of(rows)[-1] == pytest.approx(history_of(result)[-1])


def test_parameter_change_is_the_documented_one():
    X = simulate(2, 400, 6, 1.0, 0.5) + 5.0
    start = NormalInverseGaussian.default_init(X)
    result = BatchEMFitter(max_iter=1, tol=0.0, track_ll=True).fit(start, X)

    def rms(x):
        return float(np.sqrt(np.mean(np.asarray(x) ** 2)))

    pairs = zip(
        start.em_convergence_params(), result.model.em_convergence_params(), strict=True
    )
    expected = max(rms(new - old) / (1 + rms(old)) for old, new in pairs)
    assert result.param_changes is not None
    assert float(result.param_changes[0]) == pytest.approx(expected, rel=1e-10)


def test_small_units_do_not_look_converged():
    X = 0.01 * simulate(2, 1000, 7, 0.7, 0.5)
    start = NormalInverseGaussian.default_init(X)
    coarse = BatchEMFitter(max_iter=300, tol=1e-4).fit(start, X)
    fine = BatchEMFitter(max_iter=3000, tol=1e-10).fit(start, X)
    assert coarse.n_iter > 3
    assert coarse.log_likelihood == pytest.approx(fine.log_likelihood, abs=1e-5)


def test_ctrl_c_returns_the_last_model(monkeypatch, capsys):
    X = simulate(2, 400, 8, 1.0, 0.5)
    start = NormalInverseGaussian.default_init(X)
    calls = []

    turn = drive.turn

    def interrupted(*args):
        if len(calls) == 3:
            raise KeyboardInterrupt
        calls.append(1)
        return turn(*args)

    monkeypatch.setattr(drive, "turn", interrupted)
    result = BatchEMFitter(max_iter=50, tol=0.0, verbose=2).fit(start, X)
    assert result.interrupted and not result.converged
    assert result.n_iter == 2  # the first turn only evaluates the start
    assert "Interrupted after 2 iterations" in capsys.readouterr().out
    assert "interrupted" in result.message
    reached = float(result.model.marginal_log_likelihood(X))
    assert reached == pytest.approx(result.log_likelihood, rel=1e-10)


def test_a_step_that_is_not_finite_is_refused():
    X = simulate(2, 400, 9, 1.0, 0.5)
    start = NormalInverseGaussian.default_init(X)
    broken = eqx.tree_at(
        lambda m: m.joint.subordinator.lam, start, jnp.asarray(jnp.nan)
    )
    result = BatchEMFitter(max_iter=10).fit(broken, X)
    assert result.diverged and not result.converged and result.n_iter == 0
    assert "diverged" in result.message
    # one bad lane under vmap: flagged, its model finite, the other lane untouched
    lanes = jnp.stack([jnp.asarray(X), jnp.asarray(X).at[0, 0].set(jnp.nan)])
    both = jax.vmap(lambda x: BatchEMFitter(max_iter=10).fit(start, x))(lanes)
    assert both.diverged.tolist() == [False, True]
    assert bool(jnp.isfinite(both.model.mu).all())
    assert "1 diverged" in both.message
    # under jit: flags, no exception; a constant column makes Σ singular
    flat = jnp.asarray(X).at[:, 1].set(2.0)
    traced = jax.jit(lambda x: BatchEMFitter(max_iter=10).fit(start, x))(flat)
    assert not bool(traced.converged) or bool(jnp.isfinite(traced.log_likelihood))
    assert bool(jnp.isfinite(traced.model.gamma).all())


def test_single_precision_data_are_taken_to_double():
    """Where that is enabled, whichever rule the statistics are updated by."""
    X = simulate(2, 1000, 10, 1.0, 0.5).astype(np.float32)
    start = NormalInverseGaussian.default_init(jnp.asarray(X))
    result = BatchEMFitter(max_iter=30, tol=1e-3).fit(start, jnp.asarray(X))
    assert {leaf.dtype for leaf in jax.tree.leaves(result.model)} == {
        jnp.dtype("float64")
    }
    double = BatchEMFitter(max_iter=30, tol=1e-3).fit(
        NormalInverseGaussian.default_init(X.astype(float)), X.astype(float)
    )
    assert result.log_likelihood == pytest.approx(double.log_likelihood, rel=1e-12)
    ruled = BatchEMFitter(max_iter=5, eta_update=SampleWeightedUpdate())
    single = jax.tree.map(lambda leaf: leaf.astype(np.float32), start)
    for model in (start, single):
        assert np.isfinite(ruled.fit(model, X).log_likelihood)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"algorithm": "sgd"}, "algorithm must be one of 'em', 'mcecm'; got 'sgd'"),
        (
            {"regularization": "det"},
            "regularization must be one of 'none', 'det_sigma_one'",
        ),
        ({"e_step_backend": "gpu"}, "e_step_backend must be one of 'jax', 'cpu'"),
        ({"m_step_backend": "gpu"}, "m_step_backend must be one of 'jax', 'cpu'"),
        (
            {"m_step_method": "cg"},
            "m_step_method must be one of 'newton', 'lbfgs', 'bfgs'",
        ),
        ({"verbose": 3}, "verbose must be 0, 1 or 2"),
        ({"max_iter": 0}, "max_iter must be at least 1"),
        ({"tol": -1.0}, "tol must not be negative"),
        ({"m_step_kwargs": {"steps": 1}}, "unknown solver options"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        BatchEMFitter(**options)


def test_bad_data():
    X = simulate(2, 100, 11, 1.0, 0.5)
    start = NormalInverseGaussian.default_init(X)
    fitter = BatchEMFitter()
    holes = X.copy()
    holes[[7, 30], 1] = np.nan
    holes[50, 0] = np.inf
    with pytest.raises(
        ValueError, match="3 NaN or infinite values, the first in row 7"
    ):
        fitter.fit(start, holes)
    with pytest.raises(ValueError, match="must have 2 columns"):
        fitter.fit(start, X[:, :1])
    with pytest.raises(ValueError, match=r"must have shape \(n, d\), got \(100,\)"):
        fitter.fit(start, X[:, 0])
    with pytest.raises(ValueError, match="2 rows; a full dispersion in 2 dimensions"):
        fitter.fit(start, X[:2])
    flat = X.copy()
    flat[:, 1] = 3.0
    with pytest.raises(ValueError, match=r"constant columns: \[1\]"):
        NormalInverseGaussian.default_init(flat)
    with pytest.raises(ValueError, match="must not be empty"):
        fitter.fit(start, X[:0])
