"""What a machine cannot hold, or nobody should open, is refused by name, in bounded time and memory."""

import builtins
import gzip
import os
import stat
import struct
import zipfile
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from quant_core.errors import DataError
from quant_core.market.inspection import inspect
from quant_core.market.problems import SHOWN, in_file, shown
from quant_core.market.reading import opening
from quant_core.market.reading.opening import content, parquet_schema, stamp
from quant_core.market.sources import Fetch
from quant_core.market.sources.files import FilesSource

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def fetch(path: Path) -> Fetch:
    return FilesSource(path=str(path), actions="none").fetch(None, date(2024, 1, 1), date(2024, 12, 31), NOW)


@pytest.fixture
def beside(tmp_path: Path) -> Path:
    """A folder with one good file."""
    (tmp_path / "GOOD.csv").write_text("Date,Close\n2024-07-01,1.5\n")
    return tmp_path


def said_of(found: Fetch, name: str) -> str:
    """The good file is read, and the other one named with the reason."""
    assert found.rows["ticker"].to_list() == ["GOOD"]
    [reason] = [problem.detail for problem in found.problems if problem.kind == "ignored_file" and problem.file == name]
    assert "\n" not in reason
    return reason


def test_a_file_of_five_gigabytes_is_not_read(beside: Path) -> None:
    with open(beside / "BIG.csv", "wb") as stream:
        stream.truncate(5 << 30)  # no block of it is written
    assert said_of(fetch(beside), "BIG.csv").startswith(
        "BIG.csv: 5,368,709,120 bytes, at most 1,073,741,824 bytes of text"
    )


def test_a_list_beside_the_prices_is_bounded_too(beside: Path) -> None:
    with open(beside / "sectors.csv", "wb") as stream:
        stream.truncate(5 << 30)
    with pytest.raises(DataError, match=r"sectors\.csv: 5,368,709,120 bytes, at most 67,108,864"):
        fetch(beside)


def test_a_million_columns_are_refused_by_the_first_line(beside: Path) -> None:
    (beside / "WIDE.csv").write_text("date,close," + ",".join(["x"] * 1_000_000) + "\n2024-07-01,1\n")
    assert "characters is no header" in said_of(fetch(beside), "WIDE.csv")
    (beside / "WIDE.csv").write_text("date,close," + ",".join(["x"] * 50_000) + "\n2024-07-01,1\n")
    assert "50,002 columns, at most 20,000 are read" in said_of(fetch(beside), "WIDE.csv")


def test_a_line_without_end_is_no_header(beside: Path) -> None:
    (beside / "LINE.csv").write_bytes(b"x" * (3 << 20))
    assert "characters is no header" in said_of(fetch(beside), "LINE.csv")


def test_an_archive_bomb_is_not_unpacked(beside: Path) -> None:
    with zipfile.ZipFile(beside / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as bomb:
        bomb.writestr("prices.csv", b"0" * (1 << 22))
    assert "no price file" in said_of(fetch(beside), "bomb.zip")
    (beside / "bomb.zip").rename(beside / "bomb.csv")
    assert "a zip archive or an Excel file, wanted text" in said_of(fetch(beside), "bomb.csv")


def test_a_compressed_text_that_explodes_is_stopped(beside: Path) -> None:
    rows = b"2024-07-01,1\n" * (40 << 20 >> 4)
    (beside / "BOMB.csv.gz").write_bytes(gzip.compress(b"Date,Close\n" + rows, 9))
    found = fetch(beside)
    assert found.rows["ticker"].to_list() == ["GOOD"]
    assert any("unpack to more than" in problem.detail for problem in found.problems)


def test_unpacked_text_is_bounded(tmp_path: Path) -> None:
    (tmp_path / "A.csv.gz").write_bytes(gzip.compress(b"Date,Close\n" + b"2024-07-01,1\n" * 100))
    assert len(content(stamp(tmp_path / "A.csv.gz"), 2000)) == 1311
    with pytest.raises(DataError, match=r"more than 1,000 bytes unpacked, at most 1,000"):
        content(stamp(tmp_path / "A.csv.gz"), 1000)
    (tmp_path / "B.csv.gz").write_bytes((tmp_path / "A.csv.gz").read_bytes()[:-9])
    with pytest.raises(DataError, match=r"B\.csv\.gz: cannot be read"):
        content(stamp(tmp_path / "B.csv.gz"))


def test_a_pipe_is_not_opened(beside: Path) -> None:
    os.mkfifo(beside / "PIPE.csv")
    assert said_of(fetch(beside), "PIPE.csv") == "PIPE.csv: a pipe, wanted a plain file; remove it or copy its content."
    with pytest.raises(DataError, match="a pipe, wanted a plain file"):
        fetch(beside / "PIPE.csv")
    with pytest.raises(DataError, match="a device, wanted a plain file"):
        fetch(Path("/dev/null"))


def test_a_pipe_in_the_place_of_a_list_is_not_opened(beside: Path) -> None:
    os.mkfifo(beside / "symbol_changes.csv")
    with pytest.raises(DataError, match=r"symbol_changes\.csv: a pipe"):
        fetch(beside)


def test_links_in_a_circle_or_to_nowhere_are_named(beside: Path) -> None:
    (beside / "LOOP.csv").symlink_to("LOOP.csv")
    (beside / "GONE.csv").symlink_to("absent.csv")
    found = fetch(beside)
    assert "cannot be looked at" in said_of(found, "LOOP.csv")
    assert "cannot be looked at" in said_of(found, "GONE.csv")
    with pytest.raises(DataError, match=r"LOOP\.csv: cannot be looked at"):
        fetch(beside / "LOOP.csv")


def test_a_file_name_with_a_line_break_is_skipped_in_one_line(beside: Path) -> None:
    (beside / "A\nB.csv").write_text("Date,Close\n2024-07-01,1.5\n")
    assert said_of(fetch(beside), "A\\nB.csv") == "A\\nB.csv: the file name has control characters; rename the file."


def test_a_file_that_may_not_be_read_is_named(beside: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (beside / "SHUT.csv").write_text("Date,Close\n2024-07-01,1.5\n")
    real = builtins.open

    def guarded(path: Any, *rest: Any, **more: Any) -> Any:
        if "SHUT" in str(path):
            raise PermissionError(13, "Permission denied")
        return real(path, *rest, **more)

    monkeypatch.setattr(builtins, "open", guarded)
    assert "cannot be read ([Errno 13] Permission denied)" in said_of(fetch(beside), "SHUT.csv")


def test_a_parquet_footer_is_looked_at_before_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "A.parquet"
    pl.DataFrame({"date": [date(2024, 7, 1)], "close": [1.0]}).write_parquet(path)
    body = path.read_bytes()
    path.write_bytes(body[:-8] + struct.pack("<I", 1 << 30) + b"PAR1")
    with pytest.raises(DataError, match="1,073,741,824 bytes of column names"):
        parquet_schema(stamp(path))
    path.write_bytes(body)
    monkeypatch.setattr(opening, "MAX_PARQUET_ROWS", 0)
    with pytest.raises(DataError, match=r"2 columns and 1 rows, at most 20,000 and 0 are read"):
        parquet_schema(stamp(path))


def test_a_folder_is_no_file_and_a_file_no_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a folder, wanted a plain file"):
        stamp(tmp_path)
    assert stat.S_ISDIR(tmp_path.stat().st_mode)


def test_what_a_message_quotes_stays_in_one_line_of_bearable_length() -> None:
    assert shown("a\nb\x07") == "a\\nb\\x07"
    assert len(shown("x" * 10**6)) == 2 * SHOWN
    problem = in_file("unparsable", "A.csv", "1 values are no numbers, first", "correct it", 7, "te\nn")
    assert problem.detail == "A.csv line 7: 1 values are no numbers, first 'te\\\\nn'; correct it"
    assert (problem.line, problem.file) == (7, "A.csv")


def test_a_parquet_file_damaged_in_its_middle_stops_no_folder(beside: Path) -> None:
    path = beside / "BAD.parquet"
    days = [date(2024, 7, 1)] * 5000
    pl.DataFrame({"date": days, "close": [float(n) for n in range(5000)]}).write_parquet(path, compression="zstd")
    body = bytearray(path.read_bytes())
    body[100:4000] = b"\xff" * 3900
    path.write_bytes(bytes(body))
    found = fetch(beside)
    assert found.rows["ticker"].unique().to_list() == ["GOOD"]
    assert any(problem.detail.startswith("BAD.parquet: cannot be read to its end") for problem in found.problems)


@pytest.mark.parametrize("place", range(4, 900, 64))
def test_wherever_a_parquet_file_is_damaged_it_is_read_right_or_named(beside: Path, place: int) -> None:
    days = [date(2024, 1, 1) + timedelta(days=n) for n in range(60)]
    path = beside / "BAD.parquet"
    pl.DataFrame({"date": days, "open": [float(n) for n in range(60)], "close": 1.0}).write_parquet(path)
    data = bytearray(path.read_bytes())
    data[place : place + 40] = b"\xff" * 40
    path.write_bytes(bytes(data))
    found = fetch(beside)
    assert inspect(FilesSource(path=str(beside)), NOW).rows >= 1
    if "BAD" not in found.rows["ticker"].to_list():
        assert "BAD.parquet" in said_of(found, "BAD.parquet")


def test_a_file_of_which_nothing_is_a_row_is_named(beside: Path) -> None:
    (beside / "n.csv").write_text("date,close\n,\n,\n")
    empty = {"date": pl.Date, "close": pl.Float64}
    pl.DataFrame(schema=empty).write_parquet(beside / "p.parquet")
    found = fetch(beside)
    for name in ("n.csv", "p.parquet"):
        assert said_of(found, name) == f"{name}: a header and no row with a value; fetch it again"
