"""The pages about features say what the code does: the guide is followed to the letter, the dictionary is complete."""

import importlib
import re
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import polars as pl
import pytest

import quant_core.features
from quant_core.causality import assert_causal
from quant_core.features import FEATURES, FeatureConfig, compute_features

DOCS = Path(__file__).resolve().parents[3] / "docs"
GUIDE = (DOCS / "adding-a-feature.md").read_text()
DICTIONARY = (DOCS / "data-dictionary.md").read_text()


@pytest.fixture
def up_days(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The page's file, saved under the page's name in a folder that the package looks into."""
    (code,) = re.findall(r"```python\n(.*?)```", GUIDE, flags=re.DOTALL)
    (name,) = re.findall(r"Save it as `quant_core/features/(\w+)\.py`", GUIDE)
    (tmp_path / f"{name}.py").write_text(code)
    list(FEATURES)
    monkeypatch.setattr(quant_core.features, "__path__", [*quant_core.features.__path__, str(tmp_path)])
    monkeypatch.setattr(FEATURES, "_loaded", False)  # look for modules again, as a new process does
    monkeypatch.setattr(FEATURES, "_entries", dict(FEATURES._entries))
    importlib.invalidate_caches()
    yield name
    sys.modules.pop(f"quant_core.features.{name}", None)
    vars(quant_core.features).pop(name, None)


def test_the_guides_feature_takes_about_ten_lines() -> None:
    (code,) = re.findall(r"```python\n(.*?)```", GUIDE, flags=re.DOTALL)
    assert len([line for line in code.splitlines() if line.strip()]) <= 10


def test_the_guides_feature_is_listed_computed_and_certified(up_days: str, make_prices, make_random_prices) -> None:
    assert up_days in set(FEATURES)
    entry = FEATURES[up_days]
    assert entry.columns((1, 5, 21)) == ["up_day_share_5d", "up_day_share_21d"]
    assert (entry.warm_up_sessions((1, 5, 21)), entry.summary) == (
        31,
        "Share of the window's sessions on which the ticker rose.",
    )
    config = FeatureConfig(names=("log_returns", up_days), windows=(1, 5), zscore_lookback=20, min_history_sessions=20)
    prices = make_prices({"A": [0.0, 0.01, -0.01, 0.02, 0.0, 0.03, 0.01, -0.02]})
    table = compute_features(prices, config, date(2015, 1, 1), date(2015, 2, 1))
    assert table["up_day_share_5d"].to_list() == [None] * 5 + [0.6, 0.6, 0.6]
    cut, end = date(2015, 6, 1), date(2015, 8, 1)
    certified = make_random_prices(n_tickers=3, n_sessions=160)
    assert_causal(lambda rows: compute_features(rows, config, date(2015, 5, 1), end), certified, cut, atol=0.0)
    assert compute_features(certified, config, cut, end)["up_day_share_5d_z20"].count() > 50


def test_the_guides_feature_shows_up_in_the_printed_list(up_days: str) -> None:
    from quant_assets.listing import LISTINGS

    header, rows = LISTINGS["features"]()
    (row,) = (row for row in rows if row[0] == up_days)
    assert header[0] == "feature"
    assert "up_day_share_252d" in row[1]
    assert row[2:] == ["262", "Share of the window's sessions on which the ticker rose."]


def test_removing_the_guides_file_removes_the_feature() -> None:
    assert "up_days" not in set(FEATURES)


def dictionary_rows() -> pl.DataFrame:
    """The first table of the page."""
    lines = DICTIONARY.split("## Features")[1].split("### Normalised columns")[0].splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| ")]
    return pl.DataFrame(cells[1:], schema=cells[0], orient="row")


def test_the_data_dictionary_lists_exactly_the_registered_features_with_columns_and_warm_up() -> None:
    windows = FeatureConfig().windows
    rows = dictionary_rows()
    assert sorted(rows["feature"]) == list(FEATURES)
    for row in rows.iter_rows(named=True):
        entry = FEATURES[row["feature"]]
        assert re.findall(r"`([^`]+)`", row["columns"]) == entry.columns(windows), row["feature"]
        assert int(row["warm-up"]) == entry.warm_up_sessions(windows), row["feature"]
        assert row["in words"], row["feature"]
        assert row["unit"], row["feature"]


def test_the_data_dictionary_maps_every_feature_of_the_plan() -> None:
    plan = {
        "log_returns", "realized_volatility", "momentum", "max_drawdown", "rolling_correlation", "rolling_beta",
        "relative_strength", "cross_sectional_rank", "vol_regime", "volume_shock", "gap_stats", "breadth_indicators",
    }  # fmt: skip
    named = dictionary_rows().filter(pl.col("plan name") != "-")
    assert set(named["feature"]) == plan


def test_every_docstring_says_what_comes_in_and_out() -> None:
    for name in FEATURES:
        entry = FEATURES[name]
        text = entry.function.__doc__ or ""
        assert entry.summary.endswith("."), name
        assert all(section in text for section in ("Args:", "Returns:")), name
        assert text.count("windows:") == 1, name
