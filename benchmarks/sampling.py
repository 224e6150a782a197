"""Sampling at temperature 0.8: one stream, and 64 side by side, against PyTorch's."""

import statistics
from contextlib import ExitStack

from training import fastest_peer
from turns import Worker, in_turns, pytorch_is_here, spread

ONE = [(2, 128), (2, 256), (2, 512)]
V = 65


def run(rounds: int, streams: int = 1) -> dict:
    """Compare size by size."""
    rows = []
    for L, H in ONE if streams == 1 else [(2, 256)]:
        sizes = {"cell": "lstm", "L": L, "H": H, "V": V, "streams": streams, "count": 500}
        with ExitStack() as stack:
            # One stream's products are too small to be worth a second thread's waking up.
            ours = stack.enter_context(Worker("charlm_worker.py", 1 if streams == 1 else None))
            row: dict = {**sizes}
            if pytorch_is_here():
                peer, threads, form = fastest_peer(stack, "samples", sizes)
                mine, theirs = in_turns(
                    lambda ours=ours, sizes=sizes: ours.ask("samples", **sizes)["seconds"],
                    lambda peer=peer, form=form, sizes=sizes: peer.ask(
                        "samples", form=form, **sizes
                    )["seconds"],
                    rounds,
                )
                turns = [b / a for a, b in zip(mine, theirs, strict=True)]
                row |= {"ratios": turns, "pytorch_s": theirs, "form": form, "threads": threads}
            else:
                mine = [ours.ask("samples", **sizes)["seconds"] for _ in range(rounds)]
            alone = ours.ask("vectors", **sizes)["seconds"]
            share = alone / ours.ask("samples", **sizes)["seconds"]
        row |= {"charlm_s": mine, "products_share": share}
        rows.append(row)
        each = 500 * streams
        text = (
            f"{L} x {H}, {streams} streams: {each / statistics.median(mine):,.0f} chars/s, "
            f"{share:.0%} of the rate of the products alone"
        )
        if "ratios" in row:
            text += (
                f"; PyTorch ({row['form']}, {row['threads']} threads) "
                f"{each / statistics.median(row['pytorch_s']):,.0f}: {spread(row['ratios'])} x"
            )
        print(text, flush=True)
    return {"rows": rows}
