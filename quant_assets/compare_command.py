"""`quant compare`: the stored comparison of every model's forecasts, as a table and as a file."""

from pathlib import Path

import polars as pl
from rich.table import Table

from quant_assets.forecast_tables import ForecastTables, stored_tables
from quant_assets.lab import Lab
from quant_assets.profile import Profile
from quant_assets.terminal import plain
from quant_core.errors import DataError
from quant_core.report.formats import write

RIDGE = "ridge"
#: Columns of the scorecard that are printed, after model and horizon.
SCORED = ("mean_rank_ic", "nw_t", "icir", "crps_skill", "coverage_90")
#: Shorter names than a report's: eighty characters must do.
SHORT = {
    "model": "model", "horizon_sessions": "h", "mean_rank_ic": "rank IC", "nw_t": "t", "icir": "ICIR",
    "crps_skill": "CRPS skill", "coverage_90": "in 90 %", "gain_over_ridge": "over ridge", "dm_p": "p",
    "rank_ic_added": "adds",
}  # fmt: skip


def compare_profile(profile: Profile, models: str | None, fold: str | None, csv: Path | None) -> tuple[str, Table]:
    """A heading and the table to print; every figure goes to `csv` where it is given.

    Args:
        models: names divided by commas; None for all.
    Raises:
        DataError: nothing is stored, or a model is not in it.
    """
    name, tables = stored_tables(Lab(profile), fold)
    whole = comparison_of(tables, _wanted(models, tables))
    if csv is not None:
        whole.write_csv(csv)
    return f"{profile.name}: forecasts out of sample through fold {name}", printed(whole)


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


def printed(whole: pl.DataFrame) -> Table:
    """The columns that a terminal has room for; the file has all."""
    shown = ["model", "horizon_sessions", *SCORED, "gain_over_ridge", "dm_p", "rank_ic_added"]
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in shown:
        table.add_column(SHORT[name], justify="left" if name == "model" else "right", no_wrap=True)
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
