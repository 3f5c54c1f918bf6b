"""Is a stored partition current? A fingerprint of everything it was made from answers without recomputing.

A fingerprint covers the asset's code version (source of its stage, defaults of its profile), the run's configuration of
the asset, and the content hash of every upstream partition. Equal upstream content, whenever it was written, is the same
upstream. Written by quant_assets/storage.py beside the data; compared by `quant run`.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.definitions.assets.graph.base_asset_graph import BaseAssetGraph
from upath import UPath

from quant_assets.storage import Stamp, pointer_path, read_stamp, table_path

#: (asset key, partition) -> what changes outside the lab would do to it; "" for nothing.
ExternalVersion = Callable[[dg.AssetKey, str], str]


def code_version(*roots: str, settings: Mapping[str, Any]) -> str:
    """Hash of the source files under `roots` (paths inside the repository's packages) and of an asset's settings."""
    digest = hashlib.sha256()
    for root in roots:
        digest.update(_source_hash(root).encode())
    digest.update(json.dumps(settings, sort_keys=True, default=str).encode())
    return digest.hexdigest()[:16]


@lru_cache
def _source_hash(root: str) -> str:
    base = Path(__file__).parent.parent / root
    files = [base] if base.is_file() else sorted(base.rglob("*.py"))
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in files)).hexdigest()


def upstream_partitions(graph: BaseAssetGraph, key: dg.AssetKey, parent: dg.AssetKey, partition: str) -> list[str]:
    """Partitions of `parent` that partition `partition` of `key` is made from, sorted."""
    own, theirs = graph.get(key).partitions_def, graph.get(parent).partitions_def
    if own is None or theirs is None:
        return []
    mapped = graph.get_partition_mapping(key, parent).get_upstream_mapped_partitions_result_for_partitions(
        own.empty_subset().with_partition_keys([partition]), own, theirs, datetime.now(UTC)
    )
    return sorted(mapped.partitions_subset.get_partition_keys())


def fingerprint(
    graph: BaseAssetGraph, root: UPath, key: dg.AssetKey, partition: str, config: Mapping[str, Any], external: ExternalVersion
) -> str:
    """Hash of what `partition` of `key` would be made from now; upstream partitions that are missing count as such."""
    parts: list[str] = [
        key.to_user_string(),
        str(graph.get(key).code_version),
        json.dumps(config, sort_keys=True, default=str),
        external(key, partition),
    ]
    for parent in sorted(graph.get(key).parent_keys, key=lambda k: k.to_user_string()):
        for upstream in upstream_partitions(graph, key, parent, partition):
            stamp = stored_stamp(root, parent, upstream)
            parts.append(f"{parent.to_user_string()}:{upstream}:{stamp.content_hash if stamp else 'missing'}")
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def stored_stamp(root: UPath, key: dg.AssetKey, partition: str) -> Stamp | None:
    """The stamp of a partition, whether it is a table or an artifact; None where it is not stored."""
    for path in (table_path(root, key, partition), pointer_path(root, key, partition)):
        try:
            status = path.stat()
        except (FileNotFoundError, OSError):
            continue
        return _stamp(path, status.st_mtime, status.st_size)
    return None


@lru_cache(maxsize=100_000)
def _stamp(path: UPath, modified: float, size: int) -> Stamp | None:
    return read_stamp(path)


def node_config(run_config: Mapping[str, Any], node: str) -> dict[str, Any]:
    """The part of a run's configuration that belongs to one asset."""
    return dict((run_config.get("ops") or {}).get(node) or {})
