"""`quant sweep` on the small lab: progress, a kill in the middle, what a rerun does, failures, promotion and back."""

import io
import json
import re
import shutil
from pathlib import Path

import dagster as dg
import polars as pl
import pytest
from lab_process import QUANT, kill_group, lab_environment, poll, quant_here, started
from small_lab import SPAN, SmallLab
from upath import UPath

from quant_assets.storage.partition_files import read_artifact
from quant_core.errors import DataError

pytestmark = pytest.mark.slow

OPTIONS = [
    "--profile", "demo",
    *(part for one in SPAN if one.startswith(("profile.", "raw_ohlcv.")) for part in ("--set", one)),
]  # fmt: skip
GRID = ["forecaster=ridge", "horizon=1,5", "top_n=2,3,4", "rebalance=daily,weekly"]
N_TRIALS, KILLED_AFTER = 12, 4
#: A command of the sweep, on a busy machine.
WITHIN_S = 600
MAIN_RUN = ["run", "--profile", "demo", *(part for one in SPAN for part in ("--set", one))]


def copied(lab: SmallLab, folder: Path) -> SmallLab:
    shutil.copytree(lab.folder, folder, dirs_exist_ok=True)
    return SmallLab(folder, lab_environment(folder))


def sweep(lab: SmallLab, *words: str, code: int = 0) -> str:
    done = quant_here(["sweep", *OPTIONS, *words], lab.environment)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


def board(lab: SmallLab) -> dict[str, bytes]:
    return read_artifact(UPath(lab.data / "demo" / "leaderboard" / "newest.json"))


def table(lab: SmallLab, name: str = "leaderboard") -> pl.DataFrame:
    return pl.read_parquet(io.BytesIO(board(lab)[f"{name}.parquet"]))


def trials_of(lab: SmallLab) -> dict[str, str]:
    """Trial -> content hash."""
    paths = (lab.data / "demo" / "trial").glob("*.json")
    return {path.stem: json.loads(path.read_text())["content_hash"] for path in paths}


def register_of(lab: SmallLab) -> list[str]:
    return (lab.data / "demo" / "trials.jsonl").read_text().splitlines()


@pytest.fixture(scope="module")
def undisturbed(small_lab: SmallLab, tmp_path_factory: pytest.TempPathFactory) -> SmallLab:
    lab = copied(small_lab, tmp_path_factory.mktemp("undisturbed"))
    told = sweep(lab, *GRID)
    assert f"{N_TRIALS} trials, {N_TRIALS} of them new" in told
    for place in range(1, N_TRIALS + 1):
        assert re.search(rf"^{place}/{N_TRIALS} forecaster=ridge,\S+: Sharpe ratio .*\d s$", told, re.MULTILINE), told
    assert f"{N_TRIALS} done, 0 current, 0 failed" in told
    assert Path(told.splitlines()[-1]).is_file()
    return lab


def test_a_sweep_ranks_every_trial_and_counts_each_against_the_result(undisturbed: SmallLab) -> None:
    ranked, summary = table(undisturbed), table(undisturbed, "summary").row(0, named=True)
    assert ranked["trial"].n_unique() == ranked.height == summary["n_trials"] == N_TRIALS
    assert ranked["deflated_sharpe"].is_sorted(descending=True)
    assert (ranked["deflated_sharpe"] < ranked["probabilistic_sharpe"]).all()
    assert summary["n_registered"] > N_TRIALS  # the main backtest's books were tried as well
    assert summary["pbo"] is not None
    assert set(ranked["status"]) <= {"promoted", "not promoted"}  # every rival is there
    page = board(undisturbed)["leaderboard.html"].decode()
    for words in ("SIMULATED", "Probability of overfitting", "horizon=5", "Promotion gate"):
        assert words in page


def test_trials_share_fits_and_leave_the_main_assets_as_they_are(undisturbed: SmallLab, small_lab: SmallLab) -> None:
    own = {name: value for name, value in undisturbed.hashes().items() if not name.startswith("trial/")}
    reference = small_lab.hashes()
    assert {name: own[name] for name in reference} == reference
    with dg.DagsterInstance.from_config(undisturbed.environment["DAGSTER_HOME"]) as instance:
        made = {key.path[-1]: instance.get_latest_materialization_event(key) for key in instance.all_asset_keys()}
        assert made["features"].run_id == before(small_lab, "features")  # type: ignore[union-attr]
        assert len(instance.get_dynamic_partitions("demo_trials")) == N_TRIALS
    assert not (undisturbed.data / ".checkpoints" / "demo" / "trial_fits").exists()


def before(lab: SmallLab, asset: str) -> str:
    with dg.DagsterInstance.from_config(lab.environment["DAGSTER_HOME"]) as instance:
        event = instance.get_latest_materialization_event(dg.AssetKey(["demo", asset]))
    assert event is not None
    return event.run_id


def test_a_killed_sweep_goes_on_where_it_was_and_its_table_is_that_of_an_undisturbed_one(
    undisturbed: SmallLab, small_lab: SmallLab, tmp_path: Path
) -> None:
    lab = copied(small_lab, tmp_path / "lab")
    log, pointers = tmp_path / "sweep.log", lab.data / "demo" / "trial"
    with started([*QUANT, "sweep", *OPTIONS, *GRID], lab.environment, log) as process:
        poll("some trials", lambda: len(list(pointers.glob("*.json"))) >= KILLED_AFTER, WITHIN_S, every_s=0.01)
        kill_group(process)
    whole = trials_of(lab)
    assert KILLED_AFTER <= len(whole) < N_TRIALS, log.read_text()
    assert whole.items() <= trials_of(undisturbed).items()
    told = sweep(lab)  # without words: those that were added before
    current = len(re.findall(r": current$", told, re.MULTILINE))
    assert current == len(whole), told
    assert f"{N_TRIALS - current} done, {current} current, 0 failed" in told
    assert trials_of(lab) == trials_of(undisturbed)
    assert register_of(lab) == register_of(undisturbed)
    assert board(lab) == board(undisturbed)
    print(f"killed with {len(whole)} of {N_TRIALS} trials whole, {N_TRIALS - current} done after it, tables equal")


def test_a_trial_that_fails_is_recorded_the_others_go_on_and_a_rerun_tries_it_again(
    undisturbed: SmallLab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from quant_assets.experiments import trial_work

    lab, whole = copied(undisturbed, tmp_path / "lab"), trial_work.simulate

    def breaks(*arguments: object) -> object:
        if arguments[1]["strategy"][0].startswith("buffered"):  # type: ignore[index]
            raise DataError("backtest: the ledger is closed; open it.")
        return whole(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(trial_work, "simulate", breaks)
    told = sweep(lab, "forecaster=ridge", "book=buffered,top_n", "seed=5", code=1)
    assert "1/2 forecaster=ridge,seed=5,book=buffered: failed: " in told
    assert "the ledger is closed" in told
    assert "1 done, 0 current, 1 failed" in told
    assert table(lab, "failed").rows() == [
        ("forecaster=ridge,seed=5,book=buffered", "backtest: the ledger is closed; open it.")
    ]
    monkeypatch.undo()
    assert "1 done, 1 current, 0 failed" in sweep(lab, "forecaster=ridge", "book=buffered,top_n", "seed=5")
    assert table(lab, "failed").is_empty()
    assert table(lab).height == N_TRIALS + 2


def test_a_promoted_trials_settings_are_traded_and_demoting_goes_back(undisturbed: SmallLab, tmp_path: Path) -> None:
    lab = copied(undisturbed, tmp_path / "lab")
    key, other = (
        "forecaster=ridge,horizon=5,rebalance=weekly,top_n=3",
        "forecaster=ridge,horizon=1,rebalance=weekly,top_n=2",
    )
    refused = quant_here(["promote", *OPTIONS, key], lab.environment)
    status = dict(table(lab).select("trial", "status").iter_rows())[key]
    assert (refused.returncode == 0) == (status == "promoted")
    before = lab.hashes()
    for one in (other, key):
        done = quant_here(["promote", *OPTIONS, one, "--despite-gate"], lab.environment)
        assert done.returncode == 0, done.stdout + done.stderr
    stages = ["--stages", "target_weights"]
    assert quant_here([*MAIN_RUN, *stages], lab.environment).returncode == 0
    changed = {name.partition("/")[0] for name, value in lab.hashes().items() if before.get(name) != value}
    assert changed == {"forecaster_ridge", "forecasts_ridge", "target_weights"}
    scores = pl.concat([pl.read_parquet(path) for path in sorted((lab.data / "demo/forecasts_ridge").glob("2020-*"))])
    files = read_artifact(UPath(lab.data / "demo" / "trial" / f"{key}.json"))
    assert scores.select("date", "ticker", "score").equals(
        pl.read_parquet(io.BytesIO(files["scores.parquet"])).select("date", "ticker", "score")
    )
    shown = json.loads(quant_here(["leaderboard", *OPTIONS, "--json"], lab.environment).stdout)
    assert (shown["promoted"], len(shown["leaderboard"])) == (key, N_TRIALS)
    assert f"back to {other}" in quant_here(["demote", *OPTIONS], lab.environment).stdout
    assert "the profile's own settings" in quant_here(["demote", *OPTIONS], lab.environment).stdout
    assert quant_here(["demote", *OPTIONS], lab.environment).returncode == 1
    assert quant_here([*MAIN_RUN, *stages], lab.environment).returncode == 0
    assert {name: lab.hashes()[name] for name in before} == before


def test_what_cannot_be_swept_is_refused_in_one_line(undisturbed: SmallLab, tmp_path: Path) -> None:
    for words, told in (
        (["forecaster=rigde"], "'rigde' is unknown"),
        (["horizon=5"], "no forecaster"),
        (["forecaster=ridge", "--search", "grid", "--trials", "3"], "--search grid: unknown"),
        (["forecaster=ridge", "--trials", "3"], "go together"),
        (["forecaster=ridge", "--set", "target_weights.top_n=3"], "write it as a word of the sweep"),
    ):
        done = quant_here(["sweep", *OPTIONS, *words], undisturbed.environment)
        assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
        assert told in done.stderr
    done = quant_here(["promote", *OPTIONS, "forecaster=ridge,seed=77"], undisturbed.environment)
    assert "no such trial is finished" in done.stderr
    empty = lab_environment(tmp_path)
    assert "is not materialized" in quant_here(["sweep", *OPTIONS, "forecaster=ridge"], empty).stderr
    assert "0 trials, 0 of them new" in quant_here(["sweep", *OPTIONS], empty).stdout
