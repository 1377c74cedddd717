"""The image, the fresh machine and the Kubernetes profile agree on release, packages, image name and version."""

import re
import subprocess
import tomllib

import yaml

from tests.helpers import ROOT

DOCKERFILE = (ROOT / "container/Dockerfile").read_text()
FRESH = (ROOT / "tools/test_fresh.sh").read_text()
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


def packages() -> list[str]:
    command = [ROOT / "container/install.sh", "--packages"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()


def test_image_and_fresh_machine_run_the_same_script():
    assert re.search(r"^COPY container/install\.sh (\S+)\nRUN \1$", DOCKERFILE, re.MULTILINE)
    assert "/slim-bench/container/install.sh" in FRESH and "container/install.sh --packages" in FRESH
    assert not re.search(r"apt-get|python3-venv", DOCKERFILE + FRESH), "the script alone names packages"


def test_image_and_fresh_machine_have_the_same_debian():
    (release,) = re.findall(r"^ARG BASE=debian:(\w+)-slim$", DOCKERFILE, re.MULTILINE)
    assert re.search(rf"^debootstrap .* {release} ", FRESH, re.MULTILINE)


def test_the_packages_are_those_of_the_readme():
    (needed,) = re.findall(r"You need Linux, (.*?)\. A GPU", (ROOT / "README.md").read_text())
    assert "git and make" in needed and "Python" in needed
    assert set(packages()) == {"git", "make", "python3", "python3-venv", "ca-certificates"}


def test_the_kubernetes_profile_names_the_image():
    profile = yaml.safe_load((ROOT / "workflow/profiles/kubernetes/config.yaml").read_text())
    assert profile["container-image"] == f"slim-bench:{VERSION}"
    assert f"--tag {profile['container-image']} ." in DOCKERFILE


def test_the_image_contains_no_results_and_has_a_lock_file():
    ignored = (ROOT / "container/Dockerfile.dockerignore").read_text().splitlines()
    assert {".git", ".venv", "results", "data/prepared", "build"} <= set(ignored)
    assert not {"requirements.lock", "data", "data/shipped"} & set(ignored)
    assert "RUN make setup" in DOCKERFILE and "pip install" not in DOCKERFILE


def test_scripts_are_valid_shell():
    tools = ("test_fresh", "install_slurm", "test_browser")
    for name in ("container/install.sh", *(f"tools/{tool}.sh" for tool in tools), ".ci/run"):
        subprocess.run(["bash", "-n", ROOT / name], check=True)


def test_the_lock_of_the_slurm_executor_has_only_its_packages():
    """All other packages have the version of requirements.lock."""
    text = (ROOT / "workflow/profiles/slurm/requirements.lock").read_text()
    names = re.findall(r"^([a-z0-9-]+)==\S+ \\$", text, re.MULTILINE)
    assert names == ["snakemake-executor-plugin-slurm", "snakemake-executor-plugin-slurm-jobstep"]
    assert text.count("--hash=sha256:") >= len(names)
    assert not set(names) & set(re.findall(r"^([a-z0-9-]+)==", (ROOT / "requirements.lock").read_text(), re.MULTILINE))
