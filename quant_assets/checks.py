"""Checks that stop what is downstream of a bad table, and warnings that do not."""

from datetime import date
from typing import Any

import dagster as dg
import polars as pl

from quant_assets.config import core_settings
from quant_assets.currency import node_config
from quant_assets.lab import Lab
from quant_assets.metadata import markdown_table
from quant_assets.storage import read_tables, table_path
from quant_assets.table_files import read_table
from quant_core.allocation import AllocationConfig
from quant_core.backtest.guard import check_trades
from quant_core.backtest.reconcile import unreconciled
from quant_core.causality import assert_causal
from quant_core.cleaning.coverage import longest_gap, lost_sessions, thin_sessions
from quant_core.errors import QuantError
from quant_core.features import FeatureConfig, compute_features
from quant_core.features.drift import drift
from quant_core.schema import CASH, IS_QUARANTINED, CleanPrices, validate

#: The leak certificate of a check runs on this many tickers: enough to see a leak, quick enough for every run.
CERTIFICATE_TICKERS = 8
DRIFT_MONTHS = 12
TOLERANCE = 1e-9


def build(lab: Lab) -> list[dg.AssetChecksDefinition]:
    """Checks of one profile."""
    return [
        _clean_contract(lab),
        _sessions_complete(lab),
        _actions_resolved(lab),
        _index_present(lab),
        _features_causal(lab),
        _features_drift(lab),
        _weights_feasible(lab),
        _books_reconcile(lab),
    ]


def _clean_contract(lab: Lab) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=lab.key("clean_prices"), name="contract", blocking=True, partitions_def=lab.partitions.months,
        description="Columns, dtypes, keys; positive prices inside high and low; carried rows without a return.",
    )  # fmt: skip
    def contract(clean_prices: pl.LazyFrame) -> dg.AssetCheckResult:
        table = clean_prices.collect()
        try:
            validate(table, CleanPrices, "clean_prices", "materialize the month again.")
        except QuantError as error:
            return dg.AssetCheckResult(passed=False, metadata={"error": str(error)})
        bad = bad_clean_rows(table)
        return dg.AssetCheckResult(
            passed=bad.is_empty(), metadata={"rows": table.height, "bad_rows": markdown_table(bad, 10)}
        )

    return contract


def bad_clean_rows(table: pl.DataFrame) -> pl.DataFrame:
    """Rows of clean prices that contradict themselves."""
    prices = [pl.col(name) for name in ("open_inr", "close_inr")]
    return table.filter(
        (pl.col("close_inr") <= 0)
        | (pl.col("high_inr") < pl.max_horizontal(prices) - TOLERANCE)
        | (pl.col("low_inr") > pl.min_horizontal(prices) + TOLERANCE)
        | (pl.col("is_filled") & (pl.col("is_tradable") | pl.col("total_return_1d").is_not_null()))
        | (pl.col("total_return_1d") <= -1)
        | pl.col("total_return_1d").is_infinite()
    )


def _sessions_complete(lab: Lab) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=lab.key("clean_prices"), name="sessions_complete", partitions_def=lab.partitions.months,
        description="Every NSE session up to the newest row has prices of the members, of nearly all of them.",
    )  # fmt: skip
    def sessions_complete(clean_prices: pl.LazyFrame) -> dg.AssetCheckResult:
        table = clean_prices.select("date", "instrument", "is_member", "is_filled").collect()
        lost, thin = lost_sessions(table), thin_sessions(table)
        return dg.AssetCheckResult(
            passed=not lost and thin.is_empty(),
            severity=dg.AssetCheckSeverity.WARN,
            metadata={
                "sessions": table["date"].n_unique(),
                "without_members": ", ".join(map(str, lost[:20])) or "none",
                "thin": markdown_table(thin, 20),
            },
        )

    return sessions_complete


def _actions_resolved(lab: Lab) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=lab.key("clean_prices"), name="actions_resolved", blocking=True, partitions_def=lab.partitions.months,
        description="No member's price jump waits for a person to say whether it is a corporate action.",
    )  # fmt: skip
    def actions_resolved(clean_prices: pl.LazyFrame) -> dg.AssetCheckResult:
        rows = (
            clean_prices.filter("is_member", IS_QUARANTINED).select("date", "ticker").sort("date", "ticker").collect()
        )
        limit = lab.thresholds().max_quarantined_members
        worst = max(rows.group_by(pl.col("date").dt.strftime("%Y-%m")).len()["len"].to_list(), default=0)
        named = ", ".join(f"{ticker} {day}" for day, ticker in rows.head(10).iter_rows())
        profile = lab.profile.name.removesuffix(f"_{lab.profile.source['name']}")
        say = (
            f"{rows.height} quarantined member rows, at most {worst} in a month (allowed {limit}): {named}; see `quant "
            f"actions --profile {profile}` and settle each with `quant actions accept|reject TICKER DATE`, or raise "
            "quality.max_quarantined_members"
        )
        return dg.AssetCheckResult(
            passed=worst <= limit, metadata={"unresolved": say if rows.height else "none", "rows": rows.height}
        )

    return actions_resolved


def _index_present(lab: Lab) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=lab.key("clean_prices"), name="index_present", partitions_def=lab.partitions.months,
        description="The benchmark's price index has a row for every session, but for a few that are carried.",
    )  # fmt: skip
    def index_present(clean_prices: pl.LazyFrame) -> dg.AssetCheckResult:
        index, limit = lab.profile.price_index, lab.thresholds().max_index_gap_sessions
        table = clean_prices.select("date", "ticker", "is_filled").collect()
        gap, since = longest_gap(table, index)
        say = f"{index}: no row for {gap} sessions from {since} on, more than the {limit} that are carried"
        return dg.AssetCheckResult(
            passed=gap <= limit,
            severity=dg.AssetCheckSeverity.WARN,
            metadata={"index": index, "longest_gap_sessions": gap, "problem": say if gap > limit else "none"},
        )

    return index_present


def _features_causal(lab: Lab) -> dg.AssetChecksDefinition:
    feature_settings: Any = lab.config("features")

    @dg.asset_check(
        asset=lab.key("features"), name="causality_sample", blocking=True, partitions_def=lab.partitions.months,
        additional_ins={
            "clean_prices": dg.AssetIn(lab.key("clean_prices"), partition_mapping=lab.partitions.feature_lookback)
        },
        description="Leak certificate: cutting, emptying or shuffling what follows a sampled date changes no row.",
    )  # fmt: skip
    def causality_sample(
        context: dg.AssetCheckExecutionContext, features: pl.LazyFrame, clean_prices: pl.LazyFrame
    ) -> dg.AssetCheckResult:
        days = features.select(pl.col("date").unique().sort()).collect()["date"].to_list()
        if len(days) < 3:
            return dg.AssetCheckResult(
                passed=True, metadata={"note": "fewer than three sessions: nothing lies after a sampled date yet"}
            )
        # The newest month is enough: its own rows are the future of the sampled date.
        month = [day for day in days if (day.year, day.month) == (days[-1].year, days[-1].month)]
        month = month if len(month) >= 3 else days[-3:]
        cut = month[len(month) // 2]
        overrides = node_config(context.run.run_config, f"{lab.profile.name}__features").get("config") or {}
        settings = core_settings(FeatureConfig, feature_settings(**overrides))
        sample, sectors = sample_prices(clean_prices, month[-1], settings.index_ticker), lab.sectors()
        try:
            assert_causal(lambda table: compute_features(table, settings, month[0], month[-1], sectors), sample, cut)
        except QuantError as error:
            return dg.AssetCheckResult(passed=False, metadata={"cut": str(cut), "error": str(error)})
        return dg.AssetCheckResult(passed=True, metadata={"cut": str(cut), "tickers": sample["ticker"].n_unique()})

    return causality_sample


def _features_drift(lab: Lab) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=lab.key("features"), name="drift", partitions_def=lab.partitions.months,
        description="The newest month's distribution of each feature beside the twelve months before it.",
    )  # fmt: skip
    def drift_of_features(features: pl.LazyFrame) -> dg.AssetCheckResult:
        newest = features.select(pl.col("date").max()).collect().item()
        if newest is None:
            return dg.AssetCheckResult(passed=True, metadata={"note": "the month has no sessions yet"})
        months = lab.partitions.months.get_partition_keys()
        position = months.index(f"{newest:%Y-%m}")
        # A check cannot take its own asset's other partitions as an input; what is stored of them is read directly.
        paths = [
            table_path(lab.root, lab.key("features"), m) for m in months[max(position - DRIFT_MONTHS, 0) : position]
        ]
        stored = [path for path in paths if path.exists()]
        if not stored:
            return dg.AssetCheckResult(passed=True, metadata={"note": "no earlier month is stored to compare with"})
        current = features.filter(pl.col("date") >= newest.replace(day=1)).collect()
        limits = lab.drift_limits()
        table = drift(current, read_tables(stored).collect(), limits)
        share = float(table["drifted"].sum()) / max(table.height, 1)
        return dg.AssetCheckResult(
            passed=share <= limits.largest_share_of_features, severity=dg.AssetCheckSeverity.WARN,
            metadata={"month": months[position], "drifted_share": share, "features": markdown_table(table, 40)},
        )  # fmt: skip

    return drift_of_features


def sample_prices(prices: pl.LazyFrame, until: date, index_ticker: str) -> pl.DataFrame:
    """History of a few tickers, the longest-lived first, and of the index, up to `until`."""
    names = (
        prices.filter(pl.col("instrument") == "equity", pl.col("date") <= until)
        .group_by("ticker")
        .len()
        .sort(["len", "ticker"], descending=[True, False])
    )
    chosen = pl.concat([names.head(CERTIFICATE_TICKERS).select("ticker"), pl.LazyFrame({"ticker": [index_ticker]})])
    return prices.filter(pl.col("date") <= until).join(chosen, on="ticker", how="semi").sort("date", "ticker").collect()


def _weights_feasible(lab: Lab) -> dg.AssetChecksDefinition:
    limits: Any = lab.config("target_weights")

    @dg.asset_check(
        asset=lab.key("target_weights"), name="feasible", blocking=True, partitions_def=lab.partitions.months,
        description="Weights are positive, sum to at most 1 with cash, and no stock exceeds the largest position.",
    )  # fmt: skip
    def feasible(context: dg.AssetCheckExecutionContext, target_weights: pl.LazyFrame) -> dg.AssetCheckResult:
        overrides = node_config(context.run.run_config, f"{lab.profile.name}__target_weights").get("config") or {}
        bad = infeasible(target_weights.collect(), core_settings(AllocationConfig, limits(**overrides)))
        return dg.AssetCheckResult(passed=bad.is_empty(), metadata={"bad_decisions": markdown_table(bad, 10)})

    return feasible


def infeasible(table: pl.DataFrame, limits: AllocationConfig) -> pl.DataFrame:
    """Decisions that no account could hold, or that break the limits of the run that made them."""
    weight, is_stock = pl.col("weight"), ~pl.col("ticker").is_in([CASH, limits.index_ticker])
    rows = table.sort("date", "strategy", "ticker")
    books = rows.group_by("date", "strategy", maintain_order=True).agg(
        total=weight.sum(), smallest=weight.min(), largest=weight.filter(is_stock).max()
    )
    return books.filter(
        (pl.col("total") > 1 + TOLERANCE)
        | (pl.col("smallest") < 0)
        | (pl.col("largest") > limits.max_position + TOLERANCE)
    ).sort("date", "strategy")


def _books_reconcile(lab: Lab) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=lab.key("backtest"), name="accounting", blocking=True, partitions_def=lab.partitions.folds,
        description="Cash, positions, trades and costs add up to the paisa every day; decisions precede their fills.",
    )  # fmt: skip
    def accounting(context: dg.AssetCheckExecutionContext, backtest: dict) -> dg.AssetCheckResult:
        files = next(iter(backtest.values()))
        tables = {name: read_table(files, name) for name in ("daily", "positions", "trades", "costs")}
        try:
            check_trades(tables["trades"])
        except QuantError as error:
            return dg.AssetCheckResult(passed=False, metadata={"error": str(error)})
        off = unreconciled(**tables)
        metadata = {"book_days": tables["daily"].height, "trades": tables["trades"].height}
        return dg.AssetCheckResult(passed=off.is_empty(), metadata=metadata | {"off": markdown_table(off, 10)})

    return accounting
