"""The Temporal Fusion Transformer against pytorch-forecasting's, block by block and as a whole, and what must hold."""

import published as theirs
import pytest
import torch
from torch import Tensor, nn

from quant_core.errors import DataError
from quant_core.nn.attention import InterpretableAttention
from quant_core.nn.gating import Embedding, GatedResidual, GatedSkip, PerVariable, VariableSelection
from quant_core.nn.shapes import TFTConfig
from quant_core.nn.tft import TemporalFusion

BLOCKS, WHOLE = theirs.GOLDEN["blocks"], theirs.GOLDEN["tft"]
SMALL = TFTConfig(d_model=16, heads=2, dropout=0.0, selection_width=4)
STATIC = (3, 2)


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)


def is_theirs(own: Tensor, stored: list) -> None:
    torch.testing.assert_close(own, torch.tensor(stored), atol=5e-6, rtol=1e-5)


def inputs(rows: int = 3, length: int = 7, ahead: int = 2) -> tuple[Tensor, Tensor, Tensor]:
    """Past (B, L, 4), known (B, L + K, 3), static: a sector of three and a bucket of two as one-hot columns."""
    generator = torch.Generator().manual_seed(3)
    sector, bucket = (torch.eye(n)[torch.arange(rows) % n] for n in STATIC)
    past = torch.randn(rows, length, 4, generator=generator)
    return past, torch.randn(rows, length + ahead, 3, generator=generator), torch.cat([sector, bucket], dim=-1)


def small() -> TemporalFusion:
    return TemporalFusion(4, 3, STATIC, SMALL)


def test_a_gated_residual_is_pytorch_forecastings() -> None:
    own = GatedResidual(theirs.WIDTH, 2 * theirs.WIDTH, theirs.WIDTH, theirs.WIDTH).eval()
    theirs.fill_residual(own, "")
    x, context = (theirs.drawn(name, theirs.ROWS, theirs.LENGTH, theirs.WIDTH) for name in ("x", "context"))
    is_theirs(own(x, context), BLOCKS["grn"])


def test_a_gated_skip_is_pytorch_forecastings() -> None:
    own = GatedSkip(theirs.WIDTH)
    theirs.fill_linear(own.gate.linear, "glu.fc")
    theirs.fill_linear(own.norm, "add_norm.norm")
    x, skip = (theirs.drawn(name, theirs.ROWS, theirs.LENGTH, theirs.WIDTH) for name in ("x", "context"))
    is_theirs(own(x, skip), BLOCKS["gate_add_norm"])


def test_interpretable_attention_is_pytorch_forecastings() -> None:
    own = InterpretableAttention(theirs.WIDTH, theirs.HEADS)
    theirs.fill_attention(own)
    x = theirs.drawn("x", theirs.ROWS, theirs.LENGTH, theirs.WIDTH)
    later = torch.triu(torch.ones(theirs.LENGTH, theirs.LENGTH, dtype=torch.bool), diagonal=1)
    for hidden in (later, later.expand(theirs.ROWS, -1, -1)):
        mixed, weights = own(x, x, hidden)
        is_theirs(mixed, BLOCKS["attention"])
        is_theirs(weights, BLOCKS["attention_weights"])


def test_interpretable_attention_of_one_head_is_torchs() -> None:
    own, torchs = InterpretableAttention(6, 1), nn.MultiheadAttention(6, 1, batch_first=True)
    with torch.no_grad():
        torchs.in_proj_weight.copy_(torch.cat([own.q.weight, own.k.weight, own.v.weight]))
        torchs.in_proj_bias.copy_(torch.cat([own.q.bias, torch.zeros(6), own.v.bias]))
        torchs.out_proj.weight.copy_(own.out.weight)
        torchs.out_proj.bias.zero_()
    x = torch.randn(2, 5, 6)
    for found, expected in zip(own(x[:, 3:], x), torchs(x[:, 3:], x, x), strict=True):
        torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)


def test_variable_selection_is_pytorch_forecastings() -> None:
    own = VariableSelection([1] * 8, theirs.WIDTH, theirs.WIDTH, inner=theirs.WIDTH).eval()
    theirs.fill_selection(own, theirs.KNOWN)
    x = theirs.drawn("inputs", theirs.ROWS, theirs.LENGTH, 8)
    token, weights = own(x, theirs.drawn("context", theirs.ROWS, theirs.LENGTH, theirs.WIDTH))
    is_theirs(token, BLOCKS["selection"])
    is_theirs(weights, BLOCKS["selection_weights"])


def test_the_network_is_pytorch_forecastings() -> None:
    config = TFTConfig(theirs.WIDTH, theirs.HEADS, selection_width=theirs.WIDTH)
    own = TemporalFusion(4, 8, [1] * 8, config).eval()
    theirs.fill_tft(own)
    total = theirs.LENGTH + theirs.AHEAD
    past = theirs.drawn("past", theirs.ROWS, total, 4)[:, : theirs.LENGTH]
    said = own.explain(
        past, theirs.drawn("known", theirs.ROWS, total, 8), theirs.drawn("static", theirs.ROWS, 1, 8)[:, 0]
    )
    for kind, found in said._asdict().items():
        is_theirs(found, WHOLE[kind])


def test_maps_after_an_embedding_are_multiplied_into_it_exactly() -> None:
    columns = (3, 1, 2)
    embed, maps, linear = Embedding(columns, 5), PerVariable(3, 5, 4), nn.Linear(15, 7)
    x = torch.randn(6, 6)
    by_hand = torch.stack(
        [part @ embed.weight[embed.owner == v] + embed.bias[v] for v, part in enumerate(x.split(columns, dim=1))]
    )  # (V, N, D)
    torch.testing.assert_close(embed(x), by_hand)
    torch.testing.assert_close(embed.through(maps, x), maps(by_hand))
    torch.testing.assert_close(
        embed.flat_through(linear, x), linear(by_hand.transpose(0, 1).flatten(1)), atol=1e-6, rtol=1e-5
    )


def test_a_narrow_selection_is_projected_once_after_it() -> None:
    own, x = VariableSelection([1] * 3, 12, inner=4).eval(), torch.randn(5, 3)
    token, weights = own(x)
    each = own._own(x)  # (V, N, 4)
    torch.testing.assert_close(token, own.out(torch.einsum("nv,vni->ni", weights, each)), atol=1e-6, rtol=1e-5)


def test_every_kind_of_weight_sums_to_one() -> None:
    said = small().explain(*inputs())
    shapes = {"static": (3, 2), "past": (3, 7, 7), "future": (3, 2, 3), "attention": (3, 9)}
    for kind, shape in shapes.items():
        weights = getattr(said, kind)
        assert weights.shape == shape
        assert (weights >= 0.0).all()
        torch.testing.assert_close(weights.sum(-1), torch.ones(shape[:-1]))
    assert said.state.shape == (3, 16)


def test_gradient_flows_to_every_parameter() -> None:
    own = small()
    own(*inputs()).square().mean().backward()
    still = [name for name, value in own.named_parameters() if value.grad is None or not value.grad.abs().sum() > 0.0]
    # two variables, normalised over the two: +1 and -1 whatever was said, as in the paper
    assert all(name.startswith("select_static.weigh.") for name in still)


def test_a_context_enters_before_the_elu() -> None:
    own, x, context = GatedResidual(3, 4, 3, n_context=2), torch.randn(5, 3), torch.randn(5, 2)
    assert own.context is not None
    inner = torch.nn.functional.elu(x @ own.first.weight.T + own.first.bias + context @ own.context.weight.T)
    torch.testing.assert_close(own(x, context), own.norm(x + own.gate(own.second(inner))))
    afterwards = torch.nn.functional.elu(own.first(x)) + own.context(context)
    assert not torch.allclose(own(x, context), own.norm(x + own.gate(own.second(afterwards))), atol=1e-3)


def test_every_input_reaches_the_state_and_no_other_row_does() -> None:
    own, given = small().eval(), inputs()
    before = own(*given)
    for kind, changed in enumerate(given):
        other = [each.clone() for each in given]
        other[kind][0] = changed[0].flip(-1) + (0.0 if kind == 2 else 1.0)
        after = own(*other)
        assert not torch.allclose(after[0], before[0], atol=1e-4)
        torch.testing.assert_close(after[1:], before[1:])


def test_a_known_input_is_read_in_every_session_ahead_and_the_past_weights_know_nothing_of_it() -> None:
    own, (past, known, static) = small().eval(), inputs(ahead=3)
    before = own.explain(past, known, static)
    for day in range(7, 10):
        changed = known.clone()
        changed[:, day] += 1.0
        after = own.explain(past, changed, static)
        assert not torch.allclose(after.state, before.state, atol=1e-5)
        torch.testing.assert_close(after.past, before.past)


def test_a_session_of_the_window_does_not_move_the_weights_of_earlier_ones() -> None:
    own, (past, known, static) = small().eval(), inputs()
    changed = past.clone()
    changed[:, 5:] += 1.0
    torch.testing.assert_close(
        own.explain(past, known, static).past[:, :5], own.explain(changed, known, static).past[:, :5]
    )


def test_attention_does_not_look_at_hidden_sessions() -> None:
    hidden = torch.zeros(3, 7, dtype=torch.bool)
    hidden[1, :4] = True
    attention = small().explain(*inputs(), hidden).attention
    assert attention[1, :4].abs().max() == 0.0
    assert (attention[1, 4:] > 0.0).all()
    assert (attention[[0, 2]] > 0.0).all()


def test_half_precision_says_nearly_the_same() -> None:
    own = small().eval()
    exact = own(*inputs())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = own(*inputs())
    torch.testing.assert_close(rough.float(), exact, atol=0.15, rtol=0.1)


def planted(rows: int, generator: torch.Generator) -> tuple[tuple[Tensor, Tensor, Tensor], Tensor]:
    """A target of past input 2 a session ago and of what is known of the session ahead."""
    past, known = torch.randn(rows, 5, 5, generator=generator), torch.randn(rows, 6, 3, generator=generator)
    return (past, known, torch.ones(rows, 1)), 1.5 * past[:, -2, 2] + known[:, -1, 1]


@pytest.mark.slow
def test_the_true_variables_get_the_largest_weights() -> None:
    own, generator = TemporalFusion(5, 3, [1], TFTConfig(16, 2, dropout=0.0, selection_width=8)), torch.Generator()
    generator.manual_seed(5)
    head = nn.Linear(16, 1)
    optimizer = torch.optim.AdamW([*own.parameters(), *head.parameters()], lr=1e-2)
    for _ in range(120):
        given, target = planted(64, generator)
        loss = (head(own(*given)).squeeze(-1) - target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    given, target = planted(500, generator)
    said = own.eval().explain(*given)
    share = 1.0 - (head(said.state).squeeze(-1) - target).square().mean() / target.square().mean()
    assert share > 0.9
    assert said.past.mean(dim=(0, 1)).argmax() == 2
    assert said.future.mean(dim=(0, 1)).argmax() == 1


@pytest.mark.parametrize("inner", [8, 16])
def test_a_new_selection_says_nothing_of_nothing_and_its_last_variables_faintly(inner: int) -> None:
    own = VariableSelection([1] * 5, 16, n_context=0, inner=inner, dropout=0.5, hushed=2).eval()
    assert own(torch.zeros(1, 5))[0].abs().max() < 1e-6
    loud, faint = own(torch.eye(5)[:1])[0].norm(), own(torch.eye(5)[4:])[0].norm()
    assert faint < 0.3 * loud


def test_a_new_selection_makes_tokens_of_about_one() -> None:
    sizes = [float(VariableSelection([1] * n, 16, inner=8)(torch.randn(400, n))[0].std()) for n in (3, 12, 40)]
    assert all(0.3 < size < 1.5 for size in sizes)


def test_a_new_network_prefers_no_variable() -> None:
    weights = VariableSelection([1] * 5, 16, inner=8)(torch.randn(50, 5))[1]
    assert weights.min() > 0.12
    assert weights.max() < 0.3


@pytest.mark.parametrize(
    "wrong",
    [
        {"d_model": 10, "heads": 4},
        {"selection_width": 1},
        {"selection_width": 200},
        {"dropout": 1.0},
        {"lstm_layers": 0},
    ],
)
def test_a_shape_that_cannot_be_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(DataError, match="tft"):
        TFTConfig(**wrong)  # type: ignore[arg-type]


def test_inputs_of_another_shape_are_refused() -> None:
    past, known, static = inputs()
    for given in ((past[..., :3], known, static), (past, known[:, :7], static), (past, known, static[:, :1])):
        with pytest.raises(DataError, match="wanted"):
            small()(*given)
    with pytest.raises(DataError, match="1 or more"):
        TemporalFusion(4, 3, (), SMALL)
