"""The `quant` commands about experiments: sweep, leaderboard, promote, demote. What they do is in `sweep_command`."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from quant_assets.commands.terminal import (
    PathOption,
    ProfileOption,
    SetOption,
    SourceOption,
    VerboseOption,
    chosen_profile,
    console,
    parse_settings,
    plain,
    say,
)


def add_to(app: typer.Typer) -> None:
    """Make them commands of `quant`."""
    for command in (sweep, leaderboard, promote, demote):
        app.command()(command)


def sweep(
    grid: Annotated[list[str] | None, typer.Argument(metavar="NAME=V1,V2 ...", help="forecaster=ridge,tft")] = None,
    profile: ProfileOption = "demo", source: SourceOption = None, path: PathOption = None, set_: SetOption = None,
    search: Annotated[str | None, typer.Option(help="optuna: search each fold's settings in its fit window.")] = None,
    trials: Annotated[int | None, typer.Option(help="Settings that the search tries a fold.")] = None,
    add_only: Annotated[bool, typer.Option("--add-only", help="Add the trials; run them in the UI.")] = False,
    verbose: VerboseOption = False,
) -> None:  # fmt: skip
    """Run one trial for each combination and rank them; those that are current are left as they are.

    Without a grid it goes on with the trials that were added before. See docs/sweeps.md.

    Examples:

      quant sweep forecaster=ridge,tft horizon=1,5 seed=0..2

      quant sweep forecaster=ridge top_n=3,5,10 rebalance=weekly,monthly

      quant sweep forecaster=boosting horizon=21 --search optuna --trials 20
    """
    from quant_assets.commands.sweep_command import make_leaderboard, page_path, wanted_keys
    from quant_assets.commands.sweep_command import sweep as run_sweep

    with _experiments(profile, source, path, set_, verbose) as runner:
        keys = wanted_keys(runner.lab, grid or [], search, trials)
        swept = run_sweep(runner, keys, add_only, lambda line: console.print(plain(line), soft_wrap=True))
        if swept.done or swept.current or swept.failed:
            make_leaderboard(runner)
            console.print(f"{len(swept.done)} done, {len(swept.current)} current, {len(swept.failed)} failed")
            print(page_path(runner.lab))
    if swept.failed:
        raise typer.Exit(1)


def leaderboard(
    profile: ProfileOption = "demo", source: SourceOption = None, path: PathOption = None, set_: SetOption = None,
    json: Annotated[bool, typer.Option("--json", help="Every figure, for programs.")] = False,
) -> None:  # fmt: skip
    """Rank the finished trials out of sample, deflated by everything that was tried; prints the page's path last."""
    from quant_assets.commands.sweep_command import (
        as_json,
        board_table,
        make_leaderboard,
        page_path,
        stored_leaderboard,
    )

    with _experiments(profile, source, path, set_, False, quietly=json) as runner:
        make_leaderboard(runner)
    files = stored_leaderboard(runner.lab)
    if json:
        print(as_json(runner.lab, files))
        return
    for part in board_table(files):
        console.print(part)
    print(page_path(runner.lab))


def promote(
    key: Annotated[str, typer.Argument(help="Key of a finished trial, as the leaderboard has it.")],
    profile: ProfileOption = "demo", source: SourceOption = None, path: PathOption = None, set_: SetOption = None,
    despite_gate: Annotated[bool, typer.Option("--despite-gate", help="Also one that the gate did not pass.")] = False,
) -> None:  # fmt: skip
    """Take a trial's settings over: the next run makes forecasts and target weights with them."""
    from quant_assets.commands.sweep_command import promote_trial

    found = promote_trial(_lab(profile, source, path, set_), key, despite_gate)
    told = f"promoted {plain(found.trial)}, version {found.version}; run `quant run` to trade {found.strategy} by it"
    console.print(told, soft_wrap=True)


def demote(
    profile: ProfileOption = "demo", source: SourceOption = None, path: PathOption = None, set_: SetOption = None
) -> None:
    """Go back to the trial that was promoted before, or to the profile's own settings."""
    from quant_assets.commands.sweep_command import demote_trial

    found = demote_trial(_lab(profile, source, path, set_))
    told = f"back to {found.trial}, version {found.version}" if found.trial else "back to the profile's own settings"
    console.print(f"{plain(told)}; run `quant run` to trade by it", soft_wrap=True)


def _lab(profile: str, source: str | None, path: Path | None, pairs: list[str] | None) -> Any:
    from quant_assets.commands.sweep_command import refuse_settings
    from quant_assets.lab import Lab

    overrides, entries = parse_settings(pairs)
    refuse_settings(overrides)
    return Lab(chosen_profile(profile, source, path, entries), source_settings=overrides.get("raw_ohlcv", {}))


@contextmanager
def _experiments(
    profile: str, source: str | None, path: Path | None, pairs: list[str] | None, verbose: bool, quietly: bool = False
) -> Iterator[Any]:
    """A runner for trials: no setting of an asset but the source's is any run's own."""
    overrides, entries = parse_settings(pairs)
    from quant_assets.commands.sweep_command import refuse_settings
    from quant_assets.storage.paths import dagster_home

    refuse_settings(overrides)
    chosen = chosen_profile(profile, source, path, entries)
    home = dagster_home()
    from quant_assets.commands.opening import open_runner

    with open_runner(chosen, overrides, home, verbose, (lambda line: None) if quietly else say) as runner:
        yield runner
