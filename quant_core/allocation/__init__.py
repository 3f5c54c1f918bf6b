"""Deciding what to hold: strategies from prices and forecasts to target weights. Filling and accounting live in
`trading`.

A strategy is one decorated function in a module of `strategies/`; it reads rows dated on or before its decisions only.
"""

from quant_core.allocation.config import AllocationConfig
from quant_core.allocation.strategy import STRATEGIES, DecisionInputs, Strategy
from quant_core.allocation.targets import Decided, decide_all, target_weights

__all__ = ["STRATEGIES", "AllocationConfig", "Decided", "DecisionInputs", "Strategy", "decide_all", "target_weights"]
