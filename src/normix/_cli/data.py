"""The data that a command is asked for, checked."""

from __future__ import annotations

from collections.abc import Sequence

import click
import numpy as np

from normix._cli.failure import Failure
from normix._cli.table import Table, read_table
from normix._columns import dependent_columns
from normix._missing import check_seen, seen_together
from normix.datasets import load_sp500_returns


def load_data(
    file: str | None, columns: Sequence[str] | None, prices: bool, missing: str
) -> Table:
    """The columns of ``file``, or of the data shipped; log returns if of prices.

    Missing entries are NaN, or their rows left out, as ``missing`` says. Returns are
    between a row and the next, where both have a price.

    **Raises**: :class:`Failure` for what cannot be read.
    """
    if file is None and prices:
        raise Failure("--returns needs a FILE of prices; the data shipped are returns")
    gaps = missing != "raise"
    table = _shipped(columns) if file is None else _read(file, columns, gaps)
    table = _log_returns(table) if prices else table
    if np.isnan(table.values).any():
        table = _kept(table, missing)
    return table


def _shipped(columns: Sequence[str] | None) -> Table:
    try:
        data = load_sp500_returns(columns)
    except ValueError as error:
        raise Failure(str(error)) from None
    lines = tuple(range(2, len(data.values) + 2))
    return Table(data.columns, data.values, lines, tuple(data.dates.astype(str)))


def _kept(table: Table, missing: str) -> Table:
    """Without rows that have gaps, or without those of nothing else."""
    seen = ~np.isnan(table.values)
    kept = np.flatnonzero((np.all if missing == "drop" else np.any)(seen, axis=1))
    if not len(kept):
        raise Failure("there is no row without a missing value")
    try:
        check_seen(seen_together(table.values[kept]), table.columns, pairs=False)
    except ValueError as error:
        raise Failure(str(error)) from None
    labels = table.labels
    return Table(
        table.columns,
        table.values[kept],
        tuple(table.lines[k] for k in kept),
        None if labels is None else tuple(labels[k] for k in kept),
    )


def _read(file: str, columns: Sequence[str] | None, missing: bool) -> Table:
    try:
        with click.open_file(file, encoding="utf-8-sig") as stream:
            return read_table(stream, columns, missing)
    except OSError as error:
        raise Failure(f"cannot read {file}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise Failure(f"cannot read {file}: it is not text in UTF-8") from None
    except ValueError as error:
        raise Failure(f"{file}: {error}") from None


def _log_returns(table: Table) -> Table:
    """From each row of prices to the next."""
    bad = np.argwhere(table.values <= 0)
    if bad.size:
        row, column = bad[0]
        raise Failure(
            f"line {table.lines[row]}, column {table.columns[column]!r}: prices must "
            f"be positive, got {table.values[row, column]:g}"
        )
    return Table(
        columns=table.columns,
        values=np.diff(np.log(table.values), axis=0),
        lines=table.lines[1:],
        labels=None if table.labels is None else table.labels[1:],
    )


def check_rank(table: Table) -> None:
    """Raise :class:`Failure` for data to which no full dispersion can be fitted."""
    X, names = table.values, np.array(table.columns)
    n, d = X.shape
    if n < d + 1:
        counted = "1 column needs" if d == 1 else f"{d} columns need"
        raise Failure(f"too few rows of data: {counted} at least {d + 1}, got {n}")
    deviations = np.nanstd(X, axis=0)
    constant = names[deviations <= 1e-12 * np.nanmax(np.abs(X), axis=0)]
    if constant.size:
        raise Failure(f"column '{constant[0]}' is constant; leave it out by --columns")
    whole = X[~np.isnan(X).any(axis=1)]
    dependent = dependent_columns(whole) if len(whole) > d else []
    if dependent:
        listed = ", ".join(f"'{name}'" for name in names[dependent])
        raise Failure(
            f"columns {listed} depend on each other linearly; leave one out by "
            "--columns"
        )
