"""The ridge of a likelihood: fits with one parameter held, and an interval of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import ArrayLike, Float

from normix.distributions.gamma import Gamma
from normix.distributions.inverse_gamma import InverseGamma
from normix.distributions.inverse_gaussian import InverseGaussian
from normix.fitting.em.batch import BatchEMFitter
from normix.mixtures.marginal import MarginalMixture

# Of families with one: the parameter of the mixing law that is not its unit.
SHAPES: dict[type, str] = {
    Gamma: "alpha",
    InverseGamma: "alpha",
    InverseGaussian: "lam",
}
# A squared distance of a row from μ that no fit has but one that is drawn onto it.
_AT_POLE = 1e-20
# Fits by which an end of the interval is corrected, at most.
_CORRECTIONS = 8


class Profile(NamedTuple):
    """Fits along the ridge, in the order of the values.

    ``log_likelihoods``: of all rows, NaN where there is no maximum.
    """

    values: Float[np.ndarray, " k"]
    log_likelihoods: Float[np.ndarray, " k"]
    models: list[MarginalMixture]

    def gaps(self, best: float) -> Float[np.ndarray, " k"]:
        """Twice the log-likelihood below that of the best fit."""
        return np.maximum(2 * (best - self.log_likelihoods), 0.0)


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
    fit = fit_of(name)
    log_likelihoods = np.full(len(values), np.nan)
    for direction in (range(first, len(values)), range(first - 1, -1, -1)):
        last = start if models[first] is None else models[first]
        for k in direction:
            last, log_likelihoods[k] = fit(last, X, name, values[k], fitter, missing)
            models[k] = last
    if np.isnan(log_likelihoods).all():
        raise ValueError(
            f"at none of the values of {name} has the likelihood a maximum"
        )
    return Profile(values, log_likelihoods, models)


def refined(
    found: Profile,
    fit: Callable[[MarginalMixture, float], tuple[MarginalMixture, float]],
    best: float,
    centre: float,
    cut: float,
) -> tuple[Profile, Float[np.ndarray, " 2"]]:
    """A profile with fits at the ends of the interval besides, and these ends.

    ``fit`` takes a start and a value. Between values far apart an interpolated end is a
    guess: a fit there corrects it, until one has its gap within a fiftieth of ``cut``.
    """
    for _ in range(_CORRECTIONS):
        ends = interval(found.values, found.gaps(best), centre, cut)
        for end in ends[np.isfinite(ends)]:
            gaps = found.gaps(best)
            side = (found.values - centre) * (end - centre) > 0
            if (np.abs(gaps[side] - cut) <= 0.02 * cut).any():
                continue
            nearest = int(np.abs(found.values - end).argmin())
            model, log_likelihood = fit(found.models[nearest], end)
            at = int(np.searchsorted(found.values, end))
            models = [*found.models[:at], model, *found.models[at:]]
            found = Profile(
                np.insert(found.values, at, end),
                np.insert(found.log_likelihoods, at, log_likelihood),
                models,
            )
    return found, interval(found.values, found.gaps(best), centre, cut)


def fit_of(name: str) -> Callable[..., tuple[MarginalMixture, float]]:
    return _at_shape if name in SHAPES.values() else _at_fixed


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
    start, model = model, _with_shape(model, value)
    has_pole = isinstance(model.joint.subordinator, Gamma) and value <= 0.5 * model.d
    last = previous = np.nan
    for _ in range(fitter.max_iter):
        sums = model.e_step_sums(X, missing=missing)
        now = float(sums.log_likelihood)
        if not np.isfinite(now) or (has_pole and float(sums.nearest) < _AT_POLE):
            return start, np.nan
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
