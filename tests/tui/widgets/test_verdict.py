"""What the screen tells of a verdict, and what it does about a run that is lost."""

from __future__ import annotations

import numpy as np
import pytest
from tests.batches import make_batch
from tests.tui.driving import line_with, play, pull, screen_lines
from tests.tui.scripted import ScriptedSource, make_info, make_record
from textual.widgets import Static

from vgrad.controls.controls import Controls, Pause, Reinit, Resume, Set
from vgrad.diagnose.rules import tags
from vgrad.diagnose.symptoms import Symptoms
from vgrad.events.batch import Batch
from vgrad.events.notices import CommandApplied, CommandRejected, RunStarted, VerdictChanged
from vgrad.events.verdict import Verdict
from vgrad.methods.clip import ClipGradNorm
from vgrad_tui.app.app import VgradApp
from vgrad_tui.state.glossary import KINDS, SURE, TAGS
from vgrad_tui.widgets.verdict import VerdictLines

CLIP, REINIT = Set("clip", ClipGradNorm(1.0)), Reinit("torch")
LOST = Verdict(
    "non-finite",
    "at step 301 the loss is nan and the gradient of 6 of 6 layers is not finite",
    remedy=(CLIP, REINIT),
    advice="the weights are lost",
    confidence=0.89,
)
TAGGED = Verdict(
    "healthy",
    "‖g‖ 0.73, first to last layer 0.12, weights move by 3e-02 a step",
    tags=("compensated", "hot", "spike"),
    confidence=0.97,
)


def became(verdict: Verdict, step: int = 301) -> Batch:
    return make_batch(notices=(VerdictChanged(step, verdict),))


def paused(step: int) -> Batch:
    return make_batch(notices=(CommandApplied(step, Pause(), Controls(paused=True)),))


# -- what is told --------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(80, 24), (120, 36), (160, 50)])
async def test_a_verdict_shows_its_tags_how_sure_it_is_and_all_of_its_evidence(size: tuple[int, int]) -> None:
    source = ScriptedSource()
    app = VgradApp(source)
    async with app.run_test(size=size) as pilot:
        await play(pilot, source)
        await pull(pilot, source, became(TAGGED))
        row = line_with(app, "HEALTHY")
        assert "97 % sure" in row and "compensated, hot, spike" in row
        assert line_with(app, TAGGED.evidence)
        tooltip = str(app.query_one(VerdictLines).tooltip)
        assert all(TAGS[tag] in tooltip for tag in TAGGED.tags)


@pytest.mark.parametrize("size", [(50, 20), (80, 24), (160, 50)])
async def test_the_remedy_is_never_pushed_away(size: tuple[int, int]) -> None:
    source = ScriptedSource()
    app = VgradApp(source)
    verdict = Verdict("exploding", "e" * 200, tags=tuple(TAGS), confidence=0.67, remedy=(CLIP,))
    async with app.run_test(size=size) as pilot:
        await play(pilot, source)
        await pull(pilot, source, became(verdict))
        assert "r clip norm 1" in line_with(app, "EXPLODING")
        assert line_with(app, "eeeeeeee…")
        await pull(
            pilot, source, make_batch(notices=(CommandRejected(301, CLIP, "not while the moon is full"),))
        )
        assert "r clip norm 1" in line_with(app, "EXPLODING")
        assert line_with(app, "refused: not")


@pytest.mark.parametrize("size", [(50, 20), (80, 24)])
async def test_what_was_cut_is_shown_in_full_by_a_key_and_follows_the_run(size: tuple[int, int]) -> None:
    source = ScriptedSource()
    app = VgradApp(source)
    evidence = " ".join(f"number-{index}" for index in range(30))
    verdict = Verdict("exploding", evidence, (0, 2), (CLIP,), "lower [b]it", tags=("spike",), confidence=0.67)
    async with app.run_test(size=size) as pilot:
        await play(pilot, source)
        await pull(pilot, source, became(verdict))
        assert line_with(app, "  e more")
        await pilot.press("e")
        words = " ".join(str(app.screen.query_one("#verdict-words", Static).content).split())
        info = app.state.info
        assert info is not None
        told = (
            evidence,
            KINDS["exploding"],
            "67 % sure",
            "lower [b]it",
            TAGS["spike"],
            SURE,
            "r clip norm 1",
        )
        assert all(part in words for part in (*told, f"layers: {info.layers[0]}, {info.layers[2]}"))
        await pilot.press("r")
        assert source.submitted == [CLIP]
        await pull(pilot, source, became(LOST))
        assert LOST.evidence in str(app.screen.query_one("#verdict-words", Static).content)
        await pilot.press("e")
        assert app.screen is app.main


async def test_a_verdict_that_is_shown_whole_offers_no_more() -> None:
    source = ScriptedSource()
    app = VgradApp(source)
    async with app.run_test(size=(100, 24)) as pilot:
        await play(pilot, source)
        await pull(pilot, source, became(TAGGED))
        assert not any("e more" in line for line in screen_lines(app))


async def test_a_rule_that_never_spoke_claims_no_share() -> None:
    source = ScriptedSource()
    app = VgradApp(source)
    async with app.run_test(size=(80, 24)) as pilot:
        await play(pilot, source)
        await pull(pilot, source, became(Verdict("vanishing", "stalled", rule="underflow")))
        assert not any("sure" in line for line in screen_lines(app))


@pytest.mark.parametrize(("columns", "is_whole"), [(80, False), (160, True)])
async def test_where_no_key_helps_the_advice_stands_in_its_place(columns: int, is_whole: bool) -> None:
    source = ScriptedSource()
    app = VgradApp(source)
    advice = "a gated cell (LSTM, GRU), an orthogonal recurrent matrix or shorter sequences help"
    async with app.run_test(size=(columns, 30)) as pilot:
        await play(pilot, source)
        await pull(pilot, source, became(Verdict("vanishing", "stalled", advice=advice, confidence=0.75)))
        assert ("sequences help" in line_with(app, "VANISHING")) == is_whole
        assert "a gated cell" in line_with(app, "VANISHING")


def test_every_tag_is_explained() -> None:
    """These symptoms have every tag that one look can find; the others need more of a run's past."""
    ones, updates = np.ones(5), np.array([1e-3, 1e-6, 1e-6, 1e-6, 0.5])
    sick = Symptoms(
        names=tuple("abcde"),
        norms=ones,
        silent=ones > 1,
        ever=ones > 0,
        has_faded=False,
        first=0,
        last=4,
        ratio=1e-9,
        ratio_first=1.0,
        ratio_early=1.0,
        ratio_stalled=np.nan,
        updates=updates,
        has_thrown=False,
        zero_shares=0 * ones,
        underflow_shares=ones,
        time_slope=np.nan,
        time_ratio=np.nan,
        loss=0.1,
        lower_loss=0.1,
        baseline=1.0,
        uniform=np.nan,
        beats_constant=False,
        learnt=1.0,
        learnt_in_all=1.0,
        progress=9.0,
        reach=1.0,
        is_held_back=False,
        stalled_for=0,
        stall="",
    )
    assert {*tags(sick), "spike", "unused", "finished", "overfitting", "never-zeroed"} == set(TAGS)


async def test_the_tags_are_in_the_palette_and_in_the_help() -> None:
    source = ScriptedSource()
    app = VgradApp(source)
    async with app.run_test(size=(160, 120)) as pilot:
        await play(pilot, source)
        commands = {command.title: command for command in app.get_system_commands(app.screen)}
        assert all(commands[f"tag: {tag}"].help == words for tag, words in TAGS.items())
        commands["tag: hot"].callback()
        await pilot.pause()
        assert TAGS["hot"] in line_with(app, "  hot ")
        assert all(line_with(app, f"  {tag} ") for tag in TAGS)


# -- what is done about a run that is lost -------------------------------------------------------


async def test_a_lost_run_that_the_engine_paused_says_what_helps() -> None:
    source = ScriptedSource()
    app = VgradApp(source)
    async with app.run_test(size=(80, 24)) as pilot:
        await play(pilot, source)
        await pull(pilot, source, became(LOST))
        await pull(pilot, source, paused(303))
        row = line_with(app, "NON-FINITE")
        assert "paused  r clip norm 1 + re-initialise torch + resume  ␣ resume" in row
        assert line_with(app, LOST.evidence)
        await pilot.press("j")
        assert line_with(app, "pause  @ 303")
        await pilot.press("escape", "space")
        assert source.submitted == [Resume()], "to pause is the engine's decision"


async def test_e_shows_all_of_what_the_last_command_did() -> None:
    source = ScriptedSource()
    app = VgradApp(source)
    async with app.run_test(size=(80, 24)) as pilot:
        before = [make_record(step, loss=3 + step % 7 / 50) for step in range(1, 150)]
        after = [make_record(step, loss=1 + step % 7 / 50) for step in range(150, 260)]
        clipped = CommandApplied(150, CLIP, Controls(clip=ClipGradNorm(1.0)))
        batches = [make_batch(notices=(RunStarted(make_info()),)), make_batch(tuple(before))]
        await play(pilot, source, [*batches, make_batch(notices=(clipped,)), make_batch(tuple(after))])
        found = app.state.effect()
        assert found is not None
        sentence = f"{found[0][0]}: {found[1].words()}"
        assert len(sentence) > 80
        assert not any(sentence in line for line in screen_lines(app))
        await pilot.press("e")
        await pilot.pause()
        assert sentence in str(app.screen.query_one("#verdict-words", Static).content)


async def test_what_several_commands_did_is_shown_although_their_names_do_not_fit() -> None:
    source = ScriptedSource()
    app = VgradApp(source)
    async with app.run_test(size=(80, 24)) as pilot:
        before = [make_record(step, loss=3 + step % 7 / 50) for step in range(1, 150)]
        after = [make_record(step, loss=1 + step % 7 / 50) for step in range(150, 260)]
        commands = (CLIP, Set("accumulate", "mean:2"), Set("lr_scale", 0.5), Set("noise", "gaussian"))
        notices = tuple(CommandApplied(150, command, Controls()) for command in commands)
        batches = [make_batch(notices=(RunStarted(make_info()),)), make_batch(tuple(before))]
        await play(pilot, source, [*batches, make_batch(notices=notices), make_batch(tuple(after))])
        await pilot.press("l")  # which draws again
        assert line_with(app, "clip norm 1 + 3 more: 3.06 → 1.06: more than noise; only a twin run tells why")
        await pilot.press("e")
        words = str(app.screen.query_one("#verdict-words", Static).content)
        assert "clip norm 1 + accumulate 2 + lr × 0.5 + " in words


async def test_the_remedy_of_a_lost_run_trains_on_as_it_says() -> None:
    source = ScriptedSource()
    app = VgradApp(source)
    async with app.run_test(size=(80, 24)) as pilot:
        await play(pilot, source)
        await pull(pilot, source, became(LOST))
        await pull(pilot, source, paused(303))
        await pilot.press("r", "r")  # the second before an answer
        assert source.submitted == [CLIP, REINIT, Resume()]
        clipped = Controls(clip=ClipGradNorm(1.0), paused=True)
        answers = (
            CommandApplied(303, CLIP, clipped),
            CommandApplied(303, REINIT, clipped),
            CommandApplied(303, Resume(), Controls(clip=ClipGradNorm(1.0))),
        )
        await pull(pilot, source, make_batch(notices=answers, verdict=Verdict("starting", "")))
        assert app.state.phase == "training"
        effect = app.state.effect()
        assert effect is not None and effect[0] == ("clip norm 1", "re-initialise torch")


async def test_a_remedy_of_a_run_that_lives_does_not_end_a_pause() -> None:
    source = ScriptedSource()
    app = VgradApp(source)
    async with app.run_test(size=(80, 24)) as pilot:
        await play(pilot, source)
        await pull(pilot, source, paused(301))
        await pull(pilot, source, became(Verdict("exploding", "it jumped", remedy=(CLIP,))))
        await pilot.press("r")
        assert source.submitted == [CLIP]
