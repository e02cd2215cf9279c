"""Train, measure and plot without the command line: `python examples/library.py`."""

import grok_cli as grok

small = {"data.modulus": 23, "data.test_ratio": 0.3, "opt.learning_rate": 3e-3}
sweep = grok.sweep(
    {"ln_type": ["off", "mlp-pre"]},
    seeds=1,
    settings=small,
    d_model=32,
    steps=500,
    measure={"rank": 100},
    runs_dir="runs/library",
    progress=True,
)

for run in sweep:
    print(run.config.model.ln_type, "generalised at step", run.phases["generalised_at"])
    print(run.measure("attention")["attention/attn_score_entropy"][-1], "nats")

grok.plot(sweep, "accuracy").savefig("library.png")
