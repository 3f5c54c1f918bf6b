"""The out-of-sample test, from the first fold through each one, and the report that a person reads."""

from dataclasses import dataclass, fields
from typing import Any

import dagster as dg
import polars as pl

from quant_assets import trials
from quant_assets.assets.training import ONE_FOLD_A_RUN
from quant_assets.config import core_settings
from quant_assets.lab import Lab
from quant_assets.metadata import markdown_table
from quant_assets.reporting import MISSING_SESSION, report_input
from quant_assets.resources import tracked
from quant_assets.tables import read_table, table_files
from quant_core.backtest.config import BacktestConfig
from quant_core.backtest.guard import fits_of
from quant_core.backtest.simulate import Backtest, simulate
from quant_core.calendar import sessions
from quant_core.forecasting import MODELS
from quant_core.forecasting.decay import ic_decay
from quant_core.forecasting.labels import forward_returns
from quant_core.forecasting.scores import baseline_scores, quantile_summary, rank_ic_by_date
from quant_core.report.settings import ReportConfig
from quant_core.schema import EQUITY, Forecasts
from quant_core.trading.rebalancing import check_threshold

SHOWN = ("strategy", "cagr", "sharpe_ann", "max_drawdown", "volatility_ann", "turnover_ann", "cost_ann", "n_unfilled")


@dataclass(frozen=True)
class Evaluation:
    """Everything that the backtest asset stores."""

    backtest: Backtest
    quality: pl.DataFrame  # ForecastQuality
    decay: pl.DataFrame  # ForecastDecay
    quantiles: pl.DataFrame  # ForecastQuantiles
    coverage: pl.DataFrame  # members whose sessions lack prices
    defects: pl.DataFrame  # rows of the tested span by kind of defect

    def files(self) -> dict[str, bytes]:
        """As the files of an artifact."""
        own = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "backtest"}
        return table_files(**own, **{f.name: getattr(self.backtest, f.name) for f in fields(self.backtest)})

    @classmethod
    def of(cls, files: dict[str, bytes]) -> "Evaluation":
        """What `files` stored."""
        backtest = Backtest(**{f.name: read_table(files, f.name) for f in fields(Backtest)})
        return cls(backtest, **{f.name: read_table(files, f.name) for f in fields(cls) if f.name != "backtest"})


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
        code_version=lab.code("backtest", "quant_core/backtest", "quant_core/trading", "quant_core/forecasting"),
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
        scores = pl.concat([Forecasts.create_empty(), *(forecasts[name].collect() for name in sorted(forecasts))])
        settings = core_settings(BacktestConfig, config)
        check_threshold(lab.defaults("target_weights").rebalance, settings.trade_threshold)
        with tracked(context, "backtest", config.model_dump()) as mlflow:
            targets = target_weights.filter(out_of_sample).collect()
            result = simulate(prices, targets, settings, fits_of(scores))
            found = Evaluation(
                result,
                *forecast_quality(scores, features.filter(out_of_sample), prices),
                coverage=member_coverage(prices, lab.membership()),
                defects=defect_counts(prices),
            )
            for row in result.metrics.iter_rows(named=True):
                mlflow.log_metrics(
                    {f"{row['strategy']}.{k}": float(v) for k, v in row.items() if isinstance(v, (int, float))}
                )
            new = trials.register(lab.root, lab.profile.name, result.daily, result.benchmark)
            mlflow.log_metrics({"new_trials": new})
        context.add_output_metadata({
            "metrics": markdown_table(headline(result.metrics), 30),
            "first_session": str(result.daily["date"].min()), "last_session": str(result.daily["date"].max()),
            "sessions": result.daily["date"].n_unique(), "strategies": result.daily["strategy"].n_unique(),
            "trades": result.trades.height, "new_trials": new,
        })  # fmt: skip
        return found.files()

    return backtest


def headline(metrics: pl.DataFrame) -> pl.DataFrame:
    """The columns that the asset's page shows."""
    return metrics.select(name for name in SHOWN if name in metrics.columns)


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


def defect_counts(prices: pl.DataFrame) -> pl.DataFrame:
    """Rows of members by kind of defect: columns defect, n_rows, n_tickers, share_of_rows; most frequent first.

    Sessions on which nothing at all has a price are one more kind; `n_rows` counts them.
    """
    members = prices.filter("is_member", pl.col("instrument") == EQUITY)
    kinds = members.filter(pl.col("flags") != "").with_columns(defect=pl.col("flags").str.split("|")).explode("defect")
    counted = kinds.group_by("defect").agg(n_rows=pl.len().cast(pl.Int64), n_tickers=pl.col("ticker").n_unique())
    seen = prices.filter(~pl.col("is_filled"))["date"].unique().sort().to_list()
    lost = len(set(sessions(seen[0], seen[-1])) - set(seen)) if seen else 0
    if lost:
        row = pl.DataFrame({"defect": [MISSING_SESSION], "n_rows": [lost], "n_tickers": [0]})
        counted = pl.concat([counted, row.cast(counted.schema)])  # type: ignore[arg-type]
    share = pl.col("n_rows") / max(members.height, 1)
    return counted.with_columns(share_of_rows=share).sort(["n_rows", "defect"], descending=[True, False])


def forecast_quality(
    scores: pl.DataFrame, features: pl.LazyFrame, prices: pl.DataFrame
) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Of every model and of momentum: daily IC, its decay over horizons, and what the score quantiles earned.

    Returns:
        ForecastQuality, ForecastDecay, ForecastQuantiles; the first and the last for the models' own horizon.
    """
    columns = ["date", "ticker", "model", "score"]
    horizon, both = 5, scores.select(columns)
    if scores.height:
        horizon = int(scores["horizon_sessions"].max())  # type: ignore[arg-type]
        names = features.collect_schema().names()
        momentum = [name for name in names if name in ("momentum_126d", "log_return_126d")]
        if momentum:
            table = features.select("date", "ticker", "is_eligible", *momentum).collect()
            both = pl.concat([both, baseline_scores(table).select(columns)])
    forward = forward_returns(prices, horizon)
    return rank_ic_by_date(both, forward), ic_decay(both, prices), quantile_summary(both, forward)


def _backtest_report(lab: Lab) -> dg.AssetsDefinition:
    config_type: Any = lab.config("backtest_report")

    @dg.asset(
        key_prefix=lab.prefix,
        group_name="evaluation",
        partitions_def=lab.partitions.folds,
        backfill_policy=ONE_FOLD_A_RUN,
        kinds={"plotly", "html"},
        code_version=lab.code(
            "backtest_report", "quant_core/report", "quant_core/trading", "quant_assets/reporting.py",
            "quant_assets/trials.py",
        ),
        ins={"backtest": dg.AssetIn(lab.key("backtest"))},
    )  # fmt: skip
    def backtest_report(context: dg.AssetExecutionContext, config: config_type, backtest: dict) -> dict:
        """One self-contained HTML page: every strategy beside the index, out of sample, net of costs, deflated."""
        from quant_core.report.render import markdown_summary, render_report

        found = Evaluation.of(backtest[context.partition_key])
        data = report_input(lab, context.partition_key, found, core_settings(ReportConfig, config))
        html, summary = render_report(data), markdown_summary(data)
        context.add_output_metadata(
            {"summary": dg.MetadataValue.md(summary), "size_mb": round(len(html.encode()) / 1e6, 2)}
        )
        significance = table_files(significance=data.significance) if data.significance is not None else {}
        return {"report.html": html.encode(), "summary.md": summary.encode(), **significance}

    return backtest_report
