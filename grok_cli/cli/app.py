"""The `grok` command: its subcommands and what they share."""

import inspect
from collections.abc import Callable
from typing import Annotated, Any

import typer

from grok_cli.cli import (
    animate,
    bench,
    branch,
    config,
    docs,
    entropy,
    export_csv,
    inspect_network,
    measure,
    plot,
    report,
    runs,
    studies,
    sweep,
    times,
    train,
    upload,
    watch,
)
from grok_cli.cli.help import Command, CommandGroup, examples
from grok_cli.version import __version__


class Commands(CommandGroup):
    """Ends quietly when whoever read the output has seen enough, as in `grok runs | head`."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise typer.Exit(0) from None


app = typer.Typer(
    cls=Commands,
    help="Train small transformers until they grok, and measure how.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def grok(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    pass


def _help(command: Callable[..., Any]) -> str:
    """A command's docstring with each paragraph in one line, for the terminal to wrap."""
    paragraphs = (inspect.getdoc(command) or "").split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


COMMANDS: dict[str, Callable[..., Any]] = {
    "train": train.train,
    "sweep": sweep.sweep,
    "branch": branch.branch,
    "runs": runs.runs,
    "times": times.times,
    "plot": plot.plot,
    "report": report.report,
    "watch": watch.watch,
    "export-csv": export_csv.export_csv,
    "measure-entropy": entropy.measure_entropy,
    "measure": measure.measure,
    "inspect": inspect_network.inspect_network,
    "animate": animate.animate,
    "predict": inspect_network.predict,
    "upload": upload.upload,
    "docs": docs.docs,
    "bench": bench.bench,
}
for name, command in COMMANDS.items():
    app.command(name, cls=Command, help=_help(command), epilog=examples(name))(command)
for name, group in {"studies": studies.app, "config": config.app}.items():
    app.add_typer(group, name=name, cls=CommandGroup, epilog=examples(name))
    for registered in group.registered_commands:
        registered.cls = Command
        registered.epilog = examples(f"{name} {getattr(registered.callback, '__name__', '')}")
