"""The stock returns that normix ships."""

import doctest
from importlib import resources

import numpy as np
import pytest

from normix.datasets import Returns, _sp500, load_sp500_returns

STOCKS = ("AAPL", "GE", "HD", "JNJ", "JPM", "KO", "MSFT", "UNH", "WMT", "XOM")


@pytest.fixture(scope="module")
def returns() -> Returns:
    return load_sp500_returns()


def test_shapes_and_types(returns: Returns) -> None:
    n, d = returns.values.shape
    assert (n, d) == (4529, 10)
    assert returns.columns == STOCKS
    assert returns.dates.shape == (n,)
    assert returns.dates.dtype == np.dtype("datetime64[D]")
    assert returns.values.dtype == np.float64


def test_dates_are_the_trading_days(returns: Returns) -> None:
    dates = returns.dates
    assert dates[0] == np.datetime64("2005-01-03")
    assert dates[-1] == np.datetime64("2022-12-28")
    steps = np.diff(dates).astype(int)
    assert (steps > 0).all()
    assert np.is_busday(dates).all()
    # The exchange's only breaks of five days: New Year with the day of mourning for
    # Gerald Ford, and hurricane Sandy.
    assert steps.max() == 5
    assert dates[:-1][steps == 5].astype(str).tolist() == ["2006-12-29", "2012-10-26"]
    years, days = np.unique(dates.astype("datetime64[Y]"), return_counts=True)
    assert len(years) == 18
    assert ((days >= 249) & (days <= 253)).all()


def test_values_look_like_daily_stock_returns(returns: Returns) -> None:
    values = returns.values
    assert np.isfinite(values).all()
    assert np.abs(values).max() < 0.35  # a split left in would be 0.4 or more
    assert ((values == 0).mean(axis=0) < 0.02).all()
    std = values.std(axis=0)
    assert ((std > 0.01) & (std < 0.025)).all()
    kurtosis = (((values - values.mean(axis=0)) / std) ** 4).mean(axis=0)
    assert (kurtosis > 8).all()  # 3 if they were normal
    correlation = np.corrcoef(values, rowvar=False)[np.triu_indices(10, k=1)]
    assert ((correlation > 0.2) & (correlation < 0.7)).all()


@pytest.mark.parametrize(
    ("stock", "day", "per_cent"),
    [
        # Well-known moves on a day, in per cent.
        ("AAPL", "2008-09-29", -17.9),
        ("MSFT", "2008-10-13", 18.6),
        ("JPM", "2009-01-20", -20.7),
        ("JNJ", "2018-12-14", -10.0),
        ("HD", "2020-03-16", -19.8),
        ("WMT", "2022-05-17", -11.4),
    ],
)
def test_known_days(returns: Returns, stock: str, day: str, per_cent: float) -> None:
    row = np.searchsorted(returns.dates, np.datetime64(day))
    value = returns.values[row, returns.columns.index(stock)]
    assert 100 * np.expm1(value) == pytest.approx(per_cent, abs=0.06)


def test_columns_are_chosen_in_order(returns: Returns) -> None:
    some = load_sp500_returns(["XOM", "AAPL"])
    assert some.columns == ("XOM", "AAPL")
    np.testing.assert_array_equal(some.values, returns.values[:, [9, 0]])
    np.testing.assert_array_equal(some.dates, returns.dates)


def test_one_name_is_one_column(returns: Returns) -> None:
    one = load_sp500_returns("JPM")
    assert one.columns == ("JPM",)
    np.testing.assert_array_equal(one.values, returns.values[:, [4]])


def test_unknown_column_lists_the_valid_ones() -> None:
    with pytest.raises(ValueError, match="no column 'TSLA'; there are") as caught:
        load_sp500_returns(["AAPL", "TSLA"])
    assert all(stock in str(caught.value) for stock in STOCKS)


@pytest.mark.parametrize("columns", [[], ["KO", "KO"]])
def test_empty_or_repeated_columns_are_refused(columns: list[str]) -> None:
    with pytest.raises(ValueError, match="one or more different names"):
        load_sp500_returns(columns)


def test_arrays_are_the_callers_own(returns: Returns) -> None:
    load_sp500_returns().values[:] = 0
    assert load_sp500_returns().values.any()
    assert returns.values.any()


def test_licence_travels_with_the_data() -> None:
    text = resources.files("normix.datasets").joinpath("SP500_LICENSE.txt").read_text()
    assert "BSD 3-Clause License" in text
    assert "skfolio" in text


def test_docstring_examples() -> None:
    result = doctest.testmod(_sp500)
    assert result.attempted > 0
    assert result.failed == 0
