# pyright: reportArgumentType=false
"""Tables of fits, and likelihood-ratio tests with a known answer."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import normix
from normix import BatchEMFitter, Outcome
from normix.datasets import load_sp500_returns


def returns(n: int = 1000, d: int = 2) -> np.ndarray:
    return np.asarray(load_sp500_returns().values)[:n, :d]


def test_a_table_of_fits():
    """What each row says is what a fit of its own says; the least are marked."""
    X = returns()
    table = normix.compare(X, ("nig", "vg"), factors=(0, 1))
    assert [fit.label for fit in table.fits][::3] == [
        "NormalInverseGaussian",
        "FactorNormalInverseGaussian, r=1, symmetric",
        "FactorVarianceGamma, r=1",
    ]
    alone = normix.NormalInverseGaussian.default_init(X).fit(X)
    first = table.fits[0].result
    assert float(first.log_likelihood) == float(alone.log_likelihood)
    k = 2 + 2 + 3 + 1
    assert first.n_parameters == k
    total = 1000 * float(first.log_likelihood)
    assert first.aic == pytest.approx(2 * k - 2 * total)
    assert first.bic == pytest.approx(k * np.log(1000) - 2 * total)
    least = min(float(fit.result.bic) for fit in table.fits)
    assert float(table.best().bic) == least
    assert str(table).count("*") == 3 and "<table>" in table._repr_html_()
    assert f"{least:.2f} *" in str(table)
    # Symmetric fits hold γ at 0.
    assert np.all(np.asarray(table.fits[1].result.model.gamma) == 0)


def test_a_likelihood_ratio():
    """Twice the gain and its χ² probability; half of it on a boundary."""
    X = returns()
    fitter = BatchEMFitter(tol=1e-8, max_iter=500)
    table = normix.compare(X, ("nig", "t", "gh"), fitter=fitter)
    nig, symmetric, t, _, gh, _ = (fit.result for fit in table.fits)
    found = normix.lr_test(symmetric, nig)
    gain = 2 * 1000 * float(nig.log_likelihood - symmetric.log_likelihood)
    assert found.df == 2 and found.note == ""
    assert found.statistic == pytest.approx(gain)
    assert found.pvalue == pytest.approx(np.exp(-gain / 2))  # of χ² with df = 2
    within = normix.lr_test(nig, gh)
    assert within.df == 1 and within.note == ""
    edge = normix.lr_test(t, gh)
    assert "boundary" in edge.note and 0 <= edge.pvalue <= 0.5


def test_models_that_are_not_nested():
    X = returns()
    table = normix.compare(X, ("nig", "vg"), symmetric=(False,))
    nig, vg = (fit.result for fit in table.fits)
    with pytest.raises(ValueError, match="not nested"):
        normix.lr_test(nig, vg)
    with pytest.raises(ValueError, match="not nested"):
        normix.lr_test(nig, nig)
    symmetric = BatchEMFitter(symmetric=True).fit(nig.model, X)
    with pytest.raises(ValueError, match="not nested"):
        normix.lr_test(nig, symmetric)
    fewer = BatchEMFitter(symmetric=True).fit(nig.model, X[:900])
    with pytest.raises(ValueError, match="900 and 1000 observations"):
        normix.lr_test(fewer, nig)
    poor = dataclasses.replace(nig, log_likelihood=float(nig.log_likelihood) - 1)
    with pytest.raises(ValueError, match="below the restricted"):
        normix.lr_test(symmetric, poor)
    with pytest.raises(ValueError, match="unknown families cauchy"):
        normix.compare(X, ("cauchy",))
    with pytest.raises(ValueError, match="criterion"):
        normix.compare(X, "nig", (False,)).best("hqic")
    with pytest.raises(ValueError, match="no factors"):
        normix.compare(X[:, 0], "nig", factors=(1,))


def test_a_result_prints_itself():
    X = returns()
    fit = normix.NormalInverseGaussian.default_init(X).fit(X)
    lines = repr(fit).splitlines()
    assert lines[0] == "NormalInverseGaussian fit" and len(lines) == 7
    assert Outcome.CONVERGED.prose in lines[1]
    assert f"{fit.n_obs * fit.log_likelihood:.6g}" in lines[3]


def test_a_generalized_hyperbolic_fit_is_not_below_those_within():
    """From ``default_init`` alone it may stop short of the skew t law's."""
    law = normix.UnivariateNormalInverseGamma.from_classical(
        mu=0.0, gamma=0.0, sigma=1.0, alpha=4.0, beta=4.0
    )
    X = np.asarray(law.rvs(1000, seed=56))
    t, gh = (fit.result for fit in normix.compare(X, ("t", "gh"), (True,)).fits)
    assert float(gh.log_likelihood - t.log_likelihood) >= -1e-12
    assert normix.lr_test(t, gh).statistic >= 0


def test_a_local_maximum_is_marked():
    X = np.random.default_rng(0).laplace(size=400)
    X[7] = X[3]
    table = normix.compare(X, ("vg",), (False,))
    text = str(table)
    assert ("local" in text) == ("a local maximum" in table.fits[0].result.message)
