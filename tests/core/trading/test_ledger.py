"""The ledger against hand-computed numbers, a plain day loop and its own conservation laws."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quant_core.errors import DataError
from quant_core.trading.costs import FlatCosts
from quant_core.trading.ledger import run_ledger

FREE = FlatCosts(0.0, 0.0, 0.0)
SEEDS = st.integers(0, 2**32 - 1)


def draw_panel(seed, sessions=None, names=None):
    """A random panel with halts, untradable names, sparse decisions, cash buffers and fully invested rows."""
    rng = np.random.default_rng(seed)
    sessions, names = sessions or int(rng.integers(2, 40)), names or int(rng.integers(1, 9))
    shape = (sessions, names)
    overnight, intraday = rng.normal(0, 0.02, shape), rng.normal(0, 0.03, shape)
    halted = rng.random(shape) < 0.1
    overnight[halted] = np.nan
    intraday[halted | (rng.random(shape) < 0.03)] = np.nan
    raw = rng.exponential(1.0, shape) * (rng.random(shape) < 0.6)
    invested = np.where(rng.random((sessions, 1)) < 0.5, 1.0, rng.uniform(0.0, 1.0, (sessions, 1)))
    total = raw.sum(axis=1, keepdims=True)
    targets = np.where(total > 0, raw / np.where(total > 0, total, 1.0) * invested, 0.0)
    targets[rng.random(sessions) < 0.4] = np.nan
    return SimpleNamespace(
        overnight=overnight,
        intraday=intraday,
        targets=targets,
        tradable=~halted & (rng.random(shape) < 0.95),
        costs=FlatCosts(float(rng.choice([0.0, 10.0, 150.0])), 5.0 * rng.random(), 0.0),
        fill=str(rng.choice(["open", "close"])),
        interest=float(rng.choice([0.0, 0.0003])),
    )


def run(panel, **changes):
    settings_ = {"costs": panel.costs, "fill": panel.fill, "cash_return_1d": panel.interest, **changes}
    return run_ledger(panel.overnight, panel.intraday, panel.targets, panel.tradable, **settings_)


def naive_book(panel, capital=1e7):
    """The rules once more, one name at a time in dictionaries; shares no code with the ledger."""
    rate, cash, value, rows = panel.costs.rate, capital, {}, []
    known = np.nan_to_num  # a missing return is 0
    for t in range(len(panel.targets)):
        traded = cost = fills = unfilled = cash_move = 0.0
        before = None
        for step in ("overnight", "trade", "intraday") if panel.fill == "open" else ("overnight", "intraday", "trade"):
            if t == 0:
                continue
            if step != "trade":
                if step == "overnight":
                    cash *= 1 + panel.interest
                value = {i: v * (1 + known(getattr(panel, step)[t, i])) for i, v in value.items()}
            elif not np.isnan(panel.targets[t - 1]).all():
                before, cash_before = cash + sum(value.values()), cash
                orders = {}
                for i, weight in enumerate(panel.targets[t - 1]):
                    order = weight * before - value.get(i, 0.0)
                    if abs(order) > 1e-12 * before:
                        if panel.tradable[t, i]:
                            orders[i] = order
                        else:
                            unfilled += 1
                for i, order in orders.items():
                    if order < 0:
                        cash += -order * (1 - rate)
                        value[i] += order
                buys = {i: order for i, order in orders.items() if order > 0}
                bill = sum(buys.values()) * (1 + rate)
                affordable = min(1.0, cash / bill) if bill > 0 else 1.0
                for i, order in buys.items():
                    cash -= order * affordable * (1 + rate)
                    value[i] = value.get(i, 0.0) + order * affordable
                done = {i: order * (1 if order < 0 else affordable) for i, order in orders.items()}
                fills = sum(1 for order in done.values() if abs(order) > 1e-12 * before)
                traded = sum(abs(order) for order in done.values())
                cost, cash_move = rate * traded, abs(cash - cash_before)
        equity = cash + sum(value.values())
        rows.append((equity, cash, (traded + cash_move) / 2 / before if before else 0.0, cost, fills, unfilled))
    return [np.array(column) for column in zip(*rows, strict=True)]


def test_one_purchase_held_over_a_night_matches_the_arithmetic_by_hand():
    overnight, intraday = np.array([[0.5], [0.5], [0.10]]), np.array([[0.5], [0.02], [-0.05]])
    targets = np.array([[0.5], [np.nan], [np.nan]])
    book = run_ledger(overnight, intraday, targets, np.ones((3, 1), bool), costs=FlatCosts(), initial_capital=1000.0)
    # Buy 500 at the open of session 1 for a cost of 1; +2 % to 510; then +10 % and -5 % to 532.95. Cash 499.
    np.testing.assert_allclose(book.cash, [1000.0, 499.0, 499.0])
    np.testing.assert_allclose(book.equity, [1000.0, 1009.0, 1031.95])
    np.testing.assert_allclose(book.simple_return, [0.0, 0.009, 1031.95 / 1009.0 - 1.0])
    np.testing.assert_allclose(book.cost, [0.0, 1.0, 0.0])
    np.testing.assert_allclose(book.turnover, [0.0, 0.5 * (0.5 + 0.501), 0.0])
    np.testing.assert_allclose(book.weights[:, 0], [0.0, 510.0 / 1009.0, 532.95 / 1031.95])
    assert book.n_fills.tolist() == [0, 1, 0]
    assert book.n_unfilled.tolist() == [0, 0, 0]


def test_a_fill_at_the_close_earns_nothing_on_the_day_of_the_fill():
    overnight, intraday = np.array([[0.0], [0.3], [0.10]]), np.array([[0.0], [0.2], [0.0]])
    targets = np.array([[1.0], [np.nan], [np.nan]])
    book = run_ledger(overnight, intraday, targets, np.ones((3, 1), bool), costs=FREE, fill="close")
    np.testing.assert_allclose(book.simple_return, [0.0, 0.0, 0.10])


def test_buys_beyond_the_cash_shrink_by_one_factor_and_leave_no_cash():
    targets = np.array([[0.75, 0.25], [np.nan, np.nan]])
    flat = np.zeros((2, 2))
    book = run_ledger(
        flat, flat, targets, np.ones((2, 2), bool), costs=FlatCosts(100.0, 0.0, 0.0), initial_capital=101.0
    )
    np.testing.assert_allclose(book.weights[1] * book.equity[1], [75.0, 25.0])  # 101 = 100 of stock + 1 of cost
    assert book.cash[1] == 0.0
    assert book.cost[1] == pytest.approx(1.0)


def test_an_unfilled_sale_keeps_the_position_and_is_not_carried_over():
    targets = np.array([[1.0], [0.0], [np.nan], [np.nan]])
    tradable = np.array([[True], [True], [False], [True]])
    flat = np.zeros((4, 1))
    book = run_ledger(flat, flat, targets, tradable, costs=FREE)
    assert book.weights[:, 0].tolist() == [0.0, 1.0, 1.0, 1.0]
    assert book.n_unfilled.tolist() == [0, 0, 1, 0]
    assert book.n_fills.tolist() == [0, 1, 0, 0]


def test_the_last_decision_has_no_session_left_to_be_filled_in():
    flat = np.zeros((2, 1))
    book = run_ledger(flat, flat, np.array([[np.nan], [1.0]]), np.ones((2, 1), bool), costs=FREE)
    assert book.n_fills.sum() == 0
    assert book.weights.sum() == 0.0


def test_cash_earns_its_rate_from_the_second_session_on():
    flat = np.zeros((3, 1))
    book = run_ledger(
        flat, flat, np.full((3, 1), np.nan), np.ones((3, 1), bool), costs=FREE, cash_return_1d=[0.5, 0.01, 0.02]
    )
    np.testing.assert_allclose(book.equity / 1e7, [1.0, 1.01, 1.01 * 1.02])


@settings(max_examples=300, deadline=None)
@given(SEEDS)
def test_the_book_equals_a_plain_day_loop(seed):
    panel = draw_panel(seed)
    book, (equity, cash, turnover, cost, fills, unfilled) = run(panel), naive_book(panel)
    np.testing.assert_allclose(book.equity, equity, rtol=1e-9)
    np.testing.assert_allclose(book.cash, cash, rtol=1e-9, atol=1e-4)
    np.testing.assert_allclose(book.turnover, turnover, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(book.cost, cost, rtol=1e-9, atol=1e-6)
    np.testing.assert_array_equal(book.n_fills, fills)
    np.testing.assert_array_equal(book.n_unfilled, unfilled)


@settings(max_examples=200, deadline=None)
@given(SEEDS)
def test_cash_is_never_negative_and_holdings_make_up_the_rest_of_equity(seed):
    book = run(draw_panel(seed))
    assert (book.cash >= 0.0).all()
    assert (book.weights >= 0.0).all()
    np.testing.assert_allclose(book.cash + book.weights.sum(axis=1) * book.equity, book.equity, rtol=1e-12)


@settings(max_examples=200, deadline=None)
@given(SEEDS)
def test_the_order_of_the_names_does_not_matter(seed):
    panel = draw_panel(seed)
    order = np.random.default_rng(seed).permutation(panel.targets.shape[1])
    shuffled = SimpleNamespace(**vars(panel))
    for name in ("overnight", "intraday", "targets", "tradable"):
        setattr(shuffled, name, getattr(panel, name)[:, order])
    book, other = run(panel), run(shuffled)
    np.testing.assert_allclose(other.equity, book.equity, rtol=1e-12)
    np.testing.assert_allclose(other.weights, book.weights[:, order], rtol=1e-9, atol=1e-12)


@settings(max_examples=200, deadline=None)
@given(SEEDS, st.floats(0.0, 200.0), st.floats(0.0, 200.0))
def test_a_first_purchase_is_worth_less_the_more_it_costs(seed, first_bps, second_bps):
    panel = draw_panel(seed)
    panel.targets[1:] = np.nan  # one set of trades, so that costs change nothing else
    cheap, dear = (run(panel, costs=FlatCosts(bps, 0.0, 0.0)) for bps in sorted((first_bps, second_bps)))
    assert (dear.equity[:2] <= cheap.equity[:2] * (1 + 1e-12)).all()


def test_on_fixed_trades_equity_falls_by_exactly_the_cost():
    rng = np.random.default_rng(3)
    shape = (30, 4)
    overnight, intraday = rng.normal(0, 0.01, shape), rng.normal(0, 0.01, shape)
    targets = np.full(shape, np.nan)
    targets[0] = 0.2  # a cash buffer, so that no purchase is cut
    free, paid = (
        run_ledger(overnight, intraday, targets, np.ones(shape, bool), costs=c)
        for c in (FREE, FlatCosts(50.0, 0.0, 0.0))
    )
    np.testing.assert_allclose(free.equity[1:] - paid.equity[1:], 0.005 * 0.8 * 1e7, rtol=1e-9)


@settings(max_examples=100, deadline=None)
@given(SEEDS)
def test_rebalancing_daily_for_free_is_the_constantly_rebalanced_portfolio(seed):
    rng = np.random.default_rng(seed)
    intraday = rng.normal(0, 0.03, (25, 5))
    weights = rng.dirichlet(np.ones(6))[:5]  # the sixth part is cash
    book = run_ledger(
        np.zeros_like(intraday), intraday, np.tile(weights, (25, 1)), np.ones_like(intraday, bool), costs=FREE
    )
    np.testing.assert_allclose(book.equity[1:], 1e7 * np.cumprod(1 + intraday[1:] @ weights), rtol=1e-10)


def test_buying_and_holding_one_stock_earns_its_total_return_from_the_fill():
    rng = np.random.default_rng(11)
    overnight, intraday = rng.normal(0, 0.02, (250, 1)), rng.normal(0, 0.02, (250, 1))
    targets = np.full((250, 1), np.nan)
    targets[0] = 1.0
    book = run_ledger(overnight, intraday, targets, np.ones((250, 1), bool), costs=FREE)
    path = (1 + intraday[1]) * np.prod((1 + overnight[2:]) * (1 + intraday[2:]))
    assert book.equity[-1] == pytest.approx(1e7 * path[0], rel=1e-12)


def test_repeating_a_full_weight_trades_once_only():
    rng = np.random.default_rng(5)
    overnight, intraday = rng.normal(0, 0.02, (50, 2)), rng.normal(0, 0.02, (50, 2))
    book = run_ledger(overnight, intraday, np.tile([1.0, 0.0], (50, 1)), np.ones((50, 2), bool), costs=FlatCosts())
    assert book.n_fills.sum() == 1
    assert book.cash[1:].max() == 0.0


@settings(max_examples=200, deadline=None)
@given(SEEDS)
def test_a_name_that_cannot_be_traded_changes_by_its_return_only(seed):
    panel = draw_panel(seed)
    panel.tradable[:, 0] = np.arange(len(panel.tradable)) < 5  # tradable at first, then never again
    book = run(panel)
    value = book.weights[:, 0] * book.equity
    growth = (1 + np.nan_to_num(panel.overnight[:, 0])) * (1 + np.nan_to_num(panel.intraday[:, 0]))
    np.testing.assert_allclose(value[5:], value[4:-1] * growth[5:], rtol=1e-9, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "row", "column", "bad", "message"),
    [
        ("overnight", 1, 2, -1.0, "overnight_return row 1 column 2 is -1.0"),
        ("intraday", 3, 0, np.inf, "intraday_return row 3 column 0 is inf"),
        ("targets", 2, 1, -0.1, "target_weights row 2 column 1 is -0.1"),
        ("targets", 2, 1, np.inf, "target_weights row 2 column 1 is inf"),
        ("targets", 2, 1, -np.inf, "target_weights row 2 column 1 is -inf"),
        ("targets", 4, 2, np.nan, "target_weights row 4 column 2 is nan beside numbers"),
        ("targets", 0, 1, 0.9, r"target_weights row 0 sums to 1.1"),
    ],
)
def test_a_bad_cell_is_named_by_row_and_column(name, row, column, bad, message):
    panel = SimpleNamespace(
        overnight=np.zeros((5, 3)),
        intraday=np.zeros((5, 3)),
        targets=np.full((5, 3), 0.1),
        tradable=np.ones((5, 3), bool),
    )
    getattr(panel, name)[row, column] = bad
    with pytest.raises(DataError, match=message):
        run_ledger(panel.overnight, panel.intraday, panel.targets, panel.tradable, costs=FREE)


def test_rounding_of_a_sum_of_targets_is_accepted_and_credit_is_not():
    flat, ok = np.zeros((2, 2)), np.ones((2, 2), bool)
    assert run_ledger(flat, flat, np.full((2, 2), 0.5 + 2e-10), ok, costs=FREE).cash[1] == 0.0
    with pytest.raises(DataError, match="sums to"):
        run_ledger(flat, flat, np.full((2, 2), 0.5 + 1e-9), ok, costs=FREE)


def test_other_bad_arguments_are_refused():
    flat, ok = np.zeros((3, 2)), np.ones((3, 2), bool)
    for arrays in ((flat, flat, flat[:, :1], ok), (flat[:2], flat, flat, ok), (flat[0], flat[0], flat[0], ok[0])):
        with pytest.raises(DataError, match="shapes"):
            run_ledger(*arrays, costs=FREE)
    for bad in ({"fill": "noon"}, {"initial_capital": 0.0}, {"cash_return_1d": np.nan}, {"cash_return_1d": [0.0]}):
        with pytest.raises(DataError, match=next(iter(bad))):
            run_ledger(flat, flat, flat, ok, costs=FREE, **bad)


def test_inputs_are_left_as_they_were():
    panel = draw_panel(1, sessions=20, names=4)
    before = [a.copy() for a in (panel.overnight, panel.intraday, panel.targets, panel.tradable)]
    run(panel)
    for old, new in zip(before, (panel.overnight, panel.intraday, panel.targets, panel.tradable), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize("bad", [{"commission_bps": -1.0}, {"slippage_bps": float("nan")}, {"spread_bps": 1e4}])
def test_costs_that_cannot_be_are_refused(bad):
    with pytest.raises(DataError, match="bps"):
        FlatCosts(**bad)


def test_the_default_cost_is_twenty_basis_points_a_side():
    assert FlatCosts().rate == pytest.approx(0.0020, rel=1e-15)
