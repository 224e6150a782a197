"""Begin a training on a large text, make some updates, read every chunk of an epoch; see large.py.

All chunks are read as the trainer reads them; the network runs over the first of them only.
"""

import json
import sys
import time
from pathlib import Path

from charlm.settings.schema import Overrides
from charlm.training.prepare import start_run

text, folder, updates = sys.argv[1:]
given = [Overrides("walk", {"preset": "small", "data.path": text, "train.steps": 45})]
told = []
began, began_cpu = time.perf_counter(), time.process_time()


def reading(done: int, total: int) -> None:
    if done == total:
        told.extend((time.perf_counter() - began, time.process_time() - began_cpu))


trainer = start_run(given, Path(folder) / "runs", reading=reading).trainer
for _ in range(int(updates)):
    trainer.update()
began = time.perf_counter()
for n in range(trainer.streams.chunks):
    trainer.streams.chunk(n)
status = Path("/proc/self/status").read_text().split()
result = {
    # The pages of the memory-mapped ids are the system's cache, and counted apart.
    "own_memory": 1024 * int(status[status.index("RssAnon:") + 1]),
    "reading_s": told[0],
    "reading_cpu_s": told[1],
    "chunks": trainer.streams.chunks,
    "streams": trainer.streams.B,
}
print(json.dumps({**result, "walk_s": time.perf_counter() - began}))
