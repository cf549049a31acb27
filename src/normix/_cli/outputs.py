"""Files to be written, checked before the work and not after it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from normix._cli.failure import Failure


def check_writable(path: str) -> None:
    """Raise :class:`Failure` where no file can be written; leaves nothing behind."""
    new = not os.path.lexists(path)
    with writing(path), open(path, "ab"):
        pass
    if new:
        os.remove(path)


def check_picture(path: str) -> None:
    """Raise :class:`Failure` where Matplotlib is absent or cannot draw ``path``.

    Chooses the backend that needs no display.
    """
    try:
        import matplotlib
    except ImportError:
        raise Failure("--plot needs Matplotlib: pip install matplotlib") from None
    matplotlib.use("Agg")
    from matplotlib.backend_bases import FigureCanvasBase

    formats = sorted(FigureCanvasBase.get_supported_filetypes())
    suffix = os.path.splitext(path)[1].lower().removeprefix(".")
    if suffix not in formats:
        raise Failure(
            f"cannot draw {path}: its suffix must be one of {', '.join(formats)}"
        )


@contextlib.contextmanager
def writing(path: str) -> Iterator[None]:
    """Turns an ``OSError`` into a :class:`Failure`."""
    try:
        yield
    except OSError as error:
        raise Failure(f"cannot write {path}: {error.strerror}") from None
