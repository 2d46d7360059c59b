"""Tests of rlbench.rollout.array_pool: fresh arrays, and tensors over the same memory."""

import numpy as np
import pytest
import torch

from rlbench.rollout.array_pool import Pages


@pytest.mark.parametrize(("rest", "dtype"), [((), np.bool_), ((4,), np.float32), ((210, 160, 3), np.uint8)])
def test_every_array_is_fresh_and_shared_with_its_tensor(rest: tuple[int, ...], dtype: type) -> None:
    pages = Pages((2, 3), rest, np.dtype(dtype))
    taken = [pages.take() for _ in range(5 if rest and rest[0] > 4 else 12_000)]  # more than one allocation holds
    for k, (array, tensor) in enumerate(taken):
        assert array.shape == (6, *rest)
        assert tensor.shape == (2, 3, *rest)
        array[:] = k % 2
    for k, (array, tensor) in enumerate(taken):  # nothing was written over by a later one
        assert (array == k % 2).all()
        assert torch.equal(tensor, torch.from_numpy(array).view(2, 3, *rest))
    array, tensor = taken[0]
    array[5] = 1
    assert tensor[1, 2].all()
    assert not tensor[1, 1].any()


def test_observations_of_no_width_have_their_place_too() -> None:
    array, tensor = Pages((1, 2), (0,), np.dtype(np.float32)).take()
    assert array.shape == (2, 0)
    assert tensor.shape == (1, 2, 0)
