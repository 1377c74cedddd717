"""Inputs of the metric tests, and the values of other implementations for them.

`python tests/helpers/metric_cases.py` wrote tests/data/metrics.json with clean-fid 0.1.35, scipy 1.17.1 and
scikit-image 0.26. The values are committed because clean-fid does not work with scipy 1.18.
"""

import json
from pathlib import Path

import numpy as np

PATH = Path(__file__).parents[1] / "data" / "metrics.json"


# RandomState instead of default_rng, because its streams never change
def features(
    n: int, dim: int, seed: int, scale: float = 1.0, shift: float = 0.0, rank: int | None = None
) -> np.ndarray:
    random = np.random.RandomState(seed)
    if rank is None:
        return (scale * random.standard_normal((n, dim)) + shift).astype(np.float32)
    mixing = np.random.RandomState(99).standard_normal((rank, dim)) / np.sqrt(rank)
    return (scale * random.standard_normal((n, rank)) @ mixing + shift).astype(np.float32)


FEATURES = {
    "full rank": (features(300, 64, 1), features(400, 64, 2, 1.3, 0.2)),
    "few real": (features(40, 128, 3), features(300, 128, 4, 1.2, 0.1)),
    "both few": (features(50, 128, 5), features(60, 128, 6, 1.2, 0.1)),
    "rank deficient": (features(300, 64, 7, rank=20), features(400, 64, 8, 1.1, 0.1, rank=20)),
}
TOLERANCE = {"full rank": 1e-6, "few real": 1e-4, "both few": 1e-4, "rank deficient": 1e-4}


def image_pair(height: int, width: int, noise: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return a smooth colour image and a noisy copy, uint8 [H, W, 3]."""
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(x / (5 + 3 * c)) * np.cos(y / (7 + 2 * c)) for c in range(3)]
    clean = 127.5 + 100 * np.stack(waves, axis=-1)
    noisy = clean + noise * np.random.RandomState(seed).standard_normal(clean.shape)
    return tuple(np.clip(np.round(image), 0, 255).astype(np.uint8) for image in (clean, noisy))


IMAGE_PAIRS = {"square": (96, 96, 20.0), "oblong": (61, 140, 60.0), "smallest": (11, 13, 10.0)}
SSIM_ARGUMENTS = {
    "gaussian_weights": True,
    "sigma": 1.5,
    "use_sample_covariance": False,
    "data_range": 1.0,
    "channel_axis": -1,
}


def committed() -> dict:
    return json.loads(PATH.read_text(encoding="utf-8"))


def main() -> None:
    from cleanfid.fid import fid_from_feats
    from skimage.metrics import structural_similarity

    frechet = {name: fid_from_feats(*(x.astype(np.float64) for x in pair)) for name, pair in FEATURES.items()}
    ssim = {}
    for name, case in IMAGE_PAIRS.items():
        clean, noisy = (image.astype(np.float64) / 255 for image in image_pair(*case))
        ssim[name] = float(structural_similarity(clean, noisy, **SSIM_ARGUMENTS))
    values = {"frechet": {name: float(np.real(value)) for name, value in frechet.items()}, "ssim": ssim}
    PATH.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
