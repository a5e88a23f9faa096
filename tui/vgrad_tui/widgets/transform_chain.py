"""The chain of transforms, a link to a row: the gradient's norm before and after each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import set_cell_size

from vgrad.controls.catalog import label
from vgrad.controls.controls import Controls
from vgrad.events.step_record import StepRecord
from vgrad_tui.draw.fit_text import fit
from vgrad_tui.draw.numbers import number, percent, safe
from vgrad_tui.draw.runs import Field, Runs, wrapped
from vgrad_tui.widgets.view import View

_LONGEST_LABEL = 28
_NUMBER = 10  # cells of a column of numbers
_EIGHTHS = "▏▎▍▌▋▊▉█"
_MOST_BAR = 40


@dataclass(frozen=True, slots=True)
class LinkRow:
    """A transform and what it did to the joint norm at one step."""

    label: str
    before: float
    after: float

    @property
    def factor(self) -> float:
        """After over before; NaN where there is no such number."""
        return self.after / self.before if self.before else math.nan


def links_of(record: StepRecord, controls: Controls) -> list[LinkRow]:
    """The links of a step, in order.

    A run that does not measure each link still knows the norm after all of them: its chain is
    shown as one link, and as none where the gradient went into the step as it was.
    """
    if record.link_norms is not None:
        norms = [record.grad_norm, *record.link_norms.tolist()]
        return [
            LinkRow(link.label, before, after)
            for link, before, after in zip(record.links, norms[:-1], norms[1:], strict=True)
        ]
    is_same = record.applied_norm == record.grad_norm or (
        math.isnan(record.applied_norm) and math.isnan(record.grad_norm)
    )
    if controls.clip is None and not record.links and is_same:
        return []
    words = " → ".join(link.label for link in record.links) or (
        "transforms" if controls.clip is None else label("clip", controls.clip)
    )
    return [LinkRow(words, record.grad_norm, record.applied_norm)]


def bar(share: float, width: int) -> str:
    """A bar of at most ``width`` cells, in eighths; a positive share is never invisible."""
    if not share > 0:
        return ""
    eighths = max(1, min(8 * width, round(share * 8 * width)))
    full, rest = divmod(eighths, 8)
    return "█" * full + (_EIGHTHS[rest - 1] if rest else "")


class ChainView(View):
    """Norm before and after each link, the factor, and a bar on one linear scale."""

    NAME = "chain"
    HAS_CURSOR = False

    def _links(self) -> list[LinkRow]:
        record = self.state.record
        return [] if record is None else links_of(record, self.state.controls)

    @property
    def num_rows(self) -> int:
        """The norm as it is measured, the links, and what goes into the step."""
        links = self._links()
        if links or self.state.record is None:
            return len(links) + 2
        return len(self._nothing(self.state.record)) + 1

    def title(self) -> list[Field]:
        """The chain of the newest step, in one line, and how often clipping changes a step."""
        record = self.state.record
        if record is None:
            return [(9, [("no steps yet", "dim")])]
        fields: list[Field] = [(7, [(f"step {record.step:,}", "dim")])]
        fires, before, after = self.state.clipping()
        is_clipped = self.state.controls.clip is not None or record.is_clipped_by_loop
        if is_clipped and not math.isnan(fires):
            words = f" of the last 100 steps, median {number(before).strip()} → {number(after).strip()}"
            fields.append((9, [("clips ", "dim"), (percent(fires), "text"), (words, "dim")]))
        return fields

    def rows(self, first: int, count: int) -> Sequence[Runs]:
        """A row per link."""
        record = self.state.record
        if record is None:
            return []
        links = self._links()
        if not links:
            return self._nothing(record)[first : first + count]
        width = self.size.width
        label_width = max(8, min(_LONGEST_LABEL, width - 3 * _NUMBER - 2))
        bar_width = max(0, min(_MOST_BAR, width - label_width - 3 * _NUMBER - 4))
        norms = [record.grad_norm, *(link.after for link in links)]
        longest = max((norm for norm in norms if math.isfinite(norm)), default=0.0)

        def row(words: str, before: str, after: float, factor: str, role: str) -> Runs:
            name = set_cell_size(fit(safe(words), label_width), label_width)
            numbers = f"{before:>{_NUMBER}}{number(after):>{_NUMBER}}{factor:>{_NUMBER}}"
            ends = "×" if not math.isfinite(after) else bar(after / longest if longest else 0.0, bar_width)
            return [
                (name, role),
                (numbers, "text" if math.isfinite(after) else "bad"),
                ("  ", "text"),
                (ends, "smooth" if math.isfinite(after) else "bad"),
            ]

        rows = [row("‖g‖ measured", "", record.grad_norm, "", "dim")]
        rows += [
            row(f"→ {link.label}", f"{number(link.before)} →", link.after, _factor(link.factor), "strong")
            for link in links
        ]
        rows.append(row("→ step", "", record.applied_norm, _factor(_total(record)), "dim"))
        return rows[first : first + count]

    def _nothing(self, record: StepRecord) -> list[Runs]:
        """That no link changes the gradient, and which keys add one."""
        so_it_is: Runs = [
            ("nothing changes the gradient: ‖g‖ ", "text"),
            (number(record.grad_norm).strip(), "strong"),
            (" goes into the step as it is", "text"),
        ]
        keys: Runs = [
            ("c", "key"),
            (" clips it, ", "dim"),
            ("v", "key"),
            (" clips in another way, ", "dim"),
            ("[ ]", "key"),
            (" move the threshold", "dim"),
        ]
        width = self.size.width or self.app.size.width
        rows = wrapped(so_it_is, width)
        return [[], *rows] if self.state.is_recording else [[], *rows, *wrapped(keys, width)]


def _total(record: StepRecord) -> float:
    return record.applied_norm / record.grad_norm if record.grad_norm else math.nan


def _factor(factor: float) -> str:
    if math.isnan(factor):
        return "–"
    return f"×{number(factor).strip()}"
