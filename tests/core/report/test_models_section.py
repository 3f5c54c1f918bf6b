"""Models beside one another on the report's page: cells hold the tables' figures, names are escaped, gaps say why."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import polars as pl
import pytest

from quant_core.report.blocks import Figure, Note, Table
from quant_core.report.inputs import ReportInput, prepare
from quant_core.report.render import render_report
from quant_core.report.sections.models import common_horizon, models_section

Make = Callable[..., ReportInput]


def blocks(data: ReportInput) -> dict[str, Any]:
    return {block.key: block for block in models_section(prepare(data)).blocks if not isinstance(block, Note)}


def notes(data: ReportInput) -> list[str]:
    return [block.text for block in models_section(prepare(data)).blocks if isinstance(block, Note)]


def values(table: Table) -> dict[tuple[str, str], str]:
    return {
        (row[0].value, column): cell.value
        for row in table.rows
        for column, cell in zip(table.csv_header, row, strict=True)
    }


def test_every_block_is_there_with_the_figures_of_its_table(make_report_input: Make) -> None:
    data = make_report_input()
    made = blocks(data)
    assert list(made) == [
        "models-order", "models-years", "models-pairs", "models-alike", "models-added", "models-inputs",
        "models-distribution", "models-directions", "models-pit", "models-reliability", "models-liquidity",
        "models-sector", "models-regime", "models-regime-intervals",
    ]  # fmt: skip
    assert data.scorecard is not None
    at = (pl.col("model") == "ridge", pl.col("horizon_sessions") == 5, pl.col("value") == "2016")
    wanted = data.scorecard.filter(*at)["mean_rank_ic"][0]
    assert values(made["models-years"])["ridge", "2016"] == repr(wanted)
    assert values(made["models-pairs"])["ridge", "boosting"] == "-1.2"
    assert values(made["models-pairs"])["ridge", "ridge"] == ""
    assert [row[0].value for row in made["models-distribution"].rows] == ["boosting", "ridge"]
    order = [row[1].value for row in made["models-order"].rows]
    assert order == ["5"] * 3 + ["21"] * 3
    assert made["models-liquidity"].csv_header == ("model", "low", "middle", "high")
    assert made["models-regime"].csv_header == ("model", "Low-Vol Bull", "Bear", "Crisis")


def test_the_charts_show_the_chosen_strategys_model_and_a_line_of_what_is_right(make_report_input: Make) -> None:
    pit: Figure = blocks(make_report_input())["models-pit"]
    assert [series.name for series in pit.series] == ["boosting"]
    assert (pit.rules[0].value, len(pit.series[0].y)) == (0.1, 10)
    made: Figure = blocks(make_report_input())["models-reliability"]
    assert [series.name for series in made.series] == ["up", "down", "as said"]
    assert made.series[0].x == pytest.approx([0.15, 0.25, 0.35])
    assert list(made.series[2].y) == list(made.x)


def test_intervals_by_regime_are_those_of_the_chosen_strategys_model_from_calm_to_crisis(
    make_report_input: Make,
) -> None:
    data = make_report_input()
    table: Table = blocks(data)["models-regime-intervals"]
    assert [row[0].value for row in table.rows] == ["Low-Vol Bull", "Bear", "Crisis"]
    assert "boosting" in table.unit
    assert [cell.text for cell in table.rows[2][-3:]] == ["88.0\u202f%", "90.0\u202f%", "91.0\u202f%"]
    assert data.scorecard is not None
    without = replace(data, scorecard=data.scorecard.filter(pl.col("part") != "regime"))
    assert not {"models-regime", "models-regime-intervals"} & set(blocks(without))


def test_the_common_horizon_is_the_one_with_most_models(make_report_input: Make) -> None:
    data = make_report_input()
    assert data.scorecard is not None
    few = data.scorecard.filter((pl.col("horizon_sessions") == 21) | (pl.col("model") == "ridge"))
    assert common_horizon(prepare(data)) == 5
    assert common_horizon(prepare(replace(data, scorecard=few))) == 21


def test_the_inputs_that_cost_most_stand_first_and_few_leave_cells_empty(make_report_input: Make) -> None:
    data = make_report_input()
    assert data.importance is not None
    table: Table = blocks(data)["models-inputs"]
    assert [cell.text for cell in table.rows[0]] == ["boosting", "momentum 0.013", "", "", ""]
    assert [cell.text for cell in table.rows[1]] == [
        "ridge", "measure_0 0.040", "measure_1 0.030", "measure_2 0.020", "measure_3 0.010",
    ]  # fmt: skip
    assert table.marked == frozenset({0})
    assert "models-inputs" not in blocks(replace(data, importance=None))


def test_what_is_missing_is_said_and_why(make_report_input: Make) -> None:
    data = make_report_input()
    assert data.scorecard is not None
    assert notes(replace(data, scorecard=None)) == ["Models were not compared: no forecast was scored in this period."]
    assert blocks(replace(data, scorecard=None)) == {}
    plain = data.scorecard.with_columns(pl.lit(False).alias("is_own_horizon"))
    assert "no validation slice" in notes(replace(data, scorecard=plain))[0]
    alone = replace(data, pairs=None, contributions=None)
    assert notes(alone) == ["Fewer than two forecasts: there is no pair to compare."]
    one = data.contributions.with_columns(rank_ic_added=pl.lit(None, pl.Float64))  # type: ignore[union-attr]
    assert "One model only" in notes(replace(data, contributions=one))[0]


def test_a_models_name_cannot_open_an_element(make_report_input: Make) -> None:
    data = make_report_input()
    evil = "<img src=x onerror=alert(1)>"
    tables = {
        name: getattr(data, name).with_columns(pl.col(pl.String).replace("ridge", evil))
        for name in ("scorecard", "pit", "reliability", "pairs", "contributions", "importance")
    }
    page = render_report(replace(data, **tables))
    assert evil not in page
    assert "&lt;img" in page
