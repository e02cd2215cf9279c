"""Operations and the split."""

from importlib.metadata import EntryPoint

import pytest

from grok_cli.core.config import Config
from grok_cli.core.data import Dataset
from grok_cli.core.tasks import S5, TASKS, Task, Tasks, compose, inverse
from grok_cli.errors import UsageError
from tests.conftest import small_config

CASES = {  # (a, b, label) mod 7 by hand, mod 120 for S5
    "add": (5, 4, 2),
    "subtract": (2, 5, 4),
    "multiply": (3, 5, 1),
    "divide": (3, 5, 2),  # 5 * 3 = 15 = 1, so 1/5 = 3 and 3/5 = 9 = 2
    "parity": (2, 4, 5),  # even b: 2 - 4
    "square-sum": (3, 2, 6),
    "quadratic": (3, 2, 5),  # 9 + 6 + 4 = 19
    "quadratic-plus-a": (3, 2, 1),
    "cubic": (2, 3, 0),  # 8 + 6
    "cubic-plus-b": (2, 3, 1),  # 8 + 18 + 3 = 29
    "sum-xor": (5, 6, 12),  # 11 ^ 7 = 1011 ^ 0111
    "sum-and": (5, 6, 3),
    "sum-shift": (5, 6, 5),
}


@pytest.mark.parametrize(("task", "case"), CASES.items())
def test_operation_agrees_with_arithmetic_by_hand(task: str, case: tuple[int, int, int]) -> None:
    a, b, label = case
    assert TASKS[task].apply(a, b, 7) == label


def test_every_task_has_a_case_or_is_s5() -> None:
    assert TASKS.keys() == CASES.keys() | {"s5", "s5-conjugate", "s5-aba"}


def test_parity_divides_by_odd_b() -> None:
    assert TASKS["parity"].apply(3, 5, 7) == TASKS["divide"].apply(3, 5, 7)


@pytest.mark.parametrize("task", ["divide", "parity"])
def test_division_is_for_primes(task: str) -> None:
    for p in range(2, 32):
        data = {"task": task, "modulus": p, "test_ratio": 0.5}
        if p in (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31):
            assert Config.model_validate({"data": data}).data.modulus == p
        else:
            with pytest.raises(ValueError, match=f"data.modulus: {p} is not prime"):
                Config.model_validate({"data": data})


def test_s5_is_a_group() -> None:
    for a in range(0, 120, 7):
        assert compose(a, 0) == compose(0, a) == a  # element 0 is the identity
        assert compose(a, inverse(a)) == 0
        for b in range(0, 120, 11):
            first_b_then_a = tuple(S5[a][S5[b][i]] for i in range(5))
            assert S5[TASKS["s5"].apply(a, b, 120)] == first_b_then_a
            assert TASKS["s5-conjugate"].apply(a, b, 120) == compose(compose(a, b), inverse(a))
            assert TASKS["s5-aba"].apply(a, b, 120) == compose(a, compose(b, a))


@pytest.mark.parametrize("task", TASKS)
def test_labels_are_classes_of_the_model(task: str) -> None:
    modulus = 120 if task.startswith("s5") else 11
    dataset = Dataset.of(small_config(data__task=task, data__modulus=modulus))
    assert int(dataset.labels.min()) >= 0
    assert int(dataset.labels.max()) < dataset.vocab
    assert (dataset.tokens[:, 2] == modulus).all()


def test_split_of_seed_456_is_the_published_one() -> None:
    dataset = Dataset.of(Config.model_validate({"train": {"seed": 456}}))
    first = dataset.tokens[dataset.train[:5], :2].tolist()
    assert first == [[49, 101], [62, 57], [78, 28], [33, 66], [6, 92]]
    assert (len(dataset.train), len(dataset.test), dataset.vocab) == (3831, 8938, 114)


def test_split_partitions_all_pairs() -> None:
    dataset = Dataset.of(small_config())
    rows = sorted([*dataset.train.tolist(), *dataset.test.tolist()])
    assert rows == list(range(13 * 13))


@pytest.mark.parametrize("seed", [0, 7])
def test_split_seed_is_apart_from_the_training_seed(seed: int) -> None:
    apart = Dataset.of(small_config(train__seed=1, data__split_seed=seed))
    same = Dataset.of(small_config(train__seed=seed))
    assert apart.train.equal(same.train)


def test_division_leaves_out_zero_and_keeps_row_numbers() -> None:
    dataset = Dataset.of(small_config(data__task="divide"))
    assert len(dataset.labels) == 13 * 12
    assert (dataset.tokens[:, 1] > 0).all()


def test_number_of_classes_is_that_of_the_tokens_or_of_the_largest_label() -> None:
    """11 elements and "="; 10 + 10 = 10100b, and 10100b xor 01011b = 31, the largest label."""
    for task, vocab in (("add", 12), ("sum-shift", 12), ("sum-xor", 32)):
        dataset = Dataset.of(small_config(data__task=task, data__modulus=11))
        assert (dataset.p, dataset.vocab) == (11, vocab)


def test_rows_of_a_split_are_its_own_and_all_are_in_order() -> None:
    dataset = Dataset.of(small_config())
    assert dataset.rows("train").equal(dataset.train)
    assert dataset.rows("test").equal(dataset.test)
    assert dataset.rows("all").tolist() == list(range(169))
    assert dataset.tokens[5 * 13 + 7].tolist() == [5, 7, 13]


def test_training_rows_of_another_seed_are_those_of_its_split() -> None:
    mine, other = (Dataset.of(small_config(train__seed=seed)) for seed in (1, 2))
    assert mine.training_rows_of(2).equal(other.train)
    assert not mine.train.equal(other.train)


# What another package holds, behind an entry point.
CUBES = Task("cube-sum", "a^3 + b^3 mod p", lambda a, b, p: (a**3 + b**3) % p)
BELOW = Task("below", "a - b", lambda a, b, p: a - b)


@pytest.fixture
def plugins(monkeypatch: pytest.MonkeyPatch) -> Tasks:
    """Seven packages are installed, of which two do what they should."""
    places = {
        "cube-sum": f"{__name__}:CUBES",
        "below": f"{__name__}:BELOW",
        "broken": "no_such_module:TASK",
        "pi": "math:pi",
        "nowhere": "math:nothing",
        "cubes": f"{__name__}:CUBES",
        "add": f"{__name__}:CUBES",
    }
    points = [EntryPoint(name, place, "grok_cli.tasks") for name, place in places.items()]
    monkeypatch.setattr("grok_cli.plugins.entry_points", lambda group: points)
    monkeypatch.delitem(vars(TASKS), "_plugins", raising=False)
    monkeypatch.setitem(vars(TASKS), "_plugins", Tasks()._plugins)
    return TASKS


def test_a_package_adds_a_task_through_an_entry_point(plugins: Tasks) -> None:
    assert list(plugins)[-6:] == ["below", "broken", "cube-sum", "cubes", "nowhere", "pi"]
    assert len(plugins) == len(list(plugins)) == len(CASES) + 3 + 6
    assert plugins["add"].apply(5, 4, 7) == 2  # no package takes the place of an own task
    config = Config.model_validate({"data": {"task": "cube-sum", "modulus": 5}})
    data = Dataset.of(config)
    assert data.labels.tolist() == [(a**3 + b**3) % 5 for a in range(5) for b in range(5)]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("broken", r"task 'broken' of another package .* cannot be imported"),
        ("nowhere", r"task 'nowhere' of another package \(math:nothing\) cannot be imported"),
        ("cubes", f"{__name__}:CUBES was expected to be a Task of the name 'cubes'"),
        ("pi", "math:pi was expected to be a Task of the name 'pi'"),
    ],
)
def test_an_entry_point_that_leads_elsewhere_is_refused(
    name: str, message: str, plugins: Tasks
) -> None:
    with pytest.raises(UsageError, match=message):
        Config.model_validate({"data": {"task": name}})


def test_negative_labels_are_refused(plugins: Tasks) -> None:
    config = Config.model_validate({"data": {"task": "below", "modulus": 5}})
    with pytest.raises(UsageError, match=r"'below' has the label -4; expected 0 or more"):
        Dataset.of(config)
