"""The command line."""

import dataclasses
import doctest
import re
import signal
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from scipy import stats

import normix
from normix import BatchEMFitter, EMResult, NormalInverseGaussian
from normix._cli import data, outputs, progress, summary, table
from normix._cli.table import read_table
from normix.cli import main
from normix.datasets import load_sp500_returns
from normix.fitting.em.drive import Iteration
from normix.fitting.em.outcome import Outcome
from normix.utils._text import words

NAMES = ("AAPL", "KO")


def run(*arguments: object, text: str | None = None) -> Result:
    result = CliRunner().invoke(main, ["fit", *map(str, arguments)], input=text)
    if not isinstance(result.exception, SystemExit | None):
        raise result.exception  # a traceback in a user's face
    return result


def failure(*arguments: object, text: str | None = None) -> str:
    """The one line with which the command ends before it has fitted anything."""
    result = run(*arguments, text=text)
    assert result.exit_code == 2
    assert result.stdout == ""
    *_, line = result.stderr.splitlines()
    assert result.stderr == f"{line}\n"
    assert line.startswith("Error: ")
    return line.removeprefix("Error: ")


def write(path: Path, X: np.ndarray, names=NAMES, index: str | None = "Date") -> Path:
    """A CSV file with every digit."""
    days = np.datetime64("2024-01-01") + np.arange(len(X))
    with path.open("w") as file:
        print(*([] if index is None else [index]), *names, sep=",", file=file)
        for day, row in zip(days, X.tolist(), strict=True):
            cells = [repr(value) for value in row]
            print(*([] if index is None else [day]), *cells, sep=",", file=file)
    return path


@pytest.fixture(scope="module")
def X() -> np.ndarray:
    return load_sp500_returns(NAMES).values[:300]


@pytest.fixture
def csv(tmp_path: Path, X: np.ndarray) -> Path:
    return write(tmp_path / "returns.csv", X)


@pytest.fixture(scope="module")
def fitted(X: np.ndarray) -> EMResult:
    fitter = BatchEMFitter(tol=1e-6, max_iter=1000, track_ll=True)
    return fitter.fit(NormalInverseGaussian.default_init(X), X)


def number(output: str, row: str) -> float:
    """The first number in the row of the last table that starts so."""
    found = re.findall(rf"^{re.escape(row)}\s+(-?[\d.]+)", output, re.MULTILINE)
    return float(found[-1])


# -- fits ----------------------------------------------------------------------------


def test_fit_of_a_file(csv: Path, X: np.ndarray, fitted: EMResult) -> None:
    result = run(csv)
    assert result.exit_code == 0
    out = result.stdout
    assert "300 rows of 2 columns, 2024-01-01 to 2024-10-26" in out
    log_likelihood = 300 * float(fitted.model.marginal_log_likelihood(X))
    assert number(out, "log-likelihood") == pytest.approx(log_likelihood, abs=1e-4)
    assert number(out, "per row") == pytest.approx(log_likelihood / 300, abs=1e-6)
    # mu, gamma, Σ and one shape
    assert number(out, "parameters") == 2 + 2 + 3 + 1
    assert number(out, "AIC") == pytest.approx(16 - 2 * log_likelihood, abs=0.01)
    bic = 8 * np.log(300) - 2 * log_likelihood
    assert number(out, "BIC") == pytest.approx(bic, abs=0.01)
    assert f"After {fitted.n_iter} iterations" in out
    assert "converged: no more than the tolerance is to be gained." in out
    for name in NAMES:
        assert re.search(rf"^{name} ", out, re.MULTILINE)
    # Standard output has no news of progress; standard error has nothing else.
    assert "iteration 1:" in result.stderr
    assert "compiling" in result.stderr
    assert "iteration 1:" not in out
    assert "\r" not in result.output
    assert "\33" not in result.output


def test_table_shows_the_parameters(csv: Path, X: np.ndarray, fitted: EMResult) -> None:
    model = fitted.model
    mean = model.joint.subordinator.mean()
    row = next(
        line.split() for line in run(csv).stdout.splitlines() if line[:2] == "KO"
    )
    expected = [
        model.mu[1],
        model.gamma[1] * mean,  # in the scale where E[Y] = 1
        np.sqrt(model.sigma()[1, 1] * mean),
        model.mean()[1],
        np.sqrt(model.cov()[1, 1]),
        model.skewness()[1],
        model.kurtosis()[1],
    ]
    digits = [6] * 5 + [2, 2]
    for cell, value, k in zip(row[1:], expected, digits, strict=True):
        assert float(cell) == pytest.approx(float(value), abs=0.6 * 10.0**-k)


def test_normal_beside_it_is_the_maximum(X: np.ndarray) -> None:
    score = summary.normal_score(X)
    covariance: Any = np.cov(X.T, bias=True)
    total = stats.multivariate_normal(X.mean(axis=0), covariance).logpdf(X).sum()
    assert score.log_likelihood == pytest.approx(total, rel=1e-12)
    assert score.parameters == 2 + 3


def test_standardised_is_the_same_law(X: np.ndarray, fitted: EMResult) -> None:
    standard = summary.standardised(fitted.model)
    assert float(standard.joint.subordinator.mean()) == pytest.approx(1, rel=1e-12)
    np.testing.assert_allclose(
        standard.marginal_log_likelihood(X),
        fitted.model.marginal_log_likelihood(X),
        rtol=1e-12,
    )


def test_saved_model_is_the_fitted_one(
    csv: Path, X: np.ndarray, tmp_path: Path
) -> None:
    path = tmp_path / "model.json"
    out = run(csv, "--save", path).stdout
    model = normix.load(path)
    assert isinstance(model, NormalInverseGaussian)
    total = 300 * float(model.marginal_log_likelihood(X))
    assert number(out, "log-likelihood") == pytest.approx(total, abs=1e-4)
    assert normix.load_columns(path) == NAMES


def test_prices_give_the_fit_of_their_log_returns(
    csv: Path, X: np.ndarray, tmp_path: Path
) -> None:
    prices = 100 * np.exp(np.vstack([np.zeros(2), np.cumsum(X, axis=0)]))
    result = run(write(tmp_path / "prices.csv", prices), "--returns")
    assert "300 rows of 2 columns, 2024-01-02 to 2024-10-27" in result.stdout
    expected = number(run(csv).stdout, "log-likelihood")
    assert number(result.stdout, "log-likelihood") == pytest.approx(expected, abs=1e-3)


def test_prices_with_holes(csv: Path, X: np.ndarray, tmp_path: Path) -> None:
    """Returns are between a day and the next, where both have a price."""
    prices = 100 * np.exp(np.vstack([np.zeros(2), np.cumsum(X, axis=0)]))
    lines = write(tmp_path / "prices.csv", prices).read_text().splitlines()
    for k, cell in ((50, "NA"), (51, ""), (200, "."), (300, "nan")):
        lines[k] = f"{lines[k].rsplit(',', 1)[0]},{cell}"
    text = "\n".join(lines)
    told = failure("-", "--returns", text=text)
    assert told == "-: line 51, column 'KO': the value is missing; see --missing"
    found = run("-", "--returns", "--missing", "em", text=text)
    # The two holes in a row cost three returns, each of the others two.
    assert "300 rows of 2 columns" in found.stdout
    assert f"{100 * 7 / 600:.3g}% of the entries missing" in found.stdout
    dropped = run("-", "--returns", "--missing", "drop", text=text)
    assert "293 rows of 2 columns" in dropped.stdout
    every = number(run(csv).stdout, "log-likelihood")
    assert number(dropped.stdout, "log-likelihood") < every


def test_columns_are_chosen_in_order(tmp_path: Path, X: np.ndarray) -> None:
    text = write(tmp_path / "x.csv", np.c_[X, X[::-1] ** 2], ("b", "a", "c", "d"))
    chosen = data.load_data(str(text), ["c", "b"], False, "raise")
    assert chosen.columns == ("c", "b")
    np.testing.assert_array_equal(chosen.values[:, 1], X[:, 0])


def test_shipped_returns_one_column_and_picture(tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    result = run("--columns", "KO", "--plot", path)
    assert result.exit_code == 0
    assert "4529 rows of 1 column, 2005-01-03 to 2022-12-28" in result.stdout
    assert number(result.stdout, "parameters") == 4
    assert path.read_bytes().startswith(b"\x89PNG")
    assert str(path) in result.stderr


@pytest.mark.parametrize(
    ("change", "code", "message"),
    [
        ({"outcome": Outcome.USED_UP, "n_iter": 1}, 0, "After 1 iteration and"),
        ({"outcome": Outcome.USED_UP}, 0, "s, not converged: the iterations were used"),
        ({"outcome": Outcome.INTERRUPTED}, 130, "s, interrupted: the model"),
        ({"outcome": Outcome.DIVERGED}, 1, "s, diverged: a step was not"),
    ],
)
def test_early_end_reports_what_is_reached(
    monkeypatch, csv: Path, fitted: EMResult, tmp_path: Path, change, code, message
) -> None:
    ended = dataclasses.replace(fitted, **change)
    monkeypatch.setattr(BatchEMFitter, "fit", lambda *_, **__: ended)
    result = run(csv, "--save", tmp_path / "model.json")
    assert result.exit_code == code
    assert message in result.stdout
    assert (tmp_path / "model.json").exists()


def test_interrupt_before_the_first_iteration(monkeypatch, csv: Path) -> None:
    def interrupt(X, missing):
        raise KeyboardInterrupt

    monkeypatch.setattr(NormalInverseGaussian, "default_init", interrupt)
    result = run(csv)
    assert result.exit_code == 130
    assert result.stdout == ""
    assert result.stderr.endswith("Interrupted.\n")


def test_ctrl_c_is_caught_only_while_iterating(monkeypatch, csv, fitted) -> None:
    seen = []

    def iterate(self, model, X, callback, missing):
        seen.append(signal.getsignal(signal.SIGINT))
        callback(Iteration(1, 6.0, 1e-3, 1e-3))
        seen.append(signal.getsignal(signal.SIGINT))
        return fitted

    def report(*_):
        seen.append(signal.getsignal(signal.SIGINT))
        return ""

    monkeypatch.setattr(BatchEMFitter, "fit", iterate)
    monkeypatch.setattr(summary, "summary", report)
    # As Python begins, wherever the tests run: a shell's background job ignores Ctrl-C.
    outside = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        assert run(csv).exit_code == 0
        assert signal.getsignal(signal.SIGINT) == signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, outside)
    assert seen == [signal.SIG_DFL, signal.default_int_handler, signal.SIG_DFL]


# -- what is refused -----------------------------------------------------------------


def test_no_such_file(tmp_path: Path) -> None:
    path = tmp_path / "nothing.csv"
    assert failure(path) == f"cannot read {path}: No such file or directory"
    assert "Is a directory" in failure(tmp_path)


def test_not_text(tmp_path: Path) -> None:
    path = tmp_path / "picture.csv"
    path.write_bytes(b"\x89PNG\xff\xfe")
    assert failure(path) == f"cannot read {path}: it is not text in UTF-8"


def test_intervals(csv: Path, X: np.ndarray, fitted: EMResult) -> None:
    """Those of the inference, by either way; held parameters are told."""
    told = run(csv, "--ci", ".9").output
    found = fitted.inference(X, columns=NAMES)
    for line in str(found.summary(0.1)).splitlines()[-9:-1]:
        assert line in told
    symmetric = run(csv, "--symmetric", "--ci", ".9").output
    assert "Held: gamma is 0 by assumption." in symmetric
    drawn = run(csv, "--ci", ".9", "--bootstrap", "20").output
    assert "By resampled rows; 0 of 20 fits failed." in drawn
    row = next(line for line in drawn.splitlines() if line.startswith("lam "))
    _, estimate, error, low, high = row.split()
    assert float(low) < float(estimate) < float(high)
    assert float(error) == pytest.approx(found.bse[-1], rel=0.6)
    assert "--bootstrap needs --ci" in failure(csv, "--bootstrap", "20")


def test_all_families_and_factors(csv: Path, X: np.ndarray) -> None:
    """A table of all, and the report of the least BIC; a form with factors."""
    told = run(csv, "--family", "all").output
    table = normix.compare(X, symmetric=(False,))
    assert all(fit.label in told for fit in table.fits) and "* the least" in told
    title = words(type(table.best().model).__name__)
    assert f"{title[0].upper()}{title[1:]} distribution" in told
    factors = run(csv, "--factors", "1").output
    assert "Factor normal inverse Gaussian distribution" in factors


def test_a_variance_that_is_infinite(tmp_path: Path) -> None:
    """A skew t law of heavy tails is reported all the same."""
    x = np.random.default_rng(0).standard_t(1.5, 400)
    x = x + 0.5 * np.abs(x)
    path = tmp_path / "heavy.csv"
    path.write_text("A\n" + "\n".join(map(str, x)))
    assert " inf" in run(path, "--family", "t").output


def test_unknown_family(csv: Path) -> None:
    message = failure(csv, "--family", "cauchy")
    assert message == "unknown family 'cauchy'; known: nig, vg, skew-t, t, gh, all"


@pytest.mark.parametrize(
    ("family", "title"),
    [
        ("vg", "Variance gamma distribution"),
        ("skew-t", "Normal inverse gamma distribution"),
        pytest.param("GH", "Generalized hyperbolic dist", marks=pytest.mark.slow),
    ],
)
def test_families(csv: Path, family: str, title: str) -> None:
    result = run(csv, "--family", family, "--max-iter", 3)
    assert result.exit_code == 0
    assert result.stdout.startswith(title)


@pytest.mark.parametrize("name", ["rownames", "id", "Unnamed: 0", "Row"])
def test_a_first_column_that_counts_is_no_data(name: str) -> None:
    for begin in (0, 1):
        rows = [f"{begin + k},{k * k},{k**3 - k}" for k in range(5)]
        table = read_table([f"{name},a,b", *rows])
        assert table.columns == ("a", "b")
        assert table.labels == tuple(str(begin + k) for k in range(5))
    asked = read_table([f"{name},a,b", *rows], [name, "a"])
    assert asked.columns == (name, "a")
    # What does not count the rows is data, as is what counts under another name.
    jumps = [rows[0], *rows[2:]]
    assert read_table([f"{name},a,b", *jumps]).columns == (name, "a", "b")
    assert read_table(["dose,a,b", *rows]).columns == ("dose", "a", "b")
    assert read_table([name, "1", "2"]).columns == (name,)


def test_unknown_column(csv: Path) -> None:
    message = failure(csv, "--columns", "KO,TSLA")
    assert message == f"{csv}: there is no column 'TSLA'; there are AAPL, KO"
    assert "there are AAPL, GE," in failure("--columns", "TSLA")
    assert "'KO' is asked for more than once" in failure(csv, "--columns", "KO,KO")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the first line must name the columns; it is empty"),
        ("1,2\n3,4\n", "the first line must name the columns; it holds numbers"),
        ("a,b\n", "there are no rows below the first line"),
        ("a,a\n1,2\n", "column 'a' is there more than once"),
        ("name\nx\ny\n", "there is no column of numbers beside 'name'"),
        ("a,b\n1,2\n\n3,four\n", "line 4, column 'b': 'four' is not a number"),
        ("a,b\n1,2\n3,\n", "line 3, column 'b': the value is missing; see --missing"),
        (
            "a,b\n1,2\nNaN,3\n",
            "line 3, column 'a': the value is missing; see --missing",
        ),
        ("a,b\n1,2\n3,-inf\n", "line 3, column 'b': '-inf' is not finite"),
        ("a,b\n1,2\n3\n", "line 3 has 1 cells, the first line names 2 columns"),
        (
            "day,a,b\n1,1,2\n2,,4\n",
            "line 3, column 'a': the value is missing; see --missing",
        ),
        ('a,b\n1,"2\n', "line 2: unexpected end of data"),
    ],
)
def test_bad_file(text: str, message: str) -> None:
    assert failure("-", text=text) == f"-: {message}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n3,5\n", "too few rows of data: 2 columns need at least 3, got 2"),
        ("a\n1\n", "too few rows of data: 1 column needs at least 2, got 1"),
        (
            "a,b\n1,0.1\n3,0.1\n4,0.1\n",
            "column 'b' is constant; leave it out by --columns",
        ),
        (
            "a,b,c\n1,4,2\n3,1,6\n5,5,10\n0,2,0\n",
            "columns 'a', 'c' depend on each other linearly; leave one out by "
            "--columns",
        ),
    ],
)
def test_data_that_cannot_be_fitted(text: str, message: str) -> None:
    assert failure("-", text=text) == message


def test_prices_must_be_positive() -> None:
    text = "Date,a\n2024-01-01,1\n2024-01-02,0\n2024-01-03,2\n"
    message = "line 3, column 'a': prices must be positive, got 0"
    assert failure("-", "--returns", text=text) == message
    rows = "".join(f"{2.0**k!r}\n" for k in range(9))  # a return of log 2 throughout
    assert "column 'a' is constant" in failure("-", "--returns", text="a\n" + rows)
    assert "needs a FILE of prices" in failure("--returns")


def test_unwritable_output_is_found_before_the_fit(csv: Path, tmp_path: Path) -> None:
    path = tmp_path / "nowhere" / "out.json"
    message = f"cannot write {path}: No such file or directory"
    assert failure(csv, "--save", path) == message
    assert "Is a directory" in failure(csv, "--save", tmp_path)
    picture = tmp_path / "nowhere" / "out.png"
    assert failure(csv, "--plot", picture).startswith(f"cannot write {picture}")
    doc = tmp_path / "out.doc"
    assert "its suffix must be one of" in failure(csv, "--plot", doc)
    assert not doc.exists()


def test_checking_an_output_leaves_nothing_behind(tmp_path: Path) -> None:
    kept = tmp_path / "kept.json"
    kept.write_text("kept")
    outputs.check_writable(str(kept))
    outputs.check_writable(str(tmp_path / "new.json"))
    assert kept.read_text() == "kept"
    assert list(tmp_path.iterdir()) == [kept]


def test_missing_matplotlib(monkeypatch, csv: Path) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    message = failure(csv, "--plot", "out.png")
    assert message == "--plot needs Matplotlib: pip install matplotlib"


@pytest.mark.parametrize(
    "options", [["--max-iter", "0"], ["--tol", "-1"], ["--tol", "x"], ["--wrong"]]
)
def test_bad_options(options: list[str]) -> None:
    result = run(*options)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert options[0] in result.stderr


# -- tables --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "columns", "first"),
    [
        ("a,b\n1,2\n3,4\n", ("a", "b"), 1.0),
        ("Date,b\n2024-01-01,2\n", ("b",), 2.0),
        (",b\n0,2\n1,3\n", ("b",), 2.0),  # pandas' own index
        ("DATE,b\n20240101,2\n", ("b",), 2.0),
        ("firm,b\nKO,2\n", ("b",), 2.0),
        ("time\n1.5\n", ("time",), 1.5),  # not an index: there is nothing else
        ("\ufeffa;b\r\n1e-3;2\r\n", ("a", "b"), 1e-3),  # from a spreadsheet
        ("a\tb\n 1.5 \t2\n", ("a", "b"), 1.5),
        ('"a, b","c"\n"1","2"\n', ("a, b", "c"), 1.0),
        ("a,b\n\n1,2\n,\n", ("a", "b"), 1.0),
    ],
)
def test_tables(tmp_path: Path, text: str, columns: tuple, first: float) -> None:
    path = tmp_path / "table.csv"
    path.write_text(text, encoding="utf-8", newline="")
    with path.open(encoding="utf-8-sig") as stream:
        read = table.read_table(stream)
    assert read.columns == columns
    assert read.values[0, 0] == first
    assert len(read.values) == len(read.lines)


# -- progress ------------------------------------------------------------------------


def test_progress_on_a_terminal_is_one_line(monkeypatch, capsys) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    shown = progress.Progress(live=True)
    shown.show("compiling, and choosing a start ...")
    shown.iteration(Iteration(20, 1.5, 1e-3, 1e-3))
    shown.clear()
    out, err = capsys.readouterr()
    assert out == ""
    assert "\n" not in err
    _, compiling, iteration, blank, _ = err.split("\r")
    assert "compiling, and choosing a start ..." in compiling
    assert "iteration 20: mean log-likelihood 1.50000000" in iteration
    assert max(map(len, (compiling, iteration))) < 60
    # Each covers the one before it.
    assert len(blank) >= len(iteration.rstrip())
    assert not blank.strip()


def test_progress_elsewhere_is_a_few_lines(capsys) -> None:
    shown = progress.Progress(live=False)
    for k in range(1, 1001):
        shown.iteration(Iteration(k, k / 7, 0.0, 1 / k))
    shown.clear()
    err = capsys.readouterr().err
    numbers = re.findall(r"^iteration (\d+):", err, re.MULTILINE)
    assert numbers == "1 2 5 10 20 50 100 200 500 1000".split()
    assert len(err.splitlines()) == len(numbers)


# -- the rest ------------------------------------------------------------------------


def test_version_and_help() -> None:
    runner = CliRunner()
    assert (
        runner.invoke(main, ["--version"]).output
        == f"normix, version {version('normix')}\n"
    )
    assert "fit" in runner.invoke(main, ["--help"]).output
    text = runner.invoke(main, ["fit", "--help"]).output
    for option in "--family --columns --returns --plot --save --tol --max-iter".split():
        assert option in text


def test_module_is_the_command() -> None:
    command = [sys.executable, "-m", "normix", "--version"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert done.stdout == f"normix, version {version('normix')}\n"


@pytest.mark.parametrize("module", [data, outputs, progress, summary, table])
def test_docstring_examples(module) -> None:
    assert doctest.testmod(module).failed == 0
