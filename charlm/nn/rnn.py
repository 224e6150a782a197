"""The tanh RNN: one hidden state, overwritten at every step.

    a   = [Wx Wh b] @ [x; h; 1]
    h'  = tanh(a)

The gradient goes back through Wh and tanh' at every step, so it vanishes or explodes with the
length of the way.

Source: Elman 1990; Goodfellow, Bengio & Courville 2016, equations 10.8 and 10.9.
"""

from collections.abc import Sequence
from typing import ClassVar, NamedTuple

import numpy as np

from charlm.nn.parameters import Block, Parameters, aligned_zeros
from charlm.nn.recurrent import Cache, RecurrentLayer, draw_input_weights, draw_recurrent_weights
from charlm.types import Array

_ONE = np.array(1, np.float32)


class Slot(NamedTuple):
    """One step's views; h_next is the hidden state that leaves it."""

    xh: Array  # (D+H+1, B) x, then h, then ones
    a: Array  # (H, B) h', kept apart because `backward` overwrites the cache's h
    h_next: Array
    dxh: Array  # the rows of xh whose gradient is wanted


class RNNCache(Cache):
    """Hold an RNN layer's chunk: 4 (D + 2H + 1) B bytes a step in float32."""

    def __init__(
        self, T: int, B: int, D: int, H: int, wanted: slice, dtype: np.dtype, rolling: bool
    ) -> None:
        K = D + H + 1
        xh = aligned_zeros((T + 1) * K * B, dtype).reshape(T + 1, K, B)
        xh[:, -1] = 1
        a = aligned_zeros(T * H * B, dtype).reshape(T, H, B)
        last = 0 if rolling else T
        self.x, self.h = xh[:T, :D], xh[:, D:-1]
        self.state_in, self.state_out = (self.h[0],), (self.h[last],)
        self.slots = [Slot(xh[t], a[t], self.h[min(t + 1, last)], xh[t, wanted]) for t in range(T)]
        self.work = (aligned_zeros(H * B, dtype).reshape(H, B),)
        self.dh = aligned_zeros(H * B, dtype).reshape(H, B)
        self.arrays = [xh, a, *self.work, self.dh]


class RNN(RecurrentLayer):
    """Run a tanh RNN layer; the state is (h,)."""

    STATES: ClassVar = ("h",)
    GATES: ClassVar = ("h",)
    SIGMOIDS: ClassVar = ()
    MEMORY = "h_next"

    def blocks(self) -> list[Block]:
        return [Block(self.name, self.H, {"Wx": self.D, "Wh": self.H, "b": 1})]

    def bind(self, index: int, parameters: Parameters, gradient: Parameters | None) -> None:
        W = parameters.blocks[index]
        dW = None if gradient is None else gradient.blocks[index]
        self.dtype = W.dtype
        wanted = slice(0 if self.needs_dx else self.D, self.D + self.H)
        self.product = self._product(W, dW, wanted)
        self.products = (self.product,)

    def initialize(self, views: dict[str, Array], rng: np.random.Generator) -> None:
        draw_input_weights(views[f"{self.name}.Wx"], self.H, rng)
        draw_recurrent_weights(views[f"{self.name}.Wh"], rng)
        views[f"{self.name}.b"][...] = 0

    def cache(self, T: int, B: int, *, rolling: bool = False) -> RNNCache:
        wanted = slice(0 if self.needs_dx else self.X, self.X + self.H)
        return RNNCache(T, B, self.X, self.H, wanted, self.dtype, rolling)

    def step(self, slot: Slot) -> None:
        xh, a, h_next, _ = slot
        # 1a. a = [Wx Wh b] @ [x; h; 1]
        self.product.forward(xh, a)
        # 2a. h' = tanh(a)
        np.tanh(a, out=a)
        np.copyto(h_next, a)

    def step_backward(self, slot: Slot, dh: Array, work: Sequence[Array]) -> None:
        xh, h_next, _, dxh = slot
        (da,) = work
        # 2a. da = dh * (1 - h'^2)
        np.multiply(h_next, h_next, out=da)
        np.subtract(_ONE, da, out=da)
        da *= dh
        # 1a. dW += da @ [x; h; 1]^T;  [dx; dh] = [Wx Wh]^T @ da
        self.product.gather(da, xh)
        self.product.backward(da, dxh)
