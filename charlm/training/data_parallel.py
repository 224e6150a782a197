"""Data-parallel threads: replicas of a model share the streams of an update.

    thread r of N       reads the streams from r B / N to (r + 1) B / N
    update              gradient = sum of the replicas' gradients, in the order of the replicas
                        each thread updates a part of the parameters, and renews some copies

The replicas have the parameters and the copies of the weights in common; a gradient and a cache are
each one's own. NumPy releases the interpreter's lock in every product and elementwise function, so
one thread computes while another one is between two of them. Each has whole products to itself, on
one thread of the BLAS; threads of the BLAS would wait for one another in every product, and leave
elementwise work to one of them.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TypeVar

import numpy as np

from charlm import environment
from charlm.nn.model import Model
from charlm.types import Array, Ids, States

Value = TypeVar("Value")

# With fewer streams each, replicas would spend their time on reading the same weights.
FEWEST_STREAMS = 4


def replicas(threads: int, B: int) -> int:
    """Return how many replicas share B streams; one where the threads of the BLAS cannot be set."""
    return max(1, min(threads, B // FEWEST_STREAMS)) if environment.can_set_threads() else 1


class DataParallel:
    """Replicas of a model, the model itself the first, for chunks of T time steps of B streams.

    `rates` are those of `Model.cache`. The BLAS should have `blas_threads`.
    """

    def __init__(self, model: Model, T: int, B: int, rates: Sequence[float], threads: int) -> None:
        self.threads, self.size = threads, (N := replicas(threads, B))
        self.blas_threads = threads if N == 1 else 1
        self.models = [model, *(model.replica() for _ in range(1, N))]
        self.shares = [slice(r * B // N, (r + 1) * B // N) for r in range(N)]
        self._gradients = [each.gradient.flat for each in self.models if each.gradient is not None]
        self.caches = [
            replica.cache(T, share.stop - share.start, rates)
            for replica, share in zip(self.models, self.shares, strict=True)
        ]
        self._pool = ThreadPoolExecutor(N - 1, "charlm") if N > 1 else None

    def run(self, work: Callable[[int], Value]) -> list[Value]:
        """Return work(0) to work(N - 1), called at the same time, the first in this thread.

        Where some raise, the error of the first of them is raised after all have ended.
        """
        if self._pool is None:
            return [work(0)]
        others = [self._pool.submit(_quietly, work, r) for r in range(1, self.size)]
        try:
            first = work(0)
        finally:
            wait(others)
        return [first, *(other.result() for other in others)]

    def split(self, count: int, work: Callable[[slice], object]) -> None:
        """Call a function with N parts of range(count), at the same time."""
        N = self.size
        self.run(lambda r: work(slice(r * count // N, (r + 1) * count // N)))

    def loss_and_gradient(
        self,
        inputs: Ids,
        targets: Ids,
        state: States,
        keep: Array | None,
        count: int,
        generator: Callable[[], np.random.Generator],
        first: int,
        of: int,
    ) -> tuple[float, States]:
        """Run a chunk forward and backward; the model's own gradient is the sum of the replicas'.

        Arguments and results are those of `Model.loss_and_gradient`. The dropout masks are drawn
        with the step's generator, which `generator` makes; the B streams are those from number
        `first` on of a run's `of`.
        """

        def work(r: int) -> tuple[float, States]:
            share, cache = self.shares[r], self.caches[r]
            cache.draw_masks(generator(), first + share.start, of)
            return self.models[r].loss_and_gradient(
                inputs[:, share],
                targets[:, share],
                [tuple(part[:, share] for part in layer) for layer in state],
                cache,
                None if keep is None else keep[:, share],
                count,
            )

        losses, states = zip(*self.run(work), strict=True)
        if self.size == 1:
            return losses[0], states[0]
        total, *others = self._gradients

        def add(part: slice) -> None:
            for other in others:
                total[part] += other[part]

        self.split(total.size, add)
        return sum(losses), [
            tuple(np.concatenate(parts, axis=1) for parts in zip(*of_layer, strict=True))
            for of_layer in zip(*states, strict=True)
        ]

    def refresh(self) -> None:
        """Renew the copies of the weights that the replicas have in common."""
        linears = self.models[0].linears

        def renew(part: slice) -> None:
            for linear in linears[part]:
                linear.refresh()

        self.split(len(linears), renew)


def _quietly(work: Callable[[int], Value], r: int) -> Value:
    # Every thread has its own settings; overflow is found in the loss.
    with np.errstate(all="ignore"):
        return work(r)
