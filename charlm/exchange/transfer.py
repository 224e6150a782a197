"""Export a trained model to a file; import such a file as a run.

checkpoint -> state dict -> .pt, .safetensors or .onnx
checkpoint -> a page, .html
.pt or .safetensors -> state dict, checked -> checkpoints/<name>/best.npz
"""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np

from charlm import environment
from charlm.errors import ExchangeError, RunError
from charlm.exchange import onnx_file, pytorch_file, safetensors_file
from charlm.exchange.description import from_text, to_text
from charlm.exchange.formats import Format, format_of
from charlm.exchange.layout import from_state_dict, shapes, to_state_dict
from charlm.exchange.tensors import checked
from charlm.pages.live import live_page
from charlm.runs.folder import Run, create
from charlm.runs.loading import Trained, usable
from charlm.storage.atomic import replacing
from charlm.storage.checkpoint import save
from charlm.storage.files import followed
from charlm.types import Ids


def export_model(
    trained: Trained,
    to: Format,
    out: Path,
    *,
    force: bool = False,
    name: str = "",
    text: Ids | None = None,
    float32: bool = False,
) -> None:
    """Write a model to a file; `force` replaces one that is there.

    `name`, `text` and `float32` are a page's, as for `live_page`.

    Raises:
        ExchangeError: the file is there, or cannot be written; or the format's library is missing,
            or the model is too large for the format.
    """
    if os.path.isdir(out):
        raise ExchangeError(out, "is a folder", "name a file in it")
    if os.path.lexists(out) and not force:
        raise ExchangeError(out, "exists", "replace it with --force, or name another with --out")
    model = trained.config.model
    tensors = to_state_dict(model, trained.model.parameters.copies())
    about = to_text(trained.config, trained.vocabulary)
    match to:
        case Format.PYTORCH:
            content = pytorch_file.encode(tensors, about)
        case Format.SAFETENSORS:
            content = safetensors_file.encode(tensors, about)
        case Format.ONNX:
            content = onnx_file.encode(model, tensors, about)
        case Format.HTML:
            content = live_page(name, trained, text, float32=float32).encode()
    try:
        with replacing(out) as file:
            file.write(content)
    except OSError as error:
        problem = f"cannot be written ({error.strerror or error})"
        raise ExchangeError(out, problem, "name another with --out") from None


def import_run(path: Path, checkpoints: Path, name: str | None = None) -> Run:
    """Make a run of an exported file; its name is the file's stem where None.

    Its `best.npz` holds the weights; there is nothing to resume.

    Raises:
        ExchangeError: it is not such a file, or its tensors do not fit its description.
        CheckpointError: it is damaged.
        ConfigError: it has a setting that this version does not know.
        RunError: the run cannot be made.
    """
    where = str(path)
    match format_of(path):
        case Format.PYTORCH:
            read = pytorch_file.read
        case Format.SAFETENSORS:
            read = safetensors_file.read
        case Format.ONNX:
            problem = "ONNX files cannot be imported, they are for running a model"
            advice = "export it to pytorch or safetensors where it came from, and import that"
            raise ExchangeError(where, problem, advice)
        case Format.HTML:
            problem = "pages cannot be imported, their weights may be rounded to float16"
            advice = "export it to pytorch or safetensors where it came from, and import that"
            raise ExchangeError(where, problem, advice)
        case None if path.suffix == ".npz":
            advice = "sample, eval and export take an .npz as it is"
            raise ExchangeError(where, "is not an exported file", advice)
        case None:
            problem = f"must end in .pt, .pth or .safetensors, got {path.suffix!r}"
            raise ExchangeError(where, problem, "name such a file")
    if not os.path.isfile(path):
        problem = "is a folder" if os.path.isdir(path) else "no such file"
        raise ExchangeError(where, problem, "name one that was exported")
    tensors, about = read(followed(path))
    description = from_text(about, where)
    model = description.config.model
    expected = shapes(model, description.vocabulary.size)
    # Two biases that are finite may have a sum that is not.
    with np.errstate(over="ignore"):
        arrays = from_state_dict(model, checked(tensors, expected, where))
    if not all(usable(array.ravel()) for array in arrays.values()):
        problem = "its weights are too large to compute with in float32"
        raise ExchangeError(where, problem, "take weights from before the training diverged")
    description = replace(description, imported=path.name, versions=environment.versions())
    run = create(checkpoints, path.stem if name is None else name, exact=name is not None)
    try:
        save(run.best, arrays, description.as_dict())
    except OSError as error:
        run.discard()
        raise RunError(run.best, f"cannot be saved ({error.strerror or error})") from None
    except BaseException:
        run.discard()
        raise
    run.release()
    return run
