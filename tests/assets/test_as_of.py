"""A vendor that restates what was stored: the lab follows, and runs again on what it had stored before, to the hash."""

import os
import shutil
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import dagster as dg
import polars as pl
import pytest
from lab_process import lab_environment, quant_here
from post_office import webhook
from small_lab import COMMAND, SmallLab
from upath import UPath

from quant_assets.automation.restatement_watch import build
from quant_assets.commands.as_of import AsOf, as_of
from quant_assets.lab import Lab
from quant_assets.profile import load_profile
from quant_assets.storage.review_log import add_line, all_lines, lines_until, reviewed_path
from quant_core.errors import DataError


@pytest.mark.slow
def test_a_restated_vendor_is_followed_and_the_day_before_is_run_again_to_the_same_hashes(
    small_lab: SmallLab, tmp_path: Path
) -> None:
    shutil.copytree(small_lab.folder, tmp_path, dirs_exist_ok=True)
    lab = SmallLab(tmp_path, lab_environment(tmp_path))
    before, moment = lab.hashes(), datetime.now(ZoneInfo("Asia/Kolkata")).isoformat(timespec="seconds")[:19]
    (lab.data / "demo" / "chosen.json").write_text("{}")
    os.utime(lab.data / "demo" / "chosen.json", (1e9, 1e9))
    (lab.data / "demo" / "later.json").write_text("{}")
    os.utime(lab.data / "demo" / "later.json", (4e9, 4e9))
    restated = quant_here([*COMMAND, "--set", "raw_ohlcv.seed=99"], lab.environment)
    assert restated.returncode == 0, restated.stdout + restated.stderr
    assert "2019-12 was restated: " in restated.stderr
    after = lab.hashes()
    changed = {name.partition("/")[0] for name in before if after[name] != before[name]}
    assert {"raw_ohlcv", "clean_prices", "features", "backtest"} <= changed
    former = pl.read_parquet(lab.data / "demo" / "raw_ohlcv" / ".former" / "2019-12.parquet")
    assert former.filter(pl.col("known_until").is_not_null()).height > 100
    again = quant_here([*COMMAND, "--as-of", moment], lab.environment)
    assert again.returncode == 0, again.stdout + again.stderr
    place = lab.data / ".as_of" / moment.replace(":", "")
    assert str(place) in again.stdout
    assert (place / "demo" / "chosen.json").is_file()
    assert not (place / "demo" / "later.json").exists()
    found = SmallLab(tmp_path, lab.environment).hashes(f".as_of/{place.name}/demo")
    assert {name for name in before if found.get(name) != before[name]} == set()
    assert lab.hashes() == after


def test_a_day_is_all_of_it_in_india() -> None:
    assert as_of("2026-03-31").moment == datetime(2026, 3, 31, 18, 29, 59, 999999, tzinfo=UTC)
    assert as_of("2026-03-31T18:45").moment == datetime(2026, 3, 31, 13, 15, tzinfo=UTC)
    assert as_of("2026-03-31T18:45").name == "2026-03-31T1845"


@pytest.mark.parametrize("text", ["", "yesterday", "2026-02-30", "2026-03-31/../..", "20260331"])
def test_what_is_no_day_is_refused(text: str) -> None:
    with pytest.raises(DataError, match=r"--as-of .*: not a day; write it as YYYY-MM-DD"):
        as_of(text)


def test_a_day_before_anything_was_stored_is_refused(small_lab: SmallLab) -> None:
    refused = quant_here([*COMMAND, "--as-of", "2019-12-31"], small_lab.environment)
    assert refused.returncode == 1
    assert "demo/raw_ohlcv: as of 2019-12-31 nothing was known (the first month was stored at " in refused.stderr


def test_an_action_counts_from_when_it_was_reviewed(tmp_path: Path) -> None:
    root = UPath(tmp_path)
    early = as_of("2026-01-05")
    path = reviewed_path(root, "demo")
    path.parent.mkdir(parents=True)
    path.write_text("ticker,ex_date,kind,value,source,version\nOLD,2020-01-01,split,0.5,reviewed,1\n")
    add_line(root, "demo", "AAA", datetime(2020, 2, 3).date(), "split", 0.5)
    assert all_lines(root, "demo")["ticker"].to_list() == ["OLD", "AAA"]
    assert b"AAA" not in lines_until(root, "demo", early.moment)
    assert b"OLD" in lines_until(root, "demo", early.moment)
    assert b"AAA" in lines_until(root, "demo", AsOf("later", datetime(2200, 1, 1, tzinfo=UTC)).moment)
    assert lines_until(root, "other", early.moment) == b""


@pytest.mark.slow
def test_closed_months_are_held_against_the_vendor_without_storing(small_lab: SmallLab) -> None:
    own = [part for part in COMMAND[3:] if not part.startswith("run")]
    same = quant_here(["restated", *own], small_lab.environment)
    assert same.returncode == 0, same.stderr
    assert "demo: 2019-03..2020-02 are what the source gives now" in same.stdout
    before = small_lab.hashes()
    other = quant_here(["restated", *own, "--set", "raw_ohlcv.seed=99", "--months", "2"], small_lab.environment)
    assert other.returncode == 0, other.stderr
    assert [line[:8] for line in other.stdout.splitlines()[:2]] == ["2020-01:", "2020-02:"]
    assert "rows changed" in other.stdout
    assert "2 months differ: `quant restated --profile demo --take`" in other.stdout
    assert small_lab.hashes() == before


@pytest.mark.slow
def test_the_weekly_job_offers_what_the_vendor_restated(small_lab: SmallLab, monkeypatch: pytest.MonkeyPatch) -> None:
    from quant_assets.automation.alerts import WEBHOOK_VARIABLE

    settings = [part.removeprefix("profile.") for part in COMMAND if part.startswith("profile.")]
    profile = load_profile("demo", dict(part.split("=", 1) for part in settings))
    monkeypatch.setenv("QUANT_DATA", str(small_lab.data))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with webhook() as (address, posted), dg.instance_for_test() as instance:
        monkeypatch.setenv(WEBHOOK_VARIABLE, address)
        job, schedule = build(Lab(profile, source_settings={"n_tickers": 8, "start": "2018-01-01"}))
        assert job.execute_in_process(instance=instance).success
        assert posted == []
        job, schedule = build(Lab(profile, source_settings={"n_tickers": 8, "start": "2018-01-01", "seed": 99}))
        assert job.execute_in_process(instance=instance).success
    (message,) = posted
    assert message["title"] == "demo: the vendor restated 12 closed months"
    assert message["months"][-1] == "2020-02"
    assert "quant restated --profile demo --take" in message["text"]
    assert schedule.cron_schedule == "0 10 * * 6"
