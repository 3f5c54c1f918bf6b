"""What every asset of one profile shares: its partitions, its settings classes and where its data lives."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cached_property
from typing import Any

import dagster as dg
import polars as pl

from quant_assets import trials
from quant_assets.config import build, config_class
from quant_assets.currency import code_version
from quant_assets.partitions import Partitions, build_partitions, cleaning_begin
from quant_assets.paths import data_root
from quant_assets.profile import Profile
from quant_core.allocation import AllocationConfig
from quant_core.backtest.config import BacktestConfig
from quant_core.cleaning.checks import QualityThresholds
from quant_core.cleaning.clean import CleaningConfig
from quant_core.cleaning.liquidity import LiquidityRule
from quant_core.errors import DataError, UnknownName
from quant_core.features import FeatureConfig, warm_up_sessions
from quant_core.features.drift import DriftConfig
from quant_core.forecasting import MODELS
from quant_core.forecasting.labels import LabelConfig
from quant_core.market.action_list import no_actions, parse_actions
from quant_core.market.sources import SOURCES
from quant_core.market.universe import membership, sector_of, tickers
from quant_core.report.settings import ReportConfig

#: Shared by every stage; a change there makes everything after raw data stale.
FOUNDATION = tuple(f"quant_core/{name}.py" for name in ("schema", "calendar", "folds", "artifacts", "registry"))


@dataclass(frozen=True)
class Lab:
    """A profile made ready for asset factories."""

    profile: Profile

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

    def code(self, asset: str, *roots: str, **more: Any) -> str:
        """Code version of an asset: its stage's source, the foundation's, the profile's settings for it and `more`."""
        return code_version(*FOUNDATION, *roots, settings={**self.settings(asset), **more})

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

    def reviewed_path(self) -> Any:
        """The profile's own actions file: lines that a person reviewed."""
        return self.root / self.profile.name / "actions" / "reviewed.csv"

    def reviewed_actions(self) -> pl.DataFrame:
        """The reviewed lines as an actions table; empty where nobody has reviewed anything.

        Raises:
            DataError: a line that is none, with its number.
        """
        path = self.reviewed_path()
        if not path.exists():
            return no_actions()
        where = f"{self.profile.name}/actions/reviewed.csv"
        try:
            table = pl.read_csv(path.read_bytes(), infer_schema=False)
        except pl.exceptions.PolarsError as failure:
            raise DataError(f"{where}: cannot be read ({failure}); fix or remove the file.") from failure
        return parse_actions(table, where)

    def cleaning_actions(self) -> pl.DataFrame:
        """What cleaning applies itself: the reviewed lines, and those of the source's list that no raw row carries."""
        source = self.defaults("raw_ohlcv")
        listed = [source.listed_events()] if hasattr(source, "listed_events") else []
        return pl.concat([self.reviewed_actions(), *listed], how="diagonal")

    def _actions_version(self, start: date, end: date) -> str:
        """Digest of the lines that can concern clean months `start`..`end`; empty for none.

        A line concerns the months whose rows it can touch: those with its ex_date between the look-back and the end,
        and for a suspension every later month too.
        """
        lines = self.cleaning_actions().filter(
            pl.col("ex_date") <= end, (pl.col("ex_date") >= cleaning_begin(start)) | (pl.col("kind") == "suspension")
        )
        names = self.wanted_tickers()
        if names is not None:
            lines = lines.filter(pl.col("ticker").is_in(names))
        columns = ("ticker", "ex_date", "kind", "value", "into")
        text = lines.select(columns).sort(columns).write_csv() if lines.height else ""
        return hashlib.sha256(text.encode()).hexdigest()[:16] if text else ""

    def external_version(self, key: dg.AssetKey, partition: str) -> str:
        """What lies outside the graph: a raw month's source, a clean month's actions, a report's trials."""
        if key == self.key("backtest_report"):
            return trials.signature(self.root, self.profile.name, date(int(partition), 12, 31))
        if key not in (self.key("raw_ohlcv"), self.key("clean_prices")):
            return ""
        window = self.partitions.months.time_window_for_partition_key(partition)
        first, last = window.start.date(), date.fromordinal(window.end.date().toordinal() - 1)
        if key == self.key("clean_prices"):
            return self._actions_version(first, last)
        source = self.defaults("raw_ohlcv")
        return str(source.version(first, last, datetime.now(UTC)))
