"""The pictures show the numbers that they claim to."""

import dataclasses
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgb
from matplotlib.container import ErrorbarContainer
from scipy import stats

from normix import BatchEMFitter, EMResult, NormalInverseGaussian
from normix.utils import (
    _histogram,
    _margins,
    _panels,
    _theme,
    plotting,
)
from normix.utils.plotting import (
    plot_em_convergence,
    plot_margins,
    savefig,
    set_theme,
    style_axes,
)


@pytest.fixture(scope="module")
def model() -> NormalInverseGaussian:
    return NormalInverseGaussian.from_classical(
        mu=np.array([0.5, -1.0, 1000.0]),
        gamma=np.array([-0.4, 0.0, 30.0]),
        sigma=np.array([[1.0, 0.3, 0.0], [0.3, 0.5, 2.0], [0.0, 2.0, 900.0]]),
        mu_ig=1.5,
        lam=0.8,
    )


@pytest.fixture(scope="module")
def X(model: NormalInverseGaussian) -> np.ndarray:
    # As many rows as the docstrings' data have, so that one compiled fit serves all.
    return np.asarray(model.rvs(4529, seed=1))


@pytest.fixture(scope="module")
def result(model: NormalInverseGaussian, X: np.ndarray) -> EMResult:
    return BatchEMFitter(tol=1e-4, track_ll=True).fit(model, X)


def lines(ax: Axes) -> dict[str, np.ndarray]:
    """The (x, y) of each line, shape (2, m), by its label."""
    return {str(line.get_label()): np.stack(line.get_data()) for line in ax.lines}


def histogram(ax: Axes) -> np.ndarray:
    """Centres, heights and standard errors, shape (3, bins)."""
    (container,) = ax.containers
    assert isinstance(container, ErrorbarContainer)
    dots, _, (bars,) = container.lines
    assert dots is not None and isinstance(bars, LineCollection)
    errors = [
        np.ptp(segment[:, 1]) / 2 for segment in map(np.array, bars.get_segments())
    ]
    return np.stack([*dots.get_data(), errors])


# -- margins -------------------------------------------------------------------------


def reference(model: NormalInverseGaussian, j: int) -> Any:
    """SciPy's law of margin j: δ = σ√λ, β = γ/σ², α² = λ/(σ mu_ig)² + β²."""
    sigma = float(np.sqrt(model.sigma()[j, j]))
    delta = sigma * float(np.sqrt(model.lam))
    beta = float(model.gamma[j]) / sigma**2
    root = float(np.sqrt(model.lam)) / (float(model.mu_ig) * sigma)
    alpha = np.hypot(root, beta)
    return stats.norminvgauss(
        alpha * delta, beta * delta, loc=float(model.mu[j]), scale=delta
    )


def test_margins_are_those_of_the_model(model, X, result) -> None:
    figure = plot_margins(model, X, names=["a", "b", "c"], result=result)
    assert [ax.get_title(loc="left") for ax in figure.axes] == [
        "a",
        "b",
        "c",
        "Mean log-likelihood",
    ]
    for j, ax in enumerate(figure.axes[:3]):
        drawn = lines(ax)
        grid, density = drawn["normal inverse Gaussian"]
        expected = reference(model, j).pdf(grid)
        np.testing.assert_allclose(density, expected, rtol=1e-8)
        # The same, by the class itself.
        one = NormalInverseGaussian.from_classical(
            mu=model.mu[j : j + 1],
            gamma=model.gamma[j : j + 1],
            sigma=model.sigma()[j : j + 1, j : j + 1],
            mu_ig=model.mu_ig,
            lam=model.lam,
        )
        points = jnp.asarray(grid[::40, None])
        log_density = jax.vmap(one.log_prob)(points)
        np.testing.assert_allclose(np.log(density[::40]), log_density, rtol=1e-10)
        grid, density = drawn["normal of the same mean and variance"]
        expected = stats.norm.pdf(grid, X[:, j].mean(), X[:, j].std())
        np.testing.assert_allclose(density, expected, rtol=1e-12, atol=1e-300)


def test_margins_axes_show_the_tails(model, X) -> None:
    for j, ax in enumerate(plot_margins(model, X).axes):
        assert ax.get_yscale() == "log"
        (left, right), (bottom, top) = ax.get_xlim(), ax.get_ylim()
        centres, heights, _ = histogram(ax)
        assert left < centres.min() < centres.max() < right
        assert bottom < heights.min() < heights.max() < top
        assert bottom > heights.min() / 100  # not the normal's 1e-30
        grid, density = lines(ax)["normal inverse Gaussian"]
        assert density.max() < top
        assert (grid[0], grid[-1]) == (left, right)
        # Well resolved: over the panel's middle the curve integrates to its share.
        exact = np.diff(reference(model, j).cdf([left, right]))
        assert np.trapezoid(density, grid) == pytest.approx(exact[0], rel=2e-3)


def test_histogram_is_a_density(model, X) -> None:
    ax = plot_margins(model, X).axes[1]
    centres, heights, errors = histogram(ax)
    assert (np.diff(centres) > 0).all()
    # As near to the law as its standard errors say.
    exact = reference(model, 1).pdf(centres)
    assert (np.abs(heights - exact) < 3 * errors).mean() > 0.9


@pytest.mark.parametrize(
    "column",
    [
        np.array([0.0, 1.0]),
        np.array([1.0] * 50 + [2.0]),
        np.array([-1e6] + [0.0] * 98 + [1e6]),
        np.linspace(0, 1, 7),
        stats.t(1).rvs(2000, random_state=3),
        stats.expon.rvs(size=500, random_state=4),
        stats.norm.rvs(size=20_000, random_state=5),
    ],
)
def test_histogram_of_odd_data(column: np.ndarray) -> None:
    centres, heights, errors = _histogram.histogram(column)
    n = len(column)
    counts = (heights / errors) ** 2  # error = height / sqrt(count)
    np.testing.assert_allclose(counts, np.round(counts), rtol=1e-9)
    assert counts.sum() == pytest.approx(n)
    assert (counts @ centres) / n == pytest.approx(column.mean(), abs=1e-9)
    assert (heights > 0).all()
    if n >= 500:
        # All but what is left over beside the peak.
        assert (counts < 5).sum() <= 1
    grid = _histogram.density_grid(column, centres[0], centres[-1])
    assert (np.diff(grid) >= 0).all()
    assert grid[0] <= column.min() or len(centres) > 2 or grid[0] < centres[0]


def test_margins_by_default_have_numbered_names(model, X) -> None:
    figure = plot_margins(model, X)
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["x1", "x2", "x3"]


def test_margins_have_one_legend(model, X, result) -> None:
    figure = plot_margins(model, X, result=result)
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [
        "data",
        "normal inverse Gaussian",
        "normal of the same mean and variance",
    ]
    assert all(ax.get_legend() is None for ax in figure.axes)


@pytest.mark.parametrize("d", [1, 2, 3, 4, 10, 11])
def test_panels_do_not_overlap(d: int) -> None:
    figure, panels = _panels.panels_of(d, True)
    assert len(panels) == d + 1
    for ax in panels:
        ax.set_title("name")
    figure.canvas.draw()
    boxes = [ax.get_tightbbox() for ax in panels]
    for k, box in enumerate(boxes):
        assert box is not None
        assert not any(box.overlaps(other) for other in boxes[:k] if other)


def test_many_columns_are_cut_off(monkeypatch, model, X) -> None:
    monkeypatch.setattr(_margins, "MOST_PANELS", 2)
    assert len(plot_margins(model, X).axes) == 2


def test_margins_refuse_what_does_not_fit(model, X, result) -> None:
    with pytest.raises(ValueError, match="3 columns as the model has"):
        plot_margins(model, X[:, :2])
    with pytest.raises(ValueError, match="names must be 3, one a column"):
        plot_margins(model, X, names=["a", "b"])
    with pytest.raises(ValueError, match=r"constant columns: \[1\]"):
        plot_margins(model, X * [1.0, 0.0, 1.0])
    with pytest.raises(ValueError, match=r"BatchEMFitter\(track_ll=True\)"):
        plot_margins(model, X, result=dataclasses.replace(result, log_likelihoods=None))
    assert not plt.get_fignums()  # nothing half drawn is left


# -- convergence ---------------------------------------------------------------------


def test_convergence_shows_the_histories(result) -> None:
    assert result.n_iter > 1
    left, right = plot_em_convergence(result, tol=1e-4).axes
    iterations = np.arange(1, result.n_iter + 1)
    (values,) = lines(left).values()
    np.testing.assert_array_equal(values, [iterations, result.log_likelihoods])
    changes, tolerance = lines(right).values()
    np.testing.assert_array_equal(changes, [iterations, result.criteria])
    np.testing.assert_array_equal(tolerance[1], 1e-4)
    assert right.get_yscale() == "log"
    assert left.get_yscale() == "linear"


def test_margins_show_the_log_likelihoods(model, X, result) -> None:
    (values,) = lines(plot_margins(model, X, result=result).axes[-1]).values()
    np.testing.assert_array_equal(values[1], result.log_likelihoods)


def test_convergence_draws_into_given_axes(result) -> None:
    figure, axes = plt.subplots(2, 1)
    assert plot_em_convergence(result, axes=axes) is figure
    assert all(len(ax.lines) == 1 for ax in axes)
    with pytest.raises(ValueError, match="axes must be two, got 1"):
        plot_em_convergence(result, axes=axes[:1])


def test_convergence_leaves_out_what_jit_pads(result) -> None:
    padded = dataclasses.replace(
        result,
        log_likelihoods=jnp.append(result.log_likelihoods, jnp.nan),
        criteria=jnp.append(result.criteria, jnp.nan),
        n_iter=jnp.asarray(result.n_iter),
    )
    (values,) = lines(plot_em_convergence(padded).axes[0]).values()
    np.testing.assert_array_equal(values[1], result.log_likelihoods)


def test_convergence_of_a_change_of_zero(result) -> None:
    changes = result.criteria.at[-1].set(0.0)
    figure = plot_em_convergence(dataclasses.replace(result, criteria=changes))
    figure.canvas.draw()
    (drawn,) = lines(figure.axes[1]).values()
    assert np.isnan(drawn[1, -1])
    np.testing.assert_array_equal(drawn[1, :-1], changes[:-1])


def test_convergence_needs_a_history(model, X, result) -> None:
    with pytest.raises(ValueError, match=r"BatchEMFitter\(track_ll=True\)"):
        plot_em_convergence(BatchEMFitter(tol=1e-4).fit(model, X))
    with pytest.raises(ValueError, match="no iteration was done"):
        plot_em_convergence(dataclasses.replace(result, n_iter=0))
    batch = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), result)
    with pytest.raises(ValueError, match="must be of one fit"):
        plot_em_convergence(batch)


# -- the theme -----------------------------------------------------------------------


def test_theme_scales() -> None:
    set_theme()
    plain = matplotlib.rcParams["font.size"], matplotlib.rcParams["lines.linewidth"]
    set_theme(scale=1.5)
    large = matplotlib.rcParams["font.size"], matplotlib.rcParams["lines.linewidth"]
    np.testing.assert_allclose(large, np.multiply(plain, 1.5))
    assert not matplotlib.rcParams["axes.spines.top"]


@pytest.mark.parametrize("scale", [0.0, -1.0, np.nan, np.inf])
def test_theme_refuses_a_scale(scale: float) -> None:
    with pytest.raises(ValueError, match="scale must be positive and finite"):
        set_theme(scale=scale)


def test_theme_colours_are_told_apart() -> None:
    colours = np.array([to_rgb(c) for c in _theme.COLOURS])
    distance = np.abs(colours[:, None] - colours).max(axis=2)
    assert distance[np.triu_indices(len(colours), 1)].min() > 0.15


def test_styles_of_lines_differ_without_colours_too() -> None:
    styles = _theme.law_styles(6)
    assert len({str(style["linestyle"]) for style in styles}) == 6
    pairs = {(s["color"], str(s["linestyle"])) for s in _theme.law_styles(42)}
    assert len(pairs) == 42


def test_every_picture_is_in_the_reference() -> None:
    page = (Path(__file__).parents[2] / "docs" / "api.md").read_text()
    listed = set(page.partition("## Pictures")[2].split())
    names = {name for name in vars(plotting) if name.startswith("plot_")}
    assert len(names) == 12 and names <= listed


def test_style_axes_and_savefig(tmp_path: Path) -> None:
    figure, ax = plt.subplots()
    assert style_axes(ax) is ax
    assert not ax.spines["top"].get_visible()
    assert not ax.spines["right"].get_visible()
    savefig(figure, tmp_path / "figure.png")
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")
    savefig(figure, str(tmp_path / "figure.svg"))
    assert "<svg" in (tmp_path / "figure.svg").read_text()


def test_no_matplotlib_until_called() -> None:
    code = """
import sys
import normix, normix.utils.plotting as plotting
assert not any(name.partition(".")[0] == "matplotlib" for name in sys.modules)
plotting.set_theme()
assert "matplotlib.pyplot" not in sys.modules  # which would look for a display
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_missing_matplotlib_is_explained(monkeypatch, model, X, result) -> None:
    for name in ("matplotlib", "matplotlib.pyplot"):
        monkeypatch.setitem(sys.modules, name, None)
    for draw in (
        set_theme,
        lambda: plot_em_convergence(result),
        lambda: plot_margins(model, X),
        lambda: plotting.plot_qq(model, X),
        lambda: plotting.plot_pairs(model, X),
    ):
        with pytest.raises(ImportError, match="pip install matplotlib"):
            draw()
