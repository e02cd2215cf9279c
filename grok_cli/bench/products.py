"""The matrix products that a step makes: counted as they are made, and timed alone."""

import math
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from grok_cli.bench.stopwatch import work_clock
from grok_cli.core.engines.fast.products import OneDnnProducts, Products, has_onednn
from grok_cli.core.process import one_thread
from grok_cli.core.training import Trainer

MATMUL_SIZE = 2048
aten = torch.ops.aten
PRODUCTS = {aten.mm, aten.addmm, aten.addmm_, aten.bmm, aten.baddbmm, aten.baddbmm_}
LINEAR = getattr(torch.ops.mkldnn, "_linear_pointwise", None)  # of oneDNN: x w^T
SUMS = {aten.embedding_bag, aten._embedding_bag, aten._embedding_bag_forward_only}
SUM_GRADIENTS = {aten._embedding_bag_per_sample_weights_backward}


class Shape(NamedTuple):
    """How a factor lies in memory."""

    size: tuple[int, ...]
    stride: tuple[int, ...]
    dtype: torch.dtype

    @classmethod
    def of(cls, tensor: Tensor) -> "Shape":
        return cls(tuple(tensor.shape), tensor.stride(), tensor.dtype)

    def ones(self) -> Tensor:
        return torch.empty_strided(self.size, self.stride, dtype=self.dtype).fill_(1)


class Product(NamedTuple):
    """Two factors, and what multiplies the second, transposed, to the first."""

    left: Shape
    right: Shape
    by: type[Products]

    @property
    def flop(self) -> float:
        """Its operations: a multiplication and an addition are two."""
        return 2.0 * math.prod(self.left.size) * self.right.size[-1]


class Work(NamedTuple):
    """What a piece of code computes.

    Attributes:
        products: its matrix products, in order.
        sum_flop: operations of weighted sums over looked-up lines and of their gradients.
    """

    products: list[Product]
    sum_flop: float

    @property
    def product_flop(self) -> float:
        """Operations of the products."""
        return sum(product.flop for product in self.products)


class _Counter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Sees every operation of this thread."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.products: list[Product] = []
        self.sum_flop = 0.0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        operation = func.overloadpacket
        if operation in PRODUCTS:
            left, right = [arg for arg in args if isinstance(arg, Tensor)][-2:]
            self.products.append(Product(Shape.of(left), Shape.of(right), Products))
        elif operation == LINEAR:
            left, right = args[0], args[1].T
            self.products.append(Product(Shape.of(left), Shape.of(right), OneDnnProducts))
        elif operation in SUMS:  # of table lines, by index
            self.sum_flop += 2.0 * args[1].numel() * args[0].shape[1]
        elif operation in SUM_GRADIENTS:  # of rows' gradients with table lines, by index
            self.sum_flop += 2.0 * args[2].numel() * args[1].shape[1]
        return func(*args, **(kwargs or {}))


def work_of(code: Callable[[], object]) -> Work:
    """What the code computes, if it does so in this thread."""
    with _Counter() as counter:
        code()
    return Work(counter.products, counter.sum_flop)


def step_works(trainer: Trainer) -> tuple[Work, Work]:
    """What the engine computes in a full-batch step, and in an evaluation of the test rows.

    The trainer must have been made with one thread, so that the engine computes in this one.
    """
    engine, dataset = trainer.engine, trainer.dataset
    with one_thread():
        return (
            work_of(lambda: engine.step(dataset.train)),
            work_of(lambda: engine.evaluate(dataset.test)),
        )


class ProductsAlone:
    """Products, to be made alone."""

    def __init__(self, products: Sequence[Product]) -> None:
        shapes = {shape for product in products for shape in product[:2]}
        ones = {shape: shape.ones() for shape in shapes}
        self._products = [(ones[a], ones[b], by) for a, b, by in products]

    def milliseconds(self) -> float:
        """How long all of them take one after the other, in this thread alone."""
        with one_thread():
            start = time.process_time()
            for left, right, by in self._products:
                by.of(left, right.mT)
            return 1e3 * (time.process_time() - start)


def matmul_gflops() -> float:
    """The speed of a large product in float32, with all of torch's threads, as the fast engine
    makes its own."""
    clock = work_clock()
    a, b = torch.ones(2, MATMUL_SIZE, MATMUL_SIZE).unbind()
    by = OneDnnProducts if has_onednn(a.dtype, a.device) else Products
    by.of(a, b)
    start = clock()
    by.of(a, b)
    return 2e-9 * MATMUL_SIZE**3 / (clock() - start)
