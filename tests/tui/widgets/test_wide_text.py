"""Names and messages in characters of two cells are shown whole, as long as there is room for them."""

from __future__ import annotations

from tests.batches import make_batch
from tests.tui.driving import line_with, play, screen_lines
from tests.tui.scripted import ScriptedSource, make_info, make_record

from vgrad.events.notices import LoopNoted, RunStarted
from vgrad_tui.app.app import VgradApp

_NAME = "編碼器.層"
_MESSAGE = "梯度在第一層就已經消失了因此模型什麼也學不到請檢查激活函數與初始化方式是否合適"


async def test_a_layers_name_gets_the_cells_that_it_takes() -> None:
    source = ScriptedSource()
    app = VgradApp(source)
    async with app.run_test(size=(120, 36)) as pilot:
        started = make_batch(notices=(RunStarted(make_info((_NAME,))),))
        await play(pilot, source, [started, make_batch((make_record(1, 1),))])
        assert line_with(app, _NAME)


async def test_an_entry_of_the_journal_without_blanks_is_broken_and_nothing_of_it_is_lost() -> None:
    source = ScriptedSource()
    app = VgradApp(source)
    async with app.run_test(size=(120, 36)) as pilot:
        notices = (RunStarted(make_info()), LoopNoted(1, _MESSAGE))
        await play(pilot, source, [make_batch(notices=notices)])
        text = "".join(line.partition("  ")[2].strip() for line in screen_lines(app))
        shown = "".join(character for character in text if character in _MESSAGE)
        assert shown == _MESSAGE
