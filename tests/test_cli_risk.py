"""The command ``normix risk``."""

import re
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from click.testing import CliRunner, Result
from scipy import integrate, stats

import normix
from normix._cli.model import load_model
from normix.cli import main

MU, GAMMA = np.array([0.001, -0.002]), np.array([-0.003, 0.001])
SIGMA = np.array([[4e-4, 1e-4], [1e-4, 2e-4]])
MEAN, SHAPE = 1.3, 0.8
NAMES = ("A", "B, b")


def run(*arguments: object) -> Result:
    result = CliRunner().invoke(main, ["risk", *map(str, arguments)])
    if not isinstance(result.exception, SystemExit | None):
        raise result.exception  # a traceback in a user's face
    return result


def failure(*arguments: object) -> str:
    """The one line with which the command ends before it has computed anything."""
    result = run(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith("Error: ") and result.stderr.count("\n") == 1
    return result.stderr.removeprefix("Error: ").rstrip()


@pytest.fixture(scope="module")
def path(tmp_path_factory) -> Path:
    model = normix.NormalInverseGaussian.from_classical(
        mu=MU, gamma=GAMMA, sigma=SIGMA, mu_ig=MEAN, lam=SHAPE
    )
    path = tmp_path_factory.mktemp("models") / "model.json"
    normix.save(model, path, columns=NAMES)
    return path


def expected(w: np.ndarray, level: float, days: float = 1) -> tuple[float, ...]:
    """Mean, deviation, value at risk and expected shortfall of losses, by SciPy.

    The mixing variable of the sum over days has the mean n E[Y] and the shape n² λ.
    """
    mean, shape = days * MEAN, days**2 * SHAPE
    sd = np.sqrt(w @ SIGMA @ w)
    scale = sd * np.sqrt(shape)
    beta = w @ GAMMA / sd**2
    alpha = np.sqrt(shape / (sd * mean) ** 2 + beta**2)
    law: Any = stats.norminvgauss(alpha * scale, beta * scale, days * (w @ MU), scale)
    q = law.ppf(1 - level)
    below, _ = integrate.quad(
        lambda x: x * law.pdf(x), q - 60 * law.std(), q, points=[q - law.std()]
    )
    return -law.mean(), law.std(), -q, -below / (1 - level)


def numbers(output: str, row: str) -> list[float]:
    """Those in the one line that starts so."""
    (line,) = re.findall(rf"^{re.escape(row)}(?= )(.*)$", output, re.MULTILINE)
    return [float(cell.rstrip("%")) for cell in line.split()]


@pytest.mark.parametrize("days", [1, 10])
def test_measures_of_a_portfolio(path: Path, days: int) -> None:
    w = np.array([0.6, -0.1])
    levels = (0.95, 0.99)
    chosen = ("--weights", "B, b=-.1, A=.6", "--level", ".95,0.99")
    out = run(path, *chosen, *(() if days == 1 else ("--days", days))).stdout
    by_scipy = [expected(w, level, days) for level in levels]
    (mean,), (deviation,) = numbers(out, "mean"), numbers(out, "standard deviation")
    assert mean == pytest.approx(by_scipy[0][0], abs=6e-8)
    assert deviation == pytest.approx(by_scipy[0][1], abs=6e-8)
    for level, (*_, at_risk, shortfall) in zip(levels, by_scipy, strict=True):
        found = numbers(out, f"{level:g}")
        assert found == pytest.approx([at_risk, shortfall], rel=1e-5)
    assert "the sum over 10 independent days" in out or days == 1
    assert "Weights w of 2 columns; their sum is 0.5" in out
    assert "positive where money is lost" in out and "log losses" in out


def test_contributions(path: Path) -> None:
    """Weights times derivatives, which are differences of SciPy's values here."""
    w = np.array([0.6, 0.3])
    levels = (0.95, 0.99)
    told = run(path, "--weights", "A=.6,B, b=.3", "--level", ".95", "--level", ".99")
    rows = [numbers(told.stdout, name) for name in (*NAMES, "sum")]
    np.testing.assert_allclose([row[0] for row in rows], [0.6, 0.3, 0.9])
    for k, level in enumerate(levels):
        slopes = [
            (expected(w + h, level)[3] - expected(w - h, level)[3]) / 2e-4
            for h in 1e-4 * np.eye(2)
        ]
        parts = w * slopes
        whole = expected(w, level)[3]
        found = [row[1 + 2 * k] for row in rows]
        np.testing.assert_allclose(found, [*parts, whole], rtol=2e-5)
        shares = [row[2 + 2 * k] for row in rows]
        np.testing.assert_allclose(shares, [*(100 * parts / whole), 100], atol=0.006)


def test_equal_weights_and_columns_without_a_weight(path: Path) -> None:
    out = run(path).stdout
    assert "Without --weights every column has the same weight, w = 1/2" in out
    found = numbers(out, "0.99")
    assert found == pytest.approx(expected(np.array([0.5, 0.5]), 0.99)[2:], rel=1e-5)
    one = run(path, "--weights", "A=2").stdout
    assert "Weights w of 2 columns, of which 1 have 0; their sum is 2" in one
    assert not re.search("^B, b", one, re.MULTILINE)
    assert numbers(one, "0.99") == pytest.approx(
        expected(np.array([2.0, 0.0]), 0.99)[2:], rel=1e-5
    )


def test_a_file_without_names_of_the_factor_form(tmp_path: Path) -> None:
    path = tmp_path / "factor.json"
    F = np.array([[0.01], [0.01]])
    model = normix.FactorNormalInverseGaussian.from_classical(
        mu=MU, gamma=GAMMA, F=F, D=np.diag(SIGMA - F @ F.T), mu_ig=MEAN, lam=SHAPE
    )
    normix.save(model, path)
    found = numbers(run(path, "--weights", "x1=.5,x2=.5").stdout, "0.99")
    assert found == pytest.approx(expected(np.array([0.5, 0.5]), 0.99)[2:], rel=1e-5)
    assert failure(path, "--weights", "A=1") == "unknown column 'A'; known: 'x1', 'x2'"


def test_one_variable(tmp_path: Path) -> None:
    path = tmp_path / "one.json"
    model = normix.UnivariateNormalInverseGaussian.from_classical(
        mu=MU[0], gamma=GAMMA[0], sigma=SIGMA[0, 0], mu_ig=MEAN, lam=SHAPE
    )
    normix.save(model, path, columns=["KO"])
    out = run(path, "--days", "2.5").stdout
    assert "w = 1, X is KO" in out and "Contributions" not in out
    wanted = expected(np.array([1.0, 0.0]), 0.99, 2.5)[2:]
    assert numbers(out, "0.99") == pytest.approx(wanted, rel=1e-5)
    message = "a model of one variable takes no --weights"
    assert failure(path, "--weights", "KO=1") == message


def test_a_model_in_single_precision_is_computed_in_double(tmp_path: Path) -> None:
    path = tmp_path / "one.json"
    law = normix.UnivariateVarianceGamma.from_classical(
        mu=0.0, gamma=1 / 3, sigma=1.0, alpha=2.0, beta=1.0
    )
    normix.save(jax.tree.map(lambda x: x.astype(np.float32), law), path)
    saved = load_model(str(path))
    model = saved.law
    assert saved.names == ("x1",) and not saved.has_names
    assert model.gamma.dtype == np.float64 and model.gamma == np.float32(1 / 3)


def test_an_infinite_deviation_and_a_loss_without_a_mean(tmp_path: Path) -> None:
    """A t law of 1.6 degrees of freedom, and one of 0.8."""
    path = tmp_path / "t.json"

    def save(alpha: float) -> None:
        normix.save(
            normix.UnivariateNormalInverseGamma.from_classical(
                mu=0.0, gamma=0.0, sigma=1.0, alpha=alpha, beta=alpha
            ),
            path,
        )

    save(0.8)
    out = run(path).stdout
    assert numbers(out, "standard deviation") == [np.inf]
    assert re.search(r"^mean +0\.0+$", out, re.MULTILINE)
    q = stats.t(1.6).ppf(0.99)
    assert numbers(out, "0.99")[0] == pytest.approx(q, rel=1e-5)
    message = failure(path, "--days", "2")
    assert "only normal inverse Gaussian and variance gamma laws are closed" in message
    save(0.4)
    result = run(path)
    assert result.exit_code == 2 and result.stdout == ""
    assert "Error: the losses of this law have no mean" in result.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--weights", "A=1,C=2"], "unknown column 'C'; known: 'A', 'B, b'"),
        (["--weights", "A=1,A=2"], "--weights has 'A' more than once"),
        (["--weights", "A"], "--weights must be pairs NAME=NUMBER with commas "),
        (["--weights", "A=1,C,A=2"], "unknown column 'C,A'"),
        (["--weights", ""], "weights must be finite and not all 0"),
        (["--weights", "A=x"], "between, got 'A=x'"),
        (["--weights", "A=nan"], "between, got 'A=nan'"),
        (["--weights", "A=0"], "weights must be finite and not all 0"),
        (["--level", "99"], "a probability between 0 and 1, such as .99; got '99'"),
        (["--level", ".9,"], "such as .99; got ''"),
        (["--days", "0"], "--days must be a number above 0, got '0'"),
        (["--days", "inf"], "--days must be a number above 0, got 'inf'"),
    ],
)
def test_bad_options(path: Path, options: list[str], message: str) -> None:
    assert message in failure(path, *options)


def test_files_that_are_no_mixture(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    assert failure(path) == f"cannot read {path}: No such file or directory"
    path.write_text("a,b\n1,2\n")
    assert failure(path).startswith(f"{path} is not a normix model")
    normix.save(normix.Gamma(alpha=2.0, beta=1.0), path)
    assert failure(path) == "risk is that of a mixture; the file holds a gamma"
    joint = normix.JointVarianceGamma.from_classical(
        mu=MU, gamma=GAMMA, sigma=SIGMA, alpha=1.0, beta=1.0
    )
    normix.save(joint, path)
    message = f"{path} holds a joint variance gamma, which is no law of columns"
    assert failure(path) == message
    normals = jax.vmap(lambda mu: normix.MultivariateNormal(mu=mu, L_Sigma=np.eye(2)))
    gammas = normix.Gamma(alpha=np.ones(2), beta=np.ones(2))
    for batch in (normals(np.ones((3, 2))), gammas):
        normix.save(batch, path)
        assert failure(path) == f"{path} holds a batch of laws; save one of them"
