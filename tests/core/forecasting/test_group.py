"""A network that two processes of a group fit: what one fits, the same whenever repeated, or one clear error."""

import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from model_cases import Case, case_of
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure
from torch.distributed.launcher.api import LaunchConfig

from quant_core.errors import DataError
from quant_core.fitted import Fitted, Journal
from quant_core.nn import group


@pytest.fixture(scope="module")
def case() -> Case:
    return case_of("gru")


def fit(case: Case, folder: Path, **settings: object) -> tuple[Fitted, list[int]]:
    """A fit of two short epochs and the epochs that its log was told."""
    told: list[int] = []
    config = replace(case.config, device="cpu", epochs=2, windows_per_epoch=600, dropout=0.0, **settings)
    return case.model.fit(case.data, config, Journal(lambda epoch, values: told.append(epoch), folder)), told


@pytest.mark.slow
def test_two_processes_fit_what_one_fits_and_the_same_when_repeated(case: Case, tmp_path: Path) -> None:
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    (both, told), (alone, _) = (fit(case, tmp_path / f"{n}", processes=n, accumulation=2) for n in (2, 1))
    assert told == [1, 2]  # the first process alone writes and speaks
    assert len(list((tmp_path / "2").glob("training-*.safetensors"))) == 1
    assert np.isfinite(both.curve["train_loss"].to_numpy()).all()
    np.testing.assert_allclose(both.curve["train_loss"], alone.curve["train_loss"], rtol=1e-4)
    for name, value in alone.arrays.items():
        np.testing.assert_allclose(both.arrays[name], value, atol=1e-3)
    again, _ = fit(case, tmp_path / "again", processes=2, accumulation=2)
    assert again.content_hash == both.content_hash
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == handlers


def failed(monkeypatch: pytest.MonkeyPatch, exit_code: int, error_file: Path) -> str:
    """The error of a group whose second process ended like that."""
    failure = ProcessFailure(local_rank=1, pid=77, exitcode=exit_code, error_file=str(error_file))

    def launch(config: LaunchConfig, entry: object) -> Callable[..., None]:
        def fail(*arguments: object) -> None:
            raise ChildFailedError("member", {1: failure})

        return fail

    monkeypatch.setattr(group, "elastic_launch", launch)
    with pytest.raises(DataError) as caught:
        group.fit_in_group(refused, 2, lambda epoch, values: None)
    return str(caught.value)


def refused(log: object) -> Fitted:
    raise DataError("no row is left to train on.")


def test_what_stops_a_process_is_one_error_that_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHELASTIC_ERROR_FILE", str(tmp_path / "error.json"))  # as the launcher has it in a process
    with pytest.raises(DataError, match="no row is left"):
        group._member(refused, None)
    said = failed(monkeypatch, 1, tmp_path / "error.json")
    assert said == "training: process 1 of 2 failed: no row is left to train on."
    assert "SIGKILL" in failed(monkeypatch, -9, tmp_path / "none.json")
