"""The registry of binary operations: what `a ∘ b` is for each task.

A task maps a pair of elements 0 <= a, b < p to a label. To add one, write a function of (a, b, p)
under `@operation`; another package gives a `Task` through an entry point of its name in the group
`grok_cli.tasks`. The twelve of Power et al. 2022 (arXiv 2201.02177, appendix A.1.1) are here,
with multiplication and the three "sum, then combine with p" games of arXiv 2602.06702's code.
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


class Tasks(Parts[Task]):
    """Tasks by name."""

    kind, expected = "task", "be a Task of the name '{}'"

    def __init__(self) -> None:
        super().__init__({})

    def fits(self, name: str, found: object) -> bool:
        return isinstance(found, Task) and found.name == name


TASKS = Tasks()


def operation(name: str, formula: str, **traits: object) -> Callable[[Operation], Operation]:
    """Register a function (a, b, p) -> label as the task `name`."""

    def register(apply: Operation) -> Operation:
        TASKS.own[name] = Task(name, formula, apply, **traits)  # type: ignore[arg-type]
        return apply

    return register


@operation("add", "a + b mod p")
def add(a: int, b: int, p: int) -> int:
    return (a + b) % p


@operation("subtract", "a - b mod p")
def subtract(a: int, b: int, p: int) -> int:
    return (a - b) % p


@operation("multiply", "a * b mod p")
def multiply(a: int, b: int, p: int) -> int:
    return a * b % p


@operation("divide", "a / b mod p, b != 0, p prime", divides=True)
def divide(a: int, b: int, p: int) -> int:
    return a * pow(b, -1, p) % p


@operation(
    "parity",
    "a / b if b is odd, else a - b, mod p, p prime",
    divides=True,
    zero_divisor_ok=True,
)
def parity(a: int, b: int, p: int) -> int:
    return divide(a, b, p) if b % 2 else subtract(a, b, p)


@operation("square-sum", "a^2 + b^2 mod p")
def square_sum(a: int, b: int, p: int) -> int:
    return (a * a + b * b) % p


@operation("quadratic", "a^2 + ab + b^2 mod p")
def quadratic(a: int, b: int, p: int) -> int:
    return (a * a + a * b + b * b) % p


@operation("quadratic-plus-a", "a^2 + ab + b^2 + a mod p")
def quadratic_plus_a(a: int, b: int, p: int) -> int:
    return (a * a + a * b + b * b + a) % p


@operation("cubic", "a^3 + ab mod p")
def cubic(a: int, b: int, p: int) -> int:
    return (a**3 + a * b) % p


@operation("cubic-plus-b", "a^3 + ab^2 + b mod p")
def cubic_plus_b(a: int, b: int, p: int) -> int:
    return (a**3 + a * b * b + b) % p


def compose(a: int, b: int) -> int:
    """The index of the permutation 'first b, then a'."""
    return S5_INDEX[tuple(S5[a][i] for i in S5[b])]


def inverse(a: int) -> int:
    return S5_INDEX[tuple(S5[a].index(i) for i in range(5))]


@operation("s5", "a . b, composition in the symmetric group S5", order=len(S5))
def s5(a: int, b: int, _p: int) -> int:
    return compose(a, b)


@operation("s5-conjugate", "a . b . a^-1 in S5", order=len(S5))
def s5_conjugate(a: int, b: int, _p: int) -> int:
    return compose(compose(a, b), inverse(a))


@operation("s5-aba", "a . b . a in S5", order=len(S5))
def s5_aba(a: int, b: int, _p: int) -> int:
    return compose(compose(a, b), a)


@operation("sum-xor", "(a + b) xor p")
def sum_xor(a: int, b: int, p: int) -> int:
    return (a + b) ^ p


@operation("sum-and", "(a + b) and p, bitwise")
def sum_and(a: int, b: int, p: int) -> int:
    return (a + b) & p


@operation("sum-shift", "(a + b) shifted right by one bit")
def sum_shift(a: int, b: int, _p: int) -> int:
    return (a + b) >> 1
