"""How sure a fit is: standard errors, intervals, the delta method, influence."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from normix._arrays import as_weights, check_option
from normix._columns import column_names
from normix.mixtures.coordinates import Moving, at_coordinates, coordinates
from normix.mixtures.joint import JointNormalMixture
from normix.mixtures.law import Frame
from normix.mixtures.marginal import MarginalMixture
from normix.mixtures.model_steps import mean_log_likelihood, packed
from normix.mixtures.observed import (
    At,
    classical_of,
    information_of,
    law_at,
    placed,
)
from normix.mixtures.rows import moments_of
from normix.special._mode import typical_value
from normix.uncertainty.covariance import check_maximum, covariance_by, inverse_of
from normix.uncertainty.held import Chart, chart_of
from normix.uncertainty.parameters import (
    in_words,
    is_positive,
    parameter_names,
    parameter_units,
)
from normix.uncertainty.summary import Summary, summary_of

if TYPE_CHECKING:
    import pandas as pd  # pyright: ignore[reportMissingImports]

COV_TYPES = ("observed", "opg", "sandwich")


class Delta(NamedTuple):
    """A function of the model: its value, standard error and interval."""

    value: Any
    bse: Any
    conf_int: Any


@dataclass(frozen=True, eq=False)
class Inference:
    """Estimates of a fit and how sure they are.

    Names are those of statsmodels. Parameters are the classical ones in the gauge
    where ``E[Y] = 1``, in which nothing is redundant: ``mu``, ``gamma``, the entries of
    Σ, and of Y ``lam`` (normal inverse Gaussian), ``alpha`` (variance gamma, skew t),
    ``p`` and ``alpha_bar = √(ab)`` (generalized hyperbolic). Where ``E[Y]`` is infinite
    the density of ``log Y`` is highest at 0 instead.

    - ``names``, ``params``, ``bse``: of every parameter its name, estimate and standard
      error, NaN where the data do not determine it; 0 where it is held.
    - ``llf``: the log-likelihood of all observations; ``nobs``: how many, by weight;
      ``df_model``: the number of free parameters.
    - ``held``: what is no parameter, in words: fixed, symmetric, on a boundary.
    - ``undetermined``: what the data do not determine, in words.
    - ``cov_type``: "observed", "opg" or "sandwich".
    """

    model: MarginalMixture
    names: tuple[str, ...]
    params: Float[np.ndarray, " p"]
    llf: float
    nobs: float
    df_model: int
    cov_type: str
    held: tuple[str, ...]
    undetermined: tuple[str, ...]
    _chart: Chart
    _at: At
    _slopes: Float[np.ndarray, "p k"]  # of the parameters by free coordinates
    _covariance: Float[np.ndarray, "k k"]  # of those
    _inverse: Float[np.ndarray, "k k"]  # of the observed information
    _scores: Float[np.ndarray, "n k"]  # by weight
    _lost: Float[np.ndarray, "k m"]  # directions that nothing determines

    def of_model(self, model: MarginalMixture) -> Float[Array, " p"]:
        """The same parameters of another model of this family, in the same order."""
        law, y = model.joint.law(), model.joint.subordinator.mean()
        unit = jnp.where(jnp.isfinite(y), y, typical_value(*law.gig))
        return classical_of(law, unit, self._chart.names)

    def cov_params(self) -> Float[np.ndarray, "p p"]:
        """The covariance of the estimates, NaN in what the data do not determine."""
        cov = self._slopes @ self._covariance @ self._slopes.T
        lost = self._unsure(self._slopes)
        cov[lost, :] = cov[:, lost] = np.nan
        return cov

    @property
    def bse(self) -> Float[np.ndarray, " p"]:
        """Standard errors."""
        return np.sqrt(np.diagonal(self.cov_params()))

    @property
    def zvalues(self) -> Float[np.ndarray, " p"]:
        """Estimates over their standard errors; NaN for what is held."""
        bse = self.bse
        return self.params / np.where(bse > 0, bse, np.nan)

    @property
    def pvalues(self) -> Float[np.ndarray, " p"]:
        """Of the hypothesis that a parameter is 0, two-sided, from the normal law."""
        from scipy import special  # here, for a quick import of normix

        return 2 * special.ndtr(-np.abs(self.zvalues))

    def conf_int(self, alpha: float = 0.05) -> Float[np.ndarray, "p 2"]:
        """Intervals of confidence ``1 - alpha``.

        Of parameters that are positive they are symmetric in the logarithm.

        **Raises**: ``ValueError`` unless ``0 < alpha < 1``.
        """
        z, bse = _quantile(alpha), self.bse
        ends = self.params[:, None] + z * bse[:, None] * np.array([-1.0, 1.0])
        positive = np.array([is_positive(name) for name in self.names])
        safe = np.where(positive, self.params, 1.0)
        grow = np.exp(np.minimum(z * bse / safe, 700.0))
        by_log = np.stack([safe / grow, safe * grow], axis=1)
        return np.where(positive[:, None], by_log, ends)

    @property
    def aic(self) -> float:
        """Akaike's criterion, ``2 df_model - 2 llf``."""
        return 2 * self.df_model - 2 * self.llf

    @property
    def bic(self) -> float:
        """Schwarz's criterion, ``log(nobs) df_model - 2 llf``."""
        return float(np.log(self.nobs)) * self.df_model - 2 * self.llf

    def delta(self, f: Callable[[Any], ArrayLike], *, alpha: float = 0.05) -> Delta:
        """A function of the model with its standard error, by the delta method.

        ``f`` takes a model such as the fitted one and returns a number or an array,
        differentiably in JAX; ``conf_int`` has a last axis of two ends. Its derivative
        compiles once for every function.

        **Raises**: ``ValueError`` where ``f`` returns no numbers, and for an ``alpha``
        outside ``(0, 1)``.

        >>> import numpy as np
        >>> import normix
        >>> X = np.random.default_rng(0).standard_t(5, 300)
        >>> fit = normix.UnivariateNormalInverseGaussian.default_init(X).fit(X)
        >>> of_quantile = fit.inference(X).delta(lambda model: model.ppf(0.99))
        >>> bool(0.1 < of_quantile.bse < 1.0)
        True
        """
        z = _quantile(alpha)
        value, slopes = self._derivative(f)
        flat = slopes.reshape(-1, slopes.shape[-1])
        variances = ((flat @ self._covariance) * flat).sum(axis=1)
        variances = np.where(self._unsure(flat), np.nan, np.maximum(variances, 0.0))
        bse = np.sqrt(variances).reshape(value.shape)
        ends = value[..., None] + z * bse[..., None] * np.array([-1.0, 1.0])
        return Delta(value[()], bse[()], ends)

    def influence(
        self, f: Callable[[Any], ArrayLike] | None = None
    ) -> Float[np.ndarray, "n p"]:
        """The change of every estimate if a row were left out, to first order.

        Rows of X by parameters, in the order of ``names``; with ``f``, a function of
        the model as :meth:`delta` takes it, by the entries of its value.
        """
        slopes = self._slopes
        if f is not None:
            slopes = self._derivative(f)[1]
            slopes = slopes.reshape(-1, slopes.shape[-1])
        return -self._scores @ self._inverse @ slopes.T

    def _derivative(
        self, f: Callable[[Any], ArrayLike]
    ) -> tuple[np.ndarray, Float[np.ndarray, "... k"]]:
        """The value of a function of the model, and its slopes by free coordinates."""
        kind = type(self.model), type(self.model.joint), self.model.joint.frame
        free = tuple(np.flatnonzero(self._chart.free).tolist())
        value, slopes = _slopes_of(f, *kind, self._chart.moving, free, self._at)
        return np.asarray(value), np.asarray(slopes, float)

    def summary(self, alpha: float = 0.05) -> Summary:
        """A table: printed as text, shown as HTML by a notebook."""
        return summary_of(self, alpha)

    def to_frame(self, alpha: float = 0.05) -> pd.DataFrame:
        """The table as a data frame of pandas, a row for every parameter."""
        import pandas as pd  # pyright: ignore[reportMissingImports]

        low, high = self.conf_int(alpha).T
        columns = {
            "estimate": self.params,
            "bse": self.bse,
            "z": self.zvalues,
            "pvalue": self.pvalues,
            "low": low,
            "high": high,
        }
        return pd.DataFrame(columns, index=pd.Index(self.names, name="parameter"))

    def __repr__(self) -> str:
        return str(self.summary())

    def _repr_html_(self) -> str:
        return self.summary()._repr_html_()

    def _unsure(self, slopes: Float[np.ndarray, "p k"]) -> np.ndarray:
        """Which of the functions with these slopes nothing determines."""
        size = np.sqrt((slopes**2).sum(axis=1))
        along = np.abs(slopes @ self._lost).max(axis=1, initial=0.0)
        return along > 1e-3 * np.where(size > 0, size, 1.0)


@partial(jax.jit, static_argnums=(0, 1, 2, 3, 4, 5))
def _slopes_of(
    f: Callable[[Any], ArrayLike],
    family: type[MarginalMixture],
    joint: type[JointNormalMixture],
    frame: Frame,
    moving: Moving,
    free: tuple[int, ...],
    at: At,
) -> tuple[Array, Array]:
    """``f`` of the model, and its derivatives; for the same ``f`` compiled once."""

    def moved(step: Array) -> Array:
        law = law_at(at, frame)
        point = coordinates(law, moving).at[np.array(free, int)].add(step)
        law = at_coordinates(law, point, moving)
        law = law.in_units(at.unit).translated(at.centre)
        return _numbers(f(family(joint.of_law(law))))

    here = jnp.zeros(len(free), at.vector.dtype)
    return moved(here), jax.jacfwd(moved)(here)


def inference(
    model: MarginalMixture,
    X: ArrayLike,
    weights: Float[ArrayLike, " n"] | None = None,
    cov_type: str = "observed",
    *,
    fix: Mapping[str, Any] | Iterable[str] | None = None,
    symmetric: bool = False,
    alpha_min: ArrayLike | None = None,
    boundary: str | None = None,
    columns: Sequence[str] | None = None,
) -> Inference:
    """Standard errors of a maximum-likelihood fit, and what follows from them.

    - ``model``: a mixture in any form, at a maximum of the likelihood of ``X``.
    - ``X``: the data, shape ``(n, d)``, or ``(n,)`` for a univariate model; the names
      that a data frame gives its columns become those of the parameters.
    - ``weights``: shape ``(n,)``; they count the rows.
    - ``cov_type``: "observed", the inverse of the observed information; "opg", that of
      the outer products of the scores; "sandwich", which holds for data of another law
      as well (Huber, Proc. 5th Berkeley Symp., 1967; White, Econometrica 50, 1982).
    - ``fix``, ``symmetric``, ``alpha_min``: what the fit held, as the fitter was told;
      ``boundary``: the limit that it ended in. Of a fit,
      :meth:`~normix.EMResult.inference` knows them.
    - ``columns``: names of the columns, for those of the parameters.

    The information is exact, by Louis' formula (J. R. Stat. Soc. B 44, 1982).

    **Raises**: ``ValueError`` for a model that is not at a maximum, by how many nats;
    fewer rows than parameters; an unknown ``cov_type``; data that do not fit the model;
    a row at the location of a model with a density that is not smooth there.

    >>> import numpy as np
    >>> import normix
    >>> X = np.random.default_rng(0).standard_t(5, 300)
    >>> fit = normix.UnivariateNormalInverseGaussian.default_init(X).fit(X)
    >>> normix.inference(fit.model, X).names
    ('mu', 'gamma', 'sigma', 'lam')
    """
    check_option("cov_type", cov_type, COV_TYPES)
    rows = np.asarray(model._rows(X, model.d))
    w = None
    if weights is not None:
        w = np.asarray(as_weights(weights, len(rows)), rows.dtype)
        rows, w = rows[w > 0], w[w > 0]
    nobs = float(len(rows) if w is None else w.sum())
    vector = packed(model.joint)
    least = None if alpha_min is None else float(np.asarray(alpha_min))
    chart = chart_of(model, vector, fix, symmetric, boundary, least)
    k = int(chart.free.sum()) - chart.redundant.shape[1]
    if len(rows) <= k:
        raise ValueError(f"{len(rows)} rows cannot tell of {k} parameters")
    moments = moments_of(rows)
    at = placed(vector, *moments)
    frame = model.joint.frame
    p, a, _ = (float(x) for x in np.asarray(vector)[-3:])
    unit_mean = a > 0 or p < -1  # where E[Y] is finite
    shape = frame, chart.moving, chart.names, unit_mean
    found, known = information_of(at, rows, w, *shape)
    to_full, free = np.asarray(known.to_full, float), chart.free
    information = np.asarray(known.information, float)
    information = information - to_full.T @ np.asarray(found.missing, float) @ to_full
    information = information[np.ix_(free, free)]
    scores = (np.asarray(found.scores, float) @ to_full)[:, free]
    if not (np.isfinite(information).all() and np.isfinite(scores).all()):
        raise ValueError(
            "the likelihood is not smooth at this model: a row lies at its location, "
            "where the density has no derivative"
        )
    weighed = scores if w is None else scores * w[:, None]
    inverse, lost = inverse_of(information, chart.redundant)
    check_maximum(weighed.sum(axis=0), inverse, nobs)
    covariance = covariance_by(cov_type, inverse, scores.T @ weighed, chart.redundant)
    of_jax = None if w is None else jnp.asarray(w)
    of_columns = column_names(X) if columns is None else list(columns)
    if of_columns is not None and len(of_columns) != model.d:
        raise ValueError(f"{len(of_columns)} names of columns for {model.d} columns")
    names = parameter_names(model.d, of_columns, model._axes == 1)
    units = parameter_units(np.asarray(moments.scale, float), len(chart.names))
    params = np.asarray(known.classical, float) * units
    params[: model.d] += np.asarray(moments.centre, float)
    slopes = np.asarray(known.slopes, float)[:, free] * units[:, None]
    every = (*names, *chart.names)
    return Inference(
        model=model,
        names=every,
        params=params,
        llf=nobs * float(mean_log_likelihood(model.joint, jnp.asarray(rows), of_jax)),
        nobs=nobs,
        df_model=k,
        cov_type=cov_type,
        held=chart.notes,
        undetermined=tuple(in_words(slopes @ v, params, every) for v in lost.T),
        _chart=chart,
        _at=at,
        _slopes=slopes,
        _covariance=covariance,
        _inverse=inverse,
        _scores=weighed,
        _lost=lost,
    )


def _numbers(value: object) -> Array:
    try:
        found = jnp.asarray(value)
    except (TypeError, ValueError):
        found = None
    if found is None or not jnp.issubdtype(found.dtype, jnp.inexact):
        raise ValueError(f"f must return a number or an array of them, got {value!r}")
    return found


def _quantile(alpha: float) -> float:
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must be between 0 and 1, got {alpha}")
    from scipy import special  # here, for a quick import of normix

    return float(-special.ndtri(0.5 * alpha))
