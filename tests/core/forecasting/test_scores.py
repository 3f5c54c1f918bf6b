"""Scores against scipy and statsmodels, by hand, and on days where no score is defined."""

from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quant_core.errors import DataError
from quant_core.forecasting.scores import (
    baseline_scores,
    quantile_summary,
    summaries,
    summary,
)
from quant_core.measures.information_coefficient import rank_ic_by_date
from quant_core.measures.newey_west import newey_west_lags, newey_west_t
from quant_core.schema import ForecastQuality, ForecastQuantiles, validate


def day(
    scores: list[float], forward: list[float | None], when: date = date(2021, 3, 1)
) -> tuple[pl.DataFrame, pl.DataFrame]:
    keys = {"date": [when] * len(scores), "ticker": [f"T{k:02d}" for k in range(len(scores))]}
    forecasts = pl.DataFrame(keys | {"model": "ridge", "score": scores})
    return forecasts, pl.DataFrame(keys | {"forward_return_5d": pl.Series(forward, dtype=pl.Float64)})


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(-9, 9), st.integers(-9, 9)), min_size=5, max_size=40))
def test_both_correlations_equal_scipys_with_ties(pairs: list[tuple[int, int]]) -> None:
    stats = pytest.importorskip("scipy.stats")
    score, forward = [float(a) for a, _ in pairs], [b / 100 for _, b in pairs]
    quality = rank_ic_by_date(*day(score, list(forward)))
    if len(set(score)) < 2 or len(set(forward)) < 2:
        assert quality.is_empty()
        return
    assert quality["rank_ic"][0] == pytest.approx(stats.spearmanr(score, forward).statistic, abs=1e-12)
    assert quality["ic"][0] == pytest.approx(stats.pearsonr(score, forward).statistic, abs=1e-12)


def test_quality_rows_satisfy_their_table_contract() -> None:
    quality = rank_ic_by_date(*day([1, 2, 3, 4, 5], [0.1, 0.2, 0.3, 0.5, 0.4]))
    validate(quality, ForecastQuality, "quality", "fix the scores.")
    assert quality["rank_ic"][0] == pytest.approx(0.9, abs=1e-14)  # 1 - 6 x 2 / (5 x 24)


def test_a_day_without_a_defined_correlation_is_left_out() -> None:
    days = [
        day([1, 2, 3, 4], [0.1, 0.2, 0.3, 0.4], date(2021, 3, 1)),
        day([1, 1, 1, 1, 1], [0.1, 0.2, 0.3, 0.4, 0.5], date(2021, 3, 2)),
        day([1, 2, 3, 4, 5], [0.1] * 5, date(2021, 3, 3)),
        day([1, 2, 3, 4, 5], [0.1, 0.2, 0.3, 0.4, None], date(2021, 3, 4)),
        day([1, 2, 3, 4, 5], [0.1, 0.2, 0.3, 0.4, 0.5], date(2021, 3, 5)),
    ]
    forecasts, forward = (pl.concat(parts) for parts in zip(*days, strict=True))
    assert rank_ic_by_date(forecasts, forward)["date"].to_list() == [date(2021, 3, 5)]


def test_no_forecast_gives_an_empty_quality_table() -> None:
    forecasts, forward = day([1, 2, 3, 4, 5], [0.1, 0.2, 0.3, 0.4, 0.5])
    quality = rank_ic_by_date(forecasts.clear(), forward)
    validate(quality, ForecastQuality, "quality", "fix the scores.")
    assert quality.is_empty()
    assert summaries(quality, 5) == []


def test_models_are_scored_apart() -> None:
    forecasts, forward = day([1, 2, 3, 4, 5], [0.1, 0.2, 0.3, 0.4, 0.5])
    both = pl.concat([forecasts, forecasts.with_columns(model=pl.lit("contrarian"), score=-pl.col("score"))])
    quality = rank_ic_by_date(both, forward)
    assert dict(quality.select("model", "rank_ic").iter_rows()) == pytest.approx({"contrarian": -1.0, "ridge": 1.0})
    assert [row["model"] for row in summaries(quality, 5)] == ["contrarian", "ridge"]
    with pytest.raises(DataError, match="wanted one"):
        summary(quality, 5)


@pytest.mark.parametrize("lags", [0, 1, 4, 20])
@pytest.mark.parametrize("seed", [0, 1])
def test_newey_west_equals_statsmodels_hac(lags: int, seed: int) -> None:
    api = pytest.importorskip("statsmodels.api")
    noise = np.random.default_rng(seed).standard_normal(505)
    series = 0.02 + np.convolve(noise, np.ones(5) / 5, mode="valid")  # overlap of five
    oracle = api.OLS(series, np.ones(len(series))).fit(cov_type="HAC", cov_kwds={"maxlags": lags})
    mean, t = newey_west_t(series, lags)
    assert mean == pytest.approx(oracle.params[0], abs=1e-14)
    assert t == pytest.approx(oracle.tvalues[0], rel=1e-10)


def test_overlap_lowers_the_t_statistic_and_the_lags_cover_the_horizon() -> None:
    noise = np.random.default_rng(0).standard_normal(600)
    series = 0.1 + np.convolve(noise, np.ones(21) / 21, mode="valid")
    assert abs(newey_west_t(series, horizon_sessions=21)[1]) < 0.5 * abs(newey_west_t(series, 0)[1])
    assert newey_west_lags(500, horizon_sessions=21) == 20
    assert newey_west_lags(500, horizon_sessions=1) == 5  # floor(4 x 5^(2/9)) = floor(5.72)


def test_a_series_too_short_or_flat_has_no_t_and_a_broken_one_is_refused() -> None:
    assert np.isnan(newey_west_t([])).all()
    assert newey_west_t([0.5])[0] == 0.5
    assert np.isnan(newey_west_t([0.5])[1])
    assert np.isnan(newey_west_t([0.1] * 10)[1])
    with pytest.raises(DataError, match="1 of 2 values"):
        newey_west_t([0.1, float("nan")])


def test_the_summary_is_the_arithmetic_of_the_daily_rank_ics() -> None:
    days = [date(2021, 3, 1) + timedelta(days=k) for k in range(4)]
    rank_ic = [0.1, -0.05, 0.2, 0.15]
    quality = pl.DataFrame({"date": days, "model": "ridge", "rank_ic": rank_ic, "ic": [0.1] * 4, "n_tickers": 50})
    made = summary(quality, horizon=1)
    assert made["mean_rank_ic"] == pytest.approx(0.1)
    assert made["icir"] == pytest.approx(0.1 / np.std(rank_ic, ddof=1))
    assert made["hit_rate"] == 0.75
    assert made["n_dates"] == 4
    assert np.isnan(summary(quality.clear(), 5)["nw_t"])


def test_quantiles_earn_the_means_of_the_sorted_fifths() -> None:
    score = [float(k) for k in range(10)]
    made = quantile_summary(*day(score, [k / 100 for k in range(10)]), q=5)
    assert made["mean_forward_return"].to_list() == pytest.approx([0.005, 0.025, 0.045, 0.065, 0.085])
    assert made["mean_excess_return"].to_list() == pytest.approx([-0.04, -0.02, 0.0, 0.02, 0.04])
    assert quantile_summary(*day(score[:4], [0.1] * 4), q=5).is_empty()


def test_the_quantile_summary_by_hand() -> None:
    first = day([1.0, 2.0, 3.0, 4.0], [0.01, 0.03, 0.02, 0.06], date(2021, 3, 1))
    second = day([4.0, 2.0, 1.0, 3.0], [0.05, 0.01, -0.01, 0.03], date(2021, 3, 2))
    forecasts, forward = (pl.concat(parts) for parts in zip(first, second, strict=True))
    made = quantile_summary(forecasts, forward, q=2)
    # Day one: T00, T01 below and T02, T03 above: 2 % and 4 %, all 3 %. Day two: T01, T02 below: 0 % and 4 %, all 2 %.
    assert made.rows() == [
        ("ridge", 1, pytest.approx(0.01), pytest.approx(-0.015), 0.5, 2),
        ("ridge", 2, pytest.approx(0.04), pytest.approx(0.015), 0.5, 2),
    ]


def test_a_quantile_without_a_day_before_has_no_turnover_and_no_pair_gives_an_empty_table() -> None:
    forecasts, forward = day([1.0, 2.0, 3.0, 4.0], [0.1, 0.2, 0.3, 0.4])
    assert quantile_summary(forecasts, forward, q=2)["turnover_1d"].to_list() == [None, None]
    empty = quantile_summary(forecasts, forward, q=5)  # four names cannot fill five quantiles
    assert empty.is_empty()
    validate(empty, ForecastQuantiles, "quantiles", "fix the code.")
    with pytest.raises(DataError, match="at least 2"):
        quantile_summary(forecasts, forward, q=1)


SCORED_DAY = st.dictionaries(
    st.sampled_from("ABCDEFGH"), st.tuples(st.integers(0, 5), st.integers(-9, 9), st.booleans()), min_size=0, max_size=8
)


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(st.lists(SCORED_DAY, min_size=1, max_size=6), st.integers(2, 4))
def test_the_quantile_summary_equals_a_loop_over_days_and_names(
    scored: list[dict[str, tuple[int, int, bool]]], q: int
) -> None:
    rows = [
        (date(2021, 3, 1) + timedelta(days=t), ticker, float(score), forward / 100 if known else None)
        for t, names in enumerate(scored)
        for ticker, (score, forward, known) in names.items()
    ]
    schema = {"date": pl.Date, "ticker": pl.String, "score": pl.Float64, "forward_return_5d": pl.Float64}
    table = pl.DataFrame(rows, schema=schema, orient="row")
    made = quantile_summary(table.drop("forward_return_5d"), table.drop("score"), q)
    assert made.drop("model").rows() == [
        tuple(value if value is None else pytest.approx(value, abs=1e-12) for value in row)
        for row in looped_quantiles(scored, q)
    ]


def looped_quantiles(scored: list[dict[str, tuple[int, int, bool]]], q: int) -> list[tuple[float | None, ...]]:
    means: dict[int, list[tuple[float, float]]] = {}
    new: dict[int, list[float]] = {}
    before: dict[str, int] | None = None
    for names in scored:
        known = {ticker: (score, forward / 100) for ticker, (score, forward, is_known) in names.items() if is_known}
        if len(known) < q:
            continue
        everyone = sum(forward for _, forward in known.values()) / len(known)
        bucket = {}
        for ticker, (score, _) in known.items():
            below = sum(other < score for other, _ in known.values())
            tied = sum(other == score for other, _ in known.values())
            rank = below + (tied + 1) / 2
            bucket[ticker] = max(1, min(q, -int(-(rank * q / len(known)) // 1)))
        for k in sorted(set(bucket.values())):
            members = [ticker for ticker in bucket if bucket[ticker] == k]
            mean = sum(known[ticker][1] for ticker in members) / len(members)
            means.setdefault(k, []).append((mean, mean - everyone))
            if before is not None:
                new.setdefault(k, []).append(sum(before.get(ticker) != k for ticker in members) / len(members))
        before = bucket
    return [
        (
            k,
            sum(mean for mean, _ in days) / len(days),
            sum(excess for _, excess in days) / len(days),
            sum(new[k]) / len(new[k]) if k in new else None,
            len(days),
        )
        for k, days in sorted(means.items())
    ]


def test_the_quantile_summary_keeps_models_apart() -> None:
    rng = np.random.default_rng(5)
    days = [
        day(list(rng.normal(size=40)), list(rng.normal(size=40)), date(2021, 3, 1) + timedelta(days=k))
        for k in range(30)
    ]
    forecasts, forward = (pl.concat(parts) for parts in zip(*days, strict=True))
    both = pl.concat([forecasts, forecasts.with_columns(model=pl.lit("contrarian"), score=-pl.col("score"))])
    made = quantile_summary(both, forward)
    ridge, contrarian = (made.filter(pl.col("model") == name) for name in ("ridge", "contrarian"))
    assert ridge["mean_forward_return"].to_list() == pytest.approx(contrarian["mean_forward_return"].to_list()[::-1])
    assert ridge["mean_excess_return"].sum() == pytest.approx(0.0, abs=1e-12)  # quantiles of equal size
    assert ridge["turnover_1d"].to_list() == pytest.approx([0.8] * 5, abs=0.08)  # scores without memory keep a fifth


def test_the_momentum_baseline_is_the_half_year_return_of_eligible_names() -> None:
    features = pl.DataFrame(
        {
            "date": [date(2021, 3, 1)] * 4,
            "ticker": ["A", "B", "C", "D"],
            "is_eligible": [True, True, False, True],
            "log_return_126d": [0.3, -0.1, 0.9, None],
        }
    )
    made = baseline_scores(features)
    assert made.select("ticker", "model", "score").rows() == [("A", "momentum", 0.3), ("B", "momentum", -0.1)]
    assert baseline_scores(features, ["zero"])["score"].to_list() == [0.0, 0.0, 0.0]
    with pytest.raises(DataError, match="momentum_126d"):
        baseline_scores(features.drop("log_return_126d"))
