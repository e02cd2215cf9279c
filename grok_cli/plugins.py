"""Parts by name: those of this package, and those that other packages add by entry points.

A package adds a task by an entry point of the group `grok_cli.tasks`, whose name is the task's;
diagnostics and executors likewise. Each part is imported when it is taken out; asking for names
imports nothing.
"""

import pkgutil
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points
from typing import ClassVar, TypeVar, cast

from grok_cli.errors import UsageError

Part = TypeVar("Part")


class Parts(Mapping[str, Part]):
    """All parts of a kind by name.

    Attributes:
        kind: what a part is called; that of the group `grok_cli.tasks` is a "task".
        expected: what an entry point is to lead to, in words, with {} for the name.
        own: this package's: from each name the part, or "module:attribute" where it is.
    """

    kind: ClassVar[str]
    expected: ClassVar[str]

    def __init__(self, own: "Mapping[str, Part | str]") -> None:
        self.own = dict(own)

    @abstractmethod
    def fits(self, name: str, found: object) -> bool:
        """Whether what was found under a name is such a part."""

    def unknown(self, name: str) -> Exception:
        """What is raised for a name that no part has."""
        return KeyError(name)

    @cached_property
    def _plugins(self) -> dict[str, EntryPoint]:
        return {point.name: point for point in entry_points(group=f"grok_cli.{self.kind}s")}

    def __iter__(self) -> Iterator[str]:
        yield from dict.fromkeys([*self.own, *sorted(self._plugins)])

    def __len__(self) -> int:
        return len(self.own.keys() | self._plugins.keys())

    def __contains__(self, name: object) -> bool:
        return name in self.own or name in self._plugins

    def __getitem__(self, name: str) -> Part:
        """The part of that name.

        Raises:
            KeyError, or what `unknown` says: there is none.
            UsageError: an entry point does not lead to such a part.
        """
        if name in self.own:
            own = self.own[name]
            return cast(Part, pkgutil.resolve_name(own) if isinstance(own, str) else own)
        if name not in self._plugins:
            raise self.unknown(name)
        point = self._plugins[name]
        try:
            found = point.load()
        except (ImportError, AttributeError) as error:
            raise UsageError(
                f"{self.kind} '{name}' of another package ({point.value}) cannot be imported: "
                f"{error}; mend or remove that package"
            ) from None
        if not self.fits(name, found):
            raise UsageError(f"{point.value} was expected to {self.expected.format(name)}")
        return cast(Part, found)
