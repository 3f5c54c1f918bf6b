"""One page on trials: who is ahead out of sample, what is left of it after luck, and what the promotion gate says.
Nothing is measured here."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date

import polars as pl

from quant_core.report.blocks import Block, Figure, Note, Rule, Section, Series, frame_table, iso_dates, paired, rounded
from quant_core.report.formats import plural, ratio
from quant_core.report.render import page_of
from quant_core.report.series import BENCHMARK_KEY, growth, week_ends, wide_returns
from quant_core.schema import PROMOTED

RANKING = ("trial", "deflated_sharpe", "sharpe_ann", "cagr", "max_drawdown", "mean_rank_ic", "status")
TRADING = ("trial", "n_sessions", "turnover_ann", "cost_ann", "probabilistic_sharpe", "stressed_sharpe_ann")
LABELS = {
    "trial": "Trial", "deflated_sharpe": "Deflated", "mean_rank_ic": "Rank IC", "status": "Gate",
    "reasons": "Why not", "stressed_sharpe_ann": "Sharpe, twice the costs", "reason": "Error",
    "probabilistic_sharpe": "P(Sharpe > 0)", "cluster": "Variant of",
}  # fmt: skip
#: Trials whose growth is drawn.
DRAWN = 6
#: Ranks that the figure of Sharpe ratios has room for.
CHARTED = 30


@dataclass(frozen=True)
class LeaderboardInput:
    """What the page shows.

    Args:
        start, end: first and last session of any trial.
        daily, benchmark: BacktestDaily of the trials, named by their keys, and BenchmarkReturns.
        ranked, summary, failed: Leaderboard, LeaderboardSummary, FailedTrials.
        promoted: key of the trial whose settings the profile runs with; "" for none.
    """

    title: str
    profile: str
    start: date
    end: date
    daily: pl.DataFrame
    benchmark: pl.DataFrame
    ranked: pl.DataFrame
    summary: pl.DataFrame
    failed: pl.DataFrame
    promoted: str = ""
    warnings: list[str] = field(default_factory=list)
    provenance: Mapping[str, str] = field(default_factory=dict)


def render_leaderboard(data: LeaderboardInput) -> str:
    """The page as HTML that needs no network."""
    shown = [replace_commas(table) for table in (data.ranked, data.failed)]
    data = replace(data, ranked=shown[0], failed=shown[1], daily=replace_commas(data.daily))
    made = [ranking(data), luck(data), gate(data), *([failures(data)] if data.failed.height else [])]
    return page_of(data, [replace(section, blocks=paired(section.blocks)) for section in made])


def replace_commas(table: pl.DataFrame) -> pl.DataFrame:
    """Keys of trials with a space after each comma, where a narrow column may break them."""
    keys = [name for name in ("trial", "cluster", "strategy") if name in table.columns]
    return table.with_columns(pl.col(name).str.replace_all(",", ", ", literal=True) for name in keys)


def ranking(data: LeaderboardInput) -> Section:
    """The table, and how the first of it grew."""
    if data.ranked.is_empty():
        return Section("ranking", "Ranking", (Note("No trial has finished yet."),))
    told = f"The profile runs with the settings of {data.promoted}." if data.promoted else "None is promoted."
    table = frame_table(
        "ranking-table", "Trials", data.ranked.select(RANKING), unit="a year, net of costs, out of sample",
        caption=f"Ranked by the deflated Sharpe ratio. {told}", labels=LABELS,
    )  # fmt: skip
    more = frame_table(
        "trading-table", "What they cost", data.ranked.select(TRADING), unit="a year", labels=LABELS, folded=True,
    )  # fmt: skip
    return Section("ranking", "Ranking", (table, growth_figure(data), more))


def growth_figure(data: LeaderboardInput) -> Figure:
    """Growth of one rupee of the first trials and the index."""
    first = data.ranked["trial"].head(DRAWN).to_list()
    grown = growth(wide_returns(data.daily.filter(pl.col("strategy").is_in(first)), data.benchmark))
    thin = grown.filter(week_ends(grown["date"]))
    lines = [
        Series(name, rounded(thin[name]), "chosen" if slot == 0 else "other", slot) for slot, name in enumerate(first)
    ]
    has_index = BENCHMARK_KEY in thin.columns and thin[BENCHMARK_KEY].count()
    index = [Series("the index", rounded(thin[BENCHMARK_KEY]), "benchmark")] if has_index else []
    return Figure(
        "growth", "Growth of \u20b91", "rupees, net of costs, at the ends of weeks",
        f"The first {plural(len(first), 'trial')} of {data.ranked.height}.", iso_dates(thin["date"]),
        tuple([*lines, *index]), y_format=",.2~f", hover_format=",.3f",
    )  # fmt: skip


def luck(data: LeaderboardInput) -> Section:
    """How many were tried, and what that does to the best."""
    row = data.summary.row(0, named=True)
    tried = (
        f"{plural(row['n_trials'], 'finished trial')} in {plural(row['n_clusters'], 'cluster')}; the profile's "
        f"register holds {plural(row['n_registered'], 'return history', 'return histories')} in "
        f"{plural(row['n_registered_clusters'], 'cluster')}, and every one of them counts against each result here."
    )
    blocks: list[Block] = [Note(tried, "Tried.")]
    if row["pbo"] is not None:
        bad = row["pbo"] >= 0.5
        blocks.append(Note(
            f"In {row['pbo']:.0%} of {row['n_splits']:,} splits the trial that was best in one half of the sessions "
            f"was below the median of the other half; it lost money there in {row['loss_probability']:.0%}. "
            "At one half, choosing among these trials is worth nothing.",
            "Probability of overfitting.", "bad" if bad else "good",
        ))  # fmt: skip
    else:
        blocks.append(
            Note("Two trials and 32 common sessions are needed.", "Probability of overfitting: unknown.", "open")
        )
    if data.ranked.height:
        blocks.append(sharpe_figure(data))
        blocks.append(frame_table(
            "clusters", "Variants of one bet", data.ranked.select("trial", "cluster").sort("cluster", "trial"),
            caption="Trials whose active returns have a correlation above 0.71 are variants of the first of them.",
            labels=LABELS, folded=True,
        ))  # fmt: skip
    return Section("luck", "Luck", tuple(blocks))


def sharpe_figure(data: LeaderboardInput) -> Figure:
    """Sharpe ratios by rank, against what luck alone would give the best of so many."""
    shown = data.ranked.head(CHARTED)
    hurdle = shown["expected_max_sharpe_ann"].max()
    level = hurdle if isinstance(hurdle, float) else 0.0
    above = data.ranked.filter(pl.col("sharpe_ann") > pl.col("expected_max_sharpe_ann")).height
    ranks = [str(rank) for rank in shown["rank"]]
    return Figure(
        "sharpes", "Sharpe ratio by rank", "a year, net of costs",
        f"{above} of {data.ranked.height} lie above {ratio(level)}, the best to expect of everything tried.",
        ranks, (Series("Sharpe ratio", rounded(shown["sharpe_ann"], 3)),), "bar", "category", x_title="rank",
        y_format=".1f", hover_format=".2f", rules=(Rule(level, "y", "luck"),),
    )  # fmt: skip


def gate(data: LeaderboardInput) -> Section:
    """What the gate says of each."""
    if data.ranked.is_empty():
        return Section("gate", "Promotion gate", (Note("Nothing to judge."),))
    passed = data.ranked.filter(pl.col("status") == PROMOTED)["trial"].to_list()
    said = f"{plural(len(passed), 'trial')} passed: {', '.join(passed)}." if passed else "No trial passed."
    table = frame_table(
        "gate-table", "What the gate says", data.ranked.select("trial", "status", "reasons"), labels=LABELS,
        caption="At twice the costs a trial must be ahead of ridge, equal weight and the index, and further than the "
        "tries of its own kind would be by luck (docs/backtesting.md).",
    )  # fmt: skip
    return Section("gate", "Promotion gate", (Note(said, tone="good" if passed else "open"), table))


def failures(data: LeaderboardInput) -> Section:
    """Trials that ended with an error; a sweep tries them again."""
    table = frame_table("failed", "Failed trials", data.failed, labels=LABELS,
                        caption="`quant sweep` tries them again.")  # fmt: skip
    return Section("failures", "Failures", (table,))
