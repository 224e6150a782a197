"""Training: a full update against PyTorch's, and the share of it that its products alone take."""

import statistics

from comparison import compare

SIZES = [(2, 128, 50, 50), (2, 256, 64, 64), (2, 512, 64, 128), (3, 512, 100, 100)]
FEW_STREAMS = [(2, 256, 8, 64), (2, 256, 16, 64), (2, 256, 32, 64), (2, 512, 16, 64)]
CELLS_SIZE = (2, 256, 64, 64)
V = 65


def run(rounds: int, cells: bool = False) -> dict:
    """Compare size by size; with `cells`, GRU and tanh RNN at one size."""
    cases = [("lstm", size) for size in SIZES + FEW_STREAMS]
    if cells:
        cases = [(cell, CELLS_SIZE) for cell in ("gru", "rnn")]
    rows = []
    for cell, (L, H, B, T) in cases:
        sizes = {"cell": cell, "L": L, "H": H, "B": B, "T": T, "V": V}
        rows.append(compare("update", "products", sizes, B * T, rounds))
    ratios = [statistics.median(row["ratios"]) for row in rows[: len(SIZES)] if "ratios" in row]
    if not ratios:
        return {"rows": rows}
    mean = statistics.geometric_mean(ratios)
    print(f"geometric mean of the first {len(ratios)}: {mean:.2f} x PyTorch")
    return {"rows": rows, "geometric_mean": mean}
