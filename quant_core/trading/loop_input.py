"""What the compiled day loop is given: a market, decisions, costs and rules, checked against each other, as its arrays.

The one way in: a backtest's ledger and a stepped account both come through here.
"""

from typing import NamedTuple

import numpy as np

from quant_core.dense import Floats
from quant_core.errors import DataError
from quant_core.trading.arrays import Charges, MarketArrays, Terms, Wanted
from quant_core.trading.costs import CostSchedule
from quant_core.trading.decisions import Decisions
from quant_core.trading.market import Market
from quant_core.trading.rules import Rules


class LoopInput(NamedTuple):
    """What `day_loop.advance` takes beside the sessions and the account."""

    market: MarketArrays
    charges: Charges
    terms: Terms
    wanted: Wanted


def loop_input(market: Market, decisions: Decisions, costs: CostSchedule, rules: Rules, first: int = 0) -> LoopInput:
    """The arrays of one account over one market; those of the market are made once and shared.

    Args:
        market: T sessions of N names.
        decisions: targets by session and name.
        costs: of the T sessions.
        first: session that only opens the account.
    Raises:
        DataError: a decision outside the market or before `first`, costs of another length, a rule whose panel the
            market lacks, a target in shares without a price.
    """
    _check_fit(market, decisions, costs, rules, first)
    charges = Charges(costs.total_buy_rate, costs.total_sell_rate, costs.per_sale_inr, float(costs.impact_coefficient))
    panel = market.arrays(rules.fill, rules.dividends, rules.whole_shares)
    return LoopInput(panel, charges, _terms(rules, decisions, first), _wanted(market, decisions, rules))


def _wanted(market: Market, decisions: Decisions, rules: Rules) -> Wanted:
    """Decisions with the sessions in which they fall due; share targets in rupees."""
    due = market.due_sessions(decisions.rows, rules.delay_sessions)
    amounts = decisions.amounts if decisions.unit == "weight" else _rupees(market, decisions, rules)
    acted = np.ones(len(decisions.rows), np.bool_)
    names = decisions.names.view(np.uint64)
    return Wanted(decisions.rows, due, decisions.start, names, amounts, decisions.keeps, acted)


def _check_fit(market: Market, decisions: Decisions, costs: CostSchedule, rules: Rules, first: int) -> None:
    sessions, names = market.n_sessions, market.n_names
    if not 0 <= first < sessions:
        raise DataError(f"ledger: first is {first}; the market has sessions 0 to {sessions - 1}.")
    if len(decisions.rows) and decisions.rows[0] < first:
        raise DataError(f"ledger: a decision is dated row {decisions.rows[0]}, before the account opens at {first}.")
    if len(decisions.rows) and decisions.rows[-1] >= sessions:
        raise DataError(f"ledger: a decision is dated row {decisions.rows[-1]}; the market has {sessions} sessions.")
    strange = (decisions.names < 0) | (decisions.names >= names)
    if strange.any():
        k = int(np.argmax(strange))
        raise DataError(
            f"ledger: a target of row {decisions.row_of_target[k]} names column {decisions.names[k]}; the market has "
            f"columns 0 to {names - 1}."
        )
    if costs.buy_rate.shape[0] != sessions:
        raise DataError(f"ledger: costs for {costs.buy_rate.shape[0]} sessions; the market has {sessions}.")
    if rules.max_participation > 0.0:
        market.need("traded_value_inr", "max_participation")
    if costs.impact_coefficient > 0.0:
        market.need("traded_value_inr", "impact")
        market.need("volatility_1d", "impact")
    if rules.whole_shares or decisions.unit == "shares":
        market.need("open_inr", "whole_shares" if rules.whole_shares else "a target in shares")
    if rules.trade_threshold > 0.0 and decisions.unit == "shares":
        raise DataError("ledger: trade_threshold compares weights; give the targets as weights.")


def _terms(rules: Rules, decisions: Decisions, first: int) -> Terms:
    return Terms(
        rules.no_trade_band, rules.max_participation, rules.carry_over, rules.whole_shares, rules.delisting_haircut,
        rules.max_position, rules.min_position, decisions.unit == "shares", rules.delay_sessions,
        rules.trade_threshold, first,
    )  # fmt: skip


def _rupees(market: Market, decisions: Decisions, rules: Rules) -> Floats:
    """What share targets are worth at their fill: the decision's close, moved by the returns until then."""
    before, after = market.legs(rules.fill, rules.dividends)
    row, name = decisions.row_of_target, decisions.names
    due = np.repeat(market.due_sessions(decisions.rows, rules.delay_sessions), np.diff(decisions.start))
    value = decisions.amounts * market.fill_price_inr("close")[row, name]
    unpriced = ~(np.isfinite(value) | np.isnan(decisions.amounts))
    if unpriced.any():
        k = int(np.argmax(unpriced))
        raise DataError(
            f"ledger: {decisions.amounts[k]} shares of column {name[k]} are wanted at row {row[k]}, without a price; "
            "decide on a session in which the name traded."
        )
    for day in range(1, int(np.max(due - row, initial=0)) + 1):
        at = np.minimum(row + day, market.n_sessions - 1)  # a fill past the end never happens
        value *= np.where(row + day <= due, 1.0 + np.nan_to_num(before[at, name]), 1.0)
        if after.size:
            value *= np.where(row + day < due, 1.0 + np.nan_to_num(after[at, name]), 1.0)
    return value
