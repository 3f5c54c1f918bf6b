"""What pytorch-forecasting's blocks and its TFT say, and how fast it trains. Runs in its own environment.

    python benchmarks/peers/forecasting_peer.py golden tests/core/nn/golden/pytorch_forecasting.json
    python benchmarks/peers/forecasting_peer.py time task.npz   # one JSON line, for benchmarks/networks.py

Parameters and inputs are drawn by numpy from a seed made of their names, so that the stored file holds outputs only.
Two things in which the packages differ are set alike. The GRN that weighs variables resizes its skip by interpolation
and normalises it, ours and the paper's is a linear map: both skips are switched off. A decoder position does not see
itself there with `causal_attention`; without it the last position sees all there is, as ours does.
"""

import json
import sys
import time
import zlib
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from pytorch_forecasting.models.temporal_fusion_transformer import TemporalFusionTransformer
from pytorch_forecasting.models.temporal_fusion_transformer.sub_modules import (
    GateAddNorm,
    GatedResidualNetwork,
    InterpretableMultiHeadAttention,
    VariableSelectionNetwork,
)

WIDTH, HEADS, LENGTH, AHEAD, ROWS = 8, 2, 6, 3, 2
PAST = [f"past_{k}" for k in range(4)]
KNOWN = [f"known_{k}" for k in range(8)]
STATIC = [f"static_{k}" for k in range(8)]
DECIMALS = 6


def drawn(name, *shape):
    values = np.random.default_rng(zlib.crc32(name.encode())).normal(0.0, 0.4, shape)
    return torch.from_numpy(values.astype(np.float32))


def filled(module):
    """The module with every parameter drawn by its name and the skip of each weighing GRN switched off."""
    with torch.no_grad():
        for name, value in module.named_parameters():
            value.copy_(drawn(name, *value.shape))
            if "resample_norm.norm" in name:
                value.zero_()
    return module.eval()


def blocks():
    """Outputs of single blocks by name."""
    x, context = drawn("x", ROWS, LENGTH, WIDTH), drawn("context", ROWS, LENGTH, WIDTH)
    grn = filled(GatedResidualNetwork(WIDTH, 2 * WIDTH, WIDTH, 0.1, context_size=WIDTH))
    attention = filled(InterpretableMultiHeadAttention(HEADS, WIDTH, dropout=0.1))
    hidden = torch.triu(torch.ones(LENGTH, LENGTH, dtype=torch.bool), diagonal=1).expand(ROWS, -1, -1)
    mixed, weights = attention(x, x, x, mask=hidden)
    selection = filled(VariableSelectionNetwork(dict.fromkeys(KNOWN, WIDTH), WIDTH, context_size=WIDTH))
    inputs = drawn("inputs", ROWS, LENGTH, len(KNOWN))
    token, chosen = selection({name: inputs[..., [k]] for k, name in enumerate(KNOWN)}, context)
    return {
        "grn": grn(x, context),
        "gate_add_norm": filled(GateAddNorm(WIDTH, dropout=0.1))(x, context),
        "attention": mixed,
        "attention_weights": weights.mean(dim=2),
        "selection": token,
        "selection_weights": chosen.squeeze(-2),
    }


def network(width, channels, past, known, **settings):
    return TemporalFusionTransformer(
        hidden_size=width,
        hidden_continuous_size=channels,
        output_size=1,
        x_reals=settings.get("static_reals", []) + past + known,
        time_varying_reals_encoder=past + known,
        time_varying_reals_decoder=known,
        output_transformer=lambda said: said["prediction"],
        **settings,
    )


def batch(real, categories, length):
    """The package's input of (B, T, F) numbers and (B, T, C) categories, of which `length` sessions are past."""
    rows, total = real.shape[:2]
    return {
        "encoder_cont": real[:, :length],
        "decoder_cont": real[:, length:],
        "encoder_cat": categories[:, :length],
        "decoder_cat": categories[:, length:],
        "encoder_lengths": torch.full((rows,), length),
        "decoder_lengths": torch.full((rows,), total - length),
        "target_scale": torch.ones(rows, 2),
    }


def whole():
    """State before the output layer at the last position, and the weights behind it."""
    model = network(
        WIDTH, WIDTH, PAST, KNOWN, static_reals=STATIC, attention_head_size=HEADS, causal_attention=False, dropout=0.1
    )
    states = []
    filled(model).output_layer.register_forward_hook(lambda layer, given, said: states.append(given[0]))
    total = LENGTH + AHEAD
    static = drawn("static", ROWS, 1, len(STATIC)).expand(-1, total, -1)
    real = torch.cat([static, drawn("past", ROWS, total, len(PAST)), drawn("known", ROWS, total, len(KNOWN))], dim=-1)
    said = model(batch(real, torch.zeros(ROWS, total, 0, dtype=torch.long), LENGTH))
    attention = torch.cat([said["encoder_attention"], said["decoder_attention"]], dim=-1)
    return {
        "state": states[0][:, -1],
        "static": said["static_variables"].squeeze(1),
        "past": said["encoder_variables"].squeeze(-2),
        "future": said["decoder_variables"].squeeze(-2),
        "attention": attention[:, -1].mean(dim=1),
    }


def golden(path):
    with torch.no_grad():
        found = {"blocks": blocks(), "tft": whole()}
    rounded = {
        part: {name: np.round(value.double().numpy(), DECIMALS).tolist() for name, value in values.items()}
        for part, values in found.items()
    }
    stored = {"pytorch_forecasting": version("pytorch-forecasting"), **rounded}
    Path(path).write_text(json.dumps(stored, separators=(",", ":")) + "\n")


def tensors(task, name):
    """The package's batch inputs and the target of "fit" or "judge"."""
    past, known, category, target = (
        torch.from_numpy(task[f"{name}_{k}"]) for k in ("past", "known", "category", "target")
    )
    ahead = known.shape[1] - past.shape[1]
    real = torch.cat([torch.nn.functional.pad(past, (0, 0, 0, ahead)), known], dim=-1)
    return real, category.unsqueeze(1).expand(-1, known.shape[1], -1), target


def train(path):
    """CPU seconds of a step (the median), and the validation loss after all of them."""
    task = np.load(path)
    torch.set_num_threads(int(task["threads"]))
    torch.manual_seed(int(task["seed"]))
    length, size, rate = task["fit_past"].shape[1], int(task["batch"]), float(task["rate"])
    past, known = ([f"{kind}_{k}" for k in range(task[f"fit_{kind}"].shape[2])] for kind in ("past", "known"))
    channels = int(task["channels"])
    levels = {f"static_{k}": int(count) for k, count in enumerate(task["levels"])}
    model = network(
        int(task["width"]), channels, past, known,
        attention_head_size=int(task["heads"]), dropout=float(task["dropout"]),
        static_categoricals=list(levels), x_categoricals=list(levels),
        embedding_sizes={name: (count, min(count, channels)) for name, count in levels.items()},
    )  # fmt: skip
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate)
    real, category, target = tensors(task, "fit")
    seconds = []
    for rows in torch.arange(len(target)).split(size):
        started = time.process_time()
        said = model(batch(real[rows], category[rows], length))["prediction"][:, -1, 0]
        (said - target[rows]).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
        seconds.append(time.process_time() - started)
    model.eval()
    real, category, target = tensors(task, "judge")
    with torch.no_grad():
        losses = [
            (model(batch(real[rows], category[rows], length))["prediction"][:, -1, 0] - target[rows]).square()
            for rows in torch.arange(len(target)).split(256)
        ]
    print(json.dumps({"seconds": float(np.median(seconds)), "loss": torch.cat(losses).mean().item()}))


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] not in ("golden", "time"):
        sys.exit(__doc__)
    {"golden": golden, "time": train}[sys.argv[1]](sys.argv[2])
