"""Closed months whose source gives something else by now than what is stored: found, told once, offered as a run."""

from collections.abc import Sequence

from dagster._core.definitions.assets.graph.base_asset_graph import BaseAssetGraph

from quant_assets.currency.fingerprints import fingerprint, stamps_in
from quant_assets.lab import Lab

RAW = "raw_ohlcv"


def restated_months(lab: Lab, graph: BaseAssetGraph, first_open: str) -> list[str]:
    """Stored raw months that a run would make from something else now.

    Args:
        first_open: months from this one on are read by the next refresh anyway.
    """
    key, stamps = lab.key(RAW), stamps_in(lab.root)
    found = []
    for month in lab.partitions.months.get_partition_keys():
        stamp = stamps(key, month) if month < first_open else None
        if stamp is not None and stamp.fingerprint != fingerprint(graph, stamps, key, month, {}, lab.external_version):
            found.append(month)
    return found


def offer(lab: Lab, months: Sequence[str]) -> str:
    """What to do about them, in one line."""
    shown = ", ".join(months[:6]) + (f" and {len(months) - 6} more" if len(months) > 6 else "")
    return (
        f"{lab.profile.name}/{RAW}: {shown} no longer what the source gives (restated by the vendor, or read by "
        f"changed code); take it over with `quant run`, or backfill every month asset from {months[0]} on in the UI."
    )
