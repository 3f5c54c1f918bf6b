"""Did the forecasts that the strategy trades on agree with what followed? Nothing here is net of costs."""

from collections.abc import Mapping
from typing import Any

import polars as pl

from quant_core.report.blocks import Block, Figure, Note, Rule, Section, Series, Table, frame_table, iso_dates, rounded
from quant_core.report.formats import correlation, count, percent, percent_fine, plural, ratio
from quant_core.report.inputs import Prepared
from quant_core.report.series import number
from quant_core.report.verdict import known

SIGNIFICANT_T = 1.96


def forecasts_section(book: Prepared) -> Section:
    """Rank IC over time and over horizons, then what each score quantile earned."""
    blocks: list[Block] = []
    if book.model is None:
        return Section("forecast-quality", "Forecast quality", (Note("No forecast was scored in this period."),))
    if not book.is_own_model:
        blocks.append(Note(f"No model belongs to {book.strategy} by name; the figures show {book.model}."))
    if book.quality.height:
        blocks.append(rank_ic_figure(book))
    if book.data.quality_summary:
        blocks.append(quality_table(book))
    blocks += [*decay_blocks(book), *quantile_blocks(book)]
    return Section("forecast-quality", "Forecast quality", tuple(blocks))


def rank_ic_figure(book: Prepared) -> Figure:
    """Running sum of the daily rank ICs, a model."""
    wide = book.quality.pivot(on="model", index="date", values="rank_ic").sort("date")
    total = wide.select("date", pl.exclude("date").fill_nan(None).fill_null(0.0).cum_sum())
    others = sorted(name for name in wide.columns if name not in ("date", book.model))
    drawn = [Series(name, rounded(total[name], 3), "other", slot) for slot, name in enumerate(others)]
    if book.model in wide.columns:
        drawn.insert(0, Series(str(book.model), rounded(total[str(book.model)], 3)))
    return Figure(
        "rank-ic",
        "Cumulative rank IC",
        "sum of daily Spearman correlations between score and forward return",
        _quality_reading(str(book.model), book.data.quality_summary),
        iso_dates(total["date"]),
        tuple(drawn),
        y_format=".2~f",
        hover_format=".2f",
        rules=(Rule(0.0),),
    )


def quality_table(book: Prepared) -> Table:
    """One model a row, with the columns that the scoring gave."""
    columns = list(dict.fromkeys(name for row in book.data.quality_summary for name in row))
    columns.sort(key=lambda name: name != "model")
    rows = [{name: row.get(name) for name in columns} for row in book.data.quality_summary]
    return frame_table(
        "quality",
        "Information coefficients",
        pl.DataFrame(rows, infer_schema_length=None),
        unit="a day",
        caption="Rank IC: Spearman correlation of scores and the returns that followed. The t statistic allows for "
        "overlapping labels (Newey\u2013West).",
        labels={"model": "Model"},
        marked=book.model,
    )


def decay_blocks(book: Prepared) -> list[Block]:
    """Rank IC of today's scores over other horizons."""
    if book.decay.is_empty():
        return [Note("Rank IC over other horizons was not measured.")]
    table = book.decay.sort("model", "horizon_sessions")
    caption = "Rank IC of the same scores against returns over each horizon."
    labels = {"model": "Model"}
    made = frame_table(
        "decay", "Rank IC by horizon, table", table, caption=caption, labels=labels, marked=book.model, folded=True
    )  # fmt: skip
    own = table.filter(pl.col("model") == book.model, pl.col("mean_rank_ic").is_finite())
    if own.is_empty():
        return [made]
    top = own.sort("mean_rank_ic", descending=True).row(0, named=True)
    t = own["nw_t"].fill_nan(None)
    strong = own.filter(pl.col("nw_t").abs() >= SIGNIFICANT_T)["horizon_sessions"].to_list()
    which = f"at {', '.join(map(str, strong))} sessions" if strong else "at no horizon"
    figure = Figure(
        "ic-decay",
        "Rank IC by horizon",
        f"mean Spearman correlation, {book.model}",
        f"Highest at {plural(top['horizon_sessions'], 'session')} ({correlation(top['mean_rank_ic'])}); "
        f"away from zero at 5\u202f% {which}. Labels: Newey\u2013West t.",
        [str(value) for value in own["horizon_sessions"].to_list()],
        (
            Series(
                str(book.model),
                rounded(own["mean_rank_ic"], 5),
                text=["" if value is None else f"t {ratio(value)}" for value in t.to_list()],
            ),
        ),
        "bar",
        "category",
        x_title="horizon, sessions",
        y_format=".3f",
        hover_format=".4f",
        rules=(Rule(0.0),),
        half=True,
    )
    return [figure, made]


def quantile_blocks(book: Prepared) -> list[Block]:
    """What the names of each score quantile earned, and how fast they change."""
    if book.quantiles.is_empty():
        return [Note("Returns by score quantile were not measured.")]
    table = book.quantiles.sort("model", "quantile")
    own = table.filter(pl.col("model") == book.model)
    made = frame_table(
        "quantiles",
        "Score quantiles",
        table,
        unit="over the label's horizon, before costs",
        caption="Quantile 1 holds the lowest scores. Excess is over the mean of all names that day.",
        labels={"model": "Model"},
        marked=book.model,
        folded=True,
    )
    if own.is_empty() or own["mean_excess_return"].drop_nulls().is_empty():
        return [made]
    x = [str(value) for value in own["quantile"].to_list()]
    excess, turnover = own["mean_excess_return"], own["turnover_1d"]
    low, high = number(excess[0]), number(excess[-1])
    spread = f"Highest less lowest: {percent_fine(high - low)}; {_monotone(excess)}."
    earned = Figure(
        "quantile-returns",
        "Excess return by score quantile",
        f"% over the label's horizon, {book.model}, before costs",
        spread,
        x,
        (Series(str(book.model), rounded(excess, 6)),),
        "bar",
        "category",
        x_title="quantile, 1 = lowest scores",
        y_format=".2~%",
        hover_format=".3%",
        rules=(Rule(0.0),),
        half=True,
    )
    if turnover.drop_nulls().is_empty():
        return [earned, made]
    changed = Figure(
        "quantile-turnover",
        "Turnover by score quantile",
        f"% of the quantile's names that are new each session, {book.model}",
        f"Highest scores {percent(number(turnover[-1]))}, lowest {percent(number(turnover[0]))} a session.",
        x,
        (Series(str(book.model), rounded(turnover)),),
        "bar",
        "category",
        x_title="quantile, 1 = lowest scores",
        half=True,
    )
    return [earned, changed, made]


def _monotone(excess: pl.Series) -> str:
    steps = excess.diff().drop_nulls()
    if not len(steps):
        return "one quantile only"
    rising = int((steps > 0).sum())
    if rising == len(steps):
        return "it rises with every quantile"
    return f"it rises at {rising} of {plural(len(steps), 'step')}"


def _quality_reading(model: str, quality_summary: Any) -> str:
    row: Mapping[str, Any] = next((row for row in quality_summary if row.get("model") == model), {})
    steady = "Steady skill is a straight rising line, none is a flat one."
    if not all(known(row.get(name)) for name in ("mean_rank_ic", "nw_t", "n_dates")):
        return steady
    t = row["nw_t"]
    verdict = (
        "not distinguishable from zero at 5\u202f%"
        if abs(t) < SIGNIFICANT_T
        else "away from zero at 5\u202f%, one test"
    )
    return (
        f"{model}: mean rank IC {correlation(row['mean_rank_ic'])} over {count(row['n_dates'])} days, "
        f"Newey\u2013West t {ratio(t)}: {verdict}. {steady}"
    )
