"""Regimes on their way to books, backtest and report: which partitions are read, and what is chosen before a fold."""

from datetime import date

import dagster as dg
import numpy as np
import polars as pl
import pytest

from quant_assets.assets.evaluation import traded_labels
from quant_assets.assets.regime_use import candidates_before, side_by_side
from quant_assets.assets.target_weights import regimes_known
from quant_assets.lab import Lab
from quant_assets.partitions import build_partitions
from quant_assets.profile import load_profile
from quant_assets.storage.table_files import table_files
from quant_core import calendar
from quant_core.allocation import AllocationConfig
from quant_core.backtest.config import BacktestConfig
from quant_core.backtest.regime_books import RegimeBooksConfig, choose_books
from quant_core.folds import fold
from quant_core.schema import CASH, CleanPrices, RegimeBooks, Regimes, validate

BASE = {"start": "2015-01", "end": "2020-12", "first_fold": 2018}


def mapped(mapping: dg.TimeWindowPartitionMapping, own: dg.PartitionsDefinition, other: dg.PartitionsDefinition,
           key: str) -> list[str]:  # fmt: skip
    subset = mapping.get_upstream_mapped_partitions_result_for_partitions(
        own.subset_with_partition_keys([key]), own, other
    ).partitions_subset
    return sorted(subset.get_partition_keys())


@pytest.mark.parametrize(
    ("cadence", "month", "first", "folds"),
    [
        ("year", "2019-06", "2018-06", ["2019"]),
        ("year", "2019-01", "2018-01", ["2018", "2019"]),  # what is known on its first days may be of December
        ("year", "2018-01", "2017-01", ["2018"]),
        ("year", "2017-12", "2016-12", []),
        ("quarter", "2019-06", "2019-03", ["2019-04"]),
        ("quarter", "2019-04", "2019-01", ["2019-01", "2019-04"]),
    ],
)
def test_a_month_reads_the_regimes_of_its_folds_so_far_and_what_they_chose(
    cadence: str, month: str, first: str, folds: list[str]
) -> None:
    p = build_partitions(load_profile("demo", {**BASE, "fold_cadence": cadence}), 252)
    months = mapped(p.known_regimes(), p.months, p.months, month)
    assert (months[0], months[-1]) == (first, month)
    assert mapped(p.folds_of_regimes, p.months, p.folds, month) == folds


def test_the_profiles_method_is_the_one_that_is_traded_and_judged_by() -> None:
    profile = load_profile("demo", {"regimes": "[hmm, jump]", "regime_method": "jump"})
    for asset in ("target_weights", "backtest", "regime_books"):
        assert Lab(profile).settings(asset)["regime_method"] == "jump"


def test_before_the_first_fold_and_without_regimes_nothing_is_known() -> None:
    for signals in ({}, {"regimes": None, "regime_books": None}, {"regimes": Regimes.create_empty().lazy()}):
        rows, books = regimes_known(signals)
        assert rows.is_empty()
        assert books.is_empty()
        assert books.columns == RegimeBooks.column_names()


def test_the_choices_of_all_folds_are_read_together() -> None:
    one = pl.DataFrame(
        [("2019", "Crisis", CASH, date(2018, 12, 31), 70, 0.0, True)],
        schema={name: column.dtype for name, column in RegimeBooks.columns().items()}, orient="row",
    )  # fmt: skip
    files = {name: table_files(regime_books=one.with_columns(fold=pl.lit(name))) for name in ("2020", "2019")}
    assert regimes_known({"regime_books": files})[1]["fold"].to_list() == ["2019", "2020"]


def test_the_backtest_judges_by_the_traded_methods_labels_of_the_tested_sessions() -> None:
    rows = pl.DataFrame({
        "date": [date(2020, 1, 2), date(2020, 1, 1), date(2020, 1, 2), date(2019, 12, 31)],
        "method": ["hmm", "hmm", "jump", "hmm"], "regime": ["Bear", "Crisis", "Transition", "Bear"],
    })  # fmt: skip
    tested = pl.col("date") >= date(2020, 1, 1)
    assert traded_labels(rows.lazy(), "hmm", tested).rows() == [
        (date(2020, 1, 1), "Crisis"), (date(2020, 1, 2), "Bear"),
    ]  # fmt: skip
    assert traded_labels(None, "hmm", tested).is_empty()


def market(seed: int = 3) -> pl.DataFrame:
    """Six stocks and the index of 2018 to 2020: each falls in the second half of a year, the calm one S0 the least."""
    rng = np.random.default_rng(seed)
    days = calendar.sessions(date(2018, 1, 1), date(2020, 3, 31))
    drift = np.array([0.0012 if day.month <= 6 else -0.0015 for day in days])
    kinds = {"terminal_factor": pl.Float64, "terminal_into": pl.String, "volume_shares": pl.Int64}
    tables = []
    for k, ticker in enumerate(("S0", "S1", "S2", "S3", "S4", "S5", "^NSEI")):
        scale = 1.0 if ticker == "^NSEI" else 0.3 + 0.3 * k
        moves = scale * (drift + rng.normal(0.0, 0.008, len(days)))
        close = 100.0 * np.cumprod(1.0 + moves)
        is_index = ticker == "^NSEI"
        tables.append(pl.DataFrame({
            "date": days, "ticker": ticker, "instrument": "index" if is_index else "equity",
            "open_inr": close / (1.0 + moves), "high_inr": close * 1.03, "low_inr": close * 0.97, "close_inr": close,
            "volume_shares": 1e6, "turnover_inr": close * 1e6, "overnight_return_1d": 0.0, "intraday_return_1d": moves,
            "total_return_1d": moves, "dividend_return_1d": 0.0, "is_member": not is_index, "is_filled": False,
            "is_tradable": not is_index, "flags": "", "terminal_factor": None, "terminal_into": None,
        }, schema_overrides=kinds))  # fmt: skip
    return validate(pl.concat(tables).sort("date", "ticker"), CleanPrices, "test", "fix the test")


def test_candidates_are_run_over_the_years_before_the_fold_and_cash_is_held_where_all_fall() -> None:
    own = fold("2020", 1)
    prices = market()
    settings = RegimeBooksConfig(candidates=("equal_weight", "buy_hold_index", "momentum", CASH), fewest_sessions=40)
    limits = AllocationConfig(top_n=2, lookback_sessions=60, momentum_sessions=60, momentum_skip_sessions=5)
    account = BacktestConfig(until=date(2020, 2, 28), total_return_index_ticker="^NSEI")
    tested = candidates_before(prices, settings, limits, account, own)
    assert sorted(tested.daily["strategy"].unique()) == ["buy_hold_index", "equal_weight", "momentum"]
    assert own.train_start <= tested.daily["date"].min() <= date(2019, 1, 10)  # type: ignore[operator]
    assert tested.daily["date"].max() == calendar.sessions(date(2019, 12, 1), own.train_end)[-1]
    assert tested.daily["cost_inr"].sum() > 0.0
    days = tested.daily["date"].unique().sort()
    labels = pl.DataFrame({"date": days}).with_columns(
        regime=pl.when(pl.col("date") < date(2019, 6, 29)).then(pl.lit("Low-Vol Bull")).otherwise(pl.lit("Bear"))
    )
    table = choose_books(tested.daily, tested.benchmark, labels, "2020", settings)
    chosen = dict(table.filter("is_chosen").select("regime", "strategy").iter_rows())
    assert chosen["Bear"] == CASH
    assert chosen["Low-Vol Bull"] != CASH
    assert table["fit_end"].unique().to_list() == [days[-1]]
    shown = side_by_side(table)
    assert set(shown.columns) == {"regime", *settings.candidates}
    assert shown.filter(pl.col("regime") == "Bear")[CASH].to_list() == [0.0]


def test_what_comes_with_the_fold_changes_no_choice() -> None:
    own, prices = fold("2020", 1), market()
    settings = RegimeBooksConfig(candidates=("equal_weight", "buy_hold_index"))
    limits, account = AllocationConfig(), BacktestConfig(total_return_index_ticker="^NSEI")
    known = candidates_before(prices.filter(pl.col("date") < own.test_start), settings, limits, account, own)
    assert known.daily.equals(candidates_before(prices, settings, limits, account, own).daily)
