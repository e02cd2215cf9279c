"""`grok branch`: go back to a step of a run, change something there, and go on."""

from pathlib import Path
from typing import Annotated

from grok_cli.cli import completion
from grok_cli.cli.options import Typed, with_config_options
from grok_cli.cli.parameters import Quiet, RunName, RunsDir, SummaryJson, argument, option
from grok_cli.cli.signals import stop_on_signals
from grok_cli.cli.train import check_device, train_and_report
from grok_cli.runs.branching import create_branch, plan_branch
from grok_cli.runs.directory import check_name
from grok_cli.runs.relatives import find_run
from grok_cli.runs.settings import layer


@with_config_options(without=("--seed",))
def branch(
    parent: Annotated[
        str,
        argument(
            "RUN",
            "The run to leave: its directory, or its name or digest in --runs-dir.",
            autocompletion=completion.run_directories,
            show_default=False,
        ),
    ],
    *,
    typed: Typed,
    at: Annotated[
        str,
        option(
            "Where to leave it: a step, memorised, generalised, or steps after these: "
            "generalised+100; +100 is memorised+100.",
            "--at",
            metavar="STEP",
            show_default=False,
        ),
    ],
    donor: Annotated[
        str | None,
        option("The run that gives the weights of `branch.transplant`.", "--donor", metavar="RUN"),
    ] = None,
    runs_dir: RunsDir = None,
    name: RunName = None,
    quiet: Quiet = False,
    as_json: SummaryJson = False,
) -> None:
    """Leave a run at any of its steps, and go on from there with something changed.

    Everything before that step is the parent's and is not trained again; everything else is as it
    was there, to the last bit. --steps is the last step, counted from the parent's start. The
    branch's directory is the last line on stdout; `grok train --resume` goes on with it.

    --set branch.KEY=... intervenes once, at that step: `grok docs branches` has the formulas.
    """
    should_stop = stop_on_signals()
    folder = runs_dir or Path("runs")
    roots = dict.fromkeys((folder, Path("runs")))
    run = find_run(parent, roots)
    values, origin = layer(typed.file, typed.flags, typed.sets)
    named = donor or values.get("branch.donor")
    giver = None if named is None else find_run(str(named), roots)
    origin |= {"branch.at": "--at", "branch.parent": "RUN"}
    if donor is not None:
        origin["branch.donor"] = "--donor"
    config = plan_branch(run, at, values, origin, giver)
    check_device(config)
    directory = config.run_name() if name is None else check_name(name)
    made = create_branch(folder / directory, config, run, giver)
    train_and_report(made, config, quiet, as_json, should_stop)
