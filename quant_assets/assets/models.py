"""Forecasters: one asset per registered model, a graph of prepare -> train -> publish, one fold a run.

The pool, resource tags and kinds of the train op are static per asset, so a model that needs a GPU queues for it while
ridge runs beside it.
"""

import tempfile
from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl

from quant_assets.assets.training import ONE_FOLD_A_RUN
from quant_assets.config import core_settings
from quant_assets.lab import Lab
from quant_assets.metadata import markdown_table
from quant_assets.resources import tracked
from quant_assets.table_files import read_table, table_files
from quant_core import fitted as artifacts
from quant_core.errors import LookaheadError
from quant_core.forecasting import MODELS, Fitted, Model

GPU_TAGS = {
    "dagster-k8s/config": {"container_config": {"resources": {"limits": {"nvidia.com/gpu": "1"}}}},
    "dagster-ray/config": {"num_gpus": 1},
}
CPU_TAGS = {"dagster-k8s/config": {"container_config": {"resources": {"requests": {"cpu": "1", "memory": "2Gi"}}}}}
SEED = 7


def build(lab: Lab) -> list[dg.AssetsDefinition]:
    """One forecaster asset per registered model."""
    return [_forecaster(lab, MODELS[name]) for name in MODELS]


def _forecaster(lab: Lab, model: Model) -> dg.AssetsDefinition:
    asset = f"forecaster_{model.name}"
    config_type: Any = lab.config(asset)
    pool, tags = ("gpu", GPU_TAGS) if model.uses_gpu else ("cpu_training", CPU_TAGS)

    @dg.op(name=f"{model.name}__prepare")
    def prepare(context: dg.OpExecutionContext, training_window: dict) -> pl.DataFrame:
        """The fold's training rows, checked once more against the fold's first day."""
        window = read_table(training_window[context.partition_key], "window")
        first_day = context.partition_time_window.start.date()
        last_label = window["label_end_date"].max()
        if not isinstance(last_label, date) or last_label >= first_day:
            raise LookaheadError(
                f"{asset} {context.partition_key}: a label ends {last_label!s}, not before {first_day}; "
                "rebuild training_window."
            )
        return window

    @dg.op(name=f"{model.name}__train", pool=pool, tags=tags, required_resource_keys={"mlflow"})
    def train(context: dg.OpExecutionContext, config: config_type, window: pl.DataFrame) -> dict:
        """Fit on the window; log parameters, training figures and the artifact to MLflow."""
        with tracked(
            context, asset, config.model_dump() | {"fold": context.partition_key, "rows": window.height}
        ) as mlflow:
            fitted = model.fit(window, core_settings(model.config_class, config), SEED)
            files = fitted_files(fitted)
            if model.importance is not None:
                importance = model.importance(fitted)
                files |= table_files(importance=importance)
                context.add_output_metadata({"importance": markdown_table(importance, 15)})
            with tempfile.TemporaryDirectory() as folder:
                for name, data in files.items():
                    (Path(folder) / name).write_bytes(data)
                mlflow.log_artifacts(folder)
            mlflow.log_metrics({"train_rows": window.height, "features": len(fitted.manifest.columns)})
        return files

    @dg.op(name=f"{model.name}__publish")
    def publish(context: dg.OpExecutionContext, files: dict) -> dict:
        """Hand the artifact to storage after reading it back: what cannot be loaded is not published."""
        manifest = load_fitted(files).manifest
        context.add_output_metadata({
            "fit_start": str(manifest.fit_start), "fit_end": str(manifest.fit_end),
            "dagster/row_count": manifest.n_rows, "data_hash": manifest.data_hash, "inputs": len(manifest.columns),
            "settings": dg.MetadataValue.json(manifest.config),
        })  # fmt: skip
        return files

    @dg.graph_asset(
        name=asset,
        key_prefix=lab.prefix,
        group_name="models",
        partitions_def=lab.partitions.folds,
        backfill_policy=ONE_FOLD_A_RUN,
        automation_condition=dg.AutomationCondition.on_missing(),
        kinds={"safetensors", "mlflow"},
        description=f"{model.summary.rstrip('.') or model.name}; fitted once a fold, on purged rows only.",
        code_version=lab.code(asset, _forecaster, MODELS.entry(model.name)),
        ins={"training_window": dg.AssetIn(lab.key("training_window"))},
    )
    def forecaster(training_window: dict) -> dict:
        return publish(train(window=prepare(training_window)))

    return forecaster


def fitted_files(fitted: Fitted) -> dict[str, bytes]:
    """A fitted model as the files of its artifact."""
    with tempfile.TemporaryDirectory() as folder:
        artifacts.save(Path(folder), fitted.arrays, fitted.manifest)
        return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


def load_fitted(files: dict[str, bytes]) -> Fitted:
    """The model that `fitted_files` stored."""
    with tempfile.TemporaryDirectory() as folder:
        for name in (artifacts.ARRAYS_FILE, artifacts.MANIFEST_FILE):
            if name in files:
                (Path(folder) / name).write_bytes(files[name])
        return Fitted(*artifacts.load(Path(folder)))
