"""How much of the result is luck, and how much of it survives higher costs, later fills and more capital."""

import math
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import polars as pl

from quant_core.report.blocks import Block, Figure, Note, Rule, Section, Series, Table, frame_table, rounded
from quant_core.report.formats import AT, CRORE, count, listed, percent, plural, ratio, rupees
from quant_core.report.inputs import Prepared
from quant_core.report.sections.lines import by_strategy
from quant_core.report.verdict import known, significance_of

MAX_LOGIT_BINS = 40
#: What a stress table shows, and that of the capacity besides.
SHORT = {"sharpe_ann": "Sharpe", "cagr": "CAGR", "cost_ann": "Cost a year"}
SHORT_OF_CAPITAL = SHORT | {"exposure": "Invested"}


class Stress(NamedTuple):
    """A scenario of the sensitivity table and how it is shown."""

    scenario: str
    key: str
    title: str
    x_title: str
    missing: str
    caption: str = ""


STRESSES = (
    Stress("cost_multiple", "cost-stress", "Cost stress", "multiple of the costs", "Higher costs were not tried."),
    Stress("extra_delay_sessions", "delay", "Later fills", "sessions of extra delay", "Later fills were not tried."),
    Stress(
        "capital_inr", "capacity", "Capacity", "starting capital", "Other capital was not tried.",
        "Orders move prices by the square root of their share of an average day, fill at most a tenth of one (or the "
        "backtest's own cap), and stay open until the next decision. Invested: mean share of equity.",
    ),
    Stress(
        "delisting_haircut", "delisting", "Delisting without terms", "share of the last value lost",
        "Other delisting haircuts were not tried.",
    ),
)  # fmt: skip


def robustness_section(book: Prepared) -> Section:
    """Significance, overfitting, the figure of each stress, then their tables."""
    stressed = [block for stress in STRESSES for block in stress_blocks(book, stress)]
    stressed.sort(key=lambda block: isinstance(block, Table))
    blocks = (*significance_blocks(book), overfitting_block(book), *family_blocks(book), *stressed)
    return Section("robustness", "Significance and robustness", blocks)


def significance_blocks(book: Prepared) -> list[Block]:
    """Sharpe ratios with their intervals, and the table behind them."""
    if book.significance.is_empty():
        return [Note("Significance was not measured.")]
    order = pl.col("strategy") == book.strategy
    table = book.significance.sort("sharpe_ann", "strategy", descending=[True, False], nulls_last=True)
    table = table.sort(order, descending=True, maintain_order=True)
    made = frame_table(
        "significance",
        "Significance of the Sharpe ratio",
        table,
        unit="a year; Sharpe ratios in excess of cash, information ratios of the benchmark",
        caption="Intervals: stationary bootstrap, 95\u202f%. Deflated: probability that the true ratio is above the "
        "best to expect from so many trials without skill, of returns over cash and over the benchmark. Clusters: "
        "groups of trials that are variants of one bet. Sessions needed: for 95\u202f% confidence that the Sharpe "
        "ratio is above 0.",
        labels={"strategy": "Strategy"},
        marked=book.strategy,
    )
    drawn = table.filter(*(pl.col(name).is_finite() for name in ("sharpe_ann", "sharpe_low_ann", "sharpe_high_ann")))
    return [interval_figure(book, drawn), made] if drawn.height else [made]


def interval_figure(book: Prepared, table: pl.DataFrame) -> Figure:
    """Sharpe ratio and its bootstrap interval, one strategy a row."""
    above = table.filter(pl.col("sharpe_low_ann") > 0).height
    row = significance_of(book)
    luck: Any = row.get("expected_max_sharpe_ann")
    rules = [Rule(0.0, "x")]
    reading = f"The interval of {above} of {plural(table.height, 'strategy', 'strategies')} lies above 0"
    if known(luck):
        rules.append(Rule(round(float(luck), 4), "x", "best by luck"))
        n = table.filter(pl.col("sharpe_low_ann") > luck).height
        reading += (
            f", of {n} above {ratio(luck)}, the best to expect from {plural(row['n_trials'], 'trial')} in "
            f"{plural(row['n_clusters'], 'cluster')} by luck"
        )
    names = table["strategy"].to_list()
    return Figure(
        "sharpe-intervals",
        "Sharpe ratio with its interval",
        "ratio a year in excess of cash, 95\u202f% stationary bootstrap",
        reading + ".",
        names,
        tuple(
            Series(
                name,
                rounded(table["sharpe_ann"][k : k + 1], 3),
                "chosen" if name == book.strategy else "benchmark",
                x=[name],
                low=rounded(table["sharpe_low_ann"][k : k + 1], 3),
                high=rounded(table["sharpe_high_ann"][k : k + 1], 3),
            )
            for k, name in enumerate(names)
        ),
        "interval",
        "number",
        x_format=".1f",
        hover_format=".2f",
        rules=tuple(rules),
    )


def overfitting_block(book: Prepared) -> Block:
    """Histogram of the logits of the best strategy's rank in the other half."""
    found = book.data.overfitting
    logits = np.asarray(found.logits if found is not None else [], dtype=np.float64)
    logits = logits[~np.isnan(logits)]
    if found is None or not len(logits):
        return Note("The probability of backtest overfitting was not measured.")
    finite = logits[np.isfinite(logits)]
    reach = max(float(np.ceil(np.abs(finite).max() * 4.0) / 4.0) if len(finite) else 1.0, 0.25)
    width = reach / math.ceil(min(reach / 0.25, MAX_LOGIT_BINS / 2))
    n_bins = 2 * round(reach / width)
    counts, edges = np.histogram(np.clip(logits, -reach, reach), bins=n_bins, range=(-reach, reach))
    share = counts / len(logits)
    x = [round(float(value), 4) for value in (edges[:-1] + edges[1:]) / 2.0]
    sides = (("below the median", "warning", -1.0), ("above the median", "chosen", 1.0))
    drawn = [
        Series(name, [round(float(s), 5) if side * at > 0 else 0.0 for s, at in zip(share, x, strict=True)], role)  # type: ignore[arg-type]
        for name, role, side in sides
    ]
    return Figure(
        "overfitting",
        "Backtest overfitting",
        "% of splits, by logit of the out-of-sample rank of the in-sample best",
        f"In {percent(found.pbo, 0)} of {plural(found.n_splits, 'split')} the best of "
        f"{plural(found.n_trials, 'return history', 'return histories')} in one half fell below the median of the "
        "other; 50\u202f% is what choosing without skill gives.",
        x,
        tuple(drawn),
        "stacked",
        "number",
        x_title="logit of the relative rank; 0 is the median",
        x_format=".1f",
        hover_format=".1%",
        rules=(Rule(0.0, "x"),),
        half=True,
    )


def family_blocks(book: Prepared) -> list[Block]:
    """Overfitting in choosing among the variants of one strategy, a family a row; nothing where none has two."""
    found = book.data.overfitting_by_family
    if not found:
        return []
    table = pl.DataFrame(
        {
            "strategy": list(found),
            "n_variants": [one.n_trials for one in found.values()],
            "n_splits": [one.n_splits for one in found.values()],
            "overfitting_probability": [one.pbo for one in found.values()],
        }
    )
    return [
        frame_table(
            "overfitting-families",
            "Backtest overfitting by family",
            table,
            unit="of the variants of one strategy that cover the whole test",
            caption="How often the variant that was best in one half fell below its family's median in the other.",
            labels={"strategy": "Family", "overfitting_probability": "Overfitting"},
        )
    ]


def stress_blocks(book: Prepared, stress: Stress) -> list[Block]:
    """Sharpe ratio by level as lines, and Sharpe ratio and CAGR as a table."""
    rows = book.sensitivity.filter(pl.col("scenario") == stress.scenario).sort("level")
    if rows.is_empty():
        return [Note(stress.missing)]
    levels = rows["level"].unique().sort().to_list()
    table = stress_table(book, stress, rows, levels)
    drawn = by_strategy(book, rows, "sharpe_ann", levels, "level", digits=3)
    if not drawn:
        return [table]
    is_capital = stress.scenario == "capital_inr"
    kind: Literal["log", "category"] = "log" if is_capital else "category"
    figure = Figure(
        stress.key,
        stress.title,
        "Sharpe ratio a year, net of costs",
        stress_reading(book, stress, rows, levels),
        levels if is_capital else [level_name(stress.scenario, level) for level in levels],
        drawn,
        "line",
        kind,
        x_title=f"{stress.x_title}, \u20b9 crore" if is_capital else stress.x_title,
        x_ticks=tuple((level, f"{level / CRORE:,g}") for level in levels) if is_capital else (),
        y_format=".2~f",
        hover_format=".2f",
        half=True,
    )
    return [figure, table]


def stress_reading(book: Prepared, stress: Stress, rows: pl.DataFrame, levels: Sequence[float]) -> str:
    """The chosen strategy from the first to the last level, and who leads at the last."""
    own = rows.filter(pl.col("strategy") == book.strategy, pl.col("sharpe_ann").is_finite())
    parts = []
    if own.height:
        steps = [
            f"{ratio(sharpe)} at {level_name(stress.scenario, level)}"
            for level, sharpe in own.select("level", "sharpe_ann").iter_rows()
        ]
        parts.append(f"{book.strategy}: {listed(steps)}.")
    final = rows.filter(pl.col("level") == levels[-1], pl.col("sharpe_ann").is_finite())
    final = final.sort("sharpe_ann", "strategy", descending=[True, False])
    if final.height > 1:
        top = final.row(0, named=True)
        parts.append(
            f"{top['strategy']} leads at {level_name(stress.scenario, levels[-1])} with {ratio(top['sharpe_ann'])}."
        )  # fmt: skip
    return " ".join(parts)


def stress_table(book: Prepared, stress: Stress, rows: pl.DataFrame, levels: Sequence[float]) -> Table:
    """One strategy a row; Sharpe ratio, CAGR and cost at every level."""
    short = SHORT_OF_CAPITAL if stress.scenario == "capital_inr" else SHORT
    wanted = [name for name in short if name in rows.columns and rows[name].null_count() < rows.height]
    names = [name for name in [book.strategy, *book.slots] if name in rows["strategy"].to_list()]
    table = pl.DataFrame({"strategy": names}, schema={"strategy": pl.String})
    labels = {"strategy": "Strategy"}
    for name in wanted:
        for level in levels:
            column = f"{name}{AT}{level:g}"
            at = rows.filter(pl.col("level") == level).select("strategy", pl.col(name).alias(column))
            table = table.join(at, on="strategy", how="left", maintain_order="left")
            labels[column] = f"{short[name]}, {level_name(stress.scenario, level)}"
    return frame_table(
        f"{stress.key}-levels",
        f"{stress.title}, table",
        table,
        unit=f"by {stress.x_title}, net of costs",
        caption=stress.caption,
        labels=labels,
        marked=book.strategy,
        folded=len(levels) > 4,
    )


def level_name(scenario: str, level: float) -> str:
    """2x the costs, +1 session, 10 crore."""
    if scenario == "cost_multiple":
        return f"{level:g}\u00d7"
    if scenario == "delisting_haircut":
        return f"{percent(level, 0)} lost"
    return rupees(level).replace(".00", "") if scenario == "capital_inr" else f"+{count(level)}"
