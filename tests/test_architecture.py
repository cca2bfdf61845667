"""The shape of the package: rooms in their order, lazy imports, sizes, public names.

An import points to a room that stands earlier in ``ROOMS``, by a public name, or to any
file of its own room. A new room has to be given its place here.
"""

import ast
import importlib
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "sktamm"

# Data flow downwards; what a room knows stands above it.
ROOMS = [
    "exceptions",
    "_arrays",
    "_numerics",
    "_sklearn",
    "_validation",
    "results",
    "base",
    "events",
    "datasets",
    "learning",
    "functions",
    "templates",
    "ratios",
    "components",
    "mixture",
    "inference",
    "tamm",
    "coverage",
    "parametric",
    "baselines",
    "model_selection",
    "diagnostics",
    "plotting",
    "auto",
    "discovery",
    "io",
    "exports",
    "report",
    "cli",
    "__init__",
    "__main__",
]

# Whatever is imported with the package; the rest is imported where it is used.
EAGER = {"joblib", "numpy", "pandas", "scipy", "sklearn", "sktamm", "threadpoolctl"}
# Files of torch: networks, their training, and what their members minimise.
NETWORKS = ("_networks", "_best_epoch", "_repulsion")
# The places of each heavy library, as prefixes of the file.
PLACES = {
    "lightgbm": "learning/",
    "matplotlib": "plotting/",
    "torch": ("_arrays.py", *(f"learning/{name}" for name in NETWORKS)),
}
ALSO_EAGER = {
    "learning/_networks.py": {"torch"},
    "learning/_best_epoch.py": {"torch"},
    "learning/_repulsion.py": {"torch"},
}

MAX_LINES = 600
MAX_BODY = 50


def _name(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


FILES = {_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}
Import = tuple[ast.Import | ast.ImportFrom, str]


@cache
def _tree(name: str) -> ast.Module:
    return ast.parse(FILES[name].read_text(encoding="utf-8"))


def _room(name: str) -> str:
    """Room that a file belongs to: its folder, or itself at the top."""
    return name.split("/")[0].removesuffix(".py")


def _targets(node: ast.AST) -> Iterator[Import]:
    """Dotted names that an import statement may load."""
    if isinstance(node, ast.Import):
        yield from ((node, alias.name) for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        yield from ((node, f"{node.module}.{alias.name}") for alias in node.names)


def _all_imports(tree: ast.Module) -> list[Import]:
    return [target for node in ast.walk(tree) for target in _targets(node)]


def _eager_imports(node: ast.AST) -> Iterator[Import]:
    """Imports that run with the module: not in functions, nor for type checkers."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        yield from _targets(child)
        yield from _eager_imports(child)


def _imported_room(target: str) -> str | None:
    """Room that a dotted name belongs to; None outside the package."""
    head, *tail = target.split(".")
    if head != "sktamm":
        return None
    return tail[0] if tail and tail[0] in ROOMS else "__init__"


def _wrong_imports(name: str, tree: ast.Module) -> list[str]:
    """Imports upwards, and private ones of another room."""
    room, wrong = _room(name), []
    for node, target in _all_imports(tree):
        other = _imported_room(target)
        if other is None or other == room:
            continue
        if ROOMS.index(other) > ROOMS.index(room):
            wrong.append(f"{name}:{node.lineno}: {room} imports {target} from above")
        if any(part.startswith("_") for part in target.split(".")[2:]):
            wrong.append(f"{name}:{node.lineno}: {target} is private to {other}")
    return wrong


def _body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    body = function.body
    if ast.get_docstring(function, clean=False) is not None:
        body = body[1:]
    if not body:
        return 0
    return (body[-1].end_lineno or 0) - body[0].lineno + 1


def test_every_file_has_a_room_and_every_room_a_file():
    assert {_room(name) for name in FILES} == set(ROOMS)


def test_imports_point_down_by_public_names_or_stay_in_their_room():
    wrong = [line for name in FILES for line in _wrong_imports(name, _tree(name))]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("name", "code", "expected"),
    [
        ("mixture/_forms.py", "from sktamm.tamm import infer", "from above"),
        ("mixture/_forms.py", "def f():\n    import sktamm.tamm", "from above"),
        ("tamm/_door.py", "from sktamm.events._counts import x", "private to events"),
        ("base.py", "from sktamm import AutoTAMM", "from above"),
        ("tamm/_door.py", "from sktamm.events import read_target", None),
        ("tamm/_door.py", "from sktamm.tamm._ask import ask", None),
        ("tamm/_door.py", "from sktamm._numerics import softmax", None),
    ],
)
def test_wrong_imports_are_found(name, code, expected):
    found = _wrong_imports(name, ast.parse(code))
    assert (expected is None) == (not found)
    assert expected is None or expected in found[0]


def test_rooms_import_each_other_in_no_circle():
    known: set[str] = set()
    for room in ROOMS:
        own = [name for name in FILES if _room(name) == room]
        others = {
            _imported_room(target)
            for name in own
            for _, target in _all_imports(_tree(name))
        }
        assert others - {None, room} <= known
        known.add(room)


def test_imports_are_absolute():
    relative = [
        f"{name}:{node.lineno}"
        for name in FILES
        for node in ast.walk(_tree(name))
        if isinstance(node, ast.ImportFrom) and node.level
    ]
    assert not relative, "\n".join(relative)


def test_only_the_core_is_imported_with_a_module():
    core = EAGER | sys.stdlib_module_names
    eager = [
        f"{name}:{node.lineno}: {target}"
        for name in FILES
        for node, target in _eager_imports(_tree(name))
        if target.split(".")[0] not in core | ALSO_EAGER.get(name, set())
    ]
    assert not eager, "\n".join(eager)


def test_heavy_libraries_have_one_place():
    misplaced = [
        f"{name}:{node.lineno}: {target} belongs in {PLACES[target.split('.')[0]]}"
        for name in FILES
        for node, target in _all_imports(_tree(name))
        if not name.startswith(PLACES.get(target.split(".")[0], ""))
    ]
    assert not misplaced, "\n".join(misplaced)


def test_lightgbm_is_imported_by_one_file_at_most():
    users = [
        name
        for name in FILES
        if any(t.split(".")[0] == "lightgbm" for _, t in _all_imports(_tree(name)))
    ]
    assert len(users) <= 1


@pytest.mark.parametrize("name", [n for n in FILES if n.endswith("__init__.py")])
def test_package_files_only_import_and_list(name):
    for number, node in enumerate(_tree(name).body):
        docstring = (
            number == 0
            and isinstance(node, ast.Expr)
            and isinstance(node.value, ast.Constant)
        )
        listing = isinstance(node, ast.Assign) and all(
            ast.unparse(target) in ("__all__", "__version__") for target in node.targets
        )
        importing = isinstance(node, ast.Import | ast.ImportFrom)
        assert docstring or listing or importing, f"code in {name}:{node.lineno}"


def test_files_stay_short():
    sizes = {
        name: len(path.read_text(encoding="utf-8").splitlines())
        for name, path in FILES.items()
    }
    long = {name: lines for name, lines in sizes.items() if lines > MAX_LINES}
    assert not long


def test_functions_stay_short():
    long = [
        f"{name}:{node.lineno}: {node.name} has {_body_lines(node)} lines > {MAX_BODY}"
        for name in FILES
        for node in ast.walk(_tree(name))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and _body_lines(node) > MAX_BODY
    ]
    assert not long, "\n".join(long)


def test_only_the_command_line_prints():
    printing = [
        f"{name}:{node.lineno}"
        for name in FILES
        if name != "__main__.py" and not name.startswith("cli/")
        for node in ast.walk(_tree(name))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "print"
    ]
    assert not printing, "\n".join(printing)


@pytest.mark.parametrize("name", [n for n in FILES if n != "__main__.py"])
def test_public_names_exist(name):
    dotted = ".".join(["sktamm", *Path(name).with_suffix("").parts])
    module = importlib.import_module(dotted.removesuffix(".__init__"))
    listed = getattr(module, "__all__", [])
    assert len(set(listed)) == len(listed)
    missing = [public for public in listed if not hasattr(module, public)]
    assert not missing, f"{name} lists {missing}"


def test_importing_the_package_is_light():
    code = "import sys, sktamm; print(*sys.modules)"
    run = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    assert not {"torch", "lightgbm", "matplotlib"} & set(run.stdout.split())


def test_continuous_integration_runs_the_command_of_the_readme():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    commands = [line.strip() for line in readme.splitlines() if "&& pytest" in line]
    assert len(commands) == 1
    assert commands[0] in (ROOT / ".ci" / "run").read_text(encoding="utf-8")
