"""Contours hold the probability that they claim; pairs and margins are the model's."""

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.contour import ContourSet
from matplotlib.path import Path
from scipy import stats

from normix import (
    FactorNormalInverseGaussian,
    MultivariateNormal,
    NormalInverseGaussian,
    UnivariateNormalInverseGaussian,
    UnivariateVarianceGamma,
)
from normix.utils.plotting import plot_joint_1d, plot_marginal_2d, plot_pairs

SIGMA = np.array([[1.0, 0.4, 0.0], [0.4, 4.0, -0.5], [0.0, -0.5, 2.0]])
MU = np.array([1.0, -2.0, 0.0])
MODEL = NormalInverseGaussian.from_classical(
    mu=MU, gamma=np.array([0.8, 0.0, -0.5]), sigma=SIGMA, mu_ig=1.0, lam=1.0
)
NORMAL = MultivariateNormal.from_classical(mu=MU, sigma=SIGMA)


def contours(ax: Axes) -> list[Any]:
    """The paths of the contours, from the outermost to the innermost."""
    (drawn,) = [c for c in ax.get_children() if isinstance(c, ContourSet)]
    assert len(set(map(str, drawn.linestyles or []))) == len(drawn.get_paths())
    return list(drawn.get_paths())


def inside(path: Any, points: np.ndarray) -> np.ndarray:
    """Which points a path of several closed loops has within it."""
    path.should_simplify = False  # to a ninth of a unit, which is meant to be a pixel
    loops = path.to_polygons(closed_only=False)
    held = [Path(loop, closed=True).contains_points(points) for loop in loops]
    return np.sum(held, axis=0) % 2 == 1


def labels(legend: Any) -> list[str]:
    return [text.get_text() for text in legend.get_texts()]


@pytest.mark.parametrize("law", [MODEL, NORMAL])
def test_contours_hold_their_probability(law: Any) -> None:
    ax = plot_marginal_2d(law, columns=(2, 1), contents=(0.5, 0.9, 0.99)).axes[0]
    fresh = np.asarray(law.rvs(20_000, seed=77))[:, [2, 1]]
    outer, middle, inner = contours(ax)
    for path, content in ((inner, 0.5), (middle, 0.9), (outer, 0.99)):
        error = np.sqrt(2 * content * (1 - content) / 20_000)
        assert inside(path, fresh).mean() == pytest.approx(content, abs=4 * error)
    assert ax.get_xlabel() == "x3" and ax.get_ylabel() == "x2"


def test_contours_of_a_normal_law_are_ellipses() -> None:
    ax = plot_marginal_2d(NORMAL, columns=(0, 1), contents=[0.9]).axes[0]
    (path,) = contours(ax)
    gap = path.vertices - MU[:2]
    squares = (gap @ np.linalg.inv(SIGMA[:2, :2]) * gap).sum(axis=1)
    np.testing.assert_allclose(squares, stats.chi2(2).ppf(0.9), rtol=0.05)


def test_contours_of_a_joint_law_hold_their_probability() -> None:
    for law in (
        UnivariateNormalInverseGaussian.from_classical(
            mu=0.0, gamma=0.6, sigma=1.0, mu_ig=1.0, lam=1.5
        ),
        UnivariateVarianceGamma.from_classical(
            mu=0.0, gamma=0.3, sigma=1.0, alpha=0.8, beta=0.8
        ),
    ):
        ax = plot_joint_1d(law.joint).axes[0]
        X, Y = law.joint.rvs(20_000, seed=5)
        fresh = np.stack([np.asarray(X)[:, 0], np.asarray(Y)], axis=1)
        for path, content in zip(contours(ax), (0.99, 0.9, 0.5), strict=True):
            error = np.sqrt(2 * content * (1 - content) / 20_000)
            held = inside(path, fresh).mean()
            assert held == pytest.approx(content, abs=4 * error)


def test_pairs_show_data_and_margins() -> None:
    X = np.array(MODEL.rvs(300, seed=4))
    X[5, 0] = X[9, 1] = np.nan
    figure = plot_pairs(MODEL, X, names=["a", "b", "c"], contents=[0.9])
    assert len(figure.axes) == 6
    # Row by row, what is left of them.
    places = [(0, 0), (1, 0), (1, 1), (2, 0), (2, 1), (2, 2)]
    panels = dict(zip(places, figure.axes, strict=True))
    for i, j in ((1, 0), (2, 0), (2, 1)):
        seen = X[~np.isnan(X[:, [j, i]]).any(axis=1)][:, [j, i]]
        (dots,) = panels[i, j].lines
        np.testing.assert_array_equal(np.stack(dots.get_data(), axis=1), seen)
        (path,) = contours(panels[i, j])
        held = inside(path, np.asarray(MODEL.rvs(20_000, seed=8))[:, [j, i]]).mean()
        assert held == pytest.approx(0.9, abs=0.012)
        assert panels[i, j].get_xlim() == panels[2, j].get_xlim()
    for k in range(3):
        curve, dots = panels[k, k].lines
        grid, density = np.stack(curve.get_data())
        one = MODEL.marginal([k])
        exact = [float(one.pdf(np.array([x]))) for x in grid[::50]]
        np.testing.assert_allclose(density[::50], exact, rtol=1e-9)
        column = X[~np.isnan(X[:, k]), k]
        assert np.asarray(dots.get_xdata()).max() <= column.max()
        assert panels[k, k].get_yscale() == "log"
        assert panels[k, k].get_xlim() == panels[2, k].get_xlim()
        assert panels[2, k].get_xlabel() == "abc"[k]
    assert [panels[k, 0].get_ylabel() for k in (1, 2)] == ["b", "c"]
    assert labels(figure.legends[0]) == [
        "data",
        "density, normal inverse Gaussian, log scale",
        "90 % contour",
    ]


def test_pairs_of_chosen_columns_and_other_forms() -> None:
    factor = FactorNormalInverseGaussian.from_classical(
        mu=MU, gamma=np.zeros(3), F=np.ones((3, 2)), D=np.ones(3), mu_ig=1.0, lam=1.0
    )
    X = np.asarray(factor.rvs(100, seed=1))
    figure = plot_pairs(factor, X, names=["a", "b", "c"], columns=["c", 0])
    assert len(figure.axes) == 3
    first, pair, _ = figure.axes
    grid, density = np.stack(first.lines[0].get_data())
    law: Any = factor.project(np.array([0.0, 0.0, 1.0]))
    np.testing.assert_allclose(density, law.pdf(grid), rtol=1e-8)
    np.testing.assert_array_equal(pair.lines[0].get_xdata(), X[:, 2])
    np.testing.assert_array_equal(pair.lines[0].get_ydata(), X[:, 0])
    assert (pair.get_xlabel(), pair.get_ylabel()) == ("c", "a")
    assert len(plot_pairs(NORMAL, X, columns=[1]).axes) == 1


def test_marginal_2d_leaves_out_gaps_and_draws_into_axes() -> None:
    X = np.array(NORMAL.rvs(50, seed=1))
    X[3, 0] = X[4, 2] = np.nan
    figure, ax = plt.subplots()
    assert plot_marginal_2d(NORMAL, X, columns=(1, 2), ax=ax) is figure
    seen = np.delete(X, 4, axis=0)
    np.testing.assert_array_equal(ax.lines[0].get_xdata(), seen[:, 1])
    (left, right), (bottom, top) = ax.get_xlim(), ax.get_ylim()
    assert left < seen[:, 1].min() and seen[:, 1].max() < right
    for path in contours(ax):
        assert bottom < path.vertices[:, 1].min() < path.vertices[:, 1].max() < top
    assert labels(ax.get_legend())[0] == "data"


def test_joint_margins_and_sample() -> None:
    law = UnivariateNormalInverseGaussian.from_classical(
        mu=0.5, gamma=0.6, sigma=1.0, mu_ig=1.0, lam=1.5
    )
    X, Y = law.joint.rvs(400, seed=1)
    figure = plot_joint_1d(law.joint, (X, Y), names=("r", "v"))
    centre, top, right = figure.axes
    points, mean = centre.lines
    np.testing.assert_array_equal(points.get_xdata(), X[:, 0])
    np.testing.assert_array_equal(points.get_ydata(), Y)
    at, y = np.stack(mean.get_data())
    np.testing.assert_allclose(at, 0.5 + 0.6 * y)
    x, density = np.stack(top.lines[0].get_data())
    np.testing.assert_allclose(density, law.pdf(x), rtol=1e-9)
    density, y = np.stack(right.lines[0].get_data())
    exact = stats.invgauss.pdf(y, 1 / 1.5, scale=1.5)
    np.testing.assert_allclose(density, exact, rtol=1e-8, atol=1e-200)
    for ax, values in ((top, X[:, 0]), (right, Y)):
        heights, edges, _ = ax.patches[0].get_data()  # pyright: ignore
        counts = np.histogram(values, edges)[0]
        np.testing.assert_allclose(heights, counts / 400 / np.diff(edges))
    assert (centre.get_xlabel(), centre.get_ylabel()) == ("r", "v")
    assert labels(figure.legends[0])[:2] == ["sample", "mean of r given v"]


def test_what_does_not_fit_is_refused() -> None:
    X = np.asarray(MODEL.rvs(20, seed=4))
    with pytest.raises(ValueError, match="columns must be among x1, x2, x3 or 0 to 2"):
        plot_pairs(MODEL, X, columns=[3])
    with pytest.raises(ValueError, match="columns must be 1 to 8, each once"):
        plot_pairs(MODEL, X, columns=[0, 0])
    with pytest.raises(ValueError, match="columns must be two"):
        plot_marginal_2d(MODEL, X, columns=(0, 1, 2))  # pyright: ignore
    with pytest.raises(ValueError, match="contents must be probabilities between"):
        plot_pairs(MODEL, X, contents=[0.5, 1.0])
    with pytest.raises(ValueError, match="contents must be up to 6 different ones"):
        plot_marginal_2d(MODEL, contents=[0.5, 0.5])
    with pytest.raises(ValueError, match="in two dimensions or more, got a Univ"):
        plot_pairs(MODEL.project(np.ones(3)), X)
    with pytest.raises(ValueError, match="joint law of a mixture in one dimension"):
        plot_joint_1d(MODEL.joint)
    joint = MODEL.marginal([0]).joint
    with pytest.raises(ValueError, match="Y must be positive, got -1.0 in row 1"):
        plot_joint_1d(joint, (np.zeros(2), np.array([1.0, -1.0])))
    with pytest.raises(ValueError, match=r"Y must have shape \(2,\)"):
        plot_joint_1d(joint, (np.zeros(2), np.ones(3)))
    assert not plt.get_fignums()
