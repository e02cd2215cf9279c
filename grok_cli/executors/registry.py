"""The executors that there are, by their kind, and the options that a user gives them.

Options come from the section `executor:` of a sweep file and from flags, which win:

    executor: {kind: slurm, partition: cpu, time: 4:00:00, options: {constraint: avx512}}

An entry point of another package is named by the kind, and leads to a subclass of
`ExecutorOptions`.
"""

from collections.abc import Mapping
from typing import Any

from grok_cli.core.fields import checked
from grok_cli.errors import UsageError, suggestion
from grok_cli.executors.options import ExecutorOptions
from grok_cli.plugins import Parts

OWN = {
    "local": "grok_cli.executors.local:LocalOptions",
    "slurm": "grok_cli.executors.slurm.options:SlurmOptions",
    "ray": "grok_cli.executors.ray.options:RayOptions",
}


class Registry(Parts[type[ExecutorOptions]]):
    """The options of executors by kind."""

    kind, expected = "executor", "be a subclass of ExecutorOptions"

    def __init__(self) -> None:
        super().__init__(OWN)

    def fits(self, name: str, found: object) -> bool:
        return isinstance(found, type) and issubclass(found, ExecutorOptions)

    def unknown(self, name: str) -> Exception:
        return UsageError(f"--executor {name}: {suggestion(name, self)}")

    def usable(self) -> dict[str, type[ExecutorOptions]]:
        """All that can be imported: a package that is broken is heard of when it is asked for."""
        found = {}
        for kind in self:
            try:
                found[kind] = self[kind]
            except UsageError:
                continue
        return found


EXECUTORS = Registry()


def build_options(
    section: Any,
    source: str,
    kind: str | None = None,
    flags: Mapping[str, tuple[str, Any]] | None = None,
) -> ExecutorOptions:
    """The options that a sweep file's section and flags give.

    Args:
        section: the content of `executor:`; None if there is none, a text for the kind alone. It
            does not count where `kind` names another executor.
        source: where the section is from, for messages.
        kind: the executor that was typed, if one was.
        flags: {any name: (flag as typed, value)}; an executor may set a field of another name.

    Raises:
        UsageError: an unknown executor, an option that it does not have, or a value out of range.
    """
    section = {"kind": section} if isinstance(section, str) else section or {}
    if not isinstance(section, Mapping):
        raise UsageError(f"{source}: executor: expected kind and options, found {section!r:.60}")
    written = section.get("kind")
    if section and written is None:
        raise UsageError(f"{source}: executor: expected kind: {', '.join(EXECUTORS)}")
    if written is not None and written not in EXECUTORS:
        hint = suggestion(written, EXECUTORS)
        raise UsageError(f"{source}: executor: unknown kind {written}; {hint}")
    chosen = kind or written or "local"
    model = EXECUTORS[chosen]
    values: dict[str, Any] = dict(section) if written == chosen else {"kind": chosen}
    for name in values:
        if name not in model.model_fields:
            hint = suggestion(name, [field for field in model.model_fields if field != "kind"])
            raise UsageError(f"{source}: executor: {chosen} has no option {name}; {hint}")
    origin = dict.fromkeys(values, f"{source}: executor")
    for flag, value in (flags or {}).values():
        if flag not in model.flags:
            owners = [
                other for other, options in EXECUTORS.usable().items() if flag in options.flags
            ]
            raise UsageError(
                f"{flag}: an option of --executor {' and '.join(owners)}, not of {chosen}; leave "
                "it out, or choose that executor"
            )
        name = model.flags[flag]
        if isinstance(value, dict):  # flags add to what the file says
            value = {**(values.get(name) or {}), **value}
        values[name] = value
        origin[name] = flag
    return checked(model, values, origin)
