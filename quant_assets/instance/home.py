"""Opening the instance for a command: DAGSTER_HOME made ready, quiet logs, a runner on the chosen profile."""

import fcntl
import logging
import os
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import yaml
from dagster._core.instance.ref import InstanceRef

from quant_assets.commands.collector import collector_paused
from quant_assets.commands.runner import Overrides, Runner, check_overrides
from quant_assets.instance.event_batches import store_batches_together
from quant_assets.instance.event_files import event_files
from quant_assets.instance.instance_storage import POSTGRES_VARIABLE, postgres_url
from quant_assets.instance.live_runs import bury_dead_runs, unjudged_runs
from quant_assets.instance.waiting import Say, turn_of
from quant_assets.logs import command_level
from quant_assets.profile import Profile
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
            "`instance_class:`, `  module: quant_assets.instance.instance_storage` and `  class: LabInstance`."
        )


@contextmanager
def open_runner(
    profile: Profile, overrides: Overrides, home: Path, verbose: bool, say: Say = print
) -> Iterator[Runner]:
    """A runner for `profile` on the instance in `home`, once no other command is at work on it; the dead are buried."""
    with collector_paused():
        from quant_assets.assembly import build_definitions
        from quant_assets.lab import Lab

        of_source = overrides.get("raw_ohlcv", {})
        lab = Lab(profile, source_settings=of_source)
        check_overrides(lab, overrides)
        definitions = build_definitions(profile, of_source)
    prepare_home(home)
    if not verbose:
        quiet()
    level = command_level(verbose)
    with turn_of(profile.name, home, say), own_instance(home) as instance, event_files(instance) as open_run:
        for line in bury_dead_runs(instance):
            say(line)
        store_batches_together(instance)
        yield Runner(lab, definitions, instance, overrides, level, say, open_run)


def own_instance(home: Path) -> dg.DagsterInstance:
    """The instance in `home` for runs in this process, whose output stays where it is.

    Dagster would turn stdout and stderr of every step into files that two `tail` processes show again, each with a
    Python process that watches it: seconds on a busy machine, and a display of progress that is drawn twice.
    """
    quiet_logs = {"module": "dagster._core.storage.noop_compute_log_manager", "class": "NoOpComputeLogManager"}
    with (home / ".instance.lock").open("a") as file:  # two that make a fresh one at once would each stamp its schema
        fcntl.lockf(file, fcntl.LOCK_EX)
        return dg.DagsterInstance.from_ref(InstanceRef.from_dir(str(home), overrides={"compute_logs": quiet_logs}))


def bury_the_dead() -> tuple[list[str], list[str]]:
    """What became of runs whose process is gone, and the runs that only another host can judge; a line each."""
    quiet()
    with dg.DagsterInstance.get() as instance:
        return bury_dead_runs(instance), unjudged_runs(instance)


def quiet() -> None:
    """Keep the logs of libraries off the terminal."""
    warnings.simplefilter("ignore")
    os.environ.setdefault("ALEMBIC_QUIET", "1")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "ERROR")
    for name in ("alembic", "mlflow", "sqlalchemy"):
        logging.getLogger(name).setLevel(logging.ERROR)
