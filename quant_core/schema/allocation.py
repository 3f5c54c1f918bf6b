"""What strategies want to hold."""

import dataframely as dy

#: Tickers of TargetWeights that are no name: what stays uninvested, and a strategy that could not decide.
CASH, FAILED = "(cash)", "(failed)"


class TargetWeights(dy.Schema):
    """Weights decided at the close of `date`, to be filled at the next session.

    No row means that nothing was decided: the book is kept. Every decision has a row `CASH`, an all-cash one only
    that. A null weight keeps what is held of the name, and the rest share what that leaves. A row `FAILED` alone (null
    weight) says that the strategy could not decide: the book is kept and the failure counted.
    """

    date = dy.Date(primary_key=True)
    strategy = dy.String(primary_key=True)
    ticker = dy.String(primary_key=True)
    weight = dy.Float64(nullable=True, min=0.0, max=1.0)
