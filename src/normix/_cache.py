"""Compiled programs kept from one process to the next, by JAX's own cache."""

from __future__ import annotations

import os
import sys
from functools import cache
from pathlib import Path

import jax


def cache_compilations(path: str | os.PathLike[str] | None = None) -> Path:
    """Keep what JAX compiles on disk, so that later processes need not compile it.

    Switches on JAX's persistent compilation cache, for programs of any size, in the
    folder ``path``; by default in the user's cache folder, ``~/.cache/normix`` on
    Linux. Where a folder is set already, by ``jax_compilation_cache_dir`` or the
    environment variable ``JAX_COMPILATION_CACHE_DIR``, and none is given, all stays as
    it is. It is safe to delete the folder. To be called before the first computation.

    **Returns**: the folder in use.

    >>> import tempfile
    >>> import normix
    >>> folder = normix.cache_compilations(tempfile.mkdtemp())
    """
    given = cache_folder()
    if path is None and given:
        return Path(given)
    folder = _user_cache() / "normix" if path is None else Path(path)
    _has_entries(str(folder))
    jax.config.update("jax_compilation_cache_dir", str(folder))
    # Many programs here take some tens of milliseconds each.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    return folder


def cache_folder() -> str | None:
    """The folder of JAX's persistent cache, None where that is off."""
    return getattr(jax.config, "jax_compilation_cache_dir")  # noqa: B009 (not typed)


def is_filled() -> bool:
    """Whether that folder held what earlier processes have compiled."""
    folder = cache_folder()
    return bool(folder) and _has_entries(str(folder))


@cache
def _has_entries(folder: str) -> bool:
    """As it was when first asked for: this process adds to it."""
    return Path(folder).is_dir() and next(Path(folder).iterdir(), None) is not None


def _user_cache() -> Path:
    """Where programs of this system keep what they can make again."""
    home = Path.home()
    if sys.platform == "darwin":
        return home / "Library" / "Caches"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", home / "AppData" / "Local"))
    return Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache")
