"""Round trips by hand, against a loop over days, and adding up to the change of equity of a small book of account."""

from dataclasses import dataclass, field
from datetime import date

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quant_core.calendar import sessions
from quant_core.errors import DataError
from quant_core.measures.trips import round_trips, trip_summary
from quant_core.schema import BUY, DELISTING, DIVIDEND, SELL, BacktestPositions, BacktestTrades, RoundTrips, validate
from quant_core.trading import arrays as ledger_steps
from quant_core.trading.costs import CostSchedule
from quant_core.trading.decisions import Decisions
from quant_core.trading.ledger import Rules, run_ledger
from quant_core.trading.market import Market

DAYS = sessions(date(2021, 3, 1), date(2021, 12, 31))


def trades_table(rows: list[tuple[int, str, str, str, float, float]]) -> pl.DataFrame:
    """Rows (session, strategy, ticker, side, value, cost) as BacktestTrades."""
    schema = {name: column.dtype for name, column in BacktestTrades.columns().items()}
    full = [
        (DAYS[t], strategy, name, side, None, value, None, None, cost) for t, strategy, name, side, value, cost in rows
    ]
    return validate(pl.DataFrame(full, schema=schema, orient="row"), BacktestTrades, "trades", "fix the test.")


def positions_table(rows: list[tuple[int, str, str, float]]) -> pl.DataFrame:
    """Rows (session, strategy, ticker, value) as BacktestPositions."""
    schema = {name: column.dtype for name, column in BacktestPositions.columns().items()}
    full = [(DAYS[t], strategy, ticker, 0.01, value) for t, strategy, ticker, value in rows]
    return pl.DataFrame(full, schema=schema, orient="row")


HAND_TRADES = [
    (1, "s", "A", BUY, 100.0, 1.0),
    (2, "s", "A", BUY, 50.0, 0.5),
    (3, "s", "A", DIVIDEND, 4.0, 0.0),
    (3, "s", "A", SELL, 170.0, 2.0),
    (5, "s", "A", BUY, 80.0, 1.0),
    (2, "s", "B", BUY, 200.0, 2.0),
    (4, "s", "B", DELISTING, 150.0, 30.0),
]
HAND_POSITIONS = [
    (1, "s", "A", 102.0), (2, "s", "A", 160.0), (5, "s", "A", 79.0), (6, "s", "A", 85.0),
    (2, "s", "B", 195.0), (3, "s", "B", 150.0),
]  # fmt: skip


def hand_trips() -> pl.DataFrame:
    return round_trips(trades_table(HAND_TRADES), positions_table(HAND_POSITIONS), DAYS[:7])


def test_trips_by_hand() -> None:
    assert hand_trips().rows() == [
        # 170 + 4 - 150 less 3.5 of cost; sold and bought again two sessions later: another trip, still open at 85
        ("s", "A", DAYS[1], DAYS[3], 2, 150.0, pytest.approx(20.5), pytest.approx(20.5 / 150)),
        ("s", "B", DAYS[2], DAYS[4], 2, 200.0, pytest.approx(-82.0), pytest.approx(-0.41)),  # 150 - 30 - 200 - 2
        ("s", "A", DAYS[5], None, 2, 80.0, pytest.approx(4.0), pytest.approx(0.05)),
    ]


def test_shares_received_on_the_day_of_their_delisting_are_a_trip_of_no_close() -> None:
    merged = [(4, "s", "C", BUY, 60.0, 0.0), (4, "s", "C", DELISTING, 60.0, 12.0)]
    trips = round_trips(trades_table([*HAND_TRADES, *merged]), positions_table(HAND_POSITIONS), DAYS[:7])
    assert trips.height == 4
    assert trips.row(by_predicate=pl.col("ticker") == "C") == ("s", "C", DAYS[4], DAYS[4], 0, 60.0, -12.0, -0.2)


def test_the_summary_by_hand_takes_profits_from_closed_trips_only() -> None:
    row = trip_summary(hand_trips()).row(0, named=True)
    assert row == {
        "strategy": "s",
        "n_trips": 3,
        "open_share": pytest.approx(1 / 3),
        "win_rate": 0.5,
        "profit_factor": pytest.approx(20.5 / 82),
        "mean_win_inr": pytest.approx(20.5),
        "mean_loss_inr": pytest.approx(-82.0),
        "mean_win_return": pytest.approx(20.5 / 150),
        "mean_loss_return": pytest.approx(-0.41),
        "mean_holding_sessions": 2.0,
        "median_holding_sessions": 2.0,
    }


def test_a_summary_without_losses_or_closed_trips_has_nulls() -> None:
    trips = hand_trips()
    gains = trip_summary(trips.filter(pl.col("pnl_inr") > 0)).row(0, named=True)
    assert (gains["win_rate"], gains["profit_factor"], gains["mean_loss_inr"]) == (1.0, None, None)
    still_open = trip_summary(trips.filter(pl.col("exit_date").is_null())).row(0, named=True)
    assert (still_open["open_share"], still_open["win_rate"], still_open["mean_holding_sessions"]) == (1.0, None, None)
    assert trip_summary(trips.clear()).is_empty()


def test_strategies_are_kept_apart_and_a_name_at_the_last_session_does_not_run_into_the_next_one() -> None:
    trades = trades_table(
        [(1, "a", "X", BUY, 10.0, 0.0), (0, "b", "X", BUY, 20.0, 0.0), (1, "a", "Y", BUY, 5.0, 0.0),
         (0, "a", "Z", BUY, 7.0, 0.0)]
    )  # fmt: skip
    positions = positions_table(
        [(1, "a", "X", 11.0), (0, "b", "X", 20.0), (1, "b", "X", 18.0), (1, "a", "Y", 5.0), (0, "a", "Z", 7.0),
         (1, "a", "Z", 8.0)]
    )  # fmt: skip
    made = round_trips(trades, positions, DAYS[:2]).select("strategy", "ticker", "n_sessions", "pnl_inr")
    assert made.rows() == [("a", "Z", 2, 1.0), ("a", "X", 1, 1.0), ("a", "Y", 1, 0.0), ("b", "X", 2, -2.0)]


def test_no_position_gives_an_empty_table() -> None:
    made = round_trips(trades_table([]), positions_table([]), DAYS[:3])
    assert made.is_empty()
    validate(made, RoundTrips, "trips", "fix the code.")


@pytest.mark.parametrize(
    ("trades", "positions", "message"),
    [
        ([*HAND_TRADES, (6, "s", "C", SELL, 1.0, 0.0)], HAND_POSITIONS, "sell of s/C 2021-03-09 belongs to no held"),
        ([*HAND_TRADES, (0, "s", "A", DIVIDEND, 1.0, 0.0)], HAND_POSITIONS, "dividend of s/A 2021-03-01 belongs"),
        ([*HAND_TRADES, (6, "s", "B", DIVIDEND, 1.0, 0.0)], HAND_POSITIONS, "dividend of s/B 2021-03-09 belongs"),
        (HAND_TRADES[:-2], HAND_POSITIONS, "s/B held from 2021-03-03 has no purchase"),
        (HAND_TRADES[:-1], HAND_POSITIONS, "s/B held from 2021-03-03 ended without a sale"),
        ([HAND_TRADES[0]], [], "belongs to no held"),
        (HAND_TRADES, [*HAND_POSITIONS, (30, "s", "A", 1.0)], "is not one of the 7 sessions"),
        ([*HAND_TRADES, (30, "s", "A", SELL, 1.0, 0.0)], HAND_POSITIONS, "is not one of the 7 sessions"),
        (HAND_TRADES, [*HAND_POSITIONS, HAND_POSITIONS[0]], "s/A 2021-03-02 more than once"),
    ],
)
def test_tables_that_do_not_belong_together_are_refused(trades, positions, message) -> None:
    with pytest.raises(DataError, match=message):
        round_trips(trades_table(trades), positions_table(positions), DAYS[:7])


def test_sessions_out_of_order_are_refused() -> None:
    with pytest.raises(DataError, match="ascending"):
        round_trips(trades_table(HAND_TRADES), positions_table(HAND_POSITIONS), [*DAYS[1:7], DAYS[0]])


NOTHING, ADD, REDUCE, CLOSE, DELIST, PAY = range(6)


@dataclass
class Book:
    """Cash and holdings of one strategy; every movement of money is written down."""

    name: str
    cash: float = 1e6
    interest: float = 0.0
    value: dict[str, float] = field(default_factory=dict)
    trades: list[tuple[int, str, str, str, float, float]] = field(default_factory=list)
    positions: list[tuple[int, str, str, float]] = field(default_factory=list)

    def write(self, t: int, ticker: str, side: str, amount: float, cost: float) -> None:
        self.trades.append((t, self.name, ticker, side, amount, cost))
        self.cash += (-amount if side == BUY else amount) - cost

    def act(self, t: int, ticker: str, action: int) -> None:
        held = self.value.get(ticker, 0.0)
        if action == ADD:
            self.write(t, ticker, BUY, 1000.0 + 7 * t, 2.5)
            self.value[ticker] = held + 1000.0 + 7 * t
        elif held and action == PAY:
            self.write(t, ticker, DIVIDEND, 0.02 * held, 0.0)
            self.value[ticker] = 0.98 * held
        elif held and action == REDUCE:
            self.write(t, ticker, SELL, 0.25 * held, 1.5)
            self.value[ticker] = 0.75 * held
        elif held and action in (CLOSE, DELIST):
            self.write(t, ticker, SELL if action == CLOSE else DELISTING, held, 3.5 if action == CLOSE else 0.5 * held)
            del self.value[ticker]

    def close(self, t: int) -> None:
        for k, ticker in enumerate(sorted(self.value)):
            self.value[ticker] *= 1.0 + 0.01 * ((3 * t + 5 * k) % 7 - 3)  # a return that differs by day and name
            self.positions.append((t, self.name, ticker, self.value[ticker]))
        earned = 0.0002 * self.cash
        self.cash, self.interest = self.cash + earned, self.interest + earned

    @property
    def equity(self) -> float:
        return self.cash + sum(self.value.values())


def run_book(name: str, actions: list[list[int]]) -> Book:
    book = Book(name)
    for t, today in enumerate(actions):
        for k, action in enumerate(today):
            book.act(t, f"T{k}", action)
        book.close(t)
    return book


ACTIONS = st.integers(1, 4).flatmap(
    lambda n: st.lists(st.lists(st.integers(NOTHING, PAY), min_size=n, max_size=n), min_size=1, max_size=25)
)


def looped(book: Book, n_sessions: int) -> list[tuple[object, ...]]:
    """The definition of a round trip, name by name and day by day."""
    held = {(t, ticker): value for t, _, ticker, value in book.positions}
    found: list[tuple[object, ...]] = []
    for ticker in sorted({ticker for _, ticker in held}):
        start = None
        for t in range(n_sessions + 1):
            if start is None and (t, ticker) in held:
                start = t
            elif start is not None and (t, ticker) not in held:
                own = [row for row in book.trades if row[2] == ticker and start <= row[0] <= t]
                bought = sum(row[4] for row in own if row[3] == BUY)
                pnl = sum(row[4] for row in own if row[3] != BUY) - bought - sum(row[5] for row in own)
                pnl += held[t - 1, ticker] if t == n_sessions else 0.0
                ended = None if t == n_sessions else DAYS[t]
                found.append((book.name, ticker, DAYS[start], ended, t - start, bought, pnl, pnl / bought))
                start = None
    return sorted(found, key=lambda row: (row[0], row[2], row[1]))


@pytest.mark.slow
@settings(max_examples=120, deadline=None)
@given(ACTIONS, ACTIONS)
def test_trips_equal_a_loop_over_names_and_days(first: list[list[int]], second: list[list[int]]) -> None:
    n = max(len(first), len(second))
    books = [
        run_book(name, actions + [[NOTHING] * len(actions[0])] * (n - len(actions)))
        for name, actions in (("a", first), ("b", second))
    ]
    made = round_trips(*tables(books), DAYS[:n])
    expected = [row for book in books for row in looped(book, n)]
    assert made.height == len(expected)
    for row, wanted in zip(made.iter_rows(), expected, strict=True):
        assert row[:5] == wanted[:5]
        assert row[5:] == pytest.approx(wanted[5:], rel=1e-9, abs=1e-6)


@pytest.mark.slow
@settings(max_examples=120, deadline=None)
@given(ACTIONS)
def test_the_profit_of_all_trips_and_the_interest_are_the_change_of_equity(actions: list[list[int]]) -> None:
    book = run_book("a", actions)
    trips = round_trips(*tables([book]), DAYS[: len(actions)])
    assert trips["pnl_inr"].sum() + book.interest == pytest.approx(book.equity - 1e6, abs=1e-5)
    assert trips["n_sessions"].sum() == len(book.positions)
    assert trips["bought_inr"].sum() == pytest.approx(sum(row[4] for row in book.trades if row[3] == BUY))


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(ACTIONS)
def test_the_summary_equals_plain_counting(actions: list[list[int]]) -> None:
    trips = round_trips(*tables([run_book("a", actions)]), DAYS[: len(actions)])
    if trips.is_empty():
        return
    row = trip_summary(trips).row(0, named=True)
    closed = trips.filter(pl.col("exit_date").is_not_null()).to_dicts()
    gains = [trip["pnl_inr"] for trip in closed if trip["pnl_inr"] > 0]
    losses = [trip["pnl_inr"] for trip in closed if trip["pnl_inr"] < 0]
    assert row["n_trips"] == trips.height
    assert row["open_share"] == pytest.approx(1 - len(closed) / trips.height)
    assert row["win_rate"] == (pytest.approx(len(gains) / len(closed)) if closed else None)
    assert row["profit_factor"] == (pytest.approx(sum(gains) / -sum(losses)) if losses else None)
    held = sorted(trip["n_sessions"] for trip in closed)
    assert row["mean_holding_sessions"] == (pytest.approx(sum(held) / len(held)) if held else None)
    middle = (held[(len(held) - 1) // 2] + held[len(held) // 2]) / 2 if held else None
    assert row["median_holding_sessions"] == middle


@pytest.mark.parametrize(
    "rules",
    [
        Rules(),
        Rules(fill="close", dividends="cash", delisting_haircut=0.3),
        Rules(dividends="cash", max_participation=0.05, carry_over=True, delisting_haircut=1.0),
        Rules(whole_shares=True, no_trade_band=0.02, delay_sessions=2),
    ],
)
def test_trips_of_the_ledger_add_up_to_what_its_book_earned(rules: Rules) -> None:
    rng, (t, n) = np.random.default_rng(7), (200, 8)
    dividend = np.where(rng.random((t, n)) < 0.02, 0.02, 0.0)
    open_to = rng.random((t, n)) < 0.9
    open_to[120:, :2] = False
    market = Market(
        overnight_return=rng.normal(0.0, 0.01, (t, n)) + dividend,
        intraday_return=rng.normal(0.0, 0.01, (t, n)),
        open_to=open_to,
        cash_return_1d=rng.random(t) * 2e-4,
        dividend_return=dividend,
        traded_value_inr=np.full((t, n), 3e6),
        volatility_1d=np.full((t, n), 0.01),
        open_inr=np.full((t, n), 100.0),
        delistings=(np.array([120, 130]), np.array([0, 1])),
    )
    targets = np.where(rng.random((t, n)) < 0.4, 0.9 / n, 0.0)
    targets[rng.random(t) < 0.6] = np.nan
    costs = CostSchedule(("a",), np.full((t, 1), 0.002), np.full((t, 1), 0.0025), np.full(t, 15.9), 0.5)
    book = run_ledger(market, Decisions.from_dense(targets), costs, rules)

    names, paid = [f"T{k}" for k in range(n)], book.trades.kind
    side = np.select([paid == ledger_steps.DELISTING, paid == ledger_steps.DIVIDEND, book.trades.amount > 0],
                     [DELISTING, DIVIDEND, BUY], SELL)  # fmt: skip
    row = np.repeat(np.arange(t), np.diff(book.holdings.start))
    trades = [
        (int(day), "s", names[k], str(kind), abs(float(amount)), float(cost))
        for day, k, kind, amount, cost in zip(
            book.trades.row, book.trades.name, side, book.trades.amount, book.trades.cost, strict=True
        )
    ]
    held = [
        (int(day), "s", names[k], float(v))
        for day, k, v in zip(row, book.holdings.name, book.holdings.value, strict=True)
    ]
    trips = round_trips(trades_table(trades), positions_table(held), DAYS[:t])
    assert trips.height > 20
    assert trips["pnl_inr"].sum() + book.interest.sum() == pytest.approx(book.equity[-1] - book.equity[0], abs=1e-4)


def test_shuffled_input_rows_give_the_same_trips() -> None:
    trades, positions = trades_table(HAND_TRADES), positions_table(HAND_POSITIONS)
    shuffled = [table.sample(fraction=1.0, shuffle=True, seed=3) for table in (trades, positions)]
    assert round_trips(*shuffled, DAYS[:7]).equals(hand_trips())


def tables(books: list[Book]) -> tuple[pl.DataFrame, pl.DataFrame]:
    trades = [row for book in books for row in merged(book.trades)]
    return trades_table(trades), positions_table([row for book in books for row in book.positions])


def merged(trades: list[tuple[int, str, str, str, float, float]]) -> list[tuple[int, str, str, str, float, float]]:
    """One row for each session, name and side, as the contract has it."""
    total: dict[tuple[int, str, str, str], tuple[float, float]] = {}
    for *key, amount, cost in trades:
        before = total.get(tuple(key), (0.0, 0.0))  # type: ignore[arg-type]
        total[tuple(key)] = (before[0] + amount, before[1] + cost)  # type: ignore[index]
    return [(*key, *both) for key, both in total.items()]
