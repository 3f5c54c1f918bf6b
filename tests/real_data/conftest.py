"""The private price files, read and cleaned once for all tests of a worker."""

from pathlib import Path

import polars as pl
import pytest
from tables import Market, cleaned, compared


@pytest.fixture(scope="session")
def market(real_data_dir: Path) -> Market:
    """2000-2023 with the actions file."""
    return Market(*cleaned(real_data_dir))


@pytest.fixture(scope="session")
def market_without_actions(real_data_dir: Path) -> Market:
    """2000-2023 with the actions file withheld."""
    return Market(*cleaned(real_data_dir, actions="none"))


@pytest.fixture(scope="session")
def both_sources(real_data_dir: Path, market: Market) -> pl.DataFrame:
    """Ticker-days that the exchange and the vendor both have."""
    return compared(real_data_dir, market.raw, market.prices)
