"""`quant lists`: every list that a profile leans on, what it covers, to which day, and how to replace it."""

from pathlib import Path

import pytest
from lab_process import lab_environment, quant_here

from quant_assets.commands.lists_command import COVERS, FILES
from quant_core.market.actions import read_actions
from quant_core.market.lists import ACTIONS, MEMBERSHIP, NAMES, SECTORS
from quant_core.market.symbols import read_symbol_changes
from quant_core.market.universe import read_intervals


def test_every_list_has_a_paragraph_with_its_end_and_its_replacement(tmp_path: Path) -> None:
    (tmp_path / "prices").mkdir()
    (tmp_path / "prices" / "AAA.csv").write_text("date,open,high,low,close\n2020-01-01,1,2,1,2\n")
    command = ["lists", "--profile", "nifty50", "--source", "files", "--path", str(tmp_path / "prices")]
    done = quant_here(command, lab_environment(tmp_path))
    assert done.returncode == 0, done.stderr
    for name, covers in COVERS.items():
        assert f"{name}: {covers}" in done.stdout
    for file in FILES.values():
        assert f"to replace it: {file} beside the prices" in done.stdout
    assert "known to 2026-09-30, from NIFTY 50, dated membership; after that, who joined" in done.stdout
    assert "not known at all, from no corporate_actions.csv" in done.stdout


@pytest.mark.parametrize("name", [MEMBERSHIP, NAMES, ACTIONS, SECTORS])
def test_a_list_of_the_named_columns_is_read(name: str, tmp_path: Path) -> None:
    columns = FILES[name].partition("(")[2].rstrip(")").split(", ")
    value = {"ticker": "AAA", "ex_date": "2020-01-02", "kind": "split", "value": "0.5", "from_date": "2019-01-01",
             "known_until": "2020-12-31", "old_symbol": "OLD", "new_symbol": "NEW", "first_new": "2020-02-03",
             "sector": "IT", "index": "NIFTY 50"}  # fmt: skip
    path = tmp_path / FILES[name].partition(" ")[0]
    path.write_text(f"{','.join(columns)}\n{','.join(value.get(column, '') for column in columns)}\n")
    read = {MEMBERSHIP: lambda: read_intervals(path, "test"), NAMES: lambda: read_symbol_changes(path),
            ACTIONS: lambda: read_actions(path), SECTORS: lambda: [path.read_text()]}[name]  # fmt: skip
    assert len(read()) == 1
