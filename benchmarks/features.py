"""Features on the dense panel against polars `.over` and pandas `groupby`, side by side in one run.

    python benchmarks/features.py --tickers 500 --sessions 4000
    python benchmarks/features.py --all --tickers 2000 --sessions 4000

Without --all every contender makes the same columns (four features of a ticker's own returns, default windows, each
with its 252-session z-score) from the same long table in memory. The baselines have no exact windowed drawdown within
reach (pandas `apply` takes minutes), so they compute the cheaper `price / rolling maximum` and its rolling minimum,
which is a different quantity. Each contender runs in its own process, so that peak memory is its own; ours runs once
before the clock starts, to load the compiled kernels.

With --all every registered feature is timed alone (raw, one run) and then all of them together with their z-scores, in
blocks of sessions (`compute_feature_blocks`) that are dropped as they come, as a pipeline would write them.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from quant_core.calendar import sessions
from quant_core.features import (
    FEATURES,
    FeatureConfig,
    compute_feature_blocks,
    compute_features,
    feature_columns,
)

WINDOWS = (1, 5, 21, 63, 126, 252)
LOOKBACK = 252
#: What all contenders make: own returns only.
BASIC = FeatureConfig(names=("log_returns", "realized_volatility", "momentum", "max_drawdown"))
N_SECTORS = 12


def make_prices(n_tickers: int, n_sessions: int) -> pl.DataFrame:
    """A full clean-prices table with late listings and one per cent of filled rows; seeded."""
    random = np.random.default_rng(0)
    days = sessions(date(2005, 1, 1), date(2026, 12, 31))[:n_sessions]
    listed = random.integers(0, n_sessions // 3, n_tickers) * (np.arange(n_tickers) % 5 == 0)
    session, ticker = np.nonzero(np.arange(n_sessions)[:, None] >= listed[None, :])
    steps = random.normal(0.0005, 0.02, len(session))
    filled = random.random(len(session)) < 0.01
    names = pl.Series([f"STOCK{n:04d}" for n in range(n_tickers)])
    return pl.DataFrame(
        {
            "date": pl.Series(np.array(days, dtype="datetime64[D]")[session], dtype=pl.Date),
            "ticker": names.gather(pl.Series(ticker)),
            "total_return_1d": pl.Series(np.where(filled, np.nan, steps)).fill_nan(None),
            "is_filled": filled,
        }
    ).with_columns(is_member=pl.lit(True), instrument=pl.lit("equity"))


def with_bars(prices: pl.DataFrame) -> pl.DataFrame:
    """The same rows with the day's bar, volume and turnover, and rows of a market index."""
    random = np.random.default_rng(1)
    move = prices["total_return_1d"].fill_null(0.0).to_numpy()
    close = 100.0 * np.exp(random.normal(0.0, 0.3, len(move)))
    opened = close / (1.0 + 0.7 * move)
    wide = 1.0 + np.abs(random.normal(0.0, 0.01, len(move)))
    volume = random.integers(1_000, 1_000_000, len(move))
    bars = prices.with_columns(
        open_inr=opened,
        high_inr=np.maximum(opened, close) * wide,
        low_inr=np.minimum(opened, close) / wide,
        close_inr=close,
        volume_shares=volume,
        turnover_inr=volume * (opened + close) / 2.0,
        overnight_return_1d=pl.col("total_return_1d") * 0.3,
    )
    days = bars.select(pl.col("date").unique().sort())
    returns = random.normal(0.0004, 0.01, days.height)
    rows = days.with_columns(
        ticker=pl.lit("^NSEI"),
        total_return_1d=returns,
        is_filled=pl.lit(False),
        is_member=pl.lit(False),
        instrument=pl.lit("index"),
    )
    return pl.concat([bars, rows], how="diagonal")


def ours(prices: pl.DataFrame) -> int:
    bounds = prices["date"].min(), prices["date"].max()
    return compute_features(prices, BASIC, *bounds).width - 3  # type: ignore[arg-type]


def polars_over(prices: pl.DataFrame) -> int:
    logs = pl.col("r")
    raw: dict[str, pl.Expr] = {}
    for w in WINDOWS:
        options = {"window_size": w, "min_samples": max(int(0.9 * w), 1)}
        raw[f"log_return_{w}d"] = logs.rolling_sum(**options)
        if w >= 5:
            raw[f"realized_vol_{w}d_ann"] = logs.rolling_std(**options) * np.sqrt(252)
            raw[f"momentum_{w}d"] = logs.rolling_sum(**options).exp() - 1
        if w >= 21:
            raw[f"max_drawdown_{w}d"] = (pl.col("p") / pl.col("p").rolling_max(**options) - 1).rolling_min(**options)
    table = prices.sort("ticker", "date").with_columns(r=pl.col("total_return_1d").log1p())
    table = table.with_columns(p=pl.col("r").fill_null(0.0).cum_sum().over("ticker").exp())
    table = table.with_columns(expression.over("ticker").alias(name) for name, expression in raw.items())
    half = {"window_size": LOOKBACK, "min_samples": LOOKBACK // 2}
    scaled = [
        ((pl.col(n) - pl.col(n).rolling_mean(**half)) / pl.col(n).rolling_std(**half)).over("ticker").alias(f"{n}_z252")
        for n in raw
    ]
    table = table.with_columns(scaled).drop("r", "p").sort("date", "ticker")
    return table.width - prices.width


def pandas_groupby(prices: pl.DataFrame) -> int:
    table = (
        prices.select("date", "ticker", "total_return_1d")
        .to_pandas()
        .sort_values(["ticker", "date"], ignore_index=True)
    )
    table["r"] = np.log1p(table["total_return_1d"])
    table["p"] = np.exp(table["r"].fillna(0.0).groupby(table["ticker"]).cumsum())

    def roll(values, w: int, least: int):  # type: ignore[no-untyped-def]
        return values.groupby(table["ticker"], sort=False).rolling(w, min_periods=least)

    def flat(values):  # type: ignore[no-untyped-def]
        return values.reset_index(level=0, drop=True)

    columns = {}
    for w in WINDOWS:
        least = max(int(0.9 * w), 1)
        columns[f"log_return_{w}d"] = flat(roll(table["r"], w, least).sum())
        if w >= 5:
            columns[f"realized_vol_{w}d_ann"] = flat(roll(table["r"], w, least).std()) * np.sqrt(252)
            columns[f"momentum_{w}d"] = np.expm1(flat(roll(table["r"], w, least).sum()))
        if w >= 21:
            below = table["p"] / flat(roll(table["p"], w, least).max()) - 1
            columns[f"max_drawdown_{w}d"] = flat(roll(below, w, least).min())
    for name in list(columns):
        raw = columns[name]
        mean, std = (flat(getattr(roll(raw, LOOKBACK, LOOKBACK // 2), what)()) for what in ("mean", "std"))
        columns[f"{name}_z252"] = (raw - mean) / std
    table = table.assign(**columns).sort_values(["date", "ticker"], ignore_index=True)
    return len(columns)


CONTENDERS = {"ours": ours, "polars": polars_over, "pandas": pandas_groupby}


def drawdown_ns_per_row(n_tickers: int, n_sessions: int, window: int = 252) -> float:
    """Time of the exact windowed drawdown kernel alone, best of three."""
    from quant_core.features import kernels, level_kernels

    steps = np.random.default_rng(0).normal(0.0005, 0.02, (n_tickers, n_sessions))
    full = kernels.full_windows(steps, np.ones(steps.shape, dtype=np.bool_), window, window, 10)
    times = []
    for _ in range(4):
        began = time.perf_counter()
        level_kernels.window_max_drawdown(steps, window, 0, full)
        times.append(time.perf_counter() - began)
    return min(times[1:]) / steps.size * 1e9


def peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def run_one(name: str, n_tickers: int, n_sessions: int) -> dict[str, float]:
    """Measure one contender in this process: wall and CPU seconds, columns made and peak memory.

    The times are the best of three runs; pandas is run once.
    """
    if name == "ours":
        ours(make_prices(3, 600))
    prices = make_prices(n_tickers, n_sessions)
    before = peak_mib()
    wall_s, cpu_s = [], []
    for _ in range(1 if name == "pandas" else 3):
        began, cpu_began = time.perf_counter(), time.process_time()
        columns = CONTENDERS[name](prices)
        wall_s.append(time.perf_counter() - began)
        cpu_s.append(time.process_time() - cpu_began)
    sizes = {"columns": columns, "rows": prices.height, "peak_mib": peak_mib(), "base_mib": before}
    return {"wall_s": min(wall_s), "cpu_s": min(cpu_s), **sizes}


def compare(n_tickers: int, n_sessions: int, skip: list[str]) -> None:
    """Every contender in a process of its own, then the drawdown kernel."""
    print(f"{n_tickers} tickers x {n_sessions} sessions, {len(feature_columns(BASIC))} columns")
    print(f"{os.cpu_count()} cores; load average at the start: {', '.join(f'{x:.2f}' for x in os.getloadavg())}")
    results = {}
    for name in [n for n in CONTENDERS if n not in skip]:
        arguments = ["--only", name, "--tickers", str(n_tickers), "--sessions", str(n_sessions)]
        done = subprocess.run([sys.executable, __file__, *arguments], check=True, capture_output=True, text=True)
        results[name] = json.loads(done.stdout)
        r, base = results[name], results.get("ours", results[name])
        print(
            f"{name:7s} {r['wall_s']:7.2f} s ({r['wall_s'] / base['wall_s']:.1f}x)  "
            f"CPU {r['cpu_s']:7.2f} s ({r['cpu_s'] / base['cpu_s']:.1f}x)  "
            f"peak {r['peak_mib']:.0f} MiB ({r['base_mib']:.0f} before)  "
            f"{int(r['columns'])} columns, {int(r['rows'])} rows"
        )
    print(f"max drawdown, w=252: {drawdown_ns_per_row(n_tickers, n_sessions):.1f} ns/row")
    print(f"load average at the end: {', '.join(f'{x:.2f}' for x in os.getloadavg())}")


def time_everything(n_tickers: int, n_sessions: int, sessions_per_block: int) -> None:
    """Seconds of each feature alone, then of all of them with z-scores, and the peak memory."""
    small = with_bars(make_prices(3, 700))
    sectors = pl.DataFrame({"ticker": [f"STOCK{n:04d}" for n in range(n_tickers)]}).with_columns(
        sector=pl.format("S{}", pl.int_range(pl.len()) % N_SECTORS)
    )
    everything = FeatureConfig(names=("all",))
    compute_features(small, everything, small["date"].min(), small["date"].max(), sectors)  # type: ignore[arg-type]
    prices = with_bars(make_prices(n_tickers, n_sessions))
    first, last = prices["date"].min(), prices["date"].max()
    print(f"{n_tickers} tickers x {n_sessions} sessions = {prices.height} rows; {peak_mib():.0f} MiB before")
    for name in FEATURES:
        alone = FeatureConfig(names=(name,), normalization="none")
        began = time.perf_counter()
        columns = len(feature_columns(alone))
        rows = sum(t.height for t in compute_feature_blocks(prices, alone, first, last, sectors, sessions_per_block))  # type: ignore[arg-type]
        wall = time.perf_counter() - began
        print(f"{name:28s} {columns:2d} columns {wall:7.2f} s  {wall / rows / columns * 1e9:6.1f} ns/value")
    began = time.perf_counter()
    rows = sum(t.height for t in compute_feature_blocks(prices, everything, first, last, sectors, sessions_per_block))  # type: ignore[arg-type]
    columns = len(feature_columns(everything))
    wall = time.perf_counter() - began
    print(f"all {columns} columns, raw and z-scored: {wall:.2f} s for {rows} rows in blocks of {sessions_per_block}")
    print(f"peak memory {peak_mib():.0f} MiB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tickers", type=int, default=500)
    parser.add_argument("--sessions", type=int, default=4000)
    parser.add_argument("--all", action="store_true", help="time every registered feature instead of the comparison")
    parser.add_argument("--block", type=int, default=500, help="sessions a block with --all")
    parser.add_argument("--only", choices=sorted(CONTENDERS), help="run one contender in this process and print JSON")
    parser.add_argument("--skip", nargs="*", default=[], choices=sorted(CONTENDERS), help="contenders to leave out")
    options = parser.parse_args()
    if options.only:
        print(json.dumps(run_one(options.only, options.tickers, options.sessions)))
    elif options.all:
        time_everything(options.tickers, options.sessions, options.block)
    else:
        compare(options.tickers, options.sessions, options.skip)


if __name__ == "__main__":
    main()
