"""IC decay against the labels and scores that define it, by hand, and on a signal whose half-life is known."""

import math
from datetime import date

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quant_core.calendar import sessions
from quant_core.errors import DataError
from quant_core.forecasting.decay import ic_decay
from quant_core.measures.forward_returns import forward_returns
from quant_core.measures.information_coefficient import rank_ic_by_date
from quant_core.measures.newey_west import newey_west_t
from quant_core.schema import CleanPrices, ForecastDecay, validate

DAYS = sessions(date(2015, 1, 1), date(2021, 12, 31))


def price_table(overnight: np.ndarray, intraday: np.ndarray, keep: np.ndarray, tradable: np.ndarray) -> pl.DataFrame:
    """CleanPrices of a (T, N) market; NaN returns are null, rows outside `keep` are missing."""
    day, name = np.nonzero(keep)
    night, session = overnight[keep], intraday[keep]
    columns = {
        "date": pl.Series(DAYS, dtype=pl.Date).gather(day),
        "ticker": pl.Series([f"T{k:03d}" for k in range(keep.shape[1])]).gather(name),
        "instrument": pl.repeat("equity", len(day), eager=True),
        "overnight_return_1d": pl.Series(night, nan_to_null=True),
        "intraday_return_1d": pl.Series(session, nan_to_null=True),
        "total_return_1d": pl.Series((1 + night) * (1 + session) - 1, nan_to_null=True),
        "is_tradable": pl.Series(tradable[keep]),
    }
    schema = {key: column.dtype for key, column in CleanPrices.columns().items()}
    return pl.DataFrame(columns).select(
        *(pl.col(key) if key in columns else pl.lit(None, schema[key]).alias(key) for key in schema)
    )


def broken_market(seed: int, n_days: int, n_names: int) -> pl.DataFrame:
    """Halts, lost rows, late listings and early ends."""
    rng = np.random.default_rng(seed)
    shape = (n_days, n_names)
    overnight, intraday = rng.normal(0.0, 0.01, shape), rng.normal(0.0, 0.02, shape)
    halted = rng.random(shape) < 0.1
    overnight[halted] = intraday[halted] = np.nan
    keep = rng.random(shape) > 0.05
    keep[: n_days // 3, 0] = False
    keep[n_days // 2 :, 1] = False
    keep[0, 2] = keep[-1, 2] = True
    return price_table(overnight, intraday, keep, ~halted & (rng.random(shape) > 0.05))


def scores_for(prices: pl.DataFrame, seed: int, model: str = "m") -> pl.DataFrame:
    """Coarse scores, so that many tie, on some of the rows; one in twenty is missing."""
    rng = np.random.default_rng(seed)
    n = prices.height
    value = np.where(rng.random(n) < 0.05, np.nan, rng.integers(0, 6, n).astype(float))
    table = prices.select("date", "ticker", pl.lit(model).alias("model"), pl.Series("score", value))
    return table.filter(pl.Series(rng.random(n) < 0.9))


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(3, 30), st.integers(4, 9), st.sampled_from(["open", "close"]))
def test_decay_is_the_mean_rank_ic_of_the_labels_at_each_horizon(seed: int, n_days: int, n_names: int, fill) -> None:
    prices = broken_market(seed, n_days, n_names)
    forecasts = pl.concat([scores_for(prices, seed + 1, "a"), scores_for(prices, seed + 2, "b")])
    horizons = (1, 2, 5, 9)
    made = ic_decay(forecasts, prices, horizons, fill)
    expected = []
    for model in ("a", "b"):
        own = forecasts.filter(pl.col("model") == model)
        for horizon in horizons if own["score"].is_finite().any() else ():
            ic = rank_ic_by_date(own, forward_returns(prices, horizon, fill))["rank_ic"]
            mean, t = newey_west_t(ic, horizon_sessions=horizon)
            expected.append((model, horizon, mean, t, len(ic)))
    assert made.select("model", "horizon_sessions", "n_dates").rows() == [(m, h, n) for m, h, _, _, n in expected]
    for row, (_, _, mean, t, _) in zip(made.iter_rows(named=True), expected, strict=True):
        assert row["mean_rank_ic"] == (None if math.isnan(mean) else pytest.approx(mean, abs=1e-12))
        assert row["nw_t"] == (None if math.isnan(t) else pytest.approx(t, rel=1e-9))


def test_a_signal_that_is_right_for_a_session_and_wrong_for_two_by_hand(clean_prices) -> None:
    # Decided at the close of session 0, entered at that of session 1: +1..+5 % a session later, -1..-5 % after two.
    bars = {f"T{k}": [(100.0, 100.0), (100.0, 100.0), (100.0, 100.0 + k), (100.0, 100.0 - k)] for k in range(1, 6)}
    prices = clean_prices(bars)
    forecasts = pl.DataFrame(
        {"date": [date(2021, 3, 1)] * 5, "ticker": [f"T{k}" for k in range(1, 6)], "score": [1.0, 2.0, 3.0, 4.0, 5.0]}
    )
    made = ic_decay(forecasts, prices, horizons=(2, 1, 3), fill="close")
    assert made.rows() == [
        ("model", 1, pytest.approx(1.0), None, 1),
        ("model", 2, pytest.approx(-1.0), None, 1),
        ("model", 3, None, None, 0),  # past the end of the data
    ]
    validate(made, ForecastDecay, "decay", "fix the code.")


def test_a_planted_signal_decays_with_its_half_life() -> None:
    n_days, n_names, half_life, strength = 1200, 150, 10, 0.1
    rng, phi = np.random.default_rng(11), 0.5 ** (1 / half_life)
    score = np.empty((n_days, n_names))
    score[0] = rng.standard_normal(n_names)
    for t in range(1, n_days):
        score[t] = phi * score[t - 1] + math.sqrt(1 - phi**2) * rng.standard_normal(n_names)
    returns = 0.01 * rng.standard_normal((n_days, n_names))
    returns[2:] += 0.01 * strength * score[:-2]  # earned from the close after the decision to the one after that
    everywhere = np.ones(score.shape, dtype=bool)
    prices = price_table(np.zeros(score.shape), returns, everywhere, everywhere)
    forecasts = prices.select("date", "ticker", pl.Series("score", score.ravel()))
    made = ic_decay(forecasts, prices, fill="close")

    def expected(h: int) -> float:
        """Correlation of s_t and sum over j < h of (strength s_{t+j} + noise), turned into a rank correlation."""
        covariance = strength * (1 - phi**h) / (1 - phi)
        lags = np.abs(np.subtract.outer(np.arange(h), np.arange(h)))
        correlation = covariance / math.sqrt(strength**2 * (phi**lags).sum() + h)
        return 6 / math.pi * math.asin(correlation / 2)

    curve = dict(made.select("horizon_sessions", "mean_rank_ic").iter_rows())
    assert curve == pytest.approx({h: expected(h) for h in curve}, abs=0.02)
    assert max(curve, key=curve.__getitem__) in (10, 21)  # the optimum lies at 1.8 half-lives
    assert (made["nw_t"] > 5).all()
    assert made["n_dates"].to_list() == [n_days - 1 - h for h in curve]


def test_noise_has_no_ic_at_any_horizon() -> None:
    rng, shape = np.random.default_rng(3), (500, 60)
    everywhere = np.ones(shape, dtype=bool)
    prices = price_table(rng.normal(0, 0.01, shape), rng.normal(0, 0.01, shape), everywhere, everywhere)
    forecasts = prices.select("date", "ticker", pl.Series("score", rng.standard_normal(prices.height)))
    made = ic_decay(forecasts, prices)
    assert made["mean_rank_ic"].abs().max() < 0.02
    assert made["nw_t"].abs().max() < 3.5


def test_inputs_that_cannot_be_used_are_refused() -> None:
    prices = broken_market(0, 10, 5)
    forecasts = scores_for(prices, 1)
    with pytest.raises(DataError, match="horizons are empty"):
        ic_decay(forecasts, prices, horizons=())
    with pytest.raises(DataError, match="horizon is 0"):
        ic_decay(forecasts, prices, horizons=(1, 0))
    with pytest.raises(DataError, match="fill is 'noon'"):
        ic_decay(forecasts, prices, fill="noon")  # type: ignore[arg-type]
    with pytest.raises(DataError, match="no equity row"):
        ic_decay(forecasts, prices.clear())
    sunday = prices.with_columns(
        pl.when(pl.int_range(pl.len()) == 7).then(date(2015, 1, 4)).otherwise("date").alias("date")
    )
    with pytest.raises(DataError, match="2015-01-04, which is no NSE session"):
        ic_decay(forecasts, sunday)


def test_no_score_gives_an_empty_table() -> None:
    prices = broken_market(0, 10, 5)
    made = ic_decay(scores_for(prices, 1).clear(), prices)
    validate(made, ForecastDecay, "decay", "fix the code.")
    assert made.is_empty()
