"""The workflow as a Snakemake module of another project, in another folder."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers import ROOT
from tests.helpers.project import Project

SNAKEFILE = """\
configfile: "config/config.yaml"

module slim_bench:
    snakefile: "{snakefile}"
    config: config["slim-bench"]

use rule * from slim_bench as slim_*

rule all:
    default_target: True
    input: rules.slim_tiny.input
"""
CONFIG = "title: a thesis\nslim-bench: {scale: tiny, experiments: [singan], folder: images}\n"
RUN = "results/tiny/runs/singan/photo-astronaut/seed0"


@pytest.fixture
def user_project(project_copy: Project, tmp_path: Path):
    """Return a function that runs Snakemake in a project that has slim-bench as a module."""
    (tmp_path / "Snakefile").write_text(SNAKEFILE.format(snakefile=project_copy.path / "workflow/Snakefile"))
    (tmp_path / "config").mkdir()
    (tmp_path / "config/config.yaml").write_text(CONFIG)
    (tmp_path / "images").mkdir()
    profile = project_copy.path / "workflow/profiles/default"

    def snakemake(*arguments: str) -> subprocess.CompletedProcess:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("SNAKEMAKE", "PYTEST"))}
        environment = kept | {"PYTHONPATH": str(project_copy.path), "SLIM_BENCH_OFFLINE": "1"}
        command = [sys.executable, "-m", "snakemake", "--workflow-profile", str(profile), "--cores", "1", *arguments]
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600)

    return snakemake


def test_a_module_plans_and_writes_in_the_folder_of_its_user(user_project, project_copy, tmp_path):
    planned = user_project("--dry-run")
    message = planned.stdout + planned.stderr
    assert planned.returncode == 0, message
    table = dict(re.findall(r"^(\w+) +(\d+)$", message, re.MULTILINE))
    assert {
        name: table[f"slim_{name}"] for name in ("freeze_run", "train", "evaluate", "finish_suite")
    } == dict.fromkeys(("freeze_run", "train", "evaluate", "finish_suite"), "1")
    made = user_project(f"{RUN}/run.json", "data/prepared/photo-astronaut-full/manifest.json")
    assert made.returncode == 0, made.stdout + made.stderr
    assert json.loads((tmp_path / RUN / "run.json").read_text())["experiment"] == "singan"
    assert (tmp_path / "data/prepared/photo-astronaut-full/images.npy").exists()
    assert not (tmp_path / "data/sources").exists(), "downloaded files are shared"
    assert (project_copy.path / "data/sources/photo-astronaut.json").exists()
    assert not (project_copy.path / RUN).exists()


def test_a_wrong_key_of_the_module_gives_a_one_line_error(user_project, tmp_path):
    (tmp_path / "config/config.yaml").write_text(CONFIG.replace("scale:", "scal:"))
    result = user_project("--dry-run")
    lines = [line for line in (result.stdout + result.stderr).splitlines() if "slim-bench: error" in line]
    assert result.returncode != 0 and len(lines) == 1
    assert "scal: Extra inputs are not permitted (did you mean 'scale'?)" in lines[0]


def test_the_documented_module_is_the_tested_one():
    documented = (ROOT / "config/README.md").read_text()
    for line in SNAKEFILE.replace("{snakefile}", "/path/to/slim-bench/workflow/Snakefile").splitlines()[2:]:
        assert line.strip().replace("slim_tiny", "slim_fewshot") in documented
    assert (ROOT / ".snakemake-workflow-catalog.yml").exists()
