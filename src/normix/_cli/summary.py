"""A fit in words and tables."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from normix._missing import normal_moments
from normix.fitting.em.batch import BatchEMFitter
from normix.fitting.em.result import EMResult
from normix.mixtures.marginal import MarginalMixture
from normix.uncertainty.bootstrap import bootstrap
from normix.uncertainty.summary import text_table
from normix.utils._text import words

_MOST_CORRELATED = 12  # a larger matrix does not fit in a terminal


class Score(NamedTuple):
    """How well a model fits, with the criteria of Akaike and Schwarz."""

    log_likelihood: float
    parameters: int
    n: int

    @property
    def aic(self) -> float:
        return 2 * self.parameters - 2 * self.log_likelihood

    @property
    def bic(self) -> float:
        return math.log(self.n) * self.parameters - 2 * self.log_likelihood


@jax.jit
def standardised(model: MarginalMixture) -> MarginalMixture:
    """The same law with ``E[Y] = 1``, or as it is where that mean is not finite."""
    mean = model.joint.subordinator.mean()
    scale = jnp.where(jnp.isfinite(mean), 1 / mean, 1.0)
    return type(model)(model.joint.rescaled(scale))


def normal_score(X: Float[np.ndarray, "n d"]) -> Score:
    """The normal law of maximum likelihood."""
    n, d = X.shape
    if np.isnan(X).any():
        return Score(normal_moments(X).log_likelihood, d + d * (d + 1) // 2, n)
    log_det = np.linalg.slogdet(np.atleast_2d(np.cov(X, rowvar=False, bias=True)))[1]
    log_likelihood = -0.5 * n * (d * math.log(2 * math.pi) + float(log_det) + d)
    return Score(log_likelihood, d + d * (d + 1) // 2, n)


def summary(result: EMResult, X: Float[np.ndarray, "n d"], names: Sequence[str]) -> str:
    """What there is to say about a fit to the columns ``names`` of ``X``."""
    model = result.model
    n = len(X)
    fitted = Score(n * float(result.log_likelihood), result.n_parameters, n)
    parts = [_parameters(model, names), _mixing(model)]
    if 1 < model.d <= _MOST_CORRELATED:
        parts.append(_correlations(model, names))
    parts.append(_scores(words(type(model).__name__), fitted, normal_score(X)))
    return "\n\n".join(parts)


def intervals(
    result: EMResult,
    X: Float[np.ndarray, "n d"],
    names: Sequence[str],
    level: float,
    resamples: int | None,
) -> str:
    """Estimates with standard errors and intervals, by the information or resamples."""
    found = result.inference(X, columns=names)
    if resamples is None:
        return str(found.summary(1 - level))
    fitter = BatchEMFitter(symmetric="gamma" in result.held)
    drawn = bootstrap(
        result.model,
        X,
        resamples,
        key=jax.random.key(0),
        fitter=fitter,
        progress=True,
        missing="em" if result.missing_share else "raise",
    )
    ends = drawn.conf_int(found.of_model, alpha=1 - level)
    errors = np.asarray(drawn.std(found.of_model))
    rows = [
        (name, *(f"{value:.5g}" for value in (estimate, error, *pair)))
        for name, estimate, error, pair in zip(
            found.names, found.params, errors, ends, strict=True
        )
    ]
    share = 50 * (1 - level)
    header = "", "estimate", "std err", f"{share:g}%", f"{100 - share:g}%"
    failed = f"{drawn.n_failed} of {resamples} fits failed"
    return "\n".join([*text_table(header, rows), f"By resampled rows; {failed}."])


@jax.jit
def _columns(model: MarginalMixture):
    variances = model.joint.dispersion.variances()
    second = jnp.diagonal(model.cov())
    return (
        model.mu,
        model.gamma,
        jnp.sqrt(variances),
        model.mean(),
        jnp.sqrt(second),
        model.skewness(),
        model.kurtosis(),
    )


def _parameters(model: MarginalMixture, names: Sequence[str]) -> str:
    heads = ("mu", "gamma", "sigma", "mean", "sd", "skew", "ex.kurt")
    columns = [np.asarray(column) for column in _columns(model)]
    # All but the last two are in the data's units: five digits of the smallest sd, or
    # of sigma where one is infinite.
    sds = columns[4] if np.isfinite(columns[4]).all() else columns[2]
    smallest = float(sds.min())
    units = math.floor(math.log10(smallest)) if smallest > 0 else 0
    digits = [min(max(4 - units, 0), 12)] * 5 + [2, 2]
    cells = [
        [f"{value:.{k}f}" for value in column]
        for column, k in zip(columns, digits, strict=True)
    ]
    return _table(["", *heads], [names, *cells])


def _mixing(model: MarginalMixture) -> str:
    subordinator = model.joint.subordinator
    values = ", ".join(
        f"{field.name} = {float(getattr(subordinator, field.name)):.6g}"
        for field in dataclasses.fields(subordinator)
    )
    law = type(subordinator).__name__
    return (
        "X = mu + gamma Y + sqrt(Y) L Z, with L L' = Sigma and sigma the square roots\n"
        f"of its diagonal, Y ~ {law}({values}), Z standard normal"
    )


def _correlations(model: MarginalMixture, names: Sequence[str]) -> str:
    sigma = np.asarray(model.sigma())
    scale = np.sqrt(np.diagonal(sigma))
    correlation = sigma / np.outer(scale, scale)
    short = [_cut(name, 10) for name in names]
    columns = [
        [f"{x:.2f}" if i >= j else "" for i, x in enumerate(column)]
        for j, column in enumerate(correlation)
    ]
    return "Correlations in Sigma\n" + _table(["", *short], [short, *columns])


def _scores(name: str, fitted: Score, normal: Score) -> str:
    rows = ["log-likelihood", "per row", "parameters", "AIC", "BIC"]
    columns = [
        [
            f"{score.log_likelihood:.4f}",
            f"{score.log_likelihood / score.n:.6f}",
            f"{score.parameters}",
            f"{score.aic:.2f}",
            f"{score.bic:.2f}",
        ]
        for score in (fitted, normal)
    ]
    return _table(["", name, "normal"], [rows, *columns])


def _table(heads: Sequence[str], columns: Sequence[Sequence[str]]) -> str:
    """Columns under their heads: the first flush left, the others flush right."""
    shown = [
        [_cut(head, 24), *cells] for head, cells in zip(heads, columns, strict=True)
    ]
    widths = [max(map(len, column)) for column in shown]
    lines = [
        "  ".join(
            cell.ljust(width) if j == 0 else cell.rjust(width)
            for j, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in zip(*shown, strict=True)
    ]
    return "\n".join(lines)


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 2] + ".."
