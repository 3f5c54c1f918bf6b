"""The asset graph as a whole: what there is, what feeds what, how it is partitioned; a change changes the design."""

from dataclasses import replace

import dagster as dg
import pytest

from quant_assets.assembly import build_definitions
from quant_assets.fitting import pool_and_tags
from quant_assets.lab import Lab
from quant_assets.profile import load_profile, profile_names
from quant_core.errors import UnknownName
from quant_core.runtime import Resources

GRAPH = {
    # asset: (group, partitions, upstream)
    "raw_ohlcv": ("market_data", "months", set()),
    "clean_prices": ("market_data", "months", {"raw_ohlcv"}),
    "features": ("features", "months", {"clean_prices"}),
    "training_window": ("training", "folds", {"features", "clean_prices"}),
    "forecaster_ridge": ("models", "folds", {"training_window", "features"}),
    "forecasts_ridge": ("signals", "months", {"features", "forecaster_ridge"}),
    "book_settings": ("signals", "folds", {"clean_prices", "forecaster_ridge"}),
    "target_weights": ("signals", "months", {"clean_prices", "forecasts_ridge", "book_settings"}),
    "backtest": ("evaluation", "folds", {"clean_prices", "target_weights", "features", "forecasts_ridge"}),
    "forecast_quality": ("evaluation", "folds", {"clean_prices", "features", "forecasts_ridge"}),
    "forecast_comparison": ("evaluation", "folds", {"clean_prices", "features", "forecasts_ridge"}),
    "backtest_report": (
        "evaluation",
        "folds",
        {"backtest", "forecast_quality", "forecast_comparison", "forecaster_ridge"},
    ),
    "trial": ("experiments", "trials", {"clean_prices", "features", "training_window"}),
    "leaderboard": ("experiments", "none", {"trial", "backtest"}),
    "signals": ("signals", "months", {"clean_prices", "target_weights", "forecasts_ridge", "backtest"}),
}
#: Of a profile with an encoder, which a trial's forecaster may begin with.
WITH_ENCODER = {"trial": ("experiments", "trials", {"clean_prices", "features", "training_window", "encoder"})}


RIDGE_ALONE = {"models": "[ridge]", "regimes": "[]", "agents": "[]", "encoder": "false"}


@pytest.fixture(scope="module")
def definitions() -> dg.Definitions:
    return build_definitions(load_profile("nifty50", RIDGE_ALONE))


def described(definitions: dg.Definitions) -> dict[str, tuple[str, str, set[str]]]:
    """Asset -> group, partitions, upstream."""
    graph, found = definitions.resolve_asset_graph(), {}
    for key in graph.get_all_asset_keys():
        node = graph.get(key)
        parents = {parent.path[-1] for parent in node.parent_keys}
        found[key.path[-1]] = (node.group_name, kind_of(node.partitions_def), parents)
    return found


def kind_of(partitions: dg.PartitionsDefinition | None) -> str:
    if partitions is None:
        return "none"
    if isinstance(partitions, dg.DynamicPartitionsDefinition):
        return "trials"
    return "months" if isinstance(partitions, dg.MonthlyPartitionsDefinition) else "folds"


def test_the_graph_is_the_designed_one(definitions: dg.Definitions) -> None:
    assert described(definitions) == GRAPH


def test_a_profile_has_an_encoder_where_it_says_so_or_a_model_begins_with_one() -> None:
    own = {"encoder": ("representation", "folds", {"features"}),
           "embeddings": ("representation", "months", {"features", "encoder"})}  # fmt: skip
    wanted = build_definitions(load_profile("nifty50", RIDGE_ALONE | {"encoder": "true"}))
    assert described(wanted) == GRAPH | own | WITH_ENCODER
    model = RIDGE_ALONE | {"models": "[transformer_pretrained]"}
    found = described(build_definitions(load_profile("nifty50", model)))
    assert {name: found[name] for name in own} == own
    assert found["forecaster_transformer_pretrained"][2] == {"training_window", "features", "encoder"}
    method = RIDGE_ALONE | {"regimes": "[hmm, gmm_embeddings]"}
    assert {name: described(build_definitions(load_profile("nifty50", method)))[name] for name in own} == own


def test_agents_learn_on_forecasts_regimes_embeddings_and_a_book_and_are_tested_beside_the_others() -> None:
    wanted = RIDGE_ALONE | {"regimes": "[hmm]", "agents": "[ppo, ppo_blind]", "encoder": "true"}
    found = described(build_definitions(load_profile("nifty50", wanted)))
    seen = {"clean_prices", "target_weights", "forecasts_ridge", "regimes", "features", "encoder"}
    for agent in ("ppo", "ppo_blind"):
        assert found[f"rl_policy_{agent}"] == ("agents", "folds", seen)
        assert found[f"weights_{agent}"] == ("agents", "months", seen | {f"rl_policy_{agent}"})
    books = {"clean_prices", "target_weights", "regimes", "weights_ppo", "weights_ppo_blind"}
    policies = {"rl_policy_ppo", "rl_policy_ppo_blind"}
    assert found["rl_evaluation"] == ("evaluation", "folds", books | policies)
    for reader in ("backtest", "signals"):
        assert {"weights_ppo", "weights_ppo_blind"} <= found[reader][2]


def test_a_blind_agent_is_its_seeing_one_but_for_the_regimes() -> None:
    lab = Lab(load_profile("nifty50", {"agents": "[ppo, ppo_blind]", "presets": {"rl_policy_ppo": {"gamma": 0.5}}}))
    seeing, blind = lab.defaults("rl_policy_ppo"), lab.defaults("rl_policy_ppo_blind")
    assert (seeing.gamma, blind.gamma) == (0.5, 0.5)
    assert replace(blind, regime_aware=True) == seeing
    assert Lab(load_profile("nifty50", RIDGE_ALONE | {"agents": "[ppo, ppo_blind]"})).agents == ("ppo",)
    with pytest.raises(UnknownName, match="ddpg"):
        build_definitions(load_profile("nifty50", RIDGE_ALONE | {"agents": "[ddpg]"}))


def test_a_profile_with_regimes_trades_and_reports_by_them() -> None:
    found = described(build_definitions(load_profile("nifty50", RIDGE_ALONE | {"regimes": "[hmm]"})))
    assert {name: node for name, node in found.items() if name not in GRAPH} == {
        "regime_model": ("regimes", "folds", {"clean_prices"}),
        "regimes": ("regimes", "months", {"clean_prices", "regime_model"}),
        "regime_history": ("regimes", "folds", {"clean_prices", "regime_model"}),
        "regime_books": ("regimes", "folds", {"clean_prices", "regime_model"}),
        "regime_quality": ("evaluation", "folds", {"clean_prices", "regime_model", "regimes"}),
    }
    readers = {name for name, node in found.items() if "regimes" in node[2]}
    assert readers == {"target_weights", "backtest", "forecast_quality", "regime_quality", "signals"}


def test_nothing_reads_what_is_known_in_hindsight() -> None:
    for name in profile_names():
        for asset, node in described(build_definitions(load_profile(name))).items():
            assert "regime_history" not in node[2], asset


def test_months_backfill_in_one_run_and_folds_one_by_one(definitions: dg.Definitions) -> None:
    graph = definitions.resolve_asset_graph()
    for key in graph.get_all_asset_keys():
        single = graph.get(key).backfill_policy == dg.BackfillPolicy.single_run()
        is_table = GRAPH[key.path[-1]][1] == "months" and key.path[-1] != "signals"  # which is a page of one month
        assert single == is_table, key


def test_blocking_checks_guard_every_table(definitions: dg.Definitions) -> None:
    graph = definitions.resolve_asset_graph()
    checks = {(key.asset_key.path[-1], key.name): graph.get(key).blocking for key in graph.asset_check_keys}
    tables = set(GRAPH) - {"forecaster_ridge", "trial", "leaderboard"}  # these two validate what they make
    contracts = {(asset, "contract"): True for asset in tables}
    assert checks == contracts | {
        **{(asset, "fresh"): False for asset in ("raw_ohlcv", "clean_prices", "features")},
        ("clean_prices", "actions_resolved"): True,
        ("clean_prices", "index_present"): False,
        ("clean_prices", "quality"): False,
        ("clean_prices", "rows_consistent"): True,
        ("clean_prices", "sessions_complete"): False,
        ("features", "causality_sample"): True,
        ("features", "drift"): False,
        ("forecasts_ridge", "scored"): False,
        ("target_weights", "feasible"): True,
        ("target_weights", "members_priced"): True,
        ("target_weights", "strategies_decided"): False,
        ("backtest", "accounting"): True,
    }


def test_every_check_is_partitioned_as_its_asset_is(definitions: dg.Definitions) -> None:
    graph = definitions.resolve_asset_graph()
    for key in graph.asset_check_keys:
        assert graph.get(key).partitions_def == graph.get(key.asset_key).partitions_def, key
        assert graph.get(key).description, key


def test_training_is_two_ops_whose_train_step_holds_a_pool_and_resource_tags(definitions: dg.Definitions) -> None:
    asset = definitions.resolve_assets_def(dg.AssetKey(["nifty50", "forecaster_ridge"]))
    ops = {op.name: op for op in asset.node_def.iterate_op_defs()}
    assert set(ops) == {"ridge__train", "ridge__publish"}
    assert ops["ridge__train"].pool == "cpu_training"
    assert "dagster-k8s/config" in ops["ridge__train"].tags


def test_a_fit_for_a_gpu_waits_in_its_pool_and_asks_a_cluster_for_one() -> None:
    pool, tags = pool_and_tags(Resources(gpu=True, cpu_cores=4, memory_gib=16))
    assert pool == "gpu"
    assert tags["dagster-k8s/config"]["container_config"]["resources"] == {
        "requests": {"cpu": "4", "memory": "16Gi"}, "limits": {"nvidia.com/gpu": "1"},
    }  # fmt: skip
    assert tags["dagster-ray/config"] == {"num_cpus": 4, "num_gpus": 1}
    pool, tags = pool_and_tags(Resources())
    assert (pool, tags["dagster-ray/config"]) == ("cpu_training", {"num_cpus": 1})


@pytest.mark.slow
def test_every_asset_says_what_it_is_and_every_profile_has_its_own_keys() -> None:
    seen: set[str] = set()
    for name in profile_names():
        graph = build_definitions(load_profile(name, RIDGE_ALONE)).resolve_asset_graph()
        for key in graph.get_all_asset_keys():
            assert key.path[0] == name
            assert graph.get(key).description, key
            seen.add(key.to_user_string())
    assert len(seen) == len(profile_names()) * len(GRAPH)
