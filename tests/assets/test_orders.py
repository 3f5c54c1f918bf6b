"""Tomorrow's orders in a lab: the command from holdings to shares, the asset over days, and the account on paper."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path
from unittest.mock import patch

import polars as pl
import pytest
from lab_process import lab_environment, quant_here
from small_lab import COMMAND, SmallLab
from upath import UPath

from quant_assets.assets.orders import Judged, statuses
from quant_assets.commands.opening import open_runner
from quant_assets.commands.orders_command import amount, chosen_book, read_holdings
from quant_assets.commands.runner import Runner, Step
from quant_assets.profile import load_profile
from quant_assets.storage import paper_record
from quant_assets.storage.partition_files import read_artifact, read_stamp, read_tables, write_table
from quant_core.backtest.simulate import simulate
from quant_core.calendar import INDIA
from quant_core.errors import DataError
from quant_core.schema import CASH, BacktestDaily, Promotion, table_of

BOOK = "cost_aware_mean_variance_ridge"


# ---- the command -----------------------------------------------------------------------------------------------------


def holdings(folder: Path, text: str) -> Path:
    file = folder / "holdings.csv"
    file.write_text(text)
    return file


def test_holdings_are_read_by_the_readers_grammar(tmp_path: Path) -> None:
    text = 'Instrument,Qty.\nNSE:TCS,"1,200"\nINFY-EQ,40.0\nHDFCBANK,0\n'
    assert read_holdings(holdings(tmp_path, text)) == {"TCS": 1200, "INFY": 40}
    assert read_holdings(holdings(tmp_path, "ticker;shares\nTCS;1 200\n")) == {"TCS": 1200}


MISTAKES = {
    "half a share": ("ticker,shares\nTCS,1.5\n", "holdings.csv line 2: TCS has '1.5' shares; wanted a whole number"),
    "short": ("ticker,shares\nTCS,-5\n", "line 2: TCS has '-5' shares"),
    "words": ("ticker,shares\nTCS,many\n", "line 2: TCS has 'many' shares"),
    "twice": ("ticker,shares\nTCS,5\nNSE:TCS,6\n", "line 3: TCS is there twice"),
    "no name": ("ticker,shares\n,5\n", "line 2: no ticker"),
    "no column": ("name,shares\nTCS,5\n", "no column ticker or symbol"),
    "empty": ("", "the file is empty"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_in_the_holdings_is_one_line(tmp_path: Path, name: str) -> None:
    text, says = MISTAKES[name]
    with pytest.raises(DataError, match="holdings") as told:
        read_holdings(holdings(tmp_path, text))
    assert says in str(told.value)
    assert "\n" not in str(told.value)


def test_an_amount_is_read_as_it_is_written() -> None:
    assert amount("--capital", "10,00,000") == amount("--capital", "Rs 1000000") == 1e6
    for wrong in ("0", "-5", "much", "inf", ""):
        with pytest.raises(DataError, match="no amount of rupees above 0"):
            amount("--capital", wrong)


def test_the_promoted_book_is_followed_unless_another_is_named() -> None:
    rows = [(date(2026, 11, 27), name, "AAA", 0.5) for name in ("one", "two", "ppo_seed_0")]
    targets = pl.DataFrame(rows, schema=["date", "strategy", "ticker", "weight"], orient="row")
    assert chosen_book(targets, None, {"one": "promoted"}) == "one"
    assert chosen_book(targets, "two", {"one": "promoted"}) == "two"
    with pytest.raises(DataError, match="one, two are promoted; name one with --strategy: one, two"):
        chosen_book(targets, None, {"one": "promoted", "two": "promoted"})
    with pytest.raises(DataError, match="no book is promoted; name one with --strategy: one, two"):
        chosen_book(targets, None, {})


def test_the_promoted_books_alone_are_shown_where_there_are_some() -> None:
    followed = pl.DataFrame({"strategy": ["one", "two", "three"]})
    gate = [
        {"strategy": name, "status": status, "n_sessions": 9, "n_own_trials": 1, "reasons": ""}
        for name, status in (("one", "promoted"), ("two", "not promoted"))
    ]
    judged = Judged(table_of(Promotion, gate), BacktestDaily.create_empty(), "2026")
    assert statuses(followed, judged) == {"one": "promoted"}
    none = replace(judged, candidates=judged.candidates.filter(pl.col("strategy") == "two"))
    assert statuses(followed, none) == {"one": "not judged", "two": "not promoted", "three": "not judged"}


def ordered(lab: SmallLab, *arguments: str) -> tuple[int, str, str]:
    done = quant_here(["orders", *arguments], lab.environment)
    return done.returncode, done.stdout, " ".join(done.stderr.split())


@pytest.mark.slow
def test_the_command_says_whole_shares_names_the_unknown_and_writes_files(small_lab: SmallLab, tmp_path: Path) -> None:
    file = holdings(tmp_path, "ticker,shares\nSIM001,1200\nNOBODY,7\n")
    common = ("--capital", "50,00,000", "--holdings", str(file), "--strategy", BOOK)
    before = small_lab.hashes()
    code, text, _ = ordered(small_lab, *common, "--json", "--csv", str(tmp_path / "orders.csv"))
    said = json.loads(text)
    assert code == 0
    assert said["status"] == "not promoted"
    assert (said["session"], said["decision_date"], said["fill_date"]) == ("2020-02-28", "2020-02-28", "2020-03-02")
    assert said["notes"] == ["NOBODY is held, but unknown here: neither counted nor traded."]
    spent = sum((1 if o["side"] == "buy" else -1) * o["value_inr"] for o in said["orders"] if o["shares"])
    paid = sum(o["charges_inr"] + o["slippage_inr"] + o["impact_inr"] for o in said["orders"])
    assert said["cash_after_inr"] == pytest.approx(said["cash_before_inr"] - spent - paid, abs=0.01)
    for order in said["orders"]:
        assert order["value_inr"] == pytest.approx(order["shares"] * order["price_inr"], abs=0.01)
        assert order["weight_after"] <= 0.21
    written = pl.read_csv(tmp_path / "orders.csv")
    assert written["ticker"].to_list() == [order["ticker"] for order in said["orders"]]
    code, text, _ = ordered(small_lab, *common)
    assert code == 0
    assert "orders for Mon 02 Mar 2020" in text
    assert "Nothing was sent anywhere" in text
    assert small_lab.hashes() == before


@pytest.mark.slow
def test_the_commands_mistakes_are_one_line(small_lab: SmallLab, tmp_path: Path) -> None:
    rich = holdings(tmp_path, "ticker,shares\nSIM001,1200\n")
    cases = [
        (("--capital", "5000"), "no book is promoted; name one with --strategy: buffered_ridge"),
        (("--capital", "5000", "--strategy", "nope"), "nope"),
        (("--capital", "5000", "--strategy", BOOK, "--holdings", str(rich)), "the holdings alone are worth"),
        (("--capital", "5000", "--strategy", BOOK, "--date", "2020-02-29"), "the last one before it is 2020-02-28"),
        (("--capital", "5000", "--strategy", BOOK, "--date", "soon"), "write it as YYYY-MM-DD"),
        (("--capital", "5000", "--strategy", BOOK, "--date", "2016-02-29"), "no prices up to 2016-02-29"),
        (("--capital", "5000", "--holdings", str(tmp_path / "none.csv")), "holdings none.csv: cannot be read"),
    ]
    for arguments, says in cases:
        code, _, errors = ordered(small_lab, *arguments)
        assert code == 1, arguments
        assert says in errors, (arguments, errors)
        assert "Traceback" not in errors


@pytest.mark.slow
def test_without_a_lab_it_says_how_to_make_one(tmp_path: Path) -> None:
    done = quant_here(["orders", "--capital", "5000"], lab_environment(tmp_path))
    assert done.returncode == 1
    assert "make them with `quant run`" in done.stderr


# ---- the asset over days ---------------------------------------------------------------------------------------------


def of_the_profile() -> dict[str, str]:
    """What the small lab's profile replaces, from its command."""
    pairs = [part.partition("=")[::2] for part in COMMAND if "=" in part]
    return {name.removeprefix("profile."): value for name, value in pairs if name.startswith("profile.")}


@contextmanager
def lab_at(lab: SmallLab, overrides: dict) -> Iterator[Runner]:
    profile = load_profile("demo", of_the_profile())
    with (
        patch.dict(os.environ, lab.environment, clear=True),
        open_runner(profile, overrides, lab.folder / "home", False) as it,
    ):
        yield it


def refresh(lab: SmallLab, month: str, now: datetime, overrides: dict | None = None) -> dict[str, bytes]:
    """The end of a refresh at a time: the month's signals, from what is stored."""
    with patch.object(paper_record, "clock", lambda: now), lab_at(lab, overrides or {}) as runner:
        runner.execute(Step("signals", (month,)))
        return read_artifact(UPath(lab.data / "demo" / "signals" / f"{month}.json"))


@pytest.fixture
def lab(small_lab: SmallLab, tmp_path: Path) -> SmallLab:
    shutil.copytree(small_lab.folder, tmp_path, dirs_exist_ok=True)
    return SmallLab(tmp_path, lab_environment(tmp_path))


def table(files: dict[str, bytes], name: str) -> pl.DataFrame:
    return pl.read_parquet(files[f"{name}.parquet"])


@pytest.mark.slow
def test_the_account_on_paper_equals_the_backtest_and_a_recorded_day_stays(lab: SmallLab) -> None:
    january, february = datetime(2020, 1, 31, 18, 31, tzinfo=INDIA), datetime(2020, 2, 28, 18, 31, tzinfo=INDIA)
    changed = refresh(lab, "2020-01", january, {"target_weights": {"top_n": 3}})
    assert table(changed, "decisions").is_empty()  # a run with settings of its own is not followed on paper
    first = refresh(lab, "2020-01", january)
    assert table(first, "decisions")["date"].unique().to_list() == [date(2020, 1, 31)]
    files = refresh(lab, "2020-02", february)
    recorded, paper = table(files, "decisions"), table(files, "paper")
    assert recorded["date"].unique().sort().to_list() == [date(2020, 1, 31), date(2020, 2, 28)]
    assert paper["date"].max() == date(2020, 2, 28)
    # The backtest of the lab took the same decisions on the same days, from the same cash.
    assert paper["expected_return_1d"].null_count() == 0
    assert (paper["simple_return_1d"] - paper["expected_return_1d"]).abs().max() <= 1e-9
    assert paper["simple_return_1d"].abs().max() > 0.001
    # And so does a backtest of nothing but what was recorded.
    prices = read_tables(
        [UPath(p) for p in sorted((lab.data / "demo" / "clean_prices").glob("2019-*.parquet"))]
        + [UPath(lab.data / "demo" / "clean_prices" / f"2020-0{k}.parquet") for k in (1, 2)]
    ).collect()
    with lab_at(lab, {}) as runner:
        settings = runner.lab.defaults("backtest")
        made = runner.instance.get_latest_materialization_event(runner.lab.key("signals"))
    assert made is not None
    assert "[open tomorrow's orders](http" in str(made.asset_materialization.metadata["page"].value)  # type: ignore[union-attr]
    again = simulate(prices, recorded.drop("fill_date", "recorded_at"), settings).daily
    both = paper.join(again, on=["date", "strategy"], suffix="_again")
    assert both.height == paper.height
    assert (both["simple_return_1d"] - both["simple_return_1d_again"]).abs().max() <= 1e-9

    kept = {path.name: path.read_bytes() for path in (lab.data / "demo" / "paper").glob("*.parquet")}
    restate(lab, "2020-02")
    later = refresh(lab, "2020-02", february.replace(hour=21))
    assert {path.name: path.read_bytes() for path in (lab.data / "demo" / "paper").glob("*.parquet")} == kept
    assert table(later, "decisions").equals(recorded)
    assert "today&#39;s data would decide otherwise than was recorded" in later["orders.html"].decode()
    assert table(later, "signals").height != table(files, "signals").height or not table(later, "signals").equals(
        table(files, "signals")
    )


def restate(lab: SmallLab, month: str) -> None:
    """Stored decisions as restated data would make them: every book is all cash."""
    path = UPath(lab.data / "demo" / "target_weights" / f"{month}.parquet")
    rows, stamp = read_tables([path]).collect(), read_stamp(path)
    assert stamp is not None
    cash = rows.filter(pl.col("ticker") == CASH).with_columns(weight=pl.lit(1.0))
    write_table(path, cash, stamp.fingerprint)


@pytest.mark.slow
def test_a_decision_that_nobody_recorded_in_time_is_missed_not_traded(lab: SmallLab) -> None:
    refresh(lab, "2020-01", datetime(2020, 1, 31, 18, 31, tzinfo=INDIA))
    files = refresh(lab, "2020-02", datetime(2020, 3, 2, 9, 30, tzinfo=INDIA))
    assert table(files, "decisions")["date"].unique().to_list() == [date(2020, 1, 31)]
    html = files["orders.html"].decode()
    assert "1 day whose decisions nobody recorded" in html
    assert "Too few days to tell paper from backtest" in html
    assert "None of 4 candidates is promoted" in html


@pytest.mark.slow
def test_the_stored_signals_of_a_run_long_after_are_of_nothing_on_paper(small_lab: SmallLab) -> None:
    files = read_artifact(UPath(small_lab.data / "demo" / "signals" / "2020-02.json"))
    assert [name for name in small_lab.hashes() if name.startswith("signals/")] == ["signals/2020-02"]  # the newest
    assert table(files, "decisions").is_empty()
    signals = table(files, "signals")
    assert signals["strategy"].unique().sort().to_list() == [
        "buffered_ridge", BOOK, "partial_adjustment_ridge", "volatility_targeted_ridge",
    ]  # fmt: skip
    assert signals["status"].unique().to_list() == ["not promoted"]
    weights = signals.filter(pl.col("change") != "kept").group_by("strategy").agg(pl.col("weight").sum())
    assert (weights["weight"] <= 1.0 + 1e-9).all()
    assert b"SIMULATED MARKET" in files["orders.html"]
    assert files["signals.csv"].startswith(b"strategy,ticker,status")
