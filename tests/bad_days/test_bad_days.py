"""Bad days of a daily refresh: the books are those of an undisturbed market once the data arrives, or the refresh stops
and names what is missing; what an event really cost is worked out by hand."""

import os
from datetime import date

import polars as pl
import pytest
from market_in_files import BUILT, END, INDEX, TRI, Books, Market

from quant_assets.storage.review_log import add_line
from quant_core.schema import CASH

pytestmark = pytest.mark.slow

STOCK_BOOKS = ("equal_weight", "inverse_volatility", "momentum", "top_n_ridge", "min_variance")
#: Decisions are taken on Fridays and filled on Mondays.
FRIDAY, TODAY = date(2020, 3, 20), date(2020, 3, 27)
WEDNESDAY = date(2020, 3, 18)


def same_books(found: Books, wanted: dict[str, pl.DataFrame], until: date = END) -> None:
    """Every strategy's equity is that of the undisturbed market, day by day."""
    names = wanted["daily"]["strategy"].unique().sort().to_list()
    assert found.table("daily")["strategy"].unique().sort().to_list() == names
    for name in names:
        own = wanted["daily"].filter(pl.col("strategy") == name, pl.col("date") <= until).sort("date")
        equity = found.equity(name)
        assert [equity[day] for day in own["date"]] == pytest.approx(own["equity_inr"].to_list(), rel=1e-9), name


def moved(market: Market, ticker: str, day: date, factor: float, volume: float = 1.0) -> pl.DataFrame:
    """The market's rows with the ticker's prices times `factor` from `day` on; its previous close as NSE states it."""
    after = (pl.col("ticker") == ticker) & (pl.col("date") >= day)
    prices = [name for name in market.rows.columns if name.endswith("_inr") and name not in ("dividend_inr",)]
    first = pl.col("date") == day
    scaled = [
        pl.when(after & ~(first & pl.lit(name == "prev_close_inr")))
        .then(pl.col(name) * factor)
        .otherwise(name)
        .alias(name)
        for name in prices
        if name != "turnover_inr"
    ]
    shares = (pl.col("volume_shares") * volume).round().cast(pl.Int64)
    return market.rows.with_columns(*scaled, volume_shares=pl.when(after).then(shares).otherwise("volume_shares"))


def value_after(market: Market, books: Books, strategy: str, before: date, after: date, but: str = "") -> float:
    """Equity at `after` by hand: holdings of `before` with the true returns between, `but` one name, and the cash.

    Nothing may be traded in between; cash earns nothing here and dividends are part of the returns.
    """
    daily = books.table("daily").filter(pl.col("strategy") == strategy, pl.col("date") == before)
    total = daily["cash_inr"][0]
    for ticker, value in books.held(strategy, before).items():
        rows = market.rows.filter(pl.col("ticker") == ticker, pl.col("date").is_between(before, after)).sort("date")
        close, paid, factor = (rows[name].to_list() for name in ("close_inr", "dividend_inr", "price_factor"))
        for n in range(1, len(close)):
            if ticker != but:
                value *= (close[n] + paid[n] * close[n] / rows["open_inr"][n]) / (close[n - 1] * factor[n])
        total += value
    return total


def test_a_stock_that_is_late_keeps_its_weight_until_its_row_arrives(
    undisturbed: dict[str, pl.DataFrame], market: Market
) -> None:
    late = market.rows.filter((pl.col("ticker") != "SIM003") | (pl.col("date") != TODAY))
    market.write_march(late, until=TODAY)
    market.write_index(TODAY)
    books = market.books()
    decided = books.month("target_weights").filter(pl.col("date") == TODAY, pl.col("strategy") == "equal_weight")
    assert decided.filter(pl.col("ticker") == "SIM003")["weight"].to_list() == [None]
    assert decided.filter(pl.col("ticker") == CASH).height == 1
    assert decided["weight"].drop_nulls().sum() == pytest.approx(1.0)
    market.write_march()
    market.write_index()
    same_books(market.books(), undisturbed)


def test_when_all_stocks_are_late_nothing_is_decided_and_the_refresh_says_so(
    undisturbed: dict[str, pl.DataFrame], market: Market
) -> None:
    market.write_march(until=date(2020, 3, 26))
    market.write_index(TODAY)
    message = market.failure()
    assert "members_priced" in message
    assert str(TODAY) in message
    market.write_march()
    market.write_index()
    same_books(market.books(), undisturbed)


def test_an_index_that_is_late_moves_no_stock_book(undisturbed: dict[str, pl.DataFrame], market: Market) -> None:
    market.write_march(until=TODAY)
    market.write_index(date(2020, 3, 26))
    books = market.refresh()
    for name in STOCK_BOOKS:
        own = undisturbed["daily"].filter(pl.col("strategy") == name, pl.col("date") <= TODAY)
        assert books.equity(name)[TODAY] == pytest.approx(own.sort("date")["equity_inr"][-1], rel=1e-12), name
    last = books.table("benchmark").filter(pl.col("date") == TODAY).row(0, named=True)
    assert last["series"] == f"{TRI} (carried)"
    market.write_march()
    market.write_index()
    found = market.books()
    same_books(found, undisturbed)
    assert found.table("benchmark").equals(undisturbed["benchmark"])


def test_a_lost_session_sells_nothing_and_its_decision_is_taken_on_the_next(
    undisturbed: dict[str, pl.DataFrame], market: Market
) -> None:
    lost, thursday, monday = FRIDAY, date(2020, 3, 19), date(2020, 3, 23)
    market.write_march(market.rows.filter((pl.col("instrument") == "index") | (pl.col("date") != lost)))
    market.write_index()
    books = market.refresh()
    same_books(books, undisturbed, until=thursday)
    for name in ("equal_weight", "momentum", "inverse_volatility"):
        assert books.trades(name, lost).is_empty()
        by_hand = value_after(market, books, name, thursday, monday)
        assert books.equity(name)[monday] == pytest.approx(by_hand, rel=1e-9), name
        decided = books.month("target_weights").filter(pl.col("strategy") == name)["date"].unique().to_list()
        assert lost not in decided
        assert monday in decided
    page = books.report("report.html")
    assert "no price of any member" in page
    assert str(lost) in page


def test_an_unlisted_split_costs_nothing(undisturbed: dict[str, pl.DataFrame], market: Market) -> None:
    market.write_march(moved(market, "SIM004", WEDNESDAY, 0.5, volume=2.0))
    market.write_index()
    books = market.refresh()
    same_books(books, undisturbed)
    assert "1 applied as corporate actions" in books.report()


def test_an_unlisted_demerger_stops_the_refresh_until_it_is_reviewed(market: Market) -> None:
    before, factor = date(2020, 3, 17), 0.72
    market.write_march(moved(market, "SIM005", WEDNESDAY, factor))
    market.write_index()
    message = market.failure()
    assert "actions_resolved" in message
    assert f"SIM005 {WEDNESDAY}" in message
    root, profile = os.environ["QUANT_DATA"], "demo_files"
    from upath import UPath

    add_line(UPath(root), profile, "SIM005", WEDNESDAY, "demerger", None)
    books = market.books()
    held = books.held("equal_weight", before)["SIM005"]
    row = market.rows.filter(pl.col("ticker") == "SIM005", pl.col("date") == WEDNESDAY).row(0, named=True)
    others = value_after(market, books, "equal_weight", before, WEDNESDAY, but="SIM005") - held
    by_hand = others + held * row["close_inr"] / row["open_inr"]  # what was handed out counts at the open
    assert books.equity("equal_weight")[WEDNESDAY] == pytest.approx(by_hand, rel=1e-9)


def test_a_suspension_of_45_sessions_that_ends_at_half_price_costs_half_the_position(market: Market) -> None:
    days = market.rows["date"].unique().sort().to_list()
    back = WEDNESDAY
    first_gone = days[days.index(back) - 45]
    last = days[days.index(first_gone) - 1]
    own = market.rows.filter(pl.col("ticker") == "SIM006")
    last_close = own.filter(pl.col("date") == last)["close_inr"][0]
    opened = own.filter(pl.col("date") == back)["open_inr"][0]
    rows = moved(market, "SIM006", back, 0.5 * last_close / opened).filter(
        (pl.col("ticker") != "SIM006") | ~pl.col("date").is_between(first_gone, back, closed="left")
    )
    rows = rows.with_columns(
        prev_close_inr=pl.when((pl.col("ticker") == "SIM006") & (pl.col("date") == back))
        .then(pl.lit(last_close))
        .otherwise("prev_close_inr")
    )
    for day in days:
        if day >= first_gone:
            market.write_day(day, rows)
    market.write_index()
    books = market.books()
    before = days[days.index(back) - 1]
    held = books.held("equal_weight", before)["SIM006"]
    assert held == pytest.approx(books.held("equal_weight", last)["SIM006"], rel=1e-12)
    row = rows.filter(pl.col("ticker") == "SIM006", pl.col("date") == back).row(0, named=True)
    others = value_after(market, books, "equal_weight", before, back, but="SIM006") - held
    by_hand = others + held * row["close_inr"] / last_close
    assert books.equity("equal_weight")[back] == pytest.approx(by_hand, rel=1e-9)
    clean = books.month("clean_prices").filter(pl.col("ticker") == "SIM006", pl.col("date") == back)
    assert "gap" in clean["flags"][0]


def test_a_renamed_company_stays_one_position(undisturbed: dict[str, pl.DataFrame], market: Market) -> None:
    is_new = (pl.col("ticker") == "SIM007") & (pl.col("date") >= date(2020, 3, 16))
    market.write_march(market.rows.with_columns(symbol=pl.when(is_new).then(pl.lit("NEWCO")).otherwise("symbol")))
    market.write_index()
    same_books(market.books(), undisturbed)


def test_a_run_beyond_the_known_members_says_so_or_refuses(
    undisturbed: dict[str, pl.DataFrame], market: Market
) -> None:
    known = "2020-02-28"
    lines = [f"{ticker},2018-01-01,,{known}" for ticker in sorted(set(market.rows["symbol"]) - {INDEX, TRI})]
    market.write_members(*lines)
    market.write_march()
    market.write_index()
    books = market.refresh()
    same_books(books, undisturbed)
    assert known in books.report()
    market.profile["strict_lists"] = True
    market.write_index(date(2020, 3, 30))  # something to do
    message = market.failure()
    assert known in message


def test_an_actions_list_that_ends_early_is_named_and_the_benchmark_earns_price_returns(market: Market) -> None:
    market.write_actions(until=date(2020, 1, 31))
    market.write_march()
    market.write_index()
    books = market.refresh()
    assert "stocks earn price returns after" in books.report()
    series = dict(books.table("benchmark").select("date", "series").iter_rows())
    assert series[END] == INDEX


def test_a_side_file_that_is_edited_and_mended_leaves_no_trace(
    undisturbed: dict[str, pl.DataFrame], market: Market
) -> None:
    path = market.folder / "prices" / "corporate_actions.csv"
    market.write_march()
    market.write_index()
    sound, stamp = path.read_text(), path.stat()
    paid = market.rows.filter(pl.col("dividend_inr") > 0, pl.col("date").is_between(date(2020, 1, 1), BUILT))
    ticker, day = paid.sort("date").select("ticker", "date").row(-1)
    line = next(text for text in sound.splitlines() if text.startswith(f"{ticker},{day},dividend"))
    value = line.split(",")[3]
    wrong = line.replace(value, str(9 if value[0] != "9" else 8) + value[1:])
    path.write_text(sound.replace(line, wrong))
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))  # same size, same time: only the content tells
    edited = market.books()
    own = undisturbed["daily"].filter(pl.col("strategy") == "equal_weight", pl.col("date") == END)["equity_inr"][0]
    assert edited.equity("equal_weight")[END] != pytest.approx(own, rel=1e-9)
    path.write_text(sound)
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    same_books(market.books(), undisturbed)
