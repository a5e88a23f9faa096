from __future__ import annotations

import math

import pytest
from tests.batches import make_batch, make_notice
from tests.tui.driving import line_with, play, pull, screen_lines
from tests.tui.scripted import PLAIN, ScriptedSource, make_info, make_record, records
from textual.widgets import Input

from vgrad.controls.capabilities import Capabilities, Refusal
from vgrad.controls.catalog import CONTROLS, label
from vgrad.controls.choices import Number, OneOf, Word
from vgrad.controls.controls import (
    CheckGradients,
    Controls,
    Reinit,
    Set,
    UndoReinit,
    reduce,
)
from vgrad.controls.wording import describe
from vgrad.events.notices import (
    Checking,
    CommandApplied,
    CommandRejected,
    GradientsChecked,
    RunStarted,
    VerdictChanged,
    new_command_id,
)
from vgrad.events.verdict import Verdict
from vgrad.gradcheck.check import CheckedEntry, GradCheck
from vgrad.methods.accumulate import MeanOver, SumOver
from vgrad.methods.adaptive_clip import ZClip
from vgrad.methods.clip import ClipGradNorm
from vgrad.methods.init_schemes import REINITS
from vgrad.methods.noise import AddGradNoise
from vgrad.methods.optimizers import Adam
from vgrad.methods.precision import Float16, Float32
from vgrad.methods.schedules import WarmupCosine
from vgrad.methods.skip_non_finite import SkipNonFinite
from vgrad.methods.structure import ACTIVATIONS
from vgrad_tui.app.app import VgradApp
from vgrad_tui.draw.runs import width_of
from vgrad_tui.screens.controls import ControlsScreen
from vgrad_tui.screens.gradient_check import GradientCheckScreen
from vgrad_tui.screens.reinitialise import ReinitScreen
from vgrad_tui.state.control_guide import (
    CHECK,
    ENTRIES,
    GROUPS,
    at_hand,
    explain,
    moved_parameter,
    next_variant,
    obstacle,
    others_on,
    palette,
    with_word,
)
from vgrad_tui.state.run_state import State
from vgrad_tui.widgets.control_list import ControlList
from vgrad_tui.widgets.controls_panel import what_else

STRUCTURE = (
    ("activation", ("tanh", "relu")),
    ("skip", ("on", "off")),
    ("layer_norm", ("on", "off")),
)
CAPABLE = Capabilities(
    tuple(
        Refusal("activation", word, "not in this model")
        for word in ACTIVATIONS
        if word not in ("tanh", "relu")
    )
)
ABLE = make_info(recurrent=True, structure=STRUCTURE, capabilities=CAPABLE)


def state_of(controls: Controls = Controls(), **info: object) -> State:  # noqa: B008  # frozen
    """A run with these controls in force."""
    state = State()
    state.take(make_batch(notices=(RunStarted(make_info(controls=controls, **info)),), records=records(1, 3)))
    return state


def choose(app: VgradApp, name: str) -> None:
    app.screen.query_one(ControlList).cursor = ENTRIES.index(name)


async def begin(pilot: object, source: ScriptedSource) -> None:
    """A run whose model can do everything."""
    batches = [make_batch(notices=(RunStarted(ABLE),)), make_batch(records=records(1, 50))]
    await play(pilot, source, batches)  # type: ignore[arg-type]


# -- what there is ---------------------------------------------------------------------------------


def test_every_control_is_listed_once_and_links_stand_in_the_order_in_which_they_act() -> None:
    assert sorted(name for name in ENTRIES if name in CONTROLS) == sorted(CONTROLS)
    assert len(set(ENTRIES)) == len(ENTRIES)
    chain = [name for title, names in GROUPS if "chain" in title for name in names]
    assert chain == [name for name in CONTROLS if name in chain]


@pytest.mark.parametrize("name", CONTROLS)
def test_going_round_meets_every_value_and_ends_where_it_began(name: str) -> None:
    control = CONTROLS[name]
    state = state_of(capabilities=CAPABLE)
    if isinstance(control, Number):
        up = next_variant(name, 1, state)
        assert up == Set(name, 2.0)
        state.ask(up, "a")
        assert next_variant(name, -1, state) == Set(name, 1.0)
        return
    seen = []
    expected = list(control.variants) if isinstance(control, OneOf) else ["as-built", *dict(STRUCTURE)[name]]
    for _ in expected:
        command = next_variant(name, 1, state)
        reduce(state.wanted, command)  # every one of them can be asked for
        state.ask(command, new_command_id())
        value = getattr(state.wanted, name)
        seen.append(control.variant_of(value).word if isinstance(control, OneOf) else control.format(value))
    assert sorted(seen) == sorted(expected)
    assert getattr(state.wanted, name) == getattr(Controls(), name)
    assert next_variant(name, -1, state).value == state.pending[-2].value  # and back


@pytest.mark.parametrize("name", CONTROLS)
def test_a_parameter_moves_and_comes_back_or_stays(name: str) -> None:
    control = CONTROLS[name]
    kinds = control.variants.values() if isinstance(control, OneOf) else ()
    for kind in kinds:
        state = state_of(reduce(Controls(), Set(name, kind.value())))
        up = moved_parameter(name, 1, state)
        if up is None:
            continue
        assert reduce(state.wanted, up) != state.wanted
        assert control.variant_of(up.value) is kind
        state.ask(up, "a")
        down = moved_parameter(name, -1, state)
        assert down is not None


def test_a_rate_that_was_left_out_moves_from_what_it_comes_to() -> None:
    controls = Controls(optimizer=Adam(), schedule=WarmupCosine(100, 1000))
    state = state_of(controls)
    state.take(make_batch(records=(make_record(50, base_lr=0.5e-3, lr=0.5e-3),)))  # half way up to 1e-3
    assert moved_parameter("optimizer", 1, state) == Set("optimizer", Adam(lr=2e-3))
    assert moved_parameter("optimizer", -1, state) == Set("optimizer", Adam(lr=5e-4))


def test_as_many_microbatches_remain_whatever_the_kind() -> None:
    state = state_of(Controls(accumulate=MeanOver(8)))
    assert next_variant("accumulate", 1, state) == Set("accumulate", SumOver(8))
    assert with_word("accumulate", "sum", state) == Set("accumulate", SumOver(8))


def test_keys_move_on_past_what_was_refused() -> None:
    state = state_of()
    first = next_variant("precision", 1, state)
    state.ask(first, "a")
    state.take(make_batch(notices=(make_notice(CommandRejected(4, first, "not on this device"), "a"),)))
    assert state.controls == Controls()
    assert at_hand(CONTROLS["precision"], state) == first.value
    second = next_variant("precision", 1, state)
    assert second.value not in (first.value, Controls().precision)


def test_undo_forgets_what_was_refused() -> None:
    state = state_of()
    clip, bad = Set("clip", ClipGradNorm(1.0)), Set("omega", "pascanu")
    state.ask(clip, "a")
    applied = CommandApplied(4, clip, Controls(clip=ClipGradNorm(1.0)))
    state.take(make_batch(notices=(make_notice(applied, "a"),)))
    state.ask(bad, "b")
    state.take(make_batch(notices=(make_notice(CommandRejected(5, bad, "not recurrent"), "b"),)))
    assert state.pop_undo() == Set("clip", None)
    assert state.pop_undo() is None


def test_only_what_differs_is_named_and_rows_are_not_told_twice() -> None:
    assert others_on(Controls()) == []
    controls = Controls(
        clip=ZClip(), accumulate=MeanOver(4), lr_scale=2.0, noise=AddGradNoise(), optimizer=Adam(), skip="on"
    )
    named = others_on(controls)
    assert named == [label(name, getattr(controls, name)) for name in ("noise", "optimizer", "skip")]


@pytest.mark.parametrize("width", [5, 20, 26, 40, 80])
def test_labels_are_cut_with_how_many_more_there_are(width: int) -> None:
    labels = ["gradient noise 0.01", "optimizer adam", "skip connections on"]
    runs = what_else(labels, width)
    text = "".join(part for part, _ in runs)
    shown = text.partition("  +")[0].split(", ")
    assert shown[1:] == labels[1 : len(shown)]
    assert shown[0] == labels[0] or (len(shown) == 1 and shown[0].endswith("…"))
    assert (f"+{3 - len(shown)}" in text) == (len(shown) < 3)
    assert width_of(runs) <= max(width, len("…  +2"))


def test_obstacles_are_those_that_the_run_describes() -> None:
    plain = make_info(capabilities=PLAIN.without(Refusal("check_gradients", "", "not in this loop")))
    assert [name for name in ENTRIES if obstacle(name, plain)] == [
        "omega",
        "activation",
        "skip",
        "layer_norm",
        CHECK,
    ]
    assert not any(obstacle(name, ABLE) for name in ENTRIES)
    assert not any(obstacle(name, None) for name in ENTRIES)


def test_a_variant_that_this_run_cannot_use_says_why() -> None:
    refused = PLAIN.without(Refusal("clip", "agc", "needs dense gradients"))
    rows = [
        "".join(text for text, _ in runs) for runs, _ in explain("clip", state_of(capabilities=refused), 80)
    ]
    [why] = [row for row in rows if "not here" in row]
    assert "needs dense gradients" in why
    assert "agc" in rows[rows.index(why) - 1]


@pytest.mark.parametrize("width", [30, 50, 80, 160])
@pytest.mark.parametrize("name", CONTROLS)
def test_an_explanation_holds_all_that_the_table_says(name: str, width: int) -> None:
    control = CONTROLS[name]
    rows = explain(name, state_of(capabilities=CAPABLE), width)
    words = " ".join(" ".join("".join(part for part, _ in runs) for runs, _ in rows).split())

    def has(text: str) -> bool:
        return "".join(text.split()) in "".join(words.split())

    assert has(control.help)
    if isinstance(control, OneOf):
        assert [word for _, word in rows if word]  # a click finds them
        for kind in control.variants.values():
            assert kind.word in {word for _, word in rows}
            assert has(kind.helps) and has(kind.fails) and has(kind.source)
            assert all(has(parameter) for parameter in kind.parameters)
        if any(kind.as_printed for kind in control.variants.values()):
            num_printed = sum(kind.as_printed for kind in control.variants.values())
            assert words.count("[from the article]") == num_printed
            assert "[standard]" in words
    elif isinstance(control, Word):
        assert [word for _, word in rows if word] == ["as-built", *dict(STRUCTURE)[name]]


# -- the noise scale -------------------------------------------------------------------------------


def noisy(step: int, k: int, b: int, **changes: object) -> object:
    """A step with |G|² = 4 and tr(Σ) = 36, as exact as expectations are."""
    norm = math.sqrt(4 + 36 / (k * b))
    values = {"grad_norm": norm, "microbatch_square": 4 + 36 / b, "num_microbatches": k, "num_samples": k * b}
    return make_record(step, **{**values, **changes})


@pytest.mark.parametrize("rule", [MeanOver(4), SumOver(4)])
def test_the_noise_scale_is_that_of_the_records(rule: MeanOver | SumOver) -> None:
    state = state_of(Controls(accumulate=rule))
    length = 4 if isinstance(rule, SumOver) else 1
    for step in range(4, 23):
        record = noisy(step, 4, 3)
        norm = length * record.grad_norm  # type: ignore[attr-defined]
        state.take(make_batch(records=(noisy(step, 4, 3, grad_norm=norm),)))  # type: ignore[arg-type]
    value, why = state.noise_scale()
    assert math.isnan(value) and why == "1 more steps"
    state.take(make_batch(records=(noisy(23, 4, 3, grad_norm=length * math.sqrt(4 + 36 / 12)),)))  # type: ignore[arg-type]
    value, why = state.noise_scale()
    assert value == pytest.approx(9.0) and not why


def test_without_accumulation_the_noise_scale_says_what_is_missing() -> None:
    assert state_of().noise_scale()[1] == "accumulate at least 2"


# -- the screen ------------------------------------------------------------------------------------


async def test_every_control_is_reached_and_pending_until_confirmed() -> None:
    source = ScriptedSource()
    app = VgradApp(source)
    async with app.run_test(size=(110, 40)) as pilot:
        await begin(pilot, source)
        await pilot.press("m")
        for name in ENTRIES:
            if name not in CONTROLS:
                await pilot.press("down")
                continue
            assert app.screen.query_one(ControlList).entry == name
            title = f"{CONTROLS[name].title:<17} "
            await pilot.press("right")
            await pilot.pause()
            if not isinstance(CONTROLS[name], Number):  # a number moves at once
                assert not source.submitted and "pending" not in line_with(app, title)
                assert "enter sets it" in line_with(app, title)
                await pilot.press("enter")
                await pilot.pause()
            command = source.submitted.pop()
            assert isinstance(command, Set) and command.control == name and not source.submitted
            row = line_with(app, title)
            assert "enter sets it" not in row
            assert "pending" in row and "@" not in row and "●" not in row
            applied = CommandApplied(51, command, reduce(Controls(), command))
            await pull(pilot, source, make_batch(notices=(applied,)))
            row = line_with(app, title)
            assert "@ 51" in row and "pending" not in row and "●" in row
            await pilot.press("o", "backspace")
            assert source.submitted == [Set(name, getattr(Controls(), name))]  # asked for once
            applied = CommandApplied(52, source.submitted.pop(), Controls())
            await pull(pilot, source, make_batch(notices=(applied,)))
            await pilot.press("down")


@pytest.mark.parametrize("name", [name for name in CONTROLS if not isinstance(CONTROLS[name], Number)])
async def test_passing_over_kinds_asks_for_none_of_them(name: str) -> None:
    source = ScriptedSource()
    app = VgradApp(source)
    control = CONTROLS[name]
    num_kinds = len(control.variants) if isinstance(control, OneOf) else 1 + len(dict(STRUCTURE)[name])
    async with app.run_test(size=(110, 40)) as pilot:
        await begin(pilot, source)
        await pilot.press("m")
        choose(app, name)
        table = app.screen.query_one(ControlList)
        seen = []
        for _ in range(num_kinds):
            await pilot.press("right")
            seen.append(table.choice)
        assert seen[-1] is None, "what is wanted already is no choice"
        assert all(choice is not None and choice.control == name for choice in seen[:-1])
        await pilot.press("left")
        assert table.choice == seen[-2]
        await pilot.press("escape")
        assert table.choice is None and isinstance(app.screen, ControlsScreen)
        await pilot.press("left", "up" if ENTRIES.index(name) else "down")
        choose(app, name)
        await pilot.pause()
        assert table.choice is None, "a choice is dropped with its row"
        assert source.submitted == []
        await pilot.press("left", "enter")
        await pilot.pause()
        assert source.submitted == [seen[-2]]


async def test_the_parameter_of_a_choice_moves_before_it_is_asked_for() -> None:
    source = ScriptedSource()
    app = VgradApp(source)
    async with app.run_test(size=(110, 40)) as pilot:
        await begin(pilot, source)
        await pilot.press("m")
        choose(app, "clip")
        await pilot.press("right", "right_square_bracket")
        await pilot.pause()
        assert source.submitted == []
        assert "off → norm 2  enter sets it" in line_with(app, "▸   clip")
        await pilot.press("enter")
        await pilot.pause()
        assert source.submitted == [Set("clip", ClipGradNorm(2.0))]


async def test_a_refusal_says_why_and_changes_nothing() -> None:
    source = ScriptedSource()
    app = VgradApp(source)
    async with app.run_test(size=(110, 40)) as pilot:
        await begin(pilot, source)
        await pilot.press("m", "right", "enter")
        await pilot.pause()
        await pull(
            pilot, source, make_batch(notices=(CommandRejected(51, source.submitted[0], "no such cores"),))
        )
        assert "no such cores" in line_with(app, "refused at step 51")
        assert "fp32" in line_with(app, "precision  ") and "@" not in line_with(app, "precision  ")


KINDS = [
    (control.name, kind.format(kind.value()))
    for control in CONTROLS.values()
    if isinstance(control, OneOf)
    for kind in control.variants.values()
    if kind.format(kind.value()) != control.format(getattr(Controls(), control.name))
]


TEXTS = [*KINDS, ("lr_scale", "0.25"), ("skip", "on"), ("activation", "tanh")]


async def test_every_kind_can_be_typed() -> None:
    source = ScriptedSource()
    app = VgradApp(source)
    async with app.run_test(size=(80, 24)) as pilot:
        await begin(pilot, source)
        await pilot.press("m")
        for name, text in TEXTS:
            choose(app, name)
            await pilot.press("enter")
            app.screen.query_one("#edit", Input).value = text
            await pilot.press("enter")
            await pilot.pause()
            assert source.submitted.pop() == Set(name, CONTROLS[name].read(text))
            assert app.screen.query_one(ControlList).has_focus


async def test_what_cannot_be_read_stays_in_the_field_until_it_is_put_right_or_left() -> None:
    source = ScriptedSource()
    app = VgradApp(source)
    async with app.run_test(size=(100, 30)) as pilot:
        await begin(pilot, source)
        await pilot.press("m")
        choose(app, "clip")
        await pilot.press("enter", "ctrl+u", *"zclip", "colon", *"2,x", "enter")
        await pilot.pause()
        assert source.submitted == []
        assert "zclip takes" in line_with(app, "✗")
        assert line_with(app, "zclip:2,x")
        await pilot.press("backspace", "backspace", "enter")
        await pilot.pause()
        assert source.submitted == [Set("clip", ZClip(2.0))]
        await pilot.press("enter", *"abc", "escape", "escape")
        assert len(source.submitted) == 1
        assert not isinstance(app.screen, ControlsScreen)


async def test_everything_is_in_the_palette() -> None:
    source = ScriptedSource()
    app = VgradApp(source)
    async with app.run_test(size=(80, 24)) as pilot:
        await begin(pilot, source)
        commands = {command.title: command for command in app.get_system_commands(app.screen)}
        assert "gradient check (g)" in commands
        for title, words, name, word in palette():
            assert commands[title].help == words
            control, num_submitted = CONTROLS[name], len(source.submitted)
            is_so = control.read(word) == getattr(app.state.wanted, name)
            commands[title].callback()
            assert len(source.submitted) == num_submitted + (not is_so), "what is so already is not asked for"
            if is_so:
                continue
            asked = source.submitted[-1]
            assert isinstance(asked, Set) and asked.control == name
            value = control.read(asked.value)
            assert (
                control.variant_of(value).word if isinstance(control, OneOf) else control.format(value)
            ) == word
        for scheme in REINITS:
            commands[f"re-initialise {scheme}"].callback()
            assert source.submitted[-1] == Reinit(scheme)
        for control in CONTROLS.values():
            commands[f"{control.title} …"].callback()
            await pilot.pause()
            assert isinstance(app.screen, ControlsScreen)
            assert app.screen.query_one(ControlList).entry == control.name
            assert app.screen.query_one("#edit").has_focus


async def test_a_click_chooses_a_control_and_sets_a_kind() -> None:
    source = ScriptedSource()
    app = VgradApp(source)
    async with app.run_test(size=(160, 50)) as pilot:
        await begin(pilot, source)
        await pilot.click("#other-controls")  # the panel's row
        await pilot.pause()
        assert isinstance(app.screen, ControlsScreen)
        lines = screen_lines(app)
        row = next(y for y, line in enumerate(lines) if "optimizer  " in line)
        await pilot.click(offset=(6, row))
        await pilot.pause()
        row = next(y for y, line in enumerate(screen_lines(app)) if "○ adam  " in line)
        await pilot.click(offset=(62, row))
        await pilot.pause()
        assert source.submitted == [Set("optimizer", Adam())]


async def test_new_weights_are_asked_about_first_and_undo_brings_the_old_ones_back() -> None:
    source = ScriptedSource(answers=True)
    app = VgradApp(source)
    async with app.run_test(size=(160, 50)) as pilot:
        await begin(pilot, source)
        await pilot.press("i")
        assert isinstance(app.screen, ReinitScreen)
        assert line_with(app, "Re-initialise all weights?")
        await pilot.press("escape")
        assert source.submitted == []
        await pilot.press("m", "i", "down", "enter")
        await pilot.pause()
        assert source.submitted == [Reinit(list(REINITS)[1])]
        await pull(pilot, source)
        assert "@ 51" in line_with(app, "re-initialise  ")
        await pilot.press("u")
        assert source.submitted[1:] == [UndoReinit()]


async def test_a_scheme_that_the_run_cannot_use_is_listed_with_the_reason_and_cannot_be_chosen() -> None:
    source = ScriptedSource()
    app = VgradApp(source)
    first = next(iter(REINITS))
    info = make_info(capabilities=CAPABLE.without(Refusal("reinit", first, "has no hidden matrices")))
    async with app.run_test(size=(160, 50)) as pilot:
        await play(
            pilot, source, [make_batch(notices=(RunStarted(info),)), make_batch(records=records(1, 50))]
        )
        await pilot.press("i")
        assert "has no hidden matrices" in line_with(app, f"{first}  ")
        await pilot.press("home", "enter")
        assert Reinit(first) not in source.submitted


def make_check(error: float) -> GradCheck:
    worst = CheckedEntry("head", "head.weight", (3, 1), 0.5, 0.5 + error / 2, error)
    return GradCheck(("embed", "head"), (math.nan, error), worst, 1e-4, 1e-6, 40, 2, 1, 0, 0.1)


async def test_the_gradient_check_shows_its_way_and_its_result() -> None:
    source = ScriptedSource()
    app = VgradApp(source)
    async with app.run_test(size=(100, 40)) as pilot:
        await begin(pilot, source)
        await pilot.press("g", "g")
        assert isinstance(app.screen, GradientCheckScreen)
        assert source.submitted == [CheckGradients()]  # one at a time
        assert line_with(app, "asked for")
        command = CheckGradients()
        notices = (CommandApplied(51, command, Controls()), Checking(10, 40))
        await pull(pilot, source, make_batch(notices=notices))
        assert line_with(app, "10 of 40 entries")
        await pull(pilot, source, make_batch(notices=(GradientsChecked(50, make_check(2e-7)),)))
        assert "✓ passed" in line_with(app, "@ 50")
        assert "2.0e-7" in line_with(app, "  head")
        assert "nothing to compare" in line_with(app, "embed")
        await pull(pilot, source, make_batch(notices=(GradientsChecked(60, make_check(0.3)),)))
        assert "✗ FAILED" in line_with(app, "@ 60")
        refused = CommandRejected(61, command, "the loss is nan")
        await pull(pilot, source, make_batch(notices=(Checking(1, 40), refused)))
        assert app.state.checking is None
        assert line_with(app, "head.weight[3, 1]")


# -- the main screen -------------------------------------------------------------------------------


async def test_the_panel_names_what_else_is_on() -> None:
    source = ScriptedSource(answers=True)
    app = VgradApp(source)
    async with app.run_test(size=(160, 50)) as pilot:
        await begin(pilot, source)
        assert "nothing else is on" in line_with(app, "m   controls")
        assert "accumulate at least 2" in line_with(app, "noise scale")
        for command in (Set("noise", AddGradNoise()), Set("schedule", WarmupCosine()), Set("lr_scale", 0.5)):
            app.submit(command)
        await pull(pilot, source)
        assert "gradient noise 0.01" in line_with(app, "m   controls")
        assert "2 × 0.5 = 1" in line_with(app, "- = lr") and "cosine" in line_with(app, "- = lr")
        assert "schedule" not in line_with(app, "m   controls")


@pytest.mark.parametrize("precision", [Float32(), Float16()])
@pytest.mark.parametrize("skip", [None, SkipNonFinite()])
async def test_dropped_steps_are_told_where_steps_can_be_dropped_and_a_scale_where_there_is_one(
    precision: Float32 | Float16, skip: SkipNonFinite | None
) -> None:
    source = ScriptedSource(answers=True)
    app = VgradApp(source)
    is_half = isinstance(precision, Float16)
    async with app.run_test(size=(160, 50)) as pilot:
        await begin(pilot, source)
        app.submit(Set("precision", precision))
        app.submit(Set("skip_non_finite", skip))
        await pull(pilot, source)
        await pull(pilot, source, make_batch(records=(make_record(51, loss_scale=65536.0, skipped=True),)))
        lines = screen_lines(app)
        assert any("loss scale" in line and "65,536" in line for line in lines) == is_half
        assert sum("1 step skipped" in line for line in lines) == (is_half or skip is not None)


@pytest.mark.parametrize(
    "remedy", [Set("activation", "tanh"), Set("optimizer", Adam()), Reinit("he"), UndoReinit()]
)
async def test_any_remedy_is_named_before_its_key_applies_it(remedy: object) -> None:
    source = ScriptedSource()
    app = VgradApp(source)
    async with app.run_test(size=(120, 30)) as pilot:
        await begin(pilot, source)
        verdict = Verdict("vanishing", "stalled", remedy=(remedy,))  # type: ignore[arg-type]
        await pull(pilot, source, make_batch(notices=(VerdictChanged(50, verdict),)))
        assert f"r {describe(remedy)}" in line_with(app, "VANISHING")
        await pilot.press("m")
        await pilot.pause()
        assert line_with(app, f"r {describe(remedy)}")
        await pilot.press("r")
        assert source.submitted == [remedy]


@pytest.mark.parametrize("size", [(50, 20), (30, 8), (20, 5), (1, 1), (300, 90)])
async def test_any_size_will_do(size: tuple[int, int]) -> None:
    source = ScriptedSource()
    app = VgradApp(source)
    async with app.run_test(size=(80, 24)) as pilot:
        await begin(pilot, source)
        await pilot.press("m")
        await pilot.resize_terminal(*size)
        await pull(pilot, source)
        for _ in ENTRIES:
            await pilot.press("down")
        await pilot.press("enter", "escape", "right")
        await pilot.resize_terminal(80, 24)
        await pull(pilot, source)
        assert line_with(app, "gradient check")
