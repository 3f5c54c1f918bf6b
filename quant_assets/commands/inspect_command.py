"""`quant inspect`: what the reader makes of a file or folder of prices, file by file, each problem with its line."""

import json
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from quant_assets.config import build
from quant_core.errors import DataError
from quant_core.market.inspection import FileRead, Inspection, inspect
from quant_core.market.problems import Problem
from quant_core.market.sources.files import FilesSource

_ORDERS = {"dmy": "day first", "mdy": "month first", "ymd": "year first", "": ""}
_SIGNS = {"\t": "tab", ",": "comma", ";": "semicolon", "|": "bar"}


def inspect_path(path: str, settings: dict[str, Any]) -> Inspection:
    """What is found under the path, with the source's settings where some are given.

    Raises:
        DataError: no such path; a setting that the source has not, or of another kind than it has.
    """
    if "path" in settings:
        raise DataError("files: path is what `quant inspect` is given itself; leave out --set path.")
    return inspect(build(FilesSource, {"path": path, **settings}, "files"), datetime.now(UTC))


def as_json(found: Inspection) -> str:
    """Every field, for programs."""
    return json.dumps(asdict(found), default=str, indent=2)


def as_lines(found: Inspection) -> list[str]:
    """What a person reads: a block a file, then what all of them together give."""
    lines = [line for file in found.files for line in (*_file_lines(file), "")]
    span = f", {found.first} to {found.last}" if found.rows else ""
    lines.append(f"{found.path}: {found.rows:,} rows of {found.tickers:,} tickers would be used{span}")
    lines += [_problem_line(problem) for problem in found.problems]
    n_problems = sum(len(file.problems) for file in found.files) + len(found.problems)
    lines.append(f"{len(found.files)} files, {n_problems} problems")
    return lines


def _file_lines(file: FileRead) -> list[str]:
    lines = [f"{file.file}: {_taken_for(file)}"]
    facts = {
        "layout": _layout(file),
        "rows": _rows(file),
        "series": _counted(file.series),
        "exchange": _counted({name: n for name, n in file.exchanges.items() if name}),
        "columns": ", ".join(
            f"{column.taken_for} <- {column.column}{f' ({column.unit})' if column.unit else ''}"
            for column in file.columns
        ),
        "not read": ", ".join(file.unread),
    }
    lines += [f"  {name:<9} {text}" for name, text in facts.items() if text]
    return lines + [_problem_line(problem) for problem in file.problems]


def _taken_for(file: FileRead) -> str:
    return f"{file.taken_for}, format {file.format}, {file.basis}" if file.format else file.taken_for


def _layout(file: FileRead) -> str:
    if not file.delimiter:
        return file.encoding
    parts = [file.encoding, f"{_SIGNS[file.delimiter]} between cells", f"header on line {file.header_line}"]
    parts += [f"decimal {file.decimal}"] if file.decimal else []
    return ", ".join([*parts, f"dates {_ORDERS[file.date_order]}"] if file.date_order else parts)


def _rows(file: FileRead) -> str:
    if not file.rows:
        return "0" if file.columns else ""
    names = ", ".join(file.names) + (", ..." if file.tickers > len(file.names) else "")
    span = f", {file.first} to {file.last}" if file.first else ""
    return f"{file.rows:,}{span}; {file.tickers:,} names: {names}"


def _counted(counts: dict[str, int]) -> str:
    return ", ".join(f"{name or 'none'} {n:,}" for name, n in counts.items())


def _problem_line(problem: Problem) -> str:
    return f"  {'problem':<9} {problem.kind}: {problem.detail}"
