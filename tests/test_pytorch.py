"""The same numbers as PyTorch, in float64: outputs, gradients, and ten steps."""

import numpy as np
import pytest
from checks import LAYERS, relative_error

from charlm.nn.model import Model
from charlm.optim.clipping import clip, global_norm
from charlm.optim.optimizers import SGD, Adagrad, Adam, RMSprop
from charlm.optim.schedules import Plateau, learning_rate
from charlm.settings.schema import ModelConfig, TrainConfig

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch==2.13.0")

CLOSE = 1e-9
V, B, T, H, L = 11, 3, 6, 5, 2
MODULES = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU, "rnn": torch.nn.RNN}
# charlm's LSTM gates are i, f, o, g; PyTorch's are i, f, g, o.
ORDER = {"lstm": [0, 1, 3, 2], "gru": [0, 1, 2], "rnn": [0]}


class Peer(torch.nn.Module):
    """An embedding, a recurrent stack and a linear layer, filled with charlm's weights."""

    def __init__(self, cell, model):
        super().__init__()
        self.cell = cell
        self.embedding = torch.nn.Embedding(V, 4, dtype=torch.float64)
        self.recurrent = MODULES[cell](4, H, L, dtype=torch.float64)
        self.output = torch.nn.Linear(H, V, dtype=torch.float64)
        with torch.no_grad():
            for name, ours in self.pairs(model.parameters):
                self.get_parameter(name).copy_(torch.from_numpy(ours))
            if cell != "gru":  # charlm has one bias; the second is frozen at zero
                for k in range(L):
                    second = self.get_parameter(f"recurrent.bias_hh_l{k}")
                    second.zero_()
                    second.requires_grad_(False)

    def pairs(self, parameters):
        """Yield PyTorch's name and charlm's array in PyTorch's layout."""
        views = parameters.views
        yield "embedding.weight", views["embedding.W"].T.copy()
        biases = {"bx": "bias_ih", "bh": "bias_hh"} if self.cell == "gru" else {"b": "bias_ih"}
        for k in range(L):
            for part, theirs in {"Wx": "weight_ih", "Wh": "weight_hh", **biases}.items():
                view = views[f"{self.cell}.{k}.{part}"]
                gates = view.reshape(-1, H, *view.shape[1:])[ORDER[self.cell]]
                yield f"recurrent.{theirs}_l{k}", gates.reshape(view.shape).copy()
        yield "output.weight", views["output.W"].copy()
        yield "output.bias", views["output.b"].copy()

    def forward(self, ids, state):
        y, state = self.recurrent(self.embedding(ids), state)
        return self.output(y), state


def make(cell, seed=0):
    rng = np.random.default_rng(seed)
    model = Model(ModelConfig(cell=cell, layers=L, hidden=H, embedding=4), V, np.float64)
    model.initialize(seed)
    model.parameters.flat[:] += rng.normal(0, 0.1, model.parameters.flat.size)
    model.refresh()
    return model, Peer(cell, model), rng


def torch_state(state):
    """Stack charlm's (H, B) states a layer into PyTorch's (L, B, H)."""
    parts = zip(*state, strict=True)
    stacked = [torch.from_numpy(np.stack([layer.T for layer in part])) for part in parts]
    return tuple(stacked) if len(stacked) == 2 else stacked[0]


@pytest.mark.parametrize("cell", list(LAYERS))
def test_outputs_and_gradients(cell):
    model, peer, rng = make(cell)
    ids, targets = rng.integers(0, V, (2, T, B))
    state = [tuple(rng.normal(0, 0.5, (H, B)) for _ in layer) for layer in model.zero_state(B)]
    logits, leaving = peer(torch.from_numpy(ids), torch_state(state))
    loss = torch.nn.functional.cross_entropy(
        logits.reshape(-1, V), torch.from_numpy(targets).reshape(-1)
    )
    loss.backward()

    cache = model.cache(T, B)
    ours = model.forward(ids, state, cache)
    for t in range(T):
        z = model.output.forward(cache.output, t)
        assert relative_error(z, logits[t].detach().numpy().T) < CLOSE
    for mine, theirs in zip(torch_state(ours), leaving, strict=True):
        assert relative_error(mine.numpy(), theirs.detach().numpy()) < CLOSE
    our_loss, _ = model.loss_and_gradient(ids, targets, state, cache)
    assert abs(our_loss - loss.item()) < CLOSE
    for name, gradient in peer.pairs(model.gradient):
        assert relative_error(gradient, peer.get_parameter(name).grad.numpy()) < CLOSE, name


OPTIMIZERS = {
    "sgd": (SGD, {"momentum": 0}, torch.optim.SGD, {}),
    "momentum": (
        SGD, {"weight_decay": 0.01}, torch.optim.SGD, {"momentum": 0.9, "weight_decay": 0.01},
    ),
    "nesterov": (SGD, {"nesterov": True}, torch.optim.SGD, {"momentum": 0.9, "nesterov": True}),
    "adagrad": (
        Adagrad, {"weight_decay": 0.01}, torch.optim.Adagrad, {"weight_decay": 0.01, "eps": 1e-8},
    ),
    "rmsprop": (
        RMSprop, {"beta2": 0.95, "weight_decay": 0.01},
        torch.optim.RMSprop, {"alpha": 0.95, "weight_decay": 0.01},
    ),
    "adam": (Adam, {}, torch.optim.Adam, {"betas": (0.6, 0.99)}),
    "adamw": (
        Adam, {"beta1": 0.9, "weight_decay": 0.1},
        torch.optim.AdamW, {"betas": (0.9, 0.99), "weight_decay": 0.1},
    ),
}  # fmt: skip


@pytest.mark.parametrize("optimizer", list(OPTIMIZERS))
@pytest.mark.parametrize("cell", list(LAYERS))
def test_ten_steps_with_clipping(cell, optimizer):
    model, peer, rng = make(cell)
    ours, constants, theirs, options = OPTIMIZERS[optimizer]
    train = TrainConfig(**{"weight_decay": 0} | constants)
    mine = ours(model.parameters, model.gradient, train)
    trainable = [weights for weights in peer.parameters() if weights.requires_grad]
    other = theirs(trainable, lr=0.1, **options)
    cache, state, peer_state = model.cache(T, B), model.zero_state(B), None
    clipped = 0
    for _ in range(10):
        ids, targets = rng.integers(0, V, (2, T, B))
        _, state = model.loss_and_gradient(ids, targets, state, cache)
        norm = global_norm(model.gradient.flat)
        clipped += norm > 0.1
        clip(model.gradient.flat, norm, 0.1)
        mine.step(0.1)
        model.refresh()

        logits, peer_state = peer(torch.from_numpy(ids), peer_state)
        carried = peer_state if isinstance(peer_state, tuple) else (peer_state,)
        detached = tuple(part.detach() for part in carried)
        peer_state = detached if len(detached) == 2 else detached[0]
        other.zero_grad()
        torch.nn.functional.cross_entropy(
            logits.reshape(-1, V), torch.from_numpy(targets).reshape(-1)
        ).backward()
        # PyTorch divides by norm + 1e-6, so its own clipping would differ by that much.
        length = torch.sqrt(sum((weights.grad**2).sum() for weights in trainable)).item()
        for weights in trainable:
            weights.grad *= min(1.0, 0.1 / length)
        other.step()
    assert clipped > 0
    for name, weights in peer.pairs(model.parameters):
        assert relative_error(weights, peer.get_parameter(name).detach().numpy()) < CLOSE, name


SCHEDULES = torch.optim.lr_scheduler
PEERS = {
    "constant": lambda o, n: SCHEDULES.ConstantLR(o, factor=1.0),
    "cosine": lambda o, n: SCHEDULES.CosineAnnealingLR(o, T_max=n - 1, eta_min=0.1 * 0.02),
    "linear": lambda o, n: SCHEDULES.LinearLR(o, 1.0, 0.02, total_iters=n - 1),
    "step": lambda o, n: SCHEDULES.StepLR(o, step_size=7, gamma=0.5),
    "plateau": lambda o, n: SCHEDULES.ReduceLROnPlateau(o, factor=0.5, patience=1, threshold=0.0),
}


@pytest.mark.parametrize("schedule", list(PEERS))
def test_schedules(schedule):
    steps = 40
    train = TrainConfig(
        steps=steps,
        warmup=0,
        learning_rate=0.1,
        schedule=schedule,
        final_rate=0.02,
        decay=0.5,
        decay_every=7,
    )
    losses = np.round(np.random.default_rng(0).normal(2 - np.arange(steps) / 40, 0.2), 1)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    peer, plateau, ours, theirs = PEERS[schedule](optimizer, steps), Plateau(), [], []
    for n in range(steps):
        ours.append(learning_rate(n, train, plateau.decays))
        theirs.append(optimizer.param_groups[0]["lr"])
        plateau.update(losses[n] < min(losses[:n], default=np.inf), train)
        optimizer.step()
        peer.step(*([losses[n]] if schedule == "plateau" else []))
    assert ours == pytest.approx(theirs, rel=1e-9)
    assert len(set(theirs)) > 3 or schedule == "constant"
