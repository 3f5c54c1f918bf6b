"""The smallest profile in which every stage runs and every kind of model is fitted once a fold."""

import json
import os

from quant_assets.commands.terminal import parse_settings
from quant_assets.profile import Profile, load_profile, source_override

PRICES_VARIABLE = "UNATTENDED_PRICES"
PROFILE = "demo_files"
BRIEF_PPO = {
    "total_steps": 128, "eval_every": 64, "n_steps": 64, "n_envs": 2, "batch_size": 32, "n_epochs": 1, "n_seeds": 1,
    "training_years": 2, "episode_decisions": 12,
}  # fmt: skip
PRESETS = {
    "features": {
        "names": ["log_returns", "realized_volatility", "momentum"], "windows": [1, 5, 21], "zscore_lookback": 21,
        "min_history_sessions": 60,
    },
    "forecaster_ridge": {"horizon_sessions": 5, "importance_dates": 5},
    "target_weights": {"rebalance": "weekly", "lookback_sessions": 60, "momentum_sessions": 60},
    "backtest": {"cost_model": "flat", "commission_bps": 20, "risk_free_rate_ann": 0.0, "capital_levels_inr": [1e7]},
    "regime_model": {"min_sessions": 200},
    "rl_policy_ppo": BRIEF_PPO,
}  # fmt: skip
ENTRIES = {
    "start": "2016-06", "first_fold": 2018, "train_years": 1, "universe": "nifty50", "models": ["ridge"],
    "regimes": ["gmm"], "regime_method": "gmm", "agents": ["ppo"], "strategies": ["equal_weight", "buffered"],
    "presets": PRESETS,
}  # fmt: skip


def settings() -> list[str]:
    """As `--set` of a command takes them."""
    return [
        f"profile.{name}={value if isinstance(value, str) else json.dumps(value)}" for name, value in ENTRIES.items()
    ]


def command(prices: str, *more: str) -> list[str]:
    """Arguments of `quant run` on this profile."""
    pairs = [part for setting in settings() for part in ("--set", setting)]
    return ["run", "--profile", "demo", "--source", "files", "--path", prices, *pairs, *more]


def profile() -> Profile:
    """What `command` runs, for the prices that the environment names."""
    return load_profile("demo", source_override("files", os.environ[PRICES_VARIABLE]) | parse_settings(settings())[1])
