"""A reviewed line of actions: read from the profile's own file, counted in currency where it can matter, applied."""

from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest
from upath import UPath

from quant_assets.assembly import build_definitions
from quant_assets.commands.runner import Runner, Step
from quant_assets.currency.fingerprints import upstream_partitions
from quant_assets.lab import Lab
from quant_assets.partitions import cleaning_begin
from quant_assets.profile import load_profile
from quant_assets.storage.partition_files import table_path
from quant_assets.storage.review_log import reviewed_actions, reviewed_path
from quant_core.errors import DataError

MONTHS = [f"2021-{month:02d}" for month in range(1, 13)]
HEADER = "ticker,ex_date,kind,value,into\n"


def a_lab(folder: Path, monkeypatch: pytest.MonkeyPatch, **settings: Any) -> Lab:
    monkeypatch.setenv("QUANT_DATA", str(folder / "data"))
    return Lab(load_profile("demo", settings))


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    return a_lab(tmp_path, monkeypatch)


def write(lab: Lab, text: str) -> None:
    path = Path(reviewed_path(lab.root, lab.profile.name).path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def versions(lab: Lab) -> dict[str, str]:
    return {month: lab.external_version(lab.key("clean_prices"), month) for month in MONTHS}


def test_no_file_is_no_line_and_a_bad_line_is_named(lab: Lab) -> None:
    assert reviewed_actions(lab.root, "demo").is_empty()
    assert len(set(versions(lab).values())) == 1
    write(lab, HEADER + "SIM001,2021-03-10,split,-2,\n")
    with pytest.raises(DataError, match=r"demo/actions/reviewed.csv line 2: value is no number above 0"):
        reviewed_actions(lab.root, "demo")


def test_a_line_makes_the_months_stale_whose_rows_it_can_touch(lab: Lab) -> None:
    before = versions(lab)
    write(lab, HEADER + "SIM001,2021-05-10,split,2,\n")
    after = versions(lab)
    assert [month for month in MONTHS if after[month] != before[month]] == MONTHS[4:8]  # May and its look-ahead
    write(lab, HEADER + "SIM001,2021-05-10,suspension,,\n")
    assert [month for month in MONTHS if versions(lab)[month] != before[month]] == MONTHS[4:]


def test_a_line_of_another_universe_concerns_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    members = tmp_path / "own.csv"
    members.write_text("ticker\nSIM001\nSIM002\n")
    own = a_lab(tmp_path, monkeypatch, universe=str(members))
    before = versions(own)
    write(own, HEADER + "SIM009,2021-05-10,split,2,\n")
    assert versions(own) == before


def test_the_order_of_lines_and_their_source_text_change_nothing(lab: Lab) -> None:
    first, second = "SIM001,2021-05-10,split,2,\n", "SIM002,2021-05-11,none,,\n"
    write(lab, HEADER + first + second)
    one = versions(lab)
    write(lab, HEADER + second + first)
    assert versions(lab) == one


def test_a_clean_month_depends_on_every_raw_month_up_to_it(lab: Lab) -> None:
    graph = build_definitions(lab.profile).resolve_asset_graph()
    months = upstream_partitions(graph, lab.key("clean_prices"), lab.key("raw_ohlcv"), "2021-03")
    assert (months[0], months[-1], len(months)) == ("2015-01", "2021-03", 75)
    assert cleaning_begin(date(2021, 3, 1)) == date(2020, 12, 1)
    assert cleaning_begin(date(2021, 1, 1)) == date(2020, 10, 1)


@pytest.fixture
def runner(lab: Lab) -> Any:
    with dg.DagsterInstance.ephemeral() as instance:
        yield Runner(lab, build_definitions(lab.profile), instance, {}, "CRITICAL")


def stored(lab: Lab, month: str) -> pl.DataFrame:
    return pl.read_parquet(str(table_path(UPath(lab.root), lab.key("clean_prices"), month)))


@pytest.mark.slow
def test_a_month_is_cleaned_without_older_ones_but_not_without_its_look_back(lab: Lab, runner: Runner) -> None:
    for month in ("2016-02", "2016-03", "2016-04"):
        runner.execute(Step("raw_ohlcv", (month,)))
    with pytest.raises(Exception, match="partition 2016-01 is not materialized"):
        runner.execute(Step("clean_prices", ("2016-04",)))
    runner.execute(Step("raw_ohlcv", ("2016-01",)))
    runner.execute(Step("clean_prices", ("2016-04",)))
    assert runner.stale("clean_prices", ["2016-04"]) == []
    assert stored(lab, "2016-04").height > 0
    runner.execute(Step("raw_ohlcv", ("2015-12",)))  # what was not there counts in what the month was made from
    assert runner.stale("clean_prices", ["2016-04"]) == ["2016-04"]


@pytest.mark.slow
def test_an_accepted_line_reaches_the_clean_month(lab: Lab, runner: Runner) -> None:
    runner.execute(Step("raw_ohlcv", ("2015-01", "2015-02", "2015-03")))
    runner.execute(Step("clean_prices", ("2015-03",)))
    before = stored(lab, "2015-03")
    day = before.filter(pl.col("ticker") == "SIM001", ~pl.col("is_filled"))["date"][5]
    write(lab, HEADER + f"SIM001,{day},split,1.25,\n")
    assert runner.stale("clean_prices", ["2015-03"]) == ["2015-03"]
    runner.execute(Step("clean_prices", ("2015-03",)))
    changed = stored(lab, "2015-03").join(before, on=["date", "ticker"], suffix="_before")
    changed = changed.filter(pl.col("total_return_1d").ne_missing(pl.col("total_return_1d_before")))
    assert changed.select("date", "ticker").rows() == [(day, "SIM001")]
    row = changed.row(0, named=True)
    assert 1 + row["total_return_1d"] == pytest.approx(1.25 * (1 + row["total_return_1d_before"]))
