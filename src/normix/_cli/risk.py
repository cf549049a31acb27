"""The command ``normix risk``."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import click

from normix._cli.failure import Failure
from normix._cli.interrupts import deadly
from normix._cli.progress import progress


@click.command()
@click.argument("model", metavar="MODEL.json")
@click.option(
    "--weights",
    metavar="A=.5,B=.5",
    help="The weights of columns, by name; others have the weight 0. By default all "
    "have the same, 1/d of d columns.",
)
@click.option(
    "--level",
    "levels",
    multiple=True,
    default=[".99"],
    metavar="P,...",
    help="The probability that a loss stays below the value at risk; several with "
    "commas, or by repeating the option.  [default: .99]",
)
@click.option(
    "--days",
    metavar="N",
    help="The sum over N independent days, where a row of the data is a day: exact, "
    "for normal inverse Gaussian and variance gamma models.",
)
def risk(
    model: str, weights: str | None, levels: Sequence[str], days: str | None
) -> None:
    """Value at risk and expected shortfall of a portfolio.

    MODEL.json is a file that normix fit --save wrote. The portfolio's return is w'X,
    of weights w on the model's columns X; a model of one variable takes no weights.

    A loss is -w'X: positive numbers are losses, negative ones gains. The value at risk
    is the loss that is exceeded with probability 1 - P, the expected shortfall the mean
    of the losses beyond it. What a column contributes to that is its weight times the
    derivative by it (Euler); the contributions add up to the whole.

    Losses are in the units of the data that were fitted. normix fit --returns fits log
    returns, which give log losses: of one of l, the share 1 - exp(-l) of the value is
    lost. Of several columns, w'X is the portfolio's log return only nearly, while
    returns are small.

    \b
    Examples:
      normix risk model.json
      normix risk model.json --weights AAPL=.6,MSFT=.4 --level .975,.99
      normix risk model.json --days 10
    """
    chosen = [_level(text) for several in levels for text in several.split(",")]
    periods = None if days is None else _days(days)
    given = None if weights is None else _weights(weights)
    with deadly():
        from normix._cli.losses import position, report
        from normix._cli.model import load_model

        try:
            held = position(load_model(model), given, periods)
            with progress() as shown:
                shown.show("computing ...")
                told = report(held, chosen)
        except ValueError as error:
            raise Failure(str(error)) from None
        click.echo(told)


def _number(text: str) -> float:
    """NaN for what is none."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def _level(text: str) -> float:
    level = _number(text)
    if not 0 < level < 1:
        raise Failure(
            f"--level must be a probability between 0 and 1, such as .99; got {text!r}"
        )
    return level


def _days(text: str) -> float:
    days = _number(text)
    if not 0 < days < math.inf:
        raise Failure(f"--days must be a number above 0, got {text!r}")
    return days


# A name goes on to the last "=" before a comma: it may have commas itself.
_PAIR = re.compile(r"\s*(?P<name>.+?)\s*=(?P<weight>[^=,]*)(,|$)")


def _weights(text: str) -> dict[str, float]:
    weights: dict[str, float] = {}
    position = 0
    while position < len(text):
        pair = _PAIR.match(text, position)
        weight = math.nan if pair is None else _number(pair["weight"])
        if pair is None or not math.isfinite(weight):
            raise Failure(
                "--weights must be pairs NAME=NUMBER with commas between, got "
                f"{text[position:]!r}"
            )
        if pair["name"] in weights:
            raise Failure(f"--weights has {pair['name']!r} more than once")
        weights[pair["name"]] = weight
        position = pair.end()
    return weights
