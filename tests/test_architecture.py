"""The house: a room imports only from rooms above it, and the command line parses before NumPy."""

import ast
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "charlm"

# In the order in which a text goes through them; docs/architecture.md tells the same.
ROOMS = [
    "__init__", "terminal", "errors", "randomness", "environment", "config", "text", "nn", "optim", "storage",
    "exchange", "generation", "evaluation", "training", "insight", "pages", "api", "commands", "cli", "__main__",
]  # fmt: skip


def room(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def imports():
    """Yield (file, imported charlm module)."""
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "charlm":
                for name in node.names:
                    # `from charlm import randomness` names a room, not a member of __init__.
                    whole = node.module == "charlm" and name.name in ROOMS
                    yield path, f"charlm.{name.name}" if whole else node.module
            elif isinstance(node, ast.Import):
                yield from ((path, q.name) for q in node.names if q.name.split(".")[0] == "charlm")


def test_imports_go_one_way():
    found = 0
    for path, module in imports():
        if path == PACKAGE / "__init__.py":
            # The front door: it imports from the rooms only when it is asked.
            continue
        here = ROOMS.index(path.relative_to(PACKAGE).parts[0].removesuffix(".py"))
        there = ROOMS.index(room(module))
        assert there <= here, f"{path.relative_to(ROOT)} imports {module} from a room below it"
        found += 1
    assert found > 50


def test_no_circles_inside_a_room():
    graph: dict[str, set[str]] = {}
    for path, module in imports():
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        graph.setdefault(name, set()).add(module)

    def visit(name: str, way: tuple[str, ...]) -> None:
        assert name not in way, f"a circle: {' -> '.join((*way, name))}"
        for other in graph.get(name, ()):
            visit(other, (*way, name))

    for name in list(graph):
        visit(name, ())


def test_only_the_commands_print():
    for path in PACKAGE.rglob("*.py"):
        if path.parent.name != "commands" and path.name != "cli.py":
            calls = [q for q in ast.walk(ast.parse(path.read_text())) if isinstance(q, ast.Call)]
            names = {q.func.id for q in calls if isinstance(q.func, ast.Name)}
            assert "print" not in names, path


def test_rooms_are_those_of_the_architecture_page():
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    house = page.partition("## The house\n")[2].split("```")[1]
    files = {str(q.relative_to(ROOT)) for q in PACKAGE.rglob("*.py") if q.name != "__init__.py"}
    named, folder = set(), ""
    for line in house.splitlines():
        # A room of files is `  text/`, its files stand further in; a lone file is `  cli.py`.
        if at := re.match(r"( *)(\w+)/", line):
            folder = f"charlm/{at[2]}/" if at[1] else "charlm/"
        elif re.match(r"  \w", line):
            folder = "charlm/"
        named |= {folder + name for name in re.findall(r"\b\w+\.py\b", line)}
    assert named == files, "docs/architecture.md names other files than there are"


def test_command_line_parses_before_numpy_is_imported():
    code = "import sys, charlm.cli; print('numpy' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert out.stdout.strip() == "False", out
