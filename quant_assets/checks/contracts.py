"""Which schema each stored table keeps: what the check `contract` holds every asset against."""

from collections.abc import Mapping

import dataframely as dy

from quant_core.schema import (
    AgentBooks,
    AgentLeads,
    AgentRegimes,
    AgentSeeds,
    AgentYears,
    Attribution,
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
    PaperDaily,
    PaperDecisions,
    PaperDrift,
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
    SignalHealth,
    Signals,
    Significance,
    StressedReturns,
    TargetWeights,
    TrainingLabels,
    TransferCoefficients,
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
    "weights": TargetWeights,  # of every agent
    "rl_evaluation": {
        "books": AgentBooks, "seeds": AgentSeeds, "leads": AgentLeads, "regimes": AgentRegimes, "years": AgentYears,
    },
    "backtest": {
        "daily": BacktestDaily, "positions": BacktestPositions, "trades": BacktestTrades, "costs": BacktestCosts,
        "trips": RoundTrips, "benchmark": BenchmarkReturns, "sensitivity": Sensitivity,
        "quality": ForecastQuality, "decay": ForecastDecay, "quantiles": ForecastQuantiles,
        "stressed": StressedReturns, "attribution": Attribution, "transfer": TransferCoefficients,
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
    "signals": {
        "signals": Signals, "health": SignalHealth, "paper": PaperDaily, "drift": PaperDrift,
        "decisions": PaperDecisions,
    },
}  # fmt: skip


#: Kinds of assets of which there is one a model or agent, `<kind>_<name>`.
OF_MANY = ("forecasts", "weights")


def contract_of(asset: str) -> Mapping[str, Schema]:
    """The schema of each table of an asset; "" names the table of an asset that stores only one."""
    of_many = next((kind for kind in OF_MANY if asset.startswith(f"{kind}_")), asset)
    found = CONTRACTS.get(of_many, {})
    return {"": found} if isinstance(found, type) else found
