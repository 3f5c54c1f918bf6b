"""The pages about features are true: the guide is followed to the letter, the dictionary is what the registry says."""

import ast
import importlib
import re
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
from naive import TWINS
from test_every_feature import check_against_twins, panel_of

import quant_core.features
from quant_core.causality import assert_causal
from quant_core.errors import DataError
from quant_core.features import FEATURES, FeatureConfig, compute_features
from quant_core.features.dictionary import BEGIN, dictionary, rewritten

DOCS = Path(__file__).resolve().parents[3] / "docs"
GUIDE = (DOCS / "adding-a-feature.md").read_text()
DICTIONARY = (DOCS / "data-dictionary.md").read_text()
CODE, TEST = re.findall(r"```python\n(.*?)```", GUIDE, flags=re.DOTALL)
SAVED, TESTED = re.search(
    r"Save it as `quant_core/features/(\w+)\.py`, and as `tests/core/features/(test_feature_\w+)\.py`", GUIDE
).groups()


@pytest.fixture
def up_days(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The page's two files, saved under the page's names in folders that the package and pytest look into."""
    (tmp_path / f"{SAVED}.py").write_text(CODE)
    (tmp_path / f"{TESTED}.py").write_text(TEST)
    list(FEATURES)
    monkeypatch.setattr(quant_core.features, "__path__", [*quant_core.features.__path__, str(tmp_path)])
    monkeypatch.setattr(FEATURES, "_loaded", False)  # look for modules again, as a new process does
    monkeypatch.setattr(FEATURES, "_entries", dict(FEATURES._entries))
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    yield SAVED
    TWINS.pop(SAVED, None)
    for name in (f"quant_core.features.{SAVED}", TESTED):
        sys.modules.pop(name, None)
    vars(quant_core.features).pop(SAVED, None)


def test_the_guides_feature_takes_about_ten_lines() -> None:
    tree = ast.parse(CODE)
    (function,) = (node for node in tree.body if isinstance(node, ast.FunctionDef))
    docstring = function.body[0]
    words = set(range(docstring.lineno, docstring.end_lineno + 1))
    lines = [line for number, line in enumerate(CODE.splitlines(), 1) if line.strip() and number not in words]
    assert len(lines) <= 10


def test_the_guides_test_passes_and_its_twin_agrees_on_a_panel_with_holes(
    up_days: str, make_prices, make_random_prices, sectors
) -> None:
    tests = importlib.import_module(TESTED)
    made = [value for name, value in vars(tests).items() if name.startswith("test_")]
    assert len(made) == 1
    made[0](make_prices)
    check_against_twins(panel_of(make_random_prices(4, 80, seed=5), sectors), [up_days])


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
    from quant_assets.commands.listing import LISTINGS

    header, rows = LISTINGS["features"]()
    (row,) = (row for row in rows if row[0] == up_days)
    assert header[0] == "feature"
    assert "up_day_share_252d" in row[1]
    assert row[-2:] == ["262", "Share of the window's sessions on which the ticker rose."]


def test_removing_the_guides_file_removes_the_feature() -> None:
    assert "up_days" not in set(FEATURES)


def test_the_data_dictionary_is_what_the_registry_says() -> None:
    assert rewritten(DICTIONARY) == DICTIONARY, (
        "run: python -c \"from quant_core.features.dictionary import rewrite; rewrite('docs/data-dictionary.md')\""
    )


def test_the_data_dictionary_has_a_row_a_feature_with_words_values_and_warm_up() -> None:
    header, _, *rows = ([cell.strip() for cell in line[1:-1].split(" | ")] for line in dictionary().splitlines())
    named = [dict(zip(header, row, strict=True)) for row in rows]
    assert sorted(row["feature"] for row in named) == list(FEATURES)
    assert tuple(row["feature"] for row in named if row["default"] == "yes") == FeatureConfig().names
    for row in named:
        entry = FEATURES[row["feature"]]
        assert re.findall(r"`([^`]+)`", row["columns"]) == entry.columns(FeatureConfig().windows)
        assert row["in words"].startswith(entry.summary)
        assert "null" in row["values"].lower()
        assert int(row["warm-up"]) == entry.warm_up_sessions(FeatureConfig().windows)


def test_a_new_feature_is_missed_on_the_page(up_days: str) -> None:
    assert "| up_days | `up_day_share_5d`, " in rewritten(DICTIONARY)
    assert rewritten(DICTIONARY) != DICTIONARY


def test_a_page_that_lost_its_markers_is_refused() -> None:
    with pytest.raises(DataError, match="restore them"):
        rewritten(DICTIONARY.replace(BEGIN, ""))


def test_the_data_dictionary_maps_every_name_of_the_plan() -> None:
    names = (
        "log_returns", "realized_volatility", "momentum", "max_drawdown", "correlation_{w}d", "beta_{w}d",
        "rel_strength_{w}d", "rank_volatility_21d", "vol_regime_ratio", "volume_shock", "gap_max_21d",
        "adv_decline_ratio",
    )  # fmt: skip
    (paragraph,) = re.findall(r"What the plan of the lab called.*?\n\n", DICTIONARY, flags=re.DOTALL)
    assert [name for name in names if name not in paragraph] == []
