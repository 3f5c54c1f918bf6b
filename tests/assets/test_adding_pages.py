"""The pages about models, regime methods and agents are followed to the letter in a copy of the source."""

import os
import re
import shutil
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import ModuleType

import dagster as dg
import pytest
from lab_process import ROOT, lab_environment, quant_here, run_quant
from small_lab import COMMAND, SmallLab

from quant_core.allocation.learning.agent import AGENTS
from quant_core.allocation.learning.planted import planted_stage
from quant_core.allocation.learning.policy import policies_of
from quant_core.allocation.learning.walk import walk

PAGES = {
    "adding-a-model": "quant_core/forecasting/models/last_five.py",
    "adding-a-regime-model": "quant_core/regimes/models/drawdown.py",
    "adding-an-agent": "quant_core/allocation/learning/agents/a2c.py",
}
#: The small lab has one model and no regimes; the pages say how to name others.
BOTH = [
    *COMMAND, "--set", "profile.models=[ridge,last_five]", "--set", "profile.regimes=[drawdown]",
    "--set", "profile.regime_method=drawdown", "--set", "profile.agents=[a2c]",
]  # fmt: skip
MINE = {
    "forecaster_last_five", "forecasts_last_five", "book_settings", "target_weights", "backtest", "backtest_report",
    "forecast_quality", "forecast_comparison",
    "regime_model", "regimes", "regime_history", "regime_books", "regime_quality", "rl_policy_a2c",
    "weights_a2c", "rl_evaluation", "signals",
}  # fmt: skip


def follow(page: str, file: str, source: Path) -> None:
    """Save the page's first block where it says, and append its second one to the assembly."""
    text = (ROOT / "docs" / f"{page}.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    assert f"`{file}`" in text
    (source / file).write_text(blocks[0])
    assembly = source / "quant_assets" / "assembly.py"
    for lines in blocks[1:]:
        assembly.write_text(assembly.read_text() + "\n" + lines)


def copied_if_there(source: str, target: str) -> None:
    """Copy a file; another worker may be writing caches, whose temporary names vanish."""
    with suppress(FileNotFoundError):
        shutil.copy2(source, target)


@pytest.fixture(scope="module")
def followed(small_lab: SmallLab, tmp_path_factory: pytest.TempPathFactory) -> SmallLab:
    """A copy of the small lab, and of the source with what the three pages add, run to the end."""
    folder = tmp_path_factory.mktemp("followed")
    shutil.copytree(small_lab.folder, folder, dirs_exist_ok=True)
    for package in ("quant_core", "quant_assets"):  # compiled kernels go along
        shutil.copytree(ROOT / package, folder / "source" / package, copy_function=copied_if_there)
    for page, file in PAGES.items():
        follow(page, file, folder / "source")
    path = os.pathsep.join([str(folder / "source"), os.environ.get("PYTHONPATH", "")])
    lab = SmallLab(folder, lab_environment(folder) | {"PYTHONPATH": path, "PYTHONSAFEPATH": "1"})
    done = run_quant(BOTH, lab.environment, timeout_s=600)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = {line.split()[1]: line for line in done.stdout.splitlines() if line.startswith("✓")}
    assert {name for name, line in lines.items() if "to do" in line} == MINE, done.stdout
    return lab


def metadata(lab: SmallLab, asset: str) -> Mapping[str, dg.MetadataValue]:
    with dg.DagsterInstance.from_config(lab.environment["DAGSTER_HOME"]) as instance:
        event = instance.get_latest_materialization_event(dg.AssetKey(["demo", asset]))
    assert event is not None
    assert event.asset_materialization is not None
    return event.asset_materialization.metadata


@pytest.mark.slow
def test_what_training_had_to_say_is_on_the_page_of_the_asset(followed: SmallLab) -> None:
    for asset in ("forecaster_last_five", "regime_model", "rl_policy_a2c"):
        seen = metadata(followed, asset)
        assert seen["device"].value == "cpu"
        assert seen["seconds"].value > 0  # type: ignore[operator]
        assert seen["process_peak_memory_gib"].value > 0  # type: ignore[operator]
        assert "/#/experiments/" in str(seen["mlflow_run"].value)
        assert str(seen["fit_end"].value) < "2020-01-01"
    assert "3 are wanted" in metadata(followed, "rl_policy_a2c")["facts"].value["refused"]  # type: ignore[index]
    assert "importance" in metadata(followed, "forecaster_ridge")


@pytest.mark.slow
def test_the_pages_agent_learns_and_acts_for_another_number_of_names(monkeypatch: pytest.MonkeyPatch) -> None:
    text = (ROOT / "docs" / "adding-an-agent.md").read_text()
    AGENTS.load()
    monkeypatch.setattr(AGENTS, "_entries", dict(AGENTS._entries))  # the page's agent is gone after this test
    made = ModuleType("a2c")
    monkeypatch.setitem(sys.modules, "a2c", made)
    exec(re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)[0], vars(made))
    market, other = planted_stage("signal", 0, sessions=400, names=5), planted_stage("signal", 1, sessions=80, names=7)
    days = market.sessions
    train, validation = market.between(days[0], days[249]), market.between(days[250], days[-1])
    config = AGENTS["a2c"].config_class(total_steps=64, eval_every=32, n_envs=2, n_steps=8, n_seeds=1)
    fitted = AGENTS["a2c"].train(train, validation, config, lambda epoch, values: None)
    assert fitted.curve.height >= 2
    assert walk(policies_of(fitted), other, config)["mean"].shape[1] == 7


@pytest.mark.slow
def test_the_models_books_are_traded_and_reported(followed: SmallLab) -> None:
    (report,) = (followed.data / "demo" / "backtest_report").glob("2020-*/report.html")
    assert "top_n_last_five" in report.read_text()


@pytest.mark.slow
def test_a_month_alone_equals_the_range(followed: SmallLab) -> None:
    before = followed.hashes()
    made = ("forecasts_last_five", "regimes", "target_weights")
    for asset in made:
        (followed.data / "demo" / asset / "2020-02.parquet").unlink()
    done = run_quant([*BOTH, "--stages", ",".join(made)], followed.environment)
    assert done.returncode == 0, done.stdout + done.stderr
    for asset in made:
        assert re.search(rf"{asset}\s.*1 to do", done.stdout), done.stdout
    assert followed.hashes() == before


@pytest.mark.slow
def test_a_profile_without_the_model_neither_trains_nor_shows_it(followed: SmallLab, small_lab: SmallLab) -> None:
    (followed.data / "demo" / "forecaster_last_five" / "2020.json").unlink()
    done = run_quant(COMMAND, followed.environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "last_five" not in done.stdout
    reference = small_lab.hashes()
    kept = {name: value for name, value in followed.hashes().items() if name in reference}
    # The register of trials remembers the other book, and the gate counts it.
    kept.pop("backtest_report/2020"), kept.pop("backtest/2020"), kept.pop("signals/2020-02")
    assert kept.items() <= reference.items()
    (report,) = [
        path for path in (followed.data / "demo" / "backtest_report").glob("2020-*/report.html")
        if "top_n_last_five" not in path.read_text()
    ][-1:]  # fmt: skip
    assert report.is_file()


@pytest.mark.slow
def test_a_model_that_is_not_registered_is_named_before_anything_runs(small_lab: SmallLab) -> None:
    done = quant_here([*COMMAND, "--set", "profile.models=[rigde]"], small_lab.environment)
    assert done.returncode == 1
    assert "rigde" in done.stderr
    assert "ridge" in done.stderr
