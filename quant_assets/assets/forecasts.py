"""Each model's forecasts, every month by the fold that contains it; the check of what only the making knows too."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date
from typing import Any

import dagster as dg
import polars as pl

from quant_assets.assets.market_data import FRAME, SINGLE_RUN
from quant_assets.assets.models import context_sessions
from quant_assets.checks.verdicts import WARN, Verdict, evaluated, of_each_partition
from quant_assets.fitting import fitted_of
from quant_assets.lab import Lab
from quant_assets.pages.metadata import markdown_table, table_metadata
from quant_assets.partitions import context_mapping, month_span
from quant_core.fitted import Fitted
from quant_core.forecasting import MODELS, Model
from quant_core.forecasting.ensemble import ENSEMBLE, ensemble_forecasts
from quant_core.forecasting.model import forecasts as make_forecasts
from quant_core.schema import Forecasts, validate

#: Share of a date's eligible members that a model must score for the check on forecasts to pass.
FEWEST_SCORED = 0.95


def setting_classes(lab: Lab) -> dict[str, type]:
    """The settings class of each asset that has one."""
    return {}


def build(lab: Lab) -> list[dg.AssetsDefinition]:
    """forecasts_{model} for each forecaster of the profile."""
    ensemble = [_ensemble_forecasts(lab, lab.models)] if ENSEMBLE in lab.forecasters else []
    return [*(_forecasts(lab, MODELS[name], context_sessions(lab, name)) for name in lab.models), *ensemble]


def _forecasts(lab: Lab, model: Model, looks_back: int) -> dg.AssetsDefinition:
    def make(features: pl.LazyFrame, fitted: Mapping[str, Fitted], span: tuple[date, date], _: Any) -> pl.DataFrame:
        return make_forecasts(model, fitted, features, *span, looks_back)

    return _forecasts_asset(
        lab, model.name, make, context_mapping(looks_back), {},
        lab.code(f"forecasts_{model.name}", _forecasts, MODELS.entry(model.name)),
    )  # fmt: skip


def _ensemble_forecasts(lab: Lab, models: Sequence[str]) -> dg.AssetsDefinition:
    def make(
        features: pl.LazyFrame, fitted: Mapping[str, Fitted], span: tuple[date, date], members: Mapping[str, Any]
    ) -> pl.DataFrame:
        scores = pl.concat([members[name].collect() for name in sorted(members)])
        return ensemble_forecasts(fitted, scores, features, *span)

    ins = {f"forecasts_{name}": dg.AssetIn(lab.key(f"forecasts_{name}")) for name in models}
    code = lab.code(f"forecasts_{ENSEMBLE}", _ensemble_forecasts)
    return _forecasts_asset(lab, ENSEMBLE, make, context_mapping(0), ins, code)


def _forecasts_asset(
    lab: Lab,
    name: str,
    make: Callable[[pl.LazyFrame, Mapping[str, Fitted], tuple[date, date], Mapping[str, Any]], pl.DataFrame],
    months: dg.PartitionMapping,
    more: Mapping[str, dg.AssetIn],
    code: str,
) -> dg.AssetsDefinition:
    """One forecaster's scores; `make` is given features, the fitted folds, the span, and what `more` is."""
    asset = f"forecasts_{name}"

    @dg.asset(
        name=asset,
        key_prefix=lab.prefix,
        group_name="signals",
        partitions_def=lab.partitions.months,
        backfill_policy=SINGLE_RUN,
        kinds={"polars", "parquet"},
        dagster_type=FRAME,
        description=f"Scores of {name}, each month by the fold that contains it; empty before the first fold.",
        code_version=code,
        check_specs=[
            dg.AssetCheckSpec(
                "scored",
                asset=lab.key(asset),
                partitions_def=lab.partitions.months,
                description=f"From the first fold on, at least {FEWEST_SCORED:.0%} of each date's eligible members "
                "have a score.",
            )
        ],
        ins={
            "features": dg.AssetIn(lab.key("features"), partition_mapping=months),
            "forecaster": dg.AssetIn(lab.key(f"forecaster_{name}"), partition_mapping=lab.partitions.fold_of_month),
            **more,
        },
    )
    def forecasts(
        context: dg.AssetExecutionContext, features: pl.LazyFrame, forecaster: Any, **members: pl.LazyFrame
    ) -> Iterator[dg.MaterializeResult | dg.AssetCheckEvaluation | dg.Output]:
        """Every score with its fold and the fit_end behind it."""
        first, last = month_span(context)
        scores = make(features, fitted_of(forecaster), (first, last), members)
        table = validate(scores, Forecasts, asset, "report it: a model broke the contract.")
        tested = pl.col("date").is_between(max(first, date(lab.profile.first_fold, 1, 1)), last)
        eligible = features.filter("is_eligible", tested).select("date", "ticker", "is_eligible").collect()
        newest = table.filter(pl.col("date") == pl.col("date").max()).sort("score", descending=True)
        metadata = table_metadata(
            table, folds=str(sorted(table["fold"].unique())), best_of_last_session=markdown_table(newest, 10)
        )
        few = unscored(table, eligible)
        yield dg.MaterializeResult(value=table, metadata=metadata)
        yield from evaluated(context, {"scored": of_each_partition(context, lambda inside: scored(few.filter(inside)))})

    return forecasts


def unscored(scores: pl.DataFrame, features: pl.DataFrame) -> pl.DataFrame:
    """Dates on which fewer than FEWEST_SCORED of the eligible members have a score, the worst first.

    Args:
        scores: Forecasts of one model.
        features: Features; reads `date`, `ticker`, `is_eligible`.
    Returns:
        rows (date, eligible, scored, missing), missing being the first ten names without a score.
    """
    known = scores.filter(pl.col("score").is_finite()).select("date", "ticker", is_scored=True)
    members = features.filter("is_eligible").select("date", "ticker").join(known, on=["date", "ticker"], how="left")
    is_scored = pl.col("is_scored").fill_null(False)
    by_date = members.group_by("date").agg(
        eligible=pl.len(), scored=is_scored.sum(),
        missing=pl.col("ticker").filter(~is_scored).sort().head(10).str.join(", "),
    )  # fmt: skip
    share = pl.col("scored") / pl.col("eligible")
    return by_date.filter(share < FEWEST_SCORED).sort(share, "date")


def scored(few: pl.DataFrame) -> Verdict:
    """The check of one model's forecasts from the result of `unscored`; a warning, as the names keep their weights."""
    return Verdict(few.is_empty(), {"dates": few.height, "worst": markdown_table(few, 20)}, WARN)
