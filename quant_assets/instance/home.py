"""Opening the instance for a command: DAGSTER_HOME made ready, its runs judged, quiet logs."""

import logging
import os
import shutil
import warnings
from pathlib import Path

import dagster as dg
import yaml
from dagster._core.instance.ref import InstanceRef

from quant_assets.instance.live_runs import bury_dead_runs, unjudged_runs
from quant_assets.instance_storage import POSTGRES_VARIABLE, postgres_url
from quant_assets.storage.paths import project_root
from quant_core.errors import DataError

#: The project's settings as the wheel has them; a checkout has them in dagster_home/.
SHIPPED = Path(__file__).parents[1] / "dagster.yaml"


def prepare_home(home: Path) -> None:
    """Make DAGSTER_HOME and give it the project's instance settings where it has none."""
    home.mkdir(parents=True, exist_ok=True)
    settings = home / "dagster.yaml"
    if not settings.exists():
        shutil.copy(
            next(path for path in (project_root() / "dagster_home" / "dagster.yaml", SHIPPED) if path.exists()),
            settings,
        )
    _refuse_unread(settings)


def _refuse_unread(settings: Path) -> None:
    """Settings of an older lab know nothing of QUANT_POSTGRES_URL: its records would go to SQLite without a word.

    Raises:
        DataError: the variable is set and the file neither reads it nor names a storage.
    """
    named = yaml.safe_load(settings.read_text()) or {}
    if postgres_url() is not None and not {"instance_class", "storage"} & set(named):
        raise DataError(
            f"{settings}: {POSTGRES_VARIABLE} is set, and these settings do not read it; add the lines "
            "`instance_class:`, `  module: quant_assets.instance_storage` and `  class: LabInstance`."
        )


def own_instance(home: Path) -> dg.DagsterInstance:
    """The instance in `home` for runs in this process, whose output stays where it is.

    Dagster would turn stdout and stderr of every step into files that two `tail` processes show again, each with a
    Python process that watches it: seconds on a busy machine, and a display of progress that is drawn twice.
    """
    quiet_logs = {"module": "dagster._core.storage.noop_compute_log_manager", "class": "NoOpComputeLogManager"}
    return dg.DagsterInstance.from_ref(InstanceRef.from_dir(str(home), overrides={"compute_logs": quiet_logs}))


def bury_the_dead(launched: bool = False) -> tuple[list[str], list[str]]:
    """What became of runs whose process is gone, and the runs that only another host can judge; a line each.

    Args:
        launched: also those that Dagster's daemon launched on this machine.
    """
    quiet()
    with dg.DagsterInstance.get() as instance:
        return bury_dead_runs(instance, launched), unjudged_runs(instance)


def quiet() -> None:
    """Keep the logs of libraries off the terminal."""
    warnings.simplefilter("ignore")
    os.environ.setdefault("ALEMBIC_QUIET", "1")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "ERROR")
    for name in ("alembic", "mlflow", "sqlalchemy"):
        logging.getLogger(name).setLevel(logging.ERROR)
