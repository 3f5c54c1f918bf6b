"""Several forecasters, an encoder and their ensemble in one lab; a training that is killed and goes on."""

import shutil
import signal
import subprocess
import time
from pathlib import Path

import polars as pl
import pytest
from lab_process import QUANT, ROOT, lab_environment, quant_here
from small_lab import COMMAND, SmallLab
from upath import UPath

from quant_assets.storage.partition_files import read_artifact
from quant_core.fitted import Fitted
from quant_core.forecasting.ensemble import rank_average
from quant_core.schema import QUANTILE_COLUMNS

pytestmark = pytest.mark.slow

MODELS = ("ridge", "gru", "transformer_pretrained")
SEVERAL = [*COMMAND, "--set", f"profile.models=[{', '.join(MODELS)}, ensemble]"]
#: A training that lasts long enough to be killed in.
LONG = [*SEVERAL, "--set", "forecaster_gru.epochs=12", "--set", "forecaster_gru.patience=null"]
ASSETS = [
    f"{kind}_{name}" for name in ("gru", "transformer_pretrained", "ensemble") for kind in ("forecaster", "forecasts")
]


def copy_of(lab: SmallLab, folder: Path) -> SmallLab:
    shutil.copytree(lab.folder, folder, dirs_exist_ok=True)
    return SmallLab(folder, lab_environment(folder))


def run(lab: SmallLab, command: list[str]) -> str:
    done = quant_here(command, lab.environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def several(small_lab: SmallLab, tmp_path_factory: pytest.TempPathFactory) -> SmallLab:
    lab = copy_of(small_lab, tmp_path_factory.mktemp("several"))
    run(lab, SEVERAL)
    return lab


def forecasts(lab: SmallLab, model: str) -> pl.DataFrame:
    return pl.read_parquet(lab.data / "demo" / f"forecasts_{model}" / "2020-02.parquet")


def test_models_that_join_leave_the_others_as_they_were(several: SmallLab, small_lab: SmallLab) -> None:
    before, now = small_lab.hashes(), several.hashes()
    after = ("target_weights", "backtest", "backtest_report", "forecast_quality", "forecast_comparison", "signals")
    assert {name: now[name] for name in before if not name.startswith(after)}.items() <= before.items()
    assert {name.split("/")[0] for name in now} - {name.split("/")[0] for name in before} == {
        "encoder", "embeddings", *ASSETS
    }  # fmt: skip


def fitted(lab: SmallLab, model: str) -> Fitted:
    return Fitted.from_bytes(read_artifact(UPath(lab.data / "demo" / f"forecaster_{model}" / "2020.json")))


def test_the_ensemble_is_the_mean_of_its_members_ranks_and_says_quantiles_that_do_not_cross(several: SmallLab) -> None:
    weights = fitted(several, "ensemble").manifest.facts["weights"]
    assert set(weights) <= set(MODELS)
    members = pl.concat([forecasts(several, name) for name in MODELS])
    found = forecasts(several, "ensemble")
    wanted = rank_average(members, sorted(weights), weights)
    assert found.select("date", "ticker", "score").equals(wanted)
    quantiles = found.select(QUANTILE_COLUMNS).drop_nulls().to_numpy()
    assert len(quantiles) == found.height > 100
    assert (quantiles[:, 1:] >= quantiles[:, :-1]).all()


def test_every_forecaster_kept_what_it_said_of_its_validation_slice(several: SmallLab) -> None:
    for name in (*MODELS, "ensemble"):
        said = fitted(several, name).validation
        assert said.height > 100
        assert said["date"].max() <= fitted(several, name).manifest.fit_end  # type: ignore[operator]


def test_a_killed_training_goes_on_from_its_last_epoch_to_the_same_bytes(several: SmallLab, tmp_path: Path) -> None:
    whole, killed = (copy_of(several, folder) for folder in (tmp_path / "whole", tmp_path / "killed"))
    command = [*LONG, "--stages", "forecaster_gru"]
    run(whole, command)
    folder = killed.data / ".checkpoints" / "demo" / "forecaster_gru" / "2020"
    process = subprocess.Popen(
        [*QUANT, *command], env=killed.environment, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while process.poll() is None and not list(folder.glob("*.safetensors")):
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "the training was over before it could be killed"
    assert killed.hashes() == several.hashes()  # the former model still stands
    run(killed, command)
    assert killed.hashes()["forecaster_gru/2020"] == whole.hashes()["forecaster_gru/2020"]
    assert not folder.exists()
