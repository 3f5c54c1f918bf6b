"""What the backtest asset stores, and the way to its files and back."""

from dataclasses import dataclass, fields

import polars as pl

from quant_assets.storage.table_files import read_table, table_files
from quant_core.backtest.simulate import Backtest


@dataclass(frozen=True)
class Evaluation:
    """Everything that the backtest asset stores."""

    backtest: Backtest
    quality: pl.DataFrame  # ForecastQuality
    decay: pl.DataFrame  # ForecastDecay
    quantiles: pl.DataFrame  # ForecastQuantiles
    coverage: pl.DataFrame  # members whose sessions lack prices
    defects: pl.DataFrame  # rows of the tested span by kind of defect
    lost: pl.DataFrame  # date: sessions of the tested span without a price of any member
    regimes: pl.DataFrame  # date, regime: the traded method's label of each session; empty without regimes
    by_regime: pl.DataFrame  # measures of each strategy and the benchmark in each regime
    attribution: pl.DataFrame  # Attribution: what each book's active return was made of
    transfer: pl.DataFrame  # TransferCoefficients
    transitions: pl.DataFrame  # how the regimes followed each other

    def files(self) -> dict[str, bytes]:
        """As the files of an artifact."""
        own = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "backtest"}
        return table_files(**own, **{f.name: getattr(self.backtest, f.name) for f in fields(self.backtest)})

    @classmethod
    def of(cls, files: dict[str, bytes]) -> "Evaluation":
        """What `files` stored."""
        backtest = Backtest(**{f.name: read_table(files, f.name) for f in fields(Backtest)})
        return cls(backtest, **{f.name: read_table(files, f.name) for f in fields(cls) if f.name != "backtest"})
