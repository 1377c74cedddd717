"""Measures one workload: `python -m bench.measure.job PROBE.json FOLDER SPAWNED`.

The process uses the same engine, evaluation or preparation as a job of the workflow. In a separate process, the peak
memory of a workload can be measured, and the measurement can be stopped. Each result is printed immediately as a line
of JSON. SPAWNED is the time at which the process was started.
"""

import ctypes
import json
import signal
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from bench.data.manifest import read_manifest
from bench.errors import InputError, RunFailedError, storage_error
from bench.files import read_json, read_mapping
from bench.measure.probe import Probe
from bench.measure.synthetic import write_prepared, write_source
from bench.run import Run
from bench.runtime.device import open_device
from bench.runtime.memory import is_out_of_memory, out_of_memory_message, peak_memory_bytes
from bench.schema import parse_strict
from bench.terminal import one_line
from bench.train.fewshot.perceptual import LpipsTrunk, PerceptualLoss
from bench.train.loop.engine import Engine
from bench.train.loop.graphs import WARM_UP as GRAPH_WARM_UP
from bench.train.loop.graphs import uses_graphs
from bench.train.loop.monitor import Monitor
from bench.train.loop.record import Data, Outcome, write_record
from bench.train.startup import configure_torch, describe_data, engine_class
from bench.workload import image_size_of

WARM_UP, REPEATS = 2, 5
PR_SET_PDEATHSIG = 1  # linux/prctl.h
PREPARED = (4, 12)
COUNTS = {
    "fewshot": {"cpu": (8, 24), "cuda": (64, 320)},
    "oneshot": {"cpu": (2, 6), "cuda": (4, 20)},
    "classification": {"cpu": (32, 128), "cuda": (256, 1280)},
}
"""Two numbers of images. The time per image is computed from the difference between the two measured times."""
LPIPS_CHANNELS = (64, 128, 256, 512, 512)


def print_result(**result: Any) -> None:
    print(json.dumps(result), flush=True)


def measure_training(probe: Probe, folder: Path) -> None:
    """Time the export and, at the start of each part (pyramid scale), real steps of the engine."""
    run, device = _with_data(probe, folder, test_images=8), open_device(probe.run.compute)
    clock = time.perf_counter()
    configure_torch(run, device)
    engine = build_engine(run, device)
    epochs = getattr(run.recipe, "epochs_per_scale", None)
    starts = range(0, engine.total_steps, epochs) if epochs else (0,)
    sizes = [max(size) for size in engine.pyramid.sizes] if epochs else [image_size_of(run)]
    print_result(sizes=sizes, fixed=time.perf_counter() - clock)
    monitor = Monitor(device)
    for part, start in enumerate(starts):
        steps = [start + (repeat % epochs if epochs else repeat) for repeat in range(_warm_up(run, device) + REPEATS)]
        _time_steps(engine, part, steps, monitor)
    clock = time.perf_counter()
    engine.export(folder / "out")
    print_result(fixed=time.perf_counter() - clock, peak=peak_memory_bytes(device))


def _warm_up(run: Run, device: torch.device) -> int:
    """Return the number of untimed steps. With CUDA graphs, the last of them records the graph."""
    return GRAPH_WARM_UP + 1 if uses_graphs(run.compute, device) else WARM_UP


def _time_steps(engine: Engine, part: int, steps: Sequence[int], monitor: Monitor) -> None:
    for repeat, step in enumerate(steps):
        warm = repeat < len(steps) - REPEATS
        seconds = _seconds(partial(engine.step, step), engine.device)
        print_result(part=part, warm=warm, step=seconds, peak=peak_memory_bytes(engine.device))
        if repeat + 1 == len(steps) - REPEATS:
            monitor.spent_joules()  # the next call then returns the energy of the timed steps
    joules = monitor.spent_joules()
    if joules is not None:
        print_result(part=part, joules=joules / REPEATS)


def _seconds(work: Callable[[], object], device: torch.device) -> float:
    _synchronise(device)
    clock = time.perf_counter()
    work()
    _synchronise(device)
    return time.perf_counter() - clock


def _synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def build_engine(run: Run, device: torch.device) -> Any:
    """Return the engine of a run. If the weights of LPIPS are missing, LPIPS has random weights.

    Weights do not change the operations, so they do not change the time of a step.
    """
    from bench.metrics.lpips import has_lpips_weights

    if getattr(run.recipe, "perceptual", None) != "lpips-vgg16" or has_lpips_weights():
        return engine_class(run.task)(run, device)
    recipe = run.recipe.model_copy(update={"perceptual": "efflite0"})
    engine = engine_class(run.task)(run.model_copy(update={"recipe": recipe}), device)
    trunk = LpipsTrunk(random_lpips()).to(device)
    trunk.to(memory_format=torch.channels_last)  # changes the module in place
    engine.perceptual = PerceptualLoss(trunk)
    print_result(note="LPIPS with random weights")
    return engine


def random_lpips() -> Any:
    """Return LPIPS with random weights, which is sufficient for measuring times."""
    from torchvision.models.vgg import cfgs, make_layers

    from bench.metrics.lpips import Lpips

    trunk = {f"features.{key}": value for key, value in make_layers(cfgs["D"]).state_dict().items()}
    heads = {f"lin{i}.model.1.weight": torch.rand(1, n, 1, 1) for i, n in enumerate(LPIPS_CHANNELS)}
    return Lpips(trunk, heads)


def measure_scoring(probe: Probe, folder: Path) -> None:
    """Time the evaluation of an untrained export for two numbers of generated or test images."""
    from bench.evaluate.run import evaluate_run

    device = open_device(probe.run.compute)

    configure_torch(_eager(probe.run), device)

    def prepared(count: int, index: int) -> Callable[[], object]:
        """Return the evaluation with `count` images. Each number of test images needs its own data and export."""
        subfolder = folder / (str(index) if probe.run.task == "classification" else "0")
        run = _write_untrained(probe, subfolder, count, device)
        return lambda: evaluate_run(run, subfolder / "run", folder / f"scores{index}")

    sets = 2 if probe.run.task == "fewshot" else 1  # two generators are scored for a few-shot run
    _time_image(prepared, COUNTS[probe.run.task][device.type], device, sets)
    print_result(peak=peak_memory_bytes(device), note=_failed_scores(folder / "scores0"))


def _eager(run: Run) -> Run:
    return run.model_copy(update={"compute": run.compute.model_copy(update={"compile": False})})


def _write_untrained(probe: Probe, folder: Path, count: int, device: torch.device) -> Run:
    """Write the export of an untrained network to `folder`/run. Return a run whose scores need `count` images."""
    synthetic = _with_data(probe, folder, test_images=count)
    evaluation = {} if synthetic.task == "classification" else {"n_fake": count}
    changed = synthetic.evaluation.model_copy(update=evaluation)
    run = _eager(synthetic).model_copy(update={"evaluation": changed})
    out, manifest = folder / "run", read_manifest(folder / "data")
    if not out.exists():
        out.mkdir()
        fields = build_engine(run, device).export(out)
        training = {**Outcome(device=device.type, precision=run.compute.precision).training(), **fields}
        write_record(out, run, Data(manifest.sha256, describe_data(manifest)), training)
    return run


def _failed_scores(folder: Path) -> str:
    """Return a note about the metrics that could not be computed. Their time is missing in the measurement."""
    scores = [read_mapping(path) for path in sorted(folder.glob("*.json"))]
    failed = [score for score in scores if score.get("status") == "failed"]
    if not failed:
        return ""
    return f"without {', '.join(score['metric'] for score in failed)} ({one_line(failed[0]['reason'])})"


def measure_preparation(probe: Probe, folder: Path) -> None:
    """Time the preparation of two numbers of images."""
    from bench.data.catalogue import UserFolder
    from bench.data.prepare import prepare

    size, task = probe.run.data.image_size, probe.run.task
    options: dict[str, Any] = {"upscale": True} if task != "classification" else {}

    def prepared(count: int, index: int) -> Callable[[], object]:
        source = write_source(folder / f"source{index}", probe, count)
        folders = {"synthetic": UserFolder(path=str(source), task=task, **options)}
        return lambda: prepare("synthetic", size, folder / f"out{index}", folders=folders)

    _time_image(prepared, (1, 1) if task == "oneshot" else PREPARED, torch.device("cpu"))


def _time_image(
    prepared: Callable[[int, int], Callable[[], object]], counts: tuple[int, int], device: torch.device, sets: int = 1
) -> None:
    """Print the time per image, and the time that does not depend on the number of images.

    `prepared(count, index)` returns the work for `count` images. The first call also loads code and weights, so the
    time per image is computed from the difference of the two later calls.
    """
    small, large = counts
    cold, warm, more = (_seconds(prepared(count, index), device) for index, count in enumerate((small, small, large)))
    each = max(0.0, more - warm) / (large - small) / sets if large > small else 0.0
    print_result(fixed=max(0.0, cold - each * small * sets), image=each)


def _with_data(probe: Probe, folder: Path, test_images: int) -> Run:
    """Write synthetic data and return the probe's run with the path of these data.

    The cost of snapshots and held-out images is computed separately, and there are too few synthetic images to hold any
    out.
    """
    if not (folder / "data").exists():
        write_prepared(folder / "data", probe, test_images)
    run, none = probe.run, {"fewshot": {"snapshots": 0}, "oneshot": {}, "classification": {"holdout": 0}}
    data = run.data.model_copy(update={"path": str(folder / "data"), "source_sha256": None})
    return run.model_copy(update={"data": data, "recipe": run.recipe.model_copy(update=none[run.task])})


MEASURES = {"prepare": measure_preparation, "train": measure_training, "score": measure_scoring}


def end_with_parent() -> None:
    """Ask Linux to kill this process when its parent ends, because a killed driver cannot stop its processes."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def measure_probe(file: Path, folder: Path, spawned: float) -> int:
    end_with_parent()
    probe = parse_strict(Probe, read_json(file), file)
    is_preparation = probe.workload.part == "prepare"  # `slim-bench prepare` does not import torch
    print_result(torch=torch.__version__, fixed=0.0 if is_preparation else time.time() - spawned)
    try:
        MEASURES[probe.workload.part](probe, folder)
    except (InputError, RunFailedError) as error:
        print_result(error=one_line(error))
        return 2
    except OSError as error:
        print_result(error=one_line(storage_error(error)))
        return 2
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        batch, compute = getattr(probe.run.recipe, "batch_size", None), probe.run.compute
        print_result(error=one_line(out_of_memory_message(error, batch, open_device(compute))))
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(measure_probe(Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3])))
