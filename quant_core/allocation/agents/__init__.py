"""Learning allocators: one module an agent, registered by its decorator.

The registry is what `quant list agents` prints.
"""

from typing import Any

from quant_core.registry import Registry

AGENTS: Registry[Any] = Registry("agent", "quant_core.allocation.agents")
