"""Why trials failed, one small file each: for the leaderboard, and for the sweep that tries them again."""

import json
from collections.abc import Sequence

from upath import UPath

from quant_assets.asset_names import TRIAL
from quant_assets.experiments.trial_keys import LONGEST_KEY
from quant_assets.lab import Lab
from quant_assets.storage.partition_files import atomic_write, pointer_path, read_stamp
from quant_assets.storage.paths import SAFE_NAME, safe_name

LONGEST_REASON = 500  # characters


def failure_path(lab: Lab, key: str) -> UPath:
    """Where a trial's failure is kept."""
    return lab.root / lab.profile.name / "trial_failures" / f"{safe_name(key, 'trial')}.json"


def is_named(key: str) -> bool:
    """Whether a key, which anyone may type into the UI, can name a file."""
    return len(key) <= LONGEST_KEY and SAFE_NAME.fullmatch(key) is not None and ".." not in key


def record_failure(lab: Lab, key: str, error: BaseException) -> None:
    """Keep why a trial failed; nothing where its key is no file's name."""
    told = " ".join(str(error).split()) or type(error).__name__
    if not is_named(key):
        return
    atomic_write(failure_path(lab, key), json.dumps({"trial": key, "reason": told[:LONGEST_REASON]}).encode())


def forget_failure(lab: Lab, key: str) -> None:
    """A trial that has finished did not fail."""
    failure_path(lab, key).unlink(missing_ok=True)


def failed_trials(lab: Lab, keys: Sequence[str]) -> dict[str, str]:
    """Trial -> why it failed, of those of `keys` that did and have not finished."""
    found = {}
    for key in (key for key in keys if is_named(key)):
        path = failure_path(lab, key)
        if path.exists() and not is_finished(lab, key):
            found[key] = str(json.loads(path.read_bytes())["reason"])
    return found


def is_finished(lab: Lab, key: str) -> bool:
    """Whether a trial's partition is stored whole, current or not."""
    return read_stamp(pointer_path(lab.root, lab.key(TRIAL), key)) is not None
