"""What is judged of one stored partition, a function a check; which asset has which is in `declared`."""

from collections.abc import Sequence
from datetime import date

import polars as pl

from quant_assets.checks.contracts import contract_of
from quant_assets.checks.verdicts import WARN, Verdict
from quant_assets.pages.metadata import markdown_table
from quant_assets.storage.stored import Stored, tables_of
from quant_assets.storage.table_files import read_table
from quant_core.allocation.feasible import infeasible
from quant_core.backtest.guard import check_trades
from quant_core.backtest.reconcile import unreconciled
from quant_core.causality import assert_causal
from quant_core.cleaning.coverage import longest_gap, lost_sessions, thin_sessions
from quant_core.cleaning.quality import contradictory_rows
from quant_core.errors import QuantError
from quant_core.features import compute_features
from quant_core.features.drift import compare
from quant_core.regimes.validation import is_crisis_worst
from quant_core.schema import IS_QUARANTINED, validate

#: The leak certificate of a check runs on this many tickers: enough to see a leak, quick enough for every run.
CERTIFICATE_TICKERS = 8
#: Sessions that a certificate needs: the sampled one, and some after it.
FEWEST_SESSIONS = 3
DRIFT_MONTHS = 12
#: An index gap is followed back over its own month and so many before it, for each so many sessions that are allowed.
GAP_SESSIONS_A_MONTH = 15
#: Months of a table that are read and held against its contract at once: two years, little beside what a run makes.
MONTHS_TOGETHER = 24
#: Tables that an artifact may lack: a test of too few sessions says nothing about luck.
MAY_BE_ABSENT = frozenset({"significance"})


# ---- what every table has --------------------------------------------------------------------------------------------


def contract(stored: Stored) -> Verdict:
    """Whether each table of the partition keeps its contract.

    Raises:
        DataError: names the first bad row.
    """
    rows = {}
    for name, schema in contract_of(stored.of.asset).items():
        if name in MAY_BE_ABSENT and f"{name}.parquet" not in stored.files:
            continue
        table = read_table(stored.files, name) if name else stored.table
        validate(table, schema, f"{stored} {name}".rstrip(), "materialize it again.")
        rows[name] = table.height
    return Verdict(True, {f"{name}_rows".removeprefix("_"): number for name, number in rows.items()})


def contracts_kept(made: Sequence[Stored]) -> dict[str, Verdict]:
    """The months of a table whose contract holds, found by holding many of them against it at once.

    Rows and keys that are sound together are sound alone. Where some are not, or the months differ in their columns,
    `contract` says which month it is and why.
    """
    schema = contract_of(made[0].of.asset).get("")
    if schema is None:
        return {}
    kept: dict[str, Verdict] = {}
    for begin in range(0, len(made), MONTHS_TOGETHER):
        block = made[begin : begin + MONTHS_TOGETHER]
        try:
            tables = tables_of(block, schema.column_names())
            validate(pl.concat(tables), schema, block[0].of.asset, "materialize it again.")
        except (QuantError, pl.exceptions.PolarsError):
            continue
        kept |= {one.name: Verdict(True, {"rows": table.height}) for one, table in zip(block, tables, strict=True)}
    return kept


# ---- clean_prices ----------------------------------------------------------------------------------------------------


def rows_consistent(stored: Stored) -> Verdict:
    """Whether no row contradicts itself."""
    bad = contradictory_rows(stored.table)
    return Verdict(bad.is_empty(), {"rows": stored.table.height, "bad_rows": markdown_table(bad, 10)})


def sessions_complete(stored: Stored) -> Verdict:
    """Whether each session has prices of nearly all members."""
    lost, thin = lost_sessions(stored.table, stored.first, stored.known_until), thin_sessions(stored.table)
    return Verdict(
        not lost and thin.is_empty(),
        {
            "sessions": stored.table["date"].n_unique(),
            "without_members": ", ".join(map(str, lost[:20])) or "none",
            "thin": markdown_table(thin, 20),
        },
        WARN,
    )


def actions_resolved(stored: Stored) -> Verdict:
    """Whether no more members' rows wait for a person's word than the profile allows in a month."""
    rows = stored.table.filter("is_member", IS_QUARANTINED).select("date", "ticker").sort("date", "ticker")
    profile, limit = stored.of.lab.profile, stored.of.lab.thresholds().max_quarantined_members
    called = profile.name.removesuffix(f"_{profile.source['name']}")
    named = ", ".join(f"{ticker} {day}" for day, ticker in rows.head(10).iter_rows())
    say = (
        f"{rows.height} quarantined member rows in the month (allowed {limit}): {named}; see `quant actions --profile "
        f"{called}` and settle each with `quant actions accept|reject TICKER DATE`, or raise "
        "quality.max_quarantined_members"
    )
    return Verdict(rows.height <= limit, {"unresolved": say if rows.height else "none", "rows": rows.height})


def index_present(stored: Stored) -> Verdict:
    """Whether the benchmark's index lacks no more sessions in a row than are carried, gaps from before included."""
    index, limit = stored.of.lab.profile.price_index, stored.of.lab.thresholds().max_index_gap_sessions
    reaching = stored.with_before(1 + limit // GAP_SESSIONS_A_MONTH).select("date", "ticker", "is_filled").collect()
    gap, since = longest_gap(reaching, index, stored.first, stored.known_until)
    say = f"{index}: no row for {gap} sessions from {since} on, more than the {limit} that are carried"
    return Verdict(
        gap <= limit,
        {"index": index, "longest_gap_sessions": gap, "problem": say if gap > limit else "none"},
        WARN,
    )


# ---- features --------------------------------------------------------------------------------------------------------


def causality_sample(stored: Stored) -> Verdict:
    """Leak certificate on a date of the month: its later rows, the future of that date, change nothing up to it.

    Raises:
        LookaheadError: names the column and the row that changed.
    """
    days = stored.days_with_before(1)
    if len(days) < FEWEST_SESSIONS:
        return Verdict(True, {"note": "fewer than three sessions: nothing lies after a sampled date yet"})
    month = [day for day in days if day >= stored.first]
    month = month if len(month) >= FEWEST_SESSIONS else days[-FEWEST_SESSIONS:]
    lab, settings = stored.of.lab, stored.of.settings
    cut, sectors = month[len(month) // 2], lab.sectors()
    # One month more than the features were made from: the sampled date may lie in the month before.
    prices = stored.with_before(1 - (lab.partitions.feature_lookback.start_offset or 0), "clean_prices")
    sample = sample_prices(prices, month[-1], settings.index_ticker)
    assert_causal(lambda table: compute_features(table, settings, month[0], month[-1], sectors), sample, cut)
    return Verdict(True, {"cut": str(cut), "tickers": sample["ticker"].n_unique()})


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


def drift_of_features(stored: Stored) -> Verdict:
    """The month's distribution of each feature beside the months before it."""
    current = stored.of.month(stored.name)
    if not current.n_rows:
        return Verdict(True, {"note": "the month has no sessions yet"})
    earlier = [stored.of.earlier_month(name) for name in stored.before(DRIFT_MONTHS)]
    if not earlier:
        return Verdict(True, {"note": "no earlier month is stored to compare with"})
    limits = stored.of.lab.drift_limits()
    table = compare(current, earlier, limits)
    share = float(table["drifted"].sum()) / max(table.height, 1)
    shown = markdown_table(table, 40)
    return Verdict(share <= limits.largest_share_of_features, {"drifted_share": share, "features": shown}, WARN)


# ---- target_weights, backtest ----------------------------------------------------------------------------------------


def feasible(stored: Stored) -> Verdict:
    """Whether an account could hold every decision, within the limits of the run that made it."""
    bad = infeasible(stored.table, stored.of.settings)
    return Verdict(bad.is_empty(), {"bad_decisions": markdown_table(bad, 10)})


def accounting(stored: Stored) -> Verdict:
    """Whether the books add up, and no fill precedes its decision.

    Raises:
        LookaheadError: a fill on or before the day of its decision.
    """
    tables = {name: read_table(stored.files, name) for name in ("daily", "positions", "trades", "costs")}
    check_trades(tables["trades"])
    off = unreconciled(**tables)
    counts = {"book_days": tables["daily"].height, "trades": tables["trades"].height}
    return Verdict(off.is_empty(), {**counts, "off": markdown_table(off, 10)})


# ---- regime_quality --------------------------------------------------------------------------------------------------


def crisis_is_worst(stored: Stored) -> Verdict:
    """Whether the traded method's Crisis has the highest volatility and the worst drawdown of its names."""
    statistics, method = read_table(stored.files, "statistics"), stored.of.lab.profile.regime_method
    verdicts = {
        str(name): is_crisis_worst(own) for (name,), own in statistics.partition_by("method", as_dict=True).items()
    }
    said = {True: "yes", False: "no", None: "no session was labelled Crisis"}
    shown = statistics.filter(pl.col("method") == method).drop("method")
    return Verdict(
        verdicts.get(method) is not False,
        {"traded": method, "statistics": markdown_table(shown), **{k: said[v] for k, v in sorted(verdicts.items())}},
        WARN,
    )
