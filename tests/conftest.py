"""Fixtures that every test may use."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real_data_dir() -> Path:
    """Folder of the private price files: QUANT_REAL_DATA, else ../shared/data beside the repository."""
    root = Path(__file__).parents[1]
    folder = Path(os.environ.get("QUANT_REAL_DATA", root / ".." / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"real data: {folder} does not exist; set QUANT_REAL_DATA")
    return folder
