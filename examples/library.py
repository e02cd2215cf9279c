"""Train, measure and plot without the command line: `python examples/library.py`."""

from pathlib import Path

from grok_cli.core.config import Config
from grok_cli.diagnostics.registry import DIAGNOSTICS
from grok_cli.diagnostics.subject import Subject
from grok_cli.figures.catalogue import make_chart
from grok_cli.figures.matplotlib import draw, save
from grok_cli.results import Results
from grok_cli.runs.checkpoints import load_snapshot
from grok_cli.runs.directory import RunDir, create_run
from grok_cli.runs.launch import train_run

runs = Path("runs/library")
for placement in ("off", "mlp-pre"):
    config = Config.model_validate(
        {
            "data": {"modulus": 23, "test_ratio": 0.3},
            "model": {"ln_type": placement, "d_model": 32},
            "opt": {"learning_rate": 3e-3},
            "train": {"steps": 500},
            "measure": {"diagnostics": {"rank": 100}},
            "run": {"threads": 1},
        }
    )
    run = RunDir(runs / config.run_name())
    if not run.exists():
        run = create_run(run.path, config)
    train_run(run, config)
    print(placement, "generalised at step", run.summary()["generalised_at"])

    last = load_snapshot(run.snapshots()[-1])
    dataset = last.dataset()
    subject = Subject(last.model(dataset.vocab), dataset)
    print(DIAGNOSTICS["attention"].measure(subject)["attention/attn_score_entropy"], "nats")

save(draw(make_chart("accuracy", Results.from_disk(runs))), Path("library.png"))
