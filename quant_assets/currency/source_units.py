"""One Python module as units: its top-level statements without comments and docstrings, and the names that each uses.

Belongs here: reading a syntax tree. What a unit reaches in other modules is closure.py's.
"""

import ast
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

#: A name and the attributes read from it: `calendar.sessions` is ("calendar", "sessions").
Chain = tuple[str, ...]
#: What an import binds a name to: a module, and the name in it (None for the module itself).
Target = tuple[str, str | None]

Function = (ast.FunctionDef, ast.AsyncFunctionDef)
#: Statements that only bind names; every other one runs whenever the module is imported.
_DEFINITION = (*Function, ast.ClassDef, ast.Assign, ast.AnnAssign)
_SILENT = ("ctx", "kind", "type_comment")


@dataclass(frozen=True, eq=False)
class Unit:
    """A top-level statement.

    Attributes:
        names: what it binds; none for a statement that is run for what it does.
        digest: hash of its syntax.
        chains: every name that it reads, with attributes.
        calls: chains that it calls with a text as first argument, and that text.
        strings: text constants. endings: the constant ends of formatted texts.
        imports: names bound by imports inside of it.
        typed: (argument, its annotation) of every function in it.
        decorators: chains of its own decorators.
        labels: texts in its decorators, or in all of it where it has none: what it may register itself under.
    """

    names: tuple[str, ...]
    digest: str
    chains: frozenset[Chain]
    calls: frozenset[tuple[Chain, str]]
    strings: frozenset[str]
    endings: frozenset[str]
    imports: dict[str, Target]
    typed: frozenset[tuple[str, Chain]]
    decorators: frozenset[Chain]
    labels: frozenset[str]


@dataclass(frozen=True)
class Module:
    """A module's units by the names that they bind.

    Attributes:
        imports: names bound by imports at its top level. stars: modules imported whole.
        effects: units that run when it is imported, whatever is wanted from it.
    """

    name: str
    folder: Path
    units: tuple[Unit, ...]
    bound: dict[str, tuple[Unit, ...]]
    imports: dict[str, Target]
    stars: tuple[str, ...]
    effects: tuple[Unit, ...]


@cache
def read_module(name: str, path: Path, source: bytes) -> Module:
    """The units of the file at `path`, which holds `source` and is imported as `name`."""
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    units: list[Unit] = []
    effects: list[Unit] = []
    bound: dict[str, tuple[Unit, ...]] = {}
    imports: dict[str, Target] = {}
    stars: list[str] = []
    for statement in ast.parse(source).body:
        if isinstance(statement, (ast.Import, ast.ImportFrom)):
            targets = import_targets(statement, package)
            imports |= {alias: target for alias, target in targets if alias != "*"}
            stars += [target[0] for alias, target in targets if alias == "*"]
        elif _is_typing_block(statement):
            for inner in ast.walk(statement):
                if isinstance(inner, (ast.Import, ast.ImportFrom)):
                    imports |= dict(import_targets(inner, package))
        elif not _is_text(statement):
            unit = read_unit(statement, package)
            units.append(unit)
            for bound_name in unit.names:
                bound[bound_name] = (*bound.get(bound_name, ()), unit)
            if not isinstance(statement, _DEFINITION) or not unit.names:
                effects.append(unit)
                imports |= unit.imports
    return Module(name, path.parent, tuple(units), bound, imports, tuple(stars), tuple(effects))


def import_targets(statement: ast.Import | ast.ImportFrom, package: str) -> list[tuple[str, Target]]:
    """Each name that an import binds and what it stands for; relative ones are resolved against `package`."""
    if isinstance(statement, ast.Import):
        heads = [(alias.asname or alias.name.split(".")[0], alias) for alias in statement.names]
        return [(name, (alias.name if alias.asname else name, None)) for name, alias in heads]
    parts = package.split(".")
    base = ".".join(parts[: len(parts) - statement.level + 1]) if statement.level else ""
    module = ".".join(part for part in (base, statement.module) if part)
    return [(alias.asname or alias.name, (module, alias.name)) for alias in statement.names]


def read_unit(statement: ast.stmt, package: str) -> Unit:
    """One top-level statement."""
    reader = _Reader(package)
    reader.node(statement)
    decorators = _Reader(package)
    for decorator in getattr(statement, "decorator_list", []):
        decorators.node(decorator)
    return Unit(
        names=tuple(dict.fromkeys(_bound_names(statement))),
        digest=hashlib.sha256("\0".join(reader.tokens).encode()).hexdigest(),
        chains=frozenset(reader.chains),
        calls=frozenset(reader.calls),
        strings=frozenset(reader.strings),
        endings=frozenset(reader.endings),
        imports=reader.imports,
        typed=frozenset(reader.typed),
        decorators=frozenset(decorators.chains),
        labels=frozenset(decorators.strings or reader.strings),
    )


@dataclass
class _Reader:
    """Walks a tree once, collecting its syntax and what it names."""

    package: str
    tokens: list[str] = field(default_factory=list)
    chains: set[Chain] = field(default_factory=set)
    calls: set[tuple[Chain, str]] = field(default_factory=set)
    strings: set[str] = field(default_factory=set)
    endings: set[str] = field(default_factory=set)
    imports: dict[str, Target] = field(default_factory=dict)
    typed: set[tuple[str, Chain]] = field(default_factory=set)

    def node(self, node: ast.AST) -> None:
        """Take in a node and everything under it."""
        self._note(node)
        self.tokens.append(type(node).__name__)
        chain = chain_of(node)
        if chain:
            self.chains.add(chain)
            self.tokens += (*chain, ")")
            return
        for name in node._fields:
            value = getattr(node, name, None)
            if name in _SILENT:
                continue
            if isinstance(value, list):
                self.tokens.append("[")
                for item in value:
                    if not isinstance(item, ast.AST):
                        self.tokens.append(repr(item))
                    elif not _is_text(item):
                        self.node(item)
                self.tokens.append("]")
            elif isinstance(value, ast.AST):
                self.node(value)
            else:
                self.tokens.append(repr(value))
            if name in ("annotation", "returns") and isinstance(value, ast.AST):
                self._quoted_types(value)
        self.tokens.append(")")

    def _note(self, node: ast.AST) -> None:
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            self.strings.add(node.value)
        elif isinstance(node, ast.JoinedStr) and isinstance(node.values[-1] if node.values else None, ast.Constant):
            self.endings.add(str(node.values[-1].value))  # type: ignore[attr-defined]
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            self.imports |= dict(import_targets(node, self.package))
        elif isinstance(node, ast.arg) and node.annotation is not None and (kind := chain_of(node.annotation)):
            self.typed.add((node.arg, kind))
        elif isinstance(node, ast.Call) and node.args and (called := chain_of(node.func)):
            first = node.args[0]
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                self.calls.add((called, first.value))

    def _quoted_types(self, annotation: ast.AST) -> None:
        """Names in a quoted annotation are names too."""
        for inner in ast.walk(annotation):
            if isinstance(inner, ast.Constant) and isinstance(inner.value, str):
                try:
                    parsed = ast.parse(inner.value, mode="eval")
                except SyntaxError:
                    continue
                self.chains |= {chain for node in ast.walk(parsed) if (chain := chain_of(node))}


def chain_of(node: ast.AST) -> Chain:
    """`a.b.c` as ("a", "b", "c"); empty for anything else."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return (node.id, *reversed(parts)) if isinstance(node, ast.Name) else ()


def _is_text(statement: ast.AST) -> bool:
    """A docstring, or a text that stands alone for the reader."""
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )


def _is_typing_block(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.If) and chain_of(statement.test)[-1:] == ("TYPE_CHECKING",)


def _bound_names(statement: ast.stmt) -> Iterator[str]:
    """Names that a top-level statement binds in its module; what functions and classes bind inside is their own."""
    if isinstance(statement, (*Function, ast.ClassDef)):
        yield statement.name
        return
    pending: list[ast.AST] = [statement]
    while pending:
        node = pending.pop()
        if isinstance(node, (*Function, ast.ClassDef)):
            yield node.name
        elif isinstance(node, ast.Name):
            if isinstance(node.ctx, ast.Store):
                yield node.id
        else:
            pending += ast.iter_child_nodes(node)
