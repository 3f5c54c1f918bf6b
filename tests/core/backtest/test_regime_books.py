"""Which book is held in which regime: by hand, from the sessions after each label."""

from datetime import date

import polars as pl
import pytest

from quant_core.backtest.regime_books import RegimeBooksConfig, choose_books
from quant_core.calendar import sessions
from quant_core.errors import DataError
from quant_core.measures import performance as p
from quant_core.schema import CASH, REGIME_NAMES

DAYS = sessions(date(2021, 3, 1), date(2021, 12, 31))
RATE = 0.0001
#: A label a session, of which the last one has no session after it.
LABELS = ["Low-Vol Bull"] * 4 + ["Crisis"] * 4 + ["Bear"] * 2 + ["Low-Vol Bull"]
ROUGH = [0.0, 0.02, 0.01, 0.02, 0.01, -0.05, -0.03, -0.04, -0.03, 0.01, 0.02]
CALM = [0.0, 0.001, -0.001, 0.001, 0.0, -0.01, -0.02, -0.01, -0.02, 0.003, 0.001]
CONFIG = RegimeBooksConfig(candidates=("rough", "calm", "silent", CASH), fewest_sessions=3)


def daily_table(**books: list[float]) -> pl.DataFrame:
    tables = [
        pl.DataFrame({
            "date": DAYS[len(ROUGH) - len(returns) : len(ROUGH)], "strategy": [name] * len(returns),
            "simple_return_1d": returns, "turnover_1d": [0.0] * len(returns),
        })
        for name, returns in books.items()
    ]  # fmt: skip
    return pl.concat(tables)


def chosen(table: pl.DataFrame) -> dict[str, str]:
    return dict(table.filter("is_chosen").select("regime", "strategy").iter_rows())


def choose(daily: pl.DataFrame, config: RegimeBooksConfig = CONFIG) -> pl.DataFrame:
    n = len(ROUGH)
    index = pl.DataFrame(
        {"date": DAYS[:n], "simple_return_1d": [0.0] * n, "risk_free_return_1d": [0.0] + [RATE] * (n - 1)}
    )
    labels = pl.DataFrame({"date": DAYS[:n], "regime": LABELS})
    return choose_books(daily, index, labels, "2022", config)


@pytest.fixture
def table() -> pl.DataFrame:
    return choose(daily_table(rough=ROUGH, calm=CALM))


def test_the_best_ratio_of_each_regime_is_held_and_cash_where_all_lose(table: pl.DataFrame) -> None:
    ratio = {(row["regime"], row["strategy"]): row for row in table.iter_rows(named=True)}
    # a label is applied to the session after it: the first four returns after the opening were labelled as bull
    assert ratio["Low-Vol Bull", "rough"]["sharpe_ann"] == pytest.approx(p.sharpe(ROUGH[1:5], RATE))
    assert ratio["Crisis", "calm"]["sharpe_ann"] == pytest.approx(p.sharpe(CALM[5:9], RATE))
    assert chosen(table)["Low-Vol Bull"] == "rough"
    assert chosen(table)["Crisis"] == CASH
    assert ratio["Crisis", CASH]["sharpe_ann"] == 0.0
    assert ratio["Crisis", CASH]["n_sessions"] == 4
    assert table["fit_end"].unique().to_list() == [DAYS[10]]


def test_a_regime_of_few_sessions_or_none_holds_what_did_best_overall(table: pl.DataFrame) -> None:
    whole = {"rough": p.sharpe(ROUGH[1:], RATE), "calm": p.sharpe(CALM[1:], RATE), CASH: 0.0}
    best = max(whole, key=lambda name: whole[name])
    for regime in ("Bear", "High-Vol Bull", "Transition"):
        rows = table.filter(pl.col("regime") == regime)
        assert rows["sharpe_ann"].null_count() == rows.height
        assert chosen(table)[regime] == best
    assert table.filter(pl.col("strategy") == "silent")["n_sessions"].to_list() == [0] * 5  # it never decided


def test_all_are_compared_from_the_day_on_which_the_last_of_them_began() -> None:
    config = RegimeBooksConfig(candidates=("rough", "late", CASH), fewest_sessions=2)
    table = choose(daily_table(rough=ROUGH, late=[0.0, -0.01, -0.02, -0.03, 0.02, 0.01]), config)
    crisis = table.filter(pl.col("regime") == "Crisis").sort("strategy")
    assert crisis.select("strategy", "n_sessions").rows() == [(CASH, 3), ("late", 3), ("rough", 3)]
    assert crisis["sharpe_ann"][2] == pytest.approx(p.sharpe(ROUGH[6:9], RATE))
    assert table.filter(pl.col("regime") == "Low-Vol Bull")["n_sessions"].to_list() == [0, 0, 0]


def test_every_regime_has_every_candidate_and_one_choice(table: pl.DataFrame) -> None:
    assert table.height == len(REGIME_NAMES) * len(CONFIG.candidates)
    assert set(chosen(table)) == set(REGIME_NAMES)
    assert table["is_chosen"].sum() == len(REGIME_NAMES)


@pytest.mark.parametrize(
    ("bad", "message"),
    [({"candidates": ()}, "one beside"), ({"candidates": (CASH,)}, "one beside"),
     ({"candidates": ("a", "a")}, "different names"), ({"candidates": ("a", "regime_switched")}, "leave it out"),
     ({"fewest_sessions": 1}, "at least 2")],
)  # fmt: skip
def test_settings_that_cannot_choose_are_refused(bad: dict, message: str) -> None:
    with pytest.raises(DataError, match=message):
        RegimeBooksConfig(**bad)
