"""What lies outside the graph in a partition's fingerprint: lists of facts, a raw month's source, reviewed actions, the
register of trials, what was decided on paper. `lab` is a `Lab`, which asks this file."""

import hashlib
from datetime import UTC, date, datetime
from typing import Any

import dagster as dg
import polars as pl

from quant_assets.asset_names import TRIAL
from quant_assets.currency.list_use import BY_FOLD, BY_MONTH, last_day_of, members_text
from quant_assets.experiments import trials
from quant_assets.partitions import cleaning_begin
from quant_assets.storage import paper_record
from quant_core.market.lists import price_returns_after


def list_versions(lab: Any, asset: str, partition: str) -> str:
    """Digest of the members, sectors and last known days that an asset's partition reads; "" for none."""
    if asset not in BY_MONTH + BY_FOLD:
        return ""
    end = last_day_of(asset, partition)
    parts = {
        "raw_ohlcv": lambda: [repr(lab.wanted_tickers())],
        "clean_prices": lambda: [members_text(lab.membership(), end)],
        "features": lambda: [lab.sectors().write_csv()],
        "backtest": lambda: [
            members_text(lab.membership(), end), str(price_returns_after(lab.dividends_known_until(), end)),
            lab.sectors().write_csv(),
        ],
        "forecast_quality": lambda: [lab.sectors().write_csv()],
        "signals": lambda: [lab.lists_known(end, asset).write_csv()],
        "backtest_report": lambda: [
            members_text(lab.membership(), end), lab.sectors().write_csv(), lab.lists_known(end).write_csv(),
            repr(lab.universe()),
        ],
    }[asset]()  # fmt: skip
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def _actions_version(lab: Any, start: date, end: date) -> str:
    """Digest of the lines that can concern clean months `start`..`end`; empty for none.

    A line concerns the months whose rows it can touch: those with its ex_date between the look-back and the end,
    and for a suspension every later month too.
    """
    lines = lab.cleaning_actions().filter(
        pl.col("ex_date") <= end, (pl.col("ex_date") >= cleaning_begin(start)) | (pl.col("kind") == "suspension")
    )
    names = lab.wanted_tickers()
    if names is not None:
        lines = lines.filter(pl.col("ticker").is_in(names))
    columns = ("ticker", "ex_date", "kind", "value", "into")
    text = lines.select(columns).sort(columns).write_csv() if lines.height else ""
    return hashlib.sha256(text.encode()).hexdigest()[:16] if text else ""


def external_version(lab: Any, key: dg.AssetKey, partition: str) -> str:
    """Digest of the partition's own of these, and for a trial of all that its key asks for."""
    from quant_assets.experiments.trial_work import made_from

    asset = key.path[-1]
    lists = list_versions(lab, asset, partition)
    if asset == "backtest_report":
        return lists + trials.signature(lab.root, lab.profile.name, last_day_of(asset, partition))
    if asset == TRIAL:
        return made_from(lab, partition)
    if asset == "signals":
        of_profile = (lab.root, lab.profile.name, last_day_of(asset, partition))
        return lists + trials.signature(*of_profile) + paper_record.signature(*of_profile)
    if asset not in ("raw_ohlcv", "clean_prices"):
        return lists
    window = lab.partitions.months.time_window_for_partition_key(partition)
    first, last = window.start.date(), date.fromordinal(window.end.date().toordinal() - 1)
    if asset == "clean_prices":
        return lists + _actions_version(lab, first, last)
    return lists + str(lab.source.version(first, last, datetime.now(UTC)))
