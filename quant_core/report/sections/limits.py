"""What limits the numbers: notes on the data, what they lack, and where everything comes from."""

import polars as pl

from quant_core.report.blocks import Block, Section, frame_table
from quant_core.report.formats import count
from quant_core.report.inputs import Prepared


def limits_section(book: Prepared) -> Section:
    """The table of the data's quality, where given; notes and provenance are lists beside it."""
    blocks: list[Block] = []
    if book.data_quality is not None:
        blocks.append(frame_table("data-quality", "Data quality", book.data_quality, unit="as found by the checks"))
    return Section("notes", "What limits these numbers", tuple(blocks))


def all_notes(book: Prepared) -> list[str]:
    """The notes given, and the benchmark's gaps."""
    return [*book.data.notes, *_benchmark_gaps(book)]


def _benchmark_gaps(book: Prepared) -> list[str]:
    days = book.own.select("date")
    missing = days.join(book.data.benchmark.select("date"), on="date", how="anti")
    if missing.is_empty():
        return []
    share = f"{count(missing.height)} of {count(days.height)} sessions"
    first = missing.select(pl.col("date").min()).item()
    return [f"The benchmark has no return on {share} (first {first}); they count as 0."]
