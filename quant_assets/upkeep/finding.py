"""What a check of `quant doctor` found."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One line: "ok", "note" (works, worth knowing) or "fix"."""

    level: str
    what: str
    found: str
