"""Compare a job of charlm's with PyTorch's, turn by turn, where PyTorch is installed."""

import os
import statistics
from contextlib import ExitStack

from turns import Worker, in_turns, named, pytorch_is_here, spread


def compare(
    job: str, alone: str, sizes: dict, symbols: int, rounds: int, threads: int | None = None
) -> dict:
    """Measure one case, and print a line of it.

    Args:
        job: what both workers do.
        alone: charlm's job of the same products without anything else.
        sizes: of the network and the work.
        symbols: how many the job reads or draws.
        rounds: turns of each side.
        threads: charlm's; its own choice where None.
    """
    row: dict = {**sizes}
    with ExitStack() as stack:
        ours = stack.enter_context(Worker("charlm_worker.py", threads))

        def mine() -> float:
            return ours.ask(job, **sizes)["seconds"]

        if pytorch_is_here():
            peer, row["pytorch_threads"], row["form"] = fastest_peer(stack, job, sizes)
            row["charlm_s"], row["pytorch_s"] = in_turns(
                mine, lambda: peer.ask(job, form=row["form"], **sizes)["seconds"], rounds
            )
            row["ratios"] = [b / a for a, b in zip(row["charlm_s"], row["pytorch_s"], strict=True)]
        else:
            row["charlm_s"] = [mine() for _ in range(rounds)]
        pairs = in_turns(lambda: ours.ask(alone, **sizes)["seconds"], mine, rounds)
        row["products_shares"] = [a / b for a, b in zip(*pairs, strict=True)]
    print(_line(row, sizes, symbols), flush=True)
    return row


def _line(row: dict, sizes: dict, symbols: int) -> str:
    line = (
        f"{named(sizes)}: {symbols / statistics.median(row['charlm_s']):,.0f} chars/s, "
        f"products alone {statistics.median(row['products_shares']):.0%} of the time"
    )
    if "ratios" in row:
        theirs = symbols / statistics.median(row["pytorch_s"])
        threads = row["pytorch_threads"]
        line += (
            f"; PyTorch ({row['form']}, {threads} thread{'s' * (threads > 1)}) {theirs:,.0f}: "
            f"{spread(row['ratios'])} x"
        )
    return line


def fastest_peer(stack: ExitStack, job: str, sizes: dict) -> tuple[Worker, int, str]:
    """Start PyTorch with each thread count in both forms, and keep the fastest."""
    found = []
    for threads in sorted({1, os.cpu_count() or 1}):
        worker = Worker("pytorch_worker.py", threads)
        for form in ("embedding", "one-hot"):
            seconds = min(worker.ask(job, form=form, **sizes)["seconds"] for _ in range(2))
            found.append((seconds, threads, form))
        worker.close()
    _, threads, form = min(found)
    peer = stack.enter_context(Worker("pytorch_worker.py", threads))
    # Its imports are over when it answers; ours may time its threads then.
    peer.ask("peak")
    return peer, threads, form
