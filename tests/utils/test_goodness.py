"""Quantiles, transforms and tails are drawn where they are, and bands hold."""

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.axes import Axes
from scipy import stats

from normix import (
    Gamma,
    MultivariateNormal,
    NormalInverseGaussian,
    UnivariateNormalInverseGaussian,
)
from normix.utils import _bands, _laws
from normix.utils.plotting import plot_pit, plot_qq, plot_tails

NIG = UnivariateNormalInverseGaussian.from_classical(
    mu=0.1, gamma=-0.3, sigma=1.5, mu_ig=1.0, lam=0.8
)


def scipy_nig(law: Any) -> Any:
    """SciPy's law: δ = σ√λ, β = γ/σ², α² = λ/(σ mu_ig)² + β²."""
    sigma = float(np.sqrt(law.sigma()))
    delta, beta = sigma * float(np.sqrt(law.lam)), float(law.gamma) / sigma**2
    alpha = np.hypot(float(np.sqrt(law.lam)) / (float(law.mu_ig) * sigma), beta)
    return stats.norminvgauss(
        alpha * delta, beta * delta, loc=float(law.mu), scale=delta
    )


def line(ax: Axes, label: str) -> np.ndarray:
    """The (x, y) of one line, shape (2, m)."""
    (found,) = [drawn for drawn in ax.lines if drawn.get_label() == label]
    return np.stack(found.get_data())


def legend(figure) -> list[str]:
    return [text.get_text() for one in figure.legends for text in one.get_texts()]


# -- bands ---------------------------------------------------------------------------


def test_coverage_by_hand() -> None:
    def covered(ranks, n, low, high):
        return _bands.coverage(
            np.array(ranks), n, np.array(low, float), np.array(high, float)
        )

    assert covered([1], 1, [0.1], [0.7]) == pytest.approx(0.6)
    # Twice the area of x < y, .1 < x < .7, .3 < y < .8.
    assert covered([1, 2], 2, [0.1, 0.3], [0.7, 0.8]) == pytest.approx(0.44)
    # One order statistic alone: its Beta law.
    exact = np.diff(stats.beta(3, 5).cdf([0.2, 0.6]))[0]
    assert covered([3], 7, [0.2], [0.6]) == pytest.approx(exact)
    assert covered([1, 2], 2, [0.0, 0.5], [0.4, 0.45]) == 0.0
    # Kolmogorov's statistic: |F_n - F| < c.
    n, c, k = 20, 0.25, np.arange(1, 21)
    held = covered(k, n, np.maximum(k / n - c, 0), np.minimum((k - 1) / n + c, 1))
    assert held == pytest.approx(stats.kstwo(n).cdf(c), rel=1e-9)


@pytest.mark.parametrize("n", [1, 7, 200])
def test_simultaneous_band_holds_all_points(n: int) -> None:
    u = np.sort(np.random.default_rng(n).random((20_000, n)), axis=1)
    low, high = _bands.order_bands(n, 0.9, True)
    share = ((u >= low) & (u <= high)).all(axis=1).mean()
    assert share == pytest.approx(0.9, abs=4 * np.sqrt(0.09 / 20_000))
    # The same local level for all.
    k = np.arange(1, n + 1)
    local = stats.beta(k, n + 1 - k)
    np.testing.assert_allclose(local.cdf(low), local.cdf(low)[0], rtol=1e-8)
    np.testing.assert_allclose(local.sf(high), local.cdf(low)[0], rtol=1e-5)


def test_pointwise_band_holds_each_point() -> None:
    low, high = _bands.order_bands(50, 0.8, False)
    k = np.arange(1, 51)
    held = stats.beta(k, 51 - k).cdf(high) - stats.beta(k, 51 - k).cdf(low)
    np.testing.assert_allclose(held, 0.8, rtol=1e-10)


def test_many_values_are_thinned_with_the_band_of_those_shown() -> None:
    n = 30_000
    ranks = _bands.shown_ranks(n)
    assert len(ranks) == len(set(ranks)) == 5000
    assert (ranks[0], ranks[-1]) == (1, n)
    assert set(range(1, 1251)) <= set(ranks)
    u = np.sort(np.random.default_rng(0).random((300, n)), axis=1)[:, ranks - 1]
    low, high = _bands.order_bands(n, 0.9, True)
    share = ((u >= low) & (u <= high)).all(axis=1).mean()
    assert share == pytest.approx(0.9, abs=4 * np.sqrt(0.09 / 300))


# -- quantiles -----------------------------------------------------------------------


def test_qq_draws_the_quantiles() -> None:
    x = np.asarray(NIG.rvs(60, seed=3))
    ax = plot_qq(NIG, x).axes[0]
    expected, seen = line(ax, "data")
    np.testing.assert_array_equal(seen, np.sort(x))
    exact = scipy_nig(NIG)
    reference = exact.ppf((np.arange(60) + 0.5) / 60)
    np.testing.assert_allclose(expected, reference, rtol=1e-3, atol=1e-3)
    low, high = [np.stack(e.get_data()) for e in ax.lines if e.get_label() == "_band"]
    ends = _bands.order_bands(60, 0.95, True)
    for drawn, end in zip((low, high), ends, strict=True):
        np.testing.assert_array_equal(drawn[0], expected)
        np.testing.assert_allclose(drawn[1], exact.ppf(end), rtol=2e-3, atol=1e-3)
    assert ax.get_xlim() == ax.get_ylim()
    assert ax.get_xlabel() == "quantile, normal inverse Gaussian"
    assert ax.get_ylabel() == "quantile, data"


@pytest.mark.parametrize(
    ("law", "exact"),
    [
        (NIG, scipy_nig(NIG)),
        (Gamma(alpha=0.5, beta=2.0), stats.gamma(0.5, scale=0.5)),
    ],
)
def test_interpolated_quantiles(law: Any, exact: Any) -> None:
    p = np.array([1e-9, 1e-5, 0.01, 0.3, 0.5, 0.77, 0.99, 1 - 1e-7])
    np.testing.assert_allclose(
        exact.cdf(_laws.quantiles(law, p)), p, rtol=2e-3, atol=1e-12
    )


def test_qq_marks_what_is_outside() -> None:
    x = np.asarray(NIG.rvs(60, seed=3))
    x = np.append(x, [40.0])
    figure = plot_qq(NIG, x, level=0.9)
    ax = figure.axes[0]
    assert line(ax, "data outside it")[1].tolist() == [40.0]
    assert len(line(ax, "data")[1]) == 60
    assert legend(figure) == [
        "equal quantiles",
        "90 % band, simultaneous",
        "data",
        "data outside it",
    ]


def test_qq_of_columns_are_those_of_margins() -> None:
    sigma = np.array([[1.0, 0.5], [0.5, 4.0]])
    normal = MultivariateNormal.from_classical(mu=np.array([1.0, -2.0]), sigma=sigma)
    model = NormalInverseGaussian.from_classical(
        mu=np.array([1.0, -2.0]),
        gamma=np.array([0.3, 0.0]),
        sigma=sigma,
        mu_ig=1.0,
        lam=2.0,
    )
    X = np.array(normal.rvs(40, seed=1))
    X[7, 1] = np.nan
    p = (np.arange(39) + 0.5) / 39
    for law in (normal, model):
        figure = plot_qq(law, X, names=["a", "b"], level=0.9999)
        a, b = figure.axes
        assert [ax.get_title(loc="left") for ax in (a, b)] == ["a", "b"]
        assert len(line(a, "data")[0]) == 40
        expected, seen = line(b, "data")
        np.testing.assert_array_equal(seen, np.sort(np.delete(X[:, 1], 7)))
        exact = (
            stats.norm(-2, 2)
            if law is normal
            else scipy_nig(model.project(np.array([0.0, 1.0])))
        )
        np.testing.assert_allclose(expected, exact.ppf(p), rtol=1e-3, atol=1e-3)


def test_qq_draws_into_given_axes() -> None:
    x = np.asarray(NIG.rvs(30, seed=3))
    figure, ax = plt.subplots()
    assert plot_qq(NIG, x, axes=[ax]) is figure
    with pytest.raises(ValueError, match="axes must be 1, got 2"):
        plot_qq(NIG, x, axes=plt.subplots(1, 2)[1])


def test_qq_refuses_what_does_not_fit() -> None:
    x = np.asarray(NIG.rvs(30, seed=3))
    refused: list[tuple[dict[str, Any], str]] = [
        ({"level": 1.0}, "level must be between 0 and 1, got 1.0"),
        ({"band": "wide"}, "band must be one of 'simultaneous', 'pointwise'"),
        ({"names": ["a", "b"]}, "names must be 1, one a column"),
    ]
    for bad, match in refused:
        with pytest.raises(ValueError, match=match):
            plot_qq(NIG, x, **bad)
    with pytest.raises(ValueError, match="the single value 2.0"):
        plot_qq(NIG, np.full(5, 2.0))
    with pytest.raises(ValueError, match="'x' of X has no entry at all"):
        plot_qq(NIG, np.full(5, np.nan))
    with pytest.raises(ValueError, match="model must be a mixture, a normal law"):
        plot_qq(stats.norm, x)  # pyright: ignore[reportArgumentType]
    assert not plt.get_fignums()


# -- transforms ----------------------------------------------------------------------


def pit_band(ax: Axes) -> np.ndarray:
    return np.array(
        [e.get_ydata()[0] for e in ax.lines if e.get_label() == "_band"]  # pyright: ignore
    )


def test_pit_heights_and_band() -> None:
    u = np.random.default_rng(5).random((400, 2))
    u[3, 1] = np.nan
    figure = plot_pit(u, names=["a", "b"], level=0.9)
    for j, ax in enumerate(figure.axes):
        seen = u[~np.isnan(u[:, j]), j]
        n = len(seen)
        _, outline = ax.patches[-2:]
        heights, edges, _ = outline.get_data()  # pyright: ignore
        np.testing.assert_allclose(edges, np.linspace(0, 1, 21))
        np.testing.assert_allclose(
            heights, np.histogram(seen, edges, density=True)[0], rtol=1e-12
        )
        counts = pit_band(ax) * n / 20
        exact = stats.binom(n, 1 / 20)
        np.testing.assert_allclose(counts, np.round(counts), atol=1e-9)
        low, high = np.round(counts)
        assert exact.cdf(low - 1) <= 0.05 < exact.cdf(low)
        assert exact.sf(high) <= 0.05 < exact.sf(high - 1)
        assert (line(ax, "uniform")[1] == 1).all()
        assert ax.get_ylim()[0] == 0 and ax.get_ylim()[1] > heights.max()
    assert legend(figure) == ["90 % band", "uniform", "data"]


def test_pit_band_holds_uniform_counts() -> None:
    low, high = pit_band(plot_pit(np.linspace(0, 1, 200), bins=10).axes[0])
    draws = np.random.default_rng(1).multinomial(200, np.full(10, 0.1), 5000) * 10 / 200
    held = ((draws >= low - 1e-9) & (draws <= high + 1e-9)).mean()
    assert 0.95 - 0.003 < held < 0.99


def test_pit_of_few_has_few_bins() -> None:
    ax = plot_pit(np.linspace(0, 1, 50)).axes[0]
    assert len(ax.patches[-1].get_data()[0]) == 5  # pyright: ignore
    assert ax.get_title(loc="left") == "u"


def test_pit_refuses_what_is_no_probability() -> None:
    with pytest.raises(ValueError, match="1 values outside, the first in row 1"):
        plot_pit(np.array([0.1, 1.2]))
    with pytest.raises(ValueError, match=r"u must have shape \(n,\)"):
        plot_pit(np.zeros((2, 2, 2)))
    with pytest.raises(ValueError, match="bins must be at least 1, got 0"):
        plot_pit(np.array([0.1, 0.2]), bins=0)
    with pytest.raises(ValueError, match="column 'u' of u has no entry"):
        plot_pit(np.full(2, np.nan))


# -- tails ---------------------------------------------------------------------------


@pytest.mark.parametrize("about", ["median", "zero"])
def test_tails_are_those_of_data_and_laws(about: str) -> None:
    x = np.append(np.asarray(NIG.rvs(301, seed=2)), np.nan)
    normal = MultivariateNormal.from_classical(
        mu=np.array([0.2]), sigma=np.array([[2.0]])
    )
    figure = plot_tails(x, {"NIG": NIG, "normal": normal}, about=about, name="r")
    seen = x[:-1]
    centre = np.median(seen) if about == "median" else 0.0
    exact = {"NIG": scipy_nig(NIG), "normal": stats.norm(0.2, np.sqrt(2))}
    for ax, sign in zip(figure.axes, (-1, 1), strict=True):
        t, share = line(ax, "data")
        assert (np.diff(t) <= 0).all()
        for distance, drawn in zip(t, share, strict=True):
            at_least = (sign * (seen - centre) >= distance).sum()
            assert drawn == pytest.approx((at_least - 0.5) / 301)
        beyond = sign * (seen - centre)
        assert t[-1] == pytest.approx(np.median(beyond[beyond > 0]), rel=0.1)
        for label, law in exact.items():
            grid, tail = line(ax, label)
            at = centre + sign * grid
            reference = law.sf(at) if sign > 0 else law.cdf(at)
            shown = reference > 1e-12  # where SciPy has digits
            np.testing.assert_allclose(tail[shown], reference[shown], rtol=1e-6)
        assert ax.get_xscale() == ax.get_yscale() == "log"
        where = "median" if about == "median" else "0"
        side = "below" if sign < 0 else "above"
        assert ax.get_xlabel() == f"r: distance {side} {where}"
    assert legend(figure) == ["data", "NIG", "normal"]
    a, b = (figure.axes[0].lines[k] for k in (1, 2))
    assert a.get_linestyle() != b.get_linestyle()
    assert a.get_color() != b.get_color()


def test_tails_refuse_what_does_not_fit() -> None:
    x = np.asarray(NIG.rvs(30, seed=2))
    model = NormalInverseGaussian.from_classical(
        mu=np.zeros(2), gamma=np.zeros(2), sigma=np.eye(2), mu_ig=1.0, lam=2.0
    )
    with pytest.raises(ValueError, match=r"models\['a'\] must be a law of one var"):
        plot_tails(x, {"a": model})
    with pytest.raises(ValueError, match="models must be a dictionary"):
        plot_tails(x, {})
    with pytest.raises(ValueError, match="about='zero' leaves a tail without data"):
        plot_tails(np.abs(x), {"a": NIG}, about="zero")
    with pytest.raises(ValueError, match="about must be one of"):
        plot_tails(x, {"a": NIG}, about="mean")
