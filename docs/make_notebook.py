"""Run docs/course.ipynb from top to bottom, and store what its cells print and draw.

    python docs/make_notebook.py [OUT]       in its place, or as another file

The cells run in one namespace, without Jupyter: what a cell ends with is not shown, so cells print.
Needs the extra `plot`.
"""

import base64
import io
import json
import os
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("agg")

from matplotlib import pyplot

DOCS = Path(__file__).resolve().parent


def run(source: str, namespace: dict[str, Any]) -> list[dict[str, Any]]:
    """Run a cell; return its outputs as a notebook stores them: the text, then each figure."""
    printed = io.StringIO()
    with redirect_stdout(printed):
        exec(source, namespace)  # noqa: S102
    lines = printed.getvalue().splitlines(keepends=True)
    outputs: list[dict[str, Any]] = []
    if lines:
        outputs.append({"name": "stdout", "output_type": "stream", "text": lines})
    for number in pyplot.get_fignums():
        image = io.BytesIO()
        pyplot.figure(number).savefig(image, dpi=80, metadata={"Software": None})
        content = {"image/png": base64.b64encode(image.getvalue()).decode()}
        outputs.append({"data": content, "metadata": {}, "output_type": "display_data"})
    pyplot.close("all")
    return outputs


def main() -> None:
    """Run the notebook in its folder, as Jupyter does."""
    path = DOCS / "course.ipynb"
    out = Path(sys.argv[1]).resolve() if sys.argv[1:] else path
    notebook = json.loads(path.read_text(encoding="utf-8"))
    os.chdir(DOCS)
    # Figures are kept when a cell ends.
    pyplot.show = lambda: None
    namespace: dict[str, Any] = {"__name__": "__main__"}
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    for count, cell in enumerate(cells, 1):
        cell["outputs"] = run("".join(cell["source"]), namespace)
        cell["execution_count"] = count
    content = json.dumps(notebook, indent=1, ensure_ascii=False)
    out.write_text(content + "\n", encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
