"""Registers the classifiers for `timm.create_model`, which must be called after importing this module.

The import needs the extra `timm`. The names of the baselines begin with `slimbench_` (slimbench_resnet50), because timm
already uses names like resnet50. No pretrained weights are available.
"""

from collections.abc import Callable
from typing import Any

from timm.models import register_model

from baselines import resnet
from baselines.resnet import ResNet
from slim import resnet as slim_resnet

NETWORKS = {
    "slim_resnet50": slim_resnet.resnet50,
    "slim_resnet101": slim_resnet.resnet101,
    "slimbench_resnet50": resnet.resnet50,
    "slimbench_resnet101": resnet.resnet101,
    "slimbench_resnext50_32x4d": resnet.resnext50_32x4d,
    "slimbench_resnext101_32x4d": resnet.resnext101_32x4d,
    "slimbench_se_resnet50": resnet.se_resnet50,
}
CONFIG = {
    "url": "",
    "input_size": (3, 224, 224),
    "num_classes": 1000,
    "pool_size": (7, 7),
    "crop_pct": 224 / 256,
    "interpolation": "bilinear",
    "mean": (0.485, 0.456, 0.406),
    "std": (0.229, 0.224, 0.225),
    "first_conv": "conv1",
    "classifier": "fc",
}


def _entrypoint(name: str, make: Callable[..., ResNet]) -> Callable[..., ResNet]:
    def build(
        pretrained: bool = False,
        pretrained_cfg: Any = None,
        pretrained_cfg_overlay: Any = None,
        cache_dir: Any = None,
        in_chans: int = 3,
        num_classes: int = 1000,
        **options: Any,
    ) -> ResNet:
        """Build the network. timm passes the first four arguments to every network; `options` go to the constructor."""
        if pretrained:
            raise ValueError(f"{name} has no pretrained weights; pretrained must be False")
        model = make(in_channels=in_chans, num_classes=num_classes, **options)
        config = CONFIG | {"architecture": name, "num_classes": num_classes, "input_size": (in_chans, 224, 224)}
        read_by_timm: dict[str, Any] = {"default_cfg": config, "pretrained_cfg": config}
        read_by_timm |= {"num_classes": num_classes, "num_features": model.fc.in_features}
        for attribute, value in read_by_timm.items():
            setattr(model, attribute, value)
        return model

    build.__name__, build.__module__ = name, __name__
    return build


for _name, _make in NETWORKS.items():
    register_model(_entrypoint(_name, _make))
