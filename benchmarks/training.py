"""Training: a full update against PyTorch's, and the share of it that its products alone take."""

import statistics
from contextlib import ExitStack

from turns import Worker, in_turns, pytorch_is_here, spread

SIZES = [(2, 128, 50, 50), (2, 256, 64, 64), (2, 512, 64, 128), (3, 512, 100, 100)]
CELLS_SIZE = (2, 256, 64, 64)
V = 65


def run(rounds: int, cells: bool = False) -> dict:
    """Compare size by size; with `cells`, GRU and tanh RNN at one size."""
    cases = [("lstm", size) for size in SIZES]
    if cells:
        cases = [(cell, CELLS_SIZE) for cell in ("gru", "rnn")]
    rows, ratios = [], []
    for cell, (L, H, B, T) in cases:
        sizes = {"cell": cell, "L": L, "H": H, "B": B, "T": T, "V": V}
        with ExitStack() as stack:
            ours = stack.enter_context(Worker("charlm_worker.py"))
            row: dict = {**sizes}
            if pytorch_is_here():
                peer, threads, form = fastest_peer(stack, "update", sizes)
                mine, theirs = in_turns(
                    lambda ours=ours, sizes=sizes: ours.ask("update", **sizes)["seconds"],
                    lambda peer=peer, form=form, sizes=sizes: peer.ask(
                        "update", form=form, **sizes
                    )["seconds"],
                    rounds,
                )
                turns = [b / a for a, b in zip(mine, theirs, strict=True)]
                row |= {"ratios": turns, "pytorch_s": theirs, "form": form, "threads": threads}
                ratios.append(statistics.median(turns))
            else:
                mine = [ours.ask("update", **sizes)["seconds"] for _ in range(rounds)]
            alone = ours.ask("products", **sizes)["seconds"]
            share = alone / ours.ask("update", **sizes)["seconds"]
        row |= {"charlm_s": mine, "products_share": share}
        rows.append(row)
        text = (
            f"{cell} {L} x {H}, B {B}, T {T}: {B * T / statistics.median(mine):,.0f} chars/s, "
            f"products alone {share:.0%}"
        )
        if "ratios" in row:
            text += (
                f"; PyTorch ({row['form']}, {row['threads']} threads) "
                f"{B * T / statistics.median(row['pytorch_s']):,.0f}: {spread(row['ratios'])} x"
            )
        print(text, flush=True)
    if ratios:
        print(f"geometric mean: {statistics.geometric_mean(ratios):.2f} x PyTorch")
    return {"rows": rows, "geometric_mean": statistics.geometric_mean(ratios) if ratios else None}


def fastest_peer(stack: ExitStack, job: str, sizes: dict) -> tuple[Worker, int, str]:
    """Start PyTorch with each thread count in both forms, and keep the fastest."""
    import os

    found = []
    for threads in sorted({1, os.cpu_count() or 1}):
        worker = Worker("pytorch_worker.py", threads)
        for form in ("embedding", "one-hot"):
            seconds = min(worker.ask(job, form=form, **sizes)["seconds"] for _ in range(2))
            found.append((seconds, threads, form))
        worker.close()
    _, threads, form = min(found)
    return stack.enter_context(Worker("pytorch_worker.py", threads)), threads, form
