from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.engine.toys import toy_model

from vgrad.measure.host_copy import HostCopy
from vgrad.watching.optimizer_tap import OptimizerTap


def test_scalars_of_any_dtype_arrive_one_by_one_and_vectors_in_a_row() -> None:
    scalars = [torch.tensor(0.1, dtype=torch.float64), torch.tensor(2.0, dtype=torch.bfloat16)]
    vectors = [torch.tensor([3.0, 4.0]), torch.empty(0), torch.tensor([5.0], dtype=torch.float64)]
    numbers, row = HostCopy(scalars, vectors).read()
    assert numbers == [0.1, 2.0]
    assert row.tolist() == [3.0, 4.0, 5.0]


def test_what_is_not_finite_arrives_as_it_is() -> None:
    numbers, row = HostCopy([torch.tensor(np.inf)], [torch.tensor([np.nan, -np.inf])]).read()
    assert numbers == [np.inf]
    np.testing.assert_array_equal(row, [np.nan, -np.inf])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_loop_may_write_into_its_loss_after_the_step(dtype: torch.dtype) -> None:
    model = toy_model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    inputs = torch.randn(4, next(model.parameters()).shape[1])
    with OptimizerTap(model, optimizer) as tap:
        model(inputs).square().mean().backward()
        loss = torch.tensor(0.5, dtype=dtype)
        tap.microbatch(loss)
        optimizer.step()
        loss.fill_(7.0)
        (record,) = tap.records()
    assert record.loss == 0.5
