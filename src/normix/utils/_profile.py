"""The profile of a likelihood: its ridge over the values of one parameter."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import ArrayLike, Float

from normix._arrays import as_series
from normix.fitting.em.batch import BatchEMFitter
from normix.mixtures.marginal import MarginalMixture
from normix.utils._laws import names_of
from normix.utils._panels import check_level, given_or_new, legend_above, plain_ticks
from normix.utils._ridge import (
    SHAPES,
    Profile,
    fit_of,
    parameter,
    profile,
    refined,
    signed_roots,
)
from normix.utils._theme import CONTRAST, GREY, MODEL, law_styles, style_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WORDS = {
    "p": "order p",
    "mu": "location μ",
    "alpha": "shape α",
    "lam": "shape λ, E[Y] = 1",
    "alpha_bar": "ᾱ = √(ab)",
}


def plot_profile(
    model: MarginalMixture,
    X: Float[ArrayLike, "n ..."],
    name: str,
    values: Float[ArrayLike, " k"],
    *,
    along: Callable[[Any], ArrayLike] | None = None,
    level: float = 0.95,
    fitter: BatchEMFitter | None = None,
    missing: str = "raise",
    names: Sequence[str] | None = None,
    axes: Sequence[Axes] | None = None,
) -> Figure:
    """The profile likelihood of one parameter, with its interval, and another along it.

    - ``model``: where the fits start; that of a fit saves time.
    - ``X``: the data, shape ``(n, d)``, or ``(n,)`` for a univariate model.
    - ``name``: of the parameter that is held: "p", the order of a generalized
      hyperbolic model; "lam" or "alpha", the shape of another family, in the unit of Y
      with ``mu_ig = 1``; "mu", the location of a model of one variable.
    - ``values``: at which it is held, shape ``(k,)``, at least two.
    - ``along``: a function of the model for the second panel, a number or a few; by
      default the shape that is not held, α-bar = √(ab) of a generalized hyperbolic
      model, and μ where the only shape is.
    - ``level``: the confidence of the interval.
    - ``fitter``: by default ``BatchEMFitter(tol=1e-4)``; ``fix`` is added to it.
    - ``missing``: what fits do about missing entries; see
      :meth:`~normix.BatchEMFitter.fit`.
    - ``names``: of the columns, for an ``along`` of one number a column.
    - ``axes``: two to draw into.

    All else is fitted anew at each value, from the fit at its neighbour; fits go
    outwards from the value next to the estimate. The first panel has twice the
    log-likelihood below the maximum, and the interval where that is no more than the
    quantile of the chi-squared law of one degree of freedom (Wilks, Ann. Math. Statist.
    9, 1938); its ends are found by interpolation of the signed root between values, and
    a few more fits there. An end that the values do not reach is not marked; the panel
    goes up to five times the quantile. A value at which the likelihood has no maximum
    is left out.

    **Raises**: ``ValueError`` for a parameter that cannot be held, values that do not
    fit, a fitter that holds it or has a rule of its own, and data as for a fit.

    >>> import numpy as np
    >>> from normix import UnivariateNormalInverseGaussian
    >>> from normix.datasets import load_sp500_returns
    >>> from normix.utils.plotting import plot_profile
    >>> x = load_sp500_returns(["JPM"]).values[:, 0]
    >>> fit = UnivariateNormalInverseGaussian.default_init(x).fit(x)
    >>> figure = plot_profile(fit.model, x, "lam", np.linspace(0.35, 0.55, 5))
    """
    check_level(level)
    fitter = BatchEMFitter(tol=1e-4) if fitter is None else fitter
    at = _checked(model, name, values, fitter)
    columns = names_of(X, model.d, names)
    result = fitter.fit(model, X, missing=missing)
    best, estimate = float(result.log_likelihood) * result.n_obs, result.model
    found = profile(estimate, X, name, at, fitter, missing)
    # A profile may meet a higher maximum than the fit did.
    top = int(np.nanargmax(found.log_likelihoods))
    if found.log_likelihoods[top] > best:
        best, estimate = found.log_likelihoods[top], found.models[top]
    centre = parameter(estimate, name)
    cut = _chi_squared(level)
    fit = fit_of(name)
    found, ends = refined(
        found,
        lambda start, value: fit(start, X, name, value, fitter, missing),
        best,
        centre,
        cut,
    )
    gaps = found.gaps(best)

    figure, panels = given_or_new(axes, 2, size=(4.4, 3.5))
    _draw_gaps(panels[0], found.values, gaps, centre, ends, cut, level)
    function, title = _default_along(model, name) if along is None else (along, "")
    _draw_along(panels[1], found, function, title, columns, estimate, centre)
    for ax in panels:
        ax.set_xlabel(_WORDS[name])
        plain_ticks(ax)
        for end in ends[np.isfinite(ends)]:
            ax.axvline(end, color=CONTRAST, lw=1.0, ls=":", label="_end")
    if axes is None:
        legend_above(figure, panels)
    return figure


def _chi_squared(level: float) -> float:
    from scipy import special  # here, for a quick import of normix

    return float(special.chdtri(1, 1 - level))


def _checked(
    model: MarginalMixture, name: str, values: ArrayLike, fitter: BatchEMFitter
) -> Float[np.ndarray, " k"]:
    if not isinstance(model, MarginalMixture):
        raise ValueError(f"model must be a mixture, got a {type(model).__name__}")
    law = model.joint.subordinator
    can = ["p"] if law.has_order else [SHAPES[type(law)]]
    can += ["mu"] if model.d == 1 else []
    if name not in can:
        raise ValueError(
            f"name must be one of {', '.join(can)} for a {type(model).__name__} in "
            f"{model.d} dimensions, got {name!r}"
        )
    try:
        at = np.unique(np.asarray(as_series(values), float))
    except ValueError as error:
        raise ValueError(str(error).replace("X", "values", 1)) from None
    if len(at) < 2:
        raise ValueError(f"values must be at least 2 different ones, got {len(at)}")
    held = name in SHAPES.values()
    if held and at[0] <= 0:
        raise ValueError(f"values of {name} must be positive, got {at[0]:g}")
    if name in (fitter.fix or {}):
        raise ValueError(f"fitter holds {name} itself; leave it out of its fix")
    if fitter.eta_update is not None:
        raise ValueError("fitter must have no eta_update: it may have another aim")
    if held and (fitter.fix or fitter.symmetric or fitter.alpha_min is not None):
        raise ValueError(f"a fit that holds {name} cannot hold anything else")
    return at


def _default_along(
    model: MarginalMixture, name: str
) -> tuple[Callable[[Any], ArrayLike], str]:
    law = model.joint.subordinator
    if name in SHAPES.values():
        return (lambda m: m.joint.mu), _WORDS["mu"]
    if law.has_order:
        return _alpha_bar, _WORDS["alpha_bar"]
    other = SHAPES[type(law)]
    return (lambda m: parameter(m, other)), _WORDS[other]


def _alpha_bar(model: MarginalMixture) -> float:
    _, a, b = model.joint.subordinator.gig_params()
    return float(jnp.sqrt(a) * jnp.sqrt(b))


def _draw_gaps(
    ax: Axes,
    values: Float[np.ndarray, " k"],
    gaps: Float[np.ndarray, " k"],
    centre: float,
    ends: Float[np.ndarray, " 2"],
    cut: float,
    level: float,
) -> None:
    style_axes(ax)
    seen = np.isfinite(gaps)
    at = np.append(values[seen], centre)
    grid = np.linspace(at.min(), at.max(), 401)
    curve = signed_roots(values, gaps, centre)(grid) ** 2
    ax.plot(grid, curve, color=MODEL, lw=1.6, label="_profile")
    dots = {"ls": "none", "ms": 4, "color": MODEL}
    ax.plot(values[seen], gaps[seen], "o", label="fit at a value", **dots)
    ax.plot(
        [centre], [0.0], "D", color=CONTRAST, ms=5.5, label="maximum", clip_on=False
    )
    percent = f"{100 * level:g} %"
    ax.axhline(cut, color=GREY, lw=1.0, ls="--", label=f"χ², {percent}: {cut:.3g}")
    low, high = (f"{e:.3g}" if np.isfinite(e) else "…" for e in ends)
    label = f"{percent} interval: {low} to {high}".replace("-", "−")
    ax.plot([], [], color=CONTRAST, lw=1.0, ls=":", label=label)
    # Far from the maximum the rest would be flat.
    ax.set_ylim(0.0, min(1.08 * max(gaps[seen].max(), 1.2 * cut), 5 * cut))
    ax.set_ylabel("twice the fall of log-likelihood")


def _draw_along(
    ax: Axes,
    found: Profile,
    function: Callable[[Any], ArrayLike],
    title: str,
    columns: list[str],
    estimate: MarginalMixture,
    centre: float,
) -> None:
    style_axes(ax)
    seen = np.isfinite(found.log_likelihoods)
    chosen = [m for m, s in zip(found.models, seen, strict=True) if s]
    curves = np.stack([np.ravel(np.asarray(function(m))) for m in chosen])
    at_best = np.ravel(np.asarray(function(estimate)))
    several = curves.shape[1] > 1
    labels = columns if curves.shape[1] == len(columns) else map(str, range(10**6))
    styles = law_styles(curves.shape[1])
    for curve, best, label, style in zip(
        curves.T, at_best, labels, styles, strict=False
    ):
        order = np.argsort(np.append(found.values[seen], centre))
        x = np.append(found.values[seen], centre)[order]
        y = np.append(curve, best)[order]
        ax.plot(x, y, marker="o", ms=3.5, label=label if several else "_curve", **style)
        ax.plot([centre], [best], "D", color=CONTRAST, ms=5.5, label="_maximum")
    ax.set_ylabel(title or "along the ridge")
    ax.ticklabel_format(axis="y", useOffset=False)
