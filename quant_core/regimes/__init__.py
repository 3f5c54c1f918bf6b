"""Market regimes: what a session is like, by parameters fitted before it. One file a method in `models/`."""

from quant_core.regimes.model import METHODS, Method, MethodConfig

__all__ = ["METHODS", "Method", "MethodConfig"]
