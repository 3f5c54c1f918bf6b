"""Which months and years there are, and which of them a month or a fold is made from, counted by hand."""

from datetime import date

import dagster as dg
import pytest

from quant_assets.partitions import build_partitions, fold_of, lookback
from quant_assets.profile import load_profile

PARTITIONS = build_partitions(
    load_profile("demo", {"start": "2015-01", "end": "2020-12", "first_fold": "2018", "train_years": "2"}), 252
)


def upstream(
    mapping: dg.TimeWindowPartitionMapping,
    own: dg.TimeWindowPartitionsDefinition,
    theirs: dg.TimeWindowPartitionsDefinition,
    key: str,
) -> tuple[str, str] | None:
    """First and last upstream partition of `key`."""
    found = mapping.get_upstream_mapped_partitions_result_for_partitions(
        own.subset_with_partition_keys([key]), own, theirs
    )
    keys = sorted(found.partitions_subset.get_partition_keys())
    return (keys[0], keys[-1]) if keys else None


@pytest.mark.parametrize(("end", "last"), [("2020-12", "2020-12"), ("2020-11", "2020-11"), ("2021-01", "2021-01")])
def test_months_run_through_the_last_one_and_folds_through_its_year(end: str, last: str) -> None:
    made = build_partitions(load_profile("demo", {"start": "2015-01", "end": end, "first_fold": "2018"}), 252)
    months, folds = made.months.get_partition_keys(), made.folds.get_partition_keys()
    assert (months[0], months[-1]) == ("2015-01", last)
    assert len(months) == (int(last[:4]) - 2015) * 12 + int(last[5:])
    assert folds == [str(year) for year in range(2018, int(end[:4]) + 1)]


def test_an_open_profile_has_the_month_and_the_year_that_are_running() -> None:
    made = build_partitions(load_profile("demo", {"end": None}), 252)
    moment = dg.TimeWindowPartitionsDefinition.get_last_partition_key
    today = date.today()
    assert moment(made.months) == f"{today:%Y-%m}"
    assert moment(made.folds) == f"{today:%Y}"


def test_a_fold_trains_on_whole_years_before_it_and_a_month_belongs_to_its_year() -> None:
    p = PARTITIONS
    assert upstream(p.train, p.folds, p.months, "2019") == ("2017-01", "2018-12")
    assert upstream(p.fold_of_month, p.months, p.folds, "2019-01") == ("2019", "2019")
    assert upstream(p.fold_of_month, p.months, p.folds, "2019-12") == ("2019", "2019")
    assert upstream(p.fold_of_month, p.months, p.folds, "2017-12") is None
    assert upstream(p.through_fold, p.folds, p.months, "2019") == ("2015-01", "2019-12")


def test_quarters_train_on_the_years_before_their_first_day_and_hold_three_months() -> None:
    profile = load_profile(
        "demo",
        {"start": "2015-01", "end": "2019-08", "first_fold": "2018", "train_years": "2", "fold_cadence": "quarter"},
    )
    p = build_partitions(profile, 252)
    keys = ["2018-01", "2018-04", "2018-07", "2018-10", "2019-01", "2019-04", "2019-07"]
    assert p.folds.get_partition_keys() == keys
    assert upstream(p.train, p.folds, p.months, "2018-07") == ("2016-07", "2018-06")
    assert upstream(p.training_months(5), p.folds, p.months, "2018-07") == ("2016-04", "2018-06")
    assert upstream(p.fold_of_month, p.months, p.folds, "2018-09") == ("2018-07", "2018-07")
    assert upstream(p.through_fold, p.folds, p.months, "2018-04") == ("2015-01", "2018-06")
    assert [fold_of(p.folds, month) for month in ("2017-12", "2018-01", "2018-09", "2019-08")] == [
        None, "2018-01", "2018-07", "2019-07",
    ]  # fmt: skip


def test_a_month_of_features_reads_the_year_before_it_and_two_months_more() -> None:
    p = PARTITIONS
    assert upstream(p.feature_lookback, p.months, p.months, "2019-02") == ("2017-12", "2019-02")


@pytest.mark.parametrize(("sessions", "months"), [(0, 1), (1, 2), (20, 2), (21, 3), (240, 13), (241, 14), (252, 14)])
def test_a_look_back_is_counted_in_months_of_the_shortest_year_and_one_more(sessions: int, months: int) -> None:
    assert lookback(sessions).start_offset == -months
