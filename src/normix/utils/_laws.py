"""Laws and data as the pictures take them: a column and a law of one variable each."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import ArrayLike, Float

from normix._arrays import as_data, as_series
from normix._columns import column_names
from normix.distributions.multivariate_normal import MultivariateNormal
from normix.distributions.positive import PositiveFamily
from normix.exponential_family import ExponentialFamily
from normix.mixtures.marginal import MarginalMixture
from normix.mixtures.multivariate import VectorMixture
from normix.mixtures.univariate import UnivariateNormalMixture
from normix.utils._text import words

VectorLaw = VectorMixture | MultivariateNormal
UnivariateLaw = UnivariateNormalMixture | PositiveFamily
# As annotated, project() returning any mixture; what a picture takes is checked.
Law = MarginalMixture | ExponentialFamily

# Programs are compiled for so many values at once.
_BLOCK = 512
# Normal scores at which quantiles are solved for; 9 leaves out 1e-19 at either end.
_SCORES = np.linspace(0.0, 9.0, 128)


@dataclass(frozen=True)
class NormalMargin:
    """The normal law of one variable, by SciPy."""

    mean: float
    sd: float

    def log_prob(self, x: ArrayLike) -> np.ndarray:
        z = (np.asarray(x) - self.mean) / self.sd
        return -0.5 * z * z - math.log(self.sd * math.sqrt(2 * math.pi))

    def logcdf(self, x: ArrayLike) -> np.ndarray:
        from scipy import special  # here, for a quick import of normix

        return special.log_ndtr((np.asarray(x) - self.mean) / self.sd)

    def logsf(self, x: ArrayLike) -> np.ndarray:
        from scipy import special  # here, for a quick import of normix

        return special.log_ndtr((self.mean - np.asarray(x)) / self.sd)

    def ppf(self, q: ArrayLike) -> np.ndarray:
        from scipy import special  # here, for a quick import of normix

        return self.mean + self.sd * special.ndtri(q)

    def isf(self, q: ArrayLike) -> np.ndarray:
        from scipy import special  # here, for a quick import of normix

        return self.mean - self.sd * special.ndtri(q)


class Column(NamedTuple):
    """Some observations of one variable, without gaps, and their name."""

    name: str
    values: Float[np.ndarray, " n"]


def columns_of(
    model: Any, X: ArrayLike, names: Sequence[str] | None
) -> tuple[list[Column], Float[np.ndarray, "n d"]]:
    """Columns without their missing entries; and all of ``X`` as ``(n, d)``.

    **Raises**: ``ValueError`` for data or names that do not fit the model, a column
    without entries or of one value, and for what is no law with a density of columns.
    """
    if isinstance(model, VectorLaw):
        data = np.asarray(as_data(X, columns=model.d, missing=True))
    elif isinstance(model, UnivariateLaw):
        data = np.asarray(as_series(X, missing=True))[:, None]
    else:
        raise ValueError(
            "model must be a mixture, a normal law or a positive law, got a "
            f"{type(model).__name__}"
        )
    return columns_named(data, names_of(X, data.shape[1], names)), data


def columns_named(data: Float[np.ndarray, "n d"], names: list[str]) -> list[Column]:
    """Columns without their missing entries.

    **Raises**: ``ValueError`` for one without entries or of one value.
    """
    columns = []
    for name, column in zip(names, data.T, strict=True):
        values = column[~np.isnan(column)]
        if not len(values):
            raise ValueError(f"column {name!r} of X has no entry at all")
        if values.min() == values.max():
            raise ValueError(f"column {name!r} of X has the single value {values[0]}")
        columns.append(Column(name, values))
    return columns


def names_of(
    X: object, d: int, names: Sequence[str] | None, letter: str = "x"
) -> list[str]:
    """Names given, or those of a data frame, or x1, x2, ...; x of one column.

    **Raises**: ``ValueError`` for another number of them than ``d``.
    """
    found = column_names(X) if names is None else list(names)
    if found is None:
        return [letter] if d == 1 else [f"{letter}{j + 1}" for j in range(d)]
    if isinstance(names, str) or len(found) != d:
        raise ValueError(f"names must be {d}, one a column, got {names!r}")
    return [str(name) for name in found]


def margin(model: Law, j: int) -> Any:
    """The law of column ``j``, with ``log_prob``, ``logcdf``, ``logsf``, ``ppf``."""
    if isinstance(model, MultivariateNormal):
        return NormalMargin(float(model.mu[j]), float(np.asarray(model.std())[j]))
    if isinstance(model, VectorMixture):
        unit = np.zeros(model.d)
        unit[j] = 1.0
        return model.project(unit)
    return model


def checked_laws(laws: object, name: str = "laws") -> dict[str, Any]:
    """Laws of one variable by label.

    **Raises**: ``ValueError`` for what is no dictionary of them.
    """
    if not isinstance(laws, Mapping) or not laws:
        raise ValueError(f"{name} must be a dictionary of laws by label, got {laws!r}")
    found = {}
    for label, law in laws.items():
        if not (isinstance(law, UnivariateLaw | VectorLaw)) or (
            isinstance(law, VectorLaw) and law.d != 1
        ):
            raise ValueError(
                f"{name}[{label!r}] must be a law of one variable, got a "
                f"{type(law).__name__}; of a law of vectors take project(w)"
            )
        found[str(label)] = margin(law, 0)
    return found


def log_density(law: Any, x: Float[np.ndarray, " m"]) -> Float[np.ndarray, " m"]:
    """The log-density of a law of one variable."""
    return in_blocks(law.log_prob, x)


def quantiles(law: Any, p: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    """Quantiles of many probabilities, to what can be seen.

    Solved for at 255 of them, and interpolated monotonely by the normal score; lower
    and upper tails by ``ppf`` and ``isf``.
    """
    from scipy import interpolate, special  # here, for a quick import of normix

    tail = special.ndtr(-_SCORES)
    lower, upper = np.asarray(law.ppf(tail)), np.asarray(law.isf(tail))
    scores = np.concatenate([-_SCORES[:0:-1], _SCORES])
    values = np.concatenate([lower[:0:-1], upper])
    at = np.clip(special.ndtri(p), scores[0], scores[-1])
    return interpolate.PchipInterpolator(scores, values)(at)


def in_blocks(f: Any, x: Float[np.ndarray, " m"]) -> Float[np.ndarray, " m"]:
    """An elementwise function, by blocks of one length: for it compiles but once."""
    x = np.asarray(x, float)
    size = -(-len(x) // _BLOCK) * _BLOCK
    padded = np.pad(x, (0, size - len(x)), mode="edge").reshape(-1, _BLOCK)
    return np.concatenate([np.asarray(f(row)) for row in padded])[: len(x)]


def law_label(model: object) -> str:
    """A law's name in words, whatever its form."""
    name = words(type(model).__name__)
    for form in ("univariate ", "factor ", "multivariate ", "joint "):
        name = name.removeprefix(form)
    return name
