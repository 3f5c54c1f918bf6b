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


class RegimeRecall(dy.Schema):
    """What a method said in a window of market stress that lies wholly within its sessions."""

    method = dy.String(primary_key=True)
    window = dy.String(primary_key=True)
    first_date = dy.Date()  # first session of the window
    last_date = dy.Date()
    happened = dy.String()
    n_sessions = dy.Int32()
    crisis_share = dy.Float64()  # of the window's sessions
    crisis_or_bear_share = dy.Float64()
    delay_sessions = dy.Int32(nullable=True)  # from the first session to the first Crisis; null where there is none


class RegimeAlarms(dy.Schema):
    """An unbroken run of Crisis, and what the index did after the close at which it was known."""

    method = dy.String(primary_key=True)
    first_date = dy.Date(primary_key=True)
    n_sessions = dy.Int32()
    window = dy.String(nullable=True)  # of stress, in which it begins
    worst_return_63d = dy.Float64(nullable=True)  # lowest close of the next 63 sessions over its first close, less 1
    is_false = dy.Bool(nullable=True)  # null where fewer than 63 sessions followed, or its beginning was not seen


class RegimeStatistics(dy.Schema):
    """The sessions that a method calls by a name; returns are those of the session after the label."""

    method = dy.String(primary_key=True)
    regime = dy.String(primary_key=True)
    n_sessions = dy.Int32()
    session_share = dy.Float64()  # of the method's sessions
    return_ann = dy.Float64(nullable=True)
    volatility_ann = dy.Float64(nullable=True)
    max_drawdown = dy.Float64(nullable=True)  # of these sessions put one after the other
    n_spells = dy.Int32()  # unbroken runs
    mean_duration_sessions = dy.Float64()


class RegimeSummary(dy.Schema):
    """One row a method: how often it says Crisis, how often it changes its mind, how often it is wrong."""

    method = dy.String(primary_key=True)
    n_sessions = dy.Int32()
    crisis_share = dy.Float64()
    switches_ann = dy.Float64(nullable=True)  # sessions with another name than the one before, a year
    n_crisis_spells = dy.Int32()
    n_false_alarms = dy.Int32()
    false_alarms_ann = dy.Float64(nullable=True)
    is_crisis_worst = dy.Bool(nullable=True)  # Crisis has the highest volatility and the worst drawdown of its names


class RegimeAgreement(dy.Schema):
    """How alike two methods divide the sessions that both label."""

    method = dy.String(primary_key=True)
    other = dy.String(primary_key=True)
    n_sessions = dy.Int32()
    equal_share = dy.Float64()  # sessions with the same name
    adjusted_rand = dy.Float64()  # 1 the same partition, 0 what chance gives


class RegimeStability(dy.Schema):
    """What the model of one fold and that of the fold before it say of the sessions that both were fitted on."""

    method = dy.String(primary_key=True)
    fold = dy.String(primary_key=True)
    previous_fold = dy.String()
    n_sessions = dy.Int32()
    equal_share = dy.Float64(nullable=True)  # sessions with the same name
    n_states = dy.Int32()
    n_states_before = dy.Int32()
    names_kept_share = dy.Float64()  # states of the fold before whose counterpart has the same name
