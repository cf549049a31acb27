"""Double precision and strict rank promotion, before anything makes an array."""

import jax
import pytest

jax.config.update("jax_enable_x64", True)


@pytest.fixture
def key() -> jax.Array:
    """A JAX random key, the same in every test."""
    return jax.random.key(20240607)
