"""One grammar for numbers in text, wherever it stands: prices in CSV, text in Parquet, values of actions.

| written | read |
|---|---|
| 1234.5, .5, 1.5e3, +7 | as it stands |
| 1,23,456.78; 1,234,567; 1 234 567; 1'234 | grouped, the Indian or the western way |
| 1.234,56; 12,5 | with a decimal comma, where the column shows that it has one |
| (12.5), 12.5-, and every Unicode minus | below zero |
| Rs. 5, Rs 5/-, ₹5, INR 5 | rupees; another currency is no number of rupees |
| 12.5% | 0.125 |
| 1.2K, 3.4M, 1B | thousands, millions and billions, of shares only |

`1,234` is 1234 or 1.234, and `1.234` may be either too. What other cells of the column show decides, else what the
file's other numbers show, else the cell is none: it is never guessed.
"""

from dataclasses import dataclass

import polars as pl

POINT, COMMA = "point", "comma"
#: What stands for no value; never asked of an identifier.
NO_VALUE = ("", "-", "--", "na", "n/a", "#n/a", "n.a.", "nan", "null", "none", "nil", "<na>", "nat", "—", "–", "−")
_MINUS = r"[\u2212\u2010-\u2015\uFE63\uFF0D]"
_SPACES = r"[\u00A0\u2007\u2009\u202F\u2002\u2003\u2008\u200A]"
_RUPEE = r"(?:₹|rs\.?|inr)"
#: Digits in groups of three, or of two and three; S is what divides them.
_GROUPED = r"(?:[1-9]\d{0,2}(?:S\d{3})+|[1-9]\d?(?:S\d{2})+S\d{3})"
_EXPONENT = r"(?:[eE][+-]?\d{1,3})?"
#: What stands around digits, from the outside in: Rs 5/-, (5), 5-, then rupees on either side.
_SIGNS = (
    (r"\s*/-(\)?)$", "$1"),
    (r"^\(\s*([^+-].*?)\s*\)$", "-$1"),
    (r"^([^+-].*?)\s*-$", "-$1"),
    (r"\s*/-$", ""),
    (rf"(?i)^([-+]?)\s*{_RUPEE}\s*", "$1"),
    (rf"(?i)\s*{_RUPEE}$", ""),
    (r"^([+-])\s+", "$1"),
)
#: So many cells with a dot are looked at for one whose dot can only stand before decimals.
_PROOFS = 200
SUFFIXES = {"k": 1e3, "m": 1e6, "b": 1e9}


def _grouped(signs: str) -> str:
    """A pattern of digits grouped by one of the signs."""
    return "|".join(_GROUPED.replace("S", sign) for sign in signs)


_BY_POINT = rf"^[+-]?(?:\d+(?:\.\d*)?{_EXPONENT}|\.\d+{_EXPONENT}|(?:{_grouped(', ')}|{_grouped(chr(39))})(?:\.\d*)?)$"
_BY_COMMA = (
    rf"^[+-]?(?:\d+(?:,\d*)?{_EXPONENT}|,\d+{_EXPONENT}|(?:{_GROUPED.replace('S', '[.]')}|{_GROUPED.replace('S', ' ')}|"
    rf"{_GROUPED.replace('S', chr(39))})(?:,\d*)?)$"
)
#: One dot and three digits behind it: a fraction, or thousands.
_MAYBE_GROUPED = r"^[+-]?[1-9]\d{0,2}\.\d{3}$"


@dataclass(frozen=True)
class Numbers:
    """A column of text read both ways.

    by_point, by_comma: the value of each cell with either sign before the decimals, null where that is impossible.
    is_empty: cells that stand for no value.
    """

    by_point: pl.Series
    by_comma: pl.Series
    is_empty: pl.Series

    @property
    def shown(self) -> set[str]:
        """The decimal signs that the column proves."""
        return {sign for sign, found in self.proofs().items() if found.any()}

    def proofs(self) -> dict[str, pl.Series]:
        """Cells that can be read in one way only."""
        point, comma = self.by_point.is_not_null(), self.by_comma.is_not_null()
        return {POINT: point & ~comma, COMMA: comma & ~point}

    def _readings(self) -> tuple[tuple[str, pl.Series], ...]:
        return (POINT, self.by_point), (COMMA, self.by_comma)

    def decided(self, decimal: str | None, *, whole: bool = False) -> tuple[pl.Series, pl.Series]:
        """Values, and which cells are no number or may be two of them.

        Args:
            decimal: POINT or COMMA for all cells; None: cells of one meaning only.
            whole: only whole numbers make sense, so `1,234` and `1.234` have one meaning each.
        """
        if decimal is not None:
            value = self.by_point if decimal == POINT else self.by_comma
        else:
            same, one = self.by_point.eq_missing(self.by_comma), self.proofs()
            point, comma = same | one[POINT], one[COMMA]
            if whole:
                shares = {sign: (found.round() == found).fill_null(False) for sign, found in self._readings()}
                point |= shares[POINT] & ~shares[COMMA]
                comma |= shares[COMMA] & ~shares[POINT]
            value = pl.select(pl.when(point).then(self.by_point).when(comma).then(self.by_comma)).to_series()
        return value, value.is_null() & ~self.is_empty


def plain_numbers(table: pl.DataFrame) -> tuple[pl.DataFrame, str] | None:
    """All columns at once where every program would read them, and the decimal sign that they show; None where not.

    The common case, in two steps however many columns there are: each cell is a plain number, and a column with dots
    has one that can only stand before decimals.
    """
    names = table.columns
    cast = table.select(pl.all().cast(pl.Float64, strict=False))
    values = cast.select(pl.when(pl.all().is_finite()).then(pl.all()))
    both = table.rename({name: f"{name} text" for name in names}).hstack(values)
    facts = both.select(fact for name in names for fact in _plain_facts(name)).row(0, named=True)
    if any(facts[f"{name} rest"] or (facts[f"{name} dots"] and facts[f"{name} doubt"]) for name in names):
        return None
    return values, POINT if any(facts[f"{name} dots"] for name in names) else ""


def _plain_facts(name: str) -> list[pl.Expr]:
    """Whether some cell is no plain number, whether some has a dot, and whether those first with one leave a doubt."""
    text = pl.col(f"{name} text")
    dotted = text.filter(text.str.contains(".", literal=True)).head(_PROOFS)
    return [
        (text.is_not_null() & pl.col(name).is_null()).any().alias(f"{name} rest"),
        (dotted.len() > 0).alias(f"{name} dots"),
        dotted.str.contains(_MAYBE_GROUPED).all().alias(f"{name} doubt"),
    ]


def read_numbers(text: pl.Series, *, of_shares: bool = False) -> Numbers:
    """Both readings of a column of trimmed text.

    Args:
        of_shares: K, M and B behind a number are thousands, millions and billions.
    """
    plainly = text.cast(pl.Float64, strict=False)
    plainly = _finite(plainly)
    rest = text.is_not_null() & plainly.is_null()
    by_comma = _plain_by_comma(text, plainly)
    is_empty = text.is_null()
    if not rest.any():
        return Numbers(plainly, by_comma, is_empty)
    cells = text.filter(rest)
    empty = cells.str.to_lowercase().is_in(NO_VALUE)
    bare, factor = _bare(cells, of_shares)
    point, comma = _finite(_by_point(bare) * factor), _finite(_by_comma(bare) * factor)
    return Numbers(placed(plainly, rest, point), placed(by_comma, rest, comma), placed(is_empty, rest, empty))


def placed(base: pl.Series, mask: pl.Series, values: pl.Series) -> pl.Series:
    """`base` with `values` in the places that the mask marks, in order; `Series.scatter` would change copies of it."""
    place = (mask.cum_sum().cast(pl.Int64) - 1).clip(lower_bound=0)
    return pl.select(pl.when(mask).then(values.gather(place)).otherwise(base)).to_series()


def _plain_by_comma(text: pl.Series, plainly: pl.Series) -> pl.Series:
    """What plain numbers are where a comma stands before decimals: whole ones the same, `1.234` is 1234."""
    dotted = text.str.contains(".", literal=True).fill_null(False)
    if not dotted.any():
        return plainly
    cells = text.filter(dotted)
    head = cells.head(_PROOFS)
    if not head.str.contains(_MAYBE_GROUPED).all():  # a proof of points: the rest need not be looked at
        return pl.select(pl.when(~dotted).then(plainly)).to_series()
    whole = cells.str.contains(_MAYBE_GROUPED)
    grouped = cells.str.replace(".", "", literal=True).cast(pl.Float64, strict=False)
    return placed(plainly, dotted, pl.select(pl.when(whole).then(grouped)).to_series())


def _finite(values: pl.Series) -> pl.Series:
    """1e400 is no number that a computer has."""
    return pl.select(pl.when(values.is_finite()).then(values)).to_series()


def _bare(cells: pl.Series, of_shares: bool) -> tuple[pl.Series, pl.Series]:
    """Digits, signs and what groups them; and what the number is multiplied by."""
    bare = cells.str.replace_all(_MINUS, "-").str.replace_all(_SPACES, " ").str.replace_all("[’ʼ]", "'")
    for pattern, plainly in _SIGNS:
        bare = bare.str.replace(pattern, plainly)
    factor = pl.Series([1.0]).new_from_index(0, len(bare))
    percent = bare.str.ends_with("%")
    factor = factor.zip_with(~percent, factor / 100.0)
    bare = bare.str.replace(r"\s*%$", "")
    if of_shares:
        for suffix, times in SUFFIXES.items():
            has = bare.str.contains(rf"(?i)\d\s*{suffix}$")
            factor = factor.zip_with(~has, factor * times)
            bare = bare.zip_with(~has, bare.str.replace(rf"(?i)\s*{suffix}$", ""))
    return bare, factor


def _by_point(bare: pl.Series) -> pl.Series:
    digits = bare.str.replace_all("[, ']", "")
    return digits.zip_with(bare.str.contains(_BY_POINT), _none(bare)).cast(pl.Float64, strict=False)


def _by_comma(bare: pl.Series) -> pl.Series:
    digits = bare.str.replace_all("[. ']", "").str.replace(",", ".", literal=True)
    return digits.zip_with(bare.str.contains(_BY_COMMA), _none(bare)).cast(pl.Float64, strict=False)


def _none(like: pl.Series) -> pl.Series:
    return pl.repeat(None, len(like), dtype=pl.String, eager=True)


def decimal_of(own: set[str], others: set[str]) -> str | None:
    """The decimal sign of a column: what it proves itself, else what the file's other columns do; None for neither."""
    decided = own or others
    return next(iter(decided)) if len(decided) == 1 else None
