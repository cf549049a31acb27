"""Tests of whether data are from the law that was fitted to them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, overload

import jax
import numpy as np
from jaxtyping import Array, ArrayLike, Float, PRNGKeyArray

from normix._arrays import check_option
from normix._missing import MISSING, present
from normix._progress import Counter
from normix.diagnostics._rows import rows_of
from normix.diagnostics.statistics import BY_TRANSFORM, STATISTICS, energy
from normix.diagnostics.transforms import TESTABLE, tails_of, transformed
from normix.distributions import MultivariateNormal
from normix.distributions.positive import PositiveFamily
from normix.fitting.em.batch import BatchEMFitter
from normix.fitting.em.outcome import Outcome
from normix.mixtures.charted import n_parameters
from normix.mixtures.marginal import MarginalMixture
from normix.uncertainty.bootstrap import DEFAULT_FITTER, Refit, drawn_like, refits

_NAMES = {
    "ks": "Kolmogorov-Smirnov",
    "ad": "Anderson-Darling",
    "cvm": "Cramér-von Mises",
    "energy": "energy",
}


class GoodnessOfFit(NamedTuple):
    """A test of a law: a small ``pvalue`` speaks against it.

    - ``statistic``: large where data and law differ; ``name`` says which it is.
    - ``draws``: the statistics of the resamples that count, in which ``pvalue`` is the
      share of those at least as large, the data's own one among them.
    - ``n``: how many resamples were drawn; ``n_failed`` of their fits did not converge
      and do not count.
    - ``refitted``: whether each resample was fitted anew.
    """

    statistic: float
    pvalue: float
    name: str
    n: int
    n_failed: int
    draws: Float[np.ndarray, " m"]
    refitted: bool

    def __str__(self) -> str:
        how = "refitted" if self.refitted else "of a law given beforehand"
        failed = f", {self.n_failed} of them failed" if self.n_failed else ""
        return (
            f"{self.name}: statistic {self.statistic:.4g}, p-value {self.pvalue:.3f} "
            f"({self.n} resamples {how}{failed})"
        )


@overload
def test_fit(
    model: Any,
    X: Float[ArrayLike, "n ..."],
    statistic: str = ...,
    n: int = ...,
    *,
    key: PRNGKeyArray,
    refit: bool = ...,
    fitter: BatchEMFitter | None = ...,
    batch: int | None = ...,
    missing: str = ...,
    progress: bool = ...,
) -> GoodnessOfFit: ...


@overload
def test_fit(
    model: Any,
    X: Float[ArrayLike, "n ..."],
    statistic: Sequence[str],
    n: int = ...,
    *,
    key: PRNGKeyArray,
    refit: bool = ...,
    fitter: BatchEMFitter | None = ...,
    batch: int | None = ...,
    missing: str = ...,
    progress: bool = ...,
) -> tuple[GoodnessOfFit, ...]: ...


def test_fit(
    model: Any,
    X: Float[ArrayLike, "n ..."],
    statistic: str | Sequence[str] = "ad",
    n: int = 200,
    *,
    key: PRNGKeyArray,
    refit: bool = True,
    fitter: BatchEMFitter | None = None,
    batch: int | None = None,
    missing: str = "raise",
    progress: bool = False,
) -> GoodnessOfFit | tuple[GoodnessOfFit, ...]:
    """Test that ``X`` is from the family of ``model``, by a parametric bootstrap.

    ``n`` samples are drawn from ``model``, as many observations each as ``X`` has; the
    family is fitted to each as it was to the data, and the statistic computed at that
    fit. So the p-value accounts for the estimated parameters.

    - ``model``: a mixture, a ``MultivariateNormal`` or a positive law of one variable,
      fitted to ``X``.
    - ``X``: the data, shape ``(m, d)``, or ``(m,)`` for one variable.
    - ``statistic``: "ks" (Kolmogorov-Smirnov), "ad" (Anderson-Darling), "cvm"
      (Cramér-von Mises), which compare the values of :func:`pit` with uniform ones
      column by column: of several columns "ks" is the greatest of the columns' own
      statistics, the other two are sums; or "energy", which compares distances between
      observations with those that the model expects, and does not depend on the order
      of the columns. A sequence of them gives a tuple of results, by the same fits.
    - ``n``: resamples; p-values are at least ``1/(n + 1)``.
    - ``key``: a JAX random key.
    - ``refit``: False tests that ``X`` is from ``model`` itself, which was not fitted
      to it.
    - ``fitter``: of mixtures, by default ``BatchEMFitter()``; what the fit of ``model``
      held, this has to hold as well.
    - ``batch``: how many fits one compiled call makes side by side, as of
      :func:`~normix.bootstrap`: all by one call with ``batch=n``. By default 1 on a
      CPU, which compiles nothing, and elsewhere all.
    - ``missing``: as of :meth:`~normix.BatchEMFitter.fit`; draws have the gaps of
      ``X``. Not for "energy".
    - ``progress``: whether to count the fits on standard error.

    For the bootstrap of tests with estimated parameters see Stute, González Manteiga &
    Presedo Quindimil (Metrika 40, 1993); for the energy statistic Székely & Rizzo
    (J. Stat. Plan. Inference 143, 2013).

    **Raises**: ``ValueError`` for an unknown statistic, a model or data that do not
    fit, no more observations than the model has parameters, ``n`` less than 1, "energy"
    of missing entries, of a positive law or of one without a mean, and where no fit
    converged.

    >>> import jax
    >>> import numpy as np
    >>> import normix
    >>> from normix.diagnostics import test_fit
    >>> X = np.random.default_rng(0).standard_t(4, 300)
    >>> fit = normix.UnivariateNormalInverseGamma.default_init(X).fit(X)
    >>> result = test_fit(fit.model, X, "ad", 50, key=jax.random.key(0))
    >>> result.pvalue > 0.05
    True
    """
    names = (statistic,) if isinstance(statistic, str) else tuple(statistic)
    for name in names:
        check_option("statistic", name, STATISTICS)
    check_option("missing", missing, MISSING)
    if n < 1:
        raise ValueError(f"n must be at least 1, got {n}")
    rows, missing = _checked(model, X, names, refit, missing)
    asked = DEFAULT_FITTER if fitter is None else fitter
    if batch is None:
        batch = 1 if jax.default_backend() == "cpu" else n
    if batch < 1:
        raise ValueError(f"batch must be at least 1, got {batch}")
    here = _statistics(model, rows, names)
    draws, what = [], "fits" if refit else "samples"
    with Counter(n, what, shown=progress) as counter:
        samples = _samples(model, rows, n, key, refit, asked, batch, missing)
        for done, sample in enumerate(samples, start=1):
            if sample.outcome == Outcome.CONVERGED:
                draws.append(_statistics(sample.model, np.asarray(sample.rows), names))
            failed = done - len(draws)
            counter.tell(done, f", {failed} failed" if refit else "")
    if not draws:
        raise ValueError("no fit to resampled data converged")
    found = tuple(
        GoodnessOfFit(
            statistic=value,
            pvalue=float((1 + (drawn >= value).sum()) / (1 + len(drawn))),
            name=_NAMES[name],
            n=n,
            n_failed=n - len(draws),
            draws=drawn,
            refitted=refit,
        )
        for name, value, drawn in zip(names, here, np.array(draws).T, strict=True)
    )
    return found[0] if isinstance(statistic, str) else found


# By its name it is no test of a test suite.
test_fit.__test__ = False  # pyright: ignore[reportFunctionMemberAccess]


def _checked(
    model: Any, X: ArrayLike, names: tuple[str, ...], refit: bool, missing: str
) -> tuple[np.ndarray, str]:
    """The rows of the data, and "em" where there are gaps in them."""
    if not isinstance(model, TESTABLE):
        transformed(model, X, missing=False)  # raises
    if isinstance(model, PositiveFamily):
        rows, parameters = np.asarray(X, float), len(model.natural_params())
        if rows.ndim != 1 or not (np.isfinite(rows).all() and (rows > 0).all()):
            raise ValueError(
                f"a {type(model).__name__} needs positive observations of shape (n,)"
            )
        gaps = False
    else:
        rows = rows_of(model, X, missing=missing != "raise")
        gaps = bool(np.isnan(rows).any())
        if gaps:
            kept = present(rows, None, missing)
            rows, gaps = np.asarray(kept.rows), kept.has_gaps
        if isinstance(model, MarginalMixture):
            parameters = n_parameters(model.joint)
        else:
            parameters = model.d + model.d * (model.d + 1) // 2
    if refit and len(rows) <= parameters:
        raise ValueError(
            f"X has {len(rows)} observations; a test of a {type(model).__name__} with "
            f"{parameters} parameters needs more than these"
        )
    if "energy" in names:
        if gaps:
            raise ValueError('"energy" needs data without missing entries')
        if isinstance(model, PositiveFamily):
            raise ValueError(
                '"energy" is for mixtures and normal laws; for a '
                f'{type(model).__name__} use "ad"'
            )
        if not np.isfinite(np.asarray(model.mean())).all():
            raise ValueError('"energy" needs a law that has a mean')
    return rows, "em" if gaps else "raise"


def _statistics(model: Any, rows: np.ndarray, names: tuple[str, ...]) -> list[float]:
    flat = rows[:, None] if rows.ndim == 1 else rows
    found, tails = [], None
    for name in names:
        if name == "energy":
            found.append(energy(model, flat))
            continue
        if tails is None:
            if isinstance(model, PositiveFamily):
                _, *tails = transformed(model, rows, missing=False)
            else:
                tails = tails_of(model, flat)
        found.append(BY_TRANSFORM[name](*tails))
    return found


def _samples(
    model: Any,
    rows: np.ndarray,
    n: int,
    key: PRNGKeyArray,
    refit: bool,
    fitter: BatchEMFitter,
    batch: int,
    missing: str,
) -> Iterator[Refit]:
    """Samples from the model, and the models fitted to them."""
    mixture = isinstance(model, MarginalMixture)
    data: Any = rows
    if mixture and model._axes == 1:
        data = rows[:, 0]
    if mixture and refit:
        how = {"kind": "parametric", "batch": batch, "missing": missing}
        yield from refits(model, data, n, key=key, fitter=fitter, **how)
        return
    for one in jax.random.split(key, n):
        drawn: Array | np.ndarray = drawn_like(one, model, data)
        fitted = model
        if refit and isinstance(model, MultivariateNormal | PositiveFamily):
            fitted = type(model).fit_mle(drawn)
        yield Refit(np.asarray(drawn), fitted, int(Outcome.CONVERGED))
