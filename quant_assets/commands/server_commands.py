"""The `quant` commands that serve: Dagster's UI with its daemon, and MLflow's."""

import os
from typing import Annotated

import typer

from quant_assets.commands.terminal import PathOption, ProfileOption, SourceOption, chosen_profile

MlflowPortOption = Annotated[
    int | None, typer.Option(help="Port of MLflow's UI on 127.0.0.1; default: QUANT_MLFLOW_PORT, else 5000.")
]


def add_to(app: typer.Typer) -> None:
    """Make them commands of `quant`."""
    for command in (dev, mlflow):
        app.command()(command)


def dev(
    profile: ProfileOption = "demo", source: SourceOption = None, path: PathOption = None,
    port: Annotated[int, typer.Option(help="Port of Dagster's UI on 127.0.0.1.")] = 3000,
    mlflow_port: MlflowPortOption = None,
    automate: Annotated[bool, typer.Option("--automate", help="Switch on the daily refresh and every sensor.")] = False,
) -> None:  # fmt: skip
    """Start the web UI with its daemon (schedules, sensors, backfills), and MLflow's UI beside it, all on loopback.

    One Ctrl-C stops everything that it started.
    """
    chosen = chosen_profile(profile, source, path)
    os.environ["QUANT_PROFILE"] = profile
    if source or path:
        os.environ["QUANT_SOURCE"] = str(chosen.source["name"])
        os.environ["QUANT_SOURCE_PATH"] = str(chosen.source.get("path", ""))
    from quant_assets.commands.dev import serve

    raise typer.Exit(serve(chosen.name, port, mlflow_port, automate))


def mlflow(port: MlflowPortOption = None) -> None:
    """Start MLflow's own UI on loopback, over the runs that the lab tracked; `quant dev` starts it too."""
    from quant_assets.commands.dev import become_mlflow

    become_mlflow(port)
