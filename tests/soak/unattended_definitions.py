"""The code location of the unattended lab: what `quant run` with the same settings has, every run in one process."""

import dagster as dg
from unattended_lab import profile

from quant_assets.assembly import build_definitions

defs = dg.Definitions.merge(build_definitions(profile()), dg.Definitions(executor=dg.in_process_executor))
