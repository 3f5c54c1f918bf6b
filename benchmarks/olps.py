"""On-line portfolio selection beside the lab's books: same prices, same members, same account, same NSE charges.

    pip install -e '.[evaluation]'
    python benchmarks/olps.py STORE [--first 2018] [--last 2023] [--profile nifty50]

STORE is the folder of a profile's tables (`data/nifty50_files`), after `quant run`. Strategies and their published
settings are `universal-portfolios`'; each runs anew every year on the members of the last session before it, with the
year before as its past. It decides after every session as it was published, or as often as the lab's books; what it
says after a session is filled at the next open. A name that left is sold, one that cannot be traded is kept. `capped`
is the projection onto the lab's largest position of 20 %. Net figures are of the account that the lab's books have;
`gross` is the same without costs. Which of them is best is known in hindsight only.
"""

import argparse
import os
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl

from quant_assets.lab import Lab
from quant_assets.profile import load_profile
from quant_core.backtest.agents import since
from quant_core.backtest.simulate import simulate
from quant_core.schema import IS_SEED
from quant_core.trading.weights import project_capped_simplex

MAX_POSITION = 0.20
LEAST_WEIGHT = 1e-4  # of a name that is held
#: The lab's books to compare with, where the store has them.
OURS = (
    "cost_aware_mean_variance_ensemble", "min_variance", "hierarchical_risk_parity", "equal_weight",
    "buffered_ensemble", "top_n_ensemble",
)  # fmt: skip


def algorithms() -> dict[str, Callable[[], Any]]:
    """By name, with the package's own settings, which are the papers'."""
    from universal import algos

    return {
        "bah": algos.BAH, "crp": algos.CRP, "eg": algos.EG, "ons": algos.ONS, "anticor": algos.Anticor,
        "pamr": algos.PAMR, "cwmr": algos.CWMR, "olmar": algos.OLMAR, "rmr": algos.RMR, "wmamr": algos.WMAMR,
    }  # fmt: skip


def stored(store: Path, table: str, first: int, last: int) -> pl.DataFrame:
    """The months of those years."""
    months = [f"{year}-{month:02d}" for year in range(first, last + 1) for month in range(1, 13)]
    files = [store / table / f"{month}.parquet" for month in months]
    return pl.concat([pl.read_parquet(file) for file in files if file.exists()])


def price_paths(prices: pl.DataFrame, year: int) -> pd.DataFrame:
    """(T, N) paths of the total return over a year and the one before it, of those who are members when it begins."""
    inside = prices.filter(pl.col("date").dt.year().is_between(year - 1, year))
    before = inside.filter(pl.col("date").dt.year() < year)["date"].max()
    members = inside.filter(pl.col("date") == before, "is_member", pl.col("instrument") == "equity")["ticker"]
    wide = inside.filter(pl.col("ticker").is_in(members.implode())).pivot(
        "ticker", index="date", values="total_return_1d"
    ).sort("date")  # fmt: skip
    growth = 1.0 + wide.drop("date").fill_null(0.0).to_numpy()
    return pd.DataFrame(np.cumprod(growth, axis=0), index=wide["date"].to_list(), columns=wide.columns[1:])


def wished(make: Callable[[], Any], paths: pd.DataFrame) -> pd.DataFrame:
    """(T, N) weights that are wanted after each row: the package's row t is held from t - 1 to t."""
    later = pd.DataFrame(paths.iloc[-1:].to_numpy(), index=[date.max], columns=paths.columns)
    found = make().run(pd.concat([paths, later]), log_progress=False).B
    rows = found[paths.columns].to_numpy(dtype=np.float64)  # a constant book has a column for cash, of 0
    return pd.DataFrame(np.nan_to_num(rows[1:]), index=paths.index, columns=paths.columns)


def decided(wishes: pd.DataFrame, prices: pl.DataFrame, cap: float) -> pl.DataFrame:
    """date, ticker, weight of wishes (D, N): scaled to the members that are left, or projected onto the cap."""
    rows = prices.filter("is_member", pl.col("date").is_in(list(wishes.index))).select("date", "ticker", "is_tradable")
    known = rows.pivot("ticker", index="date", values="is_tradable").sort("date")
    tradable = known.select(
        (pl.col(name) if name in known.columns else pl.lit(None, pl.Boolean)).alias(name) for name in wishes.columns
    )
    can, is_member = tradable.fill_null(False).to_numpy(), ~tradable.select(pl.all().is_null()).to_numpy()
    weights = np.clip(wishes.to_numpy() * can, 0.0, None)
    weights /= np.maximum(weights.sum(axis=1, keepdims=True), 1e-12)
    if cap < 1.0:
        weights = project_capped_simplex(weights, cap)
    weights = np.where(is_member & ~can, np.nan, np.where(weights < LEAST_WEIGHT, 0.0, weights))
    row, column = np.nonzero(~(weights <= 0.0))
    return pl.DataFrame({
        "date": [wishes.index[k] for k in row], "ticker": [wishes.columns[k] for k in column],
        "weight": weights[row, column],
    }).with_columns(pl.col("weight").fill_nan(None))  # fmt: skip


def olps_books(prices: pl.DataFrame, weekly: pl.Series, years: range) -> Iterator[pl.DataFrame]:
    """TargetWeights of every strategy, every session and on the lab's own dates, as published and capped."""
    for name, make in algorithms().items():
        started = time.process_time()
        for year in years:
            paths = price_paths(prices, year)
            often = {"daily": paths, "weekly": paths[[day in set(weekly) for day in paths.index]]}
            for how, known in often.items():
                wishes = wished(make, known)
                own = wishes[[day.year == year and day >= weekly[0] for day in wishes.index]]
                for limit, cap in (("", 1.0), (" capped", MAX_POSITION)):
                    book = decided(own, prices, cap).with_columns(strategy=pl.lit(f"{name} {how}{limit}"))
                    yield book.select("date", "strategy", "ticker", "weight")
        print(f"{name}: {time.process_time() - started:.0f} s of CPU", flush=True)


def our_books(store: Path, first: int, last: int) -> pl.DataFrame:
    """What the lab decided: some books, and the means of the agents' seeds."""
    agents = sorted(path.name for path in store.glob("weights_*"))
    parts = [stored(store, name, first, last).filter(~IS_SEED) for name in agents]
    return pl.concat([stored(store, "target_weights", first, last).filter(pl.col("strategy").is_in(OURS)), *parts])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", type=Path)
    parser.add_argument("--first", type=int, default=2018)
    parser.add_argument("--last", type=int, default=2023)
    parser.add_argument("--profile", default="nifty50")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    print(f"load average {os.getloadavg()[0]:.1f}")
    prices = stored(options.store, "clean_prices", options.first - 1, options.last)
    every_week = stored(options.store, "target_weights", options.first - 1, options.last)
    weekly = every_week.filter(pl.col("strategy") == "equal_weight")["date"].unique().sort()
    ours = our_books(options.store, options.first, options.last)
    begin = ours["date"].min()
    tested = range(options.first, options.last + 1)
    theirs = pl.concat(list(olps_books(prices, weekly, tested))).filter(pl.col("date") >= begin)
    report(prices, pl.concat([ours, theirs]), Lab(load_profile(options.profile)).defaults("backtest"), begin)


def report(prices: pl.DataFrame, targets: pl.DataFrame, account: Any, begin: Any) -> None:
    """Net figures of every book, the best first, and its Sharpe ratio without costs."""
    account = replace(account, until=None, capital_levels_inr=())
    free = replace(
        account, cost_model="flat", commission_bps=0.0, slippage_bps=0.0, spread_bps=0.0, impact_coefficient=0.0
    )
    net, gross = (since(simulate(prices, targets.sort("date", "strategy", "ticker"), each), begin).metrics
                  for each in (account, free))  # fmt: skip
    columns = ("strategy", "cagr", "volatility_ann", "sharpe_ann", "max_drawdown", "turnover_ann", "cost_ann")
    table = net.select(columns).join(
        gross.select("strategy", gross_cagr="cagr", gross_sharpe="sharpe_ann"), on="strategy", how="left"
    )
    with pl.Config(tbl_rows=-1, tbl_cols=-1, float_precision=3, fmt_str_lengths=40, tbl_width_chars=160):
        print(table.sort("sharpe_ann", descending=True))
    print(f"load average {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
