"""Simulated stages of which the truth is known: what an agent must learn, and what it must leave alone.

- "future": the return that a name is about to earn is in the observation. Who does not learn this learns nothing.
- "signal": a noisy, slowly moving signal whose forecast is worth more than trading on it costs.
- "none": the same, and the signal says nothing.
- "crisis": all names fall together in spells of high volatility; block "regimes" tells of them a session late, blurred.

All prices move within the session, between a fill at the open and the close. `book` is an oracle's: it knows how the
market was made, minds costs, and decides on what is observed. Made for tests and benchmarks, never for results.
"""

from collections.abc import Sequence
from datetime import date
from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from quant_core import calendar
from quant_core.allocation.learning.stage import Stage
from quant_core.dense import Floats
from quant_core.errors import DataError
from quant_core.trading.costs import CostSchedule, FlatCosts
from quant_core.trading.decisions import Decisions
from quant_core.trading.ledger import run_ledger
from quant_core.trading.market import Market
from quant_core.trading.rules import Rules
from quant_core.trading.weights import top_n_weights

Kind = Literal["future", "signal", "none", "crisis"]
KINDS: tuple[Kind, ...] = get_args(Kind)

FIRST_SESSION = date(2008, 1, 1)
CASH_RETURN_1D = 2e-4  # 5 % a year
CAPITAL_INR = 1e7
MAX_POSITION = 0.20
MARKET_DRIFT, MARKET_VOLATILITY, OWN_VOLATILITY = 4e-4, 0.004, 0.015  # a session, simple
SIGNAL_MEMORY = 0.95  # of the signal from session to session: half of it is left after 13
SIGNAL_STRENGTH = 0.15  # correlation with the name's own part of the next session's return
SIGNAL_NOISE = 0.5  # standard deviation of what blurs it, in those of the signal
CALM_SESSIONS, CRISIS_SESSIONS = 120.0, 30.0  # mean length of a spell
CALM_DRIFT, CALM_VOLATILITY = 9e-4, 0.008
CRISIS_DRIFT, CRISIS_VOLATILITY = -4e-3, 0.022
TOLD_NOISE = 0.15  # standard deviation of what blurs the told probability
RATES, BREADTHS = (0.1, 0.2, 0.35, 0.6, 1.0), (5, 6, 8)  # of the oracle: share of the way traded, names aimed at


class _World(NamedTuple):
    total_return: Floats  # (T, N)
    signal: Floats  # (T, N) known at the close
    prob_crisis: Floats  # (T,) known at the close


def planted_stage(
    kind: Kind,
    seed: int,
    *,
    sessions: int = 1500,
    names: int = 10,
    every: int = 5,
    rate_bps: float = 20.0,
    calm_drift: float = CALM_DRIFT,
) -> Stage:
    """A market of `names` that is decided on every `every` sessions.

    Args:
        kind: what is planted.
        rate_bps: cost of every trade, each side.
        calm_drift: of a session outside crises; with the default, who cannot tell crises does best in cash.
    Returns:
        columns "forecast.signal" and "risk.volatility" of the names, "regimes.prob_crisis" and "market.volatility" of
        the market, in every kind; those that say nothing are there too.
    Raises:
        DataError: an unknown kind, fewer than 5 names (the cap of 20 % would leave cash).
    """
    if kind not in KINDS:
        raise DataError(f"planted: kind is {kind!r}; wanted one of {', '.join(KINDS)}.")
    if names < 5:
        raise DataError(f"planted: {names} names; wanted 5 at least, so that a cap of {MAX_POSITION} can be invested.")
    rng = np.random.default_rng([KINDS.index(kind), seed])
    rows = np.arange(21, sessions, every)
    if kind == "crisis":
        world = _crisis(rng, sessions, names, calm_drift)
    else:
        world = _signal(rng, sessions, names, kind == "signal")
    signal = _ahead(world.total_return, rows) if kind == "future" else world.signal[rows]
    days = calendar.sessions(FIRST_SESSION, calendar.LAST_DAY)[:sessions]
    shape = world.total_return.shape
    market = Market(
        np.zeros(shape), world.total_return, np.ones(shape, bool), cash_return_1d=np.array([CASH_RETURN_1D])
    )
    costs = FlatCosts(rate_bps, 0.0, 0.0).schedule(days)
    return Stage(
        sessions=days,
        tickers=[f"S{k:03d}" for k in range(names)],
        market=market,
        costs=costs,
        rules=Rules(),
        capital_inr=CAPITAL_INR,
        decisions=rows,
        eligible=np.ones((len(rows), names), bool),
        asset_inputs=np.stack([signal, _volatility(world.total_return)[rows]], axis=2).astype(np.float32),
        asset_names=("forecast.signal", "risk.volatility"),
        market_inputs=np.column_stack(
            [world.prob_crisis[rows], _volatility(world.total_return.mean(axis=1, keepdims=True))[rows]]
        ).astype(np.float32),
        market_names=("regimes.prob_crisis", "market.volatility"),
        book=_oracle(kind, market, costs, rows, signal, world.prob_crisis[rows]),
    )


def split(stage: Stage, shares: Sequence[float] = (0.6, 0.2, 0.2)) -> list[Stage]:
    """The stage cut into windows of so many of its sessions, one after another: training, validation, test."""
    ends = np.round(np.cumsum(shares) * len(stage.sessions)).astype(int)
    starts = [0, *ends[:-1]]
    return [stage.between(stage.sessions[a], stage.sessions[b - 1]) for a, b in zip(starts, ends, strict=True)]


def _signal(rng: np.random.Generator, sessions: int, names: int, speaks: bool) -> _World:
    """An AR(1) signal x a name, and returns drift + market + own volatility x (strength x before + noise)."""
    x = rng.normal(size=(sessions, names))
    for t in range(1, sessions):
        x[t] = SIGNAL_MEMORY * x[t - 1] + np.sqrt(1.0 - SIGNAL_MEMORY**2) * x[t]
    market = rng.normal(MARKET_DRIFT, MARKET_VOLATILITY, (sessions, 1))
    own = np.sqrt(1.0 - SIGNAL_STRENGTH**2) * rng.normal(size=(sessions, names))
    if speaks:
        own[1:] += SIGNAL_STRENGTH * x[:-1]
    seen = x + SIGNAL_NOISE * rng.normal(size=x.shape)
    return _World(market + OWN_VOLATILITY * own, seen / np.sqrt(1.0 + SIGNAL_NOISE**2), np.zeros(sessions))


def _crisis(rng: np.random.Generator, sessions: int, names: int, calm_drift: float) -> _World:
    """Two states that last for geometric times; what is told is the state of the session before, blurred."""
    state = np.zeros(sessions, bool)
    for t in range(1, sessions):
        leaves = rng.random() < 1.0 / (CRISIS_SESSIONS if state[t - 1] else CALM_SESSIONS)
        state[t] = state[t - 1] != leaves
    drift = np.where(state, CRISIS_DRIFT, calm_drift)
    common = drift + np.where(state, CRISIS_VOLATILITY, CALM_VOLATILITY) * rng.normal(size=sessions)
    own = OWN_VOLATILITY * rng.normal(size=(sessions, names))
    told = np.append(0.0, state[:-1]) + TOLD_NOISE * rng.normal(size=sessions)
    return _World(common[:, None] + own, rng.normal(size=(sessions, names)), np.clip(told, 0.0, 1.0))


def _ahead(total_return: Floats, rows: NDArray[np.int64]) -> Floats:
    """(D, N) what a name earns from each decision to the next, across names with mean 0 and variance 1."""
    growth = np.cumsum(np.log1p(total_return), axis=0)
    earned = growth[np.append(rows[1:], len(growth) - 1)] - growth[rows]
    spread = earned.std(axis=1, keepdims=True)
    return np.asarray((earned - earned.mean(axis=1, keepdims=True)) / np.where(spread > 0.0, spread, 1.0))


def _volatility(returns: Floats) -> Floats:
    """(T, K) standard deviation of the last 21 sessions, a year; 0 in the first 20."""
    result = np.zeros(returns.shape)
    result[20:] = np.lib.stride_tricks.sliding_window_view(returns, 21, axis=0).std(axis=-1) * np.sqrt(252.0)
    return result


def _oracle(
    kind: Kind, market: Market, costs: CostSchedule, rows: NDArray[np.int64], signal: Floats, prob_crisis: Floats
) -> Floats:
    """(D, N) what pays after costs."""
    if kind in ("none", "crisis"):
        invested = _calm(prob_crisis) if kind == "crisis" else np.ones(len(rows), bool)
        return np.outer(invested, np.full(market.n_names, 1.0 / market.n_names))
    books = [_towards(top_n_weights(signal, n, max_position=MAX_POSITION), rate) for rate in RATES for n in BREADTHS]
    return max(books, key=lambda book: _net_sharpe(book, market, costs, rows))


def _calm(prob_crisis: Floats) -> NDArray[np.bool_]:
    """(D,) whether to be invested: out above 0.6, in again below 0.4."""
    calm, now = np.ones(len(prob_crisis), bool), True
    for d, told in enumerate(prob_crisis):
        now = told < (0.6 if now else 0.4)
        calm[d] = now
    return calm


def _towards(aim: Floats, rate: float) -> Floats:
    """Weights that go the share `rate` of the way to the aim at each decision."""
    book = aim.copy()
    for d in range(1, len(aim)):
        book[d] = book[d - 1] + rate * (aim[d] - book[d - 1])
    return book


def _net_sharpe(book: Floats, market: Market, costs: CostSchedule, rows: NDArray[np.int64]) -> float:
    row, name = np.nonzero(book)
    decisions = Decisions.of(rows, rows[row], name, book[row, name])
    earned = run_ledger(market, decisions, costs, Rules(), CAPITAL_INR, int(rows[0])).simple_return - CASH_RETURN_1D
    return float(earned.mean() / earned.std())
