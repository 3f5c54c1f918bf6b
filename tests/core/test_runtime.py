"""Devices are never swapped silently, precision follows the CUDA generation."""

import subprocess
import sys

import pytest

from quant_core.errors import DataError


@pytest.mark.slow
def test_importing_the_module_does_not_import_torch() -> None:
    code = "import sys, quant_core.runtime, quant_core.fitted, quant_core.forecasting.models.ridge as r; print(r.MODELS['ridge'].name, 'torch' in sys.modules, 'sklearn' in sys.modules)"  # noqa: E501
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["ridge", "False", "False"]


@pytest.mark.parametrize(
    ("cuda", "mps", "expected"), [(True, True, "cuda"), (False, True, "mps"), (False, False, "cpu")]
)
def test_auto_prefers_cuda_then_mps_then_cpu(
    monkeypatch: pytest.MonkeyPatch, cuda: bool, mps: bool, expected: str
) -> None:
    torch = pytest.importorskip("torch")
    from quant_core.runtime import get_device

    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert get_device().type == expected
    assert get_device("cpu").type == "cpu"


def test_a_device_that_is_absent_or_unknown_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    from quant_core.runtime import get_device

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(DataError, match="not present"):
        get_device("cuda")
    with pytest.raises(DataError, match="wanted one of"):
        get_device("tpu")


@pytest.mark.parametrize(("major", "expected"), [(7, "float16"), (8, "bfloat16"), (9, "bfloat16")])
def test_half_precision_follows_the_cuda_generation(monkeypatch: pytest.MonkeyPatch, major: int, expected: str) -> None:
    torch = pytest.importorskip("torch")
    from quant_core.runtime import get_dtype

    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (major, 0))
    assert get_dtype(torch.device("cuda")) == getattr(torch, expected)
    assert get_dtype(torch.device("cpu")) == torch.float32
    assert get_dtype(torch.device("mps")) == torch.float32


def test_the_device_record_names_what_the_cpu_computes_with() -> None:
    torch = pytest.importorskip("torch")
    from quant_core.runtime import device_info

    info = device_info(torch.device("cpu"))
    assert info["device"] == "cpu"
    assert info["dtype"] == "float32"
    assert info["torch"] == torch.__version__
