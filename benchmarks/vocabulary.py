"""Many characters: what 3,000 cost beyond 65, beside the three products of the output layer."""

import statistics
from contextlib import ExitStack

from turns import Worker, spread

FEW, MANY = 65, 3000
SIZES = {"cell": "lstm", "L": 2, "H": 256, "B": 64, "T": 64}


def run(rounds: int) -> dict:
    """Measure an update with each vocabulary and the products alone, in turns."""
    times: dict[str, list[float]] = {"few_s": [], "many_s": [], "products_s": []}
    with ExitStack() as stack:
        few, many, products = (stack.enter_context(Worker("charlm_worker.py")) for _ in range(3))
        for _ in range(rounds):
            times["few_s"].append(few.ask("update", **SIZES, V=FEW)["seconds"])
            times["many_s"].append(many.ask("update", **SIZES, V=MANY)["seconds"])
            times["products_s"].append(products.ask("output", **SIZES, V=MANY)["seconds"])
    ratios = [
        (b - a) / c
        for a, b, c in zip(times["few_s"], times["many_s"], times["products_s"], strict=True)
    ]
    a, b, c = (1000 * statistics.median(seconds) for seconds in times.values())
    print(
        f"an update with {FEW} characters {a:.0f} ms, with {MANY:,} {b:.0f} ms; the output layer's "
        f"products alone {c:.0f} ms: {spread(ratios)} x those more"
    )
    return {**SIZES, **times, "ratios": ratios}
