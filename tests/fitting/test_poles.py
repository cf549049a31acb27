"""Equal rows: counted exactly, by weight, and only where they matter."""

from __future__ import annotations

import numpy as np
import pytest

import normix
from normix._passes import RowPasses
from normix.fitting.em.poles import drawn_onto_rows, largest_group


@pytest.mark.parametrize("d", [1, 2, 10, 17])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_equal_rows_are_found_wherever_they_are(d, dtype):
    """Products with a vector round equal rows differently from place to place."""
    rng = np.random.default_rng(d)
    for n in (2, 3, 7, 64, 10_001):
        X = rng.normal(size=(n, d)).astype(dtype)
        every = np.unique(X, axis=0, return_counts=True)[1].max()
        assert largest_group(X) == every
        for i, j in rng.integers(n, size=(6, 2)):
            pair = X.copy()
            pair[i] = pair[j]
            assert largest_group(pair) == max(every, 1 + (i != j))
    assert largest_group(np.zeros((5, d), dtype)) == 5
    assert largest_group(np.asfortranarray(pair)) == largest_group(pair)


@pytest.mark.parametrize("poor", [False, True])
def test_labels_that_are_shared_do_no_harm(poor, monkeypatch):
    X = np.random.default_rng(0).integers(4, size=(5_000, 5)).astype(float)
    if poor:
        label = "normix.fitting.em.poles._hashes"
        monkeypatch.setattr(label, lambda rows: rows[:, 0].astype(np.uint64))
    every = np.unique(X, axis=0, return_counts=True)[1].max()
    assert largest_group(X) == every > 10


def test_rows_of_different_units_are_told_apart():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(500, 2)) * [1e9, 1e-6]
    X[:, 0] = X[0, 0]
    assert largest_group(X) == 1
    X[:, 0] *= -1e300
    assert largest_group(X) == 1
    assert largest_group(np.array([[0.0, 1.0], [-0.0, 1.0], [1.0, 0.0]])) == 2


def test_weights_count_rows():
    rng = np.random.default_rng(0)
    X, w = rng.normal(size=(50, 3)), np.ones(50)
    w[7] = 6.0
    for scale in (1.0, 1 / 55, 1e-12, 3e8):
        assert largest_group(X, scale * w) == 6
    X[9] = X[7]
    assert largest_group(X, w / 3) == 7
    assert largest_group(X, np.full(50, 0.02)) == 2
    # Weights that are no counts: a row in the middle is one.
    for least in (0.0123456, 1.23456e-9):
        w = np.array([least, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6])
        assert largest_group(X[:7], w) == 1


@pytest.mark.parametrize("chunks", [False, True])
def test_the_mass_at_a_pole_is_by_weight(chunks):
    """Whatever the scale of the weights, and not of rows that weigh nothing."""
    X = np.array([[0.5], [0.1], [0.1], [0.0], [3.0]])
    w = np.array([1.0, 2.0, 1.0, 0.0, 1.0])
    data = RowPasses([X[:2], X[2:]]) if chunks else X
    at = np.zeros(1), np.ones(1)
    for scale in (1.0, 1e-9, 1e9):
        assert drawn_onto_rows(data, *at, 0.31 / scale, scale * w)  # 3 of weight
        assert not drawn_onto_rows(data, *at, 0.29 / scale, scale * w)
    assert drawn_onto_rows(data, *at, 0.91)
    assert not drawn_onto_rows(data, *at, 0.89)


def test_ties_are_looked_for_where_there_is_a_pole(monkeypatch):
    X = np.random.default_rng(0).standard_t(4, size=(60, 1))
    parameters = dict(mu=np.zeros(1), gamma=np.zeros(1), sigma=np.eye(1))
    vg = normix.VarianceGamma.from_classical(**parameters, alpha=1.5, beta=1.5)
    nig = normix.NormalInverseGaussian.from_classical(**parameters, mu_ig=1.0, lam=1.0)
    weights = np.full(60, 0.25)
    weights[3] = 1.5
    assert vg.fit(X, max_iter=2).ties == 1
    assert vg.fit(X, max_iter=2, weights=weights).ties == 6
    monkeypatch.setattr("normix.fitting.em.batch.largest_group", lambda *_: 1 / 0)
    assert nig.fit(X, max_iter=2).ties is None
    assert vg.fit(X, max_iter=2, alpha_min="density").ties is None


def test_ties_where_the_density_is_smooth():
    """They hold no location, and many of them beside a maximum make no pole."""
    rng = np.random.default_rng(0)
    x = np.append(np.zeros(80), rng.normal(0.5, 1, 320))
    cls = normix.UnivariateVarianceGamma
    start = cls.default_init(x).replace(alpha=3.0, beta=3.0)
    fit, other = (
        start.replace(mu=mu).fit(x, alpha_min=2.5, tol=1e-6, max_iter=500)
        for mu in (0.0, 0.3)
    )
    assert fit.converged and fit.model.mu != 0.0
    assert 400 * abs(fit.log_likelihood - other.log_likelihood) < 1e-4
    x = np.append(np.zeros(180), rng.normal(0.5, 1, 220))
    start = normix.UnivariateNormalInverseGaussian.default_init(x)
    assert start.fit(x, tol=1e-6, max_iter=500).converged


@pytest.mark.parametrize("family", ["NormalInverseGamma", "NormalInverseGaussian"])
def test_few_rows_draw_a_law_onto_a_line(family):
    """Three of four rows nearly on a line: Σ vanishes across it, in no column alone.

    In whatever way rounding leads there: with digits lost, or with few left.
    """
    rows = np.array([[0.0, 0.0], [1.0, 2.0], [2.0, 4.0 + 1e-9], [0.7, -3.0]])
    cls = getattr(normix, family)
    start = cls.from_classical(
        mu=[0.5, 1.0], gamma=[0.01, 0.02], sigma=np.eye(2), **SHAPES[family]
    )
    for seed in range(8):
        X = rows + 1e-12 * np.random.default_rng(seed).normal(size=rows.shape)
        fit = start.fit(X if seed else rows, tol=1e-7, max_iter=500)
        assert fit.outcome == normix.Outcome.UNBOUNDED
        assert np.isfinite(fit.model.sigma()).all()


SHAPES = {
    "NormalInverseGamma": {"alpha": 1.0, "beta": 1.0},
    "NormalInverseGaussian": {"mu_ig": 1.0, "lam": 1.0},
}
