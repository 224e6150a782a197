"""charlm sample: stream text from a trained model to stdout."""

from pathlib import Path
from typing import Annotated

import typer

from charlm.commands.console import say


def sample(
    checkpoint: Annotated[
        str | None,
        typer.Argument(help="An .npz file, a run's folder or name.  [default: the newest run]"),
    ] = None,
    temp: Annotated[
        float, typer.Option("--temp", "-t", help="0 is greedy, 1 the model's own, above is wilder.")
    ] = 0.8,
    top_k: Annotated[int | None, typer.Option(help="Draw from the k likeliest only.")] = None,
    top_p: Annotated[
        float | None, typer.Option(help="Draw from the likeliest that make up this share.")
    ] = None,
    min_p: Annotated[
        float | None, typer.Option(help="Leave out what is less likely than this share of the top.")
    ] = None,
    length: Annotated[
        int, typer.Option("--length", "-n", min=0, help="Characters to write.")
    ] = 500,
    start: Annotated[
        str | None, typer.Option(help="What the text begins with; - reads it from stdin.")
    ] = None,
    stop: Annotated[str | None, typer.Option(help="End after this was written.")] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="The same seed gives the same text.")
    ] = None,
    checkpoints: Annotated[Path, typer.Option(help="Folder of all runs.")] = Path("checkpoints"),
) -> None:
    """Write text, each character as it is drawn.

    Example: charlm sample --temp 0.8 --start "KING "
    """
    import io
    import secrets
    import sys

    from charlm.storage.runs import weights

    path = weights(checkpoint, checkpoints)
    if start == "-":
        stdin = io.TextIOWrapper(sys.stdin.buffer, encoding="utf-8", errors="surrogateescape")
        start = stdin.read().replace("\r\n", "\n")

    from charlm.generation.filters import Filters
    from charlm.generation.sampler import sample as draw
    from charlm.storage.weights import load_model

    filters = Filters(temp, top_k, top_p, min_p)
    trained = load_model(path)
    seed = secrets.randbelow(2**32) if seed is None else seed
    say(f"{path}, seed {seed}")
    characters = draw(
        trained.model,
        trained.vocabulary,
        filters,
        start=start or "",
        where="--start",
        length=length,
        stop=stop or (),
        seed=seed,
    )
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace", newline="\n")
    try:
        sys.stdout.write(start or "")
        for character in characters:
            sys.stdout.write(character)
            sys.stdout.flush()
        if sys.stdout.isatty():
            sys.stdout.write("\n")
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader, such as head, has had enough. What Python would flush at its end goes nowhere.
        import os

        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
