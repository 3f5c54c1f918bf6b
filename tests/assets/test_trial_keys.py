"""Keys of trials: the grid, the one spelling, and what is refused before anything runs."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from upath import UPath

from quant_assets.experiments.trial_keys import BOOKS, FIRST, NOT_TRIED, entries_of, grid_keys, spelling, variant_of
from quant_assets.lab import Lab
from quant_assets.profile import load_profile
from quant_assets.storage.partition_files import read_artifact, write_artifact
from quant_assets.storage.paths import SAFE_NAME
from quant_core.allocation import AllocationConfig
from quant_core.errors import DataError, QuantError
from quant_core.forecasting import MODELS


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("QUANT_DATA", str(tmp_path_factory.mktemp("lab")))  # nothing is promoted there
        yield Lab(load_profile("demo", {"models": "[ridge]", "regimes": "[]", "agents": "[]"}))


def test_a_grid_is_every_combination_the_last_word_varying_fastest() -> None:
    keys = grid_keys(["forecaster=ridge,tft", "horizon=1,5", "seed=0..2"])
    assert len(keys) == len(set(keys)) == 12
    assert keys[:4] == [
        "forecaster=ridge,horizon=1,seed=0", "forecaster=ridge,horizon=1,seed=1", "forecaster=ridge,horizon=1,seed=2",
        "forecaster=ridge,horizon=5,seed=0",
    ]  # fmt: skip
    assert keys[-1] == "forecaster=tft,horizon=5,seed=2"
    assert grid_keys([]) == []


def test_words_in_any_order_give_one_spelling() -> None:
    assert grid_keys(["top_n=3", "seed=1", "alpha=0.1", "forecaster=ridge"]) == [
        "forecaster=ridge,seed=1,alpha=0.1,top_n=3"
    ]
    assert grid_keys(["seed=2,0..2,0", "forecaster=ridge"]) == [
        f"forecaster=ridge,seed={seed}" for seed in (2, 0, 1)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("seed", "'seed' is no setting; write NAME=V1,V2"), ("Seed=1", "no setting"), ("seed=", "'' is no value"),
        ("seed=1,,2", "'' is no value"), ("seed=2..0", "FIRST..LAST"), ("seed=0..100000", "at most 1,000 numbers"),
        ("seed=../../etc", "no value"), ("book=a/b", "no value"), ("seed=1=2", "no value"), ("a b=1", "no setting"),
    ],
)  # fmt: skip
def test_a_word_that_is_no_setting_is_refused(word: str, told: str) -> None:
    with pytest.raises(DataError, match=re.escape(told)):
        grid_keys([word])


def test_a_grid_is_bounded_and_names_each_setting_once() -> None:
    with pytest.raises(DataError, match="1,200 combinations; wanted at most 1,000"):
        grid_keys(["seed=0..99", "top_n=1..12"])
    with pytest.raises(DataError, match="seed is there twice"):
        grid_keys(["seed=1", "seed=2"])


def test_a_key_sets_forecaster_and_book_and_leaves_the_profile_the_rest(lab: Lab) -> None:
    found = variant_of(lab, "forecaster=ridge,horizon=5,seed=3,alpha=1e-3,rebalance=weekly,top_n=4")
    own, base = found.forecaster, lab.defaults("forecaster_ridge")
    assert (own.horizon_sessions, own.seed, own.alpha) == (5, 3, 0.001)
    assert (own.clip_sigma, base.horizon_sessions) == (base.clip_sigma, 21)
    assert (found.allocation.top_n, found.allocation.rebalance) == (4, "weekly")
    assert (found.book, found.allocation.strategies, found.allocation.book_models) == ("top_n", ("top_n",), ("ridge",))
    assert found.changed["target_weights"] == {"rebalance": "weekly", "top_n": 4}
    assert variant_of(lab, "forecaster=ridge,book=buffered").allocation.strategies == ("buffered",)
    assert variant_of(lab, "forecaster=ridge,optuna=20").tries == 20


@pytest.mark.parametrize(
    ("key", "told"),
    [
        ("horizon=5", "no forecaster; name one of"),
        ("forecaster=rigde", "'rigde' is unknown; known:"),
        ("forecaster=ensemble", "'ensemble' is unknown"),
        ("forecaster=transformer_pretrained", "is unknown"),  # the profile has no encoder
        ("forecaster=ridge,d_model=8", "setting 'd_model' is unknown; known:"),
        ("forecaster=ridge,strategies=top_n", "setting 'strategies' is unknown"),
        ("forecaster=ridge,horizon=4", "no label over 4 sessions (there are [1, 5, 21, 63])"),
        ("forecaster=ridge,seed=x", "seed: 'x' is not a whole number"),
        ("forecaster=ridge,max_position=7", "max_position"),
        ("forecaster=ridge,book=momentum", "'momentum' is unknown; known:"),
        ("forecaster=ridge,optuna=many", "optuna is many; wanted a number of tries"),
        ("forecaster=ridge,optuna=1001", "from 0 to 1000"),
        ("seed=1,forecaster=ridge", "write 'forecaster=ridge,seed=1'"),
        ("forecaster=ridge,seed=1,seed=2", "seed is there twice"),
        ("forecaster=ridge, seed=1", "' seed=1' is no setting"),
        ("", "0 characters; wanted 1 to 160"),
        ("forecaster=" + "x" * 200, "211 characters"),
        ("../../etc/passwd", "is no setting"),
        ("forecaster=<script>", "is no setting"),
        ("forecaster=..", "no setting"),
    ],
)
def test_a_key_that_is_no_trial_says_why_and_what_is_wanted(lab: Lab, key: str, told: str) -> None:
    with pytest.raises(QuantError, match=re.escape(told)):
        variant_of(lab, key)


def test_no_name_is_both_a_forecasters_and_a_books() -> None:
    books = {name for name in AllocationConfig.__dataclass_fields__ if name not in NOT_TRIED} | set(FIRST) - {"seed"}
    for name in MODELS:
        assert not books & set(MODELS[name].config_class.__dataclass_fields__), name
    assert BOOKS[0] == "top_n"


def test_a_trials_new_version_leaves_the_trial_whose_key_begins_like_its_own(tmp_path: Path) -> None:
    short, long = (UPath(tmp_path / f"forecaster=ridge,inputs={value}.json") for value in ("raw", "raw-z"))
    write_artifact(long, {"a": b"1"}, "one")
    for content in (b"2", b"3"):
        write_artifact(short, {"a": content}, "one")
    assert (read_artifact(long), read_artifact(short)) == ({"a": b"1"}, {"a": b"3"})
    assert len([path for path in tmp_path.iterdir() if path.is_dir()]) == 2


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=40) | st.from_regex(r"[a-z]{1,4}=[a-z0-9.=,/\\-]{0,20}", fullmatch=True))
def test_what_is_taken_for_a_key_names_a_file_and_keeps_its_spelling(text: str) -> None:
    try:
        found = entries_of(text)
    except DataError:
        return
    key = spelling(found)
    assert entries_of(key) == found
    assert SAFE_NAME.fullmatch(key)
    assert ".." not in key
    assert "/" not in key
