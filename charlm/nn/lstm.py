"""The LSTM: a cell state that gates write to, forget from and read.

    a   = [Wx Wh b] @ [x; h; 1]             four blocks of H rows: i, f, o, g
    i   = sigmoid(a_i)                      input gate: how much of g is written
    f   = sigmoid(a_f)                      forget gate: how much of c is kept
    o   = sigmoid(a_o)                      output gate: how much of the cell is shown
    g   = tanh(a_g)                         candidate: what would be written
    c'  = f * c + i * g                     cell state, the long-term memory
    h'  = o * tanh(c')                      hidden state, the short-term memory

Since c' depends on c by f alone, the gradient goes back along c multiplied by f, not by a matrix.

sigmoid(a) is computed as (1 + tanh(a / 2)) / 2, so that one tanh serves all four blocks; the
halving is folded into the product's copy of the weights.

Sources: Hochreiter & Schmidhuber 1997; Gers, Schmidhuber & Cummins 2000 (forget gate); in the form
of Graves 2013, equations 7 to 11, without peepholes. Forget bias: Jozefowicz et al. 2015 advise 1;
what it does here is measured in docs/results.md.
"""

from collections.abc import Sequence
from typing import ClassVar, NamedTuple

import numpy as np

from charlm.nn.parameters import Block, Parameters, aligned_zeros
from charlm.nn.recurrent import Cache, RecurrentLayer, draw_input_weights, draw_recurrent_weights
from charlm.types import Array

# As arrays of no dimension: a Python number would be converted at every call.
_HALF = np.array(0.5, np.float32)
_ONE = np.array(1, np.float32)


class Slot(NamedTuple):
    """One step's views; c_next and h_next are those that leave it."""

    xh: Array  # (D+H+1, B) x, then h, then ones
    a: Array  # (4H, B) the gates i, f, o, g
    sigmoids: Array  # (3H, B) i, f, o
    i: Array
    f: Array
    o: Array
    g: Array
    c: Array
    c_next: Array
    tanh_c: Array
    h_next: Array
    dxh: Array  # (D+H, B) or (H, B): the rows of xh whose gradient is wanted


class LSTMCache(Cache):
    """Hold an LSTM layer's chunk: 4 (D + 7H + 1) B bytes a step in float32."""

    def __init__(
        self, T: int, B: int, D: int, H: int, wanted: slice, dtype: np.dtype, rolling: bool
    ) -> None:
        K = D + H + 1
        xh = aligned_zeros((T + 1) * K * B, dtype).reshape(T + 1, K, B)
        xh[:, -1] = 1
        a = aligned_zeros(T * 4 * H * B, dtype).reshape(T, 4 * H, B)
        c = aligned_zeros((T + 1) * H * B, dtype).reshape(T + 1, H, B)
        tanh_c = aligned_zeros(T * H * B, dtype).reshape(T, H, B)
        last = 0 if rolling else T
        self.x, self.h = xh[:T, :D], xh[:, D:-1]
        self.state_in = self.h[0], c[0]
        self.state_out = self.h[last], c[last]
        self.slots = [
            Slot(
                xh[t],
                a[t],
                a[t, : 3 * H],
                a[t, :H],
                a[t, H : 2 * H],
                a[t, 2 * H : 3 * H],
                a[t, 3 * H :],
                c[t],
                c[min(t + 1, last)],
                tanh_c[t],
                self.h[min(t + 1, last)],
                xh[t, wanted],
            )
            for t in range(T)
        ]
        dc, u = aligned_zeros(2 * H * B, dtype).reshape(2, H, B)
        da = aligned_zeros(4 * H * B, dtype).reshape(4 * H, B)
        self.work = dc, u, da, *(da[k * H : (k + 1) * H] for k in range(4)), da[: 3 * H]
        self.dh = aligned_zeros(H * B, dtype).reshape(H, B)
        self.arrays = [xh, a, c, tanh_c, dc, u, da, self.dh]


class LSTM(RecurrentLayer):
    """Run an LSTM layer; the state is (h, c)."""

    STATES: ClassVar = ("h", "c")
    GATES: ClassVar = ("i", "f", "o", "g")
    SIGMOIDS: ClassVar = ("i", "f", "o")
    MEMORY = "tanh_c"

    def __init__(
        self, name: str, D: int, H: int, *, needs_dx: bool = True, forget_bias: float = -1
    ):
        super().__init__(name, D, H, needs_dx=needs_dx)
        self.forget_bias = forget_bias

    def blocks(self) -> list[Block]:
        return [Block(self.name, 4 * self.H, {"Wx": self.D, "Wh": self.H, "b": 1})]

    def bind(self, index: int, parameters: Parameters, gradient: Parameters | None) -> None:
        W = parameters.blocks[index]
        dW = None if gradient is None else gradient.blocks[index]
        self.dtype = W.dtype
        wanted = slice(0 if self.needs_dx else self.D, self.D + self.H)
        self.product = self._product(W, dW, wanted, halved=3 * self.H)
        self.products = (self.product,)

    def initialize(self, views: dict[str, Array], rng: np.random.Generator) -> None:
        H = self.H
        draw_input_weights(views[f"{self.name}.Wx"], H, rng)
        draw_recurrent_weights(views[f"{self.name}.Wh"], rng)
        views[f"{self.name}.b"][...] = 0
        views[f"{self.name}.b"][H : 2 * H] = self.forget_bias

    def cache(self, T: int, B: int, *, rolling: bool = False) -> LSTMCache:
        wanted = slice(0 if self.needs_dx else self.X, self.X + self.H)
        return LSTMCache(T, B, self.X, self.H, wanted, self.dtype, rolling)

    def step(self, slot: Slot) -> None:
        xh, a, sigmoids, i, f, o, g, c, c_next, tanh_c, h_next, _ = slot
        # 1a. a = [Wx Wh b] @ [x; h; 1], the rows of i, f and o halved
        self.product.forward(xh, a)
        # 1b. i, f, o = (1 + tanh(a / 2)) / 2;  g = tanh(a_g)
        np.tanh(a, out=a)
        np.multiply(sigmoids, _HALF, out=sigmoids)
        np.add(sigmoids, _HALF, out=sigmoids)
        # 2a. c' = f * c + i * g
        np.multiply(f, c, out=c_next)
        np.multiply(i, g, out=tanh_c)
        np.add(c_next, tanh_c, out=c_next)
        # 3a. h' = o * tanh(c')
        np.tanh(c_next, out=tanh_c)
        np.multiply(o, tanh_c, out=h_next)

    def step_backward(self, slot: Slot, dh: Array, work: Sequence[Array]) -> None:
        xh, _, sigmoids, i, f, o, g, c, _, tanh_c, _, dxh = slot
        dc, u, da, da_i, da_f, da_o, da_g, da_sigmoids = work
        # 3a. do = dh * tanh(c');  dc += dh * o * (1 - tanh(c')^2)
        np.multiply(tanh_c, tanh_c, out=u)
        np.subtract(_ONE, u, out=u)
        u *= o
        u *= dh
        dc += u
        # 1b. d sigmoid = s * (1 - s), times do (3a), di and df (2a)
        np.subtract(_ONE, sigmoids, out=da_sigmoids)
        da_sigmoids *= sigmoids
        da_o *= dh
        da_o *= tanh_c
        # 2a. di = dc * g;  df = dc * c
        da_i *= dc
        da_i *= g
        da_f *= dc
        da_f *= c
        # 1b. d tanh = 1 - g^2, times dg = dc * i (2a)
        np.multiply(g, g, out=da_g)
        np.subtract(_ONE, da_g, out=da_g)
        da_g *= dc
        da_g *= i
        # 2a. dc = dc * f
        dc *= f
        # 1a. dW += da @ [x; h; 1]^T;  [dx; dh] = [Wx Wh]^T @ da
        self.product.gather(da, xh)
        self.product.backward(da, dxh)
