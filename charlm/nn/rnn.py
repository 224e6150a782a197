"""The tanh RNN: one hidden state, overwritten at every time step.

    a   = [Wx Wh b] @ [x; h; 1]
    h'  = tanh(a)

The gradient passes Wh and tanh' at every time step, so it vanishes or explodes with the number of
time steps. reference.py has the same cell as plain expressions.

Source: Elman 1990; Goodfellow, Bengio & Courville 2016, equations 10.8 and 10.9.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from charlm.nn.embedding import OneHot
from charlm.nn.parameters import Block
from charlm.nn.recurrent import Cache, RecurrentLayer, Shapes
from charlm.types import Array

_ONE = np.array(1, np.float32)


@dataclass(slots=True)
class StepCache:
    """The values of one time step, as views; h_next leaves it."""

    xh: Array  # (D+H+1, B) x, then h, then ones
    a: Array  # (H, B) scratch, shared by all time steps
    h_next: Array
    dxh: Array  # (D+H, B) gradient of x and h, or (H, B) of h alone


class RNNCache(Cache[StepCache]):
    """A chunk of an RNN layer: 4 (2D + 2H + 1) B bytes per time step in float32."""

    def __init__(self, layer: "RNN", T: int, B: int, rolling: bool) -> None:
        arrays, X, H = layer._allocate(T, B), layer.X, layer.H
        xh = arrays["xh"]
        xh[:, -1] = 1
        self.x, self.h = xh[:T, :X], xh[:, X:-1]
        self.h_out, self.states = self.h[1:], [(h,) for h in self.h[:T]]
        last = 0 if rolling else T
        self.state_in, self.state_out = (self.h[0],), (self.h[last],)
        dxh = [xh[0, :0]] * T
        if layer.training:
            # Without dx, all time steps share the gradient of h.
            stored = arrays["dxh"]
            dxh = [stored[t % len(stored)] for t in range(T)]
            self.dx, self.dh_in = stored[:, :-H], [dxh_t[-H:] for dxh_t in dxh]
            self.dh, self.da, self.buffers = arrays["dh"], arrays["da"], layer._buffers(B)
        self.steps = [
            StepCache(xh=xh[t], a=arrays["a"], h_next=self.h[min(t + 1, last)], dxh=dxh[t])
            for t in range(T)
        ]

    def memory(self, t: int) -> Array:
        """Return h after time step t: (H, B)."""
        h: Array = self.h_out[t]
        return h

    def gate(self, name: str, t: int) -> Array:
        """Raise KeyError: a tanh RNN has no gates."""
        raise KeyError(name)


class RNN(RecurrentLayer[RNNCache, StepCache]):
    """A tanh RNN layer; its state is (h,)."""

    STATES: ClassVar = ("h",)
    GATES: ClassVar = ("h",)
    SIGMOIDS: ClassVar = ()

    def __init__(
        self, name: str, D: int, H: int, *, needs_dx: bool = True, source: OneHot | None = None
    ) -> None:
        super().__init__(name, D, H, needs_dx=needs_dx, source=source)
        grad_columns = slice(0 if needs_dx else D, D + H)
        self.linear = self._input_linear(H, D + H + 1, grad_columns)
        self.linears = (self.linear,)

    def blocks(self) -> list[Block]:
        return [Block(self.name, self.H, {"Wx": self.D, "Wh": self.H, "b": 1})]

    def cache_shapes(self, T: int, B: int, *, training: bool) -> Shapes:
        X, H = self.X, self.H
        shapes: Shapes = {"xh": (T + 1, X + H + 1, B), "a": (H, B)}
        if training:
            dxh = (T, X + H, B) if self.needs_dx else (1, H, B)
            shapes |= {"dxh": dxh, "da": (H, B), "dh": (H, B)}
        return shapes

    def cache(self, T: int, B: int, *, rolling: bool = False) -> RNNCache:
        return RNNCache(self, T, B, rolling)

    def step(self, s: StepCache) -> None:
        # 1a. a = [Wx Wh b] @ [x; h; 1]
        self.linear.forward(s.xh, s.a)
        # 2a. h' = tanh(a)
        np.tanh(s.a, out=s.h_next)

    def step_backward(self, s: StepCache, cache: RNNCache) -> None:
        da = cache.da
        # 2a. da = dh * (1 - h'^2)
        np.multiply(s.h_next, s.h_next, out=da)
        np.subtract(_ONE, da, out=da)
        da *= cache.dh
        # 1a. dW += da @ [x; h; 1]^T;  [dx; dh] = [Wx Wh]^T @ da
        self.linear.accumulate_grad(da, s.xh, cache.buffers[0])
        self.linear.backward(da, s.dxh)
