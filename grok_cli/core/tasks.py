"""Binary operations as a table: what `a ∘ b` is for each task.

A task maps a pair of elements 0 <= a, b < p to a label. A new one is a line of `OWN`; another
package gives a `Task` through an entry point of its name in the group `grok_cli.tasks`. The twelve
of Power et al. 2022 (arXiv 2201.02177, appendix A.1.1) are here, with multiplication and the three
"sum, then combine with p" games of arXiv 2602.06702's code.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import permutations

from grok_cli.plugins import Parts

Operation = Callable[[int, int, int], int]

S5 = list(permutations(range(5)))  # in lexicographic order: element i of S5 is S5[i]
S5_INDEX = {permutation: i for i, permutation in enumerate(S5)}


@dataclass(frozen=True)
class Task:
    """A binary operation.

    Attributes:
        name: the value of `data.task`.
        formula: the operation in words, for help texts.
        apply: (a, b, p) -> label.
        divides: b must be invertible mod p, so p must be prime (and b = 0 is left out unless
            `zero_divisor_ok`).
        zero_divisor_ok: the operation never divides by b = 0.
        order: the number of elements where the task fixes it (120 for S5), else None.
    """

    name: str
    formula: str
    apply: Operation
    divides: bool = False
    zero_divisor_ok: bool = False
    order: int | None = None

    def pairs(self, p: int) -> list[tuple[int, int]]:
        """All pairs on which the operation is defined, in row-major order (a outer, b inner)."""
        start = 1 if self.divides and not self.zero_divisor_ok else 0
        return [(a, b) for a in range(p) for b in range(start, p)]


def compose(a: int, b: int) -> int:
    """The index of the permutation 'first b, then a'."""
    return S5_INDEX[tuple(S5[a][i] for i in S5[b])]


def inverse(a: int) -> int:
    return S5_INDEX[tuple(S5[a].index(i) for i in range(5))]


def divide(a: int, b: int, p: int) -> int:
    return a * pow(b, -1, p) % p


OWN = (
    Task("add", "a + b mod p", lambda a, b, p: (a + b) % p),
    Task("subtract", "a - b mod p", lambda a, b, p: (a - b) % p),
    Task("multiply", "a * b mod p", lambda a, b, p: a * b % p),
    Task("divide", "a / b mod p, b != 0, p prime", divide, divides=True),
    Task(
        "parity",
        "a / b if b is odd, else a - b, mod p, p prime",
        lambda a, b, p: divide(a, b, p) if b % 2 else (a - b) % p,
        divides=True,
        zero_divisor_ok=True,
    ),
    Task("square-sum", "a^2 + b^2 mod p", lambda a, b, p: (a**2 + b**2) % p),
    Task("quadratic", "a^2 + ab + b^2 mod p", lambda a, b, p: (a**2 + a * b + b**2) % p),
    Task(
        "quadratic-plus-a",
        "a^2 + ab + b^2 + a mod p",
        lambda a, b, p: (a**2 + a * b + b**2 + a) % p,
    ),
    Task("cubic", "a^3 + ab mod p", lambda a, b, p: (a**3 + a * b) % p),
    Task("cubic-plus-b", "a^3 + ab^2 + b mod p", lambda a, b, p: (a**3 + a * b**2 + b) % p),
    Task(
        "s5",
        "a . b, composition in the symmetric group S5",
        lambda a, b, p: compose(a, b),
        order=120,
    ),
    Task(
        "s5-conjugate",
        "a . b . a^-1 in S5",
        lambda a, b, p: compose(compose(a, b), inverse(a)),
        order=120,
    ),
    Task("s5-aba", "a . b . a in S5", lambda a, b, p: compose(compose(a, b), a), order=120),
    Task("sum-xor", "(a + b) xor p", lambda a, b, p: (a + b) ^ p),
    Task("sum-and", "(a + b) and p, bitwise", lambda a, b, p: (a + b) & p),
    Task("sum-shift", "(a + b) shifted right by one bit", lambda a, b, p: (a + b) >> 1),
)


class Tasks(Parts[Task]):
    """Tasks by name."""

    kind, expected = "task", "be a Task of the name '{}'"

    def __init__(self) -> None:
        super().__init__({task.name: task for task in OWN})

    def fits(self, name: str, found: object) -> bool:
        return isinstance(found, Task) and found.name == name


TASKS = Tasks()
