"""Which family? Fits side by side, and likelihood-ratio tests of nested models."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import ArrayLike, Float

from normix._arrays import check_option
from normix.fitting.em.batch import BatchEMFitter
from normix.fitting.em.outcome import AT_REST, Outcome
from normix.fitting.em.poles import caveat
from normix.fitting.em.result import EMResult
from normix.mixtures.families import FAMILIES, start
from normix.mixtures.generalized_hyperbolic import JointGeneralizedHyperbolic
from normix.mixtures.normal_inverse_gaussian import JointNormalInverseGaussian
from normix.uncertainty.summary import html_table, text_table


class Compared(NamedTuple):
    """One of the fits of a :class:`Comparison`."""

    family: str
    symmetric: bool
    factors: int  # 0 for a full dispersion
    result: EMResult

    @property
    def label(self) -> str:
        """The class of the model, and what else tells it from the others."""
        parts = [type(self.result.model).__name__]
        if self.factors:
            parts.append(f"r={self.factors}")
        if self.symmetric:
            parts.append("symmetric")
        return ", ".join(parts)


class Comparison(NamedTuple):
    """Fits of several families and forms to the same data, as a table.

    ``fits``: as they were made; :meth:`best` is the one with the least criterion.
    """

    fits: tuple[Compared, ...]

    def best(self, criterion: str = "bic") -> EMResult:
        """The fit with the least "aic" or "bic", of those that may be at a maximum.

        Those are the ones that converged, or had no more iterations.

        **Raises**: ``ValueError`` for another criterion, or where none ended so.
        """
        check_option("criterion", criterion, ("aic", "bic"))
        place = self._best(criterion)
        if place is None:
            raise ValueError("none of the fits ended at a maximum")
        return self.fits[place].result

    def _best(self, criterion: str) -> int | None:
        values = [
            float(getattr(fit.result, criterion))
            if fit.result.outcome in AT_REST
            else np.inf
            for fit in self.fits
        ]
        place = int(np.argmin(values))
        return place if np.isfinite(values[place]) else None

    def _cells(self) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
        header = "", "log-lik.", "par.", "AIC", "BIC", "ended", "seconds"
        marked = {name: self._best(name) for name in ("aic", "bic")}
        rows = []
        for k, fit in enumerate(self.fits):
            result = fit.result
            ended = Outcome(int(result.outcome)).word
            ended += f", {result.boundary}" if result.boundary else ""
            ended += ", local" if _is_local(result) else ""
            aic, bic = (
                f"{float(getattr(result, name)):.2f}" + (" *" if at == k else "  ")
                for name, at in marked.items()
            )
            total = f"{float(result.n_obs * result.log_likelihood):.3f}"
            seconds = f"{float(result.elapsed_time):.2f}"
            size = str(result.n_parameters)
            rows.append((fit.label, total, size, aic, bic, ended, seconds))
        return header, rows

    def __str__(self) -> str:
        header, rows = self._cells()
        lines = text_table(header, rows)
        rule = "-" * len(lines[0])
        return "\n".join([lines[0], rule, *lines[1:], *self._notes()])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        notes = "".join(f"<p>{note}</p>" for note in self._notes())
        return html_table(*self._cells()) + notes

    def _notes(self) -> list[str]:
        notes = ["* the least"]
        if any(_is_local(fit.result) for fit in self.fits):
            notes.append(
                "local: beside this maximum the likelihood is unbounded, see the "
                "message of the fit"
            )
        return notes


def _is_local(result: EMResult) -> bool:
    """Whether equal observations make the likelihood unbounded elsewhere."""
    return bool(caveat(result.model, result.bounded, result.ties))


def compare(
    X: ArrayLike,
    families: Iterable[str] = ("nig", "vg", "t", "gh"),
    symmetric: Sequence[bool] = (False, True),
    factors: Sequence[int] = (0,),
    *,
    weights: Float[ArrayLike, " n"] | None = None,
    fitter: BatchEMFitter | None = None,
    missing: str = "raise",
) -> Comparison:
    """Fit every family, with and without skewness and in every form, to ``X``.

    - ``X``: shape ``(n, d)``, or ``(n,)`` for laws of one variable.
    - ``families``: of "nig", "vg", "t" and "gh".
    - ``symmetric``: whether γ is held at 0; ``(False, True)`` for both.
    - ``factors``: numbers of factors, 0 for a full dispersion.
    - ``weights``: shape ``(n,)``; they count the rows.
    - ``fitter``: with the options of all fits; by default ``BatchEMFitter()``.
    - ``missing``: as of :meth:`BatchEMFitter.fit`.

    Every fit begins at ``default_init``, whether or not it is symmetric. A generalized
    hyperbolic fit that ends below one of the families within begins once more there.
    Fits of a family with less freedom may be compared by :func:`lr_test`.

    **Raises**: ``ValueError`` for unknown families and data that cannot be fitted.

    >>> import numpy as np
    >>> import normix
    >>> X = np.random.default_rng(0).standard_t(4, 500)
    >>> table = normix.compare(X, ("nig", "t"), symmetric=(True,))
    >>> [fit.label for fit in table.fits][1]
    'UnivariateNormalInverseGamma, symmetric'
    """
    names = [families] if isinstance(families, str) else list(families)
    unknown = sorted(set(names) - set(FAMILIES))
    if unknown:
        raise ValueError(
            f"unknown families {', '.join(unknown)}; there are {', '.join(FAMILIES)}"
        )
    chosen = BatchEMFitter() if fitter is None else fitter
    fits = []
    for name in names:
        for r in factors:
            begin = start(name, X, r, missing=missing)
            for held in symmetric:
                asked = dataclasses.replace(chosen, symmetric=bool(held))
                result = asked.fit(begin, X, weights=weights, missing=missing)
                like = bool(held), int(r)
                if name == "gh":
                    result = _not_below(result, fits, like, asked, X, weights, missing)
                fits.append(Compared(name, *like, result))
    return Comparison(tuple(fits))


def _not_below(
    found: EMResult,
    fits: Sequence[Compared],
    like: tuple[bool, int],
    fitter: BatchEMFitter,
    X: ArrayLike,
    weights: ArrayLike | None,
    missing: str,
) -> EMResult:
    """A generalized hyperbolic fit no worse than those within it, of the same form."""
    within = [
        fit.result
        for fit in fits
        if (fit.symmetric, fit.factors) == like and fit.result.outcome in AT_REST
    ]
    best = max(within, key=lambda fit: float(fit.log_likelihood), default=None)
    if best is None or float(best.log_likelihood) <= float(found.log_likelihood):
        return found
    begin = best.model.to_generalized_hyperbolic()
    again = fitter.fit(begin, X, weights=weights, missing=missing)
    higher = float(again.log_likelihood) > float(found.log_likelihood)
    return again if higher else found


class LikelihoodRatio(NamedTuple):
    """A likelihood-ratio test; ``note`` says where its law is not the usual one."""

    statistic: float
    df: int
    pvalue: float
    note: str = ""


def lr_test(restricted: EMResult, full: EMResult) -> LikelihoodRatio:
    """Test a model against one with more freedom, fitted to the same data.

    Nested are: the same family and form where less was held; and a normal inverse
    Gaussian, variance gamma or skew t fit within a generalized hyperbolic one.
    ``statistic`` is twice the difference of the log-likelihoods, to be compared with
    the χ² law of ``df``, the difference in parameters (Wilks, Ann. Math. Statist. 9,
    1938). The variance gamma and skew t laws are on the boundary of the generalized
    hyperbolic ones: there the p-value is the mean of those with ``df`` and ``df - 1``
    (Self & Liang, J. Am. Stat. Assoc. 82, 1987), and ``note`` says so. That is a guide:
    of a skew t law of few moments the statistic is 0 less often than half of the time.

    **Raises**: ``ValueError`` for models that are not nested, fits to other numbers of
    observations, and a full fit below the restricted one, which is no maximum.

    >>> import numpy as np
    >>> import normix
    >>> X = np.random.default_rng(0).standard_t(4, 500)
    >>> free, symmetric = (
    ...     fit.result for fit in normix.compare(X, ("nig",)).fits
    ... )
    >>> normix.lr_test(symmetric, free).df
    1
    """
    from scipy import special  # here, for a quick import of normix

    note = _nested(restricted, full)
    if float(restricted.n_obs) != float(full.n_obs):
        raise ValueError(
            f"the fits are of {restricted.n_obs:g} and {full.n_obs:g} observations"
        )
    df = full.n_parameters - restricted.n_parameters
    gain = float(full.n_obs) * float(full.log_likelihood - restricted.log_likelihood)
    if not gain > -0.01:
        raise ValueError(
            f"the full model is {-gain:.3g} nats below the restricted one, and so not "
            "at its maximum: begin its fit at the restricted model"
        )
    statistic = max(2 * gain, 0.0)
    pvalue = float(special.chdtrc(df, statistic))
    if note:
        below = float(special.chdtrc(df - 1, statistic)) if df > 1 else 0.0
        pvalue = 0.5 * (pvalue + below)
    return LikelihoodRatio(statistic, df, pvalue, note)


def _nested(restricted: EMResult, full: EMResult) -> str:
    """A note on the law of the statistic; ``ValueError`` for what is not nested."""
    one, other = restricted.model, full.model
    small, large = type(one.joint), type(other.joint)
    forms = type(one.joint.dispersion) is type(other.joint.dispersion)
    same = forms and one.joint.dispersion.rank == other.joint.dispersion.rank
    held = set(full.held) <= set(restricted.held)
    within = small is large and set(full.held) < set(restricted.held)
    if large is JointGeneralizedHyperbolic and small is not large:
        within = held and "p" not in full.held
    if not (same and within and one.d == other.d):
        raise ValueError(
            f"a {type(one).__name__} with {_in_words(restricted)} is not nested in a "
            f"{type(other).__name__} with {_in_words(full)}"
        )
    if small in (large, JointNormalInverseGaussian):
        return ""
    return (
        "the restricted family is on the boundary of the full one: the p-value is the "
        "mean of those with df and df - 1 degrees of freedom"
    )


def _in_words(fit: EMResult) -> str:
    return f"{', '.join(fit.held)} held" if fit.held else "nothing held"
