"""Times the Fréchet distance, including covariances, and feature extraction against clean-fid.

The benchmark takes about three minutes on two cores, mostly for clean-fid's matrix square roots. Run it on an idle
machine: under load, the roots take many times as long with two threads as with one, because OpenBLAS's threads wait for
each other.
"""

import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from bench.metrics.catalogue import INCEPTION_FILES
from bench.metrics.features import extract_features
from bench.metrics.folder import list_images, stream_images
from bench.metrics.frechet import frechet_distance
from bench.metrics.inception import CleanFidInception
from bench.metrics.weights import weights_path
from benchmarks.resident import resident_megabytes
from benchmarks.timing import Workload, interleaved, median_milliseconds, median_ratio, target

DIM = 2048
SIZES = {"100 real, 5,000 fake": (100, 5000, 40.0, 1e-4), "10,000 real, 10,000 fake": (10_000, 10_000, 4.0, 1e-6)}
"""Label -> (real images, generated images, minimum speed-up, maximum relative difference)."""
WARM_UP_DIM = 256
IMAGES, PIXELS, REPEATS = 32, 256, 3
STREAMED = (128, 1024)
"""Image counts whose resident memory is compared. 1024 images take 200 MB (800 MB as float32), and torch 550 MB."""


def measure(quick: bool) -> dict[str, Any]:
    warnings.filterwarnings("ignore", category=FutureWarning)
    rows, milliseconds = [], {}
    for label, (n, m, at_least, at_most) in SIZES.items():
        values: dict[str, float] = {}
        for workload in distances(n, m, {}, dim=WARM_UP_DIM).values():
            workload()
        times = interleaved(distances(n, m, values), 1 if quick else REPEATS, warm_up=0)
        milliseconds[label] = median_milliseconds(times)
        ratio = median_ratio(times["clean-fid"], times["ours"])
        rows.append(target(f"clean-fid / ours, {label}", ratio, at_least=at_least))
        difference = abs(values["ours"] / values["clean-fid"] - 1)
        rows.append(target(f"relative difference x 1e6, {label}", 1e6 * difference, at_most=1e6 * at_most))
    count = 16 if quick else IMAGES
    times, growth = extraction(count, 1 if quick else REPEATS)
    milliseconds[f"extraction of {count} images"] = median_milliseconds(times)
    ratio = median_ratio(times["clean-fid"], times["ours"])
    rows.append(target("clean-fid / ours, extraction", ratio, at_least=minimum_extraction_ratio()))
    few, many = STREAMED
    rows.append(target(f"resident memory, {many} images / {few}", growth, at_most=1.1))
    return {"targets": rows, "milliseconds": milliseconds, "dimensions": DIM}


def distances(n: int, m: int, values: dict[str, float], dim: int = DIM) -> dict[str, Workload]:
    """Return both implementations, applied to the same features. Each call stores its result in `values`."""
    from cleanfid.fid import fid_from_feats

    real, fake = features(n, 1)[:, :dim], features(m, 2)[:, :dim]
    doubles = real.astype(np.float64), fake.astype(np.float64)  # for equal accuracy; the conversion is not timed
    return {
        "clean-fid": lambda: values.update({"clean-fid": float(np.real(fid_from_feats(*doubles)))}),
        "ours": lambda: values.update(ours=frechet_distance(real, fake)),
    }


def features(n: int, seed: int) -> np.ndarray:
    """Return correlated, non-negative float32 features with a decaying spectrum, as in a pooled ReLU network."""
    random = np.random.default_rng(seed)
    mixing = np.random.default_rng(0).normal(size=(DIM, DIM)) * np.arange(1, DIM + 1) ** -0.5 / 30
    return np.maximum((1 + seed / 20) * random.normal(size=(n, DIM)) @ mixing + 0.3, 0).astype(np.float32)


def extraction(count: int, repeats: int) -> tuple[dict[str, list[float]], float]:
    """Measure feature extraction from a folder of PNGs with clean-fid and with this project.

    clean-fid uses the published TorchScript network. Returns the seconds of both implementations, and the ratio of this
    project's resident memory for many images to that for few images. The ratio is 1 if images are streamed.
    """
    from cleanfid.fid import get_folder_features

    scripted = torch.jit.load(weights_path(INCEPTION_FILES[0]), map_location="cpu").eval()

    @torch.inference_mode()
    def network(images: torch.Tensor) -> torch.Tensor:
        """Call the network's layers as clean-fid's wrapper does."""
        return scripted.net.layers((images - 128) / 128).flatten(1)

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_images(folder / "images", count)
        extractor = CleanFidInception()
        options = {"num_workers": 0, "batch_size": 32, "device": torch.device("cpu"), "mode": "clean", "verbose": False}
        workloads: dict[str, Workload] = {
            "clean-fid": lambda: get_folder_features(str(folder / "images"), network, **options),
            "ours": lambda: extract_features(extractor, stream_images(list_images(folder / "images"))),
        }
        times = interleaved(workloads, repeats, warm_up=1)
        few, many = (resident_megabytes(folder / "images", n) for n in STREAMED)
        return times, many / few


def minimum_extraction_ratio() -> float:
    """Return the target for the vector instructions that torch uses on this CPU."""
    return 1.5 if torch.backends.cpu.get_cpu_capability() == "AVX512" else 1.3


def write_images(folder: Path, count: int) -> None:
    folder.mkdir()
    random = np.random.default_rng(0)
    for index in range(count):
        coarse = Image.fromarray(random.integers(0, 256, (16, 16, 3), dtype=np.uint8))
        coarse.resize((PIXELS, PIXELS), Image.Resampling.BICUBIC).save(folder / f"{index:03d}.png")
