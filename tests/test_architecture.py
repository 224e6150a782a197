"""The layout: imports go one way, commands are clients of the library, parsing needs no NumPy."""

import ast
import re
import subprocess
import sys

import pytest
from helpers import ROOT

PACKAGE = ROOT / "charlm"
# In the order of imports; docs/architecture.md has the same.
ORDER = (  # noqa: SIM905
    "_version types terminal errors randomness environment storage settings text nn optim runs "
    "generation evaluation training insight pages exchange language_model api commands cli __main__"
).split()
# What the commands may use besides charlm's public names and each other.
FOR_COMMANDS = {"charlm", "charlm.errors", "charlm.terminal"}
SOURCES = sorted(PACKAGE.rglob("*.py"))
TREES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in SOURCES}


def imports():
    """Yield (file, imported charlm module, imported name)."""
    for path, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "charlm":
                for alias in node.names:
                    # `from charlm import randomness` imports a module, not a name of __init__.
                    whole = node.module == "charlm" and alias.name in ORDER
                    yield path, f"charlm.{alias.name}" if whole else node.module, alias.name
            elif isinstance(node, ast.Import):
                for alias in node.names:
                    if alias.name.split(".")[0] == "charlm":
                        yield path, alias.name, ""


def package(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def test_imports_go_one_way():
    assert {package(path) for path in SOURCES} - {"__init__"} == set(ORDER)
    found = 0
    for path, module, _ in imports():
        if package(path) in ("__init__", "commands"):
            # The public names are imported lazily, and the commands have a test of their own.
            continue
        assert module != "charlm", f"{path.relative_to(ROOT)} imports the public names"
        there, here = module.split(".")[1], package(path)
        assert ORDER.index(there) <= ORDER.index(here), f"{path.relative_to(ROOT)}: {module}"
        found += 1
    assert found > 300


def test_commands_are_clients_of_the_library():
    import charlm

    for path, module, name in imports():
        if package(path) == "commands":
            own = module.startswith("charlm.commands")
            assert own or module in FOR_COMMANDS, f"{path.relative_to(ROOT)} imports {module}"
            assert module != "charlm" or not name or name in charlm.__all__, (path, name)
    for path, tree in TREES.items():
        if package(path) == "commands":
            for node in ast.walk(tree):
                if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                    public = node.value.id != "charlm" or node.attr in charlm.__all__
                    assert public, f"{path.relative_to(ROOT)} uses charlm.{node.attr}"


def test_no_circles():
    graph: dict[str, set[str]] = {}
    for path, module, _ in imports():
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        graph.setdefault(name, set()).add(module)

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, f"a circle: {' -> '.join((*path, name))}"
        for other in graph.get(name, ()):
            visit(other, (*path, name))

    for name in list(graph):
        visit(name, ())


def test_only_the_commands_print():
    for path, tree in TREES.items():
        if package(path) not in ("commands", "cli"):
            calls = (node.func for node in ast.walk(tree) if isinstance(node, ast.Call))
            names = {function.id for function in calls if isinstance(function, ast.Name)}
            assert "print" not in names, path


OPENS = re.compile(
    r"(.+\.)?(open|memmap|open_memmap|FileIO|fdopen|fromfile|tofile|safe_open|touch|mkfifo)"
    r"|.+\.((read|write)_(text|bytes)|(symlink|hardlink)_to|loadtxt|savetxt)"
    r"|(np|numpy|torch)\.(load|save)z?|shutil\.(copy.*|move)"
)
# Who may, beside storage/files.py, and what.
MAY_OPEN = {
    "text/source.py": {"path.open"},  # the user's texts
    "settings/files.py": {"path.read_bytes"},  # the user's settings
    "storage/atomic.py": {"os.open", "shutil.copyfileobj"},  # a folder, for fsync; open files
    "storage/checkpoint.py": {"archive.open", "self._archive.open"},  # members
    "storage/fetch.py": {"opener.open"},  # an address
    "text/corpus.py": {"np.memmap"},  # of an open file
    "exchange/pytorch_file.py": {"torch.load", "torch.save"},  # what was opened; to memory
    "exchange/safetensors_file.py": {"safetensors.safe_open"},  # likewise
    "pages/page.py": {"(_HERE / name).read_text"},
    "environment.py": {  # the kernel's
        "(group / f'memory.{name}').read_text",
        "(group / name).read_text",
        "_MEMBERSHIP.read_text",
        "path.read_text",
    },
    "cli.py": {"open"},  # os.devnull
    "commands/console.py": {"os.open"},  # likewise
}


def test_files_are_opened_in_one_place():
    """storage/files.py refuses what does harm; storage/atomic.py writes over nothing."""
    opened = {}
    for path, tree in TREES.items():
        calls = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
        if found := set(filter(OPENS.fullmatch, calls)):
            opened[path.relative_to(PACKAGE).as_posix()] = found
    assert opened.pop("storage/files.py") == {"open", "os.open"}
    assert opened == MAY_OPEN


def test_nothing_is_called_q():
    for path, tree in TREES.items():
        for node in ast.walk(tree):
            stored = isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
            name = node.id if stored else node.arg if isinstance(node, ast.arg) else ""
            assert name != "q", f"{path.relative_to(ROOT)}:{node.lineno}"


def test_test_modules_import_no_test_module():
    for path in (ROOT / "tests").glob("*.py"):
        assert not re.search(r"^\s*(?:from|import) test_", path.read_text(), re.M), path


def test_files_are_those_of_the_architecture_page():
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    named = set(re.findall(r"\b\w+\.py\b", page))
    files = {path.name for path in (*SOURCES, *ROOT.glob("*/*.py"))}
    assert not named - files, "docs/architecture.md names files that are not there"
    packages = {package(path) for path in SOURCES if path.parent != PACKAGE}
    assert packages <= set(re.findall(r"\b(\w+)/", page)), "it lacks a package"


@pytest.mark.parametrize("module", ["charlm.cli", "charlm.commands.sample", "charlm"])
def test_parsing_needs_neither_numpy_nor_rich(module):
    code = f"import sys, {module}; print([m for m in ('numpy', 'rich') if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert out.stdout.strip() == "[]", out
