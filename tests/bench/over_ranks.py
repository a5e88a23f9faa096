"""What watching costs each of two ranks: DistributedDataParallel over gloo, started by torchrun.

python -m tests.bench.over_ranks BLOCKS ROUNDS        one rank; not for people
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import torch
import torch.distributed as dist
from tests.bench.figures import Figure
from tests.bench.harness import Effort, compare
from tests.bench.models import gpt
from tests.bench.watching import bare, in_a_foreign_loop
from torch.nn.parallel import DistributedDataParallel

_NUM_RANKS = 2
_LIMIT = 1.02  # as for one process
_FULL, _QUICK = Effort(3, 12, 4), Effort(1, 5, 1)
_LIMIT_S = 600


def figures(quick: bool) -> Iterator[Figure]:
    """The ratio of the first rank."""
    effort = _QUICK if quick else _FULL
    command = [
        *(sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={_NUM_RANKS}"),
        *("-m", __name__, str(effort.blocks), str(effort.rounds)),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_LIMIT_S)
    if done.returncode:
        raise RuntimeError(f"torchrun failed:\n{done.stderr}")
    median, low, high, step_ms = map(float, done.stdout.split())
    setting = f"{_NUM_RANKS} ranks, DDP over gloo, a thread each"
    yield Figure(
        "over_ranks.gpt.foreign", median, "x", _LIMIT, low=low, high=high,
        note=f"through vgrad.watch, processor time of rank 0; {setting}",
    )  # fmt: skip
    yield Figure("over_ranks.gpt.step", step_ms, "ms", note=f"a bare step, processor time; {setting}")


def _rank(blocks: int, rounds: int) -> None:
    """Train bare and watched steps in turn, in the same order on every rank."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    subject = gpt(wrap=DistributedDataParallel)
    result = compare(
        {"bare": bare(subject), "foreign": in_a_foreign_loop(subject)}, Effort(_FULL.warm_up, blocks, rounds)
    )
    if dist.get_rank() == 0:
        ratio = result.ratio("foreign", to="bare")
        print(ratio.median, ratio.low, ratio.high, result.step_ms("bare"))
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    _rank(*map(int, sys.argv[1:]))
