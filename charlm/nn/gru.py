"""The GRU: two gates, and the hidden state as the only memory.

    ax  = [Wx bx] @ [x; 1]                  three blocks of H rows: r, z, n
    ah  = [Wh bh] @ [h; 1]
    r   = sigmoid(ax_r + ah_r)              reset gate: how much of h the candidate sees
    z   = sigmoid(ax_z + ah_z)              update gate: how much of h is kept
    n   = tanh(ax_n + r * ah_n)             candidate
    h'  = (1 - z) * n + z * h

r multiplies Wh_n h + bh_n, so the input and the recurrent product are two blocks, each with a bias.

sigmoid(a) is computed as (1 + tanh(a / 2)) / 2; the halving is folded into the linear layers'
copies of the weights. reference.py has the same cell as plain expressions.

Sources: Cho et al. 2014; the reset gate applied after the product as in PyTorch and cuDNN.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from charlm.nn.embedding import OneHot
from charlm.nn.linear import Linear
from charlm.nn.parameters import Block
from charlm.nn.recurrent import Cache, RecurrentLayer, Shapes
from charlm.types import Array

_HALF = np.array(0.5, np.float32)
_ONE = np.array(1, np.float32)


@dataclass(slots=True)
class StepCache:
    """The values of one time step, as views; h_next leaves it."""

    x1: Array  # (D+1, B) x, then ones
    h1: Array  # (H+1, B) h, then ones
    a: Array  # (3H, B) ax, then the gates r, z, n
    rz: Array  # (2H, B) r, z
    r: Array
    z: Array
    n: Array
    ah_n: Array  # (H, B) saved for backward
    h: Array
    h_next: Array
    dx: Array  # (D, B) gradient of x
    ah: Array  # (3H, B) scratch, shared by all time steps
    ah_rz: Array  # (2H, B) its first rows
    u: Array  # (H, B) its last rows


class GRUCache(Cache[StepCache]):
    """A chunk of a GRU layer: 4 (2D + 5H + 2) B bytes per time step in float32."""

    def __init__(self, layer: "GRU", T: int, B: int, rolling: bool) -> None:
        arrays, X, H = layer._allocate(T, B), layer.X, layer.H
        x1, h1, a, ah_n, ah = (arrays[name] for name in ("x1", "h1", "a", "ah_n", "ah"))
        x1[:, -1] = h1[:, -1] = 1
        self.x, self.h = x1[:, :X], h1[:, :H]
        self.h_out, self.states = self.h[1:], [(h,) for h in self.h[:T]]
        last = 0 if rolling else T
        self.state_in, self.state_out = (self.h[0],), (self.h[last],)
        dx = [x1[0, :0]] * T
        if layer.training:
            self.dx, self.dh, self.dh_direct = arrays["dx"], arrays["dh"], arrays["dh_direct"]
            self.dh_in = [arrays["dh_in"]] * T
            self.u, self.v = arrays["u"], arrays["v"]
            self.dax, self.dah = arrays["dax"], arrays["dah"]
            self.dax_r, self.dax_z, self.dax_n = np.split(self.dax, 3)
            self.dax_rz, self.dah_rz = self.dax[: 2 * H], self.dah[: 2 * H]
            self.dah_n = self.dah[2 * H :]
            self.buffers = layer._buffers(B)
            dx = list(self.dx)
        self.steps = [
            StepCache(
                x1=x1[t],
                h1=h1[t],
                a=a[t],
                rz=a[t, : 2 * H],
                r=a[t, :H],
                z=a[t, H : 2 * H],
                n=a[t, 2 * H :],
                ah_n=ah_n[t],
                h=self.h[t],
                h_next=self.h[min(t + 1, last)],
                dx=dx[t],
                ah=ah,
                ah_rz=ah[: 2 * H],
                u=ah[2 * H :],
            )
            for t in range(T)
        ]

    def memory(self, t: int) -> Array:
        """Return h after time step t: (H, B)."""
        h: Array = self.h_out[t]
        return h

    def gate(self, name: str, t: int) -> Array:
        """Return gate r or z of time step t: (H, B)."""
        return {"r": self.steps[t].r, "z": self.steps[t].z}[name]


class GRU(RecurrentLayer[GRUCache, StepCache]):
    """A GRU layer; its state is (h,)."""

    STATES: ClassVar = ("h",)
    GATES: ClassVar = ("r", "z", "n")
    SIGMOIDS: ClassVar = ("r", "z")

    def __init__(
        self, name: str, D: int, H: int, *, needs_dx: bool = True, source: OneHot | None = None
    ) -> None:
        super().__init__(name, D, H, needs_dx=needs_dx, source=source)
        grad_columns = slice(0, D if needs_dx else 0)
        self.linear_x = self._input_linear(3 * H, D + 1, grad_columns, 2 * H)
        self.linear_h = Linear(3 * H, H + 1, slice(0, H), 2 * H)
        self.linears = (self.linear_x, self.linear_h)

    def blocks(self) -> list[Block]:
        return [
            Block(self.name, 3 * self.H, {"Wx": self.D, "bx": 1}),
            Block(self.name, 3 * self.H, {"Wh": self.H, "bh": 1}),
        ]

    def cache_shapes(self, T: int, B: int, *, training: bool) -> Shapes:
        X, H = self.X, self.H
        shapes: Shapes = {
            "x1": (T, X + 1, B),
            "h1": (T + 1, H + 1, B),
            "a": (T, 3 * H, B),
            "ah_n": (T, H, B),
            "ah": (3 * H, B),
        }
        if training:
            shapes |= {
                "dx": (T, X if self.needs_dx else 0, B),
                **dict.fromkeys(("dax", "dah"), (3 * H, B)),
                "v": (2 * H, B),
                **dict.fromkeys(("dh", "dh_in", "dh_direct", "u"), (H, B)),
            }
        return shapes

    def cache(self, T: int, B: int, *, rolling: bool = False) -> GRUCache:
        return GRUCache(self, T, B, rolling)

    def step(self, s: StepCache) -> None:
        # 1a. ax = [Wx bx] @ [x; 1];  ah = [Wh bh] @ [h; 1], the rows of r and z halved
        self.linear_x.forward(s.x1, s.a)
        self.linear_h.forward(s.h1, s.ah)
        np.copyto(s.ah_n, s.u)
        # 1b. r, z = (1 + tanh((ax + ah) / 2)) / 2
        np.add(s.rz, s.ah_rz, out=s.rz)
        np.tanh(s.rz, out=s.rz)
        np.multiply(s.rz, _HALF, out=s.rz)
        np.add(s.rz, _HALF, out=s.rz)
        # 2a. n = tanh(ax_n + r * ah_n)
        np.multiply(s.r, s.u, out=s.u)
        np.add(s.n, s.u, out=s.n)
        np.tanh(s.n, out=s.n)
        # 3a. h' = n + z * (h - n)
        np.subtract(s.h, s.n, out=s.u)
        np.multiply(s.z, s.u, out=s.u)
        np.add(s.n, s.u, out=s.h_next)

    def step_backward(self, s: StepCache, cache: GRUCache) -> None:
        dh, u, v, dh_in = cache.dh, cache.u, cache.v, cache.dh_in[0]
        dax, dax_rz, dax_z, dax_n = cache.dax, cache.dax_rz, cache.dax_z, cache.dax_n
        # 3a. dn = dh * (1 - z);  dz = dh * (h - n);  dh = dh * z, the direct connection
        np.subtract(_ONE, s.z, out=dax_n)
        dax_n *= dh
        np.subtract(s.h, s.n, out=dax_z)
        dax_z *= dh
        np.multiply(dh, s.z, out=cache.dh_direct)
        # 2a. da_n = dn * (1 - n^2);  dr = da_n * ah_n;  dah_n = da_n * r
        np.multiply(s.n, s.n, out=u)
        np.subtract(_ONE, u, out=u)
        dax_n *= u
        np.multiply(dax_n, s.ah_n, out=cache.dax_r)
        np.multiply(dax_n, s.r, out=cache.dah_n)
        # 1b. da_s = ds * s * (1 - s) for s = r, z
        np.subtract(_ONE, s.rz, out=v)
        v *= s.rz
        dax_rz *= v
        np.copyto(cache.dah_rz, dax_rz)
        # 1a. dWx += dax @ [x; 1]^T;  dWh += dah @ [h; 1]^T;  dx = Wx^T @ dax;  dh += Wh^T @ dah
        self.linear_x.accumulate_grad(dax, s.x1, cache.buffers[0])
        self.linear_h.accumulate_grad(cache.dah, s.h1, cache.buffers[1])
        if self.needs_dx:
            self.linear_x.backward(dax, s.dx)
        self.linear_h.backward(cache.dah, dh_in)
        dh_in += cache.dh_direct
