"""`quant validate` as a user runs it: the same figures for the same seed, or one clear message."""

import pytest
from lab_process import lab_environment, quant_here, run_quant
from small_lab import SmallLab

pytestmark = pytest.mark.slow

ARGUMENTS = ["validate", "--from", "2019-01", "--to", "2020-02", "--signals", "20"]


def test_the_null_test_prints_the_same_figures_for_the_same_seed(small_lab: SmallLab) -> None:
    first = run_quant([*ARGUMENTS, "--seed", "1"], small_lab.environment)
    again, other = (quant_here([*ARGUMENTS, "--seed", seed], small_lab.environment) for seed in ("1", "2"))
    assert first.returncode == 0, first.stderr
    assert first.stdout.startswith("2019-01-")
    for line in (
        "| gross, fill to fill |",
        "| deflated Sharpe ratio > 0.95 |",
        "| probability of backtest overfitting |",
    ):
        assert line in first.stdout
    assert again.stdout == first.stdout
    assert other.stdout != first.stdout


def test_without_clean_prices_the_message_says_how_to_make_them(tmp_path_factory: pytest.TempPathFactory) -> None:
    done = quant_here(ARGUMENTS, lab_environment(tmp_path_factory.mktemp("empty")))
    assert done.returncode == 1
    assert "demo: no clean prices from 2019-01 are stored" in done.stderr
    assert "quant run --stages clean_prices" in done.stderr
