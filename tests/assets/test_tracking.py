"""A network through its two ops on handmade inputs: what MLflow keeps, what its page says, and loading by alias."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest

from quant_assets.assets.models import build
from quant_assets.lab import Lab
from quant_assets.profile import load_profile
from quant_assets.storage.table_files import read_table, table_files
from quant_assets.tracking.mlflow_resource import EXPERIMENT, mlflow_tracking, tracking_uri
from quant_assets.tracking.model_registry import load, registered_name
from quant_core.errors import DataError
from quant_core.fitted import ARRAYS_FILE, Fitted
from tests.core.forecasting.model_cases import FIRST, Case, case_of

ASSET, FOLD = "forecaster_gru", "2020"
TINY = {
    "horizon_sessions": 5, "d_model": 8, "layers": 1, "sequence_sessions": 4, "epochs": 2, "windows_per_epoch": 500,
    "batch_size": 128, "attribution": "integrated_gradients", "importance_dates": 8, "threads": 1,
}  # fmt: skip
PROFILE = {
    "start": "2018-01", "end": "2020-12", "first_fold": "2020", "train_years": "1", "models": "[gru]",
    "presets": {ASSET: TINY},
}  # fmt: skip
pytestmark = pytest.mark.slow


@dataclass
class Handmade(dg.IOManager):
    """Hands over inputs by their asset's name, and keeps what is published."""

    inputs: dict[str, Any]
    kept: dict[str, dict[str, bytes]] = field(default_factory=dict)
    between: dict[Any, Any] = field(default_factory=dict)

    def handle_output(self, context: dg.OutputContext, obj: Any) -> None:
        if context.has_asset_key:
            self.kept[context.asset_key.path[-1]] = obj
        else:
            self.between[context.step_key] = obj

    def load_input(self, context: dg.InputContext) -> Any:
        if context.has_asset_key and context.asset_key.path[-1] in self.inputs:
            return self.inputs[context.asset_key.path[-1]]
        return self.between[context.upstream_output.step_key]  # type: ignore[union-attr]


class Bench:
    """The forecaster's asset with all that it needs to be materialized."""

    def __init__(self, case: Case, instance: dg.DagsterInstance) -> None:
        self.lab, self.case, self.instance = Lab(load_profile("demo", PROFILE)), case, instance
        self.storage = Handmade({
            "features": case.data.features, "training_window": {FOLD: table_files(labels=case.labels)},
        })  # fmt: skip

    def fit(self, **settings: Any) -> dg.ExecuteInProcessResult:
        months, folds = self.lab.partitions.months, self.lab.partitions.folds
        assets = build(self.lab)
        ops = {f"demo__{ASSET}": {"ops": {"gru__train": {"config": settings}}}}
        return dg.materialize(
            [
                *assets,
                dg.AssetSpec(self.lab.key("features"), partitions_def=months),
                dg.AssetSpec(self.lab.key("training_window"), partitions_def=folds),
            ],
            selection=assets,
            partition_key=FOLD,
            instance=self.instance,
            resources={"io_manager": self.storage, "mlflow": mlflow_tracking},
            run_config={"ops": ops} if settings else {},
            raise_on_error=False,
        )

    def scores(self, fitted: Fitted) -> pl.DataFrame:
        return self.case.model.predict(fitted, self.case.features, FIRST)

    def published(self) -> Fitted:
        return Fitted.from_bytes(self.storage.kept[ASSET])


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with pytest.MonkeyPatch.context() as patch, dg.instance_for_test() as instance:
        patch.setenv("QUANT_DATA", str(tmp_path_factory.mktemp("lab") / "data"))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        yield Bench(case_of("gru"), instance)


@pytest.fixture(scope="module")
def page(bench: Bench) -> dict[str, Any]:
    """What the asset's page shows of the first fit."""
    done = bench.fit()
    assert done.success
    (event,) = done.get_asset_materialization_events()
    return {name: value.value for name, value in event.step_materialization_data.materialization.metadata.items()}


def client() -> Any:
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=tracking_uri())


def tracked_run() -> Any:
    found = client().get_experiment_by_name(EXPERIMENT).experiment_id
    return next(run for run in client().search_runs([found]) if run.info.run_name == f"{ASSET}[{FOLD}]")


def test_every_epoch_is_a_step_and_parameters_curve_and_artifacts_are_kept(bench: Bench, page: dict[str, Any]) -> None:
    run, curve = tracked_run(), bench.published().curve
    assert (run.info.status, run.data.params["d_model"], run.data.params["fold"]) == ("FINISHED", "8", FOLD)
    for name in ("train_loss", "validation_score", "learning_rate"):
        history = client().get_metric_history(run.info.run_id, name)
        told = {point.step: point.value for point in history}
        assert told == pytest.approx(dict(curve.select("epoch", name).iter_rows())), name
    assert sorted(told) == [1, 2]
    assert run.data.metrics["validation_rank_ic"] == pytest.approx(
        bench.published().manifest.facts["validation_slice"]["rank_ic"]
    )
    files = {entry.path for entry in client().list_artifacts(run.info.run_id)}
    assert files == {*bench.storage.kept[ASSET], "model_card.md"}


def test_its_page_has_pictures_and_a_card_that_says_what_it_is(bench: Bench, page: dict[str, Any]) -> None:
    for picture in ("importance", "permutation_importance", "sessions_read", "learning_curve"):
        assert page[picture].startswith("!["), picture
    worth = read_table(bench.storage.kept[ASSET], "permutation_importance")
    assert worth["feature"].to_list()[0] == "channel_return"
    card, manifest = page["model_card"], bench.published().manifest
    for words in (
        manifest.data_hash, str(manifest.fit_end), "channel_return_1d", "demo.forecaster_gru.2020, version 1",
        "A recurrent network", "mean rank IC", "s on cpu", "Intended use", "Limits",
    ):  # fmt: skip
        assert words in card, words
    run = tracked_run()
    assert client().download_artifacts(run.info.run_id, "model_card.md")
    assert "trained.json" not in bench.storage.kept[ASSET]


def test_a_model_loaded_by_its_alias_says_what_the_assets_artifact_says(bench: Bench, page: dict[str, Any]) -> None:
    loaded = load("demo", ASSET, FOLD)
    assert loaded.content_hash == bench.published().content_hash
    assert bench.scores(loaded).equals(bench.scores(bench.published()))
    version = client().get_model_version_by_alias(page["registered_model"].partition(",")[0], "current")
    assert version.tags["data_hash"] == loaded.manifest.data_hash
    assert version.run_id == tracked_run().info.run_id


def test_the_pages_code_loads_a_model_and_scores_with_it(
    bench: Bench, page: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", (Path(__file__).parents[2] / "docs" / "models.md").read_text(), re.S)
    folder = tmp_path / "data" / "demo" / "features"
    folder.mkdir(parents=True)
    bench.case.features.write_parquet(folder / "2020.parquet")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(code.replace("nifty50", "demo").replace("2021", "2020"), names)
    last = names["scores"]["date"].max()
    assert names["scores"].equals(bench.case.scores(bench.published(), bench.case.features, last=last))


def test_a_fit_that_fails_leaves_the_alias_and_one_that_ends_moves_it(bench: Bench, page: dict[str, Any]) -> None:
    before = load("demo", ASSET, FOLD).content_hash
    assert not bench.fit(learning_rate=1e30).success
    assert load("demo", ASSET, FOLD).content_hash == before
    assert bench.fit(seed=8, importance_dates=0).success
    assert bench.published().content_hash != before
    assert load("demo", ASSET, FOLD).content_hash == bench.published().content_hash
    assert "permutation_importance.parquet" not in bench.storage.kept[ASSET]


def test_files_that_are_not_those_that_were_registered_are_refused(bench: Bench, page: dict[str, Any]) -> None:
    version = client().get_model_version_by_alias(registered_name("demo", ASSET, FOLD), "current")
    folder = Path(version.source.removeprefix("file://"))
    whole = (folder / ARRAYS_FILE).read_bytes()
    (folder / ARRAYS_FILE).write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(DataError, match="content hash"):
        load("demo", ASSET, FOLD)
    (folder / ARRAYS_FILE).unlink()
    with pytest.raises(DataError, match=r"arrays.safetensors is missing"):
        load("demo", ASSET, FOLD)
    (folder / ARRAYS_FILE).write_bytes(whole)
    manifest = json.loads((folder / "manifest.json").read_text())
    assert load("demo", ASSET, FOLD).content_hash == manifest["content_hash"]
    client().set_model_version_tag(version.name, version.version, "content_hash", "another")
    with pytest.raises(DataError, match="registered was another"):
        load("demo", ASSET, FOLD)
    with pytest.raises(DataError, match=r"demo.forecaster_gru.1999@current"):
        load("demo", ASSET, "1999")


def test_names_hold_nothing_that_mlflow_refuses() -> None:
    assert registered_name("nifty50", "forecaster_tft", "2021") == "nifty50.forecaster_tft.2021"
    assert registered_name("my lab/a:b.c", "encoder", "2021-04") == "my-lab-a-b-c.encoder.2021-04"
