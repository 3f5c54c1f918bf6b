"""A fit in several processes of this machine, one a card or a share of the cores: torchrun's launcher called from code.

Each process makes the whole fit from equal arguments; the training loop in it joins the group (`nn.processes`) and
shares out the rows of every step. The first one's result is the result.
"""

import os
import signal
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, record
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from quant_core.errors import DataError
from quant_core.fitted import Fitted, Journal, Log, journal_folder

LOOPBACK = "127.0.0.1"
#: What torchrun's launcher handles while it waits, and does not give back.
HANDLED = ("SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT")
#: (epoch, values) of a log, in order.
Told = list[tuple[int, dict[str, float]]]


def fit_in_group(fit: Callable[..., Fitted], processes: int, log: Log) -> Fitted:
    """What `fit(log=...)` returns in the first of `processes` processes; its log is told once the fit is over.

    Args:
        fit: a function of a module, or a partial of one, with arguments that can be pickled.
    Raises:
        DataError: a process failed; says which and why.
    """
    with TemporaryDirectory() as folder, _handlers_kept():
        config = LaunchConfig(
            min_nodes=1, max_nodes=1, nproc_per_node=processes, max_restarts=0, start_method="spawn",
            run_id=uuid.uuid4().hex, rdzv_backend="c10d", rdzv_endpoint=f"{LOOPBACK}:0", local_addr=LOOPBACK,
            signals_to_handle=",".join(HANDLED), logs_specs=DefaultLogsSpecs(log_dir=folder),
        )  # fmt: skip
        try:
            fitted, told = elastic_launch(config, _member)(fit, journal_folder(log))[0]
        except ChildFailedError as failed:
            rank, failure = failed.get_first_failure()
            said = failure.error_file_data["message"]  # a process that was killed has left none
            reason = said["message"].removeprefix("DataError: ") if isinstance(said, dict) else failure.message
            raise DataError(f"training: process {rank} of {processes} failed: {reason}") from None
        except SignalException as ended:
            raise KeyboardInterrupt from ended
    for epoch, values in told:
        log(epoch, values)
    return fitted


def is_member() -> bool:
    """Whether this process is one of a group's."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


@record
def _member(fit: Callable[..., Fitted], folder: Path | None) -> tuple[Fitted | None, Told]:
    """The fit in one process of the group, with what it told its log; only the first one's is sent back."""
    told: Told = []

    def tell(epoch: int, values: Mapping[str, float], /) -> None:
        told.append((epoch, dict(values)))

    fitted = fit(log=tell if folder is None else Journal(tell, folder))
    return (fitted, told) if os.environ["RANK"] == "0" else (None, [])


@contextmanager
def _handlers_kept() -> Iterator[None]:
    """The handlers of signals as they were, afterwards; outside the main thread nobody changes them."""
    before: dict[int, Any] = {number: signal.getsignal(number) for number in map(signal.Signals.__getitem__, HANDLED)}
    try:
        yield
    finally:
        for number, handler in before.items():
            if signal.getsignal(number) is not handler:
                signal.signal(number, handler)
