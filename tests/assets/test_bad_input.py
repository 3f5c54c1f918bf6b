"""What a mistake looks like: one message with where, what and the remedy, exit 1, everything stored as before."""

import re
import subprocess
import time
from pathlib import Path

import dagster as dg
import pytest
from lab_process import lab_environment, quant_here, run_quant
from small_lab import SmallLab, asset_key

from quant_assets.assembly import build_definitions
from quant_assets.commands.runner import Runner, Step, failure_reason
from quant_assets.lab import Lab
from quant_assets.profile import load_profile
from quant_core.errors import QuantError

pytestmark = pytest.mark.slow

#: Generous: without a network the vendor's library must be imported and refused once by every ticker.
OFFLINE_WITHIN_S = 90

MISTAKES = {
    "an unknown profile": (["--profile", "nope"], r"profile 'nope' is unknown; known: demo, .*nifty50"),
    "a month that no calendar has": (
        ["--to", "2031-13"],
        r"--to 2031-13: profile demo has months 2015-01\.\.\d{4}-\d\d",
    ),
    "a month before the data": (["--to", "2014-01"], r"--to 2014-01: .*give one of them as YYYY-MM"),
    "a span that runs backwards": (
        ["--from", "2019-05", "--to", "2019-01"],
        r"--from 2019-05 is after --to 2019-01; swap",
    ),
    "an unknown stage": (["--stages", "nope"], r"stage 'nope' is unknown; known: .*features"),
    "an unknown setting": (["--set", "features.nope=1"], r"features: nope is not a setting; known: .*zscore_lookback"),
    "a setting of an unknown asset": (["--set", "nope.x=1"], r"'nope' is unknown; known: .*features"),
    "a setting without an asset": (["--set", "top_n=1"], r"--set top_n=1: not of the form ASSET\.SETTING=VALUE"),
    "a value that is no number": (
        ["--set", "features.zscore_lookback=abc"],
        r"features\.zscore_lookback: 'abc' is not a",
    ),
    "a number out of range": (["--set", "features.zscore_lookback=-5"], r"zscore_lookback is -5, wanted at least 2"),
    "an unknown profile entry": (["--set", "profile.nope=1"], r"'nope'\] are not profile entries; known: .*start"),
    "a start that is no month": (
        ["--set", "profile.start=banana"],
        r"start 'banana' is not a month; write it as YYYY-MM",
    ),
    "an end that is no month": (["--set", "profile.end=2020-13"], r"end '2020-13' is not a month; write it as YYYY-MM"),
    "a fold without its years": (
        ["--set", "profile.first_fold=2016"],
        r"fold 2016 needs 3 full years .*use first_fold 2018",
    ),
    "an unknown source": (["--source", "nope"], r"source 'nope' is unknown; known: files, simulated, yahoo"),
    "files without a path": (["--source", "files"], r"path must be given; .*--path"),
}


#: The step's own line of the log, which stderr has besides.
LOG_LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \[")


def refused(arguments: list[str], environment: dict[str, str]) -> str:
    """The one message of a command that fails as it should."""
    return the_message(quant_here(["run", *arguments], environment))


def the_message(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    lines = [line for line in done.stderr.splitlines() if line.strip() and not LOG_LINE.match(line)]
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("error ")
    return lines[0]


def test_the_installed_command_ends_as_it_does_in_this_process(small_lab: SmallLab) -> None:
    arguments, message = MISTAKES["a month that no calendar has"]
    done = run_quant(["run", *arguments], small_lab.environment)
    assert re.search(message, the_message(done))
    here = quant_here(["run", *arguments], small_lab.environment)
    assert (done.returncode, done.stdout, done.stderr) == (here.returncode, here.stdout, here.stderr)


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_a_command_is_one_message_and_changes_nothing(small_lab: SmallLab, mistake: str) -> None:
    arguments, message = MISTAKES[mistake]
    before = small_lab.hashes()
    assert re.search(message, refused(arguments, small_lab.environment))
    assert small_lab.hashes() == before


PRICES = "date,ticker,open,high,low,close,volume\n"
GOOD_FILE = PRICES + "".join(f"2015-01-{day:02d},AAA,100,102,99,101,1000\n" for day in (1, 2, 3, 4, 5))
#: (file content or None for an empty folder, what the message must say)
BAD_FILES = {
    "an empty folder": (None, r"no file in .*prices matches .*fix path or pattern"),
    "an empty file": ("", r"a\.csv: the file is empty .*fetch it again"),
    "wrong columns": ("foo,bar\n1,2\n", r"a\.csv: no price table: no column for date, close \(found foo, bar\)"),
}


@pytest.fixture(scope="module")
def lab_of_files(tmp_path_factory: pytest.TempPathFactory) -> SmallLab:
    """January 2015 made from the one good file in `prices`."""
    folder = tmp_path_factory.mktemp("files")
    lab = SmallLab(folder, lab_environment(folder))
    (folder / "prices").mkdir()
    (folder / "prices" / "a.csv").write_text(GOOD_FILE)
    good = quant_here(["run", *of_files(lab)], lab.environment)
    assert good.returncode == 0, good.stdout + good.stderr
    assert lab.hashes("demo_files").keys() == {"raw_ohlcv/2015-01", "clean_prices/2015-01"}
    return lab


def of_files(lab: SmallLab) -> list[str]:
    prices = str(lab.folder / "prices")
    return ["--source", "files", "--path", prices, "--to", "2015-01", "--stages", "clean_prices"]


@pytest.mark.parametrize("mistake", BAD_FILES)
def test_files_gone_bad_are_named_and_the_months_made_from_good_ones_stay(lab_of_files: SmallLab, mistake: str) -> None:
    content, message = BAD_FILES[mistake]
    file, before = lab_of_files.folder / "prices" / "a.csv", lab_of_files.hashes("demo_files")
    file.unlink()
    if content is not None:
        file.write_text(content)
    try:
        assert re.search(message, refused(of_files(lab_of_files), lab_of_files.environment))
        assert lab_of_files.hashes("demo_files") == before
    finally:
        file.write_text(GOOD_FILE)


def test_a_path_that_does_not_exist_is_named(small_lab: SmallLab, tmp_path: Path) -> None:
    missing = tmp_path / "nowhere"
    message = refused(["--source", "files", "--path", str(missing), "--to", "2015-01"], small_lab.environment)
    assert f"path {missing} does not exist; set the source's path to a file or a folder" in message


def test_without_a_network_yahoo_fails_soon_and_says_what_to_do(tmp_path: Path) -> None:
    environment = lab_environment(tmp_path) | {"QUANT_SOURCE_TRIES": "0"}
    begun = time.monotonic()
    message = refused(
        ["--profile", "nifty50", "--to", "2010-01", "--stages", "raw_ohlcv", "--set", "raw_ohlcv.attempts=1"],
        environment,
    )
    print(f"yahoo without a network failed after {time.monotonic() - begun:.1f} s")
    assert time.monotonic() - begun < OFFLINE_WITHIN_S
    assert re.search(r"error nifty50/raw_ohlcv 2010-01: yahoo: none of \d+ tickers could be read", message)
    assert re.search(r'Check the network, .*use source "files"', message)
    assert not list((tmp_path / "data").glob("nifty50/*/*.parquet"))


def test_a_source_try_count_that_is_no_number_is_refused(tmp_path: Path) -> None:
    environment = lab_environment(tmp_path) | {"QUANT_SOURCE_TRIES": "often"}
    command = ["--profile", "nifty50", "--to", "2010-01", "--stages", "raw_ohlcv", "--set", "raw_ohlcv.attempts=1"]
    assert "QUANT_SOURCE_TRIES: 'often' is not a whole number; give 0 or more" in refused(command, environment)


@pytest.fixture
def empty_runner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Runner:
    monkeypatch.setenv("QUANT_DATA", str(tmp_path / "data"))
    profile = load_profile("demo")
    return Runner(Lab(profile), build_definitions(profile), dg.DagsterInstance.ephemeral(), {}, "CRITICAL")


REMEDY = r"demo/clean_prices: partition 2015-01 and 4 more up to 2015-05 is not materialized; materialize it first"


def test_a_missing_upstream_month_is_named_with_the_remedy(empty_runner: Runner, tmp_path: Path) -> None:
    definitions = empty_runner.definitions
    result = dg.materialize(
        [*(definitions.assets or []), *(definitions.asset_checks or [])],  # type: ignore[list-item]
        selection=dg.AssetSelection.assets(asset_key("features")),
        partition_key="2015-05",
        instance=empty_runner.instance,
        resources=definitions.resources,
        raise_on_error=False,
    )
    assert not result.success
    assert re.match(REMEDY, failure_reason(result))
    assert not list((tmp_path / "data").glob("demo/*/*"))


def test_the_runner_reports_the_failed_asset_and_month_before_the_reason(empty_runner: Runner) -> None:
    with pytest.raises(QuantError, match=r"^demo/features 2015-05: " + REMEDY):
        empty_runner.execute(Step("features", ("2015-05",)))
