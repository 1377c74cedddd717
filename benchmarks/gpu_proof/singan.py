"""Times a SinGAN epoch (3 critic, 3 generator steps) of the engine and the reference loop at every pyramid scale."""

from statistics import median

from baselines.singan import pyramid as singan
from bench.runtime.device import choose_device
from benchmarks.bench_singan import engine, reference
from benchmarks.gpu_proof.fewshot import rounded
from benchmarks.gpu_proof.record import Entry, Record
from benchmarks.timing import interleaved
from slim.singan import pyramid as singan_slim

SIZE, QUICK_SIZE = 250, 40
AT_LEAST = 3.0
SETTINGS = {
    "float32": {},
    "float32, recorded": {"cuda_graphs": True},
    "bf16, recorded": {"precision": "bf16", "cuda_graphs": True},
}
WARM_UP = 5
"""Number of epochs before the measurement. The fourth epoch captures the CUDA graph."""


def measure(record: Record, quick: bool) -> None:
    device, side = choose_device("auto"), QUICK_SIZE if quick else SIZE
    size = {"height": side, "width": side, "base_channels": 4 if quick else 32}
    networks = {"singan": singan(**size).to(device), "singan-slim": singan_slim(**size).to(device)}
    sizes = networks["singan"].sizes
    chosen = [0, len(sizes) - 1] if quick else range(len(sizes))

    def epochs(scale: int) -> Entry:
        workloads = {name: engine(networks["singan"], scale, device, **setting) for name, setting in SETTINGS.items()}
        workloads["SinGAN-SLIM"] = engine(networks["singan-slim"], scale, device, **SETTINGS["float32, recorded"])
        workloads["reference"] = reference(networks["singan"], scale, device)
        return rounded(interleaved(workloads, 1 if quick else 10, warm_up=1 if quick else WARM_UP))

    found = [record.entry(f"{sizes[scale][0]} px", lambda scale=scale: epochs(scale)) for scale in chosen]
    done = [entry for entry in found if entry is not None]
    for name in (*SETTINGS, "SinGAN-SLIM"):
        ratio = None
        if len(done) == len(found):
            ratio = sum(median(entry["reference"]) for entry in done) / sum(median(entry[name]) for entry in done)
        target = {"at_least": AT_LEAST} if name == "float32, recorded" else {}
        record.row(f"reference loop / engine, epoch of all scales, {name}", ratio, **target)
