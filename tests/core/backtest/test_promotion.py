"""The gate: who is compared with whom over which sessions, by hand and against a direct computation."""

from datetime import date

import numpy as np
import polars as pl
import pytest

from quant_core.backtest.promotion import DEFLATED_LEAST, Gate, promotion
from quant_core.calendar import sessions
from quant_core.measures.luck import Luck
from quant_core.measures.performance import sharpe
from quant_core.measures.significance import probabilistic_sharpe
from quant_core.schema import PROMOTED, StressedReturns

DAYS = sessions(date(2020, 1, 1), date(2021, 12, 31))
CASH_1D = 0.0002
ALONE = Luck(1, 1, 1, 0.0, 0.0)
MANY = Luck(9, 9, 9, 1.5, 1.5)


def book(name: str, mean: float, seed: int, skip: int = 0) -> pl.DataFrame:
    returns = np.random.default_rng(seed).normal(0.0, 0.01, len(DAYS))
    returns += mean - returns[skip + 1 :].mean()
    returns[skip] = 0.0
    frame = pl.DataFrame({"date": DAYS, "strategy": name, "simple_return_1d": returns})
    return frame.cast(StressedReturns.create_empty().schema)[skip:]  # type: ignore[arg-type]


RIVALS = [book("top_n_ridge", 0.0003, 1), book("equal_weight", 0.0004, 2), book("buy_hold_index", 0.0005, 3)]


def benchmark(series: str = "NIFTY 50 TRI") -> pl.DataFrame:
    returns = book("x", 0.0006, 4)["simple_return_1d"]
    rate = [0.0] + [CASH_1D] * (len(DAYS) - 1)
    return pl.DataFrame({"date": DAYS, "simple_return_1d": returns, "series": series, "risk_free_return_1d": rate})


def judged(*books: pl.DataFrame, luck: Luck = ALONE, series: str = "NIFTY 50 TRI") -> Gate:
    return promotion(pl.concat(books).sort("date", "strategy"), benchmark(series), {"mine": luck}, seed=3)


def test_a_candidate_above_every_rival_that_outlives_its_tries_is_promoted() -> None:
    gate = judged(book("mine", 0.003, 5), *RIVALS)
    row = gate.candidates.row(0, named=True)
    assert (row["status"], row["reasons"], row["n_sessions"]) == (PROMOTED, "", len(DAYS) - 1)
    assert row["deflated_sharpe"] > DEFLATED_LEAST
    assert gate.leads["rival"].to_list() == ["benchmark", "buy_hold_index", "equal_weight", "top_n_ridge"]


def test_the_figures_are_those_of_the_plain_measures() -> None:
    own, other = book("mine", 0.002, 5), RIVALS[0]
    gate = judged(own, *RIVALS, luck=MANY)
    mine, ridge = (sharpe(one["simple_return_1d"][1:].to_numpy(), CASH_1D) for one in (own, other))
    row = gate.candidates.row(0, named=True)
    lead = gate.leads.filter(pl.col("rival") == "top_n_ridge").row(0, named=True)
    assert (row["sharpe_ann"], lead["rival_sharpe_ann"]) == pytest.approx((mine, ridge))
    assert lead["lead_ann"] == pytest.approx(mine - ridge)
    assert lead["lead_low_ann"] < lead["lead_ann"] < lead["lead_high_ann"]
    excess, n = own["simple_return_1d"][1:].to_numpy() - CASH_1D, len(DAYS) - 1
    assert row["deflated_sharpe"] == pytest.approx(probabilistic_sharpe(excess, 1.5 / n**0.5))
    assert row["expected_max_sharpe_ann"] == pytest.approx(1.5 * (252 / n) ** 0.5)


def test_what_is_lost_and_what_is_luck_are_both_reasons() -> None:
    row = judged(book("mine", 0.00045, 5), *RIVALS, luck=MANY).candidates.row(0, named=True)
    assert row["status"] == "not promoted"
    assert row["reasons"].startswith("not above holding the index (")
    assert "not above ridge" not in row["reasons"]
    assert "over 9 own tries, wanted 0.95" in row["reasons"]


@pytest.mark.parametrize(
    ("absent", "series", "status", "why"),
    [(0, "NIFTY 50 TRI", "open", "no figure of ridge"), (2, "NIFTY 50 TRI", "promoted", ""),
     (2, "none", "open", "no figure of the benchmark")],
)  # fmt: skip
def test_a_missing_rival_leaves_the_answer_open_but_one_index_is_enough(
    absent: int, series: str, status: str, why: str
) -> None:
    others = [rival for k, rival in enumerate(RIVALS) if k != absent]
    row = judged(book("mine", 0.003, 5), *others, series=series).candidates.row(0, named=True)
    assert (row["status"], row["reasons"]) == (status, why)


def test_all_are_compared_over_the_sessions_since_the_last_of_them_began() -> None:
    late = book("equal_weight", 0.0004, 2, skip=100)
    gate = judged(book("mine", 0.002, 5), RIVALS[0], late, RIVALS[2])
    row = gate.candidates.row(0, named=True)
    assert row["n_sessions"] == len(DAYS) - 101
    since = book("mine", 0.002, 5)["simple_return_1d"][101:].to_numpy()
    assert row["sharpe_ann"] == pytest.approx(sharpe(since, CASH_1D))
    after = judged(book("mine", 0.002, 5, skip=50), *RIVALS).candidates.row(0, named=True)
    assert after["n_sessions"] == len(DAYS) - 51


def test_a_copy_of_a_rival_does_not_beat_it_and_has_no_interval_to_speak_of() -> None:
    copy = RIVALS[1].with_columns(strategy=pl.lit("mine"))
    lead = judged(copy, *RIVALS).leads.filter(pl.col("rival") == "equal_weight").row(0, named=True)
    assert lead["lead_ann"] == lead["lead_low_ann"] == lead["lead_high_ann"] == 0.0


def test_a_few_sessions_give_ratios_without_intervals() -> None:
    short = [one[:10] for one in (book("mine", 0.002, 5), *RIVALS)]
    gate = judged(*short)
    assert gate.candidates["n_sessions"].to_list() == [9]
    assert gate.leads["lead_low_ann"].null_count() == gate.leads.height
