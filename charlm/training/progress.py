"""A training on a tqdm bar: loss, validation loss, speed and time left.

tqdm draws it, on a terminal or in a notebook.
"""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import Any

from charlm.training.events import Done, Event, RolledBack, Updated, Validated

BAR_FORMAT = "{percentage:3.0f}% |{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}{postfix}]"
_SMOOTHING = 0.05


def shows_bars() -> bool:
    """Return whether stderr is a terminal, or this is a notebook."""
    terminal = sys.stderr is not None and sys.stderr.isatty()
    return terminal or "ipykernel" in sys.modules


def tqdm_bar(step: int, steps: int) -> Any:
    """Return tqdm's own bar, the one of a notebook where this is one."""
    from tqdm.auto import tqdm

    return tqdm(total=steps, initial=step, unit="step", bar_format=BAR_FORMAT)


def shown(events: Iterable[Event], bar: Any) -> Iterator[Event]:
    """Yield the events of a training, each after it was shown on a tqdm bar."""
    loss, validation, speed, characters, began = 0.0, "", 0.0, 0, time.monotonic()
    with bar:
        for event in events:
            match event:
                case Updated():
                    loss = event.loss if not loss else loss + _SMOOTHING * (event.loss - loss)
                    characters += event.characters
                    # A coarse clock may not have moved.
                    speed = characters / max(time.monotonic() - began, 1e-3)
                    bar.update()
                case Validated():
                    validation = f", validation {event.loss:.3f}"
                    characters, began = 0, time.monotonic()
                case RolledBack():
                    bar.n, loss = event.to, 0.0
                    bar.refresh()
                case Done():
                    bar.close()
                case _:
                    pass
            line = f"loss {loss:.3f}{validation}, {speed:,.0f} chars/s"
            bar.set_postfix_str(line if speed else "", refresh=False)
            yield event
