"""What a backtest's run tells the register of trials, and what Dagster remembers of the register outside the data.

The event log keeps the hash of the register's newest entry and the number of trials with every backtest, so that a
register that was deleted whole, its copy with it, is missed by the next backtest and the next report.
"""

import json
from typing import Any

import dagster as dg

from quant_assets.experiments import trials
from quant_assets.lab import Lab
from quant_assets.profile import load_profile, profile_names

#: Run tag with the settings of the whole `quant run`, those of upstream assets included.
SETTINGS_TAG = "quant/settings"
PLACE, HEAD, COUNT = "trials_register", "trials_head", "trials"
#: Settings that say how far a test goes: a longer run of a bet is the same bet.
SPAN = ("backtest.until", "forecast_quality.until", "forecast_comparison.until")
#: Entries of a profile that say what is traded and how, not over which span and from where.
TRADED = ("universe", "train_years", "price_index", "total_return_index", "market_series", "liquidity", "presets")


def changed_settings(lab: Lab, asset: str, tags: Any, run_config: Any) -> dict[str, Any]:
    """In what a run differs from the shipped profile: settings of any asset as far as the run knows them."""
    found: dict[str, Any] = {}
    node = ((run_config or {}).get("ops") or {}).get(f"{lab.profile.name}__{asset}") or {}
    for name, values in {asset: node.get("config") or {}, **json.loads((tags or {}).get(SETTINGS_TAG) or "{}")}.items():
        changed = lab.changed_settings(name, {"config": values})
        found |= {f"{name}.{key}": value for key, value in changed.items() if f"{name}.{key}" not in SPAN}
    for name, values in lab.promoted.settings.items():
        found |= {f"promoted.{name}.{key}": value for key, value in values.items()}
    base = next((name for name in profile_names() if lab.profile.name in (name, _with_source(name, lab))), None)
    if base is not None:
        shipped = load_profile(base)
        own = {key: getattr(lab.profile, key) for key in TRADED}
        found |= {f"profile.{key}": value for key, value in own.items() if value != getattr(shipped, key)}
    return found


def decided_otherwise(tags: Any) -> list[str]:
    """Settings of a `quant run` that bear on what is decided; where rows come from and how far a test goes do not."""
    told = json.loads((tags or {}).get(SETTINGS_TAG) or "{}")
    names = [f"{asset}.{key}" for asset, values in told.items() if asset != "raw_ohlcv" for key in values]
    return sorted(name for name in names if name not in SPAN)


def noted(lab: Lab) -> dict[str, Any]:
    """Metadata of a backtest that the next one and the report compare the register with."""
    found = trials.read(lab.root, lab.profile.name).witness
    return {PLACE: str(trials.folder(lab.root, lab.profile.name)), HEAD: found.head, COUNT: found.n_trials}


def witness(lab: Lab, instance: dg.DagsterInstance) -> trials.Witness | None:
    """What the newest backtest of this register noted; None where Dagster knows of none in this place."""
    event = instance.get_latest_materialization_event(lab.key("backtest"))
    if event is None or event.asset_materialization is None:
        return None
    metadata = {name: value.value for name, value in event.asset_materialization.metadata.items()}
    if metadata.get(PLACE) != str(trials.folder(lab.root, lab.profile.name)):
        return None
    return trials.Witness(str(metadata.get(HEAD) or ""), int(str(metadata.get(COUNT) or 0)))


def _with_source(name: str, lab: Lab) -> str:
    return f"{name}_{lab.profile.source.get('name')}"
