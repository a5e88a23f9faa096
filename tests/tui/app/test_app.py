from __future__ import annotations

import signal
from pathlib import Path

import pytest
from tests.batches import make_batch
from tests.tui.driving import line_with, play, pull, screen_lines
from tests.tui.scripted import ScriptedSource, ended, make_info, make_record, make_stats, records, script
from textual.widgets import Input

from vgrad.controls.controls import (
    Controls,
    Pause,
    Resume,
    Set,
    StepOnce,
)
from vgrad.events.notices import (
    CheckpointSaved,
    CommandApplied,
    CommandRejected,
    Preparing,
    RunStarted,
    VerdictChanged,
)
from vgrad.events.verdict import Verdict
from vgrad.methods.accumulate import MeanOver
from vgrad.methods.clip import ClipGradNorm, ClipGradValue
from vgrad_tui.app.app import VgradApp
from vgrad_tui.draw.numbers import percent
from vgrad_tui.draw.runs import width_of
from vgrad_tui.keys import CONTROL_KEYS, KEYS, LAYER_KEYS
from vgrad_tui.screens.help import HelpScreen
from vgrad_tui.screens.journal import JournalScreen
from vgrad_tui.screens.layer import LayerScreen
from vgrad_tui.screens.quit import QuitScreen
from vgrad_tui.screens.result import ResultScreen
from vgrad_tui.widgets.journal import Journal
from vgrad_tui.widgets.layer_table import LayerTable
from vgrad_tui.widgets.loss_pane import LossPane

CLIP = Set("clip", ClipGradNorm(1.0))


async def test_the_run_starts_after_the_first_frame_and_says_what_it_waits_for() -> None:
    source = ScriptedSource()
    app = VgradApp(source)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        assert source.started
        assert "preparing" in line_with(app, "importing torch …")
        # Which controls are on from the first step is not known yet.
        assert line_with(app, "c   clip").split()[2] == "–"
        await pilot.press("m")
        await pilot.pause()
        assert not any("off" in line for line in screen_lines(app) if "skip non-finite" in line)


async def test_a_key_without_a_run_says_whether_it_comes_too_early_or_too_late() -> None:
    source = ScriptedSource()
    app = VgradApp(source)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await pilot.press("c")
        await pilot.pause()
        assert line_with(app, "clipping on or off: as soon as")
        await pull(pilot, source, make_batch(notices=(ended(300),)))
        await pilot.pause()
        assert line_with(app, "the run has ended")
    assert source.submitted == []


async def test_keys_that_come_before_the_run_are_carried_out_in_their_order_when_it_begins() -> None:
    source = ScriptedSource()
    app = VgradApp(source)
    clipped = RunStarted(make_info(controls=Controls(clip=ClipGradNorm(5.0))))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("right_square_bracket", "minus", "space")
        assert source.submitted == []
        await pull(pilot, source, make_batch(notices=(clipped,)))
        await pilot.pause()
        # by the controls that the run begins with: one threshold above 5
        assert source.submitted == [Set("clip", ClipGradNorm(10.0)), Set("lr_scale", 0.5), Pause()]
        await pull(pilot, source)
        assert len(source.submitted) == 3


async def test_to_leave_a_run_that_is_still_being_prepared_waits_until_it_can_go_on_elsewhere() -> None:
    source = ScriptedSource()
    app = VgradApp(source)
    app.can_detach = True
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("d")
        assert not source.stopped
        await pull(pilot, source, make_batch(notices=(RunStarted(make_info()),)))
        await pilot.pause()
        assert source.stopped and app.detaches


async def test_clip_reads_pending_until_the_engine_confirms() -> None:
    source = ScriptedSource()
    app = VgradApp(source)
    async with app.run_test(size=(80, 24)) as pilot:
        await play(pilot, source)
        await pilot.press("c")
        assert source.submitted == [CLIP]
        assert "pending" in line_with(app, "c   clip")
        assert "@" not in line_with(app, "c   clip")
        applied = CommandApplied(step=301, command=CLIP, controls=Controls(clip=ClipGradNorm(1.0)))
        await pull(pilot, source, make_batch(notices=(applied,)))
        assert "norm 1  @ 301" in line_with(app, "c   clip")
        assert "pending" not in line_with(app, "c   clip")


async def test_a_refusal_is_told_and_nothing_reads_applied() -> None:
    source = ScriptedSource()
    app = VgradApp(source)
    async with app.run_test(size=(120, 30)) as pilot:
        await play(pilot, source)
        await pilot.press("c")
        await pull(
            pilot, source, make_batch(notices=(CommandRejected(301, CLIP, "not while the moon is full"),))
        )
        assert "not while the moon is full" in line_with(app, "refused")
        assert "off" in line_with(app, "c   clip") and "@" not in line_with(app, "c   clip")


async def test_what_was_refused_before_a_screen_was_attached_is_in_its_journal_alone() -> None:
    source = ScriptedSource(outlives_screen=True)
    app = VgradApp(source)
    refusals = [CommandRejected(step, CLIP, f"not at step {step}") for step in (2, 9)]
    async with app.run_test(size=(120, 30)) as pilot:
        history = make_batch((make_record(1), make_record(2)), notices=(RunStarted(make_info()), refusals[0]))
        await play(pilot, source, [history])
        assert "not at step 2" in line_with(app, "clip norm 1:")
        assert not any("refused" in line for line in screen_lines(app))
        await pull(pilot, source, make_batch(notices=(refusals[1],)))
        assert "not at step 9" in line_with(app, "refused")


@pytest.mark.parametrize("columns", [80, 120])
async def test_the_step_of_a_learning_rate_is_never_cut_short(columns: int) -> None:
    source = ScriptedSource()
    app = VgradApp(source)
    halved = CommandApplied(123_456, Set("lr_scale", 0.5), Controls(lr_scale=0.5))
    async with app.run_test(size=(columns, 30)) as pilot:
        await play(pilot, source)
        await pull(pilot, source, make_batch(notices=(halved,)))
        line = line_with(app, "@ 123,456")
        assert "×0.5" in line or "× 0.5" in line


@pytest.mark.parametrize(
    ("keys", "commands"),
    [
        ("c", [CLIP]),
        ("c c", [CLIP, Set("clip", None)]),
        ("c ]", [CLIP, Set("clip", ClipGradNorm(2.0))]),
        ("c [ [", [CLIP, Set("clip", ClipGradNorm(0.5)), Set("clip", ClipGradNorm(0.2))]),
        ("[ c", [Set("clip", ClipGradNorm(0.5))]),
        ("v c", [Set("clip", ClipGradValue(0.5))]),
        ("a a", [Set("accumulate", MeanOver(2)), Set("accumulate", MeanOver(4))]),
        ("A", []),  # fewer than one is one
        (
            "- - = 0",
            [Set("lr_scale", 0.5), Set("lr_scale", 0.25), Set("lr_scale", 0.5), Set("lr_scale", 1.0)],
        ),
        ("space space", [Pause(), Resume()]),
        (".", [StepOnce()]),
        (
            "c a u u",
            [CLIP, Set("accumulate", MeanOver(2)), Set("accumulate", MeanOver(1)), Set("clip", None)],
        ),
    ],
)
async def test_keys_submit_commands(keys: str, commands: list[object]) -> None:
    source = ScriptedSource()
    app = VgradApp(source)
    names = {
        "]": "right_square_bracket",
        "[": "left_square_bracket",
        "-": "minus",
        "=": "equals_sign",
        ".": "full_stop",
    }
    async with app.run_test(size=(80, 24)) as pilot:
        await play(pilot, source)
        for key in keys.split():
            await pilot.press(names.get(key, key))
        assert source.submitted == commands


async def test_a_control_is_a_mouse_target() -> None:
    source = ScriptedSource()
    app = VgradApp(source)
    async with app.run_test(size=(120, 30)) as pilot:
        await play(pilot, source)
        await pilot.click("#clip", offset=(10, 0))
        await pilot.click("#lr", offset=(2, 0))
        await pilot.click("#lr", offset=(0, 0))
        await pilot.click("#accumulate")
        await pilot.pause()
        assert source.submitted == [
            CLIP,
            Set("lr_scale", 2.0),
            Set("lr_scale", 1.0),
            Set("accumulate", MeanOver(2)),
        ]


async def test_every_key_is_in_the_command_palette() -> None:
    source = ScriptedSource()
    app = VgradApp(source)
    async with app.run_test(size=(80, 24)) as pilot:
        await play(pilot, source)
        titles = [command.title for command in app.get_system_commands(app.screen)]
        for key in KEYS:
            assert f"{key.words} ({key.shown})" in titles
        assert "theme" in titles and "Quit" not in titles, "one entry to quit, and none before the keys"
        clip = next(
            command for command in app.get_system_commands(app.screen) if "clipping on" in command.title
        )
        clip.callback()
        await pilot.pause()
        assert source.submitted == [CLIP]


def test_every_binding_has_an_id_a_tooltip_and_an_action() -> None:
    assert len({key.id for key in KEYS}) == len(KEYS)
    for key in KEYS:
        assert key.help and key.words
        assert hasattr(VgradApp, "action_" + key.action.partition("(")[0]), key.action


async def test_commands_before_the_run_has_begun_go_nowhere() -> None:
    source = ScriptedSource()
    app = VgradApp(source)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("c", "a", "space", "u", "r", "l", "z", "s", "e")
        assert source.submitted == []


async def test_the_remedy_is_one_key_away() -> None:
    source = ScriptedSource()
    app = VgradApp(source)
    verdict = Verdict("exploding", "‖g‖ was 43× its median", remedy=(Set("clip", ClipGradNorm(0.5)),))
    async with app.run_test(size=(120, 30)) as pilot:
        await play(pilot, source)
        await pull(pilot, source, make_batch(notices=(VerdictChanged(301, verdict),)))
        assert "r clip norm 0.5" in line_with(app, "EXPLODING")
        await pilot.press("r")
        assert source.submitted == [Set("clip", ClipGradNorm(0.5))]


async def test_quitting_asks_while_training_runs_and_stops_it_then() -> None:
    source = ScriptedSource()
    app = VgradApp(source)
    async with app.run_test(size=(80, 24)) as pilot:
        await play(pilot, source)
        await pilot.press("q")
        assert isinstance(app.screen, QuitScreen)
        await pilot.press("n")
        assert not isinstance(app.screen, QuitScreen) and not source.stopped
        await pilot.press("q", "y")
        assert source.stopped
        await pull(pilot, source, make_batch(notices=(ended(300, reason="stopped"),)))
        assert not app.is_running or app._exit


async def test_the_question_whether_to_quit_follows_the_run() -> None:
    source = ScriptedSource()
    app = VgradApp(source)
    async with app.run_test(size=(80, 24)) as pilot:
        await play(pilot, source)
        await pilot.press("q")
        assert "at step 300." in line_with(app, "Training is running")
        await pull(pilot, source, make_batch(records(301, 307)))
        assert "at step 307." in line_with(app, "Training is running")
        pause = CommandApplied(308, Pause(), Controls(paused=True))
        await pull(pilot, source, make_batch(notices=(pause,)))
        assert line_with(app, "Training is paused, at step 307.")
        await pull(pilot, source, make_batch(notices=(ended(307),)))
        assert line_with(app, "Training has ended, at step 307.")


@pytest.mark.parametrize(
    ("by", "words", "then"),
    [
        (None, "end it after this step", "stopping after this step"),
        (signal.SIGINT, "interrupt it, as Ctrl-C would", "it is being interrupted"),
        (signal.SIGTERM, "terminate it (SIGTERM), for it ignores Ctrl-C", "SIGTERM is sent to it"),
    ],
)
async def test_the_question_whether_to_stop_a_run_elsewhere_says_how(
    by: signal.Signals | None, words: str, then: str
) -> None:
    source = ScriptedSource(outlives_screen=True)
    source.stop_signal = by
    app = VgradApp(source)
    async with app.run_test(size=(80, 24)) as pilot:
        await play(pilot, source)
        await pilot.press("Q")
        assert words in line_with(app, "y or Q")
        await pilot.press("y")
        assert source.stopped
        assert [toast.message for toast in app._notifications] == [then]


async def test_quitting_after_the_end_does_not_ask() -> None:
    source = ScriptedSource()
    app = VgradApp(source)
    async with app.run_test(size=(80, 24)) as pilot:
        await play(pilot, source)
        await pull(pilot, source, make_batch(notices=(ended(300),)))
        assert "DONE after 300 steps" in line_with(app, "DONE")
        await pilot.press("q")
        assert app._exit


async def test_a_failure_shows_its_traceback_and_the_charts_stay() -> None:
    source = ScriptedSource()
    app = VgradApp(source)
    async with app.run_test(size=(100, 30)) as pilot:
        await play(pilot, source)
        failed = ended(
            300, reason="failed", error="RuntimeError: [bold]boom\x1b[2J",
            traceback_text="Traceback …\n  line 7\nRuntimeError: [bold]boom\x1b[2J",
        )  # fmt: skip
        await pull(pilot, source, make_batch(notices=(failed,)))
        assert isinstance(app.screen, ResultScreen)
        assert line_with(app, "line 7")
        assert "[bold]boom\\x1b[2J" in line_with(app, "[bold]boom")
        await pilot.press("escape")
        assert "FAILED at step 300" in line_with(app, "FAILED")
        assert line_with(app, "rnn.weight_hh_l0")
        await pilot.press("e")
        assert isinstance(app.screen, ResultScreen)


async def test_a_run_that_cannot_begin_leaves_the_screen() -> None:
    source = ScriptedSource()
    app = VgradApp(source)
    async with app.run_test(size=(80, 24)) as pilot:
        await pull(pilot, source, make_batch(notices=(ended(0, reason="failed", error="cannot read x.txt"),)))
        assert app._exit


async def test_names_are_data_and_never_markup_or_escapes() -> None:
    layers = ("[bold red]x[/]", "a\x1b[31mb\x1b]0;owned\x07", "line\nbreak", "漢字.weight", "\u202eevil")
    source = ScriptedSource()
    app = VgradApp(source)
    async with app.run_test(size=(120, 30)) as pilot:
        await play(pilot, source, script(60, layers))
        assert line_with(app, "[bold red]x[/]")
        assert line_with(app, "a\\x1b[31mb")
        assert line_with(app, "line\\nbreak")
        text = "\n".join(screen_lines(app))
        assert "\x1b" not in text and "\u202e" not in text
        await pilot.press("enter")
        assert isinstance(app.screen, LayerScreen)
        assert line_with(app, "[bold red]x[/]")


async def test_sort_and_filter() -> None:
    source = ScriptedSource()
    app = VgradApp(source)
    async with app.run_test(size=(120, 36)) as pilot:
        await play(pilot, source)
        table = app.query_one(LayerTable)

        def names() -> list[str]:
            return [line.split()[0] for line in screen_lines(app)[-7:-1]]

        assert names()[0] == "embed"
        await pilot.press("s", "s")  # smallest gradient first
        assert names()[0] == "rnn.bias_hh_l0"
        assert line_with(app, "by smallest")
        await pilot.press("slash", *"bias")
        await pilot.pause()
        assert table.num_rows == 2
        assert line_with(app, "2 of 6 layers")
        assert not source.submitted  # letters in the field are no commands
        await pilot.press("enter")
        assert table.has_focus and table.num_rows == 2
        await pilot.press("slash")
        app.query_one("#filter", Input).value = "no such layer"
        await pilot.pause()
        assert table.num_rows == 0
        await pilot.press("escape")
        assert table.has_focus and table.num_rows == 6


async def test_ten_thousand_layers_scroll_to_the_last() -> None:
    layers = tuple(f"blocks.{index}.weight" for index in range(10_000))
    source = ScriptedSource()
    app = VgradApp(source)
    async with app.run_test(size=(120, 30)) as pilot:
        await play(pilot, source, script(60, layers))
        await pilot.press("end")
        await pilot.pause()
        assert line_with(app, "blocks.9999.weight")
        await pilot.press("enter")
        await pilot.pause()
        assert line_with(app, "layer 10,000 of 10,000")
        await pilot.press("escape", "home")
        await pilot.pause()
        assert line_with(app, "blocks.0.weight")


async def test_resizing_loses_nothing() -> None:
    source = ScriptedSource(answers=True)
    app = VgradApp(source)
    async with app.run_test(size=(160, 50)) as pilot:
        await play(pilot, source)
        await pilot.press("c")
        await pull(pilot, source)
        for size in ((20, 5), (80, 24), (1, 1), (300, 90), (120, 30)):
            await pilot.resize_terminal(*size)
            await pull(pilot, source)
        assert "norm 1  @ 301" in line_with(app, "c   clip")
        assert line_with(app, "rnn.weight_hh_l0")
        assert app.state.step == 300


async def test_zoom_pan_and_log() -> None:
    source = ScriptedSource()
    app = VgradApp(source)
    async with app.run_test(size=(100, 30)) as pilot:
        await play(pilot, source)
        pane = app.query_one(LossPane)
        await pilot.press("z")
        assert pane.span == 150 and "150 steps" in line_with(app, "loss")
        await pilot.press("left")
        assert pane.back == 75
        await pilot.press("right", "right", "x")
        assert pane.span is None and pane.back == 0
        await pilot.press("l")
        assert "linear ─" in line_with(app, "loss")


async def test_zooming_out_undoes_zooming_in_though_the_run_has_grown() -> None:
    source = ScriptedSource()
    app = VgradApp(source)
    async with app.run_test(size=(100, 30)) as pilot:
        await play(pilot, source)
        pane = app.query_one(LossPane)
        newest = app.state.step
        pane.zoom(1, newest)
        pane.zoom(-1, newest + newest // 10)
        assert pane.span is None


async def test_what_is_so_already_is_not_asked_for() -> None:
    source = ScriptedSource()
    app = VgradApp(source)
    async with app.run_test(size=(80, 24)) as pilot:
        await play(pilot, source)
        await pilot.press("0")
        assert source.submitted == []


async def test_the_title_of_a_layers_page_keeps_the_ends_of_a_long_name_and_says_which_layer_it_is() -> None:
    source = ScriptedSource()
    app = VgradApp(source)
    names = ("encoder." + "层归一化_" * 20 + "weight", "head")
    async with app.run_test(size=(80, 24)) as pilot:
        await play(pilot, source, script(layers=names))
        await pilot.press("enter")
        await pilot.pause()
        title = screen_lines(app)[0]
        assert title.startswith("─ encoder.") and "weight  ‖g‖ per step " in title
        assert title.rstrip().endswith(f" layer 1 of {len(names)} ─")


async def test_a_narrow_layer_page_has_every_number() -> None:
    source = ScriptedSource()
    app = VgradApp(source)
    async with app.run_test(size=(50, 40)) as pilot:
        await play(pilot, source)
        await pilot.press("down", "enter")
        await pilot.pause()
        assert isinstance(app.screen, LayerScreen)
        shown = "\n".join(screen_lines(app))
        for words in ("mark", "share of the joint norm", "largest |g|", "steps ago"):
            assert words in shown


async def test_the_journal_holds_every_command_and_event() -> None:
    source = ScriptedSource(answers=True)
    app = VgradApp(source)
    async with app.run_test(size=(80, 24)) as pilot:
        await play(pilot, source)
        await pilot.press("c", "a")
        await pull(pilot, source)
        await pilot.press("j")
        await pilot.pause()
        assert isinstance(app.screen, JournalScreen)
        for words in ("charlm-rnn started", "healthy", "clip norm 1  @ 301", "accumulate 2  @ 301"):
            assert line_with(app, words)


@pytest.mark.parametrize("columns", [30, 80, 160])
async def test_the_journal_cuts_no_entry_short(columns: int) -> None:
    source = ScriptedSource()
    app = VgradApp(source)
    evidence = " ".join(f"word{number}" for number in range(40))
    async with app.run_test(size=(columns, 40)) as pilot:
        await play(pilot, source)
        await pilot.press("j")
        await pull(pilot, source, make_batch(notices=(VerdictChanged(301, Verdict("dead", evidence)),)))
        journal = app.screen.query_one(Journal)
        for width in (columns, 60):
            await pilot.resize_terminal(width, 40)
            await pilot.pause()
            text = " ".join("".join(part for part, _ in row[1:]) for row in journal._rows)
            assert f"dead: {evidence}" in text
            assert all(width_of(row) <= journal.size.width for row in journal._rows)


@pytest.mark.parametrize("rows", [24, 25, 26, 27, 28])
async def test_a_journal_begins_with_the_first_row_of_an_entry_and_follows_until_somebody_scrolls(
    rows: int,
) -> None:
    source = ScriptedSource()
    app = VgradApp(source)
    evidence = " ".join(f"word{number}" for number in range(40))

    def shown() -> list[str]:
        lines = [journal.row(y, journal.size.width).text.rstrip() for y in range(journal.size.height)]
        return [line for line in lines if line]

    async with app.run_test(size=(80, rows)) as pilot:
        await play(pilot, source)
        await pilot.press("j")
        await pilot.pause()
        journal = app.screen.query_one(Journal)
        for number in range(20):
            verdict = Verdict("dead" if number % 2 else "healthy", f"{number} {evidence}")
            await pull(pilot, source, make_batch(notices=(VerdictChanged(301 + number, verdict),)))
            if number > 10:
                assert shown()[0][0].isdigit()
                assert shown()[-1].endswith("word39")
        assert shown()[0][0].isdigit() and f"dead: {number} word0" in " ".join(shown())
        await pilot.resize_terminal(80, rows + 3)
        await pilot.pause()
        assert shown()[0][0].isdigit() and f"dead: {number} word0" in " ".join(shown())
        await pilot.press("up")
        await pilot.pause()
        before = shown()
        await pull(pilot, source, make_batch(notices=(VerdictChanged(400, Verdict("healthy", evidence)),)))
        assert shown()[: len(before)] == before
        await pilot.press("end")
        await pilot.pause()
        await pull(pilot, source, make_batch(notices=(VerdictChanged(401, Verdict("dead", "the last")),)))
        assert "dead: the last" in shown()[-1]


async def test_a_checkpoint_saved_by_time_takes_the_place_of_the_one_before_it() -> None:
    source = ScriptedSource()
    app = VgradApp(source)
    async with app.run_test(size=(80, 40)) as pilot:
        await play(pilot, source)
        await pilot.press("j")
        for step in (310, 320, 330):
            saved = CheckpointSaved(step, "time", 2**20, 2**20, (step,))
            await pull(pilot, source, make_batch(notices=(saved,)))
        journal = app.screen.query_one(Journal)
        shown = ["".join(part for part, _ in row[1:]) for row in journal._rows]
        assert [row for row in shown if "checkpoint" in row] == [shown[-1]]
        assert shown[-1].startswith("checkpoint @ 330")
        rows = list(journal._rows)
        journal.on_resize()  # wraps all entries again
        assert list(journal._rows) == rows


@pytest.mark.parametrize("size", [(80, 24), (160, 50)])
async def test_however_many_checkpoints_there_are_the_keys_are_seen(size: tuple[int, int]) -> None:
    source = ScriptedSource()
    app = VgradApp(source)
    saved = CheckpointSaved(120, "time", 2**20, 2**20, tuple(range(10, 130, 10)))
    async with app.run_test(size=size) as pilot:
        await play(pilot, source)
        await pull(pilot, source, make_batch(notices=(saved,)))
        await pilot.press("b")
        await pilot.pause()
        assert line_with(app, "step 120") and line_with(app, "enter rewinds; esc trains on")


async def test_the_top_line_writes_a_share_as_the_rest_of_the_screen_does() -> None:
    source = ScriptedSource()
    app = VgradApp(source)
    async with app.run_test(size=(120, 36)) as pilot:
        await play(pilot, source)
        assert f" {percent(300 / make_info().num_steps)}" in line_with(app, "step 300/")


async def test_a_run_that_failed_while_it_was_prepared_is_not_said_to_be_starting() -> None:
    source = ScriptedSource()
    app = VgradApp(source)
    async with app.run_test(size=(80, 24)) as pilot:
        failure = ended(0, reason="failed", error="activation: cannot be changed in this model")
        await play(pilot, source, [make_batch(notices=(Preparing("building my_task"),))])
        assert line_with(app, "building my_task …")
        await pull(pilot, source, make_batch(notices=(failure,)))
        await pilot.press("escape")
        await pilot.pause()
        shown = "\n".join(screen_lines(app))
        assert "FAILED at step 0" in shown and "training did not begin" in shown
        assert "STARTING" not in shown and "building" not in shown


async def test_help_shows_every_key() -> None:
    source = ScriptedSource()
    app = VgradApp(source)
    async with app.run_test(size=(110, 120)) as pilot:
        await play(pilot, source)
        await pilot.press("question_mark")
        assert isinstance(app.screen, HelpScreen)
        text = "\n".join(screen_lines(app))
        assert all(key.help in text for key in (*KEYS, *CONTROL_KEYS))
        await pilot.press("escape")
        assert not isinstance(app.screen, HelpScreen)


@pytest.mark.parametrize(
    ("opens", "first"),
    [
        ("question_mark", "run"),
        ("m question_mark", CONTROL_KEYS[0].group),
        ("enter question_mark", LAYER_KEYS[0].group),
    ],
)
async def test_help_begins_with_the_keys_of_the_screen_that_asks_for_it(opens: str, first: str) -> None:
    source = ScriptedSource()
    app = VgradApp(source)
    async with app.run_test(size=(110, 120)) as pilot:
        await play(pilot, source)
        for key in opens.split():
            await pilot.press(key)
            await pilot.pause()
        all_groups = {key.group for key in (*KEYS, *CONTROL_KEYS, *LAYER_KEYS)}
        cells = [cell.strip() for line in screen_lines(app) for cell in line.split("│")]
        groups = [cell for cell in cells if cell in all_groups]
        assert groups[0] == first
        assert len(set(groups)) == len(groups)


async def test_one_layer_shows_its_numbers_and_its_neighbours() -> None:
    source = ScriptedSource()
    app = VgradApp(source)
    async with app.run_test(size=(100, 30)) as pilot:
        await play(pilot, source)
        await pilot.press("down", "down", "enter")
        await pilot.pause()
        assert "rnn.weight_hh_l0" in line_with(app, "layer 3 of 6")
        assert line_with(app, "‖Δw‖")
        await pilot.press("down")
        await pilot.pause()
        assert "rnn.bias_ih_l0" in line_with(app, "layer 4 of 6")
        await pilot.press("escape")
        assert not isinstance(app.screen, LayerScreen)


async def test_non_finite_gradients_are_marked_and_never_hidden() -> None:
    source = ScriptedSource()
    app = VgradApp(source)
    async with app.run_test(size=(120, 30)) as pilot:
        await play(pilot, source)
        bad = make_record(301)
        bad.grad_norms[2] = float("nan")
        await pull(pilot, source, make_batch(records=(bad,), stats=make_stats(301)))
        row = line_with(app, "rnn.weight_hh_l0")
        assert "×" in row and "nan" in row and "non-finite" in row


async def test_an_idle_run_writes_nothing() -> None:
    """Nothing is drawn when nothing changed: no widget asks for a refresh."""
    source = ScriptedSource()
    app = VgradApp(source)
    async with app.run_test(size=(120, 36)) as pilot:
        await play(
            pilot, source, [make_batch(notices=(RunStarted(make_info()),)), make_batch(records(1, 50))]
        )
        for _ in range(6):
            await pull(pilot, source)
        app.screen._compositor._dirty_regions.clear()
        for _ in range(8):
            await pull(pilot, source)
            assert not app.screen._compositor._dirty_regions


async def test_a_refresh_without_the_chart_leaves_the_chart_as_it_was() -> None:
    """The chart is the most expensive part to draw and to send: it follows the run less often."""
    source = ScriptedSource()
    app = VgradApp(source)
    async with app.run_test(size=(120, 36)) as pilot:
        await play(pilot, source)
        chart = app.main.query_one(LossPane)
        app.refresh_view(chart=True)
        drawn = chart._rows
        app.state.take(make_batch(records(301, 350)))
        app.refresh_view(chart=False)
        assert chart._rows is drawn
        app.refresh_view(chart=True)
        assert chart._rows != drawn


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def test_a_picture_is_saved_whatever_the_run_is_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    source = ScriptedSource()
    app = VgradApp(source)
    async with app.run_test(size=(80, 24)) as pilot:
        source.give(notices=(RunStarted(make_info(recipe="../my/net\x00[/b]")),))
        await pull(pilot, source)
        await pilot.press("S")
        await pilot.pause()
    assert names_in(tmp_path) == ["vgrad-my-net-x00-b-0.svg"]
