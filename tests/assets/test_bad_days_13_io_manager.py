"""What an asset hands to storage: rows of its own partitions only, each partition whole."""

from datetime import date
from pathlib import Path

import dagster as dg
import polars as pl
import pytest

from quant_assets.lab import Lab
from quant_assets.profile import load_profile
from quant_assets.storage.io_manager import LabStorage
from quant_core.errors import DataError

MONTHS = dg.MonthlyPartitionsDefinition(start_date="2020-01", end_date="2020-07", fmt="%Y-%m")


@pytest.fixture
def storage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LabStorage:
    monkeypatch.setenv("QUANT_DATA", str(tmp_path))
    return LabStorage(Lab(load_profile("demo")))


def run(storage: LabStorage, days: list[date], first: str = "2020-03", last: str = "2020-03") -> None:
    """Materialize `first`..`last` in one run of an asset that returns a row for each of `days`."""

    @dg.asset(key_prefix="demo", partitions_def=MONTHS, backfill_policy=dg.BackfillPolicy.single_run())
    def observed() -> pl.DataFrame:
        return pl.DataFrame({"date": days, "x": range(len(days))}, schema_overrides={"date": pl.Date})

    tags = {dg_range: month for dg_range, month in zip(_RANGE_TAGS, (first, last), strict=True)}
    dg.materialize([observed], resources={"io_manager": storage}, tags=tags)


_RANGE_TAGS = ("dagster/asset_partition_range_start", "dagster/asset_partition_range_end")


def stored(folder: Path) -> dict[str, list[date]]:
    paths = sorted((folder / "demo" / "observed").glob("[0-9]*.parquet"))
    return {path.stem: pl.read_parquet(path)["date"].to_list() for path in paths}


@pytest.mark.parametrize("stranger", [date(2020, 2, 28), date(2020, 4, 1)])
def test_a_row_of_another_partition_is_refused_and_nothing_is_stored(
    storage: LabStorage, tmp_path: Path, stranger: date
) -> None:
    with pytest.raises(DataError, match=rf"demo/observed: rows of {stranger:%Y-%m} .*own partitions only"):
        run(storage, [date(2020, 3, 2), stranger])
    assert stored(tmp_path) == {}


def test_each_month_of_a_range_gets_its_own_rows_and_one_without_rows_is_an_empty_table(
    storage: LabStorage, tmp_path: Path
) -> None:
    run(storage, [date(2020, 3, 2), date(2020, 5, 4), date(2020, 3, 3)], "2020-03", "2020-05")
    assert stored(tmp_path) == {
        "2020-03": [date(2020, 3, 2), date(2020, 3, 3)],
        "2020-04": [],
        "2020-05": [date(2020, 5, 4)],
    }
