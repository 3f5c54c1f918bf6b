"""What a report is made from, and the same prepared once: cut to the period, the chosen strategy's rows apart.

No figure or table is made here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from functools import cached_property
from typing import Any

import dataframely as dy
import polars as pl

from quant_core import schema
from quant_core.errors import DataError
from quant_core.measures.overfitting import Overfitting
from quant_core.report import series

#: Books of a model; the first of them is shown where no strategy was chosen.
PREFERRED = "top_n_"
SORTED_BY = ("date", "ticker", "kind", "side")  # the order of a sum is part of its last digit
BENCHMARK = "benchmark"  # its row in `metrics`, `significance` and `by_regime`

_SCHEMAS: Mapping[str, type[dy.Schema]] = {
    "positions": schema.BacktestPositions,
    "trades": schema.BacktestTrades,
    "costs": schema.BacktestCosts,
    "trips": schema.RoundTrips,
    "sensitivity": schema.Sensitivity,
    "significance": schema.Significance,
    "attribution": schema.Attribution,
    "transfer": schema.TransferCoefficients,
    "promotion": schema.Promotion,
    "promotion_leads": schema.PromotionLeads,
    "quality": schema.ForecastQuality,
    "decay": schema.ForecastDecay,
    "quantiles": schema.ForecastQuantiles,
    "scorecard": schema.ForecastScorecard,
    "pit": schema.ForecastPit,
    "reliability": schema.ForecastReliability,
    "pairs": schema.ForecastComparison,
    "contributions": schema.ForecastContribution,
    "importance": schema.ForecastImportance,
}
_OPTIONAL = (*_SCHEMAS, "regimes", "by_regime", "sectors", "data_quality")


@dataclass(frozen=True)
class ReportInput:
    """Everything that a report shows. Tables follow quant_core/schema/ unless said otherwise.

    Every table after `metrics` may be None, empty or without columns: its part of the report then says so, or is
    left out.

    Args:
        strategy: the one to detail; it is in `daily`.
        start, end: period, both included; rows outside are left out.
        daily, benchmark: BacktestDaily, BenchmarkReturns.
        metrics: one row a strategy and one called "benchmark": `strategy` and columns with units in their names.
        positions, trades, costs, trips: BacktestPositions, BacktestTrades, BacktestCosts, RoundTrips.
        sensitivity, significance: Sensitivity, Significance.
        attribution, transfer: Attribution, TransferCoefficients.
        promotion, promotion_leads: Promotion, PromotionLeads.
        quality, decay, quantiles: ForecastQuality, ForecastDecay, ForecastQuantiles.
        quality_summary: one mapping a model, as forecast scoring makes it.
        scorecard, pit, reliability: ForecastScorecard, ForecastPit, ForecastReliability.
        pairs, contributions: ForecastComparison, ForecastContribution.
        importance: ForecastImportance of the newest fold.
        regimes: `date`, `regime`, one label a session.
        by_regime: `strategy`, `regime` and measures, in any order.
        sectors: `ticker`, `sector`.
        overfitting: of all trials together.
        overfitting_by_family: of the variants of one strategy, by its name; families of one are left out.
        register_damage: what was deleted from the register of trials or edited in it; "" where it is whole.
        data_quality: any small table of what the data lack.
        warnings: sentences that stand above every figure, on the page and in the summary: what a reader must not miss.
        notes: sentences on what limits the numbers: survivorship, suspected actions, costs, fill rule.
        provenance: label -> text; a value that starts with http:// or https:// becomes a link.
    """

    title: str
    profile: str
    strategy: str
    start: date
    end: date
    daily: pl.DataFrame
    benchmark: pl.DataFrame
    metrics: pl.DataFrame
    positions: pl.DataFrame | None = None
    trades: pl.DataFrame | None = None
    costs: pl.DataFrame | None = None
    trips: pl.DataFrame | None = None
    sensitivity: pl.DataFrame | None = None
    significance: pl.DataFrame | None = None
    attribution: pl.DataFrame | None = None
    transfer: pl.DataFrame | None = None
    promotion: pl.DataFrame | None = None
    promotion_leads: pl.DataFrame | None = None
    quality: pl.DataFrame | None = None
    decay: pl.DataFrame | None = None
    quantiles: pl.DataFrame | None = None
    quality_summary: Sequence[Mapping[str, Any]] = ()
    scorecard: pl.DataFrame | None = None
    pit: pl.DataFrame | None = None
    reliability: pl.DataFrame | None = None
    pairs: pl.DataFrame | None = None
    contributions: pl.DataFrame | None = None
    importance: pl.DataFrame | None = None
    regimes: pl.DataFrame | None = None
    by_regime: pl.DataFrame | None = None
    sectors: pl.DataFrame | None = None
    overfitting: Overfitting | None = None
    overfitting_by_family: Mapping[str, Overfitting] = field(default_factory=dict)
    register_damage: str = ""
    data_quality: pl.DataFrame | None = None
    warnings: Sequence[str] = ()
    notes: Sequence[str] = ()
    provenance: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Prepared:
    """A report's input, prepared: no table is missing, every row lies in the period.

    `positions`, `trades` and `costs` hold the chosen strategy only; `trips` those of every strategy that were entered
    and, if closed, left in the period.
    """

    data: ReportInput
    positions: pl.DataFrame
    trades: pl.DataFrame
    costs: pl.DataFrame
    trips: pl.DataFrame
    sensitivity: pl.DataFrame
    significance: pl.DataFrame
    attribution: pl.DataFrame
    transfer: pl.DataFrame
    promotion: pl.DataFrame
    promotion_leads: pl.DataFrame
    quality: pl.DataFrame
    decay: pl.DataFrame
    quantiles: pl.DataFrame
    scorecard: pl.DataFrame
    pit: pl.DataFrame
    reliability: pl.DataFrame
    pairs: pl.DataFrame
    contributions: pl.DataFrame
    importance: pl.DataFrame
    regimes: pl.DataFrame | None
    by_regime: pl.DataFrame | None
    sectors: pl.DataFrame | None
    data_quality: pl.DataFrame | None

    @property
    def strategy(self) -> str:
        """The strategy shown in detail."""
        return self.data.strategy

    @cached_property
    def own(self) -> pl.DataFrame:
        """The chosen strategy's BacktestDaily rows, ascending."""
        return self.data.daily.filter(pl.col("strategy") == self.strategy).sort("date")

    @cached_property
    def held(self) -> pl.DataFrame:
        """`own` without the opening row, when nothing is held yet; with it where it is the only one."""
        return self.own[1:] if self.own.height > 1 else self.own

    @cached_property
    def returns(self) -> pl.DataFrame:
        """`date`, a column of simple returns a strategy, and the benchmark's."""
        return series.wide_returns(self.data.daily, self.data.benchmark)

    @cached_property
    def growth(self) -> pl.DataFrame:
        """Value of one rupee, columns as in `returns`."""
        return series.growth(self.returns)

    @cached_property
    def risk_free(self) -> pl.Series:
        """Return of cash on each of the dates of `returns`; 0 where the benchmark table has no row."""
        cash = self.data.benchmark.select("date", "risk_free_return_1d")
        joined = self.returns.select("date").join(cash, on="date", how="left", maintain_order="left")
        return joined["risk_free_return_1d"].fill_null(0.0).fill_nan(0.0)

    @cached_property
    def strategies(self) -> list[str]:
        """All of them by name."""
        return sorted(name for name in self.returns.columns if name not in ("date", series.BENCHMARK_KEY))

    @cached_property
    def slots(self) -> dict[str, int]:
        """Which hue each strategy but the chosen one has, on every figure."""
        return {name: k for k, name in enumerate(name for name in self.strategies if name != self.strategy)}

    @cached_property
    def has_benchmark(self) -> bool:
        """Whether any day has a benchmark return."""
        return self.returns[series.BENCHMARK_KEY].null_count() < self.returns.height

    @cached_property
    def benchmark_name(self) -> str:
        """The series that it is made of."""
        named = {
            name.removesuffix(schema.CARRIED).removesuffix(schema.PROVISIONAL)
            for name in self.data.benchmark["series"].unique().to_list()
            if name and name != schema.NO_SERIES
        }
        return ", ".join(sorted(named)) or "no benchmark"

    @cached_property
    def measured(self) -> pl.DataFrame:
        """`metrics` with cost and final equity where the caller has none: chosen first, benchmark last."""
        return series.with_extras(self.data.metrics, self.data.daily, self.strategy)

    def metrics_of(self, strategy: str) -> dict[str, Any]:
        """The row of one strategy, or of the benchmark; empty where there is none."""
        rows = self.measured.filter(pl.col("strategy") == strategy)
        return rows.row(0, named=True) if rows.height else {}

    @cached_property
    def model(self) -> str | None:
        """The forecaster behind the chosen strategy: the longest model name within its name, else the first one."""
        tables = (self.quality, self.decay, self.quantiles)
        found = {str(row["model"]) for row in self.data.quality_summary if "model" in row}
        models = sorted(found.union(*(table["model"].to_list() for table in tables)))
        inside = sorted((name for name in models if name in self.strategy), key=len, reverse=True)
        return (inside or models or [None])[0]

    @cached_property
    def is_own_model(self) -> bool:
        """Whether `model` is the chosen strategy's own rather than the first of the list."""
        return self.model is not None and self.model in self.strategy


def tested_span(daily: pl.DataFrame) -> tuple[date, date]:
    """First and last session of a BacktestDaily table."""
    first, last = daily["date"].min(), daily["date"].max()
    assert isinstance(first, date) and isinstance(last, date)  # noqa: PT018 - for the type checker
    return first, last


def chosen_strategy(daily: pl.DataFrame, wanted: str) -> str:
    """The strategy that is shown in detail: the wanted one, else the first model's book, else the first by name.

    Raises:
        DataError: `wanted` is not in the BacktestDaily table.
    """
    strategies = daily["strategy"].unique().sort().to_list()
    if wanted and wanted not in strategies:
        raise DataError(
            f"backtest_report: strategy is {wanted!r}; the backtest has {', '.join(strategies)}; "
            "choose one of them, or leave it empty."
        )
    return wanted or next((name for name in strategies if name.startswith(PREFERRED)), strategies[0])


def prepare(data: ReportInput) -> Prepared:
    """Cut to the period, take the chosen strategy's rows, replace missing tables by empty ones.

    Raises:
        DataError: the strategy has no row in the period.
    """
    tables = {name: _given(getattr(data, name)) for name in _OPTIONAL}
    for name, contract in _SCHEMAS.items():
        tables[name] = contract.create_empty() if tables[name] is None else tables[name]
    inside, chosen = pl.col("date").is_between(data.start, data.end), pl.col("strategy") == data.strategy
    for name in ("positions", "trades", "costs"):
        table = _some(tables[name]).filter(inside & chosen)
        tables[name] = table.sort([key for key in SORTED_BY if key in table.columns])
    tables["quality"] = _some(tables["quality"]).filter(inside)
    tables["trips"] = (
        _some(tables["trips"])
        .filter(
            pl.col("entry_date").is_between(data.start, data.end), (pl.col("exit_date") <= data.end).fill_null(True)
        )
        .sort("strategy", "entry_date", "ticker")
    )
    if tables["regimes"] is not None:
        tables["regimes"] = _given(tables["regimes"].filter(inside).drop_nulls("regime").sort("date"))
    within = replace(data, daily=data.daily.filter(inside), benchmark=data.benchmark.filter(inside))
    _check_strategy(within)
    return Prepared(within, **tables)  # type: ignore[arg-type]


def _some(table: pl.DataFrame | None) -> pl.DataFrame:
    """A table that is there: the empty ones have been made."""
    assert table is not None
    return table


def _given(table: pl.DataFrame | None) -> pl.DataFrame | None:
    """None for a table without rows or columns."""
    return None if table is None or table.width == 0 or table.height == 0 else table


def _check_strategy(data: ReportInput) -> None:
    known = sorted(data.daily["strategy"].unique().to_list())
    if data.strategy not in known:
        raise DataError(
            f"report {data.profile}: strategy {data.strategy!r} has no row in {data.start}..{data.end}, found {known}; "
            "run its backtest for the period or choose another."
        )
