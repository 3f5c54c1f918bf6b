"""What every asset of one profile shares: its partitions, its settings classes and where its data lives."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import cached_property
from typing import Any

import dagster as dg
import polars as pl

from quant_assets import trials
from quant_assets.closure import Tree, installed, reach
from quant_assets.config import build, config_class
from quant_assets.currency import code_version, plain
from quant_assets.partitions import Partitions, build_partitions
from quant_assets.paths import data_root
from quant_assets.profile import Profile
from quant_core.allocation import AllocationConfig
from quant_core.backtest.config import BacktestConfig
from quant_core.cleaning.checks import QualityThresholds
from quant_core.cleaning.clean import CleaningConfig
from quant_core.cleaning.liquidity import LiquidityRule
from quant_core.errors import QuantError, UnknownName
from quant_core.features import FeatureConfig, warm_up_sessions
from quant_core.features.drift import DriftConfig
from quant_core.forecasting import MODELS
from quant_core.forecasting.labels import LabelConfig
from quant_core.market.sources import SOURCES
from quant_core.market.universe import membership, sector_of, tickers
from quant_core.report.settings import ReportConfig

#: What an asset asks of its lab without its content depending on the answer: names, places, partitions (a fingerprint
#: holds the ones that they map to), and its settings, which count whether it asks or not.
PLUMBING = frozenset({"key", "prefix", "root", "partitions", "code", "config", "source_class"})


@dataclass(frozen=True)
class Lab:
    """A profile made ready for asset factories."""

    profile: Profile
    tree: Tree = field(default_factory=installed)

    @cached_property
    def partitions(self) -> Partitions:
        return build_partitions(self.profile, warm_up_sessions(self.defaults("features")))

    @cached_property
    def root(self) -> Any:
        return data_root()

    @property
    def prefix(self) -> list[str]:
        return [self.profile.name]

    def key(self, asset: str) -> dg.AssetKey:
        return dg.AssetKey([self.profile.name, asset])

    # ---- settings ---------------------------------------------------------------------------------------------------

    @cached_property
    def settings_classes(self) -> dict[str, type]:
        """The dataclass behind the run configuration of each asset that has one."""
        forecasters = {f"forecaster_{name}": MODELS[name].config_class for name in MODELS}
        return {
            "raw_ohlcv": self.source_class,
            "clean_prices": CleaningConfig,
            "features": FeatureConfig,
            "training_window": LabelConfig,
            **forecasters,
            "target_weights": AllocationConfig,
            "backtest": BacktestConfig,
            "backtest_report": ReportConfig,
        }

    def settings(self, asset: str) -> dict[str, Any]:
        """The profile's settings of an asset: what replaces the defaults of its dataclass."""
        price, total = self.profile.price_index, self.profile.total_return_index or self.profile.price_index
        derived: dict[str, dict[str, Any]] = {
            "raw_ohlcv": {key: value for key, value in self.profile.source.items() if key != "name"},
            "features": {"index_ticker": price},
            "target_weights": {"index_ticker": price},
            "backtest": {"index_ticker": price, "total_return_index_ticker": total},
        }
        return derived.get(asset, {}) | dict(self.profile.presets.get(asset) or {})

    def defaults(self, asset: str) -> Any:
        """The asset's settings dataclass as the profile sets it."""
        return build(self.settings_classes[asset], self.settings(asset), asset)

    def config(self, asset: str) -> type[dg.Config]:
        """Launchpad config of an asset: its dataclass with the profile's settings as defaults."""
        return config_class(asset, self.settings_classes[asset], self.settings(asset))

    def with_overrides(self, asset: str, values: Mapping[str, Any]) -> Any:
        """The asset's settings dataclass with a run's values on top.

        Raises:
            UnknownName: the asset has no settings. DataError: no such setting, or a value that it refuses.
        """
        if asset not in self.settings_classes:
            raise UnknownName("asset with settings", asset, list(self.settings_classes))
        return build(self.settings_classes[asset], self.settings(asset) | dict(values), asset)

    def changed_settings(self, asset: str, node: Mapping[str, Any]) -> dict[str, Any]:
        """What a run's configuration of an asset's node changes against the profile.

        The launchpad writes out every default; a run that changes nothing must look the same from wherever it started.
        """
        given = dict(node.get("config") or {})
        for op in (node.get("ops") or {}).values():
            given |= op.get("config") or {}
        plain = self._launch_defaults.get(asset, {})
        return {name: value for name, value in given.items() if name not in plain or plain[name] != value}

    @cached_property
    def _launch_defaults(self) -> dict[str, dict[str, Any]]:
        return {asset: self.config(asset)().model_dump() for asset in self.settings_classes}

    def code(self, asset: str, made_by: Callable[..., Any], *registered: str) -> str:
        """Code version of an asset: the code that it reaches, the profile's settings for it, what it asks of the lab.

        Args:
            made_by: the function that defines the asset.
            registered: `Registry.entry` of what it is given to work with.
        """
        found = reach(self.tree, (f"{made_by.__module__}:{made_by.__name__}", *registered))
        answers = {".".join(asked): self._answer(asked) for asked in found.asked if asked[0] not in PLUMBING}
        return code_version(found, {"settings": self.settings(asset), "answers": answers})

    def _answer(self, asked: tuple[str, ...]) -> Any:
        """What an asset gets when it reads these attributes of the lab, in a form that can be hashed.

        Data that cannot be read now is the asset's own error when it runs; loading the definitions goes on.
        """
        name, detail = asked[0], asked[1] if len(asked) > 1 else ""
        try:
            if name == "profile":
                own_list = self.membership() if detail == "universe" else None
                return [plain(getattr(self.profile, detail) if detail else self.profile), plain(own_list)]
            value = getattr(self, name)
            wanted = [detail] if detail and callable(value) else []
            return plain(value(*wanted) if callable(value) else value)
        except QuantError as error:
            return str(error)

    # ---- the source -------------------------------------------------------------------------------------------------

    @cached_property
    def source_class(self) -> type:
        return SOURCES[str(self.profile.source["name"])]

    def wanted_tickers(self) -> list[str] | None:
        """Every ticker that was ever in the universe, and the benchmark indices; None for all that the source has."""
        names = tickers(self.profile.universe)
        benchmarks = (self.profile.price_index, self.profile.total_return_index)
        indices = [name for name in (*benchmarks, *self.profile.market_series) if name]
        return None if names is None else sorted({*names, *indices})

    def membership(self) -> pl.DataFrame | None:
        """Dated membership of the profile's universe, None where everything the source has is a member."""
        return None if tickers(self.profile.universe) is None else membership(self.profile.universe)

    def sectors(self) -> pl.DataFrame:
        """Columns ticker, sector: the simulator's own, else what NSE's lists say."""
        source = self.defaults("raw_ohlcv")
        return source.sectors() if hasattr(source, "sectors") else sector_of().select("ticker", "sector")

    def drift_limits(self) -> DriftConfig:
        """What the profile calls drift of a month's features."""
        return build(DriftConfig, dict(self.profile.drift), "drift")

    def liquidity(self) -> LiquidityRule | None:
        """The rule that makes the most traded stocks the members, None where the universe's list decides."""
        rule = self.profile.liquidity
        return None if rule is None else build(LiquidityRule, dict(rule), "liquidity")

    def thresholds(self) -> QualityThresholds:
        """What the profile calls a bad month of prices."""
        return build(QualityThresholds, dict(self.profile.quality), "quality")

    def external_version(self, key: dg.AssetKey, partition: str) -> str:
        """What lies outside the graph in a fingerprint: the source of a raw month, the trials that a report counts."""
        if key == self.key("backtest_report"):
            return trials.signature(self.root, self.profile.name, date(int(partition), 12, 31))
        if key != self.key("raw_ohlcv"):
            return ""
        window = self.partitions.months.time_window_for_partition_key(partition)
        last = date.fromordinal(window.end.date().toordinal() - 1)
        source = self.defaults("raw_ohlcv")
        return str(source.version(window.start.date(), last, datetime.now(UTC)))
