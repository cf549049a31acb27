"""A fit to rows spread over devices or processes, run by the tests as a script.

``python spread_fit.py OUT.npz FAMILY devices 8`` fits on eight devices of one process,
and with the word ``others`` after it does all else that takes such rows;
``python spread_fit.py OUT.npz FAMILY process INDEX PORT`` is one of two processes; with
one more argument, a file to make when it begins, its fit has no end.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import numpy as np

N, D = 200_000, 5


def data(n: int = N, d: int = D) -> np.ndarray:
    """Skewed, heavy-tailed rows."""
    rng = np.random.default_rng(5)
    y = rng.wald(1.0, 1.5, n)
    root = np.eye(d) + 0.3 * np.tril(rng.normal(size=(d, d)), -1)
    noise = rng.normal(size=(n, d)) @ root.T
    return 1.0 + y[:, None] * np.linspace(-0.3, 0.4, d) + np.sqrt(y)[:, None] * noise


def start(family, X):
    """The model to begin at, from the same few rows wherever the fit runs."""
    return family.default_init(X[:2_000])


OPTIONS = {"tol": 1e-5, "max_iter": 40}


def outcome(result) -> dict[str, np.ndarray]:
    """The log-likelihood and every parameter."""
    import jax

    leaves = jax.tree.leaves(result.model)
    parameters = np.concatenate([np.ravel(leaf) for leaf in leaves])
    return {
        "log_likelihood": np.asarray(result.log_likelihood),
        "n_iter": np.asarray(result.n_iter),
        "parameters": parameters,
    }


def moved(model, placed) -> np.ndarray:
    """What the devices exchange in an E-step: operations and shapes."""
    from normix.mixtures.in_one import layout_of, replicated, swept_in_one
    from normix.mixtures.model_steps import packed

    layout = layout_of(placed)
    at = replicated((packed(model.joint), np.zeros(model.d)), layout)
    frame = model.joint.frame
    lowered = swept_in_one.lower(at, placed, None, frame, "jax", layout)
    program = lowered.compile().as_text()
    assert program is not None
    collectives = r"= (\S+) (all-reduce|all-gather|all-to-all|collective-permute)\("
    found = re.findall(collectives, program)
    return np.array([f"{kind} {shape}" for shape, kind in found])


def others(model, placed, sharding) -> dict[str, np.ndarray]:
    """What else rows on several devices are used for."""
    import jax

    import normix

    weights = jax.device_put(np.arange(len(placed)) % 3 + 1.0, sharding)
    small = placed[: len(placed) // 100]
    nig = normix.NormalInverseGaussian.default_init(small)
    starts = nig.fit(small, n_starts=3, max_iter=5).starts
    assert starts is not None
    holed = jax.numpy.where(jax.numpy.abs(small) < 0.2, jax.numpy.nan, small)
    gaps = nig.fit(holed, missing="em", max_iter=5, tol=0.0)
    return {
        "with_gaps": np.asarray(gaps.log_likelihood),
        "mean_log_likelihood": np.asarray(model.marginal_log_likelihood(placed)),
        "E_inv_Y": np.asarray(model.e_step(placed, weights=weights).E_inv_Y),
        "init": np.asarray(nig.sigma()),
        "starts": np.asarray(starts.log_likelihood),
    }


def main() -> None:
    """Fit, and write what came out."""
    path, name, kind = sys.argv[1:4]
    if kind == "devices":
        count = sys.argv[4]
        os.environ["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={count}"
    import jax

    jax.config.update("jax_enable_x64", True)
    if kind == "process":
        index, port = int(sys.argv[4]), sys.argv[5]
        jax.config.update("jax_cpu_collectives_implementation", "gloo")
        jax.distributed.initialize(
            f"127.0.0.1:{port}", 2, index, heartbeat_timeout_seconds=10
        )
    import jax.numpy as jnp
    from jax.sharding import Mesh, NamedSharding, PartitionSpec

    import normix

    X = data()
    mesh = Mesh(np.array(jax.devices()), ("rows",))
    sharding = NamedSharding(mesh, PartitionSpec("rows"))
    if kind == "process":
        own = np.array_split(X, 2)[index]
        placed = jax.make_array_from_process_local_data(sharding, own)
    else:
        placed = jax.device_put(jnp.asarray(X), sharding)
    family = getattr(normix, name)
    model = start(family, X)
    if kind == "process" and len(sys.argv) > 6:
        model.e_step(placed)
        Path(sys.argv[6]).touch()
        model.fit(placed, tol=0.0, max_iter=10**6)
    if sys.argv[5:] == ["others"]:
        found = others(model, placed, sharding)
    else:
        found = outcome(model.fit(placed, **OPTIONS))
    if kind == "devices":
        found["moved"] = moved(model, placed)
    np.savez(path, allow_pickle=False, **found)


if __name__ == "__main__":
    main()
