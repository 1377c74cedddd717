"""Files given with --configfile are validated again after Snakemake has read them. Retries depend on the profile."""

import pytest

from bench.files import read_yaml, write_text
from bench.workflow import WorkflowPlan
from tests.helpers import ROOT
from tests.unit.test_files import bomb


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("c.yaml", "scale: tiny\nscale: demo\n", "key 'scale' occurs twice; remove one (line 2)"),
        ("c.yaml", "folders: {a: {path: x, path: y}}\n", "key 'path' occurs twice; remove one (line 1)"),
        ("c.json", '{"scale": "tiny", "scale": "demo"}', "key 'scale' occurs twice; remove one"),
        ("c.json", '{"scale": NaN}', "scale: nan is not a finite number"),
        ("c.yaml", bomb(20), "more than 50,000 values"),
        ("c.yaml", "1: tiny", "key '1' is not a string"),
        ("c.yaml", "scale: !own tiny", "could not determine a constructor for the tag '!own'"),
    ],
)
def test_an_invalid_configfile_is_refused_with_its_name(project, monkeypatch, name, text, message):
    monkeypatch.chdir(project)
    write_text(project / name, text)
    with pytest.raises(SystemExit) as end:
        WorkflowPlan.open({"scale": "demo"}, [project / name])
    assert f"{project / name}: {message}" in str(end.value) and "\n" not in str(end.value)


@pytest.mark.parametrize(("name", "text"), [("c.yaml", "scale: tiny\n"), ("c.json", '{"scale": "tiny"}'), ("c", "")])
def test_other_configuration_files_are_ignored(project, monkeypatch, name, text):
    monkeypatch.chdir(project)
    write_text(project / name, text)
    assert WorkflowPlan.open({"scale": "tiny"}, [project / name]).configuration.settings.scale == "tiny"


def test_jobs_are_retried_only_with_cluster_profiles():
    """A job that cannot read its data fails once, not four times."""
    assert "retries" not in (ROOT / "workflow/rules/runs.smk").read_text()
    retries = {name: read_yaml(ROOT / f"workflow/profiles/{name}/config.yaml").get("retries") for name in PROFILES}
    assert retries == {"default": None, "slurm": 3, "kubernetes": 3}


PROFILES = ("default", "slurm", "kubernetes")
