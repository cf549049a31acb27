"""The profile of a likelihood: its ridge over the values of one parameter."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import ArrayLike, Float

from normix._arrays import as_series
from normix.distributions.gamma import Gamma
from normix.distributions.inverse_gamma import InverseGamma
from normix.distributions.inverse_gaussian import InverseGaussian
from normix.fitting.em.batch import BatchEMFitter
from normix.mixtures.marginal import MarginalMixture
from normix.utils._laws import names_of
from normix.utils._panels import check_level, given_or_new, legend_above, plain_ticks
from normix.utils._theme import CONTRAST, GREY, MODEL, law_styles, style_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Of families with one: the parameter of the mixing law that is not its unit.
_SHAPES: dict[type, str] = {
    Gamma: "alpha",
    InverseGamma: "alpha",
    InverseGaussian: "lam",
}
_WORDS = {
    "p": "order p",
    "mu": "location μ",
    "alpha": "shape α",
    "lam": "shape λ, E[Y] = 1",
    "alpha_bar": "ᾱ = √(ab)",
}


class Profile(NamedTuple):
    """Fits along the ridge, in the order of the values.

    ``log_likelihoods``: of all rows, NaN where there is no maximum.
    """

    values: Float[np.ndarray, " k"]
    log_likelihoods: Float[np.ndarray, " k"]
    models: list[MarginalMixture]


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
    9, 1938), which ends between values by interpolation of the signed root. An end
    that the values do not reach is not marked; the panel goes up to five times the
    quantile. A value at which the likelihood has no maximum is left out.

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
    gaps = np.maximum(2 * (best - found.log_likelihoods), 0.0)
    cut = _chi_squared(level)
    ends = interval(found.values, gaps, centre, cut)

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


def profile(
    start: MarginalMixture,
    X: ArrayLike,
    name: str,
    values: Float[np.ndarray, " k"],
    fitter: BatchEMFitter,
    missing: str,
) -> Profile:
    """Fits with one parameter held at each value, each from its neighbour's."""
    values = np.sort(values)
    first = int(np.abs(values - parameter(start, name)).argmin())
    models: list[Any] = [None] * len(values)
    log_likelihoods = np.full(len(values), np.nan)
    for direction in (range(first, len(values)), range(first - 1, -1, -1)):
        last = start if models[first] is None else models[first]
        for k in direction:
            fit = _at_shape if name in _SHAPES.values() else _at_fixed
            last, log_likelihoods[k] = fit(last, X, name, values[k], fitter, missing)
            models[k] = last
    if np.isnan(log_likelihoods).all():
        raise ValueError(
            f"at none of the values of {name} has the likelihood a maximum"
        )
    return Profile(values, log_likelihoods, models)


def _at_fixed(
    model: MarginalMixture,
    X: ArrayLike,
    name: str,
    value: float,
    fitter: BatchEMFitter,
    missing: str,
) -> tuple[MarginalMixture, float]:
    fixed = {**(fitter.fix or {}), name: value if name == "p" else np.full(1, value)}
    result = dataclasses.replace(fitter, fix=fixed).fit(model, X, missing=missing)
    if result.unbounded or result.diverged:
        return model, np.nan
    return result.model, float(result.log_likelihood) * result.n_obs


def _at_shape(
    model: MarginalMixture,
    X: ArrayLike,
    name: str,
    value: float,
    fitter: BatchEMFitter,
    missing: str,
) -> tuple[MarginalMixture, float]:
    """EM with the mixing law held: of the shape in question it is the only freedom."""
    model = _with_shape(model, value)
    last = previous = np.nan
    for _ in range(fitter.max_iter):
        sums = model.e_step_sums(X, missing=missing)
        now = float(sums.log_likelihood)
        gain = now - last
        # Little is gained, and little more, if gains go on as a geometric sequence.
        if gain <= fitter.tol and gain * gain <= fitter.tol * (previous - gain):
            return model, now
        previous = gain
        last = now
        model = model.m_step_normal(sums.expectations())
    return model, float(model.e_step_sums(X, missing=missing).log_likelihood)


def _with_shape(model: MarginalMixture, value: float) -> MarginalMixture:
    """The model in another shape of Y, whose unit is its mean; of skew t, β/α."""
    law = model.joint.subordinator
    if isinstance(law, InverseGaussian):
        unit, shape = law.mu, {"lam": value, "mu_ig": 1.0}
    else:
        assert isinstance(law, Gamma | InverseGamma)
        inverse = isinstance(law, InverseGamma)
        unit = law.beta / law.alpha if inverse else law.alpha / law.beta
        shape = {"alpha": value, "beta": value}
    same = type(model)(model.joint.rescaled(1 / unit))
    return same.replace(**{key: jnp.asarray(x) for key, x in shape.items()})


def parameter(model: MarginalMixture, name: str) -> float:
    """The value of a parameter that can be profiled."""
    law: Any = model.joint.subordinator
    if name == "mu":
        return float(model.joint.mu[0])
    if name == "lam":
        return float(law.lam / law.mu)
    return float(law.gig_params()[0]) if name == "p" else float(law.alpha)


def signed_roots(
    values: Float[np.ndarray, " k"], gaps: Float[np.ndarray, " k"], centre: float
) -> Callable[[Any], Float[np.ndarray, "..."]]:
    """The root of a gap with the sign of its side, interpolated between values.

    It is nearly linear in the parameter, and 0 at the maximum, ``centre``.
    """
    from scipy import interpolate  # here, for a quick import of normix

    used = np.isfinite(gaps) & (values != centre)
    at = np.append(values[used], centre)
    roots = np.append(np.sqrt(gaps[used]) * np.sign(values[used] - centre), 0.0)
    order = np.argsort(at)
    return interpolate.PchipInterpolator(at[order], roots[order])


def interval(
    values: Float[np.ndarray, " k"],
    gaps: Float[np.ndarray, " k"],
    centre: float,
    cut: float,
) -> Float[np.ndarray, " 2"]:
    """Where the gaps pass ``cut``, NaN for an end that the values do not reach."""
    from scipy import optimize  # here, for a quick import of normix

    roots = signed_roots(values, gaps, centre)
    beyond = np.isfinite(gaps) & (gaps >= cut)
    ends = np.full(2, np.nan)
    for k, sign in enumerate((-1.0, 1.0)):
        outer = values[beyond & (sign * (values - centre) > 0)]
        if len(outer):
            # From the nearest that is beyond, to the maximum.
            nearest = outer[np.abs(outer - centre).argmin()]

            def excess(value: float, side: float = sign) -> float:
                return float(side * roots(value)) - np.sqrt(cut)

            ends[k] = optimize.brentq(excess, centre, nearest)
    return ends


def _chi_squared(level: float) -> float:
    from scipy import special  # here, for a quick import of normix

    return float(special.chdtri(1, 1 - level))


def _checked(
    model: MarginalMixture, name: str, values: ArrayLike, fitter: BatchEMFitter
) -> Float[np.ndarray, " k"]:
    if not isinstance(model, MarginalMixture):
        raise ValueError(f"model must be a mixture, got a {type(model).__name__}")
    law = model.joint.subordinator
    can = ["p"] if law.has_order else [_SHAPES[type(law)]]
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
    held = name in _SHAPES.values()
    # Below it the density has a pole, which one row suffices to reach.
    least = 0.5 * model.d if isinstance(law, Gamma) else 0.0
    if held and at[0] <= least:
        raise ValueError(f"values of {name} must exceed {least:g}, got {at[0]:g}")
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
    if name in _SHAPES.values():
        return (lambda m: m.joint.mu), _WORDS["mu"]
    if law.has_order:
        return _alpha_bar, _WORDS["alpha_bar"]
    other = _SHAPES[type(law)]
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
    ax.set_ylabel("twice the log-likelihood below maximum")


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
