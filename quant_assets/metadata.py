"""What a person sees of a materialization in the UI: counts, previews, small plots in text."""

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg
import polars as pl

SPARKS = "▁▂▃▄▅▆▇█"


def markdown_table(table: pl.DataFrame, rows: int = 10) -> dg.MetadataValue:
    """The first `rows` rows as a Markdown table, floats to four significant digits."""
    head = table.head(rows)
    lines = ["| " + " | ".join(head.columns) + " |", "|" + "---|" * head.width]
    lines += ["| " + " | ".join(_cell(value) for value in row) + " |" for row in head.iter_rows()]
    if table.height > rows:
        lines.append(f"\n{table.height - rows:,} more rows")
    return dg.MetadataValue.md("\n".join(lines))


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value).replace("|", "\\|")


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
        "preview": markdown_table(newest.select(newest.columns[:10]), 8),
        **more,
    }
