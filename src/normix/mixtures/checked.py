"""Data that a mixture takes: checked rows, for a fit, a start or an E-step."""

from abc import abstractmethod
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from jaxtyping import Array, ArrayLike, Float

from normix._arrays import as_weights, check_option, is_traced
from normix._columns import (
    check_columns,
    column_names,
    constant_columns,
    dependent_columns,
)
from normix._missing import MISSING, check_seen, completed, present, seen_together
from normix._passes import Data, passes_over
from normix.mixtures.charted import Charted
from normix.mixtures.in_one import SAMPLE, layout_of, sample_of

if TYPE_CHECKING:
    from typing import ClassVar as AbstractClassVar
else:
    from equinox import AbstractClassVar


class Checked(Charted):
    """A law of X that says which data it takes."""

    _axes: AbstractClassVar[int]
    """The number of axes of data: 2, or 1 for a univariate form."""

    @classmethod
    @abstractmethod
    def _check_size(cls, n: int, d: int) -> None:
        """Raise ``ValueError`` where the rows are too few for a fit of this form."""

    takes_collinear: AbstractClassVar[bool]
    """Whether columns may depend on each other, unless two of them are equal."""

    @classmethod
    def check_fit(
        cls,
        n: int,
        d: int,
        constant: Sequence[int],
        dependent: Sequence[int],
        names: Sequence[object] | None = None,
    ) -> None:
        """Raise ``ValueError`` for data that no fit of this form is possible to.

        ``constant`` lists the columns of one value, ``dependent`` some of which one
        follows from the others; ``names`` are those of the columns, if they have any.
        """
        cls._check_size(n, d)
        check_columns(constant, dependent, names)

    @classmethod
    def check_rows(
        cls,
        rows: Float[Array, "n d"],
        names: Sequence[object] | None = None,
        *,
        missing: bool = False,
    ) -> None:
        """The same of rows at hand, or spread over devices.

        With ``missing`` NaN is a missing entry.
        """
        n, d = rows.shape
        cls._check_size(n, d)  # before what takes time
        whole = rows
        if missing and not is_traced(rows):
            host = np.asarray(rows)
            check_seen(seen_together(host), names, pairs=not cls.takes_collinear)
            whole = host[~np.isnan(host).any(axis=1)]
            if len(whole) <= d:  # too few to tell
                whole = completed(host[:: -(-len(host) // SAMPLE)])
        constant = constant_columns(rows)
        dependent = dependent_columns(whole, equal_only=cls.takes_collinear)
        cls.check_fit(n, d, constant, dependent, names)

    @classmethod
    def _rows_to_start(cls, X: Data, missing: str) -> Float[Array, "m d"]:
        """Checked rows for ``default_init``: a sample where they are not at hand.

        That is where they are read in chunks, or spread over devices. Missing entries
        are filled, or their rows left out.
        """
        check_option("missing", missing, MISSING)
        rows: Any
        passes, gaps = passes_over(X, cls._axes), missing != "raise"
        if passes is not None:
            passes = passes.without_gaps(missing) if gaps else passes
            rows = passes.sample(SAMPLE, partial(cls._rows_of_chunk, missing=gaps))
        else:
            rows = cls._rows(cast(ArrayLike, X), missing=gaps)
            rows = sample_of(rows, layout_of(rows))
        found = present(rows, None, missing)
        cls.check_rows(found.rows, column_names(X), missing=found.has_gaps)
        if not found.has_gaps:
            return found.rows
        if is_traced(rows):
            raise ValueError('default_init with missing="em" needs values, not tracers')
        host = np.asarray(found.rows)
        sample = host[:: -(-len(host) // SAMPLE)]
        return completed(sample)  # pyright: ignore[reportReturnType]

    @classmethod
    def _rows_of_chunk(
        cls, chunk: Any, columns: int | None = None, missing: bool = False
    ) -> Array:
        """Rows of a chunk, which has two axes in every form, checked."""
        part = chunk[:, 0] if cls._axes == 1 else chunk
        return cls._rows(part, columns, missing=missing)

    def _weighed(self, X: ArrayLike, weights: ArrayLike | None, missing: str):
        """Checked rows, their weights, and whether NaN is among them."""
        rows = self._rows(X, self.joint.d, missing=missing != "raise")
        w = None if weights is None else as_weights(weights, rows.shape[0])
        found = present(rows, w, missing)
        return found.rows, found.weights, missing == "em" and found.has_gaps
