"""Experiment tracking: dagster-mlflow's resource, made to load late, keep its files under QUANT_DATA and nest its runs.

The parent run is the Dagster run; each materialization that fits or evaluates something opens a child named
`asset[partition]`, which ends FAILED when its work fails. MLFLOW_TRACKING_URI points the lab at a server instead.
"""

import os
import uuid
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, cast

import dagster as dg

from quant_assets.paths import data_root, project_root
from quant_assets.storage import local_path

EXPERIMENT = "quant-lab"
STORE = "mlflow.db"


def tracking_uri() -> str:
    """MLFLOW_TRACKING_URI, else a SQLite file beside the data (or in the project where the data is remote)."""
    if uri := os.environ.get("MLFLOW_TRACKING_URI"):
        return uri
    return f"sqlite:///{_local_folder() / STORE}"


def _local_folder() -> Path:
    root = data_root()
    folder = (local_path(root) or project_root() / "data") / "mlflow"
    folder.mkdir(parents=True, exist_ok=True)
    return folder.resolve()


def make_store(folder: Path) -> None:
    """Create MLflow's SQLite file, whole or not at all: one that was left half made stops every later run."""
    if (folder / STORE).exists():
        return
    from mlflow import MlflowClient

    temporary = folder / f".{STORE}.{uuid.uuid4().hex[:8]}.tmp"
    MlflowClient(tracking_uri=f"sqlite:///{temporary}").search_experiments()
    with suppress(FileExistsError):  # another process was quicker; its file may be in use already
        os.link(temporary, folder / STORE)
    temporary.unlink()


@dg.resource(config_schema={"experiment_name": dg.Field(dg.StringSource, default_value=EXPERIMENT)})
def mlflow_tracking(context: dg.InitResourceContext) -> Iterator[Any]:
    """dagster-mlflow's resource on the lab's tracking URI; importing mlflow costs two seconds, so only here."""
    os.environ.setdefault("MLFLOW_DISABLE_AGENT_GUIDE", "1")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import dagster_mlflow
        import mlflow

    if not os.environ.get("MLFLOW_TRACKING_URI"):
        make_store(_local_folder())
    uri, experiment = tracking_uri(), context.resource_config["experiment_name"]
    served = "MLFLOW_TRACKING_URI" in os.environ
    mlflow.set_tracking_uri(uri)
    if mlflow.get_experiment_by_name(experiment) is None:
        # Without a location of its own an experiment puts its artifacts into mlruns/ of the working directory.
        location = None if served else (_local_folder() / "artifacts").as_uri()
        mlflow.create_experiment(experiment, artifact_location=location)
    context.resource_config.update(env={}, extra_tags={}, mlflow_tracking_uri=uri)
    try:
        yield from cast("Any", dagster_mlflow.mlflow_tracking).resource_fn(context)
    finally:
        mlflow.end_run()
        if not served:
            os.environ.pop("MLFLOW_TRACKING_URI", None)  # set_tracking_uri writes it; the next run may have other data


@contextmanager
def tracked(
    context: dg.OpExecutionContext | dg.AssetExecutionContext, asset: str, params: Mapping[str, Any]
) -> Iterator[Any]:
    """An MLflow child run named `asset[partition]`, its link in the asset's metadata once the work is done.

    Yields:
        the mlflow module-like resource; log metrics and artifacts on it.
    """
    mlflow = context.resources.mlflow
    with mlflow.start_run(run_name=f"{asset}[{context.partition_key}]", nested=True) as run:
        mlflow.log_params(dict(params))
        mlflow.set_tags({"dagster_run_id": context.run_id, "partition": context.partition_key, "asset": asset})
        yield mlflow
    context.add_output_metadata({"mlflow_run": dg.MetadataValue.url(_address(run.info))})


def run_address(mlflow: Any) -> str:
    """Where the run that is being tracked is shown."""
    return _address(mlflow.active_run().info)


def _address(info: Any) -> str:
    uri = tracking_uri()
    # `make mlflow` serves the SQLite store on loopback.
    server = uri.rstrip("/") if uri.startswith("http") else "http://127.0.0.1:5000"
    return f"{server}/#/experiments/{info.experiment_id}/runs/{info.run_id}"
