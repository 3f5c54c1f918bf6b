"""What a person sees of a materialization in the UI: counts, previews, small plots in text."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg
import polars as pl

from quant_core.report.formats import SPECS, known, rupees_and_paise, write

SPARKS = "▁▂▃▄▅▆▇█"
KEYS = ("date", "strategy", "model", "ticker")
#: What a preview tells of each table, in this order: prices, scores, weights, labels.
TOLD = ("close_inr", "total_return_1d", "volume_shares", "score", "weight", "label", "label_end_date")
MOST_COLUMNS = 4
#: Headers that fit above their figures.
SHORT = {"sharpe_ann": "Sharpe", "max_drawdown": "drawdown", "total_return_1d": "return", "volume_shares": "shares"}


def markdown_table(table: pl.DataFrame, rows: int = 10) -> dg.MetadataValue:
    """The first `rows` rows as Markdown: units by the column's name, other floats to four significant digits."""
    if table.is_empty():
        return dg.MetadataValue.md("none")
    head = table.head(rows)
    lines = ["| " + " | ".join(_title(name) for name in head.columns) + " |", "|" + "---|" * head.width]
    for row in head.iter_rows():
        lines.append("| " + " | ".join(map(_cell, head.columns, row)) + " |")
    if table.height > rows:
        lines.append(f"\n{table.height - rows:,} more rows")
    return dg.MetadataValue.md("\n".join(lines))


def _title(column: str) -> str:
    """What a column is called; spaces let a narrow page break the line, and its cells carry the rupee sign."""
    if column in SHORT:
        return SHORT[column]
    return SPECS[column].label if column in SPECS else column.removesuffix("_inr").replace("_", " ")


def _cell(column: str, value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not isinstance(value, (int, float)):
        return _as_text(str(value))
    if column.endswith("_inr") and math.isfinite(value):
        return rupees_and_paise(value)
    if known(column) and not column.startswith("log_"):  # a log return is no percentage of anything
        return write(column, value)
    return f"{value:.4g}" if isinstance(value, float) else f"{value:,}"


def _as_text(text: str) -> str:
    """A name or a reason from outside as one line of plain text: no markup, no link, no picture, no cell of its own."""
    one_line = " ".join(text.split())
    for mark, written in (("<", "&lt;"), ("[", "\\["), ("]", "\\]"), ("|", "\\|")):
        one_line = one_line.replace(mark, written)
    return one_line


def sparkline(values: Sequence[float]) -> str:
    """A line of block characters, lowest to highest."""
    if not values:
        return ""
    low, high = min(values), max(values)
    scale = (len(SPARKS) - 1) / (high - low) if high > low else 0.0
    return "".join(SPARKS[round((value - low) * scale)] for value in values)


def table_metadata(table: pl.DataFrame, **more: Any) -> Mapping[str, Any]:
    """Row, ticker and session counts, the first and last date, a preview of the newest rows."""
    newest = table.tail(200).sort("date", descending=True, maintain_order=True) if table.height else table
    return {
        "dagster/row_count": table.height,
        "tickers": table["ticker"].n_unique() if "ticker" in table.columns else 0,
        "sessions": table["date"].n_unique(),
        "first_date": str(table["date"].min()),
        "last_date": str(table["date"].max()),
        "preview": markdown_table(newest.select(preview_columns(table)), 8),
        **more,
    }


def preview_columns(table: pl.DataFrame) -> list[str]:
    """The keys of a table and what a person wants to see of it: a page has room for few columns.

    Names of strategies are long; beside them the date, which the page has as last_date, is left out.
    """
    keys = [name for name in KEYS if name in table.columns and (name != "date" or "strategy" not in table.columns)]
    told = [name for name in TOLD if name in table.columns] or [name for name in table.columns if name not in KEYS]
    return [*keys, *told][:MOST_COLUMNS]
