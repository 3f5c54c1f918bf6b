"""The register only grows, and says so when somebody made it shrink: its chain, its copies, and who was there first."""

import json
import shutil
import threading
from collections.abc import Callable
from datetime import date
from pathlib import Path

import dagster as dg
import numpy as np
import polars as pl
import pytest
from upath import UPath

from quant_assets.experiments import trial_index, trial_witness, trials
from quant_assets.experiments.trials import Witness
from quant_assets.lab import Lab
from quant_assets.pages.reporting import register_damage
from quant_assets.profile import load_profile
from quant_core.allocation import STRATEGIES
from quant_core.calendar import sessions
from quant_core.measures.luck import Luck, histories
from quant_core.measures.overfitting import family, overfitting_by_family
from quant_core.report.notes import damage_warnings

pytestmark = pytest.mark.slow

DAYS = sessions(date(2020, 1, 1), date(2020, 12, 31))
MARKET = np.random.default_rng(0).normal(0.0004, 0.01, len(DAYS))
BENCHMARK = pl.DataFrame({
    "date": DAYS, "simple_return_1d": MARKET, "series": "NIFTY 50 TRI", "risk_free_return_1d": 0.0002,
})  # fmt: skip
NAMES = ("equal_weight", "momentum", "top_n_ridge", "my_rule")


def history(strategy: str, seed: int, days: list[date] = DAYS, restated: float = 0.0) -> pl.DataFrame:
    returns = (MARKET + np.random.default_rng(seed).normal(0.0, 0.004, len(DAYS)))[: len(days)]
    returns[0] = 0.0
    returns[20] += restated
    return pl.DataFrame({"date": days, "strategy": strategy, "simple_return_1d": returns})


def enter(root: UPath, *books: pl.DataFrame, **more: object) -> int:
    return trials.register(root, "demo", pl.concat(books), BENCHMARK, **more)  # type: ignore[arg-type]


def filled(root: UPath) -> UPath:
    """Three entries: shipped books and a rule, a variant, a longer run of another."""
    enter(root, *(history(name, k, DAYS[:200]) for k, name in enumerate(NAMES)))
    enter(root, history("top_n_ridge", 9), changed={"target_weights.top_n": 3})
    enter(root, history("my_rule", 3))
    return root


def counted(root: UPath, witness: Witness | None = None) -> Luck:
    nothing = histories(history("my_rule", 3).clear(), BENCHMARK)
    return trials.hurdle(trials.read(root, "demo", witness), nothing, DAYS[-1])


@pytest.fixture
def root(tmp_path: Path) -> UPath:
    return UPath(str(tmp_path))


@pytest.fixture
def place(root: UPath) -> Path:
    return Path(str(filled(root))) / "demo" / "trials"


# ---- the mark -------------------------------------------------------------------------------------------------------


def marks(root: UPath) -> dict[str, list[bool]]:
    found: dict[str, list[bool]] = {}
    for trial in trials.read(root, "demo").trials:
        found.setdefault(trial.strategy, []).append(trial.is_shipped)
    return found


def test_a_baseline_with_the_profiles_settings_is_shipped_and_everything_else_is_an_own_try(root: UPath) -> None:
    filled(root)
    assert marks(root) == {
        "equal_weight": [True], "momentum": [True], "my_rule": [False], "top_n_ridge": [True, False],
    }  # fmt: skip
    found = counted(root)
    assert (found.n_trials, found.n_own_trials) == (5, 2)


def test_a_second_history_of_a_shipped_name_is_an_own_try_whatever_the_settings_say(root: UPath) -> None:
    enter(root, history("momentum", 1))
    enter(root, history("momentum", 2))  # its code was edited
    assert marks(root) == {"momentum": [True, False]}


def test_a_variant_that_was_tried_first_leaves_the_mark_to_the_run_with_the_profiles_settings(root: UPath) -> None:
    enter(root, history("momentum", 1), changed={"target_weights.top_n": 3})
    enter(root, history("momentum", 2))
    assert marks(root) == {"momentum": [False, True]}


def test_the_shipped_names_are_strategies_of_the_lab() -> None:
    of_a_model = {"top_n", "buffered", "partial_adjustment", "cost_aware_mean_variance", "volatility_targeted"}
    assert trials.SHIPPED - {"top_n_ridge"} == set(STRATEGIES) - of_a_model  # a model's other books are tries


def test_a_run_tells_its_own_settings_those_of_the_whole_command_and_a_changed_profile() -> None:
    lab = Lab(load_profile("demo"))
    launched = {"ops": {"demo__backtest": {"config": lab.config("backtest")().model_dump()}}}
    assert trial_witness.changed_settings(lab, "backtest", {}, launched) == {}
    launched["ops"]["demo__backtest"]["config"]["delay_sessions"] = 2
    assert trial_witness.changed_settings(lab, "backtest", {}, launched) == {"backtest.delay_sessions": 2}
    tags = {trial_witness.SETTINGS_TAG: json.dumps({"target_weights": {"top_n": 3}})}
    assert trial_witness.changed_settings(lab, "backtest", tags, {}) == {"target_weights.top_n": 3}
    shorter = Lab(load_profile("demo", {"train_years": "2"}))
    assert trial_witness.changed_settings(shorter, "backtest", {}, {}) == {"profile.train_years": 2}
    later = Lab(load_profile("demo", {"end": "2023-06"}))
    assert trial_witness.changed_settings(later, "backtest", {}, {}) == {}  # a span is no setting of a bet


# ---- the chain ------------------------------------------------------------------------------------------------------


def test_every_entry_names_the_hash_of_the_one_before_and_nothing_of_the_clock(place: Path, tmp_path: Path) -> None:
    paths = sorted((place / "index").iterdir())
    entries = [json.loads(path.read_bytes()) for path in paths]
    assert [entry["number"] for entry in entries] == [1, 2, 3]
    heads = [entry.hash for entry in trial_index.read_index(UPath(str(place))).entries]
    assert [entry["before"] for entry in entries] == [[], [heads[0]], [heads[1]]]
    assert [[trial["strategy"] for trial in entry["trials"]] for entry in entries] == [
        sorted(NAMES), ["top_n_ridge"], ["my_rule"],
    ]  # fmt: skip
    again = Path(str(filled(UPath(str(tmp_path / "again"))))) / "demo"
    assert [path.read_bytes() for path in sorted((again / "trials" / "index").iterdir())] == [
        path.read_bytes() for path in paths
    ]
    assert (again / "trials.jsonl").read_bytes() == (place.parent / "trials.jsonl").read_bytes()


def test_a_whole_register_has_no_problem_and_holds_one_file_a_trial(root: UPath, place: Path) -> None:
    found = trials.read(root, "demo")
    assert list(trials.read(root, "demo", found.witness).problems) == []
    assert found.n_lost == 0
    assert len(list(place.glob("*.parquet"))) == 5  # the superseded run of my_rule is gone, its digest is in entry 1
    assert enter(root, history("my_rule", 3), history("momentum", 1, DAYS[:200])) == 0  # reruns
    assert len(list((place / "index").iterdir())) == 3


def test_trials_are_read_in_the_order_in_which_they_were_made(root: UPath) -> None:
    for name in ("zebra", "apple", "mango"):
        enter(root, history(name, len(name) + ord(name[0])))
    assert trials.load(root, "demo")["strategy"].unique(maintain_order=True).to_list() == ["zebra", "apple", "mango"]


def edit_history(place: Path) -> None:
    path = next(place.glob("momentum*.parquet"))
    pl.read_parquet(path).with_columns(simple_return_1d=pl.col("simple_return_1d") - 0.001).write_parquet(path)


def edit_entry(place: Path) -> None:
    path = sorted((place / "index").iterdir())[0]
    path.write_bytes(path.read_bytes().replace(b"momentum", b"momentux"))


def delete_entry(number: int) -> Callable[[Path], None]:
    return lambda place: sorted((place / "index").iterdir())[number].unlink()


def cut_everywhere(place: Path) -> None:
    """The newest entry out of the index and out of the copy, and a middle one: only its neighbours can tell."""
    sorted((place / "index").iterdir())[1].unlink()
    copy = place.parent / "trials.jsonl"
    lines = copy.read_bytes().splitlines(keepends=True)
    copy.write_bytes(lines[0] + lines[2])


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "a deleted history": (lambda place: next(place.glob("momentum*.parquet")).unlink(), "history of momentum"),
    "an edited history": (edit_history, "history of momentum"),
    "an unreadable history": (
        lambda place: next(place.glob("my_rule*.parquet")).write_bytes(b"PAR1"),
        "history of my_",
    ),
    "an edited entry": (edit_entry, "was edited"),
    "the first entry deleted": (delete_entry(0), "entry 1 was taken out"),
    "the newest entry deleted": (delete_entry(2), "entry 3 was taken out"),
    "the index deleted": (lambda place: shutil.rmtree(place / "index"), "entry 1 was taken out"),
    "the whole folder deleted": (lambda place: shutil.rmtree(place), "history of equal_weight"),
    "the copy deleted": (lambda place: (place.parent / "trials.jsonl").unlink(), "trials.jsonl was deleted"),
    "the copy edited": (lambda place: (place.parent / "trials.jsonl").write_bytes(b"{}\n"), "trials.jsonl was edited"),
    "an entry out of both": (cut_everywhere, "entry 2 is lost"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_is_noticed_and_what_is_lost_goes_on_counting(root: UPath, place: Path, kind: str) -> None:
    before, signed = counted(root), trials.signature(root, "demo", DAYS[-1])
    damage, told = DAMAGE[kind]
    damage(place)
    problems = list(trials.read(root, "demo").problems)
    assert any(told in problem for problem in problems), problems
    assert counted(root).at_least(before) == counted(root)
    assert trials.signature(root, "demo", DAYS[-1]) != signed  # so that the report is made again and says it
    found = trials.read(root, "demo")
    warned = damage_warnings(register_damage(found, histories(history("my_rule", 3).clear(), BENCHMARK)))
    assert warned[0].startswith("REGISTER OF TRIALS DAMAGED: ")
    assert told in warned[0]


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_further_try_after_damage_neither_mends_it_unseen_nor_lowers_anything(
    root: UPath, place: Path, kind: str
) -> None:
    before = counted(root)
    DAMAGE[kind][0](place)
    assert enter(root, history("another", 11)) == 1
    after = counted(root)
    assert after.at_least(before) == after
    assert after.n_trials > before.n_trials
    if not kind.startswith("the copy"):  # a copy of an index that is whole is just made again
        assert list(trials.read(root, "demo").problems) != []


@pytest.mark.parametrize("kind", ["register and copy deleted", "newest entry out of both"])
def test_what_every_copy_has_lost_is_missed_by_the_witness_outside(root: UPath, place: Path, kind: str) -> None:
    before, witness = counted(root), trials.read(root, "demo").witness
    if kind == "register and copy deleted":
        shutil.rmtree(place)
        (place.parent / "trials.jsonl").unlink()
    else:
        sorted((place / "index").iterdir())[-1].unlink()
        copy = place.parent / "trials.jsonl"
        copy.write_bytes(b"".join(copy.read_bytes().splitlines(keepends=True)[:-1]))
    assert any("is gone" in problem for problem in list(trials.read(root, "demo", witness).problems))
    assert counted(root, witness).n_trials == before.n_trials
    enter(root, history("another", 11), witness=witness)  # the next backtest, which knows the witness
    assert counted(root).n_trials == before.n_trials + 1
    if kind == "register and copy deleted":
        assert "of 6 trials 5 are known by their number only" in list(trials.read(root, "demo").problems)


def test_running_the_very_backtest_again_restores_a_lost_history(root: UPath, place: Path) -> None:
    next(place.glob("momentum*.parquet")).unlink()
    assert enter(root, history("momentum", 1, DAYS[:200])) == 0
    assert list(trials.read(root, "demo").problems) == []
    assert len(list((place / "index").iterdir())) == 3


def test_a_report_that_does_not_find_its_own_backtest_in_the_register_says_so(root: UPath) -> None:
    enter(root, history("a", 1))
    own = histories(pl.concat([history("a", 1), history("b", 2)]), BENCHMARK)
    assert register_damage(trials.read(root, "demo"), own) == "it lacks this backtest's own b"
    assert trials.hurdle(trials.read(root, "demo"), own, DAYS[-1]).n_trials == 2


def test_a_lost_history_that_the_report_has_at_hand_counts_once(root: UPath) -> None:
    own = histories(pl.concat([history("a", 1), history("b", 2)]), BENCHMARK)
    enter(root, history("a", 1), history("b", 2))
    next((Path(str(root)) / "demo" / "trials").glob("b-*.parquet")).unlink()
    assert trials.hurdle(trials.read(root, "demo"), own, DAYS[-1]).n_trials == 2
    assert register_damage(trials.read(root, "demo"), own).endswith("it lacks this backtest's own b")


# ---- writers --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("moment", ["histories", "entry", "copy", "superseded"])
def test_a_writer_that_is_killed_leaves_a_whole_register(
    root: UPath, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    filled(root)
    books = (history("equal_weight", 0), history("new", 12))  # one is longer, one is new
    real, calls = trial_index.atomic_write, []

    def write(path: UPath, data: bytes) -> None:
        calls.append(path)
        if len(calls) == {"histories": 1, "entry": 2}.get(moment, 3):
            raise KeyboardInterrupt
        real(path, data)

    with monkeypatch.context() as patch:
        if moment == "superseded":
            patch.setattr(UPath, "unlink", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
            patch.setattr(type(root), "unlink", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        elif moment != "copy":
            patch.setattr(trial_index, "atomic_write", write)
        else:
            patch.setattr(trial_index, "atomic_write", lambda p, d: real(p, d) if "index" in str(p) else write_fails())
        with pytest.raises(KeyboardInterrupt):
            enter(root, *books)
    assert list(trials.read(root, "demo").problems) == []
    enter(root, *books)
    assert list(trials.read(root, "demo").problems) == []
    assert counted(root).n_trials == 6
    rows = trials.load(root, "demo")
    assert rows.filter(pl.col("strategy") == "equal_weight").height == len(DAYS) - 1


def write_fails() -> None:
    raise KeyboardInterrupt


def test_writers_at_the_same_time_lose_nothing(root: UPath) -> None:
    failures: list[BaseException] = []

    def one(k: int) -> None:
        try:
            enter(root, history(f"rule{k}", 30 + k))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=one, args=(k,)) for k in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert list(trials.read(root, "demo").problems) == []
    assert trials.load(root, "demo")["trial"].n_unique() == 6


def test_an_object_store_keeps_a_register_too_and_counts_both_of_two_writers_that_met() -> None:
    root = UPath("memory://trials-test")
    filled(root)
    assert list(trials.read(root, "demo").problems) == []
    assert counted(root).n_trials == 5
    place = trials.folder(root, "demo")
    index = trial_index.read_index(place)
    enter(root, history("first", 21))
    entry = trial_index.Entry(4, index.head, {"trials": [], "luck": index.entries[-1].says["luck"]})
    (trial_index.index_folder(place) / trial_index._name(entry)).write_bytes(entry.text.encode())  # met at number 4
    assert len(trial_index.read_index(place).head) == 2
    enter(root, history("second", 22))
    assert list(trials.read(root, "demo").problems) == []
    assert counted(root).n_trials == 7


# ---- older registers, restated histories ----------------------------------------------------------------------------


def test_a_register_without_an_index_is_taken_over_in_the_order_of_its_names(root: UPath) -> None:
    place = Path(str(root)) / "demo" / "trials"
    place.mkdir(parents=True)
    for name, seed in (("zebra", 1), ("momentum", 2), ("apple", 3)):
        old = history(name, seed).slice(1).with_columns(risk_free_return_1d=0.0002)
        old.select("date", "simple_return_1d", "risk_free_return_1d", "strategy").write_parquet(
            place / f"{name}-{seed}.parquet"
        )
    assert enter(root, history("momentum", 2), history("new", 4)) == 1
    assert trials.load(root, "demo")["strategy"].unique(maintain_order=True).to_list() == [
        "apple", "momentum", "zebra", "new",
    ]  # fmt: skip
    assert list(trials.read(root, "demo").problems) == []
    assert marks(root)["momentum"] == [True]  # its settings are known now
    assert trials.load(root, "demo").filter(pl.col("strategy") == "momentum")["benchmark_return_1d"].null_count() == 0


def test_the_signature_changes_when_a_history_is_restated(root: UPath) -> None:
    enter(root, history("a", 1))
    before = trials.signature(root, "demo", DAYS[-1])
    early = trials.signature(root, "demo", DAYS[10])
    assert enter(root, history("a", 1, restated=1e-4)) == 0  # the same bet; one price was corrected
    assert trials.signature(root, "demo", DAYS[-1]) != before
    assert trials.signature(root, "demo", DAYS[10]) == early
    names = trials.load(root, "demo")["trial"].unique().to_list()
    assert len(names) == 1


def test_a_shorter_run_of_a_restated_bet_leaves_the_longer_one(root: UPath) -> None:
    enter(root, history("a", 1))
    before = trials.signature(root, "demo", DAYS[-1])
    enter(root, history("a", 1, DAYS[:200], restated=1e-4))
    assert trials.signature(root, "demo", DAYS[-1]) == before


# ---- what Dagster remembers -----------------------------------------------------------------------------------------


def test_the_event_log_is_a_witness_of_the_register_in_its_place(root: UPath, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUANT_DATA", str(root))
    lab, instance = Lab(load_profile("demo")), dg.DagsterInstance.ephemeral()
    assert trial_witness.witness(lab, instance) is None
    filled(root)
    event = dg.AssetMaterialization(lab.key("backtest"), partition="2020", metadata=trial_witness.noted(lab))
    instance.report_runless_asset_event(event)
    assert trial_witness.witness(lab, instance) == trials.read(root, "demo").witness
    assert list(trials.read(root, "demo", trial_witness.witness(lab, instance)).problems) == []
    monkeypatch.setenv("QUANT_DATA", str(root / "elsewhere"))
    assert trial_witness.witness(Lab(load_profile("demo")), instance) is None


# ---- overfitting by family ------------------------------------------------------------------------------------------


def test_overfitting_is_judged_over_the_variants_of_a_strategy_as_well(root: UPath) -> None:
    for k in range(3):
        enter(root, history("top_n_ridge", 40 + k), history("min_variance", 50), changed={"target_weights.top_n": k})
    enter(root, history("top_n_boosting", 45))
    found = overfitting_by_family(trials.load(root, "demo"), pl.Series(DAYS[1:], dtype=pl.Date), list(STRATEGIES))
    assert {name: one.n_trials for name, one in found.items()} == {"top_n": 4}
    assert 0.0 <= found["top_n"].pbo <= 1.0


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [("top_n_ridge", "top_n"), ("momentum", "momentum"), ("momentum_fast", "momentum"), ("momentumx", "momentumx")],
)
def test_a_family_is_the_registered_strategy_before_the_name(strategy: str, expected: str) -> None:
    assert family(strategy, list(STRATEGIES)) == expected
