"""The page about profiles is true: its file is saved where it says, listed, planned and run."""

import re
from dataclasses import fields
from pathlib import Path

import pytest
from lab_process import ROOT, lab_environment, quant_here

from quant_assets import profile as module
from quant_assets.lab import Lab
from quant_assets.profile import Profile, load_profile, profile_names
from quant_assets.stored_lab import open_lab
from quant_core.errors import DataError

PAGE = (ROOT / "docs" / "adding-a-profile.md").read_text()
(TEXT,) = re.findall(r"```yaml\n(.*?)```", PAGE, flags=re.DOTALL)
(NAME,) = re.findall(r"Save it as `quant_assets/presets/(\w+)\.yaml`", PAGE)


@pytest.fixture
def saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The page's file among copies of the shipped ones."""
    presets = tmp_path / "presets"
    presets.mkdir()
    for shipped in module.PRESETS.glob("*.yaml"):
        (presets / shipped.name).write_text(shipped.read_text())
    (presets / f"{NAME}.yaml").write_text(TEXT)
    monkeypatch.setattr(module, "PRESETS", presets)
    return NAME


def test_the_pages_profile_is_known_by_its_files_name(saved: str) -> None:
    assert saved in profile_names()
    lab = Lab(load_profile(saved))
    assert lab.forecasters == ("ridge",)
    assert lab.partitions.folds.get_partition_keys() == ["2020-01", "2020-04"]
    assert lab.defaults("target_weights").top_n == 3
    assert str(lab.key("features")) == str(Lab(load_profile(saved)).key("features"))


def test_an_entry_that_no_profile_has_is_refused(saved: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (module.PRESETS / "typo.yaml").write_text(TEXT.replace("train_years", "train_yeers"))
    with pytest.raises(DataError, match="train_yeers"):
        load_profile("typo")


def test_every_entry_has_its_row_on_the_page() -> None:
    assert [f.name for f in fields(Profile) if f.name != "name" and f"| `{f.name}` |" not in PAGE] == []


@pytest.mark.slow
def test_the_pages_profile_is_listed_and_runs_to_its_features(saved: str, tmp_path: Path) -> None:
    environment = lab_environment(tmp_path)
    listed = quant_here(["list", "profiles"], environment)
    assert saved in listed.stdout
    done = quant_here(
        ["run", "--profile", saved, "--set", "profile.start=2018-01", "--to", "2018-05", "--stages", "features"],
        environment,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "log_return_21d_z63" in open_lab(saved, str(tmp_path / "data")).table("features").columns
