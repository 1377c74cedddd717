import numpy as np
import pytest
import torch
from PIL import Image

from bench.metrics.inception import AuthorsInception


@pytest.fixture(scope="session")
def photographs():
    """Return photographs from scikit-image, uint8 [3, 3, 299, 299]."""
    from skimage import data

    found = [Image.fromarray(image).resize((299, 299)) for image in (data.astronaut(), data.cat(), data.coffee())]
    return torch.from_numpy(np.stack([np.asarray(image) for image in found])).permute(0, 3, 1, 2)


@pytest.fixture(scope="session")
def authors():
    return AuthorsInception()
