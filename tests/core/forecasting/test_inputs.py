"""Inputs by kind: which columns each names, ranks by hand, and what a date alone says."""

from datetime import date

import numpy as np
import polars as pl
import pytest
from scipy.stats import rankdata
from windows import features_of, fit, predict, training_data

from quant_core.errors import DataError
from quant_core.forecasting.inputs import as_kind, columns_of, labelled, named_inputs, usable
from quant_core.forecasting.models.ridge import RidgeConfig

DAY = date(2021, 3, 1)
NAMES = (
    "momentum_21d", "rank_return_1d", "momentum_21d_z252", "gap_wz63", "beta_rank", "channel_return_1d",
    "static_sector_code", "is_new",
)  # fmt: skip
SCHEMA = {"date": pl.Date(), "ticker": pl.String(), "is_eligible": pl.Boolean()} | {
    name: pl.Float64() for name in NAMES
}


@pytest.mark.parametrize(
    ("kind", "named"),
    [
        ("raw", ("momentum_21d", "rank_return_1d", "is_new")),
        ("rank", ("momentum_21d", "rank_return_1d", "is_new")),
        ("normalized", ("momentum_21d_z252", "gap_wz63", "beta_rank")),
        ("channels", ("channel_return_1d",)),
    ],
)
def test_each_kind_names_its_own_columns_and_no_key(kind: str, named: tuple[str, ...]) -> None:
    assert columns_of(SCHEMA, kind) == named  # type: ignore[arg-type]


def test_a_table_without_normalised_columns_reads_all_that_are_no_channels_and_text_is_no_input() -> None:
    schema = {"beta": pl.Float64(), "sector": pl.String(), "is_new": pl.Boolean(), "channel_gap_1d": pl.Float64()}
    assert columns_of(schema, "normalized") == columns_of(schema, "raw") == ("beta", "is_new")


def test_ranks_by_hand_with_ties_and_holes() -> None:
    rows = pl.DataFrame({
        "date": [DAY] * 6,
        "x": [3.0, 1.0, 3.0, None, float("nan"), 9.0],
        "flag": [True, False, None, False, False, False],
    })  # fmt: skip
    read = as_kind(rows, ["x", "flag"], "rank")
    # x has four values: 1 < 3 = 3 < 9 with ranks 1, 2.5, 2.5, 4; (r - 1/2) / 4 - 1/2
    assert read["x"].to_list() == [0.0, -0.375, 0.0, None, None, 0.375]
    assert read["flag"].to_list() == pytest.approx([0.4, -0.1, None, -0.1, -0.1, -0.1])  # of five: 2.5 fourfold, then 5
    assert as_kind(rows, ["x"], "raw").equals(rows)


def test_ranks_equal_scipys_on_every_date_and_a_date_alone_has_the_same() -> None:
    rng = np.random.default_rng(0)
    rows = pl.DataFrame({
        "date": [date(2021, 3, day) for day in range(1, 21) for _ in range(30)],
        "x": np.round(rng.standard_normal(600), 1),
    })  # fmt: skip
    whole = as_kind(rows, ["x"], "rank")
    for day, part in rows.group_by("date"):
        expected = (rankdata(part["x"]) - 0.5) / 30 - 0.5
        np.testing.assert_allclose(whole.filter(pl.col("date") == day[0])["x"], expected, atol=1e-15)
        assert as_kind(part, ["x"], "rank").equals(whole.filter(pl.col("date") == day[0]))


def window_with_an_unlabelled_name() -> pl.DataFrame:
    keys = {"date": [DAY] * 4, "ticker": ["A", "B", "C", "D"], "label_end_date": [date(2021, 3, 9)] * 4}
    return pl.DataFrame(keys | {"label": [0.1, 0.2, 0.3, 0.4], "x": [1.0, 2.0, 3.0, 0.0]})


def test_a_name_without_a_label_has_a_standing_and_one_that_is_not_eligible_has_none() -> None:
    window = window_with_an_unlabelled_name()
    data = training_data(window.filter(pl.col("ticker") != "D"))
    features = features_of(window).vstack(
        features_of(window).tail(1).with_columns(ticker=pl.lit("E"), is_eligible=False, x=99.0)
    )
    wider = type(data)(data.labels, features.lazy(), data.columns)
    read = labelled(wider, RidgeConfig(), ["x"], "rank")
    assert read["ticker"].to_list() == ["A", "B", "C"]
    assert read["x"].to_list() == [-0.125, 0.125, 0.375]  # second to fourth of four


def test_an_absent_column_and_a_table_without_the_kind_are_refused_by_name() -> None:
    data = training_data(window_with_an_unlabelled_name())
    assert named_inputs(data, "raw", None, "gru") == ("x",)
    with pytest.raises(DataError, match="gru: the features have no channels input"):
        named_inputs(data, "channels", None, "gru")
    with pytest.raises(DataError, match=r"gru: inputs \['y'\] are missing"):
        named_inputs(data, "raw", ["x", "y"], "gru")


def test_a_row_that_lacks_too_many_inputs_is_dropped_and_infinity_is_missing() -> None:
    rows = pl.DataFrame({"k": [0, 1, 2], "a": [1.0, None, 3.0], "b": [1.0, 2.0, float("inf")], "c": [1.0, None, 1.0]})
    kept, matrix = usable(rows, ["a", "b", "c"], 0.5)
    assert kept["k"].to_list() == [0, 2]
    np.testing.assert_array_equal(matrix, [[1.0, 1.0, 1.0], [3.0, np.nan, 1.0]])


def test_ridge_on_ranks_does_not_ask_for_the_scale_of_a_day() -> None:
    rng = np.random.default_rng(1)
    days = [date(2018, 1, 1 + k) for k in range(28)]
    keys = pl.DataFrame(
        {"date": [day for day in days for _ in range(20)], "ticker": [f"T{k:02d}" for k in range(20)] * 28}
    )
    signal = rng.standard_normal(560)
    window = keys.with_columns(
        label_end_date=pl.col("date").dt.offset_by("2d"), label=pl.Series(signal + 0.1 * rng.standard_normal(560)),
        forward_return_5d=pl.lit(0.0), signal=pl.Series(signal),
    )  # fmt: skip
    swollen = window.with_columns(signal=pl.col("signal").exp() * pl.col("date").dt.day())
    plain, other = (fit(table, RidgeConfig(inputs="rank", alpha=0.1), 0) for table in (window, swollen))
    np.testing.assert_allclose(plain.arrays["coefficients"], other.arrays["coefficients"], rtol=1e-12)
    later = window.with_columns(pl.col("date").dt.offset_by("5y"))
    whole = predict(plain, later)
    alone = predict(plain, later.filter(pl.col("date") == later["date"].max()))
    assert alone.equals(whole.filter(pl.col("date") == later["date"].max()))
