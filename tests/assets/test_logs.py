"""What a person and a machine read while runs work: one line at the end of a step, in the order of a sentence."""

import json
import logging
from collections.abc import Iterator, Mapping
from typing import Any

import dagster as dg
import pytest

from quant_assets import logs
from quant_assets.instance.live_runs import PID_TAG
from quant_core.errors import DataError

MONTHS = dg.MonthlyPartitionsDefinition(start_date="2021-01", end_date="2021-04", fmt="%Y-%m")
RANGE = {"dagster/asset_partition_range_start": "2021-01", "dagster/asset_partition_range_end": "2021-03"}


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (logs.LEVEL_VARIABLE, logs.FORMAT_VARIABLE):
        monkeypatch.delenv(name, raising=False)


@dg.asset(
    key_prefix="demo", partitions_def=MONTHS, backfill_policy=dg.BackfillPolicy.single_run(),
    check_specs=[dg.AssetCheckSpec(name, asset=["demo", "prices"]) for name in ("complete", "sane")],
)  # fmt: skip
def prices(context: dg.AssetExecutionContext) -> Iterator[Any]:
    context.log.warning("TCS: no rows")
    logs.note(rows=3)
    yield dg.MaterializeResult(check_results=[
        dg.AssetCheckResult(check_name="complete", passed=False, severity=dg.AssetCheckSeverity.WARN,
                            metadata={"missing": 2, "share": 0.123456, "table": dg.MetadataValue.md("| a |\n|---|")}),
        dg.AssetCheckResult(check_name="sane", passed=True),
    ])  # fmt: skip


@dg.asset(key_prefix="demo", partitions_def=MONTHS)
def refused() -> None:
    raise DataError("demo/refused 2021-02: high_inr 3.0 is below low_inr 4.0; fix the source row.")


@dg.asset(key_prefix="demo", partitions_def=MONTHS)
def broken() -> float:
    return 1 / 0


@dg.asset(key_prefix="demo", partitions_def=MONTHS)
def tried_again(context: dg.AssetExecutionContext) -> None:
    if not context.retry_number:
        raise dg.RetryRequested(max_retries=1, seconds_to_wait=0) from DataError("no answer from nse.example")


def run(asset: Any, level: str = "info", month: str | None = "2021-02", tags: Mapping[str, str] | None = None) -> None:
    """One run of an asset that logs by `lab_console`."""
    config = {"loggers": {"console": {"config": {"log_level": level}}}}
    definitions = dg.Definitions([asset], jobs=[dg.define_asset_job("job", "*")], loggers={"console": logs.lab_console})
    definitions.resolve_job_def("job").execute_in_process(
        run_config=config, partition_key=month, tags=tags, raise_on_error=False
    )


def json_lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines() if line.startswith("{")]


def test_a_step_ends_with_one_line_that_says_what_how_much_and_how_long(capsys: pytest.CaptureFixture[str]) -> None:
    run(prices, month=None, tags=RANGE)
    lines = capsys.readouterr().err.splitlines()
    said = [line[20:] for line in lines]  # the time goes first
    assert said[0].startswith("[warning  ] TCS: no rows asset=demo/prices partition=2021-01..2021-03")
    assert said[1].startswith("[warning  ] check failed asset=demo/prices check=complete partition=2021-01..2021-03 ")
    assert "rows=3" in said[1]
    assert "missing=2 share=0.1235" in said[1]
    assert "table" not in said[1]
    assert said[2].startswith("[info     ] done         asset=demo/prices partition=2021-01..2021-03 rows=3 seconds=")
    assert len(lines) == 3


def test_a_machine_reads_json(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(logs.FORMAT_VARIABLE, "json")
    run(prices, month="2021-02")
    done = json_lines(capsys)[-1]
    assert {"event": "done", "level": "info", "asset": "demo/prices", "partition": "2021-02", "rows": 3}.items() <= (
        done.items()
    )
    assert done["seconds"] >= 0
    assert done["peak_mib"] > 10
    assert len(done["run"]) == 8


def test_debug_adds_every_event_of_dagsters_own_and_error_says_nothing_of_a_good_run(
    capsys: pytest.CaptureFixture[str],
) -> None:
    run(prices, "debug")
    shown = capsys.readouterr().err
    assert "begun        asset=demo/prices" in shown
    assert "Finished execution of run" in shown
    run(prices, "error")
    assert capsys.readouterr().err == ""


def test_what_the_lab_refuses_is_one_line_and_a_fault_has_its_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    run(refused)
    own = capsys.readouterr().err
    assert "[error    ] failed       asset=demo/refused partition=2021-02" in own
    assert "high_inr 3.0 is below low_inr 4.0" in own
    assert len(own.splitlines()) == 1
    run(broken)
    fault = capsys.readouterr().err
    assert "ZeroDivisionError: division by zero" in fault
    assert "return 1 / 0" in fault


def test_a_command_says_itself_what_the_lab_refused(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run(refused, tags={PID_TAG: "7"})
    assert capsys.readouterr().err == ""
    monkeypatch.setenv(logs.FORMAT_VARIABLE, "json")
    run(refused, tags={PID_TAG: "7"})
    assert [line["event"] for line in json_lines(capsys)] == ["failed"]


def test_a_vendor_that_is_asked_again_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    run(tried_again)
    first, last = capsys.readouterr().err.splitlines()
    assert "[warning  ] retry" in first
    assert "wait_seconds=0 error='no answer from nse.example'" in first
    assert "done" in last


def test_nothing_is_bound_once_the_step_is_over(capsys: pytest.CaptureFixture[str]) -> None:
    run(prices)
    logs.make_logger("info").info("later")
    assert capsys.readouterr().err.splitlines()[-1].rstrip().endswith("[info     ] later")


def test_a_run_that_configures_no_logger_logs_like_the_others(capsys: pytest.CaptureFixture[str]) -> None:
    dg.materialize([prices], partition_key="2021-02")
    assert "done         asset=demo/prices partition=2021-02 rows=3" in capsys.readouterr().err


def test_secrets_are_masked(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUANT_ALERT_WEBHOOK", "https://hooks.example/T0/abc")
    monkeypatch.setenv("VENDOR_API_KEY", "k-123456")
    log = logs.make_logger("info")
    log.info("posted to https://hooks.example/T0/abc", uri="postgresql://lab:pass@db/mlflow", header="key k-123456")
    said = capsys.readouterr().err[20:].strip()
    assert said == "[info     ] posted to *** uri=postgresql://***@db/mlflow header='key ***'"


@pytest.mark.parametrize("variable", [logs.LEVEL_VARIABLE, logs.FORMAT_VARIABLE])
def test_a_value_that_is_none_of_the_choices_is_refused(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, "loud")
    with pytest.raises(DataError, match=f"{variable}: 'loud' is unknown; set it to one of"):
        logs.make_logger(logs.level())


def test_beside_a_progress_display_only_warnings_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    for terminal, verbose, level in ((True, False, "warning"), (True, True, "info"), (False, False, "info")):
        monkeypatch.setattr("sys.stdout.isatty", lambda terminal=terminal: terminal, raising=False)
        assert logs.command_level(verbose) == level
    monkeypatch.setenv(logs.LEVEL_VARIABLE, "ERROR")
    assert logs.command_level(True) == "error"


def test_a_line_that_cannot_be_written_stops_no_run(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging, "raiseExceptions", False)
    monkeypatch.setattr(logs, "peak_mib", lambda: 1 / 0)
    result = dg.materialize([prices], partition_key="2021-02")
    assert result.success
