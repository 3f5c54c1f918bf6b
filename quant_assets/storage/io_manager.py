"""The IO manager: Parquet by month for tables, folders for artifacts, a scratch room for values between ops."""

import hashlib
import re
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import polars as pl
from upath import UPath

from quant_assets.currency.fingerprints import fingerprint, node_config, stamps_in
from quant_assets.lab import Lab
from quant_assets.logs import note
from quant_assets.partitions import months_before, months_of
from quant_assets.storage import object_store
from quant_assets.storage.partition_files import (
    Files,
    artifact_folder,
    local_path,
    parquet,
    pointer_path,
    read_artifact,
    read_tables,
    stored_partitions,
    table_path,
    write_artifact,
    write_table,
)
from quant_assets.storage.vintages import FETCHED, settled, told
from quant_core.errors import DataError
from quant_core.folds import fold

SCRATCH_KEPT = timedelta(days=7)
#: What an asset without partitions is stored as.
NEWEST = "newest"


class LabStorage(dg.IOManager):
    """Stores a frame as one file per partition and a mapping of bytes as an artifact.

    A table's rows find their partition by their `date`. A missing upstream partition is an error that names it, unless
    the input's metadata says that it may be absent: before `optional_before` (a partition key), more than
    `needed_months` (a number) before the run's own first month, or, with `unfinished`, in the run's own fold after
    the last month that is there.
    """

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.root: UPath = lab.root

    def handle_output(
        self, context: dg.OutputContext, obj: pl.DataFrame | pl.LazyFrame | Files | Mapping[str, Files]
    ) -> None:
        value = obj.collect() if isinstance(obj, pl.LazyFrame) else obj
        if not context.has_asset_key:
            _write_scratch(self._scratch(context), value)  # type: ignore[arg-type]
            return
        partitions = list(context.asset_partition_keys) if context.has_asset_partitions else [NEWEST]
        if isinstance(value, pl.DataFrame):
            note(rows=value.height, partitions=len(partitions))
            hashes = self._store_table(context, partitions, value)
        else:
            by_partition: Any = value if len(partitions) > 1 else {partitions[0]: value}
            hashes = self._store_artifacts(context, partitions, by_partition)
            files = [file for one in by_partition.values() for file in one.values()]
            note(files=len(files), kib=round(sum(map(len, files)) / 1024))
        context.add_output_metadata({"content_hash": hashes[0] if len(hashes) == 1 else combined_hash(hashes)})

    def _fingerprints(self, context: dg.OutputContext, partitions: Sequence[str]) -> dict[str, str]:
        step, key, stamps = context.step_context, context.asset_key, stamps_in(self.root)
        graph = step.job_def.asset_layer.asset_graph
        changed = self.lab.changed_settings(key.path[-1], node_config(step.run_config, step.node_handle.path[0]))
        external = self.lab.as_run(key.path[-1], changed).external_version
        return {name: fingerprint(graph, stamps, key, name, changed, external) for name in partitions}

    def _store_artifacts(
        self, context: dg.OutputContext, partitions: Sequence[str], files: Mapping[str, Files]
    ) -> list[str]:
        if set(files) != set(partitions):
            raise DataError(
                f"{context.asset_key.to_user_string()}: an artifact belongs to one partition, got {partitions}; "
                "run them one by one."
            )
        hashes = []
        for name, fingerprint_now in self._fingerprints(context, sorted(partitions)).items():
            pointer = pointer_path(self.root, context.asset_key, name)
            hashes.append(write_artifact(pointer, files[name], fingerprint_now).content_hash)
        context.add_output_metadata({"path": dg.MetadataValue.path(str(artifact_folder(pointer)))})
        drop_scratch(self.root, context.run_id, context.step_context.node_handle.path[0])
        return hashes

    def _store_table(self, context: dg.OutputContext, partitions: Sequence[str], table: pl.DataFrame) -> list[str]:
        definition = context.asset_partitions_def
        if not isinstance(definition, dg.TimeWindowPartitionsDefinition):
            raise DataError(f"{context.asset_key.to_user_string()}: tables are partitioned by time; this asset is not.")
        by_partition = dict(slices(table, definition.fmt))
        strangers = sorted(set(by_partition) - set(partitions))
        if strangers:
            raise DataError(
                f"{context.asset_key.to_user_string()}: rows of {strangers[0]} and {len(strangers) - 1} more "
                f"partitions in a run of {min(partitions)}..{max(partitions)}; "
                "an asset returns rows of its own partitions only."
            )
        hashes = []
        for name, fingerprint_now in self._fingerprints(context, sorted(partitions)).items():
            path = table_path(self.root, context.asset_key, name)
            rows = by_partition.get(name, table.clear())
            if FETCHED in table.columns:
                rows = _settled(context, path, name, rows)
            stamp = write_table(path, rows, fingerprint_now)
            hashes.append(stamp.content_hash)
        context.add_output_metadata(
            {"path": dg.MetadataValue.path(str(table_path(self.root, context.asset_key, min(partitions)).parent))}
        )
        return hashes

    def load_input(self, context: dg.InputContext) -> Any:
        if not context.has_asset_key:
            upstream = context.upstream_output
            assert upstream is not None  # Dagster always gives it for a value between ops
            return _read_scratch(self._scratch(upstream))
        key = context.asset_key
        optional_before = _optional_before(context)
        partitions = sorted(context.asset_partition_keys) if context.has_asset_partitions else []
        tables, pointers = stored_partitions(self.root, key, partitions)
        present = [name for name in partitions if name in tables or name in pointers]
        unfinished = (context.definition_metadata or {}).get("unfinished")
        needed = begun(partitions, present, months_of(fold(context.partition_key))) if unfinished else partitions
        missing = [name for name in needed if name not in present and name >= optional_before]
        if missing:
            raise missing_partitions(key, missing)
        if pointers:
            return {name: read_artifact(pointer_path(self.root, key, name)) for name in present}
        return read_tables([table_path(self.root, key, name) for name in present]) if present else None

    def _scratch(self, output: dg.OutputContext) -> UPath:
        named = [part for part in (output.name, output.mapping_key) if part]
        place = [re.sub(r"[^\w.-]", "_", part) for part in (output.run_id, output.step_key, *named)]
        return self.root.joinpath(".scratch", *place)


def _settled(context: dg.OutputContext, path: UPath, month: str, rows: pl.DataFrame) -> pl.DataFrame:
    """The rows to store; says what the vendor gives otherwise than before."""
    kept, found = settled(path, rows, datetime.now(UTC))
    if found.is_restated:
        context.log.warning("%s", told(month, found))
    return kept


def _optional_before(context: dg.InputContext) -> str:
    """The first upstream partition that must be there."""
    metadata = context.definition_metadata or {}
    if "needed_months" not in metadata:
        return str(metadata.get("optional_before", ""))
    first = context.step_context.partition_key_range.start
    return f"{months_before(first, int(metadata['needed_months'])):%Y-%m}"


def drop_scratch(root: UPath, run_id: str, node: str) -> None:
    """Remove the values between the ops of a finished asset, and whatever failed runs left there a week ago."""
    scratch = local_path(root / ".scratch")
    if scratch is None:
        _drop_remote_scratch(root / ".scratch", run_id, node)
        return
    if not scratch.is_dir():
        return
    for folder in (scratch / run_id).glob(f"{node}.*"):
        shutil.rmtree(folder, ignore_errors=True)
    for folder in scratch.iterdir():
        if not any(folder.iterdir()) or time.time() - folder.stat().st_mtime > SCRATCH_KEPT.total_seconds():
            shutil.rmtree(folder, ignore_errors=True)


def _drop_remote_scratch(scratch: UPath, run_id: str, node: str) -> None:
    own = {name.partition("/")[0] for name in object_store.listed(scratch / run_id)}
    for name in own:
        if name.startswith(f"{node}."):
            object_store.remove(scratch / run_id / name)
    for folder in object_store.idle_folders(scratch, SCRATCH_KEPT):
        object_store.remove(folder)


def slices(table: pl.DataFrame, fmt: str) -> Iterator[tuple[str, pl.DataFrame]]:
    """(partition, its rows) of a table with dates, in order of date; views, for a long range may be half of memory."""
    ordered = table if table["date"].is_sorted() else table.sort("date", maintain_order=True)
    days = ordered.select(pl.col("date").rle()).unnest("date")
    named = pl.col("value").dt.strftime(fmt).alias("name")
    lengths = days.group_by(named, maintain_order=True).agg(pl.col("len").sum())
    begin = 0
    for name, length in lengths.iter_rows():
        yield str(name), ordered.slice(begin, length)
        begin += length


def begun(months: Sequence[str], present: Sequence[str], span: Sequence[str]) -> list[str]:
    """`months` without those of `span` after its last stored one; all of them where none of it is stored."""
    own = [month for month in present if month in span]
    return [month for month in months if not own or month <= own[-1]]


def combined_hash(hashes: Sequence[str]) -> str:
    """One hash for the partitions of a range, in order."""
    return hashlib.sha256("".join(hashes).encode()).hexdigest()


def missing_partitions(key: dg.AssetKey, missing: Sequence[str]) -> DataError:
    """The error for upstream partitions that are not there."""
    name = key.to_user_string()
    more = f" and {len(missing) - 1} more up to {missing[-1]}" if len(missing) > 1 else ""
    return DataError(
        f"{name}: partition {missing[0]}{more} is not materialized; materialize it first, in the UI (asset {name}, "
        f"Materialize, {missing[0]}..{missing[-1]}) or with `quant run`, which makes whatever is missing."
    )


def _write_scratch(folder: UPath, value: pl.DataFrame | Files) -> None:
    local = local_path(folder)
    if local is None:
        files = {"table.parquet": parquet(value)} if isinstance(value, pl.DataFrame) else dict(value)
        for name, data in files.items():
            object_store.put(folder / name, data)
        return
    local.mkdir(parents=True, exist_ok=True)
    if isinstance(value, pl.DataFrame):
        value.write_parquet(local / "table.parquet")
        return
    for name, data in dict(value).items():
        (local / name).write_bytes(data)


def _read_scratch(folder: UPath) -> Any:
    names = sorted(path.name for path in folder.iterdir())
    if names == ["table.parquet"]:
        return read_tables([folder / names[0]]).collect()
    if local_path(folder) is None:
        return dict(zip(names, object_store.contents([folder / name for name in names]), strict=True))
    return {name: (folder / name).read_bytes() for name in names}
