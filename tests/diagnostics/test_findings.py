"""What is found in the clock, which adds with the frequencies 3 and 5, and its answers."""

import dataclasses
import math

import pytest
import torch

from grok_cli.core.loss import row_losses
from grok_cli.core.tasks import TASKS
from grok_cli.diagnostics.findings import ask, findings_of
from grok_cli.diagnostics.inside import look
from grok_cli.diagnostics.measures.progress import answer_waves
from grok_cli.diagnostics.registry import DIAGNOSTICS
from grok_cli.diagnostics.subject import Subject
from grok_cli.errors import UsageError
from tests.diagnostics.builders import clock, small_network, small_subject


def test_a_clock_has_generalised_by_its_two_frequencies() -> None:
    found = findings_of(Subject(*clock()))
    assert found.accuracy == {"train": 1.0, "test": 1.0}
    assert found.phase == "generalised"
    assert sorted(k for k, _ in found.keys) == [3, 5]
    assert [share for _, share in found.keys] == pytest.approx([0.5, 0.5])
    assert found.restricted_loss == pytest.approx(found.loss["test"], rel=1e-6)
    assert found.excluded_loss == pytest.approx(math.log(14), rel=1e-6)  # all classes are alike


def test_a_clock_attends_to_a_with_one_head_and_to_b_with_the_other() -> None:
    """Averaged over the two heads the answer's attention has entropy ln 2, and a and b, which ask
    for nothing, attend evenly, ln 3. Four waves are left of all at "="."""
    found = findings_of(Subject(*clock()))
    assert found.attention == [[pytest.approx([1, 0, 0]), pytest.approx([0, 1, 0])]]
    assert found.entropy == [pytest.approx((math.log(2) + 2 * math.log(3)) / 3)]
    assert found.out_rank == [pytest.approx(8, rel=1e-3)]  # 4 waves of a and 4 of b, all as large
    assert found.rank >= 12  # and the 4 of the sum


def test_findings_are_those_of_the_given_rows_and_of_the_loss_of_the_run() -> None:
    model, dataset = small_network(p=7, output_scaling=1.7, scale_as="temperature")
    found = findings_of(Subject(model, dataset))
    for split, rows in (("train", dataset.train), ("test", dataset.test)):
        logits, labels = model(dataset.tokens[rows]).detach(), dataset.labels[rows]
        right = sum(int(row.argmax()) == y for row, y in zip(logits, labels.tolist(), strict=True))
        assert found.accuracy[split] == right / len(rows)
        expected = float(row_losses(1.7 * logits, labels, torch.float64).mean())
        assert found.loss[split] == pytest.approx(expected, rel=1e-12)
    z = model.run_with_cache(dataset.tokens[dataset.test])["final"]
    share = torch.linalg.eigvalsh(z.T @ z).clamp_min(0)
    share = share / share.sum()
    assert found.rank == torch.linalg.matrix_rank(z.T @ z)
    entropy = float(torch.special.entr(share).sum())
    assert found.effective_rank == pytest.approx(math.exp(entropy), rel=1e-6)
    assert found.phase == "memorising"


def test_losses_on_waves_are_those_of_the_diagnostic_with_the_temperature() -> None:
    subject = small_subject(p=7, output_scaling=2.5, scale_as="temperature")
    found, measured = findings_of(subject), DIAGNOSTICS["progress"].measure(subject)
    assert found.restricted_loss == measured["progress/restricted_loss"]
    assert found.excluded_loss == measured["progress/excluded_loss"]
    cold = findings_of(small_subject(p=7))
    assert found.restricted_loss != pytest.approx(cold.restricted_loss)


def test_findings_of_every_layer_are_those_of_the_diagnostics() -> None:
    """What is computed in two places is the same in both."""
    subject = small_subject(p=7, n_layers=2)
    found, seen = findings_of(subject), look(subject)
    for layer, name in enumerate(("attention", "attention/layer1")):
        values = DIAGNOSTICS["attention"].measure(subject)
        assert found.entropy[layer] == values[f"{name}/attn_score_entropy"]
        assert found.out_rank[layer] == values[f"{name}/answer_out_effective_rank"]
        for head, weights in enumerate(found.attention[layer]):
            drawn = seen.attention[layer, head].mean(dim=(1, 2))
            assert weights == pytest.approx(drawn.tolist(), rel=1e-6)
    waves = answer_waves(subject)
    assert waves is not None
    assert found.keys == [(k, waves.share.tolist()[k - 1]) for k in waves.keys.tolist()]
    assert [share for _, share in found.keys] == sorted((s for _, s in found.keys), reverse=True)
    values = DIAGNOSTICS["rank"].measure(subject)
    assert found.rank == values["alpha_req/rank_test"]
    assert found.effective_rank == values["alpha_req/effective_rank_test"]


@pytest.mark.parametrize("task", ["add", "divide"])
def test_each_answer_is_right_or_wrong_as_it_is_drawn(task: str) -> None:
    subject = small_subject(p=7, task=task)
    seen = look(subject)
    for a, b in TASKS[task].pairs(7):
        given = ask(subject, task, a, b)
        assert bool(seen.right[a, b]) == (given.answer == given.truth)
        assert bool(seen.train[a, b]) == (given.split == "train")


def test_a_network_that_knows_its_training_rows_alone_is_on_the_plateau() -> None:
    """The rows that happen to be right, as its training rows, and the others."""
    model, dataset = small_network(p=7)
    right = model(dataset.tokens).argmax(dim=1) == dataset.labels
    rows = torch.arange(49)
    known = dataclasses.replace(dataset, train=rows[right], test=rows[~right])
    found = findings_of(Subject(model, known))
    assert (found.accuracy, found.phase) == ({"train": 1.0, "test": 0.0}, "plateau")


def test_products_have_no_waves_to_be_found() -> None:
    found = findings_of(small_subject(p=7, task="multiply"))
    assert (found.restricted_loss, found.excluded_loss, found.keys) == (None, None, [])


@pytest.mark.parametrize(("a", "b", "answer"), [(0, 0, 0), (12, 5, 4), (3, 9, 12)])
def test_a_clock_answers_a_plus_b_modulo_13(a: int, b: int, answer: int) -> None:
    model, dataset = clock(scale=1.0)
    given = ask(Subject(model, dataset), "add", a, b)
    assert (given.a, given.b, given.answer, given.truth) == (a, b, answer, answer)
    row = next(i for i, (x, y, _) in enumerate(dataset.tokens.tolist()) if (x, y) == (a, b))
    assert given.split == ("train" if row in dataset.train.tolist() else "test")
    # cos(2 pi 3 c / 13) + cos(2 pi 5 c / 13) for the distance c from the answer; "=" has 0.
    waves = [sum(math.cos(2 * math.pi * k * c / 13) for k in (3, 5)) for c in range(13)]
    powers = sorted((math.exp(wave) for wave in [*waves, 0.0]), reverse=True)
    assert given.probability == pytest.approx(powers[0] / sum(powers))
    assert given.runner_up_probability == pytest.approx(powers[1] / sum(powers))
    best = max(range(1, 13), key=lambda c: waves[c])
    assert (given.runner_up - answer) % 13 in (best, 13 - best)


def test_probabilities_are_those_of_the_loss_with_its_temperature() -> None:
    model, dataset = small_network(p=7, output_scaling=2.5, scale_as="temperature")
    given = ask(Subject(model, dataset), "add", 1, 2)
    logits = model(torch.tensor([[1, 2, 7]])).detach()[0]
    top = (2.5 * logits).softmax(0).sort(descending=True)
    assert given.answer == int(top.indices[0])
    assert given.probability == pytest.approx(float(top.values[0]), rel=1e-12)
    assert given.runner_up == int(top.indices[1])


def test_a_pair_for_which_the_task_is_not_defined_is_refused() -> None:
    adding = small_subject(p=7)
    for a, b in ((7, 0), (0, 7), (-1, 0)):
        with pytest.raises(UsageError) as caught:
            ask(adding, "add", a, b)
        assert str(caught.value) == f"{a} {b}: the task 'add' is defined for elements from 0 to 6"
    dividing = small_subject(p=7, task="divide")
    with pytest.raises(UsageError, match=r"^3 0: the task 'divide' .* from 0 to 6, b not 0$"):
        ask(dividing, "divide", 3, 0)
    assert ask(dividing, "divide", 3, 5).truth == 2  # 5 * 3 = 15 = 1, so that 3 / 5 = 9 = 2
    assert ask(small_subject(p=7, task="parity"), "parity", 3, 0).truth == 3
