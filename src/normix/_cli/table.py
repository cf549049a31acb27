"""Tables of numbers from CSV files, with errors that name the cell."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

# First columns of these names, or of none, label the rows even when they look like
# numbers: 20240131, or pandas' 0, 1, 2, ...
_INDEX_NAMES = ("", "date", "datetime", "day", "index", "month", "time", "timestamp")
# And those of these names, where they count the rows.
_COUNTING_NAMES = ("id", "no", "nr", "num", "number", "obs", "row", "rowid", "rowname")
_COUNTING_NAMES += ("row_names", "rownames", "row.names", "rownum", "unnamed: 0")
_MISSING = ("", "na", "n/a", "nan", "null", "none", "-", ".", "#n/a")


class Table(NamedTuple):
    """Columns of numbers, shape ``(n, d)``, and the file's line of each row."""

    columns: tuple[str, ...]
    values: Float[np.ndarray, "n d"]
    lines: tuple[int, ...]
    labels: tuple[str, ...] | None  # the column of row labels, if there is one

    @property
    def description(self) -> str:
        """Its size, the first and the last label, and the share of missing entries."""
        n, d = self.values.shape
        columns = "1 column" if d == 1 else f"{d} columns"
        span = f", {self.labels[0]} to {self.labels[-1]}" if self.labels else ""
        gaps = int(np.isnan(self.values).sum())
        share = f", {100 * gaps / (n * d):.3g}% of the entries missing" if gaps else ""
        return f"{n} rows of {columns}{span}{share}"


def read_table(
    lines: Iterable[str], columns: Sequence[str] | None = None, missing: bool = False
) -> Table:
    """The numbers in the lines of a CSV file whose first line names the columns.

    ``columns`` chooses and orders them; by default all are taken but a first one of
    row labels. Cells are separated by commas, or by semicolons or tabs where the
    header has more of those; empty lines are skipped. With ``missing`` cells that are
    empty, NA, NaN, null, - or . become NaN.

    **Raises**: ``ValueError`` for a file without a header or rows, a column that is
    not there, and cells that are missing or not finite numbers, by line and column.

    >>> from normix._cli.table import read_table
    >>> table = read_table(["date,A,B", "2024-01-02,0.5,1", "2024-01-03,-0.25,2"])
    >>> table.columns, table.values.tolist()
    (('A', 'B'), [[0.5, 1.0], [-0.25, 2.0]])
    """
    header, rows, numbers = _split(lines)
    first = header[0].lower()
    named = len(header) > 1 and (
        first in _INDEX_NAMES
        or (first in _COUNTING_NAMES and _counts([row[0] for row in rows]))
    )
    labelled = named or not any(
        _is_number(row[0]) or _is_missing(row[0]) for row in rows
    )
    valid = header[1:] if labelled else header
    if not valid:
        raise ValueError(f"there is no column of numbers beside {header[0]!r}")
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise ValueError(f"column {twice[0]!r} is there more than once")
    chosen = valid if columns is None else list(columns)
    again = [name for k, name in enumerate(chosen) if name in chosen[:k]]
    if again:
        raise ValueError(f"column {again[0]!r} is asked for more than once")
    unknown = [name for name in chosen if name not in header]
    if unknown:
        listed = ", ".join(map(repr, unknown))
        raise ValueError(f"there is no column {listed}; there are {', '.join(valid)}")
    positions = [header.index(name) for name in chosen]
    cells = [[row[j] for j in positions] for row in rows]
    known = cells
    if missing:
        known = [["nan" if _is_missing(x) else x for x in row] for row in cells]
    try:
        values = np.array(known, dtype=float)
    except ValueError:
        values = None
    if values is None or not (np.isfinite(values) | (missing & np.isnan(values))).all():
        raise ValueError(_first_fault(cells, chosen, numbers, missing))
    labels = tuple(row[0] for row in rows) if labelled else None
    return Table(tuple(chosen), values, tuple(numbers), labels)


def _split(lines: Iterable[str]) -> tuple[list[str], list[list[str]], list[int]]:
    """The header, the rows and their line numbers."""
    lines = iter(lines)
    first = next(lines, "")
    delimiter = max(",;\t", key=first.count)
    header = [
        name.strip() for name in next(csv.reader([first], delimiter=delimiter), [])
    ]
    if not any(header):
        raise ValueError("the first line must name the columns; it is empty")
    if all(map(_is_number, header)):
        raise ValueError("the first line must name the columns; it holds numbers")
    rows, numbers = [], []
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    try:
        for row in reader:
            number = reader.line_num + 1
            if not any(cell.strip() for cell in row):
                continue
            if len(row) != len(header):
                raise ValueError(
                    f"line {number} has {len(row)} cells, the first line names "
                    f"{len(header)} columns"
                )
            rows.append(row)
            numbers.append(number)
    except csv.Error as error:
        raise ValueError(f"line {reader.line_num + 1}: {error}") from None
    if not rows:
        raise ValueError("there are no rows below the first line")
    return header, rows, numbers


def _first_fault(
    cells: list[list[str]],
    columns: Sequence[str],
    numbers: Sequence[int],
    missing: bool,
) -> str:
    for number, row in zip(numbers, cells, strict=True):
        for name, cell in zip(columns, row, strict=True):
            where = f"line {number}, column {name!r}"
            if _is_missing(cell):
                if missing:
                    continue
                return f"{where}: the value is missing; see --missing"
            if not _is_number(cell):
                return f"{where}: {cell!r} is not a number"
            if not math.isfinite(float(cell)):
                return f"{where}: {cell!r} is not finite"
    raise AssertionError("all cells are numbers")


def _counts(cells: Sequence[str]) -> bool:
    """Whether cells are 0, 1, 2, ... or 1, 2, 3, ..."""
    begin = cells[0].strip()
    return begin in ("0", "1") and all(
        cell.strip() == str(k) for k, cell in enumerate(cells, start=int(begin))
    )


def _is_missing(cell: str) -> bool:
    return cell.strip().lower() in _MISSING


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
