"""Writes what a stored lab measured to docs/measured: `python docs/measure.py nifty50_files --as nifty50`.

Full figures as CSV, one file a table, and a note of what they were read from; `docs/tables.py` puts them into pages.
The null test's tables are the output of `quant validate`, saved as docs/measured/<name>.md.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import polars as pl

from quant_assets.commands.compare_command import comparison_of
from quant_assets.storage.forecast_tables import COMPARISON, QUALITY, ForecastTables
from quant_assets.storage.partition_files import pointer_path, read_stamp
from quant_assets.stored_lab import StoredLab, open_lab
from quant_core.schema import BENCHMARK

MEASURED = Path(__file__).parent / "measured"
#: A rank correlation over the returns of so many sessions, by which all models are compared.
COMMON_HORIZON = 5


def books(lab: StoredLab) -> pl.DataFrame:
    """One row a book, the best Sharpe ratio first: net of costs, at twice the costs, deflated by everything tried."""
    stressed = lab.part("backtest", "sensitivity").filter(pl.col("scenario") == "cost_multiple", pl.col("level") == 2.0)
    twice = stressed.select("strategy", sharpe_at_twice_the_costs="sharpe_ann")
    luck = lab.part("backtest_report", "significance").select("strategy", "deflated_sharpe")
    columns = ("cagr", "volatility_ann", "sharpe_ann", "max_drawdown", "turnover_ann", "cost_ann")
    found = lab.part("backtest", "metrics").select("strategy", *columns)
    joined = found.join(twice, on="strategy", how="left").join(luck, on="strategy", how="left")
    return joined.with_columns(named()).sort("sharpe_ann", descending=True, nulls_last=True)


def named() -> pl.Expr:
    """The name of a book as a page has it."""
    return pl.col("strategy").replace(BENCHMARK, "the index")


def forecasts(lab: StoredLab) -> pl.DataFrame:
    """One row a model over its own horizon and over the common one, what it adds beside it."""
    tables = ForecastTables.of(lab.files(QUALITY), lab.files(COMPARISON))
    return comparison_of(tables, tables.scorecard["model"].unique().sort().to_list())


def forecast_years(lab: StoredLab) -> pl.DataFrame:
    """Mean rank IC over the common horizon, a row a model, a column a year."""
    card = lab.part(QUALITY, "scorecard").filter(pl.col("part") == "year")
    horizon = COMMON_HORIZON if COMMON_HORIZON in card["horizon_sessions"] else card["horizon_sessions"].min()
    of_horizon = card.filter(pl.col("horizon_sessions") == horizon)
    order = of_horizon.group_by("model").agg(pl.col("mean_rank_ic").mean()).sort("mean_rank_ic", descending=True)
    wide = of_horizon.sort("value").pivot(on="value", index="model", values="mean_rank_ic")
    return order.select("model").join(wide, on="model", how="left", maintain_order="left")


def agents(lab: StoredLab) -> pl.DataFrame:
    """Learning agents beside the other books of the same sessions, the worst and the best seed of each."""
    seeds = lab.part("rl_evaluation", "seeds").select("sharpe_low_ann", "sharpe_high_ann", strategy="agent")
    columns = ("cagr", "sharpe_ann", "max_drawdown", "turnover_ann", "effective_names")
    found = lab.part("rl_evaluation", "books").select("strategy", *columns)
    joined = found.join(seeds, on="strategy", how="left").with_columns(named())
    return joined.sort("sharpe_ann", descending=True, nulls_last=True)


def regimes(lab: StoredLab) -> pl.DataFrame:
    """One row a regime method: the table `summary` of `regime_quality`."""
    return lab.part("regime_quality", "summary")


TABLES: dict[str, Callable[[StoredLab], pl.DataFrame]] = {
    "books": books, "forecasts": forecasts, "years": forecast_years, "agents": agents, "regimes": regimes,
}  # fmt: skip
#: The asset that each table is read from: without it the table is left out.
READ_FROM = {
    "books": "backtest_report", "forecasts": COMPARISON, "years": QUALITY, "agents": "rl_evaluation",
    "regimes": "regime_quality",
}  # fmt: skip


def measure(lab: StoredLab, name: str, target: Path = MEASURED) -> list[Path]:
    """Write every table that the lab has, and `<name>.csv`, which says what they were read from."""
    target.mkdir(parents=True, exist_ok=True)
    written, read = [], []
    for table, make in TABLES.items():
        asset = READ_FROM[table]
        if asset in lab.assets:
            written.append(target / f"{name}-{table}.csv")
            make(lab).write_csv(written[-1])
            read.append((asset, lab.partitions(asset)[-1]))
    stamps = [(asset, fold, content_hash(lab, asset, fold)) for asset, fold in dict.fromkeys(read)]
    note = pl.DataFrame(stamps, schema=["asset", "fold", "content_hash"], orient="row")
    note.write_csv(target / f"{name}.csv")
    return [*written, target / f"{name}.csv"]


def content_hash(lab: StoredLab, asset: str, fold: str) -> str:
    """The hash that the stored partition carries; equal hashes are equal content."""
    stamp = read_stamp(pointer_path(lab.root, lab.key(asset), fold))
    return "" if stamp is None else stamp.content_hash


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("profile", help="as it stands before the assets, e.g. nifty50_files")
    parser.add_argument("--as", dest="name", help="beginning of the files' names; default: the profile's")
    parser.add_argument("--data", help="root of the data; default: QUANT_DATA")
    given = parser.parse_args(sys.argv[1:])
    for path in measure(open_lab(given.profile, given.data), given.name or given.profile):
        print(path)
