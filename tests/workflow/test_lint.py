"""tools/lint_workflow.py accepts only findings of its allow-list."""

import importlib.util

from tests.helpers import ROOT

OUTPUT = """\
Lints for rule train (line 22, workflow/rules/runs.smk):
    * Specify a conda environment or container for each rule.:
      This way, the used software for each specific step is documented
    * No log directive defined:
      Without a log directive, all output will be printed to the terminal.

Lints for snakefile workflow/Snakefile:
    * Absolute path "/data" in line 3:
      Do not define absolute paths inside of the workflow
"""


def load():
    spec = importlib.util.spec_from_file_location("lint_workflow", ROOT / "tools/lint_workflow.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_findings_outside_the_list_are_refused():
    lint = load()
    found = lint.findings(OUTPUT)
    assert len(found) == 3
    assert lint.refused(found) == [
        "rule train (line 22, workflow/rules/runs.smk): No log directive defined:",
        'snakefile workflow/Snakefile: Absolute path "/data" in line 3:',
    ]


def test_lint_without_findings_passes():
    assert load().refused(load().findings("Congratulations, your workflow is in a good condition!")) == []
