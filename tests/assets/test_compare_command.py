"""`quant compare` as a user runs it: one row a model and horizon, every figure in the file, or one clear message."""

import io
from pathlib import Path

import polars as pl
import pytest
from lab_process import lab_environment, quant_here
from rich.console import Console
from small_lab import SmallLab

from quant_assets.commands.compare_command import comparison_of, printed
from quant_assets.storage.forecast_tables import ForecastTables
from quant_core.forecasting import MODELS
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
    shown = printed(whole, 120)
    assert [column.header for column in shown.columns][:3] == ["model", "h", "rank\nIC"]
    assert list(shown.columns[6].cells) == ["–", "–", "91.2\u202f%"]
    assert comparison_of(tables(), ["net"])["model"].unique().to_list() == ["net"]


def widest() -> pl.DataFrame:
    """Every shipped model and the baselines, with figures as wide as they become."""
    figures = {
        "mean_rank_ic": -0.012, "nw_t": -12.34, "icir": -0.12, "crps_skill": -0.123, "coverage_90": 1.0,
        "gain_over_ridge": -0.012, "dm_p": 0.123, "rank_ic_added": -0.012,
    }  # fmt: skip
    rows = [{"model": name, "horizon_sessions": 21, **figures} for name in [*MODELS, "momentum", "zero"]]
    return pl.DataFrame(rows)


def lines(whole: pl.DataFrame, width: int) -> list[str]:
    """What a terminal of that width shows."""
    console = Console(width=width, file=io.StringIO())
    with console.capture() as captured:
        console.print(printed(whole, width))
    return captured.get().splitlines()


def cells(line: str) -> list[str]:
    return [cell for cell in line.split(" ") if cell]


def test_eighty_characters_show_every_shipped_name_whole_and_say_what_is_left_out() -> None:
    whole = widest()
    shown = lines(whole, 80)
    assert "…" not in "".join(shown)
    assert max(map(len, shown)) <= 80
    rows = [cells(line) for line in shown[2 : 2 + whole.height]]
    figures = ["21", "−0.012", "−12.34", "100.0\u202f%", "−0.012", "0.123", "−0.012"]
    assert rows == [[name, *figures] for name in whole["model"]]
    assert shown[2 + whole.height].strip() == "Not shown: ICIR, CRPS skill. Widen the terminal or use --csv FILE."


def test_a_wide_terminal_shows_every_column_and_a_very_narrow_one_the_rank_ic_of_a_folded_name() -> None:
    wide = lines(widest(), 120)
    assert cells(wide[2])[2:] == [
        "−0.012",
        "−12.34",
        "−0.12",
        "−12.3\u202f%",
        "100.0\u202f%",
        "−0.012",
        "0.123",
        "−0.012",
    ]
    assert "Not shown" not in "".join(wide)
    narrow = "".join(lines(widest(), 30))
    assert "…" not in narrow
    assert narrow.count("\u22120.012") == widest().height


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
