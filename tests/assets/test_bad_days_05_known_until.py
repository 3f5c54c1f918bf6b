"""A run beyond what its lists know says so where people look, refuses where told to, and is stale when they change."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path

import dagster as dg
import polars as pl
import pytest

from quant_assets.assembly import build_definitions
from quant_assets.commands.runner import RunFailed, Runner, Step
from quant_assets.currency.list_use import last_day_of
from quant_assets.currency.outside import list_versions
from quant_assets.lab import Lab
from quant_assets.profile import Profile, load_profile
from quant_assets.upkeep.doctor import examine
from quant_core.calendar import sessions
from quant_core.errors import DataError
from quant_core.market.lists import list_warnings, lists_known, price_returns_after, sector_note

DAYS = sessions(date(2022, 1, 3), date(2022, 3, 31))
MEMBERS = "symbol,from_date,to_date\nAAA,2020-01-01,\nBBB,2020-01-01,2022-02-10\n"
ACTIONS = "ticker,ex_date,kind,value\nAAA,2022-02-15,dividend,2.0\n"
SECTORS = "ticker,sector,known_until\nAAA,Steel,2022-12-31\nBBB,Banks,\n"
NAMES = "old_symbol,new_symbol,first_new,known_until\nXXX,YYY,2010-01-04,2022-12-31\n"


@pytest.fixture
def prices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three months of AAA, BBB and the index with lists beside them that end at different days."""
    monkeypatch.setenv("QUANT_DATA", str(tmp_path / "data"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    home = tmp_path / "prices"
    home.mkdir()
    rows = [(day, name, 100.0, 101.0, 99.0, 100.0, 1000) for day in DAYS for name in ("AAA", "BBB", "^NSEI")]
    columns = ["date", "ticker", "open", "high", "low", "close", "volume"]
    pl.DataFrame(rows, schema=columns, orient="row").write_csv(home / "prices.csv")
    for name, text in (
        ("index_membership", MEMBERS), ("corporate_actions", ACTIONS), ("sectors", SECTORS), ("symbol_changes", NAMES),
    ):  # fmt: skip
        (home / f"{name}.csv").write_text(text)
    return home


def profile(prices: Path, **more: object) -> Profile:
    source = {"name": "files", "path": str(prices)}
    months = {"start": "2017-01", "end": "2022-12", "first_fold": 2022}
    return load_profile("nifty50", {"source": source, **months, **more})


def ends(lab: Lab, asset: str = "") -> dict[str, date | None]:
    return {one.name: one.known_until for one in lab.lists(asset)}


def test_one_table_tells_until_when_every_list_in_use_is_known(prices: Path) -> None:
    lab = Lab(profile(prices))
    assert ends(lab) == {
        "index membership": date(2022, 2, 10),  # the newest date in the file
        "symbol changes": date(2022, 12, 31),  # as its column says
        "corporate actions": date(2022, 2, 15),
        "dividends": date(2022, 2, 15),
        "sectors": date(2022, 12, 31),
        "trading calendar": date(2026, 12, 31),
        "NSE charges": date(2026, 6, 30),
        "risk-free rate": date(2026, 6, 30),
    }
    assert "index membership" not in ends(lab, "raw_ohlcv")
    assert {"index membership", "corporate actions"} <= set(ends(lab, "clean_prices"))
    table = lab.lists_known(date(2022, 2, 12))
    assert table.filter("is_beyond")["list"].to_list() == ["index membership"]


def test_a_list_that_is_not_used_does_not_count(prices: Path) -> None:
    flat = {"backtest": {"cost_model": "flat", "risk_free_rate_ann": 0.06}}
    assert not {"NSE charges", "risk-free rate"} & set(ends(Lab(profile(prices, presets=flat))))
    assert set(ends(Lab(load_profile("demo")))) == {"trading calendar", "NSE charges", "risk-free rate"}
    shipped = ends(Lab(load_profile("nifty50")))  # Yahoo brings its own dividends, splits and names
    assert shipped["index membership"] == date(2026, 9, 30)
    assert not {"dividends", "symbol changes"} & set(shipped)
    assert "index membership" not in ends(Lab(profile(prices, universe="indian_market")))


def warnings_of(lab: Lab, end: date) -> list[str]:
    return list_warnings(lab.lists_known(end), lab.dividends_known_until(), end)


def test_the_headline_names_each_list_that_ends_before_the_test(prices: Path) -> None:
    lab = Lab(profile(prices))
    assert warnings_of(lab, date(2022, 2, 10)) == []
    lists, dividends = warnings_of(lab, date(2022, 3, 31))
    for part in ("goes to 2022-03-31", "index membership known to 2022-02-10", "corporate actions known to 2022-02-15"):
        assert part in lists
    assert "sectors" not in lists
    assert dividends.startswith("Actions known to 2022-02-15; stocks earn price returns after 2022-02-15")
    assert sector_note(lab.lists()) == ["Sectors are those of 2022-12-31 (sectors.csv), applied to every year."]


def test_the_benchmark_changes_its_basis_when_the_dividends_end(prices: Path) -> None:
    lab = Lab(profile(prices))
    assert price_returns_after(lab.dividends_known_until(), date(2022, 2, 15)) is None
    known = lab.dividends_known_until()
    assert price_returns_after(known, date(2022, 12, 31)) == known == date(2022, 2, 15)
    (prices / "corporate_actions.csv").unlink()
    assert price_returns_after(lab.dividends_known_until(), date(2022, 12, 31)) == date.min
    assert "stocks earn price returns throughout" in warnings_of(lab, date(2022, 3, 31))[-1]
    assert price_returns_after(Lab(load_profile("nifty50")).dividends_known_until(), date(2026, 12, 31)) is None


def test_a_folders_members_and_sectors_reach_the_lab(prices: Path) -> None:
    lab = Lab(profile(prices))
    members = lab.membership()
    assert members is not None
    assert members["ticker"].to_list() == ["AAA", "BBB"]
    assert lab.wanted_tickers() == ["AAA", "BBB", "INDIA VIX", "NIFTY 50 TRI", "^NSEI"]
    assert dict(lab.sectors().iter_rows())["AAA"] == "Steel"
    assert "index_membership.csv" in lab.universe().description


def test_an_edited_list_makes_stale_what_reads_it_and_nothing_before_the_edit(prices: Path) -> None:
    lab = Lab(profile(prices))
    reads = [("clean_prices", "2022-01"), ("clean_prices", "2022-03"), ("features", "2022-03"), ("backtest", "2022")]
    reads += [("backtest_report", "2022"), ("forecast_quality", "2022")]

    def versions() -> list[str]:
        return [list_versions(lab, asset, partition) for asset, partition in reads]

    def changed(then: list[str]) -> list[bool]:
        return [now != old for now, old in zip(versions(), then, strict=True)]

    then = versions()
    (prices / "index_membership.csv").write_text(MEMBERS.replace("AAA,2020-01-01,", "AAA,2020-01-01,2022-03-10"))
    assert changed(then) == [False, True, False, True, True, False]
    then = versions()
    (prices / "sectors.csv").write_text(SECTORS.replace("Steel", "Metal"))
    assert changed(then) == [False, False, True, True, True, True]
    then = versions()
    (prices / "corporate_actions.csv").write_text(ACTIONS.replace("02-15", "02-16"))
    assert changed(then) == [False, False, False, True, True, False]
    assert list_versions(lab, "target_weights", "2022-03") == ""


def test_the_last_day_of_a_partition() -> None:
    assert last_day_of("features", "2020-02") == date(2020, 2, 29)
    assert last_day_of("features", "2021-12") == last_day_of("backtest", "2021") == date(2021, 12, 31)
    assert last_day_of("backtest", "2021-04") == date(2021, 6, 30)


@pytest.mark.slow
def test_the_doctor_names_the_lists_that_end(prices: Path) -> None:
    for strict, level in ((False, "note"), (True, "fix")):
        found = {one.what: one for one in examine(profile(prices, strict_lists=strict))}
        assert (found["index membership"].level, found["symbol changes"].level) == (level, "ok")
        assert "known to 2022-02-10" in found["index membership"].found


def test_strict_lists_is_a_yes_or_a_no(prices: Path) -> None:
    assert [profile(prices, strict_lists=text).strict_lists for text in ("true", "False", True)] == [True, False, True]
    with pytest.raises(DataError, match=r"strict_lists: 'maybe' is not a truth value; write true or false"):
        profile(prices, strict_lists="maybe")


@pytest.fixture
def runner(prices: Path) -> Iterator[Runner]:
    with dg.instance_for_test() as instance:
        chosen = profile(prices)
        yield Runner(Lab(chosen), build_definitions(chosen), instance, {})


@pytest.mark.slow
def test_a_months_page_shows_until_when_its_lists_are_known(runner: Runner) -> None:
    runner.execute(Step("raw_ohlcv", ("2022-03",)))
    event = runner.instance.get_latest_materialization_event(runner.lab.key("raw_ohlcv"))
    assert event is not None
    assert event.asset_materialization is not None
    page = event.asset_materialization.metadata
    assert "| dividends | 2022-02-15 | yes |" in str(page["lists"].value)
    assert "actions known to 2022-02-15; stocks earn price returns after 2022-02-15" in str(page["problems"].value)


@pytest.mark.slow
def test_a_strict_profile_refuses_before_computing(runner: Runner, prices: Path) -> None:
    chosen = profile(prices, strict_lists=True)
    strict = replace(runner, lab=Lab(chosen), definitions=build_definitions(chosen))
    strict.execute(Step("raw_ohlcv", ("2022-01",)))
    with pytest.raises(RunFailed) as refused:
        strict.execute(Step("raw_ohlcv", ("2022-03",)))
    for part in ("strict_lists", "dividends: known to 2022-02-15", "goes to 2022-03-31", "add the later actions"):
        assert part in str(refused.value)
    assert strict.instance.get_materialized_partitions(strict.lab.key("raw_ohlcv")) == {"2022-01"}


def test_without_an_index_nothing_is_said_of_a_benchmark() -> None:
    known = lists_known([], date(2022, 3, 31))
    dividends = list_warnings(known, date(2022, 2, 15), date(2022, 3, 31), has_benchmark=False)
    assert dividends == ["Actions known to 2022-02-15; stocks earn price returns after 2022-02-15."]
    (both,) = list_warnings(known, date(2022, 2, 15), date(2022, 3, 31))
    assert both.endswith("from then on the benchmark is the price index too.")
