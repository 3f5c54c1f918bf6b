"""Writes the tables of the pages: `python docs/tables.py` brings them up to date, `--check` says which are not.

A table stands between `<!-- table: NAME -->` and `<!-- end -->`. Most are made from the code (TABLES); one that is
called like a file in docs/measured holds its figures, which a command wrote (docs/measure.py, `quant validate`).
"""

import argparse
import dataclasses
import inspect
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import dataframely as dy
import polars as pl

from quant_assets.assembly import build_definitions
from quant_assets.checks.contracts import CONTRACTS
from quant_assets.lab import Lab
from quant_assets.profile import Profile, load_profile, profile_names
from quant_core.errors import DataError
from quant_core.report.formats import SPECS, write

DOCS = Path(__file__).parent
MEASURED = DOCS / "measured"
BLOCK = re.compile(r"<!-- table: (?P<name>[\w-]+) -->\n(?P<text>.*?)<!-- end -->", flags=re.DOTALL)
#: What an asset of which there is one a model, agent and the like is called on the page.
FAMILIES = {
    "forecaster_": "forecaster_<model>", "forecasts_": "forecasts_<model>", "rl_policy_": "rl_policy_<agent>",
    "weights_": "weights_<agent>",
}  # fmt: skip
#: Columns of measured tables that the report does not have, or that need a shorter name beside many others.
SHORT = {
    "strategy": "book", "model": "model", "horizon_sessions": "horizon", "sharpe_at_twice_the_costs": "at 2x costs",
    "sharpe_ann": "Sharpe", "deflated_sharpe": "deflated", "max_drawdown": "worst drawdown",
    "volatility_ann": "volatility", "turnover_ann": "turnover a year", "cost_ann": "cost a year",
    "mean_rank_ic": "rank IC", "nw_t": "t", "dm_p": "p to ridge", "rank_ic_added": "adds",
    "coverage_90": "in 90 %", "icir": "ICIR a day", "crps_skill": "CRPS skill",
    "effective_names": "effective names", "sharpe_low_ann": "worst seed", "sharpe_high_ann": "best seed",
    "is_crisis_worst": "its worst regime", "n_crisis_spells": "spells of Crisis", "n_false_alarms": "false alarms",
    "asset": "asset", "fold": "fold", "content_hash": "content hash",
}  # fmt: skip
#: Which columns of a measured table a page shows, where it is not all of them; the file has all.
SHOWN = {
    "forecasts": (
        "model", "horizon_sessions", "mean_rank_ic", "nw_t", "icir", "dm_p", "rank_ic_added", "crps_skill",
        "coverage_90",
    ),
}  # fmt: skip


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Cells as a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(cells)} |".replace("|  |", "| |").replace("|  |", "| |") for cells in lines)


def cell(text: str) -> str:
    """Text as one line that a table can hold."""
    return " ".join(text.split()).replace("|", "\\|")


# ---- tables of the code ---------------------------------------------------------------------------------------------


def profile_entries() -> str:
    """Every entry of a profile: its type, its default and what its docstring says."""
    said = attributes_of(Profile)
    rows = []
    for entry in dataclasses.fields(Profile):
        if entry.name != "name":
            kind = re.sub(r"collections\.abc\.|typing\.|quant_core\.folds\.", "", inspect.formatannotation(entry.type))
            rows.append([f"`{entry.name}`", cell(kind), default_of(entry), cell(said[entry.name])])
    return table(("entry", "type", "default", "what it is"), rows)


def attributes_of(owner: type) -> dict[str, str]:
    """Name -> words of the section `Attributes:` of a docstring; "a, b: ..." says it of both."""
    words = inspect.cleandoc(owner.__doc__ or "").split("Attributes:\n")[1]
    found: dict[str, str] = {}
    for names, text in re.findall(r"^ {4}([\w, ]+): (.*(?:\n {8}.*)*)", words, flags=re.MULTILINE):
        found |= dict.fromkeys(names.split(", "), text)
    return found


def default_of(entry: "dataclasses.Field[Any]") -> str:
    if entry.default_factory is not dataclasses.MISSING:
        return "none"
    if entry.default is dataclasses.MISSING:
        return "required"
    return "none" if entry.default in (None, ()) else f"`{entry.default}`"


def profiles() -> str:
    """The shipped profiles."""
    rows = []
    for profile in map(load_profile, profile_names()):
        names = [f"`{profile.name}`", cell(profile.description), str(profile.source["name"]), profile.start]
        rows.append([*names, str(profile.first_fold), profile.model_size])
    return table(("profile", "what", "source", "data from", "first fold", "size of models"), rows)


def assets() -> str:
    """Every asset of the demo in the order of the data: its group, partitions, inputs and sentence."""
    profile = load_profile("demo")
    known = {"months": Lab(profile).partitions.months, "folds": Lab(profile).partitions.folds, "none": None}
    graph = build_definitions(profile).resolve_asset_graph()
    rows: dict[str, list[str]] = {}
    for key in graph.toposorted_asset_keys:
        node = graph.get(key)
        parts = next((name for name, of in known.items() if of == node.partitions_def), "by name")
        parents = sorted({family(parent.path[-1]) for parent in node.parent_keys})
        words = cell(node.description or "").split("; ")[0].split(". ")[0].rstrip(".")
        name = family(key.path[-1])
        about = words if name == key.path[-1] else ONE_A_NAME[name]
        rows[name] = [f"`{name}`", node.group_name, parts, ", ".join(f"`{parent}`" for parent in parents), about]
    return table(("asset", "group", "partitions", "reads", "what it is"), rows.values())


#: What stands for the descriptions of all assets of a family.
ONE_A_NAME = {
    "forecaster_<model>": "one forecaster, fitted once a fold on purged labels; `ensemble` weighs the others",
    "forecasts_<model>": "its scores and distributions, each month by the fold that contains it",
    "rl_policy_<agent>": "one learning agent, trained once a fold on what the folds before it forecast",
    "weights_<agent>": "what its policy decides to hold",
}


def family(asset: str) -> str:
    return next((name for start, name in FAMILIES.items() if asset.startswith(start)), asset)


def schemas() -> str:
    """Every stored table, a heading and a table of columns each, as its class in quant_core/schema declares it."""
    parts = []
    for asset, found in CONTRACTS.items():
        named: Mapping[str, Any] = {"": found} if isinstance(found, type) else found
        for name, schema in named.items():
            parts.append(f"### `{asset}`{f', table `{name}`' if name else ''}\n\n{schema_table(schema)}")
    return "\n\n".join(parts)


def schema_table(schema: type[dy.Schema]) -> str:
    """A class's docstring and its columns: type, key, whether null, and the comment beside it."""
    said = comments_of(schema)
    rows = []
    for name, column in schema.columns().items():
        traits = [*(["key"] if column.primary_key else []), *(["may be null"] if column.nullable else [])]
        rows.append([f"`{name}`", str(column.dtype), ", ".join(traits), said.get(name) or usual(name)])
    return f"{cell(inspect.cleandoc(schema.__doc__ or ''))}\n\n{table(('column', 'type', '', 'what it is'), rows)}"


def usual(name: str) -> str:
    """What a column of that name is in every table: by USUAL, by its label in the report, or its unit."""
    if name in USUAL:
        return USUAL[name]
    if name in SPECS:
        return SPECS[name].label.lower().replace("\u202f", " ").replace("\u2013", "-")
    return next((unit for ending, unit in UNITS.items() if name.endswith(ending)), "")


#: Columns that mean the same wherever they stand, and units by the end of a name.
USUAL = {
    "date": "session", "ticker": "continuous name", "strategy": "book", "model": "forecaster",
    "agent": "learning agent", "fold": "year or quarter", "instrument": "equity or index",
    "method": "regime method", "regime": "its name",
    "horizon_sessions": "sessions from the fill to the exit", "basis": "unadjusted or split_adjusted",
    "source": "registered name of the source", "fetched_at": "when the rows were asked for", "n_rows": "rows",
    "n_tickers": "names", "first_date": "first session", "last_date": "last session", "weight": "fraction of equity",
}  # fmt: skip
UNITS = {
    "_inr": "rupees", "_shares": "shares", "_bps": "hundredths of a percent", "_sessions": "sessions", "_ann": "a year",
    "_share": "fraction", "_return_1d": "simple return of a session", "_weight": "fraction of equity",
}  # fmt: skip


def comments_of(schema: type[dy.Schema]) -> dict[str, str]:
    """Column -> the comment in the lines that declare it."""
    source = inspect.getsource(schema)
    declared = re.split(r"^ {4}(\w+) = ", source, flags=re.MULTILINE)[1:]
    return {
        name: cell("; ".join(re.findall(r"  # (.*)$", text.split("\n    #")[0], flags=re.MULTILINE)))
        for name, text in zip(declared[::2], declared[1::2], strict=True)
    }


TABLES: dict[str, Callable[[], str]] = {
    "profile-entries": profile_entries, "profiles": profiles, "assets": assets, "schemas": schemas,
}  # fmt: skip

# ---- measured tables ------------------------------------------------------------------------------------------------


def measured(name: str) -> str:
    """The figures of docs/measured/<name>: a CSV as a table, Markdown as it is."""
    if (MEASURED / f"{name}.md").is_file():
        return (MEASURED / f"{name}.md").read_text(encoding="utf-8").strip()
    found = pl.read_csv(MEASURED / f"{name}.csv", schema_overrides={"fold": pl.String})
    shown = [column for column in SHOWN.get(name.rpartition("-")[2], found.columns) if column in found.columns]
    rows = ([figure(column, row[column]) for column in shown] for row in found.iter_rows(named=True))
    return table([label(column) for column in shown], rows)


def label(column: str) -> str:
    """What a column is called in a page."""
    if column in SPECS and column not in SHORT:
        return SPECS[column].label.replace("\u202f", " ")
    return SHORT.get(column, column.replace("_", " "))


def figure(column: str, value: Any) -> str:
    """A cell in plain characters; years of a table of rank ICs have three decimals, as rank ICs do."""
    if value is None:
        return "-"
    known = "mean_rank_ic" if re.fullmatch(r"\d{4}(-\d\d)?", column) else column
    known = "sharpe_ann" if column.startswith("sharpe_") else known
    if isinstance(value, bool):
        return "yes" if value else "no"
    written = value[:12] if column == "content_hash" else write(known, value)
    return cell(str(written).replace("\u202f", " ").replace("\u2212", "-").replace("\u2013", "-").replace("\u00d7", ""))


# ---- pages ----------------------------------------------------------------------------------------------------------


@cache
def made(name: str) -> str:
    """The table of that name.

    Raises:
        DataError: neither the code nor docs/measured has it.
    """
    if name in TABLES:
        return TABLES[name]()
    if any((MEASURED / f"{name}.{kind}").is_file() for kind in ("csv", "md")):
        return measured(name)
    raise DataError(f"docs: no table {name!r}; wanted one of {', '.join(TABLES)} or the name of a file in {MEASURED}.")


def rewritten(page: str) -> str:
    """A page with every table as it is now."""
    return BLOCK.sub(lambda found: f"<!-- table: {found['name']} -->\n\n{made(found['name'])}\n\n<!-- end -->", page)


def pages() -> list[Path]:
    return [path for path in sorted(DOCS.glob("*.md")) if BLOCK.search(path.read_text(encoding="utf-8"))]


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 where a page is stale")
    given = parser.parse_args(arguments)
    stale = []
    for path in pages():
        text = path.read_text(encoding="utf-8")
        if (new := rewritten(text)) != text:
            stale.append(path)
            if not given.check:
                path.write_text(new, encoding="utf-8")
    for path in stale:
        print(f"{path}: {'not up to date; run: python docs/tables.py' if given.check else 'written'}")
    return int(given.check and bool(stale))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
