"""Run configuration from the core's frozen dataclasses: one definition of every setting, shown by the launchpad.

Defaults in the launchpad are the profile's; an unknown key fails before a run starts, a bad value when the core reads
it.
"""

import types
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields
from datetime import date
from functools import cache
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

import dagster as dg
from pydantic import Field as PydanticField
from pydantic import create_model

from quant_assets.setting_values import fitting
from quant_core.errors import DataError

T = TypeVar("T")


def config_class(name: str, settings: type, preset: Mapping[str, Any]) -> type[dg.Config]:
    """A Dagster config whose fields are those of the dataclass `settings`, defaults replaced by `preset`.

    Raises:
        DataError: `preset` names a field that `settings` lacks, or holds a value that it refuses.
    """
    known = {f.name for f in fields(settings)}
    unknown = sorted(set(preset) - known)
    if unknown:
        raise DataError(f"{name}: {', '.join(unknown)} is not a setting; known: {', '.join(sorted(known))}.")
    defaults: Any = build(settings, dict(preset), name)
    hints = _types(settings)
    entries: dict[str, Any] = {
        f.name: (_plain_type(hints[f.name]), PydanticField(default=_plain(getattr(defaults, f.name))))
        for f in fields(settings)
    }
    return create_model(name, __base__=dg.Config, **entries)


def core_settings(settings: type[T], config: dg.Config) -> T:
    """The dataclass that a run's config stands for."""
    return build(settings, config.model_dump(), type(config).__name__)


def build(settings: type[T], values: dict[str, Any], where: str) -> T:
    """Construct the dataclass `settings`, each value in the type of its field: lists as tuples, ISO strings as dates.

    Raises:
        DataError: an unknown or missing setting, or a value of the wrong kind.
    """
    hints = _types(cast("Any", settings))
    known: dict[str, Field[Any]] = {f.name: f for f in fields(settings)}  # type: ignore[arg-type]
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise DataError(f"{where}: {', '.join(unknown)} is not a setting; known: {', '.join(sorted(known))}.")
    required = [
        n for n, f in known.items() if f.default is MISSING and f.default_factory is MISSING and n not in values
    ]
    if required:
        raise DataError(f"{where}: {', '.join(required)} must be given; set it in the profile or with --set or --path.")
    return settings(**{key: fitting(value, hints[key], f"{where}.{key}") for key, value in values.items()})


@cache
def _types(settings: type) -> Mapping[str, Any]:
    return get_type_hints(settings)


def _plain_type(hint: Any) -> Any:
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        inner = [arg for arg in get_args(hint) if arg is not type(None)]
        if len(inner) == 1 and len(get_args(hint)) == 2:
            return _plain_type(inner[0]) | None
        return Any
    if origin is Literal or hint is date:
        return str
    if origin in (tuple, list) or (isinstance(origin, type) and issubclass(origin, (tuple, list))):
        return list[_plain_type(get_args(hint)[0])]  # type: ignore[misc]
    if origin is not None and isinstance(origin, type) and issubclass(origin, Mapping):
        return dict[str, Any]
    return hint


def _plain(value: Any) -> Any:
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return dict(value) if isinstance(value, Mapping) else value
