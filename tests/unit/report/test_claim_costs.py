"""The page shows the cost of each claim's target on every measured device."""

from bench.claims import load_settings, target_of
from bench.plan import Plan
from bench.report.claim_costs import claim_costs
from bench.throughput import Throughput, rate_of
from bench.workload import images_of, scored_images, scoring_workload, steps_of, training_workload


def test_without_a_measured_device_the_command_is_printed(project):
    costs = claim_costs(load_settings(), project)
    assert list(costs) == [claim.id for claim in load_settings().claims]
    assert costs["few-shot"] == ["180 runs; no device has been measured (slim-bench plan claim-few-shot --measure)"]


def test_a_measured_device_has_a_cost(project):
    plan, throughput = Plan.load(root=project), Throughput("nvidia-test", project)
    (claim,) = [claim for claim in load_settings().claims if claim.id == "classification"]
    for run in plan.runs(target_of(claim)):
        images = images_of(run, plan.configuration.catalogue.dataset(run.dataset))
        steps, scored = steps_of(run, images), scored_images(run, images)
        throughput.add([rate_of(training_workload(run, images), unit="step", seconds=3600 / steps)])
        throughput.add([rate_of(scoring_workload(run, images), unit="image", seconds=360 / scored)])
    costs = claim_costs(load_settings(), project)
    # an hour and a tenth for each of ten runs, and 120 selections by 10,000 held-out images
    assert costs["classification"] == ["10 runs, 0 finished; 23 device-hours (23 to 23) on nvidia-test"]
    assert costs["one-shot"][0].endswith("; unknown cost on nvidia-test")


def test_a_project_without_these_experiments_has_no_cost(tmp_path):
    assert claim_costs(load_settings(), tmp_path) == {}
