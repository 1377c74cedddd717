"""Draws docs/images/layers.svg: the packages and modules of bench by layer, with the imports found in the code.

    python tools/draw_layers.py

Run this script after adding or moving a package or module.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from bench.files import atomic_file  # noqa: E402
from tests.unit.project.test_layers import LAYERS, component, imports, modules  # noqa: E402

BOX = {"boxstyle": "round,pad=0.35", "facecolor": "#f2f2f2", "edgecolor": "#555555"}
PACKAGE = BOX | {"facecolor": "#dbe8f6"}
TARGET = ROOT / "docs/images/layers.svg"


def component_imports() -> set[tuple[str, str]]:
    """Return pairs (importing, imported) of packages and modules, without imports inside one package."""
    known = modules("bench")
    pairs = {
        (component(name), component(target))
        for name, path in known.items()
        for target in imports(path, known) - {"bench"}
        if name != "bench"
    }
    return {(source, target) for source, target in pairs if source != target}


def positions() -> dict[str, tuple[float, float]]:
    """Return the position (x, y) of each package and module. Each layer is a column."""
    found = {}
    for column, layer in enumerate(LAYERS):
        for row, name in enumerate(sorted(layer)):
            found[name] = (column, (len(layer) - 1) / 2 - row)
    return found


def main() -> None:
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "layers"})
    from matplotlib import pyplot as plt

    at, packages = positions(), {path.parent.name for path in (ROOT / "bench").glob("*/__init__.py")}
    figure, axis = plt.subplots(figsize=(15, 6))
    for source, target in sorted(component_imports()):
        if at[source][0] != at[target][0]:
            axis.plot(*zip(at[source], at[target], strict=True), color="#999999", linewidth=0.5, alpha=0.6, zorder=1)
    for name, (x, y) in at.items():
        axis.text(x, y, name, ha="center", va="center", fontsize=9, bbox=PACKAGE if name in packages else BOX, zorder=2)
    axis.set(xlim=(-0.6, len(LAYERS) - 0.4), ylim=(-3.6, 3.6))
    axis.set_title("bench: packages (blue) and modules import only from layers to their right", fontsize=11)
    axis.axis("off")
    with atomic_file(TARGET) as file:
        figure.savefig(file, format="svg", bbox_inches="tight", metadata={"Date": None})


if __name__ == "__main__":
    main()
