"""What `quant list` and the end of a run print."""

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any, cast

import polars as pl
from rich.table import Table

from quant_assets.lab import Lab
from quant_assets.profile import load_profile, profile_names
from quant_assets.storage.partition_files import pointer_path, read_artifact
from quant_assets.storage.table_files import read_table
from quant_core.allocation import STRATEGIES
from quant_core.features import FEATURES, FeatureConfig
from quant_core.forecasting import MODELS
from quant_core.market.sources import SOURCES
from quant_core.regimes import METHODS

Listing = tuple[list[str], list[list[str]]]


def _first_line(thing: object) -> str:
    return (thing.__doc__ or "").strip().split("\n")[0]


def _features() -> Listing:
    windows = FeatureConfig().windows
    rows = []
    for name in FEATURES:
        feature = FEATURES[name]
        rows.append(
            [name, ", ".join(feature.columns(windows)), str(feature.warm_up_sessions(windows)), feature.summary]
        )
    return ["feature", "columns", "warm-up (sessions)", ""], rows


def _models() -> Listing:
    rows = [[name, "gpu" if MODELS[name].resources.gpu else "cpu", MODELS[name].summary] for name in MODELS]
    return ["model", "runs on", ""], rows


def _regimes() -> Listing:
    rows = [[name, ", ".join(METHODS[name].config_class().columns), METHODS[name].summary] for name in METHODS]
    return ["regime method", "reads", ""], rows


def _sources() -> Listing:
    rows = [
        [name, ", ".join(f.name for f in fields(cast("Any", SOURCES[name]))), _first_line(SOURCES[name])]
        for name in SOURCES
    ]
    return ["source", "settings", ""], rows


def _strategies() -> Listing:
    return ["strategy", ""], [[name, _first_line(STRATEGIES[name])] for name in STRATEGIES]


def _profiles() -> Listing:
    profiles = [load_profile(name) for name in profile_names()]
    rows = [
        [
            p.name,
            str(p.source["name"]),
            p.start,
            str(p.first_fold),
            "yes" if Lab(p).has_encoder else "no",
            p.description,
        ]
        for p in profiles
    ]
    return ["profile", "source", "data from", "first fold", "encoder", ""], rows


def _settings() -> Listing:
    lab = Lab(load_profile("demo"))
    rows = [
        [f"{asset}.{f.name}", str(getattr(lab.defaults(asset), f.name))]
        for asset, settings in lab.settings_classes.items()
        for f in fields(settings)
    ]
    return ["setting (for --set)", "value in the demo profile"], rows


LISTINGS: dict[str, Callable[[], Listing]] = {
    "features": _features,
    "models": _models,
    "regimes": _regimes,
    "sources": _sources,
    "strategies": _strategies,
    "profiles": _profiles,
    "settings": _settings,
}

HEADLINE = {
    "cagr": "CAGR",
    "volatility_ann": "volatility",
    "sharpe_ann": "Sharpe",
    "max_drawdown": "drawdown",
    "turnover_ann": "turnover",
}
PERCENT = {"cagr", "volatility_ann", "max_drawdown"}


def headline(lab: Lab, report: Path) -> Table:
    """The figures of the report, one row a strategy, for the terminal."""
    fold = report.parent.name.split("-")[0]
    metrics = read_table(read_artifact(pointer_path(lab.root, lab.key("backtest"), fold)), "metrics")
    shown = [name for name in HEADLINE if name in metrics.columns]
    table = Table(
        "out of sample, net of costs",
        *(HEADLINE[name] for name in shown),
        box=None,
        header_style="bold",
        pad_edge=False,
    )
    table.columns[0].no_wrap = True
    for column in table.columns[1:]:
        column.justify = "right"
    for row in metrics.sort(pl.col("strategy") == "benchmark", "strategy").iter_rows(named=True):
        table.add_row(row["strategy"], *(_figure(row[name], name) for name in shown))
    return table


def _figure(value: float | None, name: str) -> str:
    if value is None or value != value:
        return "-"
    return f"{value:.1%}" if name in PERCENT else f"{value:.2f}"
