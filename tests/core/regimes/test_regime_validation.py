"""Histories of regimes judged: every number by hand, the adjusted Rand index beside scikit-learn's."""

import itertools
import math
from collections.abc import Sequence
from datetime import date

import numpy as np
import polars as pl
import pytest

from quant_core.calendar import sessions
from quant_core.errors import DataError
from quant_core.regimes.stress import STRESS_WINDOWS, StressWindow
from quant_core.regimes.validation import (
    adjusted_rand,
    crisis_alarms,
    regime_agreement,
    regime_statistics,
    regime_summary,
    stress_recall,
)
from quant_core.schema import (
    RegimeAgreement,
    RegimeAlarms,
    RegimeRecall,
    Regimes,
    RegimeStatistics,
    RegimeSummary,
    validate,
)

BULL, BEAR, CRISIS = "Low-Vol Bull", "Bear", "Crisis"
DAYS = sessions(date(2020, 1, 1), date(2022, 12, 31))


def labels(of: Sequence[str], method: str = "hmm", first: int = 0) -> pl.DataFrame:
    """Regimes of consecutive sessions; what is not judged here is left empty of meaning."""
    n = len(of)
    table = pl.DataFrame({"date": DAYS[first : first + n], "method": [method] * n, "regime": list(of)}).with_columns(
        fold=pl.lit("2020"), fit_end=date(2019, 12, 31), state=pl.lit(0, pl.Int32), entropy=pl.lit(0.0),
        sessions_in_regime=pl.lit(1, pl.Int32),
        **{f"prob_{name}": pl.lit(0.2) for name in ("low_vol_bull", "high_vol_bull", "bear", "crisis", "transition")},
    )  # fmt: skip
    return validate(table, Regimes, "labels", "")


def index(log_returns: Sequence[float | None]) -> pl.DataFrame:
    return pl.DataFrame({"date": DAYS[: len(log_returns)], "return_1d": list(log_returns)}, schema_overrides={
        "return_1d": pl.Float64,
    })  # fmt: skip


def window(first: int, last: int, name: str = "storm") -> StressWindow:
    return StressWindow(name, DAYS[first], DAYS[last], "a storm")


def test_recall_and_delay_of_a_window_by_hand() -> None:
    said = labels([BULL] * 3 + [BEAR, CRISIS, BULL, CRISIS] + [BULL] * 2)
    (row,) = stress_recall(said, [window(3, 7)]).rows(named=True)
    assert row == {
        "method": "hmm", "window": "storm", "first_date": DAYS[3], "last_date": DAYS[7], "happened": "a storm",
        "n_sessions": 5, "crisis_share": 2 / 5, "crisis_or_bear_share": 3 / 5, "delay_sessions": 1,
    }  # fmt: skip
    at_once = labels([BULL] * 3 + [CRISIS] * 5 + [BULL])
    assert stress_recall(at_once, [window(3, 7)])["delay_sessions"].to_list() == [0]


def test_a_window_without_crisis_has_no_delay_and_one_that_is_cut_is_not_told() -> None:
    said = pl.concat([labels([BULL] * 10), labels([CRISIS] * 4, "jump", first=6)])
    found = stress_recall(said, [window(2, 7), window(7, 9, "late"), window(8, 10, "later")])
    assert found.select("method", "window", "crisis_share", "delay_sessions").rows() == [
        ("hmm", "late", 0.0, None), ("hmm", "storm", 0.0, None), ("jump", "late", 1.0, 0),
    ]  # fmt: skip
    validate(found, RegimeRecall, "recall", "")
    assert stress_recall(said, []).is_empty()


def test_shipped_windows_are_in_order_and_apart() -> None:
    for one, following in itertools.pairwise(STRESS_WINDOWS):
        assert one.first <= one.last < following.first
    assert len({one.name for one in STRESS_WINDOWS}) == 5
    assert (STRESS_WINDOWS[0].first, STRESS_WINDOWS[-1].last) == (date(2008, 9, 15), date(2020, 4, 7))


def test_an_alarm_is_false_where_nothing_followed_within_a_quarter() -> None:
    of = [BULL] * 200
    for k in (10, 50, 51, 100, 136, 140):
        of[k] = CRISIS
    moves = [0.0] * 200
    moves[70] = math.log(0.899)  # the 20th session after session 50: more than a tenth lost
    moves[71] = math.log(1.2)
    moves[164] = math.log(0.85)  # the 64th session after 100 comes too late for it
    found = crisis_alarms(labels(of), index(moves), [window(8, 12)])
    validate(found, RegimeAlarms, "alarms", "")
    assert found.select("first_date", "n_sessions", "window", "is_false").rows() == [
        (DAYS[10], 1, "storm", False), (DAYS[50], 2, None, False), (DAYS[100], 1, None, True),
        (DAYS[136], 1, None, False), (DAYS[140], 1, None, None),
    ]  # fmt: skip
    # the fall on session 70 is the 60th after session 10; 140 has 59 sessions behind it
    assert found["worst_return_63d"].to_list() == pytest.approx([-0.101, -0.101, 0.0, -0.15, None])


def test_a_fall_before_the_alarm_is_none_after_it_and_the_first_row_began_unseen() -> None:
    of = [CRISIS] * 5 + [BULL] * 95
    of[30] = CRISIS
    moves = [0.0] * 100
    moves[30] = math.log(0.5)  # the alarm's own session: known at its close, nothing falls after it
    found = crisis_alarms(labels(of), index(moves), [])
    assert found["is_false"].to_list() == [None, True]
    assert found["worst_return_63d"].to_list() == pytest.approx([-0.5, 0.0])


def test_an_unknown_return_moves_nothing_and_too_few_sessions_judge_nothing() -> None:
    of = [BULL, CRISIS] + [BULL] * 68
    unknown = crisis_alarms(labels(of), index([None] * 70), [])
    assert unknown["worst_return_63d"].to_list() == [0.0]
    short = crisis_alarms(labels(of[:60]), index([0.0] * 60), [])
    assert short.select("worst_return_63d", "is_false").rows() == [(None, None)]
    assert crisis_alarms(labels([BULL] * 5), index([0.0] * 5)).is_empty()


def test_statistics_are_of_the_session_after_the_label_by_hand() -> None:
    said = labels([BULL, BULL, CRISIS, CRISIS, BULL, CRISIS])
    moves = index([math.log(1 + r) for r in (0.5, 0.01, 0.03, -0.1, 0.2, -0.2)])
    found = regime_statistics(said, moves)
    validate(found, RegimeStatistics, "statistics", "")
    bull = found.filter(pl.col("regime") == BULL).row(0, named=True)
    # labels of sessions 0, 1 and 4 meet the returns of 1, 2 and 5; that of 0 itself, +50 %, meets no label
    assert (bull["n_sessions"], bull["session_share"], bull["n_spells"]) == (3, 0.5, 2)
    assert bull["mean_duration_sessions"] == 1.5
    assert bull["return_ann"] == pytest.approx((1.01 * 1.03 * 0.8) ** (252 / 3) - 1)
    assert bull["volatility_ann"] == pytest.approx(np.std([0.01, 0.03, -0.2], ddof=1) * math.sqrt(252))
    assert bull["max_drawdown"] == pytest.approx(-0.2)
    crisis = found.filter(pl.col("regime") == CRISIS).row(0, named=True)
    # the last label has no return yet: it is counted, and earns nothing
    assert (crisis["n_sessions"], crisis["n_spells"]) == (3, 2)
    assert crisis["return_ann"] == pytest.approx((0.9 * 1.2) ** (252 / 2) - 1)
    assert crisis["max_drawdown"] == pytest.approx(-0.1)


def test_one_return_has_no_volatility_and_none_nothing() -> None:
    found = regime_statistics(labels([BULL, CRISIS, BEAR]), index([0.0, 0.01, None])).sort("regime")
    assert found.select("regime", "volatility_ann", "max_drawdown").rows() == [
        (BEAR, None, None), (CRISIS, None, None), (BULL, None, 0.0),
    ]  # fmt: skip


def test_a_label_without_an_index_row_is_refused() -> None:
    for make in (regime_statistics, crisis_alarms):
        with pytest.raises(DataError, match=rf"2 labels .* first {DAYS[4]}"):
            make(labels([BULL] * 6), index([0.0] * 4))


def test_a_summary_by_hand() -> None:
    of = [BULL] * 189
    for k in (20, 60, 61, 100):
        of[k] = CRISIS
    moves = [0.001 * (-1) ** k for k in range(189)]
    moves[62] = math.log(0.7)
    said = pl.concat([labels(of), labels([BULL] * 189, "jump")])
    alarms, told = crisis_alarms(said, index(moves), []), regime_statistics(said, index(moves))
    found = regime_summary(said, told, alarms)
    validate(found, RegimeSummary, "summary", "")
    assert found.rows(named=True) == [
        {
            "method": "hmm", "n_sessions": 189, "crisis_share": 4 / 189, "switches_ann": 252 * 6 / 188,
            "n_crisis_spells": 3, "n_false_alarms": 1, "false_alarms_ann": 252 / (189 - 63), "is_crisis_worst": True,
        },
        {
            "method": "jump", "n_sessions": 189, "crisis_share": 0.0, "switches_ann": 0.0, "n_crisis_spells": 0,
            "n_false_alarms": 0, "false_alarms_ann": 0.0, "is_crisis_worst": None,
        },
    ]  # fmt: skip


def test_crisis_that_is_calm_is_not_the_worst_and_one_session_has_no_rates() -> None:
    said = labels([CRISIS] * 4 + [BULL] * 4)
    moves = index([0.0, 0.0, 0.01, 0.0, 0.0, -0.3, 0.3, 0.0])
    assert regime_summary(said, regime_statistics(said, moves), crisis_alarms(said, moves))[
        "is_crisis_worst"
    ].to_list() == [False]
    one = labels([BULL])
    made = regime_summary(one, regime_statistics(one, index([0.0])), crisis_alarms(one, index([0.0])))
    assert made.select("switches_ann", "false_alarms_ann").rows() == [(None, None)]


def test_agreement_on_common_sessions_by_hand() -> None:
    said = pl.concat([
        labels([BULL, BULL, BULL, CRISIS, CRISIS, CRISIS]),
        labels([BEAR, BEAR, CRISIS, CRISIS, CRISIS], "jump", first=1),
    ])  # fmt: skip
    found = regime_agreement(said)
    validate(found, RegimeAgreement, "agreement", "")
    (row,) = found.rows(named=True)
    assert (row["method"], row["other"], row["n_sessions"], row["equal_share"]) == ("hmm", "jump", 5, 3 / 5)
    # both divide the five sessions into the same two and three
    assert row["adjusted_rand"] == pytest.approx(1.0)
    apart = pl.concat([labels([BULL] * 3), labels([BULL] * 3, "jump", first=5)])
    assert regime_agreement(apart).is_empty()


def test_the_adjusted_rand_index_of_the_papers_form_by_hand_and_as_scikit_learn_has_it() -> None:
    a, b = pl.Series(list("aaabbb")), pl.Series(list("xxyyzz"))
    # S = 1 + 1, A = 3 + 3, B = 3, E = 18 / 15 = 1.2: (2 - 1.2) / (4.5 - 1.2)
    assert adjusted_rand(a, b) == pytest.approx(0.8 / 3.3)
    from sklearn.metrics import adjusted_rand_score

    rng = np.random.default_rng(3)
    for n, k in ((1, 1), (2, 2), (40, 1), (40, 3), (300, 5)):
        own, other = (pl.Series(rng.integers(0, k, n)) for _ in range(2))
        mixed = pl.Series(np.where(rng.random(n) < 0.5, own, other))
        assert adjusted_rand(own, mixed) == pytest.approx(adjusted_rand_score(own, mixed), abs=1e-12), (n, k)
    alone, one = pl.Series(range(9)), pl.Series([0] * 9)
    for own, other in ((alone, one), (alone, alone), (one, one)):
        assert adjusted_rand(own, other) == adjusted_rand_score(own, other)
    with pytest.raises(DataError, match="3 labels beside 2"):
        adjusted_rand(a[:3], b[:2])
