"""Fitted folds as MLflow's registered models: a version for each published fit, the alias `current` on the newest.

A version's source is the folder of the run's artifacts, the very files that the lab stores (safetensors, JSON,
Parquet); nothing is pickled. Works with the lab's own store and with a server (MLFLOW_TRACKING_URI).
"""

import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from quant_assets.tracking.mlflow_resource import tracking_uri
from quant_core.errors import DataError
from quant_core.fitted import ARRAYS_FILE, CURVE_FILE, MANIFEST_FILE, VALIDATION_FILE, Fitted

CURRENT = "current"
HASH_TAG = "content_hash"
FILES = (ARRAYS_FILE, MANIFEST_FILE, CURVE_FILE, VALIDATION_FILE)


def registered_name(profile: str, asset: str, fold: str = "") -> str:
    """`<profile>.<asset>.<fold>`; what MLflow's names and addresses do not take becomes a hyphen."""
    return ".".join(re.sub(r"[^A-Za-z0-9_-]", "-", part) for part in (profile, asset, fold) if part)


def register(
    name: str, run_id: str, fitted: Fitted, tags: Mapping[str, str] | None = None, store: str | None = None
) -> str:
    """Make the artifacts of a tracked run the current version of a registered model.

    Args:
        run_id: whose artifacts hold `fitted.to_bytes()`.
        fitted: as it was read back from these.
        tags: of the version, beside its hashes, its window and its code version.
        store: the tracking URI that has the run; by default the one in use.
    Returns:
        the version's number.
    """
    from mlflow.exceptions import MlflowException

    client = tracking_client(store)
    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    seen = fitted.manifest
    told = {
        HASH_TAG: fitted.content_hash, "data_hash": seen.data_hash, "fit_start": str(seen.fit_start),
        "fit_end": str(seen.fit_end), "code_version": seen.code_version,
    }  # fmt: skip
    source = client.get_run(run_id).info.artifact_uri
    version = client.create_model_version(name, source, run_id, tags={**(tags or {}), **told})
    client.set_registered_model_alias(name, CURRENT, version.version)
    return str(version.version)


def load(profile: str, asset: str, fold: str, alias: str = CURRENT) -> Fitted:
    """The fit that an alias stands on, e.g. `load("nifty50", "forecaster_tft", "2021")`.

    Raises:
        DataError: no such model or alias, or files that are not those that were registered.
    """
    from mlflow.artifacts import download_artifacts
    from mlflow.exceptions import MlflowException

    name = registered_name(profile, asset, fold)
    try:
        version = tracking_client().get_model_version_by_alias(name, alias)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(download_artifacts(artifact_uri=version.source, dst_path=folder, tracking_uri=tracking_uri()))
            files = {file: (path / file).read_bytes() for file in FILES if (path / file).is_file()}
    except MlflowException as error:
        raise DataError(
            f"{name}@{alias}: {error.message} ({tracking_uri()}); materialize {asset} of fold {fold}, or set "
            "QUANT_DATA or MLFLOW_TRACKING_URI to where it was."
        ) from error
    fitted = Fitted.from_bytes(files, f"{name}@{alias}")
    if fitted.content_hash != version.tags[HASH_TAG]:
        raise DataError(
            f"{name}@{alias}: the files of version {version.version} have content hash {fitted.content_hash}, "
            f"registered was {version.tags[HASH_TAG]}; materialize {asset} of fold {fold} again."
        )
    return fitted


def log_card(run_id: str, card: str, store: str | None = None) -> None:
    """Put a model card beside the artifacts of its run."""
    tracking_client(store).log_text(run_id, card, "model_card.md")


def tracking_client(store: str | None = None) -> Any:
    """MLflow's client on the lab's tracking and registry address, or on that of `store`."""
    from mlflow import MlflowClient

    uri = store or tracking_uri()
    return MlflowClient(tracking_uri=uri, registry_uri=uri)
