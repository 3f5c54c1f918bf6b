"""What every asset of one profile shares: its partitions, its settings classes and where its data lives."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from typing import Any

import dagster as dg
import polars as pl

from quant_assets.config import build, config_class
from quant_assets.currency import outside
from quant_assets.currency.closure import Tree, installed, reach
from quant_assets.currency.fingerprints import code_version, plain
from quant_assets.currency.list_use import lists_of
from quant_assets.experiments.promoted import Promoted, read_promoted
from quant_assets.partitions import Partitions, build_partitions
from quant_assets.profile import Profile, model_presets
from quant_assets.storage.paths import data_root
from quant_assets.storage.review_log import reviewed_actions
from quant_core.allocation.learning.agent import AGENTS, BLIND, agent_of, is_blind
from quant_core.calendar import last_closed_session, sessions
from quant_core.cleaning.most_traded import LiquidityRule
from quant_core.cleaning.quality import QualityThresholds
from quant_core.errors import DataError, QuantError, UnknownName
from quant_core.features import warm_up_sessions
from quant_core.features.drift import DriftConfig
from quant_core.forecasting import MODELS
from quant_core.forecasting.ensemble import ENSEMBLE
from quant_core.market.lists import DIVIDENDS, KnownList, lists_known, refuse_beyond
from quant_core.market.sources import SOURCES
from quant_core.market.universe import EVERY_TICKER, Universe, membership, sector_of, universe
from quant_core.regimes import METHODS
from quant_core.regimes.config import is_of_embeddings, method_of
from quant_core.runtime import has_gpu

#: The demo's universe, and the source that draws it.
SIMULATED = "simulated"
#: What an asset asks of its lab without its content depending on the answer: names, places, partitions (a fingerprint
#: holds the ones that they map to), and its settings, which count whether it asks or not.
PLUMBING = frozenset({
    "key", "prefix", "root", "partitions", "code", "config", "source_class", "settings_classes", "changed_settings",
    "models", "forecasters", "has_encoder", "regime_methods", "has_regimes", "agents",
})  # fmt: skip
#: What an asset asks about its own partitions; `Lab.external_version` says what that is for each of them.
BY_PARTITION = frozenset({"cleaning_actions", "refuse_unknown", "lists", "lists_known"})


@dataclass(frozen=True)
class Lab:
    """A profile made ready for asset factories.

    Attributes:
        source_settings: what a run changes of the source's settings. They count wherever the source is asked: for rows,
            for the folder's own lists, for whether a stored month is current.
    """

    profile: Profile
    tree: Tree = field(default_factory=installed)
    source_settings: Mapping[str, Any] = field(default_factory=dict)

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

    @cached_property
    def models(self) -> tuple[str, ...]:
        """Forecasters of the profile that read features: those that it names, else all that this machine can finish.

        Raises:
            UnknownName: one is not registered.
        """
        if self.profile.models is None:
            return tuple(name for name in MODELS if has_gpu() or not MODELS[name].resources.gpu_required)
        return tuple(MODELS[name].name for name in self.profile.models if name != ENSEMBLE)

    @cached_property
    def forecasters(self) -> tuple[str, ...]:
        """Everything of the profile that forecasts: its models, and the ensemble of them where it has one.

        Raises:
            DataError: an ensemble of fewer than two models.
        """
        named = self.profile.models
        has_one = len(self.models) > 1 if named is None else ENSEMBLE in named
        if has_one and len(self.models) < 2:
            raise DataError(
                f"profile {self.profile.name}: an ensemble of {list(self.models)}; wanted two models or more beside it."
            )
        return (*self.models, ENSEMBLE) if has_one else self.models

    @cached_property
    def has_encoder(self) -> bool:
        """Whether the profile wants a masked encoder, has a model that begins with one or a regime method that reads
        its embeddings."""
        model_needs_it = any(MODELS[name].needs_encoder for name in self.models)
        return self.profile.encoder or model_needs_it or any(map(is_of_embeddings, self.profile.regimes or ()))

    @cached_property
    def regime_methods(self) -> tuple[str, ...]:
        """Methods that find market regimes: those that the profile names, else all that there are.

        Raises:
            UnknownName: one is not registered. DataError: the traded one is not among them.
        """
        named = self.profile.regimes
        if named is None:
            named = (*METHODS, *(("gmm_embeddings",) if self.has_encoder else ()))
        for name in named:
            method_of(name)
        if named and self.profile.regime_method not in named:
            raise DataError(
                f"profile {self.profile.name}: regime_method is {self.profile.regime_method!r}, which is none of its "
                f"regimes {list(named)}; name one of them."
            )
        return tuple(named)

    @property
    def has_regimes(self) -> bool:
        """Whether the profile finds market regimes."""
        return bool(self.regime_methods)

    @cached_property
    def agents(self) -> tuple[str, ...]:
        """Who learns to trade the forecasts: those that the profile names, else all that there are. One that is not
        shown the regimes is left out where there are none, as it would be the agent that is.

        Raises:
            UnknownName: one is not registered.
        """
        named = tuple(AGENTS) if self.profile.agents is None else self.profile.agents
        for name in named:
            AGENTS[agent_of(name)]
        return tuple(name for name in named if self.has_regimes or not is_blind(name))

    @cached_property
    def promoted(self) -> Promoted:
        """The promoted trial, whose settings replace the profile's."""
        return read_promoted(self.root, self.profile.name)

    # ---- settings ---------------------------------------------------------------------------------------------------

    @cached_property
    def settings_classes(self) -> dict[str, type]:
        """The dataclass behind the run configuration of each asset that has one, as its stage says."""
        from quant_assets.assembly import STAGES

        return {asset: settings for stage in STAGES for asset, settings in stage.setting_classes(self).items()}

    def settings(self, asset: str) -> dict[str, Any]:
        """The profile's settings of an asset, those of a promoted trial last: what replaces its class's defaults."""
        price, total = self.profile.price_index, self.profile.total_return_index or self.profile.price_index
        traded = {"regime_method": self.profile.regime_method}
        derived: dict[str, dict[str, Any]] = {
            "raw_ohlcv": {key: value for key, value in self.profile.source.items() if key != "name"},
            "features": {"index_ticker": price},
            "target_weights": {"index_ticker": price, "strategies": self.profile.strategies} | traded,
            "backtest": {"index_ticker": price, "total_return_index_ticker": total} | traded,
            "regime_books": traded,
            "regime_model": {"index_ticker": price, "vix_ticker": self._vix, "methods": self.regime_methods},
        }
        of_size = dict(model_presets(self.profile.model_size).get(asset) or {})
        if asset.endswith(BLIND):  # as the agent that sees, but for what it is shown
            seeing = asset.removesuffix(BLIND)
            derived[asset] = self.settings(seeing) | {"regime_aware": False}
        preset = dict(self.profile.presets.get(asset) or {})
        return derived.get(asset, {}) | of_size | preset | dict(self.promoted.settings.get(asset, {}))

    @property
    def _vix(self) -> str | None:
        """The profile's series of implied volatility, by its name."""
        return next((name for name in self.profile.market_series if "VIX" in name.upper()), None)

    def defaults(self, asset: str) -> Any:
        """The asset's settings dataclass as the profile sets it.

        Raises:
            UnknownName: the asset has no settings, or this profile no such asset.
        """
        return build(self._settings_class(asset), self.settings(asset), asset)

    def config(self, asset: str) -> type[dg.Config]:
        """Launchpad config of an asset: its dataclass with the profile's settings as defaults."""
        return config_class(asset, self.settings_classes[asset], self.settings(asset))

    def with_overrides(self, asset: str, values: Mapping[str, Any]) -> Any:
        """The asset's settings dataclass with a run's values on top.

        Raises:
            UnknownName: the asset has no settings. DataError: no such setting, or a value that it refuses.
        """
        settings = self._settings_class(asset)
        try:
            return build(settings, self.settings(asset) | dict(values), asset)
        except QuantError as error:
            if not values or any(name in str(error) for name in values):
                raise
            raise DataError(f"{asset}.{', '.join(values)}: {error}") from error

    def _settings_class(self, asset: str) -> type:
        if asset not in self.settings_classes:
            raise UnknownName("asset with settings", asset, list(self.settings_classes))
        return self.settings_classes[asset]

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
        answers = {
            ".".join(asked): self._answer(asked) for asked in found.asked if asked[0] not in PLUMBING | BY_PARTITION
        }
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
            if name == "universe_name":
                return [self.universe_name, plain(self.membership())]
            value = getattr(self, name)
            wanted = [detail] if detail and callable(value) else []
            if callable(value) and not _takes(value, wanted):  # its answer depends on the run, so its code counts
                return [unit.digest for unit in self.tree.module(__name__).bound[type(self).__name__]]
            return plain(value(*wanted) if callable(value) else value)
        except QuantError as error:
            return str(error)

    # ---- the source -------------------------------------------------------------------------------------------------

    @cached_property
    def source_class(self) -> type:
        return SOURCES[str(self.profile.source["name"])]

    @property
    def source(self) -> Any:
        """The profile's source, as its settings and those of the run make it."""
        return self.with_overrides("raw_ohlcv", self.source_settings)

    def as_run(self, asset: str, changed: Mapping[str, Any]) -> "Lab":
        """The lab as a run of the asset sees it: settings of the source given in the launchpad are that run's alone."""
        if asset != "raw_ohlcv" or dict(changed) == dict(self.source_settings):
            return self
        return replace(self, source_settings=dict(changed))

    def wanted_tickers(self) -> list[str] | None:
        """Every ticker that was ever in the universe, and the benchmark indices; None for all that the source has."""
        members = self.membership()
        benchmarks = (self.profile.price_index, self.profile.total_return_index)
        indices = [name for name in (*benchmarks, *self.profile.market_series) if name]
        return None if members is None else sorted({*members["ticker"], *indices})

    # ---- lists of facts ---------------------------------------------------------------------------------------------

    def membership(self) -> pl.DataFrame | None:
        """Dated membership of the profile's universe, None where everything the source has is a member.

        A folder's own list wins over the shipped one; names are those of the source's rows.
        """
        source = self.source
        members = getattr(source, "membership", membership)(self.profile.universe)
        return None if EVERY_TICKER in members["ticker"] else members

    def universe(self) -> Universe:
        """What a report must say of the universe."""
        return getattr(self.source, "universe", universe)(self.universe_name)

    @property
    def universe_name(self) -> str:
        """The profile's universe; "all" where the demo's is not simulated but read from another source."""
        own, source = self.profile.universe, str(self.profile.source["name"])
        return "all" if own == SIMULATED != source else own

    def sectors(self) -> pl.DataFrame:
        """Columns ticker, sector: the source's own (the simulator's, a folder's), else what NSE's lists say."""
        source = self.source
        return source.sectors() if hasattr(source, "sectors") else sector_of().select("ticker", "sector")

    def lists(self, asset: str = "") -> list[KnownList]:
        """The lists that the profile uses, or those that one of its assets reads, with their last known day."""
        chosen = None if self.membership() is None else self.universe()
        return lists_of(self.source, chosen, self.defaults("backtest"), asset)

    def lists_known(self, used_until: date, asset: str = "") -> pl.DataFrame:
        """`lists` as a table, beside the last day that is computed; see `market.lists.lists_known`."""
        return lists_known(self.lists(asset), used_until)

    def refuse_unknown(self, asset: str, end: date) -> None:
        """Nothing unless the profile sets strict_lists.

        Args:
            end: last day that the asset is asked for; it counts to the last session until then that has closed.
        Raises:
            DataError: a list of the asset ends before; names it, the days and the remedy.
        """
        if self.profile.strict_lists:
            last = min(end, last_closed_session(datetime.now(UTC)))
            used = sessions(last - timedelta(days=30), last)[-1]
            refuse_beyond(self.lists(asset), used, f"{self.profile.name}/{asset}")

    def dividends_known_until(self) -> date | None:
        """Last day whose dividends the prices have; None where no list limits them."""
        return next((one.known_until for one in self.lists("raw_ohlcv") if one.name == DIVIDENDS), None)

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

    def cleaning_actions(self) -> pl.DataFrame:
        """What cleaning applies itself: the reviewed lines, and those of the source's list that no raw row carries."""
        listed = [self.source.listed_events()] if hasattr(self.source, "listed_events") else []
        return pl.concat([reviewed_actions(self.root, self.profile.name), *listed], how="diagonal")

    def external_version(self, key: dg.AssetKey, partition: str) -> str:
        """What lies outside the graph in a partition's fingerprint."""
        return outside.external_version(self, key, partition)


def _takes(function: Callable[..., Any], arguments: list[Any]) -> bool:
    try:
        inspect.signature(function).bind(*arguments)
    except TypeError:
        return False
    return True
