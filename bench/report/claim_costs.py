"""Estimates the cost of each claim's workflow target on every measured device. The report page shows these costs."""

from pathlib import Path

from bench.claims import ReportSettings, target_of
from bench.errors import InputError
from bench.plan import Plan
from bench.plan_cost import CostEstimator, device_hours, total_of
from bench.throughput import Throughput, measured_devices


def claim_costs(settings: ReportSettings, root: Path) -> dict[str, list[str]]:
    """Return, by claim id, sentences that state the cost of the claim.

    A claim has no sentence if its runs cannot be planned, for example because its experiments are not in config/.
    """
    found = {}
    try:
        plan = Plan.load({"datasets": None, "experiments": None, "tasks": None, "scale": None}, root)
    except InputError:
        return {}
    for claim in settings.claims:
        try:
            found[claim.id] = _sentences(plan, target_of(claim), root)
        except InputError:
            continue
    return found


def _sentences(plan: Plan, target: str, root: Path) -> list[str]:
    runs = plan.runs(target)
    devices = measured_devices(root)
    if not devices:
        return [f"{len(runs)} runs; no device has been measured (slim-bench plan {target} --measure)"]
    sentences = []
    for device in devices:
        total = total_of(CostEstimator(plan, Throughput(device, root)).estimate(runs))
        text, spread = device_hours(total)
        cost = f"{text} device-hours ({spread})" if spread else "unknown cost"
        sentences.append(f"{total.count} runs, {total.done} finished; {cost} on {device}")
    return sentences
