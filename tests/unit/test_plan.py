"""The plan is computed from the configuration alone, quickly and without torch."""

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from bench.claims import load_settings, target_of
from bench.errors import InputError
from bench.plan import Plan
from bench.run import Run, read_run, training_hash, write_run
from bench.schema import parse_strict
from bench.suites import read_suites

FEWSHOT_256 = {"100-shot-obama", "100-shot-grumpy-cat", "100-shot-panda", "animalface-cat", "animalface-dog"}
FEWSHOT_1024 = {"art-painting", "ffhq-1k", "flower-1k", "pokemon", "anime-face", "skulls", "shells"}


@pytest.fixture(scope="module")
def plan():
    return Plan.load()


def test_paper_has_every_dataset_network_and_seed(plan):
    runs = plan.runs("paper")
    assert len({run.name for run in runs}) == len(runs)
    assert {run.seed for run in runs} == {0, 1, 2, 3, 4}
    sizes = {run.dataset: run.data.image_size for run in runs if run.task == "fewshot"}
    assert {name for name, size in sizes.items() if size == 256} == FEWSHOT_256
    assert {name for name, size in sizes.items() if size == 1024} == FEWSHOT_1024
    one_shot = {(run.experiment, run.dataset) for run in runs if run.task == "oneshot"}
    assert len({dataset for _, dataset in one_shot}) == 14
    assert {name for name, _ in one_shot} == {"singan", "singan-noresidual", "singan-slim", "singan-slim-residual"}
    assert len(one_shot) == 14 * 4
    networks = {run.experiment for run in runs if run.task == "classification" and run.dataset == "imagenet"}
    assert {
        "resnet50",
        "resnext50-32x4d",
        "resnet50-slim",
        "resnet101",
        "resnext101-32x4d",
        "resnet101-slim",
    } <= networks
    per_pair = Counter((run.experiment, run.dataset) for run in runs)
    assert set(per_pair.values()) == {5}


def test_paper_recipe_follows_the_authors(plan):
    runs = {(run.experiment, run.dataset): run for run in plan.runs("paper")}
    obama, panda = runs["fastgan-slim", "100-shot-obama"], runs["fastgan-slim", "100-shot-panda"]
    assert (obama.recipe.steps, obama.recipe.learning_rate, obama.recipe.batch_size) == (70000, 2e-4, 8)
    assert panda.recipe.learning_rate == 1e-4 and panda.model.args["tanh"] is True
    ffhq = runs["fastgan-sle", "ffhq-1k"]
    assert (ffhq.recipe.steps, ffhq.recipe.learning_rate, ffhq.model.args["image_size"]) == (75000, 1e-4, 1024)
    assert obama.recipe.perceptual == "lpips-vgg16" and not obama.recipe.ema_warmup
    one_shot = runs["singan", "singan-tree"].recipe
    assert (one_shot.epochs_per_scale, one_shot.min_size, one_shot.max_size) == (2000, 25, 250)
    imagenet = runs["resnet50-slim", "imagenet"]
    assert (imagenet.recipe.epochs, imagenet.recipe.warmup_epochs, imagenet.model.args["num_classes"]) == (120, 5, 1000)


def test_slim_and_its_baseline_differ_only_in_the_network(plan):
    for suite in ("demo", "paper"):
        runs = {(run.experiment, run.dataset, run.seed): run for run in plan.runs(suite)}
        slim = "fastgan-slim" if suite == "paper" else "fastgan-slim-4to64"
        pairs = {slim: "fastgan-sle", "singan-slim": "singan"}
        for (experiment, dataset, seed), run in runs.items():
            if experiment in pairs:
                baseline = runs[pairs[experiment], dataset, seed]
                assert (run.recipe, run.data, run.compute) == (baseline.recipe, baseline.data, baseline.compute)
                assert run.evaluation == baseline.evaluation


def test_ablations_vary_the_groups(plan):
    groups = {run.model.args.get("groups", 4): run for run in plan.runs("ablations")}
    assert set(groups) == {1, 2, 4, 8}
    assert {run.scale for run in groups.values()} == {"demo"}
    unnormalised = [run for run in plan.runs("ablations") if run.model.args.get("normalise") is False]
    assert {run.model.args["groups"] for run in unnormalised} == {1}


def test_a_run_lists_its_varied_keys(plan):
    bases = {run.experiment: run.base for run in plan.runs("ablations")}
    assert bases["fastgan-slim-4to64"] is None and bases["fastgan-slim-4to64-g8"] == "fastgan-slim-4to64"
    run = plan.runs("ablations")[1]
    described = run.model_dump(mode="json")
    assert run.base and training_hash(described | {"base": None}) == training_hash(described) == run.hash
    del described["base"]  # as in files of an earlier version
    assert parse_strict(Run, described, "run.json").hash == run.hash


def test_a_suite_lists_the_same_runs_as_another(plan):
    main = {run.name: run.hash for run in plan.runs("demo")}
    shared = [run for run in plan.runs("ablations") if run.name in main]
    assert shared and all(run.hash == main[run.name] for run in shared)


@pytest.mark.parametrize("scale", ["tiny", "demo", "small", "paper"])
def test_every_suite_plans_at_every_scale(plan, scale):
    claims = {name for name in plan.suites if name.startswith("claim-")}
    for suite in set(plan.suites) - {"own"} - (claims if scale != "paper" else set()):
        assert plan.runs(suite, scale)


def test_frozen_run_reads_back_equal(plan, tmp_path):
    run = plan.runs("demo")[0]
    write_run(tmp_path / "run.json", run)
    again = read_run(tmp_path / "run.json")
    assert again == run and again.hash == run.hash


def test_other_metrics_do_not_change_the_run_hash(plan):
    run = plan.runs("demo")[0]
    value = run.model_dump(mode="json")
    value["evaluation"]["n_fake"] = 7
    scored = parse_strict(Run, value, "run.json")
    assert scored.hash == run.hash and scored.description_hash != run.description_hash
    value["recipe"]["steps"] += 1
    longer = parse_strict(Run, value, "run.json")
    assert longer.hash != run.hash


def test_settings_override_scale_and_seeds(plan):
    assert plan.scale_of("demo") == "demo" and plan.scale_of("paper") == "paper"
    other = Plan.load({"scale": "small", "seeds": [7]})
    assert other.scale_of("demo") == other.scale_of("paper") == "small"
    assert {run.seed for run in other.runs("fewshot")} == {7}
    assert Plan.load({"seeds": ["7", "8"]}).seeds("demo") == (7, 8)  # as Snakemake passes `seeds=[7,8]`
    assert Plan.load({"seeds": 7}).seeds("demo") == (7,)


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        ({"datasets": ["singan-tree"]}, {("oneshot", "singan-tree")}),
        ({"tasks": "classification"}, {("classification", "imagenet")}),  # as Snakemake passes `tasks=classification`
        ({"experiments": ["resnet50", "singan"], "datasets": ["imagenet"]}, {("classification", "imagenet")}),
    ],
)
def test_the_settings_choose_a_part_of_every_suite(plan, part, expected):
    chosen = Plan.load({**part, "seeds": ["1"]}).runs("paper")
    assert {(run.task, run.dataset) for run in chosen} == expected
    whole = {run.name: run.hash for run in plan.runs("paper")}
    assert {run.seed for run in chosen} == {1} and all(whole[run.name] == run.hash for run in chosen)


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ({"datasets": ["fashon-mnist"]}, "datasets: 'fashon-mnist' is not known .*'fashion-mnist'"),
        ({"experiments": ["singan-slm"]}, "experiments: 'singan-slm' is not known .*'singan-slim'"),
        ({"tasks": ["few-shot"]}, "tasks: 'few-shot' is not known .*'fewshot'"),
        ({"tasks": []}, "tasks: the list is empty"),
        ({"datasets": ["a", "a"]}, "datasets: a occurs twice"),
        ({"datasets": [1.5]}, "datasets.0: Input should be a valid string"),
        ({"datasets": ["fashion-mnist"]}, r"'paper' has no runs with datasets=\[fashion-mnist\] .*; its datasets are"),
        ({"datasets": ["singan-tree"], "tasks": ["fewshot"]}, "no run has all of them"),
    ],
)
def test_a_part_without_runs_gives_a_one_line_error(part, message):
    with pytest.raises(InputError, match=message) as error:
        Plan.load(part).runs("paper")
    assert "\n" not in str(error.value)


def test_names_that_a_suite_does_not_have_are_listed():
    chosen = Plan.load({"datasets": ["fashion-mnist", "singan-tree"], "tasks": ["oneshot"]})
    assert chosen.unmatched("paper") == ["fashion-mnist"]


def test_each_claim_is_a_target_with_the_runs_that_it_compares(plan):
    settings = load_settings()
    for claim in settings.claims:
        runs = plan.runs(target_of(claim))
        wanted = {(e, d) for c in claim.comparisons for e in (c.slim, c.baseline) for d in c.sets}
        assert {(run.experiment, run.dataset) for run in runs} == wanted
        assert {run.scale for run in runs} == {settings.verdict_scale}
        assert len({run.seed for run in runs}) >= settings.minimum_seeds
    assert {target_of(claim) for claim in settings.claims} < read_suites(Path("config")).keys()
    with pytest.raises(InputError, match="'claim-few-shot' has no runs at scale 'demo': it is for paper"):
        Plan.load({"scale": "demo"}).runs("claim-few-shot")


def test_unknown_names_are_refused_with_a_suggestion(plan):
    for arguments, message in {
        ("demoo", "fastgan-sle", "fluent-emoji-100"): "scale.*'demo'",
        ("demo", "fastgan-slee", "fluent-emoji-100"): "experiment.*'fastgan-sle'",
        ("demo", "fastgan-sle", "fluent-emoji-10"): "dataset.*'fluent-emoji-100'",
        ("demo", "fastgan-slim", "fluent-emoji-100"): "at least 256 px, not 64",
        (
            "demo",
            "fastgan-sle",
            "fashion-mnist",
        ): "fastgan-sle is for fewshot, but .* fashion-mnist is for classification",
    }.items():
        with pytest.raises(InputError, match=message):
            plan.run(*arguments, 0)
    with pytest.raises(InputError, match=r"suite: 'demos'.*'demo'"):
        plan.runs("demos")


def test_own_images_choose_their_task(tmp_path):
    folder = tmp_path / "My Cats"
    folder.mkdir()
    plan = Plan.load({"folder": str(folder)})
    (name,) = plan.folders
    assert re.fullmatch(r"my-cats-[0-9a-f]{8}", name)
    assert {(run.experiment, run.dataset) for run in plan.runs("own")} == {
        ("fastgan-sle", name),
        ("fastgan-slim-4to64", name),
    }
    image = tmp_path / "view.jpg"
    image.touch()
    assert {run.experiment for run in Plan.load({"folder": str(image)}).runs("own")} == {"singan", "singan-slim"}
    with pytest.raises(InputError, match="no such file or folder"):
        Plan.load({"folder": str(tmp_path / "nothing")})
    with pytest.raises(InputError, match="pass your images"):
        Plan.load().runs("own")


TIMED = """
import sys, time
from pathlib import Path
import yaml
from bench.workflow import WorkflowPlan

def least(work):
    times = []
    for _ in range(3):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return min(times)

texts = [path.read_text(encoding="utf-8") for path in Path("config").rglob("*.yaml")]
print(least(lambda: WorkflowPlan.open({}).runs("paper")), least(lambda: [yaml.safe_load(text) for text in texts]))
print(*({"torch", "pandas", "torchvision", "scipy"} & set(sys.modules)))
"""


def test_planning_is_fast_and_imports_no_torch():
    """The limit is a multiple of the time for reading the YAML files on this machine under its current load."""
    done = subprocess.run([sys.executable, "-c", TIMED], capture_output=True, text=True, check=True)
    planning, reading, *heavy = done.stdout.split()
    assert heavy == []
    assert float(planning) < 6 * float(reading)
