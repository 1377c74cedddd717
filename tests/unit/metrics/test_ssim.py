"""SSIM equals scikit-image, MS-SSIM equals torchmetrics; closed forms, sizes."""

import numpy as np
import pytest
import torch

from bench.errors import InputError
from bench.metrics.ssim import SCALE_WEIGHTS, ms_ssim, ms_ssim_scales, ssim
from tests.helpers.metric_cases import IMAGE_PAIRS, SSIM_ARGUMENTS, committed, image_pair


def as_batch(image: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(image).permute(2, 0, 1)[None]


@pytest.mark.parametrize("name", IMAGE_PAIRS)
def test_ssim_equals_scikit_image(name):
    structural_similarity = pytest.importorskip("skimage.metrics").structural_similarity
    clean, noisy = image_pair(*IMAGE_PAIRS[name])
    theirs = structural_similarity(clean / 255.0, noisy / 255.0, **SSIM_ARGUMENTS)
    ours = ssim(as_batch(noisy), as_batch(clean)).item()
    assert ours == pytest.approx(theirs, abs=1e-6)
    assert ours == pytest.approx(committed()["ssim"][name], abs=1e-6)


@pytest.mark.parametrize("size", [(200, 180), (96, 97), (45, 60)])
def test_ms_ssim_equals_the_product_of_reference_terms(size):
    """The contrast of each scale is from torchmetrics, which crops the border; the last SSIM is from scikit-image."""
    from torchmetrics.functional.image import structural_similarity_index_measure as contrast_and_more

    structural_similarity = pytest.importorskip("skimage.metrics").structural_similarity
    scales = ms_ssim_scales(*size)
    weights = np.array(SCALE_WEIGHTS[:scales]) / sum(SCALE_WEIGHTS[:scales])
    clean, noisy = (as_batch(image) for image in image_pair(*size, 25.0))
    expected = []
    for channel in range(3):
        x, y = noisy[:, channel : channel + 1].double() / 255, clean[:, channel : channel + 1].double() / 255
        value = 1.0
        for weight in weights[:-1]:
            _, image = contrast_and_more(x, y, data_range=1.0, return_contrast_sensitivity=True)
            value *= image.mean().item() ** weight
            x, y = torch.nn.functional.avg_pool2d(x, 2), torch.nn.functional.avg_pool2d(y, 2)
        arguments = SSIM_ARGUMENTS | {"channel_axis": None}
        expected.append(value * structural_similarity(x[0, 0].numpy(), y[0, 0].numpy(), **arguments) ** weights[-1])
    assert ms_ssim(noisy, clean).item() == pytest.approx(np.mean(expected), abs=1e-6)


@pytest.mark.parametrize(
    ("size", "scales"), [(21, 1), (22, 2), (43, 2), (44, 3), (96, 4), (160, 4), (176, 5), (999, 5)]
)
def test_the_number_of_pyramid_scales_depends_on_the_image_size(size, scales):
    assert ms_ssim_scales(size, 2 * size) == scales


def test_ms_ssim_needs_two_scales():
    clean, noisy = (as_batch(image) for image in image_pair(21, 80, 5.0))
    assert ms_ssim(noisy, clean) is None


def test_identical_images_give_one_and_batches_are_independent():
    clean, noisy = (as_batch(image) for image in image_pair(50, 60, 30.0))
    both = torch.cat([clean, noisy])
    assert ssim(clean, clean).item() == pytest.approx(1, abs=1e-12)
    assert ms_ssim(clean, clean).item() == pytest.approx(1, abs=1e-12)
    values = ssim(both, clean)
    assert values[1].item() == pytest.approx(ssim(noisy, clean).item(), abs=1e-12)
    assert values[1] < values[0]


@pytest.mark.parametrize(
    ("images", "reference", "words"),
    [
        (torch.zeros(1, 3, 32, 32), torch.zeros(1, 3, 32, 32), "uint8"),
        (torch.zeros(1, 1, 32, 32, dtype=torch.uint8), torch.zeros(1, 3, 32, 32, dtype=torch.uint8), "RGB"),
        (torch.zeros(1, 3, 32, 32, dtype=torch.uint8), torch.zeros(1, 3, 32, 30, dtype=torch.uint8), "32, 30"),
        (torch.zeros(1, 3, 10, 32, dtype=torch.uint8), torch.zeros(1, 3, 10, 32, dtype=torch.uint8), "10x32"),
    ],
)
def test_bad_images_are_refused(images, reference, words):
    with pytest.raises(InputError, match=words):
        ssim(images, reference)
