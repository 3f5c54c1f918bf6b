"""The out-of-sample test, from the first fold through each one, and the report that a person reads."""

from dataclasses import replace
from typing import Any

import dagster as dg
import polars as pl

from quant_assets.assets.training import ONE_FOLD_A_RUN
from quant_assets.config import core_settings
from quant_assets.lab import Lab
from quant_assets.metadata import markdown_table
from quant_assets.reporting import report_input
from quant_assets.resources import tracked
from quant_assets.tables import read_table, table_files
from quant_core.backtest.simulate import Backtest, BacktestConfig, simulate
from quant_core.forecasting import MODELS
from quant_core.forecasting.labels import forward_returns
from quant_core.forecasting.scores import baseline_scores, rank_ic_by_date
from quant_core.schema import Forecasts

TABLES = ("daily", "positions", "benchmark", "quality", "metrics")


def build(lab: Lab) -> list[dg.AssetsDefinition]:
    """backtest and backtest_report of one profile."""
    return [_backtest(lab), _backtest_report(lab)]


def _backtest(lab: Lab) -> dg.AssetsDefinition:
    config_type: Any = lab.config("backtest")
    first_month = f"{lab.profile.first_fold}-01"

    def since_first_fold(asset: str) -> dg.AssetIn:
        return dg.AssetIn(
            lab.key(asset), partition_mapping=lab.partitions.through_fold, metadata={"optional_before": first_month}
        )

    @dg.asset(
        key_prefix=lab.prefix,
        group_name="evaluation",
        partitions_def=lab.partitions.folds,
        backfill_policy=ONE_FOLD_A_RUN,
        kinds={"numba", "mlflow"},
        required_resource_keys={"mlflow"},
        code_version=lab.code(
            "backtest", "quant_core/backtest", "quant_core/trading", "quant_core/forecasting/scores.py"
        ),
        ins={
            name: since_first_fold(name)
            for name in ("clean_prices", "target_weights", "features", *(f"forecasts_{model}" for model in MODELS))
        },
    )
    def backtest(
        context: dg.AssetExecutionContext,
        config: config_type,
        clean_prices: pl.LazyFrame,
        target_weights: pl.LazyFrame,
        features: pl.LazyFrame,
        **forecasts: pl.LazyFrame,
    ) -> dict:
        """Every strategy through one ledger, net of costs; forecast quality of every model beside momentum."""
        out_of_sample = pl.col("date").dt.year() >= lab.profile.first_fold
        prices = clean_prices.filter(out_of_sample).collect()
        with tracked(context, "backtest", config.model_dump()) as mlflow:
            result = simulate(
                prices, target_weights.filter(out_of_sample).collect(), core_settings(BacktestConfig, config)
            )
            scores = pl.concat([Forecasts.create_empty(), *(f.collect() for f in forecasts.values())])
            result = replace(result, quality=forecast_quality(scores, features.filter(out_of_sample), prices))
            for row in result.metrics.iter_rows(named=True):
                mlflow.log_metrics(
                    {f"{row['strategy']}.{k}": v for k, v in row.items() if isinstance(v, float) and v == v}
                )
        context.add_output_metadata({
            "metrics": markdown_table(result.metrics.select(result.metrics.columns[:12]), 20),
            "first_session": str(result.daily["date"].min()), "last_session": str(result.daily["date"].max()),
            "sessions": result.daily["date"].n_unique(), "strategies": result.daily["strategy"].n_unique(),
        })  # fmt: skip
        coverage = member_coverage(prices, lab.membership())
        return table_files(coverage=coverage, **{name: getattr(result, name) for name in TABLES})

    return backtest


def member_coverage(prices: pl.DataFrame, membership: pl.DataFrame | None) -> pl.DataFrame:
    """Members whose sessions lack prices: rows (ticker, sessions_as_member, sessions_priced), fewest priced first.

    Args:
        prices: CleanPrices of the tested span.
        membership: dated intervals, or None where everything the source has is a member.
    """
    empty = pl.DataFrame(schema={"ticker": pl.String, "sessions_as_member": pl.UInt32, "sessions_priced": pl.UInt32})
    if membership is None or prices.is_empty():
        return empty
    member_days = membership.join(prices.select(pl.col("date").unique()), how="cross").filter(
        (pl.col("date") >= pl.col("from_date")) & (pl.col("to_date").is_null() | (pl.col("date") < pl.col("to_date")))
    )
    priced = prices.filter("is_member", ~pl.col("is_filled")).group_by("ticker").len("sessions_priced")
    counted = member_days.group_by("ticker").len("sessions_as_member").join(priced, on="ticker", how="left")
    lacking = counted.with_columns(pl.col("sessions_priced").fill_null(0)).filter(
        pl.col("sessions_priced") < pl.col("sessions_as_member")
    )
    return pl.concat([empty, lacking.cast(empty.schema)]).sort("sessions_priced", "ticker")


def forecast_quality(scores: pl.DataFrame, features: pl.LazyFrame, prices: pl.DataFrame) -> pl.DataFrame:
    """Daily IC of every model and of momentum against the returns that followed, for each model's own horizon."""
    if scores.is_empty():
        return rank_ic_by_date(scores.select("date", "ticker", "model", "score"), forward_returns(prices, 5))
    horizon = int(scores["horizon_sessions"].max())  # type: ignore[arg-type]
    momentum = [name for name in features.collect_schema().names() if name in ("momentum_126d", "log_return_126d")]
    baselines = (
        baseline_scores(features.select("date", "ticker", "is_eligible", *momentum).collect())
        if momentum
        else scores.clear()
    )
    columns = ["date", "ticker", "model", "score"]
    both = pl.concat([scores.select(columns), baselines.select(columns)])
    return rank_ic_by_date(both, forward_returns(prices, horizon))


def load_backtest(files: dict[str, bytes]) -> Backtest:
    """The result that the backtest asset stored."""
    return Backtest(**{name: read_table(files, name) for name in TABLES})


def _backtest_report(lab: Lab) -> dg.AssetsDefinition:
    @dg.asset(
        key_prefix=lab.prefix,
        group_name="evaluation",
        partitions_def=lab.partitions.folds,
        backfill_policy=ONE_FOLD_A_RUN,
        kinds={"plotly", "html"},
        code_version=lab.code("backtest_report", "quant_core/report", "quant_assets/reporting.py"),
        ins={"backtest": dg.AssetIn(lab.key("backtest"))},
    )
    def backtest_report(context: dg.AssetExecutionContext, backtest: dict) -> dict:
        """One self-contained HTML page: every strategy beside the index, out of sample, net of costs."""
        from quant_core.report.render import markdown_summary, render_report

        result = load_backtest(backtest[context.partition_key])
        coverage = read_table(backtest[context.partition_key], "coverage")
        data = report_input(lab, context.partition_key, result, coverage)
        html, summary = render_report(data), markdown_summary(data)
        context.add_output_metadata(
            {"summary": dg.MetadataValue.md(summary), "size_mb": round(len(html.encode()) / 1e6, 2)}
        )
        return {"report.html": html.encode(), "summary.md": summary.encode()}

    return backtest_report
