"""The page of tomorrow's orders: what it says, and that no name of a stock or book can break it."""

import io
from dataclasses import replace
from datetime import date, timedelta

import polars as pl
import pytest

from quant_core.report.signals_page import SignalsInput, books_of, curve, defused_csv, render_signals
from quant_core.schema import CASH, PaperDaily, PaperDecisions, PaperDrift, SignalHealth, Signals, table_of

DAY, NEXT = date(2026, 11, 27), date(2026, 11, 30)
HOSTILE = ("<script>alert(1)</script>", "=cmd|'/c calc'!A0", '"><img src=x onerror=alert(1)>', "-1+1|cmd")


def signal(strategy="top_n_ridge", ticker="AAA", **changes):
    row = {
        "strategy": strategy, "ticker": ticker, "status": "not promoted", "decision_date": DAY, "fill_date": NEXT,
        "is_pending": True, "weight": 0.2, "previous_weight": None, "held_weight": 0.05, "change": "enters",
        "trade_weight": 0.15, "score": 1.25, "rank": 4, "previous_rank": 17, "n_ranked": 30, "regime": "Bear",
        "close_inr": 1234.5, "cost_inr": 1500.0,
    }  # fmt: skip
    return row | changes


def page(rows, **changes):
    health = [{"item": "Prices of the session", "value": "50 of 50 members", "is_sound": True}]
    data = SignalsInput(
        profile="nifty50", session=DAY, next_session=NEXT, next_decision=date(2026, 12, 4),
        signals=table_of(Signals, rows), health=table_of(SignalHealth, health), paper=PaperDaily.create_empty(),
        drift=PaperDrift.create_empty(), decisions=PaperDecisions.create_empty(),
        missed=pl.DataFrame(schema={"strategy": pl.String, "date": pl.Date}),
        revised=pl.DataFrame(schema={"strategy": pl.String, "date": pl.Date}), capital_inr=1e7,
    )  # fmt: skip
    return render_signals(replace(data, **changes))


def test_it_says_what_to_do_and_why_and_that_nothing_is_promoted() -> None:
    html = page([signal(), signal(ticker=CASH, change="lowered", trade_weight=-0.15, rank=None, cost_inr=0.0)])
    assert "orders for Mon 30 Nov 2026" in html
    assert "not promoted</strong> None of 1 candidate is promoted" in html
    assert "enters; rank 4 of 30, was 17" in html
    assert "in the regime Bear: 1 enters" in html
    assert "15.0\u202f% one-way, costs about \u20b91,500 (1.5\u202fbps)" in html
    assert len(html) < 60_000  # a phone on a train


def test_a_promoted_book_stands_first_and_open() -> None:
    rows = [signal(f"a{k}", status="not promoted") for k in range(5)] + [signal("z", status="promoted")]
    assert books_of(table_of(Signals, rows))[0] == "z"
    html = page(rows)
    assert "promoted</strong> z: ahead of its rivals" in html
    assert html.count("<details>") == 3  # all but the promoted one and two more


def test_nothing_to_do_says_until_when() -> None:
    html = page([signal(is_pending=False, trade_weight=0.0, cost_inr=0.0)])
    assert "there is nothing to do, the next decision is due on" in html
    assert "No book has decided anything yet" in page([])


def test_bad_data_is_a_warning() -> None:
    bad = table_of(SignalHealth, [{"item": "Index row", "value": "^NSEI has none", "is_sound": False}])
    assert "Look at Index row before you trade" in page([signal()], health=bad)
    assert "The month has no session yet" in page([signal()], health=bad.clear())


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_stay_text(name: str) -> None:
    html = page([signal(strategy=name, ticker=name, regime=name)], reasons={name: name}, warnings=[name])
    assert "<script>alert" not in html
    assert "<img" not in html
    said = defused_csv(table_of(Signals, [signal(strategy=name, ticker=name)]))
    cell = pl.read_csv(io.StringIO(said))["ticker"][0]
    assert cell == (f"'{name}" if name[0] in "=-" else name)


def paper(n=30):
    days = [DAY - timedelta(days=n - k) for k in range(n)]
    rows = [
        {"date": day, "strategy": "top_n_ridge", "equity_inr": 1e7, "cash_inr": 0.0, "simple_return_1d": 0.01,
         "cost_inr": 5.0, "expected_return_1d": 0.02, "is_compared": k > 1}
        for k, day in enumerate(days)
    ]  # fmt: skip
    return table_of(PaperDaily, rows)


DRIFTS = {
    "strategy": "top_n_ridge", "n_sessions": 28, "mean_difference_1d": -0.01, "low_difference_1d": -0.012,
    "high_difference_1d": -0.008, "hac_t": -5.0, "p_value": 1e-6, "p_holm": 1e-6, "largest_difference_1d": 0.01,
    "verdict": "drift",
}  # fmt: skip
RECORDED = {
    "date": DAY, "strategy": "top_n_ridge", "ticker": "AAA", "weight": 0.2, "fill_date": NEXT,
    "recorded_at": "2026-11-27T18:31:00+05:30",
}  # fmt: skip


def test_paper_beside_the_backtest() -> None:
    gap = pl.DataFrame({"strategy": ["top_n_ridge"], "date": [DAY]})
    more = {
        "paper": paper(), "drift": table_of(PaperDrift, [DRIFTS]), "decisions": table_of(PaperDecisions, [RECORDED]),
        "missed": gap, "revised": gap,
    }  # fmt: skip
    html = page([signal()], **more)
    assert "top_n_ridge does not earn on paper what its backtest says" in html
    assert "\u2212100.0\u202fbps" in html
    assert "1 day whose decisions nobody recorded" in html
    assert '1 day (<span class="day">2026-11-27</span>) today' in html.replace("&#39;", "'").replace("On 1", "1")
    assert html.count("<polyline") == 2
    few = {**more, "drift": table_of(PaperDrift, [DRIFTS | {"verdict": "too few sessions"}])}
    assert "Too few days to tell" in page([signal()], **few)
    same = {**more, "drift": table_of(PaperDrift, [DRIFTS | {"verdict": "no drift"}])}
    assert "No difference between paper and backtest beyond chance" in page([signal()], **same)
    assert "opens with the first decision" in page([signal()])


def test_the_curve_ends_where_the_products_end() -> None:
    drawn = curve("top_n_ridge", paper(5))
    assert drawn["paper_end"] == f"{1.01**3:.4f}"
    assert drawn["expected_end"] == f"{1.02**3:.4f}"
    assert drawn["expected"].split()[-1].startswith("600.0,")
    assert curve("top_n_ridge", paper(3)) == {}
