"""A study in a folder: carries out the runs that are missing, and writes tables and pictures of the rest."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from vgrad.lab.process_pool import map_in_processes
from vgrad.lab.study.picture import draw_experiment
from vgrad.lab.study.plan import Plan, Run
from vgrad.lab.study.report import table_to_csv, table_to_markdown
from vgrad.lab.study.results import Results
from vgrad.lab.study.run import Result, carry_out
from vgrad.lab.study.table import TableRow, make_rows


@dataclass(frozen=True, slots=True)
class Progress:
    """A run that has just ended.

    Attributes:
        run: The run.
        result: Its result.
        num_done: How many of the study's runs are done, those of an earlier go among them.
        num_planned: How many there are.
    """

    run: Run
    result: Result
    num_done: int
    num_planned: int


class Study:
    """A plan, and a folder with what has come out of it so far.

    Args:
        plan: What to run.
        folder: Where everything is written; made when it is not there. One that holds a part of the
            same study goes on from there.

    Raises:
        ConfigError: If the folder holds something else.
        OSError: If it cannot be made, read or written.
    """

    def __init__(self, plan: Plan, folder: Path) -> None:
        self.plan = plan
        self._folder = folder
        self._runs = plan.runs()
        self._results = Results(folder, self._runs)

    @property
    def num_planned(self) -> int:
        """Runs of the plan."""
        return len(self._runs)

    @property
    def num_done(self) -> int:
        """Runs of the plan that are finished."""
        return len(self._results.done)

    def go_on(self, *, jobs: int = 1) -> Generator[Progress, None, None]:
        """Carry out what is missing; every run is on the disk before it is yielded.

        Closing the generator ends the processes at once; the runs that they were working on are lost.

        Args:
            jobs: Processes.

        Raises:
            VgradError: If a run cannot be carried out, or a process died.
        """
        missing = [run for run in self._runs if run not in self._results.done]
        with closing(map_in_processes(carry_out, missing, processes=jobs)) as finished:
            for index, result in finished:
                self._results.add(missing[index], result)
                yield Progress(missing[index], result, self.num_done, self.num_planned)

    def rows(self) -> list[TableRow]:
        """The table of what is done."""
        return make_rows(self.plan, self._results.done)

    def write(self) -> list[Path]:
        """Write ``table.md``, ``table.csv`` and a picture of each experiment; returns their paths."""
        rows = self.rows()
        report = table_to_markdown(self.plan, rows, num_done=self.num_done, num_planned=self.num_planned)
        texts = {"table.md": report, "table.csv": table_to_csv(rows)}
        for experiment in self.plan.experiments:
            name = experiment.protocol.name
            there = [row for row in rows if row.experiment == name]
            if there:
                texts[f"{name}.svg"] = draw_experiment(experiment, there, self._results.done)
        paths = [self._folder / name for name in texts]
        for path, text in zip(paths, texts.values(), strict=True):
            path.write_text(text, encoding="utf-8")
        return paths
