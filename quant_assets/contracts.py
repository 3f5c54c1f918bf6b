"""Which schema each stored table keeps: what the check `contract` holds every asset against."""

from collections.abc import Mapping

import dataframely as dy

from quant_core.schema import (
    BacktestCosts,
    BacktestDaily,
    BacktestPositions,
    BacktestTrades,
    BenchmarkReturns,
    BookSettings,
    CleanPrices,
    Embeddings,
    Features,
    ForecastComparison,
    ForecastContribution,
    ForecastDecay,
    ForecastPit,
    ForecastQuality,
    ForecastQuantiles,
    ForecastReliability,
    Forecasts,
    ForecastScorecard,
    RawOhlcv,
    RegimeAgreement,
    RegimeAlarms,
    RegimeBooks,
    RegimeHistory,
    RegimeRecall,
    Regimes,
    RegimeStability,
    RegimeStatistics,
    RegimeSummary,
    RoundTrips,
    Sensitivity,
    Significance,
    TargetWeights,
    TrainingLabels,
)

Schema = type[dy.Schema]
#: The contract of every asset that stores tables: a table's schema, or those of the tables in an artifact.
CONTRACTS: Mapping[str, Schema | Mapping[str, Schema]] = {
    "raw_ohlcv": RawOhlcv,
    "clean_prices": CleanPrices,
    "features": Features,
    "training_window": {"labels": TrainingLabels},
    "embeddings": Embeddings,
    "regimes": Regimes,
    "regime_history": {"history": RegimeHistory},
    "forecasts": Forecasts,  # of every model
    "regime_books": {"regime_books": RegimeBooks},
    "book_settings": {"book_settings": BookSettings},
    "target_weights": TargetWeights,
    "backtest": {
        "daily": BacktestDaily, "positions": BacktestPositions, "trades": BacktestTrades, "costs": BacktestCosts,
        "trips": RoundTrips, "benchmark": BenchmarkReturns, "sensitivity": Sensitivity,
        "quality": ForecastQuality, "decay": ForecastDecay, "quantiles": ForecastQuantiles,
    },
    "forecast_quality": {
        "scorecard": ForecastScorecard, "pit": ForecastPit, "reliability": ForecastReliability,
    },
    "regime_quality": {
        "recall": RegimeRecall, "alarms": RegimeAlarms, "statistics": RegimeStatistics, "summary": RegimeSummary,
        "agreement": RegimeAgreement, "stability": RegimeStability,
    },
    "forecast_comparison": {"pairs": ForecastComparison, "contributions": ForecastContribution},
    "backtest_report": {"significance": Significance},
}  # fmt: skip


def contract_of(asset: str) -> Mapping[str, Schema]:
    """The schema of each table of an asset; "" names the table of an asset that stores only one."""
    found = CONTRACTS.get("forecasts" if asset.startswith("forecasts_") else asset, {})
    return {"": found} if isinstance(found, type) else found
