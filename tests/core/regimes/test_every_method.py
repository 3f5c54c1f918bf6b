"""What every registered method keeps: causality to the bit, gaps, restarts, repeatability, refusals by name."""

from functools import cache

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from quant_core.dense import Floats
from quant_core.errors import DataError
from quant_core.regimes.model import METHODS, Arrays
from quant_core.regimes.sound import FEWEST_ROWS

NAMES = sorted(METHODS)
N_FIT = 600


def width(name: str) -> int:
    return 1 if name == "threshold" else 2


@cache
def rows(width: int) -> Floats:
    """Three places between which the market moves, thirty sessions at each, and a gap of three sessions."""
    random = np.random.default_rng(5)
    places = np.array([[-1.0, 0.8], [0.3, -1.2], [2.2, 1.5]])[:, :width]
    states = random.integers(0, 3, 30).repeat(30)
    found = places[states] + 0.25 * random.standard_normal((len(states), width))
    found[700:703, 0] = np.nan
    return found


@cache
def fitted(name: str) -> Arrays:
    return METHODS[name].fit(rows(width(name))[:N_FIT], METHODS[name].config_class(**settings(name)), 7)


def settings(name: str) -> dict[str, object]:
    return {} if name in ("threshold", "hdbscan") else {"n_states": 3}


@pytest.mark.parametrize("name", NAMES)
def test_probabilities_are_probabilities_and_every_state_is_met(name: str):
    found, _ = METHODS[name].filter(fitted(name), rows(width(name)), None)
    assert (found >= 0.0).all()
    np.testing.assert_allclose(found.sum(axis=1), 1.0, atol=1e-12)
    assert len(np.unique(found.argmax(axis=1))) >= 3
    assert ((found.argmax(axis=1)[:-1] != found.argmax(axis=1)[1:]).sum()) < 200  # states stay, here 30 sessions each


@pytest.mark.parametrize("name", NAMES)
def test_row_by_row_equals_all_at_once_to_the_bit(name: str):
    method, own, all_rows = METHODS[name], fitted(name), rows(width(name))
    at_once, end = method.filter(own, all_rows, None)
    state = None
    for t, row in enumerate(all_rows):
        found, state = method.filter(own, row[None], state)
        assert found.tobytes() == at_once[t : t + 1].tobytes(), t
    assert state is not None
    assert state.tobytes() == end.tobytes()


@pytest.mark.parametrize("name", NAMES)
def test_the_future_deleted_or_changed_changes_nothing(name: str):
    method, own, all_rows = METHODS[name], fitted(name), rows(width(name))
    at_once, _ = method.filter(own, all_rows, None)
    for n in (1, 2, 650, 701):
        assert method.filter(own, all_rows[:n], None)[0].tobytes() == at_once[:n].tobytes()
    changed = np.concatenate([all_rows[:650], -3.0 * all_rows[650:]])
    assert method.filter(own, changed, None)[0][:650].tobytes() == at_once[:650].tobytes()


@pytest.mark.parametrize("name", NAMES)
def test_a_restart_from_the_state_goes_on(name: str):
    method, own, all_rows = METHODS[name], fitted(name), rows(width(name))
    at_once, _ = method.filter(own, all_rows, None)
    for cut in (N_FIT, 702):  # the second inside the gap
        _, state = method.filter(own, all_rows[:cut], None)
        before = state.copy()
        again, _ = method.filter(own, all_rows[cut:], np.frombuffer(state.tobytes()))
        assert again.tobytes() == at_once[cut:].tobytes()
        assert state.tobytes() == before.tobytes()  # inputs are not touched
    nothing, same = method.filter(own, all_rows[:0], state)
    assert nothing.shape == (0, at_once.shape[1])
    assert same.tobytes() == state.tobytes()


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"hmm"}))
def test_a_gap_keeps_what_was_known(name: str):
    found, _ = METHODS[name].filter(fitted(name), rows(width(name)), None)
    np.testing.assert_array_equal(found[700:703], np.repeat(found[699:700], 3, axis=0))


def test_the_hidden_markov_model_predicts_through_a_gap():
    found, _ = METHODS["hmm"].filter(fitted("hmm"), rows(2), None)
    transitions = fitted("hmm")["transitions"]
    for t in (700, 701, 702):
        np.testing.assert_allclose(found[t], found[t - 1] @ transitions, rtol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_a_gap_before_the_first_row(name: str):
    method, own = METHODS[name], fitted(name)
    found, _ = method.filter(own, np.full((2, width(name)), np.nan), None)
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found.sum(axis=1), 1.0, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_a_fit_repeats_its_bytes_whatever_the_threads(name: str):
    method, own_rows = METHODS[name], rows(width(name))[:N_FIT]
    before = own_rows.copy()
    with threadpool_limits(2):
        again = method.fit(own_rows, method.config_class(**settings(name)), 7)
    assert {key: value.tobytes() for key, value in again.items()} == {
        key: value.tobytes() for key, value in fitted(name).items()
    }
    assert own_rows.tobytes() == before.tobytes()
    assert all(value.dtype.kind in "fi" for value in again.values())  # plain arrays, nothing pickled


@pytest.mark.parametrize("name", NAMES)
def test_what_no_method_can_learn_from_is_refused(name: str):
    method, good = METHODS[name], rows(width(name))[:N_FIT]
    config = method.config_class(**settings(name))
    gap = good.copy()
    gap[17, 0] = np.nan
    for bad, said in (
        (np.zeros_like(good), "column 0 of the fit does not vary"),
        (gap, "row 17 of the fit is .*nan"),
        (good[: FEWEST_ROWS - 1], f"251 complete sessions; wanted {FEWEST_ROWS} or more"),
        (good[:, :0], "one input or more"),
    ):
        with pytest.raises(DataError, match=said):
            method.fit(bad, config, 7)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", ["white", "two values", "one jump", "standstill"])
def test_one_regime_gives_states_or_is_refused_by_a_reason(name: str, kind: str):
    random = np.random.default_rng(1)
    noise = random.standard_normal((400, width(name)))
    odd = {
        "white": noise,
        "two values": np.sign(noise),
        "one jump": np.where(np.arange(400)[:, None] == 200, 50.0, noise),
        "standstill": np.where(np.arange(400)[:, None] % 400 < 250, 0.0, noise),
    }[kind]
    found = states_or_reason(name, odd)
    assert "wanted" in found if isinstance(found, str) else np.allclose(found.sum(axis=1), 1.0, atol=1e-12)


def states_or_reason(name: str, odd: Floats) -> Floats | str:
    method = METHODS[name]
    try:
        own = method.fit(odd, method.config_class(**settings(name)), 7)
    except DataError as error:
        return str(error)
    return method.filter(own, odd, None)[0]


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"threshold", "hdbscan", "jump"}))
def test_the_number_of_states_is_found(name: str):
    method = METHODS[name]
    config = method.config_class(n_states=None, candidates=(2, 3, 4))
    found, _ = method.filter(method.fit(rows(2)[:N_FIT], config, 7), rows(2), None)
    assert found.shape[1] == 3


@pytest.mark.parametrize(
    ("name", "wrong", "said"),
    [
        ("threshold", {"quantiles": (0.9, 0.5)}, "ascending"),
        ("hmm", {"tolerance": 0.0}, "hmm: tolerance is 0.0; wanted above 0"),
        ("gmm", {"min_share": 0.7}, "min_share in"),
        ("kmeans", {"n_starts": 0}, "at least 1 of n_starts"),
        ("jump", {"n_states": None}, "wanted a number"),
        ("jump", {"jump_penalty": -1.0}, "jump_penalty of 0 or more"),
        ("hdbscan", {"min_cluster_shares": (0.7,)}, "min_cluster_shares"),
        ("hdbscan", {"selection": "best"}, "one of"),
    ],
)
def test_a_wrong_setting_is_refused(name: str, wrong: dict[str, object], said: str):
    with pytest.raises(DataError, match=said):
        METHODS[name].config_class(**wrong)
