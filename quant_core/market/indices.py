"""Indices by the names that people's files give them: NIFTY 50, Nifty_50 and NSEI are all ^NSEI.

A source with names of a person's own (files) is asked for every spelling; what it finds is put under the lab's name.
What a folder calls an index is never a share.
"""

import re
from collections.abc import Sequence
from itertools import product

import polars as pl

from quant_core.market.sources.source import Fetch, Problem
from quant_core.schema import INDEX

#: The lab's name -> others that it goes by, in capitals with blanks. NSE called its indices CNX until November 2015.
ALIASES = {
    "^NSEI": ("NIFTY 50", "NIFTY", "NSEI", "CNX NIFTY", "NIFTY 50 INDEX", "NIFTY INDEX", "NIFTY 50 PRICE"),
    "NIFTY 50 TRI": (
        "NIFTY 50 TR", "NIFTY TRI", "NIFTY 50 TOTAL RETURN", "NIFTY 50 TOTAL RETURNS", "NIFTY 50 TOTAL RETURNS INDEX",
        "NIFTY 50 TOTAL RETURN INDEX", "NIFTY 50 TRI INDEX",
    ),
    "INDIA VIX": ("^INDIAVIX", "VIX", "NIFTY VIX", "INDIA VIX INDEX"),
    "^CRSLDX": ("NIFTY 500", "CNX 500", "NIFTY 500 INDEX"),
    "NIFTY 500 TRI": ("NIFTY 500 TR", "NIFTY 500 TOTAL RETURN", "NIFTY 500 TOTAL RETURNS INDEX"),
}  # fmt: skip
_LETTERS = re.compile(r"[^a-z0-9]")
_NAMED = {
    _LETTERS.sub("", name.lower()): index for index, others in ALIASES.items() for name in (index, *others)
}  # fmt: skip


def index_called(name: str) -> str | None:
    """The lab's name of the index that a file calls `name`, whatever its case, blanks and dashes; None for a stock."""
    return _NAMED.get(_LETTERS.sub("", name.lower()))


def with_spellings(tickers: Sequence[str]) -> list[str]:
    """`tickers` and every other spelling of the indices among them, sorted."""
    names = [name for ticker in tickers for name in (ticker, *ALIASES.get(ticker, ())) if ticker in ALIASES]
    divided = [name.replace(" ", divider) for name, divider in product(names, (" ", "", "_", "-"))]
    return sorted({*tickers, *(same for name in divided for same in (name, name.upper(), name.lower(), name.title()))})


def under_lab_names(fetched: Fetch) -> Fetch:
    """What was fetched with its indices under the lab's names, as index rows; where one has several, the lab's wins.

    Volume and turnover of a renamed index are left out: their units differ between vendors.
    """
    found = fetched.rows["ticker"].unique().sort().to_list()
    renamed = {name: index for name in found if (index := index_called(name)) not in (None, name)}
    rows = _renamed(fetched.rows, renamed) if renamed else fetched.rows
    present, problems = set(rows["ticker"].unique().to_list()), []
    for problem in fetched.problems:
        index = index_called(problem.ticker)
        is_silly = problem.kind == "no_rows" and index is not None and (problem.ticker != index or index in present)
        if not is_silly:
            problems.append(problem)
    lost = fetched.rows.height - rows.height
    problems += [Problem(index, "index_name", f"rows called {name} are the index {index}") for name, index in
                 renamed.items()]  # fmt: skip
    if lost:
        problems.append(Problem("", "index_twice", f"{lost} rows of an index that the data has under another name too"))
    return Fetch(rows, tuple(problems))


def _renamed(rows: pl.DataFrame, names: dict[str, str]) -> pl.DataFrame:
    is_renamed = pl.col("ticker").is_in(list(names))
    nothing = {"volume_shares": None, "turnover_inr": None, "dividend_inr": 0.0, "price_factor": 1.0}
    changed = rows.with_columns(
        pl.when(is_renamed).then(pl.lit(value)).otherwise(pl.col(name)).cast(rows.schema[name]).alias(name)
        for name, value in {**nothing, "instrument": INDEX}.items()
    )
    changed = changed.with_columns(_own=~is_renamed, _called=pl.col("ticker"), ticker=pl.col("ticker").replace(names))
    ranked = changed.with_columns(_rank=pl.struct(~pl.col("_own"), "_called").rank("dense").over("date", "ticker"))
    is_stock = ~pl.col("ticker").is_in(list(names.values()))
    kept = ranked.filter(is_stock | (pl.col("_rank") == 1)).drop("_own", "_called", "_rank")
    return kept.sort("date", "ticker", maintain_order=True)
