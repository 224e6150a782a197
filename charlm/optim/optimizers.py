"""Optimizers over one flat buffer: SGD with momentum, Adagrad, RMSprop, Adam and SOAP.

They work block by block, so that a block stays in the processor's cache from line to line.

An optimizer's state is a dictionary of flat arrays, SOAP's matrices and one counter, saved and
loaded as it is.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar, TypeAlias

import numpy as np

from charlm.nn.parameters import Block, Parameters
from charlm.settings.schema import TrainConfig
from charlm.types import Array

# So long that threads which work on their own parts seldom meet at the interpreter's lock.
BLOCK = 65536
# SOAP's constants, the paper's: the decay of the second moments, and the steps between bases.
MOMENTS_DECAY = 0.95
BASIS_EVERY = 10
# A block of more columns is left to Adam: (K, K) matrices would take too much time and memory.
MOST_COLUMNS = 2048
# Calls a function with parts of range(count) that make up the whole of it, perhaps in threads.
Split: TypeAlias = Callable[[int, Callable[[slice], object]], object]


def whole(count: int, work: Callable[[slice], object]) -> None:
    """Call a function with range(count) as one part."""
    work(slice(0, count))


class Scratch:
    """Scratch arrays of a block, one for each part of flat arrays."""

    def __init__(self, like: Array) -> None:
        self._like, self._arrays = like, dict[tuple[int, int], Array]()

    def of(self, part: slice) -> Array:
        """Return that of a part, the same each time."""
        key = part.start, part.stop
        if key not in self._arrays:
            self._arrays[key] = np.empty(min(BLOCK, part.stop - part.start), self._like.dtype)
        return self._arrays[key]


class Optimizer(ABC):
    """Base class: moves flat parameters along their gradient, which is as long."""

    STATE: ClassVar[tuple[str, ...]]  # arrays as long as the parameters, kept between steps

    def __init__(self, parameters: Array, gradient: Array) -> None:
        self.parameters, self.gradient = parameters, gradient
        self.state: dict[str, Array] = {name: np.zeros_like(parameters) for name in self.STATE}
        self.steps = 0  # steps made
        self._scratch = Scratch(parameters)

    def step(self, learning_rate: float, split: Split = whole) -> None:
        """Make one step."""
        self.steps += 1
        arrays = [self.parameters, self.gradient, *self.state.values()]

        def update(part: slice) -> None:
            scratch = self._scratch.of(part)
            for begin in range(part.start, part.stop, BLOCK):
                block = slice(begin, min(begin + BLOCK, part.stop))
                size = block.stop - begin
                self._update(learning_rate, *(array[block] for array in arrays), scratch[:size])

        split(self.parameters.size, update)

    @abstractmethod
    def _update(self, learning_rate: float, *arrays: Array) -> None:
        """Update one block: parameters, gradient, state, scratch."""


class Configured(Optimizer):
    """Base class of the optimizers that train, whose constants are the configuration's."""

    def __init__(self, parameters: Parameters, gradient: Parameters, train: TrainConfig) -> None:
        super().__init__(parameters.flat, gradient.flat)
        self.train = train
        # What is kept of each block beside `state`.
        self.matrices = Parameters(self.matrix_blocks(parameters.layout), parameters.flat.dtype)

    @classmethod
    def matrix_blocks(cls, layout: Sequence[Block]) -> list[Block]:
        """Return the layout of `matrices`, given that of the parameters."""
        return []

    @classmethod
    def other_numbers(cls, layout: Sequence[Block]) -> int:
        """Return how many numbers it keeps beside its arrays as long as the parameters."""
        return 0


class SGD(Configured):
    """Stochastic gradient descent with momentum.

        dp = dp + weight_decay p
        v  = momentum v + dp
        p  = p - learning_rate v                    Nesterov: p - learning_rate (dp + momentum v)

    Source: Sutskever et al. 2013, in PyTorch's form (the rate stands outside the velocity).
    """

    STATE = ("v",)

    def _update(self, learning_rate: float, *arrays: Array) -> None:
        p, dp, v, u = arrays
        _add_decay(p, dp, u, self.train.weight_decay)
        v *= self.train.momentum
        v += dp
        if self.train.nesterov:
            np.multiply(v, self.train.momentum, out=u)
            u += dp
            u *= learning_rate
        else:
            np.multiply(v, learning_rate, out=u)
        p -= u


class Adagrad(Configured):
    """Adagrad: a rate for each parameter, which falls with all the gradients it has seen.

        dp = dp + weight_decay p
        v  = v + dp^2
        p  = p - learning_rate dp / (sqrt(v) + epsilon)

    Source: Duchi, Hazan & Singer 2011.
    """

    STATE = ("v",)

    def _update(self, learning_rate: float, *arrays: Array) -> None:
        p, dp, v, u = arrays
        _add_decay(p, dp, u, self.train.weight_decay)
        np.multiply(dp, dp, out=u)
        self._accumulate(v, u)
        np.sqrt(v, out=u)
        u += self.train.epsilon
        np.divide(dp, u, out=u)
        u *= learning_rate
        p -= u

    def _accumulate(self, v: Array, squares: Array) -> None:
        v += squares


class RMSprop(Adagrad):
    """RMSprop: Adagrad that forgets.

        v  = beta2 v + (1 - beta2) dp^2                                    the rest as in Adagrad

    Source: Hinton 2012, lecture 6e, in PyTorch's form (epsilon stands outside the root).
    """

    def _accumulate(self, v: Array, squares: Array) -> None:
        v *= self.train.beta2
        squares *= 1 - self.train.beta2
        v += squares


class Adam(Configured):
    """Adam, with AdamW's decoupled weight decay.

        p = p - learning_rate weight_decay p
        m = beta1 m + (1 - beta1) dp
        v = beta2 v + (1 - beta2) dp^2
        p = p - learning_rate (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + epsilon)

    The last line is computed with both corrections outside of the arrays, c = sqrt(1 - beta2^t):

        p = p - (learning_rate c / (1 - beta1^t)) m / (sqrt(v) + c epsilon)

    Sources: Kingma & Ba 2015, algorithm 1; Loshchilov & Hutter 2019, algorithm 2.
    """

    STATE = ("m", "v")

    def _update(self, learning_rate: float, *arrays: Array) -> None:
        p, _, _, _, u = arrays
        self._adam(learning_rate, *arrays)
        p -= u

    def _adam(self, learning_rate: float, *arrays: Array) -> None:
        """Decay the weights, update the moments, and write into u what p moves by."""
        p, dp, m, v, u = arrays
        beta1, beta2, weight_decay = self.train.beta1, self.train.beta2, self.train.weight_decay
        if weight_decay:
            p *= 1 - learning_rate * weight_decay
        m *= beta1
        np.multiply(dp, 1 - beta1, out=u)
        m += u
        v *= beta2
        np.multiply(dp, dp, out=u)
        u *= 1 - beta2
        v += u
        c = math.sqrt(1 - beta2**self.steps)
        np.sqrt(v, out=u)
        u += c * self.train.epsilon
        np.divide(m, u, out=u)
        u *= learning_rate * c / (1 - beta1**self.steps)


class SOAP(Adam):
    """Adam in the eigenbasis of the gradient's second moments, for each layer's Wx and Wh.

        C  = 0.95 C + 0.05 dW^T dW          (K, K), W has K columns
        Q  = qr(C Q), diag(R) > 0           every 10 steps, from the identity towards eigenvectors
        m, v and the step P are Adam's of dW Q
        W  = W - P Q^T

    The entries of x or h are correlated, and so are the columns of dW: those of dW Q are less, and
    a rate for each number, as Adam has it, suits them better. Biases, embedding and output layer
    are left to Adam, and so are weights of more than MOST_COLUMNS columns.

    Sources: Vyas et al. 2025, SOAP, algorithm 3, one-sided, with m in the basis as it turns, and a
    Q that begins as the identity; Gupta, Koren & Singer 2018, Shampoo.
    """

    def __init__(self, parameters: Parameters, gradient: Parameters, train: TrainConfig) -> None:
        super().__init__(parameters, gradient, train)
        self._rotated = []  # dW, C, Q, and scratch arrays as large as dW and C
        for name in self._shapes(parameters.layout):
            dW, (C, Q) = gradient.views[name], (self.matrices.views[f"{name}.{k}"] for k in "CQ")
            np.fill_diagonal(Q, 1)
            self._rotated.append((dW, C, Q, np.empty(dW.shape, dW.dtype), np.empty_like(C)))

    @classmethod
    def matrix_blocks(cls, layout: Sequence[Block]) -> list[Block]:
        """Return the layout of C and Q, of the input and the recurrent weights of each layer."""
        shapes = cls._shapes(layout).items()
        return [Block(name, K, {part: K}) for name, (_, K) in shapes for part in "CQ"]

    @classmethod
    def other_numbers(cls, layout: Sequence[Block]) -> int:
        """Return how many numbers C, Q and the scratch arrays are."""
        return sum(M * K + 3 * K * K for M, K in cls._shapes(layout).values())

    @staticmethod
    def _shapes(layout: Sequence[Block]) -> dict[str, tuple[int, int]]:
        """Return the names and shapes of the weights whose gradient is rotated."""
        return {
            f"{block.name}.{part}": (block.rows, K)
            for block in layout
            for part, K in block.parts.items()
            if part in ("Wx", "Wh") and K <= MOST_COLUMNS
        }

    def step(self, learning_rate: float, split: Split = whole) -> None:
        """Make one step."""

        def rotate(part: slice) -> None:
            for arrays in self._rotated[part]:
                self._rotate(*arrays)

        def rotate_back(part: slice) -> None:
            # The gradient's buffer holds the steps P now.
            for P, _, Q, u, _ in self._rotated[part]:
                np.copyto(P, np.matmul(P, Q.T, out=u))

        def move(part: slice) -> None:
            self.parameters[part] -= self.gradient[part]

        split(len(self._rotated), rotate)
        super().step(learning_rate, split)
        split(len(self._rotated), rotate_back)
        split(self.parameters.size, move)

    def _rotate(self, dW: Array, C: Array, Q: Array, u: Array, square: Array) -> None:
        # C = 0.95 C + 0.05 dW^T dW
        np.matmul(dW.T, dW, out=square)
        square *= 1 - MOMENTS_DECAY
        C *= MOMENTS_DECAY
        C += square
        # Q = qr(C Q)
        if (self.steps + 1) % BASIS_EVERY == 0:
            turned, R = np.linalg.qr(C @ Q)
            # The decomposition is unique up to signs; m and v are of vectors that keep theirs.
            np.multiply(turned, np.copysign(1, np.diag(R)), out=Q)
        # dW Q
        np.copyto(dW, np.matmul(dW, Q, out=u))

    def _update(self, learning_rate: float, *arrays: Array) -> None:
        _, dp, _, _, u = arrays
        self._adam(learning_rate, *arrays)
        np.copyto(dp, u)


OPTIMIZERS: Mapping[str, type[Configured]] = {
    "adam": Adam,
    "rmsprop": RMSprop,
    "adagrad": Adagrad,
    "sgd": SGD,
    "soap": SOAP,
}


def _add_decay(p: Array, dp: Array, u: Array, weight_decay: float) -> None:
    """Add a weight decay to the gradient itself; u is scratch."""
    if weight_decay:
        np.multiply(p, weight_decay, out=u)
        dp += u
