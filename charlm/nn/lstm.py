"""The LSTM: a cell state that gates write to, forget from and read.

    a   = [Wx Wh b] @ [x; h; 1]             four blocks of H rows: i, f, o, g
    i   = sigmoid(a_i)                      input gate: how much of g is written
    f   = sigmoid(a_f)                      forget gate: how much of c is kept
    o   = sigmoid(a_o)                      output gate: how much of the cell is shown
    g   = tanh(a_g)                         candidate: what would be written
    c'  = f * c + i * g                     cell state, the long-term memory
    h'  = o * tanh(c')                      hidden state, the short-term memory

Along c, the gradient is multiplied by f at each time step, not by a matrix.

sigmoid(a) is computed as (1 + tanh(a / 2)) / 2, so that one tanh serves all four blocks; the
halving is folded into the linear layer's copy of the weights. reference.py has the same cell as
plain expressions.

Sources: Hochreiter & Schmidhuber 1997; Gers, Schmidhuber & Cummins 2000 (forget gate); in the form
of Graves 2013, equations 7 to 11, without peepholes. Forget bias: Jozefowicz et al. 2015 advise 1;
docs/results.md has measurements.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from charlm.nn.embedding import OneHot
from charlm.nn.parameters import Block
from charlm.nn.recurrent import Cache, RecurrentLayer, Shapes
from charlm.types import Array

# Arrays of no dimension: a Python number would be converted at every call.
_HALF = np.array(0.5, np.float32)
_ONE = np.array(1, np.float32)


@dataclass(slots=True)
class StepCache:
    """The values of one time step, as views; c_next and h_next leave it."""

    xh: Array  # (D+H+1, B) x, then h, then ones
    a: Array  # (4H, B) the gates i, f, o, g
    sigmoids: Array  # (3H, B) i, f, o
    i: Array
    f: Array
    o: Array
    g: Array
    c: Array
    c_next: Array
    tanh_c: Array  # tanh(c_next)
    h_next: Array
    dxh: Array  # (D+H, B) gradient of x and h, or (H, B) of h alone


class LSTMCache(Cache[StepCache]):
    """A chunk of an LSTM layer: 4 (2D + 8H + 1) B bytes per time step in float32."""

    def __init__(self, layer: "LSTM", T: int, B: int, rolling: bool) -> None:
        arrays, X, H = layer._allocate(T, B), layer.X, layer.H
        xh, a, c, tanh_c = (arrays[name] for name in ("xh", "a", "c", "tanh_c"))
        xh[:, -1] = 1
        self.x, self.h = xh[:T, :X], xh[:, X:-1]
        self.h_out, self.states = self.h[1:], [(self.h[t], c[t]) for t in range(T)]
        last = 0 if rolling else T
        self.state_in, self.state_out = (self.h[0], c[0]), (self.h[last], c[last])
        dxh = [xh[0, :0]] * T
        if layer.training:
            # Without dx, all time steps share the gradient of h.
            stored = arrays["dxh"]
            dxh = [stored[t % len(stored)] for t in range(T)]
            self.dx, self.dh_in = stored[:, :-H], [dxh_t[-H:] for dxh_t in dxh]
            self.dh, self.dc, self.u = arrays["dh"], arrays["dc"], arrays["u"]
            self.v, self.da = arrays["v"], arrays["da"]
            self.da_i, self.da_f, self.da_o, self.da_g = np.split(self.da, 4)
            self.da_sigmoids = self.da[: 3 * H]
            self.dstate, self.buffers = (self.dc,), layer._buffers(B)
        self.steps = [
            StepCache(
                xh=xh[t],
                a=a[t],
                sigmoids=a[t, : 3 * H],
                i=a[t, :H],
                f=a[t, H : 2 * H],
                o=a[t, 2 * H : 3 * H],
                g=a[t, 3 * H :],
                c=c[t],
                c_next=c[min(t + 1, last)],
                tanh_c=tanh_c[t],
                h_next=self.h[min(t + 1, last)],
                dxh=dxh[t],
            )
            for t in range(T)
        ]

    def memory(self, t: int) -> Array:
        """Return tanh(c) after time step t: (H, B)."""
        return self.steps[t].tanh_c

    def gate(self, name: str, t: int) -> Array:
        """Return gate i, f or o of time step t: (H, B)."""
        s = self.steps[t]
        return {"i": s.i, "f": s.f, "o": s.o}[name]


class LSTM(RecurrentLayer[LSTMCache, StepCache]):
    """An LSTM layer; its state is (h, c)."""

    STATES: ClassVar = ("h", "c")
    GATES: ClassVar = ("i", "f", "o", "g")
    SIGMOIDS: ClassVar = ("i", "f", "o")

    def __init__(
        self,
        name: str,
        D: int,
        H: int,
        *,
        needs_dx: bool = True,
        source: OneHot | None = None,
        forget_bias: float = -1,
    ) -> None:
        super().__init__(name, D, H, needs_dx=needs_dx, source=source)
        self.forget_bias = forget_bias
        grad_columns = slice(0 if needs_dx else D, D + H)
        self.linear = self._input_linear(4 * H, D + H + 1, grad_columns, 3 * H)
        self.linears = (self.linear,)

    def blocks(self) -> list[Block]:
        return [Block(self.name, 4 * self.H, {"Wx": self.D, "Wh": self.H, "b": 1})]

    def initialize(self, views: dict[str, Array], rng: np.random.Generator) -> None:
        super().initialize(views, rng)
        views[f"{self.name}.b"][self.H : 2 * self.H] = self.forget_bias

    def cache_shapes(self, T: int, B: int, *, training: bool) -> Shapes:
        X, H = self.X, self.H
        shapes: Shapes = {
            "xh": (T + 1, X + H + 1, B),
            "a": (T, 4 * H, B),
            "c": (T + 1, H, B),
            "tanh_c": (T, H, B),
        }
        if training:
            shapes |= {
                "dxh": (T, X + H, B) if self.needs_dx else (1, H, B),
                "da": (4 * H, B),
                "v": (3 * H, B),
                **dict.fromkeys(("dh", "dc", "u"), (H, B)),
            }
        return shapes

    def cache(self, T: int, B: int, *, rolling: bool = False) -> LSTMCache:
        return LSTMCache(self, T, B, rolling)

    def step(self, s: StepCache) -> None:
        # 1a. a = [Wx Wh b] @ [x; h; 1], the rows of i, f and o halved
        self.linear.forward(s.xh, s.a)
        # 1b. i, f, o = (1 + tanh(a / 2)) / 2;  g = tanh(a_g)
        np.tanh(s.a, out=s.a)
        np.multiply(s.sigmoids, _HALF, out=s.sigmoids)
        np.add(s.sigmoids, _HALF, out=s.sigmoids)
        # 2a. c' = f * c + i * g
        np.multiply(s.f, s.c, out=s.c_next)
        np.multiply(s.i, s.g, out=s.tanh_c)
        np.add(s.c_next, s.tanh_c, out=s.c_next)
        # 3a. h' = o * tanh(c')
        np.tanh(s.c_next, out=s.tanh_c)
        np.multiply(s.o, s.tanh_c, out=s.h_next)

    def step_backward(self, s: StepCache, cache: LSTMCache) -> None:
        dh, dc, u, v = cache.dh, cache.dc, cache.u, cache.v
        da, da_i, da_f, da_o, da_g = cache.da, cache.da_i, cache.da_f, cache.da_o, cache.da_g
        # 3a. do = dh * tanh(c');  dc += dh * o * (1 - tanh(c')^2)
        np.multiply(dh, s.tanh_c, out=da_o)
        np.multiply(s.tanh_c, s.tanh_c, out=u)
        np.subtract(_ONE, u, out=u)
        u *= s.o
        u *= dh
        dc += u
        # 2a. df = dc * c;  di = dc * g;  dg = dc * i;  dc = dc * f
        np.multiply(dc, s.c, out=da_f)
        np.multiply(dc, s.g, out=da_i)
        np.multiply(dc, s.i, out=da_g)
        dc *= s.f
        # 1b. da_s = ds * s * (1 - s) for s = i, f, o;  da_g = dg * (1 - g^2)
        np.subtract(_ONE, s.sigmoids, out=v)
        v *= s.sigmoids
        np.multiply(cache.da_sigmoids, v, out=cache.da_sigmoids)
        np.multiply(s.g, s.g, out=u)
        np.subtract(_ONE, u, out=u)
        da_g *= u
        # 1a. dW += da @ [x; h; 1]^T;  [dx; dh] = [Wx Wh]^T @ da
        self.linear.accumulate_grad(da, s.xh, cache.buffers[0])
        self.linear.backward(da, s.dxh)
