"""The three cells as a textbook writes them: one gate at a time, one time step after the other.

Each function runs a layer forward over T time steps and returns a function that runs it backward.
Forward and backward number the same equations; backward goes through them in reverse order. Nothing
here is fast: lstm.py, gru.py and rnn.py compute the same in few calls over preallocated arrays, and
the tests hold them to these functions. docs/theory.md derives the equations.

    x   (T, D, B)   input            dh       (T, H, B)   gradient of h_1..h_T from above
    h   (H, B)      hidden state     dh_last  (H, B)      gradient of the last state
    Wx  (gates H, D)    Wh  (gates H, H)    b  (gates H,)

Sources: Hochreiter & Schmidhuber 1997 and Graves 2013 (LSTM); Cho et al. 2014, in PyTorch's form
(GRU); Elman 1990 (tanh RNN).
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from charlm.types import Array, State

# From (dh, *dstate) to (dx, dstate, gradients of the weights by name).
Backward = Callable[..., tuple[Array, State, Mapping[str, Array]]]


def sigmoid(a: Array) -> Any:
    """Return 1 / (1 + exp(-a))."""
    return 1 / (1 + np.exp(-a))


def lstm(
    x: Array, h: Array, c: Array, Wx: Array, Wh: Array, b: Array
) -> tuple[Array, State, Backward]:
    """Run an LSTM layer; gate blocks in the order i, f, o, g.

    Return h_1..h_T, the last (h, c), and a function from (dh, dh_last, dc_last) to
    (dx, (dh_first, dc_first), gradients).
    """
    (Wxi, Wxf, Wxo, Wxg), (Whi, Whf, Who, Whg) = np.split(Wx, 4), np.split(Wh, 4)
    bi, bf, bo, bg = np.split(b[:, None], 4)
    steps, hs = [], []
    for x_t in x:
        # 1. the gates: how much is written, kept and shown; and what would be written
        i = sigmoid(Wxi @ x_t + Whi @ h + bi)
        f = sigmoid(Wxf @ x_t + Whf @ h + bf)
        o = sigmoid(Wxo @ x_t + Who @ h + bo)
        g = np.tanh(Wxg @ x_t + Whg @ h + bg)
        # 2. the cell state
        c_next = f * c + i * g
        # 3. the hidden state
        h_next = o * np.tanh(c_next)
        steps.append((x_t, h, c, i, f, o, g, np.tanh(c_next)))
        h, c = h_next, c_next
        hs.append(h)

    def backward(
        dh: Array, dh_last: Array, dc_last: Array
    ) -> tuple[Array, State, Mapping[str, Array]]:
        dWx, dWh, db, dx = np.zeros_like(Wx), np.zeros_like(Wh), np.zeros_like(b), np.empty_like(x)
        dh_next, dc = dh_last, dc_last
        for t in reversed(range(len(x))):
            x_t, h, c, i, f, o, g, tanh_c = steps[t]
            dh_t = dh[t] + dh_next
            # 3. the hidden state
            do = dh_t * tanh_c
            dc = dc + dh_t * o * (1 - tanh_c**2)
            # 2. the cell state
            df, di, dg = dc * c, dc * g, dc * i
            dc = dc * f
            # 1. the gates
            da = np.concatenate(
                [di * i * (1 - i), df * f * (1 - f), do * o * (1 - o), dg * (1 - g**2)]
            )
            dWx += da @ x_t.T
            dWh += da @ h.T
            db += da.sum(axis=1)
            dx[t] = Wx.T @ da
            dh_next = Wh.T @ da
        return dx, (dh_next, dc), {"Wx": dWx, "Wh": dWh, "b": db}

    return np.array(hs), (h, c), backward


def gru(
    x: Array, h: Array, Wx: Array, bx: Array, Wh: Array, bh: Array
) -> tuple[Array, State, Backward]:
    """Run a GRU layer; gate blocks in the order r, z, n.

    Return h_1..h_T, the last (h,), and a function from (dh, dh_last) to
    (dx, (dh_first,), gradients).
    """
    (Wxr, Wxz, Wxn), (Whr, Whz, Whn) = np.split(Wx, 3), np.split(Wh, 3)
    (bxr, bxz, bxn), (bhr, bhz, bhn) = np.split(bx[:, None], 3), np.split(bh[:, None], 3)
    steps, hs = [], []
    for x_t in x:
        # 1. the gates: how much of h the candidate sees, and how much of h is kept
        r = sigmoid(Wxr @ x_t + bxr + Whr @ h + bhr)
        z = sigmoid(Wxz @ x_t + bxz + Whz @ h + bhz)
        # 2. the candidate
        ah_n = Whn @ h + bhn
        n = np.tanh(Wxn @ x_t + bxn + r * ah_n)
        # 3. the hidden state
        h_next = (1 - z) * n + z * h
        steps.append((x_t, h, r, z, n, ah_n))
        h = h_next
        hs.append(h)

    def backward(dh: Array, dh_last: Array) -> tuple[Array, State, Mapping[str, Array]]:
        dWx, dWh, dx = np.zeros_like(Wx), np.zeros_like(Wh), np.empty_like(x)
        dbx, dbh, dh_next = np.zeros_like(bx), np.zeros_like(bh), dh_last
        for t in reversed(range(len(x))):
            x_t, h, r, z, n, ah_n = steps[t]
            dh_t = dh[t] + dh_next
            # 3. the hidden state
            dn, dz, dh_direct = dh_t * (1 - z), dh_t * (h - n), dh_t * z
            # 2. the candidate
            da_n = dn * (1 - n**2)
            dr, dah_n = da_n * ah_n, da_n * r
            # 1. the gates
            da_r, da_z = dr * r * (1 - r), dz * z * (1 - z)
            dax, dah = np.concatenate([da_r, da_z, da_n]), np.concatenate([da_r, da_z, dah_n])
            dWx += dax @ x_t.T
            dWh += dah @ h.T
            dbx += dax.sum(axis=1)
            dbh += dah.sum(axis=1)
            dx[t] = Wx.T @ dax
            dh_next = Wh.T @ dah + dh_direct
        return dx, (dh_next,), {"Wx": dWx, "bx": dbx, "Wh": dWh, "bh": dbh}

    return np.array(hs), (h,), backward


def rnn(x: Array, h: Array, Wx: Array, Wh: Array, b: Array) -> tuple[Array, State, Backward]:
    """Run a tanh RNN layer; return as `gru`."""
    steps, hs = [], []
    for x_t in x:
        # 1. the hidden state
        h_next = np.tanh(Wx @ x_t + Wh @ h + b[:, None])
        steps.append((x_t, h, h_next))
        h = h_next
        hs.append(h)

    def backward(dh: Array, dh_last: Array) -> tuple[Array, State, Mapping[str, Array]]:
        dWx, dWh, db, dx = np.zeros_like(Wx), np.zeros_like(Wh), np.zeros_like(b), np.empty_like(x)
        dh_next = dh_last
        for t in reversed(range(len(x))):
            x_t, h, h_next = steps[t]
            # 1. the hidden state
            da = (dh[t] + dh_next) * (1 - h_next**2)
            dWx += da @ x_t.T
            dWh += da @ h.T
            db += da.sum(axis=1)
            dx[t] = Wx.T @ da
            dh_next = Wh.T @ da
        return dx, (dh_next,), {"Wx": dWx, "Wh": dWh, "b": db}

    return np.array(hs), (h,), backward


CELLS: Mapping[str, Callable[..., tuple[Array, State, Backward]]] = {
    "lstm": lstm,
    "gru": gru,
    "rnn": rnn,
}
