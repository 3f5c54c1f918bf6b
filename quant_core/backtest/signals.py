"""What each book wants at the next session, beside what it wanted before and what it holds, and why.

What belongs here: one table from decisions, forecasts, regimes and prices, and what is to be known of the day's data.
What does not: whole shares, which need an account (`trading.order_list`), and pages.
"""

from collections.abc import Mapping, Sequence
from datetime import date

import numpy as np
import polars as pl

from quant_core import calendar
from quant_core.backtest.config import BacktestConfig
from quant_core.backtest.simulate import plan_of, without_absent
from quant_core.schema import (
    CASH,
    ENTERS,
    EQUITY,
    FAILED,
    IS_QUARANTINED,
    KEPT,
    LEAVES,
    LOWERED,
    RAISED,
    SAME,
    SignalHealth,
    Signals,
    validate,
)
from quant_core.trading.ledger import run_ledger
from quant_core.trading.panel import MarketPanel, closing, market_panel

#: Weights that differ by less are the same.
SAME_WEIGHT = 1e-6
#: Least share of the members that should have a price.
ENOUGH_PRICED = 0.95


def fill_of(decided: date, delay_sessions: int) -> date:
    """The session that fills a decision, if the market has prices then."""
    day = decided
    for _ in range(delay_sessions):
        day = calendar.next_session(day)
    return day


def signals_table(
    prices: pl.DataFrame,
    targets: pl.DataFrame,
    forecasts: pl.DataFrame,
    regimes: pl.DataFrame,
    status: Mapping[str, str],
    config: BacktestConfig,
) -> pl.DataFrame:
    """Signals: the newest decision of each book up to the last price.

    Args:
        prices: CleanPrices of some months; their last session is the newest one.
        targets: TargetWeights of the same months; the holdings are those that the ledger has of them.
        forecasts: Forecasts of the same months; may be empty.
        regimes: date, regime of the traded method; may be empty.
        status: of each book that is shown.
        config: of the backtest: rules, costs and capital.
    """
    sound = pl.col("strategy").is_in(list(status)) & (pl.col("ticker") != FAILED)
    newest = prices["date"].max()
    decided = targets.filter(sound, pl.col("date") <= newest) if prices.height else targets.clear()
    if decided.is_empty():
        return Signals.create_empty()
    assert isinstance(newest, date)
    decided = without_absent(prices, decided)
    names = decided["ticker"].filter(decided["ticker"] != CASH).unique().sort()
    panel = market_panel(prices, names, decided["date"].min(), config)  # type: ignore[arg-type]
    models = forecasts["model"].unique().to_list()
    labels = dict(regimes.select("date", "regime").iter_rows())
    parts = []
    for (name,), own in sorted(decided.partition_by("strategy", as_dict=True).items()):
        parts.append(_of_one(str(name), own, panel, config, ranks_of(str(name), forecasts, models), newest))
    table = pl.concat(parts).with_columns(
        status=pl.col("strategy").replace_strict(dict(status), return_dtype=pl.String),
        regime=pl.col("decision_date").replace_strict(labels, default=None, return_dtype=pl.String),
    )
    priced = _with_costs(table, prices, panel, config, newest).sort("strategy", "ticker")
    return validate(priced.select(Signals.column_names()), Signals, "signals", "report this as a bug.")


def ranks_of(strategy: str, forecasts: pl.DataFrame, models: Sequence[str]) -> pl.DataFrame:
    """date, ticker, score, rank (1 is best), n_ranked by the model whose name ends the book's; empty for no model."""
    own = max((model for model in models if strategy.endswith(f"_{model}")), key=len, default=None)
    rows = forecasts.filter(pl.col("model") == own, pl.col("score").is_finite())
    rank = pl.col("score").rank("min", descending=True).over("date").cast(pl.Int32)
    return rows.select("date", "ticker", "score", rank=rank, n_ranked=pl.len().over("date").cast(pl.Int32))


def _of_one(
    name: str, own: pl.DataFrame, panel: MarketPanel, config: BacktestConfig, ranks: pl.DataFrame, newest: date
) -> pl.DataFrame:
    """One book's rows, without status, regime, prices and costs."""
    days = own["date"].unique().sort()
    last, before = days[-1], days[-2] if len(days) > 1 else None
    fill = fill_of(last, config.delay_sessions)
    now, then = (own.filter(pl.col("date") == day).select("ticker", "weight") for day in (last, before))
    joined = (
        now.with_columns(is_wanted=True)
        .join(then.select("ticker", previous_weight="weight", was_wanted=True), on="ticker", how="full", coalesce=True)
        .join(_held(own, panel, config), on="ticker", how="full", coalesce=True)
        .with_columns(pl.col("is_wanted", "was_wanted").fill_null(False), pl.col("held_weight").fill_null(0.0))
        .with_columns(kept=pl.col("is_wanted") & pl.col("weight").is_null())
        .with_columns(weight=pl.when(~pl.col("kept")).then(pl.col("weight").fill_null(0.0)))
    )
    joined, scale = _with_room(joined)
    wanted = pl.col("weight") * pl.when(pl.col("ticker") == CASH).then(1.0).otherwise(scale)
    trade = pl.when(pl.lit(fill > newest) & ~pl.col("kept")).then(wanted - pl.col("held_weight"))
    is_of_interest = pl.col("is_wanted") | pl.col("was_wanted") | (pl.col("held_weight") > SAME_WEIGHT)
    earlier = ranks.filter(pl.col("date") == before).select("ticker", previous_rank="rank")
    return (
        joined.filter(is_of_interest)
        .with_columns(change=_change(), trade_weight=trade.otherwise(0.0))
        .join(ranks.filter(pl.col("date") == last).drop("date"), on="ticker", how="left")
        .join(earlier, on="ticker", how="left")
        .with_columns(
            strategy=pl.lit(name), decision_date=pl.lit(last), fill_date=pl.lit(fill), is_pending=pl.lit(fill > newest)
        )
    )


def _with_room(book: pl.DataFrame) -> tuple[pl.DataFrame, float]:
    """The book with the cash that names kept as they are held leave, and by what its other weights shrink for them.

    As the ledger does it: by one factor, where kept names leave less than the others ask for.
    """
    is_name = pl.col("ticker") != CASH
    kept = float(book.filter("kept")["held_weight"].sum())
    asked = float(book.filter(is_name)["weight"].sum())
    scale = max(1.0 - kept, 0.0) / asked if kept > 0.0 and kept + asked > 1.0 else 1.0
    cash = max(1.0 - kept - asked * scale, 0.0)
    return book.with_columns(weight=pl.when(is_name).then("weight").otherwise(cash)), scale


def _change() -> pl.Expr:
    """What the decision did to a name, from `weight`, `previous_weight`, `kept` and `was_wanted`."""
    weight, was = pl.col("weight"), pl.col("previous_weight").fill_null(0.0)
    return (
        pl.when("kept").then(pl.lit(KEPT))
        .when((weight > 0.0) & ~pl.col("was_wanted")).then(pl.lit(ENTERS))
        .when((weight == 0.0) & (pl.col("was_wanted") | (pl.col("held_weight") > SAME_WEIGHT))).then(pl.lit(LEAVES))
        .when(pl.col("previous_weight").is_null()).then(pl.lit(SAME))
        .when(weight > was + SAME_WEIGHT).then(pl.lit(RAISED))
        .when(weight < was - SAME_WEIGHT).then(pl.lit(LOWERED))
        .otherwise(pl.lit(SAME))
    )  # fmt: skip


def _held(own: pl.DataFrame, panel: MarketPanel, config: BacktestConfig) -> pl.DataFrame:
    """ticker, held_weight at the last close, as the ledger has it of the decisions before; cash too."""
    plan = plan_of(own, panel)
    costs = config.cost_schedule(panel.sessions)
    book = run_ledger(panel.market, plan.decisions, costs, config.rules, config.initial_capital_inr, plan.start)
    begin = book.holdings.start[-2]
    equity = book.equity[-1]
    weights = book.holdings.value[begin:] / equity
    cash = max(1.0 - float(weights.sum()), 0.0)
    tickers = panel.tickers.gather(book.holdings.name[begin:]).to_list()
    return pl.DataFrame({"ticker": [*tickers, CASH], "held_weight": [*weights, cash]})


def _with_costs(
    table: pl.DataFrame, prices: pl.DataFrame, panel: MarketPanel, config: BacktestConfig, newest: date
) -> pl.DataFrame:
    """`close_inr`, and `cost_inr` of the trades by the charges of the session that fills them."""
    known = closing(prices, panel.tickers, newest, config.price_band)
    facts = pl.DataFrame({
        "ticker": panel.tickers, "close_inr": known.close_inr, "volatility": known.volatility_1d,
        "depth": np.where(known.is_index, np.inf, known.traded_value_inr),
    }).with_columns(pl.col("close_inr").fill_nan(None))  # fmt: skip
    days = table["fill_date"].unique().sort().to_list()
    costs = config.cost_schedule(days)
    rates = pl.DataFrame({
        "fill_date": days, "buy": costs.total_buy_rate, "sell": costs.total_sell_rate, "flat": costs.per_sale_inr,
    })  # fmt: skip
    joined = table.join(facts, on="ticker", how="left").join(rates, on="fill_date", how="left")
    value = pl.col("trade_weight").abs() * config.initial_capital_inr
    impact = costs.impact_coefficient * pl.col("volatility") * (value / pl.col("depth")).sqrt()
    impact = pl.when(impact.is_finite()).then(impact).otherwise(0.0).fill_null(0.0)
    sells = pl.col("trade_weight") < 0.0
    rate = pl.when(sells).then("sell").otherwise("buy")
    cost = value * (rate + impact) + pl.when(sells).then("flat").otherwise(0.0)
    traded = (value > 0.0) & (pl.col("ticker") != CASH)
    return joined.with_columns(cost_inr=pl.when(traded).then(cost).otherwise(0.0))


def day_health(prices: pl.DataFrame, targets: pl.DataFrame, index_ticker: str, regime: str | None) -> pl.DataFrame:
    """SignalHealth of the newest session of `prices`.

    Args:
        prices: CleanPrices. targets: TargetWeights of the books that decide.
        index_ticker: the benchmark's price index. regime: of the newest session; None where there is none.
    """
    if prices.is_empty():
        return SignalHealth.create_empty()
    day = prices["date"].max()
    today = prices.filter(pl.col("date") == day)
    members = today.filter("is_member", pl.col("instrument") == EQUITY)
    priced, flagged = members.filter(~pl.col("is_filled")).height, members.filter(pl.col("flags") != "").height
    waiting = members.filter(IS_QUARANTINED)["ticker"].sort().to_list()
    failed = targets.filter(pl.col("date") == day, pl.col("ticker") == FAILED)["strategy"].sort().to_list()
    untraded = members.filter(~pl.col("is_tradable"), ~pl.col("is_filled"))["ticker"].sort().to_list()
    has_index = today.filter(pl.col("ticker") == index_ticker, ~pl.col("is_filled")).height > 0
    rows = [
        (
            "Prices of the session",
            f"{priced} of {members.height} members",
            priced >= ENOUGH_PRICED * members.height > 0,
        ),
        ("Without a price", _named(members.filter("is_filled")["ticker"].sort().to_list()), True),
        ("Not tradable", _named(untraded), True),
        ("Waiting for a person's word", _named(waiting), not waiting),
        ("Rows with a defect", str(flagged), flagged <= (1.0 - ENOUGH_PRICED) * members.height),
        ("Index row", "there" if has_index else f"{index_ticker} has none", has_index),
        ("Books that could not decide", _named(failed), not failed),
        ("Regime", regime or "none", True),
    ]
    table = pl.DataFrame(rows, schema={"item": pl.String, "value": pl.String, "is_sound": pl.Boolean}, orient="row")
    return validate(table, SignalHealth, "signals health", "report this as a bug.")


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - 8} more" if len(names) > 8 else ""
    return f"{len(names)}: {', '.join(names[:8])}{more}" if names else "none"
