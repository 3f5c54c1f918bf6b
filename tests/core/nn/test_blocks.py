"""Network blocks against torch's own, published formulas and hand values."""

import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from quant_core.errors import DataError
from quant_core.nn.attention import InterpretableAttention, SelfAttention
from quant_core.nn.dropout import Dropout
from quant_core.nn.encoder import Encoder
from quant_core.nn.gating import GatedResidual, PerVariable, VariableSelection
from quant_core.nn.heads import (
    DirectionHead,
    Gaussian,
    GaussianHead,
    Heads,
    QuantileHead,
    StudentT,
    StudentTHead,
    VarianceHead,
)
from quant_core.nn.losses import (
    LossWeights,
    Targets,
    direction_loss,
    gaussian_nll,
    multi_task_loss,
    pinball,
    qlike,
    squared_error,
    student_t_nll,
)
from quant_core.nn.positions import rotate, sinusoidal
from quant_core.nn.shapes import EncoderConfig


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def drawn(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("hides", [False, True])
def test_attention_is_torchs_multi_head_attention(hides: bool) -> None:
    own, theirs = SelfAttention(16, 4), nn.MultiheadAttention(16, 4, batch_first=True)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(own.qkv.weight)
        theirs.in_proj_bias.copy_(own.qkv.bias)
        theirs.out_proj.weight.copy_(own.out.weight)
        theirs.out_proj.bias.copy_(own.out.bias)
    x = drawn(3, 7, 16)
    hidden = torch.zeros(3, 7, dtype=torch.bool)
    hidden[1, 2:5] = hides
    expected, _ = theirs(x, x, x, key_padding_mask=hidden)
    torch.testing.assert_close(own(x, hidden if hides else None), expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(own(x, hidden, reads_last=True), expected[:, -1:], atol=1e-5, rtol=1e-5)


def test_causal_attention_does_not_see_what_comes_after() -> None:
    own, x = SelfAttention(8, 2, is_rotary=True), drawn(2, 6, 8)
    changed = x.clone()
    changed[:, 4:] += 1.0
    torch.testing.assert_close(own(x, is_causal=True)[:, :4], own(changed, is_causal=True)[:, :4])
    assert not torch.allclose(own(x)[:, :4], own(changed)[:, :4])


def test_causal_attention_with_hidden_positions_is_torchs_with_both_masks() -> None:
    own, theirs = SelfAttention(8, 2), nn.MultiheadAttention(8, 2, batch_first=True)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(own.qkv.weight)
        theirs.in_proj_bias.copy_(own.qkv.bias)
        theirs.out_proj.weight.copy_(own.out.weight)
        theirs.out_proj.bias.copy_(own.out.bias)
    x, hidden = drawn(2, 6, 8), torch.zeros(2, 6, dtype=torch.bool)
    hidden[1, 1:3] = True
    later = torch.triu(torch.ones(6, 6, dtype=torch.bool), diagonal=1)
    expected, _ = theirs(x, x, x, key_padding_mask=hidden, attn_mask=later)
    torch.testing.assert_close(own(x, hidden, is_causal=True), expected, atol=1e-5, rtol=1e-5)


def test_positions_have_the_published_values() -> None:
    table = sinusoidal(5, 6)
    for t in range(5):
        for i in range(3):
            angle = t / 10_000 ** (2 * i / 6)
            assert table[t, 2 * i].item() == pytest.approx(math.sin(angle), abs=1e-6)
            assert table[t, 2 * i + 1].item() == pytest.approx(math.cos(angle), abs=1e-6)


def test_rotation_keeps_length_and_makes_products_depend_on_the_distance_alone() -> None:
    q, k = drawn(1, 1, 8).expand(1, 9, 8), drawn(2, 1, 8)[1:].expand(1, 9, 8)
    torch.testing.assert_close(rotate(q).norm(dim=-1), q.norm(dim=-1))
    products = (rotate(q) @ rotate(k).transpose(1, 2))[0]
    for lag in range(-4, 5):
        diagonal = products.diagonal(lag)
        torch.testing.assert_close(diagonal, diagonal[:1].expand_as(diagonal), atol=1e-5, rtol=1e-5)


def test_the_weights_of_interpretable_attention_are_the_heads_mean_and_hide_the_future() -> None:
    own, x = InterpretableAttention(12, 3), drawn(2, 5, 12)
    hidden = torch.triu(torch.ones(5, 5, dtype=torch.bool), diagonal=1)
    mixed, weights = own(x, x, hidden)
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 5))
    assert weights[:, hidden].abs().max() == 0.0
    values = own.v(x)
    per_head = []
    for head in range(3):
        part = slice(4 * head, 4 * head + 4)
        scores = own.q(x)[..., part] @ own.k(x)[..., part].transpose(1, 2) / 2.0
        per_head.append(torch.softmax(scores.masked_fill(hidden, -torch.inf), -1) @ values)
    torch.testing.assert_close(mixed, own.out(torch.stack(per_head).mean(0)), atol=1e-5, rtol=1e-5)


def test_the_encoder_is_torchs_pre_norm_encoder() -> None:
    config = EncoderConfig(d_model=16, heads=2, layers=2, feed_forward=32, dropout=0.0, pooling="mean")
    own = Encoder(5, config).eval()
    x = drawn(3, 9, 5)
    mixed = own.project(x) + sinusoidal(9, 16)
    for layer in own.layers:
        theirs = nn.TransformerEncoderLayer(16, 2, 32, 0.0, "gelu", batch_first=True, norm_first=True).eval()
        theirs.load_state_dict({
            "self_attn.in_proj_weight": layer.attention.qkv.weight, "self_attn.in_proj_bias": layer.attention.qkv.bias,
            "self_attn.out_proj.weight": layer.attention.out.weight,
            "self_attn.out_proj.bias": layer.attention.out.bias,
            "linear1.weight": layer.feed_forward[0].weight, "linear1.bias": layer.feed_forward[0].bias,
            "linear2.weight": layer.feed_forward[3].weight, "linear2.bias": layer.feed_forward[3].bias,
            "norm1.weight": layer.norm_1.weight, "norm1.bias": layer.norm_1.bias,
            "norm2.weight": layer.norm_2.weight, "norm2.bias": layer.norm_2.bias,
        })  # fmt: skip
        mixed = theirs(mixed)
    torch.testing.assert_close(own(x), own.norm(mixed).mean(1), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("positions", ["sinusoidal", "rotary"])
@pytest.mark.parametrize("pooling", ["cls", "last"])
def test_the_short_last_layer_says_what_the_whole_one_would(pooling: str, positions: str) -> None:
    config = EncoderConfig(d_model=16, heads=2, layers=3, feed_forward=24, pooling=pooling, positions=positions)  # type: ignore[arg-type]
    own, x = Encoder(4, config).eval(), drawn(2, 6, 4)
    mixed = own._placed(own.project(x))
    if own.cls is not None:
        mixed = torch.cat([mixed, own.cls.expand(2, -1, -1)], dim=1)
    for layer in own.layers:
        mixed = layer(mixed)
    torch.testing.assert_close(own(x), own.norm(mixed)[:, -1], atol=1e-5, rtol=1e-5)


def test_dropout_drops_its_share_keeps_the_mean_and_passes_the_same_gradient() -> None:
    own, x = Dropout(0.1), torch.ones(400, 401, requires_grad=True)
    said = own(x)
    said.sum().backward()
    share = round(0.1 * 256) / 256
    assert (said == 0.0).float().mean().item() == pytest.approx(share, abs=0.003)  # four standard errors
    assert said.max().item() == pytest.approx(1.0 / (1.0 - share))
    assert said.mean().item() == pytest.approx(1.0, abs=0.004)
    torch.testing.assert_close(x.grad, said.detach())
    neighbours = (said == 0.0).float().flatten()
    assert np.corrcoef(neighbours[:-1], neighbours[1:])[0, 1] == pytest.approx(0.0, abs=0.01)
    torch.manual_seed(0)
    torch.testing.assert_close(own(x), said)


def test_dropout_does_nothing_in_eval_mode_or_at_a_rate_of_nought() -> None:
    x = drawn(3, 5)
    for own in (Dropout(0.9).eval(), Dropout(0.0)):
        torch.testing.assert_close(own(x), x, rtol=0.0, atol=0.0)
    assert (Dropout(0.9999)(drawn(100, 100)) == 0.0).float().mean() < 1.0
    with pytest.raises(DataError, match="dropout"):
        Dropout(1.0)


def test_hidden_positions_change_nothing() -> None:
    hidden = torch.tensor([[True, True, False, False, False]])
    for pooling in ("cls", "last", "mean"):
        own = Encoder(3, EncoderConfig(d_model=8, heads=2, layers=2, feed_forward=8, pooling=pooling)).eval()  # type: ignore[arg-type]
        x = drawn(1, 5, 3)
        changed = x.clone()
        changed[:, :2] = 9.0
        torch.testing.assert_close(own(x, hidden), own(changed, hidden), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize(
    "wrong", [{"d_model": 10}, {"pooling": "max"}, {"dropout": 1.0}, {"layers": 0}, {"positions": "x"}]
)
def test_a_shape_that_cannot_be_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(DataError, match="network"):
        EncoderConfig(**wrong)  # type: ignore[arg-type]


def test_a_gated_residual_is_the_papers_formula_with_the_context_before_the_elu() -> None:
    own, x, context = GatedResidual(3, 8, 5, n_context=2), drawn(4, 3), drawn(6, 2)[2:]
    inner = torch.nn.functional.elu(own.first(x) + context @ own.context.weight.T)  # type: ignore[union-attr]
    gate, value = own.gate.linear.weight.chunk(2)[1], own.gate.linear.weight.chunk(2)[0]
    b_value, b_gate = own.gate.linear.bias.chunk(2)
    state = own.second(inner)
    glu = (state @ value.T + b_value) * torch.sigmoid(state @ gate.T + b_gate)
    torch.testing.assert_close(own(x, context), own.norm(own.skip(x) + glu))


def test_batched_maps_are_one_linear_map_a_variable() -> None:
    own, x = PerVariable(4, 3, 2), drawn(4, 5, 3)
    by_loop = torch.stack([x[v] @ own.weight[v] + own.bias[v] for v in range(4)])
    torch.testing.assert_close(own(x), by_loop)


def test_rotation_in_half_precision_turns_by_whole_angles() -> None:
    x = drawn(1, 256, 8)
    torch.testing.assert_close(rotate(x.bfloat16()).float(), rotate(x), atol=0.05, rtol=0.05)


def test_selection_weights_sum_to_one_and_a_variable_that_is_not_chosen_does_not_count() -> None:
    own, x = VariableSelection([1] * 4, 12, n_context=3, inner=6).eval(), drawn(2, 7, 4)
    token, weights = own(x, drawn(2, 7, 3))
    assert token.shape == (2, 7, 12)
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 7))
    with torch.no_grad():
        own.weigh.norm.weight.zero_()
        own.weigh.norm.bias.copy_(torch.tensor([0.0, 50.0, 0.0, 0.0]))
    changed = x.clone()
    changed[..., [0, 2, 3]] += 3.0
    torch.testing.assert_close(own(x, drawn(2, 7, 3))[0], own(changed, drawn(2, 7, 3))[0])


def test_heads_say_what_can_be() -> None:
    state = 50.0 * drawn(64, 10)
    assert (GaussianHead(10, 3)(state).scale > 0).all()
    said = StudentTHead(10, 3)(state)
    assert (said.df > 2).all()
    assert (said.scale > 0).all()
    assert (VarianceHead(10, 3)(state) > 0).all()
    assert DirectionHead(10, 3)(state).shape == (64, 3, 3)
    for levels in ((0.05, 0.5, 0.95), (0.1, 0.25, 0.5, 0.75, 0.9), (0.4, 0.6)):
        quantiles = QuantileHead(10, 2, levels)(state)
        assert quantiles.shape == (64, 2, len(levels))
        assert (quantiles.diff(dim=-1) >= 0).all()


LEVELS = (0.05, 0.5, 0.95)


def targets(rows: int = 6, horizons: int = 2) -> Targets:
    x = drawn(rows, horizons)
    return Targets(x.clamp(-1, 1), x, x.sign(), x.square())


@pytest.mark.parametrize("kind", ["gaussian", "student_t"])
def test_every_head_speaks_float32_of_its_own_linear_map(kind: str) -> None:
    heads, state = Heads(10, 2, kind, LEVELS), drawn(6, 10).bfloat16()  # type: ignore[arg-type]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        said = heads(state)
    torch.testing.assert_close(said.score, state.float() @ heads.score.weight.T + heads.score.bias)
    assert [part.dtype for part in (said.score, *said.distribution, said.quantiles)] == [torch.float32] * (
        4 + (kind == "student_t")
    )
    shapes = [tuple(part.shape) for part in (said.score, said.direction, said.variance, said.quantiles)]
    assert shapes == [(6, 2), (6, 2, 3), (6, 2), (6, 2, 3)]


@pytest.mark.parametrize("kind", ["gaussian", "student_t"])
def test_the_loss_is_the_weighted_sum_of_its_parts(kind: str) -> None:
    said, known = Heads(10, 2, kind, LEVELS)(drawn(6, 10)), targets()  # type: ignore[arg-type]
    found = multi_task_loss(said, known, LossWeights(1.0, 0.5, 0.25, 2.0, 3.0), LEVELS)
    parts = (1.0 * squared_error(said.score, known.score) + 0.25 * direction_loss(said.direction, known.direction)
             + 2.0 * qlike(said.variance, known.variance_ratio)
             + 3.0 * pinball(said.quantiles, known.standardized_return, LEVELS))  # fmt: skip
    density = student_t_nll if kind == "student_t" else gaussian_nll
    expected = parts + 0.5 * density(said.distribution, known.standardized_return)
    assert found["loss"].item() == pytest.approx(expected.item(), rel=1e-6)
    assert set(found) == {"loss", "score", "distribution", "direction", "volatility", "quantile"}


def test_a_part_of_no_weight_is_logged_and_teaches_nothing() -> None:
    heads = Heads(10, 2, "student_t", LEVELS)
    found = multi_task_loss(heads(drawn(6, 10)), targets(), LossWeights(1.0, 0.0, 0.0, 0.0, 0.0), LEVELS)
    found["loss"].backward()
    assert heads.score.weight.grad is not None
    assert heads.direction.linear.weight.grad is None
    assert found["direction"].item() > 0.0
    assert not found["direction"].requires_grad


@pytest.mark.parametrize(
    "wrong", [("cauchy", 1, LEVELS), ("gaussian", 0, LEVELS), ("gaussian", 1, (0.5, 0.1)), ("gaussian", 1, ())]
)
def test_heads_that_cannot_be_are_refused(wrong: tuple[str, int, tuple[float, ...]]) -> None:
    kind, n_horizons, levels = wrong
    with pytest.raises(DataError, match="heads"):
        Heads(4, n_horizons, kind, levels)  # type: ignore[arg-type]


@pytest.mark.parametrize("wrong", [{"score": -1.0}, dict.fromkeys(LossWeights.__annotations__, 0.0)])
def test_weights_that_weigh_nothing_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(DataError, match="loss weights"):
        LossWeights(**wrong)


def test_densities_are_scipys() -> None:
    x, m = drawn(20, 2).double(), drawn(20, 2).double() * 0.3
    s, v = drawn(20, 2).double().exp(), 2.1 + drawn(20, 2).double().exp()
    expected = -stats.norm(m.numpy(), s.numpy()).logpdf(x.numpy()).mean()
    assert gaussian_nll(Gaussian(m, s), x).item() == pytest.approx(expected, rel=1e-9)
    expected = -stats.t(v.numpy(), m.numpy(), s.numpy()).logpdf(x.numpy()).mean()
    assert student_t_nll(StudentT(m, s, v), x).item() == pytest.approx(expected, rel=1e-9)


def test_qlike_is_least_at_the_mean_of_what_is_realised() -> None:
    realized = drawn(4000, 1).double().square()
    grid = torch.linspace(0.5, 2.0, 61).double()
    losses = [qlike(level.expand_as(realized), realized).item() for level in grid]
    assert grid[int(np.argmin(losses))].item() == pytest.approx(realized.mean().item(), abs=0.03)
    assert qlike(realized, realized).item() == pytest.approx(0.0, abs=1e-12)


def test_pinball_is_least_at_the_quantile() -> None:
    value = drawn(5001, 1).double()
    grid = torch.linspace(-2, 2, 401).double()
    for level in (0.1, 0.5, 0.9):
        losses = [pinball(q.expand(5001, 1, 1), value, (level,)).item() for q in grid]
        assert grid[int(np.argmin(losses))].item() == pytest.approx(np.quantile(value, level), abs=0.02)


def test_what_is_not_known_counts_for_nothing_in_loss_and_gradient() -> None:
    value = torch.tensor([[1.0, float("nan")], [float("nan"), float("nan")], [-0.5, 0.2]])
    for loss, said in (
        (lambda out: gaussian_nll(Gaussian(out[..., 0], out[..., 1].exp()), value), drawn(3, 2, 2)),
        (
            lambda out: student_t_nll(StudentT(out[..., 0], out[..., 1].exp(), 3 + out[..., 0].exp()), value),
            drawn(3, 2, 2),
        ),
        (lambda out: qlike(out[..., 0].exp(), value.square()), drawn(3, 2, 1)),
        (lambda out: pinball(out, value, (0.1, 0.9)), drawn(3, 2, 2)),
        (lambda out: direction_loss(out, torch.where(value.isfinite(), value.sign(), value)), drawn(3, 2, 3)),
        (lambda out: squared_error(out[..., 0], value), drawn(3, 2, 1)),
    ):
        out = said.clone().requires_grad_()
        found = loss(out)
        found.backward()
        assert torch.isfinite(found)
        assert torch.isfinite(out.grad).all()
        assert out.grad[0, 1].abs().max() == 0.0
        assert out.grad[1].abs().max() == 0.0
        assert out.grad[0, 0].abs().max() > 0.0
        changed = said.clone()
        changed[1] = 7.0
        assert loss(changed).item() == pytest.approx(found.item(), rel=1e-6)


def test_a_batch_without_any_known_target_has_a_loss_of_nought() -> None:
    nothing, out = torch.full((2, 1), float("nan")), drawn(2, 1, 3).requires_grad_()
    total = direction_loss(out, nothing) + squared_error(out[..., 0], nothing) + pinball(out, nothing, (0.1, 0.5, 0.9))
    total.backward()
    assert total.item() == 0.0
    assert out.grad is not None
    assert out.grad.abs().max() == 0.0
