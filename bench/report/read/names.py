"""Labels, number formats and order of the metrics in tables and figures.

`bench.metrics.catalogue` defines the metrics themselves.
"""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Metric:
    """Presentation of a metric: name, number of decimals, and variant (such as the feature extractor).

    `relative`: differences across datasets are relative to the baseline, since datasets differ in difficulty.
    `constant`: the value is the same for every seed.
    """

    name: str
    digits: int = 3
    variant: str = ""
    relative: bool = False
    constant: bool = False

    @property
    def label(self) -> str:
        return f"{self.name} ({self.variant})" if self.variant else self.name


METRIC_LABELS = {
    "fid_authors": Metric("FID", 2, "authors' protocol", relative=True),
    "fid_cleanfid": Metric("FID", 2, "clean-fid", relative=True),
    "kid_inception": Metric("KID", 4, "Inception"),
    "fd_efflite0": Metric("FD", 1, "EfficientNet-Lite0", relative=True),
    "kid_efflite0": Metric("KID", 3, "EfficientNet-Lite0"),
    "precision_inception": Metric("Precision", 3, "Inception"),
    "recall_inception": Metric("Recall", 3, "Inception"),
    "density_inception": Metric("Density", 3, "Inception"),
    "coverage_inception": Metric("Coverage", 3, "Inception"),
    "diversity_inception": Metric("Feature diversity", 3, "Inception"),
    "memorisation_inception": Metric("Memorised samples", 3, "Inception"),
    "precision_efflite0": Metric("Precision", 3, "EfficientNet-Lite0"),
    "recall_efflite0": Metric("Recall", 3, "EfficientNet-Lite0"),
    "density_efflite0": Metric("Density", 3, "EfficientNet-Lite0"),
    "coverage_efflite0": Metric("Coverage", 3, "EfficientNet-Lite0"),
    "diversity_efflite0": Metric("Feature diversity", 3, "EfficientNet-Lite0"),
    "memorisation_efflite0": Metric("Memorised samples", 3, "EfficientNet-Lite0"),
    "inception_score": Metric("Inception score", 2),
    "sifid64": Metric("SIFID", 4, "64 channels", relative=True),
    "sifid192": Metric("SIFID", 4, "192 channels", relative=True),
    "ssim_reconstruction": Metric("SSIM", 3, "reconstruction"),
    "ssim_samples": Metric("SSIM", 3, "samples"),
    "ms_ssim_reconstruction": Metric("MS-SSIM", 3, "reconstruction"),
    "ms_ssim_samples": Metric("MS-SSIM", 3, "samples"),
    "lpips_reconstruction": Metric("LPIPS", 3, "reconstruction"),
    "lpips_samples": Metric("LPIPS", 3, "samples"),
    "lpips_diversity": Metric("LPIPS diversity", 3),
    "diversity": Metric("Pixel diversity", 3),
    "top1": Metric("Top-1", 2),
    "top5": Metric("Top-5", 2),
    "ece": Metric("Calibration error (ECE)", 2),
    "params": Metric("Parameters", constant=True),
    "macs": Metric("MACs", constant=True),
    "latency": Metric("Latency", 2),
    "memory": Metric("Peak memory", constant=True),
    "train_seconds": Metric("Training time", 0),
}
"""Labels of the metrics, in the order of tables. FID comes first."""
RANKS = {name: rank for rank, name in enumerate(METRIC_LABELS)}
CONTROLS = {
    "control-white": "white images",
    "control-halves": "halves of the real images",
    "control-linear": "linear classifier",
    "control-bicubic": "bicubic upsampling",
}
ARROWS = {"lower": "↓", "higher": "↑", "none": ""}
PREFIXES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def metric_rank(name: str) -> int:
    """Return the position of a metric in tables. Unknown metrics come last."""
    return RANKS.get(name, len(RANKS))


def metric_of(name: str) -> Metric:
    return METRIC_LABELS.get(name, Metric(name))


def control_label(weights: str) -> str:
    return CONTROLS.get(weights, weights.removeprefix("control-").replace("-", " "))


def format_value(metric: str, value: float | None) -> str:
    """Format a value for tables: counts with an SI prefix, scores with the metric's decimals and U+2212 as minus."""
    if value is None or not math.isfinite(value):
        return "n/a"
    if metric in ("params", "macs"):
        return format_count(value)
    if metric == "memory":
        return format_bytes(value)
    return f"{value:.{metric_of(metric).digits}f}".replace("-", "−")


def format_count(value: float) -> str:
    """Format a count with an SI prefix: 28486942 -> 28.49 M."""
    for size, prefix in PREFIXES:
        if abs(value) >= size:
            return f"{value / size:#.4g}".rstrip("0").rstrip(".") + f" {prefix}"
    return f"{value:.0f}"


def format_percent(share: float) -> str:
    """Format a fraction as a percentage: 0.123 -> 12.3 %."""
    return f"{100 * share:.1f} %".replace("-", "−")


def format_seconds(seconds: float | None) -> str:
    if seconds is None or not math.isfinite(seconds):
        return ""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def format_bytes(count: float | None) -> str:
    if count is None or not math.isfinite(count):
        return ""
    units = ((2**40, "TiB"), (2**30, "GiB"), (2**20, "MiB"))
    unit, name = next((unit for unit in units if count >= unit[0]), (2**10, "KiB"))
    return f"{count / unit:.4g} {name}"


def format_number(value: float | None) -> str:
    """Format a number of any size: 1664.2 -> 1,664; 0.01234 -> 0.0123. Only extreme numbers have an exponent."""
    if value is None or not math.isfinite(value):
        return ""
    text = f"{value:,.0f}" if 100 <= abs(value) < 1e7 else f"{value:.3g}"
    return text.replace("-", "−")


def format_energy(joules: float | None) -> str:
    return "" if joules is None else f"{joules / 3600:.1f} Wh"


def format_p(p: float | None) -> str:
    if p is None:
        return ""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"
