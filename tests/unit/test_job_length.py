"""The workflow starts the longest remaining work first, which keeps the cores busy until the end."""

import heapq
from types import SimpleNamespace

import pytest

from bench.job_length import MAX_PRIORITY, priority_of, scoring_seconds, training_seconds
from bench.workflow import WorkflowPlan
from bench.workload import images_of


@pytest.fixture(scope="module")
def plan():
    return WorkflowPlan.open({})


def wildcards(run):
    return SimpleNamespace(scale=run.scale, experiment=run.experiment, dataset=run.dataset, seed=str(run.seed))


def test_priorities_of_the_demo_follow_the_measured_order(plan):
    """On a CPU few-shot runs take the longest, then one-shot runs, then classifiers."""
    train = {}
    for run in plan.runs("demo"):
        train.setdefault(run.task, set()).add(plan.priority("train")(wildcards(run)))
    assert min(train["fewshot"]) > max(train["oneshot"]) and min(train["oneshot"]) > max(train["classification"])


@pytest.mark.parametrize("suite", ["demo", "paper"])
def test_data_jobs_come_first_and_training_precedes_scoring(plan, suite):
    for run in plan.runs(suite):
        train, evaluate = (plan.priority(rule)(wildcards(run)) for rule in ("train", "evaluate"))
        assert 0 < evaluate < train < MAX_PRIORITY


def test_priority_grows_with_length():
    values = [priority_of(seconds) for seconds in (1, 10, 1e3, 1e5, 1e7)]
    assert values == sorted(set(values)) and values[-1] < MAX_PRIORITY


def makespan(jobs, order, cores=2):
    """Return the time of a list schedule of (training, scoring) pairs, started in `order`, and the total work."""
    ready = [(order(train, score, "train"), i, "train") for i, (train, score) in enumerate(jobs)]
    free, running, now = cores, [], 0.0
    while ready or running:
        ready.sort(key=lambda job: -job[0])
        while ready and free:
            _, i, kind = ready.pop(0)
            heapq.heappush(running, (now + jobs[i][kind == "score"], i, kind))
            free -= 1
        now, i, kind = heapq.heappop(running)
        free += 1
        if kind == "train":
            ready.append((order(*jobs[i], "score"), i, "score"))
    return now


@pytest.mark.parametrize("seeds", [1, 2])
def test_the_order_of_demo_jobs_keeps_two_cores_busy(plan, seeds):
    jobs = []
    for run in [run for run in plan.runs("demo") if run.seed < seeds]:
        images = images_of(run, plan.configuration.catalogue.dataset(run.dataset))
        jobs.append((training_seconds(run, images), scoring_seconds(run, images)))
    longest_first = makespan(jobs, lambda train, score, kind: train + score if kind == "train" else score)
    assert longest_first <= 1.05 * sum(map(sum, jobs)) / 2
