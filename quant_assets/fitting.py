"""One factory for everything that is fitted: encoder, forecaster, regime model, policy.

A graph asset of two ops, one fold a run: *train* fits on what storage hands it, in the pool and with the resource tags
that its specification names, so that a fit which needs a GPU queues for it while others run beside it; *publish* reads
the artifact back and puts what training had to say on the asset's page, where an inner op's own words are lost.
"""

import inspect
import json
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl

from quant_assets.config import core_settings
from quant_assets.lab import Lab
from quant_assets.pages.metadata import markdown_table
from quant_assets.pages.pictures import curve_picture, importance_picture, sessions_picture
from quant_assets.storage.partition_files import local_path
from quant_assets.storage.table_files import read_table, table_files
from quant_assets.tracking.mlflow_resource import is_in_own_store, own_store, run_address, run_id, tracked, tracking_uri
from quant_assets.tracking.model_card import model_card
from quant_assets.tracking.model_registry import log_card, register, registered_name
from quant_core.errors import DataError
from quant_core.fitted import Fitted, Journal, Log
from quant_core.folds import Fold, fold
from quant_core.runtime import Resources

ONE_FOLD_A_RUN = dg.BackfillPolicy.multi_run(1)
TRAIN_SUFFIX = "__train"
GPU_POOL, CPU_POOL = "gpu", "cpu_training"
TRAINED_FILE, IMPORTANCE = "trained.json", "importance"
#: In the training's file: whether its MLflow run is in the store beside the data.
OWN_STORE = "own_store"
#: Tables beside an artifact that its page draws: what is lost without an input, and which sessions are read.
PERMUTATION, SESSIONS = "permutation_importance", "sessions_read"

#: (settings, upstream values by name, fold, log) -> Fitted.
Fit = Callable[[Any, Mapping[str, Any], Fold, Log], Fitted]
#: (settings, upstream values by name, fold, what was fitted) -> tables by name.
Tables = Callable[[Any, Mapping[str, Any], Fold, Fitted], Mapping[str, pl.DataFrame]]


@dataclass(frozen=True)
class FittedAsset:
    """What the factory must know of one fitted asset.

    Args:
        name: of the asset; its settings are `Lab.settings_classes[name]`, its train op is `<op>__train`.
        op: prefix of its ops.
        made_by: the function that defines it, and `registered` what it works with: its code version.
        importance: fitted -> a table of inputs, the most important first; None where there is no such thing.
        tables: what is stored beside the artifact, named PERMUTATION or SESSIONS to be drawn; an empty one is left out.
    """

    name: str
    op: str
    group: str
    description: str
    ins: Mapping[str, dg.AssetIn]
    fit: Fit
    made_by: Callable[..., Any]
    registered: tuple[str, ...] = ()
    resources: Resources = field(default_factory=Resources)
    importance: Callable[[Fitted], pl.DataFrame] | None = None
    tables: Tables | None = None


def pool_and_tags(needs: Resources) -> tuple[str, dict[str, Any]]:
    """The pool that a train op waits in, and its tags for Kubernetes and Ray."""
    requests = {"cpu": str(needs.cpu_cores), "memory": f"{needs.memory_gib}Gi"}
    limits = {"limits": {"nvidia.com/gpu": "1"}} if needs.gpu else {}
    ray = {"num_cpus": needs.cpu_cores} | ({"num_gpus": 1} if needs.gpu else {})
    return GPU_POOL if needs.gpu else CPU_POOL, {
        "dagster-k8s/config": {"container_config": {"resources": {"requests": requests, **limits}}},
        "dagster-ray/config": ray,
    }


def fitted_asset(lab: Lab, spec: FittedAsset) -> dg.AssetsDefinition:
    """The graph asset of a specification."""
    train, publish = _train_op(lab, spec), _publish_op(lab, spec)

    def graph(**inputs: Any) -> Any:
        return publish(train(**inputs))

    graph.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD) for name in spec.ins]
    )
    made = dg.graph_asset(
        name=spec.name,
        key_prefix=lab.prefix,
        group_name=spec.group,
        partitions_def=lab.partitions.folds,
        backfill_policy=ONE_FOLD_A_RUN,
        automation_condition=dg.AutomationCondition.on_missing(),
        kinds={"safetensors", "mlflow"},
        description=spec.description,
        code_version=lab.code(spec.name, spec.made_by, f"{__name__}:{fitted_asset.__name__}", *spec.registered),
        ins=dict(spec.ins),
    )
    return made(graph)


def _train_op(lab: Lab, spec: FittedAsset) -> dg.OpDefinition:
    config_type: Any = lab.config(spec.name)
    settings_class = lab.settings_classes[spec.name]
    pool, tags = pool_and_tags(spec.resources)

    @dg.op(
        name=f"{spec.op}{TRAIN_SUFFIX}", pool=pool, tags=tags, required_resource_keys={"mlflow"},
        ins={name: dg.In() for name in spec.ins},
    )  # fmt: skip
    def train(context: dg.OpExecutionContext, config: config_type, **inputs: Any) -> dict:
        """Fit; parameters, what every epoch logged and the artifact go to MLflow."""
        own = fold(context.partition_key, lab.profile.train_years)
        started = time.perf_counter()
        with tracked(context, spec.name, config.model_dump() | {"fold": own.name}) as mlflow:

            def tell(epoch: int, values: Mapping[str, float]) -> None:
                mlflow.log_metrics(dict(values), step=epoch)
                told = " ".join(f"{name}={value:.5g}" for name, value in values.items())
                context.log.info(f"{spec.name}[{own.name}] epoch={epoch} {told}")

            folder = checkpoint_folder(lab, spec.name, own.name)
            log = tell if folder is None else Journal(tell, folder)
            settings: Any = core_settings(settings_class, config)
            fitted = spec.fit(settings, inputs, own, log)
            fit_ended = time.perf_counter()
            files = fitted.to_bytes() | _tables(spec, settings, inputs, own, fitted)
            spent = {"seconds": fit_ended - started, "tables_seconds": time.perf_counter() - fit_ended}
            mlflow.log_metrics(_sizes(fitted) | spent)
            _log_files(mlflow, files)
            told = {"mlflow_run": run_address(mlflow), "mlflow_run_id": run_id(mlflow), OWN_STORE: is_in_own_store()}
            seen = {name: round(value, 2) for name, value in spent.items()} | told | _machine()
        return files | {TRAINED_FILE: json.dumps(seen).encode()}

    return train


def _tables(spec: FittedAsset, settings: Any, inputs: Mapping[str, Any], own: Fold, fitted: Fitted) -> dict[str, bytes]:
    """The tables that explain a fit, as files; what is empty is none."""
    found = {} if spec.importance is None else {IMPORTANCE: spec.importance(fitted)}
    found |= {} if spec.tables is None else spec.tables(settings, inputs, own, fitted)
    return table_files(**{name: table for name, table in found.items() if table.height})


def _sizes(fitted: Fitted) -> dict[str, float]:
    """What MLflow's table of runs shows of a fit."""
    rank_ic = (fitted.manifest.facts.get("validation_slice") or {}).get("rank_ic")
    sizes: dict[str, float] = {"rows": fitted.manifest.n_rows, "inputs": len(fitted.manifest.columns)}
    return sizes if rank_ic is None else sizes | {"validation_rank_ic": rank_ic}


def checkpoint_folder(lab: Lab, asset: str, fold_name: str) -> Path | None:
    """Where the fit of a fold keeps what it goes on from after a kill; None where the data are on no local disk."""
    root = local_path(lab.root / ".checkpoints")
    return None if root is None else root / lab.profile.name / asset / fold_name


def _publish_op(lab: Lab, spec: FittedAsset) -> dg.OpDefinition:
    @dg.op(name=f"{spec.op}__publish")
    def publish(context: dg.OpExecutionContext, files: dict) -> dict:
        """Hand the artifact to storage after reading it back: what cannot be loaded is not published."""
        own = fold(context.partition_key, lab.profile.train_years)
        fitted = Fitted.from_bytes(files, f"{lab.profile.name}/{spec.name} {own.name}")
        manifest = fitted.manifest
        if manifest.fit_end >= own.test_start:
            raise DataError(
                f"{spec.name} {own.name}: fitted on data up to {manifest.fit_end}, wanted nothing on or after "
                f"{own.test_start}; report it: the model read beyond its labels."
            )
        folder = checkpoint_folder(lab, spec.name, own.name)
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)  # the artifact is whole: nothing is left to go on from
        seen = json.loads(files[TRAINED_FILE])
        run, name = seen.pop("mlflow_run_id"), registered_name(lab.profile.name, spec.name, own.name)
        store = own_store() if seen.pop(OWN_STORE) else tracking_uri()  # of the training, whoever answers by now
        about = {"profile": lab.profile.name, "asset": spec.name, "fold": own.name}
        registered = f"{name}, version {register(name, run, fitted, about, store)}"
        card = model_card(spec.name, spec.description, lab.profile.name, own, fitted, seen, registered)
        log_card(run, card, store)
        context.add_output_metadata({
            "mlflow_run": dg.MetadataValue.md(f"[open in MLflow]({seen.pop('mlflow_run')})"),
            "registered_model": registered, "model_card": dg.MetadataValue.md(card),
            **_bars(files, IMPORTANCE), **_bars(files, PERMUTATION), **_sessions(files), **_curve(fitted.curve),
            "fit_start": str(manifest.fit_start), "fit_end": str(manifest.fit_end),
            "dagster/row_count": manifest.n_rows, "inputs": len(manifest.columns), **seen,
            "settings": dg.MetadataValue.json(manifest.config), "facts": dg.MetadataValue.json(manifest.facts),
            "data_hash": manifest.data_hash,
        })  # fmt: skip
        return {name: content for name, content in files.items() if name != TRAINED_FILE}

    return publish


def fitted_of(files: Mapping[str, Mapping[str, bytes]] | None) -> dict[str, Fitted]:
    """The fitted folds that storage handed on, by name; none before the first fold."""
    return {name: Fitted.from_bytes(content, f"fold {name}") for name, content in (files or {}).items()}


def _bars(files: Mapping[str, bytes], name: str) -> dict[str, Any]:
    if f"{name}.parquet" not in files:
        return {}
    table = read_table(dict(files), name)
    return {name: importance_picture(table), f"{name}_table": markdown_table(table, 15)}


def _sessions(files: Mapping[str, bytes]) -> dict[str, Any]:
    return {SESSIONS: sessions_picture(read_table(dict(files), SESSIONS))} if f"{SESSIONS}.parquet" in files else {}


def _curve(curve: pl.DataFrame) -> dict[str, Any]:
    return {"learning_curve": curve_picture(curve)} if curve.height else {}


def _log_files(mlflow: Any, files: Mapping[str, bytes]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for name, data in files.items():
            (Path(folder) / name).write_bytes(data)
        mlflow.log_artifacts(folder)


def _machine() -> dict[str, Any]:
    """Where the fit ran; the memory is the largest that its process ever had."""
    peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform == "darwin" else 1)
    seen: dict[str, Any] = {"device": "cpu", "process_peak_memory_gib": round(peak_kib / 2**20, 2)}
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available() and torch.cuda.max_memory_allocated():
        gpu_peak = torch.cuda.max_memory_allocated() / 2**30
        seen |= {"device": torch.cuda.get_device_name(), "gpu_peak_memory_gib": round(gpu_peak, 2)}
    return seen
