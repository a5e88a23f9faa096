"""Training processes of several shapes that know nothing of vgrad, for tests that attach to them.

Each trains until a file asks for the weights' bits, reports them with the number of the step, trains on,
and ends when a second file asks. Given a number of steps, it does these and reports.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.waiting import until

_FRAME = """
import hashlib, pathlib, sys, threading, time, torch
from torch import nn
torch.manual_seed(0)
torch.set_num_threads(1)
folder, steps = pathlib.Path(sys.argv[1]), int(sys.argv[2])
def make():
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 1))
def batch(step):
    generator = torch.Generator().manual_seed(step)
    return torch.randn(16, 6, generator=generator)
def report(name, step):
    params = [param for model in models for param in model.parameters()]
    bits = b"".join(param.detach().numpy().tobytes() for param in params)
    hooks = sum(len(o._optimizer_step_pre_hooks) + len(o._optimizer_step_post_hooks) for o in optimizers)
    rates = [group["lr"] for o in optimizers for group in o.param_groups]
    home = torch.autograd.backward.__module__
    text = f"{step} {hashlib.sha256(bits).hexdigest()} {hooks} {home} {rates[0]}"
    (folder / (name + ".new")).write_text(text)
    (folder / (name + ".new")).rename(folder / name)
def loop():
    step = 0
    while not steps or step != steps:
        one_step(step)
        step += 1
        if not steps:
            time.sleep(0.001)
            while (folder / "evaluate").exists():
                with torch.no_grad():
                    models[0](batch(0))
                    (folder / "evaluating").touch()
            if (folder / "mark").exists() and not (folder / "marked").exists():
                report("marked", step)
            if (folder / "end").exists():
                break
    report("ended", step)
    (folder / "modules").write_text(" ".join({name.partition(".")[0] for name in sys.modules}))
"""

_PLAIN = """
models = [make()]
optimizers = [torch.optim.Adam(models[0].parameters(), lr=0.01)]
def one_step(step):
    optimizers[0].zero_grad()
    models[0](batch(step)).square().mean().backward()
    optimizers[0].step()
"""

_RUN = """
print("go", flush=True)
loop()
"""

# The training thread is not the main one, and another keeps the interpreter busy.
_RUN_IN_A_THREAD = """
def churn():
    while True:
        sorted(range(1000))
threading.Thread(target=churn, daemon=True).start()
thread = threading.Thread(target=loop)
thread.start()
print("go", flush=True)
while thread.is_alive():
    thread.join(0.02)
"""

_WORKERS = """
class Rows(torch.utils.data.IterableDataset):
    def __iter__(self):
        step = torch.utils.data.get_worker_info().id
        while True:
            yield batch(step)
            step += 2
loader = iter(torch.utils.data.DataLoader(Rows(), None, num_workers=2, multiprocessing_context="fork"))
models = [make()]
optimizers = [torch.optim.SGD(models[0].parameters(), lr=0.01, momentum=0.9)]
def one_step(step):
    optimizers[0].zero_grad()
    models[0](next(loader)).square().mean().backward()
    optimizers[0].step()
"""

_GAN = """
models = [make(), nn.Sequential(nn.Linear(1, 8), nn.ReLU(), nn.Linear(8, 1))]
optimizers = [torch.optim.Adam(model.parameters(), lr=0.001) for model in models]
def one_step(step):
    made = models[0](batch(step))
    optimizers[1].zero_grad()
    (models[1](batch(step)[:, :1]).sigmoid() - models[1](made.detach()).sigmoid()).mean().backward()
    optimizers[1].step()
    optimizers[0].zero_grad()
    models[1](made).sigmoid().mean().backward()
    optimizers[0].step()
"""

_CLOSURES = """
models = [make()]
optimizers = [torch.optim.LBFGS(models[0].parameters(), lr=0.01, max_iter=3)]
def one_step(step):
    def closure():
        optimizers[0].zero_grad()
        loss = models[0](batch(step)).square().mean()
        loss.backward()
        return loss
    optimizers[0].step(closure)
"""

_IN_BACKWARD = """
models = [make()]
optimizers = [torch.optim.SGD([param], lr=0.01) for param in models[0].parameters()]
def stepping(optimizer):
    def step(param):
        optimizer.step()
        optimizer.zero_grad()
    return step
for optimizer in optimizers:
    optimizer.param_groups[0]["params"][0].register_post_accumulate_grad_hook(stepping(optimizer))
def one_step(step):
    models[0](batch(step)).square().mean().backward()
"""

SHAPES = {
    "plain": _PLAIN + _RUN,
    "threads": _PLAIN + _RUN_IN_A_THREAD,
    "workers": _WORKERS + _RUN,
    "gan": _GAN + _RUN,
    "closures": _CLOSURES + _RUN,
    "in_backward": _IN_BACKWARD + _RUN,
}


@dataclass(frozen=True, slots=True)
class Report:
    """What a process says of itself.

    Attributes:
        step: Number of steps that it has done.
        bits: Digest of all weights.
        num_hooks: Step hooks on its optimizers.
        home: Module of ``torch.autograd.backward``.
        lr: The learning rate in force.
    """

    step: int
    bits: str
    num_hooks: int
    home: str
    lr: float


class Training:
    """One of these processes.

    Args:
        folder: An empty folder of its own.
        shape: Which.
        steps: How many steps it does; 0 for until it is told.
        python: The interpreter.
    """

    def __init__(self, folder: Path, shape: str, steps: int = 0, python: str | Path = sys.executable) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        (folder / "train.py").write_text(_FRAME + SHAPES[shape])
        self.process = subprocess.Popen(
            [python, folder / "train.py", folder, str(steps)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "go\n", self.process.stdout.read()

    @property
    def pid(self) -> str:
        """Its process id."""
        return str(self.process.pid)

    def mark(self) -> Report:
        """Let it report now and train on."""
        (self.folder / "mark").touch()
        until((self.folder / "marked").exists)
        return _read(self.folder / "marked")

    def end(self) -> Report:
        """Let it report and end, and make sure that it ended well and printed nothing."""
        (self.folder / "end").touch()
        return self.wait()

    def wait(self) -> Report:
        """Wait for its end, likewise."""
        assert self.process.wait(120) == 0
        assert self.process.stdout is not None
        assert self.process.stdout.read() == ""
        self.process.stdout.close()
        return _read(self.folder / "ended")

    def kill(self) -> None:
        """End it by force, if it has not ended."""
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


def _read(path: Path) -> Report:
    step, bits, num_hooks, home, lr = path.read_text().split()
    return Report(int(step), bits, int(num_hooks), home, float(lr))
