"""`quant run --as-of DATE`: the lab again on the prices that it had stored on that day, in a place of its own.

Raw months are taken from what was stored (vintages.py), never fetched; everything after them is made anew under
`<QUANT_DATA>/.as_of/<DATE>` with an instance of its own, so that the lab's own tables stay as they are. With the code
and the settings of that day the hashes are those of that day. Lists of facts (members, actions, sectors) are those of
now; reviewed actions are those that a person had reviewed by then. The register of trials is the place's own.
"""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time
from pathlib import Path
from zoneinfo import ZoneInfo

from upath import UPath

from quant_assets.lab import Lab
from quant_assets.partitions import IST
from quant_assets.profile import Profile
from quant_assets.storage.partition_files import atomic_write, table_path, write_table
from quant_assets.storage.paths import dagster_home
from quant_assets.storage.review_log import lines_until, reviewed_path
from quant_assets.storage.vintages import first_stored, known_at
from quant_core.errors import DataError

RAW = "raw_ohlcv"
FOLDER = ".as_of"
WRITTEN = re.compile(r"\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}(:\d{2})?)?")


@dataclass(frozen=True)
class AsOf:
    """A moment, as a person wrote it."""

    text: str
    moment: datetime

    @property
    def name(self) -> str:
        """Of its folder."""
        return self.text.replace(":", "")


def as_of(text: str) -> AsOf:
    """A day (all of it, in India) or a minute of one.

    Raises:
        DataError: neither.
    """
    try:
        if not WRITTEN.fullmatch(text):
            raise ValueError
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise DataError(
            f"--as-of {text[:40]!r}: not a day; write it as YYYY-MM-DD or YYYY-MM-DDTHH:MM (IST)."
        ) from error
    if "T" not in text:
        moment = datetime.combine(moment.date(), time.max)
    return AsOf(text, moment.replace(tzinfo=ZoneInfo(IST)).astimezone(UTC))


def known_profile(profile: Profile, source_settings: dict, when: AsOf) -> Profile:
    """The profile with the months that were stored at a moment, written into the place of that moment.

    From here on the process works there: QUANT_DATA and DAGSTER_HOME are set.

    Raises:
        DataError: nothing was stored yet, or a month of the middle was not.
    """
    lab, home = Lab(profile, source_settings=source_settings), dagster_home()
    months = stored_months(lab, when)
    place = lab.root / FOLDER / when.name
    for month in months:
        known = known_at(_raw(lab, lab.root, month), when.moment)
        assert known is not None  # or it were none of the months
        write_table(_raw(lab, place, month), known, f"as of {when.text}")
    _copy_choices(lab, place, when)
    if lines := lines_until(lab.root, profile.name, when.moment):
        atomic_write(reviewed_path(place, profile.name), lines)
    os.environ["QUANT_DATA"] = str(place)
    os.environ["DAGSTER_HOME"] = str(Path(home) / FOLDER / when.name)
    return replace(profile, end=months[-1])


def _copy_choices(lab: Lab, place: UPath, when: AsOf) -> None:
    """What a person had chosen for the profile by then: the small files beside its assets (a promotion)."""
    folder = lab.root / lab.profile.name
    for path in sorted(folder.iterdir(), key=str):
        if path.suffix == ".json" and path.is_file() and path.stat().st_mtime <= when.moment.timestamp():
            atomic_write(place / lab.profile.name / path.name, path.read_bytes())


def stored_months(lab: Lab, when: AsOf) -> list[str]:
    """The profile's months up to the last one that was stored at a moment.

    Raises:
        DataError: none was, or one before the last was not.
    """
    first = {month: first_stored(_raw(lab, lab.root, month)) for month in lab.partitions.months.get_partition_keys()}
    known = [month for month, since in first.items() if since is not None and since <= when.moment]
    if not known:
        begun = [since for since in first.values() if since is not None]
        said = f"the first month was stored at {min(begun):%Y-%m-%d %H:%M} UTC" if begun else "nothing is stored"
        raise DataError(f"{lab.profile.name}/{RAW}: as of {when.text} nothing was known ({said}); give a later day.")
    months = [month for month in first if month <= known[-1]]
    _refuse_holes(lab, when, [month for month in months if month not in known])
    return months


def _refuse_holes(lab: Lab, when: AsOf, absent: Sequence[str]) -> None:
    if absent:
        more = f" and {len(absent) - 1} more up to {absent[-1]}" if len(absent) > 1 else ""
        raise DataError(
            f"{lab.profile.name}/{RAW}: {absent[0]}{more} was not stored as of {when.text}; give a later day, or a "
            "later start with --set profile.start=YYYY-MM."
        )


def _raw(lab: Lab, root: UPath, month: str) -> UPath:
    return table_path(root, lab.key(RAW), month)
