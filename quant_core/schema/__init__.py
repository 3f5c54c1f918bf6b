"""The contract of every table that passes between stages, one file a stage: columns, dtypes, keys, units.

Tables are long and sorted by (date, ticker). A price is in rupees of the row's own `basis`; a return is simple unless
the name says log; a weight is a fraction of equity. `validate` turns a broken contract into a DataError that names
the row.
"""

from quant_core.schema.allocation import CASH, FAILED, TargetWeights
from quant_core.schema.backtest import (
    BUY,
    CARRIED,
    DELISTING,
    DIVIDEND,
    NO_SERIES,
    PROVISIONAL,
    SELL,
    BacktestCosts,
    BacktestDaily,
    BacktestPositions,
    BacktestTrades,
    BenchmarkReturns,
    RoundTrips,
    Sensitivity,
    Significance,
)
from quant_core.schema.cleaning import IS_ELIGIBLE, IS_QUARANTINED, CleanPrices
from quant_core.schema.contract import OPTIONAL, validate
from quant_core.schema.features import Features
from quant_core.schema.forecasting import (
    DISTRIBUTION_COLUMNS,
    QUANTILE_COLUMNS,
    QUANTILE_LEVELS,
    ForecastComparison,
    ForecastContribution,
    ForecastDecay,
    ForecastPit,
    ForecastQuality,
    ForecastQuantiles,
    ForecastReliability,
    Forecasts,
    ForecastScorecard,
    TrainingLabels,
)
from quant_core.schema.market import (
    CONFIRMED_KINDS,
    DIVIDEND_KINDS,
    EQUITY,
    FACTOR_KINDS,
    INDEX,
    REAL_MOVE,
    SPLIT_ADJUSTED,
    SUSPENSION,
    TERMINAL_KINDS,
    UNADJUSTED,
    RawOhlcv,
)
from quant_core.schema.representation import Embeddings

__all__ = [
    "BUY",
    "CARRIED",
    "CASH",
    "CONFIRMED_KINDS",
    "DELISTING",
    "DISTRIBUTION_COLUMNS",
    "DIVIDEND",
    "DIVIDEND_KINDS",
    "EQUITY",
    "FACTOR_KINDS",
    "FAILED",
    "INDEX",
    "IS_ELIGIBLE",
    "IS_QUARANTINED",
    "NO_SERIES",
    "OPTIONAL",
    "PROVISIONAL",
    "QUANTILE_COLUMNS",
    "QUANTILE_LEVELS",
    "REAL_MOVE",
    "SELL",
    "SPLIT_ADJUSTED",
    "SUSPENSION",
    "TERMINAL_KINDS",
    "UNADJUSTED",
    "BacktestCosts",
    "BacktestDaily",
    "BacktestPositions",
    "BacktestTrades",
    "BenchmarkReturns",
    "CleanPrices",
    "Embeddings",
    "Features",
    "ForecastComparison",
    "ForecastContribution",
    "ForecastDecay",
    "ForecastPit",
    "ForecastQuality",
    "ForecastQuantiles",
    "ForecastReliability",
    "ForecastScorecard",
    "Forecasts",
    "RawOhlcv",
    "RoundTrips",
    "Sensitivity",
    "Significance",
    "TargetWeights",
    "TrainingLabels",
    "validate",
]
