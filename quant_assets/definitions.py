"""The code location that workspace.yaml loads: the profile named by QUANT_PROFILE."""

from quant_assets.instance.collector import collector_paused

with collector_paused():
    from quant_assets.assembly import build_definitions
    from quant_assets.instance.env_file import read_env_file
    from quant_assets.profile import profile_from_environment

    read_env_file()
    defs = build_definitions(profile_from_environment())
