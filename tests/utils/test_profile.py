"""A profile is the greatest likelihood for each value, and its interval is read off."""

from typing import Any

import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import pytest
from scipy import optimize, stats

from normix import (
    BatchEMFitter,
    GeneralizedHyperbolic,
    IdentityUpdate,
    NormalInverseGamma,
    NormalInverseGaussian,
    UnivariateNormalInverseGaussian,
    UnivariateVarianceGamma,
)
from normix.utils import _ridge
from normix.utils.plotting import plot_profile

FITTER = BatchEMFitter(tol=1e-5, max_iter=2000)
X = np.asarray(
    UnivariateNormalInverseGaussian.from_classical(
        mu=0.2, gamma=-0.3, sigma=1.5, mu_ig=1.0, lam=0.8
    ).rvs(400, seed=3)
)
PAIRS = np.asarray(
    NormalInverseGaussian.from_classical(
        mu=np.zeros(2), gamma=np.array([0.4, 0.0]), sigma=np.eye(2), mu_ig=1.0, lam=1.0
    ).rvs(400, seed=4)
)


def profiled(family: Any, data: np.ndarray, name: str, values: list[float]) -> Any:
    start = FITTER.fit(family.default_init(data), data).model
    return _ridge.profile(start, data, name, np.array(values), FITTER, "raise")


def by_scipy(lam: float | None = None, mu: float | None = None) -> float:
    """The greatest log-likelihood of X under NIG laws, by a search over SciPy's."""

    def loss(free: np.ndarray) -> float:
        rest = list(free)
        location = rest.pop(0) if mu is None else mu
        shape = np.exp(rest.pop(0)) if lam is None else lam
        gamma, sigma = rest[0], np.exp(rest[1])
        # δ = σ√λ, β = γ/σ², α² = λ/σ² + β², for E[Y] = 1.
        delta, beta = sigma * np.sqrt(shape), gamma / sigma**2
        alpha = np.hypot(np.sqrt(shape) / sigma, beta)
        pdf = stats.norminvgauss.logpdf(
            X, alpha * delta, beta * delta, loc=location, scale=delta
        )
        return -float(pdf.sum())

    start = [0.1, 0.0, -0.2, 0.2]
    if lam is not None:
        del start[1]
    if mu is not None:
        del start[0]
    options = {"xatol": 1e-7, "fatol": 1e-9, "maxiter": 10_000}
    found = optimize.minimize(loss, start, method="Nelder-Mead", options=options)
    return -float(found.fun)


@pytest.mark.parametrize("name", ["lam", "mu"])
def test_profile_is_the_greatest_likelihood(name: str) -> None:
    values = [0.4, 0.9, 2.0] if name == "lam" else [-0.1, 0.25, 0.6]
    found = profiled(UnivariateNormalInverseGaussian, X, name, values)
    for value, ll, model in zip(*found, strict=True):
        assert _ridge.parameter(model, name) == pytest.approx(value)
        assert ll == pytest.approx(by_scipy(**{name: value}), abs=2e-4)
        own = float(model.marginal_log_likelihood(X)) * len(X)
        assert ll == pytest.approx(own, abs=1e-8)


def test_profile_of_the_order_meets_the_families_within() -> None:
    """At p = -1/2 it is the normal inverse Gaussian law's own maximum."""
    found = profiled(GeneralizedHyperbolic, PAIRS, "p", [-1.0, -0.5, 0.5])
    own = FITTER.fit(NormalInverseGaussian.default_init(PAIRS), PAIRS)
    assert found.log_likelihoods[1] == pytest.approx(400 * own.log_likelihood, abs=1e-3)


def test_profile_of_a_skew_t_shape_is_that_of_a_held_mixing_law() -> None:
    """In several dimensions: no normal part does better, by the score."""
    found = profiled(NormalInverseGamma, PAIRS, "alpha", [1.2, 2.5])
    for value, model in zip(found.values, found.models, strict=True):
        assert float(model.alpha) == pytest.approx(value)
        law = model.joint
        scores = np.asarray(model.score(PAIRS)).sum(axis=0)
        step = 1e-4
        for direction in np.eye(2):
            moved = model.replace(mu=law.mu + step * direction)
            gain = moved.marginal_log_likelihood(PAIRS)
            assert 400 * float(gain - model.marginal_log_likelihood(PAIRS)) < 1e-4
        # What of the score is not of the shape, the last coordinate, vanishes.
        assert np.abs(scores[:-1]).max() < 0.05 * np.sqrt(400)
        assert np.abs(scores[-1]) > np.abs(scores[:-1]).max()


def test_a_value_without_a_maximum_is_left_out() -> None:
    """A variance gamma law has a pole at μ for α ≤ 1/2: here on the first row."""
    start = UnivariateVarianceGamma.from_classical(
        mu=X[0], gamma=0.0, sigma=2.0, alpha=0.3, beta=0.3
    )
    found = _ridge.profile(start, X, "alpha", np.array([0.3, 2.0]), FITTER, "raise")
    assert np.isnan(found.log_likelihoods[0]) and np.isfinite(found.log_likelihoods[1])


def test_interval_by_signed_roots() -> None:
    values = np.array([-3.0, -1.0, 0.0, 2.0, 4.0])
    gaps = (values - 0.5) ** 2 / 0.49  # a normal likelihood of deviation 0.7
    ends = _ridge.interval(values, gaps, 0.5, stats.chi2(1).ppf(0.95))
    np.testing.assert_allclose(ends, 0.5 + 0.7 * stats.norm.ppf([0.025, 0.975]))
    ends = _ridge.interval(values[2:], gaps[2:], 0.5, stats.chi2(1).ppf(0.95))
    assert np.isnan(ends[0]) and ends[1] == pytest.approx(0.5 + 0.7 * 1.959964)
    # Of a likelihood with several maxima the end that is next to the highest.
    values = np.array([0.0, 1.0, 2.0, 3.0])
    _, end = _ridge.interval(values, np.array([0.0, 5.0, 2.0, 9.0]), 0.0, 3.84)
    assert 0 < end < 1


def test_interval_without_some_fits() -> None:
    values = np.array([-3.0, -1.0, 0.0, 2.0, 4.0])
    gaps = (values - 0.5) ** 2 / 0.49
    gaps[4] = np.nan
    assert np.isfinite(_ridge.interval(values, gaps, 0.5, 3.84)).all()


def test_an_end_between_values_far_apart_is_found_by_fits() -> None:
    """The gap as a function of the value: (log value)², steep at first."""
    asked = []

    def fit(start: Any, value: float) -> tuple[Any, float]:
        asked.append(value)
        return start, -0.5 * np.log(value) ** 2

    values = np.array([0.5, 1000.0])
    found = _ridge.Profile(values, -0.5 * np.log(values) ** 2, [None, None])  # pyright: ignore
    found, ends = _ridge.refined(found, fit, 0.0, 1.0, 1.0)
    assert np.isnan(ends[0]) and ends[1] == pytest.approx(np.e, rel=0.02)
    assert (np.diff(found.values) > 0).all() and set(asked) <= set(found.values)


def drawn(ax: Any, label: str) -> np.ndarray:
    (found,) = [one for one in ax.lines if one.get_label() == label]
    return np.stack(found.get_data())


def test_picture_of_a_shape() -> None:
    fit = FITTER.fit(UnivariateNormalInverseGaussian.default_init(X), X)
    values = np.array([10.0, 0.6, 0.9, 1.4, 2.5, 5.0])
    figure = plot_profile(fit.model, X, "lam", values, level=0.9, fitter=FITTER)
    left, right = figure.axes
    at, gaps = drawn(left, "fit at a value")
    assert set(values) <= set(at) and len(at) < len(values) + 8
    best = by_scipy()
    expected = [2 * (best - by_scipy(lam=value)) for value in at]
    np.testing.assert_allclose(gaps, expected, atol=2e-3)
    (top,) = drawn(left, "maximum").T
    assert top[0] == pytest.approx(float(fit.model.lam / fit.model.mu_ig), rel=1e-2)
    assert top[1] == 0
    cut = stats.chi2(1).ppf(0.9)
    np.testing.assert_allclose(drawn(left, f"χ², 90 %: {cut:.3g}")[1], cut)
    marked = [one for one in left.lines if one.get_label() == "_end"]
    ends = [np.asarray(one.get_xdata())[0] for one in marked]
    # There SciPy's search finds the quantile.
    for end in ends:
        assert 2 * (best - by_scipy(lam=float(end))) == pytest.approx(cut, rel=0.03)
    assert len(ends) == 2
    label = figure.legends[0].get_texts()[-1].get_text()
    assert label == f"90 % interval: {ends[0]:.3g} to {ends[1]:.3g}"
    # The curve passes through the points.
    x, curve = drawn(left, "_profile")
    np.testing.assert_allclose(np.interp(at, x, curve), gaps, rtol=0.02, atol=0.02)
    x, mu = drawn(right, "_curve")
    assert len(x) == len(at) + 1 and (np.diff(x) > 0).all()
    assert right.get_ylabel() == "location μ"
    assert left.get_xlabel() == right.get_xlabel() == "shape λ, E[Y] = 1"
    assert left.get_ylabel() == "twice the fall of log-likelihood"


def test_picture_with_gaps_and_a_function_along() -> None:
    data = PAIRS.copy()
    data[5, 0] = data[11, 1] = np.nan
    start = FITTER.fit(NormalInverseGaussian.default_init(PAIRS), PAIRS).model
    figure, axes = plt.subplots(1, 2)
    drawn_by = plot_profile(
        start,
        data,
        "lam",
        np.array([0.8, 1.1]),
        along=lambda model: jnp.diagonal(model.cov()),
        missing="em",
        names=["a", "b"],
        axes=axes,
    )
    assert drawn_by is figure
    assert [one.get_label() for one in axes[1].lines[::2]][:2] == ["a", "b"]
    assert drawn(axes[1], "b")[1] == pytest.approx(np.nanvar(data[:, 1]), rel=0.3)


def test_what_cannot_be_held_is_refused() -> None:
    nig = UnivariateNormalInverseGaussian.default_init(X)
    values = np.array([0.5, 1.0])
    vg = UnivariateVarianceGamma.default_init(X)
    rule = BatchEMFitter(eta_update=IdentityUpdate())
    refused: list[tuple[Any, str, Any, Any, str]] = [
        (nig, "p", values, None, "name must be one of lam, mu for a Univariate"),
        (nig, "lam", values[:1], None, "values must be at least 2 different ones"),
        (nig, "lam", values - 0.5, None, "values of lam must be positive, got 0"),
        (vg, "p", values, None, "name must be one of alpha, mu for a Univariate"),
        (nig, "lam", np.ones((2, 2)), None, r"values must have shape \(n,\)"),
        (nig, "mu", values, BatchEMFitter(fix={"mu": [0.0]}), "fitter holds mu itself"),
        (nig, "lam", values, BatchEMFitter(symmetric=True), "cannot hold anything els"),
        (nig, "lam", values, rule, "fitter must have no eta_update"),
        (X, "lam", values, None, "model must be a mixture, got a ndarray"),
    ]
    for model, name, at, fitter, match in refused:
        with pytest.raises(ValueError, match=match):
            plot_profile(model, X, name, at, fitter=fitter)
    assert not plt.get_fignums()
