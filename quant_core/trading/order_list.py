"""The whole shares to buy and sell tomorrow: one session of the ledger, at today's closes, from what is held today.

Nothing is decided and nothing is charged here that the ledger does not decide and charge: the list is what
`day_loop.advance` would fill if the next session opened at today's close. What today's prices warn of (a stock that was
locked at its band) is said beside the order, as only tomorrow's prices can tell.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date

import numpy as np
import polars as pl

from quant_core.dense import Floats
from quant_core.errors import DataError
from quant_core.schema import HOLD, Orders, validate
from quant_core.trading import arrays as b
from quant_core.trading.account_config import AccountConfig
from quant_core.trading.costs import CostSchedule, NseDeliveryCosts, contract_note
from quant_core.trading.day_loop import advance
from quant_core.trading.decisions import Decisions
from quant_core.trading.loop_input import loop_input
from quant_core.trading.market import BOTH, BUY, CLOSED, SELL, Market
from quant_core.trading.panel import Closing
from quant_core.trading.rules import Rules

#: Share of the average daily traded value that an order may be, where the account's own rules have no limit.
PARTICIPATION = 0.10
SLIPPAGE = "slippage"  # the kind of a cost schedule that is no charge
ROUNDING = 1e-9


@dataclass(frozen=True)
class OrderList:
    """Orders for one session, and what they do to the account; rupees.

    Args:
        orders: Orders.
        note: the day's charges as a broker bills them (`costs.contract_note`).
        cash_before, cash_after: after sales, purchases, charges, slippage and impact.
    """

    orders: pl.DataFrame
    note: Mapping[str, float]
    equity: float
    cash_before: float
    cash_after: float
    cash_scale: float  # share of the purchases that cash reached for


def nse_costs(config: AccountConfig) -> NseDeliveryCosts:
    """The charges that an order on NSE is billed: the account's own model of them, else that of a discount broker."""
    own = config.costs
    return own if isinstance(own, NseDeliveryCosts) else NseDeliveryCosts(impact_coefficient=config.impact_coefficient)


def order_list(
    tickers: pl.Series,
    weights: Mapping[str, float | None],
    shares: Mapping[str, int],
    cash_inr: float,
    known: Closing,
    config: AccountConfig,
    days: tuple[date, date],
    max_position: float = 1.0,
    participation: float | None = None,
) -> OrderList:
    """What to trade at the next session to get from what is held to what is wanted.

    Args:
        tickers: N names, ascending; every one that is wanted or held.
        weights: fractions of equity; None keeps what is held; a name that is absent is sold.
        shares: held; whole numbers.
        cash_inr: beside the holdings.
        known: of the N names after the close of the first day.
        config: rules and costs of the account; orders are whole shares whatever it says.
        days: the session of the closes, and that of the fill.
        max_position: a position above it is told; the decision's own limit.
        participation: largest share of the average daily traded value that an order may be; None for the account's
            rule, or PARTICIPATION where that has none.
    Raises:
        DataError: a name without a close; cash below zero.
    """
    limit = participation or config.max_participation or PARTICIPATION
    rules = replace(
        config.rules, fill="open", dividends="reinvest", delay_sessions=1, carry_over=False, whole_shares=True,
        max_participation=limit,
    )  # fmt: skip
    held = np.array([float(shares.get(name, 0)) for name in tickers])
    _check(tickers, held, known, cash_inr)
    costs = nse_costs(config).schedule(days)
    log = _one_session(tickers, weights, held, cash_inr, known, rules, costs)
    signed, paid = _traded(log, len(tickers))
    after = held * known.close_inr + signed
    cash_after, equity = float(log.series[b.CASH, 1]), float(cash_inr + held @ known.close_inr)
    asked = _asked(tickers, weights, held, known, equity, rules)
    limits = _limits(asked, signed, held, known, limit, max_position, after / equity if equity > 0.0 else after)
    table = _table(tickers, weights, held, known, signed, paid, costs, equity, limits)
    bought, sold = table.filter(pl.col("side") == "buy"), table.filter(pl.col("side") == "sell")
    note = contract_note(days[1], bought["value_inr"].to_list(), sold["value_inr"].to_list(), nse_costs(config))
    return OrderList(table, note, equity, cash_inr, cash_after, _scale(asked, signed, known, limit))


def _check(tickers: pl.Series, held: Floats, known: Closing, cash_inr: float) -> None:
    unpriced = [name for name, close in zip(tickers, known.close_inr, strict=True) if not close > 0.0]
    if unpriced:
        raise DataError(f"orders: {unpriced[0]} has no close ({len(unpriced)} such names); leave it out of the list.")
    if not cash_inr >= 0.0:
        raise DataError(
            f"orders: cash is {cash_inr:,.2f} rupees; wanted 0 or more, capital that covers what is held "
            f"({float(held @ known.close_inr):,.2f})."
        )


def _one_session(
    tickers: pl.Series, weights: Mapping[str, float | None], held: Floats, cash_inr: float, known: Closing,
    rules: Rules, costs: CostSchedule,
) -> b.Log:  # fmt: skip
    """The ledger's log of today, which opens the account with what is held, and of tomorrow, at today's prices."""
    n = len(tickers)
    still = np.zeros((2, n))
    can = np.where(known.is_index, BOTH, np.where(known.is_member, BOTH, SELL))
    depth = np.where(known.is_index, np.inf, known.traded_value_inr)
    market = Market(
        overnight_return=still, intraday_return=still,
        open_to=np.tile(np.where(known.is_open, can, CLOSED), (2, 1)),
        traded_value_inr=np.tile(depth, (2, 1)), volatility_1d=np.tile(known.volatility_1d, (2, 1)),
        open_inr=np.tile(known.close_inr, (2, 1)),
    )  # fmt: skip
    names = [k for k, name in enumerate(tickers) if name in weights]
    amounts = [np.nan if (wanted := weights[tickers[k]]) is None else wanted for k in names]
    decisions = Decisions.of([0], np.zeros(len(names)), names, amounts)
    state, owned = b.open_state(n, cash_inr), np.flatnonzero(held > 0.0)
    state.value[owned], state.listed[owned] = (held * known.close_inr)[owned], True
    state.active[: len(owned)], state.n_active[0] = owned, len(owned)
    return advance(0, 2, *loop_input(market, decisions, costs, rules), state)


def _traded(log: b.Log, n: int) -> tuple[Floats, Floats]:
    """(N,) rupees bought (+) or sold (-), and what that costs."""
    signed, paid = np.zeros(n), np.zeros(n)
    is_order = log.tape[1] >= 0
    np.add.at(signed, log.tape[0][is_order], log.tape_inr[0][is_order])
    np.add.at(paid, log.tape[0][is_order], log.tape_inr[1][is_order])
    return signed, paid


def _asked(
    tickers: pl.Series, weights: Mapping[str, float | None], held: Floats, known: Closing, equity: float, rules: Rules
) -> Floats:
    """(N,) rupees that the decision asks to be bought (+) or sold (-), before any limit but those on positions and the
    no-trade band."""
    value = held * known.close_inr
    wanted = np.array([_target(weights.get(name, 0.0), value[k] / equity, rules) for k, name in enumerate(tickers)])
    change = wanted * equity - value
    is_small = (np.abs(change) <= rules.no_trade_band * equity) & (wanted > 0.0)  # a sale of everything is none
    return np.where(is_small, 0.0, change)


def _target(weight: float | None, held: float, rules: Rules) -> float:
    if weight is None:
        return held
    cut = min(weight, rules.max_position)
    return 0.0 if cut < rules.min_position else cut


def _limits(
    asked: Floats, signed: Floats, held: Floats, known: Closing, limit: float, max_position: float, after: Floats
) -> list[str]:
    """(N,) what a limit did to each order, or warns of."""
    found = []
    for k, (want, done) in enumerate(zip(asked, signed, strict=True)):
        price, most = known.close_inr[k], limit * known.traded_value_inr[k]
        says = []
        wants = abs(want) >= price * (1.0 - ROUNDING)
        if wants and not known.is_open[k]:
            says.append("no trade today: no order")
        elif want > 0.0 and wants and not (known.is_member[k] or known.is_index[k]):
            says.append("no member of the universe: cannot be bought")
        elif wants and not known.is_index[k] and not abs(want) <= most:
            says.append(
                "daily traded value unknown: no order" if not most > 0.0
                else f"cut to {100 * limit:g} % of the daily traded value"
            )  # fmt: skip
        elif want < 0.0 and wants and done == 0.0:
            says.append("a sale that would not pay its own charges")
        elif not wants and held[k] == 0.0 and want > 0.0:
            says.append("less than one share")
        if done > 0.0 and known.is_open[k] and not known.can[k] & BUY and known.is_member[k]:
            says.append("locked at its upper band today: may not be filled")
        if done < 0.0 and known.is_open[k] and not known.can[k] & SELL:
            says.append("locked at its lower band today: may not be filled")
        if done != 0.0 and known.is_index[k]:
            says.append("an index is no share: a fund that follows it, whose charges differ")
        if after[k] > max_position + 0.005 and not known.is_index[k]:
            says.append(f"above the largest position, {100 * max_position:g} %")
        found.append("; ".join(says))
    return found


def _scale(asked: Floats, signed: Floats, known: Closing, limit: float) -> float:
    """Share of the purchases that were possible and done; 1 where all were, to whole shares."""
    depth = np.where(known.is_index, np.inf, np.nan_to_num(known.traded_value_inr))
    may = known.is_open & (known.is_member | known.is_index)
    possible = np.where(may, np.minimum(np.maximum(asked, 0.0), limit * depth), 0.0)
    whole = np.floor(possible / known.close_inr + ROUNDING) * known.close_inr
    total = float(whole.sum())
    return float(np.maximum(signed, 0.0).sum()) / total if total > 0.0 else 1.0


def _table(
    tickers: pl.Series, weights: Mapping[str, float | None], held: Floats, known: Closing, signed: Floats,
    paid: Floats, costs: CostSchedule, equity: float, limits: list[str],
) -> pl.DataFrame:  # fmt: skip
    value, sells = np.abs(signed), signed < 0.0
    slip = value * costs.buy_rate[1, costs.kinds.index(SLIPPAGE)]
    rated = value * np.where(sells, costs.total_sell_rate[1], costs.total_buy_rate[1])
    flat = np.where(sells, costs.per_sale_inr[1], 0.0)
    after = (held * known.close_inr + signed) / (equity or 1.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = value / known.traded_value_inr
    table = pl.DataFrame({
        "ticker": tickers,
        "side": np.select([signed > 0.0, sells], ["buy", "sell"], HOLD),
        "shares": np.rint(value / known.close_inr).astype(np.int64),
        "held_shares": held.astype(np.int64),
        "target_weight": pl.Series([weights.get(name, 0.0) for name in tickers], dtype=pl.Float64),
        "weight_after": after,
        "price_inr": known.close_inr,
        "value_inr": value,
        "charges_inr": np.maximum(rated - slip + flat, 0.0),
        "slippage_inr": slip,
        "impact_inr": np.maximum(paid - rated - flat, 0.0),
        "participation": np.where(np.isfinite(share), share, np.nan),
        "limits": limits,
    }).with_columns(pl.col("participation").fill_nan(None), pl.col("side").cast(pl.String))  # fmt: skip
    order = pl.col("side").replace_strict({"sell": 0, "buy": 1, HOLD: 2}, return_dtype=pl.Int8)
    ordered = table.sort(order, pl.col("value_inr"), pl.col("ticker"), descending=[False, True, False])
    return validate(ordered, Orders, "orders", "report this as a bug.")
