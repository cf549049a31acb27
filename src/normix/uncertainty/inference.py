"""How sure a fit is: standard errors, intervals, the delta method, influence."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Array, ArrayLike, Bool, Float

from normix._arrays import as_weights, check_option
from normix._columns import column_names
from normix._missing import present
from normix.exponential_family import ExponentialFamily
from normix.mixtures.finite import FiniteMixture
from normix.mixtures.marginal import MarginalMixture
from normix.uncertainty.covariance import check_maximum, covariance_by, inverse_of
from normix.uncertainty.of_family import told_by_family
from normix.uncertainty.of_finite import told_by_finite
from normix.uncertainty.of_mixture import told_by_mixture
from normix.uncertainty.parameters import in_words
from normix.uncertainty.summary import Summary, summary_of
from normix.uncertainty.told import Parameters

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

    Names are those of statsmodels. Parameters of mixtures are the classical ones in the
    gauge where ``E[Y] = 1``, in which nothing is redundant: ``mu``, ``gamma``, the
    entries of Σ, and of Y ``lam`` (normal inverse Gaussian), ``alpha`` (variance gamma,
    skew t), ``p`` and ``alpha_bar = √(ab)`` (generalized hyperbolic). Where ``E[Y]`` is
    infinite the density of ``log Y`` is highest at 0 instead. Those of an exponential
    family are its own; of a normal law ``mu`` and the entries of Σ. In a finite mixture
    a number in front tells the component, and ``weight[0]`` is that of the first.

    - ``names``, ``params``, ``bse``: of every parameter its name, estimate and standard
      error, NaN where the data do not determine it; 0 where it is held.
    - ``llf``: the log-likelihood of all observations; ``nobs``: how many, by weight;
      ``df_model``: the number of free parameters.
    - ``held``: what is no parameter, in words: fixed, symmetric, on a boundary.
    - ``undetermined``: what the data do not determine, in words.
    - ``cov_type``: "observed", "opg" or "sandwich".
    """

    model: MarginalMixture | FiniteMixture | ExponentialFamily
    names: tuple[str, ...]
    params: Float[np.ndarray, " p"]
    llf: float
    nobs: float
    df_model: int
    cov_type: str
    held: tuple[str, ...]
    undetermined: tuple[str, ...]
    _parameters: Parameters
    _positive: Bool[np.ndarray, " p"]
    _slopes: Float[np.ndarray, "p k"]  # of the parameters by free coordinates
    _covariance: Float[np.ndarray, "k k"]  # of those
    _inverse: Float[np.ndarray, "k k"]  # of the observed information
    _scores: Float[np.ndarray, "n k"]  # by weight
    _lost: Float[np.ndarray, "k m"]  # directions that nothing determines

    def of_model(self, model: Any) -> Float[Array, " p"]:
        """The same parameters of another model of this family, in the same order."""
        return self._parameters.of_model(model)

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
        positive = self._positive
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
        value, slopes = self._parameters.derivative(f)
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


def inference(
    model: MarginalMixture | FiniteMixture | ExponentialFamily,
    X: ArrayLike,
    weights: Float[ArrayLike, " n"] | None = None,
    cov_type: str = "observed",
    *,
    fix: Mapping[str, Any] | Iterable[str] | None = None,
    symmetric: bool = False,
    alpha_min: ArrayLike | None = None,
    boundary: str | None = None,
    columns: Sequence[str] | None = None,
    missing: str = "raise",
) -> Inference:
    """Standard errors of a maximum-likelihood fit, and what follows from them.

    - ``model``: a mixture in any form, a finite mixture of such laws, or a member of an
      exponential family, such as ``Gamma.fit_mle(X)``, at a maximum of the likelihood
      of ``X``.
    - ``X``: the data, shape ``(n, d)``, or ``(n,)`` for laws of one variable; the names
      that a data frame gives its columns become those of the parameters.
    - ``weights``: shape ``(n,)``; they count the rows.
    - ``cov_type``: "observed", the inverse of the observed information; "opg", that of
      the outer products of the scores; "sandwich", which holds for data of another law
      as well (Huber, Proc. 5th Berkeley Symp., 1967; White, Econometrica 50, 1982).
    - ``fix``, ``symmetric``, ``alpha_min``: what the fit held, as the fitter was told;
      ``boundary``: the limit that it ended in. Of a fit,
      :meth:`~normix.EMResult.inference` knows them.
    - ``columns``: names of the columns, for those of the parameters.
    - ``missing``: of a mixture, what the fit did about missing entries; with "em" the
      information is that of what is seen.

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
    family = isinstance(model, ExponentialFamily)
    finite = isinstance(model, FiniteMixture)
    if family:
        if fix or symmetric or boundary is not None or alpha_min is not None:
            raise ValueError(
                "fix, symmetric, alpha_min and boundary are of fits of mixtures; a "
                f"{type(model).__name__} has none"
            )
        rows = np.asarray(model._check_sample(X))
    else:
        if finite and (fix or boundary is not None or alpha_min is not None):
            raise ValueError("a finite mixture holds nothing but, if asked, gamma")
        reader = model.components[0] if finite else model
        rows = np.asarray(reader._rows(X, model.d, missing=missing != "raise"))
    w = None
    if weights is not None:
        w = np.asarray(as_weights(weights, len(rows)), rows.dtype)
    found = present(rows, w, "raise" if family else missing)
    rows, w = found.rows, found.weights
    if w is not None:
        rows, w = rows[w > 0], w[w > 0]
    nobs = float(len(rows) if w is None else w.sum())
    of_columns = column_names(X) if columns is None else list(columns)
    width = 1 if rows.ndim == 1 else rows.shape[1]
    if of_columns is not None and len(of_columns) != width:
        raise ValueError(f"{len(of_columns)} names of columns for {width} columns")
    gaps = missing == "em" and found.has_gaps
    if family:
        told = told_by_family(model, rows, w, of_columns)
    elif finite:
        told = told_by_finite(model, rows, w, symmetric, of_columns, gaps)
    else:
        held = fix, symmetric, alpha_min, boundary
        told = told_by_mixture(model, rows, w, *held, of_columns, gaps)
    if not (np.isfinite(told.information).all() and np.isfinite(told.scores).all()):
        raise ValueError(
            "the likelihood is not smooth at this model: a row lies at its location, "
            "where the density has no derivative"
        )
    scores, redundant = told.scores, told.redundant
    weighed = scores if w is None else scores * w[:, None]
    inverse, lost = inverse_of(told.information, redundant)
    check_maximum(weighed.sum(axis=0), inverse, nobs)
    moved = [told.slopes @ v for v in lost.T]
    return Inference(
        model=model,
        names=told.names,
        params=told.params,
        llf=nobs * told.mean_llf,
        nobs=nobs,
        df_model=len(told.information) - redundant.shape[1],
        cov_type=cov_type,
        held=told.held,
        undetermined=tuple(in_words(v, told.params, told.names) for v in moved),
        _parameters=told.parameters,
        _positive=told.positive,
        _slopes=told.slopes,
        _covariance=covariance_by(cov_type, inverse, scores.T @ weighed, redundant),
        _inverse=inverse,
        _scores=weighed,
        _lost=lost,
    )


def _quantile(alpha: float) -> float:
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must be between 0 and 1, got {alpha}")
    from scipy import special  # here, for a quick import of normix

    return float(-special.ndtri(0.5 * alpha))
