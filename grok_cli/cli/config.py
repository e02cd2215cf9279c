"""`grok config`: the settings that a run would have, their schema, and a check of a file."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from grok_cli.cli import completion
from grok_cli.cli.options import Typed, with_config_options
from grok_cli.cli.output import print_json
from grok_cli.cli.parameters import argument
from grok_cli.core.config import Config
from grok_cli.executors.registry import build_options
from grok_cli.runs.settings import is_sweep, load_config, read_yaml
from grok_cli.runs.yaml_text import yaml_text
from grok_cli.sweeps.plan import plan_runs
from grok_cli.sweeps.spec import spec_of

app = typer.Typer(help="Show and check settings.", no_args_is_help=True)


@app.command()
@with_config_options()
def show(*, typed: Typed) -> None:
    """Print the settings that these options give, as YAML, with the origin of each value."""
    config, origin = typed.resolve()
    lines = []
    for section, values in config.model_dump(mode="json").items():
        lines.append((f"{section}:", ""))
        for key, value in values.items():
            text = yaml_text(value, default_flow_style=True).splitlines()[0]
            lines.append((f"  {key}: {text}", f"# {origin[f'{section}.{key}']}"))
    width = max(len(text) for text, _ in lines)
    for text, note in lines:
        typer.echo(f"{text:<{width}}  {note}".rstrip())


@app.command()
def schema() -> None:
    """Print the JSON schema of a settings file, for editors and for reading."""
    print_json(Config.model_json_schema())


@app.command()
def validate(
    file: Annotated[
        Path,
        argument(
            "FILE.yaml",
            "A file of settings, or of a sweep.",
            autocompletion=completion.yaml_files,
        ),
    ],
) -> None:
    """Check a file of settings or of a sweep: exit code 0 if runs could be made of it, 2 with the
    reason if not."""
    content = read_yaml(file)
    if not is_sweep(content):
        config = load_config(file)
        typer.echo(f"{file}: valid; a run of it is named {config.run_name()}")
        return
    spec = spec_of(content, str(file))
    build_options(spec.executor, str(file))
    runs = plan_runs(spec, {}, None, Path("runs") / file.stem)
    typer.echo(f"{file}: valid; a sweep of {len(runs)} runs: grok sweep {shlex.quote(str(file))}")
