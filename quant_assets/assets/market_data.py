"""Raw prices as the vendor gave them, and the clean table that everything else reads."""

import os
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from typing import Any

import dagster as dg
import polars as pl

from quant_assets.checks.verdicts import WARN, Verdict, evaluated, of_each_partition
from quant_assets.config import core_settings
from quant_assets.lab import Lab
from quant_assets.pages.data_seen import BY_KIND, by_kind, told
from quant_assets.pages.metadata import markdown_table, sparkline, table_metadata
from quant_assets.pages.pictures import coverage_picture
from quant_assets.partitions import CLEANING_MONTHS, cleaning_begin, month_span
from quant_core.cleaning.clean import Cleaned, CleaningConfig, clean
from quant_core.cleaning.quality import QualityThresholds, breaches
from quant_core.errors import DataError, SourceError
from quant_core.market.indices import under_lab_names, with_spellings
from quant_core.market.sources import SOURCES, Fetch
from quant_core.schema import EQUITY

SINGLE_RUN = dg.BackfillPolicy.single_run()
#: What an asset that returns its checks beside its table stores: the annotation of its function cannot say it.
FRAME = dg.PythonObjectDagsterType(pl.DataFrame)
#: A vendor that does not answer is asked again: after 15, 30 and 60 seconds, or QUANT_SOURCE_TRIES times.
SOURCE_TRIES, SOURCE_WAIT_SECONDS = 3, 15
TRIES_VARIABLE = "QUANT_SOURCE_TRIES"
#: `quant actions` shows the rest of the evidence.
SUSPECT_SHOWN = ("date", "ticker", "outcome", "ratio", "reason")


def setting_classes(lab: Lab) -> dict[str, type]:
    """The settings class of each asset that has one."""
    return {"raw_ohlcv": lab.source_class, "clean_prices": CleaningConfig}


def build(lab: Lab) -> list[dg.AssetsDefinition]:
    """raw_ohlcv and clean_prices of one profile."""
    return [_raw_ohlcv(lab), _clean_prices(lab)]


def _raw_ohlcv(lab: Lab) -> dg.AssetsDefinition:
    config_type: Any = lab.config("raw_ohlcv")

    @dg.asset(
        key_prefix=lab.prefix,
        group_name="market_data",
        partitions_def=lab.partitions.months,
        backfill_policy=SINGLE_RUN,
        kinds={"polars", "parquet"},
        code_version=lab.code("raw_ohlcv", _raw_ohlcv, SOURCES.entry(str(lab.profile.source["name"]))),
    )
    def raw_ohlcv(context: dg.AssetExecutionContext, config: config_type) -> pl.DataFrame:
        """Open, high, low, close and volume as fetched, with dividends, price factors, basis and time of fetching."""
        start, end = month_span(context)
        lab.refuse_unknown("raw_ohlcv", end)
        source: Any = core_settings(lab.source_class, config)
        try:
            fetched = fetch(source, lab.wanted_tickers(), start, end)
        except SourceError as error:
            wait = SOURCE_WAIT_SECONDS * 2**context.retry_number
            raise dg.RetryRequested(max_retries=source_tries(), seconds_to_wait=wait) from error
        problems = pl.DataFrame(
            [(p.ticker, p.kind, p.detail) for p in fetched.problems], schema=["ticker", "kind", "detail"], orient="row"
        )
        for line in told(problems):
            context.log.warning("%s", line)
        actions = fetched.rows.filter((pl.col("price_factor") != 1) | (pl.col("dividend_inr") != 0))
        actions = actions.sort("date", "ticker", descending=[True, False])
        context.add_output_metadata(
            dict(
                coverage=coverage_picture(fetched.rows.group_by("date").agg(tickers=pl.col("ticker").n_unique())),
                **table_metadata(
                    fetched.rows,
                    source=str(lab.profile.source["name"]),
                    lists=lists_table(lab, "raw_ohlcv", fetched.rows, end),
                    problems=markdown_table(problems, 20),
                    **({BY_KIND: dg.MetadataValue.json(by_kind(problems))} if problems.height else {}),
                    actions=markdown_table(actions.select("date", "ticker", "price_factor", "dividend_inr"), 12),
                ),
            )
        )
        return fetched.rows

    return raw_ohlcv


def fetch(source: Any, tickers: Sequence[str] | None, start: date, end: date) -> Fetch:
    """Rows of a source; one with names of a person's own may call an index as it likes: see `market.indices`."""
    if not hasattr(source, "membership"):
        found: Fetch = source.fetch(tickers, start, end, datetime.now(UTC))
        return found
    wanted = None if tickers is None else with_spellings(tickers)
    return under_lab_names(source.fetch(wanted, start, end, datetime.now(UTC)))


def lists_table(lab: Lab, asset: str, rows: pl.DataFrame, end: date) -> dg.MetadataValue:
    """Until when the asset's lists are known, beside the last day of its rows (of the span where it has none)."""
    last = rows["date"].max()
    return lists_shown(lab.lists_known(last if isinstance(last, date) else end, asset))


def lists_shown(known: pl.DataFrame) -> dg.MetadataValue:
    """What a page has room for of `market.lists.lists_known`; `quant doctor` says where each list is from."""
    return markdown_table(known.select("list", "known_until", ends_before="is_beyond"), 20)


def source_tries() -> int:
    """How often a vendor that does not answer is asked again; 0 fails at once.

    Raises:
        DataError: QUANT_SOURCE_TRIES is not a whole number.
    """
    text = os.environ.get(TRIES_VARIABLE) or str(SOURCE_TRIES)
    if not text.isdecimal():
        raise DataError(f"{TRIES_VARIABLE}: {text!r} is not a whole number; give 0 or more.")
    return int(text)


def _clean_prices(lab: Lab) -> dg.AssetsDefinition:
    config_type: Any = lab.config("clean_prices")

    @dg.asset(
        key_prefix=lab.prefix,
        group_name="market_data",
        partitions_def=lab.partitions.months,
        backfill_policy=SINGLE_RUN,
        kinds={"polars", "parquet"},
        code_version=lab.code("clean_prices", _clean_prices),
        ins={
            "raw_ohlcv": dg.AssetIn(
                lab.key("raw_ohlcv"),
                partition_mapping=lab.partitions.cleaning_lookback,
                metadata={"needed_months": CLEANING_MONTHS},
            )
        },
        check_specs=[
            dg.AssetCheckSpec(
                "quality", asset=lab.key("clean_prices"), partitions_def=lab.partitions.months,
                description="Carried, unusable, contradictory and quarantined rows stay within limits.",
            )
        ],
    )  # fmt: skip
    def clean_prices(
        context: dg.AssetExecutionContext, config: config_type, raw_ohlcv: pl.LazyFrame
    ) -> Iterator[dg.Output | dg.AssetCheckEvaluation]:
        """One sound row per session and ticker, with the split- and dividend-aware one-day total return."""
        start, end = month_span(context)
        lab.refuse_unknown("clean_prices", end)
        where = f"{lab.profile.name}/clean_prices {start:%Y-%m}..{end:%Y-%m}"
        settings = core_settings(CleaningConfig, config)
        recent = pl.col("date") >= cleaning_begin(start)
        cleaned = clean(
            raw_ohlcv.filter(recent).collect(), lab.membership(), settings, start, end, where, lab.liquidity(),
            reviewed=lab.cleaning_actions(), older=raw_ohlcv.filter(~recent),
        )  # fmt: skip
        lists = {"lists": lists_table(lab, "clean_prices", cleaned.prices, end)}
        yield dg.Output(cleaned.prices, metadata=clean_metadata(cleaned, members_expected(lab, end)) | lists)
        verdicts = of_each_partition(context, lambda inside: month_quality(cleaned, inside, lab.thresholds()))
        yield from evaluated(context, {"quality": verdicts})

    return clean_prices


def month_quality(cleaned: Cleaned, inside: pl.Expr, limits: QualityThresholds) -> Verdict:
    """Whether the defects of the dates that are `inside` stay within the limits of a month."""
    counts, rows = cleaned.by_month.rename({"month": "date"}).filter(inside), cleaned.prices.filter(inside)
    found = breaches(counts, rows.height, limits)
    suspects = markdown_table(cleaned.suspects.filter(inside).select(SUSPECT_SHOWN), 50)
    return Verdict(not found, {"breaches": "; ".join(found) or "none", "suspects": suspects}, WARN)


def clean_metadata(cleaned: Cleaned, members: str) -> dict[str, Any]:
    """What a person wants to see of a cleaned span: coverage of the universe, what was wrong where and when."""
    prices = cleaned.prices
    is_priced = ~pl.col("is_filled")
    counts = prices.filter("is_member").group_by("date").agg(priced=is_priced.sum(), carried=pl.col("is_filled").sum())
    priced = counts["priced"].sum() / max(counts.height, 1)
    kinds = (
        cleaned.quality.group_by("kind").agg(pl.col("n_rows").sum(), tickers=pl.len()).sort("n_rows", descending=True)
    )
    timeline = [
        f"`{sparkline(rows.sort('month')['n_rows'].to_list()[-30:])}` {kind} ({rows['n_rows'].sum():,} rows)"
        for (kind,), rows in sorted(cleaned.by_month.partition_by("kind", as_dict=True).items())
    ]
    return dict(
        coverage=coverage_picture(counts),
        members=f"{priced:.1f} priced a session, of {members}",
        **table_metadata(
            prices.filter(pl.col("instrument") == EQUITY),
            defects=markdown_table(kinds, 30),
            by_ticker=markdown_table(cleaned.quality, 10),
            by_month=dg.MetadataValue.md("  \n".join(timeline) or "none"),
            suspects=markdown_table(cleaned.suspects.select(SUSPECT_SHOWN), 10),
            filled_rows=int(prices["is_filled"].sum()),
            untradable=int((~prices["is_tradable"]).sum()),
        ),
    )


def members_expected(lab: Lab, end: date) -> str:
    """How many members the universe names at the span's end; "all" where everything is a member."""
    intervals = lab.membership()
    if intervals is None:
        return "all"
    inside = (pl.col("from_date") <= end) & (pl.col("to_date").is_null() | (pl.col("to_date") > end))
    return str(intervals.filter(inside)["ticker"].n_unique())
