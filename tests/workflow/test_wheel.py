"""The built wheel scores folders of images outside of a clone."""

import json
import os
import subprocess
import sys
import zipfile

import numpy as np
import pytest
from PIL import Image

from tests.helpers import ROOT


@pytest.mark.slow
def test_the_wheel_scores_folders_outside_of_a_clone(tmp_path):
    source = tmp_path / "source"
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True
    )
    if listed.returncode:
        pytest.skip("needs the project's git repository to list its files")
    for name in filter(None, os.fsdecode(listed.stdout).split("\0")):
        if name.startswith(("slim/", "baselines/", "bench/", "reference/", "config/datasets.yaml")) or "/" not in name:
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", str(tmp_path)]
    subprocess.run([*build, str(source)], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    random = np.random.default_rng(0)
    for folder in ("samples", "reference"):
        (tmp_path / "work" / folder).mkdir(parents=True)
        for index in range(3):
            pixels = random.integers(0, 256, (32, 32, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "work" / folder / f"{index}.png")
    code = "import sys, bench; assert 'site/bench' in bench.__file__; from bench.cli import main; sys.exit(main())"
    given = ["evaluate", "--samples", "samples", "--reference", "reference", "--metrics", "fid_cleanfid", "--json"]
    done = subprocess.run(
        [sys.executable, "-c", code, *given],
        cwd=tmp_path / "work",
        env={**os.environ, "PYTHONPATH": str(tmp_path / "site"), "SLIM_BENCH_CACHE": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    (score,) = json.loads(done.stdout)
    assert score["metric"] == "fid_cleanfid" and score["value"] > 0
    assert not (tmp_path / "work/data").exists()
