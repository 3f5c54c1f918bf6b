"""From cells of text to dates and numbers: one decision a column, and every cell that was not read is named."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from quant_core.market.problems import Problem, in_file
from quant_core.market.reading.columns import NUMBERS, Layout
from quant_core.market.reading.dates import Dates, day_in_name, read_dates
from quant_core.market.reading.identity import is_index_file
from quant_core.market.reading.numbers import Numbers, decimal_of, placed, plain_numbers, read_numbers

AUTO = "auto"
Doubt = bool | Callable[[pl.Series], pl.Series]
#: Rupees in the units that a turnover may be in: rupees, lakh, crore, thousands, millions, Kaggle's 1e-5.
TURNOVER_UNITS = (1.0, 1e5, 1e7, 1e3, 1e6, 1e-5)
#: A day's average price and its close are within this factor of each other.
SAME_PRICE = 2.0
_DATES = "write them as YYYY-MM-DD, or set date_format"
_DECIMAL = "write 1234.56, or set decimal to point or comma"


@dataclass(frozen=True)
class Grammar:
    """What the settings say of values.

    date_format: strptime, None to go by the column. decimal: "point", "comma" or "auto". fallback: how numbers without
    any comma are read where nothing decides, None for not at all.
    """

    date_format: str | None = None
    decimal: str = AUTO
    fallback: str | None = None


@dataclass(frozen=True)
class Read:
    """Typed columns of one file, row by row as they stand there.

    lines: of each row. decimal, date_order, turnover_scale: what was decided.
    """

    table: pl.DataFrame
    lines: pl.Series
    problems: tuple[Problem, ...]
    decimal: str = ""
    date_order: str = ""
    turnover_scale: float = 1.0


def read_number_columns(
    table: pl.DataFrame, names: Sequence[str], lines: pl.Series, file: str, grammar: Grammar, labels: Mapping[str, str]
) -> tuple[pl.DataFrame, pl.DataFrame, list[Problem], str]:
    """Columns of text as numbers.

    Returns:
        the numbers; which cells are none though something stands there; their problems; the decimal sign of the file.
    """
    plain = plain_numbers(table.select(names)) if names and grammar.decimal == AUTO else None
    if plain is not None:
        nothing = pl.DataFrame({name: pl.repeat(False, table.height, eager=True) for name in names})
        return plain[0], nothing, [], plain[1]
    found = {name: read_numbers(table[name], of_shares=name == "volume_shares") for name in names}
    shown: set[str] = set().union(*(numbers.shown for numbers in found.values()))
    values, bad, problems = {}, {}, []
    for name, numbers in found.items():
        sign = grammar.decimal if grammar.decimal != AUTO else decimal_of(numbers.shown, shown)
        if sign is None and not table[name].str.contains(",", literal=True).any():
            sign = grammar.fallback
        values[name], bad[name] = numbers.decided(sign, whole=name == "volume_shares")
        problems += _number_problems(numbers, bad[name], table[name], lines, file, labels.get(name, name))
    decided = grammar.decimal if grammar.decimal != AUTO else decimal_of(shown, set()) or ""
    return pl.DataFrame(values), pl.DataFrame(bad), problems, decided


def _number_problems(
    numbers: Numbers, bad: pl.Series, cells: pl.Series, lines: pl.Series, file: str, label: str
) -> list[Problem]:
    if not bad.any():
        return []
    twofold = bad & numbers.by_point.is_not_null() & numbers.by_comma.is_not_null()
    kinds = (
        ("ambiguous", twofold, "cells could be two numbers", _DECIMAL),
        ("unparsable", bad & ~twofold, "values are no numbers", "correct them, or leave them empty"),
    )
    return [
        problem_of(kind, file, which, cells, lines, f"column {label}: {which.sum()} {what}, first", remedy)
        for kind, which, what, remedy in kinds
        if which.any()
    ]


def problem_of(
    kind: str, file: str, which: pl.Series, cells: pl.Series, lines: pl.Series, what: str, remedy: str
) -> Problem:
    """The problem of the cells that `which` marks, with the first of them."""
    place = int(which.arg_max() or 0)
    return in_file(kind, file, what, remedy, int(lines[place]), str(cells[place]))


def date_problems(dates: Dates, cells: pl.Series, lines: pl.Series, file: str, label: str) -> list[Problem]:
    """What is said of cells that are no date, and of rows without any."""
    problems = []
    if dates.is_bad.any():
        kind = "ambiguous" if dates.is_ambiguous else "unparsable"
        what = "could be two dates or none" if dates.is_ambiguous else "cannot be read"
        said = f"column {label}: {dates.is_bad.sum()} dates {what}, first"
        problems.append(problem_of(kind, file, dates.is_bad, cells, lines, said, _DATES))
    empty = dates.values.is_null() & ~dates.is_bad
    if empty.any():
        what = f"{empty.sum()} rows have no date and are left out, first"
        problems.append(problem_of("undated", file, empty, cells.fill_null(""), lines, what, "complete or remove them"))
    return problems


def read_values(
    table: pl.DataFrame, lines: pl.Series, layout: Layout, file: str, grammar: Grammar, doubtful: Doubt = False
) -> Read:
    """A price table of text (columns named as the lab's) as dates, numbers and names.

    Args:
        doubtful: rows whose cells may have been shifted are left out where they contradict themselves: all of them
            (True), or those among some rows that the function finds.
    """
    labels = {name: column for name, column, _ in layout.columns}
    names = [name for name in NUMBERS if name in table.columns]
    dates = read_dates(table["date"], grammar.date_format, day_in_name(file))
    problems = date_problems(dates, table["date"], lines, file, labels.get("date", "date"))
    numbers, bad, found, decimal = read_number_columns(table, names, lines, file, grammar, labels)
    typed = table.with_columns(dates.values.alias("date"), *(numbers[name] for name in names))
    kept = dates.values.is_not_null()
    shifted = kept & _shifted(typed, bad, doubtful)
    if shifted.any():
        kept &= ~shifted
        what = f"{shifted.sum()} lines contradict themselves, as if a comma had shifted cells, and are left out, first"
        problems.append(
            problem_of("ragged", file, shifted, table["date"], lines, what, "quote cells that hold a comma")
        )
    typed, scale, more = with_units(typed, layout, file, lines)
    return Read(typed.filter(kept), lines.filter(kept), tuple(problems + found + more), decimal, dates.order, scale)


def _shifted(typed: pl.DataFrame, bad: pl.DataFrame, doubtful: Doubt) -> pl.Series:
    """Rows that cannot be right, where cells may have been shifted."""
    wrong = contradicts_itself(typed)
    broken = bad.select(pl.any_horizontal(pl.lit(False), pl.all()).alias("broken")).to_series()
    if doubtful is True:
        return wrong | broken
    if doubtful is False or not wrong.any():
        return wrong & broken
    split = placed(wrong, wrong, doubtful(wrong.arg_true()))
    return split | (wrong & broken)


def contradicts_itself(rows: pl.DataFrame) -> pl.Series:
    """Rows whose low is not the least, or whose high is not the greatest, of their prices."""
    if not {"low_inr", "high_inr"} & set(rows.columns):
        return pl.repeat(False, rows.height, eager=True)
    prices = [name for name in ("open_inr", "high_inr", "low_inr", "close_inr") if name in rows.columns]
    least, most = pl.min_horizontal(prices), pl.max_horizontal(prices)
    wrong = [pl.col("low_inr") > least] if "low_inr" in rows.columns else []
    wrong += [pl.col("high_inr") < most] if "high_inr" in rows.columns else []
    return rows.select(pl.any_horizontal(wrong).fill_null(False).alias("wrong")).to_series()


def with_units(
    rows: pl.DataFrame, layout: Layout, file: str, lines: pl.Series
) -> tuple[pl.DataFrame, float, list[Problem]]:
    """Whole shares and rupees of turnover, in the unit that the header says or the rows show."""
    problems = []
    if "volume_shares" in rows.columns and rows["volume_shares"].dtype != pl.Int64:
        volume = rows["volume_shares"]
        if layout.volume_scale != 1.0:
            volume = (volume * layout.volume_scale).round(6)
        whole = pl.select(pl.when(volume.round() == volume).then(volume)).to_series().cast(pl.Int64, strict=False)
        broken = volume.is_not_null() & whole.is_null()
        if broken.any():
            what = f"{broken.sum()} volumes are no whole number of shares and are left empty, first"
            said = volume.cast(pl.String)
            problems.append(problem_of("unparsable", file, broken, said, lines, what, "give shares, not a fraction"))
        rows = rows.with_columns(whole.alias("volume_shares"))
    scale = layout.turnover_scale
    if "turnover_inr" in rows.columns:
        scale, more = turnover_unit(rows, layout, file)
        problems += more
        if scale != 1.0:
            rows = rows.with_columns((pl.col("turnover_inr") * scale).round(2))
    return rows, scale, problems


def turnover_unit(rows: pl.DataFrame, layout: Layout, file: str) -> tuple[float, list[Problem]]:
    """Rupees in the unit of the turnover.

    The header's unit, or what is usual in the format, must agree with shares times price in half of the rows; where it
    does not, the unit that does is taken and said, unless the header states its own.
    """
    usual, label = layout.turnover_scale, layout.column("turnover_inr")
    is_index = layout.column("index") is not None or is_index_file(file)  # of which no share was traded
    if is_index or not {"volume_shares", "close_inr"} <= set(rows.columns):
        return usual, []
    worth = pl.col("volume_shares") * pl.col("close_inr")
    ratio = rows.select((pl.col("turnover_inr") / worth).alias("ratio")).to_series()
    ratio = ratio.filter((ratio > 0.0) & ratio.is_finite())
    if not len(ratio):
        return usual, []
    agree = {unit: float((ratio * unit).is_between(1 / SAME_PRICE, SAME_PRICE).sum()) for unit in TURNOVER_UNITS}
    best = max(agree, key=lambda unit: agree[unit])
    if 2 * agree.get(usual, 0.0) >= len(ratio):
        return usual, []
    said = f"column {label}: turnover over volume is not near the close in rupees at {usual:g} rupees a unit"
    remedy = "rename the column so that its name says the unit, such as turnover_lacs"
    if 2 * agree[best] < len(ratio) or layout.unit_stated:
        return usual, [in_file("turnover_unit", file, said, remedy)]
    return best, [in_file("turnover_unit", file, f"{said}; taken at {best:g}, at which it is", remedy)]
