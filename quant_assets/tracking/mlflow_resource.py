"""Experiment tracking: dagster-mlflow's resource, made to load late, keep its files under QUANT_DATA and nest its runs.

The parent run is the Dagster run; each materialization that fits or evaluates something opens a child named
`asset[partition]`, which ends FAILED when its work fails. MLFLOW_TRACKING_URI points the lab at a server instead.
"""

import os
import sqlite3
import urllib.error
import urllib.request
import uuid
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import dagster as dg

from quant_assets.storage.partition_files import local_path
from quant_assets.storage.paths import data_root, project_root
from quant_assets.tracking.trackers import Told, told_to
from quant_core.errors import DataError

EXPERIMENT = "quant-lab"
STORE = "mlflow.db"
#: Opens MLflow's pages for model training, not those for language models.
KIND = {"mlflow.experimentKind": "custom_model_development"}
#: Where MLflow's UI is on loopback: for the links on asset pages, and for the commands that serve it.
PORT_VARIABLE, PORT = "QUANT_MLFLOW_PORT", 5000
#: A server that goes away during a run: MLflow's own patience is seven tries, minutes a call.
PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_TIMEOUT": "20"}
#: Where browsers find a tracking server that the lab itself reaches under another name.
URL_VARIABLE = "QUANT_MLFLOW_URL"


def tracking_uri() -> str:
    """MLFLOW_TRACKING_URI (a server, a database), else the lab's own store."""
    return os.environ.get("MLFLOW_TRACKING_URI") or own_store()


def own_store() -> str:
    """The SQLite file beside the data, or in the project where those are in an object store."""
    return f"sqlite:///{_local_folder() / STORE}"


def _local_folder() -> Path:
    root = data_root()
    folder = (local_path(root) or project_root() / "data") / "mlflow"
    folder.mkdir(parents=True, exist_ok=True)
    return folder.resolve()


def is_in_own_store() -> bool:
    """Whether what is tracked now goes there."""
    return tracking_uri() == own_store()


def artifact_location() -> str | None:
    """Beside the data, wherever they are; None where a server decides.

    Without a location of its own an experiment puts its artifacts into mlruns/ of the working directory.
    """
    if tracking_uri().startswith("http"):
        return None
    root = data_root()
    return (_local_folder() / "artifacts").as_uri() if local_path(root) else str(root / "mlflow" / "artifacts")


def prepare_store() -> None:
    """Make the lab's own store where MLFLOW_TRACKING_URI names no other."""
    if not os.environ.get("MLFLOW_TRACKING_URI"):
        make_store(_local_folder())


def make_store(folder: Path) -> None:
    """Create MLflow's SQLite file, whole or not at all: one that was left half made stops every later run."""
    if (folder / STORE).exists():
        return
    from mlflow import MlflowClient

    temporary = folder / f".{STORE}.{uuid.uuid4().hex[:8]}.tmp"
    MlflowClient(tracking_uri=f"sqlite:///{temporary}").search_experiments()
    with closing(sqlite3.connect(temporary)) as file:
        file.execute("PRAGMA journal_mode=WAL")  # the file keeps it; MLflow commits every tag: less than half the time
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

    with own_store_while_away((context.log or dg.get_dagster_logger()).warning):
        prepare_store()
        uri, experiment = tracking_uri(), context.resource_config["experiment_name"]
        mlflow.set_tracking_uri(uri)  # it writes the environment's variable
        if mlflow.get_experiment_by_name(experiment) is None:
            mlflow.create_experiment(experiment, artifact_location=artifact_location(), tags=KIND)
        context.resource_config.update(env={}, extra_tags={}, mlflow_tracking_uri=uri)
        try:
            yield from cast("Any", dagster_mlflow.mlflow_tracking).resource_fn(context)
        finally:
            mlflow.end_run()


@contextmanager
def own_store_while_away(warn: Callable[[str], object]) -> Iterator[None]:
    """The variables that MLflow reads as they were, afterwards; while its server does not answer, no server in them.

    What a run tracks is then in the store beside the data, and the run goes on.
    """
    given = os.environ.get("MLFLOW_TRACKING_URI")
    if given and given.startswith("http"):
        for name, value in PATIENCE.items():
            os.environ.setdefault(name, value)
        if reason := why_silent(given):
            warn(
                f"MLflow at {urlsplit(given).hostname} does not answer ({reason}): what this run tracks goes to "
                f"{own_store()}, shown by `MLFLOW_TRACKING_URI= quant mlflow`; later runs try the server again."
            )
            del os.environ["MLFLOW_TRACKING_URI"]
    try:
        yield
    finally:
        os.environ.pop("MLFLOW_TRACKING_URI", None)  # MLflow writes it; the next run may have other data
        if given:
            os.environ["MLFLOW_TRACKING_URI"] = given


def why_silent(uri: str, timeout_seconds: float = 5.0) -> str:
    """Why a tracking server gives no answer at all; "" where it gives any."""
    try:
        with urllib.request.urlopen(f"{uri.rstrip('/')}/health", timeout=timeout_seconds):
            return ""
    except urllib.error.HTTPError:
        return ""  # it may want a name and a password, which MLflow has
    except (OSError, ValueError) as error:
        return str(getattr(error, "reason", error))


@contextmanager
def tracked(
    context: dg.OpExecutionContext | dg.AssetExecutionContext, asset: str, params: Mapping[str, Any]
) -> Iterator[Told]:
    """A child run named `asset[partition]` of every tracker, MLflow's link in the asset's metadata after the work.

    Yields:
        what tells them all; log metrics and artifacts on it.
    """
    told = told_to(context.resources.mlflow, _local_folder().parent / "wandb", os.environ)
    partition = context.partition_key if context.has_partition_key else ""
    name = f"{asset}[{partition}]" if partition else asset
    with told.start_run(run_name=name, nested=True) as run:
        told.log_params(dict(params))
        told.set_tags({"dagster_run_id": context.run_id, "partition": partition, "asset": asset})
        yield told
    context.add_output_metadata({"mlflow_run": _link(run.info, "", "open in MLflow")})


def run_address(mlflow: Any) -> str:
    """Where the run that is being tracked is shown."""
    return _address(mlflow.active_run().info, "")


def run_id(mlflow: Any) -> str:
    """The id of the run that is being tracked."""
    return str(mlflow.active_run().info.run_id)


def artifact_link(mlflow: Any, name: str, text: str) -> dg.MetadataValue:
    """A link to MLflow's page of an artifact of the active run; it shows HTML in place, where downloads would not."""
    return _link(mlflow.active_run().info, f"/artifactPath/{name}", text)


def _link(run: Any, page: str, text: str) -> dg.MetadataValue:
    return dg.MetadataValue.md(f"[{text}]({_address(run, page)})")


def _address(run: Any, page: str) -> str:
    return f"{ui_address()}/#/experiments/{run.experiment_id}/runs/{run.run_id}{page}"


def ui_address() -> str:
    """Where a browser finds MLflow: QUANT_MLFLOW_URL, the tracking server, else what `quant dev` serves on loopback."""
    if shown := os.environ.get(URL_VARIABLE):
        return shown.rstrip("/")
    uri = tracking_uri()
    return uri.rstrip("/") if uri.startswith("http") else f"http://127.0.0.1:{usual_port()}"


def usual_port() -> int:
    """QUANT_MLFLOW_PORT, else 5000: links that were made keep working only while it stays the same.

    Raises:
        DataError: not a port.
    """
    text = os.environ.get(PORT_VARIABLE) or str(PORT)
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise DataError(f"{PORT_VARIABLE}: {text!r} is not a port; give a number from 1 to 65535.")
    return int(text)
