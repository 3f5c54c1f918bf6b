"""The out-of-sample test, from the first fold through each one, and the report that a person reads."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import date, timedelta
from typing import Any

import dagster as dg
import polars as pl

from quant_assets import trial_witness, trials
from quant_assets.assets.market_data import lists_shown
from quant_assets.checks import lost_sessions
from quant_assets.config import core_settings
from quant_assets.currency import stored_stamp
from quant_assets.fitting import ONE_FOLD_A_RUN
from quant_assets.io_manager import missing_partitions
from quant_assets.lab import Lab
from quant_assets.lists import price_returns_after
from quant_assets.metadata import markdown_table
from quant_assets.partitions import months_of
from quant_assets.pictures import book_pictures, ic_picture
from quant_assets.reporting import report_input
from quant_assets.resources import artifact_link, tracked
from quant_assets.table_files import read_table, table_files
from quant_core.allocation import STRATEGIES
from quant_core.backtest.config import BacktestConfig
from quant_core.backtest.guard import fits_of
from quant_core.backtest.simulate import Backtest, simulate
from quant_core.folds import fold as fold_named
from quant_core.forecasting.decay import ic_decay
from quant_core.forecasting.scores import baseline_scores, quantile_summary
from quant_core.measures.forward_returns import forward_returns
from quant_core.measures.information_coefficient import rank_ic_by_date
from quant_core.report.settings import ReportConfig
from quant_core.schema import EQUITY, Forecasts
from quant_core.trading.rebalancing import check_threshold

REPORT = "report.html"
SHOWN = ("strategy", "cagr", "sharpe_ann", "max_drawdown", "cost_ann")


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

    def files(self) -> dict[str, bytes]:
        """As the files of an artifact."""
        own = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "backtest"}
        return table_files(**own, **{f.name: getattr(self.backtest, f.name) for f in fields(self.backtest)})

    @classmethod
    def of(cls, files: dict[str, bytes]) -> "Evaluation":
        """What `files` stored."""
        backtest = Backtest(**{f.name: read_table(files, f.name) for f in fields(Backtest)})
        return cls(backtest, **{f.name: read_table(files, f.name) for f in fields(cls) if f.name != "backtest"})


def setting_classes(lab: Lab) -> dict[str, type]:
    """The settings class of each asset that has one."""
    return {"backtest": BacktestConfig, "backtest_report": ReportConfig}


def build(lab: Lab) -> list[dg.AssetsDefinition]:
    """backtest and backtest_report of one profile."""
    return [_backtest(lab, lab.models), _backtest_report(lab, list(STRATEGIES))]


def _backtest(lab: Lab, models: Sequence[str]) -> dg.AssetsDefinition:
    config_type: Any = lab.config("backtest")
    first_month = f"{lab.profile.first_fold}-01"
    inputs = ("clean_prices", "target_weights", "features", *(f"forecasts_{model}" for model in models))

    def since_first_fold(asset: str) -> dg.AssetIn:
        return dg.AssetIn(
            lab.key(asset), partition_mapping=lab.partitions.through_fold,
            metadata={"optional_before": first_month, "unfinished": True},
        )  # fmt: skip

    @dg.asset(
        key_prefix=lab.prefix,
        group_name="evaluation",
        partitions_def=lab.partitions.folds,
        backfill_policy=ONE_FOLD_A_RUN,
        kinds={"numba", "mlflow"},
        required_resource_keys={"mlflow"},
        code_version=lab.code("backtest", _backtest),
        ins={name: since_first_fold(name) for name in inputs},
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
        settings = core_settings(BacktestConfig, config)
        end = test_end(lab, context.partition_key, inputs, settings.until)
        lab.refuse_unknown("backtest", end)
        out_of_sample = pl.col("date").is_between(date(lab.profile.first_fold, 1, 1), end)
        prices = clean_prices.filter(out_of_sample).collect()
        check_threshold(lab.defaults("target_weights").rebalance, settings.trade_threshold)
        known = [forecasts[name].filter(out_of_sample).collect() for name in sorted(forecasts)]
        scores = pl.concat([Forecasts.create_empty(), *known])
        with tracked(context, "backtest", config.model_dump()) as mlflow:
            targets = target_weights.filter(out_of_sample).collect()
            result = simulate(prices, targets, settings, fits_of(scores), price_returns_after(lab, end))
            found = Evaluation(
                result,
                *forecast_quality(scores, features.filter(out_of_sample), prices),
                coverage=member_coverage(prices, lab.membership()),
                defects=defect_counts(prices),
                lost=pl.DataFrame({"date": lost_sessions(prices)}, schema={"date": pl.Date}),
            )
            for row in result.metrics.iter_rows(named=True):
                mlflow.log_metrics(
                    {f"{row['strategy']}.{k}": float(v) for k, v in row.items() if isinstance(v, (int, float))}
                )
            new = trials.register(
                lab.root, lab.profile.name, result.daily, result.benchmark,
                trial_witness.changed_settings(lab, "backtest", context.run.tags, context.run.run_config),
                trial_witness.witness(lab, context.instance),
            )  # fmt: skip
            noted = trial_witness.noted(lab)
            mlflow.log_metrics({"new_trials": new})
            mlflow.set_tags(noted)
        context.add_output_metadata({
            **book_pictures(result.daily, result.benchmark), "cumulative_ic": ic_picture(found.quality),
            "metrics": markdown_table(headline(result.metrics), 30),
            "first_session": str(result.daily["date"].min()), "last_session": str(result.daily["date"].max()),
            "sessions": result.daily["date"].n_unique(), "strategies": result.daily["strategy"].n_unique(),
            "trades": result.trades.height, "new_trials": new, **noted,
        })  # fmt: skip
        return found.files()

    return backtest


def test_end(lab: Lab, fold: str, assets: Sequence[str], until: date | None) -> date:
    """Last day of a fold's test: of `until`, and of the fold's last month that is stored of all `assets` without a gap.

    Raises:
        DataError: an asset lacks the fold's first month.
    """
    known = set(lab.partitions.months.get_partition_keys())
    months = [month for month in months_of(fold_named(fold)) if month in known]
    for asset in assets:
        stored = [month for month in months if stored_stamp(lab.root, lab.key(asset), month) is not None]
        if not stored or stored[0] != months[0]:
            raise missing_partitions(lab.key(asset), months[:1])
        months = months[: len([month for month, own in zip(months, stored, strict=False) if month == own])]
    end = lab.partitions.months.time_window_for_partition_key(months[-1]).end.date() - timedelta(days=1)
    return end if until is None else min(end, until)


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
    """Rows of members by kind of defect: columns defect, n_rows, n_tickers, share_of_rows; most frequent first."""
    members = prices.filter("is_member", pl.col("instrument") == EQUITY)
    kinds = members.filter(pl.col("flags") != "").with_columns(defect=pl.col("flags").str.split("|")).explode("defect")
    counted = kinds.group_by("defect").agg(n_rows=pl.len().cast(pl.Int64), n_tickers=pl.col("ticker").n_unique())
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


def _backtest_report(lab: Lab, strategies: Sequence[str]) -> dg.AssetsDefinition:
    config_type: Any = lab.config("backtest_report")

    @dg.asset(
        key_prefix=lab.prefix,
        group_name="evaluation",
        partitions_def=lab.partitions.folds,
        backfill_policy=ONE_FOLD_A_RUN,
        kinds={"plotly", "html", "mlflow"},
        required_resource_keys={"mlflow"},
        code_version=lab.code("backtest_report", _backtest_report),
        ins={"backtest": dg.AssetIn(lab.key("backtest"))},
    )
    def backtest_report(context: dg.AssetExecutionContext, config: config_type, backtest: dict) -> dict:
        """One self-contained HTML page: every strategy beside the index, out of sample, net of costs, deflated."""
        from quant_core.report.render import markdown_summary, render_report

        found = Evaluation.of(backtest[context.partition_key])
        witness = trial_witness.witness(lab, context.instance)
        data = report_input(lab, context.partition_key, found, core_settings(ReportConfig, config), strategies, witness)
        html, summary = render_report(data), markdown_summary(data)
        with tracked(context, "backtest_report", config.model_dump()) as mlflow:
            mlflow.log_text(html, REPORT)
            context.add_output_metadata({"report": artifact_link(mlflow, REPORT, "open the report")})
        context.add_output_metadata({
            "summary": dg.MetadataValue.md(summary), "size_mb": round(len(html.encode()) / 1e6, 2),
            "lists": lists_shown(lab.lists_known(data.end)),
            "register_of_trials": data.register_damage or "whole",
        })  # fmt: skip
        significance = table_files(significance=data.significance) if data.significance is not None else {}
        return {REPORT: html.encode(), "summary.md": summary.encode(), **significance}

    return backtest_report
