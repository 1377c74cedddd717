"""An error in config/*.yaml is one line with file, key and the nearest valid name."""

import argparse
import re

import pytest
from snakemake.cli import parse_config

from bench.commands.common import overrides_of
from bench.config import Configuration
from bench.errors import InputError
from bench.files import read_json
from bench.plan import Plan
from tests.helpers import ROOT

PROBLEMS = {
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
    "unknown dataset of a variation": (
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
    "unknown dataset in a suite": (
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
    "infinite": (
        "scales.yaml",
        "checkpoint_seconds: 20",
        "checkpoint_seconds: .inf",
        "scales.yaml: checkpoint_seconds: inf is not a finite number",
    ),
    "too large for a float": ("scales.yaml", "learning_rate: 0.012", "learning_rate: 1e400", "learning_rate: .*finite"),
    "a beta of an optimiser": (
        "scales.yaml",
        "steps: 70000, snapshots",
        "adam_betas: [-1.0, 0.9], steps: 70000, snapshots",
        r"paper.fewshot.recipe: adam_betas.0: .*greater than or equal to 0",
    ),
    "no seeds": ("scales.yaml", "seeds: [0, 1, 2, 3, 4]", "seeds: []", "scales.yaml: paper: seeds: .*at least 1"),
    "a seed twice": (
        "scales.yaml",
        "seeds: [0, 1, 2, 3, 4]",
        "seeds: [3, 3]",
        "scales.yaml: paper: seeds: 3 occurs twice",
    ),
    "a seed above the limit": (
        "scales.yaml",
        "seeds: [0, 1, 2, 3, 4]",
        f"seeds: [{10**30}]",
        "paper: seeds.0: .*less",
    ),
    "no metric": (
        "scales.yaml",
        "[top1, top5, params, macs]",
        "[]",
        "classification.evaluation.metrics: the list is empty",
    ),
    "a metric twice": ("scales.yaml", "[top1, top5, params, macs]", "[top1, top1]", "metrics: top1 occurs twice"),
    "too few generated images": (
        "scales.yaml",
        "n_fake: 250",
        "n_fake: 5",
        "demo.fewshot.*'precision_efflite0' needs n_fake of at least 6",
    ),
    "a scale factor above 1": ("scales.yaml", "scale_factor: 0.5", "scale_factor: 1.5", "scale_factor: .*less than 1"),
    "a date": (
        "experiments.yaml",
        "fastgan-sle:\n",
        "x: {description: 2020-01-01}\nfastgan-sle:\n",
        "x: .*put it in quotes",
    ),
    "a numeric key": (
        "experiments.yaml",
        "fastgan-sle:\n",
        "3: {}\nfastgan-sle:\n",
        "key '3' is not a string",
    ),
    "a list as a key": (
        "experiments.yaml",
        "fastgan-sle:\n",
        "? [a]\n: {}\nfastgan-sle:\n",
        "a key is not a string",
    ),
    "a path as a name": (
        "experiments.yaml",
        "fastgan-sle:\n",
        "../x: {}\nfastgan-sle:\n",
        "'../x': a name may contain only a-z, 0-9",
    ),
    "a network of another task": (
        "experiments.yaml",
        "model: {name: fastgan-sle}",
        "model: {name: resnet50}",
        "fastgan-sle.model.name: 'resnet50' is not a network for fewshot",
    ),
    "unknown base of a grid": (
        "ablations.yaml",
        "bases: [fastgan-slim]",
        "bases: [fastgan-slmi]",
        "config/ablations.yaml: skip-layer-pairs.bases: 'fastgan-slmi' .*'fastgan-slim'",
    ),
    "no base of a grid": (
        "ablations.yaml",
        "bases: [fastgan-slim]",
        "bases: []",
        "skip-layer-pairs: bases: .*at least 1",
    ),
    "unknown argument of a grid": (
        "ablations.yaml",
        "{dilation: 4}",
        "{dilatoin: 4}",
        "config/ablations.yaml: skip-layer-pairs.variations.d4.model.args: dilatoin: .*'dilation'",
    ),
    "a grid that names another network": (
        "ablations.yaml",
        "{args: {dilation: 4}}",
        "{name: singan}",
        "skip-layer-pairs: variations.d4.model.name: Extra inputs",
    ),
    "unknown key of a grid": (
        "ablations.yaml",
        "d4: {description",
        "d4: {descriptoin",
        "config/ablations.yaml: skip-layer-pairs: variations.d4.descriptoin: .*'description'",
    ),
    "an experiment that a grid also defines": (
        "experiments.yaml",
        "singan-slim-residual:\n",
        "singan-slim-g2:\n",
        "ablations.yaml: skip-layer-groups.variations.g2: singan-slim-g2 is already defined by config/experiments.yaml",
    ),
    "an invalid name of a variation": ("ablations.yaml", "    d4: {", "    D4: {", "skip-layer-pairs: variations.D4"),
    "a key twice": ("suites/demo.yaml", "scale: demo\n", "scale: demo\nscale: paper\n", "suites/demo.yaml.*twice"),
}


@pytest.mark.parametrize("name", PROBLEMS)
def test_a_problem_is_named_in_one_line(name, project, edit):
    file, old, new, message = PROBLEMS[name]
    edit(file, old, new)
    with pytest.raises(InputError, match=message) as caught:
        Configuration.load(project)
    assert "\n" not in str(caught.value)


def test_a_missing_file_gives_a_one_line_error(project):
    (project / "config" / "scales.yaml").unlink()
    with pytest.raises(InputError, match=r"config/scales.yaml: no such file"):
        Configuration.load(project)


def test_circular_bases_are_refused(project, edit):
    edit("experiments.yaml", "task: fewshot\n  model: {name: fastgan-sle}", "base: fastgan-sle-residual")
    with pytest.raises(InputError, match="circular"):
        Configuration.load(project)


def test_missing_keys_are_inherited_from_the_base():
    resolved = Configuration.load().resolved
    noise = resolved["fastgan-slim-noise"]
    assert noise.model.args == {"mask_noise": True} and noise.model.name == "fastgan-slim"
    assert noise.task == "fewshot" and noise.min_image_size == 256
    variation = resolved["fastgan-slim-4to64-g8"]
    assert variation.model.args == {"pairs": [64], "groups": 8}


def test_names_and_networks_of_the_experiments_are_stable():
    """Results are stored under these names, so a changed network gets another name."""
    expected = read_json(ROOT / "tests/data/experiments.json")
    resolved = Configuration.load().resolved
    assert resolved.keys() == expected.keys()
    for name, experiment in resolved.items():
        found = experiment.model_dump(mode="json", exclude={"description", "recipe"}, exclude_none=True)
        assert found == {key: value for key, value in expected[name].items() if value is not None}, name


def test_a_grid_defines_an_experiment_per_variation_and_base(project, edit):
    edit(
        "ablations.yaml",
        "bases: [resnet14-slim-w16, resnet50-slim]",
        "bases: [resnet14-slim-w16, resnet50-slim, resnet101-slim]",
    )
    resolved = Configuration.load(project).resolved
    assert resolved["resnet101-slim-g2"].model.args == {"zero_init_residual": True, "slim_groups": 2}
    assert resolved["resnet101-slim-g2"].base == "resnet101-slim"


def test_a_configuration_without_grids_is_valid(project):
    (project / "config/ablations.yaml").unlink()
    for name in ("ablations", "ablations-parts"):
        (project / f"config/suites/{name}.yaml").unlink()
    assert "fastgan-slim" in Configuration.load(project).resolved


def test_numbers_in_exponent_form_are_parsed(project, edit):
    edit("scales.yaml", "model: {tanh: true}\n      recipe: {learning_rate: 1.0e-4}", "recipe: {learning_rate: 1e-4}")
    scale = Configuration.load(project).scales["paper"]
    assert scale.variations[1].recipe == {"learning_rate": 1e-4}


def test_a_pyramid_needs_a_smallest_image_below_the_largest(project, edit):
    edit("scales.yaml", "max_size: 96", "max_size: 10")
    with pytest.raises(InputError, match=r"singan on .* recipe.min_size 25 exceeds recipe.max_size 10"):
        Plan.load(root=project).runs("demo")


def test_a_warm_up_longer_than_the_training_is_refused(project, edit):
    edit("scales.yaml", "recipe: {epochs: 8,", "recipe: {epochs: 1,")
    edit("scales.yaml", "warmup_epochs: 1,", "warmup_epochs: 2,")
    with pytest.raises(InputError, match=r"fashion-mnist.* recipe.warmup_epochs 2 exceeds recipe.epochs 1"):
        Plan.load(root=project).runs("demo")


def test_keys_from_a_yaml_merge_can_be_varied(project, edit):
    given = "xx: &a {base: fastgan-sle, description: d}\nyy: {<<: *a, description: e}\nfastgan-sle:\n"
    edit("experiments.yaml", "fastgan-sle:\n", given)
    assert Configuration.load(project).experiments["yy"].description == "e"


def test_values_of_a_command_line_are_parsed():
    """Snakemake passes most values of `--config` as text."""
    given = [
        "seeds=[3]",
        "scale=null",
        "allow_mixed_code=true",
        "folders={x: {path: docs, upscale: true, background: [0, 0, 9]}}",
    ]
    plan = Plan.load(parse_config(given))
    settings = plan.configuration.settings
    assert (settings.seeds, settings.scale, settings.allow_mixed_code) == ((3,), None, True)
    assert plan.configuration.catalogue.datasets["x"].preparation.background == (0, 0, 9)
    assert plan.configuration.catalogue.datasets["x"].preparation.upscale
    assert Plan.load(parse_config(["seeds=3"])).configuration.settings.seeds == (3,)


@pytest.mark.parametrize(
    "given",
    ["folders={{cats: {0}}}", "folders={{cats: {{path: {0}}}}}", "folder={0}", "folder={{path: {0}}}"],
)
def test_a_path_is_parsed_with_and_without_braces(tmp_path, given):
    (tmp_path / "cats").mkdir()
    plan = Plan.load(parse_config([given.format(tmp_path / "cats")]))
    ((name, folder),) = plan.folders.items()
    assert name.startswith("cats") and (folder.path, folder.task) == (str(tmp_path / "cats"), "fewshot")
    assert plan.configuration.catalogue.datasets[name].source.path == folder.path


@pytest.mark.parametrize("options", ["", ", upscale: true, background: [0, 0, 9]", ", task: oneshot", ", licence: a b"])
def test_the_rules_pass_a_folder_on_unchanged(tmp_path, options):
    """The command line that the plan writes is read back as the same dataset."""
    (tmp_path / "cats").mkdir()
    ((name, folder),) = Plan.load(parse_config([f"folder={{path: {tmp_path / 'cats'}{options}}}"])).folders.items()
    line = argparse.Namespace(folder=[f"{name}={folder.as_yaml()}"])
    assert Plan.load(overrides_of(line)).folders == {name: folder}
    assert "resample" not in folder.as_yaml(), "defaults are not given"


def test_options_are_accepted_for_an_unnamed_folder(tmp_path):
    plan = Plan.load(parse_config([f"folder={{path: {tmp_path}, upscale: true, background: [0, 0, 9]}}"]))
    (name,) = plan.folders
    preparation = plan.configuration.catalogue.datasets[name].preparation
    assert preparation.upscale and preparation.background == (0, 0, 9)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("folder=[a, b]", r"config\.yaml: folder: expected one path; .*folders=\{NAME: PATH"),
        ("folders=[a, b]", r"config\.yaml: folders: expected folders=\{NAME: PATH\}"),
        ("folders=docs", r"config\.yaml: folders: expected folders="),
        ("folders={x: [docs]}", r"config\.yaml: folders\.x\.path: .*string"),
        ("folders={x: {upscale: true}}", r"config\.yaml: folders\.x\.path: Field required"),
        ("folder={pth: docs}", r"config\.yaml: folder\.pth: .*did you mean 'path'"),
    ],
)
def test_an_invalid_path_gives_a_one_line_error(given, message):
    with pytest.raises(InputError, match=message):
        Plan.load(parse_config([given]))


def test_folders_of_the_same_name_are_different_datasets(tmp_path):
    names = []
    for parent in ("a/images", "b/images", "own", "Fashion MNIST"):
        (tmp_path / parent).mkdir(parents=True)
        names += Plan.load({"folder": str(tmp_path / parent)}).folders
    assert len(set(names)) == 4
    assert [re.fullmatch(r"(.*)-[0-9a-f]{8}", name)[1] for name in names] == [
        "images",
        "images",
        "own",
        "fashion-mnist",
    ]
    assert [*Plan.load({"folder": f"{tmp_path}/b/../a/images"}).folders] == names[:1], (
        "another spelling of the same path"
    )


def test_a_folder_must_exist():
    with pytest.raises(InputError, match="12: no such file or folder"):
        Plan.load(parse_config(["folder=12"]))


@pytest.mark.parametrize(
    "name", ["../x", "a b", "-x", "A", "", "x\ny", "a" * 81, "own", "imagenet", "lpips-vgg16-heads"]
)
def test_an_invalid_or_used_name_of_a_folder_is_refused(name):
    with pytest.raises(InputError, match=r"folders.* name") as caught:
        Plan.load({"folders": {name: {"path": "docs"}}})
    assert "\n" not in str(caught.value)


def test_a_folder_of_the_user_does_not_hide_another(tmp_path):
    (tmp_path / "cats").mkdir()
    both = Plan.load({"folder": str(tmp_path / "cats"), "folders": {"cats": {"path": "docs"}}}).folders
    assert [folder.path for folder in both.values()] == ["docs", str(tmp_path / "cats")]
    with pytest.raises(InputError, match=r"config.yaml: folder: the path is empty"):
        Plan.load({"folder": ""})
    with pytest.raises(InputError, match=r"folders.x.background.0: .*less than or equal to 255"):
        Plan.load({"folders": {"x": {"path": "docs", "background": [256, 0, 0]}}})
