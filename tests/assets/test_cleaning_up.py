"""`quant clean` says what would go, takes what nobody needs, and leaves what is stored, current or promoted."""

import os
import shutil
import time
from collections import Counter
from datetime import timedelta
from pathlib import Path

import dagster as dg
import pytest
from lab_process import lab_environment, quant_here
from small_lab import COMMAND, SmallLab

from quant_assets.upkeep.cleaning_up import making_runs, removable

DAY = 86400.0


def put(path: Path, days_ago: float, text: str = "x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    for one in (path, path.parent):
        os.utime(one, (time.time() - days_ago * DAY,) * 2)
    return path


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("QUANT_DATA", str(tmp_path / "data"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return tmp_path / "data"


def kinds(days: int = 30) -> dict[str, list[str]]:
    with dg.instance_for_test() as instance:
        found: dict[str, list[str]] = {}
        for item in removable(instance, timedelta(days=days)):
            found.setdefault(item.kind, []).append(item.name)
            item.remove()
    return found


def test_each_kind_goes_when_it_is_old_and_everything_else_stays(data: Path) -> None:
    stays = [
        put(data / "demo/raw_ohlcv/.2020-01.parquet.ab.tmp", 0.1),
        put(data / ".scratch/new/op/table.parquet", 0.1),
        put(data / ".checkpoints/demo/forecaster_gru/2021/state.safetensors", 10),
        put(data / "demo/backtest/2020.json", 400, '{"folder": "2020-0123456789ab", "files": ["a"]}'),
        put(data / "demo/backtest/2020-0123456789ab/a", 400),
        put(data / "demo/raw_ohlcv/.former/2020-01.parquet", 400),
        put(data / "demo/trials/2020-ffffffffffff/a", 400),
    ]
    goes = [
        put(data / "demo/raw_ohlcv/.2020-02.parquet.ab.tmp", 2),
        put(data / ".scratch/old/table.parquet", 2),
        put(data / ".checkpoints/demo/forecaster_gru/2020/state.safetensors", 40),
        put(data / ".as_of/2026-01-01/state", 40),
        put(data / "demo/backtest/2020-ffffffffffff/a", 2),
    ]
    assert kinds() == {
        "temporary files": ["demo/raw_ohlcv/.2020-02.parquet.ab.tmp"],
        "values between ops": [".scratch/old"],
        "checkpoints": [".checkpoints/demo/forecaster_gru/2020"],
        "--as-of places": [".as_of/2026-01-01"],
        "superseded artifacts": ["demo/backtest/2020-ffffffffffff"],
    }
    assert [path for path in goes if path.exists()] == []
    assert [path for path in stays if not path.exists()] == []
    assert kinds() == {}


@dg.asset(partitions_def=dg.StaticPartitionsDefinition(["a", "b"]))
def made() -> None: ...


def test_a_run_stays_while_it_made_what_is_shown_as_stored(data: Path) -> None:
    data.mkdir()
    with dg.instance_for_test() as instance:
        old = dg.materialize([made], instance=instance, partition_key="a").run_id
        of_b = dg.materialize([made], instance=instance, partition_key="b").run_id
        new = dg.materialize([made], instance=instance, partition_key="a").run_id
        assert making_runs(instance) == {of_b, new}
        assert [*removable(instance, timedelta(days=30))] == []
        (item,) = removable(instance, timedelta(days=30), now=time.time() + 31 * DAY)
        assert item.kind == "Dagster runs"
        assert item.name == f"__ephemeral_asset_job__ {old[:8]}"
        item.remove()
        assert {run.run_id for run in instance.get_runs()} == {of_b, new}
        assert instance.get_materialized_partitions(dg.AssetKey("made")) == {"a", "b"}


@pytest.mark.slow
def test_the_models_of_today_stay_and_those_of_before_go(small_lab: SmallLab, tmp_path: Path) -> None:
    from mlflow import MlflowClient

    shutil.copytree(small_lab.folder, tmp_path, dirs_exist_ok=True)
    moved = quant_here(["backup", str(tmp_path / "lab.tar")], small_lab.environment)  # MLflow names its folder
    assert moved.returncode == 0, moved.stderr
    for name in ("data", "home"):
        shutil.rmtree(tmp_path / name)
    lab = SmallLab(tmp_path, lab_environment(tmp_path))
    assert quant_here(["restore", str(tmp_path / "lab.tar")], lab.environment).returncode == 0
    refit = [*COMMAND, "--set", "forecaster_ridge.alpha=3", "--stages", "forecaster_ridge"]
    assert quant_here(refit, lab.environment).returncode == 0
    before = lab.hashes()
    with pytest.MonkeyPatch.context() as patch:
        for name in ("QUANT_DATA", "DAGSTER_HOME"):
            patch.setenv(name, lab.environment[name])
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        uri = f"sqlite:///{lab.data}/mlflow/mlflow.db"
        client = MlflowClient(tracking_uri=uri, registry_uri=uri)
        (model,) = client.search_registered_models()
        assert str(model.aliases["current"]) == "2"
        with dg.DagsterInstance.from_config(lab.environment["DAGSTER_HOME"]) as instance:
            items = [*removable(instance, timedelta(days=1), now=time.time() + 2 * DAY)]
            counted = Counter(item.kind for item in items)
            assert counted["MLflow runs"] >= 1
            assert counted["Dagster runs"] >= 1
            for item in items:
                assert item.size_bytes > 0
                item.remove()
            assert making_runs(instance) <= {run.run_id for run in instance.get_runs()}
        (model,) = client.search_registered_models()
        assert str(model.aliases["current"]) == "2"
        assert [str(one.version) for one in client.search_model_versions("name='demo.forecaster_ridge.2020'")] == ["2"]
    assert lab.hashes() == before
    nothing = quant_here(["clean", "--older-than", "1", "--dry-run"], lab.environment)
    assert "nothing to remove of 1 days or more" in nothing.stdout


def test_a_dry_run_removes_nothing(data: Path, tmp_path: Path) -> None:
    environment = lab_environment(tmp_path)
    old = put(data / ".as_of/2026-01-01/state", 40, "x" * 2048)
    said = quant_here(["clean", "--dry-run"], environment)
    assert said.returncode == 0, said.stderr
    assert "--as-of places: 1, 2 KiB (.as_of/2026-01-01)" in said.stdout
    assert "would remove 1 thing, 2 KiB" in said.stdout
    assert old.exists()
    done = quant_here(["clean", "--yes"], environment)
    assert "removed 1 thing, 2 KiB" in done.stdout
    assert not old.exists()
