"""Standard errors: what they take, and whether they are right.

Coverage of intervals over simulated samples, of the true values and, by the sandwich
for data of another law, of the pseudo-true ones; bootstrap against information;
influence against refits.
"""

from __future__ import annotations

import statistics
import time

import jax
import jax.numpy as jnp
import numpy as np

import normix
from benchmarks.cold import DATA, IMPORT, seconds
from benchmarks.timing import Row
from normix import BatchEMFitter
from normix.datasets import load_sp500_returns

SAMPLES = 2_000
NORMAL = {
    "mu": np.array([0.0, 0.1]),
    "gamma": np.array([0.3, -0.2]),
    "sigma": np.array([[1.0, 0.3], [0.3, 0.5]]),
}
NIG = normix.NormalInverseGaussian.from_classical(**NORMAL, mu_ig=1.0, lam=1.5)
VG = normix.VarianceGamma.from_classical(**NORMAL, alpha=2.5, beta=2.5)
FITTER = BatchEMFitter(tol=1e-6, max_iter=500)

FIRST = """
model = normix.NormalInverseGaussian.default_init(X)
result = model.fit(X)
begin = time.perf_counter()
result.inference(X).bse
"""


def quantile(model):
    """The .99 quantile of a portfolio of halves."""
    return model.project(jnp.array([0.5, 0.5])).ppf(0.99)


def _params(model) -> np.ndarray:
    """The classical parameters of a model with ``E[Y] = 1``, without those of Y."""
    sigma = np.asarray(model.sigma())[np.tril_indices(model.d)]
    return np.concatenate([model.mu, model.gamma, sigma])


def coverage(truth, cls, cov_type: str, target: str) -> Row:
    """How often 95 % intervals hold the parameters and the quantile."""
    if type(truth) is cls:
        true = _pseudo(truth)
        true_quantile = float(quantile(truth))
    else:  # the law nearest to the truth, from very many rows
        X = np.asarray(truth.rvs(2_000_000, seed=10**6))
        limit = FITTER.fit(cls.default_init(X), X)
        true = _pseudo(limit.model)
        true_quantile = float(quantile(limit.model))
    begin, hits, refused = time.perf_counter(), [], 0
    for seed in range(SAMPLES):
        X = np.asarray(truth.rvs(1_000, seed=seed))
        fit = FITTER.fit(cls.default_init(X), X)
        try:
            found = fit.inference(X, cov_type=cov_type)
        except ValueError:
            refused += 1
            continue
        low, high = found.conf_int().T
        ends = found.delta(quantile).conf_int
        inside = (low <= true) & (true <= high)
        hits.append(np.append(inside, ends[0] <= true_quantile <= ends[1]))
    shares = 100 * np.mean(hits, axis=0)
    note = (
        f"{shares.min():.1f} to {shares.max():.1f} % (target {target}), the quantile "
        f"{shares[-1]:.1f} %; {refused} of {SAMPLES} refused"
    )
    name = f"{cls.__name__}, {type(truth).__name__} data, {cov_type}"
    return Row(name, (time.perf_counter() - begin) / SAMPLES, note=note)


def _pseudo(model) -> np.ndarray:
    """The parameters in the gauge ``E[Y] = 1``."""
    y = float(model.joint.subordinator.mean())
    unit = type(model)(model.joint.rescaled(jnp.asarray(1 / y)))
    law = unit.joint.subordinator
    return np.append(
        _params(unit), float(getattr(law, "lam", getattr(law, "alpha", 0)))
    )


def bootstrap() -> list[Row]:
    """200 parametric resamples of 4529 x 10 rows against standard errors."""
    X = 100 * np.asarray(load_sp500_returns().values)
    fit = FITTER.fit(normix.NormalInverseGaussian.default_init(X), X)
    Z = np.asarray(fit.model.rvs(len(X), seed=5))  # data of the model itself
    refit = FITTER.fit(fit.model, Z)
    begin = time.perf_counter()
    found = normix.bootstrap(
        refit.model, Z, 200, key=jax.random.key(0), kind="parametric"
    )
    took = time.perf_counter() - begin
    rows = []

    def told(model):
        y = model.joint.subordinator.mean()
        sigma = (y * model.sigma())[np.tril_indices(10)]
        return jnp.concatenate([model.mu, y * model.gamma, sigma])

    sd = np.asarray(found.std(told))
    for cov_type in ("observed", "sandwich"):
        bse = refit.inference(Z, cov_type=cov_type).bse[:-1]
        ratio = sd / bse
        note = (
            f"sd over {cov_type}: median {np.median(ratio):.3f}, {ratio.min():.2f} to "
            f"{ratio.max():.2f} (target .85 to 1.15), {found.n_failed} failed"
        )
        rows.append(Row("200 parametric bootstraps, 4529 x 10", took, note=note))
    return rows


def influence() -> Row:
    """A hundred rows left out, against refits."""
    X = 100 * np.asarray(load_sp500_returns().values)[:1000, :2]
    fitter = BatchEMFitter(tol=1e-9, max_iter=500)
    fit = fitter.fit(normix.NormalInverseGaussian.default_init(X), X)
    begin = time.perf_counter()
    found = fit.inference(X)
    change, true = found.influence()[:100], []
    took = time.perf_counter() - begin
    for i in range(100):
        weights = np.ones(len(X))
        weights[i] = 0.0
        refit = fitter.fit(fit.model, X, weights=weights)
        true.append(refit.inference(X, weights).params - found.params)
    pairs = zip(change.T, np.array(true).T, strict=True)
    worst = min(np.corrcoef(one, other)[0, 1] for one, other in pairs)
    note = f"least correlation with refits {worst:.6f} (target .999)"
    return Row("influence of all of 1,000 rows", took, note=note)


def warm() -> Row:
    """The whole of it on 4529 x 10 rows, 76 parameters."""
    X = np.asarray(load_sp500_returns().values)
    fit = normix.NormalInverseGaussian.default_init(X).fit(X)
    took = []
    for _ in range(9):
        begin = time.perf_counter()
        _ = fit.inference(X).bse
        took.append(time.perf_counter() - begin)
    return Row(
        "inference, 4529 x 10, warm", statistics.median(took), note="target 150 ms"
    )


def run() -> list[Row]:
    """All of them."""
    script = IMPORT + DATA + FIRST + "\nprint(unit, time.perf_counter() - begin)"
    pairs = [seconds(script) for _ in range(3)]
    unit, took = (statistics.median(column) for column in zip(*pairs, strict=True))
    note = f"{took / unit:.3g} x the import of {unit:.2f} s (target 1.5)"
    nig, vg = normix.NormalInverseGaussian, normix.VarianceGamma
    return [
        Row("inference after a first NIG fit, 1769 x 5", took, note=note),
        warm(),
        influence(),
        *bootstrap(),
        coverage(NIG, nig, "observed", "93.5 to 96.5"),
        coverage(VG, vg, "observed", "93.5 to 96.5"),
        coverage(VG, nig, "sandwich", "93 to 97"),
    ]
