"""What a reader sees first: every strategy beside the others, then the chosen one in brief with its verdict."""

from collections.abc import Mapping
from typing import Any

import polars as pl

from quant_core.report.blocks import Block, Figure, Note, Rule, Section, Table, frame_table, iso_dates
from quant_core.report.formats import count, ordinal, percent, ratio, spec, write
from quant_core.report.inputs import BENCHMARK, Prepared
from quant_core.report.sections.lines import every_strategy, is_thinned, own_and_benchmark
from quant_core.report.series import BENCHMARK_KEY, last
from quant_core.report.verdict import COST_MULTIPLE, Verdict, known, significance_line, verdict_table

COMPARED = (
    "cagr",
    "volatility_ann",
    "sharpe_ann",
    "sharpe_stressed_ann",
    "deflated_sharpe",
    "max_drawdown",
    "calmar",
    "turnover_ann",
    "cost_ann",
    "final_equity_inr",
)
STRESSED = f"Sharpe at {COST_MULTIPLE:g}\u00d7 costs"
HEADLINES = ("cagr", "sharpe_ann", "max_drawdown", "volatility_ann", "turnover_ann", "final_equity_inr")


def comparison_section(book: Prepared) -> Section:
    """Every strategy in one table and one chart."""
    return Section("strategies", "Strategies compared", (comparison_table(book), all_equity_figure(book)))


def summary_section(book: Prepared, found: Verdict) -> Section:
    """The chosen strategy in brief; its lead and headlines stand above these blocks."""
    odds = significance_line(book)
    blocks: list[Block] = [found.note]
    blocks.append(Note(odds, "Significance") if odds else Note("No significance table was given.", "Significance"))
    blocks.append(own_equity_figure(book))
    if found.rows.height > 1:
        blocks.append(verdict_table(found, book.strategy))
    return Section("summary", "Executive summary", tuple(blocks))


def comparison_table(book: Prepared) -> Table:
    """The headline measures, one strategy a row; what is not known of a strategy is left open."""
    stressed = book.sensitivity.filter(
        pl.col("scenario") == "cost_multiple", (pl.col("level") - COST_MULTIPLE).abs() < 1e-9
    ).select("strategy", pl.col("sharpe_ann").alias("sharpe_stressed_ann"))
    table = book.measured
    for extra in (stressed, book.significance.select("strategy", "deflated_sharpe")):
        if extra.height:
            table = table.join(extra, on="strategy", how="left", maintain_order="left")
    columns = [name for name in COMPARED if name in table.columns]
    return frame_table(
        "comparison",
        "Headline measures",
        table.select("strategy", *columns),
        unit="net of costs, out of sample",
        caption=f"{_standing(book)} {_benchmark(book)} The strategy detailed below is in bold; turnover is one-way, in "
        "multiples of equity.",
        labels={"strategy": "Strategy", "sharpe_stressed_ann": STRESSED},
        marked=book.strategy,
    )


def all_equity_figure(book: Prepared) -> Figure:
    """Growth of one rupee in every strategy."""
    growth = book.growth
    ends = {name: last(growth[name]) for name in book.strategies}
    best, worst = max(ends, key=lambda name: ends[name]), min(ends, key=lambda name: ends[name])
    reading = f"\u20b91 in {book.strategy} became {_rupee(ends[book.strategy])}"
    if len(ends) > 1:
        reading += f"; between {_rupee(ends[worst])} ({worst}) and {_rupee(ends[best])} ({best}) in all {len(ends)}"
    reading += f"; {_rupee(last(growth[BENCHMARK_KEY]))} in {book.benchmark_name}." if book.has_benchmark else "."
    opening = growth.select(pl.exclude("date").is_not_null().arg_true().first()).row(0)
    if len({first for first in opening if first is not None}) > 1:
        reading += " A line that begins later starts at \u20b91 on its own first day."
    if is_thinned(growth) and len(ends) > 1:
        reading += " The other strategies are drawn weekly."
    return Figure(
        "equity-all",
        "Growth of \u20b91, all strategies",
        "rupees, net of costs",
        reading,
        iso_dates(growth["date"]),
        every_strategy(book, growth),
        y_format=",.2~f",
        hover_format=",.2f",
        log_toggle=True,
        rules=(Rule(1.0),),
    )


def own_equity_figure(book: Prepared) -> Figure:
    """Growth of one rupee in the chosen strategy and in the benchmark."""
    growth = book.growth
    reading = f"\u20b91 in {book.strategy} became {_rupee(last(growth[book.strategy]))}"
    if book.has_benchmark:
        reading += f", against {_rupee(last(growth[BENCHMARK_KEY]))} in {book.benchmark_name}"
        ahead = (growth[book.strategy] > growth[BENCHMARK_KEY]).mean()
        reading += f"; it was worth more in {percent(float(ahead), 0)} of sessions" if isinstance(ahead, float) else ""
    return Figure(
        "equity",
        "Growth of \u20b91" + (" against the benchmark" if book.has_benchmark else ""),
        "rupees, net of costs",
        reading + ".",
        iso_dates(growth["date"]),
        own_and_benchmark(book, growth),
        y_format=",.2~f",
        hover_format=",.3f",
        log_toggle=True,
        rules=(Rule(1.0),),
    )


def lead(book: Prepared) -> str:
    """One sentence: return, Sharpe ratio and deepest fall against the benchmark's."""
    own, other = book.metrics_of(book.strategy), book.metrics_of(BENCHMARK)
    if not known(own.get("cagr")):
        return f"{book.strategy}, {book.data.start} to {book.data.end}."
    text = f"{book.strategy} returned {percent(own['cagr'])} a year net of costs"
    if known(other.get("cagr")):
        gap = 100 * (own["cagr"] - other["cagr"])
        side = "above" if gap >= 0 else "below"
        text += f", {abs(gap):.1f} percentage points {side} {book.benchmark_name} ({percent(other['cagr'])})"
    if known(own.get("sharpe_ann")):
        text += f", with a Sharpe ratio of {ratio(own['sharpe_ann'])}"
        text += f" against {ratio(other['sharpe_ann'])}" if known(other.get("sharpe_ann")) else ""
    if known(own.get("max_drawdown")):
        text += f"; its deepest fall was {percent(own['max_drawdown'])}"
        text += f" against {percent(other['max_drawdown'])}" if known(other.get("max_drawdown")) else ""
    return text + "."


def headlines(book: Prepared) -> list[dict[str, str]]:
    """Key measures of the chosen strategy, each beside the benchmark's."""
    own, other = book.metrics_of(book.strategy), book.metrics_of(BENCHMARK)
    return [_headline(name, own, other) for name in HEADLINES if known(own.get(name))]


def _headline(name: str, own: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, str]:
    against = f"benchmark {write(name, other[name])}" if known(other.get(name)) else ""
    return {"label": spec(name).label, "value": write(name, own[name]), "against": against}


def _benchmark(book: Prepared) -> str:
    return f"The benchmark is {book.benchmark_name}." if book.has_benchmark else "There is no benchmark."


def _standing(book: Prepared) -> str:
    """Where the chosen strategy stands by Sharpe ratio."""
    is_strategy = pl.col("strategy").is_in(book.strategies)
    if "sharpe_ann" not in book.measured.columns:
        return f"{count(len(book.strategies))} strategies."
    ranked = book.measured.filter(is_strategy, pl.col("sharpe_ann").is_finite()).sort("sharpe_ann", descending=True)
    names, sharpes = ranked["strategy"].to_list(), ranked["sharpe_ann"].to_list()
    if book.strategy not in names or len(names) < 2:
        return ""
    place = names.index(book.strategy)
    text = f"By Sharpe ratio {book.strategy} is {ordinal(place + 1)} of {len(names)} with {ratio(sharpes[place])}"
    return text + (
        f"; {names[0]} leads with {ratio(sharpes[0])}." if place else f"; next is {names[1]} with {ratio(sharpes[1])}."
    )


def _rupee(value: float) -> str:
    return f"\u20b9{value:.2f}"
