"""What was traded: how often, for how long names were held, what trips earned, what it cost, what was not filled."""

from collections.abc import Sequence
from dataclasses import replace

import polars as pl

from quant_core.calendar import SESSIONS_PER_YEAR
from quant_core.measures.trips import trip_summary
from quant_core.report.blocks import Block, Figure, Note, Section, Series, Table, frame_table, iso_dates, rounded
from quant_core.report.formats import count, percent, percent_fine, plural, ratio, rupees
from quant_core.report.inputs import Prepared
from quant_core.report.series import number
from quant_core.schema import BUY, DELISTING, SELL

HOLDING_BINS = (1, 2, 5, 10, 21, 42, 63, 126, 252)  # sessions, the upper end of each bin but the open last one
TRIPS_SHOWN = 5
KINDS_SHOWN = 7


def trades_section(book: Prepared) -> Section:
    """Trades, round trips, costs, unfilled orders."""
    blocks: list[Block] = [*trade_blocks(book), *trip_blocks(book), *cost_blocks(book), unfilled_block(book)]
    return Section("trades", "Trades", tuple(blocks))


def trade_blocks(book: Prepared) -> list[Block]:
    """Purchases and sales a month."""
    orders = book.trades.filter(pl.col("side").is_in([BUY, SELL]), pl.col("decision_date").is_not_null())
    if orders.is_empty():
        return [Note(f"No trade of {book.strategy} was given.")]
    months = book.own.select(pl.col("date").dt.truncate("1mo")).unique().sort("date")
    drawn = []
    for side, role, name in ((BUY, "chosen", "purchases"), (SELL, "warning", "sales")):
        counted = orders.filter(pl.col("side") == side).group_by(pl.col("date").dt.truncate("1mo")).len()
        monthly = months.join(counted, on="date", how="left", maintain_order="left")["len"].fill_null(0)
        drawn.append(Series(name, monthly.to_list(), role))  # type: ignore[arg-type]
    size = number(orders["value_inr"].median())
    delisted = book.trades.filter(pl.col("side") == DELISTING).height
    lost = f" {plural(delisted, 'holding')} left the exchange." if delisted else ""
    return [
        Figure(
            "trades-monthly",
            "Trades",
            "fills a month",
            f"{plural(orders.height, 'fill')}, {orders.height / months.height:.1f} a month; "
            f"half of them are of {rupees(size)} or less.{lost}",
            iso_dates(months["date"]),
            tuple(drawn),
            "stacked",
            y_format=",.0f",
            hover_format=",.0f",
            half=True,
        )
    ]


def trip_blocks(book: Prepared) -> list[Block]:
    """Holding periods, win rate and profit factor of every strategy, best and worst trips."""
    own = book.trips.filter(pl.col("strategy") == book.strategy)
    closed = own.filter(pl.col("exit_date").is_not_null())
    if closed.is_empty():
        still = f"; {plural(own.height, 'name')} bought in it still held" if own.height else ""
        return [Note(f"{book.strategy} closed no round trip in the period{still}.")]
    return [holding_figure(closed), trip_table(book), extremes_table(book, closed)]


def holding_figure(closed: pl.DataFrame) -> Figure:
    """How long the closed trips lasted."""
    sessions = closed["n_sessions"]
    x, counts = holding_histogram(sessions)
    return Figure(
        "holding-period",
        "Holding period",
        "round trips, by sessions held",
        f"{plural(closed.height, 'closed trip')}; half were held "
        f"{plural(number(sessions.median()), 'session')} or less, the longest {count(number(sessions.max()))}.",
        x,
        (Series("round trips", counts),),
        "bar",
        "category",
        x_title="sessions held",
        y_format=",.0f",
        hover_format=",.0f",
        half=True,
    )


def holding_histogram(sessions: pl.Series) -> tuple[list[str], list[int]]:
    """Labels of the bins and trips in each: 1, 2, 3-5, 6-10 sessions and so on, more than the last."""
    lower = [0, *HOLDING_BINS]
    labels, counts = [], []
    for low, high in zip(lower, HOLDING_BINS, strict=False):
        labels.append(f"{high}" if high - low == 1 else f"{low + 1}\u2013{high}")
        counts.append(int(((sessions > low) & (sessions <= high)).sum()))
    labels[0] = f"\u2264{HOLDING_BINS[0]}"
    counts[0] = int((sessions <= HOLDING_BINS[0]).sum())
    return [*labels, f">{HOLDING_BINS[-1]}"], [*counts, int((sessions > HOLDING_BINS[-1]).sum())]


def trip_table(book: Prepared) -> Table:
    """Round trips of every strategy, the chosen one first."""
    first = pl.col("strategy") == book.strategy
    table = trip_summary(book.trips).sort(first, descending=True, maintain_order=True)
    own = table.row(0, named=True)
    factor = f", profit factor {ratio(own['profit_factor'])}" if own["profit_factor"] is not None else ""
    labels = {
        "strategy": "Strategy",
        "open_share": "Still open",
        "profit_factor": "Profit factor",
        "mean_win_return": "Mean win",
        "mean_loss_return": "Mean loss",
        "median_holding_sessions": "Sessions held, median",
    }
    return frame_table(
        "trip-measures",
        "Round trips",
        table.select("strategy", "n_trips", "win_rate", *list(labels)[1:]),
        unit="net of costs; won, mean and median are of closed trips",
        caption=f"{percent(own['win_rate'])} of {book.strategy}'s closed trips were won{factor} "
        "(rupees gained over rupees lost).",
        labels=labels,
        marked=book.strategy,
    )


def extremes_table(book: Prepared, closed: pl.DataFrame) -> Table:
    """The trips that earned and lost most."""
    ranked = closed.sort("pnl_inr", "ticker", "entry_date", descending=[True, False, False])
    best = ranked.head(TRIPS_SHOWN)
    worst = ranked[len(best) :].tail(TRIPS_SHOWN).reverse()
    shown = pl.concat([best, worst]).select(
        "ticker", "entry_date", "exit_date", "n_sessions", "bought_inr", "pnl_inr", "simple_return"
    )
    made = frame_table(
        "trips",
        "Best and worst round trips",
        shown,
        unit=f"{book.strategy}, by profit",
        caption=f"The best {best.height} made {rupees(number(best['pnl_inr'].sum()))} of "
        f"{rupees(number(closed['pnl_inr'].sum()))} in all closed trips.",
        labels={"ticker": "Ticker", "entry_date": "Bought on", "exit_date": "Sold on"},
    )
    groups = ((0, "Best"), (best.height, "Worst")) if worst.height else ((0, "Best"),)
    return replace(made, groups=groups)


def cost_blocks(book: Prepared) -> list[Block]:
    """Costs by kind: in rupees over the period, and in percent of equity by year."""
    if book.costs.is_empty():
        return [Note(f"No cost by kind of {book.strategy} was given.")]
    total = (
        book.costs.group_by("kind", maintain_order=True)
        .agg(pl.col("cost_inr").sum())
        .sort("cost_inr", "kind", descending=[True, False])
    )
    equity, paid = number(book.own["equity_inr"].mean()), number(total["cost_inr"].sum())
    years = max(book.own.height - 1, 1) / SESSIONS_PER_YEAR
    table = total.with_columns(
        (pl.col("cost_inr") / paid).alias("cost_share"), (pl.col("cost_inr") / equity / years).alias("cost_ann")
    )
    all_in = pl.DataFrame(
        {"kind": ["all kinds"], "cost_inr": [paid], "cost_share": [1.0], "cost_ann": [paid / equity / years]}
    )
    made = frame_table(
        "costs",
        "Cost by kind",
        pl.concat([table, all_in]),
        unit="rupees over the period, and % of mean equity a year",
        caption=f"The largest kind is {total['kind'][0]} with {percent(table['cost_share'][0])} of the bill.",
        labels={"kind": "Kind", "cost_share": "Share of all"},
        marked="all kinds",
        half=True,
    )
    return [cost_figure(book, total["kind"].to_list()), made]


def cost_figure(book: Prepared, kinds: Sequence[str]) -> Figure:
    """Costs of each calendar year over its mean equity, stacked by kind."""
    year = pl.col("date").dt.year().alias("year")
    equity = book.own.group_by(year, maintain_order=True).agg(pl.col("equity_inr").mean()).sort("year")
    shown = list(kinds) if len(kinds) <= KINDS_SHOWN + 1 else list(kinds[:KINDS_SHOWN])
    label = pl.when(pl.col("kind").is_in(shown)).then("kind").otherwise(pl.lit("other kinds")).alias("kind")
    by_year = (
        book.costs.with_columns(label)
        .group_by(year, "kind", maintain_order=True)
        .agg(pl.col("cost_inr").sum())
        .sort("year", "kind")
    )
    drawn = []
    for slot, kind in enumerate([*shown, *(["other kinds"] if len(shown) < len(kinds) else [])]):
        paid = equity.join(by_year.filter(pl.col("kind") == kind), on="year", how="left", maintain_order="left")
        share = (paid["cost_inr"] / paid["equity_inr"]).fill_null(0.0)
        drawn.append(Series(kind, rounded(share, 6), "part" if kind in kinds else "remainder", slot))
    all_in = equity.join(
        by_year.group_by("year", maintain_order=True).agg(pl.col("cost_inr").sum()),
        on="year",
        how="left",
        maintain_order="left",
    )
    share = (all_in["cost_inr"] / all_in["equity_inr"]).fill_null(0.0)
    top = share.arg_max() or 0
    return Figure(
        "cost-years",
        "Cost by year",
        "% of the year's mean equity",
        f"Highest in {all_in['year'][top]} with {percent_fine(share[top])}, "
        f"lowest {percent_fine(number(share.min()))}.",
        [str(value) for value in equity["year"].to_list()],
        tuple(drawn),
        "stacked",
        "category",
        y_format=".2~%",
        hover_format=".3%",
        half=True,
    )


def unfilled_block(book: Prepared) -> Block:
    """Orders left unfilled a month; a sentence where there were none."""
    own = book.own
    missed, filled = number(own["n_unfilled"].sum()), number(own["n_fills"].sum())
    if missed == 0:
        return Note(f"Every order of {book.strategy} was filled in full ({plural(filled, 'fill')}).")
    month = own.group_by(pl.col("date").dt.truncate("1mo")).agg(pl.col("n_unfilled").sum()).sort("date")
    top = month.sort("n_unfilled", "date", descending=[True, False]).row(0, named=True)
    return Figure(
        "unfilled",
        "Orders not filled",
        "a month, whole or in part",
        f"{plural(missed, 'order')} unfilled beside {plural(filled, 'fill')}; most in {top['date']:%Y-%m} "
        f"({count(top['n_unfilled'])}).",
        iso_dates(month["date"]),
        (Series(book.strategy, month["n_unfilled"].to_list(), "warning"),),
        "bar",
        y_format=",.0f",
        hover_format=",.0f",
        half=True,
    )
