"""The tables of a report: what each cell reads and the unrounded value that its CSV holds. No figure is made here."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from quant_core.report.formats import percent, spec, write

COMPARED = (
    "cagr",
    "volatility_ann",
    "sharpe_ann",
    "max_drawdown",
    "calmar",
    "turnover_ann",
    "cost_ann",
    "final_equity_inr",
)
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
HEAT_FULL = 0.10  # a monthly return of 10 % or more has the full colour
HOLDINGS_SHOWN = 15


@dataclass(frozen=True)
class Cell:
    """A table cell: what is read, and the unrounded value that the CSV holds."""

    text: str
    value: str
    style: str = ""


@dataclass(frozen=True)
class Table:
    """A table as the template needs it; the first column names the row."""

    key: str
    header: tuple[str, ...]
    csv_header: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    marked: int | None = None  # row of the chosen strategy


def comparison_table(measured: pl.DataFrame, strategy: str) -> Table:
    """The headline measures, one strategy a row."""
    columns = [name for name in COMPARED if name in measured.columns]
    rows = tuple(
        (_cell("strategy", row["strategy"]), *(_cell(name, row[name]) for name in columns))
        for row in measured.iter_rows(named=True)
    )
    header = ("Strategy", *(spec(name).label for name in columns))
    return Table("comparison", header, ("strategy", *columns), rows, _marked(measured, strategy))


def metrics_table(measured: pl.DataFrame) -> Table:
    """Every measure, strategies side by side."""
    names = measured["strategy"].to_list()
    measures = [name for name in measured.columns if name != "strategy"]
    rows = tuple(
        (Cell(spec(name).label, name), *(_cell(name, value) for value in measured[name].to_list())) for name in measures
    )
    return Table("metrics", ("Measure", *names), ("measure", *names), rows)


def monthly_table(monthly: pl.DataFrame) -> Table:
    """Years down, months across, and the year's compounded return."""
    rows = []
    for (year,), months in monthly.group_by("year", maintain_order=True):
        value = dict(months.select("month", "simple_return").iter_rows())
        total = math.prod(1.0 + x for x in value.values()) - 1.0
        cells = [_heat(value.get(month)) for month in range(1, 13)]
        rows.append((Cell(str(year), str(year)), *cells, _cell("total_return", total)))
    return Table("monthly", ("Year", *MONTHS, "Year"), ("year", *MONTHS, "full_year"), tuple(rows))


def _heat(value: float | None) -> Cell:
    """Blue above zero, orange below; the depth of the colour is the size of the return."""
    if value is None:
        return Cell("", "")
    depth = min(abs(value) / HEAT_FULL, 1.0)
    side = "up" if value >= 0 else "down"
    return Cell(percent(value), repr(value), f"--depth:{0.75 * depth:.2f};--tone:var(--{side})")


def quality_table(quality_summary: Sequence[dict[str, Any]]) -> Table | None:
    """One model a row, with the columns that the scoring gave; None without a model."""
    if not quality_summary:
        return None
    columns = list(dict.fromkeys(name for row in quality_summary for name in row))
    columns.sort(key=lambda name: name != "model")
    rows = tuple(tuple(_cell(name, row.get(name)) for name in columns) for row in quality_summary)
    return Table("quality", tuple(spec(name).label for name in columns), tuple(columns), rows)


def holdings_table(positions: pl.DataFrame, strategy: str) -> Table | None:
    """The chosen strategy's largest weights after the last session."""
    own = positions.filter(pl.col("strategy") == strategy)
    last = own.filter(pl.col("date") == own["date"].max()).sort("weight", "ticker", descending=[True, False])
    if last.is_empty():
        return None
    rows = tuple(
        (Cell(ticker, ticker), _cell("weight", weight))
        for ticker, weight in last.head(HOLDINGS_SHOWN).select("ticker", "weight").iter_rows()
    )
    return Table("holdings", ("Ticker", "Weight"), ("ticker", "weight"), rows)


def _cell(name: str, value: Any) -> Cell:
    return Cell(write(name, value), "" if value is None else str(value))


def _marked(measured: pl.DataFrame, strategy: str) -> int | None:
    names = measured["strategy"].to_list()
    return names.index(strategy) if strategy in names else None
