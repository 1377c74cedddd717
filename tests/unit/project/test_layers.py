"""Packages and modules of bench by layer: each imports only from layers to its right, and imports have no cycles."""

import ast
from pathlib import Path

from tests.helpers import ROOT

LAYERS = (
    {"cli", "commands", "workflow", "outdated_inputs", "missing_data", "describe"},
    {"measure"},
    {"report", "train", "evaluate", "bundle"},
    {"export", "sample", "sampling", "card"},
    {"plan", "status", "outdated", "frozen", "plan_cost", "throughput", "needs", "workload", "job_length"}
    | {"config", "claims", "suites", "experiments", "defaults"},
    {"registry", "signature", "skeleton", "networks", "metrics"},
    {"data"},
    {"runtime", "caches"},
    {"run", "recipes", "score", "training_record", "input_hashes", "job_benchmark", "provenance", "ownership", "paths"},
    {"schema", "files", "errors", "terminal", "code_digest", "source"},
)
RANK = {name: rank for rank, layer in enumerate(LAYERS) for name in layer}
TASKS = ("report", "train", "evaluate")
"""Packages of one layer that do not import each other."""


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def modules(*packages: str) -> dict[str, Path]:
    return {module_name(path): path for package in packages for path in (ROOT / package).rglob("*.py")}


def imports(path: Path, known: dict[str, Path]) -> set[str]:
    """Return the modules of this project that a file imports, also inside functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name for name in inner if name in known} or {node.module}
    return found & known.keys()


def component(name: str) -> str:
    """Return the top-level package or module of bench that contains a module."""
    return name.split(".")[1]


def test_each_layer_imports_only_to_its_right():
    known = modules("bench")
    assert {component(name) for name in known if name != "bench"} <= RANK.keys(), (
        "add a new package or module to LAYERS"
    )
    for name, path in known.items():
        for target in imports(path, known) - {"bench"}:
            workdir, there = component(name), component(target)
            assert RANK[workdir] <= RANK[there], f"{name} imports {target}, which is to its left"
            assert workdir == there or not {workdir, there} <= set(TASKS), f"{name} imports {target}"


def test_there_are_no_import_cycles():
    known = modules("bench", "slim", "baselines", "reference")
    graph = {name: imports(path, known) - {name} for name, path in known.items()}
    while leaves := {name for name, targets in graph.items() if not targets & graph.keys()}:
        graph = {name: targets for name, targets in graph.items() if name not in leaves}
    # functions of a package that import its module on first use make no cycle: the module does not need the package
    assert not graph, f"in a cycle or dependent on one: {sorted(graph)}"


def test_tests_and_benchmarks_do_not_import_each_other():
    known = modules("tests", "benchmarks", "reference")
    for name, path in known.items():
        foreign = {"tests": "benchmarks", "benchmarks": "tests", "reference": "tests"}[name.split(".")[0]]
        found = {target for target in imports(path, known) if target.split(".")[0] == foreign}
        allowed = ("test_benchmarks", "test_gpu_proof", "test_reference_runs", "test_results_table")
        assert not found or name.removeprefix("tests.unit.project.") in allowed, f"{name} imports {found}"
