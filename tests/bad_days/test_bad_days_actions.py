"""`quant actions`: suspects with their evidence, a reviewed line, and what a run makes again because of it."""

from datetime import date

import dagster as dg
import polars as pl
import pytest
from market_in_files import Market
from test_bad_days import WEDNESDAY, moved
from typer.testing import CliRunner

from quant_assets.commands.action_review import accept, reject, suspects
from quant_assets.commands.actions_command import parse_day
from quant_assets.commands.cli import app
from quant_assets.storage.review_log import add_line, all_lines, reviewed_actions
from quant_core.cleaning.coverage import defect_counts, suspect_warnings
from quant_core.errors import DataError

pytestmark = pytest.mark.slow


def stale(market: Market) -> dict[str, list[str]]:
    with dg.DagsterInstance.ephemeral() as instance:
        runner = market.runner(instance)
        wanted = runner.wanted(*runner.month_range(None, "2020-03"), until=["clean_prices"])
        return {asset: runner.stale(asset, partitions) for asset, partitions in wanted.items()}


def test_a_reviewed_line_makes_its_month_stale_and_nothing_else(market: Market) -> None:
    market.write_march(moved(market, "SIM005", WEDNESDAY, 0.72))
    market.write_index()
    books = market.refresh("2020-03", "raw_ohlcv")
    lab = books.lab
    found = suspects(lab)
    assert found.select("date", "ticker", "outcome", "is_member").rows() == [(WEDNESDAY, "SIM005", "quarantined", True)]
    assert found["open_ratio"][0] == pytest.approx(0.72, abs=0.03)
    assert found["gap_sessions"][0] == 1
    with pytest.raises(DataError, match="near no simple ratio"):
        accept(lab, "SIM005", WEDNESDAY, None, None, None)
    assert "actions_resolved" in market.failure("2020-03", "features")
    assert stale(market) == {"raw_ohlcv": [], "clean_prices": []}
    assert "0.72" in accept(lab, "SIM005", WEDNESDAY, "0.72", None, None)
    assert stale(market) == {"raw_ohlcv": [], "clean_prices": ["2020-03"]}
    clean = market.refresh("2020-03", "features").month("clean_prices")
    assert clean.filter(pl.col("ticker") == "SIM005")["total_return_1d"].min() > -0.15
    assert suspects(lab).is_empty()
    reject(lab, "SIM005", WEDNESDAY)  # a second opinion stands instead, the first is not lost
    assert reviewed_actions(lab.root, lab.profile.name)["kind"].to_list() == ["none"]
    assert all_lines(lab.root, lab.profile.name)["version"].to_list() == ["1", "2"]
    clean = market.refresh("2020-03", "features").month("clean_prices")
    fallen = clean.filter(pl.col("ticker") == "SIM005", pl.col("date") == WEDNESDAY)
    assert fallen["total_return_1d"][0] < -0.25
    assert clean.select(kept=pl.col("flags").str.contains("kept_move").sum()).item() == 1


def test_a_line_that_no_list_could_hold_is_refused_and_nothing_is_written(market: Market) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        lab = market.runner(instance).lab
    for terms, value in (("-0.5", None), ("twice", None), ("0:1", None), ("merger", 1.5)):
        with pytest.raises(DataError):
            accept(lab, "SIM005", WEDNESDAY, terms, value, None)
    assert all_lines(lab.root, lab.profile.name).is_empty()
    assert "0.5" in accept(lab, "SIM005", WEDNESDAY, "2:1", None, None)
    assert add_line(lab.root, lab.profile.name, "SIM005", date(2020, 3, 19), "cash_out", 350.0) == 2


def test_the_headline_counts_every_outcome() -> None:
    flags = ["", "applied_action", "gap|kept_move", "kept_move", "quarantined|stale"]
    rows = pl.DataFrame({"flags": flags, "ticker": list("ABCDE"), "is_member": True, "instrument": "equity"})
    (said,) = suspect_warnings(defect_counts(rows))
    assert "1 applied as corporate actions, 1 quarantined" in said
    assert "2 kept as real moves" in said
    assert suspect_warnings(defect_counts(rows.head(1))) == []


def test_the_command_refuses_what_is_no_date() -> None:
    with pytest.raises(DataError, match="write it as YYYY-MM-DD"):
        parse_day("18.03.2020")
    assert CliRunner().invoke(app, ["actions", "accept", "--help"]).exit_code == 0
