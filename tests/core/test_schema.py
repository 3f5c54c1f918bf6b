"""Table contracts: a broken one is an error that says which column, how many rows, which row first."""

from datetime import date

import polars as pl
import pytest

from quant_core.errors import DataError
from quant_core.schema import TargetWeights, validate

GOOD = pl.DataFrame(
    {"date": [date(2020, 1, 1)] * 2, "strategy": ["a", "a"], "ticker": ["x", "y"], "weight": [0.5, 0.5]}
)


def check(table: pl.DataFrame) -> pl.DataFrame:
    return validate(table, TargetWeights, "demo/target_weights 2020-01", "rebuild it.")


def test_a_sound_table_passes_with_its_columns_in_the_contracts_order_and_extras_behind() -> None:
    shuffled = GOOD.select("weight", "ticker", pl.lit(1).alias("extra"), "date", "strategy")
    assert check(shuffled).columns == ["date", "strategy", "ticker", "weight", "extra"]


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (GOOD.drop("weight"), ["weight", "missing"]),
        (GOOD.with_columns(weight=pl.lit(1)), ["weight", "Int32", "Float64"]),
        (GOOD.with_columns(ticker=pl.lit("x")), ["primary_key", "2 rows"]),
        (GOOD.with_columns(weight=pl.Series([0.5, 1.5])), ["weight", "max", "1 rows", "1.5"]),
    ],
)
def test_a_broken_table_is_named_with_the_column_the_count_and_the_remedy(
    table: pl.DataFrame, words: list[str]
) -> None:
    with pytest.raises(DataError) as caught:
        check(table)
    assert all(word in str(caught.value) for word in ["demo/target_weights 2020-01", "rebuild it.", *words])
