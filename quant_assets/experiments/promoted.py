"""The promoted trial: whose settings the profile's forecaster and target weights run with, and how it is taken back.

A promotion is the alias `promoted` on a version of MLflow's registered model `<profile>.trials`, whose source are the
artifacts of the trial's run. The lab reads a copy of what the alias stands on, a file beside the profile's tables, so
that a run needs no tracking server: its settings replace those of the profile (`Lab.settings`), which makes the
forecaster, its forecasts and the target weights stale; the next run makes them again with the trial's settings, new
folds included. Demoting goes back to the version that was promoted before, or to none.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from upath import UPath

from quant_assets.storage.partition_files import atomic_write
from quant_assets.storage.paths import safe_name
from quant_assets.tracking.model_registry import registered_name, tracking_client
from quant_core.errors import DataError

FILE, MODEL, ALIAS = "promoted.json", "trials", "promoted"
TRIAL_TAG, BEFORE_TAG, SETTINGS_TAG, HASH_TAG = "trial", "promoted_before", "settings", "content_hash"


@dataclass(frozen=True)
class Promoted:
    """What is promoted.

    Args:
        trial: key; "" for none.
        settings: asset -> settings that replace the profile's.
        strategy: the book that is traded, as target_weights names it.
        version: of the registered model that the alias stands on.
    """

    trial: str = ""
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    strategy: str = ""
    version: str = ""


def promoted_path(root: UPath, profile: str) -> UPath:
    """The lab's copy of what the alias stands on."""
    return root / safe_name(profile, "profile") / FILE


def read_promoted(root: UPath, profile: str) -> Promoted:
    """What is promoted; nothing where there is no file.

    Raises:
        DataError: the file was edited into something else.
    """
    path = promoted_path(root, profile)
    try:
        content = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return Promoted()
    except ValueError:
        content = None
    try:
        found = Promoted(**content)
        assert all(isinstance(values, dict) for values in found.settings.values())
        return found
    except (TypeError, AttributeError, AssertionError) as error:
        raise DataError(
            f"{path}: not a promotion; write it again with `quant promote KEY` or `quant demote`."
        ) from error


def write_promoted(root: UPath, profile: str, found: Promoted) -> None:
    """Make it what the next run reads."""
    path = promoted_path(root, profile)
    if found.trial:
        atomic_write(path, json.dumps(asdict(found), indent=1, sort_keys=True).encode())
    else:
        path.unlink(missing_ok=True)


def promote(profile: str, found: Promoted, content_hash: str, before: Promoted) -> Promoted:
    """Put the alias on the version of a trial, which is made where there is none of this content.

    Args:
        content_hash: of the trial as it is stored.
        before: what is promoted now.
    Raises:
        DataError: MLflow has no finished run of the trial.
    """
    client, name = tracking_client(), model_name(profile)
    _create(client, name)
    run = _run_of(client, profile, found.trial)
    tags = {
        TRIAL_TAG: found.trial, HASH_TAG: content_hash, SETTINGS_TAG: json.dumps(asdict(found), sort_keys=True),
        BEFORE_TAG: before.version,
    }  # fmt: skip
    version = client.create_model_version(name, run.info.artifact_uri, run.info.run_id, tags=tags)
    client.set_registered_model_alias(name, ALIAS, version.version)
    return Promoted(found.trial, found.settings, found.strategy, str(version.version))


def demote(profile: str, now: Promoted) -> Promoted:
    """Put the alias on the version that was promoted before `now`, or take it away; what is promoted then."""
    client, name = tracking_client(), model_name(profile)
    version = client.get_model_version(name, now.version)
    before = version.tags.get(BEFORE_TAG, "")
    if not before:
        client.delete_registered_model_alias(name, ALIAS)
        return Promoted()
    earlier = client.get_model_version(name, before)
    client.set_registered_model_alias(name, ALIAS, before)
    return Promoted(**{**json.loads(earlier.tags[SETTINGS_TAG]), "version": before})


def aliased(profile: str) -> str:
    """The version that MLflow's alias stands on; "" for none."""
    from mlflow.exceptions import MlflowException

    try:
        return str(tracking_client().get_model_version_by_alias(model_name(profile), ALIAS).version)
    except MlflowException:
        return ""


def model_name(profile: str) -> str:
    """Of the registered model whose versions are promoted trials."""
    return registered_name(profile, MODEL)


def _create(client: Any, name: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _run_of(client: Any, profile: str, trial: str) -> Any:
    """The newest finished run of a trial."""
    from quant_assets.tracking.mlflow_resource import EXPERIMENT

    experiment = client.get_experiment_by_name(EXPERIMENT)
    wanted = f"tags.trial = '{trial}' and tags.profile = '{profile}' and attributes.status = 'FINISHED'"
    runs = client.search_runs([experiment.experiment_id], wanted, max_results=1) if experiment else []
    if not runs:
        raise DataError(
            f"promote {trial}: MLflow has no finished run of it; run it again with `quant sweep`, or set QUANT_DATA or "
            "MLFLOW_TRACKING_URI to where it was."
        )
    return runs[0]
