"""Labels by hand: fill to fill, halts, the data's end, ranks, and the purge of a training window."""

from collections.abc import Callable
from datetime import date

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quant_core.calendar import sessions
from quant_core.errors import DataError, LookaheadError
from quant_core.folds import fold
from quant_core.forecasting.labels import LabelConfig, cross_section, training_labels
from quant_core.measures.forward_returns import forward_returns, growth_of

Panel = Callable[..., pl.DataFrame]

# 2021-03-01 is a Monday; 2021-03-11 (Mahashivratri) was a holiday.
BARS = [(100.0, 101.0), (102.0, 104.0), (103.0, 105.0), (106.0, 103.0), (104.0, 108.0), (110.0, 111.0), (112.0, 109.0)]


def column(frame: pl.DataFrame, horizon: int = 2) -> list[float | None]:
    return frame[f"forward_return_{horizon}d"].to_list()


def test_the_label_runs_from_the_next_open_to_the_open_h_sessions_later(clean_prices: Panel) -> None:
    made = forward_returns(clean_prices({"TCS": BARS}), horizon=2)
    opens = [bar[0] for bar in BARS]
    by_hand = [opens[t + 3] / opens[t + 1] - 1 for t in range(4)]  # 106/102, 104/103, 110/106, 112/104
    assert column(made)[:4] == pytest.approx(by_hand, abs=1e-14)
    assert column(made)[4:] == [None, None, None]
    assert made["label_end_date"].to_list()[:2] == [date(2021, 3, 4), date(2021, 3, 5)]


def test_the_close_fill_runs_from_close_to_close(clean_prices: Panel) -> None:
    made = forward_returns(clean_prices({"TCS": BARS}), horizon=1, fill="close")
    closes = [bar[1] for bar in BARS]
    by_hand = [closes[t + 2] / closes[t + 1] - 1 for t in range(5)]
    assert column(made, 1) == [*(pytest.approx(value, abs=1e-14) for value in by_hand), None, None]


def test_the_window_end_skips_weekends_and_holidays_and_is_known_past_the_data(clean_prices: Panel) -> None:
    ends = forward_returns(clean_prices({"TCS": BARS}), horizon=2)["label_end_date"].to_list()
    assert ends[5] == date(2021, 3, 12)  # Monday 8th: 9th, 10th, then the 12th
    assert ends[6] == date(2021, 3, 15)


def test_a_halt_inside_the_window_counts_as_zero_and_the_resumption_carries_the_jump(clean_prices: Panel) -> None:
    halted = [*BARS[:2], None, None, (52.0, 54.0), (55.0, 56.0), (57.0, 58.0)]
    made = column(forward_returns(clean_prices({"TCS": halted}), horizon=4), 4)
    assert made[0] == pytest.approx(55.0 / 102.0 - 1, abs=1e-14)  # 102 -> 104, halt, 52, 54 -> 55


def test_no_label_is_made_where_the_entry_or_the_exit_cannot_be_filled(clean_prices: Panel) -> None:
    halted = [*BARS[:3], None, *BARS[4:]]  # session 3 is the exit of row 0 and the entry of row 2
    made = column(forward_returns(clean_prices({"TCS": halted}), horizon=2))
    assert made[0] is None
    assert made[2] is None
    assert made[1] == pytest.approx(104.0 / 103.0 - 1, abs=1e-14)


@pytest.mark.parametrize("fill", ["open", "close"])
def test_a_window_that_holds_a_quarantined_session_has_no_label(clean_prices: Panel, fill: str) -> None:
    prices = clean_prices({"TCS": BARS})
    here = pl.col("date") == prices["date"][4]
    withheld = [pl.when(~here).then(name).alias(name) for name in prices.columns if name.endswith("return_1d")]
    unclear = prices.with_columns(
        *withheld, is_tradable=~here, flags=pl.when(here).then(pl.lit("gap|quarantined")).otherwise(pl.lit(""))
    )
    made, plain = (column(forward_returns(table, horizon=2, fill=fill)) for table in (unclear, prices))
    assert made[:1] == plain[:1]  # sessions 1 to 3
    assert made[1:4] == [None] * 3  # 2 to 4, 3 to 5, 4 to 6
    assert made[4:] == plain[4:]
    forward = growth_of(unclear, fill).forward_return(2)
    assert np.isfinite(forward[:, 0]).tolist() == [value is not None for value in made]


@pytest.mark.parametrize("fill", ["open", "close"])
def test_a_priced_session_without_volume_is_neither_an_entry_nor_an_exit(clean_prices: Panel, fill: str) -> None:
    prices = clean_prices({"TCS": BARS})
    silent = prices.with_columns(is_tradable=pl.col("date") != prices["date"][3])
    made, free = (column(forward_returns(frame, 2, fill)) for frame in (silent, prices))  # type: ignore[arg-type]
    assert made == [None, free[1], None, free[3], None, None, None]
    assert None not in free[:4]


def test_a_split_and_a_dividend_reach_the_label_only_through_the_total_returns(clean_prices: Panel) -> None:
    prices = clean_prices({"TCS": BARS})
    split_on = pl.col("date") >= date(2021, 3, 4)
    halved = prices.with_columns(pl.when(split_on).then(pl.col("open_inr") / 2).otherwise(pl.col("open_inr")))
    assert forward_returns(halved).equals(forward_returns(prices))


def test_each_ticker_ends_by_itself_and_indices_get_no_label(clean_prices: Panel) -> None:
    prices = clean_prices({"TCS": BARS, "GONE": BARS[:4], "NIFTY": BARS})
    index = pl.when(pl.col("ticker") == "NIFTY").then(pl.lit("index")).otherwise(pl.lit("equity"))
    made = forward_returns(prices.with_columns(instrument=index), horizon=1)
    assert set(made["ticker"]) == {"TCS", "GONE"}
    gone = column(made.filter(pl.col("ticker") == "GONE"), 1)
    assert gone[:2] == [pytest.approx(103 / 102 - 1), pytest.approx(106 / 103 - 1)]
    assert gone[2:] == [None, None]


def test_a_session_without_a_row_is_labelled_as_a_halt_is(clean_prices: Panel) -> None:
    bars = [*BARS[:3], None, None, *BARS[5:], (113.0, 114.0), (116.0, 115.0)]
    filled = clean_prices({"TCS": bars, "INFY": [*BARS, *BARS[:2]]})
    suspended = filled.filter(~pl.col("is_filled"))
    assert suspended.height == filled.height - 2
    for horizon in (1, 2, 4):
        labelled = forward_returns(suspended, horizon)
        expected = forward_returns(filled, horizon).join(suspended, on=["date", "ticker"], how="semi")
        assert labelled.equals(expected.sort("date", "ticker"))
    assert column(labelled.filter(pl.col("ticker") == "TCS"), 4)[1] == pytest.approx(112 / 103 - 1, abs=1e-14)


def test_an_invented_session_is_an_error_not_a_shifted_label(clean_prices: Panel) -> None:
    saturday = clean_prices({"TCS": BARS}).with_columns(pl.col("date").replace(date(2021, 3, 5), date(2021, 3, 6)))
    with pytest.raises(DataError, match="TCS has a row on 2021-03-06, which is no NSE session"):
        forward_returns(saturday)


@pytest.mark.parametrize("fill", ["open", "close"])
def test_later_rows_change_no_label_whose_window_is_over(clean_prices: Panel, fill: str) -> None:
    rng = np.random.default_rng(5)
    walk = 100 * np.exp(np.cumsum(rng.normal(0, 0.02, 80)))
    bars = [(float(a), float(b)) for a, b in walk.reshape(-1, 2)]
    prices = clean_prices({"TCS": bars})
    cut = prices["date"][25]
    full = forward_returns(prices, 5, fill).filter(pl.col("label_end_date") <= cut)  # type: ignore[arg-type]
    known = forward_returns(prices.filter(pl.col("date") <= cut), 5, fill)  # type: ignore[arg-type]
    assert full.height == 20
    assert full.equals(known.filter(pl.col("label_end_date") <= cut))
    assert known.filter(pl.col("label_end_date") > cut)["forward_return_5d"].null_count() == 6


def _day(values: list[float | None], eligible: list[bool]) -> tuple[pl.DataFrame, pl.DataFrame]:
    keys = {"date": [date(2021, 3, 1)] * len(values), "ticker": [f"T{k}" for k in range(len(values))]}
    returns = pl.Series(values, dtype=pl.Float64)
    forward = pl.DataFrame(keys | {"forward_return": returns})
    return pl.DataFrame(keys).filter(pl.Series(eligible)), forward


def test_the_rank_label_is_centred_over_the_eligible_names_and_averages_ties() -> None:
    keys, forward = _day([0.03, -0.01, 0.03, 0.50, None, 0.10], [True, True, True, False, True, True])
    made = cross_section(keys.join(forward, on=["date", "ticker"]))
    assert dict(made.select("ticker", "rank_label").iter_rows()) == {"T0": 0.0, "T1": -0.375, "T2": 0.0, "T5": 0.375}


def test_the_zscore_label_has_mean_zero_and_unit_population_deviation() -> None:
    keys, forward = _day([0.01, 0.02, 0.06], [True] * 3)
    made = cross_section(keys.join(forward, on=["date", "ticker"]))["zscore_label"].to_list()
    assert made == pytest.approx([-0.926, -0.463, 1.389], abs=1e-3)
    keys, forward = _day([0.01, 0.01], [True] * 2)
    assert cross_section(keys.join(forward, on=["date", "ticker"]))["zscore_label"].to_list() == [0.0, 0.0]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(-50, 50), min_size=1, max_size=40))
def test_rank_labels_sum_to_zero_stay_inside_the_half_and_keep_the_order(values: list[int]) -> None:
    returns = [value / 1000 for value in values]
    keys, forward = _day(list(returns), [True] * len(returns))
    made = cross_section(keys.join(forward, on=["date", "ticker"]))
    rank, value = made["rank_label"].to_numpy(), made["forward_return"].to_numpy()
    assert abs(rank.sum()) < 1e-9
    assert (np.abs(rank) < 0.5).all()
    assert (np.sign(np.subtract.outer(rank, rank)) == np.sign(np.subtract.outer(value, value))).all()


def _history(clean_prices: Panel) -> tuple[pl.DataFrame, pl.DataFrame]:
    rng = np.random.default_rng(11)
    n = len(sessions(date(2019, 10, 1), date(2020, 3, 31)))
    walks = {name: 100 * np.exp(np.cumsum(rng.normal(0, 0.02, 2 * n))) for name in ("AAA", "BBB", "CCC")}
    bars = {name: [(float(a), float(b)) for a, b in walk.reshape(-1, 2)] for name, walk in walks.items()}
    prices = clean_prices(bars, start=date(2019, 10, 1))
    signal = pl.Series("signal", rng.standard_normal(prices.height))
    eligible = (pl.col("ticker") != "CCC") | (pl.col("date") >= date(2019, 11, 1))
    return prices, prices.select("date", "ticker", eligible.alias("is_eligible"), signal)


def test_the_training_window_ends_its_last_label_before_the_embargo(clean_prices: Panel) -> None:
    prices, features = _history(clean_prices)
    window = training_labels(features, prices, fold("2020"), LabelConfig(horizons_sessions=(5,)))
    # last sessions of 2019: 23, 24, 26, 27, 30, 31 December; five of them are the embargo
    assert window["label_end_date"].max() == date(2019, 12, 23)
    assert window["date"].max() == date(2019, 12, 13)
    assert window.filter(pl.col("ticker") == "CCC")["date"].min() == date(2019, 11, 1)
    assert window.equals(window.sort("horizon_sessions", "date", "ticker"))


def test_prices_of_the_fold_year_change_nothing_in_its_training_labels(clean_prices: Panel) -> None:
    prices, features = _history(clean_prices)
    window = training_labels(features, prices, fold("2020"), LabelConfig())
    before = pl.col("date") < date(2020, 1, 1)
    assert window.equals(training_labels(features.filter(before), prices.filter(before), fold("2020"), LabelConfig()))


def test_a_window_whose_purge_was_skipped_is_caught(clean_prices: Panel, monkeypatch: pytest.MonkeyPatch) -> None:
    prices, features = _history(clean_prices)
    monkeypatch.setattr("quant_core.forecasting.labels.purge", lambda rows, fold, embargo_sessions: rows)
    with pytest.raises(LookaheadError, match="fold 2020"):
        training_labels(features, prices, fold("2020"), LabelConfig())


def test_an_empty_training_window_says_what_to_materialize(clean_prices: Panel) -> None:
    prices, features = _history(clean_prices)
    with pytest.raises(DataError, match="no price before 2019-01-01"):
        training_labels(features, prices, fold("2019"), LabelConfig())
    none = features.with_columns(is_eligible=pl.lit(False))
    with pytest.raises(DataError, match="no eligible row with a label"):
        training_labels(none, prices, fold("2020"), LabelConfig())


@pytest.mark.parametrize(
    "setting",
    [
        {"horizons_sessions": ()},
        {"horizons_sessions": (5, 5)},
        {"fill": "vwap"},
        {"horizons_sessions": (0,)},
        {"direction_threshold": 0.0},
        {"volatility_sessions": 3},
    ],
)
def test_a_wrong_label_setting_is_refused(setting: dict[str, object]) -> None:
    with pytest.raises(DataError, match="label"):
        LabelConfig(**setting)  # type: ignore[arg-type]


def test_variance_and_direction_of_a_label_by_a_plain_loop(clean_prices: Panel) -> None:
    prices, features = _history(clean_prices)
    config = LabelConfig(horizons_sessions=(1, 5), direction_threshold=0.5, volatility_sessions=25)
    made = training_labels(features, prices, fold("2020"), config)
    rows = {key: part.to_dicts() for (key,), part in prices.sort("date").partition_by("ticker", as_dict=True).items()}
    seen = set()
    for label in made.iter_rows(named=True):
        days, h = rows[label["ticker"]], label["horizon_sessions"]
        t = next(k for k, row in enumerate(days) if row["date"] == label["date"])
        legs = [days[t + 1]["intraday_return_1d"], *(days[t + k]["total_return_1d"] for k in range(2, h + 1))]
        legs.append(days[t + 1 + h]["overnight_return_1d"])
        assert label["realized_variance"] == pytest.approx(sum(np.log1p(leg) ** 2 for leg in legs), rel=1e-9)
        assert label["forward_return"] == pytest.approx(np.prod([1 + leg for leg in legs]) - 1, rel=1e-9)
        past = [row["total_return_1d"] for row in days[max(t - 24, 0) : t + 1] if row["total_return_1d"] is not None]
        if len(past) < 20:
            assert label["direction"] is None
            continue
        limit = 0.5 * np.std(past, ddof=1) * np.sqrt(h)
        expected = int(label["forward_return"] > limit) - int(label["forward_return"] < -limit)
        assert label["direction"] == expected
        seen.add((h, expected))
    assert seen == {(h, way) for h in (1, 5) for way in (-1, 0, 1)}


def test_each_horizon_is_purged_by_its_own_end(clean_prices: Panel) -> None:
    prices, features = _history(clean_prices)
    made = training_labels(features, prices, fold("2020"), LabelConfig(horizons_sessions=(21, 1, 5)))
    last = {h: part["date"].max() for (h,), part in made.partition_by("horizon_sessions", as_dict=True).items()}
    assert last == {1: date(2019, 12, 19), 5: date(2019, 12, 13), 21: date(2019, 11, 21)}
    assert made["label_end_date"].max() == date(2019, 12, 23)
    assert made["horizon_sessions"].is_sorted()
