"""The command ``normix check``."""

import re
from pathlib import Path

import jax
import numpy as np
import pytest
from click.testing import CliRunner, Result
from scipy import stats

import normix
from normix.cli import main
from normix.diagnostics import test_fit

NAMES = ("A", "B")
RESAMPLES = ("--resamples", "19", "--no-refit")
ONE = normix.UnivariateNormalInverseGamma.from_classical(
    mu=0.5, gamma=0.0, sigma=4.0, alpha=2.5, beta=2.5
)
TWO = normix.NormalInverseGaussian.from_classical(
    mu=np.array([0.0, 0.1]),
    gamma=np.array([0.2, 0.0]),
    sigma=np.array([[1, 0.3], [0.3, 2]]),
    mu_ig=1,
    lam=1.5,
)


def run(*arguments: object, text: str | None = None) -> Result:
    result = CliRunner().invoke(main, ["check", *map(str, arguments)], input=text)
    if not isinstance(result.exception, SystemExit | None):
        raise result.exception  # a traceback in a user's face
    return result


def failure(*arguments: object, text: str | None = None) -> str:
    """The one line with which the command ends before it has computed anything."""
    result = run(*arguments, text=text)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith("Error: ") and result.stderr.count("\n") == 1
    return result.stderr.removeprefix("Error: ").rstrip()


def write(path: Path, X: np.ndarray, names) -> Path:
    rows = "".join(",".join(map(repr, row)) + "\n" for row in X.tolist())
    path.write_text(",".join(names) + "\n" + rows)
    return path


@pytest.fixture(scope="module")
def two(tmp_path_factory) -> tuple[Path, Path, np.ndarray]:
    """A model, data of it with the columns in another order and one more, and both."""
    folder = tmp_path_factory.mktemp("two")
    normix.save(TWO, folder / "model.json", columns=NAMES)
    X = np.asarray(TWO.rvs(100, 1))
    file = write(folder / "x.csv", np.c_[X[:, 1], -X[:, 0], X[:, 0]], ("B", "C", "A"))
    return folder / "model.json", file, X


def table(output: str) -> dict[str, tuple[float, float]]:
    """Statistic and p-value of each test."""
    rows = re.findall(r"^(\S.*?)  +([\d.e-]+)  +([\d.e-]+)$", output, re.MULTILINE)
    return {name: (float(a), float(b)) for name, a, b in rows}


def likelihood(output: str) -> float:
    """The mean log-likelihood of a row."""
    (value,) = re.findall(r"mean log-likelihood of a row (-?[\d.]+)", output)
    return float(value)


def test_columns_are_matched_by_name(two) -> None:
    model, file, X = two
    result = run(model, file, *RESAMPLES)
    assert result.exit_code == 0
    expected = float(TWO.marginal_log_likelihood(X))
    assert likelihood(result.stdout) == pytest.approx(expected, abs=1e-6)
    assert len(table(result.stdout)) == 4
    assert "100 rows of 2 columns" in result.stderr
    assert "data that the model has not seen, by 19 samples" in result.stdout
    # In another order it is another law.
    other = run(model, file, *RESAMPLES, "--columns", "C,B").stdout
    assert likelihood(other) != pytest.approx(expected, abs=1e-3)


def test_statistics_of_one_variable_are_scipys(tmp_path: Path) -> None:
    normix.save(ONE, tmp_path / "one.json")
    law = stats.t(5, 0.5, 2)
    x = np.random.default_rng(0).normal(1, 3, 80)
    file = write(tmp_path / "x.csv", x[:, None], ["x"])
    found = list(table(run(tmp_path / "one.json", file, *RESAMPLES).stdout).values())
    assert found[0][0] == pytest.approx(stats.kstest(x, law.cdf).statistic, rel=1e-5)
    cramer = stats.cramervonmises(x, law.cdf).statistic
    assert found[2][0] == pytest.approx(cramer, rel=1e-5)


def test_prices_and_gaps(two) -> None:
    """Of log returns; rows with gaps are used, or left out, if that is said."""
    model, file, X = two
    prices = np.exp(np.vstack([np.zeros(2), np.cumsum(X, axis=0)]) / 10)
    text = "A,B\n" + "".join(f"{a!r},{b!r}\n" for a, b in prices.tolist())
    lines = text.splitlines()
    lines[50] = lines[50].split(",")[0] + ","
    holes = "\n".join(lines)
    told = failure(model, "-", "--returns", *RESAMPLES, text=holes)
    assert told == "-: line 51, column 'B': the value is missing; see --missing"
    gone = X / 10
    gone[48:50, 1] = np.nan  # the returns to and from a missing price
    for missing, rows, count in (("drop", 98, 4), ("em", 100, 3)):
        asked = ("--returns", "--missing", missing, *RESAMPLES)
        result = run(model, "-", *asked, text=holes)
        assert f"{rows} rows of 2 columns" in result.stderr
        assert len(table(result.stdout)) == count
        assert ("No energy statistic: entries are missing." in result.stdout) == (
            missing == "em"
        )
        expected = float(TWO.marginal_log_likelihood(gone, missing=missing))
        assert likelihood(result.stdout) == pytest.approx(expected, abs=1e-6)


def test_p_values_count_the_estimation(tmp_path: Path) -> None:
    """Those of the library's refits, which hold gamma at 0 if the model has it so."""
    law = normix.UnivariateNormalInverseGaussian.from_classical(
        mu=0.0, gamma=0.0, sigma=1.0, mu_ig=1.0, lam=1.0
    )
    x = np.asarray(law.rvs(60, 3))
    model = law.fit(x, symmetric=True).model
    normix.save(model, tmp_path / "model.json", columns=["x"])
    file = write(tmp_path / "x.csv", x[:, None], ["x"])
    out = run(tmp_path / "model.json", file, "--resamples", 10, "--seed", 5).stdout
    found = test_fit(
        model,
        x,
        ["ks", "ad", "cvm", "energy"],
        10,
        key=jax.random.key(5),
        fitter=normix.BatchEMFitter(symmetric=True),
    )
    for (name, values), test in zip(table(out).items(), found, strict=True):
        assert name == test.name
        assert values[0] == pytest.approx(test.statistic, rel=1e-5)
        assert values[1] == pytest.approx(test.pvalue, abs=1e-4)
    assert "P-values count the estimation" in out and "to each of 10 samples" in out
    assert "skewness gamma is 0, and was held there" in out


def test_other_laws(tmp_path: Path) -> None:
    """No energy statistic of a positive law, nor of one without a mean."""
    rng = np.random.default_rng(4)
    gamma = normix.Gamma(alpha=2.0, beta=1.0)
    cauchy = normix.UnivariateNormalInverseGamma.from_classical(
        mu=0.0, gamma=0.0, sigma=1.0, alpha=0.5, beta=0.5
    )
    normal = normix.MultivariateNormal.from_classical(
        np.array([1.0]), np.array([[4.0]])
    )
    x = rng.gamma(2, size=50)
    for law, score, told in (
        (gamma, stats.gamma.logpdf(x, 2), "it is for mixtures and normal laws."),
        (cauchy, stats.cauchy.logpdf(x), "the law has no mean."),
        (normal, stats.norm.logpdf(x, 1, 2), None),
    ):
        path = tmp_path / "model.json"
        normix.save(law, path)
        out = run(path, write(tmp_path / "x.csv", x[:, None], ["x"]), *RESAMPLES).stdout
        assert likelihood(out) == pytest.approx(score.mean(), abs=1e-6)
        assert len(table(out)) == (4 if told is None else 3)
        if told is not None:
            assert f"No energy statistic: {told}" in out


def test_what_does_not_match(two, tmp_path: Path) -> None:
    model, file, X = two
    other = write(tmp_path / "y.csv", X, ("A", "D"))
    assert failure(model, other) == f"{other}: there is no column 'B'; there are A, D"
    nameless = tmp_path / "nameless.json"
    normix.save(TWO, nameless)
    told = "the model has 2, the data have 3 columns: B, C, A; choose by --columns"
    assert failure(nameless, file) == told
    assert "No such file" in failure(model, tmp_path / "no.csv")
    assert "No such file" in failure(tmp_path / "no.json", file)
    few = write(tmp_path / "few.csv", X[:5], NAMES)
    result = run(model, few)
    assert result.exit_code == 2 and result.stdout == ""
    assert "Error: X has 5 observations; a test of a NormalInverse" in result.stderr
    result = run(model, few, "--resamples", 0)
    assert result.exit_code == 2 and "0 is not in the range x>=1" in result.stderr


def test_picture(two, tmp_path: Path) -> None:
    model, file, _ = two
    path = tmp_path / "quantiles.png"
    result = run(model, file, *RESAMPLES, "--plot", path)
    assert path.read_bytes().startswith(b"\x89PNG")
    assert f"Picture written to {path}" in result.stderr
    assert "its suffix must be one of" in failure(model, file, "--plot", "x.doc")
