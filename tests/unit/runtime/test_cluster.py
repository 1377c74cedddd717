"""The choice of SLURM's program for the states of jobs, with stubs of these programs."""

from dataclasses import dataclass
from types import SimpleNamespace

import pytest

from bench.errors import InputError
from bench.runtime.cluster import choose_status_command, on_cluster

DISABLED = "echo 'Slurm accounting storage is disabled' >&2; exit 1"
AGE = "echo 'MinJobAge               = {} sec'"


@dataclass
class Settings:
    """The settings of the SLURM executor that the choice reads and writes."""

    status_command: str | None = "sacct"
    init_seconds_before_status_checks: int | None = 40


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """Return a function that writes stubs of SLURM's programs, which are the only programs on PATH."""

    def write(**programs: str) -> None:
        for name, script in programs.items():
            path = tmp_path / name
            path.write_text(f"#!/bin/sh\n{script}\n")
            path.chmod(0o755)

    monkeypatch.setenv("PATH", str(tmp_path))
    return write


def test_sacct_is_used_if_it_responds(slurm):
    slurm(sacct="exit 0", squeue="exit 0")
    settings = Settings()
    assert choose_status_command(settings) == "sacct reports the states of SLURM jobs"
    assert settings == Settings()


def test_squeue_is_used_without_accounting(slurm):
    slurm(sacct=DISABLED, squeue="exit 0", scontrol=AGE.format(300))
    settings = Settings()
    assert choose_status_command(settings) == (
        "squeue reports the states of SLURM jobs, because sacct does not respond (Slurm accounting storage is disabled)"
    )
    assert settings == Settings("squeue", 40)


@pytest.mark.parametrize("sacct", [{}, {"sacct": "exit 3"}])
def test_squeue_is_used_if_sacct_fails_or_is_missing(slurm, sacct):
    slurm(squeue="exit 0", scontrol=AGE.format(300), **sacct)
    chosen = choose_status_command(Settings())
    assert chosen.endswith("(exit code 3)" if sacct else "(it is not installed)")


def test_the_configured_program_is_kept_if_it_responds(slurm):
    slurm(sacct="exit 0", squeue="exit 0")
    settings = Settings("squeue")
    assert choose_status_command(settings) == "squeue reports the states of SLURM jobs"
    assert settings.status_command == "squeue"
    slurm(sacct="exit 0", squeue="exit 1")
    choose_status_command(settings)
    assert settings.status_command == "sacct"


def test_short_lists_of_finished_jobs_shorten_the_interval(slurm):
    """The plugin would otherwise call sacct and wait indefinitely."""
    slurm(sacct=DISABLED, squeue="exit 0", scontrol=AGE.format(60))
    settings = Settings()
    assert "lists finished jobs for 60 s only" in choose_status_command(settings)
    assert settings == Settings("squeue", 20)
    slurm(scontrol=AGE.format(0))
    with pytest.raises(InputError, match="MinJobAge"):
        choose_status_command(Settings())


def test_a_server_without_response_gives_a_one_line_error(slurm):
    slurm(sacct=DISABLED, squeue="echo 'slurm_load_jobs error: Unable to contact slurm controller' >&2; exit 1")
    with pytest.raises(InputError, match="Unable to contact slurm controller; start Snakemake on a login node"):
        choose_status_command(Settings())


@pytest.mark.parametrize("settings", [None, SimpleNamespace(), Settings(None)])
def test_other_executors_have_no_status_command(slurm, settings):
    assert choose_status_command(settings) is None


@pytest.mark.parametrize(
    ("dryrun", "nodes", "local", "expected"),
    [(False, None, True, False), (False, 4, True, False), (False, 4, False, True), (True, 4, True, True)],
)
def test_the_executor_decides_what_is_a_cluster(dryrun, nodes, local, expected):
    settings = SimpleNamespace(nodes=nodes)
    assert on_cluster(SimpleNamespace(dryrun=dryrun, local_exec=local, resource_settings=settings)) is expected
