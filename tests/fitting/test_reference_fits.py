"""Fits of real data against maxima that several independent programs agree on.

The data are of GPL packages and not part of the project: without them beside the
checkout these tests are skipped. The suite runs a sample of the cases.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import normix
from normix.parametrizations import to_alpha_bar

DATA = Path(__file__).parents[3] / "shared" / "data"
GH, NIG = "GeneralizedHyperbolic", "NormalInverseGaussian"
T, VG = "NormalInverseGamma", "VarianceGamma"


class Case(NamedTuple):
    family: str
    log_likelihood: float
    order: float | None = None
    alpha_bar: float | None = None
    options: dict[str, Any] = {}
    univariate: bool = False
    unit: float = 1.0
    tolerance: float = 1e-5
    sample: bool = False


FITS = [
    Case(GH, 26138.126176, -0.8916428, 0.5601485, sample=True),
    Case(NIG, 26135.583352, -0.5, 0.6537481, unit=100.0),
    Case(T, 26127.915936, -1.5020096, sample=True),
    Case(VG, 26056.706984, 1.3405201, sample=True),
    Case(GH, 26085.988550, 1.0, 0.5416266, {"fix": {"p": 1.0}}, sample=True),
    Case(GH, 26136.00137, options={"symmetric": True}),
    Case(NIG, 26133.38705, options={"symmetric": True}),
    # Exceeded by 7e-5, in this and other programs: the reference stopped short.
    Case(T, 26125.98083, options={"symmetric": True}, tolerance=1e-4),
    Case(VG, 26055.08113, options={"symmetric": True}),
    Case(NIG, 5502.031416, -0.5, 0.58908446, univariate=True, sample=True),
    Case(GH, 5502.707416, -1.029854, 0.48045, univariate=True),
    Case(T, 5501.066015, -1.5975214, univariate=True),
    Case(VG, 5494.071495, 1.0637019, univariate=True),
    Case(GH, 5502.707416, -1.029854, 0.48045, univariate=True, unit=100.0),
]
for case in FITS[:4]:
    cpu = {"e_step_backend": "cpu", "m_step_backend": "cpu"}
    FITS.append(case._replace(options=cpu, sample=False))
    FITS.append(case._replace(unit=100.0, sample=False))


def label(case: Case) -> str:
    form = "1-d" if case.univariate else "5-d"
    return f"{case.family} {form} x{case.unit:g} {case.options}"


def read(name: str, columns) -> np.ndarray:
    if not (DATA / name).exists():
        pytest.skip("the reference data sets are not beside the checkout")
    return np.loadtxt(DATA / name, delimiter=",", skiprows=1, usecols=columns)


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(
            c,
            marks=pytest.mark.slow if c.sample else pytest.mark.exhaustive,
            id=label(c),
        )
        for c in FITS
    ],
)
def test_reaches_the_maximum(case):
    X = read("smi_stocks.csv", 1 if case.univariate else range(2, 7)) * case.unit
    family = getattr(normix, ("Univariate" if case.univariate else "") + case.family)
    fit = family.default_init(X).fit(
        X, acceleration="anderson", tol=1e-10, max_iter=500, **case.options
    )
    total = fit.log_likelihood * len(X) + X.size * np.log(case.unit)
    assert total == pytest.approx(case.log_likelihood, abs=case.tolerance)
    p, a, b = (float(v) for v in fit.model.subordinator().gig_params())
    if case.order is not None:
        assert p == pytest.approx(case.order, rel=1e-5)
    if case.alpha_bar is not None:
        assert np.sqrt(a * b) == pytest.approx(case.alpha_bar, rel=1e-5)


@pytest.mark.slow
def test_ties_are_reported():
    X = read("eu_stock_markets_logret.csv", range(-4, 0))
    options = {"acceleration": "anderson", "tol": 1e-8, "max_iter": 500}
    t = normix.NormalInverseGamma.default_init(X).fit(X, **options)
    assert t.log_likelihood * len(X) == pytest.approx(26374.584044, abs=1e-5)
    vg = normix.VarianceGamma.default_init(X).fit(X, **options)
    assert vg.unbounded and not vg.converged and vg.ties == 26
    assert "up to 26" in vg.message and "alpha_min" in vg.message
    bounded = vg.model.fit(X, alpha_min="density", **options)
    assert bounded.converged and not bounded.unbounded
    assert float(bounded.model.alpha) == pytest.approx(2.5)
    # GH comes to rest at a local maximum, and says that it is one.
    gh = normix.GeneralizedHyperbolic.default_init(X).fit(X, **options)
    assert gh.ties == 26 and "unbounded" in gh.message
    assert gh.log_likelihood >= t.log_likelihood


def test_ghyp_parameters_of_a_univariate_fit():
    """As ghyp reports them, in the unit of Y where its mean is 1."""
    X = read("smi_stocks.csv", 1)
    start = normix.UnivariateNormalInverseGaussian.default_init(X)
    fit = start.fit(X, acceleration="anderson", tol=1e-13, max_iter=500)
    known = to_alpha_bar(fit.model)
    wanted = {
        "lam": -0.5,
        "alpha_bar": 0.58908446,
        "mu": 7.316815e-4,
        "sigma": 0.01182099,
        "gamma": -6.222664e-4,
    }
    assert list(known) == list(wanted)
    for name, value in wanted.items():
        # γ differs by a millionth of its standard error, where the reference stopped:
        # here it has the same thirteen digits for every tolerance and unit of X.
        rel = 2e-6 if name == "gamma" else 1e-7
        assert float(known[name]) == pytest.approx(value, rel=rel), name
