"""Every error that the lab raises on purpose.

A message says where, what was found, what was wanted and the remedy, so that the reader of a log can act on it.
"""


class QuantError(Exception):
    """Base of the lab's own errors; anything else that escapes is a bug."""


class DataError(QuantError):
    """A table, file, partition or setting is not what its contract says."""


class LookaheadError(QuantError):
    """A value would be used before the moment at which it was known."""


class SourceError(QuantError):
    """A vendor could not be reached or answered with something unusable; a later try may succeed."""


class UnknownName(QuantError):
    """A name is in no registry, preset or universe; the message lists those that are."""

    def __init__(self, kind: str, name: str, known: list[str] | tuple[str, ...]) -> None:
        super().__init__(f"{kind} {name!r} is unknown; known: {', '.join(sorted(known)) or 'none'}.")
