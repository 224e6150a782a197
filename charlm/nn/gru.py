"""The GRU: two gates, and the hidden state as the only memory.

    ax  = [Wx bx] @ [x; 1]                  three blocks of H rows: r, z, n
    ah  = [Wh bh] @ [h; 1]
    r   = sigmoid(ax_r + ah_r)              reset gate: how much of h the candidate sees
    z   = sigmoid(ax_z + ah_z)              update gate: how much of h is kept
    n   = tanh(ax_n + r * ah_n)             candidate
    h'  = (1 - z) * n + z * h

r multiplies Wh_n h + bh_n, so the recurrent products stand apart from the input's, in two blocks
with a bias each.

sigmoid(a) is computed as (1 + tanh(a / 2)) / 2, the halving folded into the products' copies of
the weights.

Sources: Cho et al. 2014; the reset gate applied after the product as in PyTorch and cuDNN.
"""

from collections.abc import Sequence
from typing import ClassVar, NamedTuple

import numpy as np

from charlm.nn.linear import Linear
from charlm.nn.parameters import Block, Parameters, aligned_zeros
from charlm.nn.recurrent import Cache, RecurrentLayer, draw_input_weights, draw_recurrent_weights
from charlm.types import Array

_HALF = np.array(0.5, np.float32)
_ONE = np.array(1, np.float32)


class Slot(NamedTuple):
    """One step's views; h_next is the hidden state that leaves it."""

    x1: Array  # (D+1, B) x, then ones
    h1: Array  # (H+1, B) h, then ones
    a: Array  # (3H, B) ax, then the gates r, z, n
    rz: Array  # (2H, B) r, z
    r: Array
    z: Array
    n: Array
    ah: Array  # (3H, B) scratch, shared by all steps
    ah_rz: Array
    ah_n_scratch: Array
    ah_n: Array  # (H, B) kept for the way back
    x: Array  # (D, B)
    h: Array  # (H, B)
    h_next: Array


class GRUCache(Cache):
    """Hold a GRU layer's chunk: 4 (D + 5H + 2) B bytes a step in float32."""

    def __init__(self, T: int, B: int, D: int, H: int, dtype: np.dtype, rolling: bool) -> None:
        x1 = aligned_zeros(T * (D + 1) * B, dtype).reshape(T, D + 1, B)
        h1 = aligned_zeros((T + 1) * (H + 1) * B, dtype).reshape(T + 1, H + 1, B)
        x1[:, -1] = h1[:, -1] = 1
        a = aligned_zeros(T * 3 * H * B, dtype).reshape(T, 3 * H, B)
        ah_n = aligned_zeros(T * H * B, dtype).reshape(T, H, B)
        ah, dax, dah = aligned_zeros(9 * H * B, dtype).reshape(3, 3 * H, B)
        u = aligned_zeros(H * B, dtype).reshape(H, B)
        last = 0 if rolling else T
        self.x, self.h = x1[:, :D], h1[:, :H]
        self.state_in, self.state_out = (self.h[0],), (self.h[last],)
        self.slots = [
            Slot(
                x1[t],
                h1[t],
                a[t],
                a[t, : 2 * H],
                a[t, :H],
                a[t, H : 2 * H],
                a[t, 2 * H :],
                ah,
                ah[: 2 * H],
                ah[2 * H :],
                ah_n[t],
                self.x[t],
                self.h[t],
                self.h[min(t + 1, last)],
            )
            for t in range(T)
        ]
        self.work = (
            u,
            dax,
            dah,
            dax[: 2 * H],
            dah[: 2 * H],
            *(dax[k * H : (k + 1) * H] for k in range(3)),
            dah[2 * H :],
        )
        self.dh = aligned_zeros(H * B, dtype).reshape(H, B)
        self.arrays = [x1, h1, a, ah_n, ah, dax, dah, u, self.dh]


class GRU(RecurrentLayer):
    """Run a GRU layer; the state is (h,)."""

    STATES: ClassVar = ("h",)
    GATES: ClassVar = ("r", "z", "n")
    SIGMOIDS: ClassVar = ("r", "z")
    MEMORY = "h_next"

    def blocks(self) -> list[Block]:
        return [
            Block(self.name, 3 * self.H, {"Wx": self.D, "bx": 1}),
            Block(self.name, 3 * self.H, {"Wh": self.H, "bh": 1}),
        ]

    def bind(self, index: int, parameters: Parameters, gradient: Parameters | None) -> None:
        Wx, Wh = parameters.blocks[index : index + 2]
        dWx, dWh = (None, None) if gradient is None else gradient.blocks[index : index + 2]
        self.dtype = Wx.dtype
        wanted = slice(0, self.D if self.needs_dx else 0)
        self.product_x = self._product(Wx, dWx, wanted, halved=2 * self.H)
        self.product_h = Linear(Wh, dWh, slice(0, self.H), halved=2 * self.H)
        self.products = (self.product_x, self.product_h)

    def initialize(self, views: dict[str, Array], rng: np.random.Generator) -> None:
        draw_input_weights(views[f"{self.name}.Wx"], self.H, rng)
        draw_recurrent_weights(views[f"{self.name}.Wh"], rng)
        views[f"{self.name}.bx"][...] = 0
        views[f"{self.name}.bh"][...] = 0

    def cache(self, T: int, B: int, *, rolling: bool = False) -> GRUCache:
        return GRUCache(T, B, self.X, self.H, self.dtype, rolling)

    def step(self, slot: Slot) -> None:
        x1, h1, a, rz, r, z, n, ah, ah_rz, ah_n_scratch, ah_n, _, h, h_next = slot
        # 1a. ax = [Wx bx] @ [x; 1];  ah = [Wh bh] @ [h; 1], the rows of r and z halved
        self.product_x.forward(x1, a)
        self.product_h.forward(h1, ah)
        np.copyto(ah_n, ah_n_scratch)
        # 1b. r, z = (1 + tanh((ax + ah) / 2)) / 2
        np.add(rz, ah_rz, out=rz)
        np.tanh(rz, out=rz)
        np.multiply(rz, _HALF, out=rz)
        np.add(rz, _HALF, out=rz)
        # 2a. n = tanh(ax_n + r * ah_n)
        np.multiply(r, ah_n_scratch, out=ah_n_scratch)
        np.add(n, ah_n_scratch, out=n)
        np.tanh(n, out=n)
        # 3a. h' = n + z * (h - n)
        np.subtract(h, n, out=ah_n_scratch)
        np.multiply(z, ah_n_scratch, out=ah_n_scratch)
        np.add(n, ah_n_scratch, out=h_next)

    def step_backward(self, slot: Slot, dh: Array, work: Sequence[Array]) -> None:
        x1, h1, _, rz, r, z, n, _, _, _, ah_n, x, h, _ = slot
        u, dax, dah, dax_rz, dah_rz, dax_r, dax_z, dax_n, dah_n = work
        # 3a. dn = dh * (1 - z), times d tanh = 1 - n^2 (2a)
        np.multiply(n, n, out=u)
        np.subtract(_ONE, u, out=u)
        np.subtract(_ONE, z, out=dax_n)
        dax_n *= u
        dax_n *= dh
        # 2a. d ah_n = r * d ax_n
        np.multiply(r, dax_n, out=dah_n)
        # 1b. d sigmoid = s * (1 - s), times dr = d ax_n * ah_n (2a) and dz = dh * (h - n) (3a)
        np.subtract(_ONE, rz, out=dax_rz)
        dax_rz *= rz
        dax_r *= dax_n
        dax_r *= ah_n
        np.subtract(h, n, out=u)
        dax_z *= u
        dax_z *= dh
        np.copyto(dah_rz, dax_rz)
        # 3a. dh of the h that entered, on the direct way: dh * z
        np.multiply(dh, z, out=u)
        # 1a. dWx += dax @ [x; 1]^T;  dWh += dah @ [h; 1]^T;  dx = Wx^T @ dax;  dh += Wh^T @ dah
        self.product_x.gather(dax, x1)
        self.product_h.gather(dah, h1)
        if self.needs_dx:
            self.product_x.backward(dax, x)
        self.product_h.backward(dah, h)
        h += u
