"""One page on agents that learn to trade, on TradeMaster's axes: profit, risk, diversity, reliability over seeds,
universality over kinds of markets, explainability. Nothing is measured here.

Source of the axes: Sun et al., TradeMaster, NeurIPS Datasets and Benchmarks (2023).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date

import polars as pl

from quant_core.report.blocks import (
    Block,
    Figure,
    Note,
    Rule,
    Section,
    Series,
    frame_table,
    iso_dates,
    paired,
    rounded,
)
from quant_core.report.formats import listed, plural, ratio
from quant_core.report.render import page_of
from quant_core.report.series import BENCHMARK_KEY, growth, week_ends, wide_returns

PROFIT = ("strategy", "cagr", "sharpe_ann", "turnover_ann", "cost_ann")
RISK = ("strategy", "volatility_ann", "max_drawdown", "sortino_ann", "calmar")
DIVERSITY = ("strategy", "effective_names", "largest_weight")
STRATEGY = {"strategy": "Book"}
#: Books that the figure of growth shows beside the agents, in this order, where they are there.
SHOWN_BESIDE = 4


@dataclass(frozen=True)
class AgentsInput:
    """What the page shows.

    Args:
        start, end: first and last session.
        daily, benchmark: BacktestDaily of the books, BenchmarkReturns; the first session only opens the accounts.
        books, seeds, leads, regimes, years: AgentBooks, AgentSeeds, AgentLeads, AgentRegimes, AgentYears.
        curves: `agent`, `fold`, `seed`, `steps`, `validation_growth`, `validation_sharpe`; may be empty.
        responsiveness: `agent`, `fold`, `block`, `weight_change`; may be empty.
        untrained: fold -> why it has no policy.
        warnings: what a reader must not miss.
    """

    title: str
    profile: str
    start: date
    end: date
    daily: pl.DataFrame
    benchmark: pl.DataFrame
    books: pl.DataFrame
    seeds: pl.DataFrame
    leads: pl.DataFrame
    regimes: pl.DataFrame
    years: pl.DataFrame
    curves: pl.DataFrame
    responsiveness: pl.DataFrame
    untrained: Mapping[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    provenance: Mapping[str, str] = field(default_factory=dict)

    @property
    def agents(self) -> list[str]:
        """Means of seeds, by name."""
        return self.books.filter("is_agent")["strategy"].sort().to_list()


def render_agents(data: AgentsInput) -> str:
    """The page as HTML that needs no network."""
    made = [profit(data), risk(data), diversity(data), reliability(data), universality(data), explained(data)]
    return page_of(data, [replace(section, blocks=paired(section.blocks)) for section in made])


def profit(data: AgentsInput) -> Section:
    """What was earned, and against whom."""
    ranked = data.books.sort("sharpe_ann", "strategy", descending=[True, False], nulls_last=True)
    table = frame_table(
        "profit", "Profit", ranked.select(PROFIT), unit="a year, net of costs",
        caption="All over the agents' sessions; books that began before hold then what they held. Agents are means of "
        "their seeds.",
        labels=STRATEGY,
    )  # fmt: skip
    return Section("profit", "Profit", (growth_figure(data), table, *lead_blocks(data)))


def growth_figure(data: AgentsInput) -> Figure:
    """Growth of one rupee of the agents and of the best other books."""
    others = data.books.filter(~pl.col("is_agent")).sort("sharpe_ann", descending=True, nulls_last=True)["strategy"]
    grown = growth(wide_returns(data.daily, data.benchmark))
    beside = [name for name in others if name in grown.columns][:SHOWN_BESIDE]
    thin = grown.filter(week_ends(grown["date"]))
    lines = [Series(name, rounded(thin[name]), "other", slot) for slot, name in enumerate([*data.agents, *beside])]
    index = [Series("the index", rounded(thin[BENCHMARK_KEY]), "benchmark")] if thin[BENCHMARK_KEY].count() else []
    return Figure(
        "growth", "Growth of \u20b91", "rupees, net of costs, at the ends of weeks",
        f"{listed(data.agents)} beside the {plural(len(beside), 'other book')} with the highest Sharpe ratio.",
        iso_dates(thin["date"]), tuple([*lines, *index]), y_format=",.2~f", hover_format=",.3f",
    )  # fmt: skip


def lead_blocks(data: AgentsInput) -> list[Block]:
    """Differences of Sharpe ratios with their intervals."""
    if data.leads.is_empty():
        return [Note("No agent was compared: none has decided anything yet.")]
    better = data.leads.filter(pl.col("lead_low_ann") > 0.0).height
    worse = data.leads.filter(pl.col("lead_high_ann") < 0.0).height
    names = [f"{agent} less {other}" for agent, other in data.leads.select("agent", "other").iter_rows()]
    figure = Figure(
        "leads", "Sharpe ratio less another book's", "a year, 95\u202f% stationary bootstrap, both drawn together",
        f"Of {plural(len(names), 'difference')}, {better} lie above 0 with their whole interval, {worse} below.", names,
        tuple(
            Series(
                name, rounded(data.leads["lead_ann"][k : k + 1], 3), "chosen", x=[name],
                low=rounded(data.leads["lead_low_ann"][k : k + 1], 3),
                high=rounded(data.leads["lead_high_ann"][k : k + 1], 3),
            )
            for k, name in enumerate(names)
        ),
        "interval", "number", x_format=".1f", hover_format=".2f", rules=(Rule(0.0, "x"),),
    )  # fmt: skip
    table = frame_table(
        "leads-table", "Differences of Sharpe ratios", data.leads, labels={"agent": "Agent", "other": "Other book"},
        caption="Sessions: those of both.", folded=True,
    )  # fmt: skip
    return [figure, table]


def risk(data: AgentsInput) -> Section:
    """Volatility and losses."""
    table = frame_table("risk", "Risk", data.books.select(RISK), unit="a year, net of costs", labels=STRATEGY)
    return Section("risk", "Risk", (table,))


def diversity(data: AgentsInput) -> Section:
    """How many names carry the book."""
    table = frame_table(
        "diversity", "Diversity", data.books.select(DIVERSITY), unit="means over sessions with holdings",
        caption="Effective names: one over the sum of squared shares of what is invested.", labels=STRATEGY,
    )  # fmt: skip
    return Section("diversity", "Diversity", (table,))


def reliability(data: AgentsInput) -> Section:
    """What another seed would have earned."""
    if data.seeds.is_empty():
        return Section("reliability", "Reliability over seeds", (Note("No agent has seeds."),))
    worst = data.seeds.filter(pl.col("sharpe_low_ann").is_not_null())
    reading = [
        f"{row['agent']}: {ratio(row['sharpe_low_ann'])} to {ratio(row['sharpe_high_ann'])}"
        for row in worst.iter_rows(named=True)
    ]
    figure = Figure(
        "seeds", "Sharpe ratio of each agent's seeds", "worst, median and best seed, a year",
        f"From the worst to the best seed, {listed(reading)}." if reading else "No seed has a ratio.",
        worst["agent"].to_list(),
        tuple(
            Series(
                agent, rounded(worst["sharpe_median_ann"][k : k + 1], 3), "chosen", x=[agent],
                low=rounded(worst["sharpe_low_ann"][k : k + 1], 3),
                high=rounded(worst["sharpe_high_ann"][k : k + 1], 3),
            )
            for k, agent in enumerate(worst["agent"])
        ),
        "interval", "number", x_format=".1f", hover_format=".2f",
    )  # fmt: skip
    table = frame_table(
        "seeds-table", "Seeds", data.seeds, labels={"agent": "Agent"},
        caption="The mean of the seeds' weights is the book that is traded and counted as a trial.",
    )  # fmt: skip
    return Section("reliability", "Reliability over seeds", (figure, table))


def universality(data: AgentsInput) -> Section:
    """Years and regimes."""
    ratios = data.years.with_columns(pl.col("year").cast(pl.String)).sort("year")
    by_year = ratios.pivot(on="year", index="strategy", values="sharpe_ann").sort("strategy")
    blocks: list[Block] = [
        frame_table(
            "years", "Sharpe ratio by year", by_year, unit="a year, net of costs",
            labels=STRATEGY | {name: name for name in by_year.columns[1:]},
        )
    ]  # fmt: skip
    if data.regimes.height:
        wide = data.regimes.sort("regime").pivot(on="regime", index="strategy", values="sharpe_ann").sort("strategy")
        blocks.append(frame_table(
            "regimes", "Sharpe ratio by market regime", wide, unit="a year, net of costs",
            labels=STRATEGY | {name: name for name in wide.columns[1:]},
        ))  # fmt: skip
    else:
        blocks.append(Note("The profile finds no market regimes."))
    return Section("universality", "Universality over markets", tuple(blocks))


def explained(data: AgentsInput) -> Section:
    """What moves the policies, and how they learned."""
    blocks: list[Block] = []
    for fold, why in data.untrained.items():
        blocks.append(Note(f"Fold {fold} has no policy: {why}."))
    if data.responsiveness.height:
        mean = data.responsiveness.group_by("agent", "block").agg(pl.col("weight_change").mean())
        wide = mean.sort("block", "agent").pivot(on="agent", index="block", values="weight_change").sort("block")
        blocks.append(frame_table(
            "responsiveness", "What moves the weights", wide, unit="one-way turnover, mean over folds and seeds",
            caption="How far the wanted weights move when a block of inputs is that of another day; 0 says that the "
            "agent does not look at it.", labels={"block": "Inputs", **{name: name for name in wide.columns[1:]}},
        ))  # fmt: skip
    blocks += [curve for agent in data.agents if (curve := curve_figure(data, agent)) is not None]
    return Section("explained", "Explainability", tuple(blocks or [Note("No policy was trained yet.")]))


def curve_figure(data: AgentsInput, agent: str) -> Figure | None:
    """Validation score by steps, one line a fold, mean over seeds."""
    own = data.curves.filter(pl.col("agent") == agent) if data.curves.height else data.curves
    if own.is_empty():
        return None
    mean = own.group_by("fold", "steps").agg(pl.col("validation_sharpe").mean()).sort("fold", "steps")
    steps = mean["steps"].unique().sort().to_list()
    lines = []
    for slot, (fold, rows) in enumerate(sorted(mean.partition_by("fold", as_dict=True).items())):
        at = dict(rows.select("steps", "validation_sharpe").iter_rows())
        values = pl.Series([at.get(step) for step in steps], dtype=pl.Float64)
        lines.append(Series(f"fold {fold[0]}", rounded(values), "other", slot))
    return Figure(
        f"curve-{agent}", f"How {agent} learned", "Sharpe ratio of the validation years a year, mean over seeds",
        "Of each seed the policy with the best score is kept.", steps, tuple(lines), x_kind="number",
        x_title="decisions taken in training", x_format=",.0f", y_format=".2f", hover_format=".3f", half=True,
    )  # fmt: skip
