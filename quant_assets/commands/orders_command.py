"""`quant orders`: from a person's holdings and a stored decision to whole shares to buy and sell; sends nothing.

What belongs here: reading the holdings and what is stored, saying the list. The list itself is `trading.order_list`.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
from rich.table import Table

from quant_assets.asset_names import BACKTEST, POLICY_WEIGHTS, SIGNALS, TARGET_WEIGHTS
from quant_assets.commands.terminal import plain
from quant_assets.lab import Lab
from quant_assets.profile import Profile
from quant_assets.storage.partition_files import pointer_path, read_artifact, read_tables, table_path
from quant_assets.storage.table_files import read_table
from quant_core.backtest.signals import fill_of
from quant_core.errors import DataError, UnknownName
from quant_core.market.reading.identity import bare_name
from quant_core.market.reading.numbers import POINT, read_numbers
from quant_core.market.reading.side_lists import read_list
from quant_core.report.formats import percent, plural, rupees_and_paise
from quant_core.report.signals_page import defused_csv
from quant_core.schema import CASH, FAILED, HOLD, IS_SEED, PROMOTED, UNJUDGED
from quant_core.trading.order_list import OrderList, order_list
from quant_core.trading.panel import Closing, closing

#: What brokers call the two columns.
TICKER = ("ticker", "symbol", "instrument", "tradingsymbol", "trading_symbol", "stock")
SHARES = ("shares", "quantity", "qty", "quantity_available")
#: Months of decisions and prices that are looked through.
MONTHS_BACK = 6
#: No exchange trades more of one name; what is above is a mistake.
MOST_SHARES = 10**12


@dataclass(frozen=True)
class Answer:
    """What the command says."""

    strategy: str
    status: str
    session: date
    decided: date
    fill: date
    made: OrderList
    notes: tuple[str, ...]

    @property
    def heading(self) -> str:
        return (
            f"{self.strategy} ({self.status}), decided on {self.decided}, prices of {self.session}: orders for "
            f"{self.fill:%a %d %b %Y}"
        )


def orders_of(profile: Profile, holdings: Path | None, capital: str, strategy: str | None, day: str | None) -> Answer:
    """The list for a book's newest decision up to a day.

    Args:
        holdings: CSV with ticker and shares; None for an account that holds nothing.
        capital: what the account is worth in all, rupees, as a person writes it.
        day: session whose closes count, YYYY-MM-DD; None for the newest stored.
    Raises:
        DataError: one line with where, what was found, what was wanted and what to do.
    """
    lab = Lab(profile)
    worth, held = amount("--capital", capital), {} if holdings is None else read_holdings(holdings)
    prices = stored(lab, ("clean_prices",), asked_day(day))
    if prices.is_empty():
        until = f" up to {day}" if day else ""
        raise DataError(f"{profile.name}: no prices{until} are stored under {lab.root}; make them with `quant run`.")
    session = session_of(prices, day)
    targets = stored(lab, (TARGET_WEIGHTS, *(f"{POLICY_WEIGHTS}{name}" for name in lab.agents)), session)
    statuses = judged(lab, session)
    book = chosen_book(targets, strategy, statuses)
    decided, weights = newest_decision(targets, book, session)
    names = pl.Series("ticker", sorted({*weights, *held}), dtype=pl.String)
    known = closing(prices, names, session, lab.defaults(BACKTEST).price_band)
    notes, sound = unpriced(names, known, prices, session, held)
    tickers = names.filter(pl.Series(sound, dtype=pl.Boolean))
    shares = {name: held[name] for name in tickers if name in held}
    inside = Closing(*(part[sound] for part in known))
    value = sum(count * inside.close_inr[k] for k, name in enumerate(tickers) if (count := shares.get(name, 0)))
    if value > worth:
        raise DataError(
            f"--capital {capital}: the holdings alone are worth {value:,.2f} rupees at the closes of {session}; give "
            "what the account is worth in all, its cash included."
        )
    account, limits = lab.defaults(BACKTEST), lab.defaults(TARGET_WEIGHTS)
    fill = fill_of(session, 1)
    wanted = {name: weights[name] for name in tickers if name in weights}
    made = order_list(
        tickers, wanted, shares, worth - value, inside, account, (session, fill), max_position=limits.max_position
    )
    return Answer(
        book,
        statuses.get(book, UNJUDGED),
        session,
        decided,
        fill,
        made,
        (*notes, *told(made, decided, session, account)),
    )


# ---- what is given ---------------------------------------------------------------------------------------------------


def read_holdings(path: Path) -> dict[str, int]:
    """Ticker -> shares of a CSV file; names without exchange and series, numbers by the reader's grammar.

    Raises:
        DataError: unreadable, a column missing, a name twice, a number of shares that is none, not whole or below 0.
    """
    where = f"holdings {path.name}"
    listed = read_list(path, where, "ticker, shares", [TICKER, SHARES])
    named, counted = (next(one for one in group if one in listed.table.columns) for group in (TICKER, SHARES))
    names, cells = listed.table[named], listed.table[counted]
    numbers, _ = read_numbers(cells).decided(None, whole=True)
    found: dict[str, int] = {}
    for line, name, cell, number in zip(listed.lines, names, cells, numbers, strict=True):
        at = f"{where} line {line}"
        if not (name or "").strip():
            raise DataError(f"{at}: no ticker; name it, or remove the line.")
        ticker = bare_name(name)
        if number is None or not 0 <= number <= MOST_SHARES or number != math.floor(number):
            raise DataError(f"{at}: {ticker} has {cell!r} shares; wanted a whole number from 0 on, as 1200 or 1,200.")
        if ticker in found:
            raise DataError(f"{at}: {ticker} is there twice; add the lines up.")
        found[ticker] = int(number)
    return {name: count for name, count in found.items() if count}


def amount(option: str, text: str) -> float:
    """Rupees as a person writes them: 1000000, 10,00,000 or Rs 10,00,000.

    Raises:
        DataError: no number above 0.
    """
    value, _ = read_numbers(pl.Series([text.strip()])).decided(POINT)
    if value[0] is None or not 0.0 < value[0] < math.inf:
        raise DataError(f"{option} {text}: no amount of rupees above 0; write it as 1000000 or 10,00,000.")
    return float(value[0])


def asked_day(day: str | None) -> date | None:
    """The day of an option.

    Raises:
        DataError: no date.
    """
    try:
        return None if day is None else date.fromisoformat(day)
    except ValueError as error:
        raise DataError(f"--date {day}: no day; write it as YYYY-MM-DD.") from error


# ---- what is stored --------------------------------------------------------------------------------------------------


def stored(lab: Lab, assets: Sequence[str], until: date | None) -> pl.DataFrame:
    """Rows of the newest stored months of some tables up to a day."""
    last = "9999-12" if until is None else f"{until:%Y-%m}"
    months = [month for month in lab.partitions.months.get_partition_keys() if month <= last]
    tables = []
    for asset in assets:
        paths = [table_path(lab.root, lab.key(asset), month) for month in months]
        newest = [path for path in paths if path.exists()][-MONTHS_BACK:]
        tables += [table for path in newest if (table := read_tables([path]).collect()).height]
    rows = pl.concat(tables, how="diagonal") if tables else pl.DataFrame()
    return rows if until is None or rows.is_empty() else rows.filter(pl.col("date") <= until)


def session_of(prices: pl.DataFrame, day: str | None) -> date:
    """The session whose closes count.

    Raises:
        DataError: the day asked for has no stored prices.
    """
    newest: date = prices["date"].max()  # type: ignore[assignment]
    if day is not None and newest != date.fromisoformat(day):
        raise DataError(f"--date {day}: no session with stored prices; the last one before it is {newest}.")
    return newest


def judged(lab: Lab, session: date) -> dict[str, str]:
    """Status of the books in the newest stored signals up to a session."""
    months = [month for month in lab.partitions.months.get_partition_keys() if month <= f"{session:%Y-%m}"]
    for month in reversed(months[-MONTHS_BACK:]):
        pointer = pointer_path(lab.root, lab.key(SIGNALS), month)
        if pointer.exists():
            table = read_table(read_artifact(pointer), "signals")
            return dict(table.select("strategy", "status").unique().iter_rows())
    return {}


def chosen_book(targets: pl.DataFrame, strategy: str | None, statuses: Mapping[str, str]) -> str:
    """The book asked for, else the one that is promoted.

    Raises:
        DataError: nothing is decided, or not exactly one book is promoted. UnknownName: no such book.
    """
    if targets.is_empty():
        raise DataError("quant orders: no decision is stored; make one with `quant run`.")
    known = targets.filter(~IS_SEED)["strategy"].unique().sort().to_list()
    if strategy is not None:
        if strategy not in known:
            raise UnknownName("strategy", strategy, known)
        return strategy
    promoted = sorted(name for name, status in statuses.items() if status == PROMOTED and name in known)
    if len(promoted) != 1:
        which = f"{', '.join(promoted)} are promoted" if promoted else "no book is promoted"
        raise DataError(f"quant orders: {which}; name one with --strategy: {', '.join(promoted or known)}.")
    return promoted[0]


def newest_decision(targets: pl.DataFrame, book: str, session: date) -> tuple[date, dict[str, float | None]]:
    """The day of a book's newest decision, and its weights without cash; None keeps what is held.

    Raises:
        DataError: it has decided nothing in the months that are looked through.
    """
    own = targets.filter(pl.col("strategy") == book, pl.col("ticker") != FAILED, pl.col("date") <= session)
    if own.is_empty():
        raise DataError(f"{book}: no decision in the {MONTHS_BACK} months up to {session}; run the lab up to that day.")
    day: date = own["date"].max()  # type: ignore[assignment]
    rows = own.filter(pl.col("date") == day, pl.col("ticker") != CASH)
    return day, dict(rows.select("ticker", "weight").iter_rows())


def unpriced(
    names: pl.Series, known: Closing, prices: pl.DataFrame, session: date, held: Mapping[str, int]
) -> tuple[list[str], Any]:
    """What is to be said of names without a close, and (N,) which names have one."""
    last = dict(prices.group_by("ticker").agg(pl.col("date").max()).iter_rows())
    sound, notes = known.close_inr > 0.0, []
    for name, has in zip(names, sound, strict=True):
        if has:
            continue
        why = f"no price on {session}, the last is of {last[name]}" if name in last else "unknown here"
        what = "is held" if name in held else "is wanted"
        notes.append(f"{name} {what}, but {why}: neither counted nor traded.")
    return notes, sound


# ---- what is said ----------------------------------------------------------------------------------------------------


def told(made: OrderList, decided: date, session: date, account: Any) -> list[str]:
    """What the list does not show by itself."""
    notes = []
    if fill_of(decided, account.delay_sessions) <= session:
        notes.append(f"The decision of {decided} was due before {session}: these orders bring the account to it now.")
    if made.cash_scale < 1.0 - 1e-9:
        notes.append(f"Cash reaches for {percent(made.cash_scale)} of the purchases: all of them are cut.")
    return notes


def as_table(answer: Answer) -> Table:
    """The orders, sales first; names that are only kept are left out."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("", "ticker", "shares", "price", "value", "charges", "impact", "weight", "limits"):
        is_text = name in ("", "ticker", "limits")
        table.add_column(name, justify="left" if is_text else "right", no_wrap=name != "limits", overflow="fold")
    for row in answer.made.orders.iter_rows(named=True):
        if row["side"] == HOLD and not row["limits"]:
            continue
        slipped = row["slippage_inr"] + row["impact_inr"]
        cells = (
            row["side"], row["ticker"], f"{row['shares']:,}", f"{row['price_inr']:,.2f}", f"{row['value_inr']:,.0f}",
            f"{row['charges_inr']:,.2f}", f"{slipped:,.2f}", percent(row["weight_after"]), row["limits"],
        )  # fmt: skip
        table.add_row(*(plain(cell) for cell in cells))
    return table


def as_lines(answer: Answer) -> list[str]:
    """Totals and notes."""
    made, note = answer.made, answer.made.note
    charges = ", ".join(f"{kind} {value:,.2f}" for kind, value in note.items() if kind != "total" and value)
    slipped = float((made.orders["slippage_inr"] + made.orders["impact_inr"]).sum())
    kept = plural(made.orders.filter(pl.col("side") == HOLD, pl.col("held_shares") > 0).height, "holding")
    return [
        f"Charges as billed {rupees_and_paise(note['total'])} ({charges or 'none'}); slippage and impact about "
        f"{rupees_and_paise(slipped)}.",
        f"Cash {rupees_and_paise(made.cash_before)} before, {rupees_and_paise(made.cash_after)} after; {kept} "
        "left as it was. Prices are closes: the day itself decides what is filled. Nothing was sent anywhere.",
        *answer.notes,
    ]


def as_json(answer: Answer) -> str:
    """Every field, for programs."""
    made = answer.made
    return json.dumps({
        "strategy": answer.strategy, "status": answer.status, "session": str(answer.session),
        "decision_date": str(answer.decided), "fill_date": str(answer.fill), "equity_inr": made.equity,
        "cash_before_inr": made.cash_before, "cash_after_inr": made.cash_after, "cash_scale": made.cash_scale,
        "contract_note_inr": dict(made.note), "orders": made.orders.to_dicts(), "notes": list(answer.notes),
    }, indent=1)  # fmt: skip


def write_csv(answer: Answer, path: Path) -> None:
    """The whole list as a file whose cells no spreadsheet takes for formulas."""
    path.write_text(defused_csv(answer.made.orders))
