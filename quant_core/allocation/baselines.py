"""The former home of what `quant_core.allocation` exports; import from there."""

from quant_core.allocation import STRATEGIES, AllocationConfig, target_weights

__all__ = ["STRATEGIES", "AllocationConfig", "target_weights"]
