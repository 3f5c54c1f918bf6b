"""What a network says of rows: scores, and the distribution of their returns; the forecast of a fit."""

import math
from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from quant_core.dense import Floats
from quant_core.fitted import Fitted
from quant_core.forecasting.inputs import check_present
from quant_core.forecasting.net.settings import Body, NetConfig
from quant_core.forecasting.sequences import Scaling, Sequences, Sizes, read_rows, sequences
from quant_core.runtime import torch_threads
from quant_core.schema import QUANTILE_COLUMNS, QUANTILE_LEVELS

if TYPE_CHECKING:
    from torch import Tensor, nn

    from quant_core.nn.heads import Said

#: Rows that are judged at a time.
JUDGED_AT_ONCE = 4096


def predict_net(
    body: Body, config_class: type[NetConfig], fitted: Fitted, features: pl.DataFrame, first: date
) -> pl.DataFrame:
    """Scores of the eligible rows from `first` on, and what is said of their returns where their volatility is known.

    Raises:
        DataError: an input column is absent.
    """
    columns, config = fitted.manifest.columns, config_class(**fitted.manifest.config)
    check_present(features.columns, columns, fitted.manifest.kind)
    rows = read_rows(features.lazy(), columns, config.inputs)
    wanted = rows.filter(pl.col("date") >= first, "is_eligible")
    scaling = Scaling(fitted.arrays["mean"], fitted.arrays["scale"])
    found = sequences(
        rows, wanted, columns, scaling, config.sequence_sessions, config.ahead_sessions,
        fitted.manifest.facts["n_sectors"],
    )  # fmt: skip
    networks = (_loaded(body, config, found.sizes, fitted, seed) for seed in range(config.n_seeds))
    with torch_threads(1):  # a day of names is too little for two
        return mean_of([said_table(network, found, _days_of(found), config) for network in networks])


def new_network(body: Body, config: NetConfig, sizes: Sizes, seed: int) -> "nn.Module":
    """A new network of that seed; the global random state stays as it was."""
    import torch

    from quant_core.nn.forecaster import Forecaster

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Forecaster(
            body(config, sizes), config.d_model, len(config.horizons), config.distribution, QUANTILE_LEVELS
        )


def _loaded(body: Body, config: NetConfig, sizes: Sizes, fitted: Fitted, seed: int) -> "nn.Module":
    import torch

    network, prefix = new_network(body, config, sizes, config.seed), f"seed{seed}."
    own = {name.removeprefix(prefix): value for name, value in fitted.arrays.items() if name.startswith(prefix)}
    network.load_state_dict({name: torch.from_numpy(value.copy()) for name, value in own.items()})
    return network.eval()


def said_table(network: "nn.Module", data: Sequences, pieces: Iterable["Tensor"], config: NetConfig) -> pl.DataFrame:
    """What a network says of rows: keys, score, and the distribution of the simple return at its own horizon."""
    import torch

    network.eval()
    with torch.no_grad():
        said = [_columns(network(*data.batch(rows)), config) | {"row": rows.cpu().numpy()} for rows in pieces]
    stacked = {name: np.concatenate([part[name] for part in said]) for name in said[0]}
    row = stacked.pop("row")
    sigma = data.volatility_1d[row] * math.sqrt(config.horizon_sessions)
    for name in stacked.keys() - {"score", "prob_down", "prob_up"}:
        stacked[name] = stacked[name] * (sigma**2 if name == "expected_variance" else sigma)
    return data.keys[row].with_columns(pl.Series(name, values).fill_nan(None) for name, values in stacked.items())


def _columns(said: "Said", config: NetConfig) -> dict[str, Floats]:
    """Score and DISTRIBUTION_COLUMNS at the model's own horizon, of the standardized return."""
    from quant_core.nn.distributions import moments, quantiles_of

    mean, deviation = moments(said.distribution)
    told = said.quantiles if config.quantile_weight > 0.0 else quantiles_of(said.distribution, QUANTILE_LEVELS)
    down, _, up = said.direction[:, 0].softmax(dim=-1).unbind(-1)
    values = {
        "score": said.score[:, 0], "expected_return": mean[:, 0], "return_std": deviation[:, 0],
        **dict(zip(QUANTILE_COLUMNS, told[:, 0].unbind(-1), strict=True)),
        "prob_down": down, "prob_up": up, "expected_variance": said.variance[:, 0],
    }  # fmt: skip
    return {name: value.double().cpu().numpy() for name, value in values.items()}


def mean_of(tables: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """The seeds' mean, row by row; all of them list the same rows."""
    keys, columns = tables[0].select("date", "ticker"), tables[0].columns[2:]
    return keys.with_columns(pl.mean_horizontal([table[name] for table in tables]).alias(name) for name in columns)


def pieces(rows: "Tensor") -> Sequence["Tensor"]:
    return rows.split(JUDGED_AT_ONCE)


def _days_of(found: Sequences) -> Iterator["Tensor"]:
    """The row numbers of each date: a date is always computed alone, so that no other changes its last digit."""
    import torch

    ends = found.keys["date"].rle().struct.field("len").cum_sum().to_list()
    return (torch.arange(begin, end) for begin, end in zip([0, *ends[:-1]], ends, strict=True))
