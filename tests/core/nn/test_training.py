"""The training loop against loops written by hand, torch's own schedules and scripted judges."""

import json
import math
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from safetensors.torch import load_file
from small_training import N_ROWS, Problem, quiet, same
from torch import Tensor, nn

from quant_core.errors import DataError
from quant_core.nn.optimisers import make_optimiser, rate_share, undecayed
from quant_core.nn.processes import Place, shard
from quant_core.nn.steps import Stepper
from quant_core.nn.training import Trained, TrainingSettings, draw_rows, train

SHORT = TrainingSettings(epochs=3, batch_size=50, windows_per_epoch=None, device="cpu", threads=1)


def ended(settings: TrainingSettings, dropout: float = 0.0, **more: Any) -> Trained:
    return Problem(dropout).train(settings, **more)


def by_hand(settings: TrainingSettings, seed: int = 1) -> dict[str, Tensor]:
    """The same training as one writes it in a notebook; no dropout."""
    problem = Problem(0.0)
    plain = set(undecayed(problem.network))
    optimiser = torch.optim.AdamW(
        [
            {"params": [p for n, p in problem.network.named_parameters() if n not in plain], "weight_decay": 0.01},
            {"params": [p for n, p in problem.network.named_parameters() if n in plain], "weight_decay": 0.0},
        ],
        lr=settings.learning_rate,
    )
    n_steps, step = 4 * settings.epochs, 0
    for epoch in range(1, settings.epochs + 1):
        for rows in draw_rows(N_ROWS, None, seed, epoch).split(50):
            for group in optimiser.param_groups:
                group["lr"] = settings.learning_rate * rate_share(step, n_steps, "cosine", 0.1, 0.05)
            optimiser.zero_grad()
            problem.losses(rows)["loss"].backward()
            nn.utils.clip_grad_norm_(problem.network.parameters(), settings.clip_norm or math.inf)
            optimiser.step()
            step += 1
    return problem.network.state_dict()


@pytest.mark.parametrize("clip_norm", [None, 0.1])
def test_the_loop_is_the_loop_one_writes_by_hand(clip_norm: float | None) -> None:
    settings = replace(SHORT, clip_norm=clip_norm, learning_rate=0.01)
    found, expected = ended(settings).last, by_hand(settings)
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, atol=1e-6, rtol=1e-5)


def test_the_curve_is_what_the_losses_and_the_judge_said() -> None:
    told: list[tuple[int, Mapping[str, float]]] = []
    problem = Problem(0.0)
    start = {name: float(value.detach()) for name, value in problem.losses(torch.arange(N_ROWS)).items()}
    trained = problem.train(replace(SHORT, epochs=2, batch_size=N_ROWS), lambda *said: told.append(said))
    curve = trained.curve
    assert curve.columns == [
        "epoch", "train_loss", "train_square", "train_absolute", "learning_rate", "validation_score",
    ]  # fmt: skip
    assert curve["epoch"].to_list() == [1, 2]
    assert curve.schema["epoch"] == pl.Int32
    first = curve.row(0, named=True)  # one step an epoch: its loss is that of the first weights
    assert first["train_loss"] == pytest.approx(start["loss"], rel=1e-6)
    assert first["train_absolute"] == pytest.approx(start["absolute"], rel=1e-6)
    assert [epoch for epoch, _ in told] == [1, 2]
    for (_, values), row in zip(told, curve.iter_rows(named=True), strict=True):
        rest = dict(values)
        assert rest.pop("samples_per_s") > 0.0
        assert {"epoch": row["epoch"], **rest} == row
    problem.network.load_state_dict(trained.last)
    assert problem.judge()["score"] == pytest.approx(curve["validation_score"][-1], rel=1e-6)


def test_means_of_an_epoch_weigh_each_row_alike() -> None:
    problem = Problem()
    known = torch.arange(7.0)

    def losses(rows: Tensor) -> dict[str, Tensor]:
        return {"loss": known[rows].mean() + 0.0 * problem.network[0].bias.sum()}

    settings = replace(SHORT, epochs=1, batch_size=3, accumulation=2)  # steps of 3, 2 and 2 rows
    curve = train(problem.network, 7, losses, lambda: {"score": 0.0}, settings, 0, quiet).curve
    assert curve["train_loss"][0] == pytest.approx(3.0)


@pytest.mark.parametrize(("schedule", "expected"), [
    ("cosine", [0.5, 1.0, 1.0, 0.775, 0.325, 0.1]),  # 0.1 + 0.9 (1 + cos(pi k/3)) / 2
    ("linear", [0.5, 1.0, 1.0, 0.7, 0.4, 0.1]),
    ("constant", [0.5, 1.0, 1.0, 1.0, 1.0, 1.0]),
])  # fmt: skip
def test_the_rate_rises_and_falls_as_written(schedule: Any, expected: list[float]) -> None:
    found = [rate_share(step, 6, schedule, 1 / 3, 0.1) for step in range(6)]
    assert found == pytest.approx(expected)


def test_the_schedule_is_torchs_warmup_and_cosine() -> None:
    optimiser = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    rise = torch.optim.lr_scheduler.LinearLR(optimiser, start_factor=1 / 10, end_factor=1.0, total_iters=9)
    fall = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, T_max=89, eta_min=0.05)
    theirs = torch.optim.lr_scheduler.SequentialLR(optimiser, [rise, fall], milestones=[10])
    for step in range(100):
        assert rate_share(step, 100, "cosine", 0.1, 0.05) == pytest.approx(optimiser.param_groups[0]["lr"], abs=1e-9)
        optimiser.step()
        theirs.step()


@pytest.mark.parametrize("n_steps", [1, 2, 3])
def test_a_training_of_few_steps_has_a_rate(n_steps: int) -> None:
    for schedule in ("cosine", "linear", "constant"):
        shares = [rate_share(step, n_steps, schedule, 1.0, 0.0) for step in range(n_steps)]
        assert shares == [pytest.approx((step + 1) / n_steps) for step in range(n_steps)]
        assert rate_share(0, n_steps, schedule, 0.0, 0.0) == 1.0


class Mixed(nn.Module):
    """Every kind of parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(3, 4)
        self.norm = nn.LayerNorm((2, 4))  # two dimensions, still a norm
        self.stacked = nn.ParameterDict({"weight": torch.ones(2, 3, 4), "bias": torch.ones(2, 4)})
        self.scale = nn.Parameter(torch.ones(4))
        self.frozen = nn.Parameter(torch.ones(3, 3), requires_grad=False)


def test_only_matrices_decay() -> None:
    network = Mixed()
    assert set(undecayed(network)) == {
        "gru.bias_ih_l0", "gru.bias_hh_l0", "norm.weight", "norm.bias", "stacked.bias", "scale",
    }  # fmt: skip
    optimiser = make_optimiser(network, 1.0, 0.1)
    decay = {id(value): group["weight_decay"] for group in optimiser.param_groups for value in group["params"]}
    found = {name: decay.get(id(value)) for name, value in network.named_parameters()}
    assert {name for name, share in found.items() if share == 0.1} == {
        "gru.weight_ih_l0", "gru.weight_hh_l0", "stacked.weight",
    }  # fmt: skip
    assert found["frozen"] is None
    assert len(decay) == len(found) - 1


def test_slow_parameters_take_their_share_of_a_step() -> None:
    problem = Problem(0.0)
    before = problem.network.state_dict()
    before = {name: value.clone() for name, value in before.items()}
    settings = replace(SHORT, epochs=1, batch_size=N_ROWS, warmup_share=0.0, weight_decay=0.0, clip_norm=None)
    after = train(problem.network, N_ROWS, problem.losses, problem.judge, settings, 0, quiet, slow=("4.",)).last
    # the first step of Adam is its rate for every weight whose gradient is not tiny
    moved = {name: float((after[name] - value).abs().max()) for name, value in before.items()}
    assert moved["0.weight"] == pytest.approx(1e-3, rel=1e-3)
    assert moved["4.weight"] == pytest.approx(1e-4, rel=1e-3)


@pytest.mark.parametrize("slow", [("0.", "encoder."), ("nothing",)])
def test_slow_parameters_that_do_not_exist_are_refused(slow: tuple[str, ...]) -> None:
    problem = Problem()
    with pytest.raises(DataError, match=slow[-1]):
        train(problem.network, N_ROWS, problem.losses, problem.judge, SHORT, 0, quiet, slow=slow)


def test_a_frozen_network_is_refused() -> None:
    problem = Problem()
    problem.network.requires_grad_(False)
    with pytest.raises(DataError, match="0 trainable"):
        problem.train(SHORT)


def scripted(scores: list[float], settings: TrainingSettings) -> tuple[Trained, list[dict[str, Tensor]]]:
    """A training whose judge says `scores`, and the state that it saw each time."""
    problem, left, seen = Problem(), list(scores), []

    def judge() -> dict[str, float]:
        assert not problem.network.training
        assert not torch.is_grad_enabled()
        seen.append({name: value.clone() for name, value in problem.network.state_dict().items()})
        return {"score": left.pop(0), "other": math.nan}

    trained = train(problem.network, N_ROWS, problem.losses, judge, settings, 0, quiet)
    assert same(problem.network.state_dict(), trained.state)
    assert not problem.network.training
    return trained, seen


def test_training_stops_when_patience_is_over_and_keeps_best_and_last() -> None:
    trained, seen = scripted([1.0, 2.0, 2.05, 1.0, 3.0], replace(SHORT, epochs=9, patience=2, min_delta=0.1))
    assert trained.curve["validation_score"].to_list() == [1.0, 2.0, 2.05, 1.0]  # 2.05 is not better by 0.1
    assert trained.best_epoch == 2
    assert same(trained.state, seen[1])
    assert same(trained.last, seen[3])


def test_a_better_epoch_makes_patience_new() -> None:
    trained, seen = scripted([1.0, 0.5, 1.5, 0.5, 0.2, 9.0], replace(SHORT, epochs=9, patience=2))
    assert (trained.best_epoch, trained.curve.height) == (3, 5)
    assert same(trained.state, seen[2])


def test_without_patience_every_epoch_is_trained() -> None:
    trained, _ = scripted([3.0, 2.0, 1.0, 0.5], replace(SHORT, epochs=4, patience=None))
    assert (trained.best_epoch, trained.curve.height) == (1, 4)


@pytest.mark.parametrize("accumulation", [2, 3, 10])
def test_accumulated_steps_are_those_of_the_larger_batch(accumulation: int) -> None:
    whole, parts = ended(SHORT), ended(replace(SHORT, accumulation=accumulation))
    for name, value in whole.last.items():
        torch.testing.assert_close(parts.last[name], value, atol=1e-5, rtol=1e-4)
    assert parts.curve["train_loss"].to_list() == pytest.approx(whole.curve["train_loss"].to_list(), rel=1e-5)


def test_steps_of_an_epoch_are_of_equal_size_and_in_training_mode() -> None:
    problem, sizes = Problem(), []

    def losses(rows: Tensor) -> dict[str, Tensor]:
        assert problem.network.training
        sizes.append(len(rows))
        return problem.losses(rows)

    settings = replace(SHORT, epochs=2, windows_per_epoch=130, batch_size=50)
    train(problem.network, N_ROWS, losses, problem.judge, settings, 0, quiet)
    assert sizes == [44, 43, 43] * 2


def test_rows_of_an_epoch_are_drawn_once_and_by_seed_and_epoch_alone() -> None:
    rows = draw_rows(100, 40, seed=7, epoch=2)
    assert len(set(rows.tolist())) == 40
    assert set(draw_rows(100, None, 7, 2).tolist()) == set(range(100))
    torch.manual_seed(9)
    assert torch.equal(draw_rows(100, 40, 7, 2), rows)
    others = [draw_rows(100, 40, seed, epoch) for seed, epoch in ((7, 3), (8, 2), (2, 7))]
    assert not any(torch.equal(rows, other) for other in others)
    assert len(draw_rows(10, 40, 7, 2)) == 10


def test_equal_seeds_give_equal_bits_and_the_callers_randomness_is_left_alone() -> None:
    torch.manual_seed(4)
    before = torch.get_rng_state()
    first = ended(SHORT, dropout=0.5)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(77)
    again, other = ended(SHORT, dropout=0.5), ended(SHORT, dropout=0.5, seed=2)
    assert same(first.last, again.last)
    assert same(first.state, again.state)
    assert first.curve.equals(again.curve)
    assert not same(first.last, other.last)


def test_dropout_is_another_one_in_every_epoch() -> None:
    network, seen = nn.Sequential(nn.Linear(1, 64), nn.Dropout(0.5)), []

    def losses(rows: Tensor) -> dict[str, Tensor]:
        said = network(torch.ones(1, 1))
        seen.append((said == 0.0).flatten().tolist())
        return {"loss": said.sum()}

    train(network, 2, losses, lambda: {"score": 0.0}, replace(SHORT, batch_size=1), 0, quiet)
    assert len({tuple(mask) for mask in seen}) == 6


def test_threads_are_those_of_the_settings_and_come_back() -> None:
    before, seen = torch.get_num_threads(), []
    problem = Problem()
    train(
        problem.network, N_ROWS, problem.losses, lambda: {"score": float(seen.append(torch.get_num_threads()) or 0)},
        replace(SHORT, epochs=1, threads=before + 1), 0, quiet,
    )  # fmt: skip
    assert seen == [before + 1]
    assert torch.get_num_threads() == before


@pytest.mark.parametrize(("precision", "dtype"), [
    ("auto", torch.float32), ("fp32", torch.float32), ("bf16", torch.bfloat16), ("fp16", torch.float16),
])  # fmt: skip
def test_precision_is_that_of_matrix_products_and_the_result_is_near(precision: Any, dtype: torch.dtype) -> None:
    problem, seen = Problem(0.0), set()
    problem.network[0].register_forward_hook(lambda module, _, said: seen.add((module.training, said.dtype)))
    found = problem.train(replace(SHORT, precision=precision))
    assert seen == {(True, dtype), (False, torch.float32)}  # what is judged is what will be said
    assert {value.dtype for value in found.last.values()} == {torch.float32}
    exact = ended(SHORT).curve["train_loss"].to_list()
    assert found.curve["train_loss"].to_list() == pytest.approx(exact, rel=1e-6 if dtype == torch.float32 else 0.02)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device is present")
def test_a_gpu_trains_in_half_precision_near_the_cpu_and_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    def on_gpu(settings: TrainingSettings) -> Trained:
        problem = Problem(0.0)
        problem.x, problem.y = problem.x.cuda(), problem.y.cuda()
        return problem.train(settings, folder=tmp_path)

    settings = replace(SHORT, device="cuda")
    first, again = on_gpu(settings), on_gpu(settings)
    assert same(first.last, again.last)
    assert first.curve["train_loss"].to_list() == pytest.approx(ended(SHORT).curve["train_loss"].to_list(), rel=0.02)
    assert {value.device.type for value in first.state.values()} == {"cpu"}


def stepper(problem: Problem, **more: Any) -> Stepper:
    optimiser = make_optimiser(problem.network, 1e-3, 0.0)
    return Stepper(problem.network, problem.losses, optimiser, Place(torch.device("cpu")), **more)


def test_a_step_that_overflows_in_half_precision_is_left_out_and_the_scale_lowered() -> None:
    problem = Problem(0.0)
    own = stepper(problem, dtype=torch.float16)
    own.scaler.load_state_dict({**own.scaler.state_dict(), "scale": 2.0**40})
    before = {name: value.clone() for name, value in problem.network.state_dict().items()}
    own.step(torch.arange(N_ROWS), 1e-3, "here")
    assert own.scaler.get_scale() == 2.0**39
    assert same(problem.network.state_dict(), before)
    own.scaler.load_state_dict({**own.scaler.state_dict(), "scale": 2.0**8})
    own.step(torch.arange(N_ROWS), 1e-3, "here")
    assert not same(problem.network.state_dict(), before)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_no_number_stops_before_the_weights_change(value: float, dtype: torch.dtype) -> None:
    problem = Problem(0.0)
    problem.y[3] = value
    before = {name: value.clone() for name, value in problem.network.state_dict().items()}
    with pytest.raises(DataError, match=r"epoch 2, step 1 of 4, learning rate 0\.25: loss (nan|inf).*Lower"):
        stepper(problem, dtype=dtype).step(torch.arange(8), 0.25, "epoch 2, step 1 of 4")
    assert same(problem.network.state_dict(), before)


def test_a_gradient_that_is_no_number_stops_before_the_weights_change() -> None:
    weight = nn.Linear(1, 1, bias=False)

    def losses(rows: Tensor) -> dict[str, Tensor]:
        return {"loss": (weight(torch.zeros(1, 1)) * 0.0).sqrt().sum()}  # 0, with a gradient of 0 / 0

    before = weight.weight.clone()
    with pytest.raises(DataError, match=r"epoch 1, step 1 of 1, learning rate .*norm of the gradients nan"):
        train(weight, 1, losses, lambda: {"score": 0.0}, SHORT, 0, quiet)
    assert torch.equal(weight.weight, before)


@pytest.mark.parametrize("score", [math.nan, math.inf])
def test_a_score_that_is_no_number_is_refused(score: float) -> None:
    with pytest.raises(DataError, match=f"epoch 1: the judge's score is {score}"):
        scripted([score], SHORT)


@pytest.mark.parametrize("n_rows", [0, -1])
def test_nothing_to_train_on_is_said(n_rows: int) -> None:
    problem = Problem()
    with pytest.raises(DataError, match="no window to train on"):
        train(problem.network, n_rows, problem.losses, problem.judge, SHORT, 0, quiet)


@pytest.mark.parametrize(("name", "value"), [
    ("epochs", 0), ("windows_per_epoch", 0), ("stride", 0), ("batch_size", 0), ("patience", 0), ("accumulation", 0),
    ("threads", 0), ("learning_rate", 0.0), ("learning_rate", math.nan), ("learning_rate", math.inf),
    ("clip_norm", 0.0), ("weight_decay", -1.0), ("min_delta", -0.1), ("min_delta", math.nan), ("warmup_share", 1.1),
    ("final_rate_share", -0.1), ("pretrained_rate_share", 2.0), ("schedule", "step"), ("precision", "fp8"),
    ("device", "tpu"),
])  # fmt: skip
def test_settings_out_of_range_are_refused(name: str, value: Any) -> None:
    with pytest.raises(DataError, match=f"training: {name} is"):
        TrainingSettings(**{name: value})


def test_a_device_that_is_absent_is_refused() -> None:
    if torch.cuda.is_available():
        pytest.skip("it is present")
    with pytest.raises(DataError, match="not present"):
        ended(replace(SHORT, device="cuda"))


def test_compiling_is_asked_for_and_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is compiled is the call of the network that the losses use; torch's compiler itself is slow to wake."""
    calls = []

    def compiled(call: Any, **_: Any) -> Any:
        return lambda *inputs: calls.append(len(inputs[0])) or call(*inputs)

    monkeypatch.setattr(torch, "compile", compiled)
    problem = Problem(0.0)
    trained = problem.train(replace(SHORT, compile=True))
    assert calls == ([50] * 4 + [N_ROWS]) * 3
    assert same(trained.last, ended(SHORT).last)
    problem.judge()
    assert len(calls) == 15


@pytest.mark.slow
def test_a_compiled_network_is_the_same_up_to_rounding_and_keeps_its_names() -> None:
    plain, fast = ended(SHORT), ended(replace(SHORT, compile=True))
    assert list(fast.last) == list(plain.last)
    for name, value in plain.last.items():
        torch.testing.assert_close(fast.last[name], value, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("n_rows", "world", "parts"), [(10, 1, 1), (10, 1, 3), (10, 3, 2), (5, 4, 3), (4, 4, 1)])
def test_processes_share_out_every_row_once(n_rows: int, world: int, parts: int) -> None:
    rows = torch.arange(n_rows)
    pieces = [shard(rows, Place(torch.device("cpu"), rank, world), parts) for rank in range(world)]
    assert len({len(own) for own in pieces}) == 1  # all exchange gradients equally often
    assert all(len(piece) for own in pieces for piece in own)
    assert torch.equal(torch.cat([piece for own in pieces for piece in own]), rows)


def test_fewer_rows_than_processes_are_refused() -> None:
    with pytest.raises(DataError, match="2 rows for 3 processes"):
        shard(torch.arange(2), Place(torch.device("cpu"), 0, 3), 1)


#: What a process of its own imports: the lab and the small problem.
PATHS = os.pathsep.join([str(Path(__file__).parents[3]), str(Path(__file__).parent)])

PROCESSES = """
import json, sys
from pathlib import Path
from torch import distributed
from safetensors.torch import save_file
from quant_core.nn.training import TrainingSettings
from small_training import Problem
folder = Path(sys.argv[1])
told = []
problem = Problem(0.0)
settings = TrainingSettings(epochs=3, batch_size=50, windows_per_epoch=None, device="cpu", threads=1, accumulation=2)
trained = problem.train(settings, lambda epoch, values: told.append(epoch), folder)
rank, world = distributed.get_rank(), distributed.get_world_size()
save_file(trained.last, folder / f"last-{rank}.safetensors")
(folder / f"said-{rank}.json").write_text(json.dumps([world, told, trained.curve.rows()]))
"""


@pytest.mark.slow
def test_two_processes_train_the_network_that_one_trains(tmp_path: Path) -> None:
    script = tmp_path / "both.py"
    script.write_text(PROCESSES)
    subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", script, tmp_path],
        check=True, timeout=240, capture_output=True,
        env={**os.environ, "PYTHONPATH": PATHS, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    alone = ended(SHORT)
    first, second = (json.loads((tmp_path / f"said-{rank}.json").read_text()) for rank in (0, 1))
    assert first[0] == second[0] == 2
    assert (first[1], second[1]) == ([1, 2, 3], [])  # the first one alone writes and speaks
    assert len(list(tmp_path.glob("training-*.safetensors"))) == 1
    assert first[2] == second[2]
    for row, expected in zip(first[2], alone.curve.rows(), strict=True):
        assert row == pytest.approx(expected, rel=1e-4)
    both = [load_file(tmp_path / f"last-{rank}.safetensors") for rank in (0, 1)]
    for name, value in alone.last.items():
        assert torch.equal(both[0][name], both[1][name])
        torch.testing.assert_close(both[0][name], value, atol=1e-5, rtol=1e-4)
