"""Make src/normix/datasets/sp500_returns.csv.gz; run once, by a maintainer.

Usage: python tools/make_sp500_returns.py skfolio-1.12.2-py3-none-any.whl

Provenance. The wheel of skfolio 1.12.2 (BSD-3-Clause) holds
skfolio/datasets/data/sp500_dataset.csv.gz: closing prices, adjusted for splits and
dividends, of 20 large US stocks on every trading day from 1990-01-02 to 2022-12-28,
rounded to 0.001 dollars. This script

* keeps ten stocks: AAPL and MSFT (information technology), JNJ and UNH (health care),
  KO and WMT (consumer staples), HD (consumer discretionary), GE (industrials), JPM
  (financials), XOM (energy);
* keeps the returns from 2005-01-03 on. Adjustment makes the early prices tiny (AAPL
  is 0.10 dollars in 1997), so that rounding to 0.001 would show in the returns: many
  would be exactly 0, the others multiples of a tick. From 2005 on, a tick is at most
  0.11 % of AAPL's price (0.05 % from 2007 on) and less than 0.01 % of any other's;
* takes log(price / previous price), rounded to 1e-6;
* writes a gzipped CSV file whose bytes depend on nothing but these numbers.

It stops if the input is not the file described, or if a check on it fails.
"""

import csv
import gzip
import hashlib
import io
import sys
import zipfile
from pathlib import Path

import numpy as np

MEMBER = "skfolio/datasets/data/sp500_dataset.csv.gz"
# Of the CSV text in that file.
SHA256 = "5f769c6d7be57f62a4dfd1f553995855462a17c92b21a4af4245439c6115617f"
COLUMNS = ("AAPL", "GE", "HD", "JNJ", "JPM", "KO", "MSFT", "UNH", "WMT", "XOM")
FIRST = np.datetime64("2005-01-03")
TARGET = Path(__file__).parents[1] / "src/normix/datasets/sp500_returns.csv.gz"


def read_prices(wheel: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the dates, shape (n,), and the prices of COLUMNS, shape (n, d)."""
    with zipfile.ZipFile(wheel) as archive:
        text = gzip.decompress(archive.read(MEMBER))
    digest = hashlib.sha256(text).hexdigest()
    if digest != SHA256:
        raise SystemExit(f"{MEMBER} is not the file of skfolio 1.12.2: {digest}")
    header, *rows = csv.reader(io.StringIO(text.decode("ascii")))
    chosen = [header.index(name) for name in COLUMNS]
    dates = np.array([row[0] for row in rows], dtype="datetime64[D]")
    prices = np.array([[float(row[j]) for j in chosen] for row in rows])
    return dates, prices


def check(dates: np.ndarray, prices: np.ndarray, returns: np.ndarray) -> None:
    """Stop on gaps, weekends, bad prices, and jumps of the size of a split."""
    steps = np.diff(dates)
    assert (steps > np.timedelta64(0, "D")).all(), "dates do not increase"
    assert (steps <= np.timedelta64(5, "D")).all(), "a gap of more than five days"
    assert np.is_busday(dates).all(), "a weekend"
    assert np.isfinite(prices).all() and (prices > 0).all(), "a bad price"
    # The smallest usual split, 3 for 2, would be a jump of 0.405.
    assert np.abs(returns).max() < 0.35, "a jump that may be a split"
    assert (returns == 0).mean(axis=0).max() < 0.02, "too many returns of zero"


def main() -> None:
    if len(sys.argv) != 2:
        raise SystemExit("usage: make_sp500_returns.py WHEEL")
    dates, prices = read_prices(sys.argv[1])
    start = int(np.searchsorted(dates, FIRST))
    dates, prices = dates[start - 1 :], prices[start - 1 :]
    returns = np.diff(np.log(prices), axis=0)
    check(dates, prices, returns)

    lines = [",".join(("date", *COLUMNS))]
    for date, row in zip(dates[1:], np.round(returns, 6) + 0.0, strict=True):
        lines.append(",".join((str(date), *(f"{value:.6f}" for value in row))))
    text = "\n".join(lines) + "\n"
    TARGET.write_bytes(gzip.compress(text.encode("ascii"), 9, mtime=0))
    print(f"{TARGET}: {len(returns)} days, {TARGET.stat().st_size} bytes")


if __name__ == "__main__":
    main()
