"""Times a training step of ResNet-50 and SLIM-ResNet-50 at 224 px in the classification engine and in a minimal loop.

The minimal loop trains the compiled channels-last network of the engine in bf16 on one fixed batch that is already
normalised. The engine also gathers, augments and normalises each batch, and computes the gradient norm.
"""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from bench.registry import create_model
from bench.run import ClassificationRecipe, Compute, DataSpec, ModelSpec, Run
from bench.runtime.device import choose_device
from bench.train.classification.engine import Classification
from bench.train.startup import set_precision
from benchmarks.gpu_proof.fewshot import joules_per_step, rounded
from benchmarks.gpu_proof.record import Entry, Record
from benchmarks.runs import CLASSES, EVALUATION
from benchmarks.timing import Workload, interleaved, median_ratio
from reference.prepared import write_prepared

SIZE, BATCH, COUNT = 224, 128, 512
AT_LEAST = 0.9
NETWORKS: dict[str, dict[str, Any]] = {"resnet50": {}, "slim-resnet50": {}}
QUICK_NETWORKS: dict[str, dict[str, Any]] = {
    "resnet": {"blocks": [1, 1], "width": 8},
    "slim-resnet": {"blocks": [1, 1], "width": 16},
}
SETTINGS: dict[str, dict[str, Any]] = {
    "float32": {},
    "bf16": {"precision": "bf16"},
    "bf16, compiled": {"precision": "bf16", "compile": True},
}
FASTEST = "bf16, compiled"


def measure(record: Record, quick: bool) -> None:
    networks = QUICK_NETWORKS if quick else NETWORKS
    with tempfile.TemporaryDirectory() as folder:
        steps = ClassifierSteps(Path(folder), quick)
        for setting in (FASTEST,) if quick else SETTINGS:
            entry = record.entry(setting, lambda setting=setting: steps.compare(networks, setting))
            for name in networks:
                ratio = None if entry is None else median_ratio(entry["minimal loop"], entry[name])
                wanted = setting == FASTEST and name == next(iter(networks))
                row = f"throughput of engine / compiled bf16 loop with {next(iter(networks))}, {name}, {setting}"
                record.row(row, ratio, **({"at_least": AT_LEAST} if wanted else {}))
                if entry is not None and entry["joules"][name] is not None:
                    record.row(f"joules per step, {name}, {setting}", entry["joules"][name])


class ClassifierSteps:
    """Training steps of engines and of the minimal loop with networks of ten classes."""

    def __init__(self, folder: Path, quick: bool) -> None:
        self.device, self.quick = choose_device("auto"), quick
        self.size, self.batch, count = (32, 8, 16) if quick else (SIZE, BATCH, COUNT)
        random, arrays = np.random.default_rng(0), {}
        for split in ("train", "test"):
            pixels = random.integers(0, 256, (count, self.size, self.size, 3), dtype=np.uint8)
            arrays |= {f"{split}_images.npy": pixels, f"{split}_labels.npy": np.arange(count) % CLASSES}
        self.data = folder / "data"
        write_prepared(self.data, "classification", arrays, "random", classes=tuple("abcdefghij"))

    def compare(self, networks: dict[str, dict[str, Any]], setting: str) -> Entry:
        loop = self.minimal_loop(*next(iter(networks.items())))
        engines = {name: self.engine(name, args, setting) for name, args in networks.items()}
        workloads = {"minimal loop": loop, **engines}
        times = interleaved(workloads, 1 if self.quick else 30, warm_up=1 if self.quick else 5)
        joules = {name: joules_per_step(step, self.device) for name, step in workloads.items()}
        return {**rounded(times), "joules": joules, "batch": self.batch}

    def engine(self, name: str, args: dict[str, Any], setting: str) -> Workload:
        run = Run(
            scale="bench",
            experiment=name,
            dataset="random",
            seed=0,
            task="classification",
            model=ModelSpec(name=name, args=args),
            data=DataSpec(path=str(self.data), image_size=self.size),
            recipe=ClassificationRecipe(epochs=10**4, batch_size=self.batch, augment="small"),
            evaluation=EVALUATION,
            compute=Compute(**SETTINGS[setting]),
        )
        set_precision(run, self.device)
        engine, numbers = Classification(run, self.device), iter(range(10**6))
        return lambda: engine.step(next(numbers))

    def minimal_loop(self, name: str, args: dict[str, Any]) -> Workload:
        network = create_model(name, **args, in_channels=3, num_classes=CLASSES)
        network = network.to(self.device, memory_format=torch.channels_last).train()
        compiled = torch.compile(network)
        optimiser = torch.optim.SGD(network.parameters(), 0.1, momentum=0.9, weight_decay=1e-4)
        images = torch.randn(self.batch, 3, self.size, self.size, device=self.device)
        images = images.contiguous(memory_format=torch.channels_last)
        labels = torch.arange(self.batch, device=self.device) % CLASSES

        def step() -> None:
            optimiser.zero_grad(set_to_none=True)
            with torch.autocast(self.device.type, torch.bfloat16):
                loss = F.cross_entropy(compiled(images).float(), labels)
            loss.backward()
            optimiser.step()

        return step
