"""Augmentation of hand-calculated cases, with draws that do not depend on the number of processes."""

import pytest
import torch

from bench.data.augment import (
    BatchRows,
    Normalise,
    augment,
    cutmix,
    draw_boxes,
    draw_lambda,
    flip,
    measure_statistics,
    mixing_partners,
    mixup,
    resized_crop,
    shift,
)
from bench.runtime.rng import generator


def ramp(batch: int = 2, size: int = 8) -> torch.Tensor:
    return torch.arange(batch * size * size, dtype=torch.uint8).view(batch, 1, size, size)


def test_flip_mirrors_the_chosen_images_only() -> None:
    images = ramp()
    out = flip(images, torch.tensor([True, False]))
    assert torch.equal(out[0], images[0].flip(2)) and torch.equal(out[1], images[1])


def test_shift_moves_and_fills_with_zeros() -> None:
    images = ramp() + 1
    out = shift(images, torch.tensor([[4, 4], [0, 7]]), padding=4)
    assert torch.equal(out[0], images[0])  # the central window is the image
    assert out[1, 0, :4].eq(0).all() and out[1, 0, :, 5:].eq(0).all()
    assert torch.equal(out[1, 0, 4:, :5], images[1, 0, :4, 3:])


def test_resized_crop_of_the_complete_image_is_the_identity() -> None:
    images = ramp()
    whole = torch.tensor([[0.0, 0.0, 8.0, 8.0]]).repeat(2, 1)
    assert torch.equal(resized_crop(images, whole, 8), images)


def test_resized_crop_of_a_quadrant_to_its_size_crops_it() -> None:
    images = ramp()
    corner = torch.tensor([[4.0, 0.0, 4.0, 4.0]]).repeat(2, 1)
    assert torch.equal(resized_crop(images, corner, 4), images[:, :, 4:, :4])


def test_boxes_stay_inside_with_the_stated_areas() -> None:
    boxes = draw_boxes(torch.rand(5000, 4, generator=generator("cpu", 0)), 100, 60)
    top, left, height, width = boxes.unbind(1)
    assert top.min() >= 0 and left.min() >= 0
    assert (top + height).max() <= 100.001 and (left + width).max() <= 60.001
    free = (height < 99.9) & (width < 59.9)
    share = (height * width / 6000)[free]
    assert share.min() >= 0.0799 and share.max() <= 1.0
    assert (width / height)[free].min() >= 0.7499 and (width / height)[free].max() <= 1.3334


@pytest.mark.parametrize("kind", ["small", "imagenet", "none"])
def test_two_half_batches_equal_one_batch(kind: str) -> None:
    images = torch.randint(0, 256, (8, 3, 16, 16), dtype=torch.uint8)
    whole = augment(images, kind, generator("cpu", 1), BatchRows(0, 8, 8))
    parts = [augment(images[a:b], kind, generator("cpu", 1), BatchRows(a, b, 8)) for a, b in ((0, 4), (4, 8))]
    assert torch.equal(torch.cat(parts), whole)
    assert whole.dtype == torch.uint8 and torch.equal(whole, images) == (kind == "none")


def test_mixup_partners_are_pairs() -> None:
    assert mixing_partners(5, torch.device("cpu")).tolist() == [1, 0, 3, 2, 4]


def test_mixup_blends_images_and_targets() -> None:
    images, targets = torch.tensor([0.0, 10.0]).view(2, 1, 1, 1), torch.eye(2)
    mixed, shares = mixup(images, targets, 0.75)
    assert mixed.flatten().tolist() == [2.5, 7.5]
    assert shares.tolist() == [[0.75, 0.25], [0.25, 0.75]]


def test_cutmix_shares_are_the_areas() -> None:
    images = torch.stack([torch.zeros(1, 10, 10), torch.ones(1, 10, 10)])
    for seed in range(20):
        mixed, shares = cutmix(images, torch.eye(2), 0.6, generator("cpu", seed))
        assert mixed[0].mean().item() == pytest.approx(shares[0, 1].item(), abs=1e-6)
        assert mixed[1].mean().item() == pytest.approx(shares[1, 1].item(), abs=1e-6)
        assert 0 <= shares[0, 1] <= 0.5


def test_lambda_is_beta_distributed_and_repeatable() -> None:
    random = generator("cpu", 0)
    values = torch.tensor([draw_lambda(0.5, random) for _ in range(2000)], dtype=torch.double)
    assert values.mean().item() == pytest.approx(0.5, abs=0.03)
    assert values.var().item() == pytest.approx(0.125, abs=0.01)  # 1 / (4 (2 alpha + 1))
    assert draw_lambda(0.5, generator("cpu", 0)) == values[0].item()


def test_statistics_normalise_to_zero_mean_and_unit_deviation() -> None:
    images = torch.randint(0, 256, (20, 3, 9, 9), dtype=torch.uint8)
    images[:, 1] //= 3
    out = Normalise(measure_statistics(images), torch.device("cpu"))(images)
    torch.testing.assert_close(out.mean((0, 2, 3)), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(out.std((0, 2, 3), correction=0), torch.ones(3), atol=1e-5, rtol=0)
