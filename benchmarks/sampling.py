"""Sampling at temperature 0.8: one stream, and 64 side by side, against PyTorch's."""

from comparison import compare

ONE = [(2, 128), (2, 256), (2, 512)]
V, COUNT = 65, 500


def run(rounds: int, streams: int = 1) -> dict:
    """Compare size by size."""
    rows = []
    for L, H in ONE if streams == 1 else [(2, 256)]:
        sizes = {"cell": "lstm", "L": L, "H": H, "V": V, "streams": streams, "count": COUNT}
        # One stream's products are too small to be worth a second thread's waking up.
        threads = 1 if streams == 1 else None
        rows.append(compare("samples", "vectors", sizes, COUNT * streams, rounds, threads))
    return {"rows": rows}
