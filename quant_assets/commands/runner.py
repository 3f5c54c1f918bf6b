"""`quant run`: which partitions are not current, and the runs that make them so, upstream first, in this process.

Months of one asset go in one run; a fold is a run of its own. Everything is an ordinary Dagster run on the instance in
DAGSTER_HOME, so the UI shows it. A run that was killed leaves whole partitions behind; the next one continues there.
"""

import json
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import dagster as dg
from dagster._core.definitions.assets.graph.asset_graph import AssetGraph
from dagster._core.execution.build_resources import wrap_resources_for_execution
from dagster._core.storage.tags import ASSET_PARTITION_RANGE_END_TAG, ASSET_PARTITION_RANGE_START_TAG

from quant_assets.asset_names import NEWEST_MONTH
from quant_assets.automation.daily import EVALUATION
from quant_assets.automation.refreshing import refresh_months
from quant_assets.currency.fingerprints import fingerprint, is_by_time, stamps_in, upstream_partitions
from quant_assets.experiments.trial_witness import SETTINGS_TAG
from quant_assets.fitting import TRAIN_SUFFIX
from quant_assets.instance.collector import garbage_freed
from quant_assets.instance.event_files import OpenRun
from quant_assets.instance.live_runs import own_tags
from quant_assets.instance.waiting import Say, slot_waits_said
from quant_assets.lab import Lab
from quant_assets.logs import lab_console, reason
from quant_assets.pages.data_seen import noted
from quant_assets.partitions import IST, first_month, fold_of, months_of
from quant_core.errors import DataError, QuantError, UnknownName
from quant_core.folds import fold

#: Assets with a setting `until`, the last day that they judge.
ENDING = ("forecast_quality", "forecast_comparison", "backtest")
#: Settings of a run: asset -> setting -> value.
Overrides = Mapping[str, Mapping[str, Any]]


class RunFailed(QuantError):
    """A Dagster run did not succeed; the message is the first failed step's."""


@dataclass(frozen=True)
class Step:
    """One Dagster run to be done: partitions of one asset, contiguous; none of an asset that has none."""

    asset: str
    partitions: tuple[str, ...]


@dataclass(frozen=True)
class Runner:
    """Runs assets of one profile on one instance."""

    lab: Lab
    definitions: dg.Definitions
    instance: dg.DagsterInstance
    overrides: Overrides
    log_level: str = "ERROR"
    say: Say = print
    open_run: OpenRun = nullcontext
    jobs: dict[str, dg.JobDefinition] = field(default_factory=dict, compare=False)  # as they were resolved
    problems: Counter[str] = field(default_factory=Counter, compare=False)  # of the data, by kind, in all runs so far

    @property
    def graph(self) -> AssetGraph:
        return self.definitions.resolve_asset_graph()

    def stages(self) -> list[str]:
        """Assets of months and folds in the order in which they run, from the graph; trials are `quant sweep`'s."""
        own = (key for key in self.graph.toposorted_asset_keys if key.path[0] == self.lab.profile.name)
        return [key.path[-1] for key in own if is_by_time(self.graph.get(key).partitions_def)]

    def is_fold(self, asset: str) -> bool:
        """Whether an asset is partitioned by fold."""
        return self.graph.get(self.lab.key(asset)).partitions_def == self.lab.partitions.folds

    def wanted(self, first: str, last: str, until: Sequence[str]) -> dict[str, list[str]]:
        """Partitions to bring up to date: the months and folds asked for, and every upstream partition of theirs.

        Args:
            first, last: months, both included.
            until: assets asked for; empty for everything.
        """
        stages = self.stages()
        for name in until:
            if name not in stages:
                raise UnknownName("stage", name, stages)
        asked = set(until or stages)
        needed: dict[str, set[str]] = {name: set() for name in stages}
        for name in reversed(stages):
            key = self.lab.key(name)
            if name in asked:
                needed[name].update(self._asked(name, first, last))
            for parent in self.graph.get(key).parent_keys:
                for partition in needed[name]:
                    ours = upstream_partitions(self.graph, key, parent, partition)
                    needed[parent.path[-1]].update(p for p in ours if p[:7] <= last[: len(p)])
        return {name: sorted(partitions) for name, partitions in needed.items() if partitions}

    def month_range(self, first: str | None, last: str | None) -> tuple[str, str]:
        """First and last month of a request; see `month_range`."""
        return month_range(self.lab, first, last)

    def newest_months(self) -> list[str]:
        """What a refresh fetches again now."""
        today = datetime.now(ZoneInfo(IST)).date()
        return refresh_months(today)

    def _asked(self, name: str, first: str, last: str) -> list[str]:
        if not self.is_fold(name):
            months = [m for m in self.lab.partitions.months.get_partition_keys() if first <= m <= last]
            return months[-1:] if name in NEWEST_MONTH else months
        folds = self.folds_between(first, last)
        return folds[-1:] if self.graph.get(self.lab.key(name)).group_name == EVALUATION else folds

    def folds_between(self, first: str, last: str) -> list[str]:
        """Folds that begin in first..last; the last one may be unfinished."""
        folds = self.lab.partitions.folds.get_partition_keys()
        return [fold for fold in folds if first <= first_month(fold) <= last]

    def until(self, last: str) -> "Runner":
        """This runner with a backtest that ends with month `last`, where its fold goes on after it.

        What is stored of later months was made by other runs and is left out; the fold's partition is made again once
        a run goes further. A run up to the newest month that there is ends with the last price.
        """
        own = fold_of(self.lab.partitions.folds, last)
        is_open = own is not None and last != months_of(fold(own))[-1]
        is_open &= last != self.lab.partitions.months.get_last_partition_key()
        if not is_open or "until" in self.overrides.get("backtest", {}):
            return self
        window = self.lab.partitions.months.time_window_for_partition_key(last)
        end = (window.end.date() - timedelta(days=1)).isoformat()
        ended = {name: {"until": end, **self.overrides.get(name, {})} for name in ENDING}
        return replace(self, overrides={**self.overrides, **ended})

    def stale(self, asset: str, partitions: Sequence[str]) -> list[str]:
        """Partitions that are missing, or were made from something else than a run would use now."""
        key, config = self.lab.key(asset), self.lab.changed_settings(asset, self.node_config(asset))
        stamps, found = stamps_in(self.lab.root), []
        for partition in partitions:
            stamp = stamps(key, partition)
            now = fingerprint(self.graph, stamps, key, partition, config, self.lab.external_version)
            if stamp is None or stamp.fingerprint != now:
                found.append(partition)
        return found

    def steps(self, asset: str, partitions: Sequence[str]) -> Iterator[Step]:
        """Runs for these partitions: contiguous months together, folds one by one."""
        if self.is_fold(asset):
            yield from (Step(asset, (fold,)) for fold in partitions)
            return
        order = {key: n for n, key in enumerate(self.lab.partitions.months.get_partition_keys())}
        block: list[str] = []
        for month in partitions:
            if block and order[month] != order[block[-1]] + 1:
                yield Step(asset, tuple(block))
                block = []
            block.append(month)
        if block:
            yield Step(asset, tuple(block))

    def node_config(self, asset: str) -> dict[str, Any]:
        """Run config of one asset's node, as Dagster will see it."""
        settings = self.overrides.get(asset)
        if not settings:
            return {}
        node = self.definitions.resolve_assets_def(self.lab.key(asset)).node_def
        if isinstance(node, dg.GraphDefinition):
            train = next(op.name for op in node.nodes if op.name.endswith(TRAIN_SUFFIX))
            return {"ops": {train: {"config": dict(settings)}}}
        return {"config": dict(settings)}

    def _settings_tag(self) -> dict[str, str]:
        """What the run's user chose, for the register of trials."""
        return {SETTINGS_TAG: json.dumps(self.overrides, sort_keys=True, default=str)} if self.overrides else {}

    def _job(self, asset: str) -> dg.JobDefinition:
        """The asset and its checks as a job of the asset's name: that is what lists of runs show of it."""
        if asset not in self.jobs:
            selection = dg.AssetSelection.assets(self.lab.key(asset))
            job = dg.define_asset_job(asset, selection).resolve(
                self.graph, resource_defs=wrap_resources_for_execution(self.definitions.resources)
            )
            self.jobs[asset] = job.with_logger_defs({"console": lab_console})
        return self.jobs[asset]

    def execute(self, step: Step) -> None:
        """One Dagster run; raises RunFailed with the reason."""
        single = len(step.partitions) == 1
        span = step.partitions[0] if single else "..".join(step.partitions[:1] + step.partitions[-1:])
        key, run_id = self.lab.key(step.asset), str(uuid.uuid4())
        node = f"{self.lab.profile.name}__{step.asset}"
        ops = {node: self.node_config(step.asset)} if self.overrides.get(step.asset) else {}
        pools = self.graph.get(key).pools or ()
        with garbage_freed(), self.open_run(run_id), slot_waits_said(self.instance, pools, self.say):
            result = self._job(step.asset).execute_in_process(
                run_id=run_id,
                partition_key=step.partitions[0] if single else None,
                tags=own_tags(key.to_user_string(), span)
                | self._settings_tag()
                | (range_tags(step) if len(step.partitions) > 1 else {}),
                instance=self.instance,
                run_config={"ops": ops, "loggers": {"console": {"config": {"log_level": self.log_level}}}},
                raise_on_error=False,
            )
            failed = None if result.success else failure_reason(result)
            self.problems.update(noted(result))
            # It holds what the steps handed on, and Dagster 1.13.27 never lets go of a first step's context, which
            # shares it: its records remember the frame that made the first of their kind.
            result._output_capture.clear()  # type: ignore[attr-defined]
            del result
        if failed is not None:
            raise RunFailed(f"{self.lab.profile.name}/{f'{step.asset} {span}'.rstrip()}: {failed}")


def month_range(lab: Lab, first: str | None, last: str | None) -> tuple[str, str]:
    """First and last month of a request, checked against the profile's months.

    Raises:
        DataError: a month that the profile does not have.
    """
    months = lab.partitions.months.get_partition_keys()
    if not months:
        raise DataError(
            f"profile {lab.profile.name}: its first month, {lab.profile.start}, has not begun; "
            "set an earlier one with --set profile.start=YYYY-MM."
        )
    chosen = (first or months[0], last or months[-1])
    for option, month in zip(("--from", "--to"), chosen, strict=True):
        if month not in set(months):
            raise DataError(
                f"{option} {month}: profile {lab.profile.name} has months {months[0]}..{months[-1]}; "
                "give one of them as YYYY-MM, or change the profile with --set profile.start=YYYY-MM."
            )
    if chosen[0] > chosen[1]:
        raise DataError(f"--from {chosen[0]} is after --to {chosen[1]}; swap them.")
    return chosen


def range_tags(step: Step) -> dict[str, str]:
    """What makes a run one over a range of partitions."""
    return {ASSET_PARTITION_RANGE_START_TAG: step.partitions[0], ASSET_PARTITION_RANGE_END_TAG: step.partitions[-1]}


def failure_reason(result: dg.ExecuteInProcessResult) -> str:
    """Why the run failed, in one paragraph: the blocking check that stopped it, else the first failed step's reason.

    Of a step's errors the lab's own is told if there is one, else the innermost.
    """
    failed = [
        one for one in result.get_asset_check_evaluations()
        if one.blocking and not one.passed and one.severity == dg.AssetCheckSeverity.ERROR
    ]  # fmt: skip
    if failed:
        first = failed[0]
        others = [str(one.partition) for one in failed[1:] if one.check_name == first.check_name]
        where = f" in {first.partition}" + (f" and {len(others)} more up to {others[-1]}" if others else "")
        details = ", ".join(f"{name}: {value.value}" for name, value in first.metadata.items())
        return f"blocking check {first.check_name} failed{where}: {details}"
    for event in result.all_events:
        if event.is_step_failure and (error := event.step_failure_data.error):
            return reason(error)[0]
    return "the run failed without a step error; look at it in the UI"


def _check_strategies(lab: Lab, overrides: Overrides) -> None:
    """Raise an UnknownName for a strategy that is not registered; it would be told after the training otherwise."""
    from quant_core.allocation.strategy import STRATEGIES

    for name in lab.with_overrides("target_weights", overrides.get("target_weights", {})).strategies or ():
        STRATEGIES[name]


def check_overrides(lab: Lab, overrides: Overrides) -> None:
    """Fail before anything runs on a setting that no asset has, or a value that it refuses; the profile's own too."""
    for asset, values in overrides.items():
        lab.with_overrides(asset, values)
    for limits in (lab.thresholds, lab.drift_limits, lab.liquidity):
        limits()
    _check_strategies(lab, overrides)
    if set(lab.profile.presets) - set(lab.settings_classes):
        whole = Lab(replace(lab.profile, models=None, regimes=None, encoder=True)).settings_classes
        for asset in lab.profile.presets:
            if asset not in whole:
                raise UnknownName(f"profile {lab.profile.name}: presets: asset", asset, sorted(whole))
