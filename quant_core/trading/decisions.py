"""What a strategy decided, and when, as the ledger reads it: a sparse list of targets by session and name.

A decision names all that is wanted, and what is to be kept as it is held (NaN); every other name is to be sold. A
session without a decision leaves open orders and holdings alone.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quant_core.dense import Floats, Integers
from quant_core.errors import DataError

SUM_TOLERANCE = 1e-9  # a decision may exceed 1 by this much, for rounding in the caller


def unholdable(weights: Floats) -> NDArray[np.bool_]:
    """(D,) whether no account could hold one of (D, N) weights: one is negative or infinite, or they exceed 1 in all.

    NaN keeps a name, and counts as nothing here.
    """
    strange = ((weights < 0.0) | np.isinf(weights)).any(axis=1)
    above: NDArray[np.bool_] = np.nansum(weights, axis=1) > 1.0 + SUM_TOLERANCE
    return strange | above


@dataclass(frozen=True, eq=False)
class Decisions:
    """D decisions with M targets in all.

    Args:
        rows: (D,) sessions at whose close was decided, ascending.
        start: (D + 1,) the targets of decision d are start[d]..start[d + 1].
        names: (M,) columns of the panel.
        amounts: (M,) fractions of equity, or shares; NaN keeps what is held of the name.
        unit: what the amounts are; shares are counted as on the day of the decision, a split before the fill is
            followed.
    Raises:
        DataError: rows that do not ascend, a name twice in one decision, an amount that is negative or infinite,
            weights that sum to more than 1.
    """

    rows: Integers
    start: Integers
    names: Integers
    amounts: Floats
    unit: Literal["weight", "shares"] = "weight"

    def __post_init__(self) -> None:
        for name, kind in (("rows", np.int64), ("start", np.int64), ("names", np.int64), ("amounts", np.float64)):
            object.__setattr__(self, name, np.ascontiguousarray(getattr(self, name), dtype=kind))
        if self.unit not in ("weight", "shares"):
            raise DataError(f"ledger: targets are in {self.unit!r}; wanted 'weight' or 'shares'.")
        if len(self.names) != len(self.amounts):
            raise DataError(f"ledger: {len(self.names)} names with {len(self.amounts)} amounts; wanted one for each.")
        runs = self.start[:1].tolist() == [0] and self.start[-1] == len(self.names) and (np.diff(self.start) >= 0).all()
        if len(self.start) != len(self.rows) + 1 or not runs:
            raise DataError(
                f"ledger: {len(self.rows)} decisions with {len(self.start)} starts; wanted one more, rising from 0 to "
                f"the number of targets, {len(self.names)}."
            )
        if (np.diff(self.rows) <= 0).any() or (len(self.rows) and self.rows[0] < 0):
            raise DataError("ledger: decision rows do not ascend; sort the decisions, one a session.")
        self._check_amounts()
        self._check_sums()

    @classmethod
    def of(
        cls, decided: ArrayLike, rows: ArrayLike, names: ArrayLike, amounts: ArrayLike, unit: str = "weight"
    ) -> "Decisions":
        """From a list of targets in any order.

        Args:
            decided: (D,) sessions at whose close was decided; one without a target sells everything.
            rows, names, amounts: (M,) session, column and size of each target.
        """
        days = np.unique(np.asarray(decided, dtype=np.int64))
        where, column = np.asarray(rows, dtype=np.int64), np.asarray(names, dtype=np.int64)
        strangers = np.setdiff1d(where, days)
        if len(strangers):
            raise DataError(f"ledger: a target is dated row {strangers[0]}, on which nothing was decided.")
        order = np.lexsort((column, where))
        start = np.searchsorted(where[order], np.append(days, np.iinfo(np.int64).max))
        return cls(days, start, column[order], np.asarray(amounts, dtype=np.float64)[order], unit)  # type: ignore[arg-type]

    @classmethod
    def from_dense(cls, targets: ArrayLike, unit: str = "weight") -> "Decisions":
        """From (T, N) targets: a row of NaN is no decision, a row of zeros sells everything."""
        table = np.asarray(targets, dtype=np.float64)
        missing = np.isnan(table)
        mixed = missing.any(axis=1) & ~missing.all(axis=1)
        if mixed.any():
            row = int(np.argmax(mixed))
            raise DataError(
                f"ledger: targets row {row} column {int(np.argmax(missing[row]))} is nan beside numbers; "
                "use 0 for a name not wanted and a whole row of NaN for no decision; names to keep need Decisions.of."
            )
        rows, columns = np.nonzero(np.nan_to_num(table, nan=0.0))
        return cls.of(np.flatnonzero(~missing.all(axis=1)), rows, columns, table[rows, columns], unit)

    @property
    def row_of_target(self) -> Integers:
        """(M,) session of each target."""
        return np.repeat(self.rows, np.diff(self.start))

    @cached_property
    def keeps(self) -> NDArray[np.bool_]:
        """(D,) whether a decision keeps any name as it is held."""
        n_kept = np.append(0, np.cumsum(np.isnan(self.amounts)))
        return np.diff(n_kept[self.start]) > 0

    def _check_amounts(self) -> None:
        bad = (self.amounts < 0.0) | np.isinf(self.amounts)
        if bad.any():
            k = int(np.argmax(bad))
            raise DataError(
                f"ledger: targets row {self.row_of_target[k]} column {self.names[k]} is {self.amounts[k]}; "
                "wanted a finite number >= 0 (the book holds no short positions), or NaN to keep what is held."
            )
        rows = self.row_of_target
        again = (np.diff(self.names) <= 0) & (np.diff(rows) == 0)
        if again.any():
            k = int(np.argmax(again)) + 1
            raise DataError(
                f"ledger: targets row {rows[k]} column {self.names[k]} repeats or is out of order; use Decisions.of."
            )

    def _check_sums(self) -> None:
        if self.unit == "shares" or not len(self.amounts):
            return
        known = np.nan_to_num(self.amounts)
        totals = np.add.reduceat(np.append(known, 0.0), self.start[:-1]) * (np.diff(self.start) > 0)
        over = totals > 1.0 + SUM_TOLERANCE
        if over.any():
            d = int(np.argmax(over))
            largest = self.names[self.start[d] + int(np.argmax(known[self.start[d] : self.start[d + 1]]))]
            raise DataError(
                f"ledger: targets row {self.rows[d]} sums to {float(totals[d])!r} (largest in column {largest}); "
                "wanted at most 1, no credit."
            )
