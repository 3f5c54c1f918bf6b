"""The record of what was decided when: in time or not at all, once and never again, and damage is told."""

from datetime import date, datetime
from pathlib import Path

import polars as pl
import pytest
from upath import UPath

from quant_assets.storage import paper_record
from quant_core.calendar import INDIA
from quant_core.schema import CASH

FRIDAY, MONDAY, TUESDAY = date(2026, 11, 27), date(2026, 11, 30), date(2026, 12, 1)
FILLS = {FRIDAY: MONDAY, MONDAY: TUESDAY}
EVENING = datetime(2026, 11, 27, 18, 31, tzinfo=INDIA)


def decided(day: date, weight: float = 0.5) -> pl.DataFrame:
    return pl.DataFrame({
        "date": [day] * 2, "strategy": ["one"] * 2, "ticker": ["AAA", CASH], "weight": [weight, 1.0 - weight],
    })  # fmt: skip


def write(root: Path, table: pl.DataFrame, now: datetime) -> list[date]:
    return paper_record.record(UPath(root), "demo", table, FILLS, now)


def read(root: Path, until: date | None = None) -> paper_record.Record:
    return paper_record.read(UPath(root), "demo", until)


@pytest.mark.parametrize(
    ("now", "in_time"),
    [
        (datetime(2026, 11, 27, 15, 31, tzinfo=INDIA), False),  # the close is not final
        (EVENING, True),
        (datetime(2026, 11, 30, 8, 59, tzinfo=INDIA), True),
        (datetime(2026, 11, 30, 9, 0, tzinfo=INDIA), False),  # the exchange takes orders
        (datetime(2026, 12, 5, 18, 30, tzinfo=INDIA), False),
    ],
)
def test_a_decision_is_recorded_between_its_close_and_its_fill(tmp_path: Path, now: datetime, in_time: bool) -> None:
    assert write(tmp_path, decided(FRIDAY), now) == ([FRIDAY] if in_time else [])
    assert read(tmp_path).decisions.height == 2 * in_time


def test_a_day_is_never_written_again_whatever_a_later_refresh_decides(tmp_path: Path) -> None:
    write(tmp_path, decided(FRIDAY, 0.5), EVENING)
    (file,) = (tmp_path / "demo" / "paper").glob("decided-*.parquet")
    before = file.read_bytes(), file.stat().st_mtime_ns
    assert write(tmp_path, decided(FRIDAY, 0.9), EVENING.replace(hour=20)) == []
    assert (file.read_bytes(), file.stat().st_mtime_ns) == before
    found = read(tmp_path)
    assert found.decisions["weight"].to_list() == [0.5, 0.5]
    assert found.decisions["recorded_at"].unique().to_list() == ["2026-11-27T18:31:00+05:30"]
    assert found.problems == ()


def two_days(root: Path) -> list[Path]:
    write(root, decided(FRIDAY), EVENING)
    assert write(root, pl.concat([decided(FRIDAY), decided(MONDAY)]), EVENING.replace(day=30)) == [MONDAY]
    return sorted((root / "demo" / "paper").glob("decided-*.parquet"))


def test_later_days_leave_the_record_up_to_a_day_as_it_was(tmp_path: Path) -> None:
    two_days(tmp_path)
    assert read(tmp_path, FRIDAY).decisions["date"].unique().to_list() == [FRIDAY]
    then = paper_record.signature(UPath(tmp_path), "demo", FRIDAY)
    assert then != paper_record.signature(UPath(tmp_path), "demo", MONDAY)
    assert paper_record.signature(UPath(tmp_path / "other"), "demo", MONDAY) == ""


def test_what_was_edited_taken_out_or_broken_is_told(tmp_path: Path) -> None:
    first, second = two_days(tmp_path)
    whole = first.read_bytes()
    edited = pl.read_parquet(first).with_columns(weight=pl.lit(0.5001))
    edited.write_parquet(first, metadata=pl.read_parquet_metadata(first))
    assert read(tmp_path).problems == (f"{first.name} was edited",)
    first.write_bytes(b"nothing")
    assert read(tmp_path).problems[0].startswith(f"{first.name} cannot be read")
    first.unlink()
    assert read(tmp_path).problems == (f"a day before {second.name} was taken out or changed",)
    first.write_bytes(whole)
    assert read(tmp_path).problems == ()
