"""How many programs are compiled, counted by JAX's own events.

A program that the persistent cache supplies counts, too: it had to be traced.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from jax import monitoring

import normix
from normix._cache import cache_folder
from normix._compile import _rehearsed, grid, length_for
from normix._inline import fori_loop, inlined, while_loop
from normix.mixtures.model_steps import log_prob_of_rows
from normix.mixtures.rows import BLOCK

FAMILIES = (
    normix.NormalInverseGaussian,
    normix.VarianceGamma,
    normix.NormalInverseGamma,
    normix.GeneralizedHyperbolic,
)


@contextlib.contextmanager
def compilations() -> Iterator[list[str]]:
    """The names of the programs compiled within the context."""
    names: list[str] = []

    def listen(event: str, duration_secs: float, **about: str | int | float) -> None:
        if event == "/jax/core/compile/backend_compile_duration":
            names.append(str(about.get("fun_name")))

    monitoring.register_event_duration_secs_listener(listen)
    try:
        yield names
    finally:
        monitoring.unregister_event_duration_listener(listen)


def rows(n: int, d: int = 3, seed: int = 0) -> np.ndarray:
    """Heavy-tailed, skewed rows."""
    rng = np.random.default_rng(seed)
    y = rng.wald(1.0, 1.5, n)[:, None]
    return 0.3 * y + np.sqrt(y) * rng.normal(size=(n, d))


def answer(family, X, **options):
    """A fit from its start to its log-likelihood."""
    options = {"max_iter": 8, "tol": 1e-6} | options
    weights = options.pop("weights", None)
    start = family.default_init(X)
    result = normix.BatchEMFitter(**options).fit(start, X, weights=weights)
    return float(result.model.marginal_log_likelihood(X))


@pytest.fixture(scope="module")
def first():
    """What the first fits of a process compile, family by family."""
    jax.clear_caches()
    counts = {}
    for family in FAMILIES:
        with compilations() as names:
            answer(family, rows(300))
        counts[family] = list(names)
    return counts


def test_the_first_fit_compiles_a_few_programs(first):
    assert 10 < len(first[FAMILIES[0]]) <= 24


@pytest.mark.parametrize("family", FAMILIES[1:])
def test_families_share_all_but_their_mixing_law(first, family):
    """No pass over rows, no table, no acceptance of their own."""
    names = " ".join(first[family])
    for shared in ("_products", "jit(_table)", "_by_table", "normal_max", "judged"):
        assert shared in " ".join(first[FAMILIES[0]])
        assert shared not in names
    assert len(first[family]) <= 8


@pytest.mark.parametrize("family", FAMILIES)
def test_other_settings_compile_nothing(first, family):
    X, other = rows(300), rows(297, seed=1)
    with compilations() as names:
        answer(family, other)  # of the same length in the grid
        answer(family, X, weights=np.arange(300.0) + 1)
        answer(family, X, max_iter=5, tol=1e-4)
        answer(family, X, regularization="det_sigma_one")
        answer(family, X, regularization="det_sigma_x")
    assert names == []


def test_another_length_compiles_the_passes_over_rows_alone(first):
    with compilations() as names:
        answer(FAMILIES[0], rows(411))
    assert sorted(names) == ["jit(_by_table)", "jit(_products)"]
    with compilations() as names:
        answer(FAMILIES[0], rows(430))
        answer(FAMILIES[3], rows(405))
    assert names == []


def test_large_data_are_blocks_of_one_length(first):
    X = rows(2 * BLOCK + 100)
    answer(FAMILIES[0], X[: BLOCK + 5])
    with compilations() as names:
        answer(FAMILIES[0], X)
        answer(FAMILIES[0], X[: BLOCK + 4000])
    assert names == []
    with compilations() as names:  # in chunks: the start is that of an array
        start = FAMILIES[0].default_init(X)
        start.fit([X[:20_000], X[20_000:]], max_iter=3)
    assert names == []


def test_the_scipy_backend_needs_no_table(first):
    with compilations() as names:
        answer(FAMILIES[3], rows(300), e_step_backend="cpu", m_step_backend="cpu")
    assert not any("table" in name for name in names)
    with compilations() as names:
        answer(FAMILIES[3], rows(299), e_step_backend="cpu", m_step_backend="cpu")
    assert names == []


def test_starts_and_batches_share_the_pieces(first):
    X, model = rows(300), FAMILIES[0].default_init(rows(300))
    with compilations() as names:
        model.fit(X, n_starts=3, max_iter=4)
    assert not {"jit(_products)", "jit(judged)", "jit(_by_table)"} & set(names)
    fitter = normix.IncrementalEMFitter()
    state = fitter.update(fitter.init(model), X)
    with compilations() as names:
        for n in (290, 257, 300):
            state = fitter.update(state, X[:n])
        state = fitter.update(state, X, np.ones(300))
    assert names == []


def test_the_grid():
    sizes = sorted({grid(n) for n in range(1, 20_000)})
    assert sizes[:6] == [64, 80, 96, 112, 128, 160]
    assert all(grid(size) == size for size in sizes)
    ratios = np.diff(sizes) / sizes[:-1]
    assert ratios.max() <= 0.25


LAW = normix.UnivariateVarianceGamma.from_classical(
    mu=0.1, gamma=0.3, sigma=1.1, alpha=1.4, beta=1.2
)
POSITIVE = normix.InverseGaussian(mu=1.2, lam=0.8)
JOINT = normix.VarianceGamma.default_init(rows(50, d=2)).joint


@pytest.mark.parametrize(
    "function",
    [
        LAW.log_prob,
        LAW.logcdf,
        LAW.ppf,
        LAW.expected_shortfall,
        LAW.expectile,
        LAW.partial_moment,
        LAW.quantile_table().ppf,
        LAW.quantile_table().cdf,
        POSITIVE.logsf,
        POSITIVE.isf,
        lambda x: log_prob_of_rows(JOINT, np.stack([x, x], axis=-1)),
    ],
)
def test_another_number_of_values_compiles_nothing(function):
    """Nor another shape: programs are for lengths of a grid."""
    x = np.linspace(0.05, 0.95, 60)
    first = np.asarray(function(x))
    with compilations() as names:
        few = np.asarray(function(x[:43]))
        square = np.asarray(function(x[:18].reshape(3, 6)))
    assert names == []
    np.testing.assert_array_equal(few, first[:43])
    np.testing.assert_array_equal(square.ravel(), first[:18])
    assert square.shape == (3, 6)


def test_many_values_go_by_blocks():
    x = np.linspace(-3.0, 3.0, 9_000)
    first = np.asarray(LAW.logcdf(x[:4_096]))
    with compilations() as names:
        every = np.asarray(LAW.logcdf(x))
    assert names == []
    np.testing.assert_array_equal(every[:4_096], first)
    np.testing.assert_allclose(every[4_096::1_000], LAW.logcdf(x[4_096::1_000]), 1e-14)


def test_values_at_hand_within_a_traced_function():
    x = jnp.linspace(-1.0, 1.0, 5)
    for function in (LAW.log_prob, LAW.partial_moment, LAW.quantile_table().cdf):
        traced = jax.jit(lambda w, of=function: w * of(x))(2.0)
        np.testing.assert_allclose(traced, 2 * np.asarray(function(x)), rtol=1e-12)


def test_batches_of_laws_broadcast():
    alpha = np.arange(1.0, 17.0)
    laws = normix.Gamma(alpha=alpha, beta=np.ones(16))
    for x in (1.0, alpha):
        wanted = scipy.stats.gamma.cdf(x, alpha)
        np.testing.assert_allclose(laws.cdf(x), wanted, rtol=1e-12)
    with pytest.raises((TypeError, ValueError)):
        laws.cdf(np.ones(3))


def test_values_keep_their_device_and_their_empty_shape():
    mesh = jax.sharding.Mesh(np.array(jax.devices()[:1]), ("i",))
    along = jax.sharding.PartitionSpec("i", None)
    x = jax.device_put(jnp.ones((3, 6)), jax.sharding.NamedSharding(mesh, along))
    assert LAW.log_prob(x).shape == (3, 6)
    assert LAW.log_prob(x).devices() == x.devices()
    assert LAW.cdf(np.zeros((2, 0))).shape == (2, 0)
    assert log_prob_of_rows(JOINT, np.zeros((3, 0, 2))).shape == (3, 0)
    assert log_prob_of_rows(JOINT, np.zeros(2)).shape == ()


def test_programs_have_none_inside_and_keep_their_loops():
    x = jnp.arange(3.0)

    def about(x):
        start = x.sum()
        turned = fori_loop(0, 2, lambda k, s: jnp.where(s > k, s + 1, s), start)
        return while_loop(lambda s: s < 9, lambda s: jnp.clip(s + 1, 0, 9), turned)

    plain, flat = (str(jax.make_jaxpr(f)(x)) for f in (about, inlined(about)))
    assert "jit[" in plain and "jit[" not in flat
    assert "while[" in flat and "scan[" in flat
    assert about(x) == inlined(about)(x) == jax.jit(inlined(about))(x) == 9


def test_values_fill_up_to_few_lengths():
    lengths = sorted({length_for(n) for n in range(1, 5_000)})
    assert lengths[:5] == [1, 16, 64, 256, 1024]
    assert all(length_for(n) == n for n in lengths)
    assert all(length_for(n) >= n for n in range(1, 5_000))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_start_has_the_fit_prepared(family):
    """Where there is no cache, as in a user's first process."""
    X = rows(150, d=6)
    folder = cache_folder()
    jax.config.update("jax_compilation_cache_dir", None)
    try:
        names = _compiled_by_a_start_and_a_fit(family, X)
    finally:
        jax.config.update("jax_compilation_cache_dir", folder)
    # What is compiled ahead is what is called.
    once = ("_products", "_table", "_by_table", "normal_maximised", "judged", "begun")
    assert all(names.count(f"jit({name})") <= 1 for name in once)


def _compiled_by_a_start_and_a_fit(family, X) -> list[str]:
    with compilations() as names:
        start = family.default_init(X)
        prepared = len(_rehearsed)
        family.fit(start, X)
    assert len(_rehearsed) == prepared
    return names
