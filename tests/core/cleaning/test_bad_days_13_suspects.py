"""An unlisted split at the edges of its rules: how long the name was away, what its volume and the market did."""

from datetime import date
from math import exp
from typing import Any

import polars as pl
import pytest
from rows import bar, raw

from quant_core.calendar import sessions
from quant_core.cleaning.clean import CleaningConfig, clean

START, END = date(2021, 3, 1), date(2021, 3, 31)
DAYS = sessions(date(2020, 12, 1), END)
LAST = len(DAYS) - 2  # the session of the jump


def outcome(*rows: dict[str, Any]) -> str | None:
    """What is made of TCS's jump; None where it is no suspect."""
    found = clean(raw(*rows), None, CleaningConfig(), START, END).suspects.filter(pl.col("ticker") == "TCS")
    assert found.height <= 1
    return found["outcome"][0] if found.height else None


def before(gap: int) -> list[dict[str, Any]]:
    """TCS at 100 on some 1000 shares a session up to `gap` sessions before the jump."""
    return [bar(day, 100.0, volume_shares=1000 + n % 3) for n, day in enumerate(DAYS[: LAST - gap + 1])]


def jump(open_inr: float, close_inr: float | None = None, volume: int | None = 2000) -> dict[str, Any]:
    close = close_inr if close_inr is not None else open_inr
    bounds = {"high_inr": max(open_inr, close), "low_inr": min(open_inr, close)}
    return bar(DAYS[LAST], close, open_inr=open_inr, volume_shares=volume, **bounds)


def market(n_stocks: int, move: float, **over: Any) -> list[dict[str, Any]]:
    """Stocks (or indices) that trade every session at 50 and move once, on the session of the jump."""
    return [
        bar(day, 50.0 if k < LAST else 50.0 * (1 + move), f"S{n:02d}", volume_shares=500 + k, **over)
        for n in range(n_stocks)
        for k, day in enumerate(DAYS)
    ]


@pytest.mark.parametrize(
    ("gap", "volume", "expected"),
    [
        (1, 2000, "applied"), (5, 2000, "applied"), (6, 2000, "quarantined"), (40, 2000, "quarantined"),
        (41, 2000, "quarantined"), (41, 1000, "kept"), (40, 1000, "quarantined"),
    ],
)  # fmt: skip
def test_a_halved_price_is_applied_up_to_five_sessions_and_quarantined_up_to_forty(
    gap: int, volume: int, expected: str
) -> None:
    """Beyond forty only a volume that moved inversely (2 times the usual for half the price) raises a doubt."""
    others = market(1, 0.0)  # every session has traded, so an absence is one
    assert outcome(*before(gap), jump(50.0, volume=volume), *others) == expected


@pytest.mark.parametrize(
    ("volume", "expected"), [(2000, "applied"), (1010, "applied"), (990, "quarantined"), (None, "quarantined")]
)
def test_a_ratio_that_is_only_near_wants_the_inverse_volume(volume: int | None, expected: str) -> None:
    """Four hundredths (in logs) off one half: at least half of the inverse volume must be there, and known."""
    near = 50.0 * exp(0.04)
    assert outcome(*before(1), jump(near, volume=volume)) == expected


@pytest.mark.parametrize(("off", "expected"), [(0.025, "applied"), (0.035, "quarantined"), (-0.025, "applied")])
def test_an_exact_ratio_needs_no_inverse_volume_as_long_as_some_is_there(off: float, expected: str) -> None:
    deep = 20.0 * exp(off)  # 1:5 on ordinary volume
    assert outcome(*before(1), jump(deep, volume=1000)) == expected


@pytest.mark.parametrize(
    ("prices", "index_move", "expected"),
    [
        ((72.0, 50.0), -0.20, "kept"), ((50.0, 72.0), -0.20, "kept"), ((72.0, 50.0), -0.10, "quarantined"),
        ((60.0, 55.0), -0.20, "quarantined"), ((60.0, 55.0), -0.25, "kept"), ((60.0, 55.0), 0.25, "quarantined"),
    ],
)  # fmt: skip
def test_the_indices_explain_a_jump_of_at_most_twice_theirs_the_same_way(
    prices: tuple[float, float], index_move: float, expected: str
) -> None:
    """The smaller of the open's and the close's jump counts, in logs; neither pair lies near a simple ratio."""
    index = market(1, index_move, instrument="index")
    found = clean(raw(*before(1), jump(*prices), *index), None, CleaningConfig(), START, END).suspects
    row = found.filter(pl.col("ticker") == "TCS").row(0, named=True)
    assert row["outcome"] == expected
    assert row["index_return_1d"] == pytest.approx(index_move)


@pytest.mark.parametrize(("n_stocks", "expected"), [(9, "kept"), (8, "quarantined")])
def test_without_an_index_the_median_of_ten_stocks_stands_in(n_stocks: int, expected: str) -> None:
    """Nine others and the name itself are ten; with one fewer nothing is known of the market."""
    rows = [*before(1), jump(60.0, 55.0), *market(n_stocks, -0.25)]
    assert outcome(*rows) == expected
