"""When a run counts as memorised, generalised, sustained, collapsed."""

from grok_cli.core.phases import Phases


def phases_of(test: dict[int, float], train: dict[int, float] | None = None) -> Phases:
    phases = Phases()
    for step, accuracy in (train or {}).items():
        phases.see_train(step, accuracy)
    for step, accuracy in test.items():
        phases.see_test(step, accuracy)
    return phases


def test_memorised_is_the_first_step_at_99_percent() -> None:
    phases = phases_of({}, {1: 0.5, 2: 0.98999, 3: 0.99, 4: 0.5})
    assert phases.memorised == 3


def test_generalised_is_the_first_evaluation_at_995_per_mille() -> None:
    assert phases_of({10: 0.9949, 20: 0.995, 30: 0.1}).generalised == 20


def test_sustained_needs_every_evaluation_of_500_steps() -> None:
    good = dict.fromkeys(range(100, 601, 100), 1.0)
    assert phases_of(good).sustained == 100
    assert phases_of(dict.fromkeys(range(100, 600, 100), 1.0)).sustained is None
    assert phases_of({100: 1.0, 599: 1.0}).sustained is None
    dip = good | {300: 0.99} | dict.fromkeys(range(700, 1001, 100), 1.0)
    assert phases_of(dict(sorted(dip.items()))).sustained == 400


def test_dip_at_the_end_of_the_500_steps_counts() -> None:
    assert phases_of({100: 1.0, 600: 0.9}).sustained is None


def test_evaluations_far_apart_sustain_nothing_by_their_absence() -> None:
    assert phases_of({1000: 1.0, 2000: 0.1, 3000: 1.0}).sustained is None
    assert phases_of({1000: 1.0, 2000: 1.0}).sustained == 1000


def test_delay_is_between_memorised_and_generalised() -> None:
    assert phases_of({900: 1.0}, {150: 1.0}).delay == 750
    assert phases_of({900: 0.5}, {150: 1.0}).delay is None


def test_collapse_comes_after_sustained_generalisation() -> None:
    steady = {100: 1.0, 600: 1.0}
    assert phases_of({50: 0.1, **steady}).collapsed is None
    assert phases_of({**steady, 700: 0.9}).collapsed is None
    assert phases_of({**steady, 700: 0.899, 800: 1.0}).collapsed == 700


def test_phase_names_follow_the_run() -> None:
    phases = Phases()
    assert phases.now == "memorising"
    phases.see_train(100, 1.0)
    phases.see_test(100, 0.3)
    assert phases.now == "plateau"
    phases.see_test(200, 0.7)
    assert phases.now == "generalising"
    phases.see_test(300, 1.0)
    assert phases.now == "generalised"
    phases.see_test(800, 1.0)
    phases.see_test(900, 0.2)
    assert phases.now == "collapsed"


def test_state_restores_a_streak() -> None:
    before = phases_of({100: 1.0, 300: 1.0})
    after = Phases(**before.state())
    after.see_test(600, 1.0)
    assert after.sustained == 100


def test_summary_says_when_each_phase_began() -> None:
    phases = phases_of({200: 1.0, 700: 1.0, 800: 0.5}, {150: 1.0})
    assert phases.summary() == {
        "phase": "collapsed",
        "memorised_at": 150,
        "generalised_at": 200,
        "sustained_at": 200,
        "delay": 50,
        "collapsed_at": 800,
    }
    assert phases_of({}).summary() == {"phase": "memorising"} | dict.fromkeys(
        ("memorised_at", "generalised_at", "sustained_at", "delay", "collapsed_at")
    )


def test_the_limits_themselves_count() -> None:
    """0.995 has generalised, 0.9 has not collapsed, and a test that comes first is a delay < 0."""
    assert phases_of({10: 0.995}).now == "generalised"
    steady = {100: 1.0, 600: 1.0}
    assert phases_of({**steady, 700: 0.9}, {1: 1.0}).collapsed is None
    assert phases_of({**steady, 700: 0.5, 800: 0.9}, {1: 1.0}).now == "generalising"
    assert phases_of({100: 1.0}, {150: 1.0}).delay == -50
