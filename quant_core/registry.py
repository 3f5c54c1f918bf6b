"""One small registry for everything that a user may add in a single new file: sources, features, models, strategies.

A module registers by decorating; `Registry.load` imports the package's modules once so that the decorators run.
"""

import importlib
import pkgutil
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from quant_core.errors import QuantError, UnknownName

T = TypeVar("T")


class Registry(Generic[T]):
    """Named things of one kind, discovered in one package.

    Args:
        kind: what an entry is called in messages, e.g. "feature".
        package: dotted package whose modules are imported before the first look-up.
    """

    def __init__(self, kind: str, package: str) -> None:
        self.kind = kind
        self.package = package
        self._entries: dict[str, T] = {}
        self._loaded = False

    def register(self, name: str) -> Callable[[T], T]:
        """Decorator that files its target under `name`; a name can be taken once."""

        def add(entry: T) -> T:
            taken = self._entries.get(name)
            if taken is not None and _origin(taken) != _origin(entry):
                raise QuantError(f"{self.kind} {name!r} is registered twice: {_origin(taken)} and {_origin(entry)}.")
            self._entries[name] = entry
            return entry

        return add

    def entry(self, name: str) -> str:
        """`package[name]`: how the entry of that name is called where its source is looked for."""
        return f"{self.package}[{name}]"

    def load(self) -> None:
        """Import every module of the package, once."""
        if self._loaded:
            return
        self._loaded = True
        package = importlib.import_module(self.package)
        for module in pkgutil.walk_packages(package.__path__, prefix=f"{self.package}."):
            importlib.import_module(module.name)

    def __getitem__(self, name: str) -> T:
        self.load()
        if name not in self._entries:
            raise UnknownName(self.kind, name, list(self._entries))
        return self._entries[name]

    def __iter__(self) -> Iterator[str]:
        self.load()
        return iter(sorted(self._entries))

    def __len__(self) -> int:
        self.load()
        return len(self._entries)


def _origin(entry: object) -> str:
    return f"{getattr(entry, '__module__', '?')}.{getattr(entry, '__qualname__', entry)}"
