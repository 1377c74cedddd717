"""Measures the peak resident memory of feature extraction: `python -m benchmarks.resident FOLDER COUNT`.

The extraction runs in a separate process, because the peak of a process never decreases. The peak is read from /proc,
because torch's allocator and profiler do not count the memory of NumPy and Pillow, and `ru_maxrss` of a child process
starts at the value of its parent. The extractor uses little memory, so that the result shows the memory of the image
stream.
"""

import re
import subprocess
import sys
from pathlib import Path

import torch
from torch import Tensor

from bench.metrics.features import extract_features
from bench.metrics.folder import list_images, stream_images

ROOT = Path(__file__).parent.parent


class Means:
    """Feature extractor that computes the mean of each channel."""

    name, dim, input_range, weights_sha256 = "means", 3, (0, 255), ""

    def __call__(self, images: Tensor) -> Tensor:
        return images.float().mean(dim=(2, 3))


def resident_megabytes(folder: Path, count: int) -> float:
    """Return the peak resident memory in MiB while features of `count` images are extracted.

    The images of `folder` are repeated if it contains fewer than `count`.
    """
    command = [sys.executable, "-m", "benchmarks.resident", str(folder), str(count)]
    return float(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout)


def main(folder: Path, count: int) -> None:
    torch.set_num_threads(1)
    files = list_images(folder)
    files = (files * -(-count // len(files)))[:count]
    extract_features(Means(), stream_images(files))
    kilobytes = re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text()).group(1)
    print(int(kilobytes) / 1024)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
