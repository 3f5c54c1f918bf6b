"""The promoted trial: what the lab reads of it, and the alias that it is a copy of."""

from pathlib import Path

import pytest
from upath import UPath

from quant_assets.experiments.promoted import (
    Promoted,
    aliased,
    demote,
    promote,
    promoted_path,
    read_promoted,
    write_promoted,
)
from quant_assets.experiments.trial_witness import changed_settings
from quant_assets.lab import Lab
from quant_assets.profile import load_profile
from quant_assets.tracking.mlflow_resource import EXPERIMENT, prepare_store, tracking_uri
from quant_core.errors import DataError

ONE = Promoted("forecaster=ridge,alpha=0.5", {"forecaster_ridge": {"alpha": 0.5}}, "top_n_ridge", "1")
TWO = Promoted("forecaster=ridge,top_n=9", {"target_weights": {"top_n": 9}}, "top_n_ridge", "2")


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    monkeypatch.setenv("QUANT_DATA", str(tmp_path / "data"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return Lab(load_profile("demo"))


def fresh(lab: Lab) -> Lab:
    return Lab(lab.profile)


@pytest.mark.slow
def test_its_settings_replace_the_profiles_and_count_as_changed(lab: Lab) -> None:
    plain = lab.defaults("forecaster_ridge"), lab.defaults("target_weights")
    code = lab.code("forecaster_ridge", test_its_settings_replace_the_profiles_and_count_as_changed)
    write_promoted(lab.root, "demo", ONE)
    promoted = fresh(lab)
    assert promoted.promoted == ONE
    assert promoted.defaults("forecaster_ridge").alpha == 0.5
    assert promoted.defaults("forecaster_ridge").horizon_sessions == plain[0].horizon_sessions
    assert promoted.defaults("target_weights") == plain[1]
    assert promoted.code("forecaster_ridge", test_its_settings_replace_the_profiles_and_count_as_changed) != code
    assert changed_settings(promoted, "backtest", {}, {})["promoted.forecaster_ridge.alpha"] == 0.5
    assert "promoted.forecaster_ridge.alpha" not in changed_settings(lab, "backtest", {}, {})
    write_promoted(lab.root, "demo", Promoted())
    assert fresh(lab).promoted == Promoted()
    assert fresh(lab).defaults("forecaster_ridge") == plain[0]


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"trial": "a"', '{"other": 1}', '{"settings": {"a": 3}}', '{"settings": 1}']
)
def test_an_edited_file_is_refused_by_its_name(lab: Lab, text: str) -> None:
    path = promoted_path(lab.root, "demo")
    path.parent.mkdir(parents=True)
    path.write_text(text)
    with pytest.raises(DataError, match=r"promoted\.json: not a promotion; write it again with `quant promote KEY`"):
        read_promoted(UPath(lab.root), "demo")


@pytest.fixture
def runs(lab: Lab) -> None:
    """A finished run of each trial."""
    from mlflow import MlflowClient

    prepare_store()
    client = MlflowClient(tracking_uri=tracking_uri())
    experiment = client.create_experiment(EXPERIMENT, artifact_location=f"{lab.root}/artifacts")
    for trial in (ONE.trial, TWO.trial):
        run = client.create_run(experiment, tags={"trial": trial, "profile": "demo"})
        client.set_terminated(run.info.run_id, "FINISHED")


@pytest.mark.slow
def test_the_alias_goes_forward_with_each_promotion_and_back_one_by_one(lab: Lab, runs: None) -> None:
    assert aliased("demo") == ""
    first = promote("demo", ONE, "hash of one", Promoted())
    second = promote("demo", TWO, "hash of two", first)
    assert (first, second) == (ONE, TWO)
    assert aliased("demo") == "2"
    assert demote("demo", second) == first
    assert aliased("demo") == "1"
    assert demote("demo", first) == Promoted()
    assert aliased("demo") == ""
    third = promote("demo", TWO, "hash of two", Promoted())
    assert (third.version, aliased("demo")) == ("3", "3")
    with pytest.raises(DataError, match="MLflow has no finished run of it"):
        promote("demo", Promoted("forecaster=ridge,seed=3"), "", third)
    assert aliased("demo") == "3"
