"""tools/check_demo.py: exit code 0 if all criteria are met; otherwise the table shows the missed or missing one."""

import csv
import importlib.util
from pathlib import Path

import pytest

from bench.plan import Plan
from tests.helpers import ROOT

SPEC = importlib.util.spec_from_file_location("check_demo", ROOT / "tools/check_demo.py")
check_demo = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(check_demo)
GOOD = {
    "fewshot": {("fd_efflite0", "last"): 90.0, ("fd_efflite0", "untrained"): 100.0},
    "oneshot": {("ssim_reconstruction", "last"): 0.8, ("ssim_reconstruction", "control-bicubic"): 0.6},
    "classification": {("top1", "last"): 85.0, ("top1", "control-linear"): 84.0},
}


@pytest.fixture
def demo(tmp_path):
    """Return demo(run=, metric=, weights=, value=, rss=), which writes a finished demo with one changed value."""

    def write(rss: float = 1000.0, value: float | None = None, **where: str) -> Path:
        rows = []
        for run in Plan.load().runs("demo"):
            for (metric, weights), good in GOOD[run.task].items():
                row = {"run": run.name, "metric": metric, "weights": weights, "value": good, "status": "ok"}
                if where and all(row[key] == wanted for key, wanted in where.items()):
                    row["value"] = value
                rows.append(row | {"status": "ok" if row["value"] is not None else "failed"})
            for job in ("train", "evaluate"):
                path = tmp_path / f"logs/demo/runs/{run.name}/{job}.tsv"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(f"s\tmax_rss\n5.0\t{rss}\n")
        (tmp_path / "results/demo").mkdir(parents=True)
        with (tmp_path / "results/demo/scores.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)
        return tmp_path

    return write


def test_a_good_demo_passes(demo, capsys):
    assert check_demo.main(demo()) == 0
    assert "52 of 52 criteria met" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("metric", "weights", "value", "shown"),
    [
        ("fd_efflite0", "last", 91.0, "0.910  <= 0.9"),
        ("fd_efflite0", "untrained", None, "missing  <= 0.9"),
        ("ssim_reconstruction", "last", 0.74, "0.740  >= 0.75"),
        ("ssim_reconstruction", "control-bicubic", 0.71, "0.090  >= 0.1"),
        ("top1", "last", 84.5, "84.500  >= 85"),
        ("top1", "control-linear", 85.0, "0.000  > 0"),
    ],
)
def test_a_miss_is_named(demo, capsys, metric, weights, value, shown):
    assert check_demo.main(demo(metric=metric, weights=weights, value=value)) == 1
    missed = [line for line in capsys.readouterr().out.splitlines() if line.startswith("MISS")]
    assert missed and all(line.endswith(shown) for line in missed)


def test_too_much_memory_and_a_lost_log_are_misses(demo, capsys):
    folder = demo(rss=3000.0)
    assert check_demo.main(folder) == 1
    assert "3.146  < 3" in capsys.readouterr().out
    next((folder / "logs").rglob("train.tsv")).unlink()
    assert check_demo.main(folder) == 1
    assert "missing  < 3" in capsys.readouterr().out


def test_without_a_demo_it_asks_for_one(tmp_path, capsys):
    assert check_demo.main(tmp_path) == 2
    assert "run `make demo` first" in capsys.readouterr().err
