"""Writes the results table of README.md from the reference results: python -m benchmarks.results_table

The table is the text between two markers. It has one row per network, dataset and metric.
"""

from collections import defaultdict
from pathlib import Path

from bench.files import write_text
from bench.report.compare.reference import ReferenceResults, read_reference_file
from bench.report.compare.statistics import mean_of
from bench.report.read.names import format_value

ROOT = Path(__file__).resolve().parents[1]
REFERENCE, README = Path("benchmarks/reference/demo.json"), Path("README.md")
BEGIN = "<!-- results of the demo: written by python -m benchmarks.results_table -->\n"
END = "<!-- end of the results -->\n"
HEAD = ("dataset", "network", "metric", "trained", "control", "seeds")
METRICS = {
    "fid_cleanfid": ("FID ↓", "untrained", "untrained"),
    "kid_inception": ("KID ↓", "untrained", "untrained"),
    "ssim_reconstruction": ("SSIM of the reconstruction ↑", "control-bicubic", "bicubic upsampling"),
    "top1": ("top-1 in % ↑", "control-linear", "linear classifier"),
}
"""Metric -> label, and the weights and label of the score without training."""


def results_table(reference: ReferenceResults) -> str:
    """Return the table as Markdown. Values are means over the seeds of the reference results."""
    found: dict[tuple[str, str, str], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for score in reference.scores:
        experiment, dataset, _ = score.run.split("/")
        if score.metric in METRICS:
            found[dataset, experiment, score.metric][score.weights].append(score.mean)
    lines = [HEAD, ("---", "---", "---", "---:", "---:", "---:")]
    for (dataset, experiment, metric), values in sorted(found.items(), key=_order):
        label, control, control_label = METRICS[metric]
        trained, without = (_value(metric, values[weights]) for weights in ("last", control))
        without = f"{without} ({control_label})" if without else ""
        lines.append((dataset, f"`{experiment}`", label, trained, without, str(len(values["last"]))))
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _order(item: tuple[tuple[str, str, str], object]) -> tuple[str, int, str]:
    dataset, experiment, metric = item[0]
    return dataset, list(METRICS).index(metric), experiment


def _value(metric: str, values: list[float]) -> str:
    return format_value(metric, mean_of(values)) if values else ""


def updated(text: str, table: str) -> str:
    """Return the text of README.md with `table` between the markers."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"{README}: the markers of the table are missing")
    return f"{before}{BEGIN}\n{table}\n{END}{after}"


if __name__ == "__main__":
    path = ROOT / README
    write_text(path, updated(path.read_text(encoding="utf-8"), results_table(read_reference_file(ROOT / REFERENCE))))
