"""What a partition was made from, and whether it still is."""

from datetime import UTC, date, datetime, tzinfo
from pathlib import Path

import dagster as dg
import pytest
from upath import UPath

from quant_assets.assembly import build_definitions
from quant_assets.currency import fingerprints
from quant_assets.currency.fingerprints import upstream_partitions
from quant_assets.profile import load_profile

CLOSED = {"start": "2015-01", "end": "2019-06", "first_fold": 2018}


@pytest.fixture(scope="module")
def graph() -> object:
    return build_definitions(load_profile("demo", CLOSED)).resolve_asset_graph()


def dagsters_answer(graph: object, key: dg.AssetKey, parent: dg.AssetKey, partition: str) -> list[str]:
    own, theirs = graph.get(key).partitions_def, graph.get(parent).partitions_def  # type: ignore[attr-defined]
    mapped = graph.get_partition_mapping(key, parent).get_upstream_mapped_partitions_result_for_partitions(  # type: ignore[attr-defined]
        own.empty_subset().with_partition_keys([partition]), own, theirs, datetime.now(UTC)
    )
    return sorted(mapped.partitions_subset.get_partition_keys())


@pytest.mark.slow
def test_upstream_partitions_are_those_of_dagsters_own_mapping(graph: object) -> None:
    edges, answers = 0, {}  # Dagster is slow to answer, and many edges have the same mapping
    for key in graph.get_all_asset_keys():  # type: ignore[attr-defined]
        node = graph.get(key)  # type: ignore[attr-defined]
        if not fingerprints.is_by_time(node.partitions_def):
            assert {key.path[-1]} <= {"trial", "leaderboard"}  # what they are made from is outside the graph
            continue
        partitions = node.partitions_def.get_partition_keys()
        for parent in node.parent_keys:
            mapping = graph.get_partition_mapping(key, parent)  # type: ignore[attr-defined]
            kind = (node.partitions_def, mapping, graph.get(parent).partitions_def)  # type: ignore[attr-defined]
            for partition in (*partitions[:3], *partitions[len(partitions) // 2 :][:2], partitions[-1]):
                edges += 1
                if (*kind, partition) not in answers:
                    answers[*kind, partition] = dagsters_answer(graph, key, parent, partition)
                assert upstream_partitions(graph, key, parent, partition) == answers[*kind, partition]
    assert edges > 50


def test_a_plan_looks_each_stored_partition_up_once(
    graph: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_up = []
    monkeypatch.setattr(fingerprints, "stored_stamp", lambda root, key, partition: looked_up.append((key, partition)))
    clean, stamps = dg.AssetKey(["demo", "clean_prices"]), fingerprints.stamps_in(UPath(tmp_path))
    months = [f"2015-{month:02d}" for month in range(1, 13)]
    marks = {fingerprints.fingerprint(graph, stamps, clean, month, {}, lambda *_: "") for month in months}
    assert len(marks) == 12
    assert looked_up == [(dg.AssetKey(["demo", "raw_ohlcv"]), month) for month in months]


def test_a_fold_begins_at_midnight_in_india(graph: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is fitted in its first hours, still the day before by UTC, is made from what the same run just made."""

    class Clock(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
            return datetime(2019, 12, 31, 18, 31, tzinfo=UTC).astimezone(tz)

    asked = []
    monkeypatch.setattr(fingerprints, "datetime", Clock)
    monkeypatch.setattr(fingerprints, "_partition_months", lambda definition, today: asked.append(today) or {})
    upstream_partitions(graph, dg.AssetKey(["demo", "forecaster_ridge"]), dg.AssetKey(["demo", "features"]), "2019")  # type: ignore[arg-type]
    assert asked == [date(2020, 1, 1)]
