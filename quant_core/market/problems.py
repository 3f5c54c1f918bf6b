"""What a person should know about one ticker, file, line or cell, although it stops nothing by itself."""

from dataclasses import dataclass

#: Characters of a cell or a line that a message shows.
SHOWN = 60


@dataclass(frozen=True)
class Problem:
    """Something that was not read, or not taken as it stands.

    Args:
        ticker: empty where the problem belongs to a file or to the whole request.
        kind: one word, the same for every problem of the kind: `unparsable`, `ragged`.
        detail: one line: where, what was found, what was wanted, the remedy.
        file: its name; empty where no file is to blame.
        line: line of the file (or row of a Parquet file), the first of its kind; 0 where no line is to blame.
        cell: what stands there.
        remedy: what a person does about it.
    """

    ticker: str
    kind: str
    detail: str
    file: str = ""
    line: int = 0
    cell: str = ""
    remedy: str = ""


def in_file(kind: str, file: str, what: str, remedy: str, line: int = 0, cell: str | None = None) -> Problem:
    """A problem of a file whose detail is put together from its parts."""
    where = f"{shown(file)} line {line}" if line else shown(file)
    found = "" if cell is None else f" {shown(cell)!r}"
    return Problem("", kind, f"{where}: {what}{found}; {remedy}", shown(file), line, shown(cell or ""), remedy)


def shown(text: str) -> str:
    """`text` in one line of bearable length: a message must not be broken by what it quotes."""
    plain = "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text[: SHOWN * 2])
    return plain if len(plain) <= SHOWN * 2 and len(text) <= SHOWN * 2 else plain[: SHOWN * 2 - 3] + "..."
