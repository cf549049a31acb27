"""The command ``normix sample``."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from normix._cli.failure import Failure
from normix._cli.interrupts import deadly

if TYPE_CHECKING:
    from normix._cli.model import Saved

# Rows drawn at a time: enough that writing them takes longer than drawing them, and few
# enough for any number of columns.
_PIECE = 1024


@click.command(context_settings={"show_default": True})
@click.argument("model", metavar="MODEL.json")
@click.option(
    "-n",
    "n",
    type=click.IntRange(min=1),
    default=1000,
    metavar="N",
    help="The number of rows to draw.",
)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**32 - 1),
    default=0,
    metavar="S",
    help="The same seed gives the same rows, and a smaller N the first of them.",
)
def sample(model: str, n: int, seed: int) -> None:
    """Draw from a saved model, as CSV on standard output.

    MODEL.json is a file that normix fit --save wrote. The first line has the names of
    its columns, or x1, x2, ... where it was saved without; the others are independent
    draws, with all digits, so that they read back exactly. Of a model of log
    returns they are log returns.

    \b
    Examples:
      normix sample model.json -n 100000 > draws.csv
      normix sample model.json --seed 7 | normix fit -
    """
    with deadly():
        from normix._cli.model import load_model

        saved = load_model(model)
        lines = csv.writer(sys.stdout, lineterminator="\n")
        try:
            lines.writerow(saved.names)
            for rows in _pieces(saved, n, seed):
                lines.writerows(rows)
            sys.stdout.flush()
        except BrokenPipeError:
            raise  # whoever reads has enough: click ends the command without a word
        except OSError as error:
            raise Failure(f"cannot write the draws: {error.strerror}") from None


def _pieces(saved: Saved, n: int, seed: int) -> Iterator[list[list[float]]]:
    """``n`` rows, some at a time; a piece has the same rows whatever ``n`` is."""
    import jax
    import numpy as np

    key = jax.random.key(seed)
    for k, begin in enumerate(range(0, n, _PIECE)):
        drawn = saved.law.rvs(_PIECE, key=jax.random.fold_in(key, k))
        rows = np.asarray(drawn).reshape(_PIECE, len(saved.names))
        yield rows[: n - begin].tolist()
