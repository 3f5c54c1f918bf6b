"""The out-of-sample test, from the first fold through each one, and the report that a person reads."""

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

import dagster as dg
import polars as pl

from quant_assets.asset_names import FORECASTER, FORECASTS, POLICY_WEIGHTS, REGIMES
from quant_assets.assets.market_data import lists_shown
from quant_assets.config import core_settings
from quant_assets.currency.fingerprints import stamps_in
from quant_assets.experiments import trial_witness, trials
from quant_assets.experiments.promotions import gate_of
from quant_assets.fitting import ONE_FOLD_A_RUN
from quant_assets.lab import Lab
from quant_assets.pages.metadata import markdown_table
from quant_assets.pages.pictures import book_pictures, ic_picture
from quant_assets.pages.reporting import report_input
from quant_assets.partitions import months_of
from quant_assets.storage.backtest_files import Evaluation
from quant_assets.storage.forecast_tables import COMPARISON, QUALITY, ForecastTables, importance_of
from quant_assets.storage.io_manager import missing_partitions
from quant_assets.storage.table_files import table_files
from quant_assets.tracking.mlflow_resource import artifact_link, tracked
from quant_core.allocation import STRATEGIES
from quant_core.backtest.by_regime import performance_by_regime, regime_transitions
from quant_core.backtest.config import BacktestConfig
from quant_core.backtest.guard import fits_of
from quant_core.backtest.return_attribution import attribution
from quant_core.backtest.simulate import simulate
from quant_core.cleaning.coverage import defect_counts, lost_sessions, member_coverage
from quant_core.folds import fold as fold_named
from quant_core.forecasting.evaluate import evaluate_forecasts
from quant_core.market.lists import price_returns_after
from quant_core.report.config import ReportConfig
from quant_core.schema import COMPONENTS, IS_SEED, REGIME_NAMES, Forecasts, Regimes
from quant_core.trading.rebalancing import check_threshold

REPORT = "report.html"
SHOWN = ("strategy", "cagr", "sharpe_ann", "max_drawdown")
PROMOTION_SHOWN = ("strategy", "status", "sharpe_ann", "reasons")


def setting_classes(lab: Lab) -> dict[str, type]:
    """The settings class of each asset that has one."""
    return {"backtest": BacktestConfig, "backtest_report": ReportConfig}


def build(lab: Lab) -> list[dg.AssetsDefinition]:
    """backtest and backtest_report of one profile."""
    return [_backtest(lab, lab.forecasters), _backtest_report(lab, list(STRATEGIES))]


def _backtest(lab: Lab, models: Sequence[str]) -> dg.AssetsDefinition:
    config_type: Any = lab.config("backtest")
    more = (REGIMES,) if lab.has_regimes else ()
    learned = tuple(f"{POLICY_WEIGHTS}{name}" for name in lab.agents)
    inputs = (
        "clean_prices", "target_weights", "features", *(f"{FORECASTS}{model}" for model in models), *learned, *more
    )  # fmt: skip

    @dg.asset(
        key_prefix=lab.prefix,
        group_name="evaluation",
        partitions_def=lab.partitions.folds,
        backfill_policy=ONE_FOLD_A_RUN,
        kinds={"numba", "mlflow"},
        required_resource_keys={"mlflow"},
        code_version=lab.code("backtest", _backtest),
        ins={name: since_first_fold(lab, name) for name in inputs},
    )
    def backtest(
        context: dg.AssetExecutionContext,
        config: config_type,
        clean_prices: pl.LazyFrame,
        target_weights: pl.LazyFrame,
        features: pl.LazyFrame,
        **signals: pl.LazyFrame,
    ) -> dict:
        """Every strategy through one ledger, net of costs; forecast quality of every model beside momentum."""
        settings = core_settings(BacktestConfig, config)
        end = test_end(lab, context.partition_key, inputs, settings.until)
        lab.refuse_unknown("backtest", end)
        out_of_sample = pl.col("date").is_between(date(lab.profile.first_fold, 1, 1), end)
        prices = clean_prices.filter(out_of_sample).collect()
        check_threshold(lab.defaults("target_weights").rebalance, settings.trade_threshold)
        known = [
            signals[name].filter(out_of_sample).collect() for name in sorted(signals) if name.startswith(FORECASTS)
        ]
        scores = pl.concat([Forecasts.create_empty(), *known])
        labels = traded_labels(signals.get(REGIMES), settings.regime_method, out_of_sample)
        with tracked(context, "backtest", config.model_dump()) as mlflow:
            own = [target_weights, *(signals[name] for name in learned)]
            targets = pl.concat([table.filter(out_of_sample).collect() for table in own])
            targets = targets.filter(~IS_SEED)  # their mean is traded
            found = evaluation_of(lab, settings, end, prices, targets, scores, features.filter(out_of_sample), labels)
            result = found.backtest
            for row in result.metrics.iter_rows(named=True):
                mlflow.log_metrics(
                    {f"{row['strategy']}.{k}": float(v) for k, v in row.items() if isinstance(v, (int, float))}
                )
            new = trials.register(
                lab.root, lab.profile.name, result.daily, result.benchmark,
                trial_witness.changed_settings(lab, "backtest", context.run.tags, context.run.run_config),
                trial_witness.witness(lab, context.instance),
            )  # fmt: skip
            gate = gate_of(lab, result, trials.load(lab.root, lab.profile.name, end))
            noted = trial_witness.noted(lab)
            mlflow.log_metrics({"new_trials": new})
            mlflow.set_tags(noted)
        promotion = markdown_table(gate.candidates.select(PROMOTION_SHOWN), 60)
        context.add_output_metadata(shown(found) | {"promotion": promotion, "new_trials": new, **noted})
        return found.files()

    return backtest


def evaluation_of(
    lab: Lab, settings: BacktestConfig, end: date, prices: pl.DataFrame, targets: pl.DataFrame, scores: pl.DataFrame,
    features: pl.LazyFrame, labels: pl.DataFrame,
) -> Evaluation:  # fmt: skip
    """The backtest and all that is measured of it; every table of the tested sessions only, until `end`."""
    price_after = price_returns_after(lab.dividends_known_until(), end)
    result = simulate(prices, targets, settings, fits_of(scores), price_after)
    parts, transfer = attribution(result.daily, result.positions, result.benchmark, prices, scores, lab.sectors())
    return Evaluation(
        result,
        *evaluate_forecasts(scores, features, prices),
        coverage=member_coverage(prices, lab.membership()),
        defects=defect_counts(prices),
        lost=pl.DataFrame({"date": lost_sessions(prices)}, schema={"date": pl.Date}),
        regimes=labels,
        by_regime=performance_by_regime(result.daily, result.benchmark, labels),
        transitions=regime_transitions(labels),
        attribution=parts,
        transfer=transfer,
    )


def shown(found: Evaluation) -> dict[str, Any]:
    """What the backtest's page shows of it."""
    result = found.backtest
    return {
        **book_pictures(result.daily, result.benchmark), "cumulative_ic": ic_picture(found.quality),
        "metrics": markdown_table(headline(result.metrics), 30), **_by_regime_shown(found.by_regime),
        "attribution": markdown_table(side_by_side(found.attribution), 60),
        "first_session": str(result.daily["date"].min()), "last_session": str(result.daily["date"].max()),
        "sessions": result.daily["date"].n_unique(), "strategies": result.daily["strategy"].n_unique(),
        "trades": result.trades.height,
    }  # fmt: skip


def since_first_fold(lab: Lab, asset: str) -> dg.AssetIn:
    """An asset's months from the first fold through the own one, which may not be over yet."""
    return dg.AssetIn(
        lab.key(asset), partition_mapping=lab.partitions.through_fold,
        metadata={"optional_before": f"{lab.profile.first_fold}-01", "unfinished": True},
    )  # fmt: skip


def test_end(lab: Lab, fold: str, assets: Sequence[str], until: date | None) -> date:
    """Last day of a fold's test: of `until`, and of the fold's last month that is stored of all `assets` without a gap.

    Raises:
        DataError: an asset lacks the fold's first month.
    """
    known = set(lab.partitions.months.get_partition_keys())
    months = [month for month in months_of(fold_named(fold)) if month in known]
    stamps = stamps_in(lab.root)
    for asset in assets:
        stored = [month for month in months if stamps(lab.key(asset), month) is not None]
        if not stored or stored[0] != months[0]:
            raise missing_partitions(lab.key(asset), months[:1])
        months = months[: len([month for month, own in zip(months, stored, strict=False) if month == own])]
    end = lab.partitions.months.time_window_for_partition_key(months[-1]).end.date() - timedelta(days=1)
    return end if until is None else min(end, until)


def traded_labels(regimes: pl.LazyFrame | None, method: str, tested: pl.Expr) -> pl.DataFrame:
    """(date, regime) of one method on the tested sessions; empty for a profile without regimes."""
    rows = Regimes.create_empty().lazy() if regimes is None else regimes
    return rows.filter(tested, pl.col("method") == method).select("date", "regime").sort("date").collect()


def _by_regime_shown(by_regime: pl.DataFrame) -> dict[str, dg.MetadataValue]:
    """Every strategy's Sharpe ratio, one row a strategy and one column a regime."""
    if by_regime.is_empty():
        return {}
    ratios = by_regime.with_columns(pl.col("sharpe_ann").round(2))
    wide = ratios.pivot(on="regime", on_columns=REGIME_NAMES, index="strategy", values="sharpe_ann")
    return {"sharpe_by_regime": markdown_table(wide, 40)}


def headline(metrics: pl.DataFrame) -> pl.DataFrame:
    """The columns that the asset's page shows."""
    return metrics.select(name for name in SHOWN if name in metrics.columns)


def side_by_side(attribution: pl.DataFrame) -> pl.DataFrame:
    """One row a strategy and one column a part of its active return, a year."""
    columns = (*COMPONENTS, "active")
    wide = attribution.pivot(on="component", on_columns=columns, index="strategy", values="return_ann")
    return wide.rename({name: f"{name}_return_ann" for name in columns})


def _backtest_report(lab: Lab, strategies: Sequence[str]) -> dg.AssetsDefinition:
    config_type: Any = lab.config("backtest_report")
    fits = [f"{FORECASTER}{model}" for model in lab.forecasters]

    @dg.asset(
        key_prefix=lab.prefix,
        group_name="evaluation",
        partitions_def=lab.partitions.folds,
        backfill_policy=ONE_FOLD_A_RUN,
        kinds={"plotly", "html", "mlflow"},
        required_resource_keys={"mlflow"},
        code_version=lab.code("backtest_report", _backtest_report),
        ins={name: dg.AssetIn(lab.key(name)) for name in ("backtest", QUALITY, COMPARISON, *fits)},
    )
    def backtest_report(
        context: dg.AssetExecutionContext,
        config: config_type,
        backtest: dict,
        forecast_quality: dict,
        forecast_comparison: dict,
        **forecasters: dict,
    ) -> dict:
        """One self-contained HTML page: every strategy beside the index, out of sample, net of costs, deflated."""
        from quant_core.report.render import markdown_summary, render_report

        fold = context.partition_key
        judged = ForecastTables.of(forecast_quality[fold], forecast_comparison[fold])
        found = Evaluation.of(backtest[fold])
        witness = trial_witness.witness(lab, context.instance)
        leans_on = importance_of({name: files[fold] for name, files in forecasters.items()})
        settings = core_settings(ReportConfig, config)
        data = report_input(lab, fold, found, settings, strategies, witness, judged, leans_on)
        html, summary = render_report(data), markdown_summary(data)
        with tracked(context, "backtest_report", config.model_dump()) as mlflow:
            mlflow.log_text(html, REPORT)
            context.add_output_metadata({"report": artifact_link(mlflow, REPORT, "open the report")})
        context.add_output_metadata({
            "metrics": markdown_table(headline(found.backtest.metrics), 20),
            "summary": dg.MetadataValue.md(summary), "size_mb": round(len(html.encode()) / 1e6, 2),
            "lists": lists_shown(lab.lists_known(data.end)),
            "register": data.register_damage or "whole",
        })  # fmt: skip
        significance = table_files(significance=data.significance) if data.significance is not None else {}
        return {REPORT: html.encode(), "summary.md": summary.encode(), **significance}

    return backtest_report
