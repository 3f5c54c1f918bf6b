"""Checks that stop what is downstream of a bad partition, and warnings that do not.

A check is a function of one stored partition to a verdict; `build` turns those of an asset into one Dagster definition
that judges every partition of a run by itself, however long the range, and reads each partition once. A verdict does
not depend on what else the run made: what lies around a partition is read from storage. `contract` is the check that
every table has, from its schema. What only the making knows is judged inside the asset (assets/market_data.py,
assets/forecasts.py, assets/target_weights.py); `verdicts` says how both reach Dagster.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import dagster as dg

from quant_assets.checks.contracts import contract_of
from quant_assets.checks.freshness import fresh
from quant_assets.checks.judgements import (
    accounting,
    actions_resolved,
    causality_sample,
    contract,
    contracts_kept,
    crisis_is_worst,
    drift_of_features,
    feasible,
    index_present,
    rows_consistent,
    sessions_complete,
)
from quant_assets.checks.verdicts import Evaluations, Verdict, evaluated, run_partitions
from quant_assets.currency.fingerprints import node_config
from quant_assets.lab import Lab
from quant_assets.storage.stored import Stored, Subject
from quant_core.errors import QuantError


@dataclass(frozen=True)
class Check:
    """What is judged of each partition of an asset.

    Args:
        judge: its verdict; a QuantError that it raises is one too.
        together: the verdicts on those of a run's partitions that can be judged at once; the others are judged one by
            one.
        blocking: whether a failure stops what is downstream.
        is_sample: it judges the code more than the data, and costs more: the newest partition of a run is judged, and
            stands for what else the run made.
    """

    name: str
    description: str
    judge: Callable[[Stored], Verdict]
    blocking: bool = False
    is_sample: bool = False
    together: Callable[[Sequence[Stored]], Mapping[str, Verdict]] | None = None


def build(lab: Lab, assets: Sequence[dg.AssetsDefinition]) -> list[dg.AssetChecksDefinition]:
    """The checks of every asset that has some, one definition an asset."""
    return [
        _definition(lab, key.path[-1], asset.partitions_def, checks)
        for asset in assets
        for key in asset.keys
        if (checks := checks_of(key.path[-1]))
    ]


def checks_of(asset: str) -> list[Check]:
    """The checks of an asset, its contract first."""
    return [*([CONTRACT] if contract_of(asset) else []), *CHECKS.get(asset, ())]


def _definition(
    lab: Lab, asset: str, partitions: dg.PartitionsDefinition | None, checks: Sequence[Check]
) -> dg.AssetChecksDefinition:
    specs = [
        dg.AssetCheckSpec(
            one.name, asset=lab.key(asset), description=one.description, blocking=one.blocking,
            partitions_def=partitions,
        )
        for one in checks
    ]  # fmt: skip

    @dg.multi_asset_check(name=f"{lab.profile.name}__{asset}__checks", specs=specs, can_subset=True)
    def judged(context: dg.AssetCheckExecutionContext) -> Evaluations:
        assert isinstance(partitions, dg.TimeWindowPartitionsDefinition)  # months and folds are all that there are
        node = node_config(context.run.run_config, f"{lab.profile.name}__{asset}")
        subject = Subject(lab, asset, partitions, node.get("config") or {})
        chosen = {key.name for key in context.selected_asset_check_keys}
        made = [subject.stored(name) for name in run_partitions(context, lab.key(asset), partitions)]
        yield from evaluated(context, judge([one for one in checks if one.name in chosen], made))

    return judged


def judge(checks: Sequence[Check], made: Sequence[Stored]) -> dict[str, dict[str, Verdict]]:
    """The verdict of each check on each partition of a run, oldest first."""
    verdicts: dict[str, dict[str, Verdict]] = {one.name: {} for one in checks}
    for one in (check for check in checks if check.is_sample):
        verdict = _verdict(one, made[-1])
        told = replace(verdict, metadata={"sampled": made[-1].name, **verdict.metadata})
        verdicts[one.name] = {stored.name: told for stored in made}
    of_each = [check for check in checks if not check.is_sample]
    known = {one.name: one.together(made) for one in of_each if one.together}
    for stored in made:
        for one in of_each:
            found = known.get(one.name, {}).get(stored.name)
            verdicts[one.name][stored.name] = found or _verdict(one, stored)
    return verdicts


def _verdict(check: Check, stored: Stored) -> Verdict:
    try:
        return check.judge(stored)
    except QuantError as error:
        return Verdict(False, {"error": str(error)})


CONTRACT = Check(
    "contract", "Columns, dtypes, keys, nulls and ranges as the table's schema says.", contract, blocking=True,
    together=contracts_kept,
)  # fmt: skip
FRESH = Check(
    "fresh", "The newest session that closed a while ago is there; months in which none is due pass.", fresh
)  # fmt: skip
CHECKS: Mapping[str, Sequence[Check]] = {
    "raw_ohlcv": (FRESH,),
    "clean_prices": (
        FRESH,
        Check(
            "rows_consistent", "Positive prices inside high and low; carried rows without a return.", rows_consistent,
            blocking=True,
        ),
        Check(
            "sessions_complete", "Every NSE session up to the newest row has prices of the members, of nearly all.",
            sessions_complete,
        ),
        Check(
            "actions_resolved", "No member's price jump waits for a person to say whether it is a corporate action.",
            actions_resolved, blocking=True,
        ),
        Check(
            "index_present", "The benchmark's price index has a row for every session, but for a few that are carried.",
            index_present,
        ),
    ),
    "features": (
        FRESH,
        Check(
            "causality_sample", "Leak certificate: cutting, emptying or shuffling what follows a sampled date changes "
            "no row; a run samples its newest month.", causality_sample, blocking=True, is_sample=True,
        ),
        Check(
            "drift", "The month's distribution of each feature beside the twelve months before it.", drift_of_features
        ),
    ),
    "target_weights": (
        Check(
            "feasible", "Weights are positive, sum to at most 1 with cash; no stock exceeds the largest position.",
            feasible, blocking=True,
        ),
    ),
    "regime_quality": (
        Check(
            "crisis_is_worst", "Out of sample the traded method's Crisis has the highest volatility and the worst "
            "drawdown of its regimes.", crisis_is_worst,
        ),
    ),
    "backtest": (
        Check(
            "accounting", "Cash, positions, trades and costs add up to the paisa every day; decisions precede their "
            "fills.", accounting, blocking=True,
        ),
    ),
}  # fmt: skip
