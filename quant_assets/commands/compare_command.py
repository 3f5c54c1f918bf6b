"""`quant compare`: the stored comparison of every model's forecasts, as a table and as a file."""

from pathlib import Path

import polars as pl
from rich.console import Console
from rich.table import Table

from quant_assets.commands.terminal import plain
from quant_assets.lab import Lab
from quant_assets.profile import Profile
from quant_assets.storage.forecast_tables import ForecastTables, stored_tables
from quant_core.errors import DataError
from quant_core.report.formats import write

RIDGE = "ridge"
#: What is printed, with shorter names than a report's, in two lines so that a column is as wide as its values.
SHORT = {
    "model": "model", "horizon_sessions": "h", "mean_rank_ic": "rank\nIC", "nw_t": "t", "icir": "ICIR",
    "crps_skill": "CRPS\nskill", "coverage_90": "in\n90\u202f%", "gain_over_ridge": "over\nridge", "dm_p": "p",
    "rank_ic_added": "adds",
}  # fmt: skip
#: What a narrow terminal does without, the first first: what stays says how good, how sure, and better than what.
DISPENSABLE = ("icir", "crps_skill", "coverage_90", "dm_p", "rank_ic_added", "gain_over_ridge")


def compare_profile(
    profile: Profile, models: str | None, fold: str | None, csv: Path | None, width: int
) -> tuple[str, Table]:
    """A heading and the table to print; every figure goes to `csv` where it is given.

    Args:
        models: names divided by commas; None for all.
        width: characters of a line.
    Raises:
        DataError: nothing is stored, or a model is not in it.
    """
    name, tables = stored_tables(Lab(profile), fold)
    whole = comparison_of(tables, _wanted(models, tables))
    if csv is not None:
        whole.write_csv(csv)
    return f"{profile.name}: forecasts out of sample through fold {name}", printed(whole, width)


def comparison_of(tables: ForecastTables, models: list[str]) -> pl.DataFrame:
    """One row a model and horizon: the scorecard over all rows, the gain over ridge and what the model adds.

    The last two are measured over the common horizon and stand in its row.
    """
    card = tables.scorecard.filter(pl.col("part") == "all", pl.col("model").is_in(models)).drop("part", "value")
    beside = tables.pairs.filter(pl.col("other") == RIDGE).select(
        "model", "horizon_sessions", "dm_t", "dm_p", gain_over_ridge="rank_ic_gain"
    )
    added = tables.contributions.select("model", "horizon_sessions", "rank_ic_added")
    keys = ["model", "horizon_sessions"]
    joined = card.join(beside, on=keys, how="left").join(added, on=keys, how="left")
    return joined.sort("horizon_sessions", "mean_rank_ic", descending=[False, True], nulls_last=True)


def printed(whole: pl.DataFrame, width: int) -> Table:
    """The columns that `width` characters have room for, and which are left out; the file has all."""
    left_out: tuple[str, ...] = ()
    for n in range(len(DISPENSABLE) + 1):
        left_out = DISPENSABLE[:n]
        table = _table(whole, [name for name in SHORT if name not in left_out])
        if Console(width=10 * width).measure(table).maximum <= width:
            break
    if left_out:
        names = ", ".join(SHORT[name].replace("\n", " ") for name in left_out)
        table.caption, table.caption_justify = f"Not shown: {names}. Widen the terminal or use --csv FILE.", "left"
    return table


def _table(whole: pl.DataFrame, shown: list[str]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in shown:
        is_text = name == "model"  # a name that is wider than the terminal goes on in the next line
        table.add_column(
            SHORT[name], justify="left" if is_text else "right", vertical="bottom", no_wrap=not is_text, overflow="fold"
        )
    for row in whole.select(shown).iter_rows(named=True):
        table.add_row(*(plain(write(name, row[name])) for name in shown))
    return table


def _wanted(models: str | None, tables: ForecastTables) -> list[str]:
    known = tables.scorecard["model"].unique().sort().to_list()
    if models is None:
        return known
    wanted = [name.strip() for name in models.split(",") if name.strip()]
    unknown = [name for name in wanted if name not in known]
    if unknown or not wanted:
        raise DataError(
            f"quant compare: {', '.join(unknown) or 'no model'} is not in the comparison; choose among "
            f"{', '.join(known)}."
        )
    return wanted
