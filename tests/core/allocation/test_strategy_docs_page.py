"""The page about strategies says what the code does: its example is followed to the letter and certified."""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from allocation_cases import weights_of
from docs_pages import saved
from polars.testing import assert_frame_equal

import quant_core.allocation.strategies as package
from quant_core import calendar
from quant_core.allocation import STRATEGIES, AllocationConfig, target_weights
from quant_core.allocation.held import walked
from quant_core.schema import CASH

GUIDE = (Path(__file__).resolve().parents[3] / "docs" / "adding-a-strategy.md").read_text()
FIRST, LAST = date(2021, 1, 1), date(2021, 4, 30)


@pytest.fixture
def most_traded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The page's file, saved under the page's name in a folder that the package looks into."""
    (code,) = re.findall(r"```python\n(.*?)```", GUIDE, flags=re.DOTALL)
    (name,) = re.findall(r"Save it as `quant_core/allocation/strategies/(\w+)\.py`", GUIDE)
    with saved(name, code, tmp_path, package, STRATEGIES, monkeypatch) as name:
        yield name


def test_the_guides_book_that_minds_what_it_holds_goes_half_the_way(
    prices: pl.DataFrame, forecasts: pl.DataFrame, short: AllocationConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    (code,) = re.findall(r"```py\n(.*?)```", GUIDE, flags=re.DOTALL)
    monkeypatch.setattr(STRATEGIES, "_entries", dict(STRATEGIES._entries))
    exec(code, {"STRATEGIES": STRATEGIES, "walked": walked, "np": np})
    config = replace(short, strategies=("lazy",), book_models=("ridge",), max_position=0.05)
    table = target_weights(prices, forecasts, config, FIRST, LAST)
    assert table["strategy"].unique().to_list() == ["lazy_ridge"]
    largest = table.filter(pl.col("ticker") != CASH).group_by("date").agg(pl.col("weight").max())["weight"]
    assert ((largest > 0.025) & (largest <= 0.05)).all()


def test_the_guides_strategy_takes_about_ten_lines() -> None:
    (code,) = re.findall(r"```python\n(.*?)```", GUIDE, flags=re.DOTALL)
    assert len([line for line in code.splitlines() if line.strip()]) <= 10


def test_the_guides_strategy_is_decided_as_its_sentence_says(
    most_traded: str, prices: pl.DataFrame, forecasts: pl.DataFrame, short: AllocationConfig
) -> None:
    table = target_weights(prices, forecasts, short, FIRST, LAST).filter(pl.col("strategy") == most_traded)
    assert table["date"].n_unique() > 15
    for day in table["date"].unique():
        window = calendar.sessions(date(2020, 7, 1), day)[-21:]
        value = (pl.col("close_inr") * pl.col("volume_shares")).sum()
        traded = prices.filter(pl.col("date").is_in(window)).group_by("ticker").agg(value=value)
        today = prices.filter((pl.col("date") == day) & pl.col("is_member") & pl.col("is_tradable"))
        best = today.join(traded, on="ticker").sort("value", descending=True)["ticker"][:3].sort().to_list()
        assert weights_of(table, most_traded, day) == dict.fromkeys(best, 0.2)


def test_the_guides_strategy_passes_the_checks_that_the_page_promises(
    most_traded: str, prices: pl.DataFrame, forecasts: pl.DataFrame, short: AllocationConfig,
    certificate: Callable[..., None],
) -> None:  # fmt: skip
    certificate(most_traded, prices, forecasts, short, date(2021, 3, 12))
    own = pl.col("strategy") == most_traded
    whole = target_weights(prices, forecasts, short, date(2021, 3, 1), LAST).filter(own)
    april = prices.filter(pl.col("date") >= date(2020, 12, 1))
    alone = target_weights(april, forecasts, short, date(2021, 4, 1), LAST).filter(own)
    assert_frame_equal(alone, whole.filter(pl.col("date") >= date(2021, 4, 1)), check_exact=True)


def test_the_guides_strategy_shows_up_in_the_printed_list(most_traded: str) -> None:
    from quant_assets.commands.listing import LISTINGS

    _, rows = LISTINGS["strategies"]()
    sentence = "Equal weights in the top_n tradable members with the most rupees traded in the last 21 sessions."
    assert [most_traded, sentence] in rows


def test_removing_the_guides_file_removes_the_strategy() -> None:
    assert "most_traded" not in set(STRATEGIES)


def test_everything_that_the_guide_names_exists() -> None:
    from quant_core.allocation import DecisionInputs, estimation, history

    named = set(re.findall(r"^- `(\w+)`", GUIDE, flags=re.MULTILINE))
    assert named == {
        "decision_dates", "prices", "forecasts", "regimes", "regime_books", "path_dates", "config",
        "eligible", "history",
    }  # fmt: skip
    assert named <= {*DecisionInputs.__dataclass_fields__, *vars(DecisionInputs)}
    assert callable(estimation.monthly_weights)
    assert callable(history.History.until)
