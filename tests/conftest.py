"""Double precision before anything makes an array, and few compiled programs."""

import itertools
from pathlib import Path

import jax
import pytest

import normix

jax.config.update("jax_enable_x64", True)
normix.cache_compilations()

_TURN = itertools.count(1)
_MAPS = Path("/proc/self/maps")


@pytest.fixture
def key() -> jax.Array:
    """A JAX random key, the same in every test."""
    return jax.random.key(20240607)


@pytest.fixture(autouse=True)
def few_mappings():
    """Drop the compiled programs before they exhaust the process's memory mappings.

    XLA maps each several times; at 65530 mappings, Linux's default, LLVM crashes.
    """
    yield
    if next(_TURN) % 10 == 0 and _MAPS.exists():
        with _MAPS.open("rb") as mappings:
            if sum(1 for _ in mappings) > 30_000:
                jax.clear_caches()
