"""The GIG law against ``scipy.stats.geninvgauss`` and ``scipy.optimize.root``.

SciPy takes one law or point at a time. Where a million would take it hours, it is
given the first few and its time is scaled up.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from scipy.optimize import root
from scipy.special import kve
from scipy.stats import geninvgauss

from benchmarks.timing import Row, race
from normix import GIG

_ORDER_STEP = 1e-5  # SciPy's kve has no derivative in the order


def run() -> list[Row]:
    """η → θ, distribution function, quantiles and draws; 1 to a million at once."""
    rng = np.random.default_rng(0)
    n = 1_000_000
    p, z = rng.uniform(-5, 5, n), np.exp(rng.uniform(np.log(0.1), np.log(10), n))
    return [*_inverse(p, z), *_one_law(rng), *_many_laws(p, z, rng)]


def _inverse(p, z) -> list[Row]:
    eta = np.asarray(GIG.expectation_params_batch(p, z, z))
    solve = jax.jit(jax.vmap(GIG.from_expectation))
    rows = []
    for size, few in ((1, 1), (10_000, 20), (len(p), 20)):
        some = jnp.asarray(eta[:size])

        def theirs(few=few):
            with np.errstate(all="ignore"):  # root's trial points
                return [root(_misfit, np.zeros(3), args=(t,)).x for t in eta[:few]]

        rows.append(
            race(
                f"from_expectation, {size:,} laws",
                lambda some=some: solve(some),
                "root on kve:",
                theirs,
                share=few / size,
                rounds=3 if size > 10_000 else 7,
            )
        )
    return rows


def _misfit(x, target):
    """Expectations of ``(log Y, 1/Y, Y)`` from five ``kve`` less their targets."""
    order, z, scale = x[0], np.exp(x[1]), np.exp(x[2])
    log_k = [np.log(kve(order + h, z)) for h in (-_ORDER_STEP, _ORDER_STEP)]
    down, middle, up = (kve(order + h, z) for h in (-1, 0, 1))
    e_log = np.log(scale) + (log_k[1] - log_k[0]) / (2 * _ORDER_STEP)
    return np.array([e_log, down / middle / scale, up / middle * scale]) - target


def _one_law(rng) -> list[Row]:
    order, z = -0.7, 1.3
    law, reference = GIG(p=order, a=z, b=z), geninvgauss(order, z)
    x, q = rng.gamma(2.0, 1.0, 1_000_000), rng.uniform(size=1_000_000)
    table = law.quantile_table()
    look_up = jax.jit(lambda table, q: table.ppf(q))
    rows = []
    for size in (1, 10_000, 1_000_000):
        few = min(size, 200)
        at_x, at_q = jnp.asarray(x[:size]), jnp.asarray(q[:size])
        rounds = 3 if size > 10_000 else 7
        share = few / size
        rows.append(
            race(
                f"cdf, {size:,} points of one law",
                lambda at_x=at_x: law.cdf(at_x),
                "geninvgauss:",
                lambda few=few: reference.cdf(x[:few]),
                share=share,
                rounds=rounds,
            )
        )
        few = min(size, 20)
        rows.append(
            race(
                f"ppf, {size:,} points of one law",
                lambda at_q=at_q: law.ppf(at_q),
                "geninvgauss:",
                lambda few=few: reference.ppf(q[:few]),
                share=few / size,
                rounds=rounds,
            )
        )
    rows.append(
        race(
            "ppf by its table, 1,000,000 points",
            lambda: look_up(table, jnp.asarray(q)),
            "geninvgauss:",
            lambda: reference.ppf(q[:20]),
            share=20 / len(q),
            rounds=3,
        )
    )
    for method in ("exact", "inversion"):
        rows.append(
            race(
                f"rvs, 1,000,000 of one law, {method}",
                lambda method=method: law.rvs(1_000_000, method=method),
                "geninvgauss:",
                lambda: reference.rvs(1_000_000, random_state=rng),
                rounds=7,
            )
        )
    return rows


def _many_laws(p, z, rng) -> list[Row]:
    size, few = 100_000, 200
    p, z, x = p[:size], z[:size], rng.gamma(2.0, 1.0, size)
    laws = jax.vmap(lambda p, z: GIG(p=p, a=z, b=z))(jnp.asarray(p), jnp.asarray(z))
    keys = jax.random.split(jax.random.key(0), size)
    draw = jax.jit(jax.vmap(lambda law, key: law.rvs(1, key=key)[0]))
    cdf = jax.jit(jax.vmap(lambda law, x: law.cdf(x)))
    at = jnp.asarray(x)
    return [
        race(
            f"cdf, {size:,} laws",
            lambda: cdf(laws, at),
            "geninvgauss:",
            lambda: geninvgauss.cdf(x[:few], p[:few], z[:few]),
            share=few / size,
            rounds=3,
        ),
        race(
            f"rvs, {size:,} laws",
            lambda: draw(laws, keys),
            "geninvgauss:",
            lambda: geninvgauss.rvs(p[:few], z[:few], random_state=rng),
            share=few / size,
            rounds=3,
        ),
    ]
