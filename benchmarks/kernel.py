"""``log_kv`` and the GIG moments against ``scipy.special.kve``."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import kve

from benchmarks.timing import Row, race
from normix import log_kv
from normix.special.gig import gig_cumulants
from normix.special.gig_shared import gig_means_shared

SIZE = 20_000


def run() -> list[Row]:
    """All of it on the same vectors of ``SIZE`` elements."""
    rng = np.random.default_rng(0)
    v = rng.uniform(-3, 3, SIZE)
    z = np.exp(rng.uniform(np.log(0.05), np.log(150), SIZE))
    order, b = 2.5, z * z
    jv, jz, jb = jnp.asarray(v), jnp.asarray(z), jnp.asarray(b)

    value = jax.jit(log_kv)
    slopes = jax.jit(lambda v, z: jax.vjp(log_kv, v, z)[1](jnp.ones_like(z)))

    @jax.jit
    def four(p, z):
        return gig_cumulants(1, False, p, z, z)

    @jax.jit
    def shared(p, b):
        one = jnp.ones(())
        return gig_means_shared((p, one, b), (p, one, one))

    def kve_times(count, p):
        return lambda: [np.log(kve(p + k, z)) for k in range(count)]

    return [
        race("log_kv", lambda: value(jv, jz), "1 kve:", kve_times(1, v)),
        race(
            "log_kv, both derivatives",
            lambda: slopes(jv, jz),
            "3 kve:",
            kve_times(3, v),
        ),
        race(
            "log K, E log Y, E 1/Y, E Y",
            lambda: four(jv, jz),
            "3 kve:",
            kve_times(3, v),
        ),
        race(
            "the same, one order (E-step)",
            lambda: shared(jnp.asarray(order), jb),
            "3 kve:",
            kve_times(3, np.full(SIZE, order)),
        ),
    ]
