from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from vgrad.gradients.module_tree import modules_of, named_children, named_modules, own_params, params_of


@st.composite
def models(draw: st.DrawFn) -> nn.Module:
    """Trees of modules in which modules and parameters may be shared, absent, or below themselves."""
    made: list[nn.Module] = [nn.Linear(2, 2), nn.LayerNorm(2, elementwise_affine=False)]
    for _ in range(draw(st.integers(1, 5))):
        module = nn.Module()
        for index in range(draw(st.integers(0, 3))):
            module.register_module(f"m{index}", draw(st.sampled_from([None, *made])))
        for index in range(draw(st.integers(0, 2))):
            module.register_parameter(f"p{index}", draw(st.sampled_from([None, *made[0].parameters()])))
        made.append(module)
    if draw(st.booleans()):
        made[2].register_module("loop", made[-1])
    return made[-1]


@given(models())
def test_names_order_and_identity_are_those_of_torch(model: nn.Module) -> None:
    assert list(named_modules(model)) == list(model.named_modules())
    assert list(modules_of(model)) == list(model.modules())
    assert list(map(id, params_of(model))) == list(map(id, model.parameters()))
    for module in model.modules():
        ours, theirs = list(own_params(module)), list(module.named_parameters(recurse=False))
        assert [(name, id(param)) for name, param in ours] == [(name, id(param)) for name, param in theirs]
        assert {id(child) for _, child in named_children(module)} == set(map(id, module.children()))
