"""From actions to weights: the compiled projection against its dense form, limits that always hold, what zero means."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from learning_stages import NAN, ledger_of, wild_stage

from quant_core.allocation.learning.actions import Scratch, feasible, limits_of, project, weights_for
from quant_core.allocation.learning.env_config import MODES, EnvConfig
from quant_core.allocation.learning.environment import PortfolioEnv
from quant_core.trading.weights import make_feasible, project_capped_simplex

SEEDS = st.integers(0, 2**32 - 1)
WISHES = arrays(np.float64, st.integers(1, 12), elements=st.floats(-3.0, 3.0))
TOLERANCE = 1e-12


def compiled(wish, cap, total=1.0, smallest=None):
    weights = np.full(len(wish), NAN)
    caps = np.ascontiguousarray(np.broadcast_to(cap, wish.shape), float).copy()
    if smallest is None:
        project(wish, caps, total, weights)
    else:
        feasible(wish, caps, total, smallest, weights)
    return weights


@settings(max_examples=100, deadline=None)
@given(WISHES, st.floats(0.0, 1.0), st.floats(0.0, 1.0))
def test_the_compiled_projection_is_the_dense_one(wish, cap, total):
    np.testing.assert_allclose(compiled(wish, cap, total), project_capped_simplex(wish, cap, total), atol=1e-11)


@settings(max_examples=100, deadline=None)
@given(SEEDS, st.floats(0.0, 1.0))
def test_so_it_is_with_a_cap_a_name_and_far_wishes(seed, total):
    rng = np.random.default_rng(seed)
    wish, cap = rng.normal(0.0, 10.0 ** rng.integers(-6, 6), 30), rng.random(30) * (rng.random(30) < 0.8)
    scale = max(np.abs(wish).max(), 1.0)
    expected = project_capped_simplex(wish, cap, total)
    np.testing.assert_allclose(compiled(wish, cap, total), expected, atol=1e-13 * scale + 1e-11)


@settings(max_examples=100, deadline=None)
@given(WISHES, st.sampled_from([(0.2, 0.01), (0.2, 0.02), (0.5, 0.1), (1.0, 0.3)]))
def test_small_positions_go_as_in_the_dense_form(wish, limits):
    largest, smallest = limits
    first = project_capped_simplex(wish, largest)
    assume((np.abs(first - smallest) > 1e-9).all())  # rounding decides what becomes of a position at the minimum
    expected = make_feasible(wish, max_position=largest, min_position=smallest)
    np.testing.assert_allclose(compiled(wish, largest, 1.0, smallest), expected, atol=1e-11)


def decided(mode, action, held, buyable, closed, book, **settings):
    """Weights wanted; None where nothing is decided."""
    names = len(held)
    wanted, scratch = np.full(names, NAN), Scratch(np.zeros(names), np.zeros(names))
    limits = limits_of(EnvConfig(mode=mode, **settings))
    acts = weights_for(np.asarray(action, np.float32), held, buyable, closed, book, limits, scratch, wanted)
    return wanted if acts else None


@st.composite
def moments(draw):
    """held, buyable, closed, book of some names, one of which may be bought."""
    rng, names = np.random.default_rng(draw(SEEDS)), draw(st.integers(1, 12))
    held = rng.dirichlet(np.ones(names + 1))[:names] * (rng.random(names) < 0.6)
    closed = rng.random(names) < draw(st.sampled_from([0.0, 0.3]))
    closed[0] = False
    buyable = (rng.random(names) < 0.7) & ~closed
    buyable[0] = True
    book = np.minimum(rng.dirichlet(np.ones(names + 1))[:names], 0.3)
    book[rng.random(names) < draw(st.sampled_from([0.0, 0.2]))] = NAN
    return held, buyable, closed, book


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(MODES), moments(), SEEDS, st.sampled_from([0.2, 0.5, 1.0]), st.sampled_from([0.0, 0.05]))
def test_what_is_wanted_can_always_be_held(mode, moment, seed, largest, smallest):
    held, buyable, closed, book = moment
    action = np.random.default_rng(seed).uniform(-1.5, 1.5, 1 if mode == "partial" else len(held) + 1)
    wanted = decided(mode, action, held, buyable, closed, book, max_position=largest, min_position=smallest)
    if wanted is None:
        assert mode != "direct"
        return
    kept, known = np.isnan(wanted), np.nan_to_num(wanted)
    assert (kept[closed & (held > 0.0)]).all()
    assert not kept[~closed & ~np.isnan(book)].any()
    assert (known >= 0.0).all()
    masked = ~buyable & (held == 0.0)
    assert (known[masked] == 0.0).all()
    if mode == "partial":
        assert known.sum() <= 1.0 + 1e-9
        between = ~kept
        assert (known[between] <= np.maximum(held, np.nan_to_num(book))[between] + TOLERANCE).all()
        return
    assert known.sum() <= 1.0 - held[kept].sum() + 1e-9
    cap = largest if mode == "direct" else np.maximum(largest, np.nan_to_num(book))
    assert (known <= cap + TOLERANCE).all()
    assert (known[known > 0.0] >= min(smallest, largest) - TOLERANCE).all()
    if mode == "direct":
        assert (known[~buyable] == 0.0).all()


@pytest.mark.parametrize("names", [1, 3, 7, 50])
def test_all_zeros_are_equal_weight_of_the_names_that_may_be_bought(names):
    buyable, nothing = np.ones(names + 2, bool), np.zeros(names + 2)
    buyable[-2:] = False
    wanted = decided("direct", np.zeros(names + 3), nothing, buyable, nothing > 0, nothing, max_position=1.0)
    assert wanted.tolist() == [1.0 / names] * names + [0.0, 0.0]


def test_logits_cash_and_the_cap_by_hand():
    """Logits log 2, 0, 0 give 1/2, 1/4, 1/4; a quarter of it in cash; a cap of 0.3 cuts the first."""
    yes, no, nothing = np.ones(3, bool), np.zeros(3, bool), np.zeros(3)
    action = [np.log(2.0) / 2.0, 0.0, 0.0, 0.25]
    wanted = decided("direct", action, nothing, yes, no, nothing, logit_scale=2.0, max_position=1.0)
    np.testing.assert_allclose(wanted, [0.375, 0.1875, 0.1875], rtol=1e-6)
    wanted = decided("direct", action, nothing, yes, no, nothing, logit_scale=2.0, max_position=0.3)
    np.testing.assert_allclose(wanted, [0.3, 0.1875, 0.1875], rtol=1e-6)
    wanted = decided("direct", [0, 0, 0, -0.7], nothing, yes, no, nothing, max_position=1.0)
    np.testing.assert_array_equal(wanted, np.full(3, 1.0 / 3.0))  # no borrowing


def test_a_stuck_name_leaves_the_others_what_it_does_not_hold():
    held, closed = np.array([0.4, 0.3, 0.0]), np.array([True, False, False])
    wanted = decided("direct", np.zeros(4), held, ~closed, closed, np.zeros(3), max_position=1.0)
    np.testing.assert_allclose(wanted, [NAN, 0.3, 0.3])


def test_a_tilt_by_hand():
    """A book of 0.3 and 0.1 with the second doubled: 0.3 : 0.2, of which 0.4 is invested, half of that after cash."""
    yes, no, nothing, book = np.ones(3, bool), np.zeros(3, bool), np.zeros(3), np.array([0.3, 0.1, 0.0])
    tilt = [0.0, np.log(2.0), 1.0, -1.0]
    wanted = decided("residual", tilt, nothing, yes, no, book, tilt_scale=1.0)
    np.testing.assert_allclose(wanted, [0.24, 0.16, 0.0], rtol=1e-6)
    wanted = decided("residual", [0.0, np.log(2.0), 0.0, 0.5], nothing, yes, no, book, tilt_scale=1.0)
    np.testing.assert_allclose(wanted, [0.12, 0.08, 0.0], rtol=1e-6)


def test_part_of_the_way_by_hand():
    yes, no, held, book = np.ones(2, bool), np.zeros(2, bool), np.array([0.8, 0.0]), np.array([0.2, 0.6])
    assert decided("partial", [-1.0], held, yes, no, book) is None
    np.testing.assert_allclose(decided("partial", [-0.5], held, yes, no, book), [0.65, 0.15])
    np.testing.assert_array_equal(decided("partial", [1.0], held, yes, no, book), book)


@settings(max_examples=20, deadline=None)
@given(SEEDS)
def test_a_residual_of_zero_is_the_book_to_the_last_bit(seed):
    stage = wild_stage(seed)
    env = PortfolioEnv(stage, EnvConfig(mode="residual", episode_decisions=0, max_position=0.1))
    env.reset(options={"start": 0})
    infos = [env.step(np.zeros(7))[4] for _ in range(stage.n_made)]
    np.testing.assert_array_equal([info["weights"] for info in infos], stage.book[: stage.n_made])
    book = ledger_of(stage, stage.book[: stage.n_made])
    assert infos[-1]["equity"] in (book.equity[-1], book.equity[int(stage.decisions[-1] - stage.decisions[0])])
