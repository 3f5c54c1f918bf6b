"""The real yfinance runs here; only its HTTP session is replaced, by answers in the shape of Yahoo's chart service."""

from datetime import UTC, date, datetime

import polars as pl
import pytest
from yahoo_service import Yahoo, chart, no_data

from quant_core.calendar import last_closed_session
from quant_core.errors import DataError, SourceError
from quant_core.market.sources import SOURCES
from quant_core.market.sources.yahoo import YahooSource

NOW = datetime(2023, 3, 31, 14, 0, tzinfo=UTC)


TCS = {1: (100.0, 103.0, 99.0, 102.0, 101.0, 5000), 2: (102.0, 104.0, 101.0, 103.0, 102.0, 6000)}
MM = {
    1: (50.0, 51.0, 49.5, 50.5, 50.5, 700),
    2: (50.5, 52.0, 50.0, 51.5, 51.5, 800),
    3: (51.5, 53.0, 51.0, 52.5, 52.5, 900),
}


def test_a_batch_gives_sorted_rows_with_yahoo_names_mapped(yahoo: Yahoo) -> None:
    yahoo.answers = {
        "TCS.NS": (200, chart("TCS.NS", TCS)),
        "M&M.NS": (200, chart("M&M.NS", MM)),
        "^NSEI": (200, chart("^NSEI", {1: (17360.1, 17467.8, 17345.3, 17450.9, 17450.9, 0)})),
    }
    fetch = YahooSource().fetch(["TCS", "M&M", "^NSEI"], date(2023, 3, 1), date(2023, 3, 3), NOW)
    assert fetch.problems == ()
    assert fetch.rows.select("date", "ticker", "instrument", "close_inr", "volume_shares").rows() == [
        (date(2023, 3, 1), "M&M", "equity", 50.5, 700),
        (date(2023, 3, 1), "TCS", "equity", 102.0, 5000),
        (date(2023, 3, 1), "^NSEI", "index", 17450.9, 0),
        (date(2023, 3, 2), "M&M", "equity", 51.5, 800),
        (date(2023, 3, 2), "TCS", "equity", 103.0, 6000),
        (date(2023, 3, 3), "M&M", "equity", 52.5, 900),
    ]
    assert fetch.rows["basis"].unique().to_list() == ["unadjusted"]
    assert fetch.rows["fetched_at"].unique().to_list() == [NOW]
    assert yahoo.asked == {"TCS.NS": 1, "M&M.NS": 1, "^NSEI": 1}


def test_the_request_reaches_to_the_end_of_its_own_day_in_india(yahoo: Yahoo) -> None:
    yahoo.answers = {"TCS.NS": (200, chart("TCS.NS", TCS))}
    YahooSource().fetch(["TCS"], date(2023, 3, 1), date(2023, 3, 1), datetime(2023, 3, 1, 19, 0, tzinfo=UTC))
    midnight = [
        int(datetime(2023, 2, 28, 18, 30, tzinfo=UTC).timestamp()),
        int(datetime(2023, 3, 2, 18, 30, tzinfo=UTC).timestamp()),
    ]
    assert yahoo.spans == [tuple(midnight)]


def test_a_ticker_that_yahoo_does_not_know_is_a_problem_not_a_failure(yahoo: Yahoo) -> None:
    yahoo.answers = {"TCS.NS": (200, chart("TCS.NS", TCS))}
    fetch = YahooSource().fetch(["TCS", "GONE"], date(2023, 3, 1), date(2023, 3, 2), NOW, sleep=_no_sleep)
    assert fetch.rows["ticker"].unique().to_list() == ["TCS"]
    [problem] = fetch.problems
    assert (problem.ticker, problem.kind) == ("GONE", "not_found")
    assert "symbol may be delisted" in problem.detail


def test_a_span_before_the_listing_gives_no_rows_and_no_failure(yahoo: Yahoo) -> None:
    yahoo.answers = {"TCS.NS": (400, no_data("Data doesn't exist for startDate = 1, endDate = 2"))}
    fetch = YahooSource().fetch(["TCS"], date(2023, 3, 1), date(2023, 3, 2), NOW, sleep=_no_sleep)
    assert fetch.rows.height == 0
    assert [problem.kind for problem in fetch.problems] == ["no_rows"]


def test_a_rate_limit_is_waited_out_with_doubling_pauses(yahoo: Yahoo) -> None:
    yahoo.answers = {"TCS.NS": (200, chart("TCS.NS", TCS)), "M&M.NS": (200, chart("M&M.NS", MM))}
    yahoo.refusals["TCS.NS"] = 4  # yfinance itself asks twice a try
    pauses: list[float] = []
    fetch = YahooSource(backoff_s=1.5).fetch(
        ["TCS", "M&M"], date(2023, 3, 1), date(2023, 3, 3), NOW, sleep=pauses.append
    )
    assert pauses == [1.5, 3.0]
    assert fetch.problems == ()
    assert fetch.rows.filter(pl.col("ticker") == "TCS").height == 2
    assert yahoo.asked["M&M.NS"] == 1


def test_a_lasting_rate_limit_of_one_ticker_is_its_problem(yahoo: Yahoo) -> None:
    yahoo.answers = {"TCS.NS": (200, chart("TCS.NS", TCS))}
    yahoo.refusals["M&M.NS"] = 99
    fetch = YahooSource(attempts=2).fetch(["TCS", "M&M"], date(2023, 3, 1), date(2023, 3, 2), NOW, sleep=_no_sleep)
    assert [(problem.ticker, problem.kind) for problem in fetch.problems] == [("M&M", "unreachable")]
    assert "RateLimit" in fetch.problems[0].detail


def test_no_network_is_a_source_error_with_the_remedy(yahoo: Yahoo) -> None:
    from curl_cffi.requests.exceptions import ConnectionError as NoConnection

    yahoo.down = NoConnection("Failed to perform, curl: (6) Could not resolve host")
    pauses: list[float] = []
    with pytest.raises(SourceError, match=r'none of 2 tickers.*Could not resolve host.*source "files"'):
        YahooSource(attempts=3, backoff_s=1.0).fetch(
            ["TCS", "M&M"], date(2023, 3, 1), date(2023, 3, 2), NOW, sleep=pauses.append
        )
    assert pauses == [1.0, 2.0]


def test_a_split_is_undone_before_its_ex_date_and_becomes_its_price_factor(yahoo: Yahoo) -> None:
    # Yahoo shows 2 March's 2-for-1 split in the prices of 1 March: 102 there was traded at 204.
    yahoo.answers = {"TCS.NS": (200, chart("TCS.NS", TCS, dividends={1: 1.25}, splits={2: 2}))}
    rows = YahooSource().fetch(["TCS"], date(2023, 3, 1), date(2023, 3, 2), NOW).rows
    assert rows["close_inr"].to_list() == [204.0, 103.0]
    assert rows["dividend_inr"].to_list() == [2.5, 0.0]
    assert rows["volume_shares"].to_list() == [2500, 6000]
    assert rows["price_factor"].to_list() == [1.0, 0.5]


def test_a_month_has_the_same_rows_whether_it_was_fetched_before_or_after_a_later_split(yahoo: Yahoo) -> None:
    before, after = datetime(2023, 3, 2, 13, 0, tzinfo=UTC), datetime(2023, 3, 3, 13, 0, tzinfo=UTC)
    bars = {1: (200.0, 206.0, 198.0, 204.0, 204.0, 2500), 2: (205.0, 208.0, 204.0, 206.0, 206.0, 3000)}
    halved = {day: (*(price / 2 for price in bar[:5]), bar[5] * 2) for day, bar in bars.items()} | {
        3: (104.0, 105.0, 103.0, 104.5, 104.5, 9000)
    }
    months = []
    for now, answer in ((before, chart("TCS.NS", bars)), (after, chart("TCS.NS", halved, splits={3: 2}))):
        yahoo.answers = {"TCS.NS": (200, answer)}
        months.append(YahooSource().fetch(["TCS"], date(2023, 3, 1), date(2023, 3, 2), now).rows.drop("fetched_at"))
    assert months[0].equals(months[1])


#: TCS as it was traded, and as Yahoo shows it from the morning of 3 March on, the ex-date of a 2-for-1 split.
TRADED = {1: (200.0, 206.0, 198.0, 204.0, 204.0, 2500), 2: (205.0, 208.0, 204.0, 206.0, 206.0, 3000)}
HALVED = {day: (*(price / 2 for price in bar[:5]), bar[5] * 2) for day, bar in TRADED.items()}
TRADING = {3: (104.0, 105.0, 103.0, 104.5, 104.5, 900)}


@pytest.mark.parametrize("bars", [HALVED, HALVED | TRADING], ids=["before the opening", "while it trades"])
def test_rows_are_as_traded_when_asked_for_on_a_splits_ex_date_before_its_session_closes(
    yahoo: Yahoo, bars: dict[int, tuple]
) -> None:
    asked = datetime(2023, 3, 3, 6, 0, tzinfo=UTC)  # 11:30 in India
    yahoo.answers = {"TCS.NS": (200, chart("TCS.NS", bars, dividends={1: 1.25}, splits={3: 2}))}
    for last in (date(2023, 3, 2), date(2023, 3, 31)):
        rows = YahooSource().fetch(["TCS"], date(2023, 3, 1), last, asked).rows
        assert rows.select("date", "close_inr", "volume_shares", "price_factor").rows() == [
            (date(2023, 3, 1), 204.0, 2500, 1.0),
            (date(2023, 3, 2), 206.0, 3000, 1.0),
        ]
        assert rows["dividend_inr"].to_list() == [2.5, 0.0]


def test_two_months_fetched_on_both_sides_of_a_splits_ex_date_are_on_one_basis(yahoo: Yahoo) -> None:
    """The first on the ex-date before 18:00 in India, the second after it: the split is in the second, once."""
    rows = []
    for hour, first, last in ((6, 1, 2), (13, 3, 31)):
        yahoo.answers = {"TCS.NS": (200, chart("TCS.NS", HALVED | TRADING, splits={3: 2}))}
        now = datetime(2023, 3, 3, hour, 0, tzinfo=UTC)
        rows.append(YahooSource().fetch(["TCS"], date(2023, 3, first), date(2023, 3, last), now).rows)
    both = pl.concat(rows)
    earned = both["close_inr"] / (both["close_inr"].shift(1) * both["price_factor"]) - 1
    assert earned.to_list()[1:] == pytest.approx([206 / 204 - 1, 104.5 / 103 - 1])


def test_an_unfinished_month_stops_at_the_last_closed_session(yahoo: Yahoo) -> None:
    bars = {day: (100.0, 101.0, 99.0, 100.0 + day, 100.0 + day, 10) for day in (1, 2, 3)}
    yahoo.answers = {"TCS.NS": (200, chart("TCS.NS", bars))}
    trading = datetime(2023, 3, 3, 6, 0, tzinfo=UTC)  # 11:30 in India
    rows = YahooSource().fetch(["TCS"], date(2023, 3, 1), date(2023, 3, 31), trading).rows
    assert rows["date"].to_list() == [date(2023, 3, 1), date(2023, 3, 2)]


def test_a_hole_in_a_bar_becomes_null(yahoo: Yahoo) -> None:
    yahoo.answers = {"TCS.NS": (200, chart("TCS.NS", {1: TCS[1], 2: (102.0, None, 101.0, None, None, None)}))}
    rows = YahooSource().fetch(["TCS"], date(2023, 3, 1), date(2023, 3, 2), NOW).rows
    assert rows.select("open_inr", "high_inr", "close_inr").rows()[1] == (102.0, None, None)


def test_batches_are_paused_between(yahoo: Yahoo) -> None:
    names = [f"T{number}" for number in range(5)]
    yahoo.answers = {f"{name}.NS": (200, chart(f"{name}.NS", TCS)) for name in names}
    pauses: list[float] = []
    source = YahooSource(batch_size=2, pause_s=0.25)
    fetch = source.fetch(names, date(2023, 3, 1), date(2023, 3, 2), NOW, sleep=pauses.append)
    assert pauses == [0.25, 0.25]
    assert fetch.rows["ticker"].unique().sort().to_list() == names


def test_names_that_are_no_yahoo_symbols_are_not_asked_for(yahoo: Yahoo) -> None:
    yahoo.answers = {"TCS.NS": (200, chart("TCS.NS", TCS))}
    fetch = YahooSource().fetch(["TCS", "NIFTY 50 TRI"], date(2023, 3, 1), date(2023, 3, 2), NOW)
    assert [(problem.ticker, problem.kind) for problem in fetch.problems] == [("NIFTY 50 TRI", "unknown_ticker")]
    assert set(yahoo.asked) == {"TCS.NS"}


def test_india_vix_is_asked_for_under_yahoos_symbol_and_comes_as_an_index(yahoo: Yahoo) -> None:
    yahoo.answers = {"^INDIAVIX": (200, chart("^INDIAVIX", {1: (13.1, 13.9, 12.8, 13.0, 13.0, 0)}))}
    fetch = YahooSource().fetch(["INDIA VIX"], date(2023, 3, 1), date(2023, 3, 1), NOW)
    assert fetch.problems == ()
    assert fetch.rows.select("ticker", "instrument", "close_inr").rows() == [("INDIA VIX", "index", 13.0)]


def test_a_market_cannot_be_listed() -> None:
    with pytest.raises(DataError, match="choose a universe"):
        YahooSource().fetch(None, date(2023, 3, 1), date(2023, 3, 2), NOW)


def test_an_unknown_setting_fails() -> None:
    with pytest.raises(TypeError, match="sufix"):
        SOURCES["yahoo"](sufix=".BO")


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (datetime(2023, 3, 3, 12, 29, tzinfo=UTC), date(2023, 3, 2)),  # Friday 17:59 in India
        (datetime(2023, 3, 3, 12, 30, tzinfo=UTC), date(2023, 3, 3)),  # Friday 18:00
        (datetime(2023, 3, 5, 20, 0, tzinfo=UTC), date(2023, 3, 3)),  # Monday 01:30
        (datetime(2023, 3, 7, 13, 0, tzinfo=UTC), date(2023, 3, 6)),  # Holi
    ],
)
def test_a_session_is_closed_at_six_in_the_evening_in_india(now: datetime, expected: date) -> None:
    assert last_closed_session(now) == expected


def test_only_a_span_that_touches_the_last_session_changes_version() -> None:
    source, now = YahooSource(), datetime(2023, 3, 3, 13, 0, tzinfo=UTC)
    assert source.version(date(2023, 2, 1), date(2023, 3, 2), now) == ""
    assert source.version(date(2023, 3, 1), date(2023, 3, 31), now) == "2023-03-03"
    assert source.version(date(2023, 3, 1), date(2023, 3, 31), datetime(2023, 3, 6, 13, 0, tzinfo=UTC)) == "2023-03-06"


def _no_sleep(seconds: float) -> None:
    pass
