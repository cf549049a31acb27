"""Densities, distribution functions and histograms are those of the laws."""

from typing import Any

import jax
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.axes import Axes
from scipy import stats

from normix import (
    BatchEMFitter,
    Gamma,
    InverseGamma,
    MultivariateNormal,
    NormalInverseGaussian,
    UnivariateNormalInverseGaussian,
)
from normix.utils.plotting import (
    plot_mle_fit,
    plot_pdf_cdf_comparison,
    plot_sample_histograms,
)

GAMMA = Gamma(alpha=2.5, beta=2.0)
INVERSE = InverseGamma(alpha=3.0, beta=1.5)
NORMAL = MultivariateNormal.from_classical(mu=np.ones(1), sigma=np.full((1, 1), 4.0))
NIG = UnivariateNormalInverseGaussian.from_classical(
    mu=0.0, gamma=0.5, sigma=1.0, mu_ig=1.0, lam=1.0
)
EXACT: dict[str, Any] = {
    "gamma": stats.gamma(2.5, scale=0.5),
    "inverse gamma": stats.invgamma(3.0, scale=1.5),
    "normal": stats.norm(1.0, 2.0),
}
LAWS: dict[str, Any] = {"gamma": GAMMA, "inverse gamma": INVERSE, "normal": NORMAL}


def curve(ax: Axes, label: str) -> np.ndarray:
    (found,) = [drawn for drawn in ax.lines if drawn.get_label() == label]
    return np.stack(found.get_data())


def bars(ax: Axes, label: str) -> tuple[np.ndarray, np.ndarray]:
    """Heights and edges of a histogram."""
    (found,) = [patch for patch in ax.patches if patch.get_label() == label]
    heights, edges, _ = found.get_data()  # pyright: ignore
    return heights, edges


def legend(figure: Any) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_comparison_draws_densities_and_distribution_functions() -> None:
    figure = plot_pdf_cdf_comparison(LAWS)
    left, right = figure.axes
    for label, exact in EXACT.items():
        x, density = curve(left, label)
        np.testing.assert_allclose(density, exact.pdf(x), rtol=1e-8, atol=1e-300)
        x, probability = curve(right, label)
        np.testing.assert_allclose(probability, exact.cdf(x), rtol=1e-8, atol=1e-300)
        # All but 0.1 % at either end are in view, or eight interquartile ranges.
        quarter, middle, three_quarters = exact.ppf([0.25, 0.5, 0.75])
        reach = 7.9 * (three_quarters - quarter)
        low, high = left.get_xlim()
        assert low <= max(exact.ppf(0.0011), middle - reach)
        assert high >= min(exact.ppf(0.9989), middle + reach)
        assert left.get_ylim()[1] > exact.pdf(x).max()
    assert len({drawn.get_linestyle() for drawn in left.lines}) == 3
    assert legend(figure) == list(LAWS)
    assert (left.get_ylabel(), right.get_ylabel()) == (
        "density",
        "probability P(X ≤ x)",
    )
    assert left.get_xlabel() == right.get_xlabel() == "x"


def test_comparison_at_given_points() -> None:
    figure, axes = plt.subplots(1, 2)
    x = np.array([2.0, 0.5, 1.0])
    assert plot_pdf_cdf_comparison(LAWS, x=x, axes=axes) is figure
    at, density = curve(axes[0], "gamma")
    np.testing.assert_array_equal(at, [0.5, 1.0, 2.0])
    np.testing.assert_allclose(density, EXACT["gamma"].pdf(at))


def test_a_pole_does_not_hide_the_rest() -> None:
    steep = Gamma(alpha=0.3, beta=1.0)
    left, _ = plot_pdf_cdf_comparison({"steep": steep}).axes
    assert np.max(curve(left, "steep")[1]) > 5 * left.get_ylim()[1]
    assert left.get_ylim()[1] > 5 * float(steep.pdf(0.3))


def test_histograms_of_draws() -> None:
    laws = {"g": GAMMA, "n": NORMAL, "NIG": NIG}
    figure = plot_sample_histograms(laws, n=4000, seed=3)
    assert [ax.get_title(loc="left") for ax in figure.axes] == list(laws)
    assert legend(figure) == ["4,000 draws", "density"]
    for ax, law in zip(figure.axes, laws.values(), strict=True):
        heights, edges = bars(ax, "4,000 draws")
        draws = np.ravel(law.rvs(4000, seed=3))
        counts = np.histogram(draws, edges)[0]
        np.testing.assert_allclose(heights, counts / 4000 / np.diff(edges), rtol=1e-9)
        grid, density = curve(ax, "density")
        shape = (-1, 1) if law is NORMAL else (-1,)
        exact = np.exp(jax.vmap(law.log_prob)(grid[::40].reshape(shape)))
        np.testing.assert_allclose(density[::40], exact, rtol=1e-9)
        # What is drawn beside each other belongs together.
        probabilities = np.interp(0.5 * (edges[1:] + edges[:-1]), grid, density)
        assert np.abs(heights - probabilities).max() < 0.15 * density.max()


def test_histograms_by_key(key) -> None:
    ax = plot_sample_histograms({"g": GAMMA}, n=500, key=key).axes[0]
    heights, edges = bars(ax, "500 draws")
    draws = GAMMA.rvs(500, key=jax.random.split(key, 1)[0])
    counts = np.histogram(draws, edges)[0]
    np.testing.assert_allclose(heights, counts / 500 / np.diff(edges), rtol=1e-9)


def test_fit_of_one_variable() -> None:
    x = np.append(np.asarray(GAMMA.rvs(400, seed=1)), np.nan)
    fitted = Gamma.fit_mle(x[:-1])
    figure = plot_mle_fit(fitted, x, names=["claims"])
    (ax,) = figure.axes
    heights, edges = bars(ax, "data")
    assert edges[0] <= np.nanmin(x) and edges[-1] >= np.nanmax(x)
    assert heights @ np.diff(edges) == pytest.approx(1.0)
    grid, density = curve(ax, "gamma")
    exact = stats.gamma.pdf(grid, float(fitted.alpha), scale=1 / float(fitted.beta))
    np.testing.assert_allclose(density, exact, rtol=1e-8, atol=1e-300)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("claims", "density")


def test_outliers_are_not_shown_but_count() -> None:
    x = np.append(np.asarray(NORMAL.rvs(99, seed=1))[:, 0], 1e4)
    heights, edges = bars(plot_mle_fit(NORMAL, x[:, None]).axes[0], "data")
    assert edges[-1] < 100
    assert heights @ np.diff(edges) == pytest.approx(0.99)


def test_fit_of_columns_with_the_history() -> None:
    model = NormalInverseGaussian.from_classical(
        mu=np.zeros(2), gamma=np.zeros(2), sigma=np.eye(2), mu_ig=1.0, lam=1.0
    )
    X = np.asarray(model.rvs(300, seed=0))
    result = BatchEMFitter(tol=1e-2, track_ll=True).fit(model, X)
    figure = plot_mle_fit(result.model, X, result=result, names=["a", "b"])
    a, b, history = figure.axes
    assert [ax.get_xlabel() for ax in (a, b, history)] == ["a", "b", "iteration"]
    (values,) = history.lines
    np.testing.assert_array_equal(values.get_ydata(), result.log_likelihoods)
    grid, density = curve(b, "normal inverse Gaussian")
    one = result.model.project(np.array([0.0, 1.0]))
    np.testing.assert_allclose(density, one.pdf(grid), rtol=1e-8)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match=r"laws\['a'\] must be a law of one variable"):
        plot_pdf_cdf_comparison({"a": stats.norm})  # pyright: ignore
    with pytest.raises(ValueError, match="laws must be a dictionary of laws by label"):
        plot_sample_histograms([GAMMA])  # pyright: ignore
    with pytest.raises(ValueError, match="n must be at least 2, got 1"):
        plot_sample_histograms({"a": GAMMA}, n=1)
    with pytest.raises(ValueError, match=r"X must have shape \(n,\)"):
        plot_mle_fit(GAMMA, np.ones((5, 2)))
    with pytest.raises(ValueError, match="axes must be 2, got 1"):
        plot_pdf_cdf_comparison({"a": GAMMA}, axes=[plt.figure().add_subplot()])
