"""The leak certificate catches each planted leak under every perturbation that can see it, and refuses empty proofs."""

from collections.abc import Callable
from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

from quant_core.causality import PERTURBATIONS, assert_causal
from quant_core.errors import DataError, LookaheadError

FIRST = date(2020, 1, 1)
CUT = FIRST + timedelta(days=39)
X = pl.col("x")


@pytest.fixture(scope="module")
def table() -> pl.DataFrame:
    random = np.random.default_rng(7)
    rows = [
        {
            "date": FIRST + timedelta(days=day),
            "ticker": ticker,
            "x": random.normal(),
            "sector": "bank",
            "flag": day % 3 == 0,
        }
        for day in range(60)
        for ticker in ("AAA", "BBB", "CCC")
    ]
    return pl.DataFrame(rows).with_columns(x=pl.when(pl.col("date").dt.day() != 9).then("x"))


def column(expression: pl.Expr) -> Callable[[pl.DataFrame], pl.DataFrame]:
    return lambda frame: frame.sort("date", "ticker").with_columns(y=expression)


LEAKS = {
    "a shift from tomorrow": (X.shift(-1).over("ticker"), PERTURBATIONS),
    "a centred mean": (X.rolling_mean(5, center=True, min_samples=1).over("ticker"), PERTURBATIONS),
    "a back-fill": (X.is_null().cum_sum().over("ticker") + X.backward_fill().over("ticker"), ("truncate", "null")),
    "a z-score on the full sample": ((X - X.mean()) / X.std(), ("truncate", "null")),
    "a z-score on the ticker's full sample": (((X - X.mean()) / X.std()).over("ticker"), PERTURBATIONS),
    "a rank over all dates of a ticker": (X.rank().over("ticker"), PERTURBATIONS),
    "a count of all rows": (pl.len().over("ticker"), ("truncate",)),
    "tomorrow's flag": (pl.col("flag").shift(-1).over("ticker"), ("truncate", "null")),
}


@pytest.mark.parametrize(("leak", "how"), [(leak, how) for leak, (_, seen) in LEAKS.items() for how in seen])
def test_a_planted_leak_is_caught(table: pl.DataFrame, leak: str, how: str) -> None:
    with pytest.raises(LookaheadError, match="y at "):
        assert_causal(column(LEAKS[leak][0]), table, CUT, how=how, seed=3)


@pytest.mark.parametrize(
    "expression",
    [
        X.shift(1).over("ticker"),
        X.rolling_mean(5, min_samples=1).over("ticker"),
        X.forward_fill().over("ticker"),
        X.rank().over("date"),
        pl.int_range(pl.len()).over("ticker"),
    ],
    ids=["shift", "trailing mean", "forward fill", "rank of the day", "row number"],
)
def test_a_trailing_step_passes_every_perturbation(table: pl.DataFrame, expression: pl.Expr) -> None:
    assert_causal(column(expression), table, CUT)


def test_the_message_names_column_key_values_and_perturbation() -> None:
    table = pl.DataFrame({"date": [date(2020, 1, d) for d in (1, 2, 3)], "ticker": ["AAA"] * 3, "x": [1.0, 2.0, 4.0]})
    with pytest.raises(LookaheadError) as caught:
        assert_causal(column(X.shift(-1).over("ticker")), table, date(2020, 1, 2), how="truncate")
    message = str(caught.value)
    for part in ("y at (2020-01-02, AAA)", "is 4.0 on the full table", "None", "rows after 2020-01-02 are dropped"):
        assert part in message


def test_rows_that_exist_only_because_of_the_future_are_caught(table: pl.DataFrame) -> None:
    def survivors(frame: pl.DataFrame) -> pl.DataFrame:
        return frame.filter(pl.col("date").max().over("ticker") >= CUT + timedelta(days=1))

    with pytest.raises(LookaheadError, match="vanishes when rows after 2020-02-09 are dropped"):
        assert_causal(survivors, table, CUT)


def test_rows_that_appear_without_the_future_are_caught(table: pl.DataFrame) -> None:
    def last_rows_removed(frame: pl.DataFrame) -> pl.DataFrame:
        return frame.filter(pl.col("x").is_null() | (pl.len().over("ticker") > 50))

    with pytest.raises(LookaheadError, match="vanishes"):
        assert_causal(last_rows_removed, table, CUT, how="truncate")
    with pytest.raises(LookaheadError, match="appears"):
        assert_causal(lambda f: f.filter((pl.len().over("ticker") < 50) | (pl.col("flag"))), table, CUT, how="truncate")


def test_differences_below_the_tolerance_pass_and_above_it_fail(table: pl.DataFrame) -> None:
    def whisper(size: float) -> Callable[[pl.DataFrame], pl.DataFrame]:
        return column(pl.lit(1.0) + size * pl.len())

    assert_causal(whisper(1e-15), table, CUT, how="truncate")
    with pytest.raises(LookaheadError):
        assert_causal(whisper(1e-13), table, CUT, how="truncate")


def test_the_tolerance_is_relative_for_values_above_one(table: pl.DataFrame) -> None:
    assert_causal(column(pl.lit(1e9) + 1e-6 * pl.len()), table, CUT, how="truncate")
    with pytest.raises(LookaheadError):
        assert_causal(column(pl.lit(1e9) + 1e-4 * pl.len()), table, CUT, how="truncate")


def test_nan_equals_nan_but_not_null(table: pl.DataFrame) -> None:
    assert_causal(column(pl.lit(float("nan"))), table, CUT)
    with pytest.raises(LookaheadError):
        assert_causal(column(pl.when(pl.len() > 150).then(float("nan"))), table, CUT, how="truncate")


@pytest.mark.parametrize("kind", [pl.String, pl.Int64, pl.Float32])
def test_columns_of_every_type_are_compared(table: pl.DataFrame, kind: type[pl.DataType]) -> None:
    with pytest.raises(LookaheadError):
        assert_causal(column(pl.len().cast(kind)), table, CUT, how="truncate")


def test_a_column_whose_type_depends_on_the_future_is_caught(table: pl.DataFrame) -> None:
    def by_height(frame: pl.DataFrame) -> pl.DataFrame:
        return frame.with_columns(y=pl.lit("many") if frame.height > 150 else pl.lit(1.0))

    with pytest.raises(LookaheadError):
        assert_causal(by_height, table, CUT, how="truncate")


def test_the_input_is_not_changed(table: pl.DataFrame) -> None:
    before = table.clone()
    assert_causal(column(X), table, CUT)
    assert table.equals(before)


@pytest.mark.parametrize(
    ("cut", "words"),
    [(FIRST - timedelta(days=1), "no rows up to"), (FIRST + timedelta(days=59), "changes no input")],
    ids=["nothing before the cut", "nothing after the cut"],
)
def test_an_empty_certificate_is_refused(table: pl.DataFrame, cut: date, words: str) -> None:
    with pytest.raises(DataError, match=words):
        assert_causal(column(X), table, cut)


def test_a_certificate_over_nulls_or_over_one_row_is_refused(table: pl.DataFrame) -> None:
    emptied = table.select("date", "ticker", x=pl.when(pl.col("date") <= CUT).then("x"))
    with pytest.raises(DataError, match="null changes no input"):
        assert_causal(column(X), emptied, CUT, how="null")
    one_more = table.filter(
        (pl.col("date") <= CUT) | ((pl.col("date") == CUT + timedelta(days=1)) & (pl.col("ticker") == "AAA"))
    )
    with pytest.raises(DataError, match="shuffle changes no input"):
        assert_causal(column(X), one_more, CUT, how="shuffle")


def test_other_keys_and_date_columns_are_accepted(table: pl.DataFrame) -> None:
    market = table.group_by("date").agg(pl.col("x").mean()).rename({"date": "session"})
    arguments = {"keys": ("session",), "date_column": "session"}
    assert_causal(lambda f: f.sort("session").with_columns(y=X.shift(1)), market, CUT, **arguments)
    with pytest.raises(LookaheadError):
        assert_causal(lambda f: f.sort("session").with_columns(y=X.shift(-1)), market, CUT, **arguments)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"how": "scramble"}, "wanted some of"),
        ({"how": ()}, "wanted some of"),
        ({"keys": ("date", "isin")}, "not in the output"),
        ({"keys": ("ticker",)}, "not among"),
        ({"keys": ("date",)}, "more than once"),
        ({"date_column": "session"}, "not among"),
    ],
)
def test_wrong_arguments_are_refused(table: pl.DataFrame, arguments: dict[str, object], words: str) -> None:
    with pytest.raises(DataError, match=words):
        assert_causal(column(X), table, CUT, **arguments)  # type: ignore[arg-type]
