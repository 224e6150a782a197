"""The least that sampling with PyTorch takes: load a state dict, draw a character, print it."""

import sys

import torch

V, H, L = 65, 256, 2
network = torch.nn.ModuleDict(
    {
        "embedding": torch.nn.Embedding(V, H),
        "lstm": torch.nn.LSTM(H, H, L),
        "output": torch.nn.Linear(H, V),
    }
)
if sys.argv[1] == "save":
    torch.save(network.state_dict(), sys.argv[2])
else:
    torch.set_num_threads(1)
    network.load_state_dict(torch.load(sys.argv[2], weights_only=True))
    with torch.inference_mode():
        h, _ = network["lstm"](network["embedding"](torch.zeros(1, 1, dtype=torch.long)))
        p = torch.softmax(network["output"](h[0]) / 0.8, dim=-1)
        print(chr(32 + int(torch.multinomial(p, 1))), flush=True)
