"""Tomorrow's orders: what each book wants next, the account on paper that follows it, and lists of orders."""

import dataframely as dy

#: Status of a book that no backtest has judged.
UNJUDGED = "not judged"
#: What a decision did to a name since the decision before it.
ENTERS, LEAVES, RAISED, LOWERED, SAME, KEPT = "enters", "leaves", "raised", "lowered", "same", "kept"
HOLD = "hold"
#: What the test of a paper account against its backtest says.
FEW, NO_DRIFT, DRIFT = "too few sessions", "no drift", "drift"


class Signals(dy.Schema):
    """A book's newest decision beside the one before it and beside what it holds; one row a name, and one for cash."""

    strategy = dy.String(primary_key=True)
    ticker = dy.String(primary_key=True)
    status = dy.String()  # what the gate of the newest backtest says of the book
    decision_date = dy.Date()
    fill_date = dy.Date()  # session that fills it
    is_pending = dy.Bool()  # whether that session lies ahead
    weight = dy.Float64(nullable=True, min=0.0, max=1.0)  # null keeps what is held
    previous_weight = dy.Float64(nullable=True)  # of the decision before; null where it was kept or there was none
    held_weight = dy.Float64()  # drifted, at the newest close
    change = dy.String(check=lambda c: c.is_in([ENTERS, LEAVES, RAISED, LOWERED, SAME, KEPT]))
    trade_weight = dy.Float64()  # weight - held_weight where that is to be traded, else 0
    score = dy.Float64(nullable=True)  # of the model that the book follows, on the decision's date
    rank = dy.Int32(nullable=True)  # 1 is the highest score
    previous_rank = dy.Int32(nullable=True)  # on the date of the decision before
    n_ranked = dy.Int32(nullable=True)
    regime = dy.String(nullable=True)  # of the traded method, on the decision's date
    close_inr = dy.Float64(nullable=True)
    cost_inr = dy.Float64(min=0.0)  # charges, slippage and impact of the trade, for the account's capital


class SignalHealth(dy.Schema):
    """What is to be known of the newest session's data before anything is traded on it."""

    item = dy.String(primary_key=True)
    value = dy.String()
    is_sound = dy.Bool()


class PaperDecisions(dy.Schema):
    """What was decided, recorded before the session that fills it; never rewritten."""

    date = dy.Date(primary_key=True)
    strategy = dy.String(primary_key=True)
    ticker = dy.String(primary_key=True)
    weight = dy.Float64(nullable=True, min=0.0, max=1.0)
    fill_date = dy.Date()
    recorded_at = dy.String()  # ISO, with its offset


class PaperDaily(dy.Schema):
    """A paper account after each close, beside the backtest's return of the same book on the same day."""

    date = dy.Date(primary_key=True)
    strategy = dy.String(primary_key=True)
    equity_inr = dy.Float64()
    cash_inr = dy.Float64()
    simple_return_1d = dy.Float64()  # net of costs; 0 on the first session
    cost_inr = dy.Float64()
    expected_return_1d = dy.Float64(nullable=True)  # of the backtest; null where it has none
    is_compared = dy.Bool()  # both have a return, and the account has been filled before


class PaperDrift(dy.Schema):
    """Whether a paper account earns what its backtest says, one row a book; see docs/metrics.md."""

    strategy = dy.String(primary_key=True)
    n_sessions = dy.Int32()  # compared
    mean_difference_1d = dy.Float64(nullable=True)  # paper less backtest
    low_difference_1d = dy.Float64(nullable=True)  # stationary bootstrap, 95 %
    high_difference_1d = dy.Float64(nullable=True)
    hac_t = dy.Float64(nullable=True)  # Newey-West; null without variance
    p_value = dy.Float64(nullable=True)  # two-sided
    p_holm = dy.Float64(nullable=True)  # corrected for the books tested together
    largest_difference_1d = dy.Float64(nullable=True)  # in size
    verdict = dy.String(check=lambda c: c.is_in([FEW, NO_DRIFT, DRIFT]))


class Orders(dy.Schema):
    """Whole shares to buy and sell at the next session, by the rules and charges of the ledger; hold has no order."""

    ticker = dy.String(primary_key=True)
    side = dy.String(check=lambda c: c.is_in(["buy", "sell", HOLD]))
    shares = dy.Int64(min=0)  # of the order
    held_shares = dy.Int64(min=0)
    target_weight = dy.Float64(nullable=True)  # null keeps what is held
    weight_after = dy.Float64()  # at the newest close
    price_inr = dy.Float64()  # the newest close, at which everything is reckoned
    value_inr = dy.Float64(min=0.0)  # of the order
    charges_inr = dy.Float64(min=0.0)  # brokerage, taxes and fees; the depository's charge of a sale
    slippage_inr = dy.Float64(min=0.0)
    impact_inr = dy.Float64(min=0.0)
    participation = dy.Float64(nullable=True)  # value over the average daily traded value; null where that is unknown
    limits = dy.String()  # what a limit did, or warns of; "" for nothing
