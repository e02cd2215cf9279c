"""The figures by name: each a function from what was measured to a chart.

A new figure is a line of `COURSES` if it is metrics against the step, else a function of its own
and an entry of `CATALOGUE`. It is then on the command line, in reports and in the terminal.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from grok_cli.errors import UsageError, suggestion
from grok_cli.figures.branches import branches_chart
from grok_cli.figures.chart import Chart
from grok_cli.figures.course import Course, course_chart
from grok_cli.figures.draft import Options
from grok_cli.figures.phases import compression_chart, generalisation_chart
from grok_cli.figures.times import times_chart
from grok_cli.results import Results

# Metrics against the step, by the names that `grok plot` takes.
COURSES = {
    "accuracy": Course(("test/accuracy", "train/accuracy"), "accuracy"),
    "loss": Course(("test/loss", "train/loss"), "loss (nats)"),
    "entropy": Course(("attention/attn_score_entropy",), "attention entropy (nats)"),
    "attention-rank": Course(
        ("attention/answer_out_effective_rank",), "effective rank of attention's output"
    ),
    "rank": Course(("alpha_req/effective_rank_test",), "effective rank of Z, test rows"),
    "numerical-rank": Course(("alpha_req/rank_test",), "numerical rank of Z, test rows"),
    "alpha": Course(("alpha_req/alpha_test",), "power-law exponent α of Z's spectrum, test rows"),
    "fourier": Course(("fourier/col_energy",), "Fourier column energy of the embedding"),
    "ntk": Course(("ntk/relative_distance",), "distance of the tangent kernel from its start"),
    "spec": Course(
        ("train/spec_loss", "train/loss"),
        "training loss (nats): on directions only, as trained",
        log_y=True,
    ),
    "progress": Course(
        ("progress/restricted_loss", "progress/excluded_loss"),
        "loss (nats): key waves alone, all but these",
        log_y=True,
    ),
    "circularity": Course(("circularity/embed",), "circularity of the embedding"),
    "htsr": Course(("htsr/alpha",), "power-law exponent α of the weights, mean"),
    "update-norm": Course(("grads/update_norm",), "norm of an update", log_y=True),
    "grad-norm": Course(("grads/grad_norm",), "norm of the gradient", log_y=True),
    "weight-norm": Course(("grads/weight_norm",), "norm of all weights"),
}


@dataclass(frozen=True)
class Figure:
    """An entry of the catalogue.

    Attributes:
        build: makes the chart; raises UsageError where nothing of it was measured.
        without: options that have no effect on it.
        unfinished: whether runs that are not finished count, too.
    """

    build: Callable[[Results, Options], Chart]
    without: tuple[str, ...] = ()
    unfinished: bool = False


FIRST = ("accuracy", "loss")  # of a report; then when the groups generalised
_COURSES = {name: Figure(partial(course_chart, name, course)) for name, course in COURSES.items()}
CATALOGUE = {
    **{name: _COURSES[name] for name in FIRST},
    "times": Figure(times_chart, without=("--y", "--each-seed", "--all"), unfinished=True),
    "generalisation": Figure(generalisation_chart, without=("--y", "--each-seed")),
    **_COURSES,
    **{
        name: Figure(partial(branches_chart, name, course))
        for name, course in {
            "branches": Course(("test/accuracy",), "test accuracy"),
            "branches-loss": Course(("test/loss",), "test loss (nats)", log_y=True),
        }.items()
    },
    "compression": Figure(compression_chart, without=("--each-seed",)),
}
SPELLINGS = {"generalization": "generalisation"}


def make_chart(name: str, results: Results, options: Options | None = None) -> Chart:
    """The figure of that name, or a metric's course.

    Raises:
        UsageError: no such figure or metric, or nothing of it was measured.
    """
    options = options or Options()
    name = SPELLINGS.get(name, name)
    if name in CATALOGUE:
        return CATALOGUE[name].build(results, options)
    if name in results.metrics:
        return course_chart(name, Course((name,), name), results, options)
    hint = suggestion(name, [*CATALOGUE, *results.metrics])
    raise UsageError(f"{name}: no such figure or metric; {hint}")


def charts_of(results: Results, options: Options | None = None) -> Iterator[Chart]:
    """All figures of what was measured, in the order of the catalogue, one at a time: those of
    hundreds of runs are large."""
    for name in CATALOGUE:
        with suppress(UsageError):  # it was not measured
            yield make_chart(name, results, options)
