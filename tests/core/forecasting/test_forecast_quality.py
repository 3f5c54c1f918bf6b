"""The scorecard against the measures that it is made of, by hand and on forecasts whose quality is known."""

import math

import numpy as np
import polars as pl
import pytest
from quality_cases import DAILY, N_TICKERS, Market, forecast, market

from quant_core.errors import DataError
from quant_core.forecasting.calibration import VOLATILITY
from quant_core.forecasting.quality import QualityTables, forecast_quality
from quant_core.forecasting.scores import summary
from quant_core.measures.forward_returns import forward_returns
from quant_core.measures.information_coefficient import rank_ic_by_date
from quant_core.schema import ForecastPit, ForecastReliability, ForecastScorecard, validate


@pytest.fixture(scope="module")
def small() -> Market:
    return market()


@pytest.fixture(scope="module")
def said(small: Market) -> dict[str, pl.DataFrame]:
    return {
        "right": forecast(small, "right", skill=0.3, width=1.0),
        "sure": forecast(small, "sure", skill=0.1, seed=2, width=0.5),
        "monthly": forecast(small, "monthly", horizon=21, skill=0.3, seed=3),
    }


@pytest.fixture(scope="module")
def tables(small: Market, said: dict[str, pl.DataFrame]) -> QualityTables:
    lazy = {name: table.lazy() for name, table in said.items()}
    return forecast_quality(lazy, small.features.lazy(), small.prices, small.sectors)


def row(
    tables: QualityTables, model: str, horizon: int = 5, part: str = "all", value: str = "all"
) -> dict[str, object]:
    key = (pl.col("model") == model, pl.col("horizon_sessions") == horizon, pl.col("part") == part)
    return tables.scorecard.filter(*key, pl.col("value") == value).row(0, named=True)


def test_tables_keep_their_contracts_and_every_model_is_judged_at_its_own_and_at_the_common_horizon(
    tables: QualityTables,
) -> None:
    for table, contract in zip(tables, (ForecastScorecard, ForecastPit, ForecastReliability), strict=True):
        validate(table, contract, "table", "")
    whole = tables.scorecard.filter(pl.col("part") == "all")
    assert whole.select("model", "horizon_sessions", "is_own_horizon").rows() == [
        ("momentum", 5, False), ("momentum", 21, False), ("monthly", 5, False), ("monthly", 21, True),
        ("right", 5, True), ("sure", 5, True),
    ]  # fmt: skip


@pytest.mark.parametrize(("model", "horizon"), [("right", 5), ("monthly", 21), ("monthly", 5)])
def test_the_order_is_judged_as_the_measures_judge_it(
    tables: QualityTables, small: Market, said: dict[str, pl.DataFrame], model: str, horizon: int
) -> None:
    wanted = summary(rank_ic_by_date(said[model], forward_returns(small.prices, horizon)), horizon)
    found = row(tables, model, horizon)
    for name in ("n_dates", "mean_rank_ic", "mean_ic", "icir", "nw_t", "hit_rate"):
        assert found[name] == pytest.approx(wanted[name], abs=1e-12), name
    assert found["n_rows"] == (300 - 1 - horizon) * N_TICKERS


def test_what_is_right_is_seen_to_be_and_what_is_too_sure_is_too(tables: QualityTables) -> None:
    right, sure = row(tables, "right"), row(tables, "sure")
    for share in (50, 80, 90):
        assert right[f"coverage_{share}"] == pytest.approx(share / 100, abs=0.02)
        assert right[f"adaptive_coverage_{share}"] == pytest.approx(share / 100, abs=0.02)
        assert sure[f"coverage_{share}"] < share / 100 - 0.15
        assert sure[f"coverage_{share}"] < sure[f"adaptive_coverage_{share}"]
    assert right["crps_skill"] == pytest.approx(0.0, abs=1e-9)  # it is the climatology
    assert sure["crps_skill"] < -0.02
    assert right["pit_ks"] < 0.05 < 0.1 < sure["pit_ks"]
    assert right["qlike"] == pytest.approx(right["qlike_trailing"])
    assert right["qlike"] < sure["qlike"]
    assert right["direction_disagreement"] == pytest.approx(0.0, abs=1e-12)


def test_figures_of_rows_by_hand(tables: QualityTables, small: Market) -> None:
    unit = DAILY * math.sqrt(5)
    earned = forward_returns(small.prices, 5)["forward_return_5d"].drop_nulls().to_numpy()
    up, down = (earned > 0.5 * unit).mean(), (earned < -0.5 * unit).mean()
    found = row(tables, "right")
    shares = np.array([down, 1 - up - down, up])
    assert found["base_log_loss"] == pytest.approx(-(shares * np.log(shares)).sum())
    assert found["base_accuracy"] == pytest.approx(shares.max())
    inside = np.abs(earned) <= 1.6448536269514722 * unit
    assert found["coverage_90"] == pytest.approx(inside.mean())


def test_parts_add_up_and_a_part_is_judged_on_its_own_rows(tables: QualityTables, small: Market, said: dict) -> None:
    card = tables.scorecard.filter(pl.col("model") == "right", pl.col("horizon_sessions") == 5)
    whole = row(tables, "right")
    by_part = card.group_by("part").agg(
        rows=pl.col("n_rows").sum(), crps=(pl.col("crps") * pl.col("n_rows")).sum() / pl.col("n_rows").sum()
    )
    for part, rows, crps in by_part.iter_rows():
        assert (rows, crps) == (whole["n_rows"], pytest.approx(whole["crps"])), part
    assert sorted(card.filter(pl.col("part") == "year")["value"]) == ["2019", "2020"]
    assert sorted(card.filter(pl.col("part") == "liquidity")["value"]) == ["high", "low", "middle"]
    banks = said["right"].filter(pl.col("ticker").str.slice(1).cast(pl.Int32) % 2 == 0)
    wanted = rank_ic_by_date(banks, forward_returns(small.prices, 5))["rank_ic"].mean()
    assert row(tables, "right", part="sector", value="Banks")["mean_rank_ic"] == pytest.approx(wanted)
    third = said["right"].filter(pl.col("ticker").str.slice(1).cast(pl.Int32) < N_TICKERS // 3)
    wanted = rank_ic_by_date(third, forward_returns(small.prices, 5))["rank_ic"].mean()
    assert row(tables, "right", part="liquidity", value="low")["mean_rank_ic"] == pytest.approx(wanted)


def test_a_score_alone_has_no_figure_of_a_distribution(tables: QualityTables) -> None:
    for horizon in (5, 21):
        found = row(tables, "monthly", horizon)
        assert [found[name] for name in ("crps", "coverage_90", "pit_ks", "qlike", "base_log_loss")] == [None] * 5
    assert set(tables.pit["model"]) == {"right", "sure"}
    assert tables.pit.filter(pl.col("model") == "right")["share"].sum() == pytest.approx(1.0)
    ups = tables.reliability.filter(pl.col("model") == "right", pl.col("direction") == "up")
    assert ups["mean_probability"][0] == pytest.approx(ups["frequency"][0], abs=0.02)


def test_no_forecast_and_features_without_what_is_used_give_tables_without_it(small: Market, said: dict) -> None:
    nothing = forecast_quality({"right": said["right"].clear().lazy()}, small.features.lazy(), small.prices)
    assert [table.height for table in nothing] == [0, 0, 0]
    bare = small.features.drop(VOLATILITY, "log_turnover_63d", "log_return_126d").lazy()
    found = forecast_quality({"right": said["right"].lazy()}, bare, small.prices).scorecard
    assert found["part"].unique().sort().to_list() == ["all", "year"]
    assert found["crps_skill"].null_count() == found.height
    assert found["coverage_90"].null_count() == 0


def test_each_regime_is_judged_on_its_own_dates_and_has_intervals_that_hold_in_it(
    small: Market, tables: QualityTables
) -> None:
    days = small.prices["date"].unique().sort()
    labels = pl.DataFrame({"date": days, "regime": ["Crisis" if k // 30 % 2 else "Bear" for k in range(len(days))]})
    in_crisis = pl.col("date").is_in(labels.filter(pl.col("regime") == "Crisis")["date"].implode())
    # what is said is too sure in one regime and too careful in the other
    said = forecast(small, "flat", skill=0.2, width=1.0).with_columns(
        pl.col("^return_q.*$") * pl.when(in_crisis).then(0.6).otherwise(1.5)
    )
    card = forecast_quality({"flat": said.lazy()}, small.features.lazy(), small.prices, regimes=labels[:-30]).scorecard
    own = card.filter(pl.col("model") == "flat", pl.col("part") == "regime")
    assert own["value"].to_list() == ["Bear", "Crisis"]
    bear, crisis = own.rows(named=True)
    of_crisis = said.filter(in_crisis).join(labels[:-30], on="date", how="semi")
    forward = forward_returns(small.prices, 5)
    assert crisis["mean_rank_ic"] == pytest.approx(rank_ic_by_date(of_crisis, forward)["rank_ic"].mean())
    earned = of_crisis.join(forward, on=["date", "ticker"])["forward_return_5d"].to_numpy()
    inside = np.abs(earned) <= 0.6 * 1.6448536269514722 * DAILY * math.sqrt(5)
    assert (crisis["n_rows"], crisis["coverage_90"]) == (len(earned), pytest.approx(inside.mean()))
    assert bear["adaptive_coverage_90"] > 0.95
    assert crisis["adaptive_coverage_90"] < 0.85
    for row in (bear, crisis):
        assert abs(row["regime_coverage_90"] - 0.9) < abs(row["adaptive_coverage_90"] - 0.9) - 0.02
    # dates without a label are in no part: the 24 of the last 30 whose return is known
    whole = card.filter(pl.col("model") == "flat", pl.col("part") == "all").row(0, named=True)
    assert whole["n_rows"] - own["n_rows"].sum() == 24 * N_TICKERS
    assert card.filter(pl.col("model") == "momentum", pl.col("part") == "regime").height == 2
    without = tables.scorecard
    assert without["regime_coverage_90"].null_count() == without.height
    assert without.filter(pl.col("part") == "regime").is_empty()


def test_labels_of_two_methods_at_once_are_refused(small: Market, said: dict[str, pl.DataFrame]) -> None:
    day = small.prices["date"][0]
    labels = pl.DataFrame({"date": [day, day], "regime": ["Bear", "Crisis"]})
    with pytest.raises(DataError, match=rf"{day} has several labels"):
        forecast_quality({"right": said["right"].lazy()}, small.features.lazy(), small.prices, regimes=labels)
