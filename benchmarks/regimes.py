"""Market regimes of the NIFTY 50 index from 2000, walked forward: what each method saw, when, at what price.

    python benchmarks/regimes.py [FOLDER] [--methods hmm,jump] [--first 2006] [--last 2023] [--rebalance weekly]

FOLDER holds the private price files: QUANT_REAL_DATA, else ../shared/data beside the repository. The index is NIFTY 50
of NSE until Yahoo's ^NSEI begins in 2010, which it equals there; members are those of the dated list, India VIX is
known from 2009 on. Every fold is a calendar year, fitted on all sessions before it. `regime_gated` holds the index
by 1 - P(Crisis), decided at a close and filled at the next open, NSE's delivery charges and 5 bps of slippage a side,
cash at the RBI repo rate; the index pays no dividends here, on either side of the comparison. Seconds of fits are of
CPU, which other work on the machine stretches least.
"""

import argparse
import os
import time
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import NamedTuple

import polars as pl

from quant_core.allocation import STRATEGIES, AllocationConfig
from quant_core.allocation.strategy import DecisionInputs
from quant_core.backtest.config import BacktestConfig
from quant_core.backtest.simulate import Backtest, simulate
from quant_core.cleaning.clean import CleaningConfig, clean
from quant_core.errors import DataError
from quant_core.fitted import Fitted
from quant_core.folds import fold as fold_named
from quant_core.market.sources.files import FilesSource
from quant_core.regimes import METHODS
from quant_core.regimes.config import RegimeConfig
from quant_core.regimes.fit import fit_regimes
from quant_core.regimes.inputs import LOOKBACK_SESSIONS, market_inputs
from quant_core.regimes.refits import refit_stability, refits_of
from quant_core.regimes.table import regimes
from quant_core.regimes.validation import RegimeTables, regime_quality
from quant_core.schema import CRISIS, INDEX, Forecasts
from quant_core.trading.rebalancing import rebalance_dates

FIRST, LAST = date(2000, 1, 1), date(2023, 12, 29)
NSE, YAHOO, VIX = "NIFTY 50", "^NSEI", "INDIA VIX"
#: Folds whose refits are timed together.
TIMED = 15
#: Costs of the profile nifty50.
COSTS = {"cost_model": "nse_delivery", "commission_bps": 0.0, "spread_bps": 0.0, "index_ticker": YAHOO}
HOLD = "buy_hold_index"


class Walk(NamedTuple):
    """One method over all folds."""

    fitted: dict[str, Fitted]
    labels: pl.DataFrame  # Regimes
    seconds: dict[str, float]  # of each fold's fit, CPU
    update_ms: tuple[float, float]  # one session more: inputs from the prices of its look-back; its label from inputs
    refused: dict[str, str]


def market(folder: Path) -> pl.DataFrame:
    """Clean prices from 2000, the index under Yahoo's name throughout."""
    source = FilesSource(path=str(folder))
    raw = source.fetch(None, FIRST, LAST, datetime(2024, 1, 1, tzinfo=UTC)).rows
    prices = clean(raw, source.membership("nifty50"), CleaningConfig(), FIRST, LAST).prices
    is_index = pl.col("instrument") == INDEX
    begins = prices.filter(is_index, pl.col("ticker") == YAHOO)["date"].min()
    older = prices.filter(is_index, pl.col("ticker") == NSE, pl.col("date") <= begins)
    newer = prices.filter((pl.col("ticker") == YAHOO) & (pl.col("date") > begins))
    others = prices.filter(~is_index | (pl.col("ticker") == VIX))
    return pl.concat([others, older.with_columns(ticker=pl.lit(YAHOO)), newer]).sort("date", "ticker")


def walked(method: str, prices: pl.DataFrame, inputs: pl.DataFrame, folds: Sequence[str]) -> Walk:
    """Fitted and filtered fold by fold; a fold that the method refuses has no labels."""
    config = RegimeConfig(methods=(method,), index_ticker=YAHOO, vix_ticker=VIX)
    fitted: dict[str, Fitted] = {}
    seconds, refused = {}, {}
    for name in folds:
        began = time.process_time()
        try:
            fitted[name] = fit_regimes(inputs, config, fold_named(name), lambda epoch, values: None)
        except DataError as error:
            refused[name] = str(error)
        seconds[name] = time.process_time() - began
    labels = regimes(fitted, inputs, fold_named(folds[0]).test_start, fold_named(folds[-1]).test_end)
    return Walk(fitted, labels, seconds, update_ms(fitted, prices, inputs), refused)


def update_ms(fitted: dict[str, Fitted], prices: pl.DataFrame, inputs: pl.DataFrame) -> tuple[float, float]:
    """Milliseconds of inputs and label of the newest fold's last session, the whole fold behind it; best of 5."""
    name = max(fitted)
    own = fold_named(name)
    days = inputs.filter(pl.col("date") <= own.test_end)["date"]
    since = days[days.search_sorted(own.test_start) - LOOKBACK_SESSIONS]
    rows = prices.filter(pl.col("date").is_between(since, own.test_end))
    tried = []
    for _ in range(5):
        began = time.perf_counter()
        known = market_inputs(rows, YAHOO, VIX)
        between = time.perf_counter()
        regimes({name: fitted[name]}, known, days[-1], days[-1])
        tried.append((1e3 * (between - began), 1e3 * (time.perf_counter() - between)))
    return min(one for one, _ in tried), min(other for _, other in tried)


def gated(walks: dict[str, Walk], prices: pl.DataFrame, rebalance: str) -> Backtest:
    """The index gated by each method's P(Crisis), and held throughout, through one ledger."""
    index = prices.filter(pl.col("ticker") == YAHOO)
    config = AllocationConfig(index_ticker=YAHOO)
    first = max(walk.labels["date"].min() for walk in walks.values())
    dates = pl.Series(rebalance_dates(first, LAST, rebalance), dtype=pl.Date)

    def book(strategy: str, called: str, labels: pl.DataFrame) -> pl.DataFrame:
        inputs = DecisionInputs(dates, index, Forecasts.create_empty(), config, regimes=labels)
        return STRATEGIES[strategy](inputs).select("date", pl.lit(called).alias("strategy"), "ticker", "weight")

    labels = next(iter(walks.values())).labels
    books = [book(HOLD, HOLD, labels), *(book("regime_gated", name, walk.labels) for name, walk in walks.items())]
    targets = pl.concat(books).sort("date", "strategy", "ticker")
    return simulate(index, targets, BacktestConfig(**COSTS))


def told(walks: dict[str, Walk], found: RegimeTables, inputs: pl.DataFrame) -> pl.DataFrame:
    """One row a method: what it saw of two crises, how often it speaks of one, what it costs to compute."""
    kept = refit_stability({
        fold: {
            name: refit
            for walk in walks.values() if fold in walk.fitted
            for name, refit in refits_of({fold: walk.fitted[fold]}, inputs)[fold].items()
        }
        for fold in sorted({fold for walk in walks.values() for fold in walk.fitted})
    })  # fmt: skip
    rows = []
    for method, walk in walks.items():
        of_method = pl.col("method") == method
        summary = found.summary.filter(of_method).row(0, named=True)
        seen = {row["window"]: row for row in found.recall.filter(of_method).iter_rows(named=True)}
        refits = kept.filter(of_method)
        rows.append({
            "method": method,
            **{f"{window} {what}": (seen.get(window) or {}).get(column) for window in ("financial crisis", "COVID-19")
               for what, column in (("crisis", "crisis_share"), ("delay", "delay_sessions"))},
            "other windows": _mean([row["crisis_share"] for name, row in seen.items() if name not in
                                    ("financial crisis", "COVID-19")]),
            "crisis": summary["crisis_share"], "false alarms a year": summary["false_alarms_ann"],
            "switches a year": summary["switches_ann"], "crisis is worst": summary["is_crisis_worst"],
            "labels kept": refits["equal_share"].mean(), "names kept": refits["names_kept_share"].mean(),
            "refused": len(walk.refused), "fit s": sum(walk.seconds.values()),
            f"fit s, last {TIMED}": sum(list(walk.seconds.values())[-TIMED:]),
            "inputs ms": walk.update_ms[0], "label ms": walk.update_ms[1],
        })  # fmt: skip
    return pl.DataFrame(rows)


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def books(result: Backtest) -> pl.DataFrame:
    """Each book net of costs, and with one more session of delay."""
    late = result.sensitivity.filter(pl.col("scenario") == "extra_delay_sessions", pl.col("level") == 1.0)
    late = late.select("strategy", *(pl.col(name).alias(f"{name} late") for name in ("cagr", "max_drawdown")))
    shown = ("strategy", "cagr", "volatility_ann", "sharpe_ann", "max_drawdown", "turnover_ann", "cost_ann", "exposure")
    known = [name for name in shown if name in result.metrics.columns]
    return result.metrics.filter(pl.col("strategy") != "benchmark").select(known).join(late, on="strategy", how="left")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = os.environ.get("QUANT_REAL_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data"
    parser.add_argument("folder", nargs="?", type=Path, default=Path(default))
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--first", type=int, default=2006)
    parser.add_argument("--last", type=int, default=2023)
    parser.add_argument("--rebalance", default="weekly", choices=("daily", "weekly", "monthly"))
    arguments = parser.parse_args()
    print(f"load average {os.getloadavg()[0]:.1f}", flush=True)
    prices = market(arguments.folder)
    inputs = market_inputs(prices, YAHOO, VIX)
    folds = [str(year) for year in range(arguments.first, arguments.last + 1)]
    walks = {name: walked(name, prices, inputs, folds) for name in arguments.methods.split(",")}
    found = regime_quality(pl.concat([walk.labels for walk in walks.values()]), inputs)
    crisis = found.statistics.filter(pl.col("regime") == CRISIS).drop("regime", "n_sessions", "session_share")
    with pl.Config(tbl_rows=-1, tbl_cols=-1, tbl_width_chars=220, float_precision=3, tbl_hide_dataframe_shape=True):
        for name, table in (
            ("methods", told(walks, found, inputs).transpose(include_header=True, column_names="method")),
            ("Crisis", crisis), ("agreement", found.agreement),
            ("books", books(gated(walks, prices, arguments.rebalance))),
        ):  # fmt: skip
            print(f"\n{name}\n{table}", flush=True)
    for name, walk in walks.items():
        for fold, reason in walk.refused.items():
            print(f"{name} refuses {fold}: {reason}")


if __name__ == "__main__":
    main()
