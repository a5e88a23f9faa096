from __future__ import annotations

import torch
from hypothesis import settings

# A shared machine may take its time over any single example: what is tested is laws, not speed.
settings.register_profile("laws", deadline=None, max_examples=60)
settings.load_profile("laws")

torch.set_num_threads(1)
