"""Items are done each once, in processes that end when nobody waits for them any more."""

from __future__ import annotations

import math
import os
import pickle
import time

import pytest

from vgrad.errors import VgradError
from vgrad.lab.process_pool import map_in_processes
from vgrad.recipes.registry import get_recipe


@pytest.mark.parametrize("processes", [1, 2, 9])
@pytest.mark.parametrize("num_items", [0, 1, 5])
def test_every_item_is_done_once(num_items: int, processes: int) -> None:
    items = [float(item) for item in range(num_items)]
    found = dict(map_in_processes(math.sqrt, items, processes=processes))
    assert found == {index: math.sqrt(item) for index, item in enumerate(items)}


def test_a_process_that_dies_is_reported() -> None:
    with pytest.raises(VgradError, match="died"):
        list(map_in_processes(os._exit, [0, 0], processes=2))


def test_an_error_of_ours_arrives_as_what_it_says() -> None:
    with pytest.raises(VgradError, match="no-such-recipe"):
        list(map_in_processes(get_recipe, ["no-such-recipe"] * 2, processes=2))


def test_what_is_printed_meanwhile_is_no_result() -> None:
    assert dict(map_in_processes(print, ["one", "two"], processes=2)) == {0: None, 1: None}


def test_what_cannot_be_sent_is_refused_before_anything_starts() -> None:
    with pytest.raises((AttributeError, pickle.PicklingError), match="<lambda>"):
        list(map_in_processes(lambda item: item, [1, 2], processes=2))


def test_nobody_waits_for_items_that_nobody_wants() -> None:
    results = map_in_processes(time.sleep, [0.0, 600.0, 600.0], processes=3)
    assert next(results) == (0, None)
    results.close()  # would take ten minutes
