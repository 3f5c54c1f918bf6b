"""Lists know where they end, a folder's own lists win, and a company keeps one name through its renames."""

import os
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from quant_core.calendar import sessions
from quant_core.errors import DataError
from quant_core.market.action_list import known_actions
from quant_core.market.lists import NEVER, KnownList, known_to, lists_known, refuse_beyond, stated_end
from quant_core.market.sources import Fetch
from quant_core.market.sources.files import FilesSource
from quant_core.market.symbols import SHIPPED_UNTIL, continued, read_symbol_changes
from quant_core.market.universe import SECTORS_KNOWN_UNTIL, complete_from, membership, nifty50_facts, universe

NOW = datetime(2026, 9, 1, tzinfo=UTC)
DAYS = sessions(date(2025, 3, 3), date(2025, 5, 30))
FIRST, LAST = DAYS[0], DAYS[-1]
CHANGE = date(2025, 4, 9)  # ZOMATO became ETERNAL


def bars(
    spans: Mapping[str, tuple[date, date]], closes: Mapping[str, float] | None = None, name: str = "ticker"
) -> pl.DataFrame:
    """Rows of each name over its days: the close of its k-th session is its start + k, the previous close one less."""
    rows = []
    for k, ticker in enumerate(spans):
        begin, end = spans[ticker]
        start = (closes or {}).get(ticker, 100.0 * (k + 1))
        for n, day in enumerate(d for d in DAYS if begin <= d <= end):
            close = start + n
            rows.append((day, ticker, close - 1.0, close, close + 1.0, close - 2.0, close, 1000 + n))
    columns = ["date", name, "prev_close", "open", "high", "low", "close", "volume"]
    return pl.DataFrame(rows, schema=columns, orient="row").sort("date", name)


def folder(tmp_path: Path, table: pl.DataFrame, **side: str) -> FilesSource:
    """A folder of one price file and the side files given as text."""
    home = tmp_path / "prices"
    home.mkdir(exist_ok=True)
    table.write_csv(home / "prices.csv")
    for name, text in side.items():
        (home / f"{name}.csv").write_text(text)
    return FilesSource(path=str(home))


def fetch(source: FilesSource, tickers: list[str] | None = None, start: date = FIRST, end: date = LAST) -> Fetch:
    return source.fetch(tickers, start, end, NOW)


def before(day: date) -> date:
    return DAYS[DAYS.index(day) - 1]


def renamed(old: str = "OLDCO", new: str = "NEWCO", prev_close: float | None = None) -> pl.DataFrame:
    """One company that ends as `old` at 127 and goes on as `new`, beside one that trades throughout."""
    n_old = DAYS.index(CHANGE)
    table = bars({old: (FIRST, before(CHANGE)), new: (CHANGE, LAST), "OTHER": (FIRST, LAST)}, {new: 100.0 + n_old})
    if prev_close is None:
        return table
    first = (pl.col("ticker") == new) & (pl.col("date") == CHANGE)
    return table.with_columns(prev_close=pl.when(first).then(prev_close).otherwise("prev_close"))


def kinds(found: Fetch) -> list[str]:
    return [problem.kind for problem in found.problems]


# ---- one company, two names -----------------------------------------------------------------------------------------

RENAME = f"old_symbol,new_symbol,first_new\nOLDCO,NEWCO,{CHANGE}\n"


@pytest.mark.parametrize("column", ["ticker", "symbol"])
def test_a_listed_rename_is_applied_whatever_the_name_column_is_called(tmp_path: Path, column: str) -> None:
    source = folder(tmp_path, renamed().rename({"ticker": column}), symbol_changes=RENAME)
    rows = fetch(source).rows
    assert sorted(rows["ticker"].unique()) == ["NEWCO", "OTHER"]
    assert rows.filter(pl.col("ticker") == "NEWCO").height == len(DAYS)
    assert fetch(source, ["NEWCO"]).rows.height == len(DAYS)
    assert set(rows.filter(pl.col("date") < CHANGE)["symbol"]) == {"OLDCO", "OTHER"}  # what was traded that day


def test_a_column_of_continuous_names_is_not_renamed_twice(tmp_path: Path) -> None:
    """OLDCO is another company's name today; the file has the renamed one's history under NEWCO already."""
    table = bars({"OLDCO": (FIRST, LAST), "NEWCO": (FIRST, LAST)})
    rows = fetch(folder(tmp_path, table, symbol_changes=RENAME)).rows
    assert rows.group_by("ticker").len().sort("ticker").rows() == [("NEWCO", len(DAYS)), ("OLDCO", len(DAYS))]


def test_the_shipped_list_renames_a_ticker_column_too(tmp_path: Path) -> None:
    rows = fetch(folder(tmp_path, bars({"TATAMOTORS": (FIRST, LAST)}))).rows
    assert rows["ticker"].unique().to_list() == ["TMPV"]  # from 2025-10-24, after these prices


def test_a_folders_own_list_wins_over_the_shipped_one(tmp_path: Path) -> None:
    own = "old_symbol,new_symbol,first_new\nA,B,2001-01-01\n"
    rows = fetch(folder(tmp_path, bars({"TATAMOTORS": (FIRST, LAST)}), symbol_changes=own)).rows
    assert rows["ticker"].unique().to_list() == ["TATAMOTORS"]


def test_a_rename_that_only_the_shipped_list_knows_is_followed_where_the_rows_change_over(tmp_path: Path) -> None:
    """The folder's own list ends before ZOMATO became ETERNAL; its rows show no previous close that would tell."""
    own = "old_symbol,new_symbol,first_new\nA,B,2001-01-01\n"
    table = renamed("ZOMATO", "ETERNAL").drop("prev_close")
    source = folder(tmp_path, table, symbol_changes=own)
    found = fetch(source)
    assert sorted(found.rows["ticker"].unique()) == ["OTHER", "ZOMATO"]
    assert "renamed" in kinds(found)
    assert fetch(source, ["ZOMATO"]).rows["date"].to_list() == DAYS
    members = dict(source.membership("nifty50").select("ticker", "from_date").iter_rows())
    assert members["ZOMATO"] == date(2025, 3, 28)  # a member as ETERNAL
    assert "ETERNAL" not in members


def test_an_unlisted_rename_shows_in_the_rows_and_keeps_the_old_name(tmp_path: Path) -> None:
    """What is stored before the rename stays as it is: the rows to any earlier day are the same without the later."""
    whole = renamed()
    source = folder(tmp_path, whole)
    found = fetch(source)
    company = found.rows.filter(pl.col("ticker") == "OLDCO")
    assert company["date"].to_list() == DAYS
    assert set(company["symbol"]) == {"OLDCO", "NEWCO"}
    assert company["close_inr"].to_list() == [100.0 + n for n in range(len(DAYS))]
    said = next(problem for problem in found.problems if problem.kind == "renamed")
    assert (said.ticker, "NEWCO goes on where OLDCO ends" in said.detail, str(CHANGE) in said.detail) == (
        "OLDCO", True, True,
    )  # fmt: skip
    whole.filter(pl.col("date") < CHANGE).write_csv(Path(source.path) / "prices.csv")
    cut = fetch(source, None, FIRST, before(CHANGE)).rows
    assert cut.drop("fetched_at").equals(found.rows.filter(pl.col("date") < CHANGE).drop("fetched_at"))


def test_months_asked_for_one_at_a_time_give_the_same_names(tmp_path: Path) -> None:
    source = folder(tmp_path, renamed())
    whole = fetch(source).rows
    parts = [
        fetch(source, None, date(2025, month, 1), date(2025, month + 1, 1) - timedelta(days=1)).rows
        for month in (3, 4, 5)
    ]
    assert pl.concat(parts).equals(whole)


def test_a_rename_counts_in_the_version_from_its_month_on(tmp_path: Path) -> None:
    names = {"ticker": "SYMBOL", "date": "DATE1", "volume": "TTL_TRD_QNTY"}
    names |= {name: f"{name.upper()}_PRICE" for name in ("open", "high", "low", "close")}
    table = renamed().with_columns(PREV_CLOSE="prev_close", SERIES=pl.lit("EQ")).drop("prev_close")
    for day in DAYS:  # the exchange's daily files, of which a month reads its own
        part = table.filter(pl.col("date") == day).with_columns(pl.col("date").dt.to_string("%d-%b-%Y"))
        part.rename(names).write_csv(tmp_path / f"sec_{day}.csv")
    source, home = FilesSource(path=str(tmp_path)), tmp_path
    march, april = (FIRST, date(2025, 3, 31)), (date(2025, 4, 1), date(2025, 4, 30))
    then = [source.version(*span, NOW) for span in (march, april)]
    (home / f"sec_{CHANGE}.csv").unlink()  # without its first day the new name is a stranger
    now = [source.version(*span, NOW) for span in (march, april)]
    assert (then[0] == now[0], then[1] == now[1]) == (True, False)


NO_RENAME = {
    "another previous close": renamed(prev_close=126.5),
    "no previous close": renamed().drop("prev_close"),
    "the old name goes on": pl.concat([renamed(), bars({"OLDCO": (LAST, LAST)})]),
    "a session between": renamed().filter((pl.col("ticker") != "NEWCO") | (pl.col("date") > CHANGE)),
    "two names end at that price": pl.concat(
        [renamed(), renamed("TWIN", "X").filter(pl.col("ticker") == "TWIN")]
    ),
    "two names begin at it": pl.concat([renamed(), renamed("X", "TWIN").filter(pl.col("ticker") == "TWIN")]),
}  # fmt: skip


@pytest.mark.parametrize("case", NO_RENAME)
def test_what_is_not_plainly_one_company_stays_two(tmp_path: Path, case: str) -> None:
    found = fetch(folder(tmp_path, NO_RENAME[case].sort("date", "ticker")))
    assert {"OLDCO", "NEWCO"} <= set(found.rows["ticker"])
    assert "renamed" not in kinds(found)


@pytest.mark.parametrize(("close", "volume", "n_found"), [(12.0, 1, 1), (9.0, 1, 0), (9.0, 400, 1), (9.0, 100_000, 0)])
def test_below_ten_rupees_an_equal_close_needs_a_comparable_volume(close: float, volume: int, n_found: int) -> None:
    """Too many names share a close there; 20 times as many or as few shares are another company's."""
    spans = pl.DataFrame(
        [
            ("OLD", DAYS[0], None, 1.0, DAYS[1], close, 500.0),
            ("NEW", DAYS[2], close, float(volume), DAYS[5], 50.0, 10.0),
        ],
        schema=[
            "ticker", "first_day", "first_prev_close_inr", "first_volume", "last_day", "last_close_inr", "last_volume",
        ],
        orient="row",
    )  # fmt: skip
    assert continued(spans, pl.Series(DAYS)).height == n_found


def test_names_that_nobody_shall_chain_stay_as_they_are(tmp_path: Path) -> None:
    home = folder(tmp_path, renamed(), symbol_changes=RENAME).path
    rows = fetch(FilesSource(path=home, symbol_changes="none")).rows
    assert sorted(rows["ticker"].unique()) == ["NEWCO", "OLDCO", "OTHER"]


def test_actions_follow_the_companys_name(tmp_path: Path) -> None:
    actions = "ticker,ex_date,kind,value\nOLDCO,2025-03-20,split,2.0\n"
    rows = fetch(folder(tmp_path, renamed(), symbol_changes=RENAME, corporate_actions=actions)).rows
    factors = rows.filter(pl.col("price_factor") != 1.0).select("date", "ticker", "price_factor").rows()
    assert factors == [(date(2025, 3, 20), "NEWCO", 0.5)]


# ---- a folder's own members and sectors -----------------------------------------------------------------------------


def test_a_folders_own_members_win_and_need_not_use_its_names(tmp_path: Path) -> None:
    own = f"symbol,from_date,to_date\nOLDCO,,{CHANGE}\nOTHER,2025-04-01,\n"
    source = folder(tmp_path, renamed(), symbol_changes=RENAME, index_membership=own)
    assert source.membership("nifty50").rows() == [
        ("NEWCO", date(1990, 1, 1), CHANGE),
        ("OTHER", date(2025, 4, 1), None),
    ]
    assert "ignored_file" not in kinds(fetch(source))  # a side file is no price file
    chosen = source.universe("nifty50")
    assert (chosen.known_until, "index_membership.csv" in chosen.description) == (CHANGE, True)


def test_a_current_symbol_finds_a_member_that_the_symbol_does_not(tmp_path: Path) -> None:
    own = "symbol,current_symbol,from_date,to_date,kind\nFORMER,OTHER,2020-01-01,,company\n"
    source = folder(tmp_path, bars({"OTHER": (FIRST, LAST)}), index_membership=own)
    assert source.membership("nifty50")["ticker"].to_list() == ["OTHER"]


def test_a_file_of_the_nifty_50_says_nothing_of_another_index(tmp_path: Path) -> None:
    own = "symbol,from_date,to_date\nOTHER,2025-04-01,\n"
    source = folder(tmp_path, bars({"OTHER": (FIRST, LAST)}), index_membership=own)
    assert source.membership("nifty500").height == 500
    assert source.membership("indian_market")["ticker"].to_list() == ["*"]
    Path(source.path, "index_membership.csv").write_text(
        "index,ticker,from_date\nNIFTY 500,OTHER,2025-04-01\nNifty 50,ZZZ,2025-04-01\n"
    )
    assert source.membership("nifty500")["ticker"].to_list() == ["OTHER"]
    assert source.membership("nifty50")["ticker"].to_list() == ["ZZZ"]


def test_a_universes_own_file_is_read_again_once_its_content_is_another(tmp_path: Path) -> None:
    source, file = FilesSource(path=str(tmp_path)), tmp_path / "mine.csv"
    (tmp_path / "a.csv").write_text("date,ticker,open,high,low,close,volume\n2015-01-01,AAA,1,1,1,1,1\n")
    for name in ("AAA", "BBB"):
        file.write_text(f"ticker\n{name}\n")
        os.utime(file, ns=(0, 0))  # same size, same time: only the content tells
        assert source.membership(str(file))["ticker"].to_list() == [name]


def test_shipped_members_are_found_under_a_folders_older_names(tmp_path: Path) -> None:
    own = "old_symbol,new_symbol,first_new\nA,B,2001-01-01\n"
    source = folder(tmp_path, bars({"TATAMOTORS": (FIRST, LAST), "LTIM": (FIRST, LAST)}), symbol_changes=own)
    members = set(source.membership("nifty50")["ticker"])
    assert {"TATAMOTORS", "LTIM"} <= members
    assert not {"TMPV", "LTM"} & members
    assert len(source.membership("nifty50")) == len(membership("nifty50"))


@pytest.mark.parametrize(
    ("lines", "days"),
    [
        ("OLDCO,2020-01-01,\nNEWCO,2021-01-01,\n", [(date(2020, 1, 1), None)]),
        ("OLDCO,2020-01-01,2022-01-03\nNEWCO,2021-01-01,2023-01-02\n", [(date(2020, 1, 1), date(2023, 1, 2))]),
        ("OLDCO,2020-01-01,2024-01-01\nNEWCO,2021-01-01,2023-01-02\n", [(date(2020, 1, 1), date(2024, 1, 1))]),
        (
            "OLDCO,2020-01-01,2021-01-01\nNEWCO,2021-01-01,\n",
            [(date(2020, 1, 1), date(2021, 1, 1)), (date(2021, 1, 1), None)],
        ),
    ],
)
def test_a_company_listed_under_both_names_is_a_member_while_either_is(
    tmp_path: Path, lines: str, days: list[tuple[date, date | None]]
) -> None:
    own = f"symbol,from_date,to_date\n{lines}"
    source = folder(tmp_path, renamed(), symbol_changes=RENAME, index_membership=own)
    assert source.membership("nifty50").rows() == [("NEWCO", *interval) for interval in days]


def test_intervals_of_one_name_that_overlap_are_refused(tmp_path: Path) -> None:
    own = "symbol,from_date,to_date\nOTHER,2020-01-01,\nOTHER,2021-01-01,\n"
    source = folder(tmp_path, renamed(), index_membership=own)
    with pytest.raises(DataError, match=r"OTHER from 2021-01-01 overlaps"):
        source.membership("nifty50")


def test_a_folders_own_sectors_win_the_newest_first_and_the_shipped_complete_them(tmp_path: Path) -> None:
    own = "symbol,industry,source\nOTHER,Metals,list_2019\nOTHER,Metals & Mining,list_2024\nTCS,Chemicals,list_2024\n"
    source = folder(tmp_path, bars({"OTHER": (FIRST, LAST), "TCS": (FIRST, LAST)}), sectors=own)
    found = dict(source.sectors().iter_rows())
    assert (found["OTHER"], found["TCS"], found["INFY"]) == ("Metals & Mining", "Chemicals", "Information Technology")
    ends = {one.name: one.known_until for one in source.lists()}
    assert ends["sectors"] == date(2024, 1, 1)


def test_a_side_file_is_another_one_by_its_content_not_by_its_time(tmp_path: Path) -> None:
    actions = "ticker,ex_date,kind,value\nOTHER,2025-03-20,dividend,2.0\n"
    source = folder(tmp_path, bars({"OTHER": (FIRST, LAST)}), corporate_actions=actions)
    path = Path(source.path) / "corporate_actions.csv"
    then, status = source.version(FIRST, LAST, NOW), path.stat()
    assert fetch(source).rows["dividend_inr"].sum() == 2.0
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 10**9))
    assert source.version(FIRST, LAST, NOW) == then
    path.write_text(actions.replace("2.0", "3.0"))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert source.version(FIRST, LAST, NOW) != then
    assert fetch(source).rows["dividend_inr"].sum() == 3.0


# ---- until when -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "end"),
    [
        ("symbol,from_date,to_date\nA,2020-01-01,2022-05-06\nB,2021-01-01,\n", date(2022, 5, 6)),
        (
            "symbol,from_date,to_date,known_until\nA,2020-01-01,2022-05-06,2024-12-31\nB,2021-01-01,,\n",
            date(2024, 12, 31),
        ),
        ("symbol\nA\n", None),
    ],
)  # fmt: skip
def test_a_list_is_known_to_what_it_states_else_to_its_newest_date(tmp_path: Path, text: str, end: date | None) -> None:
    path = tmp_path / "list.csv"
    path.write_text(text)
    assert stated_end(path, ("from_date", "to_date"), "list") == end
    if end:
        assert universe(str(_with_ticker(path))).known_until == end


def _with_ticker(path: Path) -> Path:
    path.write_text(path.read_text().replace("symbol", "ticker", 1))
    return path


def test_an_end_that_is_no_date_is_named(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text("ticker,known_until\nA,soon\n")
    with pytest.raises(DataError, match=r"list line 2: known_until is no YYYY-MM-DD, 'soon'; fix it"):
        stated_end(path, (), "list")


def test_actions_that_end_before_the_prices_are_a_named_problem(tmp_path: Path) -> None:
    actions = "ticker,ex_date,kind,value\nOTHER,2025-03-20,dividend,2.0\nOTHER,2025-05-05,split,2.0\n"
    source = folder(tmp_path, bars({"OTHER": (FIRST, LAST)}), corporate_actions=actions)
    details = [problem.detail for problem in fetch(source).problems if problem.kind == "actions_end"]
    assert details == [
        "corporate_actions.csv: actions known to 2025-03-20; stocks earn price returns after 2025-03-20 "
        "(prices to 2025-05-30)"
    ]
    assert "actions_end" not in kinds(fetch(source, None, FIRST, date(2025, 3, 20)))
    ends = {one.name: one.known_until for one in source.lists()}
    assert (ends["corporate actions"], ends["dividends"]) == (date(2025, 5, 5), date(2025, 3, 20))
    stated = actions.replace("value\n", "value,known_until\n").replace("5.0\n", "5.0,\n")
    stated = "\n".join(f"{line},2026-01-31" if line[:5] == "OTHER" else line for line in stated.splitlines()) + "\n"
    (Path(source.path) / "corporate_actions.csv").write_text(stated)
    assert "actions_end" not in kinds(fetch(source))


@pytest.mark.parametrize(
    ("actions", "known"),
    [(None, NEVER), ("ticker,ex_date,kind,value,known_until\nOTHER,2025-03-20,split,2.0,2026-01-31\n", NEVER)],
)
def test_without_any_dividend_stocks_earn_price_returns_throughout(
    tmp_path: Path, actions: str | None, known: date
) -> None:
    side = {} if actions is None else {"corporate_actions": actions}
    source = folder(tmp_path, bars({"OTHER": (FIRST, LAST)}), **side)
    assert {one.name: one.known_until for one in source.lists()}["dividends"] == known


def test_prices_that_bring_their_own_dividends_need_no_list(tmp_path: Path) -> None:
    table = bars({"OTHER": (FIRST, LAST)}).with_columns(dividends=pl.lit(0.0))
    assert "dividends" not in {one.name for one in folder(tmp_path, table).lists()}


LISTS = [
    KnownList("members", date(2025, 4, 1), "members.csv", "later members are missing", "add them"),
    KnownList("rates", date(2025, 6, 1), "rates.csv", "the last rate holds", "add them"),
    KnownList("names", None, "names.csv", "", ""),
]


def test_a_run_beyond_a_list_is_marked_from_the_day_after(tmp_path: Path) -> None:
    def beyond(day: date) -> list[str]:
        return lists_known(LISTS, day).filter("is_beyond")["list"].to_list()

    assert [beyond(date(2025, month, day)) for month, day in ((4, 1), (4, 2), (6, 2))] == [
        [], ["members"], ["members", "rates"],
    ]  # fmt: skip


def test_a_strict_run_names_list_days_and_remedy() -> None:
    refuse_beyond(LISTS, date(2025, 4, 1), "here")
    with pytest.raises(DataError) as refused:
        refuse_beyond(LISTS, date(2025, 5, 30), "here")
    for part in ("here: strict_lists", "members: known to 2025-04-01 (members.csv)", "to 2025-05-30", "add them"):
        assert part in str(refused.value)
    assert "rates" not in str(refused.value)
    assert known_to(NEVER) == "not known at all"


def test_the_shipped_lists_end_where_their_sources_do() -> None:
    facts = nifty50_facts()
    assert universe("nifty50").known_until == facts.select(pl.max_horizontal("from_date", "to_date").max()).item()
    assert read_symbol_changes()["first_new"].max() == SHIPPED_UNTIL == date(2026, 7, 27)
    assert universe("nifty500").known_until == SECTORS_KNOWN_UNTIL == date(2026, 3, 5)
    assert known_actions()["ex_date"].max() == date(2023, 7, 13)  # single facts that complete a list, no list that ends


def test_demerger_placeholders_are_members_on_their_days_as_the_index_had_them() -> None:
    kinds_of = nifty50_facts().filter(pl.col("kind") == "spinoff_placeholder")
    assert kinds_of["ticker"].to_list() == ["ITCHOTELS", "JIOFIN", "KWIL", "TMCV"]
    inside = membership("nifty50").filter(pl.col("ticker") == "JIOFIN")
    assert inside.select("from_date", "to_date").rows() == [
        (date(2023, 7, 20), date(2023, 9, 7)),
        (date(2025, 3, 28), None),
    ]


def test_a_list_is_complete_from_the_day_since_which_the_number_is_never_short() -> None:
    rows = [
        ("A", date(2020, 1, 1), None, "company"),
        ("B", date(2020, 1, 1), date(2021, 1, 1), "company"),
        ("C", date(2021, 2, 1), None, "company"),
        ("D", date(2020, 1, 1), None, "additional_security"),
    ]
    table = pl.DataFrame(rows, schema=["ticker", "from_date", "to_date", "kind"], orient="row")
    assert complete_from(table, 2) == date(2021, 2, 1)  # one is missing in January 2021
    assert complete_from(table, 1) == date(2020, 1, 1)
    assert complete_from(table, 3) is None
