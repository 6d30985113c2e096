"""What import-linter does not check: one meaning for a public name, and no import cycle."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "gaudi_asr_cli"
CONVENTIONS = {"command", "__all__"}
"""`command` is the function of each command's module by convention."""


def modules() -> dict[str, ast.Module]:
    found = {}
    for file in sorted(PACKAGE.rglob("*.py")):
        name = ".".join(file.relative_to(PACKAGE.parent).with_suffix("").parts)
        found[name.removesuffix(".__init__")] = ast.parse(file.read_text(encoding="utf-8"))
    return found


def public_names(tree: ast.Module) -> Iterator[str]:
    """Yield names that a module itself defines at its top level."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names = [node.name]
        elif isinstance(node, ast.Assign):
            names = [target.id for target in node.targets if isinstance(target, ast.Name)]
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names = [node.target.id]
        else:
            continue
        yield from (name for name in names if not name.startswith("_"))


def find_repeated(trees: dict[str, ast.Module]) -> dict[str, list[str]]:
    homes = defaultdict(list)
    for module, tree in trees.items():
        for name in dict.fromkeys(public_names(tree)):
            homes[name].append(module)
    return {
        name: found for name, found in homes.items() if len(found) > 1 and name not in CONVENTIONS
    }


def imports(trees: dict[str, ast.Module]) -> dict[str, set[str]]:
    """Return which modules each one imports, anywhere in it, for type checking too."""
    edges: dict[str, set[str]] = {name: set() for name in trees}
    for name, tree in trees.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module:
                for alias in node.names:
                    inner = f"{node.module}.{alias.name}"
                    edges[name].add(inner if inner in trees else node.module)
            elif isinstance(node, ast.Import):
                edges[name] |= {alias.name for alias in node.names}
        edges[name] = (edges[name] & trees.keys()) - {name}
    return edges


def find_cycle(edges: dict[str, set[str]]) -> list[str]:
    """Return modules that import each other in a circle; empty where there is none."""
    done: set[str] = set()

    def visit(name: str, path: list[str]) -> list[str]:
        if name in path:
            return path[path.index(name) :]
        if name in done:
            return []
        for inner in sorted(edges[name]):
            if cycle := visit(inner, [*path, name]):
                return cycle
        done.add(name)
        return []

    return next((cycle for name in sorted(edges) if (cycle := visit(name, []))), [])


def test_a_public_name_means_one_thing():
    assert find_repeated(modules()) == {}


def test_no_modules_import_each_other_in_a_circle():
    assert find_cycle(imports(modules())) == []


def test_a_planted_repetition_and_a_planted_cycle_are_found():
    trees = {
        "p.a": ast.parse("from p.b import run\nclass Batch: ..."),
        "p.b": ast.parse("from p import a\nBatch = 1\ndef run(): ..."),
    }

    assert find_repeated(trees) == {"Batch": ["p.a", "p.b"]}
    assert find_cycle(imports(trees)) == ["p.a", "p.b"]


NOT_KEPT = {
    "core/data/index.py": "handed from a launcher to its ranks, and removed",
    "core/data/layouts/demo.py": "a lock",
    "core/data/synthesis.py": "in a folder that is renamed when it is complete",
    "core/distributed/handover.py": "handed from a launcher to its ranks, and removed",
    "core/distributed/rank.py": "a log, appended to",
    "core/distributed/watching.py": "a log, appended to",
    "core/inference/inputs.py": "a copy of standard input, removed",
    "core/runs.py": "events, appended to",
    "core/whole_files.py": "the one place where files are written",
    "core/workflows/finetune/launch.py": "handed from a launcher to its ranks, and removed",
}
"""Modules that write files otherwise than whole, and why."""

WRITING = re.compile("[wax][bt+]{0,2}")


def writes_directly(tree: ast.Module) -> bool:
    """Return whether a module writes a file by its own: `write_text`, or `open` to write."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        modes = [str(one.value) for one in node.args if isinstance(one, ast.Constant)]
        is_open = node.func.attr == "open" and any(map(WRITING.fullmatch, modes))
        if is_open or node.func.attr in {"write_text", "write_bytes"}:
            return True
    return False


def test_files_that_a_user_keeps_are_written_whole():
    writing = {
        f"{name.removeprefix('gaudi_asr_cli.').replace('.', '/')}.py"
        for name, tree in modules().items()
        if writes_directly(tree)
    }

    assert writing == NOT_KEPT.keys()
