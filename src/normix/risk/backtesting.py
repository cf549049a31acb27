"""Forecasts of risk on days that the fits have not seen, and tests of them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Int

from normix._arrays import as_floating, check_option
from normix._columns import column_names
from normix._compile import of_few
from normix._missing import MISSING
from normix.fitting.em.batch import BatchEMFitter
from normix.fitting.em.outcome import Outcome
from normix.mixtures.joint import JointNormalMixture
from normix.mixtures.losses import standard, value_and_shortfall
from normix.mixtures.marginal import MarginalMixture
from normix.mixtures.model_steps import of_vector
from normix.risk.exceedances import ExceedanceTest, christoffersen, kupiec
from normix.risk.portfolio import weights_of
from normix.risk.rolling import OF_RETURN, Schedule, rolled
from normix.special.mixture_tails import mixture_log_tails
from normix.uncertainty.summary import Summary

if TYPE_CHECKING:
    import pandas as pd

_PIECE = 128  # days that one program takes
# Where the tail beyond the value at risk is known for simulated losses, in units of
# the mean excess: densely at first, and so far out that a power's tail ends there.
_PLACES = np.expm1(np.linspace(0.0, np.log(100.0), 24))
_SIMULATED = 2**20  # days that are simulated at once


@dataclass(frozen=True, eq=False)
class Backtest:
    """Forecasts of one day's loss of a portfolio, and what came.

    - ``returns``: of the days foretold, shape ``(n,)``; NaN where one is missing.
    - ``index``: names of these days: the index of a data frame, or row numbers.
    - ``outcomes``: the :class:`~normix.Outcome` of the fit behind each forecast.
    - ``family``: the class of the joint law that was fitted.
    - ``complete``: False where Ctrl-C came before the last day.

    Losses are ``-returns``; levels are probabilities such as .99.
    """

    returns: Float[np.ndarray, " n"]
    index: np.ndarray
    outcomes: Int[np.ndarray, " n"]
    family: type[JointNormalMixture]
    complete: bool
    _laws: Float[np.ndarray, "n 6"]
    _measured: dict[float, np.ndarray] = field(default_factory=dict)

    def law(self, k: int) -> MarginalMixture:
        """The law of the return that was foretold for the ``k``-th day."""
        vector = jnp.asarray(self._laws[k])
        joint = of_vector(vector, OF_RETURN, self.family)
        return MarginalMixture._forms[self.family, "univariate"](joint)

    def value_at_risk(self, level: float) -> Float[np.ndarray, " n"]:
        """The value at risk foretold for each day.

        **Raises**: ``ValueError`` for a level outside ``(0, 1)``.
        """
        return self._measures(level)[:, 0]

    def expected_shortfall(self, level: float) -> Float[np.ndarray, " n"]:
        """The expected shortfall foretold for each day; infinite where it is.

        **Raises**: ``ValueError`` for a level outside ``(0, 1)``.
        """
        return self._measures(level)[:, 1]

    def pit(self) -> Float[np.ndarray, " n"]:
        """What the law of each day gave the return that came: ``P(X <= x)``.

        Independent and uniform where the forecasts are right; NaN where a return is
        missing.
        """
        return _by_day(_probability, self.family, self._laws, self.returns)

    def exceeded(self, level: float) -> np.ndarray:
        """Of each day whether the loss exceeded the value at risk.

        **Raises**: ``ValueError`` for a level outside ``(0, 1)``.
        """
        return -self.returns > self.value_at_risk(level)

    def kupiec(self, level: float) -> ExceedanceTest:
        """The test :func:`kupiec` on the days whose return is known.

        **Raises**: ``ValueError`` for a level outside ``(0, 1)``.
        """
        return kupiec(self._seen(self.exceeded(level)), level)

    def christoffersen(self, level: float, kind: str = "coverage") -> ExceedanceTest:
        """The test :func:`christoffersen` on the days whose return is known.

        **Raises**: ``ValueError`` for a level outside ``(0, 1)`` or another kind.
        """
        return christoffersen(self._seen(self.exceeded(level)), level, kind)

    def acerbi_szekely(
        self, level: float, *, test: int = 2, n: int = 10_000, seed: int = 0
    ) -> ExceedanceTest:
        r"""A test of the expected shortfall (Acerbi & Szekely, Risk, December 2014).

        - ``test``: 2, of the frequency and size of exceedances at once,
          :math:`Z_2 = 1 - \sum_t L_t I_t/(T (1 - \text{level})\, ES_t)`; or 1, of their
          size alone, :math:`Z_1 = 1 - \sum_t (L_t I_t/ES_t)/\sum_t I_t`, with ``L_t``
          the loss of day t and ``I_t`` 1 where it exceeded the value at risk.
        - ``n``: samples that are drawn from the laws foretold, for the p-value.
        - ``seed``: of these draws.

        Negative values say that risk was underestimated; the p-value is the
        probability of a value as low, were the forecasts right. Of test 1 it is given
        that some day exceeds; without such a day its statistic and p-value are NaN.

        **Raises**: ``ValueError`` for a level outside ``(0, 1)``, another test, ``n``
        less than 1, and where the expected shortfall of a day is infinite or not
        positive.
        """
        if test not in (1, 2):
            raise ValueError(f"test must be 1 or 2, got {test!r}")
        if n < 1:
            raise ValueError(f"n must be at least 1, got {n}")
        known = ~np.isnan(self.returns)
        if not known.any():
            raise ValueError("no return of the days foretold is known")
        untestable = self._untestable(level)
        if len(untestable):
            k = untestable[0]
            raise ValueError(
                "the test needs a positive, finite expected shortfall on each day; "
                f"that of {self.index[k]} is {self.expected_shortfall(level)[k]:g}"
            )
        sizes = -self.returns[known] / self.expected_shortfall(level)[known]
        exceeded = self.exceeded(level)[known]
        draws = self._drawn(known, level, n, seed)
        count, total = np.append(draws, [[exceeded.sum()], [sizes[exceeded].sum()]], 1)
        if test == 2:
            z = 1 - total / (len(sizes) * (1 - level))
        else:
            with np.errstate(invalid="ignore"):
                z = 1 - total / count
        drawn, statistic = z[:-1][~np.isnan(z[:-1])], float(z[-1])
        name = f"Acerbi-Szekely, test {test}"
        if np.isnan(statistic) or not len(drawn):
            return ExceedanceTest(name, np.nan, np.nan, None)
        # With the observed one among the samples, p-values are valid for any n.
        pvalue = (1 + (drawn <= statistic).sum()) / (1 + len(drawn))
        return ExceedanceTest(name, statistic, float(pvalue), None)

    def summary(self, levels: Sequence[float] = (0.95, 0.975, 0.99)) -> Summary:
        """A table of exceedances and of p-values of the tests; text when printed.

        "ES" is Acerbi & Szekely's test 2, one-sided; "none" where the expected
        shortfall of a day is infinite or not positive.

        **Raises**: ``ValueError`` for a level outside ``(0, 1)``.
        """
        n = int((~np.isnan(self.returns)).sum())
        rows = []
        for level in levels:
            exceeded = int(self.exceeded(level).sum())
            told = [
                f"{test(level).pvalue:.3f}"
                for test in (self.kupiec, self.christoffersen)
            ]
            of_size = "none"
            if not len(self._untestable(level)):
                of_size = f"{self.acerbi_szekely(level).pvalue:.3f}"
            expected = f"{n * (1 - level):.1f}"
            rows.append((f"{level:g}", expected, f"{exceeded}", *told, of_size))
        failed = int((self.outcomes != Outcome.CONVERGED).sum())
        facts = (
            ("days", f"{n}"),
            ("from", f"{self.index[0]}"),
            ("fits not converged", f"{failed}"),
            ("to", f"{self.index[-1]}"),
        )
        notes = ["p-values: small ones speak against the forecasts."]
        if not self.complete:
            notes.append("Interrupted: later days are not in the table.")
        header = ("level", "expected", "exceeded", "Kupiec", "Christoffersen", "ES")
        title = "Backtest of value at risk and expected shortfall"
        return Summary(title, facts, header, tuple(rows), tuple(notes))

    def __str__(self) -> str:
        return str(self.summary())

    def to_frame(self, levels: Sequence[float] = (0.95, 0.975, 0.99)) -> pd.DataFrame:
        """A data frame of pandas: return, PIT, and for each level both measures.

        **Raises**: ``ValueError`` for a level outside ``(0, 1)``.
        """
        import pandas as pd

        table = {"return": self.returns, "pit": self.pit()}
        for level in levels:
            found = self._measures(level)
            table[f"VaR {level:g}"], table[f"ES {level:g}"] = found.T
        return pd.DataFrame(table, index=pd.Index(self.index))

    def _measures(self, level: float) -> np.ndarray:
        if not 0 < level < 1:
            raise ValueError(f"a level must be between 0 and 1, got {level}")
        level = float(level)
        if level not in self._measured:
            levels = np.full(len(self._laws), level)
            found = _by_day(_both, self.family, self._laws, levels)
            self._measured[level] = found
        return self._measured[level]

    def _untestable(self, level: float) -> np.ndarray:
        """Days with a return whose expected shortfall is infinite or not positive."""
        shortfall = self.expected_shortfall(level)
        fine = np.isfinite(shortfall) & (shortfall > 0)
        return np.flatnonzero(~fine & ~np.isnan(self.returns))

    def _drawn(self, known: np.ndarray, level: float, n: int, seed: int) -> np.ndarray:
        """Exceedances of ``n`` samples of the days ``known``: their number, and the sum
        of their losses in units of the expected shortfall.
        """
        laws = self._laws[known]
        value, shortfall = self._measures(level)[known].T
        losses = value[:, None] + (shortfall - value)[:, None] * _PLACES
        every = np.repeat(laws, len(_PLACES), axis=0)
        below = _by_day(_probability, self.family, every, -losses.ravel())
        log_p = np.log(below.reshape(losses.shape) / (1 - level))
        return _tail_sums(losses / shortfall[:, None], log_p, 1 - level, n, seed)

    def _seen(self, of_days: np.ndarray) -> np.ndarray:
        return of_days[~np.isnan(self.returns)]


def backtest(
    model: MarginalMixture,
    X: Float[ArrayLike, "n d"],
    weights: Float[ArrayLike, " d"] | Mapping[Any, float] | None = None,
    *,
    window: int = 250,
    refit: int = 1,
    expanding: bool = False,
    fitter: BatchEMFitter | None = None,
    missing: str = "raise",
    columns: Sequence[object] | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    progress: bool = False,
) -> Backtest:
    """Fit to the days before each day, foretell its loss, and compare.

    - ``model``: of the family and form to fit; the first fit starts from it, such as
      ``NormalInverseGaussian.default_init(X[:250])``, every other from the one before.
      A fit that does not converge is done again from ``default_init``.
    - ``X``: returns, a row a day in order, shape ``(n, d)``, or ``(n,)`` for a
      univariate model; a data frame's index and columns are used.
    - ``weights``: of the portfolio, shape ``(d,)``, or by name as of
      :class:`Portfolio`; by default ``1/d`` each.
    - ``window``: how many days before it a day is foretold from. The first ``window``
      rows are not foretold.
    - ``refit``: fit every so many days; the days between have the last law.
    - ``expanding``: fit to all days before, not only ``window`` of them.
    - ``fitter``: by default ``BatchEMFitter(tol=1e-4)``.
    - ``missing``: as of :meth:`~normix.BatchEMFitter.fit`.
    - ``columns``: names of the columns, where ``X`` has none.
    - ``checkpoint``: a file in which the work is saved every few seconds; the same
      call goes on from there, to the same result.
    - ``progress``: whether to count the days on standard error.

    Ctrl-C returns the days done.

    **Raises**: ``ValueError`` for data that do not fit the model, fewer rows than
    ``window + 1``, numbers that are not positive, weights as of :class:`Portfolio`, and
    a file that is the checkpoint of other work.

    >>> from normix import UnivariateNormalInverseGaussian
    >>> from normix.datasets import load_sp500_returns
    >>> from normix.risk import backtest
    >>> X = load_sp500_returns(["XOM"]).values[:520, 0]
    >>> start = UnivariateNormalInverseGaussian.default_init(X[:500])
    >>> found = backtest(start, X, window=500, refit=10)
    >>> found.value_at_risk(0.99).shape
    (20,)
    """
    check_option("missing", missing, MISSING)
    for name, value in (("window", window), ("refit", refit)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
    names = column_names(X) if columns is None else list(columns)
    index = getattr(X, "index", None) if column_names(X) is not None else None
    rows = np.asarray(model._rows(X, model.d, missing=missing != "raise"))
    n, d = rows.shape
    if n <= window:
        raise ValueError(
            f"X has {n} rows: a window of {window} leaves no day to foretell"
        )
    if weights is None:
        w = np.full(d, 1 / d)
    else:
        w = np.asarray(weights_of(weights, d, names))
    index = np.arange(n) if index is None else np.asarray(index)
    schedule = Schedule(int(window), int(refit), bool(expanding))
    asked = BatchEMFitter(tol=1e-4) if fitter is None else fitter
    path = None if checkpoint is None else Path(checkpoint)
    how = schedule, asked, missing, path, progress
    laws, outcomes = rolled(model, rows, w, *how)
    # Columns without weight may be missing.
    held = w != 0
    returns = as_floating(rows[window:][:, held] @ w[held])
    m = len(laws)
    days = slice(window, window + m)
    return Backtest(
        returns[:m], index[days], outcomes, type(model.joint), m == n - window, laws
    )


# -- all days at once ----------------------------------------------------------------


def _of_day(family: type[JointNormalMixture], vector: Array) -> JointNormalMixture:
    return family.of_law(OF_RETURN.unpack(vector))


@of_few("family")
def _both(laws: Array, levels: Array, family: type[JointNormalMixture]) -> Array:
    """Value at risk and expected shortfall."""

    def one(vector, level):
        return jnp.stack(value_and_shortfall(_of_day(family, vector), level))

    return jax.vmap(one)(laws, levels)


@of_few("family")
def _probability(laws: Array, x: Array, family: type[JointNormalMixture]) -> Array:
    def one(vector, x):
        law, mu, sd = standard(_of_day(family, vector))
        return jnp.exp(mixture_log_tails(*law, (x - mu) / sd)[0])

    return jax.vmap(one)(laws, x)


def _by_day(function: Any, family, laws: np.ndarray, values: np.ndarray) -> np.ndarray:
    """``function`` of each law and value, in pieces of one size."""
    n = len(laws)
    chosen = np.arange(-(-n // _PIECE) * _PIECE).clip(max=n - 1)
    found = [
        np.asarray(function(jnp.asarray(laws[k]), jnp.asarray(values[k]), family))
        for k in chosen.reshape(-1, _PIECE)
    ]
    return np.concatenate(found)[:n]


def _tail_sums(
    sizes: np.ndarray, log_p: np.ndarray, chance: float, n: int, seed: int
) -> np.ndarray:
    """Of ``n`` samples of all days the number of exceedances, and the sum of sizes.

    ``log_p``: of an exceedance on each day the log-probability that it is greater than
    each of ``sizes``, in which it is nearly linear.
    """
    days, points = sizes.shape
    rng = np.random.default_rng(seed)
    counts, sums = np.zeros(n), np.zeros(n)
    piece = max(1, _SIMULATED // days)
    for begin in range(0, n, piece):
        u = rng.random((min(piece, n - begin), days))
        sample, day = np.nonzero(u < chance)
        at = np.log(u[sample, day] / chance)
        left = (log_p[day, 1:-1] > at[:, None]).sum(axis=1)
        low, high = log_p[day, left], log_p[day, left + 1]
        share = (low - at) / (low - high)
        size = (1 - share) * sizes[day, left] + share * sizes[day, left + 1]
        counts[begin : begin + len(u)] = np.bincount(sample, minlength=len(u))
        sums[begin : begin + len(u)] = np.bincount(sample, size, minlength=len(u))
    return np.stack([counts, sums])
