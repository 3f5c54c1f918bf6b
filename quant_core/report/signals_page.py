"""The page of tomorrow's orders, small enough for a phone: what each book wants and why, the day's data, the account on
paper beside its backtest. Nothing is measured here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date

import polars as pl

from quant_core.report.blocks import Block, Cell, Note, Section, Table, cell, frame_table
from quant_core.report.formats import (
    MISSING,
    basis_points,
    defused,
    listed,
    percent,
    plural,
    ratio,
    rupees,
    write,
)
from quant_core.report.render import plain_page
from quant_core.schema import CASH, DRIFT, ENTERS, FEW, KEPT, LEAVES, LOWERED, NO_DRIFT, OPEN, PROMOTED, RAISED, SAME

#: Books whose tables stand open where none is promoted; the others are a touch away.
UNFOLDED = 3
#: Days of the paper account that its table shows.
DAYS_SHOWN = 21
#: Points of a curve.
POINTS = 200
WIDTH, HEIGHT = 600, 160
SAID = {ENTERS: "enters", LEAVES: "leaves", RAISED: "more", LOWERED: "less", SAME: "as before", KEPT: "kept as held"}
TONES = {PROMOTED: "good", OPEN: "open"}


@dataclass(frozen=True)
class SignalsInput:
    """What the page shows.

    Args:
        session: the last with prices. next_session: the one that follows.
        next_decisions: first session after the newest one on which is decided; None where nothing is scheduled.
        signals, health, paper, drift: Signals, SignalHealth, PaperDaily, PaperDrift.
        decisions: PaperDecisions.
        missed: strategy, date: decisions since the account on paper opened that nobody recorded in time.
        revised: strategy, date: recorded decisions that today's data would take otherwise.
        capital_inr: for which costs are reckoned.
        reasons: book -> why it is not promoted.
    """

    profile: str
    session: date
    next_session: date
    next_decision: date | None
    signals: pl.DataFrame
    health: pl.DataFrame
    paper: pl.DataFrame
    drift: pl.DataFrame
    decisions: pl.DataFrame
    missed: pl.DataFrame
    revised: pl.DataFrame
    capital_inr: float
    reasons: Mapping[str, str] = field(default_factory=dict)
    warnings: Sequence[str] = ()
    provenance: Mapping[str, str] = field(default_factory=dict)

    @property
    def title(self) -> str:
        return f"{self.profile}: orders for {self.next_session:%a %d %b %Y}"

    @property
    def curves(self) -> list[dict[str, str]]:
        """Growth on paper and of the backtest over the days compared, one entry a book with two such days or more."""
        found = (
            curve(str(name), rows)
            for (name,), rows in sorted(self.paper.partition_by("strategy", as_dict=True).items())
        )
        return [one for one in found if one]


def render_signals(data: SignalsInput) -> str:
    """The page as HTML that needs no network."""
    return plain_page(
        data, [overview(data), health_section(data), *book_sections(data), paper_section(data)], "signals.html.j2"
    )


def defused_csv(table: pl.DataFrame) -> str:
    """A table as CSV whose cells no spreadsheet takes for formulas."""
    texts = pl.col(pl.String).map_elements(defused, return_dtype=pl.String)
    return table.with_columns(texts).rename(defused).write_csv()


def books_of(signals: pl.DataFrame) -> list[str]:
    """Promoted books first, then by status and name."""
    order = pl.col("status").replace_strict({PROMOTED: 0, OPEN: 1}, default=2, return_dtype=pl.Int8)
    return signals.select("strategy", order.alias("order")).unique().sort("order", "strategy")["strategy"].to_list()


def overview(data: SignalsInput) -> Section:
    """One row a book: what it does at the next session."""
    if data.signals.is_empty():
        return Section("books", "Books", (Note("No book has decided anything yet: the months before the first fold."),))
    names = books_of(data.signals)
    rows = [_overview_row(data.signals.filter(pl.col("strategy") == name)) for name in names]
    header = ("Book", "To do", "Trades", "Cost", "Buys", "Sells", "Status", "Decided")
    columns = ("strategy", "to_do", "turnover", "cost_inr", "buys", "sells", "status", "decision_date")
    table = Table(
        "books", "What each book does", "", f"Costs are for {rupees(data.capital_inr)}; `quant orders` reckons them "
        "for your own account and holdings.", header, columns, tuple(rows), text=frozenset({1, 6}),
    )  # fmt: skip
    return Section("books", "Books", (_promotion_note(data, names), table))


def _promotion_note(data: SignalsInput, names: Sequence[str]) -> Note:
    statuses = dict(data.signals.select("strategy", "status").unique().iter_rows())
    promoted = [name for name in names if statuses[name] == PROMOTED]
    if promoted:
        return Note(f"{listed(promoted)}: ahead of its rivals and of luck at twice the costs.", "promoted", "good")
    return Note(
        f"None of {plural(len(names), 'candidate')} is promoted: they are shown to be followed on paper, not to be "
        "traded with money.", "not promoted", "bad",
    )  # fmt: skip


def _overview_row(rows: pl.DataFrame) -> tuple[Cell, ...]:
    first, traded = rows.row(0, named=True), rows.filter(pl.col("ticker") != CASH)["trade_weight"]
    buys, sells, cost = int((traded > 0.0).sum()), int((traded < 0.0).sum()), float(rows["cost_inr"].sum())
    to_do = "trade" if buys + sells else "nothing"
    return (
        cell("strategy", first["strategy"]), Cell(to_do, to_do), cell("weight", one_way(rows)), cell("cost_inr", cost),
        cell("n_buys", buys), cell("n_sells", sells), cell("status", first["status"]),
        cell("decision_date", first["decision_date"]),
    )  # fmt: skip


def one_way(rows: pl.DataFrame) -> float:
    """One-way turnover of a book's trades: half of all changes of weight, cash included."""
    return 0.5 * float(rows["trade_weight"].abs().sum())


def health_section(data: SignalsInput) -> Section:
    """What is to be known of the day's data."""
    if data.health.is_empty():
        return Section("health", "Data of the day", (Note("The month has no session yet."),))
    bad = data.health.filter(~pl.col("is_sound"))["item"].to_list()
    note = Note(f"Look at {listed(bad)} before you trade.", "problem", "bad") if bad else Note(
        f"Nothing stands against trading on the prices of {data.session}.", "sound", "good")  # fmt: skip
    shown = data.health.select("item", "value", sound=pl.when("is_sound").then(pl.lit("yes")).otherwise(pl.lit("no")))
    table = frame_table("health", "Data of the session", shown, unit=str(data.session), caption="", labels={
        "item": "What", "value": "Found", "sound": "Sound"})  # fmt: skip
    return Section("health", "Data of the day", (note, table))


def book_sections(data: SignalsInput) -> list[Section]:
    """One section a book."""
    names, found = books_of(data.signals), []
    for place, name in enumerate(names):
        rows = data.signals.filter(pl.col("strategy") == name)
        folded = place >= UNFOLDED and rows["status"][0] != PROMOTED
        found.append(_book_section(data, name, rows, place, folded))
    return found


def _book_section(data: SignalsInput, name: str, rows: pl.DataFrame, place: int, folded: bool) -> Section:
    first = rows.row(0, named=True)
    why = data.reasons.get(name, "")
    status = str(first["status"])
    badge = Note(_told(rows, first, data) + (f" The gate: {why}." if why else ""), status, TONES.get(status, "bad"))  # type: ignore[arg-type]
    ordered = rows.sort(
        pl.col("ticker") == CASH, pl.col("trade_weight").abs(), pl.col("weight").fill_null(0.0), "ticker",
        descending=[False, True, True, False],
    )  # fmt: skip
    header = ("Name", "Wanted", "Trade", "Why", "Held", "Before", "Score", "Cost", "Close")
    columns = (
        "ticker",
        "weight",
        "trade_weight",
        "why",
        "held_weight",
        "previous_weight",
        "score",
        "cost_inr",
        "close_inr",
    )
    table = Table(
        f"book-{place + 1}", "Target book", "shares of the account", "", header, columns,
        tuple(_name_row(row) for row in ordered.iter_rows(named=True)), text=frozenset({3}), folded=folded,
    )  # fmt: skip
    return Section(f"book-of-{place + 1}", name, (badge, table))


def _told(rows: pl.DataFrame, first: Mapping[str, object], data: SignalsInput) -> str:
    """The book's day in two sentences."""
    moved = {what: rows.filter(pl.col("change") == what, pl.col("ticker") != CASH).height for what in SAID}
    changes = [f"{moved[what]} {SAID[what]}" for what in (ENTERS, LEAVES, RAISED, LOWERED, KEPT) if moved[what]]
    regime = f" in the regime {first['regime']}" if first["regime"] else ""
    told = f"Decided on {first['decision_date']}{regime}: {listed(changes) or 'nothing changed'}."
    if not first["is_pending"]:
        after = f", the next decision is due on {data.next_decision}" if data.next_decision else ""
        return f"{told} It was filled on {first['fill_date']}; there is nothing to do{after}."
    if one_way(rows) < 1e-9:
        return f"{told} Nothing is traded for it."
    cost = float(rows["cost_inr"].sum())
    return (
        f"{told} To be filled on {first['fill_date']}: {percent(one_way(rows))} one-way, costs about {rupees(cost)} "
        f"({basis_points(1e4 * cost / data.capital_inr)})."
    )


def _name_row(row: Mapping[str, object]) -> tuple[Cell, ...]:
    wanted = Cell("kept", "") if row["change"] == KEPT else cell("weight", row["weight"])
    why = _why(row)
    names = ("held_weight", "previous_weight", "score", "cost_inr")
    close = row["close_inr"]
    return (
        cell("ticker", row["ticker"]), wanted, cell("trade_weight", row["trade_weight"]), Cell(why, why),
        *(cell(name, row[name]) for name in names),
        Cell(MISSING, "") if close is None else Cell(f"\u20b9{close:,.2f}", str(close)),
    )  # fmt: skip


def _why(row: Mapping[str, object]) -> str:
    if row["ticker"] == CASH:
        return ""
    said = SAID[str(row["change"])]
    if row["rank"] is None:
        return said
    before = f", was {row['previous_rank']}" if row["previous_rank"] is not None else ""
    return f"{said}; rank {row['rank']} of {row['n_ranked']}{before}"


def paper_section(data: SignalsInput) -> Section:
    """The account on paper beside its backtest."""
    blocks: list[Block] = []
    if data.decisions.is_empty():
        due = f" The next one is due on {data.next_decision}." if data.next_decision else ""
        blocks.append(Note(
            "The account on paper opens with the first decision that a refresh records before the session that fills "
            f"it.{due}"
        ))  # fmt: skip
        return Section("paper", "Account on paper", tuple(blocks))
    blocks.append(_drift_note(data.drift))
    blocks.append(_drift_table(data.drift))
    blocks += [_daily_table(data.paper), *_gap_notes(data)]
    return Section("paper", "Account on paper", tuple(blocks))


def _drift_table(drift: pl.DataFrame) -> Table:
    columns = (
        "strategy", "verdict", "n_sessions", "mean_difference_1d", "low_difference_1d", "high_difference_1d", "hac_t",
        "largest_difference_1d", "p_value", "p_holm",
    )  # fmt: skip
    in_bps = drift.select(columns).with_columns(pl.col("^.*_difference_1d$") * 1e4)
    table = frame_table(
        "drift", "Paper less backtest", in_bps.rename(lambda name: name.replace("_difference_1d", "_bps")),
        unit="a day, net of costs", caption="Means of daily differences with 95\u202f% bootstrap intervals; t by Newey "
        "and West; p two-sided, then corrected by Holm for the books tested together.",
        labels={"strategy": "Book", "verdict": "Verdict", "n_sessions": "Days", "hac_t": "t", "p_value": "p",
                "p_holm": "p, Holm", "mean_bps": "Mean", "low_bps": "Low", "high_bps": "High",
                "largest_bps": "Largest"},
    )  # fmt: skip
    # A p of 0.004 is not 0.00, which two decimals would make of it.
    odds = drift.select(columns[-2:]).rows()
    fine = (tuple(Cell(write("dm_p", p), "" if p is None else str(p)) for p in ps) for ps in odds)
    return replace(table, rows=tuple((*row[:-2], *ps) for row, ps in zip(table.rows, fine, strict=True)))


def _drift_note(drift: pl.DataFrame) -> Note:
    drifting = drift.filter(pl.col("verdict") == DRIFT)["strategy"].to_list()
    if drifting:
        return Note(f"{listed(drifting)} does not earn on paper what its backtest says.", "drift", "bad")
    if drift.filter(pl.col("verdict") == NO_DRIFT).height:
        return Note("No difference between paper and backtest beyond chance.", "no drift", "good")
    return Note("Too few days to tell paper from backtest: 21 are needed.", FEW, "open")


def _daily_table(paper: pl.DataFrame) -> Table:
    newest = paper["date"].unique().sort().tail(DAYS_SHOWN)
    shown = paper.filter(pl.col("date").is_in(newest.implode())).sort("date", "strategy", descending=[True, False])
    shown = shown.select("date", "strategy", "equity_inr", "simple_return_1d", "expected_return_1d", "cost_inr")
    return frame_table(
        "paper-days", "Days on paper", shown, caption=f"The last {DAYS_SHOWN} sessions; paper.csv has all of them.",
        labels={"strategy": "Book", "equity_inr": "Equity", "simple_return_1d": "Return",
                "expected_return_1d": "Backtest"}, folded=shown.height > DAYS_SHOWN,
    )  # fmt: skip


def _gap_notes(data: SignalsInput) -> list[Note]:
    notes = []
    if data.missed.height:
        days = data.missed["date"].unique().sort().to_list()
        notes.append(Note(
            f"{plural(len(days), 'day')} whose decisions nobody recorded before their fill ({_days(days)}): the "
            "account kept what it held.", "missed", "bad",
        ))  # fmt: skip
    if data.revised.height:
        days = data.revised["date"].unique().sort().to_list()
        notes.append(Note(
            f"On {plural(len(days), 'day')} ({_days(days)}) today's data would decide otherwise than was recorded; the "
            "account follows the record.", "revised", "open",
        ))  # fmt: skip
    return notes


def _days(days: Sequence[date]) -> str:
    return listed([str(day) for day in days[:3]]) + (f" and {len(days) - 3} more" if len(days) > 3 else "")


def curve(name: str, rows: pl.DataFrame) -> dict[str, str]:
    """Both lines as points of the drawing, and what stands beside them; nothing for fewer than two days."""
    own = rows.filter("is_compared").sort("date")
    if own.height < 2:
        return {}
    grown = own.select(
        paper=(1.0 + pl.col("simple_return_1d")).cum_prod(), expected=(1.0 + pl.col("expected_return_1d")).cum_prod()
    )
    low, high = min(grown["paper"].min(), grown["expected"].min()), max(grown["paper"].max(), grown["expected"].max())  # type: ignore[type-var]
    return {
        "name": name, "first": str(own["date"][0]), "last": str(own["date"][-1]),
        "low": ratio(float(low)), "high": ratio(float(high)),  # type: ignore[arg-type]
        **{key: _points(grown[key].to_list(), float(low), float(high)) for key in grown.columns},  # type: ignore[arg-type]
        **{f"{key}_end": write("ratio", f"{grown[key][-1]:.4f}") for key in grown.columns},
    }  # fmt: skip


def _points(values: Sequence[float], low: float, high: float) -> str:
    step, span = max(1, -(-len(values) // POINTS)), (high - low) or 1.0
    kept = [*range(0, len(values), step)]
    kept += [len(values) - 1] if kept[-1] != len(values) - 1 else []
    last = max(len(values) - 1, 1)
    return " ".join(f"{WIDTH * k / last:.1f},{HEIGHT - (HEIGHT - 8) * (values[k] - low) / span - 4:.1f}" for k in kept)
