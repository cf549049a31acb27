"""The losses of a model in words and tables."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from normix._cli.model import Saved
from normix.mixtures.multivariate import VectorMixture
from normix.mixtures.univariate import UnivariateNormalMixture
from normix.risk.portfolio import Portfolio
from normix.uncertainty.summary import text_table
from normix.utils._text import words

_DIGITS = 6  # significant ones of a standard deviation

_CONVENTION = """\
Losses are -w'X: positive where money is lost, negative gains, in the units of the data.
Of log returns, such as normix fit --returns fits, they are log losses."""


class Position(NamedTuple):
    """What is held: its law, and a portfolio unless the model has one variable."""

    title: str
    law: UnivariateNormalMixture
    portfolio: Portfolio | None
    names: tuple[str, ...]


def position(
    saved: Saved,
    weights: Mapping[str, float] | None,
    days: float | None,
) -> Position:
    """The portfolio of ``weights`` by name, of equal ones where they are None.

    ``days``: of the sum over so many.

    **Raises**: ``ValueError`` for a model that is no mixture, weights of one variable,
    unknown names, and days of a family that is not closed under sums.
    """
    model, names = saved.law, saved.names
    kind = words(type(model).__name__)
    if not isinstance(model, VectorMixture | UnivariateNormalMixture):
        raise ValueError(f"risk is that of a mixture; the file holds a {kind}")
    if days is not None:
        model = model.aggregate(days)
    title = f"{kind[0].upper()}{kind[1:]} distribution"
    if days is not None:
        title += f", the sum over {days:g} independent days"
    if isinstance(model, UnivariateNormalMixture):
        if weights is not None:
            raise ValueError("a model of one variable takes no --weights")
        return Position(f"{title}\nw = 1, X is {names[0]}", model, None, names)
    equal = dict.fromkeys(names, 1 / model.d)
    portfolio = Portfolio(model, equal if weights is None else weights, names)
    held = _held(portfolio, equal=weights is None)
    return Position(f"{title}\n{held}", portfolio.law, portfolio, names)


def report(held: Position, levels: Sequence[float]) -> str:
    """Measures of the loss, and what each column contributes.

    ``levels``: probabilities that losses stay below the values at risk.

    **Raises**: ``ValueError`` for a law without a mean of losses.
    """
    parts = [held.title, _CONVENTION, *_measures(held.law, levels)]
    if held.portfolio is not None:
        parts.append(_contributions(held.portfolio, held.names, levels))
    return "\n\n".join(parts)


def _held(portfolio: Portfolio, equal: bool) -> str:
    """What the weights are, in words."""
    w = np.asarray(portfolio.weights)
    if equal:
        share = "1" if w.size == 1 else f"1/{w.size}"
        return f"Without --weights every column has the same weight, w = {share}"
    left = int((w == 0).sum())
    columns = "1 column" if w.size == 1 else f"{w.size} columns"
    others = f", of which {left} have 0" if left else ""
    return f"Weights w of {columns}{others}; their sum is {w.sum():.6g}"


def _measures(law: UnivariateNormalMixture, levels: Sequence[float]) -> list[str]:
    """Mean, deviation and the measures at each level."""
    # A level at a time: programs for one serve any number of them.
    at_risk = [float(law.value_at_risk(level)) for level in levels]
    shortfall = [float(law.expected_shortfall(level)) for level in levels]
    mean, sd = -float(law.mean()), float(law.std())
    shown = _format(sd if math.isfinite(sd) else max(map(abs, at_risk)))
    moments = [("mean", shown(mean)), ("standard deviation", shown(sd))]
    rows = [
        (f"{level:.15g}", *map(shown, pair))
        for level, *pair in zip(levels, at_risk, shortfall, strict=True)
    ]
    header = "level", "value at risk", "expected shortfall"
    return [
        "\n".join(text_table(("", "loss"), moments)),
        "\n".join(text_table(header, rows)),
    ]


def _contributions(
    portfolio: Portfolio, names: Sequence[str], levels: Sequence[float]
) -> str:
    """What the columns that are held add to the expected shortfall at each level."""
    w = np.asarray(portfolio.weights)
    held = np.flatnonzero(w).tolist()
    every = [*(names[k] for k in held), "sum"]
    cells = [every, [f"{x:.6g}" for x in (*w[held], w.sum())]]
    header = ["", "weight"]
    for level in levels:
        parts = np.asarray(portfolio.contributions("expected_shortfall", level))[held]
        total = parts.sum()
        shown = _format(total)
        cells.append([shown(x) for x in (*parts, total)])
        cells.append([f"{100 * x / total:.2f}%" for x in (*parts, total)])
        header += [f"at {level:.15g}", "share"]
    lines = text_table(header, list(zip(*cells, strict=True)))
    return "\n".join(["Contributions to the expected shortfall", *lines])


def _format(scale: float) -> Callable[[float], str]:
    """Numbers with the decimals that show six digits of one of size ``scale``."""
    size = abs(float(scale))
    if not 1e-6 <= size < 1e9:
        return f"{{:.{_DIGITS - 1}e}}".format
    decimals = max(_DIGITS - 1 - math.floor(math.log10(size)), 0)

    def shown(value: float) -> str:
        return f"{round(float(value), decimals) + 0.0:.{decimals}f}"  # without -0.0

    return shown
