# pyright: reportArgumentType=false, reportAttributeAccessIssue=false
"""Data frames and series wherever data go; the names of columns come along."""

from __future__ import annotations

import jax
import matplotlib
import numpy as np
import pandas as pd
import pytest

import normix
from normix import diagnostics, risk
from normix.datasets import load_sp500_returns
from normix.utils import plotting

matplotlib.use("Agg")


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    returns = load_sp500_returns(["AAPL", "JPM"])
    days = pd.date_range("2020-01-01", periods=300)
    return pd.DataFrame(100 * returns.values[-300:], days, list(returns.columns))


@pytest.fixture(scope="module")
def result(frame):
    return normix.NormalInverseGaussian.default_init(frame).fit(frame)


def test_the_numbers_are_those_of_arrays(frame, result):
    X = frame.to_numpy()
    same = normix.NormalInverseGaussian.default_init(X).fit(X)
    assert float(same.log_likelihood) == float(result.log_likelihood)
    weights = pd.Series(1.0 + np.arange(300) % 2, frame.index)
    one = result.model.fit(frame, weights=weights)
    other = result.model.fit(X, weights=weights.to_numpy())
    assert float(one.log_likelihood) == float(other.log_likelihood)


@pytest.mark.parametrize("of", ["series", "column"])
def test_series_and_single_columns(frame, of):
    x = frame["JPM"] if of == "series" else frame[["JPM"]]
    family = normix.UnivariateNormalInverseGaussian
    fit = family.default_init(x).fit(x)
    again = family.default_init(x.to_numpy().ravel()).fit(x.to_numpy().ravel())
    assert float(fit.log_likelihood) == float(again.log_likelihood)
    assert fit.inference(x).nobs == 300
    positive = frame["JPM"].abs() + 0.1
    gamma = normix.Gamma.fit_mle(positive)
    assert float(gamma.alpha) == float(normix.Gamma.fit_mle(positive.to_numpy()).alpha)


def test_names_of_parameters(frame, result):
    names = result.inference(frame).names
    assert names[:4] == ("mu[AAPL]", "mu[JPM]", "gamma[AAPL]", "gamma[JPM]")
    table = result.inference(frame).to_frame()
    assert list(table.index) == list(names)
    normal = normix.MultivariateNormal.fit_mle(frame)
    assert normix.inference(normal, frame).names[0] == "mu[AAPL]"


def test_what_has_rows_keeps_the_index(frame, result):
    holes = frame.copy()
    holes.iloc[3, 1] = np.nan
    full = result.model.impute(holes)
    assert full.index.equals(frame.index) and list(full.columns) == ["AAPL", "JPM"]
    uniform = diagnostics.pit(result.model, frame)
    assert uniform.index.equals(frame.index) and list(uniform) == ["AAPL", "JPM"]


def test_columns_by_name(frame, result):
    draws = result.model.rvs_given(
        {"JPM": -5.0}, 3, key=jax.random.key(0), columns=frame.columns
    )
    assert (np.asarray(draws)[:, 1] == -5).all()
    weights = pd.Series({"AAPL": 0.4, "JPM": 0.6})
    portfolio = risk.Portfolio(result.model, weights)
    same = risk.Portfolio(result.model, weights.to_numpy())
    assert float(portfolio.value_at_risk(0.9)) == float(same.value_at_risk(0.9))


@pytest.mark.parametrize("name", ["plot_margins", "plot_pairs", "plot_qq"])
def test_names_in_pictures(frame, result, name):
    figure = getattr(plotting, name)(result.model, frame)
    texts = {text.get_text() for text in figure.findobj(matplotlib.text.Text)}
    assert {"AAPL", "JPM"} <= texts
    matplotlib.pyplot.close(figure)


def test_errors_name_the_column(frame):
    text = frame.assign(JPM="a")
    with pytest.raises(ValueError, match="JPM"):
        normix.NormalInverseGaussian.default_init(text)
    constant = frame.assign(JPM=1.0)
    with pytest.raises(ValueError, match="JPM"):
        normix.NormalInverseGaussian.default_init(constant)
