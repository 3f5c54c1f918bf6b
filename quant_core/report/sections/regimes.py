"""Equity under the market's regimes, what was earned in each, and how they follow each other. Left out without labels.

The lab's own five names have an order and a colour each, so that a crisis looks the same in every report. Other names
go from blue for the calmest to orange and purple for the most volatile, by the benchmark's volatility (the strategy's
where there is no benchmark): hues that colour-blind readers tell apart, in a telling order.
"""

import math
from collections.abc import Sequence

import polars as pl

from quant_core.calendar import SESSIONS_PER_YEAR
from quant_core.measures.transitions import transitions
from quant_core.report import series
from quant_core.report.blocks import Band, Block, Cell, Figure, Rule, Section, Table, frame_table, iso_dates
from quant_core.report.formats import listed, percent, plural
from quant_core.report.inputs import BENCHMARK, Prepared
from quant_core.report.sections.lines import own_and_benchmark
from quant_core.report.sections.periods import heat_style
from quant_core.report.series import BENCHMARK_KEY, number
from quant_core.schema import REGIME_NAMES
from quant_core.schema.regimes import BEAR, CRISIS, HIGH_VOL_BULL, LOW_VOL_BULL, TRANSITION

HUES = 6  # colours in the script's regime palette, calm to stressed
#: Slot of each of the lab's own names: blues, grey for what is neither, oranges.
SLOTS = {LOW_VOL_BULL: 0, HIGH_VOL_BULL: 1, TRANSITION: 2, BEAR: 3, CRISIS: 4}
#: Books that follow regimes, and the one that they are held against.
FOLLOWERS, HELD = ("regime_gated", "regime_switched"), "buy_hold_index"
DELAYS = (0.0, 1.0)  # extra sessions that the books' table shows
SPREAD = {1: (0,), 2: (0, 4), 3: (0, 2, 4), 4: (0, 1, 3, 4), 5: (0, 1, 2, 3, 4)}  # slots that differ most


def regime_section(book: Prepared) -> Section | None:
    """None where no label was given in the period."""
    if book.regimes is None:
        return None
    labels = book.regimes["regime"].cast(pl.String).to_list()
    spells = series.runs(book.regimes["date"].to_list(), labels)
    states = in_order(book)
    bands = _bands(states, spells)
    blocks: list[Block] = [equity_figure(book, bands, spells), *by_regime_tables(book, states), *followers_table(book)]
    blocks.append(timeline_figure(bands, spells))
    if len(labels) > 1:
        blocks.append(transition_table(labels, states))
    return Section("regimes", "Regimes", tuple(blocks))


def in_order(book: Prepared) -> list[str]:
    """The regimes that occur: the lab's own names in their order, others from calm to stressed."""
    assert book.regimes is not None
    seen = set(book.regimes["regime"].cast(pl.String))
    return [name for name in REGIME_NAMES if name in seen] if seen <= set(REGIME_NAMES) else calm_to_stressed(book)


def calm_to_stressed(book: Prepared) -> list[str]:
    """The regimes, from the lowest volatility to the highest; one without two sessions stands last."""
    assert book.regimes is not None
    key = BENCHMARK_KEY if book.has_benchmark else book.strategy
    days = book.regimes.select("date", pl.col("regime").cast(pl.String))
    joined = days.join(book.returns.select("date", pl.col(key).alias("value")), on="date", how="left")
    spread = joined.group_by("regime", maintain_order=True).agg(
        pl.col("value").std().fill_nan(None).fill_null(math.inf)
    )
    return spread.sort("value", "regime")["regime"].to_list()


def equity_figure(book: Prepared, bands: tuple[Band, ...], spells: pl.DataFrame) -> Figure:
    """Growth of one rupee over the regimes."""
    sessions = spells.group_by("label").agg(pl.col("n_sessions").sum())
    share = {name: n / number(sessions["n_sessions"].sum()) for name, n in sessions.iter_rows()}
    parts = [f"{band.name} {percent(share[band.name], 0)}" for band in bands]
    return Figure(
        "equity-regimes",
        "Growth of \u20b91 under the regimes",
        "rupees, net of costs",
        f"Share of sessions: {listed(parts)}.",
        iso_dates(book.growth["date"]),
        own_and_benchmark(book, book.growth),
        y_format=",.2~f",
        hover_format=",.3f",
        log_toggle=True,
        rules=(Rule(1.0),),
        bands=bands,
    )


def timeline_figure(bands: tuple[Band, ...], spells: pl.DataFrame) -> Figure:
    """One lane a regime, filled while it lasts."""
    typical = number(spells["n_sessions"].median())
    longest = spells.sort("n_sessions", descending=True, maintain_order=True).row(0, named=True)
    return Figure(
        "timeline",
        "Regime timeline",
        "one lane a regime",
        f"{plural(spells.height - 1, 'change')} of regime; half of the spells last "
        f"{plural(typical, 'session')} or less, the longest {plural(longest['n_sessions'], 'session')} "
        f"({longest['label']}, from {longest['start']}).",
        x=[],
        shape="lanes",
        bands=bands,
    )


def by_regime_tables(book: Prepared, states: list[str]) -> list[Block]:
    """Measures by regime: the chosen strategy, those that follow regimes and the benchmark open, all folded."""
    if book.by_regime is None:
        return []
    table = book.by_regime
    keys = [name for name in ("strategy", "regime") if name in table.columns]
    table = table.select(*keys, pl.exclude(keys))
    labels = {"strategy": "Strategy", "regime": "Regime"}
    if "strategy" not in table.columns:
        return [frame_table("by-regime", "Performance by regime", table, caption="Net of costs.", labels=labels)]
    first = [book.strategy, *(name for name in (*FOLLOWERS, HELD) if name != book.strategy)]
    table = _sorted(table, [*first, *(name for name in book.strategies if name not in first), BENCHMARK], states)
    shown = table.filter(pl.col("strategy").is_in([*first, BENCHMARK]))
    blocks: list[Block] = []
    if shown.height:
        caption = "Annualised from the sessions of the regime alone, net of costs; they are not consecutive."
        title = "Performance by regime"
        blocks.append(
            frame_table("by-regime", title, shown, caption=caption, labels=labels, marked=book.strategy)
        )  # fmt: skip
    if table.height > shown.height:
        title = "Performance by regime, every strategy"
        blocks.append(frame_table("by-regime-all", title, table, labels=labels, marked=book.strategy, folded=True))
    return blocks


def followers_table(book: Prepared) -> list[Block]:
    """The books that follow regimes beside the index that is only held: as traded, and a session later."""
    asked = pl.col("strategy").is_in([*FOLLOWERS, HELD]) & pl.col("level").is_in(DELAYS)
    rows = book.sensitivity.filter(pl.col("scenario") == "extra_delay_sessions", asked)
    if rows.filter(pl.col("strategy") != HELD).is_empty():
        return []
    measures = ("cagr", "sharpe_ann", "max_drawdown", "turnover_ann", "cost_ann")
    table = _sorted(rows, [*FOLLOWERS, HELD], []).select("strategy", pl.col("level").alias("extra_delay"), *measures)
    written = table.with_columns(
        pl.when(pl.col("extra_delay") == 0.0).then(pl.lit("as traded")).otherwise(pl.lit("a session later"))
        .alias("extra_delay")
    )  # fmt: skip
    return [
        frame_table(
            "regime-books", "Books that follow regimes", written, unit="net of costs",
            caption="A regime is known at a session's close and traded at the next; what one more session of "
            "delay costs shows how much depends on noticing at once.",
            labels={"strategy": "Strategy", "extra_delay": "Filled"}, marked=book.strategy,
        )
    ]  # fmt: skip


def _sorted(table: pl.DataFrame, strategies: Sequence[str], states: Sequence[str]) -> pl.DataFrame:
    """Rows by strategy, then regime, both in the given order; the rest behind, as it stood."""
    keys = [("strategy", strategies), ("regime", states)]
    order = [
        pl.col(name).cast(pl.String).replace_strict({v: k for k, v in enumerate(values)}, default=len(values),
                                                    return_dtype=pl.Int64)
        for name, values in keys if name in table.columns
    ]  # fmt: skip
    return table.sort(order, maintain_order=True)


def transition_table(labels: list[str], states: list[str]) -> Table:
    """Share of a regime's sessions that each regime followed."""
    counted = transitions(pl.Series(labels), states)
    stays = counted.filter(pl.col("regime") == pl.col("next_regime")).drop_nulls("probability")
    known = stays.select("regime", "probability").rows()
    steady, fleeting = max(known, key=lambda item: item[1]), min(known, key=lambda item: item[1])
    rows = []
    for name in states:
        line = counted.filter(pl.col("regime") == name)["probability"]
        cells = [Cell("", "") if x is None else Cell(percent(x), repr(x), heat_style(x)) for x in line]
        rows.append((Cell(name, name), *cells))
    return Table(
        "transitions",
        "Transition matrix",
        "% of the sessions in the row's regime that were followed by the column's",
        f"Rows sum to 100\u202f%. {steady[0]} lasts longest: {percent(steady[1])} of its sessions are followed "
        f"by another; {fleeting[0]} {percent(fleeting[1])}. At {percent(steady[1])} a spell lasts "
        f"{_expected(steady[1])} on average.",
        ("From", *states),
        ("from_regime", *states),
        tuple(rows),
    )


def _expected(stay: float) -> str:
    """Mean length of a spell whose every session is followed by another with probability `stay`."""
    return plural(1.0 / (1.0 - stay), "session") if stay < 1.0 else f"over {SESSIONS_PER_YEAR} sessions"


def _bands(states: list[str], spells: pl.DataFrame) -> tuple[Band, ...]:
    own = [SLOTS[name] for name in states if name in SLOTS]
    slots = own if len(own) == len(states) else SPREAD.get(len(states), tuple(range(len(states))))
    dates = spells.select("label", pl.col("start", "end").dt.to_string("%Y-%m-%d"))
    spans = {name: dates.filter(pl.col("label") == name).select("start", "end").rows() for name in states}
    return tuple(Band(name, slot % HUES, spans[name]) for name, slot in zip(states, slots, strict=True))
