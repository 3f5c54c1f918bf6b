"""Puts the assets, checks, jobs, automation and resources of one profile together; nothing is defined here."""

from collections.abc import Mapping
from typing import Any

import dagster as dg

from quant_assets.assets import (
    agent_evaluation,
    agents,
    book_settings,
    evaluation,
    experiments,
    features,
    forecast_evaluation,
    forecasts,
    market_data,
    models,
    orders,
    regime_quality,
    regime_use,
    regimes,
    representation,
    target_weights,
    training,
)
from quant_assets.automation import daily, restatement_watch
from quant_assets.checks import declared
from quant_assets.instance.executors import chosen_executor
from quant_assets.lab import Lab
from quant_assets.logs import lab_console
from quant_assets.profile import Profile
from quant_assets.storage.io_manager import LabStorage
from quant_assets.tracking.mlflow_resource import mlflow_tracking

#: The stages in the order of the data: each builds its assets and says what settings they have.
STAGES: tuple[Any, ...] = (
    market_data, features, training, representation, models, regimes, regime_use, book_settings, forecasts,
    target_weights, agents, forecast_evaluation, regime_quality, agent_evaluation, evaluation, orders, experiments,
)  # fmt: skip


def build_definitions(profile: Profile, source_settings: Mapping[str, Any] | None = None) -> dg.Definitions:
    """Assets, checks, jobs, schedule, sensors and resources of a profile.

    Args:
        source_settings: see `Lab`.
    """
    lab = Lab(profile, source_settings=source_settings or {})
    assets = [asset for stage in STAGES for asset in stage.build(lab)]
    jobs = daily.build_jobs(lab, assets)
    ask_again, weekly = restatement_watch.build(lab)
    return dg.Definitions(
        assets=assets,
        asset_checks=declared.build(lab, assets),
        jobs=[*jobs.values(), ask_again],
        schedules=[daily.build_schedule(lab, jobs["refresh"]), weekly],
        sensors=daily.build_sensors(lab, jobs),
        loggers={"console": lab_console},
        executor=chosen_executor(),
        resources={"io_manager": LabStorage(lab), "mlflow": mlflow_tracking},
    )
