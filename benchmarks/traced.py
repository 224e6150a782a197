"""What a trainer's arrays take, beside the formula; a process of its own, see memory.py."""

import json
import sys
import tracemalloc
from pathlib import Path

from charlm.settings.schema import Config
from charlm.text.corpus import TextInfo, open_ids
from charlm.text.vocabulary import Vocabulary
from charlm.training.prepare import training_memory
from charlm.training.trainer import Trainer

sizes = json.loads(sys.argv[1])
config = Config().replace(
    model__cell=sizes["cell"], model__layers=sizes["L"], model__hidden=sizes["H"],
    train__batch_size=sizes["B"], train__seq_len=sizes["T"],
)  # fmt: skip
vocabulary = Vocabulary("".join(map(chr, range(32, 32 + sizes["V"]))), " ")
path = Path(sys.argv[2]) / "ids.bin"
path.write_bytes(bytes(200_000))
ids = open_ids(path, vocabulary.dtype)
tracemalloc.start()
trainer = Trainer(config, vocabulary, TextInfo("", ids.size, "", ""), ids, None)
trainer.update()
allocated = tracemalloc.get_traced_memory()[0]
needed = training_memory(config, vocabulary.size)
print(json.dumps({"formula": needed.total, "allocated": allocated}))
