"""Figures of when groups generalise and compress."""

from collections.abc import Sequence

from grok_cli.errors import UsageError
from grok_cli.figures.chart import Axis, Band, Bar, Chart, Point
from grok_cli.figures.draft import Draft, Options, decade_below
from grok_cli.results import Results
from grok_cli.results.phases import Generalised, compressed, generalised_groups


def generalisation_chart(results: Results, options: Options) -> Chart:
    """When each group generalised: a bar to the mean over its seeds, and a point a seed."""
    found = generalised_groups(results.in_order)
    draft = Draft(results, options, (one.group for one in found))
    keys = [draft.key(one.group) for one in found]
    rows = {key: row for row, key in enumerate(keys)}
    table = list(zip(found, keys, map(draft.name, keys), strict=True))
    references = [
        Band(key, r.x, r.y, r.low, r.high, row=rows[key])
        for r, key in draft.references("generalised_at")
        if key in rows
    ]
    steps = [step for one in found for step in (one.earliest, one.latest, one.middle) if step]
    steps += [float(end) for band in references for end in (*band.low, *band.high)]
    log = options.log_x is not False and bool(steps)
    points = [
        Point(key, step, row, f"{name}, seed {run.seed}: {step:,}")
        for row, (one, key, name) in enumerate(table)
        for run, step in zip(one.group.runs, one.steps, strict=False)
        if step is not None
    ]
    return draft.chart(
        "generalisation",
        " by ".join(filter(None, ("step of generalisation", draft.legend.title))),
        "first evaluation with test accuracy ≥ 0.995: bar mean, points seeds",
        Axis(
            "step of generalisation (test accuracy ≥ 0.995)",
            log,
            decade_below(min(steps)) if log else 0,
            _with_room(steps, log) if steps else _last_step(results),
            steps=True,
        ),
        Axis("", rows=tuple(name for _, _, name in table)),
        bars=tuple(_bar(one, key, row, name) for row, (one, key, name) in enumerate(table)),
        points=tuple(points),
        references=tuple(references),
        reference=f"{draft.whose()}, first to last seed" if references else "",
    )


def _last_step(results: Results) -> float:
    """The last step of the longest run: how long no group generalised."""
    return max((float(run.summary.get("step") or 0) for run in results.runs), default=0.0) or 1.0


def _with_room(steps: Sequence[float], log: bool) -> float:
    """The end of an axis with room for a few words beside the last step."""
    low, high = min(steps), max(steps)
    return float(high * (high / decade_below(low)) ** 0.18) if log else high * 1.2


def _bar(found: Generalised, key: int, row: int, name: str) -> Bar:
    stats = found.stats
    some = 0 < stats.events < stats.runs
    if found.middle is None:
        note = f"not reached ({stats.count})" if stats.runs else "not reached"
        return Bar(key, row, None, note=note, numbers=note)
    count = f", {stats.count}" if stats.runs else ""
    return Bar(
        key,
        row,
        found.middle,
        None if stats.events else found.earliest,
        None if stats.events else found.latest,
        note=stats.count if some else "",
        numbers=f"{found.middle:,.0f}, {found.earliest}..{found.latest}{count}",
        tip=f"{name}: mean {found.middle:,.0f}{count}",
    )


def compression_chart(results: Results, options: Options) -> Chart:
    """Compression step against generalisation step, a point a run."""
    found = compressed(results.in_order)
    if not found:
        raise UsageError(
            "compression: no run has both generalised and compressed; it needs values by seed of "
            "test/accuracy and of alpha_req/effective_rank_test (the diagnostic `rank`)"
        )
    draft = Draft(results, options, (one.group for one in found))
    every = [step for one in found for point in one.points for step in point]
    ends = min(every) / 1.3, max(every) * 1.3
    points = [
        Point(key, x, y, f"{draft.name(key)}: compressed {x:,}, generalised {y:,}")
        for key, one in ((draft.key(one.group), one) for one in found)
        for x, y in one.points
    ]
    return draft.chart(
        "compression",
        "step of generalisation against step of compression",
        "compression: first measured step at which the effective rank of Z on test rows has "
        "fallen half-way from its maximum to its last value",
        Axis("step of compression", options.log_x is not False, *ends, steps=True),
        Axis("step of generalisation", options.log_y is not False, *ends, steps=True),
        points=tuple(points),
        diagonal=True,  # compressed when it generalised
    )
