"""What is traded: the weights that each strategy decides on.

Checks that judge what only the making knows (why a strategy failed, which members a date lacked) are made here; those
that read a table alone are in `checks`.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Any

import dagster as dg
import polars as pl

from quant_assets.asset_names import BOOK_SETTINGS, FORECASTS, REGIME_BOOKS, REGIMES
from quant_assets.assets.market_data import FRAME, SINGLE_RUN
from quant_assets.checks.verdicts import ERROR, WARN, Verdict, evaluated, of_each_partition
from quant_assets.config import core_settings
from quant_assets.lab import Lab
from quant_assets.pages.metadata import markdown_table, table_metadata
from quant_assets.partitions import month_after, month_span, path_lookback
from quant_assets.storage.partition_files import table_path
from quant_assets.storage.table_files import read_table
from quant_core.allocation import AllocationConfig, decide_all
from quant_core.errors import DataError
from quant_core.schema import CASH, FAILED, BookSettings, RegimeBooks, Regimes

#: What the page shows of a book.
SHOWN = ("strategy", "names", "invested", "largest")


def setting_classes(lab: Lab) -> dict[str, type]:
    """The settings class of each asset that has one."""
    return {"target_weights": AllocationConfig}


def build(lab: Lab) -> list[dg.AssetsDefinition]:
    """target_weights of every strategy of the profile."""
    return [_target_weights(lab, lab.forecasters)]


def _target_weights(lab: Lab, models: Sequence[str]) -> dg.AssetsDefinition:
    config_type: Any = lab.config("target_weights")
    path = path_lookback(0)
    forecasts_in = {
        f"{FORECASTS}{name}": dg.AssetIn(lab.key(f"{FORECASTS}{name}"), partition_mapping=path) for name in models
    }
    loaded: AllocationConfig = lab.defaults("target_weights")

    @dg.asset(
        key_prefix=lab.prefix,
        group_name="signals",
        partitions_def=lab.partitions.months,
        backfill_policy=SINGLE_RUN,
        kinds={"polars", "parquet"},
        dagster_type=FRAME,
        code_version=lab.code("target_weights", _target_weights),
        check_specs=[
            dg.AssetCheckSpec(
                "members_priced",
                asset=lab.key("target_weights"),
                partitions_def=lab.partitions.months,
                blocking=True,
                description="Enough members have a price on every date to decide on; stops where today has too few.",
            ),
            dg.AssetCheckSpec(
                "strategies_decided",
                asset=lab.key("target_weights"),
                partitions_def=lab.partitions.months,
                description="Every strategy could decide on every date; one that could not has kept its book.",
            ),
        ],
        ins={
            "clean_prices": dg.AssetIn(
                lab.key("clean_prices"), partition_mapping=path_lookback(loaded.history_sessions)
            ),
            **forecasts_in,
            BOOK_SETTINGS: dg.AssetIn(lab.key(BOOK_SETTINGS), partition_mapping=path),
            **(_regimes_in(lab) if lab.has_regimes else {}),
        },
    )
    def target_weights(
        context: dg.AssetExecutionContext, config: config_type, clean_prices: pl.LazyFrame, **signals: Any
    ) -> Iterator[dg.MaterializeResult | dg.AssetCheckEvaluation | dg.Output]:
        """What each strategy wants to hold after its decisions: cash is a row, a null weight keeps what is held."""
        settings = within_history(core_settings(AllocationConfig, config), loaded)
        scores = pl.concat([signals[name].collect() for name in sorted(signals) if name.startswith(FORECASTS)])
        prices = clean_prices.collect()
        known = (*regimes_known(signals), settings_chosen(signals), lab.sectors())
        decided = decide_all(prices, scores, settings, *month_span(context), *known)
        for row in decided.failures.iter_rows(named=True):
            context.log.warning(f"{row['strategy']} kept its book on {row['date']}: {row['reason']}")
        table, newest = decided.weights, prices.select(pl.col("date").max()).item()
        following = month_after(context.partition_key_range.end)
        newest_books = table.filter(pl.col("date") == pl.col("date").max())
        is_newest = not table_path(lab.root, lab.key("clean_prices"), following).exists()
        yield dg.MaterializeResult(
            value=table,
            metadata=table_metadata(
                table,
                strategies=", ".join(sorted(table["strategy"].unique())),
                failed=decided.failures.height,
                last_decision=markdown_table(books(newest_books).select(SHOWN), 60),
            ),
        )
        lacking, failures, today = decided.lacking, decided.failures, newest if is_newest else None
        yield from evaluated(
            context,
            {
                "members_priced": of_each_partition(
                    context, lambda inside: members_priced(lacking.filter(inside), today)
                ),
                "strategies_decided": of_each_partition(
                    context, lambda inside: strategies_decided(failures.filter(inside))
                ),
            },
        )

    return target_weights


def _regimes_in(lab: Lab) -> dict[str, dg.AssetIn]:
    """Regimes since the fold of a month began, and the books that the fold chose by them."""
    return {
        REGIMES: dg.AssetIn(lab.key(REGIMES), partition_mapping=lab.partitions.known_regimes()),
        REGIME_BOOKS: dg.AssetIn(lab.key(REGIME_BOOKS), partition_mapping=lab.partitions.folds_of_regimes),
    }


def regimes_known(signals: Mapping[str, Any]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Regimes and RegimeBooks among an asset's inputs; empty where the profile has none, or before its first fold."""
    rows, files = signals.get(REGIMES), signals.get(REGIME_BOOKS) or {}
    chosen = [read_table(files[fold], REGIME_BOOKS) for fold in sorted(files)]
    return (
        Regimes.create_empty() if rows is None else rows.collect(),
        pl.concat([RegimeBooks.create_empty(), *chosen]),
    )


def settings_chosen(signals: Mapping[str, Any]) -> pl.DataFrame:
    """BookSettings among an asset's inputs; empty before the first fold."""
    files = signals.get(BOOK_SETTINGS) or {}
    return pl.concat([BookSettings.create_empty(), *(read_table(files[fold], BOOK_SETTINGS) for fold in sorted(files))])


def members_priced(lacking: pl.DataFrame, newest: date | None) -> Verdict:
    """Which dates had too few priced members; an error, which blocks, where the `newest` session is one of them.

    Args:
        lacking: the dates, as in `Decided`.
        newest: the last session that there is data of; None where later months are stored: it is no longer open then.
    """
    if lacking.is_empty():
        return Verdict(True, {"lacking": "none"})
    today = lacking.filter(pl.col("date") == newest) if newest is not None else lacking.clear()
    shown = today if today.height else lacking
    first = shown.sort("date").row(-1, named=True)
    missing = ", ".join(first["missing"][:20]) + (", ..." if len(first["missing"]) > 20 else "")
    what = (
        f"{first['date']}: {first['priced']} of {first['members']} members have a price, missing {missing or 'all'}; "
        "nothing is decided there, the next session with enough decides. Fetch the month again once the rows are there."
    )
    table = lacking.with_columns(pl.col("missing").list.head(10).list.join(", "))
    return Verdict(
        False,
        {"newest": what, "dates": lacking.height, "lacking": markdown_table(table, 40)},
        ERROR if today.height else WARN,
    )


def strategies_decided(failures: pl.DataFrame) -> Verdict:
    """Which strategies failed when, and why; `failures` as in `Decided`."""
    by_strategy = failures.group_by("strategy", "reason").agg(
        dates=pl.len(), first=pl.col("date").min(), last=pl.col("date").max()
    )  # fmt: skip
    shown = markdown_table(by_strategy.sort("strategy", "first", "reason"), 40)
    return Verdict(failures.is_empty(), {"failed_decisions": failures.height, "failures": shown}, WARN)


def within_history(settings: AllocationConfig, loaded: AllocationConfig) -> AllocationConfig:
    """A run's settings, refused where they look further back than the months that the profile loads."""
    if settings.history_sessions > loaded.history_sessions:
        raise DataError(
            f"target_weights: this run looks back {settings.history_sessions} sessions, the profile loads "
            f"{loaded.history_sessions}; set lookback_sessions and momentum_sessions in the profile's presets instead."
        )
    return settings


def books(decision: pl.DataFrame) -> pl.DataFrame:
    """Each strategy's book in one row: how many names, what is invested, how many are kept, the largest position and a
    few names."""
    largest_first = decision.sort(["weight", "ticker"], descending=[True, False], nulls_last=True)
    weight, kept = pl.col("weight"), pl.col("weight").is_null() & (pl.col("ticker") != FAILED)
    named = weight.is_not_null() & (pl.col("ticker") != CASH)
    return (
        largest_first.group_by("date", "strategy", maintain_order=True)
        .agg(
            names=named.sum(),
            invested=weight.filter(named).sum(),
            kept=kept.sum(),
            largest=weight.filter(named).max(),
            holds=pl.col("ticker").filter(named).head(5).str.join(", "),
        )
        .sort("date", "strategy")
    )
