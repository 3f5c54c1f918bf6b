"""Pairs of models against plain arithmetic on their daily ICs, and what each adds to the mean of all."""

import numpy as np
import polars as pl
import pytest
from quality_cases import Market, forecast, market

from quant_core.forecasting.comparison import ComparisonTables, forecast_comparison
from quant_core.measures.diebold_mariano import diebold_mariano
from quant_core.measures.forward_returns import forward_returns
from quant_core.measures.information_coefficient import rank_ic_by_date
from quant_core.schema import ForecastComparison, ForecastContribution, validate


@pytest.fixture(scope="module")
def small() -> Market:
    return market(200)


@pytest.fixture(scope="module")
def said(small: Market) -> dict[str, pl.DataFrame]:
    good = forecast(small, "good", skill=0.3)
    twin, noise = good.with_columns(score=pl.col("score") * 2 + 1), forecast(small, "noise", seed=5)
    return {"good": good, "twin": twin, "noise": noise, "ensemble": good}


@pytest.fixture(scope="module")
def tables(small: Market, said: dict[str, pl.DataFrame]) -> ComparisonTables:
    return forecast_comparison({k: v.lazy() for k, v in said.items()}, small.features.lazy(), small.prices)


def pair(tables: ComparisonTables, one: str, other: str) -> dict[str, float]:
    return tables.pairs.filter(pl.col("model") == one, pl.col("other") == other).row(0, named=True)


def daily(small: Market, table: pl.DataFrame) -> np.ndarray:
    return rank_ic_by_date(table, forward_returns(small.prices, 5))["rank_ic"].to_numpy()


def test_every_ordered_pair_is_there_and_the_tables_keep_their_contracts(tables: ComparisonTables) -> None:
    assert tables.pairs.height == 6 * 5  # four models, momentum and zero
    for table, contract in zip(tables, (ForecastComparison, ForecastContribution), strict=True):
        validate(table, contract, "table", "")


def test_a_pair_is_a_test_on_the_daily_rank_ics(tables: ComparisonTables, small: Market, said: dict) -> None:
    good, noise = daily(small, said["good"]), daily(small, said["noise"])
    found, wanted = pair(tables, "good", "noise"), diebold_mariano(-noise, -good, 5)
    assert found["n_dates"] == len(good) == wanted.n
    assert found["rank_ic_gain"] == pytest.approx((good - noise).mean(), abs=1e-12)
    assert (found["dm_t"], found["dm_p"]) == (pytest.approx(wanted.t), pytest.approx(wanted.p))
    assert found["dm_t"] > 3.0  # above 0: the first is better
    assert found["ic_correlation"] == pytest.approx(np.corrcoef(good, noise)[0, 1])
    back = pair(tables, "noise", "good")
    assert (back["dm_t"], back["dm_p"]) == (pytest.approx(-found["dm_t"]), pytest.approx(found["dm_p"]))


def test_nothing_said_has_a_rank_ic_of_zero_and_a_twin_is_no_different(
    tables: ComparisonTables, small: Market, said: dict
) -> None:
    assert pair(tables, "good", "zero")["rank_ic_gain"] == pytest.approx(daily(small, said["good"]).mean())
    assert pair(tables, "good", "zero")["score_correlation"] is None
    twin = pair(tables, "good", "twin")
    assert (twin["score_correlation"], twin["ic_correlation"]) == (pytest.approx(1.0), pytest.approx(1.0))
    assert (twin["rank_ic_gain"], twin["dm_t"]) == (0.0, None)
    assert abs(pair(tables, "good", "noise")["score_correlation"]) < 0.1


def test_what_a_member_adds_is_the_means_ic_with_it_less_without_it(
    tables: ComparisonTables, small: Market, said: dict
) -> None:
    members = {name: said[name] for name in ("good", "twin", "noise")}  # an ensemble is no member

    def mean_ic(names: list[str]) -> float:
        ranked = [members[name].select("date", "ticker", pl.col("score").rank().over("date")) for name in names]
        mean = pl.concat(ranked).group_by("date", "ticker").agg(pl.col("score").sum())
        return float(daily(small, mean.sort("date", "ticker")).mean())

    whole = mean_ic(["good", "twin", "noise"])
    assert tables.contributions["model"].to_list() == ["good", "noise", "twin"]
    for row in tables.contributions.iter_rows(named=True):
        without = mean_ic([name for name in members if name != row["model"]])
        assert row["ensemble_rank_ic"] == pytest.approx(whole, abs=1e-12)
        assert row["rank_ic_without"] == pytest.approx(without, abs=1e-12)
        assert row["rank_ic_added"] == pytest.approx(row["ensemble_rank_ic"] - row["rank_ic_without"])
    added = dict(tables.contributions.select("model", "rank_ic_added").iter_rows())
    assert added["noise"] < 0.0 < added["good"]


def test_one_model_has_nothing_without_it_and_none_has_no_rows(small: Market, said: dict) -> None:
    one = forecast_comparison({"good": said["good"].lazy()}, small.features.lazy(), small.prices)
    row = one.contributions.row(0, named=True)
    assert row["ensemble_rank_ic"] == pytest.approx(daily(small, said["good"]).mean())
    assert (row["rank_ic_without"], row["rank_ic_added"], row["nw_t"]) == (None, None, None)
    none = forecast_comparison({"good": said["good"].clear().lazy()}, small.features.lazy(), small.prices)
    assert (none.pairs.height, none.contributions.height) == (0, 0)
