"""Market regimes: one row a session and method, of what was known at its close."""

import dataframely as dy

LOW_VOL_BULL, HIGH_VOL_BULL, BEAR = "Low-Vol Bull", "High-Vol Bull", "Bear"
CRISIS, TRANSITION = "Crisis", "Transition"
#: Names of regimes, and the column of each one's probability.
REGIME_PROBABILITIES = {
    LOW_VOL_BULL: "prob_low_vol_bull",
    HIGH_VOL_BULL: "prob_high_vol_bull",
    BEAR: "prob_bear",
    CRISIS: "prob_crisis",
    TRANSITION: "prob_transition",
}
REGIME_NAMES = tuple(REGIME_PROBABILITIES)


class Regimes(dy.Schema):
    """What each method says of a session, from that session and those before it: filtered, never smoothed."""

    date = dy.Date(primary_key=True)
    method = dy.String(primary_key=True)
    fold = dy.String()
    fit_end = dy.Date()  # last session that the parameters know
    regime = dy.String()  # the most probable name; of equals the first of REGIME_NAMES
    state = dy.Int32()  # the most probable state: 0 has the lowest volatility of its method and fold
    prob_low_vol_bull = dy.Float64()
    prob_high_vol_bull = dy.Float64()
    prob_bear = dy.Float64()
    prob_crisis = dy.Float64()
    prob_transition = dy.Float64()
    entropy = dy.Float64()  # of the five probabilities, in nats: 0 is certain, ln 5 knows nothing
    sessions_in_regime = dy.Int32()  # unbroken sessions of `regime` so far, this one included


class RegimeHistory(dy.Schema):
    """The fit window in hindsight, for charts: smoothed regimes know what came after. No asset reads this table."""

    date = dy.Date(primary_key=True)
    method = dy.String(primary_key=True)
    filtered_regime = dy.String()
    smoothed_regime = dy.String()
    filtered_crisis = dy.Float64()  # probability
    smoothed_crisis = dy.Float64()


class RegimeBooks(dy.Schema):
    """Which book a fold holds in which regime, chosen on its fit window, and what each candidate did there."""

    fold = dy.String(primary_key=True)
    regime = dy.String(primary_key=True)
    strategy = dy.String(primary_key=True)
    fit_end = dy.Date()  # last session whose returns were counted
    n_sessions = dy.Int32()
    sharpe_ann = dy.Float64(nullable=True)  # net of costs, of the regime's sessions; null where there are too few
    is_chosen = dy.Bool()  # one a fold and regime
