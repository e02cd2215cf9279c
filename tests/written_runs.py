"""Run directories written by hand, for what reads them: nothing is trained."""

import json
from pathlib import Path
from typing import Any

from grok_cli.runs.settings import build_config, dump_config

Rows = dict[str, list[float | None]]


def make_run(root: Path, rows: Rows, status: str = "finished", **settings: Any) -> Path:
    """A run directory whose metrics.csv is written as the recorder does it."""
    flat = {key.replace("__", "."): value for key, value in settings.items()}
    config = build_config(flat)
    directory = root / config.run_name()
    directory.mkdir(parents=True)
    (directory / "config.yaml").write_text(dump_config(config))
    summary = {"status": status, "message": "", "step": len(rows["step"]), "generalised_at": 7}
    (directory / "summary.json").write_text(json.dumps(summary | {"final": {"test/loss": 0.5}}))
    cells = (
        ",".join("" if value is None else repr(value) for value in row)
        for row in zip(*rows.values(), strict=True)
    )
    text = "\n".join([",".join(rows), *cells])
    (directory / "metrics.csv").write_text(text + "\n")
    return directory
