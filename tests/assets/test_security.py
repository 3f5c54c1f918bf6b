"""What must not happen: a secret in a record, a pickle that is loaded, a hostile name that becomes markup or a path."""

import ast
import pickle
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from lab_process import lab_environment, quant_here
from small_lab import COMMAND

from quant_assets.commands.dev import LOOPBACK, dagster_command
from quant_assets.pages.metadata import markdown_table
from quant_assets.storage.paths import safe_name
from quant_core.errors import DataError
from quant_core.fitted import ARRAYS_FILE, CURVE_FILE, MANIFEST_FILE, VALIDATION_FILE, Fitted

ROOT = Path(__file__).parents[2]
SOURCES = sorted(path for package in ("quant_core", "quant_assets") for path in (ROOT / package).rglob("*.py"))
#: Modules that turn bytes into code, or call into one that does.
FORBIDDEN_IMPORTS = {"pickle", "cPickle", "cloudpickle", "dill", "joblib", "shelve", "marshal", "jsonpickle"}
FORBIDDEN_CALLS = {
    "torch.load", "torch.save", "mlflow.pyfunc.load_model", "mlflow.sklearn.load_model", "mlflow.pytorch.load_model",
    "yaml.load", "yaml.unsafe_load", "yaml.full_load", "eval", "exec", "os.system", "os.popen", "pl.read_pickle",
    "pd.read_pickle", "tar.extractall", "tarfile.extractall", "shutil.unpack_archive",
}  # fmt: skip
SECRETS = {
    "QUANT_ALERT_WEBHOOK": "http://127.0.0.1:9/services/T0PS3CRETHOOK",
    "SMTP_PASSWORD": "m4il-s3cret-word",
    "QUANT_VENDOR_API_KEY": "v3nd0r-k3y-s3cret",
    "AWS_SECRET_ACCESS_KEY": "4ws-s3cret-k3y",
}
HOSTILE = ["<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "[x](javascript:alert(1))", "![x](http://e/x)"]


@pytest.fixture(scope="module")
def trees() -> dict[Path, ast.AST]:
    return {path: ast.parse(path.read_text()) for path in SOURCES}


def called(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func)


def test_nothing_imports_what_unpickles(trees: dict[Path, ast.AST]) -> None:
    for path, tree in trees.items():
        names = {
            (alias.name if isinstance(node, ast.Import) else node.module or "").partition(".")[0]
            for node in ast.walk(tree) if isinstance(node, (ast.Import, ast.ImportFrom)) for alias in node.names
        }  # fmt: skip
        assert not names & FORBIDDEN_IMPORTS, path


def test_nothing_calls_what_runs_what_it_reads(trees: dict[Path, ast.AST]) -> None:
    for path, tree in trees.items():
        assert not set(called(tree)) & FORBIDDEN_CALLS, path
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                said = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
                assert said.get("allow_pickle", "False") == "False", path
                assert said.get("shell", "False") == "False", path
                assert said.get("weights_only", "True") == "True", path


class Evil:
    """What a pickle may do when it is read."""

    def __reduce__(self) -> Any:
        return Path.touch, (Path(self.place),)

    def __init__(self, place: str) -> None:
        self.place = place


@pytest.mark.parametrize("name", [ARRAYS_FILE, MANIFEST_FILE, CURVE_FILE, VALIDATION_FILE])
def test_a_model_that_holds_a_pickle_is_refused_and_runs_nothing(tmp_path: Path, name: str) -> None:
    mark = tmp_path / "ran"
    evil = pickle.dumps(Evil(str(mark)))
    names = (ARRAYS_FILE, MANIFEST_FILE, CURVE_FILE, VALIDATION_FILE)
    with pytest.raises(DataError):
        Fitted.from_bytes(dict.fromkeys(names, b"") | {name: evil})
    with pytest.raises(DataError):
        Fitted.from_bytes({"python_model.pkl": evil, "MLmodel": b"flavors: {}"})
    assert not mark.exists()


def test_a_settings_file_cannot_make_objects(tmp_path: Path) -> None:
    from quant_assets.setting_values import from_yaml

    mark = tmp_path / "ran"
    text = f"!!python/object/apply:os.system ['touch {mark}']"
    with suppress(DataError):
        assert from_yaml(text) == text
    assert not mark.exists()


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_is_text_on_an_assets_page(name: str) -> None:
    table = pl.DataFrame({"ticker": [name], "detail": [f"a\nb|c {name}"], "close_inr": [1.0]})
    shown = str(markdown_table(table).value)
    assert "<" not in shown
    assert "](" not in shown.replace("\\]", "").replace("\\[", "[") or "\\[" in shown
    assert len(shown.splitlines()) == 3  # head, rule, one row: no name begins another


@pytest.mark.parametrize("name", ["../up", "/abs", "a/b", "a\\b", "", ".", "..", "a\x00b", "<script>", ".hid", "a b"])
def test_a_hostile_name_is_no_path(name: str) -> None:
    with pytest.raises(DataError, match="cannot name a file"):
        safe_name(name, "ticker")


def test_the_servers_listen_on_loopback_only() -> None:
    command = dagster_command(3000)
    assert LOOPBACK == "127.0.0.1"
    assert command[command.index("-h") + 1] == LOOPBACK
    for path in SOURCES:
        assert "0.0.0.0" not in path.read_text(), path
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        assert np.int64(probe.getsockname()[1]) > 0


@pytest.mark.slow
def test_no_secret_of_the_environment_is_in_any_record(tmp_path: Path) -> None:
    environment = lab_environment(tmp_path) | SECRETS | {"QUANT_LOG_LEVEL": "debug", "NO_PROXY": "127.0.0.1"}
    wanted = [*COMMAND, "--stages", "raw_ohlcv", "--verbose"]
    said = [
        quant_here(wanted, environment),
        quant_here([*wanted, "--set", "raw_ohlcv.n_tickers=0"], environment),  # refused
        quant_here(["doctor", "--send-alert", *COMMAND[1:]], environment),  # cannot be sent
    ]
    assert said[0].returncode == 0, said[0].stderr
    assert "alert not sent by webhook" in said[2].stdout
    written = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert any(path.suffix == ".db" for path in written)
    for secret in SECRETS.values():
        needle = secret.rpartition("/")[2]
        for done in said:
            assert needle not in done.stdout + done.stderr
        assert [path for path, content in written.items() if needle.encode() in content] == []


def test_credentials_in_an_address_are_not_shown(tmp_path: Path) -> None:
    environment = lab_environment(tmp_path) | {"MLFLOW_TRACKING_URI": "http://user:s3cretword@127.0.0.1:9"}
    said = quant_here(["doctor"], environment)
    assert "s3cretword" not in said.stdout + said.stderr
    assert "http://***@127.0.0.1:9 does not answer" in said.stdout
