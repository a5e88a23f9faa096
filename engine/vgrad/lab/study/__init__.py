"""Which method helps where: every method beside the same run without it, over several seeds.

    study = Study(full_plan().only(("tiny-batch",)), Path("study"))
    for progress in study.go_on(jobs=2):
        print(progress.run.key, progress.result.val_loss)
    study.write()

plan (what to run, as data) -> run (one run, a frozen result) -> table, report, picture (results as text).
Importing this needs no torch.
"""

from vgrad.lab.study.experiments import full_plan, quick_plan
from vgrad.lab.study.plan import Experiment, Method, Plan, Protocol, Run, Solved
from vgrad.lab.study.run import Result, carry_out
from vgrad.lab.study.study import Progress, Study
from vgrad.lab.study.table import TableRow

__all__ = [
    "Experiment",
    "Method",
    "Plan",
    "Progress",
    "Protocol",
    "Result",
    "Run",
    "Solved",
    "Study",
    "TableRow",
    "carry_out",
    "full_plan",
    "quick_plan",
]  # fmt: skip
