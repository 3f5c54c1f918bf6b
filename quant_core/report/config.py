"""What a reader may choose about a report."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ReportConfig:
    """What a report shows.

    Args:
        strategy: the one in detail; empty for the first model's top-n book.
    """

    strategy: str = ""
