"""The register of trials: what is one more try, what is the same one again, and what a report counts."""

from datetime import date

import numpy as np
import polars as pl
import pytest
from upath import UPath

from quant_assets.experiments import trials
from quant_core.calendar import sessions
from quant_core.errors import DataError
from quant_core.measures.overfitting import overfitting_of

DAYS = sessions(date(2020, 1, 1), date(2020, 12, 31))
BENCHMARK = pl.DataFrame({"date": DAYS, "risk_free_return_1d": 0.0002})


def history(strategy: str, seed: int, days: list[date] = DAYS, scale: float = 0.01) -> pl.DataFrame:
    returns = np.random.default_rng(seed).normal(0.0005, scale, len(DAYS))[: len(days)]
    returns[0] = 0.0
    return pl.DataFrame({"date": days, "strategy": strategy, "simple_return_1d": returns})


def register(root: UPath, *books: pl.DataFrame) -> int:
    return trials.register(root, "demo", pl.concat(books), BENCHMARK)


@pytest.fixture
def root(tmp_path: object) -> UPath:
    return UPath(str(tmp_path))


def test_every_different_history_counts_once_and_the_opening_session_is_no_return(root: UPath) -> None:
    assert register(root, history("a", 1), history("b", 2)) == 2
    kept = trials.load(root, "demo")
    assert kept["strategy"].unique().sort().to_list() == ["a", "b"]
    assert kept["date"].min() == DAYS[1]
    assert kept.height == 2 * (len(DAYS) - 1)


def test_a_rerun_changes_nothing_and_a_longer_run_replaces_its_shorter_self(root: UPath) -> None:
    register(root, history("a", 1, DAYS[:200]))
    before = trials.signature(root, "demo", DAYS[-1])
    assert register(root, history("a", 1, DAYS[:200])) == 0
    assert trials.signature(root, "demo", DAYS[-1]) == before
    assert register(root, history("a", 1)) == 0
    assert trials.load(root, "demo").height == len(DAYS) - 1
    assert trials.load(root, "demo")["trial"].n_unique() == 1


def test_a_short_rerun_is_recognised_by_its_equal_returns(root: UPath) -> None:
    assert register(root, history("a", 1, DAYS[:30])) == 1
    assert register(root, history("a", 1, DAYS[:40])) == 0


def test_the_same_strategy_under_another_setting_is_one_more_trial(root: UPath) -> None:
    register(root, history("a", 1))
    assert register(root, history("a", 3)) == 1
    assert trials.load(root, "demo")["trial"].n_unique() == 2


def test_a_report_of_an_earlier_fold_does_not_know_what_came_later(root: UPath) -> None:
    register(root, history("a", 1, DAYS[:120]))
    early = trials.signature(root, "demo", DAYS[100])
    register(root, history("a", 1))
    assert trials.signature(root, "demo", DAYS[100]) == early
    assert trials.load(root, "demo", DAYS[100])["date"].max() == DAYS[100]
    register(root, history("b", 2))
    assert trials.signature(root, "demo", DAYS[100]) != early


def test_profiles_keep_their_trials_apart_and_a_profile_cannot_lead_out_of_the_root(root: UPath) -> None:
    register(root, history("a", 1))
    assert trials.load(root, "nifty50").is_empty()
    with pytest.raises(DataError, match="profile"):
        trials.load(root, "../demo")


def test_overfitting_is_judged_over_the_trials_that_cover_the_whole_test(root: UPath) -> None:
    days = pl.Series(DAYS[1:], dtype=pl.Date)
    register(root, history("a", 1))
    assert overfitting_of(trials.load(root, "demo"), days) is None  # nothing to choose from
    register(root, history("b", 2), history("late", 3).filter(pl.col("date") > DAYS[50]))
    found = overfitting_of(trials.load(root, "demo"), days)
    assert found is not None
    assert found.n_trials == 2
    assert found.n_splits == len(found.logits) == 12_870
    assert 0.0 <= found.pbo <= 1.0
    assert overfitting_of(trials.load(root, "demo"), days[:20]) is None  # too short for sixteen blocks
