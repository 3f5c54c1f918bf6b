"""Trials, one variant of forecaster and book a key, and the leaderboard that ranks them out of sample.

A trial is a graph of three ops: which folds there are, one fit a fold (each a step of its own, with its search
where the key asks for one), and the trade over all of them. It reads what the main assets stored and changes none of
it; what it leaves beside its own partition is its history in the register of trials, by which reports are deflated.
"""

import inspect
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import dagster as dg
import polars as pl

from quant_assets.asset_names import LEADERBOARD, TRIAL
from quant_assets.experiments import trial_witness, trials
from quant_assets.experiments.trial_board import SETTINGS_FILE, finished_trials, page_input, ranked_trials
from quant_assets.experiments.trial_keys import Variant, variant_of, wants_gpu
from quant_assets.experiments.trial_records import failed_trials, forget_failure, record_failure
from quant_assets.experiments.trial_work import Traded, fit_fold, fit_pointer, kept_fit, tested_folds, trade
from quant_assets.fitting import CPU_POOL, GPU_POOL
from quant_assets.lab import Lab
from quant_assets.pages.metadata import markdown_table
from quant_assets.pages.pictures import book_pictures
from quant_assets.storage.table_files import table_files
from quant_assets.tracking.mlflow_resource import artifact_link, run_address, tracked
from quant_core.fitted import Fitted
from quant_core.forecasting.scores import summaries
from quant_core.forecasting.search import SPACES

GROUP, PAGE = "experiments", "leaderboard.html"
ONE_TRIAL_A_RUN = dg.BackfillPolicy.multi_run(1)
FIT_FILE = "fit.json"
PREVIEWED = ("strategy", "cagr", "sharpe_ann", "max_drawdown")
SHOWN = ("trial", "deflated_sharpe", "sharpe_ann", "status")


def setting_classes(lab: Lab) -> dict[str, type]:
    """They have no settings: a trial's are its key, a leaderboard has none."""
    return {}


def build(lab: Lab) -> list[dg.AssetsDefinition]:
    """trial and leaderboard of a profile."""
    return [_trial(lab), _leaderboard(lab)]


def _trial(lab: Lab) -> dg.AssetsDefinition:
    parents = ("clean_prices", "features", "training_window", *(("encoder",) if lab.has_encoder else ()))
    folds, fit, traded = _folds_op(lab, parents), _fit_op(lab), _trade_op(lab)

    def graph(**inputs: Any) -> Any:
        return traded(folds(**inputs).map(fit).collect())

    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    graph.__signature__ = inspect.Signature([inspect.Parameter(name, kind) for name in parents])  # type: ignore[attr-defined]
    made = dg.graph_asset(
        name=TRIAL,
        key_prefix=lab.prefix,
        group_name=GROUP,
        partitions_def=lab.partitions.trials,
        backfill_policy=ONE_TRIAL_A_RUN,
        kinds={"mlflow", "numba"},
        description="One variant of forecaster, horizon, seed, book and their settings, fitted fold by fold and traded "
        "out of sample net of costs. The key says which, e.g. forecaster=ridge,horizon=5,seed=0.",
        code_version=lab.code(TRIAL, _trial),
        ins={name: dg.AssetIn(lab.key(name), partition_mapping=dg.AllPartitionMapping(), dagster_type=dg.Nothing)
             for name in parents},
    )  # fmt: skip
    return made(graph)


def _folds_op(lab: Lab, parents: Sequence[str]) -> dg.OpDefinition:
    @dg.op(name="trial__folds", ins={name: dg.In(dg.Nothing) for name in parents}, out=dg.DynamicOut())
    def folds(context: dg.OpExecutionContext) -> Iterator[dg.DynamicOutput]:
        """Checks the key, and says which folds are stored."""
        with failure_recorded(lab, context.partition_key):
            variant_of(lab, context.partition_key)
            for name in tested_folds(lab):
                yield dg.DynamicOutput({FIT_FILE: name.encode()}, mapping_key=name.replace("-", "_"))

    return folds


def _fit_op(lab: Lab) -> dg.OpDefinition:
    @dg.op(name="trial__fit", pool=GPU_POOL if wants_gpu(lab) else CPU_POOL, required_resource_keys={"mlflow"})
    def fit(context: dg.OpExecutionContext, folds: dict) -> dict:
        """One fold's fit, unless it is kept from before; its search, where there is one, sees the fit window alone."""
        key, name = context.partition_key, folds[FIT_FILE].decode()
        with failure_recorded(lab, key):
            variant = variant_of(lab, key)
            about = {"forecaster": variant.model, "fold": name, **asdict(variant.forecaster)}
            with tracked(context, f"{TRIAL} {name}", about) as told:

                def tell(epoch: int, values: Mapping[str, float]) -> None:
                    told.log_metrics(dict(values), step=epoch)

                fitted, was_kept = fit_fold(lab, variant, name, tell)
                rank_ic = (fitted.manifest.facts.get("validation_slice") or {}).get("rank_ic")
                told.log_metrics({} if rank_ic is None else {"validation_rank_ic": rank_ic})
                told.set_tags({"trial": key, "kept": was_kept, "content_hash": fitted.content_hash})
                context.log.info(f"{TRIAL} {key} fold {name}: {'kept' if was_kept else 'fitted'}")
        return {FIT_FILE: name.encode()}

    return fit


def _trade_op(lab: Lab) -> dg.OpDefinition:
    @dg.op(name="trial__trade", required_resource_keys={"mlflow"})
    def traded(context: dg.OpExecutionContext, fits: list) -> dict:
        """Scores, decisions and the account of the one book, entered into the register of trials."""
        key = context.partition_key
        with failure_recorded(lab, key):
            variant = variant_of(lab, key)
            names = sorted(one[FIT_FILE].decode() for one in fits)
            kept = {name: kept_fit(fit_pointer(lab, variant, name)) for name in names}
            fitted = {name: fit for name, (fit, _) in kept.items()}
            tries = pl.concat([table.with_columns(fold=pl.lit(name)) for name, (_, table) in kept.items()])
            with tracked(
                context, TRIAL, {"forecaster": variant.model, "book": variant.book, **told_apart(variant)}
            ) as told:
                done = trade(lab, variant, fitted)
                measures = measures_of(variant, done)
                new = entered(lab, key, done, context.instance)
                files = trial_files(variant, done, measures, tries, chosen_settings(variant, fitted[names[-1]]))
                told.log_metrics(measures | {"new_trials": new})
                told.set_tags({"trial": key, "profile": lab.profile.name})
                told.log_text(files[SETTINGS_FILE].decode(), SETTINGS_FILE)
                address = run_address(told)
            context.add_output_metadata({
                "mlflow_run": dg.MetadataValue.md(f"[open in MLflow]({address})"),
                **book_pictures(done.backtest.daily, done.backtest.benchmark),
                "metrics": markdown_table(done.backtest.metrics.select(PREVIEWED)),
                "folds": ", ".join(names), "new_trials": new, "tries": markdown_table(tries, 60),
                "settings": dg.MetadataValue.json(json.loads(files[SETTINGS_FILE])),
                "sessions": done.backtest.daily["date"].n_unique(),
            })  # fmt: skip
        forget_failure(lab, key)
        return files

    return traded


def told_apart(variant: Variant) -> dict[str, Any]:
    """What a key changes, by asset and setting."""
    return {f"{asset}.{name}": value for asset, own in variant.changed.items() for name, value in own.items()}


def measures_of(variant: Variant, done: Traded) -> dict[str, float]:
    """The book's figures and the mean rank IC behind it; none of a test of one session."""
    rows = done.backtest.metrics.filter(pl.col("strategy") == done.backtest.daily["strategy"][0])
    found = {k: float(v) for row in rows.iter_rows(named=True) for k, v in row.items() if isinstance(v, (int, float))}
    judged = summaries(done.quality, variant.forecaster.horizon_sessions)
    return found | ({"mean_rank_ic": judged[0]["mean_rank_ic"]} if judged else {})


def entered(lab: Lab, key: str, done: Traded, instance: dg.DagsterInstance) -> int:
    """Count the trial: its history goes into the register; 1 where no other is the same bet, else 0."""
    changed = {"trial": key, **trial_witness.changed_settings(lab, TRIAL, {}, {})}
    witness = trial_witness.witness(lab, instance)
    daily, benchmark = done.backtest.daily, done.backtest.benchmark
    return trials.register(lab.root, lab.profile.name, daily, benchmark, changed, witness)


def trial_files(
    variant: Variant, done: Traded, measures: Mapping[str, float], tries: pl.DataFrame, chosen: Mapping[str, Any]
) -> dict[str, bytes]:
    """What a trial stores; nothing in it tells when, or in which run, it was made."""
    found = done.backtest
    settings = {
        "trial": variant.key, "forecaster": variant.model, "book": variant.book,
        "strategy": found.daily["strategy"][0], "changed": {k: dict(v) for k, v in variant.changed.items()},
        "forecaster_changed": {**variant.changed[f"forecaster_{variant.model}"], **chosen},
        "forecaster_settings": asdict(variant.forecaster),
    }  # fmt: skip
    measured = pl.DataFrame([{"trial": variant.key, **measures}])
    tables = table_files(
        daily=found.daily, stressed=found.stressed, benchmark=found.benchmark, trades=found.trades, measured=measured,
        scores=done.scores, quality=done.quality, tries=tries,
    )  # fmt: skip
    return tables | {SETTINGS_FILE: json.dumps(settings, indent=1, sort_keys=True, default=str).encode()}


def chosen_settings(variant: Variant, newest: Fitted) -> dict[str, Any]:
    """What the newest fold's search chose, which a promotion goes on with; nothing without a search."""
    if not variant.tries:
        return {}
    return {name: newest.manifest.config[name] for name in SPACES[variant.model]}


@contextmanager
def failure_recorded(lab: Lab, key: str) -> Iterator[None]:
    """What goes wrong inside is kept for the leaderboard and for the next sweep."""
    try:
        yield
    except Exception as error:
        record_failure(lab, key, error)
        raise


def _leaderboard(lab: Lab) -> dg.AssetsDefinition:
    @dg.asset(
        name=LEADERBOARD,
        key_prefix=lab.prefix,
        group_name=GROUP,
        kinds={"plotly", "html", "mlflow"},
        required_resource_keys={"mlflow"},
        deps=[lab.key(TRIAL), lab.key("backtest")],
    )
    def leaderboard(context: dg.AssetExecutionContext) -> dict:
        """Every finished trial, ranked out of sample by the Sharpe ratio deflated by all that was tried: one page."""
        from quant_core.report.leaderboard_page import render_leaderboard

        keys = sorted(context.instance.get_dynamic_partitions(str(lab.partitions.trials.name)))
        found, failed = finished_trials(lab, keys), failed_trials(lab, keys)
        board, tables = ranked_trials(lab, found, failed, trial_witness.witness(lab, context.instance))
        html = render_leaderboard(page_input(lab, board, tables))
        with tracked(context, LEADERBOARD, {"trials": len(found)}) as told:
            told.log_text(html, PAGE)
            context.add_output_metadata({"page": artifact_link(told, PAGE, "open the page")})
        context.add_output_metadata({
            "ranking": markdown_table(board.ranked.select(SHOWN), 40), "summary": markdown_table(board.summary),
            "failed": markdown_table(board.failed, 40), "promoted": lab.promoted.trial or "none",
            "trials": len(found), "dagster/row_count": board.ranked.height,
        })  # fmt: skip
        return table_files(leaderboard=board.ranked, summary=board.summary, failed=board.failed) | {PAGE: html.encode()}

    return leaderboard
