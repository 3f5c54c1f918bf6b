"""Cutting the price files at a day leaves the raw and clean rows up to that day as they were, to the bit."""

from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest
from tables import FIRST, Market

from quant_core.cleaning.clean import CleaningConfig, clean
from quant_core.market.sources.files import FilesSource

pytestmark = pytest.mark.real_data

NOW = datetime(2024, 1, 1, tzinfo=UTC)
SINCE = date(2019, 6, 1)
CUTS = (date(2019, 12, 31), date(2020, 3, 18), date(2021, 2, 2), date(2022, 1, 17), date(2022, 8, 9))


@pytest.mark.parametrize("cut", CUTS)
def test_the_files_cut_at_a_day_give_the_same_rows_up_to_it(
    real_data_dir: Path, market_without_actions: Market, cut: date, tmp_path: Path
) -> None:
    for path in real_data_dir.glob("*.parquet"):
        pl.scan_parquet(path).filter(pl.col("date") <= cut).sink_parquet(tmp_path / path.name)
    for name in ("symbol_changes.csv", "index_membership.csv", "sectors.csv"):  # the folder's own lists stay
        (tmp_path / name).write_bytes((real_data_dir / name).read_bytes())
    source = FilesSource(path=str(tmp_path), actions="none")
    raw = source.fetch(None, FIRST, cut, NOW).rows
    upto = pl.col("date") <= cut
    whole = market_without_actions.raw.filter(upto)
    assert raw.drop("fetched_at").equals(whole.drop("fetched_at"))
    near, older = raw.filter(pl.col("date") >= SINCE), raw.lazy().filter(pl.col("date") < SINCE)
    short = clean(near, None, CleaningConfig(), date(2019, 9, 1), cut, older=older)
    inside = pl.col("date").is_between(date(2019, 9, 1), cut)
    assert short.prices.equals(market_without_actions.prices.filter(inside))
    assert short.suspects.equals(market_without_actions.cleaned.suspects.filter(inside))
