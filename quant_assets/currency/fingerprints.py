"""Is a stored partition current? A fingerprint of everything it was made from answers without recomputing.

A fingerprint covers the asset's code version (the code, data files and libraries that it reaches, see closure.py, and
what the profile tells it), the run's configuration of the asset, what lies outside the lab, and the content hash of
every upstream partition. Equal upstream content, whenever it was written, is the same upstream. Written by
quant_assets/storage/partition_files.py beside the data; compared by `quant run`.
"""

import hashlib
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, is_dataclass
from datetime import date, datetime
from functools import cache, lru_cache
from typing import Any
from zoneinfo import ZoneInfo

import dagster as dg
import polars as pl
from dagster._core.definitions.assets.graph.base_asset_graph import BaseAssetGraph
from upath import UPath

from quant_assets.currency.closure import Reach, library_versions
from quant_assets.partitions import IST, month_number, months_a_partition
from quant_assets.storage import object_store
from quant_assets.storage.partition_files import (
    Stamp,
    asset_folder,
    local_path,
    pointer_path,
    read_remote_stamps,
    read_stamp,
    table_path,
)

#: (asset key, partition) -> a text that differs when what lies outside the lab would give other content: the files that
#: a raw month is read from, by content, or the register that a report counts; "" for nothing.
ExternalVersion = Callable[[dg.AssetKey, str], str]

#: (asset key, partition) -> the stamp of what is stored, None where nothing is.
Stamps = Callable[[dg.AssetKey, str], Stamp | None]


def code_version(found: Reach, settings: Mapping[str, Any]) -> str:
    """Hash of what an asset's code reaches, of the libraries behind it and of the settings that it runs with."""
    libraries = {name: version for used in found.libraries for name, version in library_versions(used).items()}
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    text = json.dumps([dict(found.parts), libraries, python, dict(settings)], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def plain(value: Any) -> Any:
    """A value as JSON knows it; a table by its content, settings by their kind and fields."""
    if isinstance(value, pl.DataFrame):
        return hashlib.sha256(value.write_csv().encode()).hexdigest()
    return [type(value).__name__, asdict(value)] if is_dataclass(value) and not isinstance(value, type) else value


def upstream_partitions(graph: BaseAssetGraph, key: dg.AssetKey, parent: dg.AssetKey, partition: str) -> list[str]:
    """Partitions of `parent` that partition `partition` of `key` is made from, sorted.

    Dagster's own mapping gives the same answer (a test holds the two together) in milliseconds each, too slow for the
    thousands that planning a run asks for; months and years are whole numbers.
    """
    own, theirs = graph.get(key).partitions_def, graph.get(parent).partitions_def
    if not (is_by_time(own) and is_by_time(theirs)):  # a trial says itself what it is made from
        return []
    mapping, length = graph.get_partition_mapping(key, parent), months_a_partition(own)
    first = month_number(partition) + length * getattr(mapping, "start_offset", 0)
    last = month_number(partition) + length * getattr(mapping, "end_offset", 0) + length - 1
    known = _partition_months(theirs, datetime.now(ZoneInfo(IST)).date())  # partitions begin at midnight in India
    return [name for name, (start, end) in known.items() if start <= last and end >= first]


def is_by_time(definition: dg.PartitionsDefinition | None) -> bool:
    """Whether an asset is partitioned by months or folds; trials are by their keys, and a leaderboard is not."""
    return isinstance(definition, dg.TimeWindowPartitionsDefinition)


@lru_cache(maxsize=16)
def _partition_months(definition: dg.PartitionsDefinition, today: date) -> dict[str, tuple[int, int]]:
    """First and last month since year 0 of each partition."""
    length = months_a_partition(definition)
    first = {name: month_number(name) for name in definition.get_partition_keys()}
    return {name: (month, month + length - 1) for name, month in first.items()}


def fingerprint(
    graph: BaseAssetGraph,
    stamps: Stamps,
    key: dg.AssetKey,
    partition: str,
    config: Mapping[str, Any],
    external: ExternalVersion,
) -> str:
    """Hash of what `partition` of `key` would be made from now; upstream partitions that are missing count as such.

    Args:
        stamps: `stamps_in` the root; one for all partitions of a plan or a write, since they share what is upstream.
    """
    parts: list[str] = [
        key.to_user_string(),
        str(graph.get(key).code_version),
        json.dumps(config, sort_keys=True, default=str),
        external(key, partition),
    ]
    for parent in sorted(graph.get(key).parent_keys, key=lambda k: k.to_user_string()):
        for upstream in upstream_partitions(graph, key, parent, partition):
            stamp = stamps(parent, upstream)
            parts.append(f"{parent.to_user_string()}:{upstream}:{stamp.content_hash if stamp else 'missing'}")
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def stamps_in(root: UPath) -> Stamps:
    """Stamps of what is stored under `root`, each looked up once.

    A cleaned month may depend on every raw month before it: without it, N months are looked up N * N / 2 times.
    """

    @cache
    def of_asset(key: dg.AssetKey) -> dict[str, Stamp]:
        return read_remote_stamps(asset_folder(root, key))

    @cache
    def found(key: dg.AssetKey, partition: str) -> Stamp | None:
        return stored_stamp(root, key, partition) if local_path(root) else of_asset(key).get(partition)

    return found


def stored_stamp(root: UPath, key: dg.AssetKey, partition: str) -> Stamp | None:
    """The stamp of a partition, whether it is a table or an artifact; None where it is not stored."""
    for path in (table_path(root, key, partition), pointer_path(root, key, partition)):
        if (version := _version(path)) is not None:
            return _stamp(path, version)
    return None


def _version(path: UPath) -> tuple[Any, ...] | None:
    """What differs whenever a file was replaced; None where there is none."""
    if local_path(path) is None:
        return object_store.version(path)
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime, status.st_size


@lru_cache(maxsize=100_000)
def _stamp(path: UPath, version: tuple[Any, ...]) -> Stamp | None:
    """Read once for each file that a rename put there: pointers of one asset are all of the same size."""
    return read_stamp(path)


def node_config(run_config: Mapping[str, Any], node: str) -> dict[str, Any]:
    """The part of a run's configuration that belongs to one asset."""
    return dict((run_config.get("ops") or {}).get(node) or {})
