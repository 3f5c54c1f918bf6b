"""Which books are candidates, and what each of them tried: the register and the settings beside a backtest."""

import polars as pl

from quant_assets.experiments.trials import SHIPPED
from quant_assets.lab import Lab
from quant_core.allocation import STRATEGIES
from quant_core.allocation.book_settings import n_untaken
from quant_core.backtest.promotion import Gate, promotion
from quant_core.backtest.simulate import Backtest
from quant_core.measures.luck import Luck, histories, luck_of
from quant_core.measures.overfitting import family

SEED = 7  # of the bootstrap


def gate_of(lab: Lab, result: Backtest, tried: pl.DataFrame) -> Gate:
    """What the gate says of every book that is no baseline of the lab.

    Args:
        tried: the histories of the register up to the end of the test.
    """
    registered, limits = list(STRATEGIES), lab.defaults("target_weights")
    own = histories(result.daily, result.benchmark).with_columns(trial=pl.col("strategy"), is_shipped=False)
    books = [name for name in own["strategy"].unique().sort() if name not in SHIPPED]
    kinds = {name: family(name, registered) for name in (*books, *tried["strategy"].unique())}

    def luck(kind: str) -> Luck:
        known = tried.filter(pl.col("strategy").replace_strict(kinds) == kind)
        rows = known if known.height else own.filter(pl.col("strategy").replace_strict(kinds, default=None) == kind)
        return luck_of(rows, n_untaken(kind, limits))

    by_kind = {kind: luck(kind) for kind in sorted({kinds[name] for name in books})}
    return promotion(result.stressed, result.benchmark, {name: by_kind[kinds[name]] for name in books}, SEED)
