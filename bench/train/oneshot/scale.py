"""Training of one pyramid scale of SinGAN: critic, optimisers, and tensors that are constant during training."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.networks import PyramidNetwork
from bench.run import Compute, OneShotRecipe
from bench.train.loop.graphs import uses_graphs
from bench.train.loop.recovery import gradient_norm
from bench.train.oneshot.wgan import gradient_penalty


def largest_pass(recipe: OneShotRecipe) -> int:
    """Return the number of images in the largest pass: all samples of the critic steps, or two images for a critic."""
    return max(recipe.critic_steps, 2)


class ScaleTraining:
    """Training of one pyramid scale. Coarser scales are frozen and have no optimiser state; finer scales are not used.

    Args:
        critic: newly initialised critic on the device of `real`.
        real: [1, 3, H, W] in [-1, 1], the training image at this pyramid scale.
        compute: with precision bf16, the networks run under autocast, except in the gradient penalty. `compile` applies
            only to the generator, because a compiled critic has no second derivative.
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
        self.micro_batch = largest_pass(recipe)
        for index, network in enumerate(pyramid.scales):
            network.requires_grad_(index == scale)
        self.generator, self.critic = pyramid.scales[scale], critic
        self.generate = self.generator
        if compute.compile:
            torch.compiler.reset()  # otherwise, all scales together would exceed the recompilation limit
            self.generate = torch.compile(self.generator, dynamic=False)
        # computed once, because the reconstruction of the frozen scales does not change while this scale is trained
        self.previous = pyramid.ups[scale - 1](pyramid.reconstruct(scale)) if scale else torch.zeros_like(real)
        fixed_noise = torch.zeros_like(real) if scale else pyramid.fixed_noise.expand_as(real)
        self.fixed_noise = fixed_noise.contiguous()
        adam = {"lr": recipe.learning_rate, "betas": recipe.adam_betas, "fused": True}
        adam["capturable"] = uses_graphs(compute, real.device)
        self.generator_optimiser, self.critic_optimiser = (
            torch.optim.Adam(network.parameters(), **adam) for network in (self.generator, self.critic)
        )
        self.autocast = torch.autocast(real.device.type, torch.bfloat16, enabled=compute.precision == "bf16")

    @property
    def separate(self) -> bool:
        """Whether a pass processes a single image."""
        return self.micro_batch == 1

    def set_amplitude(self) -> None:
        """Set the noise amplitude to a fraction of the RMSE of the upsampled reconstruction.

        The amplitude remains 1 at the coarsest pyramid scale.
        """
        if self.scale:
            error = F.mse_loss(self.previous, self.real).sqrt()
            self.pyramid.amplitudes[self.scale] = self.recipe.noise_amplitude * error

    def copy_from(self, below: "ScaleTraining") -> None:
        """Copy the weights of `below`, the next coarser pyramid scale.

        If that scale has no gate (scale 0 of SLIM), the weights of this scale's gate remain unchanged.
        """
        missing, unexpected = self.generator.load_state_dict(below.generator.state_dict(), strict=False)
        if unexpected or any(not name.startswith("gate.") for name in missing):
            names = [*missing, *unexpected]
            raise RuntimeError(f"scale {self.scale} cannot load the weights of the scale below: {names} do not match")
        self.critic.load_state_dict(below.critic.state_dict())

    def set_learning_rate(self, rate: float) -> bool:
        """Set the learning rate of both optimisers, and return whether it changed."""
        groups = self.generator_optimiser.param_groups + self.critic_optimiser.param_groups
        changed = any(group["lr"] != rate for group in groups)
        for group in groups:
            group["lr"] = rate
        return changed

    @torch.no_grad()
    def draw(self, n: int, source: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw noise and new samples of the scale below, upsampled to this scale, both [n, 3, H, W].

        One call draws the noise and samples of all critic steps of an epoch, because the generators do not change
        during these steps.
        """
        if self.scale:
            previous = self.pyramid.ups[self.scale - 1](self._sample_below(n, source))
        else:
            previous = self.previous.expand(n, -1, -1, -1)
        return self.pyramid.draw(self.scale, n, source).expand_as(previous), previous

    def _sample_below(self, n: int, source: torch.Generator) -> Tensor:
        if n <= self.micro_batch:
            return self.pyramid.sample(n, source, scales=self.scale)
        noises = [self.pyramid.draw(scale, n, source) for scale in range(self.scale)]  # in the same order as `sample`
        parts = zip(*(noise.split(self.micro_batch) for noise in noises), strict=True)
        return torch.cat([self.pyramid(part) for part in parts])

    @torch.no_grad()
    def fakes(self, noise: Tensor, previous: Tensor) -> Tensor:
        """Generate images [B, 3, H, W] for the critic from noise and samples of the scale below."""
        parts = zip(noise.split(self.micro_batch), previous.split(self.micro_batch), strict=True)
        with self.autocast:
            return torch.cat([self.generate(*self.pyramid.inputs(self.scale, *part)).float() for part in parts])

    def critic_step(self, fake: Tensor, share: Tensor) -> dict[str, Tensor]:
        """Take a critic step on the WGAN loss and the gradient penalty at the interpolation lerp(fake, real, share)."""
        self.critic_optimiser.zero_grad(set_to_none=True)
        if self.separate:
            distance = self._add_gradient(fake, 1.0) + self._add_gradient(self.real, -1.0)
        else:
            with self.autocast:  # one pass for both images, because the critic normalises each image separately
                fake_value, real_value = self.critic(torch.cat([fake, self.real])).float().mean((1, 2, 3))
            distance = fake_value - real_value
        penalty = gradient_penalty(self.critic, torch.lerp(fake, self.real, share))
        weighted = self.recipe.gradient_penalty * penalty
        (weighted if self.separate else distance + weighted).backward()
        norm = gradient_norm(self.critic)
        self.critic_optimiser.step()
        return {"critic": distance.detach(), "penalty": penalty.detach(), "gradient_norm_d": norm}

    def _add_gradient(self, image: Tensor, sign: float) -> Tensor:
        """Compute `sign` times the critic's mean output for one image, add its gradient, and return the product."""
        with self.autocast:
            value = sign * self.critic(image).float().mean()
        value.backward()
        return value.detach()

    def generator_step(self, noise: Tensor, previous: Tensor) -> dict[str, Tensor]:
        """Take a generator step on the adversarial loss of a sample and the weighted squared reconstruction error."""
        self.generator_optimiser.zero_grad(set_to_none=True)
        self.critic.requires_grad_(False)  # the critic's gradients are not used
        if self.separate:
            adversarial, reconstruction = self._separate_gradients(noise, previous)
        else:
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

    def _separate_gradients(self, noise: Tensor, previous: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the generator's gradients in one pass for the sample and a second pass for the reconstruction."""
        with self.autocast:
            adversarial = -self.critic(self.generate(*self.pyramid.inputs(self.scale, noise, previous))).float().mean()
        adversarial.backward()
        with self.autocast:
            rebuilt = self.generate(*self.pyramid.inputs(self.scale, self.fixed_noise, self.previous))
        reconstruction = F.mse_loss(rebuilt.float(), self.real)
        (self.recipe.reconstruction_weight * reconstruction).backward()
        return adversarial, reconstruction

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
