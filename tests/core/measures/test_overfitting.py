"""CSCV against numbers by hand, a naive loop and cases with a known answer; which histories count as one trial."""

import math
from datetime import date, timedelta
from itertools import combinations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.stats import linregress, rankdata

from quant_core.errors import DataError
from quant_core.measures import overfitting
from quant_core.measures.overfitting import (
    probability_of_backtest_overfitting,
    trials_like,
)


def noise(seed, n_sessions=160, n_strategies=8):
    return np.random.default_rng(seed).normal(0.0, 0.01, (n_sessions, n_strategies))


def naive(returns, n_blocks):
    """The definition, one split after the other: in-sample and out-of-sample Sharpe ratio of the best, logit."""
    returns = returns[len(returns) % n_blocks :]
    blocks, rows = np.split(returns, n_blocks), []
    for chosen in combinations(range(n_blocks), n_blocks // 2):
        halves = [np.vstack([blocks[k] for k in range(n_blocks) if (k in chosen) == is_in]) for is_in in (True, False)]
        inside, outside = (
            np.array([0.0 if np.ptp(x) < 1e-12 else x.mean() / x.std(ddof=1) for x in half.T]) for half in halves
        )
        best = int(np.argmax(inside.round(10)))
        share = rankdata(outside.round(10))[best] / (returns.shape[1] + 1)
        rows.append((inside[best], outside[best], math.log(share / (1.0 - share))))
    return np.array(rows).T


def naive_pbo(logits):
    return np.mean([1.0 if x < -1e-12 else 0.5 if x < 1e-12 else 0.0 for x in logits])


def assert_equals_naive(returns, n_blocks):
    found, (inside, outside, logits) = probability_of_backtest_overfitting(returns, n_blocks), naive(returns, n_blocks)
    np.testing.assert_allclose(found.sharpe_in_1d, inside, rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(found.sharpe_out_1d, outside, rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(found.logits, logits, atol=1e-9)
    assert found.pbo == pytest.approx(naive_pbo(logits))
    assert found.n_splits == math.comb(n_blocks, n_blocks // 2)
    return found


def test_two_strategies_in_two_blocks_by_hand():
    # first half: A (1, 3) has mean 2 and deviation sqrt 2, B (1, 1.5) mean 1.25 and deviation sqrt(1/8): B is better
    # second half: A (3, 5) has 4 / sqrt 2, B (-1, 2) has 0.5 / sqrt 4.5: A is better
    returns = np.array([[1.0, 1.0], [3.0, 1.5], [3.0, -1.0], [5.0, 2.0]]) / 100.0
    found = probability_of_backtest_overfitting(returns, n_blocks=2)
    assert found.sharpe_in_1d == pytest.approx([1.25 / math.sqrt(0.125), 4.0 / math.sqrt(2.0)])
    assert found.sharpe_out_1d == pytest.approx([0.5 / math.sqrt(4.5), 2.0 / math.sqrt(2.0)])
    assert found.logits == pytest.approx([-math.log(2.0)] * 2)  # rank 1 of 2: w = 1/3 both times
    assert found.pbo == 1.0
    assert found.n_splits == 2
    rise = 2.0 / math.sqrt(2.0) - 0.5 / math.sqrt(4.5)
    assert found.degradation_slope == pytest.approx(rise / (4.0 / math.sqrt(2.0) - 1.25 / math.sqrt(0.125)))
    assert found.loss_probability == 0.0


@pytest.mark.parametrize(("n_strategies", "n_blocks"), [(2, 2), (3, 6), (8, 10), (11, 8)])
def test_block_sums_give_what_a_loop_over_the_splits_gives(n_strategies, n_blocks):
    returns = noise(n_strategies, 163, n_strategies) + np.linspace(-0.003, 0.003, n_strategies)
    found = assert_equals_naive(returns, n_blocks)
    line = linregress(found.sharpe_in_1d, found.sharpe_out_1d)
    assert found.degradation_slope == pytest.approx(line.slope, rel=1e-9)
    assert found.loss_probability == (found.sharpe_out_1d < 0.0).mean()


@settings(max_examples=60, deadline=None)
@given(hnp.arrays(np.float64, (17, 4), elements=st.sampled_from([-0.02, -0.01, 0.0, 0.0, 0.01, 0.03])))
def test_ties_and_flat_halves_follow_the_definition(returns):
    assert_equals_naive(returns, 4)


def test_working_in_chunks_changes_nothing(monkeypatch):
    whole = probability_of_backtest_overfitting(noise(1), 8)
    monkeypatch.setattr(overfitting, "CHUNK_CELLS", 50)
    parts = probability_of_backtest_overfitting(noise(1), 8)
    np.testing.assert_allclose(parts.logits, whole.logits, rtol=1e-12)
    assert parts.pbo == whole.pbo


@pytest.mark.parametrize("n_strategies", [5, 20])
def test_choosing_among_noise_is_a_coin_flip(n_strategies):
    found = [probability_of_backtest_overfitting(noise(seed, 320, n_strategies), 8).pbo for seed in range(400)]
    assert np.mean(found) == pytest.approx(0.5, abs=0.03)


def test_a_strategy_that_is_truly_better_is_not_overfit():
    returns = noise(2, 1600, 10)
    returns[:, 3] += 0.005  # a Sharpe ratio of 8 a year
    found = probability_of_backtest_overfitting(returns)
    assert found.pbo == 0.0
    assert found.n_splits == 12_870
    assert found.loss_probability == 0.0
    assert found.logits == pytest.approx(math.log(10.0))  # rank 10 of 10 in every split: w = 10/11


def test_strategies_that_all_earned_nothing_in_total_lose_out_of_sample_what_they_won_in_sample():
    returns = noise(3, 1600, 10)
    found = probability_of_backtest_overfitting(returns - returns.mean(axis=0))
    assert found.pbo > 0.99
    assert found.loss_probability > 0.999
    assert found.degradation_slope == pytest.approx(-1.0, abs=0.05)


def test_the_oldest_rows_are_dropped_where_blocks_do_not_fit():
    returns = noise(4, 163)
    found = probability_of_backtest_overfitting(returns, 16)
    np.testing.assert_array_equal(found.logits, probability_of_backtest_overfitting(returns[3:], 16).logits)


def test_choosing_among_equals_is_a_coin_flip_whatever_their_number():
    for n_strategies in (2, 3, 7):
        same = np.repeat(noise(5, 160, 1), n_strategies, axis=1)
        found = probability_of_backtest_overfitting(same, 8)
        assert found.pbo == 0.5
        assert found.logits == pytest.approx(0.0, abs=1e-12)


def test_a_strategy_in_cash_scores_zero_and_wins_against_losers():
    returns = noise(6, 1600, 4) * 0.1 - 0.001
    returns[:, 2] = 0.0
    found = probability_of_backtest_overfitting(returns)
    assert (found.sharpe_in_1d == 0.0).all()
    assert (found.sharpe_out_1d == 0.0).all()
    assert found.pbo == 0.0
    assert found.loss_probability == 0.0
    assert math.isnan(found.degradation_slope)


def test_a_half_in_cash_is_flat_in_spite_of_the_gains_of_the_other_half():
    loser = np.tile([-0.01, 0.005], 50)
    for seed in range(50):
        late = np.zeros(100)
        late[50:] = 0.01 + noise(seed, 50, 1)[:, 0]
        found = probability_of_backtest_overfitting(np.column_stack([late, loser]), 2)
        assert found.sharpe_in_1d[0] == 0.0
        assert found.sharpe_out_1d[0] == pytest.approx(late[50:].mean() / late[50:].std(ddof=1))


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), order=st.permutations(range(8)), stake=st.floats(0.1, 10.0))
def test_neither_the_order_of_strategies_nor_their_stakes_matter(seed, order, stake):
    returns = noise(seed, 80)
    scale = np.ones(8)
    scale[0] = stake
    before, after = (
        probability_of_backtest_overfitting(x, 6) for x in (returns, (returns * scale)[:, np.array(order)])
    )
    assert after.pbo == before.pbo
    np.testing.assert_allclose(after.sharpe_in_1d, before.sharpe_in_1d, rtol=1e-9)


@pytest.mark.parametrize(
    ("returns", "n_blocks", "message"),
    [
        (noise(1, 160, 1), 16, "1 strategies"),
        (noise(1)[:, 0], 16, "wanted 2 axes"),
        (noise(1), 7, "7 blocks"),
        (noise(1), 0, "0 blocks"),
        (noise(1), 22, "22 blocks"),
        (noise(1, 31), 16, "16 blocks of 31 sessions"),
        (np.where(noise(1) > 0.02, np.nan, noise(1)), 16, "is nan"),
    ],
)
def test_what_cannot_be_split_is_refused(returns, n_blocks, message):
    with pytest.raises(DataError, match=message):
        probability_of_backtest_overfitting(returns, n_blocks)


START = date(2020, 1, 1)
BET = np.random.default_rng(11).normal(0.0005, 0.01, 500)
OTHER_BET = np.random.default_rng(12).normal(0.0005, 0.01, 500)


def history(returns, start=0, trial=None):
    days = [START + timedelta(days=start + k) for k in range(len(returns))]
    table = pl.DataFrame({"date": days, "simple_return_1d": np.asarray(returns, dtype=np.float64)})
    return table if trial is None else table.with_columns(pl.lit(trial).alias("trial"))


REPEATS = {
    "a rerun": history(BET),
    "a longer run": history(np.concatenate([BET, OTHER_BET])),
    "a run that starts later and first buys its holdings": history(
        np.concatenate([[0.0, -0.004], BET[102:]]), start=100
    ),
    "a cost assumption": history(BET - np.where(np.arange(500) % 21 == 0, 0.0004, 0.0)),
    "a yearly fee": history(BET - 0.0001),
    "a restated price of one holding of fifty": history(BET + np.where(np.arange(500) == 250, 0.002, 0.0)),
}
OTHERS = {
    "another rule": history(OTHER_BET),
    "twice the stake": history(2.0 * BET),
    "the opposite bet": history(-BET),
    "two per cent of another bet": history(0.98 * BET + 0.02 * OTHER_BET),
    "cash": history(np.full(500, 0.0002)),
    "too few common sessions": history(BET[441:], start=441),
    "the same bet on other days": history(BET, start=500),
}


def same_history(one, other):
    return bool(trials_like(one, other.with_columns(trial=pl.lit("other"))))


@pytest.mark.parametrize("name", REPEATS)
def test_the_same_bet_again_is_no_new_trial(name):
    assert same_history(history(BET), REPEATS[name])
    assert same_history(REPEATS[name], history(BET))


@pytest.mark.parametrize("name", OTHERS)
def test_a_different_bet_is_a_new_trial(name):
    assert not same_history(history(BET), OTHERS[name])
    assert not same_history(OTHERS[name], history(BET))


@pytest.mark.parametrize(("share", "is_same"), [(0.0099, True), (0.0101, False)])
def test_the_limit_is_one_per_cent_of_the_deviation(share, is_same):
    # the second series is uncorrelated with the first and has the same deviation on the settled sessions
    bet = BET - BET[5:].mean()
    other = OTHER_BET - OTHER_BET[5:].mean()
    other = other - bet * (other[5:] @ bet[5:]) / (bet[5:] @ bet[5:])
    other = other * bet[5:].std() / other[5:].std()
    assert same_history(history(bet), history(bet + share * other)) is is_same


def test_sixty_settled_common_sessions_are_enough():
    assert same_history(history(BET), history(BET[435:], start=435))
    assert not same_history(history(BET), history(BET[436:], start=436))


def test_two_accounts_in_cash_are_one_trial():
    # returns as a ledger computes them, constant but for rounding
    small, large = (capital * 1.0002 ** np.arange(301) for capital in (3.3e6, 1e7))
    assert same_history(history(small[1:] / small[:-1] - 1.0), history(large[1:] / large[:-1] - 1.0))


def test_one_history_against_many_names_the_repeats_in_order():
    named = REPEATS | OTHERS
    trials = pl.concat([named[name].with_columns(pl.lit(name).alias("trial")) for name in reversed(named)])
    assert trials_like(history(BET), trials) == list(reversed(REPEATS))
    assert trials_like(history(BET[:0]), trials) == []


def test_every_pair_agrees_with_a_comparison_of_common_sessions_one_by_one():
    rng = np.random.default_rng(13)
    trials = {}
    for k in range(12):
        start, stop = int(rng.integers(0, 300)), int(rng.integers(350, 500))
        trials[f"trial {k}"] = history(
            (BET if k % 2 else OTHER_BET)[start:stop] + rng.choice([0.5e-4, 1.5e-4]) * rng.normal(size=stop - start),
            start=start,
        )
    long = pl.concat([table.with_columns(pl.lit(name).alias("trial")) for name, table in trials.items()])
    seen = 0
    for one in trials.values():
        expected = []
        for name, other in trials.items():
            pair = one[5:].join(other[5:], on="date")
            gap = (pair["simple_return_1d"] - pair["simple_return_1d_right"]).std()
            limit = 0.01 * min(pair["simple_return_1d"].std(), pair["simple_return_1d_right"].std())
            if len(pair) >= 60 and gap <= limit:
                expected.append(name)
        seen += len(expected)
        assert trials_like(one, long) == expected
    assert 12 < seen < 72  # more than each with itself, fewer than all of one kind


def test_trials_with_a_missing_return_or_a_repeated_session_are_refused():
    with pytest.raises(DataError, match="is nan"):
        same_history(history(BET), history([0.1, math.nan]))
    with pytest.raises(DataError, match="is there twice"):
        trials_like(history(BET), pl.concat([history(BET, trial="rerun"), history(BET, trial="rerun")]))
