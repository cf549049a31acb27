"""The command ``normix sample``."""

import csv
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from click.testing import CliRunner, Result
from scipy import stats

import normix
from normix.cli import main

NAMES = ("A", "B, b")
PIECE = 1024  # of the rows that are drawn at a time


def run(*arguments: object) -> Result:
    result = CliRunner().invoke(main, ["sample", *map(str, arguments)])
    if not isinstance(result.exception, SystemExit | None):
        raise result.exception  # a traceback in a user's face
    return result


def read(output: str) -> tuple[tuple[str, ...], np.ndarray]:
    header, *rows = csv.reader(output.splitlines())
    return tuple(header), np.array(rows, dtype=float)


MODEL = normix.FactorVarianceGamma.from_classical(
    mu=np.array([0.1, 1e-300]),
    gamma=np.array([0.2, -1 / 3]),
    F=np.array([[1.0], [0.5]]),
    D=np.array([0.7, 1e-3]),
    alpha=2.0,
    beta=1.5,
)


@pytest.fixture(scope="module")
def path(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("models") / "model.json"
    normix.save(MODEL, path, columns=NAMES)
    return path


def test_draws_read_back_exactly(path: Path) -> None:
    """They are the library's, every digit of them."""
    result = run(path, "-n", 5, "--seed", 7)
    assert result.exit_code == 0 and result.stderr == ""
    names, rows = read(result.stdout)
    assert names == NAMES
    key = jax.random.fold_in(jax.random.key(7), 0)
    np.testing.assert_array_equal(rows, MODEL.rvs(PIECE, key=key)[:5])


def test_seeds_and_pieces(path: Path) -> None:
    """A seed is one sequence of rows, of which no two are equal."""
    default, few, other = (
        read(run(path, *options).stdout)[1]
        for options in ((), ("-n", 2 * PIECE + 3, "--seed", 0), ("--seed", 1))
    )
    # As the help says.
    assert default.shape == (1000, 2) and few.shape == (2 * PIECE + 3, 2)
    np.testing.assert_array_equal(default, few[:1000])
    assert len(np.unique(np.r_[few, other], axis=0)) == len(few) + len(other)


@pytest.mark.parametrize(
    ("model", "law"),
    [
        (
            normix.UnivariateNormalInverseGamma.from_classical(
                mu=1.0, gamma=0.0, sigma=4.0, alpha=2.5, beta=2.5
            ),
            stats.t(5, 1, 2),
        ),
        (normix.Gamma(alpha=2.0, beta=0.5), stats.gamma(2, scale=2)),
    ],
)
def test_laws_of_one_variable(model, law, tmp_path: Path) -> None:
    path = tmp_path / "model.json"
    normix.save(model, path)
    names, rows = read(run(path).stdout)
    assert names == ("x1",)
    assert stats.kstest(rows[:, 0], law.cdf).pvalue > 0.01


def test_a_reader_that_goes_ends_the_command_quietly(path: Path) -> None:
    """And nothing waits for all of the rows, of which there are very many here."""
    command = [sys.executable, "-m", "normix", "sample", str(path), "-n", "10" * 8]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdout is not None and process.stderr is not None
        assert process.stdout.readline() == 'A,"B, b"\n'
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 1


# A disk that is always full, which Linux has and macOS and Windows do not.
@pytest.mark.skipif(
    not Path("/dev/full").exists(), reason="this system has no /dev/full to write to"
)
def test_a_full_disk_is_told(path: Path) -> None:
    command = [sys.executable, "-m", "normix", "sample", str(path), "-n", "3"]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 2
    assert done.stderr == "Error: cannot write the draws: No space left on device\n"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["-n", "0"], "0 is not in the range x>=1"),
        (["-n", "x"], "'x' is not a valid integer"),
        (["--seed", "-1"], "-1 is not in the range"),
    ],
)
def test_bad_options(path: Path, options: list[str], message: str) -> None:
    result = run(path, *options)
    assert result.exit_code == 2 and result.stdout == ""
    assert message in result.stderr


def test_no_model(tmp_path: Path) -> None:
    path = tmp_path / "nothing.json"
    result = run(path)
    assert result.exit_code == 2 and result.stdout == ""
    assert result.stderr == f"Error: cannot read {path}: No such file or directory\n"
