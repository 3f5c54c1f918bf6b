"""Whole shares to buy and sell: reckoned by hand, refused by name, and the same as the ledger's own fills."""

from dataclasses import replace
from datetime import date

import numpy as np
import polars as pl
import pytest

from quant_core import calendar
from quant_core.errors import DataError
from quant_core.trading.account_config import AccountConfig
from quant_core.trading.costs import contract_note
from quant_core.trading.decisions import Decisions
from quant_core.trading.ledger import run_ledger
from quant_core.trading.market import BOTH, BUY, SELL
from quant_core.trading.order_list import nse_costs, order_list
from quant_core.trading.panel import Closing, assemble_panel, closing

DAYS = (date(2024, 1, 4), date(2024, 1, 5))
NAMES = ("AAA", "BBB", "CCC")
#: Charges of docs/costs.md alone: no slippage, no impact.
BARE = AccountConfig(cost_model="nse_delivery", commission_bps=0.0, slippage_bps=0.0, spread_bps=0.0)


def known(close=(100.0, 333.0, 50.0), depth=1e9, volatility=0.02, **changes):
    n = len(close)
    table = Closing(
        np.array(close), np.broadcast_to(np.array(depth, float), n).copy(), np.full(n, volatility),
        np.full(n, BOTH, np.uint8), np.ones(n, bool), np.ones(n, bool), np.zeros(n, bool),
    )  # fmt: skip
    return table._replace(**{name: np.array(value) for name, value in changes.items()})


def made(weights, shares, cash, facts=None, config=BARE, **more):
    return order_list(pl.Series(NAMES), weights, shares, cash, facts or known(), config, DAYS, **more)


def orders(found):
    return {row["ticker"]: (row["side"], row["shares"]) for row in found.orders.iter_rows(named=True)}


def test_a_list_by_hand() -> None:
    """Rs 1,00,000: 400 shares of AAA at 100 are held, 60,000 are cash; half is to be BBB, a tenth CCC."""
    found = made({"BBB": 0.5, "CCC": 0.1}, {"AAA": 400}, 60_000.0)
    assert found.equity == 100_000.0
    # 50,000 / 333 = 150.15 and 10,000 / 50 = 200; what is not wanted is sold whole.
    assert orders(found) == {"AAA": ("sell", 400), "BBB": ("buy", 150), "CCC": ("buy", 200)}
    row = {one["ticker"]: one for one in found.orders.iter_rows(named=True)}
    # January 2024, in bps: STT 10 each side, stamp duty 1.5 on purchases, exchange 0.335, SEBI 0.01, GST 18 % of both.
    side = 10.0 + 0.335 + 0.01 + 0.18 * (0.335 + 0.01)
    assert row["AAA"]["charges_inr"] == pytest.approx(40_000 * side * 1e-4 + 13.5 * 1.18, rel=1e-12)
    assert row["BBB"]["charges_inr"] == pytest.approx(150 * 333 * (side + 1.5) * 1e-4, rel=1e-12)
    paid = found.orders["charges_inr"].sum()
    assert found.cash_after == pytest.approx(60_000 + 40_000 - 150 * 333 - 10_000 - paid, abs=1e-6)
    assert found.note == contract_note(DAYS[1], [150 * 333.0, 10_000.0], [40_000.0], nse_costs(BARE))
    assert found.note["stt"] == 100.0  # 10 bps of 99,950, to the rupee
    assert row["BBB"]["weight_after"] == pytest.approx(0.4995)
    assert found.orders["limits"].to_list() == ["", "", ""]


def test_slippage_and_square_root_impact_are_told_apart_from_charges() -> None:
    config = replace(BARE, slippage_bps=5.0, impact_coefficient=1.0)
    found = made({"AAA": 0.4}, {}, 100_000.0, known(depth=4e6), config)
    (row,) = found.orders.filter(pl.col("ticker") == "AAA").iter_rows(named=True)
    assert row["slippage_inr"] == pytest.approx(40_000 * 5e-4)
    assert row["impact_inr"] == pytest.approx(40_000 * 0.02 * np.sqrt(40_000 / 4e6))
    assert row["participation"] == pytest.approx(0.01)
    assert row["charges_inr"] == pytest.approx(made({"AAA": 0.4}, {}, 1e5).orders["charges_inr"].sum())


def test_flat_costs_are_billed_as_nse_charges_all_the_same() -> None:
    assert nse_costs(AccountConfig(impact_coefficient=0.5)).impact_coefficient == 0.5
    assert nse_costs(AccountConfig()).brokerage_bps == 0.0
    assert nse_costs(BARE) is not nse_costs(AccountConfig())


def test_purchases_shrink_together_where_cash_does_not_reach() -> None:
    """A sale that cannot be made leaves 30,000 for purchases of 100,000."""
    facts = known(is_open=[False, True, True])
    found = made({"BBB": 0.5, "CCC": 0.5}, {"AAA": 700}, 30_000.0, facts)
    assert orders(found)["AAA"] == ("hold", 0)
    bought = found.orders.filter(pl.col("side") == "buy")
    assert found.cash_after >= 0.0
    assert 0.25 < found.cash_scale < 0.31
    assert bought["value_inr"].max() / bought["value_inr"].min() == pytest.approx(1.0, abs=0.03)
    assert "no trade today" in found.orders.filter(pl.col("ticker") == "AAA")["limits"][0]


def bits(first):
    return known(can=np.array([first, BOTH, BOTH], np.uint8))


EX_MEMBER = {"is_member": [False, True, True]}
LIMITS = {
    "participation": ({"AAA": 0.5}, {}, known(depth=1e5), ("buy", 100), "cut to 10 % of the daily traded value"),
    "no depth": ({"AAA": 0.5}, {}, known(depth=np.nan), ("hold", 0), "daily traded value unknown: no order"),
    "membership": (
        {"AAA": 0.5}, {}, known(**EX_MEMBER), ("hold", 0), "no member of the universe: cannot be bought",
    ),
    "a leaver is sold": ({}, {"AAA": 10}, known(**EX_MEMBER), ("sell", 10), ""),
    "locked up": ({"AAA": 0.5}, {}, bits(SELL), ("buy", 500), "locked at its upper band"),
    "locked down": ({}, {"AAA": 10}, bits(BUY), ("sell", 10), "locked at its lower band"),
    "largest position": ({"AAA": 0.5}, {}, known(), ("buy", 500), "above the largest position, 20 %"),
    "kept above the largest": ({"AAA": None}, {"AAA": 900}, known(), ("hold", 0), "above the largest position, 20 %"),
    "an index": ({"AAA": 0.5}, {}, known(is_index=[True, False, False]), ("buy", 500), "an index is no share"),
    "a share is dearer": ({"AAA": 0.0005}, {}, known(), ("hold", 0), "less than one share"),
    "not worth its charge": ({}, {"CCC": 1}, known(close=(100.0, 333.0, 5.0)), None, "would not pay its own charges"),
}  # fmt: skip


@pytest.mark.parametrize("name", LIMITS)
def test_a_limit_acts_and_is_told(name: str) -> None:
    weights, shares, facts, wanted, says = LIMITS[name]
    found = made(weights, shares, 100_000.0, facts, max_position=0.2)
    ticker = "AAA" if wanted else "CCC"
    (row,) = found.orders.filter(pl.col("ticker") == ticker).iter_rows(named=True)
    assert (row["side"], row["shares"]) == (wanted or ("hold", 0))
    assert says in row["limits"]
    assert bool(says) == bool(row["limits"])


def test_a_change_inside_the_no_trade_band_is_left_and_not_blamed_on_charges() -> None:
    found = made({"AAA": 0.09}, {"AAA": 100}, 90_000.0, config=replace(BARE, no_trade_band=0.02))
    (row,) = found.orders.filter(pl.col("ticker") == "AAA").iter_rows(named=True)
    assert (row["side"], row["limits"]) == ("hold", "")


def test_what_cannot_be_is_refused_in_one_line() -> None:
    with pytest.raises(DataError, match="CCC has no close"):
        made({}, {}, 1e5, known(close=(100.0, 333.0, np.nan)))
    with pytest.raises(DataError, match=r"cash is -1\.00 rupees"):
        made({}, {"AAA": 10}, -1.0)


def price_table(days, seed=3):
    rng, frames = np.random.default_rng(seed), []
    for ticker in NAMES:
        night, day = rng.normal(0, 0.01, len(days)), rng.normal(0, 0.01, len(days))
        close = 100.0 * np.cumprod((1 + night) * (1 + day))
        frames.append(pl.DataFrame({
            "date": days, "ticker": ticker, "instrument": "equity", "open_inr": close / (1 + day),
            "high_inr": close * 1.05, "low_inr": close * 0.95, "close_inr": close,
            "volume_shares": rng.integers(1000, 9000, len(days)), "turnover_inr": close * 1000.0,
            "overnight_return_1d": night, "intraday_return_1d": day,
            "total_return_1d": (1 + night) * (1 + day) - 1, "dividend_return_1d": 0.0, "is_member": True,
            "is_filled": False, "is_tradable": True,
        }))  # fmt: skip
    return pl.concat(frames).sort("date", "ticker")


def test_what_is_known_at_a_close_is_what_the_next_session_of_the_ledger_knows() -> None:
    days = calendar.sessions(date(2024, 1, 1), date(2024, 4, 30))
    table, names = price_table(days), pl.Series(NAMES)
    panel = assemble_panel(table, names, days[0], np.zeros(len(days)))
    for t in (30, 60, 70):
        found = closing(table, names, days[t])
        np.testing.assert_allclose(found.traded_value_inr, panel.market.traded_value_inr[t + 1], rtol=1e-12)
        np.testing.assert_allclose(found.volatility_1d, panel.market.volatility_1d[t + 1], rtol=1e-9)
        assert found.can.tolist() == panel.market.open_to[t].tolist()
    late = closing(table, pl.Series(["AAA", "ZZZ"]), days[70])
    assert np.isnan(late.close_inr[1])
    assert not late.is_open[1]


def test_the_list_from_cash_is_what_the_ledger_fills_at_those_prices() -> None:
    """The same decision through run_ledger, in a market that opens at the close before."""
    days = calendar.sessions(date(2024, 1, 1), date(2024, 4, 30))
    table, names = price_table(days), pl.Series(NAMES)
    rules = replace(
        BARE, whole_shares=True, max_participation=0.1, impact_coefficient=1.0, dividends="reinvest", slippage_bps=5.0
    )
    panel, t = assemble_panel(table, names, days[0], np.zeros(len(days))), 70
    still = replace(
        panel.market, overnight_return=np.zeros((len(days), 3)),
        open_inr=np.vstack([panel.fill_price_inr[:1], closes(table, days)[:-1]]),
    )  # fmt: skip
    decisions = Decisions.of([t], [t] * 3, [0, 1, 2], [0.3, 0.3, 0.2])
    book = run_ledger(still, decisions, rules.cost_schedule(days), rules.rules, 1e5, t)
    found = order_list(
        names, dict(zip(NAMES, (0.3, 0.3, 0.2), strict=True)), {}, 1e5, closing(table, names, days[t]), rules,
        (days[t], days[t + 1]),
    )  # fmt: skip
    by_name = dict(found.orders.select("ticker", "value_inr").iter_rows())
    filled = {NAMES[name]: amount for name, amount in zip(book.trades.name, book.trades.amount, strict=True)}
    assert filled == pytest.approx(by_name, rel=1e-12)
    assert book.cash[1] == pytest.approx(found.cash_after, rel=1e-12)


def closes(table, days):
    return table.pivot(on="ticker", index="date", values="close_inr").sort("date").select(NAMES).to_numpy()
