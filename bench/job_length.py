"""Expected durations of jobs. The workflow uses them to start the longest remaining work of a suite first.

Short jobs at the end keep all cores busy until the suite ends. Only the order of the jobs matters, so the durations
need not be exact. The constants are the times of the demo on one CPU core, not on this device. To estimate the cost on
this device, use `slim-bench plan --measure`. This module does not import torch.
"""

from bench.run import FewShotRecipe, OneShotRecipe, Run
from bench.workload import Images, image_size_of, scored_images

START_SECONDS = 4.0
"""Time to start a process that imports torch."""
UNKNOWN_IMAGES = 10**6
"""Assumed number of images of a classification dataset whose number is not known yet."""
SCORED_IMAGE_SECONDS = {"fewshot": 0.18, "oneshot": 0.05, "classification": 0.002}
FEWSHOT_SECONDS, ONESHOT_SECONDS, CLASSIFICATION_SECONDS = 8.5e-7, 1.7e-5, 4.5e-7
"""Seconds per pixel of a training image; for few-shot networks also per base channel."""
MAX_PRIORITY = 100


def training_seconds(run: Run, images: Images) -> float:
    recipe, area = run.recipe, image_size_of(run) ** 2
    if isinstance(recipe, FewShotRecipe):
        channels = run.model.args.get("base_channels", 64)
        return START_SECONDS + FEWSHOT_SECONDS * recipe.steps * recipe.batch_size * area * channels
    if isinstance(recipe, OneShotRecipe):
        factor = min(recipe.scale_factor, 0.95)
        pixels = area / (1 - factor**2)  # of all pyramid scales
        passes = recipe.critic_steps + recipe.generator_steps
        return START_SECONDS + ONESHOT_SECONDS * recipe.epochs_per_scale * passes * pixels
    count = UNKNOWN_IMAGES if images.train is None else images.train
    return START_SECONDS + CLASSIFICATION_SECONDS * recipe.epochs * count * area


def scoring_seconds(run: Run, images: Images) -> float:
    count = scored_images(run, images)
    return START_SECONDS + SCORED_IMAGE_SECONDS[run.task] * (UNKNOWN_IMAGES if count is None else count)


def priority_of(seconds: float) -> float:
    """Return the priority, below MAX_PRIORITY, of a job whose remaining work takes `seconds`."""
    return MAX_PRIORITY * seconds / (seconds + 3600)
