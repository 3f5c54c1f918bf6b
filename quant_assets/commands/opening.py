"""What a command works with: a runner on the chosen profile, on the lab's own instance, in its turn."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from quant_assets.commands.runner import Overrides, Runner, check_overrides
from quant_assets.instance.collector import collector_paused
from quant_assets.instance.event_batches import store_batches_together
from quant_assets.instance.event_files import event_files
from quant_assets.instance.home import own_instance, prepare_home, quiet
from quant_assets.instance.live_runs import bury_dead_runs
from quant_assets.instance.waiting import Say, turn_of
from quant_assets.logs import command_level
from quant_assets.profile import Profile


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
