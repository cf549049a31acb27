"""Tables of estimates, as text and as HTML."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from normix.uncertainty.inference import Inference


class Summary(NamedTuple):
    """A table with a title and notes: text when printed, HTML in a notebook."""

    title: str
    facts: tuple[tuple[str, str], ...]
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...]

    def __str__(self) -> str:
        body = text_table(self.header, self.rows)
        facts = [f"{name}: {value}" for name, value in self.facts]
        half = 3 + max(map(len, facts[::2]))
        width = max(len(body[0]), half + max(map(len, facts[1::2])))
        pairs = zip(facts[::2], facts[1::2], strict=True)
        lines = [self.title, "=" * width]
        lines += [f"{left:<{half}}{right}" for left, right in pairs]
        lines += ["-" * width, body[0], "-" * width, *body[1:], "=" * width]
        return "\n".join([*lines, *self.notes])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        facts = "".join(
            f"<tr><th style='text-align:left'>{escape(name)}</th>"
            f"<td>{escape(value)}</td></tr>"
            for name, value in self.facts
        )
        notes = "".join(f"<p>{escape(note)}</p>" for note in self.notes)
        return (
            f"<table><caption>{escape(self.title)}</caption>{facts}</table>"
            f"{html_table(self.header, self.rows)}{notes}"
        )


def text_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of equal length: the first column to the left, the others to the right."""
    every = [header, *rows]
    widths = [max(len(row[k]) for row in every) for k in range(len(header))]
    return [
        "  ".join(
            f"{cell:<{width}}" if k == 0 else f"{cell:>{width}}"
            for k, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in every
    ]


def html_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The same as a table of HTML."""
    head = "".join(f"<th>{escape(cell)}</th>" for cell in header)
    body = "".join(
        "<tr><th style='text-align:left'>"
        + escape(row[0])
        + "</th>"
        + "".join(f"<td style='text-align:right'>{escape(x)}</td>" for x in row[1:])
        + "</tr>"
        for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def number(value: float) -> str:
    """Five digits; an empty cell for NaN."""
    return "" if value != value else f"{value:.5g}"


_ERRORS = {
    "observed": "observed information",
    "opg": "outer products of the scores",
    "sandwich": "sandwich",
}


def summary_of(result: Inference, alpha: float) -> Summary:
    """The table of an inference."""
    low, high = result.conf_int(alpha).T
    pvalues = ["" if p != p else f"{p:.3f}" for p in result.pvalues]
    numbers = (result.params, result.bse, result.zvalues)
    cells = [[number(float(x)) for x in column] for column in numbers]
    ends = [[number(float(x)) for x in column] for column in (low, high)]
    columns = [list(result.names), *cells, pvalues, *ends]
    facts = (
        ("observations", f"{result.nobs:g}"),
        ("log-likelihood", f"{result.llf:.4f}"),
        ("free parameters", str(result.df_model)),
        ("AIC", f"{result.aic:.2f}"),
        ("standard errors", _ERRORS[result.cov_type]),
        ("BIC", f"{result.bic:.2f}"),
    )
    notes = [f"Held: {note}." for note in result.held]
    notes += [f"The data do not determine {x}." for x in result.undetermined]
    share = (f"{50 * alpha:g}%", f"{100 - 50 * alpha:g}%")
    return Summary(
        type(result.model).__name__,
        facts,
        ("", "estimate", "std err", "z", "P>|z|", *share),
        tuple(zip(*columns, strict=True)),
        tuple(notes),
    )
