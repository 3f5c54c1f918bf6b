"""What the main books earned over the benchmark, by market, size, sector, signal, luck, cash, trading and costs."""

from typing import Any

import polars as pl

from quant_core.report.blocks import Figure, Note, Rule, Section, Series, Table, frame_table
from quant_core.report.formats import percent
from quant_core.report.inputs import Prepared
from quant_core.schema import COMPONENTS

MOST_BOOKS = 8
ACTIVE, INTERVALS = "active", ("signal", "luck")
TELLS = (
    "Market: more or less beta than the index. Size: the average member against the index, which weighs by size, and "
    "a tilt to often or seldom traded names. Sector: against the members by number. Signal: names that the book's own "
    "model scores highly; nothing for a book without one. Luck: what none of these explains. Cash: interest instead of "
    "the index. Trading: from fill to close, and what ends of names paid. Brackets: 95\u202f% stationary bootstrap. "
    "Transfer: mean correlation of active weight x volatility with the score, over the members."
)


def attribution_section(book: Prepared) -> Section:
    """A chart and a table of the main books; a note where nothing was measured."""
    names = main_books(book)
    if not names:
        note = Note("What the books earned by market, sector, size and signal was not measured.")
        return Section("attribution", "Where the return came from", (note,))
    return Section("attribution", "Where the return came from", (parts_figure(book, names), parts_table(book, names)))


def main_books(book: Prepared) -> list[str]:
    """The chosen one, then those of most active return, at most MOST_BOOKS in all."""
    active = book.attribution.filter(pl.col("component") == ACTIVE)
    ranked = active.sort("return_ann", "strategy", descending=[True, False])["strategy"].to_list()
    return sorted(ranked, key=lambda name: name != book.strategy)[:MOST_BOOKS]


def parts_figure(book: Prepared, names: list[str]) -> Figure:
    """The parts of each book's active return, stacked from 0 to both sides."""
    found = _by_part(book)
    parts = tuple(
        Series(name, [round(found[book_name, name]["return_ann"], 4) for book_name in names], "part", slot)
        for slot, name in enumerate(COMPONENTS)
    )
    first = names[0]
    largest = sorted(COMPONENTS, key=lambda name: -abs(found[first, name]["return_ann"]))[:3]
    told = ", ".join(f"{name} {percent(found[first, name]['return_ann'])}" for name in largest)
    return Figure(
        "return-parts",
        "Parts of the return over the benchmark",
        "% a year, means of daily parts that add up",
        f"{first}: {percent(found[first, ACTIVE]['return_ann'])} a year over the benchmark, of it {told}.",
        names,
        parts,
        "stacked",
        "category",
        hover_format=".1%",
        rules=(Rule(0.0),),
    )


def parts_table(book: Prepared, names: list[str]) -> Table:
    """One book a row: every part, signal and luck with their intervals, and the transfer coefficient."""
    found, transfer = _by_part(book), dict(book.transfer.select("strategy", "transfer_coefficient").iter_rows())
    rows = [
        {"strategy": name}
        | {
            part: _interval(found[name, part]) if part in INTERVALS else found[name, part]["return_ann"]
            for part in (ACTIVE, *COMPONENTS)
        }
        | {"transfer": transfer.get(name)}
        for name in names
    ]
    plain = {part: f"{part}_return" for part in (ACTIVE, *COMPONENTS) if part not in INTERVALS}
    labels = {"strategy": "Strategy", "transfer": "Transfer"}
    labels |= {plain.get(part, part): part.capitalize() for part in (ACTIVE, *COMPONENTS)}
    frame = pl.DataFrame(rows, schema_overrides={"transfer": pl.Float64}).rename(plain)
    return frame_table(
        "return-parts-table", "Parts of the return over the benchmark, table", frame, unit="a year, net of costs",
        caption=TELLS, labels=labels, marked=book.strategy,
    )  # fmt: skip


def _by_part(book: Prepared) -> dict[tuple[str, str], dict[str, Any]]:
    return {(row["strategy"], row["component"]): row for row in book.attribution.iter_rows(named=True)}


def _interval(row: dict[str, Any]) -> str:
    """1.2 % (-0.4 % to 2.8 %)."""
    low, high = row["low_ann"], row["high_ann"]
    return percent(row["return_ann"]) + ("" if low is None else f" ({percent(low)} to {percent(high)})")
