"""Log lines on stderr: key=value for a person, JSON for a machine; one at the end of every step, whoever started it.

QUANT_LOG_LEVEL: debug (with every event of Dagster's own), info, warning or error. QUANT_LOG_FORMAT: text or json.
Run, asset and partition are bound (structlog's contextvars) from a step's start to its end; what is to stand in the
line at its end is given to `note`. The lines are made from Dagster's events and `context.log`, which stay in the run's
own log as they are. The core logs nothing: what it has to say it returns, or hands to a `log` that it is given.
"""

import logging
import os
import re
import resource
import sys
from collections.abc import Mapping, MutableMapping, Sequence
from typing import Any, TextIO

import dagster as dg
import structlog
from dagster._core.events import DagsterEvent
from dagster._core.execution import context_creation_job
from dagster._core.storage.tags import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
    PARTITION_NAME_TAG,
)
from dagster._utils.error import SerializableErrorInfo
from structlog.contextvars import (
    bind_contextvars,
    clear_contextvars,
    get_contextvars,
    merge_contextvars,
    unbind_contextvars,
)

from quant_assets.instance.live_runs import PID_TAG
from quant_assets.instance.secrecy import hidden
from quant_core.errors import DataError

LEVEL_VARIABLE, FORMAT_VARIABLE = "QUANT_LOG_LEVEL", "QUANT_LOG_FORMAT"
LEVELS, FORMATS = ("debug", "info", "warning", "error"), ("text", "json")
#: How Dagster begins the message of an error that the lab raised on purpose.
OWN_ERROR = re.compile(r"quant_core\.errors\.\w+: ")
#: How the entries of a line follow each other: what it is about, how much it was, then what else there is.
ORDER = ("asset", "op", "step", "check", "partition", "partitions", "rows", "files", "kib", "seconds")
RESERVED = ("timestamp", "level", "event")
#: Figures of a failed check that stand in its line; tables and longer texts are on the asset's page.
LONGEST_FIGURE = 160


def level(default: str = "info") -> str:
    """QUANT_LOG_LEVEL, else `default`.

    Raises:
        DataError: not a level.
    """
    return _choice(LEVEL_VARIABLE, LEVELS, default)


def is_json() -> bool:
    """Whether QUANT_LOG_FORMAT asks for JSON.

    Raises:
        DataError: not a format.
    """
    return _choice(FORMAT_VARIABLE, FORMATS, "text") == "json"


def _choice(variable: str, choices: Sequence[str], default: str) -> str:
    text = (os.environ.get(variable) or default).lower()
    if text not in choices:
        raise DataError(f"{variable}: {text!r} is unknown; set it to one of {', '.join(choices)}.")
    return text


def command_level(verbose: bool) -> str:
    """Level of a command: QUANT_LOG_LEVEL; else warnings beside a progress display, every step where there is none."""
    return level("info" if verbose or not sys.stdout.isatty() else "warning")


def note(**facts: Any) -> None:
    """Facts that the line at the end of this step shall state."""
    bind_contextvars(**facts)


def make_logger(threshold: str) -> Any:
    """A logger that writes lines of at least `threshold` to stderr."""
    as_json = is_json()
    stamp = structlog.processors.TimeStamper(fmt="iso" if as_json else "%Y-%m-%d %H:%M:%S", utc=as_json)
    colors = sys.stderr.isatty() and "NO_COLOR" not in os.environ
    render: Any = (
        structlog.processors.JSONRenderer(default=str) if as_json
        else structlog.dev.ConsoleRenderer(
            colors=colors, sort_keys=False, pad_event_to=12, exception_formatter=structlog.dev.plain_traceback
        )
    )  # fmt: skip
    return structlog.wrap_logger(
        _Stderr(),
        processors=[
            merge_contextvars, structlog.processors.add_log_level, stamp, structlog.processors.format_exc_info,
            _without_secrets, _in_order, render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
    )  # fmt: skip


class _Stderr:
    """Writes to the stderr of the moment: through the progress display where that draws on the same terminal."""

    def msg(self, line: str) -> None:
        print(line, file=_stream(sys.stderr), flush=True)

    debug = info = warning = error = critical = msg


def _stream(current: TextIO) -> TextIO:
    # rich puts a proxy in place of stderr that prints above the bars, on stdout; a redirected stderr gets its own lines
    behind = getattr(current, "rich_proxied_file", current)
    return current if behind.isatty() else behind


def _without_secrets(logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for key, value in event.items():
        if isinstance(value, str):
            event[key] = hidden(value)
    return event


def _in_order(logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    first = {name: event[name] for name in (*RESERVED, *ORDER) if name in event}
    return first | {name: value for name, value in event.items() if name not in first}


def peak_mib() -> int:
    """The most memory that this process ever had."""
    kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform == "darwin" else 1)
    return round(kib / 1024)


def reason(error: SerializableErrorInfo) -> tuple[str, bool]:
    """Why a step failed, in one paragraph, and whether the lab said so on purpose.

    Of the errors that caused each other, the lab's own is told if there is one, else the innermost.
    """
    chain: list[str] = []
    inner: SerializableErrorInfo | None = error
    while inner is not None:
        chain.append(" ".join(inner.message.split()))
        inner = inner.cause
    own = [message for message in chain if OWN_ERROR.match(message)]
    return (OWN_ERROR.sub("", own[0]), True) if own else (chain[-1], False)


class StepLines(logging.Handler):
    """Turns the records of one Dagster run into lines."""

    def __init__(self, lines: Any, assets: Mapping[str, str]) -> None:
        super().__init__()
        self.lines, self.assets, self.as_json = lines, assets, is_json()
        self.failed_checks: dict[tuple[str, str], list[Any]] = {}

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._tell(record, getattr(record, "dagster_meta", None) or {})
        except Exception:  # as the standard library's handlers: a line that cannot be written stops no run
            self.handleError(record)

    def _tell(self, record: logging.LogRecord, meta: Mapping[str, Any]) -> None:
        event: DagsterEvent | None = meta.get("dagster_event")
        if event is None:
            more = {"exc_info": record.exc_info} if record.exc_info else {}
            is_told = not meta.get("resource_name") or record.levelno >= logging.WARNING  # dagster-mlflow says run ids
            text = meta.get("orig_message") or record.getMessage()
            self.lines.log(record.levelno if is_told else logging.DEBUG, text, **more)
        elif event.is_step_start:
            self._begin(event, meta)
        elif event.is_step_success:
            self._end(event)
        elif event.is_step_failure:
            self._fail(event, meta)
        elif event.is_step_up_for_retry:
            data = event.step_retry_data
            self.lines.warning("retry", wait_seconds=data.seconds_to_wait, error=reason(data.error)[0])
        elif event.event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION:
            self._check(event)
        else:
            serious = record.levelno >= logging.WARNING and not event.is_job_failure
            run = {"run": str(meta["run_id"])[:8]}
            self.lines.log(record.levelno if serious else logging.DEBUG, meta["orig_message"], **run)

    def _begin(self, event: DagsterEvent, meta: Mapping[str, Any]) -> None:
        clear_contextvars()
        self.failed_checks.clear()
        node, _, op = str(event.step_key).partition(".")
        named = {"asset": self.assets[node]} if node in self.assets else {"step": node}
        tags = meta["job_tags"]
        first, last = tags.get(ASSET_PARTITION_RANGE_START_TAG), tags.get(ASSET_PARTITION_RANGE_END_TAG)
        partition = f"{first}..{last}" if first else tags.get(PARTITION_NAME_TAG)
        bound = named | ({"op": op} if op else {}) | {"partition": partition, "run": str(meta["run_id"])[:8]}
        bind_contextvars(**{name: value for name, value in bound.items() if value})
        self.lines.debug("begun")

    def _end(self, event: DagsterEvent) -> None:
        self._tell_checks()
        seconds = round(event.step_success_data.duration_ms / 1000, 2)
        is_of_asset = "asset" in get_contextvars()
        self.lines.log(logging.INFO if is_of_asset else logging.DEBUG, "done", seconds=seconds, peak_mib=peak_mib())
        clear_contextvars()

    def _fail(self, event: DagsterEvent, meta: Mapping[str, Any]) -> None:
        self._tell_checks()
        error = event.step_failure_data.error
        why, on_purpose = reason(error) if error else ("no error was recorded", True)
        # what the lab refuses on purpose is the one message of the command that ran it
        is_told = on_purpose and PID_TAG in meta["job_tags"] and not self.as_json
        more = {} if on_purpose or error is None else {"exception": error.to_string()}
        self.lines.log(logging.DEBUG if is_told else logging.ERROR, "failed", error=why, **more)
        clear_contextvars()

    def _check(self, event: DagsterEvent) -> None:
        found = event.asset_check_evaluation_data
        if not found.passed:
            self.failed_checks.setdefault((found.asset_key.to_user_string(), found.check_name), []).append(found)

    def _tell_checks(self) -> None:
        """One line a check, however many months it failed in, with the figures of the last."""
        if self.failed_checks:
            unbind_contextvars("step")
        for (asset, check), found in self.failed_checks.items():
            months = [str(one.partition) for one in found if one.partition]
            where = {"failed_partitions": len(months), "last_failed": max(months)} if months else {}
            is_error = found[-1].severity == dg.AssetCheckSeverity.ERROR
            self.lines.log(
                logging.ERROR if is_error else logging.WARNING,
                "check failed",
                **{"asset": asset, "check": check, **where, **_figures(found[-1].metadata)},
            )
        self.failed_checks.clear()


def _figures(metadata: Mapping[str, dg.MetadataValue]) -> dict[str, Any]:
    """What fits into a line: numbers and short texts."""
    values = {name: value.value for name, value in metadata.items() if name not in RESERVED}
    numbers = {name: float(f"{value:.4g}") for name, value in values.items() if isinstance(value, float)}
    return {
        name: numbers.get(name, value)
        for name, value in values.items()
        if isinstance(value, (int, float)) or (isinstance(value, str) and _is_short(value))
    }


def _is_short(text: str) -> bool:
    return len(text) <= LONGEST_FIGURE and "\n" not in text


@dg.logger(
    config_schema={
        "log_level": dg.Field(str, is_required=False, description=f"Default: {LEVEL_VARIABLE}, else info."),
        "name": dg.Field(str, is_required=False, default_value="quant"),
    },
    description="One line a step on stderr, as QUANT_LOG_FORMAT says.",
)
def lab_console(context: dg.InitLoggerContext) -> logging.Logger:
    """The logger that every run of the lab has under the name `console`."""
    threshold = str(context.logger_config.get("log_level") or level()).lower()
    layer = context.job_def.asset_layer if context.job_def else None
    keys = layer.asset_graph.get_all_asset_keys() if layer else ()
    logger = logging.Logger(str(context.logger_config.get("name") or "quant"), logging.DEBUG)
    logger.addHandler(
        StepLines(make_logger(threshold), {key.to_python_identifier(): key.to_user_string() for key in keys})
    )
    return logger


#: Dagster 1.13.27 gives a run that configures no logger its own coloured one, whatever the definitions name.
context_creation_job.default_system_loggers = lambda instance: [  # type: ignore[assignment]
    (lab_console, {"log_level": instance.python_log_level if instance else None})
]
