"""Forward returns against a walk day by day in plain Python, over a market with halts, lost rows and late listings."""

import math
from datetime import date

import numpy as np
import polars as pl
import pytest

from quant_core.calendar import sessions
from quant_core.errors import DataError
from quant_core.measures.forward_returns import forward_returns, growth_of

DAYS = sessions(date(2021, 1, 1), date(2021, 2, 15))


def market(seed: int, n_names: int = 6) -> pl.DataFrame:
    """Rows of stocks; some are missing, halted, silent or quarantined."""
    rng = np.random.default_rng(seed)
    rows = []
    for k in range(n_names):
        for day in DAYS[int(rng.integers(0, 4)) : len(DAYS) - int(rng.integers(0, 4))]:
            night, session, fate = rng.normal(0, 0.01), rng.normal(0, 0.02), rng.random()
            if fate < 0.07:
                continue
            has_return = fate > 0.14
            rows.append({
                "date": day, "ticker": f"T{k}", "instrument": "equity", "is_tradable": fate > 0.2,
                "flags": "gap|quarantined" if fate < 0.1 else "",
                "overnight_return_1d": night if has_return else None,
                "intraday_return_1d": session if has_return else None,
                "total_return_1d": (1 + night) * (1 + session) - 1 if has_return else None,
            })  # fmt: skip
    return pl.DataFrame(rows)


def walked(rows: dict, day: date, horizon: int, fill: str) -> float | None:
    """What one decision earned; `rows` are those of its ticker by date."""
    path = DAYS[DAYS.index(day) + 1 : DAYS.index(day) + 2 + horizon]
    ends = [rows.get(path[0]), rows.get(path[-1])] if len(path) == horizon + 1 else [None]
    if any(row is None or not row["is_tradable"] for row in ends):
        return None
    value = 1.0
    for at in path:
        row = rows.get(at, {"flags": "", "total_return_1d": None})
        part = "total_return_1d"
        if at == path[0]:
            part = "intraday_return_1d" if fill == "open" else ""
        elif at == path[-1] and fill == "open":
            part = "overnight_return_1d"
        if "quarantined" in row["flags"]:
            return None
        value *= 1.0 + ((row[part] or 0.0) if part else 0.0)
    return value - 1.0


@pytest.mark.parametrize("fill", ["open", "close"])
@pytest.mark.parametrize("horizon", [1, 2, 5])
def test_it_is_what_a_walk_from_fill_to_fill_earns(horizon: int, fill: str) -> None:
    known = 0
    for seed in range(5):
        prices = market(seed)
        made = forward_returns(prices.sample(fraction=1.0, shuffle=True, seed=seed), horizon, fill)  # type: ignore[arg-type]
        assert made.select("date", "ticker").equals(prices.select("date", "ticker").sort("date", "ticker"))
        by_ticker = {name: {row["date"]: row for row in part.to_dicts()} for (name,), part in prices.group_by("ticker")}
        for day, ticker, _, value in made.iter_rows():
            expected = walked(by_ticker[ticker], day, horizon, fill)
            assert (value is None) == (expected is None), (seed, ticker, day)
            if expected is not None:
                assert value == pytest.approx(expected, abs=1e-12)
                known += 1
    assert known > 100


def test_rows_and_arrays_hold_the_same_numbers() -> None:
    prices = market(9)
    growth, rows = growth_of(prices), forward_returns(prices, 3)
    dense = growth.forward_return(3)
    for day, ticker, _, value in rows.iter_rows():
        own = dense[growth.days.to_list().index(day), growth.tickers.to_list().index(ticker)]
        assert own == value if value is not None else math.isnan(own)
    assert np.isnan(dense[-4:]).all()  # past the end of the data


def test_a_horizon_longer_than_the_data_is_not_known_and_one_below_a_session_is_refused() -> None:
    prices = market(9)
    assert forward_returns(prices, 500)["forward_return_500d"].null_count() == prices.height
    with pytest.raises(DataError, match="horizon is 0 sessions"):
        forward_returns(prices, 0)
    with pytest.raises(DataError, match="fill is 'noon'"):
        forward_returns(prices, 1, "noon")  # type: ignore[arg-type]
    with pytest.raises(DataError, match="no equity row"):
        forward_returns(prices.clear())
    with pytest.raises(DataError, match="repeats; wanted one row"):
        forward_returns(pl.concat([prices, prices.head(1)]))
