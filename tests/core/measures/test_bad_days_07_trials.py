"""Trying more never flatters: clusters, a hurdle that only rises, luck within a cluster, the benchmark beside cash."""

import math
from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quant_core.errors import DataError
from quant_core.measures.luck import (
    Luck,
    clusters,
    expected_max_sharpe,
    highest_so_far,
    histories,
    luck_of,
)
from quant_core.measures.significance import deflated_sharpe, probabilistic_sharpe, significance_table

pytestmark = pytest.mark.slow

START = date(2020, 1, 1)
T = 250
DAYS = [START + timedelta(days=k) for k in range(T)]
MARKET = np.random.default_rng(1).normal(0.0004, 0.01, T)


def trial(name, returns, start=0, shipped=False, benchmark=None):
    index = MARKET[start : start + len(returns)] if benchmark is None else benchmark
    return pl.DataFrame({
        "trial": name, "date": DAYS[start : start + len(returns)], "simple_return_1d": np.asarray(returns, dtype=float),
        "risk_free_return_1d": 0.0002, "benchmark_return_1d": pl.Series(index, dtype=pl.Float64), "is_shipped": shipped,
    })  # fmt: skip


def own_bets(seed, n, spread=0.004):
    """(n, T) returns of long-only books: the market and a bet of their own."""
    return MARKET + np.random.default_rng(seed).normal(0.0, spread, (n, T))


def table(returns, prefix="t"):
    return pl.concat([trial(f"{prefix}{k:03}", row) for k, row in enumerate(returns)])


# ---- near copies ----------------------------------------------------------------------------------------------------


def test_two_hundred_near_copies_do_not_raise_a_deflated_sharpe():
    # the published formula alone: many Sharpe ratios beside one another narrow their spread faster than N grows
    rng = np.random.default_rng(2)
    tried = rng.normal(0.0, 0.05, 8)
    returns = rng.normal(0.001, 0.01, 700)
    before = deflated_sharpe(returns, tried)
    after = deflated_sharpe(returns, [*tried, *(tried.mean() + rng.normal(0.0, 0.001, 200))])
    assert after <= before


def test_near_copies_are_one_cluster_and_leave_the_hurdle_almost_where_it_was():
    bets = own_bets(3, 5)
    before = luck_of(table(bets))
    copies = [bets[2] + np.random.default_rng(k).normal(0.0, 0.00004, T) for k in range(200)]
    after = luck_of(pl.concat([table(bets), table(copies, "copy")]))
    assert (before.n_clusters, after.n_clusters) == (5, 5)
    assert (before.n_trials, after.n_trials) == (5, 205)
    for measure in ("over_cash_z", "over_benchmark_z"):
        assert 0.0 <= getattr(after, measure) - getattr(before, measure) < 0.05


def test_variants_of_one_bet_raise_the_hurdle_by_what_choosing_among_them_brings():
    # 100 variants with a correlation of 0.8 to one another: the best gains sqrt(0.2) x 2.51 standard errors by luck
    rng = np.random.default_rng(4)
    common = rng.normal(0.0, 1.0, T)
    variants = MARKET + 0.004 * (math.sqrt(0.8) * common + math.sqrt(0.2) * rng.normal(0.0, 1.0, (100, T)))
    found = luck_of(table(variants))
    assert found.n_clusters == 1  # N alone would say that there is nothing to choose from
    assert found.over_benchmark_z == pytest.approx(math.sqrt(0.2) * 2.51, rel=0.08)


def test_a_wild_sharpe_ratio_of_a_short_history_does_not_pass_for_a_wide_spread():
    bets = own_bets(5, 6)
    short = trial("short", MARKET[:10] + 0.004 + np.random.default_rng(6).normal(0.0, 0.001, 10))  # a Sharpe of 60
    before, after = luck_of(table(bets)), luck_of(pl.concat([table(bets), short]))
    assert before.over_benchmark_z <= after.over_benchmark_z < 12.0
    raw = expected_max_sharpe(7, 4.0 / math.sqrt(7)) * math.sqrt(T)  # taken as it is, the hurdle would be above 30
    assert raw > 30.0


# ---- the hurdle never falls -----------------------------------------------------------------------------------------

KINDS = ("independent", "copy", "variant", "opposite", "flat", "cash", "short", "late", "bad", "doubled")


def made(kind, name, known, rng):
    """One more try of a kind."""
    base = known[rng.integers(len(known))] if known else MARKET.copy()
    noise = rng.normal(0.0, 0.004, T)
    returns = {
        "independent": MARKET + noise, "copy": base + 0.001 * noise, "variant": base + 0.7 * noise,
        "opposite": 2.0 * MARKET - base, "flat": np.zeros(T), "cash": np.full(T, 0.0002), "short": MARKET + noise,
        "late": base + 0.3 * noise, "bad": MARKET - 0.002 + noise, "doubled": 2.0 * base,
    }[kind]  # fmt: skip
    known.append(returns)
    if kind == "short":
        return trial(name, returns[: int(rng.integers(1, 70))], shipped=bool(rng.integers(2)))
    start = int(rng.integers(50, T - 2)) if kind == "late" else 0
    index = [None] * T if rng.random() < 0.1 else None  # entered without the benchmark's returns
    return trial(name, returns[start:], start, bool(rng.integers(2)), None if start else index)


@settings(max_examples=25, deadline=None)
@given(kinds=st.lists(st.sampled_from(KINDS), min_size=2, max_size=12), seed=st.integers(0, 10_000))
def test_the_hurdle_never_falls_when_a_trial_is_added(kinds, seed):
    rng, known, rows, last = np.random.default_rng(seed), [], [], None
    for k, kind in enumerate(kinds):
        rows.append(made(kind, f"{rng.integers(100):02}-{k}", known, rng))  # names in no order
        found = luck_of(pl.concat(rows))
        if last is not None:
            assert found.at_least(last) == found, kind
        last = found


@settings(max_examples=50, deadline=None)
@given(
    tried=st.lists(st.one_of(st.floats(-1.0, 1.0), st.just(math.nan)), min_size=1, max_size=30),
    more=st.one_of(st.floats(-1.0, 1.0), st.just(math.nan)),
)
def test_neither_does_the_hurdle_of_plain_sharpe_ratios(tried, more):
    assert highest_so_far([*tried, more]) >= highest_so_far(tried)
    assert highest_so_far(tried) >= expected_max_sharpe(len(tried), 0.0)


def test_the_order_of_rows_changes_nothing_but_the_order_of_the_tries_is_the_registers():
    bets = table(own_bets(7, 4))
    by_day = bets.with_columns(place=pl.int_range(pl.len()).over("trial")).sort("place", maintain_order=True)
    assert luck_of(by_day.drop("place")) == luck_of(bets)


def test_four_variants_of_a_strategy_do_not_lower_anybodys_hurdle():
    # eight books of one market, then variants whose Sharpe ratios lie in the middle: the spread shrinks
    shipped = own_bets(8, 8)
    before = luck_of(table(shipped))
    variants = [shipped[3] + np.random.default_rng(k).normal(0.0, 0.002, T) for k in range(4)]
    after = luck_of(pl.concat([table(shipped), table(variants, "variant")]))
    assert after.over_cash_z >= before.over_cash_z
    assert after.over_benchmark_z >= before.over_benchmark_z


# ---- clusters -------------------------------------------------------------------------------------------------------


def test_a_try_joins_the_first_founder_that_it_is_more_than_half_of():
    bet, other, third = np.random.default_rng(9).normal(0.0, 0.004, (3, T))
    tried = {
        "bet": bet, "other": other, "like bet": 0.9 * bet + 0.3 * third, "a third of each": bet + other + third,
        "opposite": -bet, "twice": 2.0 * bet,
    }  # fmt: skip
    found = clusters(pl.concat([trial(name, MARKET + active) for name, active in tried.items()]))
    assert found == {
        "bet": "bet", "other": "other", "like bet": "bet", "a third of each": "a third of each",
        "opposite": "opposite", "twice": "bet",
    }  # fmt: skip


def test_books_of_one_market_are_different_bets_although_their_returns_move_together():
    bets = own_bets(10, 4)
    assert np.corrcoef(bets)[0, 1] > 0.8
    assert luck_of(table(bets)).n_clusters == 4
    without_index = pl.concat([trial(f"t{k}", row, benchmark=[None] * T) for k, row in enumerate(bets)])
    assert luck_of(without_index).n_clusters == 1  # over cash, all that can be told is that they hold the market


@pytest.mark.parametrize(("common", "n_clusters"), [(60, 1), (59, 2)])
def test_sixty_common_sessions_are_needed_to_call_two_tries_one_bet(common, n_clusters):
    bet = own_bets(11, 1)[0]
    start = T - common
    both = pl.concat([trial("one", bet), trial("two", bet[start:] + 1e-6 * np.arange(common), start)])
    assert luck_of(both).n_clusters == n_clusters


def test_correlations_of_overlapping_histories_agree_with_a_pair_by_pair_loop():
    rng = np.random.default_rng(12)
    common, rows = rng.normal(0.0, 0.004, T), []
    for k in range(14):
        start, stop = int(rng.integers(0, 100)), int(rng.integers(150, T))
        own = rng.choice([0.6, 0.9, 1.0, 1.4]) * rng.normal(0.0, 0.004, T)
        rows.append(trial(f"t{k}", (MARKET + common + own)[start:stop], start))
    founders: list[tuple[str, pl.DataFrame]] = []
    expected = {}
    for row in rows:
        name = row["trial"][0]
        for founder, other in founders:
            pair = row.join(other, on="date", suffix="_other")
            x, y = (pair[f"simple_return_1d{s}"] - pair[f"benchmark_return_1d{s}"] for s in ("", "_other"))
            if len(pair) >= 60 and np.corrcoef(x, y)[0, 1] > math.sqrt(0.5):
                expected[name] = founder
                break
        else:
            founders.append((name, row))
            expected[name] = name
    assert clusters(pl.concat(rows)) == expected
    assert 1 < len(founders) < len(rows)


# ---- what the hurdle is ---------------------------------------------------------------------------------------------


def test_the_hurdle_is_the_published_formula_where_the_spread_is_wide():
    # two bets, z = +6 and -6 standard errors: spread 12 / sqrt(2), N = 2; far above what chance gives two tries
    rng = np.random.default_rng(13)
    noise = rng.normal(0.0, 0.004, (2, T))
    noise = (noise - noise.mean(axis=1, keepdims=True)) / noise.std(axis=1, ddof=1, keepdims=True)
    active = 0.004 * (noise + np.array([[6.0], [-6.0]]) / math.sqrt(T))
    found = luck_of(table(MARKET + active))
    assert found.over_benchmark_z == pytest.approx(expected_max_sharpe(2, 12.0 / math.sqrt(2.0)), abs=1e-5)
    # a third in the middle narrows the spread to 6, and N = 3 makes 5.08 of it: the hurdle stays at what it was
    third = trial("third", MARKET + rng.normal(0.0, 0.004, T))
    assert luck_of(pl.concat([table(MARKET + active), third])).over_benchmark_z >= found.over_benchmark_z


def test_the_best_of_a_cluster_stands_for_it_in_the_spread():
    rng = np.random.default_rng(14)
    noise = rng.normal(0.0, 0.004, (2, T))
    noise = 0.004 * (noise - noise.mean(axis=1, keepdims=True)) / noise.std(axis=1, ddof=1, keepdims=True)
    better = noise[0] + 0.004 * 8.0 / math.sqrt(T)  # the same bet, eight standard errors higher
    found = luck_of(table(MARKET + np.array([noise[0], noise[1], better])))
    assert found.n_clusters == 2
    assert found.over_benchmark_z == pytest.approx(expected_max_sharpe(2, 8.0 / math.sqrt(2.0)), abs=1e-5)


def test_one_try_has_no_hurdle_and_two_identical_ones_have_none_either():
    bet = own_bets(15, 1)[0]
    assert luck_of(trial("one", bet)) == Luck(1, 1, 1, 0.0, 0.0)
    assert luck_of(pl.concat([trial("one", bet), trial("two", bet)])) == Luck(2, 2, 1, 0.0, 0.0)


@pytest.mark.parametrize(("n", "exact"), [(2, 0.5642), (10, 1.5388), (50, 2.2491)])
def test_independent_tries_have_the_hurdle_of_the_false_strategy_theorem(n, exact):
    # expected maximum of n standard normal numbers; the larger of two estimates lies a little above
    rng = np.random.default_rng(n)
    hurdles, best = [], []
    for _ in range(25):
        active = rng.normal(0.0, 0.004, (n, T))
        found = luck_of(table(MARKET + active))
        assert found.n_clusters == n
        hurdles.append(found.over_benchmark_z)
        best.append((active.mean(axis=1) / active.std(axis=1, ddof=1)).max() * math.sqrt(T))
    assert np.mean(best) == pytest.approx(exact, abs=0.35)
    assert 0.97 * exact < np.mean(hurdles) < 1.2 * exact


@pytest.mark.parametrize(
    ("families", "variants", "correlation"), [(1, 30, 0.99), (1, 30, 0.8), (5, 6, 0.95), (20, 1, 1.0)]
)
def test_luck_passes_the_deflated_sharpe_in_no_more_than_a_twentieth_of_the_draws(families, variants, correlation):
    # the best of all tries is judged, as a researcher would; its true Sharpe ratio is 0
    passed, rng = {"cash": 0, "benchmark": 0}, np.random.default_rng(16)
    for _ in range(40):
        market = rng.normal(0.0, 0.004, T)
        bets = np.repeat(rng.normal(0.0, 0.004, (families, T)), variants, axis=0)
        own = rng.normal(0.0, 0.004, bets.shape)
        active = math.sqrt(correlation) * bets + math.sqrt(1.0 - correlation) * own
        tried = pl.concat([trial(f"t{k:03}", 0.0002 + market + row, benchmark=0.0002 + market) for k, row in
                           enumerate(active)])  # fmt: skip
        found = luck_of(tried)
        for name, hurdle, values in (("cash", found.over_cash_z, market + active),
                                     ("benchmark", found.over_benchmark_z, active)):  # fmt: skip
            best = values[np.argmax(values.mean(axis=1) / values.std(axis=1))]
            passed[name] += probabilistic_sharpe(best, hurdle / math.sqrt(T)) > 0.95
    assert max(passed.values()) <= 5  # 2 expected at most; 6 or more of 40 has a chance of 1.4 % at one twentieth


# ---- what is counted, what is lost ----------------------------------------------------------------------------------


def test_baselines_and_own_tries_are_counted_apart_and_both_raise_the_hurdle():
    bets = own_bets(17, 5)
    rows = pl.concat([trial(f"t{k}", row, shipped=k < 3) for k, row in enumerate(bets)])
    found = luck_of(rows)
    assert (found.n_trials, found.n_own_trials, found.n_clusters) == (5, 2, 5)
    # the mark is shown and changes no hurdle, so that nothing is gained by passing a try off as a baseline
    unmarked = luck_of(rows.with_columns(is_shipped=pl.lit(False)))
    assert (unmarked.over_cash_z, unmarked.over_benchmark_z) == (found.over_cash_z, found.over_benchmark_z)


def test_a_lost_try_goes_on_counting_as_a_bet_of_its_own():
    bets = own_bets(18, 4)
    whole = luck_of(table(bets))
    for lost in range(4):
        rest = luck_of(table(np.delete(bets, lost, axis=0)), 1, whole)
        assert rest.at_least(whole) == rest
        assert (rest.n_trials, rest.n_clusters) == (4, 4)
    assert luck_of(table(bets).clear(), 4, whole).n_clusters == 4


def test_a_cluster_whose_founder_is_lost_does_not_shrink_the_number_of_bets():
    # b and c are no variants of each other, both are of a; without a, d would join b and the count would fall
    rng = np.random.default_rng(19)
    a, b = rng.normal(0.0, 0.004, (2, T))
    tried = {"x": a, "y": 0.8 * a + 0.6 * b, "z": b}
    rows = pl.concat([trial(name, MARKET + active) for name, active in tried.items()])
    whole = luck_of(rows)
    rest = luck_of(rows.filter(pl.col("trial") != "x"), 1, whole)
    assert rest.n_clusters >= whole.n_clusters


# ---- against the benchmark ------------------------------------------------------------------------------------------


def daily(returns):
    """BacktestDaily of strategies by name, each with its opening row."""
    rows = [pl.DataFrame({"date": DAYS, "strategy": name, "simple_return_1d": np.concatenate([[0.0], values[1:]])})
            for name, values in returns.items()]  # fmt: skip
    return pl.concat(rows)


INDEX = pl.DataFrame(
    {"date": DAYS, "simple_return_1d": MARKET, "series": "NIFTY 50 TRI", "risk_free_return_1d": 0.0002}
)


def test_the_table_deflates_against_cash_and_against_the_benchmark():
    bets = dict(zip("abcd", own_bets(20, 4), strict=True))
    found = significance_table(daily(bets), INDEX, seed=1)
    luck = luck_of(histories(daily(bets), INDEX).rename({"strategy": "trial"}))
    n = T - 1
    for name, returns in bets.items():
        row = found.row(by_predicate=pl.col("strategy") == name, named=True)
        excess, active = returns[1:] - 0.0002, (returns - MARKET)[1:]
        assert row["expected_max_sharpe_ann"] == pytest.approx(luck.over_cash_z * math.sqrt(252.0 / n))
        assert row["deflated_sharpe"] == pytest.approx(probabilistic_sharpe(excess, luck.over_cash_z / math.sqrt(n)))
        hurdle = luck.over_benchmark_z / math.sqrt(n)
        assert row["expected_max_sharpe_vs_benchmark_ann"] == pytest.approx(hurdle * math.sqrt(252.0))
        assert row["deflated_sharpe_vs_benchmark"] == pytest.approx(probabilistic_sharpe(active, hurdle))
        assert row["information_ratio_ann"] == pytest.approx(active.mean() / active.std(ddof=1) * math.sqrt(252.0))
        assert (row["n_trials"], row["n_own_trials"], row["n_clusters"]) == (4, 4, 4)


def test_without_an_index_nothing_is_said_about_one():
    bets = dict(zip("ab", own_bets(21, 2), strict=True))
    for benchmark in (INDEX.with_columns(series=pl.lit("none")), INDEX.select("date", "risk_free_return_1d")):
        found = significance_table(daily(bets), benchmark, seed=1)
        assert found["deflated_sharpe"].null_count() == 0
        for name in ("information_ratio_ann", "expected_max_sharpe_vs_benchmark_ann", "deflated_sharpe_vs_benchmark"):
            assert found[name].null_count() == 2


def test_a_strategy_that_only_follows_the_index_has_no_skill_over_it():
    rising = MARKET + 0.003
    index = INDEX.with_columns(simple_return_1d=pl.Series(rising))
    books = {
        "index fund": rising - 1e-6 * np.arange(T) / T,
        "other": rising + np.random.default_rng(22).normal(0, 0.004, T),
    }
    row = significance_table(daily(books), index, seed=1).row(0, named=True)
    assert row["deflated_sharpe"] > 0.99
    assert row["deflated_sharpe_vs_benchmark"] < 0.01


def test_a_missing_return_is_refused():
    broken = trial("one", [0.1, math.nan])
    with pytest.raises(DataError, match="is nan"):
        luck_of(broken)
