"""The judge: the same cells one gate at a time, with loops, and gradients by the chain rule.

Nothing here is fast, shared with charlm, or clever. Weights come as charlm names them.
"""

import numpy as np


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def split(q, count):
    return np.split(q, count, axis=0)


def lstm(x, h, c, Wx, Wh, b):
    """Return all h, the last c, and a function from (dh, dc_last) to the gradients."""
    (Wxi, Wxf, Wxo, Wxg), (Whi, Whf, Who, Whg) = split(Wx, 4), split(Wh, 4)
    bi, bf, bo, bg = split(b[:, None], 4)
    steps, hs = [], []
    for x_t in x:
        i = sigmoid(Wxi @ x_t + Whi @ h + bi)
        f = sigmoid(Wxf @ x_t + Whf @ h + bf)
        o = sigmoid(Wxo @ x_t + Who @ h + bo)
        g = np.tanh(Wxg @ x_t + Whg @ h + bg)
        c_next = f * c + i * g
        steps.append((x_t, h, c, i, f, o, g, c_next))
        h, c = o * np.tanh(c_next), c_next
        hs.append(h)

    def backward(dh_all, dh_last, dc_last):
        dWx, dWh, db = np.zeros_like(Wx), np.zeros_like(Wh), np.zeros_like(b)
        dx_all, dh_next, dc = [], dh_last, dc_last
        for (x_t, h, c, i, f, o, g, c_next), dh_above in zip(
            reversed(steps), dh_all[::-1], strict=True
        ):
            dh = dh_above + dh_next
            tanh_c = np.tanh(c_next)
            dc = dc + dh * o * (1 - tanh_c**2)
            da = np.concatenate(
                [
                    dc * g * i * (1 - i),
                    dc * c * f * (1 - f),
                    dh * tanh_c * o * (1 - o),
                    dc * i * (1 - g**2),
                ]
            )
            dWx += da @ x_t.T
            dWh += da @ h.T
            db += da.sum(axis=1)
            dx_all.insert(0, Wx.T @ da)
            dh_next, dc = Wh.T @ da, dc * f
        return np.array(dx_all), (dh_next, dc), {"Wx": dWx, "Wh": dWh, "b": db}

    return np.array(hs), (h, c), backward


def gru(x, h, Wx, bx, Wh, bh):
    (Wxr, Wxz, Wxn), (Whr, Whz, Whn) = split(Wx, 3), split(Wh, 3)
    (bxr, bxz, bxn), (bhr, bhz, bhn) = split(bx[:, None], 3), split(bh[:, None], 3)
    steps, hs = [], []
    for x_t in x:
        r = sigmoid(Wxr @ x_t + bxr + Whr @ h + bhr)
        z = sigmoid(Wxz @ x_t + bxz + Whz @ h + bhz)
        n = np.tanh(Wxn @ x_t + bxn + r * (Whn @ h + bhn))
        steps.append((x_t, h, r, z, n))
        h = (1 - z) * n + z * h
        hs.append(h)

    def backward(dh_all, dh_last):
        dWx, dWh = np.zeros_like(Wx), np.zeros_like(Wh)
        dbx, dbh = np.zeros_like(bx), np.zeros_like(bh)
        dx_all, dh_next = [], dh_last
        for (x_t, h, r, z, n), dh_above in zip(reversed(steps), dh_all[::-1], strict=True):
            dh = dh_above + dh_next
            da_n = dh * (1 - z) * (1 - n**2)
            da_r = da_n * (Whn @ h + bhn) * r * (1 - r)
            da_z = dh * (h - n) * z * (1 - z)
            dax, dah = np.concatenate([da_r, da_z, da_n]), np.concatenate([da_r, da_z, da_n * r])
            dWx += dax @ x_t.T
            dWh += dah @ h.T
            dbx += dax.sum(axis=1)
            dbh += dah.sum(axis=1)
            dx_all.insert(0, Wx.T @ dax)
            dh_next = Wh.T @ dah + dh * z
        return np.array(dx_all), (dh_next,), {"Wx": dWx, "bx": dbx, "Wh": dWh, "bh": dbh}

    return np.array(hs), (h,), backward


def rnn(x, h, Wx, Wh, b):
    steps, hs = [], []
    for x_t in x:
        h_next = np.tanh(Wx @ x_t + Wh @ h + b[:, None])
        steps.append((x_t, h, h_next))
        h = h_next
        hs.append(h)

    def backward(dh_all, dh_last):
        dWx, dWh, db = np.zeros_like(Wx), np.zeros_like(Wh), np.zeros_like(b)
        dx_all, dh_next = [], dh_last
        for (x_t, h, h_next), dh_above in zip(reversed(steps), dh_all[::-1], strict=True):
            da = (dh_above + dh_next) * (1 - h_next**2)
            dWx += da @ x_t.T
            dWh += da @ h.T
            db += da.sum(axis=1)
            dx_all.insert(0, Wx.T @ da)
            dh_next = Wh.T @ da
        return np.array(dx_all), (dh_next,), {"Wx": dWx, "Wh": dWh, "b": db}

    return np.array(hs), (h,), backward


CELLS = {"lstm": lstm, "gru": gru, "rnn": rnn}
