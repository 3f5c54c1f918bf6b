"""What was held: how many names it amounts to, in which sectors, how much cash, how fast it changes."""

import polars as pl

from quant_core.calendar import SESSIONS_PER_YEAR
from quant_core.measures.holdings import concentration
from quant_core.report.blocks import Block, Figure, Note, Rule, Section, Series, Table, frame_table, iso_dates, rounded
from quant_core.report.formats import names, percent, percent_fine, plural, times
from quant_core.report.inputs import Prepared
from quant_core.report.series import number, week_ends

HOLDINGS_SHOWN = 15
SECTORS_SHOWN = 7
UNKNOWN, REST, CASH = "unknown", "other sectors", "cash"


def portfolio_section(book: Prepared) -> Section:
    """Concentration, sectors, cash, turnover, holdings at the end."""
    blocks: list[Block] = []
    if book.positions.is_empty():
        blocks.append(
            Note(f"No position of {book.strategy} was given: concentration, sectors and holdings are left out.")
        )
    else:
        blocks += concentration_figures(book)
        blocks.append(sector_block(book))
    blocks += [cash_figure(book), turnover_figure(book)]
    holdings = holdings_table(book)
    return Section("portfolio", "Portfolio", tuple(blocks if holdings is None else [*blocks, holdings]))


def concentration_figures(book: Prepared) -> list[Block]:
    """Effective number of names, and the largest weight."""
    measured = concentration(book.positions).select("date", "effective_names", "largest_weight")
    table = book.held.select("date").join(measured, on="date", how="left", maintain_order="left")
    held = table.drop_nulls()
    if held.is_empty():
        return [Note(f"{book.strategy} held nothing after any session.")]
    is_held = table["effective_names"][-1] is not None
    now = "" if is_held else ", the last session with holdings"
    effective, largest = held["effective_names"], held["largest_weight"]
    top_day = held["date"][largest.arg_max() or 0]
    top = book.positions.filter(pl.col("date") == top_day).sort("weight", "ticker", descending=[True, False])
    return [
        Figure(
            "effective-names",
            "Effective number of names",
            "1 / sum of squared shares of what is invested",
            f"On {held['date'][-1]}{now}: {names(effective[-1])}; "
            f"median {names(number(effective.median()))}, lowest {names(number(effective.min()))}.",
            iso_dates(table["date"]),
            (Series(book.strategy, rounded(table["effective_names"], 2)),),
            y_format=".2~f",
            hover_format=".1f",
            from_zero=True,
            half=True,
        ),
        Figure(
            "largest-weight",
            "Largest weight",
            "% of what is invested, in one name",
            f"On {held['date'][-1]}{now}: {percent(largest[-1])}; median {percent(number(largest.median()))}, highest "
            f"{percent(number(largest.max()))} ({top['ticker'][0]}, {top_day}).",
            iso_dates(table["date"]),
            (Series(book.strategy, rounded(table["largest_weight"])),),
            from_zero=True,
            half=True,
        ),
    ]


def sector_weights(book: Prepared, sectors: pl.DataFrame) -> pl.DataFrame:
    """`date` and a column a sector at week ends, largest on average first; the smallest summed; cash is the rest."""
    days = book.held.filter(week_ends(book.held["date"])).select(
        "date", (pl.col("cash_inr") / pl.col("equity_inr")).alias(CASH)
    )
    named = _sector_names(sectors).with_columns(pl.col("sector").replace({CASH: f"{CASH} sector", REST: "other"}))
    held = book.positions.join(days.select("date"), on="date", how="semi").join(named, on="ticker", how="left")
    by_sector = (
        held.group_by("date", pl.col("sector").fill_null(UNKNOWN), maintain_order=True)
        .agg(pl.col("weight").sum())
        .sort("date", "sector")
    )
    ranked = (
        by_sector.group_by("sector", maintain_order=True)
        .agg(pl.col("weight").sum())
        .sort("weight", "sector", descending=[True, False])
    )
    order = ranked["sector"].to_list()
    shown = order if len(order) <= SECTORS_SHOWN + 1 else order[:SECTORS_SHOWN]
    label = pl.when(pl.col("sector").is_in(shown)).then("sector").otherwise(pl.lit(REST)).alias("sector")
    grouped = by_sector.with_columns(label).group_by("date", "sector", maintain_order=True).agg(pl.col("weight").sum())
    wide = days.select("date").join(
        grouped.pivot(on="sector", index="date", values="weight"), on="date", how="left", maintain_order="left"
    )
    columns = [*shown, *([REST] if len(shown) < len(order) else [])]
    return wide.select("date", pl.col(columns).fill_null(0.0)).with_columns(days[CASH])


def sector_block(book: Prepared) -> Block:
    """Sector weights over time, stacked to 100 % with cash."""
    if book.sectors is None:
        return Note("No table of sectors was given, so sector exposure is left out.")
    wide = sector_weights(book, book.sectors)
    shown = wide.columns[1:]
    if shown == [CASH]:
        return Note(f"{book.strategy} held nothing after the last session of any week.")
    final = wide.row(-1, named=True)
    largest = max((name for name in shown if name not in (CASH, REST)), key=lambda name: final[name])
    mean = number(wide[largest].mean())
    roles = {CASH: "rest", REST: "remainder"}
    parts = [
        Series(name, rounded(wide[name].clip(0.0), 3), roles.get(name, "part"), 0 if name in roles else k)  # type: ignore[arg-type]
        for k, name in enumerate(shown)
    ]
    unknown = f" {percent(final[UNKNOWN])} is in names without a sector." if final.get(UNKNOWN) else ""
    return Figure(
        "sectors",
        "Sector exposure",
        "% of equity at week ends, cash included",
        f"Largest at the end: {largest} with {percent(final[largest])} (mean {percent(mean)}); "
        f"cash {percent(final[CASH])}.{unknown}",
        iso_dates(wide["date"]),
        tuple(parts),
        "stack",
    )


def cash_figure(book: Prepared) -> Figure:
    """Share of equity that is not invested."""
    share = book.held["cash_inr"] / book.held["equity_inr"]
    interest = number(book.own["interest_inr"].sum()) / number(book.own["equity_inr"].mean()) / _years(book)
    return Figure(
        "cash",
        "Cash",
        "% of equity",
        f"Mean {percent(number(share.mean()))}, highest {percent(number(share.max()))}, "
        f"at the end {percent(share[-1])}; interest added {percent_fine(interest)} of equity a year.",
        iso_dates(book.held["date"]),
        (Series(book.strategy, rounded(share)),),
        "area",
        rules=(Rule(0.0),),
        half=True,
    )


def turnover_figure(book: Prepared) -> Figure:
    """One-way turnover, a calendar month."""
    own = book.own
    month = (
        own.group_by(pl.col("date").dt.truncate("1mo"), maintain_order=True)
        .agg(pl.col("turnover_1d").sum())
        .sort("date")
    )
    cost = number(own["cost_inr"].sum()) / number(own["equity_inr"].mean()) / _years(book)
    return Figure(
        "turnover",
        "Turnover",
        "% of equity a month, one-way",
        f"{percent(number(month['turnover_1d'].mean()), 0)} of the portfolio is replaced in an average month "
        f"({times(number(own['turnover_1d'].sum()) / _years(book))} a year); "
        f"costs take {percent_fine(cost)} of equity a year.",
        iso_dates(month["date"]),
        (Series(book.strategy, rounded(month["turnover_1d"])),),
        "bar",
        hover_format=".0%",
        half=True,
    )


def holdings_table(book: Prepared) -> Table | None:
    """The largest weights after the last session; None without a position on it."""
    end = book.own["date"][-1]
    final = book.positions.filter(pl.col("date") == end).sort("weight", "ticker", descending=[True, False])
    if final.is_empty():
        return None
    shown = final.select("ticker", "weight", "value_inr").head(HOLDINGS_SHOWN)
    labels = {"ticker": "Ticker", "sector": "Sector"}
    if book.sectors is not None:
        shown = shown.join(_sector_names(book.sectors), on="ticker", how="left", maintain_order="left")
        shown = shown.select("ticker", pl.col("sector").fill_null(UNKNOWN), "weight", "value_inr")
    held = number(shown["weight"].sum())
    return frame_table(
        "holdings",
        "Largest holdings",
        shown,
        unit=f"% of equity after the close of {end}",
        caption=f"{plural(shown.height, 'name')} of {final.height} with {percent(held)} of equity; "
        "the rest is smaller holdings and cash.",
        labels=labels,
    )


def _sector_names(sectors: pl.DataFrame) -> pl.DataFrame:
    """One sector a ticker, the first given."""
    named = sectors.select("ticker", pl.col("sector").cast(pl.String))
    return named.unique("ticker", keep="first", maintain_order=True)


def _years(book: Prepared) -> float:
    return max(book.own.height - 1, 1) / SESSIONS_PER_YEAR
