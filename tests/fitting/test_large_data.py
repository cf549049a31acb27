"""Rows in chunks, on disk, on several devices and in several processes."""

from __future__ import annotations

import pickle
import re
import socket
import subprocess
import sys
import time
from functools import reduce
from pathlib import Path

import jax
import numpy as np
import pytest

import normix
from normix import GeneralizedHyperbolic, NormalInverseGaussian
from normix._passes import RowPasses
from normix.fitting.em.poles import drawn_onto_rows
from tests.fitting import spread_fit

SCRIPT = Path(spread_fit.__file__)


@pytest.fixture(scope="module")
def rows():
    return spread_fit.data()


@pytest.fixture(scope="module")
def begin(rows):
    return spread_fit.start(GeneralizedHyperbolic, rows)


@pytest.fixture(scope="module")
def plain(begin, rows):
    return spread_fit.outcome(begin.fit(rows, **spread_fit.OPTIONS))


def agree(found, plain):
    assert abs(found["log_likelihood"] - plain["log_likelihood"]) <= 1e-10
    np.testing.assert_allclose(found["parameters"], plain["parameters"], atol=1e-8)
    assert found["n_iter"] == plain["n_iter"]


def run(*words: object) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, str(SCRIPT), *(str(word) for word in words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finished(process: subprocess.Popen, seconds: float) -> tuple[int, str]:
    try:
        said, _ = process.communicate(timeout=seconds)
    finally:
        process.kill()
    return process.returncode, said


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


# -- the same estimates however the rows lie ------------------------------------------


@pytest.mark.slow
def test_chunks_of_an_array(begin, rows, plain):
    found = begin.fit(rows, chunk_size=30_011, **spread_fit.OPTIONS)
    agree(spread_fit.outcome(found), plain)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["memmap", "iterable"])
def test_rows_that_are_read_in_every_pass(begin, rows, plain, kind, tmp_path):
    class Chunks:
        """Begins anew whenever it is gone through; reuses its buffer."""

        def __iter__(self):
            buffer = np.empty((70_001, rows.shape[1]))
            for k in range(0, len(rows), len(buffer)):
                chunk = rows[k : k + len(buffer)]
                buffer[: len(chunk)] = chunk
                yield buffer[: len(chunk)]

    if kind == "memmap":
        np.save(tmp_path / "rows.npy", rows)
        source = np.load(tmp_path / "rows.npy", mmap_mode="r")
        assert isinstance(source, np.memmap)
    else:
        source = Chunks()
    agree(spread_fit.outcome(begin.fit(source, **spread_fit.OPTIONS)), plain)


@pytest.mark.slow
def test_eight_devices(plain, rows, tmp_path):
    code, said = finished(
        run(tmp_path / "out.npz", "GeneralizedHyperbolic", "devices", 8), 300
    )
    assert code == 0, said
    found = np.load(tmp_path / "out.npz")
    agree(found, plain)
    # An E-step moves sums, and of the rows one a device: 21 numbers of statistics
    # and two more, a row and how near it is.
    moved = " ".join(found["moved"].tolist())
    sizes = [
        int(np.prod([int(n) for n in shape.split(",")])) for shape in _shapes(moved)
    ]
    assert moved.count("all-reduce") == 1
    assert max(sizes) <= 8 * (rows.shape[1] + 1)


@pytest.mark.exhaustive
def test_everything_else_on_eight_devices(begin, rows, tmp_path):
    name = "GeneralizedHyperbolic"
    code, said = finished(run(tmp_path / "out.npz", name, "devices", 8, "others"), 300)
    assert code == 0, said
    found = np.load(tmp_path / "out.npz")
    weights = np.arange(len(rows)) % 3 + 1.0
    mean = begin.marginal_log_likelihood(rows)
    np.testing.assert_allclose(found["mean_log_likelihood"], mean, rtol=1e-12)
    moment = begin.e_step(rows, weights=weights).E_inv_Y
    np.testing.assert_allclose(found["E_inv_Y"], moment, rtol=1e-12)
    few = rows[: len(rows) // 100]
    nig = NormalInverseGaussian.default_init(few)
    np.testing.assert_allclose(found["init"], nig.sigma(), rtol=1e-10)
    starts = nig.fit(few, n_starts=3, max_iter=5).starts
    assert starts is not None
    np.testing.assert_allclose(found["starts"], starts.log_likelihood, rtol=1e-10)
    holed = np.where(np.abs(few) < 0.2, np.nan, few)
    gaps = nig.fit(holed, missing="em", max_iter=5, tol=0.0)
    np.testing.assert_allclose(found["with_gaps"], gaps.log_likelihood, rtol=1e-10)


def _shapes(moved: str) -> list[str]:
    return [part.split("]")[0] for part in moved.split("[")[1:]]


@pytest.mark.slow
def test_two_processes(plain, tmp_path):
    port = free_port()
    name = "GeneralizedHyperbolic"
    both = [run(tmp_path / f"{k}.npz", name, "process", k, port) for k in (0, 1)]
    for code, said in [finished(process, 300) for process in both]:
        assert code == 0, said
    for k in (0, 1):
        agree(np.load(tmp_path / f"{k}.npz"), plain)


@pytest.mark.slow
def test_a_killed_process_is_an_error_for_the_other(tmp_path):
    port = free_port()
    flags = [tmp_path / f"begun{k}" for k in (0, 1)]
    name = "NormalInverseGaussian"
    first, second = (
        run(tmp_path / "out.npz", name, "process", k, port, flags[k]) for k in (0, 1)
    )
    try:
        deadline = time.monotonic() + 200
        while not all(flag.exists() for flag in flags):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        second.kill()
        code, said = finished(first, 60)
    finally:
        first.kill()
        second.communicate()
    assert code != 0
    assert "JaxRuntimeError" in said


# -- passes over chunks ---------------------------------------------------------------


@pytest.fixture(scope="module")
def few():
    return spread_fit.data(3_000, 2)


@pytest.fixture(scope="module")
def nig(few):
    return NormalInverseGaussian.default_init(few)


@pytest.mark.parametrize(
    "options",
    [
        {"algorithm": "mcecm"},
        {"acceleration": "anderson", "chunk_size": 499},
        {"eta_update": normix.EWMAUpdate(w=0.5)},
        {"symmetric": True, "regularization": "det_sigma_one"},
    ],
)
def test_options_hold_over_chunks(nig, few, options):
    options = {"max_iter": 8, "tol": 0.0, "track_ll": True} | options
    weights = np.random.default_rng(2).integers(0, 4, len(few)).astype(float)
    weights[-1] = 3.0  # the row next to what fills up the last block
    whole = nig.fit(few, weights=weights, **options)
    parts = nig.fit(
        [few[:100], few[100:1_777], few[1_777:]], weights=weights, **options
    )
    np.testing.assert_allclose(parts.log_likelihoods, whole.log_likelihoods, rtol=1e-12)
    np.testing.assert_allclose(parts.model.sigma(), whole.model.sigma(), rtol=1e-9)
    assert parts.ties is None  # not known


def test_a_univariate_model_takes_chunks_of_one_axis(few, tmp_path):
    x = few[:, 0].astype(np.float32)
    mapped = np.memmap(tmp_path / "x", np.float32, "w+", shape=x.shape)
    mapped[:] = x
    begin = normix.UnivariateNormalInverseGaussian.default_init(x)
    whole = begin.fit(x, max_iter=5, tol=0.0)
    for source in (mapped, [x[:1_000], x[1_000:]]):
        parts = begin.fit(source, max_iter=5, tol=0.0)
        np.testing.assert_allclose(
            parts.log_likelihood, whole.log_likelihood, rtol=1e-6
        )


def test_a_private_map_keeps_what_was_written(few, nig, tmp_path):
    np.save(tmp_path / "rows.npy", few)
    private = np.load(tmp_path / "rows.npy", mmap_mode="c")
    private[:] += 5.0
    moved = nig.fit(private, max_iter=3, tol=0.0)
    expected = nig.fit(few + 5.0, max_iter=3, tol=0.0)
    np.testing.assert_allclose(moved.log_likelihood, expected.log_likelihood)
    np.testing.assert_array_equal(private, few + 5.0)


def test_ties_at_a_pole_are_found_in_chunks():
    rng = np.random.default_rng(0)
    rows = rng.standard_t(4, size=(600, 2))
    rows[::20] = 0.25
    begin = normix.VarianceGamma.from_classical(
        mu=np.full(2, 0.25),
        gamma=np.array([0.1, 0.0]),
        sigma=np.eye(2),
        alpha=0.9,
        beta=0.9,
    )
    result = begin.fit([rows[:250], rows[250:]], max_iter=200)
    assert result.unbounded
    passes, at, unit = RowPasses([rows[:250], rows[250:]]), np.full(2, 0.25), np.ones(2)
    assert drawn_onto_rows(passes, at, unit, 0.91 / 30)
    assert not drawn_onto_rows(passes, at, unit, 0.89 / 30)
    assert drawn_onto_rows(rows, at, unit, 0.91 / 30)


def test_a_start_from_chunks(few, nig, tmp_path):
    np.save(tmp_path / "rows.npy", few)
    mapped = np.load(tmp_path / "rows.npy", mmap_mode="r")
    for source in (mapped, [few[:11], few[11:]]):
        found = NormalInverseGaussian.default_init(source)
        np.testing.assert_array_equal(found.sigma(), nig.sigma())
    factor = normix.FactorNormalInverseGaussian.default_init([few, few], r=1)
    assert factor.d == 2


@pytest.mark.parametrize("length", [1, 7, 999, 100_000])
def test_a_sample_is_evenly_spaced(length):
    rows = np.arange(100_000.0)[:, None]
    chunks = [rows[k : k + length] for k in range(0, len(rows), length)][:2_000]
    n = sum(len(chunk) for chunk in chunks)
    kept = RowPasses(chunks).sample(300)[:, 0]
    assert min(n, 300) <= len(kept) <= 600
    assert set(np.diff(kept)) == {kept[1] - kept[0]}
    assert n - kept[-1] <= kept[1] - kept[0]


# -- sums, merged ---------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    "family", [NormalInverseGaussian, normix.FactorNormalInverseGaussian]
)
def test_sums_of_parts_are_those_of_the_whole(few, family):
    model = family.default_init(few)
    rng = np.random.default_rng(1)
    weights = rng.exponential(size=len(few))
    whole = model.e_step_sums(few, weights)
    order = rng.permutation(len(few)).reshape(3, -1)
    parts = [model.e_step_sums(few[part], weights[part]) for part in order]
    sent = [pickle.loads(pickle.dumps(part)) for part in parts]
    merged = normix.merge(*sent)
    tree = normix.merge(parts[0], normix.merge(*parts[1:]))
    for found in (merged, tree, reduce(normix.merge, parts[::-1])):
        for x, y in zip(jax.tree.leaves(found), jax.tree.leaves(whole), strict=True):
            np.testing.assert_allclose(x, y, rtol=1e-12, atol=1e-9)
    np.testing.assert_allclose(merged.weight, weights.sum(), rtol=1e-14)
    np.testing.assert_allclose(
        merged.mean_log_likelihood(),
        model.marginal_log_likelihood(few, weights),
        rtol=1e-12,
    )
    expected = model.e_step(few, weights=weights)
    for x, y in zip(
        jax.tree.leaves(merged.expectations()), jax.tree.leaves(expected), strict=True
    ):
        np.testing.assert_allclose(x, y, rtol=1e-10, atol=1e-12)
    # EM from sums is EM.
    options = dict(acceleration="none", max_iter=3, tol=0.0)
    fitted = model.fit(few, weights=weights, **options)
    for _ in range(3):
        parts = [model.e_step_sums(few[part], weights[part]) for part in order]
        model = model.m_step(normix.merge(*parts))
    merged = normix.merge(*(model.e_step_sums(few[k], weights[k]) for k in order))
    np.testing.assert_allclose(
        merged.mean_log_likelihood(), fitted.log_likelihood, rtol=1e-12
    )


def test_sums_of_different_models_do_not_merge(few, nig):
    other = nig.replace(mu=nig.mu + 1.0)
    with pytest.raises(ValueError, match="different models"):
        normix.merge(nig.e_step_sums(few), other.e_step_sums(few))
    with pytest.raises(ValueError, match="at least one"):
        normix.merge()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda m: m.replace(gamma=m.gamma + 1e-9), "differ in gamma"),
        (lambda m: m.replace(sigma=2 * m.sigma()), "differ in sigma"),
        (lambda m: m.replace(lam=2 * m.lam), "differ in.* the mixing law"),
        (lambda m: m.regularize_det_sigma(3.0), "differ in gamma"),
        (lambda m: m.marginal([0]), "totals are a NormalMixtureEta"),
    ],
)
def test_sums_of_different_models_of_one_location_do_not_merge(nig, few, change, said):
    other = change(nig)
    sums = [m.e_step_sums(few[:, : m.d]) for m in (nig, nig, other)]
    with pytest.raises(ValueError, match=f"different models.*{said}"):
        normix.merge(*sums)
    assert float(normix.merge(*sums[:2]).weight) == 2 * len(few)


def test_sums_of_other_forms_do_not_merge(nig, few):
    factor = normix.FactorNormalInverseGaussian.from_classical(
        mu=nig.mu, gamma=nig.gamma, F=np.ones((nig.d, 1)), D=np.ones(nig.d),
        mu_ig=nig.mu_ig, lam=nig.lam,
    )  # fmt: skip
    with pytest.raises(ValueError, match="NormalMixtureEta and a FactorMixtureStats"):
        normix.merge(nig.e_step_sums(few), factor.e_step_sums(few))


# -- bad input ------------------------------------------------------------------------


def test_an_iterator_is_told_to_iterate_again(few, nig):
    once = (few[k : k + 100] for k in range(0, len(few), 100))
    with pytest.raises(ValueError, match=r"again and again.*fit_stream"):
        nig.fit(once)
    assert len(next(once)) == 100  # nothing was taken from it
    with pytest.raises(ValueError, match="again and again"):
        NormalInverseGaussian.default_init(once)


def test_chunks_that_do_not_fit_are_named(few, nig):
    broken = few.copy()
    broken[1_234, 1] = np.nan
    with pytest.raises(ValueError, match="chunk 2: X must be finite"):
        nig.fit([broken[:1_000], broken[1_000:]])
    with pytest.raises(ValueError, match="chunk 2: X must have 2 columns"):
        nig.fit([few, few[:, :1]])
    with pytest.raises(ValueError, match="chunk 1: X must not be empty"):
        nig.fit([few[:0], few])
    with pytest.raises(ValueError, match="chunk 2: X must have 2 columns as chunk 1"):
        NormalInverseGaussian.default_init([few, few[:, :1]])
    with pytest.raises(ValueError, match="chunk 2: X must be finite.*first in row 234"):
        NormalInverseGaussian.default_init([broken[:1_000], broken[1_000:]])
    with pytest.raises(ValueError, match="needs at least 3"):
        nig.fit([few[:1], few[1:2]])
    with pytest.raises(ValueError, match=r"constant columns: \[1\]"):
        nig.fit([few * [1, 0], few * [1, 0]])
    with pytest.raises(ValueError, match="weights must have shape"):
        nig.fit([few, few], weights=np.ones(5))
    with pytest.raises(ValueError, match="n_starts needs data in memory"):
        nig.fit([few, few], n_starts=2)
    with pytest.raises(ValueError, match="chunk_size must be at least 1"):
        nig.fit(few, chunk_size=0)


class Again:
    """Chunks that can be gone through again and again, but are no list."""

    def __init__(self, *chunks):
        self.chunks = chunks

    def __iter__(self):
        return iter(self.chunks)


@pytest.mark.parametrize("kind", [Again, lambda *chunks: list(chunks)])
def test_chunks_of_another_number_of_axes(few, nig, kind):
    univariate = normix.UnivariateNormalInverseGaussian
    scalar = nig.project([1.0, 0.0])
    for chunks, shape in (
        (kind(few[:9], few[9:]), "(9, 2)"),
        (kind(few[:9, :1], few[9:, :1]), "(9, 1)"),
    ):
        said = re.escape(f"chunk 1: X must have shape (n,), got {shape}")
        with pytest.raises(ValueError, match=said):
            univariate.default_init(chunks)
        with pytest.raises(ValueError, match=said):
            scalar.fit(chunks)
    three = kind(few[None])
    for call in (nig.fit, type(nig).default_init):
        with pytest.raises(
            ValueError, match=r"chunk 1: X .*\(n, d\), got \(1, 3000, 2"
        ):
            call(three)
    series = Again(few[:, 0], few[:, 1])
    for call in (nig.fit, type(nig).default_init):
        with pytest.raises(ValueError, match=r"chunk 1: X .*\(n, d\), got \(3000,\)"):
            call(series)


def test_chunks_without_numbers(few, nig):
    text = few[:5].astype(object)
    text[3, 1] = "n/a"
    for call in (nig.fit, type(nig).default_init):
        with pytest.raises(ValueError, match="chunk 2: .*'n/a' in row 3, column 1"):
            call([few, text])
    counted = [few[:1_000].astype(object), few[1_000:]]
    found = nig.fit(counted, max_iter=2, tol=0.0).log_likelihood
    assert found == pytest.approx(nig.fit(few, max_iter=2, tol=0.0).log_likelihood)


@pytest.mark.parametrize("later", [-100, 100])
def test_passes_must_agree(few, nig, later):
    class Growing:
        passes = 0

        def __iter__(self):
            self.passes += 1
            n = 2_000 if self.passes == 1 else 2_000 + later
            yield few[:1_000]
            yield few[1_000:n]

    with pytest.raises(ValueError, match=r"2000"):
        nig.fit(Growing())
