"""Is the strategy promoted? It is when its Sharpe ratio at twice the costs beats ridge, equal weight and the index, and
the gate (Promotion), where it was asked, says so too.

Whether the lead is more than luck is another question: `significance_line` says what is known of that.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import polars as pl

from quant_core.report.blocks import Note, Table, frame_table
from quant_core.report.formats import listed, percent, plural, ratio
from quant_core.report.inputs import BENCHMARK, Prepared
from quant_core.schema import EQUAL_WEIGHT_BOOK, INDEX_FUND, PROMOTED, RIDGE_BOOK, RIVALS

COST_MULTIPLE = 2.0
_INDEX = (INDEX_FUND, BENCHMARK)
Status = Literal["promoted", "not promoted", "baseline", "open"]
BADGES: Mapping[Status, tuple[str, Literal["good", "bad", "open"]]] = {
    "promoted": ("Promoted", "good"),
    "not promoted": ("Not promoted", "bad"),
    "baseline": ("Baseline", "open"),
    "open": ("No verdict", "open"),
}


@dataclass(frozen=True)
class Verdict:
    """The answer, why, and the comparison behind it.

    Args:
        beaten, lost, absent: keys of `RIVALS` that it beats, does not beat, cannot be compared with.
        rows: `strategy`, `sharpe_ann`, `cagr`, `beaten` at twice the costs, the strategy itself first.
    """

    status: Status
    line: str
    beaten: tuple[str, ...]
    lost: tuple[str, ...]
    absent: tuple[str, ...]
    rows: pl.DataFrame

    @property
    def note(self) -> Note:
        """The line behind its badge."""
        badge, tone = BADGES[self.status]
        return Note(self.line, badge, tone)


def verdict(book: Prepared) -> Verdict:
    """Compare the chosen strategy with its rivals at twice the costs; the benchmark has none and counts as it is."""
    figures = _at_twice_the_costs(book)
    own = figures.get(book.strategy, (math.nan, math.nan))[0]
    beaten: list[str] = []
    lost: list[str] = []
    absent: list[str] = []
    for name in RIVALS:
        if name == book.strategy:
            continue
        other = figures.get(name, (math.nan, math.nan))[0]
        (absent if math.isnan(own - other) else beaten if own > other else lost).append(name)
    status, why = _gated(book, _status(book.strategy, own, lost, absent))
    rows = [(book.strategy, *figures.get(book.strategy, (None, None)), None)]
    rows += [(name, *figures[name], name in beaten) for name in RIVALS if name in beaten or name in lost]
    table = pl.DataFrame(
        rows,
        schema={"strategy": pl.String, "sharpe_ann": pl.Float64, "cagr": pl.Float64, "beaten": pl.Boolean},
        orient="row",
    )
    line = _line(book, status, own, {name: figures[name][0] for name in (*beaten, *lost)}, beaten, lost, absent) + why
    return Verdict(status, line, tuple(beaten), tuple(lost), tuple(absent), table)


def verdict_table(found: Verdict, strategy: str) -> Table:
    """The comparison behind the verdict."""
    answer = pl.when(pl.col("beaten").is_null()).then(pl.lit("")).when("beaten").then(pl.lit("yes")).otherwise(
        pl.lit("no")
    )  # fmt: skip
    return frame_table(
        "verdict",
        "Against what it must beat",
        found.rows.with_columns(answer.alias("beaten")),
        unit=f"net of {COST_MULTIPLE:g}\u00d7 the costs",
        caption="A strategy is promoted when its Sharpe ratio is above every one of these. "
        + ("The benchmark pays no costs." if BENCHMARK in found.rows["strategy"] else ""),
        labels={"strategy": "Strategy", "beaten": "Beaten"},
        marked=strategy,
    )


def significance_line(book: Prepared) -> str:
    """Sharpe ratio with its bootstrap interval, trials counted, deflated Sharpe ratios, overfitting; "" if unknown."""
    parts = []
    row = significance_of(book)
    if row:
        parts = _odds(row)
    parts += _overfitting(book)
    if book.data.register_damage:
        parts.append(f"The register of trials is damaged: {book.data.register_damage}.")
    return " ".join(parts)


def _overfitting(book: Prepared) -> list[str]:
    """Of all trials, and of the variants of each strategy's family."""
    found = book.data.overfitting
    if found is None or not math.isfinite(found.pbo):
        return []
    text = (
        f"Probability of backtest overfitting {percent(found.pbo, 0)}, over {plural(found.n_splits, 'split')} "
        f"of {plural(found.n_trials, 'return history', 'return histories')}"
    )
    variants = [
        f"{percent(one.pbo, 0)} over the {one.n_trials} variants of {name}"
        for name, one in book.data.overfitting_by_family.items()
        if book.strategy == name or book.strategy.startswith(f"{name}_")
    ]
    return [f"{text}; {listed(variants)}." if variants else f"{text}."]


def significance_of(book: Prepared) -> dict[str, Any]:
    """The chosen strategy's row of the significance table; empty where there is none."""
    rows = book.significance.filter(pl.col("strategy") == book.strategy)
    return rows.row(0, named=True) if rows.height else {}


def known(value: object) -> bool:
    """A finite number."""
    return isinstance(value, (int, float)) and math.isfinite(value)


def _odds(row: Mapping[str, Any]) -> list[str]:
    parts = []
    if known(row["sharpe_ann"]):
        text = f"Sharpe ratio {ratio(row['sharpe_ann'])}"
        if known(row["sharpe_low_ann"]) and known(row["sharpe_high_ann"]):
            text += f", 95\u202f% bootstrap interval {ratio(row['sharpe_low_ann'])} to {ratio(row['sharpe_high_ann'])}"
        parts.append(text + ".")
    shipped = row["n_trials"] - row["n_own_trials"]
    text = (
        f"{plural(row['n_trials'], 'trial')} counted ({plural(shipped, 'shipped baseline')}, "
        f"{plural(row['n_own_trials'], 'own try', 'own tries')}) in {plural(row['n_clusters'], 'cluster')}"
    )
    if known(row["deflated_sharpe"]):
        text += f"; deflated Sharpe ratio {ratio(row['deflated_sharpe'])}"
        if known(row["expected_max_sharpe_ann"]):
            text += (
                ", the probability that the true one is above the "
                f"{ratio(row['expected_max_sharpe_ann'])} to expect from the best of so many tries without skill"
            )
    parts.append(text + ".")
    if known(row["deflated_sharpe_vs_benchmark"]):
        parts.append(
            f"Against the benchmark it is {ratio(row['deflated_sharpe_vs_benchmark'])}, with an information ratio of "
            f"{ratio(row['information_ratio_ann'])} and {ratio(row['expected_max_sharpe_vs_benchmark_ann'])} by luck."
        )
    return parts


def _at_twice_the_costs(book: Prepared) -> dict[str, tuple[float, float]]:
    """(Sharpe ratio, CAGR) by name, NaN where unknown."""
    at = (pl.col("scenario") == "cost_multiple") & ((pl.col("level") - COST_MULTIPLE).abs() < 1e-9)
    rows = book.sensitivity.filter(at).select("strategy", "sharpe_ann", "cagr").rows()
    found = {name: (_float(sharpe), _float(cagr)) for name, sharpe, cagr in rows if name != BENCHMARK}
    index = book.metrics_of(BENCHMARK)
    if index:
        found[BENCHMARK] = (_float(index.get("sharpe_ann")), _float(index.get("cagr")))
    return found


def _gated(book: Prepared, status: Status) -> tuple[Status, str]:
    """The status that the gate leaves, and a sentence where it takes a promotion back."""
    rows = book.promotion.filter(pl.col("strategy") == book.strategy)
    if rows.is_empty() or status != "promoted" or rows["status"][0] == PROMOTED:
        return status, ""
    return rows["status"][0], f" It is not promoted all the same: {rows['reasons'][0]}."


def _status(strategy: str, own: float, lost: list[str], absent: list[str]) -> Status:
    if math.isnan(own):
        return "open"
    if strategy in RIVALS:
        return "baseline"
    if lost:
        return "not promoted"
    needed = [RIDGE_BOOK, EQUAL_WEIGHT_BOOK]
    is_complete = not any(name in absent for name in needed) and not all(name in absent for name in _INDEX)
    return "promoted" if is_complete else "open"


def _line(
    book: Prepared,
    status: Status,
    own: float,
    sharpes: Mapping[str, float],
    beaten: list[str],
    lost: list[str],
    absent: list[str],
) -> str:
    if math.isnan(own):
        return f"The cost stress has no row of {book.strategy} at {COST_MULTIPLE:g}\u00d7 the costs to judge it by."

    def named(keys: list[str], last: str) -> str:
        return listed([f"{RIVALS[key]} ({ratio(sharpes[key])})" for key in keys], last)

    text = f"At {COST_MULTIPLE:g}\u00d7 the costs {book.strategy} has a Sharpe ratio of {ratio(own)}"
    if beaten:
        text += f", above {named(beaten, 'and')}"
    if lost:
        text += f"{', but' if beaten else ','} not above {named(lost, 'or')}"
    text += "."
    missing = [key for key in absent if key not in _INDEX or all(name in absent for name in _INDEX)]
    if missing:
        text += f" There is no figure of {listed([RIVALS[key] for key in missing], 'or')} to compare with."
    if status == "baseline":
        text += " It is itself a baseline that a candidate must beat."
    return text


def _float(value: object) -> float:
    return float(value) if isinstance(value, (int, float)) else math.nan
