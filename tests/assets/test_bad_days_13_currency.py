"""A fingerprint knows everything it is made of, one thing at a time."""

from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest
from dagster._core.definitions.assets.graph.base_asset_graph import BaseAssetGraph
from upath import UPath

from quant_assets.currency.fingerprints import fingerprint, stamps_in
from quant_assets.storage.partition_files import table_path, write_table

PRICES, FEATURES = dg.AssetKey(["demo", "prices"]), dg.AssetKey(["demo", "features"])
MONTHS = dg.MonthlyPartitionsDefinition(start_date="2021-01", end_date="2021-07", fmt="%Y-%m")
TABLE = pl.DataFrame({"date": [date(2021, 3, 1)], "ticker": ["TCS"], "x": [1.0]})


def graph(code_version: str = "1", key: dg.AssetKey = FEATURES) -> BaseAssetGraph:
    """`key` of one code version, made from the same month of prices and the month before."""

    @dg.asset(key=PRICES, partitions_def=MONTHS, code_version="prices")
    def prices() -> None: ...

    two_months = dg.TimeWindowPartitionMapping(start_offset=-1)

    @dg.asset(
        key=key,
        partitions_def=MONTHS,
        code_version=code_version,
        ins={"prices": dg.AssetIn(PRICES, partition_mapping=two_months)},
    )
    def made(prices: Any) -> None: ...

    return dg.Definitions(assets=[prices, made]).resolve_asset_graph()


@pytest.fixture
def root(tmp_path: Path) -> UPath:
    store = UPath(tmp_path)
    for month in ("2021-02", "2021-03"):
        write_table(table_path(store, PRICES, month), TABLE, "prices")
    return store


def mark(root: UPath, *, of: BaseAssetGraph | None = None, key: dg.AssetKey = FEATURES, **over: Any) -> str:
    given: dict[str, Any] = {"partition": "2021-03", "config": {"window": 5}, "external": lambda *_: "", **over}
    return fingerprint(of or graph(), stamps_in(root), key, given["partition"], given["config"], given["external"])


def test_another_code_version_is_another_fingerprint(root: UPath) -> None:
    assert mark(root, of=graph("1")) == mark(root, of=graph("1"))
    assert mark(root, of=graph("2")) != mark(root, of=graph("1"))


def test_another_setting_asset_or_outside_version_is_another_fingerprint(root: UPath) -> None:
    other = dg.AssetKey(["demo", "labels"])
    marks = [
        mark(root),
        mark(root, config={"window": 21}),
        mark(root, of=graph(key=other), key=other),
        mark(root, external=lambda key, partition: f"{key.path[-1]} {partition} revised"),
    ]
    assert len(set(marks)) == len(marks)


def test_the_order_of_settings_is_no_change(root: UPath) -> None:
    assert mark(root, config={"a": 1, "b": 2}) == mark(root, config={"b": 2, "a": 1})


@pytest.mark.parametrize("month", ["2021-02", "2021-03"])
def test_other_content_of_any_upstream_month_is_another_fingerprint(root: UPath, month: str) -> None:
    before = mark(root)
    path = table_path(root, PRICES, month)
    write_table(path, TABLE.with_columns(x=pl.lit(2.5)), "prices")
    assert mark(root) != before
    path.unlink()
    missing = mark(root)
    assert missing != before
    write_table(path, TABLE, "made from something else")  # equal content, whatever it was made from
    assert mark(root) == before


def test_months_that_are_not_upstream_do_not_count(root: UPath) -> None:
    before = mark(root)
    for month in ("2021-01", "2021-04"):
        write_table(table_path(root, PRICES, month), TABLE, "prices")
    assert mark(root) == before
