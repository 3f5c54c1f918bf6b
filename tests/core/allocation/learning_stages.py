"""Stages for the tests of what learns: one with every trouble that a market has, and plain ones for numbers by hand."""

from datetime import date

import numpy as np

from quant_core import calendar
from quant_core.allocation.learning.stage import Stage
from quant_core.trading.costs import FlatCosts, NseDeliveryCosts
from quant_core.trading.decisions import Decisions
from quant_core.trading.ledger import run_ledger
from quant_core.trading.market import BOTH, BUY, CLOSED, SELL, Market
from quant_core.trading.rules import Rules

NAN = np.nan


def days(n):
    return calendar.sessions(date(2015, 1, 1), date(2020, 12, 31))[:n]


def plain_stage(total_return, *, decisions=None, rate_bps=0.0, cash=0.0, **changes):
    """Names that earn `total_return` (T, N) from open to close; by default decided on every session."""
    total_return = np.asarray(total_return, dtype=float)
    t, n = total_return.shape
    rows = np.arange(t) if decisions is None else np.asarray(decisions)
    given = {
        "sessions": days(t), "tickers": [f"S{k}" for k in range(n)],
        "market": Market(np.zeros((t, n)), total_return, np.ones((t, n), bool), cash_return_1d=cash),
        "costs": FlatCosts(rate_bps, 0.0, 0.0).schedule(days(t)), "rules": Rules(), "capital_inr": 1000.0,
        "decisions": rows, "eligible": np.ones((len(rows), n), bool),
        "asset_inputs": np.zeros((len(rows), n, 1)), "asset_names": ("forecast.rank",),
        "market_inputs": np.zeros((len(rows), 1)), "market_names": ("regimes.prob_crisis",),
    }  # fmt: skip
    return Stage(**(given | changes))


def wild_market(rng, sessions, names, capital):
    """Halts, dividends, locked prices, outages, and names that end with and without terms."""
    shape = (sessions, names)
    outage = rng.random(sessions) < 0.03
    halted = (rng.random(shape) < 0.05) | outage[:, None]
    gone = np.where(rng.random(names) < 0.25, rng.integers(2, sessions, names), sessions)
    halted |= np.arange(sessions)[:, None] >= gone
    dividend = np.where(rng.random(shape) < 0.05, rng.uniform(0.0, 0.05, shape), 0.0)
    ends = np.flatnonzero(gone < sessions)
    factor = np.where(rng.random(len(ends)) < 0.5, rng.choice([0.0, 0.4, 1.05], len(ends)), NAN)
    into = np.where(np.isfinite(factor) & (rng.random(len(ends)) < 0.5), rng.integers(0, names, len(ends)), -1)
    into = np.where(into == ends, -1, into)
    locked = rng.choice([BUY, SELL, BOTH], shape, p=[0.03, 0.1, 0.87])
    return Market(
        overnight_return=np.where(halted, NAN, rng.normal(0.0, 0.02, shape) + dividend),
        intraday_return=np.where(halted, NAN, rng.normal(0.0, 0.02, shape)),
        open_to=np.where(halted, CLOSED, locked),
        cash_return_1d=rng.normal(2e-4, 1e-4, sessions),
        dividend_return=np.where(halted, NAN, dividend),
        traded_value_inr=capital * rng.exponential(2.0, shape),
        volatility_1d=rng.uniform(0.005, 0.05, shape),
        open_inr=rng.uniform(5.0, 300.0, shape),
        delistings=(gone[ends], ends, factor, into),
        outage=outage,
    )


def wild_stage(seed, sessions=60, names=6, rules=None, every=None, nse=True):
    """Random numbers for everything; decisions at random or every few sessions, a book that keeps some names."""
    rng = np.random.default_rng(seed)
    capital = float(rng.choice([1e7, 2e4]))
    market = wild_market(rng, sessions, names, capital)
    rows = np.flatnonzero(rng.random(sessions) < 0.5) if every is None else np.arange(0, sessions, every)
    eligible = rng.random((sessions, names)) < 0.8
    rows = rows[((market.open_to[rows] != CLOSED) & eligible[rows]).any(axis=1)]
    book = rng.exponential(1.0, (len(rows), names)) * (rng.random((len(rows), names)) < 0.6)
    book *= rng.uniform(0.3, 1.0, (len(rows), 1)) / np.maximum(book.sum(axis=1, keepdims=True), 1e-9)
    book[rng.random(book.shape) < 0.1] = NAN
    book[rng.random(len(rows)) < 0.05] = NAN
    costs = NseDeliveryCosts(1.0, 5.0, 0.5) if nse else FlatCosts()
    return Stage(
        sessions=days(sessions), tickers=[f"S{k}" for k in range(names)], market=market,
        costs=costs.schedule(days(sessions)), rules=rules or Rules(), capital_inr=capital, decisions=rows,
        eligible=eligible[rows], asset_inputs=rng.normal(size=(len(rows), names, 3)),
        asset_names=("forecast.rank", "forecast.uncertainty", "risk.volatility"),
        market_inputs=rng.random((len(rows), 2)), market_names=("regimes.prob_crisis", "market.volatility"), book=book,
    )  # fmt: skip


def ledger_of(stage, weights, start=0):
    """The backtest of (M, N) weights decided one by one from decision `start` on; a row of NaN decides nothing."""
    rows, names, amounts, decided = [], [], [], []
    for row, wanted in zip(stage.decisions[start : start + len(weights)].tolist(), weights, strict=True):
        if np.isnan(wanted).all():
            continue
        decided.append(row)
        for i in np.flatnonzero(wanted):
            rows.append(row)
            names.append(int(i))
            amounts.append(float(wanted[i]))
    decisions = Decisions.of(decided, rows, names, amounts)
    opening = int(stage.decisions[start])
    return run_ledger(stage.market, decisions, stage.costs, stage.rules, stage.capital_inr, opening)
