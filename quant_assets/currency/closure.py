"""Everything that an entry function can reach: code, data files and libraries, found by reading the source.

Reached is what a name leads to, across modules and imports inside functions, top-level statement by statement: a
function that nothing of the entry uses does not count, a comment or docstring never does. Where a name cannot be
followed (a module handed on as a value, an unknown attribute) the whole module counts.

- A text that names a package of the lab (`Registry("feature", "quant_core.features")`, a template loader) stands for
  whatever the package's modules register and for the data files in it. Registering (`X.register`) is not using.
- A text that names a file or a folder beside its module stands for that file, or the data files of the folder.
- What is asked of the `Lab` counts by its answer, not by its code: `Reach.asked` lists the questions.
"""

import hashlib
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from functools import cached_property, lru_cache
from importlib import metadata
from pathlib import Path

from quant_assets.currency.source_units import Chain, Module, Target, Unit, read_module

PACKAGES = ("quant_core", "quant_assets")
#: Its answers are part of a code version by value (quant_assets/lab.py), so its code is not.
ANSWERED_BY_VALUE = ("quant_assets.lab", "Lab")
#: What changes nothing that an asset stores: trial_witness tells the register of trials what a run was, and the report
#: whether the register is whole (in its fingerprint); verdicts tells a person what a check says, model_card what a fit
#: is, and model_registry lists it; what trial_keys reads off a key is in the trial's fingerprint, setting by setting.
TOLD_APART = frozenset({
    "quant_assets.experiments.trial_witness", "quant_assets.experiments.trial_keys", "quant_assets.checks.verdicts",
    "quant_assets.tracking.model_card", "quant_assets.tracking.model_registry",
})  # fmt: skip
#: They order, log, store and fetch; what they hand over is the lab's own data or the vendor's, stamped by content.
CARRIERS = frozenset({"dagster", "dagster_mlflow", "mlflow", "upath", "yaml", "pydantic", "rich", "typer", "yfinance"})
#: Distributions whose import has another name, and those that compute for one that is imported.
DISTRIBUTION = {"sklearn": "scikit-learn"}
COMPUTED_BY = {"sklearn": ("scipy",), "skfolio": ("scipy", "cvxpy-base", "clarabel"), "numba": ("llvmlite",)}

#: A text that stands for several files: "*.csv", "lists/*.yaml".
PATTERN = re.compile(r"[\w./-]*\*[\w*-]*\.\w+")


@dataclass(frozen=True)
class Reach:
    """What some entries reach.

    Attributes:
        parts: "module:name" or a file's path -> hash, or the import that a name stands for.
        libraries: import names of third-party packages that compute.
        asked: what is read from a Lab: attributes, then a literal first argument where it is called with one.
    """

    parts: Mapping[str, str]
    libraries: frozenset[str]
    asked: frozenset[Chain]


@dataclass(frozen=True)
class Tree:
    """The lab's packages under one folder."""

    root: Path

    @cached_property
    def paths(self) -> dict[str, Path]:
        """Dotted name -> file of every module."""
        found = {}
        for package in PACKAGES:
            for path in sorted((self.root / package).rglob("*.py")):
                parts = path.relative_to(self.root).with_suffix("").parts
                found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
        return found

    @cached_property
    def data(self) -> dict[str, Path]:
        """Path under the root -> file of everything that is not Python; caches and hidden files left out."""
        files = (path for package in PACKAGES for path in sorted((self.root / package).rglob("*")))
        named = {path.relative_to(self.root): path for path in files if path.is_file() and path.suffix != ".py"}
        return {
            name.as_posix(): path
            for name, path in named.items()
            if not any(part == "__pycache__" or part.startswith(".") for part in name.parts)
        }

    @cached_property
    def _read(self) -> dict[str, Module]:
        return {}

    def module(self, name: str) -> Module:
        """The module of that name, read once."""
        if name not in self._read:
            self._read[name] = read_module(name, self.paths[name], self.paths[name].read_bytes())
        return self._read[name]

    def is_package(self, name: str) -> bool:
        return name in self.paths and self.paths[name].name == "__init__.py"

    def within(self, package: str) -> list[str]:
        """The package's modules, itself included."""
        return [name for name in self.paths if name == package or name.startswith(f"{package}.")]

    def files_named(self, folder: Path, text: str) -> list[str]:
        """Data files that a text names from a folder: a file, a pattern, or all of a folder."""
        if not text or len(text) > 100 or text.strip("./ ") == "":
            return []
        wanted = f"{folder.relative_to(self.root).as_posix()}/{text}"
        if PATTERN.fullmatch(text):
            return [name for name in self.data if fnmatch(name, wanted)]
        return [name for name in self.data if name == wanted or name.startswith(f"{wanted}/")]

    def files_in(self, folder: Path) -> list[str]:
        """Every data file of a folder and those under it."""
        place = folder.relative_to(self.root).as_posix()
        return [name for name in self.data if name.startswith(f"{place}/")]


@lru_cache(maxsize=1)
def installed() -> Tree:
    """The packages that are running."""
    return Tree(Path(__file__).resolve().parents[2])


def reach(tree: Tree, entries: Iterable[str]) -> Reach:
    """What the entries reach.

    Args:
        entries: "module:name", "module" for all of one, or "package[name]" for what registers itself in a package under
            that name (all that registers there, where nothing does under a name that can be read).
    """
    walk = _Walk(tree)
    for entry in entries:
        if entry.endswith("]"):
            package, _, label = entry[:-1].partition("[")
            walk.registered(package, label)
        else:
            module, _, name = entry.partition(":")
            walk.find(module, (name,)) if name else walk.whole(module)
        walk.run()
    return Reach(walk.parts, frozenset(walk.libraries), frozenset(walk.asked))


@dataclass
class _Walk:
    tree: Tree
    parts: dict[str, str] = field(default_factory=dict)
    libraries: set[str] = field(default_factory=set)
    asked: set[Chain] = field(default_factory=set)
    entered: set[str] = field(default_factory=set)
    pending: list[tuple[Module, Unit, bool]] = field(default_factory=list)
    done: set[tuple[int, bool]] = field(default_factory=set)

    def run(self) -> None:
        """Follow everything that is pending."""
        while self.pending:
            module, unit, used = self.pending.pop()
            if (id(unit), used) not in self.done:
                self.done.add((id(unit), used))
                self._unit(module, unit, used)

    def _unit(self, module: Module, unit: Unit, used: bool) -> None:
        name = ",".join(unit.names) or "-"
        self.parts[f"{module.name}:{name}:{unit.digest[:12]}"] = unit.digest
        if used:
            self._texts(module, unit)
        labs = {argument for argument, kind in unit.typed if self._is_lab(module, unit, kind)}
        for chain in unit.chains:
            if chain[0] in labs and len(chain) > 1:
                texts = [text for called, text in unit.calls if called == chain]
                self.asked.update([(*chain[1:], text) for text in texts] or [chain[1:]])
            elif chain[0] not in labs:
                self._name(module, unit, chain)

    def _is_lab(self, module: Module, unit: Unit, kind: Chain) -> bool:
        target = unit.imports.get(kind[0]) or module.imports.get(kind[0])
        return target is not None and (target == ANSWERED_BY_VALUE or (target[0], *kind[1:]) == ANSWERED_BY_VALUE)

    def _name(self, module: Module, unit: Unit, chain: Chain) -> None:
        """What a name used in a unit stands for: an import of its own, of its module, or a definition beside it."""
        head = chain[0]
        if head in unit.imports:
            self._import(module, unit.imports[head], chain)
        if head in module.bound:
            others = [found for found in module.bound[head] if found is not unit]
            self.pending += [(module, found, not _registers(chain)) for found in others]
        elif head in module.imports:
            self._import(module, module.imports[head], chain)
        elif module.stars:
            for star in module.stars:
                self._import(module, (star, head), chain)

    def _import(self, module: Module, target: Target, chain: Chain) -> None:
        source, name = target
        top = source.split(".")[0]
        if top in PACKAGES:
            self.find(source, chain[1:] if name is None else (name, *chain[1:]))
        else:
            self.parts[f"{module.name}:{chain[0]}"] = f"{source}:{name or ''}"
            if top not in sys.stdlib_module_names and top not in CARRIERS:
                self.libraries.add(top)

    def find(self, source: str, names: Chain) -> None:
        """Reach `names` from the module `source`: a name of it, a submodule's, or all of it in doubt."""
        if source not in self.tree.paths or source in TOLD_APART:
            return
        module = self.enter(source)
        name, more = names[0] if names else "", names[1:]
        if (source, name) == ANSWERED_BY_VALUE:
            return
        if name in module.bound:
            self.pending += [(module, unit, not _registers(names)) for unit in module.bound[name]]
        elif name in module.imports:
            self._import(module, module.imports[name], (name, *more))
        elif f"{source}.{name}" in self.tree.paths:
            self.find(f"{source}.{name}", more)
        elif not (name.startswith("__") and name.endswith("__")):
            self.whole(source)

    def enter(self, source: str) -> Module:
        """Import a module: what it and its packages do on import is reached."""
        parts = source.split(".")
        for depth in range(1, len(parts) + 1):
            name = ".".join(parts[:depth])
            if name not in self.entered:
                self.entered.add(name)
                module = self.tree.module(name)
                self.pending += [(module, unit, True) for unit in module.effects]
        return self.tree.module(source)

    def whole(self, source: str) -> None:
        """Reach every statement of a module, and what it imports by star."""
        module = self.enter(source)
        self.pending += [(module, unit, True) for unit in module.units]
        for star in module.stars:
            if star in self.tree.paths:
                self.whole(star)

    def registered(self, package: str, label: str = "") -> None:
        """Reach what the package's modules register, under one name where it is given and found."""
        units = [
            (module, unit)
            for module in map(self.tree.module, self.tree.within(package))
            for unit in module.units
            if self._is_registering(module, unit)
        ]
        chosen = [(module, unit) for module, unit in units if label in unit.labels] or units
        for module, unit in chosen:
            self.enter(module.name)
            self.pending.append((module, unit, True))

    def _is_registering(self, module: Module, unit: Unit) -> bool:
        """Decorated by the lab's own code, or calling `register` while it is imported."""
        if unit.decorators:
            targets = [module.imports.get(chain[0], (module.name, None)) for chain in unit.decorators]
            return any(target[0].split(".")[0] in PACKAGES for target in targets)
        return unit in module.effects or (not _defines(unit) and any(map(_registers, unit.chains)))

    def _texts(self, module: Module, unit: Unit) -> None:
        """Data files and packages that the unit's texts name."""
        files = {name for text in unit.strings for name in self.tree.files_named(module.folder, text)}
        for ending in unit.endings:
            suffix = f".{ending.rpartition('.')[2]}" if "." in ending else ""
            if suffix and ending.endswith(suffix):
                files |= set(self.tree.files_named(module.folder, f"*{suffix}"))
        for package in (text for text in unit.strings if "." in text and self.tree.is_package(text)):
            self.registered(package)
            folder = self.tree.paths[package].parent
            named = {name for text in unit.strings for name in self.tree.files_named(folder, text)}
            files |= named or set(self.tree.files_in(folder))
        for name in files:
            self.parts[name] = hashlib.sha256(self.tree.data[name].read_bytes()).hexdigest()


def _registers(chain: Sequence[str]) -> bool:
    """Whether a chain adds to a registry or names an entry of it: neither uses what else is registered."""
    return chain[-1] in ("register", "entry")


def _defines(unit: Unit) -> bool:
    return unit.names != () and not unit.names[0].startswith("_")


@lru_cache
def library_versions(library: str) -> Mapping[str, str]:
    """Versions of the distributions behind an imported library: its own, and those that compute for it."""
    names = (DISTRIBUTION.get(library, library), *COMPUTED_BY.get(library, ()))
    return dict(_versions(names))


def _versions(names: Iterable[str]) -> Iterator[tuple[str, str]]:
    for name in names:
        try:
            yield name, metadata.version(name)
        except metadata.PackageNotFoundError:  # imported under another name than it is installed by
            owners = metadata.packages_distributions().get(name, [])
            yield from ((owner, metadata.version(owner)) for owner in owners)
