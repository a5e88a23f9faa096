"""Watches every optimizer of a process, whenever it is made, without a change to the script.

An optimizer is noticed when it is made. It is watched from its first use on: when a backward pass begins or
it steps: only then do all optimizers of a step exist, and is the model complete. One whose parameters are
all frozen then, as those of a GAN's other net may be, waits until one of them is trainable. In a script that
makes no optimizer the parameters are updated by hand; they are read when its backward passes end. They may be
tensors that no module holds.
"""

from __future__ import annotations

import functools
import gc
import logging
import sys
import threading
import weakref
from typing import TYPE_CHECKING, Any, TypeVar

from torch import nn
from torch.optim.optimizer import Optimizer, register_optimizer_step_pre_hook

from vgrad.errors import ConfigError
from vgrad.gradients.sharded import is_sharded
from vgrad.watching.backward_hooks import is_in_backward, listen, stop_listening
from vgrad.watching.by_hand import UpdatesByHand
from vgrad.watching.discover import find_model_of_this_thread, find_models
from vgrad.watching.hooks import (
    ahead_of_own_hooks,
    is_inside_a_step,
    may_be_hooked,
    this_thread_is_inside_a_step,
    waits_for,
    when_no_step_runs,
)
from vgrad.watching.loose_tensors import loose_tensors, module_of
from vgrad.watching.optimizer_tap import OptimizerTap
from vgrad.watching.outside_dynamo import outside_dynamo
from vgrad.watching.sharded_part import DEEPSPEED
from vgrad.watching.signals_later import signals_later
from vgrad.watching.stepped_in_backward import parts_of
from vgrad.watching.tracebacks import leave_out_this_frame
from vgrad.watching.unused_parts import UnusedParts
from vgrad.watching.unwrap import as_module, is_wrapper, shards_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor
    from torch.utils.hooks import RemovableHandle

    from vgrad.watching.earlier_part import EarlierPart
    from vgrad.watching.watch import Watch

_log = logging.getLogger("vgrad")
_Kind = TypeVar("_Kind")

_PATIENCE_S = 20.0  # for another thread that looks for models
_MOST_LOOKS = 16  # through the whole process, for a model; in a search of settings they would cost the most
_MOST_PARTS = 256  # of one run; what makes more, such as an inner loop of meta-learning, is watched so far


class EveryOptimizer:
    """Adds every optimizer of this process to ``watch`` as it is first used.

    Neither an optimizer nor a model is kept in memory by it.

    Args:
        watch: Gets the parts.
        on_part: Is called when a part has been added.

    Attributes:
        guard: Takes errors of ours that must not reach the script.
        watch: As given.
    """

    def __init__(self, watch: Watch, on_part: Callable[[], None] | None = None) -> None:
        self.guard = watch.guard
        self.watch = watch
        self._on_part = on_part
        self._known: weakref.WeakSet[Optimizer] = weakref.WeakSet()
        # By id, in the order in which they were made; each stays here until its hooks are on.
        self._new: dict[int, weakref.ref[Optimizer]] = {}
        self._frozen: dict[int, weakref.ref[Optimizer]] = {}  # likewise: were used, and train nothing so far
        self._ended: weakref.WeakSet[Optimizer] = weakref.WeakSet()  # another goes on with their parameters
        self._returned: weakref.WeakSet[Optimizer] = weakref.WeakSet()  # those of them that stepped again
        self._adding = threading.RLock()
        self._unused = UnusedParts(watch)
        self._by_hand: list[UpdatesByHand] = []
        self._loose: dict[int, weakref.ref[Tensor]] = {}  # as of the last look
        self._num_passes = 0
        self._num_parts = 0
        self._init: Any = None
        self._handle: RemovableHandle | None = None
        self._has_ended = False

    def begin(self) -> None:
        """Notice every optimizer that is made or used from now on."""
        _running.append(self)
        self._init = Optimizer.__init__
        Optimizer.__init__ = self._noticing(self._init)  # type: ignore[method-assign]
        listen(self)
        self.watch.on_close(self.end)
        when_no_step_runs(self._hook_every_step)  # torch may be iterating over the global hooks

    def end(self) -> None:
        """Notice no more; torch is as it was before `begin`."""
        if self._has_ended:
            return
        self._has_ended = True
        _running.remove(self)
        if getattr(Optimizer.__init__, "_is_of_vgrad", False):
            Optimizer.__init__ = self._init  # type: ignore[method-assign]
        stop_listening(self)
        when_no_step_runs(self._unhook)

    def notice(self, optimizer: Optimizer) -> None:
        """Watch ``optimizer`` from its first use on."""
        if isinstance(optimizer, UpdatesByHand) or is_wrapper(optimizer) or optimizer in self._known:
            return
        if not is_inside_a_step():
            self.watch.report()  # the last one may be about to go, and its model with it
        self._known.add(optimizer)
        self._put_new(optimizer)

    def leave(self, optimizers: Sequence[Optimizer]) -> None:
        """Add ``optimizers`` no more, for the script does so itself; parts that have one of them end."""
        theirs = set(optimizers)
        self._known.update(theirs)
        for key in map(id, theirs):
            self._new.pop(key, None)
            self._frozen.pop(key, None)
        for part in self.watch.parts:
            if not theirs.isdisjoint(part.optimizers):
                self.watch.remove(part)

    def take_back(self, optimizers: Sequence[Optimizer]) -> None:
        """Add those of ``optimizers`` that step again: the script watches them no more."""
        for optimizer in optimizers:
            self._known.discard(optimizer)

    def part_added(self) -> None:
        """There is one more part."""
        if self._on_part is not None:
            self._on_part()

    def before_backward(self) -> None:
        """A backward pass begins: watch what has been made since the last one."""
        if self._frozen:
            self._look_for_unfrozen()
        if self._new and not this_thread_is_inside_a_step():
            self._unused.collect()
            self._watch_new()

    def after_backward(self) -> None:
        """A backward pass has ended; nobody has made an optimizer if there is none by now."""
        if self._by_hand or len(self._known):
            return
        self._num_passes += 1
        if not self._num_passes & (self._num_passes - 1):  # 1, 2, 4, 8 …: a look takes a tenth of a second
            self._watch_by_hand()

    def _hook_every_step(self) -> None:
        if not self._has_ended:
            self._handle = register_optimizer_step_pre_hook(outside_dynamo(self._before_any_step))

    def _unhook(self) -> None:
        if self._handle is not None:
            self._handle.remove()

    def _noticing(self, original: Any) -> Any:
        @functools.wraps(original)
        def init(optimizer: Optimizer, *args: Any, **kwargs: Any) -> None:
            try:
                original(optimizer, *args, **kwargs)
            except BaseException as error:
                leave_out_this_frame(error)
                raise
            self.guard.call(functools.partial(self.notice, optimizer))

        init._is_of_vgrad = True  # type: ignore[attr-defined]
        return init

    def _before_any_step(self, optimizer: Optimizer, *_: Any) -> None:
        if self._has_ended or isinstance(optimizer, UpdatesByHand):
            return
        if optimizer in self._ended:  # the loop uses both in turns
            self._ended.discard(optimizer)
            self._returned.add(optimizer)
            self._put_new(optimizer)
        if optimizer not in self._known:  # unpickled, or made before we came
            self._known.add(optimizer)
            self._put_new(optimizer)
        if self._frozen:
            self.guard.call(self._look_for_unfrozen)
        if (self._new and id(optimizer) in self._new) or waits_for(optimizer):
            with ahead_of_own_hooks(optimizer):
                self.guard.call(self._watch_new)

    def _put_new(self, optimizer: Optimizer) -> None:
        for waiting in (self._new, self._frozen):
            waiting.pop(id(optimizer), None)  # of one that is gone
        self._new[id(optimizer)] = weakref.ref(optimizer)

    def _look_for_unfrozen(self) -> None:
        """Put those of the frozen ones that train something now among the new ones."""
        for key, ref in list(self._frozen.items()):
            optimizer = ref()
            if optimizer is None or _trains_something(optimizer):
                self._frozen.pop(key, None)
            if optimizer is not None and _trains_something(optimizer):
                self._new[key] = ref

    def _watch_new(self) -> None:
        """Watch what has been made; another thread that comes here waits until its own are watched.

        An optimizer that another thread steps right now is left to that thread. The wait has an end, for a
        finaliser that runs in the thread that is waited for may wait for a lock of this one.
        """
        lock = self._adding
        if not lock.acquire(timeout=_PATIENCE_S):
            self._adding = threading.RLock()  # in a forked process, the thread that holds it may not exist
            return
        try:
            self._watch_those(list(self._new.items()))
        finally:
            lock.release()

    def _watch_those(self, new: Sequence[tuple[int, weakref.ref[Optimizer]]]) -> None:
        ready = [(key, ref()) for key, ref in new]
        ready = [(key, each) for key, each in ready if each is None or may_be_hooked(each)]
        frozen = {key for key, each in ready if each is not None and not _trains_something(each)}
        self._frozen.update((key, ref) for key, ref in new if key in frozen)
        used = [each for key, each in ready if each is not None and key not in frozen]
        try:
            for group in parts_of(self._own_steps(used)):
                params = [param for each in group for one in each.param_groups for param in one["params"]]
                self._add(params, group, is_kept=False)
        finally:
            for key, _ in ready:
                self._new.pop(key, None)

    def _own_steps(self, optimizers: Sequence[Optimizer]) -> Sequence[Optimizer]:
        """The optimizers whose steps are not steps of another one; since they were noticed, they may be."""
        watched = [each for part in self.watch.parts for each in part.optimizers]
        shards = {id(shard) for each in (*watched, *optimizers) for shard in shards_of(each)}
        return [each for each in optimizers if not is_wrapper(each) and id(each) not in shards]

    def notice_existing(self) -> None:
        """Notice the optimizers that this process has made before `begin`, and those that it unpickled."""
        for optimizer in _instances(Optimizer):
            if getattr(optimizer, "param_groups", None):  # a wrapper may have none
                self.notice(optimizer)

    def _watch_by_hand(self) -> None:
        if is_in_backward():  # another thread is: torch writes gradients without the GIL
            return
        with signals_later():
            gc.collect()  # models that nothing refers to any more do not count
        self.notice_existing()
        if self._new:
            self._watch_new()
            return
        params: Sequence[Tensor] = _with_gradients()
        model = None
        if not params:
            params = self._loose_tensors()
            model = module_of(params)
        if params:
            optimizer = UpdatesByHand(params)
            self._by_hand.append(optimizer)
            self._add(params, [optimizer], is_kept=True, model=model)

    def _loose_tensors(self) -> list[Tensor]:
        """The tensors that had a gradient at the look before, too: a loop makes others in each pass again."""
        found, before = loose_tensors(), self._loose
        self._loose = {id(tensor): weakref.ref(tensor) for tensor in found}
        return [tensor for tensor in found if (ref := before.get(id(tensor))) is not None and ref() is tensor]

    def _add(
        self,
        params: Sequence[Tensor],
        optimizers: Sequence[Optimizer],
        *,
        is_kept: bool,
        model: nn.Module | None = None,
    ) -> None:
        earlier = self._earlier(params, optimizers)
        if self._num_parts >= _MOST_PARTS and earlier is None:
            return
        model = model or (earlier and earlier.model()) or self._model_nearby(params)
        models = find_models(params) if model is None else (model,)
        if not models and "deepspeed" in sys.modules:  # they are its flat partitions
            _log.warning("%s is not watched: %s", type(optimizers[0]).__name__, DEEPSPEED)
            return
        module = nn.Module() if not models else models[0] if len(models) == 1 else as_module(models)
        try:
            part = self.watch.add(module, optimizers, is_kept=is_kept, after=earlier)
        except ConfigError as error:
            kind = type(optimizers[0]).__name__
            _log.warning("%s is not watched: %s", kind, error)
            return
        if isinstance(part.tap, OptimizerTap):
            part.tap.on_stepped = part.held.have_been_stepped
        if earlier is not None:
            return
        self._num_parts += 1
        if self._num_parts == _MOST_PARTS:
            _log.warning("%d optimizers are watched; those made later are not", _MOST_PARTS)
        self.part_added()

    def _earlier(self, params: Sequence[Tensor], optimizers: Sequence[Optimizer]) -> EarlierPart | None:
        """The part that a new optimizer goes on from: of the same parameters, as that part left them."""
        if len(optimizers) > 1 or optimizers[0] in self._returned or any(map(is_sharded, params)):
            return None
        gone = self.watch.take_earlier(params)
        if gone is not None:
            return gone
        for part in reversed(self.watch.parts):
            is_single = len(part.optimizers) == 1 and part.optimizers[0] not in self._returned
            if is_single and part.step and part.held.trained().are_untouched(params):
                self._ended.update(part.optimizers)
                self.watch.remove(part)
                return part.leave()
        return None

    def _model_nearby(self, params: Sequence[Tensor]) -> nn.Module | None:
        """The model that holds ``params``, if it need not be looked for in the whole process any more."""
        return find_model_of_this_thread(params) if self._num_parts >= _MOST_LOOKS else None


_running: list[EveryOptimizer] = []  # begun and not ended, the oldest first


def every_optimizer_of_this_process() -> EveryOptimizer | None:
    """What watches this process as a whole, if something does now."""
    return _running[0] if _running else None


def _with_gradients() -> list[nn.Parameter]:
    """All parameters of modules of this process that have a gradient now, each once."""
    found: dict[int, nn.Parameter] = {}
    for module in _instances(nn.Module):
        for param in list((vars(module).get("_parameters") or {}).values()):
            if param is not None and param.grad is not None:
                found[id(param)] = param
    return list(found.values())


def _trains_something(optimizer: Optimizer) -> bool:
    """Whether one of its parameters needs a gradient now."""
    return any(param.requires_grad for group in optimizer.param_groups for param in group["params"])


def _instances(kind: type[_Kind]) -> list[_Kind]:
    """All objects of ``kind`` that the garbage collector knows."""
    # `type` asks an object nothing: a proxy's own `__class__` would be somebody's code.
    return [thing for thing in gc.get_objects() if issubclass(type(thing), kind)]
