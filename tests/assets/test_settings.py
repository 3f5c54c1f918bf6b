"""Profiles and run configuration: one definition of each setting, unknown keys fail, values keep their kind."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pytest

from quant_assets.assembly import build_definitions
from quant_assets.commands.terminal import parse_settings
from quant_assets.config import core_settings
from quant_assets.lab import Lab
from quant_assets.profile import load_profile, profile_names, source_override
from quant_core.allocation import AllocationConfig
from quant_core.allocation.learning.env_config import EnvConfig
from quant_core.allocation.learning.environment import PortfolioEnv
from quant_core.allocation.learning.planted import planted_stage
from quant_core.allocation.learning.stage import Stage
from quant_core.errors import DataError, UnknownName


def test_every_shipped_profile_gives_every_asset_valid_settings() -> None:
    assert {"demo", "nifty50", "nifty500", "indian_market"} <= set(profile_names())
    for name in profile_names():
        lab = Lab(load_profile(name))
        for asset in lab.settings_classes:
            assert core_settings(lab.settings_classes[asset], lab.config(asset)()) == lab.defaults(asset)


def test_a_profiles_preset_is_the_launchpads_default_and_a_run_may_replace_it() -> None:
    lab = Lab(load_profile("nifty500"))
    config = lab.config("target_weights")
    assert core_settings(AllocationConfig, config()).top_n == 20
    assert core_settings(AllocationConfig, config(top_n=7)).top_n == 7


@pytest.mark.parametrize("agent", ["ppo", "sac", "ppo_blind"])
def test_the_plans_penalties_are_a_preset_and_cost_what_they_say(agent: str) -> None:
    """0.5 of every deepening of the drawdown, 0.1 of the turnover beyond 1 + 12.6 / 252 a session."""
    config = Lab(load_profile("nifty50", {"model_size": "plan"})).defaults(f"rl_policy_{agent}")
    assert (config.lambda_drawdown, config.lambda_turnover, config.turnover_budget) == (0.5, 0.1, 12.6)
    assert (config.reward, config.sharpe_decay) == ("differential_sharpe", 0.01)
    own = Lab(load_profile("nifty50")).defaults(f"rl_policy_{agent}")
    assert (own.lambda_drawdown, own.lambda_turnover) == (0.0, 0.0)
    stage, rng = planted_stage("none", 0, sessions=120), np.random.default_rng(0)
    actions = rng.uniform(-1.0, 1.0, (15, 11))
    told, equity, turnover = played(stage, config, actions)
    plain, _, _ = played(stage, replace(config, lambda_drawdown=0.0, lambda_turnover=0.0), actions)
    drawdown = 1.0 - equity / np.maximum.accumulate(equity)
    spent, allowed = np.append(0.0, turnover.cumsum()), 1.0 + 12.6 / 252.0 * 5 * np.arange(1, 16)
    beyond = np.maximum(spent[1:] - np.maximum(allowed, spent[:-1]), 0.0)
    assert beyond.sum() > 0.1
    np.testing.assert_allclose(plain - told, 0.5 * np.maximum(np.diff(drawdown), 0.0) + 0.1 * beyond, atol=1e-9)


def played(stage: Stage, config: EnvConfig, actions: Any) -> tuple[Any, Any, Any]:
    """Rewards, equity with the capital before it, and one-way turnover of every step."""
    env = PortfolioEnv(stage, config)
    env.reset(options={"start": 0})
    steps = [env.step(action) for action in actions]
    equity = [stage.capital_inr, *(step[4]["equity"] for step in steps)]
    return np.array([step[1] for step in steps]), np.array(equity), np.array([step[4]["turnover"] for step in steps])


def test_an_unknown_setting_fails_in_the_launchpad_and_on_the_command_line() -> None:
    lab = Lab(load_profile("demo"))
    job = build_definitions(load_profile("demo")).resolve_job_def("refresh")
    with pytest.raises(dg.DagsterInvalidConfigError, match='Received unexpected config entry "top"'):
        dg.validate_run_config(job, {"ops": {"demo__target_weights": {"config": {"top": 7}}}})
    with pytest.raises(DataError, match=r"target_weights: top is not a setting; known: .*top_n"):
        lab.with_overrides("target_weights", {"top": 7})
    with pytest.raises(UnknownName, match="targets"):
        lab.with_overrides("targets", {"top_n": 7})


def test_another_source_gets_its_own_prefix_so_that_two_sources_never_mix(tmp_path: Path) -> None:
    own = load_profile("nifty50")
    other = load_profile("nifty50", source_override("files", str(tmp_path)))
    assert (own.name, other.name) == ("nifty50", "nifty50_files")
    assert other.source == {"name": "files", "path": str(tmp_path)}


def test_own_files_through_the_demo_are_described_as_what_they_are(tmp_path: Path) -> None:
    (tmp_path / "AAA.csv").write_text("date,open,high,low,close\n2020-01-01,1,2,1,2\n")
    own, demo = load_profile("demo", source_override("files", str(tmp_path))), load_profile("demo")
    assert own.description == (
        f"Prices of the source files in {tmp_path}, with the universe, dates and settings of the profile demo."
    )
    assert (Lab(own).universe_name, Lab(own).universe().description) == ("all", "every stock that the source has")
    assert Lab(own).membership() is None
    assert "simulated" in demo.description
    assert (Lab(demo).universe_name, Lab(demo).universe().name) == ("simulated", "simulated")
    assert load_profile("nifty50", source_override("files", "x")).universe == "nifty50"


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"first_fold": "2012"}, r"fold 2012 needs 5 full years before it.*first_fold 2015"),
        ({"colour": "red"}, r"\['colour'\] are not profile entries"),
        ({"train_years": "many"}, r"train_years: 'many' is not a whole number"),
    ],
)
def test_a_profile_that_cannot_work_is_refused_with_the_remedy(overrides: dict[str, str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        load_profile("nifty50", overrides)


def test_an_unknown_profile_lists_the_known_ones() -> None:
    with pytest.raises(UnknownName, match="known: demo, indian_market, nifty50, nifty500"):
        load_profile("nifty5000")


def test_set_pairs_are_read_as_yaml_and_profile_entries_told_apart() -> None:
    pairs = [
        "forecaster_ridge.alpha=1.5",
        "features.windows=[1, 5]",
        "raw_ohlcv.start=2018-01-01",
        "profile.start=2012-01",
    ]
    assets, profile = parse_settings(pairs)
    assert assets == {
        "forecaster_ridge": {"alpha": 1.5},
        "features": {"windows": [1, 5]},
        "raw_ohlcv": {"start": "2018-01-01"},
    }
    assert profile == {"start": "2012-01"}


def test_a_profile_names_its_models_and_strategies_also_on_the_command_line() -> None:
    chosen = load_profile("demo", {"models": "[ridge]", "strategies": ["equal_weight", "momentum"]})
    assert (chosen.models, chosen.strategies) == (("ridge",), ("equal_weight", "momentum"))
    assert Lab(chosen).models == ("ridge",)
    assert Lab(chosen).defaults("target_weights").strategies == ("equal_weight", "momentum")
    assert "ridge" in Lab(load_profile("demo")).models
    with pytest.raises(UnknownName, match="rigde"):
        _ = Lab(load_profile("demo", {"models": ["rigde"]})).models
    for wrong, message in (
        ("ridge", r"models: 'ridge' is not a list; write it in brackets, e\.g\. \[ridge\]"),
        ("[ridge, ridge]", "wanted a list of different names"),
        ("[1]", "models: .* is not a list of which each is text"),
    ):
        with pytest.raises(DataError, match=message):
            load_profile("demo", {"models": wrong})
    with pytest.raises(DataError, match="encoder: 'perhaps' is not a truth value; write true or false"):
        load_profile("demo", {"encoder": "perhaps"})
    with pytest.raises(DataError, match="fold_cadence: 'month' is not one of year, quarter; choose one"):
        load_profile("demo", {"fold_cadence": "month"})


@pytest.mark.parametrize("pair", ["alpha=1", "forecaster_ridge.alpha", "=1", ".x=1"])
def test_a_set_pair_of_another_form_is_refused(pair: str) -> None:
    with pytest.raises(DataError, match=r"ASSET\.SETTING=VALUE"):
        parse_settings([pair])


def test_written_out_defaults_are_no_change_and_a_changed_setting_is_found_at_any_depth() -> None:
    lab = Lab(load_profile("demo"))
    written_out = lab.config("forecaster_ridge")().model_dump()
    assert lab.changed_settings("forecaster_ridge", {"ops": {"ridge__train": {"config": written_out}}}) == {}
    assert lab.changed_settings(
        "forecaster_ridge", {"ops": {"ridge__train": {"config": written_out | {"alpha": 2.0}}}}
    ) == {"alpha": 2.0}
    assert lab.changed_settings("target_weights", {"config": {"top_n": 5}}) == {}
    assert lab.changed_settings("backtest_report", {}) == {}
