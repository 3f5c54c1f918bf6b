"""A value from YAML, a command line or the launchpad, in the type that a setting has; anything else is refused by name.

What a setting may be is its annotation: a whole number, a number, true or false, text, a day, one of a few words, a
list, a mapping, or null where the annotation says so. The ranges of numbers are for the settings classes to judge.
"""

import math
import types
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from typing import Any, Literal, Union, get_args, get_origin

import yaml

from quant_core.errors import DataError

LONGEST_SHOWN = 60  # characters of a value that an error repeats
LONGEST_TEXT = 4096  # characters: the longest path that Linux takes
LARGEST = 2**63 - 1  # what tables and random generators hold


class _Misfit(Exception):
    """A value that is not what its type wants; the message is that, in words."""


def fitting(value: Any, hint: Any, where: str) -> Any:
    """`value` in the type `hint`, whole numbers as floats and lists as tuples where it wants those.

    Args:
        hint: an annotation of a settings class.
        where: asset and setting, for the error.
    Raises:
        DataError: it is of another kind; names the setting, the value, what is wanted and how it is written.
    """
    try:
        return _fitting(value, hint)
    except _Misfit as misfit:
        raise DataError(f"{where}: {shown(value)} is not {misfit}.") from None


def from_yaml(text: str) -> Any:
    """The value that a text of the command line stands for; the text itself where YAML takes it for a date or for none.

    Run configuration holds dates as text.
    """
    try:
        value = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError):  # ValueError: a day that no calendar has, such as 2015-13-01
        return text
    return text if isinstance(value, date) else value


def shown(value: Any) -> str:
    """A value as an error repeats it: on one line, cut where it is long."""
    try:
        text = repr(value)
    except ValueError:  # Python writes out no number of more than 4,300 digits
        return "a number of thousands of digits"
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}... ({len(text):,} characters)"


def alternatives(hint: Any) -> tuple[Any, ...]:
    """The types that an annotation allows, null among them."""
    return get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)


def _fitting(value: Any, hint: Any) -> Any:
    options = alternatives(hint)
    if value is None and type(None) in options:
        return None
    wanted = []
    for option in options:
        if option is type(None):
            continue
        try:
            return _one(value, option)
        except _Misfit as misfit:
            wanted.append(str(misfit))
    raise _Misfit(", or ".join([*wanted, *(["null"] if type(None) in options else [])]))


def _one(value: Any, kind: Any) -> Any:
    if kind in _SCALARS:
        return _SCALARS[kind](value)
    origin = get_origin(kind) or kind
    if origin is Literal:
        return _choice(value, get_args(kind))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return _mapping(value, get_args(kind))
    if isinstance(origin, type) and issubclass(origin, Sequence):
        return _sequence(value, get_args(kind))
    return value


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise _Misfit("a whole number; give one, e.g. 5")
    if abs(value) > LARGEST:
        raise _Misfit("a whole number that the lab can hold; give one of at most 18 digits")
    return value


def _number(value: Any) -> float:
    found = math.nan
    if isinstance(value, (int, float, str)) and not isinstance(value, bool):
        try:
            found = float(value)  # YAML takes 1e-3, without a point, for text
        except (ValueError, OverflowError):
            found = math.nan
    if not math.isfinite(found):
        raise _Misfit("a number; give one, e.g. 0.5")
    return found


def _truth(value: Any) -> bool:
    if not isinstance(value, bool):
        raise _Misfit("a truth value; write true or false")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise _Misfit('text; write it in quotes, e.g. "5"')
    if len(value) > LONGEST_TEXT:
        raise _Misfit(f"text of at most {LONGEST_TEXT:,} characters; shorten it")
    return value


def _day(value: Any) -> date:
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    try:
        return date.fromisoformat(value)
    except (TypeError, ValueError):
        raise _Misfit("a date; write it as YYYY-MM-DD") from None


def _choice(value: Any, known: Sequence[Any]) -> Any:
    if not any(value == one and type(value) is type(one) for one in known):
        raise _Misfit(f"one of {', '.join(map(str, known))}; choose one")
    return value


def _mapping(value: Any, arguments: Sequence[Any]) -> dict[str, Any]:
    of = arguments[1] if len(arguments) == 2 else Any
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise _Misfit("a mapping of names; write it as {name: value}")
    return {key: _fitting(item, of) for key, item in value.items()}


def _sequence(value: Any, arguments: Sequence[Any]) -> tuple[Any, ...]:
    if isinstance(value, (str, bytes)) or not isinstance(value, Sequence):
        raise _Misfit(f"a list; write it in brackets, e.g. [{_first(value)}]")
    of = [one for one in arguments if one is not Ellipsis] or [Any]
    if Ellipsis not in arguments and len(of) > 1:
        if len(of) != len(value):
            raise _Misfit(f"a list of {len(of)}; give as many")
        return tuple(_fitting(item, own) for item, own in zip(value, of, strict=True))
    try:
        return tuple(_fitting(item, of[0]) for item in value)
    except _Misfit as misfit:
        raise _Misfit(f"a list of which each is {misfit}") from None


def _first(value: Any) -> str:
    fits = isinstance(value, (str, int, float)) and len(shown(value)) <= LONGEST_SHOWN and str(value).isprintable()
    return str(value) if fits and value != "" else "1"


_SCALARS: dict[Any, Callable[[Any], Any]] = {
    int: _whole, float: _number, bool: _truth, str: _text, date: _day, Any: lambda value: value,
}  # fmt: skip
