# pyright: reportArgumentType=false, reportAttributeAccessIssue=false
"""Backtests, and the tests of exceedances."""

from __future__ import annotations

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import normix
from normix.fitting.em.batch import BatchEMFitter
from normix.risk import Backtest, Portfolio, backtest, christoffersen, kupiec
from normix.risk.rolling import OF_RETURN

FITTER = BatchEMFitter(tol=1e-8)
WINDOW, DAYS = 120, 12


@pytest.fixture(scope="module")
def data() -> np.ndarray:
    rng = np.random.default_rng(3)
    y = rng.wald(1.0, 1.5, (WINDOW + DAYS, 1))
    return 0.01 * (0.1 + np.sqrt(y) * rng.normal(size=(WINDOW + DAYS, 2)))


@pytest.fixture(scope="module")
def start(data) -> normix.NormalInverseGaussian:
    return normix.NormalInverseGaussian.default_init(data[:WINDOW])


@pytest.fixture(scope="module")
def found(start, data) -> Backtest:
    return backtest(start, data, [0.7, 0.3], window=WINDOW, fitter=FITTER)


def same(one: Backtest, other: Backtest) -> None:
    np.testing.assert_array_equal(one._laws, other._laws)
    np.testing.assert_array_equal(one.returns, other.returns)


def test_each_day_is_foretold_from_the_days_before(found, start, data):
    assert found.complete and (found.outcomes == normix.Outcome.CONVERGED).all()
    np.testing.assert_allclose(found.returns, data[WINDOW:] @ [0.7, 0.3])
    for k in (0, 7):
        fit = FITTER.fit(start, data[k : k + WINDOW])
        portfolio = Portfolio(fit.model, [0.7, 0.3])
        for name in ("value_at_risk", "expected_shortfall"):
            np.testing.assert_allclose(
                getattr(found, name)(0.99)[k], getattr(portfolio, name)(0.99), rtol=1e-4
            )
            one_law = getattr(found.law(k), name)(0.99)
            np.testing.assert_allclose(
                getattr(found, name)(0.99)[k], one_law, rtol=1e-12
            )
        np.testing.assert_allclose(
            found.pit()[k], found.law(k).cdf(found.returns[k]), rtol=1e-12
        )


def test_later_days_do_not_matter(found, start, data):
    other = data.copy()
    other[-3:] *= -5
    again = backtest(start, other, [0.7, 0.3], window=WINDOW, fitter=FITTER)
    # The law of the first of the three days is from the days before it.
    np.testing.assert_array_equal(again._laws[:-2], found._laws[:-2])
    assert (again._laws[-1] != found._laws[-1]).any()


def test_refits_and_expanding_windows(start, data):
    options = {"window": WINDOW, "fitter": FITTER, "refit": 4}
    seldom = backtest(start, data, **options)
    assert len(np.unique(seldom._laws, axis=0)) == DAYS // 4
    longer = backtest(start, data, expanding=True, **options)
    np.testing.assert_array_equal(longer._laws[0], seldom._laws[0])
    fit = FITTER.fit(start, data[: WINDOW + 8])
    law = Portfolio(fit.model, [0.5, 0.5])
    np.testing.assert_allclose(
        longer.value_at_risk(0.9)[8], law.value_at_risk(0.9), rtol=1e-4
    )


def test_a_stopped_backtest_goes_on_to_the_same_result(
    found, start, data, tmp_path, monkeypatch
):
    path = tmp_path / "work.npz"
    options = {"window": WINDOW, "fitter": FITTER, "checkpoint": path}
    fits, fit = [], BatchEMFitter.fit

    def stopping(self, model, X, **kwargs):
        if len(fits) == 5:
            raise KeyboardInterrupt
        fits.append(1)
        return fit(self, model, X, **kwargs)

    monkeypatch.setattr(BatchEMFitter, "fit", stopping)
    part = backtest(start, data, [0.7, 0.3], **options)
    monkeypatch.undo()
    assert not part.complete and len(part.returns) == 5
    assert "Interrupted" in str(part.summary([0.9]))
    np.testing.assert_array_equal(part._laws, found._laws[:5])
    same(backtest(start, data, [0.7, 0.3], **options), found)
    # A finished one is read.
    monkeypatch.setattr(BatchEMFitter, "fit", None)
    same(backtest(start, data, [0.7, 0.3], **options), found)
    with pytest.raises(ValueError, match="another backtest"):
        backtest(start, data, [0.6, 0.4], **options)
    path.write_bytes(b"no such thing")
    with pytest.raises(ValueError, match="not a checkpoint"):
        backtest(start, data, [0.7, 0.3], **options)


def test_interrupted_before_the_first_day(start, data, monkeypatch):
    def stopped(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(BatchEMFitter, "fit", stopped)
    with pytest.raises(KeyboardInterrupt):
        backtest(start, data, window=WINDOW)


def test_data_frames_and_missing_days(start, data):
    pd = pytest.importorskip("pandas")
    days = pd.date_range("2020-01-01", periods=len(data))
    frame = pd.DataFrame(data, index=days, columns=["A", "B"])
    frame.iloc[3, 0] = frame.iloc[-1, 1] = np.nan
    options = {"window": WINDOW, "refit": DAYS, "missing": "em"}
    both = backtest(start, frame, {"A": 0.5, "B": 0.5}, **options)
    assert np.isnan(both.returns).tolist() == [False] * (DAYS - 1) + [True]
    assert np.isnan(both.pit()[-1])
    assert both.exceeded(0.9).sum() == both.exceeded(0.9)[:-1].sum()
    table = both.to_frame([0.9])
    assert list(table.columns) == ["return", "pit", "VaR 0.9", "ES 0.9"]
    assert (table.index == days[WINDOW:]).all()
    # The column that is missing on the last day has no weight.
    one = backtest(start, frame, {"A": 1.0}, **options)
    assert not np.isnan(one.returns).any()


def test_progress_is_told(start, data, capsys):
    backtest(start, data, window=WINDOW, refit=DAYS, progress=True)
    told = capsys.readouterr().err
    assert f"{DAYS} days" in told and told.endswith("\n")


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"window": 0}, "window must be at least 1"),
        ({"refit": 0}, "refit must be at least 1"),
        ({"window": WINDOW + DAYS}, "no day to foretell"),
        ({"weights": [1.0]}, "shape"),
        ({"weights": {"C": 1.0}, "columns": ["A", "B"]}, "unknown column 'C'"),
        ({"missing": "yes"}, "missing"),
    ],
)
def test_bad_input(start, data, options, match):
    with pytest.raises(ValueError, match=match):
        backtest(start, data, **{"window": WINDOW} | options)


def test_rows_of_a_failing_fit_are_named(start, data):
    bad = data.copy()
    bad[:WINDOW, 1] = 1.0
    with pytest.raises(ValueError, match=f"rows 0 to {WINDOW - 1}: .*constant"):
        backtest(start, bad, window=WINDOW)


# -- tests of exceedances ------------------------------------------------------------


def test_kupiec():
    # 2 log of the ratio of binomial likelihoods, by SciPy.
    for x, n, level in ((5, 250, 0.99), (0, 250, 0.99), (30, 300, 0.95)):
        days = np.arange(n) < x
        free = stats.binom.logpmf(x, n, x / n)
        statistic = 2 * (free - stats.binom.logpmf(x, n, 1 - level))
        found = kupiec(days, level)
        np.testing.assert_allclose(found.statistic, statistic, rtol=1e-11)
        np.testing.assert_allclose(found.pvalue, stats.chi2.sf(statistic, 1))


def test_christoffersen():
    rng = np.random.default_rng(0)
    days = rng.random(500) < 0.1
    chain = np.zeros((2, 2))
    np.add.at(chain, (days[:-1].astype(int), days[1:].astype(int)), 1)
    # The G-test of the table of transitions is the same likelihood ratio.
    expected = stats.chi2_contingency(chain, correction=False, lambda_="log-likelihood")
    found = christoffersen(days, 0.9, "independence")
    np.testing.assert_allclose(found.statistic, expected.statistic, rtol=1e-10)
    np.testing.assert_allclose(found.pvalue, expected.pvalue, rtol=1e-10)
    both = christoffersen(days, 0.9)
    np.testing.assert_allclose(
        both.statistic, found.statistic + kupiec(days, 0.9).statistic
    )
    np.testing.assert_allclose(both.pvalue, stats.chi2.sf(both.statistic, 2))
    assert christoffersen([0, 0, 0], 0.9, "independence").pvalue == 1


def test_exceedances_bad_input():
    for test in (kupiec, christoffersen):
        with pytest.raises(ValueError, match="between 0 and 1"):
            test([0, 1, 0], 1.0)
        with pytest.raises(ValueError, match="at least"):
            test([], 0.9)
        with pytest.raises(ValueError, match="True and False"):
            test([0.3, 0.1], 0.9)
    with pytest.raises(ValueError, match="kind"):
        christoffersen([0, 1], 0.9, "other")


def of_one_law(law, returns) -> Backtest:
    """A backtest in which every day is foretold by one law."""
    n = len(returns)
    laws = np.tile(np.asarray(OF_RETURN.pack(law.joint.law())), (n, 1))
    every = np.arange(n), np.ones(n, int), type(law.joint), True, laws
    return Backtest(np.asarray(returns), *every)


LAW = normix.UnivariateNormalInverseGaussian.from_classical(
    mu=0.001, gamma=-0.002, sigma=1e-4, mu_ig=1.0, lam=0.7
)


def test_simulated_exceedances():
    """Their mean and variance are partial moments of the law."""
    n, days, level = 20_000, 250, 0.975
    tested = of_one_law(LAW, np.zeros(days))
    counts, sums = tested._drawn(np.ones(days, bool), level, n, 5)
    value, shortfall = LAW.value_at_risk(level), LAW.expected_shortfall(level)
    excess = [LAW.partial_moment(-value, k) / (1 - level) for k in (1, 2)]
    second = (value**2 + 2 * value * excess[0] + excess[1]) / shortfall**2
    p, error = 1 - level, 4 / np.sqrt(n)
    assert abs(counts.mean() - days * p) < error * np.sqrt(days * p * (1 - p))
    var = days * (p * second - p**2)
    assert abs(sums.mean() - days * p) < error * np.sqrt(var)
    # The kurtosis of a sum over ten exceedances or so is about 4.
    assert abs(sums.var() / var - 1) < error * 2


def test_acerbi_szekely():
    returns = np.asarray(LAW.rvs(300, 8))
    tested = of_one_law(LAW, returns)
    level = 0.95
    shortfall = float(LAW.expected_shortfall(level))
    losses = -returns[-returns > float(LAW.value_at_risk(level))]
    two = tested.acerbi_szekely(level, n=2000)
    one = tested.acerbi_szekely(level, n=2000, test=1)
    np.testing.assert_allclose(two.statistic, 1 - losses.sum() / (15 * shortfall))
    np.testing.assert_allclose(one.statistic, 1 - losses.mean() / shortfall)
    assert min(one.pvalue, two.pvalue) > 0.05 and two.df is None
    # Forecasts of half the risk are refuted, of twice the risk not.
    half = of_one_law(LAW.affine(0.5), returns).acerbi_szekely(level, n=2000)
    twice = of_one_law(LAW.affine(2.0), returns).acerbi_szekely(level, n=2000)
    assert half.statistic < -0.5 and half.pvalue < 0.01
    assert twice.statistic > 0.3 and twice.pvalue > 0.9


def test_acerbi_szekely_without_exceedances():
    tested = of_one_law(LAW, np.full(20, 0.001))
    assert np.isnan(tested.acerbi_szekely(0.9, test=1).pvalue)
    assert tested.acerbi_szekely(0.9).statistic == 1
    missing = dataclasses.replace(tested, returns=np.full(20, np.nan))
    with pytest.raises(ValueError, match="no return"):
        missing.acerbi_szekely(0.9)


def test_acerbi_szekely_without_a_mean():
    heavy = normix.UnivariateNormalInverseGamma.from_classical(
        mu=0.0, gamma=0.0, sigma=jnp.array(1.0), alpha=0.4, beta=1.0
    )
    tested = of_one_law(heavy, np.zeros(5))
    assert np.isinf(tested.expected_shortfall(0.9)).all()
    with pytest.raises(ValueError, match="finite expected shortfall"):
        tested.acerbi_szekely(0.9)
    assert tested.summary([0.9]).rows[0][-1] == "none"
    with pytest.raises(ValueError, match="between 0 and 1"):
        tested.value_at_risk(1.2)
