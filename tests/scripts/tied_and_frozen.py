"""A language model whose head is tied to its embedding; one layer is frozen, and unfrozen later."""

import torch
from torch import Tensor, nn
from weights import report


class Tied(nn.Module):
    """Embedding, a recurrent layer, and the embedding again as the head."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(20, 16)
        self.rnn = nn.GRU(16, 16, batch_first=True)
        self.norm = nn.LayerNorm(16)
        self.head = nn.Linear(16, 20, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.norm(self.rnn(self.embed(tokens))[0]))


torch.manual_seed(0)
torch.set_num_threads(1)
model = Tied()
model.norm.requires_grad_(False)
optimizer = torch.optim.AdamW((p for p in model.parameters() if p.requires_grad), lr=1e-2)
# -- watch: model, optimizer
for number in range(40):
    if number == 20:
        model.norm.requires_grad_(True)
        optimizer.add_param_group({"params": list(model.norm.parameters()), "lr": 1e-3})
    tokens = torch.randint(0, 20, (4, 12))
    optimizer.zero_grad(set_to_none=number % 2 == 0)
    loss = nn.functional.cross_entropy(model(tokens[:, :-1]).flatten(0, 1), tokens[:, 1:].flatten())
    loss.backward()
    optimizer.step()
print(f"loss {loss.item():.6f}")
report(model)
