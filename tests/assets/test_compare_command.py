"""`quant compare` as a user runs it: one row a model and horizon, every figure in the file, or one clear message."""

from pathlib import Path

import polars as pl
import pytest
from lab_process import lab_environment, quant_here
from small_lab import SmallLab

from quant_assets.compare_command import comparison_of, printed
from quant_assets.forecast_tables import ForecastTables
from quant_core.schema import (
    ForecastComparison,
    ForecastContribution,
    ForecastPit,
    ForecastReliability,
    ForecastScorecard,
)


def tables() -> ForecastTables:
    """Two models over two horizons; the second is ridge."""
    keyed = {"part": "all", "value": "all", "is_own_horizon": False, "n_dates": 9, "n_rows": 90}
    card = [
        {"model": "net", "horizon_sessions": 5, "mean_rank_ic": 0.04, "nw_t": 2.5, **keyed},
        {"model": "net", "horizon_sessions": 21, "mean_rank_ic": 0.05, "coverage_90": 0.912, **keyed},
        {"model": "ridge", "horizon_sessions": 5, "mean_rank_ic": 0.03, **keyed},
        {"model": "ridge", "horizon_sessions": 5, "mean_rank_ic": 0.9, **keyed, "part": "year", "value": "2020"},
    ]

    def table(contract: type, rows: list) -> pl.DataFrame:
        return pl.DataFrame(rows, schema=contract.create_empty().schema, orient="row")

    return ForecastTables(
        scorecard=table(ForecastScorecard, card),
        pit=table(ForecastPit, []),
        reliability=table(ForecastReliability, []),
        pairs=table(ForecastComparison, [("net", "ridge", 5, 9, 0.01, 1.4, 0.17, 0.6, 0.5)]),
        contributions=table(ForecastContribution, [("net", 5, 9, 0.045, 0.03, 0.015, 1.1)]),
    )


def test_the_gain_over_ridge_and_what_a_model_adds_stand_in_the_row_of_their_horizon() -> None:
    whole = comparison_of(tables(), ["net", "ridge"])
    assert whole.select("model", "horizon_sessions", "gain_over_ridge", "dm_p", "rank_ic_added").rows() == [
        ("net", 5, 0.01, 0.17, 0.015), ("ridge", 5, None, None, None), ("net", 21, None, None, None),
    ]  # fmt: skip
    shown = printed(whole)
    assert [column.header for column in shown.columns][:3] == ["model", "h", "rank IC"]
    assert list(shown.columns[6].cells) == ["–", "–", "91.2\u202f%"]
    assert comparison_of(tables(), ["net"])["model"].unique().to_list() == ["net"]


@pytest.mark.slow
def test_the_stored_comparison_is_printed_and_written(small_lab: SmallLab, tmp_path: Path) -> None:
    file = tmp_path / "compared.csv"
    done = quant_here(["compare", "--csv", str(file)], small_lab.environment)
    assert done.returncode == 0, done.stderr
    assert "forecasts out of sample through fold 2020" in done.stdout
    written = pl.read_csv(file)
    assert {"ridge", "momentum"} <= set(written["model"])
    assert {5, 21} <= set(written["horizon_sessions"])
    unknown = quant_here(["compare", "--models", "ridge,nope"], small_lab.environment)
    assert unknown.returncode == 1
    assert "nope is not in the comparison; choose among" in unknown.stderr


@pytest.mark.slow
def test_without_a_run_the_message_says_how_to_make_it(tmp_path_factory: pytest.TempPathFactory) -> None:
    done = quant_here(["compare"], lab_environment(tmp_path_factory.mktemp("empty")))
    assert done.returncode == 1
    assert "quant run --stages forecast_quality,forecast_comparison" in done.stderr
