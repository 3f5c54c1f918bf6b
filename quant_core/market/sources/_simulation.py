"""The draws behind the simulated market: one calendar year at a time, as dense (T, N) panels, with its state."""

import math
from dataclasses import dataclass
from datetime import date
from functools import lru_cache

import numpy as np
import polars as pl
from numpy.typing import NDArray

from quant_core.calendar import sessions
from quant_core.dense import Floats
from quant_core.errors import DataError
from quant_core.market.sources._design import Design
from quant_core.schema import EQUITY, INDEX, UNADJUSTED

PRICE_INDEX, TOTAL_RETURN_INDEX = "^NSEI", "NIFTY 50 TRI"
REGIMES = ("bull", "choppy", "crisis")
#: Per session, by regime: drift and volatility of the market, and the factor on every other volatility.
MARKET_DRIFT = np.array([0.0007, 0.0, -0.0026])
MARKET_VOL = np.array([0.0070, 0.0105, 0.0240])
OTHER_VOL_FACTOR = np.array([1.0, 1.15, 1.7])
#: Row: from; column: to. Mean stays are about 125, 50 and 30 sessions.
TRANSITIONS = np.array([[0.992, 0.007, 0.001], [0.014, 0.980, 0.006], [0.008, 0.025, 0.967]])
OVERNIGHT_SHARE = 0.25  # of each component's variance
SECTOR_CORRELATION = 0.3
TAIL_DEGREES = 5  # Student-t, of the idiosyncratic noise
NSE_CLOSE_UTC_HOUR = 10  # 15:30 in India
SPLIT_ABOVE_INR = 3000.0  # a 5-for-1 split follows in the next year
SPLIT_PROBABILITY = 0.05  # of a 2-for-1 split, a ticker and year
INDEX_BASE = 8000.0


@dataclass(frozen=True)
class _State:
    """What one year hands to the next. Arrays are (N,)."""

    session: int  # sessions since the market's first day
    regime: int
    alpha: Floats
    close_inr: Floats  # rounded as published; NaN before the first session
    log_price: Floats  # of the unadjusted, unrounded close
    log_cap: Floats  # log market value, moves with the price return
    index_price: float
    index_total: float


@dataclass(frozen=True)
class SimulatedYear:
    days: list[date]
    regimes: NDArray[np.int64]  # (T,)
    alpha: Floats  # (T, N)
    rows: pl.DataFrame
    after: _State


@dataclass(frozen=True)
class _Traits:
    """What a ticker keeps for life. Arrays are (N,)."""

    sector: NDArray[np.int64]
    beta: Floats
    noise_vol: Floats
    turnover_inr: Floats
    dividend_yield: Floats  # a payment; one a year
    listed: NDArray[np.int64]  # session number, first
    delisted: NDArray[np.int64]  # session number, first without a row


@lru_cache(maxsize=8)
def _traits(config: Design) -> tuple[_Traits, _State]:
    rng, n = np.random.default_rng([config.seed, 0]), config.n_tickers
    listed, delisted = np.zeros(n, np.int64), np.full(n, np.iinfo(np.int64).max)
    if n >= 3:
        listed[-1], delisted[-2] = config.late_listing_sessions, config.delisting_sessions + 1
    log_cap = rng.normal(0.0, 0.8, n)
    traits = _Traits(
        sector=np.arange(n) % config.n_sectors,
        beta=rng.uniform(0.7, 1.3, n),
        noise_vol=config.idiosyncratic_vol_1d * rng.uniform(0.75, 1.25, n),
        turnover_inr=1.5e9 * np.exp(log_cap + rng.normal(0.0, 0.4, n)),
        dividend_yield=np.where(rng.random(n) < 0.8, rng.uniform(0.004, 0.03, n), 0.0),
        listed=listed,
        delisted=delisted,
    )
    state = _State(
        session=0,
        regime=0,
        alpha=config.alpha_vol_1d * rng.standard_normal(n),
        close_inr=np.full(n, np.nan),
        log_price=np.log(rng.uniform(150.0, 2500.0, n)),
        log_cap=log_cap,
        index_price=INDEX_BASE,
        index_total=INDEX_BASE,
    )
    return traits, state


@lru_cache(maxsize=64)
def simulated_year(config: Design, year: int) -> SimulatedYear:
    """One calendar year, from the state that the year before left."""
    traits, first = _traits(config)
    state = first if year <= config.start.year else simulated_year(config, year - 1).after
    days = sessions(max(date(year, 1, 1), config.start), date(year, 12, 31))
    if not days:
        raise DataError(f"simulated: start {config.start} leaves no session in its year; choose an earlier day.")
    rng, n_days, n = np.random.default_rng([config.seed, year]), len(days), config.n_tickers
    regimes = _regime_path(rng, state.regime, n_days)
    alpha = _alpha_path(rng, config, state.alpha, n_days)
    night, day, day_vol = _log_returns(rng, config, traits, regimes, np.vstack([state.alpha, alpha[:-1]]))
    factor, dividend_yield = _actions(rng, traits, state, n_days)
    night_price = np.log(np.exp(night) - dividend_yield)  # the price falls by the dividend
    log_close = state.log_price + np.cumsum(np.log(factor) + night_price + day, axis=0)  # (T, N)
    bars = _bars(rng, log_close, day, day_vol)
    before = np.exp(np.vstack([state.log_price, log_close[:-1]]))
    dividend = np.round(dividend_yield * factor * before, 2)
    turnover, volume = _volumes(rng, traits, regimes, np.abs(night + day), bars)
    number = state.session + np.arange(n_days)[:, None]  # (T, 1)
    listed = (number >= traits.listed) & (number < traits.delisted)
    published = listed & (rng.random((n_days, n)) >= config.missing_rate)
    previous = np.vstack([state.close_inr, bars["close_inr"][:-1]])
    previous = np.where(number > traits.listed, previous, np.nan)
    columns = {
        **bars,
        "prev_close_inr": previous,
        "volume_shares": volume,
        "turnover_inr": turnover,
        "dividend_inr": dividend,
        "price_factor": factor,
    }
    log_cap = state.log_cap + np.cumsum(night_price + day, axis=0)
    weights = _cap_weights(np.vstack([state.log_cap, log_cap[:-1]]), (number > traits.listed) & listed)
    index_rows, index_price, index_total = _index(rng, state, days, regimes, weights, night, night_price, day)
    rows = pl.concat([_stock_rows(config, days, published, columns), index_rows])
    after = _State(
        session=state.session + n_days,
        regime=int(regimes[-1]),
        alpha=alpha[-1],
        close_inr=bars["close_inr"][-1],
        log_price=log_close[-1],
        log_cap=log_cap[-1],
        index_price=index_price,
        index_total=index_total,
    )
    return SimulatedYear(days, regimes, alpha, rows, after)


def _regime_path(rng: np.random.Generator, state: int, n_days: int) -> NDArray[np.int64]:
    path, cumulative = np.empty(n_days, np.int64), TRANSITIONS.cumsum(axis=1)
    for t, draw in enumerate(rng.random(n_days)):
        state = min(int(np.searchsorted(cumulative[state], draw, side="right")), len(REGIMES) - 1)
        path[t] = state
    return path


def _alpha_path(rng: np.random.Generator, config: Design, alpha: Floats, n_days: int) -> Floats:
    keep = 0.5 ** (1.0 / config.alpha_half_life_sessions)
    path = config.alpha_vol_1d * math.sqrt(1.0 - keep**2) * rng.standard_normal((n_days, len(alpha)))
    for t in range(n_days):
        alpha = keep * alpha + path[t]
        path[t] = alpha
    return path


def _log_returns(
    rng: np.random.Generator, config: Design, traits: _Traits, regimes: NDArray[np.int64], alpha: Floats
) -> tuple[Floats, Floats, Floats]:
    """Total log returns of the night and of the day, and the day's volatility, each (T, N)."""
    n_days, n = alpha.shape
    calm = OTHER_VOL_FACTOR[regimes][:, None]  # (T, 1)
    mixing = np.full((config.n_sectors, config.n_sectors), SECTOR_CORRELATION)
    np.fill_diagonal(mixing, 1.0)
    root = np.linalg.cholesky(mixing)
    tail_scale = math.sqrt((TAIL_DEGREES - 2) / TAIL_DEGREES)  # unit variance
    parts = []
    for share in (OVERNIGHT_SHARE, 1.0 - OVERNIGHT_SHARE):
        market = MARKET_DRIFT[regimes] * share + MARKET_VOL[regimes] * math.sqrt(share) * rng.standard_normal(n_days)
        sector = rng.standard_normal((n_days, config.n_sectors)) @ root.T * (config.sector_vol_1d * calm)
        noise = rng.standard_t(TAIL_DEGREES, (n_days, n)) * (tail_scale * traits.noise_vol * calm)
        own = math.sqrt(share) * (sector[:, traits.sector] + noise)
        parts.append(traits.beta * market[:, None] + share * alpha + own)
    variance = (traits.beta * MARKET_VOL[regimes][:, None]) ** 2 + calm**2 * (
        config.sector_vol_1d**2 + traits.noise_vol**2
    )
    return parts[0], parts[1], np.sqrt((1.0 - OVERNIGHT_SHARE) * variance)


def _actions(rng: np.random.Generator, traits: _Traits, state: _State, n_days: int) -> tuple[Floats, Floats]:
    """Price factors (1 for none) and dividends as a share of the previous close (0 for none), each (T, N)."""
    n = len(traits.beta)
    factor, dividend_yield, every = np.ones((n_days, n)), np.zeros((n_days, n)), np.arange(n)
    ratio = np.where(rng.random(n) < SPLIT_PROBABILITY, 0.5, 1.0)
    ratio = np.where(np.exp(state.log_price) > SPLIT_ABOVE_INR, 0.2, ratio)
    factor[rng.integers(0, n_days, n), every] = ratio
    dividend_yield[rng.integers(0, n_days, n), every] = traits.dividend_yield
    return factor, dividend_yield


def _bridge_extremes(rng: np.random.Generator, start: Floats, move: Floats, vol: Floats) -> tuple[Floats, Floats]:
    """Highest and lowest point of a Brownian bridge from `start` to `start + move`, drawn from their exact laws."""
    spread = -2.0 * vol**2 * np.log1p(-rng.random((2, *move.shape)))
    up, down = np.sqrt(move**2 + spread)
    return start + 0.5 * (move + up), start + 0.5 * (move - down)


def _bars(rng: np.random.Generator, log_close: Floats, day: Floats, day_vol: Floats) -> dict[str, Floats]:
    """Prices rounded to paise; rounding keeps low <= open, close <= high."""
    log_open = log_close - day
    high, low = _bridge_extremes(rng, log_open, day, day_vol)
    prices = {"open_inr": log_open, "high_inr": high, "low_inr": low, "close_inr": log_close}
    return {name: np.round(np.exp(value), 2) for name, value in prices.items()}


def _volumes(
    rng: np.random.Generator,
    traits: _Traits,
    regimes: NDArray[np.int64],
    move: Floats,
    bars: dict[str, Floats],
) -> tuple[Floats, NDArray[np.int64]]:
    """Turnover in rupees and volume in shares; both rise with the size of the day's move and in troubled regimes."""
    busy = 0.2 * regimes[:, None] + np.minimum(12.0 * move, 2.0) + 0.35 * rng.standard_normal(move.shape)
    typical = (bars["high_inr"] + bars["low_inr"] + bars["close_inr"]) / 3.0
    volume = np.maximum(np.round(traits.turnover_inr * np.exp(busy) / typical), 1.0)
    return np.round(volume * typical, 2), volume.astype(np.int64)


def _cap_weights(log_cap: Floats, member: NDArray[np.bool_]) -> Floats:
    """Weights at the previous close, (T, N); they sum to 1 a session."""
    cap = np.where(member, np.exp(log_cap), 0.0)
    return cap / np.maximum(cap.sum(axis=1, keepdims=True), 1e-300)


def _index(
    rng: np.random.Generator,
    state: _State,
    days: list[date],
    regimes: NDArray[np.int64],
    weights: Floats,
    night: Floats,
    night_price: Floats,
    day: Floats,
) -> tuple[pl.DataFrame, float, float]:
    """Rows of the price index and of the total-return index (close only), and their last levels."""
    opened = (weights * np.expm1(night_price)).sum(axis=1)
    closed = (weights * np.expm1(night_price + day)).sum(axis=1)
    total = state.index_total * np.cumprod(1.0 + (weights * np.expm1(night + day)).sum(axis=1))
    close = state.index_price * np.cumprod(1.0 + closed)
    start = np.concatenate([[state.index_price], close[:-1]]) * (1.0 + opened)
    high, low = _bridge_extremes(rng, np.log(start), np.log(close / start), 0.8 * MARKET_VOL[regimes])
    blank = np.full(len(days), np.nan)
    price = _frame(
        days,
        [PRICE_INDEX] * len(days),
        INDEX,
        open_inr=start,
        high_inr=np.exp(high),
        low_inr=np.exp(low),
        close_inr=close,
    )
    total_rows = _frame(
        days, [TOTAL_RETURN_INDEX] * len(days), INDEX, open_inr=blank, high_inr=blank, low_inr=blank, close_inr=total
    )
    return pl.concat([price, total_rows]), float(close[-1]), float(total[-1])


def _stock_rows(
    config: Design, days: list[date], published: NDArray[np.bool_], panels: dict[str, NDArray]
) -> pl.DataFrame:
    when, who = np.nonzero(published)
    columns = {name: panel[when, who] for name, panel in panels.items()}
    return _frame(pl.Series(days, dtype=pl.Date).gather(when), pl.Series(config.tickers).gather(who), EQUITY, **columns)


def _frame(
    days: list[date] | pl.Series, tickers: list[str] | pl.Series, instrument: str, **columns: NDArray
) -> pl.DataFrame:
    """Rows of schema RawOhlcv; NaN becomes null and columns not given are null (dividend 0, factor 1)."""
    given = {name: pl.Series(values, nan_to_null=True) for name, values in columns.items()}
    table = pl.DataFrame({"date": days, "ticker": tickers, **given}, schema_overrides={"date": pl.Date})
    absent = {"prev_close_inr": pl.Float64, "volume_shares": pl.Int64, "turnover_inr": pl.Float64}
    table = table.with_columns(pl.lit(None, dtype).alias(name) for name, dtype in absent.items() if name not in columns)
    neutral = {"dividend_inr": 0.0, "price_factor": 1.0}
    table = table.with_columns(pl.lit(value).alias(name) for name, value in neutral.items() if name not in columns)
    closing = pl.col("date").cast(pl.Datetime("us")) + pl.duration(hours=NSE_CLOSE_UTC_HOUR)
    table = table.with_columns(pl.col("^(open|high|low|close)_inr$").round(2))
    return table.select(
        "date",
        "ticker",
        pl.col("ticker").alias("symbol"),
        pl.lit(None, pl.String).alias("series"),
        pl.lit(instrument).alias("instrument"),
        "open_inr",
        "high_inr",
        "low_inr",
        "close_inr",
        "prev_close_inr",
        "volume_shares",
        "turnover_inr",
        "dividend_inr",
        "price_factor",
        pl.lit(UNADJUSTED).alias("basis"),
        pl.lit("simulated").alias("source"),
        closing.dt.replace_time_zone("UTC").alias("fetched_at"),
    )
