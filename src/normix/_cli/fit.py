"""The command ``normix fit``."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import sys
import time
from typing import TYPE_CHECKING, Any

import click

from normix._cli.failure import Failure
from normix._cli.interrupts import deadly, raised
from normix._cli.outputs import check_picture, check_writable, writing

if TYPE_CHECKING:
    from normix._cli.table import Table
    from normix.fitting.em.result import EMResult

# What --family takes, and the word that the library has for it.
_FAMILIES = {
    "nig": "nig",
    "vg": "vg",
    "skew-t": "t",
    "t": "t",
    "gh": "gh",
}
_ALL = "all"
_INTERRUPTED = 130  # as shells count: 128 + SIGINT


@click.command(context_settings={"show_default": True})
@click.argument("file", required=False)
@click.option(
    "--family",
    default="nig",
    metavar="NAME",
    help="The family to fit: nig (normal inverse Gaussian), vg (variance gamma), "
    "skew-t or t, gh (generalized hyperbolic); or all, which compares them and goes on "
    "with the one of the least BIC.",
)
@click.option("--symmetric", is_flag=True, help="Hold the skewness gamma at 0.")
@click.option(
    "--factors",
    type=click.IntRange(min=1),
    metavar="R",
    help="A dispersion of R factors and a diagonal, for many columns.",
)
@click.option(
    "--ci",
    type=click.FloatRange(min=0, max=1, min_open=True, max_open=True),
    metavar="LEVEL",
    help="Standard errors of all parameters, and intervals of this level, such as .95.",
)
@click.option(
    "--bootstrap",
    type=click.IntRange(min=2),
    metavar="N",
    help="With --ci: by fits to N resamples of the rows, not by the information.",
)
@click.option(
    "--columns", metavar="A,B,...", help="The columns to fit; all of them by default."
)
@click.option(
    "--returns", is_flag=True, help="FILE holds prices: fit their log returns."
)
@click.option(
    "--missing",
    type=click.Choice(["raise", "em", "drop"]),
    default="raise",
    help="Cells that are empty, NA, NaN or a dot: refuse them, fit to what each row "
    "has, or leave out the row.",
)
@click.option(
    "--plot", metavar="PATH", help="Draw the fitted margins (.png, .pdf, .svg, ...)."
)
@click.option("--save", metavar="PATH", help="Write the fitted model as JSON.")
@click.option(
    "--tol",
    type=click.FloatRange(min=0),
    default=1e-6,
    metavar="X",
    help="Stop when the parameters change by no more.",
)
@click.option(
    "--max-iter",
    type=click.IntRange(min=1),
    default=1000,
    metavar="N",
    help="Stop after so many iterations.",
)
def fit(
    file: str | None,
    family: str,
    symmetric: bool,
    factors: int | None,
    ci: float | None,
    bootstrap: int | None,
    columns: str | None,
    returns: bool,
    missing: str,
    plot: str | None,
    save: str | None,
    tol: float,
    max_iter: int,
) -> None:
    """Fit a distribution to the columns of a CSV file.

    FILE has a line of column names and a row for each observation, such as the daily
    returns of some assets; "-" reads standard input. A first column of dates, row
    numbers or other labels is passed over. Without FILE, the returns of ten US stocks
    that normix ships are fitted.

    \b
    Examples:
      normix fit
      normix fit returns.csv --plot margins.png
      normix fit prices.csv --returns --columns AAPL,MSFT --save model.json
      normix fit prices.csv --returns --missing em
      normix fit returns.csv --family all
      normix fit returns.csv --symmetric --ci .95

    In Python, normix.load("model.json") brings a saved model back.
    """
    start = time.perf_counter()
    family = family.lower()
    if family not in (*_FAMILIES, _ALL):
        known = ", ".join((*_FAMILIES, _ALL))
        raise Failure(f"unknown family {family!r}; known: {known}")
    if bootstrap is not None and ci is None:
        raise Failure("--bootstrap needs --ci LEVEL")
    if plot is not None:
        check_picture(plot)
    for path in (plot, save):
        if path is not None:
            check_writable(path)
    try:
        with deadly():
            table = _load(file, columns, returns, missing)
            options = {"tol": tol, "max_iter": max_iter, "symmetric": symmetric}
            if family == _ALL:
                result = _best(table, options, factors)
            else:
                result = _fit(table, _FAMILIES[family], options, factors)
            _report(result, table, start)
            if ci is not None:
                _intervals(result, table, ci, bootstrap)
            _write(result, table, plot, save)
    except KeyboardInterrupt:
        click.echo("Interrupted.", err=True)
        sys.exit(_INTERRUPTED)
    if result.interrupted or result.diverged:
        sys.exit(_INTERRUPTED if result.interrupted else 1)


def _load(file: str | None, columns: str | None, prices: bool, missing: str) -> Table:
    from normix._cli.data import check_rank, load_data

    chosen = None if columns is None else [name.strip() for name in columns.split(",")]
    table = load_data(file, chosen, prices, missing)
    check_rank(table)
    return table


def _best(table: Table, options: dict[str, Any], factors: int | None) -> EMResult:
    """All families in a table, and the fit of the least BIC."""
    import jax

    import normix
    from normix._cli.summary import standardised

    click.echo(f"Fitting {table.description}, all families", err=True)
    jax.config.update("jax_enable_x64", True)
    normix.cache_compilations()
    fitter = normix.BatchEMFitter(**options)
    symmetric, forms = (options["symmetric"],), (factors or 0,)
    try:
        found = normix.compare(
            table.values,
            symmetric=symmetric,
            factors=forms,
            fitter=fitter,
            missing=_missing(table),
        )
        best = found.best()
    except ValueError as error:
        raise Failure(str(error)) from None
    click.echo(f"{found}\n")
    return dataclasses.replace(best, model=standardised(best.model))


def _intervals(
    result: EMResult, table: Table, level: float, resamples: int | None
) -> None:
    """Standard errors and intervals; a model that has none is told, and no failure."""
    from normix._cli.summary import intervals

    try:
        told = intervals(result, table.values, table.columns, level, resamples)
    except ValueError as error:
        told = f"No standard errors: {error}."
    click.echo(f"\n{told}")


def _fit(
    table: Table, family: str, options: dict[str, Any], factors: int | None
) -> EMResult:
    """The fit, with its model in the scale where E[Y] = 1."""
    from normix._cli.progress import progress

    click.echo(f"Fitting {table.description}", err=True)
    with (
        contextlib.ExitStack() as iterating,
        progress(
            # From the first iteration on, Ctrl-C asks for what is reached.
            lambda: iterating.enter_context(raised())
        ) as shown,
    ):
        shown.show("compiling, and choosing a start ...")
        import jax

        import normix
        from normix._cli.summary import standardised
        from normix.mixtures.families import start

        jax.config.update("jax_enable_x64", True)
        normix.cache_compilations()
        try:
            missing = _missing(table)
            model = start(family, table.values, factors or 0, missing=missing)
            shown.show("compiling the iteration ...")
            fitter = normix.BatchEMFitter(**options, track_ll=True)
            result = fitter.fit(
                model, table.values, callback=shown.iteration, missing=missing
            )
        except ValueError as error:
            raise Failure(str(error)) from None
    if result.n_iter < 1:
        raise KeyboardInterrupt if result.interrupted else Failure(result.message)
    return dataclasses.replace(result, model=standardised(result.model))


def _report(result: EMResult, table: Table, start: float) -> None:
    from normix._cli.summary import summary
    from normix.utils._text import words

    title = words(type(result.model).__name__)
    click.echo(f"{title[0].upper()}{title[1:]} distribution, {table.description}\n")
    click.echo(summary(result, table.values, table.columns))
    iterations = "1 iteration" if result.n_iter == 1 else f"{result.n_iter} iterations"
    seconds = time.perf_counter() - start
    click.echo(f"\nAfter {iterations} and {seconds:.1f} s, {result.message}.")


def _missing(table: Table) -> str:
    """What a fit is to do about missing entries: those left are to be used."""
    return "em" if any(map(math.isnan, table.values.ravel())) else "raise"


def _write(result: EMResult, table: Table, plot: str | None, save: str | None) -> None:
    if save is not None:
        import normix

        with writing(save):
            normix.save(result.model, save, table.columns)
        click.echo(f"Model written to {save}", err=True)
    if plot is not None:
        from normix.utils.plotting import plot_margins, savefig, set_theme

        set_theme()
        figure = plot_margins(
            result.model, table.values, names=table.columns, result=result
        )
        with writing(plot):
            savefig(figure, plot)
        click.echo(f"Picture written to {plot}", err=True)
