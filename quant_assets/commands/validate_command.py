"""`quant validate`: the null test of `quant_core.backtest.null_test` on the clean prices that a profile has stored."""

from datetime import date, timedelta

import polars as pl

from quant_assets.commands.runner import month_range
from quant_assets.lab import Lab
from quant_assets.profile import Profile
from quant_assets.storage.partition_files import read_tables, table_path
from quant_core.backtest.null_test import NullTestConfig, markdown, null_test
from quant_core.errors import DataError


def validate_profile(profile: Profile, first: str | None, last: str | None, signals: int, seed: int) -> str:
    """The figures as Markdown, for decisions from month `first` (the first fold) to `last` (the newest stored).

    Raises:
        DataError: a month that the profile does not have; no clean prices are stored for the months.
    """
    lab = Lab(profile)
    month_range(lab, first, last)
    start = first or f"{profile.first_fold}-01"
    months = [m for m in lab.partitions.months.get_partition_keys() if m <= (last or "9999-12")]
    paths = [path for m in months if (path := table_path(lab.root, lab.key("clean_prices"), m)).exists()]
    prices = read_tables(paths).collect() if paths else None
    if prices is None or prices.filter(pl.col("date") >= date.fromisoformat(f"{start}-01")).is_empty():
        raise DataError(
            f"{profile.name}: no clean prices from {start} are stored under {lab.root}; "
            "make them with `quant run --stages clean_prices`."
        )
    allocation = lab.defaults("target_weights")
    settings = NullTestConfig(
        n_signals=signals, n_planted=max(signals // 5, 1), rebalance=allocation.rebalance, top_n=allocation.top_n,
        seed=seed,
    )  # fmt: skip
    result = null_test(
        prices.sort("date", "ticker"),
        lab.defaults("backtest"),
        settings,
        start=date.fromisoformat(f"{start}-01"),
        end=_month_end(last) if last else None,
    )
    return markdown(result)


def _month_end(month: str) -> date:
    return (date.fromisoformat(f"{month}-01") + timedelta(days=31)).replace(day=1) - timedelta(days=1)
