"""Tests of forecasts of risk, by the days on which a loss exceeded them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import ArrayLike, Bool

from normix._arrays import check_option

KINDS = ("coverage", "independence")


class ExceedanceTest(NamedTuple):
    """A test of forecasts: a small ``pvalue`` speaks against them.

    ``df``: the degrees of freedom of the chi-squared law that the statistic has for
    many days; None where the p-value comes from simulation.
    """

    name: str
    statistic: float
    pvalue: float
    df: int | None


def kupiec(exceeded: Bool[ArrayLike, " n"], level: float) -> ExceedanceTest:
    """Kupiec's test that losses exceed the value at risk as often as they should.

    - ``exceeded``: of every day whether the loss exceeded the value at risk, shape
      ``(n,)``.
    - ``level``: that of the value at risk, such as .99.

    The likelihood ratio of the share of days against ``1 - level`` (Kupiec, J.
    Derivatives 3, 1995); chi-squared with one degree of freedom.

    **Raises**: ``ValueError`` for a level outside ``(0, 1)``, no days, or values other
    than 0 and 1.

    >>> from normix.risk import kupiec
    >>> days = [True] * 5 + [False] * 245
    >>> round(kupiec(days, 0.99).pvalue, 4)
    0.1619
    """
    hits = _checked(exceeded, level, least=1)
    p, x, n = 1 - level, hits.sum(), len(hits)
    statistic = 2 * (_log_likelihood(x, n, x / n) - _log_likelihood(x, n, p))
    return _by_chi_squared("Kupiec", statistic, 1)


def christoffersen(
    exceeded: Bool[ArrayLike, " n"], level: float, kind: str = "coverage"
) -> ExceedanceTest:
    """Christoffersen's test that exceedances are as frequent as they should be, and
    that they do not come one after the other.

    - ``exceeded``: of every day, in order, whether the loss exceeded the value at risk,
      shape ``(n,)``.
    - ``level``: that of the value at risk, such as .99.
    - ``kind``: "coverage", of both (two degrees of freedom), or "independence", that
      an exceedance is as likely after one as after none (one degree of freedom).

    Likelihood ratios of a Markov chain of first order (Christoffersen, Int. Econ. Rev.
    39, 1998).

    **Raises**: ``ValueError`` for a level outside ``(0, 1)``, fewer than two days,
    values other than 0 and 1, or another kind.

    >>> from normix.risk import christoffersen
    >>> days = [True] * 5 + [False] * 245
    >>> christoffersen(days, 0.99, "independence").pvalue < 1e-6
    True
    """
    check_option("kind", kind, KINDS)
    hits = _checked(exceeded, level, least=2)
    before, after = hits[:-1], hits[1:]
    statistic = -_log_likelihood(after.sum(), len(after), after.mean())
    for group in (after[before], after[~before]):
        if len(group):
            statistic += _log_likelihood(group.sum(), len(group), group.mean())
    if kind == "independence":
        name = "Christoffersen, independence"
        return _by_chi_squared(name, 2 * statistic, 1)
    both = 2 * statistic + kupiec(exceeded, level).statistic
    return _by_chi_squared("Christoffersen", both, 2)


def _log_likelihood(x: int, n: int, p: float) -> float:
    """Of ``x`` exceedances on ``n`` days with a chance of ``p`` each."""
    from scipy import special  # here, for a quick import of normix

    return float(special.xlogy(x, p) + special.xlog1py(n - x, -p))


def _by_chi_squared(name: str, statistic: float, df: int) -> ExceedanceTest:
    from scipy import special  # here, for a quick import of normix

    statistic = max(statistic, 0.0)  # but for rounding
    return ExceedanceTest(name, statistic, float(special.chdtrc(df, statistic)), df)


def _checked(exceeded: ArrayLike, level: float, least: int) -> np.ndarray:
    if not 0 < level < 1:
        raise ValueError(f"a level must be between 0 and 1, got {level}")
    hits = np.asarray(exceeded)
    if hits.ndim != 1 or len(hits) < least:
        raise ValueError(
            f"exceeded must have shape (n,) with n at least {least}, got {hits.shape}"
        )
    if not np.isin(hits, (0, 1)).all():
        raise ValueError("exceeded must hold True and False, or 1 and 0")
    return hits.astype(bool)
