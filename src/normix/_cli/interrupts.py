"""Who answers Ctrl-C."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator


@contextlib.contextmanager
def deadly() -> Iterator[None]:
    """Ctrl-C ends the process at once (status 130 in a shell).

    Python would answer only after a compilation, which takes seconds, and JAX can
    crash when an exception cuts through it.
    """
    with _handled_by(signal.SIG_DFL):
        yield


@contextlib.contextmanager
def raised() -> Iterator[None]:
    """Ctrl-C raises ``KeyboardInterrupt``, which a fitter answers with what it has."""
    with _handled_by(signal.default_int_handler):
        yield


@contextlib.contextmanager
def _handled_by(handler) -> Iterator[None]:
    # Only the main thread may choose, and an ignored Ctrl-C (nohup) stays so.
    before = signal.getsignal(signal.SIGINT)
    chosen = threading.current_thread() is threading.main_thread()
    if not chosen or before in (signal.SIG_IGN, None):
        yield
        return
    signal.signal(signal.SIGINT, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
