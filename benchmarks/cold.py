"""First answers: everything in new processes, as multiples of an import.

The unit is ``import jax, equinox, scipy.special`` in a new process of the same run, so
that machines compare. Every figure is the median of three processes. normix has its
bytecode beside it, as those packages have theirs and as pip leaves it. The documents of
``shared/spec`` are run where they are beside the checkout.
"""

from __future__ import annotations

import compileall
import os
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import normix
from benchmarks.timing import Row

ROUNDS = 3
SPEC = Path(__file__).parents[2] / "shared" / "spec"
FAMILIES = (
    "NormalInverseGaussian",
    "VarianceGamma",
    "NormalInverseGamma",
    "GeneralizedHyperbolic",
)

IMPORT = """
import time
begin = time.perf_counter()
import jax, equinox, scipy.special
unit = time.perf_counter() - begin
jax.config.update("jax_enable_x64", True)
begin = time.perf_counter()
"""
# 1769 rows of five stocks' returns.
DATA = """
import normix
import numpy as np
from normix.datasets import load_sp500_returns
every = load_sp500_returns().values[:, :5]
X = every[:1769]
def fit(family, X):
    model = family.default_init(X)
    result = normix.BatchEMFitter(
        tol=1e-6, max_iter=500).fit(model, X)
    return float(result.model.marginal_log_likelihood(X))
"""
DONE = "\nprint(unit, time.perf_counter() - begin)\n"


def seconds(script: str, **environment: str) -> tuple[float, float]:
    """The unit and the time that a script prints last, in a new process."""
    # The cache is off unless a script asks for it.
    env = {k: v for k, v in os.environ.items() if k != "JAX_COMPILATION_CACHE_DIR"}
    done = subprocess.run(
        [sys.executable, "-c", script],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        env=env | {"MPLBACKEND": "agg"} | environment,
    )
    unit, took = done.stdout.split()[-2:]
    return float(unit), float(took)


def median_of(name: str, script: str, target: float, **environment: str) -> Row:
    """The row of a script, in multiples of the import."""
    pairs = [seconds(script, **environment) for _ in range(ROUNDS)]
    unit = statistics.median(pair[0] for pair in pairs)
    took = statistics.median(pair[1] for pair in pairs)
    return Row(name, took, note=_multiple(took, unit, target))


def _multiple(took: float, unit: float, target: float) -> str:
    return f"{took / unit:.3g} x the import of {unit:.2f} s (target {target:g})"


def fits(*families: str) -> str:
    """Import, ``default_init``, ``fit`` and log-likelihood of each family."""
    calls = "\n".join(f"fit(normix.{family}, X)" for family in families)
    return IMPORT + DATA + calls + DONE


def cached(family: str, target: float) -> Row:
    """The same in the second process that has the cache."""
    with tempfile.TemporaryDirectory() as folder:
        switch = f"import normix\nnormix.cache_compilations({folder!r})\n"
        script = IMPORT + switch + fits(family).removeprefix(IMPORT)
        seconds(script)
        return median_of(f"{family}, second process, cached", script, target)


ROW_COUNTS = """
from normix._compile import grid
every = np.concatenate([every, every])
counts = np.unique(np.random.default_rng(0).integers(200, 5000, 20))
for size in sorted({grid(n) for n in counts}):
    fit(normix.NormalInverseGaussian, every[:size])
begin = time.perf_counter()
for n in counts:
    fit(normix.NormalInverseGaussian, every[:n])
print(unit, (time.perf_counter() - begin) / len(counts))
"""

BOOTSTRAP = """
import normix
from benchmarks.fits import GeneralizedHyperbolic, NormalInverseGaussian, data
import jax.numpy as jnp
X = jnp.asarray(data(NormalInverseGaussian, 1_000, 2))
start = GeneralizedHyperbolic.default_init(X)
chosen = jax.random.randint(jax.random.key(0), (200, 1_000), 0, 1_000)
fitter = normix.BatchEMFitter()
begin = time.perf_counter()
many = jax.jit(jax.vmap(lambda rows: fitter.fit(start, X[rows])))
jax.block_until_ready(many(chosen).model)
"""

UNIVARIATE = """
import normix
law = normix.UnivariateNormalInverseGaussian.from_classical(
    mu=0.0, gamma=0.3, sigma=1.0, mu_ig=1.0, lam=1.5)
begin = time.perf_counter()
jax.block_until_ready(law.{call})
"""


def cells(path: Path) -> str:
    """The code of a document: cells of a notebook, or of its rendered text."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        return "\n".join(re.findall(r"{code-cell}[^\n]*\n(.*?)```", text, re.S))
    found = []
    for paragraph in text.split("\n\n"):
        # What a cell printed follows its code.
        lines = paragraph.split("\n")
        while lines and not _is_code("\n".join(lines)):
            lines.pop()
        found.append("\n".join(lines))
    return "\n".join(found)


def _is_code(text: str) -> bool:
    try:
        compile(text, "cell", "exec")
    except SyntaxError:
        return False
    return any(mark in text for mark in ("=", "import", "print"))


def documents() -> list[Row]:
    """Each document's cells in a process of their own, imports included."""
    names = "batch_em.md", "incremental_em.md", "initialization_and_multistart.txt"
    return [
        median_of(f"cells of {name}", IMPORT + cells(SPEC / name) + DONE, 6)
        for name in names
        if (SPEC / name).exists()
    ]


def demo() -> Row:
    """What ``normix fit`` says its fit took, with an empty cache."""
    took = []
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run(
                [sys.executable, "-m", "normix", "fit"],
                check=True,
                capture_output=True,
                text=True,
                env=os.environ | {"XDG_CACHE_HOME": folder},
            )
        found = re.search(r"and ([\d.]+) s", done.stdout)
        assert found is not None, done.stdout
        took.append(float(found[1]))
    unit = statistics.median(seconds(IMPORT + DONE)[0] for _ in range(ROUNDS))
    middle = statistics.median(took)
    name = "normix fit: what it says that it took"
    return Row(name, middle, note=_multiple(middle, unit, 3.5))


def run() -> list[Row]:
    """All of them."""
    compileall.compile_dir(Path(normix.__file__).parent, quiet=1)
    rows = [
        median_of("NIG, first in a process", fits(FAMILIES[0]), 2.5),
        median_of("GH, first in a process", fits(FAMILIES[3]), 4),
        median_of("all four families", fits(*FAMILIES), 6),
        cached(FAMILIES[0], 1.0),
        cached(FAMILIES[3], 1.3),
        median_of("another number of rows", IMPORT + DATA + ROW_COUNTS, 0.05),
        *documents(),
        median_of(
            "200 GH fits by vmap, n = 1,000, d = 2", IMPORT + BOOTSTRAP + DONE, 7
        ),
        demo(),
    ]
    for call in ("cdf(0.3)", "ppf(0.3)", "rvs(1000)"):
        script = IMPORT + UNIVARIATE.format(call=call) + DONE
        rows.append(median_of(f"univariate {call}, first call", script, 1))
    return rows
