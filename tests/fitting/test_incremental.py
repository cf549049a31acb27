"""Incremental EM: rules, streams, shrinkage, and what a bad batch leaves behind."""

import tracemalloc

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import minimize

import normix
from normix import (
    AffineUpdate,
    BatchEMFitter,
    EWMAUpdate,
    FactorNormalInverseGaussian,
    IdentityUpdate,
    IncrementalEMFitter,
    NormalInverseGaussian,
    PolynomialUpdate,
    RobbinsMonroUpdate,
    SampleWeightedUpdate,
    Shrinkage,
    UnivariateVarianceGamma,
    eta0_diagonal,
    eta0_from_model,
    eta0_isotropic,
    eta0_with_sigma,
)
from normix.fitting.em.stream import batch_order, batches

TRUE = NormalInverseGaussian.from_classical(
    mu=np.zeros(2),
    gamma=np.array([0.4, -0.3]),
    sigma=np.array([[1.0, 0.3], [0.3, 1.0]]),
    mu_ig=1.0,
    lam=1.5,
)
X = np.asarray(TRUE.rvs(8000, seed=0))
START = NormalInverseGaussian.default_init(X)
KEY = jax.random.key(0)


def assert_same(left, right, **tolerance):
    pairs = zip(jax.tree.leaves(left), jax.tree.leaves(right), strict=True)
    for a, b in pairs:
        np.testing.assert_allclose(a, b, **tolerance)


def test_rules_come_near_the_truth():
    target = float(TRUE.marginal_log_likelihood(X))
    rules = {
        "identity": IdentityUpdate(),
        "robbins-monro": RobbinsMonroUpdate(tau0=10.0),
        "sample": SampleWeightedUpdate(),
        "ewma": EWMAUpdate(w=0.1),
        "polynomial": PolynomialUpdate(power=0.7),
    }
    final = {}
    for name, rule in rules.items():
        fitter = IncrementalEMFitter(eta_update=rule, batch_size=512, max_steps=60)
        fit = fitter.fit(START, X, key=KEY)
        assert fit.converged is None and fit.n_iter == 60 and not fit.diverged
        final[name] = fit.log_likelihood
        assert final[name] > target - 0.02, name
    assert min(final["sample"], final["ewma"]) > final["robbins-monro"]


def test_one_step_on_all_rows_is_one_of_batch_em():
    fitter = IncrementalEMFitter(
        eta_update=IdentityUpdate(), batch_size=len(X), max_steps=1, verbose=1
    )
    fit = fitter.fit(START, X, key=KEY)
    plain = BatchEMFitter(max_iter=1, track_ll=True).fit(START, X)
    assert_same(fit.model, plain.model, rtol=1e-10)
    assert fit.log_likelihoods is not None and fit.log_likelihoods.shape == (2,)
    assert float(fit.log_likelihoods[1]) == pytest.approx(plain.log_likelihood)
    # two EM iterations on the batch are two of EM
    twice = IncrementalEMFitter(
        eta_update=IdentityUpdate(), batch_size=len(X), max_steps=1, inner_iter=2
    )
    again = BatchEMFitter(max_iter=2, tol=0.0).fit(START, X)
    assert_same(twice.fit(START, X, key=KEY).model, again.model, rtol=1e-10)


def test_a_stream_is_its_updates():
    fitter = IncrementalEMFitter(eta_update=SampleWeightedUpdate())
    batches = [X[:300], X[300:600], X[600:700]]  # the last one is ragged
    state = fitter.init(START)
    for batch in batches:
        state = fitter.update(state, batch)
    streamed = fitter.fit_stream(START, iter(batches))
    assert_same(state, streamed, rtol=1e-12)
    assert int(state.step) == 3 and float(state.rule_state) == 700
    # by hand: E-step, rule, M-step
    model, eta = START, START.compute_eta_from_model()
    for k, batch in enumerate(batches):
        seen = sum(len(b) for b in batches[: k + 1])
        new = model.e_step(batch)
        eta = normix.affine_combine(eta, new, 1 - len(batch) / seen, len(batch) / seen)
        model = model.m_step(eta)
    assert_same(state.model, model, rtol=1e-9)


def test_a_state_is_saved_and_resumed_exactly(tmp_path):
    rule = Shrinkage(SampleWeightedUpdate(), eta0_from_model(START), 0.1)
    fitter = IncrementalEMFitter(eta_update=rule, average_from=2)
    state = fitter.update(fitter.init(START), X[:300])
    normix.save(state, tmp_path / "state.json")
    loaded = normix.load(tmp_path / "state.json")
    assert jax.tree.structure(loaded) == jax.tree.structure(state)
    assert_same(loaded, state, rtol=0)
    onwards = fitter.update(state, X[300:600]), fitter.update(loaded, X[300:600])
    assert_same(*onwards, rtol=0)


def test_a_bad_batch_leaves_the_state():
    fitter = IncrementalEMFitter(eta_update=SampleWeightedUpdate())
    state = fitter.update(fitter.init(START), X[:300])
    before = jax.tree.map(np.array, state)
    nan = X[300:600].copy()
    nan[7, 1] = np.nan
    for bad, message in (
        (nan, r"batch 2: X must be finite, got 1 .* in row 7"),
        (X[:0], "batch 2: X must not be empty"),
        (X[:300, :1], "batch 2: X must have 2 columns"),
        (X[:300, 0], r"batch 2: X must have shape \(n, d\)"),
    ):
        with pytest.raises(ValueError, match=message):
            fitter.update(state, bad)
    assert_same(state, before, rtol=0)
    # What cannot be seen before it is computed is refused: too few rows for Σ.
    lone = IncrementalEMFitter(eta_update=IdentityUpdate())
    state = lone.update(lone.init(START), X[:1])
    assert bool(state.diverged) and int(state.step) == 0
    # As it was, but for the way through (p, a, b) and back.
    assert_same(state.model, START, rtol=4e-16)
    assert int(lone.update(state, X[:300]).step) == 1


def test_averages_of_steps():
    rule = PolynomialUpdate(power=0.6, tau0=2.0)
    plain = IncrementalEMFitter(eta_update=rule)
    fitter = IncrementalEMFitter(eta_update=rule, average_from=3)
    state, other = fitter.init(START), plain.init(START)
    etas = []
    for k in range(5):
        batch = X[300 * k : 300 * (k + 1)]
        state, other = fitter.update(state, batch), plain.update(other, batch)
        etas.append(other.eta)
    assert_same(state.joint, other.joint, rtol=1e-12)  # the iterates are the same
    mean = jax.tree.map(lambda *e: sum(e) / 3, *etas[2:])
    assert_same(state.model, START.from_expectation(mean), rtol=1e-9)
    for k, weight in ((1, 3.0**-0.6), (5, 7.0**-0.6)):
        assert float(
            rule.weights(jnp.asarray(k), jnp.ones(()), ())[2]
        ) == pytest.approx(weight)


def test_vmapped_fits_are_the_loop():
    fitter = IncrementalEMFitter(batch_size=100, max_steps=8, verbose=1)
    data = X[:2000].reshape(4, 500, 2)
    keys = jax.random.split(KEY, 4)
    every = jax.vmap(lambda x, k: fitter.fit(START, x, key=k))(data, keys)
    assert every.log_likelihoods is not None
    assert every.log_likelihoods.shape == (4, 9)
    for i in range(4):
        one = fitter.fit(START, data[i], key=keys[i])
        of_all = jax.tree.map(lambda a, i=i: a[i], every.model)
        assert_same(of_all, one.model, rtol=1e-9)


def test_factor_and_univariate_forms():
    factor = FactorNormalInverseGaussian.default_init(X)
    fitter = IncrementalEMFitter(eta_update=EWMAUpdate(w=0.2), max_steps=40)
    fit = fitter.fit(factor, X, key=KEY)
    assert fit.log_likelihood > float(TRUE.marginal_log_likelihood(X)) - 0.02
    series = np.asarray(X[:, 0])
    start = UnivariateVarianceGamma.default_init(series)
    best = start.fit(series).log_likelihood
    fit = fitter.fit(start, series, key=KEY)
    assert abs(fit.log_likelihood - best) < 0.02


def test_shrinkage_is_a_penalised_maximum():
    """``LL - τ KL(joint of η0, joint)``, by direct optimisation."""
    tau, rows = 0.5, jnp.asarray(X[:800])
    eta0 = eta0_isotropic(START, 1.0)
    target = START.from_expectation(eta0)
    rule = Shrinkage(IdentityUpdate(), eta0, tau)
    fitter = BatchEMFitter(eta_update=rule, max_iter=3000, tol=1e-12)
    fit = fitter.fit(START, rows)

    @jax.jit
    @jax.value_and_grad
    def loss(v):
        joint = START.joint.at(v[:-1]).rescaled(jnp.exp(v[-1]))
        likelihood = joint.log_prob_marginal(rows).mean()
        return tau * target.joint.kl_divergence(joint) - likelihood

    begin = np.append(START.joint.coordinates(), 0.0)
    found = minimize(loss, begin, jac=True, method="BFGS", options={"gtol": 1e-10})
    best = START.joint.at(found.x[:-1]).rescaled(np.exp(found.x[-1]))
    assert_same(fit.model.joint, best, atol=1e-6)


def test_targets():
    eta0 = eta0_with_sigma(START, np.diag([2.0, 0.5]))
    assert_same(eta0, eta0_diagonal(START, np.array([2.0, 0.5])), rtol=1e-14)
    model = START.from_expectation(eta0)
    np.testing.assert_allclose(model.sigma(), np.diag([2.0, 0.5]), atol=1e-12)
    np.testing.assert_allclose(model.mu, START.mu, atol=1e-12)
    iso = START.from_expectation(eta0_isotropic(START, 3.0))
    np.testing.assert_allclose(iso.sigma(), 3 * np.eye(2), atol=1e-12)
    factor = FactorNormalInverseGaussian.default_init(X)
    own = factor.from_expectation(eta0_diagonal(factor, np.array([2.0, 0.5])))
    np.testing.assert_allclose(own.sigma(), np.diag([2.0, 0.5]), atol=1e-12)
    for call, message in (
        (lambda: eta0_isotropic(START, -1.0), "sigma2 must be positive"),
        (lambda: eta0_diagonal(START, np.zeros(2)), "diag must be positive"),
        (lambda: eta0_isotropic(START, np.ones(2)), "sigma2 must be a scalar"),
        (lambda: eta0_diagonal(START, np.ones(1)), r"diag must have shape \(2,\)"),
        (lambda: eta0_with_sigma(factor, np.eye(2)), "full dispersion"),
    ):
        with pytest.raises(ValueError, match=message):
            call()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RobbinsMonroUpdate(tau0=-1.0), "tau0 must not be negative"),
        (lambda: EWMAUpdate(w=0.0), r"w must be in \(0, 1\]"),
        (lambda: EWMAUpdate(w=1.5), r"w must be in \(0, 1\]"),
        (lambda: PolynomialUpdate(power=0.5), r"power must be in \(0.5, 1\]"),
        (lambda: PolynomialUpdate(tau0=-1.0), "tau0 must not be negative"),
        (
            lambda: Shrinkage(IdentityUpdate(), eta0_from_model(START), -0.1),
            "tau must not be negative",
        ),
        (
            lambda: Shrinkage(
                IdentityUpdate(),
                eta0_from_model(START),
                jax.tree.map(lambda x: -jnp.ones(()), eta0_from_model(START)),
            ),
            "tau must not be negative",
        ),
        (lambda: IncrementalEMFitter(batch_size=0), "batch_size must be at least 1"),
        (lambda: IncrementalEMFitter(max_steps=0), "max_steps must be at least 1"),
        (lambda: IncrementalEMFitter(inner_iter=0), "inner_iter must be at least 1"),
        (lambda: IncrementalEMFitter(regularization="x"), "regularization must be"),
    ],
)
def test_what_is_out_of_range(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_field_can_have_its_own_tau():
    eta0 = eta0_isotropic(START, 1.0)
    old, new = TRUE.compute_eta_from_model(), START.e_step(X[:300])
    tau = jax.tree.map(lambda _: jnp.zeros(()), eta0)
    tau = eqx.tree_at(lambda t: t.E_XXT_inv_Y, tau, jnp.full((2, 2), 3.0))
    rule = Shrinkage(AffineUpdate(b=0.5, c=0.5), eta0, tau)
    eta, _ = rule(old, new, jnp.ones(()), jnp.ones(()), rule.initial_state())
    plain = jax.tree.map(lambda x, y: 0.5 * (x + y), old, new)
    drawn = (3 * eta0.E_XXT_inv_Y + plain.E_XXT_inv_Y) / 4
    expected = eqx.tree_at(lambda e: e.E_XXT_inv_Y, plain, drawn)
    assert_same(eta, expected, rtol=1e-12)


def test_an_infinite_first_row_of_a_ragged_batch_is_counted_once():
    fitter = IncrementalEMFitter()
    ragged = X[300:305].copy()
    ragged[0, 0] = np.inf
    with pytest.raises(ValueError, match="batch 2: X must be finite, got 1 NaN or"):
        fitter.fit_stream(START, [X[:300], ragged])


@pytest.mark.parametrize("make", ["batch", "incremental"])
def test_no_gauge_changes_a_fit_by_a_rule_with_memory(make):
    far = TRUE.replace(mu=np.full(2, 5.0), sigma=25 * np.eye(2))
    rule = EWMAUpdate(w=0.2)
    fits = {}
    for gauge in ("none", "det_sigma_one", "det_sigma_x", "a_eq_b"):
        if make == "batch":
            fitter = BatchEMFitter(
                eta_update=rule, regularization=gauge, max_iter=20, tol=0.0
            )
            fits[gauge] = fitter.fit(far, X[:4096])
        else:
            fitter = IncrementalEMFitter(
                eta_update=rule,
                regularization=gauge,
                max_steps=20,
                average_from=10,
                inner_iter=2,
            )
            fits[gauge] = fitter.fit(far, X[:4096], key=KEY)
    plain = fits.pop("none")
    assert plain.log_likelihood < TRUE.marginal_log_likelihood(X[:4096]) - 1e-3
    for gauge, fit in fits.items():
        np.testing.assert_allclose(
            fit.log_likelihood, plain.log_likelihood, rtol=1e-10, err_msg=gauge
        )
    np.testing.assert_allclose(
        fits["det_sigma_one"].model.log_det_sigma(), 0.0, atol=1e-12
    )


def test_weights_may_be_functions_of_the_step():
    rule = AffineUpdate(b=lambda t: 1 - 1 / (10 + t), c=lambda t: 1 / (10 + t))
    same = RobbinsMonroUpdate(tau0=10.0)
    parts = [
        IncrementalEMFitter(eta_update=r, max_steps=6).fit(START, X, key=KEY)
        for r in (rule, same)
    ]
    assert_same(parts[0].model, parts[1].model, rtol=1e-12)
    whole = [
        BatchEMFitter(eta_update=r, max_iter=3, tol=0.0).fit(START, X[:2000])
        for r in (rule, same)
    ]
    assert_same(whole[0].model, whole[1].model, rtol=1e-12)


def test_a_stream_goes_on_after_a_bad_batch():
    fitter = IncrementalEMFitter(eta_update=SampleWeightedUpdate())
    parts = [X[k : k + 256] for k in range(0, 1280, 256)]
    broken = parts[2].copy()
    broken[3, 0] = np.inf
    coming = iter([*parts[:2], broken, *parts[3:]])
    with pytest.raises(normix.StreamError, match="batch 3: X must be finite") as caught:
        fitter.fit_stream(START, coming)
    assert int(caught.value.state.step) == 2
    state = fitter.fit_stream(caught.value.state, coming)
    clean = fitter.fit_stream(START, [*parts[:2], *parts[3:]])
    assert_same(state, clean, rtol=0)


def test_batches_one_by_one_are_the_permutations(key):
    """And only one permutation is held: two million batches would take gigabytes."""
    for n, steps, size in ((7, 9, 3), (5, 4, 5), (10, 3, 1), (6, 0, 4)):
        every = [np.array(batch) for batch in batches(key, n, steps, size)]
        assert len(every) == steps
        want = batch_order(key, n, steps, size)
        np.testing.assert_array_equal(np.array(every).reshape(steps, size), want)
    tracemalloc.start()
    try:
        endless = batches(key, 1_000, 200_000, 256)
        for _ in range(50):
            next(endless)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4e6  # of 410 MB
