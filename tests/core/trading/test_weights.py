"""Weights stay within their limits whatever is wished for."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quant_core.errors import DataError
from quant_core.trading.weights import make_feasible, project_capped_simplex, top_n_weights

SEEDS = st.integers(0, 2**32 - 1)


def draw_wishes(seed):
    rng = np.random.default_rng(seed)
    scale = 10.0 ** rng.integers(-4, 9)
    wishes = rng.normal(rng.choice([-1.0, 0.0, 1.0]), 1.0, int(rng.integers(1, 30))) * scale
    if rng.random() < 0.3:
        wishes = np.round(wishes)  # ties
    return rng, wishes


def bisected_projection(wishes, cap, total):
    """The projection by its optimality condition, with tau found by halving."""
    if np.clip(wishes, 0, cap).sum() <= total:
        return np.clip(wishes, 0, cap)
    low, high = wishes.min() - np.max(cap) - 1.0, wishes.max()
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if np.clip(wishes - middle, 0, cap).sum() > total else (low, middle)
    return np.clip(wishes - high, 0, cap)


@pytest.mark.slow
@settings(max_examples=1000, deadline=None)
@given(SEEDS)
def test_feasible_weights_keep_every_limit(seed):
    for case in range(5):  # to draw a seed takes longer than to try it
        rng, wishes = draw_wishes([seed, case])
        smallest, largest = np.sort(rng.uniform(0.0, 0.6, 2))
        weights = make_feasible(wishes, max_position=largest, min_position=smallest)
        assert weights.shape == wishes.shape
        assert weights.sum() <= 1.0 + 1e-12
        held = weights[weights != 0.0]
        assert ((held >= smallest) & (held <= largest) & (held > 0.0)).all()


@pytest.mark.slow
@settings(max_examples=500, deadline=None)
@given(SEEDS)
def test_the_projection_equals_one_found_by_halving(seed):
    rng = np.random.default_rng(seed)
    wishes = rng.normal(0.2, 1.0, int(rng.integers(1, 30)))
    cap = rng.uniform(0.0, 1.0, wishes.shape) if rng.random() < 0.5 else float(rng.uniform(0.05, 1.0))
    total = float(rng.choice([0.5, 1.0]))
    np.testing.assert_allclose(
        project_capped_simplex(wishes, cap, total), bisected_projection(wishes, cap, total), atol=1e-12
    )


@settings(max_examples=500, deadline=None)
@given(SEEDS)
def test_no_feasible_point_is_nearer_than_the_projection(seed):
    rng = np.random.default_rng(seed)
    wishes, cap = rng.normal(0.1, 0.5, 6), 0.3
    nearest = project_capped_simplex(wishes, cap)
    others = np.minimum(rng.dirichlet(np.ones(7), 200)[:, :6], cap)
    # The obtuse-angle property of a projection on a convex set.
    assert ((others - nearest) @ (wishes - nearest) <= 1e-12).all()


@settings(max_examples=200, deadline=None)
@given(SEEDS)
def test_a_feasible_point_is_its_own_projection(seed):
    rng = np.random.default_rng(seed)
    inside = np.minimum(rng.dirichlet(np.ones(8))[:7], 0.4)
    np.testing.assert_array_equal(project_capped_simplex(inside, 0.4), inside)


def test_projection_by_hand():
    # Sum is 1.5; lowering each by 0.25 leaves 0.65, 0.35 and nothing of the third.
    np.testing.assert_allclose(project_capped_simplex([0.9, 0.6, 0.0], 1.0), [0.65, 0.35, 0.0])
    np.testing.assert_allclose(project_capped_simplex([0.9, 0.6, 0.4], 0.5), [0.5, 0.35, 0.15])
    np.testing.assert_allclose(project_capped_simplex([-0.5, 0.3, 0.1], 0.2), [0.0, 0.2, 0.1])  # the rest is cash


def test_leading_dimensions_are_projected_row_by_row():
    wishes = np.random.default_rng(2).normal(0.2, 1.0, (3, 4, 9))
    together = make_feasible(wishes)
    for index in np.ndindex(3, 4):
        np.testing.assert_allclose(together[index], make_feasible(wishes[index]), atol=1e-15)


def test_positions_below_the_minimum_are_dropped_and_their_room_is_used_by_wishes_left_over():
    np.testing.assert_allclose(
        make_feasible([0.6, 0.6, 0.12, 0.0], max_position=0.5, min_position=0.05), [0.5, 0.5, 0.0, 0.0]
    )
    np.testing.assert_allclose(make_feasible([0.15, 0.019, 0.02]), [0.15, 0.0, 0.02])


def test_top_n_holds_the_best_scores_equally_and_breaks_ties_by_name_order():
    scores = [[0.1, 0.5, np.nan, 0.5, 0.2, 0.5], [np.nan] * 6]
    np.testing.assert_allclose(top_n_weights(scores, 2, max_position=1.0), [[0.0, 0.5, 0.0, 0.5, 0.0, 0.0], [0.0] * 6])


def test_top_n_with_fewer_scores_than_names_wanted_keeps_the_cap():
    np.testing.assert_allclose(top_n_weights([np.nan, 1.0, -3.0], 5), [0.0, 0.2, 0.2])


def test_five_equal_names_at_a_cap_of_a_fifth_are_exactly_a_fifth():
    assert top_n_weights(np.arange(40.0), 5)[-5:].tolist() == [0.2] * 5


def test_wishes_and_limits_that_make_no_sense_are_refused():
    with pytest.raises(DataError, match=r"wish \(1, 0\) is nan"):
        project_capped_simplex([[1.0, 2.0], [np.nan, 1.0]], 0.5)
    with pytest.raises(DataError, match="cap"):
        project_capped_simplex([1.0], -0.1)
    with pytest.raises(DataError, match="min_position"):
        make_feasible([1.0], max_position=0.1, min_position=0.2)
    with pytest.raises(DataError, match="infinite"):
        top_n_weights([np.inf, 1.0])
    with pytest.raises(DataError, match="n is 0"):
        top_n_weights([1.0], 0)
