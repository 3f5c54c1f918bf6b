"""What a check says of one partition, and how Dagster keeps it: an evaluation for every partition of a run.

Dagster plans a check once for each partition of a range, but `dg.AssetCheckResult` belongs to none of them: kept for
the range as a whole, it leaves every month shown as skipped. Every check of the lab, whether it reads what is stored
(quant_assets/checks/declared.py) or is made inside an asset, ends in `evaluated` instead.

Nothing here changes what an asset stores; closure.py leaves it out of code versions.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import dagster as dg
import polars as pl
from dagster._core.definitions.asset_checks.asset_check_evaluation import AssetCheckEvaluationTargetMaterializationData

from quant_assets.instance.event_batches import one_transaction
from quant_core.errors import DataError

WARN, ERROR = dg.AssetCheckSeverity.WARN, dg.AssetCheckSeverity.ERROR

CheckContext = dg.AssetExecutionContext | dg.AssetCheckExecutionContext
#: What an asset with checks yields after its table, and a check all in all.
Evaluations = Iterator[dg.AssetCheckEvaluation | dg.Output]


@dataclass(frozen=True)
class Verdict:
    """What a check says of one partition.

    Args:
        metadata: what a person reads beside it.
        severity: of a failure; ERROR of a blocking check stops what is downstream, WARN never does.
    """

    passed: bool
    metadata: Mapping[str, Any]
    severity: dg.AssetCheckSeverity = ERROR


def run_partitions(
    context: CheckContext, key: dg.AssetKey, definition: dg.PartitionsDefinition | None
) -> Sequence[str]:
    """The partitions of an asset that a run covers, in order.

    Raises:
        DataError: the run has none, as where the UI executes checks by themselves.
    """
    assert isinstance(definition, dg.TimeWindowPartitionsDefinition)  # months and folds are all that there are
    step = context.op_execution_context
    if not (step.has_partition_key or step.has_partition_key_range):
        raise DataError(
            f"{key.to_user_string()}: a check judges partitions, and this run has none; materialize the partitions "
            "again, or launch the check with the tag dagster/partition."
        )
    return definition.get_partition_keys_in_range(step.partition_key_range)


def of_each_partition(context: dg.AssetExecutionContext, judge: Callable[[pl.Expr], Verdict]) -> dict[str, Verdict]:
    """The verdict on each partition of a run.

    Args:
        judge: what it says of the rows on which an expression of their `date` holds.
    """
    definition = context.assets_def.partitions_def
    assert isinstance(definition, dg.TimeWindowPartitionsDefinition)
    verdicts = {}
    for name in run_partitions(context, context.asset_key, definition):
        window = definition.time_window_for_partition_key(name)
        last = window.end.date() - timedelta(days=1)
        verdicts[name] = judge(pl.col("date").is_between(window.start.date(), last))
    return verdicts


def evaluated(context: CheckContext, verdicts: Mapping[str, Mapping[str, Verdict]]) -> Evaluations:
    """What an asset yields after its table, or a check of it, so that Dagster keeps a verdict on each partition.

    Those that stop what is downstream are yielded, for Dagster to fail the step; the others are stored together.

    Args:
        verdicts: by check (one that the asset or the check definition has), then by partition.
    """
    definition = context.op_execution_context.assets_def
    specs = {spec.name: spec for spec in definition.check_specs if spec.name in verdicts}
    partitions = {name for judged in verdicts.values() for name in judged}
    made = {key: _materializations(context.instance, key, partitions) for key in {s.asset_key for s in specs.values()}}
    evaluations = [
        _evaluation(specs[check], name, verdict, made[specs[check].asset_key].get(name))
        for check, judged in verdicts.items()
        for name, verdict in judged.items()
    ]
    with one_transaction(context.instance):
        for one in evaluations:
            if not _stops(one):
                context.op_execution_context.log_event(one)  # type: ignore[arg-type]
    yield from (one for one in evaluations if _stops(one))
    yield from (dg.Output(None, output_name=spec.get_python_identifier()) for spec in specs.values())


def _stops(evaluation: dg.AssetCheckEvaluation) -> bool:
    return bool(evaluation.blocking) and not evaluation.passed and evaluation.severity == ERROR


def _evaluation(
    spec: dg.AssetCheckSpec,
    partition: str,
    verdict: Verdict,
    made: AssetCheckEvaluationTargetMaterializationData | None,
) -> dg.AssetCheckEvaluation:
    return dg.AssetCheckEvaluation(
        asset_key=spec.asset_key, check_name=spec.name, passed=verdict.passed, metadata=verdict.metadata,
        severity=verdict.severity, blocking=spec.blocking, partition=partition, target_materialization_data=made,
    )  # fmt: skip


def _materializations(
    instance: dg.DagsterInstance, key: dg.AssetKey, partitions: Set[str]
) -> dict[str, AssetCheckEvaluationTargetMaterializationData]:
    """The newest materialization of each partition: what a verdict on it judges."""
    newest: dict[str, AssetCheckEvaluationTargetMaterializationData] = {}
    while wanted := sorted(partitions - set(newest)):
        of_these = dg.AssetRecordsFilter(asset_key=key, asset_partitions=wanted)
        records = instance.fetch_materializations(of_these, limit=len(wanted)).records
        for one in records:
            data = AssetCheckEvaluationTargetMaterializationData(
                storage_id=one.storage_id, run_id=one.run_id, timestamp=one.timestamp
            )
            newest.setdefault(str(one.partition_key), data)
        if not records:
            break
    return newest
