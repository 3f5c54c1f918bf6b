"""What may be set of price files, checked when it is made."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from quant_core.errors import DataError
from quant_core.market.reading.numbers import COMMA, POINT
from quant_core.market.reading.values import Grammar
from quant_core.market.sources._folder import (
    ACTIONS_NAME,
    AUTO,
    CHANGES_NAME,
    MEMBERSHIP_NAME,
    SECTORS_NAME,
    SideFiles,
    side_file,
)
from quant_core.schema import SPLIT_ADJUSTED, UNADJUSTED


@dataclass(frozen=True)
class FileSettings:
    """Which files hold prices, and how they are read.

    Args:
        path: a file, or a folder (its subfolders are not read).
        format: a name of `reading.columns.FORMATS`, or "auto" to go by the header.
        pattern: which files of the folder, e.g. "*.csv".
        columns: lab column -> column of the file, where the header has other names, e.g. {"close": "Last Traded"}.
        series: series that are kept where a file has them, the first winning where a name has two on a day: the
            ordinary one and those a name is moved to (NSE's BE and BZ, BSE's T: delivery only, no netting within the
            day; BSE's E). Bonds, funds and the market of small companies stay out.
        basis: "unadjusted" or "split_adjusted"; "auto" goes by the header.
        ticker_pattern: regular expression with the group `ticker`, for files named after their ticker.
        date_format: strptime format where dates are ambiguous; by default another date of the column tells whether
            03/04/2001 is 3 April, and without one it is not read.
        decimal: "point" or "comma" where numbers are ambiguous; "auto" goes by what the file shows.
        actions: corporate actions file; "auto" is corporate_actions.csv beside the prices, "none" ignores it.
        symbol_changes: "auto" is symbol_changes.csv beside the prices or one folder above, else the shipped list; with
            "none" every name stays as it is in the files.
    """

    path: str
    format: str = AUTO
    pattern: str = "*"
    columns: Mapping[str, str] | tuple[tuple[str, str], ...] | None = None
    series: tuple[str, ...] = ("EQ", "BE", "BZ", "T", "E")
    basis: str = AUTO
    ticker_pattern: str = r"^(?P<ticker>.+?)(\.NS|\.BO)?$"
    date_format: str | None = None
    decimal: str = AUTO
    actions: str = AUTO
    symbol_changes: str = AUTO

    def __post_init__(self) -> None:
        if self.basis not in (AUTO, UNADJUSTED, SPLIT_ADJUSTED):
            raise DataError(f"files: basis {self.basis!r} is none of {AUTO}, {UNADJUSTED}, {SPLIT_ADJUSTED}.")
        if self.decimal not in (AUTO, POINT, COMMA):
            raise DataError(f"files: decimal {self.decimal!r} is none of {AUTO}, {POINT}, {COMMA}.")
        _check_date_format(self.date_format)
        object.__setattr__(self, "series", tuple(self.series))
        object.__setattr__(self, "columns", tuple(dict(self.columns or ()).items()))  # hashable, for the caches
        try:
            named = re.compile(self.ticker_pattern).groupindex
        except re.error as failure:
            raise DataError(
                f"files: ticker_pattern {self.ticker_pattern!r} is no regular expression ({failure})."
            ) from None
        if "ticker" not in named:
            raise DataError(f"files: ticker_pattern {self.ticker_pattern!r} has no group (?P<ticker>...); give it one.")

    @property
    def grammar(self) -> Grammar:
        """How dates and numbers are read."""
        return Grammar(self.date_format, self.decimal)

    def side_files(self) -> SideFiles:
        """The lists beside the prices, as they read now."""
        path = Path(self.path).expanduser()
        return SideFiles(
            side_file(path, ACTIONS_NAME, self.actions, look_up=False),
            side_file(path, CHANGES_NAME, self.symbol_changes, look_up=True),
            side_file(path, MEMBERSHIP_NAME, AUTO, look_up=True),
            side_file(path, SECTORS_NAME, AUTO, look_up=True),
        )


def _check_date_format(form: str | None) -> None:
    """Raise a DataError for a format with a sign that strptime has not, or without any."""
    try:
        datetime.strptime("", form or "%d")
    except (ValueError, re.error) as failure:
        if "does not match" not in str(failure):
            raise DataError(
                f"files: date_format {form!r}: {failure}; write it as strptime does, e.g. %d/%m/%Y."
            ) from None
    if form is not None and "%" not in form:
        raise DataError(f"files: date_format {form!r} has no sign of strptime; write it as in %d/%m/%Y.")
