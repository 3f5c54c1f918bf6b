"""Former versions of a month stay with their `fetched_at`; what was known on a day is read again to the last byte."""

import os
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from upath import UPath

from quant_assets.storage import vintages
from quant_assets.storage.partition_files import read_stamp, write_table
from quant_assets.storage.vintages import SAME, Difference, first_stored, former_path, known_at, merge, settled
from quant_core.errors import DataError
from quant_core.market.sources.source import plain_rows, raw_rows

T = [datetime(2026, 11, day, 13, tzinfo=UTC) for day in range(1, 8)]
Rows = list[tuple[int, str, float]]


def raw(rows: Rows, fetched: datetime) -> pl.DataFrame:
    """A raw month of (day, ticker, close)."""
    bars = pl.DataFrame(
        {
            "date": [date(2026, 10, day) for day, _, _ in rows],
            "ticker": [ticker for _, ticker, _ in rows],
            **{f"{name}_inr": [close for _, _, close in rows] for name in ("open", "high", "low", "close")},
            "volume_shares": [1000] * len(rows),
        },
        schema_overrides={"date": pl.Date, "ticker": pl.String, "volume_shares": pl.Int64}
        | {f"{name}_inr": pl.Float64 for name in ("open", "high", "low", "close")},
    )
    return raw_rows(plain_rows(bars, "vendor", fetched), "test", "")


def store(path: UPath, rows: Rows, at: datetime, fetched: datetime | None = None) -> Difference:
    """Store a fetch as the lab does, at a moment of the lab's clock."""
    table, found = settled(path, raw(rows, fetched or at), at)
    write_table(path, table, "f")
    os.utime(path, (at.timestamp(), at.timestamp()))
    return found


@pytest.fixture
def path(tmp_path: Path) -> UPath:
    return UPath(tmp_path / "raw_ohlcv" / "2026-10.parquet")


FIRST: Rows = [(1, "A", 100.0), (1, "B", 50.0), (2, "A", 101.0)]
GROWN: Rows = [*FIRST, (5, "A", 102.0)]
RESTATED: Rows = [(1, "A", 100.0), (2, "A", 101.5), (5, "A", 102.0)]


def test_a_month_stored_once_has_no_record_beside_it(path: UPath) -> None:
    assert store(path, FIRST, T[0]) == Difference()
    assert not former_path(path).exists()
    known = known_at(path, T[1])
    assert known is not None
    assert known.equals(raw(FIRST, T[0]))
    assert known_at(path, T[0] - timedelta(seconds=1)) is None
    assert first_stored(path) == T[0]


def test_the_same_rows_fetched_again_stay_with_their_first_time(path: UPath) -> None:
    store(path, FIRST, T[0])
    before = read_stamp(path)
    assert store(path, FIRST, T[1]) == Difference()
    assert read_stamp(path) == before
    rounded = [(day, name, close * (1 + SAME / 2)) for day, name, close in FIRST]
    assert store(path, rounded, T[2]) == Difference()
    assert read_stamp(path) == before
    known = known_at(path, T[0])
    assert known is not None
    assert known.equals(pl.read_parquet(str(path)))


def test_what_a_vendor_restates_is_told_and_every_day_is_known_again(path: UPath) -> None:
    hashes = []
    for rows, at in zip((FIRST, GROWN, RESTATED), T, strict=False):
        found = store(path, rows, at)
        hashes.append(read_stamp(path))
    assert (found.changed, found.gone, found.added) == (1, 1, 0)
    assert found.is_restated
    assert "A 2026-10-02: open_inr 101.0 is now 101.5" in str(found.example)
    stored = pl.read_parquet(str(path))
    assert dict(stored.select("close_inr", "fetched_at").iter_rows()) == {100.0: T[0], 101.5: T[2], 102.0: T[1]}
    history = pl.read_parquet(str(former_path(path)))
    ended = history.filter(pl.col("known_until").is_not_null()).sort("ticker")
    assert ended.select("ticker", "close_inr", "fetched_at", "known_from", "known_until").rows() == [
        ("A", 101.0, T[0], T[0], T[2]), ("B", 50.0, T[0], T[0], T[2]),
    ]  # fmt: skip
    again = UPath(path.parent / "again.parquet")
    for at, stamp in zip(T, hashes, strict=False):
        known = known_at(path, at)
        assert known is not None
        write_table(again, known, "f")
        assert read_stamp(again) == stamp, at


def test_rows_of_later_sessions_restate_nothing(path: UPath) -> None:
    store(path, FIRST, T[0])
    found = store(path, GROWN, T[1])
    assert (found.changed, found.gone, found.added, found.is_restated) == (0, 0, 1, False)


def test_a_vendor_without_a_row_takes_nothing_away_for_good(path: UPath) -> None:
    store(path, FIRST, T[0])
    assert store(path, [], T[1]).gone == 3
    store(path, FIRST, T[2])
    for at, height in ((T[0], 3), (T[1], 0), (T[2], 3)):
        known = known_at(path, at)
        assert known is not None
        assert known.height == height


def test_a_change_that_keeps_the_time_of_its_file_is_a_change(path: UPath) -> None:
    store(path, FIRST, T[0], fetched=T[0])
    store(path, RESTATED, T[1], fetched=T[0])
    known = known_at(path, T[0])
    assert known is not None
    assert known.equals(raw(FIRST, T[0]))


def test_rows_of_one_date_and_ticker_keep_their_order(path: UPath) -> None:
    twice: Rows = [(1, "A", 100.0), (1, "A", 99.0)]
    store(path, twice, T[0])
    assert store(path, twice, T[1]) == Difference()
    assert store(path, [(1, "A", 100.0), (1, "A", 98.0)], T[2]).changed == 1
    known = known_at(path, T[1])
    assert known is not None
    assert known["close_inr"].to_list() == [100.0, 99.0]


def test_a_writer_killed_between_the_record_and_the_table_leaves_no_false_version(path: UPath) -> None:
    store(path, FIRST, T[0])
    settled(path, raw(GROWN, T[1]), T[1])  # noted; the table was never written
    store(path, RESTATED, T[2])
    at_1, at_2 = known_at(path, T[1]), known_at(path, T[2])
    assert at_1 is not None
    assert at_2 is not None
    assert at_1.equals(raw(FIRST, T[0]))
    assert at_2["close_inr"].to_list() == [100.0, 101.5, 102.0]


def test_a_file_that_somebody_put_there_counts_from_its_own_time(path: UPath) -> None:
    store(path, FIRST, T[0])
    store(path, GROWN, T[1])
    write_table(path, raw(RESTATED, T[2]), "f")
    os.utime(path, (T[3].timestamp(), T[3].timestamp()))
    at_2, at_3 = known_at(path, T[2]), known_at(path, T[3])
    assert at_2 is not None
    assert at_3 is not None
    assert at_2["close_inr"].to_list() == [100.0, 50.0, 101.0, 102.0]
    assert at_3["close_inr"].to_list() == [100.0, 101.5, 102.0]


def test_a_record_that_cannot_be_read_is_named(path: UPath) -> None:
    store(path, FIRST, T[0])
    store(path, GROWN, T[1])
    former_path(path).write_bytes(b"gone")
    with pytest.raises(DataError, match=r"2026-10.parquet: former versions cannot be read"):
        known_at(path, T[1])


def test_another_contract_is_another_table() -> None:
    old = raw(FIRST, T[0]).drop("series")
    new = raw(FIRST, T[1])
    merged, found = merge(old, new)
    assert merged.equals(new)
    assert found.changed == 3


ROWS = st.lists(st.tuples(st.integers(1, 3), st.sampled_from("AB"), st.sampled_from([1.0, 2.0])), max_size=5)


@settings(max_examples=25, deadline=None)
@given(fetches=st.lists(ROWS, min_size=1, max_size=5))
@example(fetches=[[], []])
@example(fetches=[[(1, "A", 1.0)], [(1, "A", 1.0)]])
def test_any_sequence_of_fetches_is_known_again(fetches: list[Rows], tmp_path_factory: pytest.TempPathFactory) -> None:
    path = UPath(tmp_path_factory.mktemp("drawn") / "2026-10.parquet")
    stored = []
    for rows, at in zip(fetches, T, strict=False):
        store(path, rows, at)
        stored.append(pl.read_parquet(str(path)))
        fetched = raw(rows, at)
        assert stored[-1].drop("fetched_at").equals(fetched.drop("fetched_at"))
    for table, at in zip(stored, T, strict=False):
        known = known_at(path, at)
        assert known is not None
        assert known.equals(table)


def test_the_tolerance_is_below_a_tick() -> None:
    assert vintages.SAME * 250_000 <= 0.05
