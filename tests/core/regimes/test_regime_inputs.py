"""What a session of the market looks like: hand values, naive recomputation, causality, gaps."""

import math
from datetime import date

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from quant_core.calendar import sessions
from quant_core.errors import DataError
from quant_core.regimes.inputs import FEWEST_MEMBERS, INPUT_COLUMNS, daily_embeddings, market_inputs
from quant_core.schema import CleanPrices

DAYS = sessions(date(2019, 1, 1), date(2021, 6, 30))
INDEX_NAME = "^NSEI"


def prices(seed: int = 1, n_names: int = 8) -> pl.DataFrame:
    """Clean prices of an index, a volatility index and some members with a common factor."""
    rng = np.random.default_rng(seed)
    market = rng.normal(0.0004, 0.01, len(DAYS))
    own = {f"T{k}": 0.8 * market + rng.normal(0.0, 0.012, len(DAYS)) for k in range(n_names)}
    parts = [rows(name, "equity", moves) for name, moves in own.items()]
    return pl.concat([*parts, rows(INDEX_NAME, "index", market), rows("INDIA VIX", "index", market, 20.0)])


def rows(ticker: str, instrument: str, returns: np.ndarray, level: float = 100.0) -> pl.DataFrame:
    close = level * np.cumprod(1.0 + returns)
    known = pl.DataFrame({
        "date": DAYS, "ticker": ticker, "instrument": instrument, "close_inr": close, "high_inr": close * 1.01,
        "low_inr": close * 0.99, "open_inr": close, "total_return_1d": returns, "is_member": instrument == "equity",
        "is_filled": False, "is_tradable": True, "flags": "",
    })  # fmt: skip
    return pl.concat([CleanPrices.create_empty().lazy().collect(), known], how="diagonal").select(
        pl.col(name).cast(kind) for name, kind in CleanPrices.create_empty().schema.items()
    )


def returns_of(table: pl.DataFrame, ticker: str) -> np.ndarray:
    return table.filter(pl.col("ticker") == ticker).sort("date")["total_return_1d"].to_numpy()


def test_the_indexs_columns_by_hand():
    table = prices()
    found, r = market_inputs(table, INDEX_NAME, "INDIA VIX"), np.log1p(returns_of(table, INDEX_NAME))
    last = found.row(-1, named=True)
    level = np.cumsum(r)
    assert found.columns == ["date", *INPUT_COLUMNS]
    assert last["return_1d"] == pytest.approx(r[-1], abs=1e-15)
    assert last["log_range_1d"] == pytest.approx(math.log(math.log(1.01 / 0.99)))
    for window in (10, 21, 63):
        assert last[f"log_volatility_{window}d"] == pytest.approx(math.log(r[-window:].std(ddof=1) * math.sqrt(252)))
    assert last["drawdown_252d"] == pytest.approx(level[-1] - level[-252:].max())
    assert last["momentum_63d"] == pytest.approx(r[-63:].sum())
    vix = table.filter(pl.col("ticker") == "INDIA VIX").sort("date")["close_inr"][-1]
    assert last["log_vix"] == pytest.approx(math.log(vix / 100.0))


def test_breadth_and_dispersion_are_those_of_the_members_alone():
    table = prices().with_columns(is_member=pl.col("is_member") & (pl.col("ticker") != "T7"))
    moves = np.stack([returns_of(table, f"T{k}") for k in range(7)])  # T7 is no member
    up, down = (moves > 0).sum(axis=0), (moves < 0).sum(axis=0)
    last = market_inputs(table, INDEX_NAME).row(-1, named=True)
    assert last["breadth_21d"] == pytest.approx(((up - down) / (up + down))[-21:].mean())
    assert last["log_dispersion_21d"] == pytest.approx(math.log(moves.std(axis=0, ddof=1)[-21:].mean()))


def test_the_correlation_is_the_weighted_mean_of_all_pairs():
    table = prices()
    moves = np.stack([returns_of(table, f"T{k}") for k in range(8)])[:, -63:]
    spread, pairs = moves.std(axis=1, ddof=1), np.corrcoef(moves)
    weight = np.outer(spread, spread)
    np.fill_diagonal(weight, 0.0)
    wanted = (pairs * weight).sum() / weight.sum()
    assert market_inputs(table, INDEX_NAME)["correlation_63d"][-1] == pytest.approx(wanted)


def test_a_later_session_changes_no_earlier_row():
    table, day = prices(), DAYS[400]
    whole = market_inputs(table, INDEX_NAME, "INDIA VIX").filter(pl.col("date") <= day)
    cut = market_inputs(table.filter(pl.col("date") <= day), INDEX_NAME, "INDIA VIX")
    assert_frame_equal(whole, cut, check_exact=True)


def test_a_session_without_the_index_is_a_row_of_nulls_and_spoils_no_window():
    table, day = prices(), DAYS[300]
    without = table.filter((pl.col("date") != day) | (pl.col("instrument") == "equity"))
    found = market_inputs(without, INDEX_NAME)
    row = found.filter(pl.col("date") == day).row(0, named=True)
    assert row["return_1d"] is None
    assert row["drawdown_252d"] is None
    assert row["breadth_21d"] is not None
    after = found.filter(pl.col("date") > day)
    assert after.select(pl.col("return_1d", "log_volatility_10d", "momentum_63d").is_null().sum()).row(0) == (0, 0, 0)


def test_a_carried_row_of_the_index_counts_as_none():
    day = DAYS[300]
    carried = (pl.col("date") == day) & (pl.col("ticker") == INDEX_NAME)
    table = prices().with_columns(is_filled=carried)
    assert market_inputs(table, INDEX_NAME).filter(pl.col("date") == day)["return_1d"][0] is None


def test_a_constant_index_has_no_volatility():
    flat = prices().with_columns(
        total_return_1d=pl.when(pl.col("ticker") == INDEX_NAME).then(0.0).otherwise("total_return_1d")
    )
    found = market_inputs(flat, INDEX_NAME)
    assert found["log_volatility_21d"].null_count() == found.height
    assert found["drawdown_252d"].max() == 0.0


def test_too_few_members_say_nothing_of_the_market():
    table = prices(n_names=FEWEST_MEMBERS - 1)
    found = market_inputs(table, INDEX_NAME)
    assert found["breadth_21d"].null_count() == found.height
    assert found["correlation_63d"].null_count() == found.height


def test_an_absent_index_is_refused_with_those_there_are():
    with pytest.raises(DataError, match=r"no row of the index NIFTY \(indices there are: \['INDIA VIX', '\^NSEI'\]\)"):
        market_inputs(prices(), "NIFTY")
    shares = prices().filter(pl.col("instrument") == "equity")
    with pytest.raises(DataError, match=r"indices there are: none.*NIFTY 50\.csv.*profile\.regimes=\[\]"):
        market_inputs(shares, "^NSEI")


def test_daily_embeddings_are_means_and_their_spread():
    keys = pl.DataFrame({"date": [DAYS[0], DAYS[0], DAYS[1]], "ticker": ["A", "B", "A"]})
    found = daily_embeddings(keys, np.array([[1.0, 0.0], [3.0, 4.0], [5.0, 5.0]], dtype=np.float32))
    assert found["embedding_000"].to_list() == [2.0, 5.0]
    assert found["embedding_001"].to_list() == [2.0, 5.0]
    assert found["embedding_spread"].to_list() == [pytest.approx(math.sqrt(1.0 + 4.0)), 0.0]
