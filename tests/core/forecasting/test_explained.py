"""What networks rest on: averages of rows, the names behind them, and planted inputs that stand first."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from model_cases import case_of

from quant_core.errors import DataError
from quant_core.fitted import Fitted
from quant_core.forecasting import explained
from quant_core.forecasting.sequences import CALENDAR, calendar_inputs


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> None:
    torch.set_num_threads(1)


def test_rows_are_averaged_and_at_most_some_spread_over_the_slice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explained, "MOST_ROWS", 4)
    monkeypatch.setattr(explained, "AT_ONCE", 3)
    data: Any = SimpleNamespace(batch=lambda rows: rows)
    rows, network = torch.arange(10), torch.nn.Identity()
    found = explained.averaged(network, data, rows, lambda _, batch: {"past": torch.stack([batch, 2 * batch], dim=1)})
    assert found["explain.past"].tolist() == [4.5, 9.0]  # rows 0, 3, 6 and 9
    assert explained.mean_of([found, {"explain.past": np.array([0.5, 1.0])}])["explain.past"].tolist() == [2.5, 5.0]


def fit_of(name: str, **settings: Any) -> Fitted:
    case = case_of(name)
    return case.model.fit(case.data, replace(case.config, **settings), lambda *_: None)


@pytest.mark.slow
def test_the_tft_names_its_variables_and_the_planted_one_stands_first() -> None:
    fitted = fit_of("tft")
    table = explained.importance(fitted)
    parts = {part: own["feature"].to_list() for (part,), own in table.group_by("part", maintain_order=True)}
    assert list(parts) == ["past", "future", "static"]
    assert parts["past"][0] == "channel_return_1d"
    assert table["importance_share"][0] > 1.5 * table["importance_share"][1]
    assert set(parts["past"]) == {"channel_return_1d", "channel_gap_1d", *(f"calendar.{name}" for name in CALENDAR)}
    assert set(parts["future"]) == {f"ahead.{name}" for name in CALENDAR}
    assert parts["static"] == ["static.liquidity"]
    sums = table.group_by("part").agg(pl.col("importance_share").sum())["importance_share"]
    assert sums.to_list() == pytest.approx([1.0, 1.0, 1.0])
    read = explained.sessions_read(fitted)
    assert read["session"].to_list() == [-3, -2, -1, 0, 1, 2, 3, 4, 5]
    assert read["share"].sum() == pytest.approx(1.0, abs=1e-5)


@pytest.mark.slow
def test_gradients_of_a_gru_stand_on_the_planted_channel_and_the_newest_session() -> None:
    fitted = fit_of("gru", attribution="integrated_gradients")
    table = explained.importance(fitted)
    assert table["feature"].to_list() == ["channel_return_1d", "channel_gap_1d"]
    assert table["importance_share"][0] > 0.7
    read = explained.sessions_read(fitted)
    assert read["session"].to_list() == [-3, -2, -1, 0]
    assert read["share"].arg_max() == 3
    plain = fit_of("gru")
    assert explained.importance(plain).is_empty()
    assert explained.sessions_read(plain).is_empty()
    kept = [name for name in plain.arrays if not name.startswith("calibration.")]
    assert all(np.array_equal(plain.arrays[name], fitted.arrays[name]) for name in kept)  # asking changes no forecast


def test_the_calendar_has_a_name_for_each_column_and_attribution_two_settings() -> None:
    day = case_of("gru").labels["date"][0]
    assert calendar_inputs(day, day, 1).shape[1] == len(CALENDAR)
    with pytest.raises(DataError, match="attribution"):
        replace(case_of("gru").config, attribution="shap")
