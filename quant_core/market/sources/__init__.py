"""Where raw daily rows come from: one module a source, found by `SOURCES`; what a source is says `source`."""

from quant_core.market.problems import Problem
from quant_core.market.sources.source import SOURCES, Fetch, Source

__all__ = ["SOURCES", "Fetch", "Problem", "Source"]
