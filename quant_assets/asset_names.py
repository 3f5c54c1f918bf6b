"""What those assets are called that more than one stage names."""

FORECASTER, FORECASTS = "forecaster_", "forecasts_"  # and a model's name
BOOK_SETTINGS = "book_settings"
REGIME_MODEL, REGIMES, REGIME_BOOKS = "regime_model", "regimes", "regime_books"
TRIAL, LEADERBOARD = "trial", "leaderboard"
POLICY, POLICY_WEIGHTS = "rl_policy_", "weights_"  # and an agent's name
TARGET_WEIGHTS, BACKTEST, SIGNALS = "target_weights", "backtest", "signals"
#: Months of which only the newest asked for is of interest: what it says of the past is the backtest's.
NEWEST_MONTH = (SIGNALS,)
