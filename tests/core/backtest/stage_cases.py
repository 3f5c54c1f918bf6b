"""Prices, targets and settings for tests of the whole stage: calm ones, and wild ones with every defect at once."""

from datetime import date
from typing import NamedTuple

import numpy as np
import polars as pl

from quant_core import calendar
from quant_core.backtest.config import BacktestConfig
from quant_core.schema import CASH, CleanPrices, validate
from quant_core.trading.rebalancing import rebalance_dates

TRI, NIFTY = "NIFTY 50 TRI", "^NSEI"
START, END = date(2021, 1, 1), date(2021, 3, 31)
FREE = BacktestConfig(commission_bps=0.0, slippage_bps=0.0, spread_bps=0.0, risk_free_rate_ann=0.0)
WEEKS = rebalance_dates(START, END, "weekly")


EMPTY = ("volume_shares", "turnover_inr")  # of a row that the source did not give


class Case(NamedTuple):
    """One strategy called "one"."""

    prices: pl.DataFrame
    targets: pl.DataFrame
    config: BacktestConfig


def stock(ticker, rng, days, one_price=0.0, paying=0.0):
    """Rows of one ticker; some sessions of one price or with a dividend of 2 % of the close before."""
    n = len(days)
    overnight, intraday = rng.normal(0, 0.01, n), rng.normal(0, 0.015, n)
    still, paid = rng.random(n) < one_price, np.where(rng.random(n) < paying, 0.02, 0.0)
    intraday[still] = 0.0
    close = 100.0 * np.cumprod((1 + overnight - paid) * (1 + intraday))
    open_ = close / (1 + intraday)
    open_ = np.where(still, close, open_)
    high, low = np.maximum(open_, close), np.minimum(open_, close)
    volume = rng.integers(1_000, 100_000, n)
    is_index = ticker in (NIFTY, TRI)
    return pl.DataFrame({
        "date": days, "ticker": ticker, "instrument": "index" if is_index else "equity", "open_inr": open_,
        "high_inr": np.where(still, high, high * 1.002), "low_inr": np.where(still, low, low * 0.998),
        "close_inr": close, "volume_shares": volume, "turnover_inr": volume * (open_ + close) / 2,
        "overnight_return_1d": overnight, "intraday_return_1d": intraday,
        "total_return_1d": (1 + overnight) * (1 + intraday) - 1, "dividend_return_1d": paid,
        "is_member": not is_index, "is_filled": False, "is_tradable": not is_index, "flags": "",
        "terminal_factor": None, "terminal_into": None,
    }, schema_overrides={"terminal_factor": pl.Float64, "terminal_into": pl.String})  # fmt: skip


def make_prices(tickers=("AAA", "BBB", "CCC"), seed=4, start=START, end=END):
    rng = np.random.default_rng(seed)
    days = calendar.sessions(start, end)
    table = pl.concat([stock(ticker, rng, days) for ticker in (*tickers, NIFTY, TRI)]).sort("date", "ticker")
    return validate(table, CleanPrices, "test", "fix the test")


def make_targets(rows):
    schema = {"date": pl.Date, "strategy": pl.String, "ticker": pl.String, "weight": pl.Float64}
    return pl.DataFrame(rows, schema=schema, orient="row").sort("date", "strategy", "ticker")


def wild_case(seed, rebalance="weekly", **settings):
    """Four stocks and an index: lost rows and sessions, halts, carried rows, leavers, locked sessions, dividends, names
    that stop for good or end by terms.

    A lost row's move is in the next row's overnight return, as in clean prices. Settings replace those of a plain
    backtest with flat costs that waits four sessions for a name that stopped. Some decisions keep names or are for cash
    alone, some dates have none.
    """
    rng = np.random.default_rng(seed)
    days = calendar.sessions(START, date(2021, 2, 26))
    lost_days = rng.random(len(days)) < 0.04  # the index has prices then
    names = ("AAA", "BBB", "CCC", "DDD")
    tables = []
    for name in names:
        table = stock(name, rng, days, one_price=0.15, paying=0.1)
        gone, terminal = lost_days.copy(), []
        if rng.random() < 0.5:  # it stops, for good or until it returns
            first = int(rng.integers(5, len(days) - 1))
            gone[first : first + int(rng.integers(3, 20))] = True
            if rng.random() < 0.4:
                gone[first:] = True
                into = str(rng.choice([other for other in names if other != name])) if rng.random() < 0.6 else None
                terminal = [(first, float(rng.choice([0.0, 0.5, 1.05])), into)]
        table = table.with_columns(
            is_member=pl.Series(rng.random(len(days)) < 0.85),
            is_tradable=pl.Series(rng.random(len(days)) < 0.9),
        ).filter(pl.Series(~gone & (rng.random(len(days)) < 0.95)))
        tables.append(_ended(_reopened(table), days, terminal))
    index = stock(NIFTY, rng, days).with_columns(is_filled=pl.Series(rng.random(len(days)) < 0.1))
    table = pl.concat([*tables, index]).sort("date", "ticker")
    newest = dict(table.group_by("ticker").agg(pl.col("date").max()).iter_rows())
    received = pl.col("terminal_into").replace_strict(newest, default=None, return_dtype=pl.Date) >= pl.col("date")
    table = table.with_columns(terminal_into=pl.when(received).then("terminal_into"))
    prices = validate(table, CleanPrices, "test", "fix the test")
    config = BacktestConfig(**{"delisted_after_sessions": 4, "delisting_haircut": 0.25} | settings)
    rows = []
    for day in rebalance_dates(days[0], days[-6], rebalance)[1:]:
        if rng.random() < 0.8 or not rows:
            chosen = [name for name in (*names, NIFTY) if rng.random() < 0.6] or ["AAA"]
            weights = rng.dirichlet(np.ones(len(chosen))) * rng.choice([1.0, 0.7])
            keep = rng.random(len(chosen)) < 0.15
            rows += [(day, "one", name, None if k else w) for name, w, k in zip(chosen, weights, keep, strict=True)]
        elif rng.random() < 0.5:
            rows.append((day, "one", CASH, 1.0))
    first_day = rows[0][0]  # a target needs a price from the first decision on
    known = set(prices.filter(pl.col("date") >= first_day)["ticker"])
    return Case(prices, make_targets([row for row in rows if row[2] in known | {CASH}]), config)


def _ended(table, days, terminal):
    """A terminal row on the session after which nothing follows, with the close of the row before."""
    for first, factor, into in terminal:
        last = table.tail(1).with_columns(
            pl.lit(days[first]).alias("date"), pl.lit(True).alias("is_filled"), pl.lit(False).alias("is_tradable"),
            pl.lit("filled|terminal").alias("flags"), pl.lit(factor).alias("terminal_factor"),
            pl.lit(into, pl.String).alias("terminal_into"),
            *(pl.lit(None, table.schema[c]).alias(c) for c in table.columns if "return_1d" in c or c in EMPTY),
        )  # fmt: skip
        table = pl.concat([table, last])
    return table


def _reopened(table):
    """Overnight returns of the rows that are left, from the close of the row before."""
    before = pl.col("close_inr").shift(1)
    overnight = (pl.col("open_inr") / before - 1.0 + pl.col("dividend_return_1d")).fill_null(0.0)
    return table.with_columns(overnight_return_1d=overnight).with_columns(
        total_return_1d=(1.0 + pl.col("overnight_return_1d")) * (1.0 + pl.col("intraday_return_1d")) - 1.0
    )
