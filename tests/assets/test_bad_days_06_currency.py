"""Current means current: each edit makes stale what reads it, and nothing else."""

import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from upath import UPath

from quant_assets.assembly import STAGES
from quant_assets.currency import closure
from quant_assets.currency.closure import Tree, reach
from quant_assets.currency.fingerprints import fingerprint, stamps_in
from quant_assets.lab import Lab
from quant_assets.profile import Profile, load_profile, source_override
from quant_core.market import universe

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
#: One model is enough: the others are assets of the same two kinds.
RIDGE = {"models": "[ridge]", "regimes": "[]", "agents": "[]"}
ASSETS = {
    "raw_ohlcv", "clean_prices", "features", "training_window", "forecaster_ridge", "forecasts_ridge", "book_settings",
    "target_weights", "forecast_quality", "forecast_comparison", "backtest", "backtest_report",
    "trial", "leaderboard", "signals",
}  # fmt: skip
MEMBERSHIP = {"clean_prices", "backtest", "backtest_report"}
#: What computes on the calendar's sessions.
ON_SESSIONS = {
    "raw_ohlcv",
    "clean_prices",
    "features",
    "training_window",
    "forecaster_ridge",
    "forecasts_ridge",
    "book_settings",
    "target_weights",
    "forecast_quality",
    "forecast_comparison",
    "backtest",
    "backtest_report",
    "trial",
    "signals",
}


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the source that may be edited."""
    folder = tmp_path_factory.mktemp("source")
    for name in closure.PACKAGES:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


@pytest.fixture
def edit(packages: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str, str], None]]:
    """Replace a text in a file of the copy, or write a new file; undone after the test."""
    before: dict[Path, bytes | None] = {}

    def apply(file: str, old: str, new: str) -> None:
        path = packages / file
        before.setdefault(path, path.read_bytes() if path.exists() else None)
        text = path.read_text() if old else ""
        assert old in text, f"{file} no longer holds {old!r}"
        path.write_text(text.replace(old, new, 1))
        universe._shipped.cache_clear()

    monkeypatch.setattr(universe, "HERE", packages / "quant_core" / "market")
    universe._shipped.cache_clear()
    yield apply
    for path, content in before.items():
        path.unlink() if content is None else path.write_bytes(content)
    universe._shipped.cache_clear()


def code_versions(packages: Path, profile: Profile) -> dict[str, str]:
    lab = Lab(profile, Tree(packages))
    built = [asset for stage in STAGES for asset in stage.build(lab)]
    return {key.path[-1]: str(version) for asset in built for key, version in asset.code_versions_by_key.items()}


def stale(before: Mapping[str, str], after: Mapping[str, str]) -> set[str]:
    assert set(before) == set(after) == ASSETS
    return {asset for asset in before if before[asset] != after[asset]}


NEW_FEATURE = '''"""A feature of a user."""

from quant_core.features.catalog import feature


@feature("mine", columns=("mine_{w}d",))
def mine(panel, windows):
    return {}
'''
NEW_MODEL = '''"""A model of a user."""

from quant_core.forecasting import MODELS

MODELS.register("mine")(None)
'''
SOURCE_EDITS = {
    # Nothing that anybody computes with.
    "a comment in the schema": (
        "quant_core/schema/cleaning.py", "class CleanPrices(", "# One row a day.\nclass CleanPrices(", set(),
    ),
    "a module's docstring": ("quant_core/calendar.py", '"""', '"""Said otherwise. ', set()),
    "a function's docstring": (
        "quant_core/calendar.py", '"""NSE sessions from `start`', '"""Sessions from `start`', set(),
    ),
    "a new class in the schema": (
        "quant_core/schema/cleaning.py", "class CleanPrices(", "class Other:\n    pass\n\n\nclass CleanPrices(", set(),
    ),
    "a function that no asset uses": (
        "quant_core/market/universe.py", "def tickers(", "def unused() -> int:\n    return 1\n\n\ndef tickers(",
        set(),
    ),
    "the command line": ("quant_assets/commands/cli.py", '    sys.exit(code)', '    sys.exit(code or 0)', set()),
    "the doctor": ("quant_assets/upkeep/doctor.py", "ENOUGH_DISK_GB = 5", "ENOUGH_DISK_GB = 6", set()),
    "what quant list prints": ("quant_assets/commands/listing.py", '"strategy", ""', '"strategies", ""', set()),
    "the planner": (
        "quant_assets/commands/runner.py", "class RunFailed", "class Unused: ...\n\n\nclass RunFailed", set(),
    ),
    "a check": ("quant_assets/checks/judgements.py", "CERTIFICATE_TICKERS = 8", "CERTIFICATE_TICKERS = 9", set()),
    "how a verdict is kept": ("quant_assets/checks/verdicts.py", "passed: bool", "passed: int", set()),
    "a new model": ("quant_core/forecasting/models/mine.py", "", NEW_MODEL, set()),
    "another source": ("quant_core/market/sources/simulated.py", "    def fetch(", "    @print\n    def fetch(", set()),
    "a profile's description": ("quant_assets/presets/nifty50.yaml", "NIFTY 50", "Fifty names", set()),
    # What is computed with, in the module that computes and far below it.
    "a special session": ("quant_core/calendar.py", '"2026-11-08"', '"2026-11-09"', ON_SESSIONS),
    "scores negated": (
        "quant_core/forecasting/model.py", 'pl.col("score").cast(pl.Float64)', '-pl.col("score").cast(pl.Float64)',
        {"forecasts_ridge", "trial"},
    ),
    "what the backtest counts": (
        "quant_core/cleaning/coverage.py", "def member_coverage(", "@print\ndef member_coverage(", {"backtest"},
    ),
    "the model": (
        "quant_core/forecasting/models/ridge.py", "def fit(", "@print\ndef fit(",
        {"forecaster_ridge", "forecasts_ridge"},
    ),
    "a strategy": (
        "quant_core/allocation/strategies/equal_weight.py", "def equal_weight(", "@print\ndef equal_weight(",
        {"book_settings", "target_weights", "backtest", "backtest_report", "trial", "signals"},
    ),
    "a new feature": ("quant_core/features/mine.py", "", NEW_FEATURE, {"features"}),
    "a kernel imported inside functions": (
        "quant_core/features/kernels.py", "RELATIVE_STD_FLOOR = ", "RELATIVE_STD_FLOOR = 2 * ", {"features"},
    ),
    "what is suspected": (
        "quant_core/cleaning/suspects.py", "def find_suspects(", "@print\ndef find_suspects(", {"clean_prices"},
    ),
    "a charge": ("quant_core/trading/nse_charges.py", "STT = (", "STT = () and (",
        {"book_settings", "backtest", "backtest_report", "trial", "signals"},
    ),
    "what an asset's wrapper hands on": (
        "quant_assets/config.py", "return build(settings, config.model_dump()", "return build(settings, dict(config)",
        ASSETS - {"forecasts_ridge", "book_settings", "trial", "leaderboard", "signals"},
    ),
    # Data files.
    "a membership date": ("quant_core/market/nifty50_membership.csv", "2014-03-28", "2014-04-28", MEMBERSHIP),
    "another member": (
        "quant_core/market/nifty50_membership.csv", "\nTCS,", "\nNEWCOMER,", {"raw_ohlcv", *MEMBERSHIP},
    ),
    "a listed sector": ("quant_core/market/sectors.csv", "TCS,", "TCS,X",
        {"features", "forecast_quality", "book_settings", "target_weights", "backtest", "backtest_report", "trial"},
    ),
    "the report's template": (
        "quant_core/report/templates/report.html.j2", "<title>", "<title>Lab: ",
        {"backtest_report", "signals"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SOURCE_EDITS)
def test_an_edit_makes_stale_what_reads_it_and_nothing_else(
    name: str, packages: Path, edit: Callable[[str, str, str], None]
) -> None:
    file, old, new, expected = SOURCE_EDITS[name]
    profile = load_profile("nifty50", RIDGE)
    before = code_versions(packages, profile)
    edit(file, old, new)
    assert stale(before, code_versions(packages, profile)) == expected


PROFILE_EDITS: dict[str, tuple[dict[str, Any], set[str]]] = {
    "liquidity": ({"liquidity": {"top_n": 40}}, {"clean_prices"}),
    "quality": ({"quality": {"max_filled_share": 0.2}}, {"clean_prices"}),  # the check is judged inside the asset
    "drift": ({"drift": {"largest_share_of_features": 0.9}}, set()),  # only a check reads it
    "presets of one asset": (
        {"presets": {"target_weights": {"top_n": 9}}},
        {"book_settings", "target_weights", "backtest", "trial", "signals"},
    ),
    "universe": ({"universe": "nifty500"}, {"raw_ohlcv", *MEMBERSHIP}),
    "first fold": (
        {"first_fold": 2016},
        {"forecasts_ridge", "forecast_quality", "forecast_comparison", "backtest", "backtest_report"},
    ),
}


def test_an_edit_of_the_profile_makes_stale_what_reads_the_entry(packages: Path) -> None:
    profile = load_profile("nifty50", RIDGE)
    before = code_versions(packages, profile)
    found = {
        name: stale(before, code_versions(packages, replace(profile, **entries)))
        for name, (entries, _) in PROFILE_EDITS.items()
    }
    expected = {name: assets for name, (_, assets) in PROFILE_EDITS.items()}
    # The preset that replaces the others here also drops the profile's own for the backtest, and its report states it.
    expected["presets of one asset"] = {
        "book_settings",
        "target_weights",
        "backtest",
        "backtest_report",
        "trial",
        "signals",
    }
    assert found == expected


def test_a_users_own_universe_file_counts_by_its_content(packages: Path, tmp_path: Path) -> None:
    own = tmp_path / "mine.csv"
    own.write_text("ticker,from_date,to_date\nTCS,2010-01-01,\nINFY,2010-01-01,\n")
    profile = replace(load_profile("nifty50", RIDGE), universe=str(own))
    before = code_versions(packages, profile)
    own.write_text("ticker,from_date,to_date\nTCS,2010-01-01,\nINFY,2010-01-01,2015-01-01\n")
    assert stale(before, code_versions(packages, profile)) == MEMBERSHIP
    own.write_text("ticker,from_date,to_date\nTCS,2010-01-01,\nINFY,2010-01-01,\nSBIN,2010-01-01,\n")
    assert stale(before, code_versions(packages, profile)) == {"raw_ohlcv", *MEMBERSHIP}


LIBRARIES = {
    "polars": ASSETS - {"leaderboard"},  # it is made anew whenever it is asked for
    "numba": {"features", "book_settings", "target_weights", "backtest", "backtest_report", "trial", "signals"},
    "scikit-learn": {"book_settings", "target_weights", "backtest", "backtest_report", "trial", "signals"},
    "skfolio": {"book_settings", "target_weights", "backtest", "backtest_report", "trial", "signals"},
    "clarabel": {"book_settings", "target_weights", "backtest", "backtest_report", "trial", "signals"},
    "plotly": {"backtest_report"},
    "torch": set(),  # no model of this lab trains with it
    "dagster": set(),
    "mlflow": set(),
}


def test_a_library_counts_where_it_computes(packages: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    profile, real = load_profile("nifty50", RIDGE), closure.library_versions
    before, found = code_versions(packages, profile), {}
    for library in LIBRARIES:

        def upgraded(used: str, library: str = library) -> dict[str, str]:
            return {name: "99.0" if name == library else version for name, version in real(used).items()}

        monkeypatch.setattr("quant_assets.currency.fingerprints.library_versions", upgraded)
        found[library] = stale(before, code_versions(packages, profile))
    assert found == LIBRARIES


def test_a_source_and_its_lists_count_for_the_profiles_that_use_it(
    packages: Path, edit: Callable[[str, str, str], None], tmp_path: Path
) -> None:
    files = load_profile("nifty50", source_override("files", str(tmp_path)) | RIDGE)
    profiles = {"files": files, "yahoo": load_profile("nifty50", RIDGE), "simulated": load_profile("demo", RIDGE)}
    before = {name: code_versions(packages, profile) for name, profile in profiles.items()}

    def now() -> dict[str, set[str]]:
        found = {name: stale(before[name], code_versions(packages, profile)) for name, profile in profiles.items()}
        before.update({name: code_versions(packages, profile) for name, profile in profiles.items()})
        return {name: assets for name, assets in found.items() if assets}

    for list_of_facts in ("known_actions", "symbol_changes"):
        edit(f"quant_core/market/{list_of_facts}.csv", "\n", "\n\n")
        assert now() == {"files": {"raw_ohlcv"}}, list_of_facts
    edit("quant_core/market/sources/files.py", "    def fetch(", "    @print\n    def fetch(")
    assert now() == {"files": {"raw_ohlcv"}}
    edit("quant_core/market/listings.csv", "\n", "\n\n")  # the first day of a listing: both vendors' rows need it
    assert now() == {"files": {"raw_ohlcv"}, "yahoo": {"raw_ohlcv"}}


# ---- following names -------------------------------------------------------------------------------------------------


def lab_of(tmp_path: Path, **files: str) -> Tree:
    """Packages with these modules: `core__a__b` is quant_core/a/b.py."""
    for name in closure.PACKAGES:
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("")
    for name, text in files.items():
        path = tmp_path.joinpath(*f"quant_{name}".split("__")).with_suffix(".py")
        path.parent.mkdir(exist_ok=True)
        (path.parent / "__init__.py").touch()
        path.write_text(text)
    return Tree(tmp_path)


def names(tree: Tree, entry: str) -> set[str]:
    return {":".join(part.split(":")[:2]) for part in reach(tree, [entry]).parts}


def test_names_lead_through_modules_and_imports_inside_functions(tmp_path: Path) -> None:
    tree = lab_of(
        tmp_path,
        core__a="import quant_core.b\nfrom quant_core import c as other\n"
        "def entry():\n    from quant_core.d import deep\n    return quant_core.b.one() + other.two() + deep()\n"
        "def idle():\n    return quant_core.b.unused()\n",
        core__b="def one():\n    return HELP\nHELP = 1\ndef unused():\n    return 2\n",
        core__c="from quant_core.e import moved as two\n",
        core__d="def deep(x: 'Later' = None):\n    return 1\nclass Later:\n    pass\nclass Never:\n    pass\n",
        core__e="def moved():\n    return 3\n",
    )
    assert names(tree, "quant_core.a:entry") == {
        "quant_core.a:entry", "quant_core.b:one", "quant_core.b:HELP", "quant_core.d:deep", "quant_core.d:Later",
        "quant_core.e:moved",
    }  # fmt: skip


def test_in_doubt_the_whole_module_counts(tmp_path: Path) -> None:
    tree = lab_of(
        tmp_path,
        core__a="from quant_core import b\ndef entry():\n    return getattr(b, 'one')()\n",
        core__b="def one():\n    return 1\ndef two():\n    return 2\n",
    )
    assert names(tree, "quant_core.a:entry") == {"quant_core.a:entry", "quant_core.b:one", "quant_core.b:two"}


def test_what_a_module_does_on_import_counts_wherever_one_of_its_names_is_used(tmp_path: Path) -> None:
    tree = lab_of(
        tmp_path,
        core__a="from quant_core.b import one\ndef entry():\n    return one()\n",
        core__b="TABLE = {}\nTABLE['x'] = 1\nfor n in (1, 2):\n    TABLE[n] = n\ndef one():\n    return 1\nIDLE = 5\n",
    )
    assert names(tree, "quant_core.a:entry") == {
        "quant_core.a:entry", "quant_core.b:one", "quant_core.b:TABLE", "quant_core.b:-", "quant_core.b:n",
    }  # fmt: skip


REGISTRY = "from quant_core.registry import Registry\nTHINGS = Registry('thing', 'quant_core.things')\n"
THING = (
    "from quant_core.kind import THINGS\n@THINGS.register('{0}')\ndef {0}():\n    return 1\n"
    "def aside():\n    return 2\n"
)


def test_a_registry_reaches_what_is_registered_and_an_entry_only_itself(tmp_path: Path) -> None:
    tree = lab_of(
        tmp_path,
        core__registry="class Registry:\n    pass\n",
        core__kind=REGISTRY,
        core__things__one=THING.format("one"),
        core__things__two=THING.format("two"),
        core__a="from quant_core.kind import THINGS\ndef entry():\n    return list(THINGS)\n",
    )
    both = {"quant_core.things.one:one", "quant_core.things.two:two"}
    kind = {"quant_core.kind:THINGS", "quant_core.registry:Registry"}
    assert names(tree, "quant_core.a:entry") == {"quant_core.a:entry", *both, *kind}
    assert names(tree, "quant_core.things[one]") == {"quant_core.things.one:one", *kind}
    assert names(tree, "quant_core.things[a name made at run time]") == {*both, *kind}


def test_texts_name_data_files_beside_their_module(tmp_path: Path) -> None:
    tree = lab_of(
        tmp_path,
        core__a__b="from pathlib import Path\nHERE = Path(__file__).parent\n"
        "def one():\n    return HERE / 'one.csv'\ndef each(x):\n    return HERE / f'{x}.csv'\n"
        "def folder():\n    return HERE / 'lists'\ndef package():\n    return files('quant_core.a')\n",
    )
    (tmp_path / "quant_core" / "a" / "lists").mkdir()
    (tmp_path / "quant_core" / "a" / "__pycache__").mkdir()
    files = ("one.csv", "two.csv", "three.yaml", "lists/four.txt", "lists/.four.swp", "__pycache__/b.one.nbi", ".b.swp")
    for file in files:
        (tmp_path / "quant_core" / "a" / file).write_text(file)

    def data(entry: str) -> set[str]:
        return {part.removeprefix("quant_core/a/") for part in reach(tree, [entry]).parts if ":" not in part}

    assert data("quant_core.a.b:one") == {"one.csv"}
    assert data("quant_core.a.b:each") == {"one.csv", "two.csv"}
    assert data("quant_core.a.b:folder") == {"lists/four.txt"}
    assert data("quant_core.a.b:package") == {"one.csv", "two.csv", "three.yaml", "lists/four.txt"}


# ---- fingerprints ----------------------------------------------------------------------------------------------------


def graph_of(code_version: str) -> Any:
    @dg.asset(key=["p", "table"], code_version=code_version, partitions_def=dg.StaticPartitionsDefinition(["a"]))
    def table() -> None: ...

    return dg.Definitions([table]).resolve_asset_graph()


def test_a_fingerprint_holds_the_code_version_the_settings_and_what_lies_outside(tmp_path: Path) -> None:
    key, root = dg.AssetKey(["p", "table"]), UPath(tmp_path)

    def made(code: str = "1", config: Mapping[str, Any] = {}, outside: str = "") -> str:
        return fingerprint(graph_of(code), stamps_in(root), key, "a", config, lambda key, partition: outside)

    assert made() == made()
    assert len({made(), made(code="2"), made(config={"top_n": 3}), made(outside="edited")}) == 4


def test_data_that_cannot_be_read_does_not_stop_the_definitions(packages: Path, tmp_path: Path) -> None:
    profile = replace(load_profile("nifty50", RIDGE), universe=str(tmp_path / "absent.csv"))
    assert set(code_versions(packages, profile)) == ASSETS
