"""The leak certificate: rows up to a date must not change when everything after that date does.

Belongs here: the one function that certifies any deterministic table-to-table step (cleaning, features, scores from a
fitted artifact held fixed, weights, a backtest). Fitting on the wrong rows is caught elsewhere,
by an artifact's fit_end.

Three perturbations of the rows after the cut, because each is blind to something:
    truncate  drops them: sees whatever reads their presence, dates, order or values.
    null      empties their numbers: sees a value that is read through, where dropping a row merely moves a window.
    shuffle   permutes their values: rows, dates and full-sample moments stay, so it sees *which* future row was read.
"""

from collections.abc import Callable, Sequence
from datetime import date

import numpy as np
import polars as pl

from quant_core.errors import DataError, LookaheadError

Step = Callable[[pl.DataFrame], pl.DataFrame]
PERTURBATIONS = ("truncate", "null", "shuffle")
_DONE = {
    "truncate": "rows after {cut} are dropped",
    "null": "numbers after {cut} are nulled",
    "shuffle": "values after {cut} are shuffled",
}


def assert_causal(
    fn: Step,
    table: pl.DataFrame,
    cut: date,
    *,
    keys: Sequence[str] = ("date", "ticker"),
    how: str | Sequence[str] = PERTURBATIONS,
    seed: int = 0,
    atol: float = 1e-12,
    date_column: str = "date",
) -> None:
    """Raise unless `fn`'s rows dated up to `cut` are the same whatever `table` holds after `cut`.

    Args:
        fn: a deterministic step; other tables and fitted artifacts are held fixed in its closure.
        table: input with a `date_column`; must have rows on both sides of `cut`.
        keys: columns that identify an output row; `date_column` must be one of them.
        how: any of "truncate", "null" (numbers and booleans become null) and "shuffle" (all values but keys and text
            are permuted together among the rows).
        seed: of the permutation.
        atol: allowed difference, absolute for values up to 1 and relative above; null patterns must be equal.
    Raises:
        LookaheadError: names the column, the key, both values and the perturbation.
        DataError: the certificate would be empty: no output rows up to `cut`, no input rows after it, or a
            perturbation that changes nothing.
    """
    names = (how,) if isinstance(how, str) else tuple(how)
    unknown = sorted(set(names) - set(PERTURBATIONS))
    if unknown or not names:
        raise DataError(f"assert_causal: how is {how!r}, wanted some of {PERTURBATIONS}.")
    for column, columns in ((date_column, table.columns), (date_column, list(keys))):
        if column not in columns:
            raise DataError(f"assert_causal: {column!r} is not among {columns}; pass keys and date_column.")
    wanted = _known(fn(table), cut, keys, date_column)
    if wanted.is_empty():
        raise DataError(f"assert_causal: the step gives no rows up to {cut}, nothing to certify; choose a later cut.")
    for name in names:
        changed = _perturb(table, cut, name, keys, date_column, seed)
        if changed.equals(table):
            raise DataError(
                f"assert_causal: {name} changes no input after {cut}, nothing to certify; "
                "choose an earlier cut or a table with values after it."
            )
        found = _known(fn(changed), cut, keys, date_column)
        _compare(wanted, found, keys, atol, _DONE[name].format(cut=cut))


def _perturb(
    table: pl.DataFrame, cut: date, name: str, keys: Sequence[str], date_column: str, seed: int
) -> pl.DataFrame:
    after = pl.col(date_column).cast(pl.Date) > cut
    if name == "truncate":
        return table.filter(~after)
    fixed = {*keys, date_column}
    if name == "null":
        emptied = [
            c for c, kind in table.schema.items() if c not in fixed and (kind.is_numeric() or kind == pl.Boolean)
        ]
        return table.with_columns(pl.when(~after).then(pl.col(c)).alias(c) for c in emptied)
    text = (pl.String, pl.Categorical, pl.Enum)
    moved = [c for c, kind in table.schema.items() if c not in fixed and not isinstance(kind, text)]
    rows = np.flatnonzero(table.select(after).to_series().to_numpy())
    order = np.arange(table.height)
    order[rows] = np.random.default_rng(seed).permutation(rows)
    return table.with_columns(table.select(moved)[order].get_columns()) if moved else table


def _known(output: pl.DataFrame | pl.LazyFrame, cut: date, keys: Sequence[str], date_column: str) -> pl.DataFrame:
    frame = output.lazy().collect()
    missing = [key for key in keys if key not in frame.columns]
    if missing:
        raise DataError(f"assert_causal: key columns {missing} are not in the output {frame.columns}; pass keys.")
    known = frame.filter(pl.col(date_column).cast(pl.Date) <= cut).sort(*keys)
    twice = known.filter(known.select(*keys).is_duplicated())
    if twice.height:
        raise DataError(
            f"assert_causal: key {twice.select(*keys).row(0)} appears more than once; pass keys that are unique."
        )
    return known


def _compare(wanted: pl.DataFrame, found: pl.DataFrame, keys: Sequence[str], atol: float, done: str) -> None:
    if set(wanted.columns) != set(found.columns):
        changed = sorted(set(wanted.columns) ^ set(found.columns))
        raise LookaheadError(
            f"columns {changed} appear or vanish when {done}; the set of columns may not depend on it."
        )
    for one, other, what in ((wanted, found, "vanishes"), (found, wanted, "appears")):
        only = one.join(other, on=list(keys), how="anti", nulls_equal=True)
        if only.height:
            raise LookaheadError(
                f"row {only.select(*keys).row(0)} {what} when {done} ({only.height} such rows); "
                "decide which rows exist from trailing data only."
            )
    for column in wanted.columns:
        if column in keys:
            continue
        differs = _differs(wanted[column], found[column], atol)
        if differs.any():
            row = int(differs.arg_max() or 0)
            key = ", ".join(str(value) for value in wanted.select(*keys).row(row))
            raise LookaheadError(
                f"{column} at ({key}) is {wanted[column][row]!r} on the full table and {found[column][row]!r} when "
                f"{done} ({int(differs.sum())} such rows); use trailing values only."
            )


def _differs(wanted: pl.Series, found: pl.Series, atol: float) -> pl.Series:
    """Where two columns disagree: null against value, NaN against number, or further apart than allowed."""
    pair = pl.DataFrame([wanted.alias("wanted"), found.alias("found")])
    exact = pl.col("wanted").ne_missing(pl.col("found"))
    if wanted.dtype.is_float() and (found.dtype.is_numeric() or found.dtype == pl.Null):
        scale = pl.max_horizontal(pl.col("wanted").abs(), 1.0)
        near = (pl.col("wanted") - pl.col("found")).abs() <= atol * scale
        exact = exact & ~near.fill_null(False)
    elif wanted.dtype != found.dtype and not (wanted.dtype.is_numeric() and found.dtype.is_numeric()):
        exact = pl.col("wanted").is_not_null() | pl.col("found").is_not_null()  # no common type to compare in
    return pair.select(exact.alias("differs")).to_series()
