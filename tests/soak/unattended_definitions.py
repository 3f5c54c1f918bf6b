"""The code location of the unattended lab: what `quant run` with the same settings has."""

from unattended_lab import profile

from quant_assets.assembly import build_definitions

defs = build_definitions(profile())
