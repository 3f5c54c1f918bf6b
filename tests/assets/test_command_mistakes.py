"""A mistake in a command is one line on stderr with where, got, wanted and remedy; exit 1, or 2 for its options."""

import os
import re
import subprocess
from pathlib import Path

import dagster as dg
import polars as pl
import pytest
from lab_process import lab_environment, quant_here

from quant_assets.commands.runner import Runner
from quant_assets.lab import Lab
from quant_assets.profile import load_profile, source_override
from quant_assets.storage.paths import project_root
from quant_assets.tracking.mlflow_resource import tracking_uri
from quant_core.errors import DataError


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return lab_environment(tmp_path)


def one_line(done: subprocess.CompletedProcess[str], code: int) -> str:
    """The message of a command that fails as it should."""
    assert done.returncode == code, done.stdout + done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert done.stderr.startswith("error ")
    return done.stderr


#: command -> (exit code, what the line says)
MISTAKES = {
    "dev --port 99999": (1, r"--port 99999: not a port; give a number from 1 to 65535"),
    "dev --port 0": (1, r"--port 0: not a port"),
    "dev --mlflow-port -4": (1, r"--mlflow-port -4: not a port"),
    "mlflow --port 70000": (1, r"--port 70000: not a port"),
    "dev --port many": (2, r"quant dev: Invalid value for '--port': .*integer.*; see `quant dev --help`"),
    "run --nope": (2, r"quant run: No such option: --nope.*; see `quant run --help`"),
    "run --path": (2, r"quant: Option '--path' requires an argument; see"),
    "nope": (2, r"quant: No such command 'nope'; see `quant --help`"),
    "run --stages=": (1, r"stage '' is unknown; known: backtest, "),
    "list": (2, r"quant list: Missing argument 'kind'; see"),
    "list nope": (1, r"quant list: 'nope' is unknown; choose one of features, "),
    "run --path /dev/null": (1, r"--path /dev/null: neither a file nor a folder; give the folder of the prices"),
    "doctor --path /dev/null": (1, r"--path /dev/null: neither a file nor a folder"),
    "report --profile nope": (1, r"profile 'nope' is unknown; known: demo"),
    "run --set profile.source=yahoo": (1, r"source: 'yahoo' is not a mapping of names; write it as \{name: value\}"),
    "run --set profile.train_years=-3": (1, r"train_years is -3; wanted at least 1"),
    "validate --from x": (1, r"--from x: profile demo has months 2015-01\.\."),
    "actions accept AAA tomorrow split --value 2": (1, r"actions: 'tomorrow' is not a date; write it as YYYY-MM-DD"),
}  # fmt: skip


@pytest.mark.parametrize("command", MISTAKES)
def test_a_mistake_is_one_line_and_an_exit_code(command: str, environment: dict[str, str]) -> None:
    code, message = MISTAKES[command]
    assert re.search(message, one_line(quant_here(command.split(), environment), code))


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_prices_that_may_not_be_read_are_named(
    kind: str, tmp_path: Path, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path if kind == "folder" else tmp_path / "a.csv"

    def denied(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    if kind == "file":
        path.write_text("date,close\n")
    monkeypatch.setattr(*((os, "scandir") if kind == "folder" else (Path, "open")), denied)
    said = one_line(quant_here(["run", "--source", "files", "--path", str(path)], environment), 1)
    assert f"--path {path}: cannot be read (Permission denied); change its permissions" in said


def test_a_profile_that_begins_in_the_future_has_no_month_to_run() -> None:
    profile = load_profile("demo", {"start": "2034-01", "first_fold": 2035, "train_years": 1})
    runner = Runner(Lab(profile), dg.Definitions(), dg.DagsterInstance.ephemeral(), {})
    with pytest.raises(DataError, match=r"its first month, 2034-01, has not begun; set an earlier one"):
        runner.month_range(None, None)


@pytest.mark.slow
def test_what_the_system_refuses_is_one_line_too(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    said = one_line(quant_here(["demo"], environment | {"DAGSTER_HOME": str(tmp_path / "taken")}), 1)
    assert re.search(rf"{tmp_path}/taken: .*, or see `quant doctor`", said)


# ---- settings of the source ------------------------------------------------------------------------------------------

OTHER_NAMES = "date,ticker,open,high,low,Last Traded,volume\n" + "".join(
    f"2015-01-{day:02d},AAA,100,102,99,101,1000\n" for day in (1, 2, 5, 6, 7)
)


@pytest.fixture
def other_names(tmp_path: Path) -> Path:
    """Prices whose close has a name of its own."""
    folder = tmp_path / "prices"
    folder.mkdir()
    (folder / "a.csv").write_text(OTHER_NAMES)
    return folder


def test_settings_of_a_run_count_wherever_its_source_is_asked(other_names: Path) -> None:
    profile = load_profile("demo", source_override("files", str(other_names)))
    key, month = Lab(profile).key("raw_ohlcv"), "2015-01"
    with pytest.raises(DataError, match="no column for close "):
        Lab(profile).external_version(key, month)
    named, others = (
        Lab(profile, source_settings=settings)
        for settings in ({"columns": {"close": "Last Traded"}}, {"columns": {"close": "Last Traded"}, "series": ["EQ"]})
    )
    assert named.external_version(key, month) == others.external_version(key, month)
    assert named.source.columns == (("close", "Last Traded"),)
    assert others.source.series == ("EQ",)
    assert named.wanted_tickers() is None
    assert [one.name for one in named.lists("raw_ohlcv")] == [one.name for one in others.lists("raw_ohlcv")]


def test_settings_of_the_launchpad_count_for_what_is_said_of_its_run(other_names: Path) -> None:
    lab = Lab(load_profile("demo", source_override("files", str(other_names))))
    key, given = lab.key("raw_ohlcv"), {"columns": {"close": "Last Traded"}}
    run = lab.as_run("raw_ohlcv", given)
    assert run.external_version(key, "2015-01") == Lab(lab.profile, source_settings=given).external_version(
        key, "2015-01"
    )
    assert lab.as_run("raw_ohlcv", {}) is lab
    assert lab.as_run("features", {"windows": [5]}) is lab


@pytest.mark.slow
def test_the_remedy_that_the_error_names_works(other_names: Path, environment: dict[str, str]) -> None:
    run = ["run", "--source", "files", "--path", str(other_names), "--to", "2015-01", "--stages", "raw_ohlcv"]
    assert "no column for close " in one_line(quant_here(run, environment), 1)
    mended = [*run, "--set", "raw_ohlcv.columns={close: Last Traded}"]
    for what in ("1 to do, 0 current", "1 current"):
        done = quant_here(mended, environment)
        assert done.returncode == 0, done.stderr
        assert what in done.stdout
    stored = pl.read_parquet(next((other_names.parent / "data").glob("demo_files/raw_ohlcv/2015-01.parquet")))
    assert stored["close_inr"].to_list() == [101.0] * 5


# ---- .env ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of its own, which commands start in."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "workspace.yaml").write_text("load_from: []\n")
    monkeypatch.chdir(folder)
    return folder


def bare(environment: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name not in ("QUANT_DATA", "DAGSTER_HOME")}


def test_every_variable_of_the_example_is_read_by_a_command(project: Path, environment: dict[str, str]) -> None:
    example = (Path(__file__).parents[2] / ".env.example").read_text()
    (project / ".env").write_text(example.replace("QUANT_DATA=", f"QUANT_DATA={project}/elsewhere"))
    said = one_line(quant_here(["report"], bare(environment)), 1)
    assert f"demo: no report is stored under {project}/elsewhere" in said


def test_the_profile_and_the_source_of_the_file_are_those_of_commands(
    project: Path, environment: dict[str, str]
) -> None:
    (project / ".env").write_text("QUANT_PROFILE=nifty50\nQUANT_SOURCE=files\nexport QUANT_SOURCE_PATH='prices'\n")
    assert "nifty50_files: no report is stored" in one_line(quant_here(["report"], environment), 1)
    assert "demo_files: no report is stored" in one_line(quant_here(["report", "--profile", "demo"], environment), 1)


def test_the_environment_wins_over_the_file(project: Path, environment: dict[str, str]) -> None:
    (project / ".env").write_text(f"QUANT_DATA={project}/elsewhere\n")
    assert f"stored under {environment['QUANT_DATA']}" in one_line(quant_here(["report"], environment), 1)


def test_a_line_that_is_no_variable_is_named_and_no_value_is_shown(project: Path, environment: dict[str, str]) -> None:
    (project / ".env").write_text("QUANT_ALERT_WEBHOOK=https://secret\n\n='hunter2\n")
    said = one_line(quant_here(["report"], environment), 1)
    assert ".env line 3: not of the form NAME=value; correct or remove the line" in said
    assert "secret" not in said
    assert "hunter2" not in said
    (project / ".env").write_bytes(b"QUANT_DATA=\xff\xfe\n")
    assert ".env: cannot be read (it is not UTF-8 text)" in one_line(quant_here(["report"], environment), 1)


def test_entries_without_a_value_leave_the_defaults(
    project: Path, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / ".env").write_text("QUANT_DATA=\nMLFLOW_TRACKING_URI=\nQUANT_MLFLOW_PORT=\n")
    assert f"stored under {project}/data" in one_line(quant_here(["report"], bare(environment)), 1)
    assert project_root() == project
    monkeypatch.setenv("QUANT_DATA", str(project / "data"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert tracking_uri().startswith(f"sqlite:///{project}")
