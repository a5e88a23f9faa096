"""Two models and two optimizers that step in turn: a least-squares GAN on a ring."""

import math

import torch
from torch import nn
from weights import report

torch.manual_seed(0)
torch.set_num_threads(1)
generator = nn.Sequential(nn.Linear(4, 24), nn.ReLU(), nn.Linear(24, 2))
discriminator = nn.Sequential(nn.Linear(2, 24), nn.LeakyReLU(), nn.Linear(24, 1))
of_generator = torch.optim.Adam(generator.parameters(), lr=1e-3, betas=(0.5, 0.9))
of_discriminator = torch.optim.Adam(discriminator.parameters(), lr=1e-3, betas=(0.5, 0.9))
# -- watch: [generator, discriminator], [of_generator, of_discriminator]
for _ in range(60):
    angle = 2 * math.pi * torch.rand(32)
    real = torch.stack([angle.cos(), angle.sin()], dim=1)
    fake = generator(torch.randn(32, 4))
    of_discriminator.zero_grad()
    ((discriminator(real) - 1) ** 2 + discriminator(fake.detach()) ** 2).mean().backward()
    of_discriminator.step()
    of_generator.zero_grad()
    loss = ((discriminator(fake) - 1) ** 2).mean()
    loss.backward()
    of_generator.step()
print(f"loss {loss.item():.6f}")
report(generator, discriminator)
