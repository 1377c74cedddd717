"""A mistake in config/*.yaml is one line that names file and key and the nearest valid name."""

import pytest

from bench.config import Configuration
from bench.errors import InputError

FAULTS = {
    "unknown setting": ("config.yaml", "seeds: null", "sedes: null", "config/config.yaml: sedes: .*'seeds'"),
    "unknown scale": ("config.yaml", "scale: null ", "scale: domo ", "config/config.yaml: scale: 'domo' .*'demo'"),
    "unknown experiment key": (
        "experiments.yaml",
        "task: fewshot\n  model: {name: fastgan-sle}",
        "taks: fewshot\n  model: {name: fastgan-sle}",
        "experiments.yaml: fastgan-sle: taks: .*'task'",
    ),
    "unknown network": (
        "experiments.yaml",
        "model: {name: fastgan-sle}",
        "model: {name: fastgan-sel}",
        r"fastgan-sle.model.name: 'fastgan-sel' .*'fastgan-sle'",
    ),
    "unknown argument": (
        "experiments.yaml",
        "{gate: sle-residual}",
        "{gates: sle-residual}",
        "fastgan-sle-residual.model.args: gates: .*'gate'",
    ),
    "wrong value of an argument": (
        "experiments.yaml",
        "{gate: sle-residual}",
        "{gate: sle-resident}",
        "fastgan-sle-residual.model.args: gate: .*'sle-residual'",
    ),
    "unknown base": (
        "experiments.yaml",
        "base: fastgan-sle\n",
        "base: fastgan-slo\n",
        "fastgan-sle-residual.base: 'fastgan-slo' .*'fastgan-sl[ei]",
    ),
    "unknown key of a recipe": (
        "scales.yaml",
        "{steps: 70000, snapshots: 7}",
        "{step: 70000, snapshots: 7}",
        "scales.yaml: paper.fewshot.recipe: step: .*'steps'",
    ),
    "negative step count": (
        "scales.yaml",
        "{steps: 70000, snapshots: 7}",
        "{steps: -1, snapshots: 7}",
        "scales.yaml: paper.fewshot.recipe: steps: .*greater than 0",
    ),
    "unknown metric": (
        "scales.yaml",
        "[sifid64, sifid192, ",
        "[sifid46, sifid192, ",
        "paper.oneshot.evaluation.metrics: unknown metric 'sifid46'.*'sifid64'",
    ),
    "unknown data set of a variation": (
        "scales.yaml",
        "datasets: [100-shot-panda]",
        "datasets: [100-shot-pandas]",
        "paper.variations.1.datasets: '100-shot-pandas' .*'100-shot-panda'",
    ),
    "unknown experiment in a suite": (
        "suites/oneshot.yaml",
        "experiments: [singan, singan-slim]",
        "experiments: [singan, singan-slm]",
        "suites/oneshot.yaml: runs.0.experiments: 'singan-slm' .*'singan-slim'",
    ),
    "unknown data set in a suite": (
        "suites/oneshot.yaml",
        "datasets: [photo-astronaut]",
        "datasets: [photo-astronout]",
        "suites/oneshot.yaml: runs.0.datasets: 'photo-astronout' .*'photo-astronaut'",
    ),
    "unknown suite": (
        "suites/demo.yaml",
        "[fewshot, oneshot,",
        "[fewshots, oneshot,",
        "suites/demo.yaml: include: 'fewshots' .*'fewshot'",
    ),
    "not YAML": ("scales.yaml", "seeds: [0, 1, 2, 3, 4]", "seeds: [0, 1", "config/scales.yaml: not YAML"),
    "a key twice": ("suites/demo.yaml", "scale: demo\n", "scale: demo\nscale: paper\n", "suites/demo.yaml.*twice"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_one_line_that_names_it(name, project, edit):
    file, old, new, message = FAULTS[name]
    edit(file, old, new)
    with pytest.raises(InputError, match=message) as caught:
        Configuration.load(project)
    assert "\n" not in str(caught.value)


def test_missing_file(project):
    (project / "config" / "scales.yaml").unlink()
    with pytest.raises(InputError, match=r"config/scales.yaml: no such file"):
        Configuration.load(project)


def test_bases_in_a_circle(project, edit):
    edit("experiments.yaml", "task: fewshot\n  model: {name: fastgan-sle}", "base: fastgan-sle-residual")
    with pytest.raises(InputError, match="circle"):
        Configuration.load(project)


def test_a_base_gives_what_is_not_said():
    resolved = Configuration.load().resolved
    noise = resolved["fastgan-slim-noise"]
    assert noise.model.args == {"mask_noise": True} and noise.model.name == "fastgan-slim"
    assert noise.task == "fewshot" and noise.min_image_size == 256
    variation = resolved["fastgan-slim-4to64-g8"]
    assert variation.model.args == {"pairs": [64], "groups": 8}


def test_numbers_in_exponent_form_are_numbers(project, edit):
    edit("scales.yaml", "model: {tanh: true}\n      recipe: {learning_rate: 1.0e-4}", "recipe: {learning_rate: 1e-4}")
    scale = Configuration.load(project).scales["paper"]
    assert scale.variations[1].recipe == {"learning_rate": 1e-4}
