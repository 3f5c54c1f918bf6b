"""What a trial's key says: one variant of forecaster, book and their settings, as `name=value` divided by commas.

A key is the name of a dynamic partition, of a file and of an MLflow run, so that it is readable and safe in all three:
`forecaster=ridge,horizon=5,seed=0,top_n=10`. Names are checked against the settings classes, values against their
types, before anything runs. What a trial does is in `trial_work`.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import product
from typing import Any

from quant_assets.config import build
from quant_assets.lab import Lab
from quant_assets.setting_values import from_yaml
from quant_core.allocation import AllocationConfig
from quant_core.allocation.book_settings import CHOSEN_BY
from quant_core.errors import DataError, UnknownName
from quant_core.forecasting import MODELS, Model
from quant_core.forecasting.search import SPACES

FORECASTER, HORIZON, SEED, BOOK, OPTUNA = "forecaster", "horizon", "seed", "book", "optuna"
#: In this order they stand in a key; the settings follow, by name.
FIRST = (FORECASTER, HORIZON, SEED, BOOK, OPTUNA)
#: Books that follow one model's scores.
BOOKS = ("top_n", *CHOSEN_BY)
#: Settings that are the trial's own business, or the profile's.
NOT_TRIED = frozenset({"strategies", "book_models", "index_ticker", "regime_method", "horizon_sessions"})
NAME, VALUE = re.compile(r"[a-z][a-z0-9_]*"), re.compile(r"-?[A-Za-z0-9][A-Za-z0-9._-]*")
RANGE = re.compile(r"(-?\d{1,9})\.\.(-?\d{1,9})")
#: A file's name has 255 characters, of which hashes and endings take some.
LONGEST_KEY = 160
#: A grid of more is a slip of the keyboard; each trial raises the hurdle for all others.
MOST_TRIALS, MOST_TRIES = 1000, 1000
FORM = "write NAME=VALUE divided by commas, e.g. forecaster=ridge,horizon=5,seed=0"


@dataclass(frozen=True)
class Variant:
    """What a key stands for.

    Args:
        key: in its one spelling.
        model: registered name of the forecaster.
        forecaster: its settings, as the profile and the key have them.
        book: kind of book that follows its scores.
        allocation: settings of that book.
        changed: asset -> settings that the key changes, for the register and for a promotion.
        tries: settings that Optuna tries in each fold's fit window; 0 for none.
    """

    key: str
    model: str
    forecaster: Any
    book: str
    allocation: AllocationConfig
    changed: Mapping[str, Mapping[str, Any]]
    tries: int = 0

    @property
    def entry(self) -> Model:
        """The forecaster as the registry knows it."""
        return MODELS[self.model]


def variant_of(lab: Lab, key: str) -> Variant:
    """The variant of a key.

    Raises:
        DataError: not of the form, a setting that neither forecaster nor book has, a value that it refuses, or another
            spelling than the one that the error tells.
    """
    given = entries_of(key)
    if FORECASTER not in given:
        raise DataError(f"trial {key!r}: no {FORECASTER}; name one of {', '.join(models_of(lab))}, as {FORECASTER}=.")
    spelled = spelling(given)
    if spelled != key:
        raise DataError(f"trial {key!r}: entries are out of order; write {spelled!r}.")
    where = f"trial {key}"
    model = given[FORECASTER]
    if model not in models_of(lab):
        raise UnknownName(f"{where}: {FORECASTER}", model, models_of(lab))
    changed = _sorted_out(given, model, where)
    settings = lab.settings(f"forecaster_{model}") | changed[f"forecaster_{model}"]
    forecaster = build(MODELS[model].config_class, settings, f"{where}: forecaster_{model}")
    _check_horizon(lab, forecaster.horizon_sessions, where)
    book = given.get(BOOK, BOOKS[0])
    if book not in BOOKS:
        raise UnknownName(f"{where}: {BOOK}", book, BOOKS)
    limits = build(AllocationConfig, lab.settings("target_weights") | changed["target_weights"], where)
    limits = replace(limits, strategies=(book,), book_models=(model,))
    return Variant(key, model, forecaster, book, limits, changed, _tries(given.get(OPTUNA, "0"), model, where))


def entries_of(key: str) -> dict[str, str]:
    """Name -> value of a key's entries, in its order.

    Raises:
        DataError: not of the form, too long, or a name that is there twice.
    """
    if not 0 < len(key) <= LONGEST_KEY:
        raise DataError(f"trial {key[:40]!r}: {len(key)} characters; wanted 1 to {LONGEST_KEY}.")
    found: dict[str, str] = {}
    for part in key.split(","):
        name, equals, value = part.partition("=")
        if not (equals and NAME.fullmatch(name) and VALUE.fullmatch(value)) or ".." in value:
            raise DataError(f"trial {key!r}: {part!r} is no setting; {FORM}.")
        if name in found:
            raise DataError(f"trial {key!r}: {name} is there twice; give it once.")
        found[name] = value
    return found


def spelling(given: Mapping[str, str]) -> str:
    """The one spelling of a key: what every trial has first, then its settings by name."""
    names = [*(name for name in FIRST if name in given), *sorted(set(given) - set(FIRST))]
    return ",".join(f"{name}={given[name]}" for name in names)


def grid_keys(words: Sequence[str]) -> list[str]:
    """Keys of every combination of `NAME=V1,V2` and `NAME=FIRST..LAST`, the last word varying fastest.

    Raises:
        DataError: a word that is not of the form, a name that is there twice, more than MOST_TRIALS combinations.
    """
    axes: dict[str, list[str]] = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not (equals and NAME.fullmatch(name)):
            raise DataError(f"quant sweep: {word!r} is no setting; write NAME=V1,V2 or NAME=0..2, e.g. horizon=1,5.")
        if name in axes:
            raise DataError(f"quant sweep: {name} is there twice; give all its values in one word.")
        axes[name] = list(dict.fromkeys(_values(name, text)))
    n_trials = 1
    for values in axes.values():
        n_trials *= len(values)
    if n_trials > MOST_TRIALS:
        raise DataError(f"quant sweep: {n_trials:,} combinations; wanted at most {MOST_TRIALS:,}: sweep fewer values.")
    return [spelling(dict(zip(axes, values, strict=True))) for values in product(*axes.values())] if axes else []


def models_of(lab: Lab) -> list[str]:
    """Forecasters that a trial may train: those that are registered and need nothing that the profile lacks."""
    return [name for name in MODELS if lab.has_encoder or not MODELS[name].needs_encoder]


def wants_gpu(lab: Lab) -> bool:
    """Whether one of the profile's forecasters fits faster on an accelerator: trials then wait for it like all fits."""
    return any(MODELS[name].resources.gpu for name in lab.models)


def _values(name: str, text: str) -> Iterator[str]:
    for part in text.split(","):
        if span := RANGE.fullmatch(part):
            first, last = int(span[1]), int(span[2])
            if not first <= last < first + MOST_TRIALS:
                raise DataError(f"quant sweep: {name}={part}: wanted at most {MOST_TRIALS:,} numbers, FIRST..LAST.")
            yield from map(str, range(first, last + 1))
        elif VALUE.fullmatch(part) and ".." not in part:
            yield part
        else:
            raise DataError(f"quant sweep: {name}: {part!r} is no value; give V1,V2 or FIRST..LAST, e.g. {name}=0..2.")


def _sorted_out(given: Mapping[str, str], model: str, where: str) -> dict[str, dict[str, Any]]:
    """Asset -> settings that the key gives it."""
    asset = f"forecaster_{model}"
    found: dict[str, dict[str, Any]] = {asset: {}, "target_weights": {}}
    own = {f.name for f in fields(MODELS[model].config_class)} - NOT_TRIED
    books = {f.name for f in fields(AllocationConfig)} - NOT_TRIED - own
    for name, text in given.items():
        if name == HORIZON:
            found[asset]["horizon_sessions"] = from_yaml(text)
        elif name in own:
            found[asset][name] = from_yaml(text)
        elif name in books:
            found["target_weights"][name] = from_yaml(text)
        elif name not in (FORECASTER, BOOK, OPTUNA):
            raise UnknownName(f"{where}: setting", name, sorted({*FIRST, *own, *books}))
    return found


def _check_horizon(lab: Lab, horizon: int, where: str) -> None:
    known = lab.defaults("training_window").horizons_sessions
    if horizon not in known:
        raise DataError(
            f"{where}: no label over {horizon} sessions (there are {list(known)}); choose one of them, or add it to "
            "training_window.horizons_sessions in the profile's presets."
        )


def _tries(text: str, model: str, where: str) -> int:
    if not text.isdecimal() or not int(text) <= MOST_TRIES:
        raise DataError(f"{where}: {OPTUNA} is {text}; wanted a number of tries a fold from 0 to {MOST_TRIES}.")
    if int(text) and model not in SPACES:
        raise DataError(f"{where}: {OPTUNA} knows no settings of {model} to try; it does of {', '.join(SPACES)}.")
    return int(text)
