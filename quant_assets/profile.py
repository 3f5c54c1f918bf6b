"""A profile = universe + source + dates + fold cadence + presets, from presets/*.yaml.

The profile's name prefixes every asset key and every path, so two universes never share status or files. A profile run
on another source than its own becomes `<name>_<source>` for the same reason.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cache
from pathlib import Path
from typing import Any, get_type_hints

import yaml

from quant_assets.setting_values import alternatives, fitting, from_yaml, shown
from quant_assets.storage.paths import safe_name
from quant_core.calendar import FIRST_DAY, LAST_DAY
from quant_core.errors import DataError, UnknownName
from quant_core.folds import Cadence

MONTH = re.compile(r"\d{4}-(0[1-9]|1[0-2])")
PRESETS = Path(__file__).parent / "presets"
#: One file a size of networks and trees: per asset, the settings that replace the defaults.
MODEL_PRESETS = PRESETS / "models"
DEFAULT_SIZE = "default"
#: Entries that list registered names.
NAME_LISTS = ("models", "strategies", "regimes", "agents")


@dataclass(frozen=True)
class Profile:
    """One research set-up.

    Attributes:
        name: prefix of asset keys and paths.
        description: one sentence for `quant list profiles`.
        universe: a name known to quant_core.market.universe.
        source: `name` of a registered source and its settings.
        start: first month of data, "YYYY-MM".
        end: last month of data, or None for a profile that grows with the calendar.
        first_fold: first out-of-sample year.
        fold_cadence: how often models are fitted again: "year" or "quarter".
        train_years: full years of data before a fold that its models are fitted on.
        models, strategies: registered names that the profile uses; None for all, but for models that need what this
            machine lacks.
        regimes: methods that find market regimes, `<name>_embeddings` for one that reads the encoder's embeddings; None
            for all, [] for none.
        regime_method: the one of them that is traded on and reported by.
        agents: who learn to trade the forecasts, `<name>_blind` for one that is not shown the regimes (left out where
            there are none); None for all, [] for none.
        model_size: of the models: "default" (the settings classes' own), or a file of presets/models: tiny (a demo),
            small (two cores), large (a data-centre GPU); plan: the agents' rewards as the lab's plan has them.
        price_index, total_return_index: benchmark tickers as the source calls them.
        market_series: further index-like series to keep beside the prices, as the source calls them.
        liquidity: settings of cleaning's LiquidityRule, for a universe that is the most traded stocks of each month.
        quality: settings of cleaning's QualityThresholds, for the check on clean_prices.
        drift: settings of the features' DriftConfig.
        encoder: pre-train a masked encoder a fold and store its embeddings; so does a model that begins with one, and a
            regime method that reads them.
        strict_lists: refuse a run beyond the day to which one of its lists is known (quant_core.market.lists), instead
            of saying so in the report.
        presets: per asset, the settings that replace the defaults.
    """

    name: str
    description: str
    universe: str
    source: Mapping[str, Any]
    start: str
    first_fold: int
    end: str | None = None
    fold_cadence: Cadence = "year"
    train_years: int = 5
    models: tuple[str, ...] | None = None
    strategies: tuple[str, ...] | None = None
    regimes: tuple[str, ...] | None = None
    regime_method: str = "hmm"
    agents: tuple[str, ...] | None = None
    model_size: str = DEFAULT_SIZE
    price_index: str = "^NSEI"
    total_return_index: str | None = "NIFTY 50 TRI"
    market_series: tuple[str, ...] = ()
    liquidity: Mapping[str, Any] | None = None
    quality: Mapping[str, Any] = field(default_factory=dict)
    drift: Mapping[str, Any] = field(default_factory=dict)
    encoder: bool = False
    strict_lists: bool = False
    presets: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        safe_name(self.name, "profile name")
        for entry, month in (("start", self.start), ("end", self.end)):
            if month is not None and not MONTH.fullmatch(month):
                raise DataError(f"profile {self.name}: {entry} {shown(month)} is not a month; write it as YYYY-MM.")
            if month is not None and not f"{FIRST_DAY:%Y-%m}" <= month <= f"{LAST_DAY:%Y-%m}":
                raise DataError(
                    f"profile {self.name}: {entry} {month} is outside the trading calendar; wanted a month from "
                    f"{FIRST_DAY:%Y-%m} to {LAST_DAY:%Y-%m}."
                )
        if not isinstance(self.source.get("name"), str):
            raise DataError(
                f"profile {self.name}: source {shown(dict(self.source))} has no name; "
                "write it as {name: files, path: DIR}."
            )
        if not self.universe:
            raise DataError(f"profile {self.name}: universe is empty; name one, or a CSV file with a column ticker.")
        if self.model_size not in model_sizes():
            raise DataError(
                f"profile {self.name}: model_size is {shown(self.model_size)}; wanted one of {model_sizes()}."
            )
        for entry in NAME_LISTS:
            object.__setattr__(self, entry, _names(f"profile {self.name}: {entry}", getattr(self, entry)))
        if self.end is not None and self.end < self.start:
            raise DataError(f"profile {self.name}: end {self.end} is before start {self.start}; swap them.")
        if self.train_years < 1:
            raise DataError(f"profile {self.name}: train_years is {self.train_years}; wanted at least 1.")
        if self.first_fold > LAST_DAY.year:
            raise DataError(
                f"profile {self.name}: first_fold {self.first_fold} is after the trading calendar, which ends "
                f"{LAST_DAY}; give an earlier year."
            )
        first_possible = int(self.start[:4]) + self.train_years + (self.start[5:] != "01")
        if self.first_fold < first_possible:
            raise DataError(
                f"profile {self.name}: fold {self.first_fold} needs {self.train_years} full years before it, but data "
                f"starts {self.start}; use first_fold {first_possible} or later, an earlier start or fewer train_years."
            )


def profile_names() -> list[str]:
    """Names of the shipped profiles."""
    return sorted(path.stem for path in PRESETS.glob("*.yaml"))


def model_sizes() -> list[str]:
    """Names that `Profile.model_size` may have."""
    return sorted([DEFAULT_SIZE, *(path.stem for path in MODEL_PRESETS.glob("*.yaml"))])


@cache
def model_presets(size: str) -> Mapping[str, Mapping[str, Any]]:
    """Per asset, the settings of that size that replace the defaults."""
    return {} if size == DEFAULT_SIZE else yaml.safe_load((MODEL_PRESETS / f"{size}.yaml").read_text()) or {}


@cache
def _preset(name: str) -> Mapping[str, Any]:
    entries: dict[str, Any] = yaml.safe_load((PRESETS / f"{name}.yaml").read_text())
    return entries


def load_profile(name: str, overrides: Mapping[str, Any] | None = None) -> Profile:
    """Read presets/<name>.yaml and replace top-level entries.

    Args:
        overrides: profile fields to replace, e.g. {"source": {"name": "files", "path": "nse"}, "start": "2008-01"}.
    Raises:
        UnknownName: no such profile.
        DataError: an entry that a profile does not have.
    """
    if name not in profile_names():
        raise UnknownName("profile", name, profile_names())
    entries = _preset(name)
    known = {f.name for f in fields(Profile)} - {"name"}
    unknown = sorted((set(entries) | set(overrides or {})) - known)
    if unknown:
        raise DataError(f"profile {name}: {unknown} are not profile entries; known: {', '.join(sorted(known))}.")
    profile = Profile(name=name, **{key: _entry(name, key, value) for key, value in entries.items()})
    replaced = {key: _given(name, key, value) for key, value in (overrides or {}).items()}
    profile = replace(profile, **replaced)  # together: halves of a change may contradict each other
    source = profile.source.get("name")
    if source != entries["source"]["name"]:
        where = f" in {profile.source['path']}" if "path" in profile.source else ""
        said = f"Prices of the source {source}{where}, with the universe, dates and settings of the profile {name}."
        profile = replace(profile, name=f"{name}_{source}", description=said)
    return profile


def _given(name: str, key: str, value: Any) -> Any:
    """An override in the type that the entry has; text, as a command line gives it, is read as YAML but for entries
    that are text themselves.
    """
    if isinstance(value, str):
        read = from_yaml(value)
        value = value if str in alternatives(_types()[key]) and read is not None else read
    return _entry(name, key, value)


def _entry(name: str, key: str, value: Any) -> Any:
    return fitting(value, _types()[key], f"profile {name}: {key}")


@cache
def _types() -> Mapping[str, Any]:
    return get_type_hints(Profile)


def _names(where: str, value: Any) -> tuple[str, ...] | None:
    """A list of names without repetition, or None."""
    if value is None:
        return None
    if len(set(value)) < len(value):
        raise DataError(f"{where} is {shown(value)}; wanted a list of different names, e.g. [ridge].")
    return tuple(value)


def profile_from_environment() -> Profile:
    """QUANT_PROFILE (default demo), with QUANT_SOURCE and QUANT_SOURCE_PATH replacing its source where set."""
    name = os.environ.get("QUANT_PROFILE") or "demo"
    return load_profile(name, source_override(os.environ.get("QUANT_SOURCE"), os.environ.get("QUANT_SOURCE_PATH")))


def source_override(source: str | None, path: str | None) -> dict[str, Any]:
    """The `source` entry that a name and a path stand for; an empty mapping where neither is given."""
    if not source and not path:
        return {}
    settings: dict[str, Any] = {"name": source or "files"}
    if path:
        settings["path"] = str(Path(path).expanduser().resolve())
    return {"source": settings}
