"""The target_weights asset: how far back it loads, what it refuses, what it shows."""

import math
from datetime import date

import dagster as dg
import polars as pl
import pytest

from quant_assets.assembly import build_definitions
from quant_assets.assets.target_weights import books, within_history
from quant_assets.partitions import path_lookback
from quant_assets.profile import load_profile
from quant_core import calendar
from quant_core.allocation import AllocationConfig
from quant_core.allocation.strategy import first_known_day, path_start
from quant_core.errors import DataError


@pytest.mark.parametrize("sessions", [60, 126, 252, 504])
def test_the_months_before_a_decided_one_hold_its_whole_history(sessions: int) -> None:
    config = AllocationConfig(lookback_sessions=sessions, momentum_sessions=60)
    months = path_lookback(sessions).start_offset
    for number in range(2004 * 12, 2027 * 12):
        month = date(number // 12, number % 12 + 1, 1)
        oldest = number + months
        first_decision = calendar.sessions(month, month.replace(day=28))[0]
        on_path = calendar.sessions(path_start(first_decision), first_decision)[0]
        assert first_known_day(on_path, config) >= date(oldest // 12, oldest % 12 + 1, 1)
    assert months == -23 - math.ceil(sessions / 20) - 1  # no more than a month or two to spare


def test_prices_and_forecasts_reach_back_to_the_path_of_a_book() -> None:
    graph = build_definitions(load_profile("nifty50")).resolve_asset_graph()
    key = dg.AssetKey(["nifty50", "target_weights"])
    prices, scores = [dg.AssetKey(["nifty50", name]) for name in ("clean_prices", "forecasts_ridge")]
    assert graph.get_partition_mapping(key, prices) == path_lookback(252)
    own = graph.get(key).partitions_def
    assert own is not None
    mapped = path_lookback(252).get_upstream_mapped_partitions_result_for_partitions
    for month, first in (("2020-03", "2017-02"), ("2010-05", "2010-01")):  # clipped where the data begin
        upstream = mapped(own.subset_with_partition_keys([month]), own, own).partitions_subset
        keys = sorted(upstream.get_partition_keys())
        assert (keys[0], keys[-1]) == (first, month)
    assert getattr(graph.get_partition_mapping(key, scores), "start_offset", 0) == -23


def test_a_run_that_looks_further_back_than_the_profile_loads_is_refused() -> None:
    loaded = AllocationConfig()
    assert within_history(AllocationConfig(lookback_sessions=120), loaded).lookback_sessions == 120
    with pytest.raises(DataError, match=r"looks back 300 sessions, the profile loads 252; set lookback_sessions"):
        within_history(AllocationConfig(lookback_sessions=300), loaded)
    with pytest.raises(DataError, match="looks back 300 sessions"):
        within_history(AllocationConfig(momentum_sessions=300), loaded)


def test_the_last_decision_is_shown_as_one_row_a_book() -> None:
    day = date(2021, 1, 8)
    table = pl.DataFrame(
        {"date": [day] * 7, "strategy": ["b", "b", "b", "b", "b", "a", "c"],
         "ticker": ["X", "Y", "Z", "K", "(cash)", "X", "(failed)"],
         "weight": [0.1, 0.3, 0.1, None, 0.5, 1.0, None]}
    )  # fmt: skip
    assert books(table).rows() == [
        (day, "a", 1, 1.0, 0, 1.0, "X"), (day, "b", 3, 0.5, 1, 0.3, "Y, X, Z"), (day, "c", 0, 0.0, 0, None, ""),
    ]  # fmt: skip
