"""From the features table to what a network reads: windows of past inputs, calendar inputs known ahead, static inputs.

What belongs here: rows to tensors, and targets beside them. What does not: networks, losses, and how they are trained
(`quant_core.nn`, `net`). torch is imported by the functions that need it.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from quant_core.calendar import SESSIONS_PER_YEAR, sessions
from quant_core.dense import Floats32
from quant_core.errors import DataError
from quant_core.forecasting.calibration import VOLATILITY
from quant_core.forecasting.inputs import Kind, as_kind, columns_of
from quant_core.nn.tables import input_panel
from quant_core.schema import CHANNEL_PREFIX

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from quant_core.nn.windows import Windows


SECTOR_COLUMN, TURNOVER_COLUMN = "static_sector_code", "log_turnover_63d"
STATIC_COLUMNS = (SECTOR_COLUMN, TURNOVER_COLUMN)
#: What `calendar_inputs` says of a session, in its order.
CALENDAR = ("weekday", "day_of_month", "year_sine", "year_cosine", "days_since_last", "month_end")
#: Names of a date fall into so many buckets by turnover.
LIQUIDITY_BUCKETS = 5
#: Standardized inputs and returns are cut here.
MOST_SIGMA = 8.0


class Batch(NamedTuple):
    """B rows as a network reads them.

    Args:
        past: (B, L, F) inputs of the row's session and those before it, the newest last.
        known: (B, L + K, C) calendar of the same sessions and of the K after them.
        static: (B, S) sector and liquidity, one-hot.
    """

    past: "Tensor"
    known: "Tensor"
    static: "Tensor"


class Sizes(NamedTuple):
    """Widths of a Batch: past inputs, calendar inputs, each static input (columns of its one-hot form)."""

    past: int
    known: int
    static: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Sequences:
    """Rows to learn from or to score.

    Args:
        keys: (R) date, ticker, in order.
        name, day: (R,) where each row's window ends in `past`.
        past, known: windows of the inputs (every name) and of the calendar (one name for all).
        static: (R, S).
        volatility_1d: (R,) daily volatility of each row, NaN where the table does not say.
    """

    keys: pl.DataFrame
    name: "Tensor"
    day: "Tensor"
    past: "Windows"
    known: "Windows"
    static: "Tensor"
    volatility_1d: NDArray[np.float64]
    ahead: int
    n_sectors: int

    def to(self, device: "torch.device") -> "Sequences":
        """The same on the device that computes."""
        return replace(
            self, name=self.name.to(device), day=self.day.to(device), past=self.past.to(device),
            known=self.known.to(device), static=self.static.to(device),
        )  # fmt: skip

    @property
    def sizes(self) -> Sizes:
        each = (self.n_sectors, LIQUIDITY_BUCKETS)
        return Sizes(self.past.n_inputs, self.known.n_inputs, tuple(width for width in each if width))

    def batch(self, rows: "Tensor") -> Batch:
        """(B,) row numbers -> their Batch."""
        import torch

        name, day = self.name[rows], self.day[rows]
        calendar = self.known.at(torch.zeros_like(day), day + self.ahead)
        return Batch(self.past.at(name, day), calendar, self.static[rows])


@dataclass(frozen=True)
class Scaling:
    """What the fit window says of the inputs: (F,) mean and scale; a channel is 0 and 1, it is scaled already."""

    mean: Floats32
    scale: Floats32


def input_columns(schema: Mapping[str, pl.DataType], kinds: Sequence[Kind], model: str) -> tuple[str, ...]:
    """Columns of the kinds, one after another.

    Raises:
        DataError: a kind that the table has nothing of, or a column of two kinds.
    """
    named: list[str] = []
    for kind in kinds:
        found = columns_of(schema, kind)
        if not found:
            remedy = "enable the feature daily_channels" if kind == "channels" else "choose other inputs"
            raise DataError(f"{model}: the features have no {kind} input; {remedy}.")
        named += found
    if len(set(named)) < len(named):
        raise DataError(f"{model}: inputs {list(kinds)} read a column twice; name kinds that differ.")
    return tuple(named)


def read_rows(features: pl.LazyFrame, columns: Sequence[str], kinds: Sequence[Kind]) -> pl.DataFrame:
    """Keys, inputs as their kinds read them, and what standardizes and sorts rows, by (date, ticker).

    A rank stands for eligible rows alone; the other kinds for every row, so that a name has a past from before it
    became a member.
    """
    there = features.collect_schema().names()
    extra = [name for name in (VOLATILITY, *STATIC_COLUMNS) if name in there and name not in columns]
    rows = features.select("date", "ticker", "is_eligible", *columns, *extra).collect().sort("date", "ticker")
    if "rank" not in kinds:
        return rows
    ranked = columns_of({name: rows.schema[name] for name in columns}, "rank")
    standing = as_kind(rows.filter("is_eligible").select("date", "ticker", *ranked), ranked, "rank")
    return rows.drop(ranked).join(standing, on=["date", "ticker"], how="left").sort("date", "ticker")


def fit_scaling(rows: pl.DataFrame, columns: Sequence[str]) -> Scaling:
    """Mean and standard deviation of the eligible rows' inputs; channels are scaled already."""
    values = rows.filter("is_eligible").select(pl.col(columns).cast(pl.Float64)).to_numpy()
    known = np.isfinite(values)
    count = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, values, 0.0).sum(axis=0) / count
    spread = np.sqrt(np.where(known, np.square(values - mean), 0.0).sum(axis=0) / count)
    is_channel = np.array([name.startswith(CHANNEL_PREFIX) for name in columns])
    scale = np.where(spread > 1e-12 * np.abs(mean), spread, 1.0)
    return Scaling(
        np.where(is_channel, 0.0, mean).astype(np.float32), np.where(is_channel, 1.0, scale).astype(np.float32)
    )


def sequences(
    rows: pl.DataFrame, wanted: pl.DataFrame, columns: Sequence[str], scaling: Scaling, length: int, ahead: int,
    n_sectors: int,
) -> Sequences:  # fmt: skip
    """Sequences of the `wanted` (date, ticker) among `rows`, their context.

    Args:
        rows: as `read_rows` gives them; a session without a row counts as an average one, 0 after scaling.
        length, ahead: sessions of a window, and known ones after it.
        n_sectors: sectors that the network tells apart; an unknown or later one is none of them.
    """
    import torch

    from quant_core.nn.windows import Windows

    panel = input_panel(rows, columns)
    values, days = panel.values, panel.days
    values -= scaling.mean
    values /= scaling.scale
    np.clip(values, -MOST_SIGMA, MOST_SIGMA, out=values)
    np.nan_to_num(values, copy=False, nan=0.0)
    keys = wanted.select("date", "ticker").sort("date", "ticker")
    name, day = panel.place(keys)
    known = keys.join(rows, on=["date", "ticker"], how="left", maintain_order="left")
    return Sequences(
        keys,
        torch.from_numpy(name),
        torch.from_numpy(day),
        Windows(torch.from_numpy(values), length),
        Windows(torch.from_numpy(calendar_inputs(days[0], days[-1], ahead)[None]), length + ahead),
        torch.from_numpy(_static(known, rows, n_sectors)),
        _volatility_1d(known),
        ahead,
        n_sectors,
    )


def calendar_inputs(first: date, last: date, ahead: int) -> Floats32:
    """(T + K, 6) of the sessions from `first` to `last` and of the K after: weekday, day of the month, the year's angle
    (sine, cosine), days since the session before, whether the month ends within a week; about 1 in size."""
    days = [*sessions(first, last), *_after(last, ahead)]
    before = [days[0] - timedelta(days=1), *days[:-1]]
    angle = [2.0 * math.pi * (day.timetuple().tm_yday / 366.0) for day in days]
    table = [
        (
            day.weekday() / 2.0 - 1.0, (day.day - 16) / 9.0, math.sin(turn), math.cos(turn),
            math.log((day - previous).days) - 0.5, float((day + timedelta(days=7)).month != day.month),
        )
        for day, previous, turn in zip(days, before, angle, strict=True)
    ]  # fmt: skip
    return np.array(table, dtype=np.float32)


def _after(last: date, count: int) -> list[date]:
    """The `count` sessions after a day."""
    return sessions(last + timedelta(days=1), last + timedelta(days=2 * count + 30))[:count]


def _volatility_1d(rows: pl.DataFrame) -> NDArray[np.float64]:
    if VOLATILITY not in rows.columns:
        return np.full(rows.height, np.nan)
    value = rows[VOLATILITY].cast(pl.Float64).fill_null(np.nan).to_numpy() / math.sqrt(SESSIONS_PER_YEAR)
    return np.where(value > 0.0, value, np.nan)


def _static(known: pl.DataFrame, rows: pl.DataFrame, n_sectors: int) -> Floats32:
    """(R, sectors + buckets) one-hot: the sector, and the bucket of the date's eligible names by turnover."""
    table = np.zeros((known.height, n_sectors + LIQUIDITY_BUCKETS), dtype=np.float32)
    each = np.arange(known.height)
    if SECTOR_COLUMN in known.columns and n_sectors:
        code = known[SECTOR_COLUMN].cast(pl.Int64).fill_null(-1).to_numpy()
        told = (code >= 0) & (code < n_sectors)
        table[each[told], code[told]] = 1.0
    if TURNOVER_COLUMN in known.columns:
        value = pl.col(TURNOVER_COLUMN)
        bucket = ((value.rank("average") - 0.5) / value.count() * LIQUIDITY_BUCKETS).floor().over("date")
        among = rows.filter("is_eligible").select("date", "ticker", bucket=bucket.cast(pl.Int64))
        of = known.select("date", "ticker").join(among, on=["date", "ticker"], how="left", maintain_order="left")
        place = of["bucket"].fill_null(-1).to_numpy()
        told = place >= 0
        table[each[told], n_sectors + place[told]] = 1.0
    return table


def sectors_in(rows: pl.DataFrame) -> int:
    """How many sectors the fit window tells apart."""
    largest: Any = rows[SECTOR_COLUMN].max() if SECTOR_COLUMN in rows.columns else None
    return 0 if largest is None else int(largest) + 1
