"""`grok config`: the settings that a run would have, their schema, and a check of a file."""

from pathlib import Path
from typing import Annotated

import typer
import yaml

from grok_cli.cli import completion
from grok_cli.cli.options import Typed, with_config_options
from grok_cli.cli.output import print_json
from grok_cli.core.config import Config
from grok_cli.runs.settings import load_config

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
            text = yaml.safe_dump(value, default_flow_style=True).splitlines()[0]
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
        typer.Argument(
            metavar="FILE.yaml",
            help="A settings file.",
            autocompletion=completion.yaml_files,
        ),
    ],
) -> None:
    """Check a settings file: exit code 0 if a run could be made of it, 2 with the reason if not."""
    config = load_config(file)
    typer.echo(f"{file}: valid; a run of it is named {config.run_name()}")
