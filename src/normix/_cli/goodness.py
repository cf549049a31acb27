"""How well a law fits data, in words and tables."""

from __future__ import annotations

import sys
from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from normix.diagnostics import test_fit
from normix.distributions.positive import PositiveFamily
from normix.fitting.em.batch import BatchEMFitter
from normix.mixtures.marginal import MarginalMixture
from normix.mixtures.univariate import UnivariateNormalMixture
from normix.uncertainty.summary import text_table
from normix.utils._text import words

_REFITTED = """\
P-values count the estimation: the model was fitted anew to each of {n} samples of its
own, as is right if it was fitted to these data. If it has not seen them, they are too
small: say --no-refit."""

_GIVEN = """\
P-values are those of data that the model has not seen, by {n} samples of its own. If it
was fitted to these data they are too large: leave out --no-refit."""


def observations(
    law: Any, values: Float[np.ndarray, "n d"]
) -> Float[np.ndarray, "n ..."]:
    """Rows in the shape that the law takes: of one variable ``(n,)``."""
    one = isinstance(law, UnivariateNormalMixture | PositiveFamily)
    return values[:, 0] if one else values


def report(
    law: Any, X: Float[np.ndarray, "n ..."], resamples: int, refit: bool, seed: int
) -> str:
    """Tests of a law on the observations ``X``, and their mean log-likelihood.

    - ``X``: NaN are missing entries, as of ``missing="em"``.
    - ``resamples``: how many samples p-values come from.
    - ``refit``: whether the law is fitted anew to each of them; if it has no skewness,
      without.
    - ``seed``: of the samples.

    **Raises**: ``ValueError`` for data that are not of the law's kind, or too few.
    """
    kind = words(type(law).__name__)
    missing = "em" if np.isnan(X).any() else "raise"
    left_out = _no_energy(law, missing == "em")
    names = ["ks", "ad", "cvm"] + ([] if left_out else ["energy"])
    symmetric = isinstance(law, MarginalMixture) and not np.any(law.gamma)
    found = test_fit(
        law,
        X,
        names,
        resamples,
        key=jax.random.key(seed),
        refit=refit,
        fitter=BatchEMFitter(symmetric=symmetric),
        missing=missing,
        progress=sys.stderr.isatty(),
    )
    rows = [
        (test.name, f"{test.statistic:.6g}", f"{test.pvalue:.4f}") for test in found
    ]
    how = (_REFITTED if refit else _GIVEN).format(n=resamples)
    if refit and symmetric:
        how += " Its skewness gamma is 0, and was held there."
    if found[0].n_failed:
        how += f"\n{found[0].n_failed} of the fits did not converge and do not count."
    parts = [
        f"{kind[0].upper()}{kind[1:]} distribution, "
        f"mean log-likelihood of a row {_mean_log_likelihood(law, X, missing):.6f}",
        "\n".join(text_table(("", "statistic", "p-value"), rows)),
        *([f"No energy statistic: {left_out}."] if left_out else []),
        how,
    ]
    return "\n\n".join(parts)


def _mean_log_likelihood(law: Any, X: np.ndarray, missing: str) -> float:
    if isinstance(law, MarginalMixture):
        return float(law.marginal_log_likelihood(X, missing=missing))
    return float(jax.vmap(law.log_prob)(X).mean())


def _no_energy(law: Any, gaps: bool) -> str:
    """Why there is no energy statistic; nothing where there is one."""
    if gaps:
        return "entries are missing"
    if isinstance(law, PositiveFamily):
        return "it is for mixtures and normal laws"
    if not np.isfinite(np.asarray(law.mean())).all():
        return "the law has no mean"
    return ""
