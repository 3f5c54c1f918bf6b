"""Raw rows of the market, and the kinds of corporate action that lists and tables name."""

import dataframely as dy

EQUITY, INDEX = "equity", "index"
UNADJUSTED, SPLIT_ADJUSTED = "unadjusted", "split_adjusted"
#: Kinds of a line in a list of corporate actions, see market/action_list.py: price factors (a vendor's split gives way
#: to a confirmed kind), dividends, ends of the name (what a holder gets is no return of its own prices), and the rest.
CONFIRMED_KINDS = ("split_or_bonus_confirmed", "split_or_bonus_unconfirmed", "rights", "demerger")
FACTOR_KINDS = (*CONFIRMED_KINDS, "split")
DIVIDEND_KINDS = ("dividend", "dividend_implied", "dividend_known")
TERMINAL_KINDS = ("merger", "cash_out", "write_off")
SUSPENSION, REAL_MOVE = "suspension", "none"


class RawOhlcv(dy.Schema):
    """Rows as the vendor gave them, defects included; (date, ticker) may repeat."""

    date = dy.Date()
    ticker = dy.String(min_length=1)  # continuous name, symbol changes chained
    symbol = dy.String(min_length=1)  # as traded that day
    series = dy.String(nullable=True)  # NSE series of the row (EQ, BE, ...), null where the source does not say
    instrument = dy.String(check=lambda c: c.is_in([EQUITY, INDEX]))
    open_inr = dy.Float64(nullable=True)
    high_inr = dy.Float64(nullable=True)
    low_inr = dy.Float64(nullable=True)
    close_inr = dy.Float64(nullable=True)
    prev_close_inr = dy.Float64(nullable=True)  # the exchange's own field; never adjusted for splits
    volume_shares = dy.Int64(nullable=True)
    turnover_inr = dy.Float64(nullable=True)
    dividend_inr = dy.Float64()  # ex-date this session, in the row's basis; 0 for none
    price_factor = (
        dy.Float64()
    )  # previous close x factor = previous close on today's basis; 0.2 for a 5-for-1 split, 1 for none
    basis = dy.String(check=lambda c: c.is_in([UNADJUSTED, SPLIT_ADJUSTED]))
    source = dy.String()
    fetched_at = dy.Datetime(time_unit="us", time_zone="UTC")
