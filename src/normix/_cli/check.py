"""The command ``normix check``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from normix._cli.failure import Failure
from normix._cli.interrupts import deadly
from normix._cli.outputs import check_picture, check_writable, writing

if TYPE_CHECKING:
    import numpy as np

    from normix._cli.model import Saved
    from normix._cli.table import Table


@click.command(context_settings={"show_default": True})
@click.argument("model", metavar="MODEL.json")
@click.argument("file", metavar="FILE.csv")
@click.option(
    "--columns",
    metavar="A,B,...",
    help="The columns of FILE that are the model's, in their order; by default those "
    "of the names that it was saved with.",
)
@click.option(
    "--returns", is_flag=True, help="FILE holds prices: check their log returns."
)
@click.option(
    "--missing",
    type=click.Choice(["raise", "em", "drop"]),
    default="raise",
    help="Cells that are empty, NA, NaN or a dot: refuse them, take what each row has, "
    "or leave out the row.",
)
@click.option(
    "--refit/--no-refit",
    default=True,
    help="Whether the model is fitted anew to each sample that is drawn from it, as is "
    "right if it was fitted to these data.",
)
@click.option(
    "--resamples",
    type=click.IntRange(min=1),
    default=200,
    metavar="N",
    help="How many samples p-values come from.",
)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**32 - 1),
    default=0,
    metavar="S",
    help="Of the samples: the same seed gives the same p-values.",
)
@click.option(
    "--plot",
    metavar="PATH",
    help="Draw quantiles of the columns against the model's (.png, .pdf, .svg, ...).",
)
def check(
    model: str,
    file: str,
    columns: str | None,
    returns: bool,
    missing: str,
    refit: bool,
    resamples: int,
    seed: int,
    plot: str | None,
) -> None:
    """Goodness of fit of a saved model on the columns of a CSV file.

    MODEL.json is a file that normix fit --save wrote, FILE one such as normix fit
    takes; "-" reads standard input.

    Kolmogorov-Smirnov, Anderson-Darling and Cramer-von Mises tests compare what the
    model's distribution functions make of the data with uniform values, column by
    column; the energy test compares distances between rows with those that the model
    expects.

    Of each the p-value is the share of samples, drawn from the model and as many rows
    as the data, that fit no better than the data: a small one speaks against the
    model. A model that was fitted to these data is near to them for that reason alone,
    so that it is fitted anew to each sample. For data that it has not seen, say
    --no-refit, which is quicker, too.

    \b
    Examples:
      normix check model.json returns.csv
      normix check model.json prices.csv --returns --plot quantiles.png
      normix check model.json later.csv --no-refit
    """
    if plot is not None:
        check_picture(plot)
        check_writable(plot)
    chosen = None if columns is None else [name.strip() for name in columns.split(",")]
    with deadly():
        from normix._cli.goodness import observations, report
        from normix._cli.model import load_model

        saved = load_model(model)
        table = _matched(saved, file, chosen, returns, missing)
        X = observations(saved.law, table.values)
        click.echo(f"Checking {table.description} by {resamples} samples", err=True)
        try:
            told = report(saved.law, X, resamples, refit, seed)
        except ValueError as error:
            raise Failure(str(error)) from None
        click.echo(told)
        if plot is not None:
            _draw(saved.law, X, table.columns, plot)


def _matched(
    saved: Saved, file: str, columns: list[str] | None, prices: bool, missing: str
) -> Table:
    """The columns of a file that are the model's, in its order."""
    from normix._cli.data import load_data

    if columns is None and saved.has_names:
        columns = list(saved.names)
    table = load_data(file, columns, prices, missing)
    here, d = len(table.columns), len(saved.names)
    if here != d:
        counted = "1 column" if here == 1 else f"{here} columns"
        raise Failure(
            f"the model has {d}, the data have {counted}: {', '.join(table.columns)}; "
            "choose by --columns"
        )
    return table


def _draw(law: Any, X: np.ndarray, names: Sequence[str], path: str) -> None:
    from normix.utils.plotting import plot_qq, savefig, set_theme

    set_theme()
    try:
        figure = plot_qq(law, X, names=names)
    except ValueError as error:
        raise Failure(f"no picture: {error}") from None
    with writing(path):
        savefig(figure, path)
    click.echo(f"Picture written to {path}", err=True)
