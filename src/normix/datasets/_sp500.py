"""Daily log returns of ten large US stocks, 2005 to 2022."""

import csv
import gzip
from collections.abc import Sequence
from importlib import resources
from typing import NamedTuple

import numpy as np

_FILE = "sp500_returns.csv.gz"


class Returns(NamedTuple):
    """Returns of several assets over the same days.

    Attributes
    ----------
    dates
        The day on which each return ends, ``datetime64[D]``, shape ``(n,)``,
        increasing.
    columns
        The names of the ``d`` assets.
    values
        The returns, ``float64``, shape ``(n, d)``: one row a day, one column an
        asset.
    """

    dates: np.ndarray
    columns: tuple[str, ...]
    values: np.ndarray


def load_sp500_returns(columns: Sequence[str] | None = None) -> Returns:
    """Load daily log returns of ten large US stocks.

    The returns are ``log(p[t] / p[t - 1])`` of closing prices adjusted for splits and
    dividends, on the 4529 trading days from 2005-01-03 to 2022-12-28, rounded to 1e-6.
    No day is missing and no value is; the crises of 2008 and 2020 are in, so the tails
    are heavy. A return of 0.01 is a gain of about one per cent.

    ======== ====================== ======== ======================
    Column   Sector                 Column   Sector
    ======== ====================== ======== ======================
    AAPL     information technology KO       consumer staples
    GE       industrials            MSFT     information technology
    HD       consumer discretionary UNH      health care
    JNJ      health care            WMT      consumer staples
    JPM      financials             XOM      energy
    ======== ====================== ======== ======================

    Source: computed from the prices that skfolio 1.12.2 ships under the BSD-3-Clause
    licence; ``SP500_LICENSE.txt``, beside the data, has the text. For examples and
    tests only: the stocks were picked because they did last, so they are no fair
    sample of the market of 2005.

    Parameters
    ----------
    columns
        The assets wanted, in the order wanted; all ten, alphabetically, by default.

    Returns
    -------
    Returns
        Fresh arrays, safe to change: ``dates`` of shape ``(n,)``, ``columns`` of
        length ``d`` and ``values`` of shape ``(n, d)``.

    Raises
    ------
    ValueError
        If `columns` names an asset that is not there, names one twice, or is empty.

    Examples
    --------
    >>> from normix.datasets import load_sp500_returns
    >>> returns = load_sp500_returns(["MSFT", "XOM"])
    >>> returns.values.shape
    (4529, 2)
    >>> crash = returns.values[:, 0].argmin()
    >>> print(returns.dates[crash], returns.values[crash])
    2020-03-16 [-0.159459 -0.100046]
    """
    text = gzip.decompress(
        resources.files("normix.datasets").joinpath(_FILE).read_bytes()
    )
    header, *rows = csv.reader(text.decode("ascii").splitlines())
    names = header[1:]
    chosen = _positions(names, names if columns is None else columns)
    return Returns(
        dates=np.array([row[0] for row in rows], dtype="datetime64[D]"),
        columns=tuple(names[j] for j in chosen),
        values=np.array([[float(row[1 + j]) for j in chosen] for row in rows]),
    )


def _positions(names: Sequence[str], wanted: Sequence[str]) -> list[int]:
    """Return where each of `wanted` stands in `names`."""
    wanted = [wanted] if isinstance(wanted, str) else list(wanted)
    unknown = [name for name in wanted if name not in names]
    if unknown:
        raise ValueError(
            f"no column {', '.join(map(repr, unknown))}; there are {', '.join(names)}"
        )
    if not wanted or len(set(wanted)) < len(wanted):
        raise ValueError(f"columns must be one or more different names, not {wanted}")
    return [names.index(name) for name in wanted]
