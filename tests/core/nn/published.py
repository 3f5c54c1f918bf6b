"""Copies the parameters that pytorch-forecasting had in the golden file into our blocks: both draw them by name."""

import json
import zlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from quant_core.nn.attention import InterpretableAttention
from quant_core.nn.gating import GatedResidual, GatedSkip, VariableSelection
from quant_core.nn.tft import TemporalFusion

GOLDEN = json.loads((Path(__file__).parent / "golden" / "pytorch_forecasting.json").read_text())
WIDTH, HEADS, LENGTH, AHEAD, ROWS = 8, 2, 6, 3, 2
PAST = [f"past_{k}" for k in range(4)]
KNOWN = [f"known_{k}" for k in range(8)]
STATIC = [f"static_{k}" for k in range(8)]


def drawn(name: str, *shape: int) -> Tensor:
    """As benchmarks/peers/forecasting_peer.py draws it."""
    values = np.random.default_rng(zlib.crc32(name.encode())).normal(0.0, 0.4, shape)
    return torch.from_numpy(values.astype(np.float32))


def fill_linear(linear: nn.Module, name: str) -> None:
    for kind, value in linear.named_parameters():
        value.data = drawn(f"{name}.{kind}", *value.shape)


def fill_gated_skip(own: GatedSkip | GatedResidual, name: str) -> None:
    fill_linear(own.gate.linear, f"{name}.glu.fc")
    fill_linear(own.norm, f"{name}.add_norm.norm")


def fill_residual(own: GatedResidual, name: str) -> None:
    """The skip of a network with another width behind than in front is switched off, as in the golden file."""
    for part, theirs in ((own.first, "fc1"), (own.second, "fc2"), (own.context, "context")):
        if part is not None:
            fill_linear(part, f"{name}{theirs}")
    fill_gated_skip(own, f"{name}gate_norm")
    for value in own.skip.parameters():
        value.data.zero_()


def fill_selection(own: VariableSelection, names: list[str], name: str = "") -> None:
    def stacked(part: str, rows: int) -> tuple[Tensor, Tensor]:
        parts = [f"{name}single_variable_grns.{variable}.{part}" for variable in names]
        weights = torch.stack([drawn(f"{each}.weight", rows, WIDTH).T for each in parts])
        return weights, torch.stack([drawn(f"{each}.bias", rows) for each in parts]).unsqueeze(1)

    own.embed.weight.data = torch.stack([drawn(f"prescalers.{each}.weight", WIDTH, 1).squeeze(1) for each in names])
    own.embed.bias.data = torch.stack([drawn(f"prescalers.{each}.bias", WIDTH) for each in names])
    own.first.weight.data, own.first.bias.data = stacked("fc1", WIDTH)
    own.second.weight.data, own.second.bias.data = stacked("fc2", WIDTH)
    own.gate.weight.data, own.gate.bias.data = stacked("gate_norm.glu.fc", 2 * WIDTH)
    norms = [f"{name}single_variable_grns.{each}.gate_norm.add_norm.norm" for each in names]
    own.norm.weight.data = torch.stack([drawn(f"{each}.weight", WIDTH) for each in norms]).unsqueeze(1)
    own.norm.bias.data = torch.stack([drawn(f"{each}.bias", WIDTH) for each in norms]).unsqueeze(1)
    fill_residual(own.weigh, f"{name}flattened_grn.")


def fill_attention(own: InterpretableAttention, name: str = "") -> None:
    """Their keys have a bias, ours have none: the weights must be equal all the same."""
    size = WIDTH // HEADS
    heads = [f"layers.{head}.weight" for head in range(HEADS)]
    own.q.weight.data = torch.cat([drawn(f"{name}q_{each}", size, WIDTH) for each in heads])
    own.q.bias.data = torch.cat([drawn(f"{name}q_layers.{head}.bias", size) for head in range(HEADS)])
    own.k.weight.data = torch.cat([drawn(f"{name}k_{each}", size, WIDTH) for each in heads])
    fill_linear(own.v, f"{name}v_layer")
    fill_linear(own.out, f"{name}w_h")


def fill_tft(own: TemporalFusion) -> None:
    fill_selection(own.select_static, STATIC, "static_variable_selection.")
    fill_selection(own.select_past, PAST + KNOWN, "encoder_variable_selection.")
    fill_selection(own.select_future, KNOWN, "decoder_variable_selection.")
    fill_residual(own.for_selection, "static_context_variable_selection.")
    fill_residual(own.for_hidden, "static_context_initial_hidden_lstm.")
    fill_residual(own.for_cell, "static_context_initial_cell_lstm.")
    fill_residual(own.for_enrichment, "static_context_enrichment.")
    fill_linear(own.local.encoder, "lstm_encoder")
    fill_linear(own.local.decoder, "lstm_decoder")
    fill_linear(own.local_skip.gate.linear, "post_lstm_gate_encoder.fc")
    fill_linear(own.local_skip.norm, "post_lstm_add_norm_encoder.norm")
    fill_residual(own.enrich, "static_enrichment.")
    fill_attention(own.attention, "multihead_attn.")
    fill_gated_skip(own.attention_skip, "post_attn_gate_norm")
    fill_residual(own.feed_forward, "pos_wise_ff.")
    fill_gated_skip(own.last_skip, "pre_output_gate_norm")
