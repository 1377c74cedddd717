"""One scale of SinGAN in training: its critic and optimisers, and the tensors that stay fixed while it is trained."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.networks import PyramidNetwork
from bench.run import Compute, OneShotRecipe
from bench.train.loop.graphs import uses_graphs
from bench.train.loop.recovery import gradient_norm
from bench.train.oneshot.wgan import gradient_penalty


class ScaleTraining:
    """Scales below are frozen and have no optimiser state; scales above are untouched.

    Args:
        critic: newly made, on the device of `real`.
        real: [1, 3, H, W] in [-1, 1], the training image at this scale.
        compute: bf16 runs the networks under autocast, but for the gradient penalty; `compile` is for the generator
            only, since a compiled critic has no second derivative.
    """

    def __init__(
        self,
        pyramid: PyramidNetwork,
        scale: int,
        critic: nn.Module,
        real: Tensor,
        recipe: OneShotRecipe,
        compute: Compute,
    ) -> None:
        self.pyramid, self.scale, self.real, self.recipe = pyramid, scale, real, recipe
        for index, network in enumerate(pyramid.scales):
            network.requires_grad_(index == scale)
        self.generator, self.critic = pyramid.scales[scale], critic
        self.generate = self.generator
        if compute.compile:
            torch.compiler.reset()  # scales share their code, and together would pass the limit of recompilations
            self.generate = torch.compile(self.generator, dynamic=False)
        # made once: the frozen scales' reconstruction never changes while this scale is trained
        self.previous = pyramid.ups[scale - 1](pyramid.reconstruct(scale)) if scale else torch.zeros_like(real)
        fixed_noise = torch.zeros_like(real) if scale else pyramid.fixed_noise.expand_as(real)
        self.fixed_noise = fixed_noise.contiguous()
        adam = {"lr": recipe.learning_rate, "betas": recipe.adam_betas, "fused": True}
        adam["capturable"] = uses_graphs(compute, real.device)
        self.generator_optimiser, self.critic_optimiser = (
            torch.optim.Adam(network.parameters(), **adam) for network in (self.generator, self.critic)
        )
        self.autocast = torch.autocast(real.device.type, torch.bfloat16, enabled=compute.precision == "bf16")

    def set_amplitude(self) -> None:
        """Noise as large as what the scales below leave to be added: share of the RMSE; 1 at the coarsest scale."""
        if self.scale:
            error = F.mse_loss(self.previous, self.real).sqrt()
            self.pyramid.amplitudes[self.scale] = self.recipe.noise_amplitude * error

    def copy_from(self, below: "ScaleTraining") -> None:
        """Start from the weights of the scale below; a gate that is not there yet (scale 1 of SLIM) stays new."""
        missing, unexpected = self.generator.load_state_dict(below.generator.state_dict(), strict=False)
        if unexpected or any(not name.startswith("gate.") for name in missing):
            raise RuntimeError(f"scale {self.scale} does not take the weights of the one below: {missing}{unexpected}")
        self.critic.load_state_dict(below.critic.state_dict())

    def set_learning_rate(self, rate: float) -> bool:
        """Whether it is another than before."""
        groups = self.generator_optimiser.param_groups + self.critic_optimiser.param_groups
        changed = any(group["lr"] != rate for group in groups)
        for group in groups:
            group["lr"] = rate
        return changed

    @torch.no_grad()
    def draw(self, n: int, source: torch.Generator) -> tuple[Tensor, Tensor]:
        """Noise, and new samples of the scales below at this size, both [n, 3, H, W]: for all critic steps of an epoch
        at once, since the generators stand still during them."""
        if self.scale:
            previous = self.pyramid.ups[self.scale - 1](self.pyramid.sample(n, source, scales=self.scale))
        else:
            previous = self.previous.expand(n, -1, -1, -1)
        return self.pyramid.draw(self.scale, n, source).expand_as(previous), previous

    @torch.no_grad()
    def fakes(self, noise: Tensor, previous: Tensor) -> Tensor:
        """Images for the critic [B, 3, H, W] from noise and samples of the scale below."""
        with self.autocast:
            return self.generate(*self.pyramid.inputs(self.scale, noise, previous)).float()

    def critic_step(self, fake: Tensor, share: Tensor) -> dict[str, Tensor]:
        """WGAN loss plus penalty at the point that lies `share` of the way from the fake to the real image."""
        self.critic_optimiser.zero_grad(set_to_none=True)
        with self.autocast:  # one pass for both: the critic normalises each image by itself
            fake_value, real_value = self.critic(torch.cat([fake, self.real])).float().mean((1, 2, 3))
        distance = fake_value - real_value
        penalty = gradient_penalty(self.critic, torch.lerp(fake, self.real, share))
        (distance + self.recipe.gradient_penalty * penalty).backward()
        norm = gradient_norm(self.critic)
        self.critic_optimiser.step()
        return {"critic": distance.detach(), "penalty": penalty.detach(), "gradient_norm_d": norm}

    def generator_step(self, noise: Tensor, previous: Tensor) -> dict[str, Tensor]:
        """Adversarial loss of a sample plus the weighted squared error of the reconstruction."""
        self.generator_optimiser.zero_grad(set_to_none=True)
        self.critic.requires_grad_(False)  # no gradients that nobody takes
        noises, below = torch.cat([noise, self.fixed_noise]), torch.cat([previous, self.previous])
        with self.autocast:
            fake, rebuilt = self.generate(*self.pyramid.inputs(self.scale, noises, below)).split(1)
            adversarial = -self.critic(fake).float().mean()
        reconstruction = F.mse_loss(rebuilt.float(), self.real)
        (adversarial + self.recipe.reconstruction_weight * reconstruction).backward()
        self.critic.requires_grad_(True)
        norm = gradient_norm(self.generator)
        self.generator_optimiser.step()
        losses = {"generator": adversarial.detach(), "reconstruction": reconstruction.detach()}
        return {**losses, "gradient_norm_g": norm}

    def state_dict(self) -> dict[str, Any]:
        return {
            "critic": self.critic.state_dict(),
            "generator_optimiser": self.generator_optimiser.state_dict(),
            "critic_optimiser": self.critic_optimiser.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.critic.load_state_dict(state["critic"])
        self.generator_optimiser.load_state_dict(state["generator_optimiser"])
        self.critic_optimiser.load_state_dict(state["critic_optimiser"])
