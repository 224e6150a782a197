"""What PyTorch does with the same networks, measured inside its own process; see turns.py."""

import torch
from turns import kept, serve

MODULES = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU, "rnn": torch.nn.RNN}


class Peer(torch.nn.Module):
    """A learned embedding as wide as the layers, or one-hot input; layers; a linear output."""

    def __init__(self, cell: str, L: int, H: int, V: int, form: str) -> None:
        super().__init__()
        self.V = V
        self.embedding = torch.nn.Embedding(V, H) if form == "embedding" else None
        self.recurrent = MODULES[cell](H if form == "embedding" else V, H, L)
        self.output = torch.nn.Linear(H, V)

    def forward(self, ids, state=None):
        if self.embedding is None:
            x = torch.nn.functional.one_hot(ids, self.V).to(torch.float32)
        else:
            x = self.embedding(ids)
        y, state = self.recurrent(x, state)
        return self.output(y), state


def update(cell: str, L: int, H: int, B: int, T: int, V: int, form: str):
    """Forward, backward, clipping, Adam."""
    peer = Peer(cell, L, H, V, form)
    parameters = list(peer.parameters())
    optimizer = torch.optim.Adam(parameters, 1e-3)
    ids = torch.randint(0, V, (T + 1, B))
    state = [None]

    def work() -> None:
        logits, left = peer(ids[:-1], state[0])
        state[0] = (
            tuple(part.detach() for part in left) if isinstance(left, tuple) else left.detach()
        )
        loss = torch.nn.functional.cross_entropy(logits.reshape(-1, V), ids[1:].reshape(-1))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        loss.item()

    return work


def samples(cell: str, L: int, H: int, V: int, streams: int, count: int, form: str):
    """Symbols drawn one after the other at temperature 0.8, in inference mode."""
    peer = Peer(cell, L, H, V, form).eval()
    last = [torch.zeros(1, streams, dtype=torch.long), None]

    def work() -> None:
        with torch.inference_mode():
            for _ in range(count):
                logits, last[1] = peer(*last)
                p = torch.softmax(logits[0] / 0.8, dim=-1)
                drawn = torch.multinomial(p, 1)
                drawn.tolist()
                last[0] = drawn.T

    return work


serve({"update": kept(update), "samples": kept(samples)})
