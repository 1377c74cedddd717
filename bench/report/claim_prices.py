"""Prices of the claims' targets for the report page, on every device that has been measured."""

from pathlib import Path

from bench.claims import ReportSettings, target_of
from bench.errors import InputError
from bench.plan import Plan
from bench.price import Prices, device_hours, total_of
from bench.throughput import Throughput, measured_devices


def claim_prices(settings: ReportSettings, root: Path) -> dict[str, list[str]]:
    """Return sentences with the price of each claim, by its id.

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
        total = total_of(Prices(plan, Throughput(device, root)).price(runs))
        text, spread = device_hours(total)
        price = f"{text} device-hours ({spread})" if spread else text
        sentences.append(f"{total.count} runs, {total.done} finished; {price} on {device}")
    return sentences
