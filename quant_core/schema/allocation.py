"""What strategies want to hold."""

import dataframely as dy
import polars as pl

#: Tickers of TargetWeights that are no name: what stays uninvested, and a strategy that could not decide.
CASH, FAILED = "(cash)", "(failed)"
#: In the name of a book that is one seed of an agent, before its number.
SEED_MARK = "_seed_"
#: Whether a row is of such a book: an error bar of the agent's mean, and no bet of its own.
IS_SEED = pl.col("strategy").str.contains(SEED_MARK, literal=True)


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


class BookSettings(dy.Schema):
    """What a fold trades a model's scores with: candidates tried on the validation slice of the fold's own fits."""

    fold = dy.String(primary_key=True)
    model = dy.String(primary_key=True)
    setting = dy.String(primary_key=True)  # name of a setting of AllocationConfig
    value = dy.Float64(primary_key=True)
    fit_end = dy.Date()  # last session whose returns were counted
    # share of the IC's decay that a half-life explains; else the net Sharpe ratio, annualised; null: undefined
    merit = dy.Float64(nullable=True)
    is_chosen = dy.Bool()  # one a fold, model and setting
