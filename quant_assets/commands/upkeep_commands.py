"""`quant clean`, `quant backup` and `quant restore`: the house in order."""

import os
from collections import defaultdict
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from quant_assets.commands.terminal import console, plain, say

if TYPE_CHECKING:  # dagster takes a second to import
    from quant_assets.upkeep.cleaning_up import Item

PathArgument = Annotated[Path, typer.Argument(metavar="PATH", help="The archive: a .tar, or .tar.gz to pack it.")]
SHOWN = 5


def clean(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go, and remove nothing.")] = False,
    older_than: Annotated[
        int, typer.Option("--older-than", metavar="DAYS", min=1, max=36500, help="Younger ones stay.")
    ] = 30,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Free disk: temporary files, old checkpoints, superseded models in MLflow, old runs in Dagster.

    Says what goes, by kind and with its size, and asks. Stored partitions, current and promoted models stay.
    """
    from quant_assets.instance.home import own_instance, prepare_home, quiet
    from quant_assets.storage.paths import dagster_home
    from quant_assets.upkeep.cleaning_up import removable
    from quant_core.report.formats import plural

    quiet()
    home = dagster_home()
    prepare_home(home)
    with own_instance(home) as instance:
        by_kind = defaultdict(list)
        for item in removable(instance, timedelta(days=older_than)):
            by_kind[item.kind].append(item)
        for kind, items in by_kind.items():
            named = ", ".join(item.name for item in items[:SHOWN]) + (", ..." if len(items) > SHOWN else "")
            freed = size(sum(item.size_bytes for item in items))
            console.print(f"{kind}: {len(items)}, {freed} ({plain(named)})", soft_wrap=True)
        everything = [item for items in by_kind.values() for item in items]
        total = f"{plural(len(everything), 'thing')}, {size(sum(item.size_bytes for item in everything))}"
        if not everything or dry_run:
            console.print(f"would remove {total}" if everything else f"nothing to remove of {older_than} days or more")
            return
        if not yes and not typer.confirm(f"Remove {total}?"):
            console.print("nothing was removed")
            return
        failed = [item.name for item in everything if not _removed(item)]
    console.print(f"removed {total}" + (f"; {len(failed)} could not be removed" if failed else ""))
    if failed:
        raise typer.Exit(1)


def _removed(item: "Item") -> bool:
    try:
        item.remove()
    except Exception as failure:  # one that cannot go is no reason to keep the others
        say(f"{item.name}: not removed ({failure})")
        return False
    return True


def backup(path: PathArgument) -> None:
    """Write instance and data to one archive, with the hash of every file, and read it back; also while all runs.

    Example: quant backup /mnt/other-disk/lab-2026-11-28.tar
    """
    from quant_assets.upkeep.backup import backup as write

    found = write(path)
    console.print(f"{path}: {found.files:,} files, {size(found.size_bytes)}, every hash verified", soft_wrap=True)
    _told_elsewhere()


def restore(path: PathArgument) -> None:
    """Put an archive into QUANT_DATA and DAGSTER_HOME, which must be empty, after checking every file of it."""
    from quant_assets.upkeep.restore import restore as read

    found = read(path)
    console.print(
        f"{found.files:,} files, {size(found.size_bytes)}, of {found.created_at}: every hash verified; `quant run` "
        "says what is current", soft_wrap=True,
    )  # fmt: skip


def _told_elsewhere() -> None:
    """What an archive of files does not hold."""
    from quant_assets.storage.paths import dagster_home

    settings = dagster_home() / "dagster.yaml"
    if settings.is_file() and "postgres" in settings.read_text():
        say("Dagster's records are in PostgreSQL: back them up with pg_dump")
    if os.environ.get("MLFLOW_TRACKING_URI"):
        say("MLflow's records are on a server (MLFLOW_TRACKING_URI): back them up there")


def size(n_bytes: int) -> str:
    """Bytes for a person."""
    value = float(n_bytes)
    for unit in ("B", "KiB", "MiB"):
        if value < 1024:
            return f"{value:.0f} {unit}"
        value /= 1024
    return f"{value:.1f} GiB"


def add_to(app: typer.Typer) -> None:
    """Make them commands of `quant`."""
    for command in (clean, backup, restore):
        app.command()(command)
