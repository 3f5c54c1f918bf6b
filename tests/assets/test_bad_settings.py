"""Every wrong value of every setting: accepted as a value of its type, or one line that names the setting."""

from collections.abc import Iterator
from dataclasses import fields
from datetime import date
from typing import Any

import pytest

from quant_assets.commands.runner import check_overrides
from quant_assets.commands.terminal import parse_settings
from quant_assets.config import build
from quant_assets.lab import Lab
from quant_assets.profile import Profile, load_profile, source_override
from quant_assets.setting_values import fitting
from quant_core.cleaning.most_traded import LiquidityRule
from quant_core.cleaning.quality import QualityThresholds
from quant_core.errors import DataError, QuantError
from quant_core.features.drift import DriftConfig

#: As a command line gives them (profile entries) and as YAML reads them (settings of assets).
TEXTS = ("5", "-3", "0", "2.5", "yes", "", "[]", "{}", "2015-13-01", "null", "1e400", "9" * 400, "a" * 5_000, "a\nb",
         "[1", "[null]", "[[1]]", "{a: 1}", "{[1]: 2}", "[" * 300)  # fmt: skip
VALUES = (5, -3, 0, 2.5, "yes", "", [], {}, "2015-13-01", None, float("inf"), float("nan"), 10**400, "a" * 5_000,
          "a\nb", True, [None], ["a", "a"], [-3], [[1]], {"a": 1}, {1: 2}, date(2020, 1, 1))  # fmt: skip
LONGEST_LINE = 700
SOURCES = {"simulated": {}, "yahoo": source_override("yahoo", None), "files": source_override("files", "prices")}


def refusal(attempt: Any, *arguments: Any) -> str:
    """What the lab says; "" where it takes the value."""
    try:
        attempt(*arguments)
    except QuantError as error:
        return str(error)
    return ""


def assert_one_line(said: str, names: str) -> None:
    assert "\n" not in said, said
    assert len(said) < LONGEST_LINE, said
    assert not said or names in said, said


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.slow
def test_every_setting_takes_a_value_of_its_type_or_says_in_one_line_what_it_wants(source: str) -> None:
    lab, n_refused = Lab(load_profile("demo", SOURCES[source])), 0
    assets = lab.settings_classes if source == "simulated" else ["raw_ohlcv"]  # the others are the same for all
    for asset in assets:
        for setting in fields(lab.settings_classes[asset]):
            for value in VALUES:
                said = refusal(lab.with_overrides, asset, {setting.name: value})
                assert_one_line(said, setting.name)
                n_refused += bool(said)
    assert n_refused > len(VALUES) * 5


def profile_attempts() -> Iterator[tuple[str, str]]:
    yield from ((entry.name, text) for entry in fields(Profile) for text in TEXTS)


@pytest.mark.slow
def test_every_entry_of_a_profile_takes_a_value_or_says_in_one_line_what_it_wants() -> None:
    for entry, text in profile_attempts():
        _, overrides = parse_settings([f"profile.{entry}={text}"])
        assert_one_line(refusal(load_profile, "demo", overrides), entry)


@pytest.mark.parametrize(("part", "settings"), {"quality": QualityThresholds, "drift": DriftConfig,
                                                "liquidity": LiquidityRule}.items())  # fmt: skip
def test_the_limits_of_a_profile_are_settings_too(part: str, settings: type) -> None:
    for setting in fields(settings):
        for value in VALUES:
            assert_one_line(refusal(build, settings, {setting.name: value}, part), setting.name)


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        ("features.windows=5", r"features.windows: 5 is not a list; write it in brackets, e.g. [5]."),
        ("clean_prices.ffill_limit=", "clean_prices.ffill_limit: None is not a whole number; give one, e.g. 5."),
        ("raw_ohlcv.seed=yes", "raw_ohlcv.seed: True is not a whole number; give one, e.g. 5."),
        ("raw_ohlcv.start=2015-13-01", "raw_ohlcv.start: '2015-13-01' is not a date; write it as YYYY-MM-DD."),
        ("backtest.carry_over=1", "backtest.carry_over: 1 is not a truth value; write true or false."),
        ("backtest.fill=noon", "backtest.fill: 'noon' is not one of open, close, vwap; choose one."),
        ("backtest.until=tomorrow", "backtest.until: 'tomorrow' is not a date; write it as YYYY-MM-DD, or null."),
        ("forecaster_ridge.alpha=many", "forecaster_ridge.alpha: 'many' is not a number; give one, e.g. 0.5, or null."),
        ("forecaster_ridge.alphas=[1, two]",
         "forecaster_ridge.alphas: [1, 'two'] is not a list of which each is a number; give one, e.g. 0.5."),
        ("backtest_report.strategy=5", 'backtest_report.strategy: 5 is not text; write it in quotes, e.g. "5".'),
        ("backtest.commission_bps=-1", "account: commission_bps is -1.0; wanted at least 0."),
        ("backtest.initial_capital_inr=0",
         "backtest.initial_capital_inr: ledger: a capital of 0.0 rupees; wanted a positive amount."),
    ],
)  # fmt: skip
def test_what_a_wrong_value_is_told(pair: str, message: str) -> None:
    [(asset, values)] = parse_settings([pair])[0].items()
    assert refusal(Lab(load_profile("demo")).with_overrides, asset, values) == message


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        ("profile.source=yahoo", "profile demo: source: 'yahoo' is not a mapping of names; write it as {name: value}."),
        ("profile.source={path: x}", "profile demo: source {'path': 'x'} has no name; "
         "write it as {name: files, path: DIR}."),
        ("profile.train_years=-3", "profile demo: train_years is -3; wanted at least 1."),
        ("profile.start=1950-01", "profile demo: start 1950-01 is outside the trading calendar; wanted a month from "
         "2000-01 to 2035-12."),
        ("profile.first_fold=99999", "profile demo: first_fold 99999 is after the trading calendar, which ends "
         "2035-12-31; give an earlier year."),
        ("profile.encoder=1", "profile demo: encoder: 1 is not a truth value; write true or false."),
    ],
)  # fmt: skip
def test_what_a_wrong_profile_entry_is_told(pair: str, message: str) -> None:
    assert refusal(load_profile, "demo", parse_settings([pair])[1]) == message


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("presets={targetweights: {top_n: 3}}", "presets: asset 'targetweights' is unknown; known: .*target_weights"),
        ("quality={nope: 1}", "quality: nope is not a setting; known: max_bad_bar_share"),
        ("drift={nope: 1}", "drift: nope is not a setting"),
        ("liquidity={top_n: few}", "liquidity.top_n: 'few' is not a whole number"),
        ("strategies=[nope]", "strategy 'nope' is unknown; known: .*equal_weight"),
    ],
)
def test_settings_inside_a_profile_are_checked_before_anything_runs(entry: str, message: str) -> None:
    lab = Lab(load_profile("demo", parse_settings([f"profile.{entry}"])[1]))
    with pytest.raises(QuantError, match=message):
        check_overrides(lab, {})


def test_presets_of_an_asset_that_the_profile_leaves_out_are_no_mistake() -> None:
    check_overrides(Lab(load_profile("demo", {"models": ["boosting"], "regimes": [], "agents": []})), {})


def test_a_list_of_the_files_source_that_is_a_word_is_refused() -> None:
    lab = Lab(load_profile("demo", SOURCES["files"]))
    said = refusal(lab.with_overrides, "raw_ohlcv", {"series": "EQ"})
    assert said == "raw_ohlcv.series: 'EQ' is not a list; write it in brackets, e.g. [EQ]."
    for pattern, message in (("(", "is no regular expression"), ("^.*$", "has no group (?P<ticker>...)")):
        assert message in refusal(lab.with_overrides, "raw_ohlcv", {"ticker_pattern": pattern})


def test_a_value_comes_out_in_the_type_of_its_setting() -> None:
    assert fitting(5, float, "x") == 5.0
    assert isinstance(fitting(5, float, "x"), float)
    assert fitting("1e-3", float | None, "x") == 0.001  # YAML takes a number without a point for text
    assert fitting([1, 2], tuple[int, ...], "x") == (1, 2)
    assert fitting([[1, 2]], tuple[tuple[int, float], ...], "x") == ((1, 2.0),)
    assert fitting("2020-02-29", date | None, "x") == date(2020, 2, 29)
    with pytest.raises(DataError, match="a list of 2; give as many"):
        fitting([1, 2, 3], tuple[int, float], "x")
