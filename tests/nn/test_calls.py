"""Which of torch's calls are seen as products with a parameter, and that arrays answer them with the call's own result."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from mho.nn.calls import Call, product_of


def draw(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)), dtype=torch.float64)


class Seen(NamedTuple):
    call: Callable[[Any, Any], Tensor]
    weight: tuple[int, ...]
    transposed: bool = False
    part: int | None = None
    x: tuple[int, ...] = (5, 4)
    dtype: torch.dtype = torch.float64


B = draw(3)
SEEN = {
    "linear": Seen(F.linear, (3, 4)),
    "linear with bias": Seen(lambda x, w: F.linear(x, w, B), (3, 4)),
    "linear by name": Seen(lambda x, w: F.linear(input=x, weight=w, bias=B), (3, 4)),
    "linear, transposed": Seen(lambda x, w: F.linear(x, w.T), (4, 3), True),
    "linear of a square matrix": Seen(F.linear, (4, 4)),
    "linear of a square matrix, transposed": Seen(lambda x, w: F.linear(x, w.T), (4, 4), True),
    "a view of the same shape": Seen(lambda x, w: F.linear(x, w.view(3, 4)), (3, 4)),
    "@": Seen(lambda x, w: x @ w, (4, 3), True),
    "@ the transpose": Seen(lambda x, w: x @ w.T, (3, 4)),
    "@ of sequences": Seen(lambda x, w: x @ w, (4, 3), True, x=(2, 5, 4)),
    "@ of one vector": Seen(lambda x, w: x @ w, (4, 3), True, x=(4,)),
    "matmul": Seen(torch.matmul, (4, 3), True),
    "mm": Seen(torch.mm, (4, 3), True),
    "methods": Seen(lambda x, w: x.mm(w) + x.matmul(w), (4, 3), True),
    "from the left": Seen(lambda x, w: w @ x.T, (3, 4)),
    "from the left, transposed": Seen(lambda x, w: w.T @ x.T, (4, 3), True),
    "from the left, of stacks": Seen(lambda x, w: w @ x.mT, (3, 4), x=(2, 5, 4)),
    "addmm": Seen(lambda x, w: torch.addmm(B, x, w), (4, 3), True),
    "addmm method": Seen(B.addmm, (4, 3), True),
    "a matrix of a stack": Seen(lambda x, w: F.linear(x, w[1]), (2, 3, 4), False, 1),
    "the last of a stack": Seen(lambda x, w: x @ w[2], (3, 4, 3), True, 2),
    "the first of a stack, transposed": Seen(lambda x, w: x @ w[0].T, (2, 3, 4), False, 0),
    "from the left, of a stack": Seen(lambda x, w: w[1] @ x.T, (2, 3, 4), False, 1),
    "addmm with a matrix of a stack": Seen(lambda x, w: torch.addmm(B, x, w[1]), (2, 4, 3), True, 1),
    "bmm": Seen(torch.bmm, (2, 4, 3), True, x=(2, 5, 4)),
    "bmm, transposed": Seen(lambda x, w: torch.bmm(x, w.transpose(1, 2)), (2, 3, 4), x=(2, 5, 4)),
    "bmm method": Seen(lambda x, w: x.bmm(w), (2, 4, 3), True, x=(2, 5, 4)),
    "conv1d": Seen(lambda x, w: F.conv1d(x, w, B, 2, 1, 2), (3, 4, 3), x=(2, 4, 9)),
    "conv2d": Seen(lambda x, w: F.conv2d(x, w, stride=(1, 2), padding=(1, 0)), (3, 4, 3, 2), x=(2, 4, 5, 6)),
    "conv2d, same": Seen(lambda x, w: torch.conv2d(x, w, padding="same"), (3, 4, 3, 3), x=(2, 4, 5, 6)),
    "conv2d, groups": Seen(lambda x, w: F.conv2d(x, w, groups=2), (6, 2, 3, 3), x=(2, 4, 5, 6)),
    "conv3d": Seen(F.conv3d, (3, 2, 2, 2, 2), x=(1, 2, 3, 3, 3)),
    "einsum": Seen(lambda x, w: torch.einsum("bi,oi->bo", x, w), (3, 4)),
    "einsum, parameter first": Seen(lambda x, w: torch.einsum("oi, bi -> bo", w, x), (3, 4)),
    "einsum of a list": Seen(lambda x, w: torch.einsum("bi,io->ob", [x, w]), (4, 3)),
    "einsum of numbered axes": Seen(lambda x, w: torch.einsum(x, [0, 1], w, [2, 1], [0, 2]), (3, 4)),
    "einsum over two axes": Seen(lambda x, w: torch.einsum("bhd,ohd->bo", x, w), (3, 2, 4), x=(5, 2, 4)),
    "einsum, two axes of columns": Seen(lambda x, w: torch.einsum("btd,hdk->bhtk", x, w), (2, 4, 3), x=(5, 2, 4)),
}  # fmt: skip
ENDS = {"two": torch.tensor([3, 8], dtype=torch.int32), "one empty": torch.tensor([0, 8], dtype=torch.int32)}
for _name, _ends in ENDS.items():
    _shape = {"x": (8, 16), "dtype": torch.bfloat16}
    SEEN |= {
        f"groups, {_name}": Seen(lambda x, w, e=_ends: torch._grouped_mm(x, w, e), (2, 16, 32), True, **_shape),
        f"groups by name, {_name}": Seen(
            lambda x, w, e=_ends: torch._grouped_mm(x, w, offs=e), (2, 16, 32), True, **_shape
        ),
        f"groups, transposed, {_name}": Seen(
            lambda x, w, e=_ends: torch._grouped_mm(x, w.mT, offs=e), (2, 32, 16), **_shape
        ),
    }
    if hasattr(F, "grouped_mm"):
        SEEN[f"public groups, {_name}"] = Seen(
            lambda x, w, e=_ends: F.grouped_mm(x, w, offs=e), (2, 16, 32), True, **_shape
        )
UNSEEN = {
    "something computed": Seen(lambda x, w: F.linear(x, 2 * w), (3, 4)),
    "some columns": Seen(lambda x, w: F.linear(x, w[:2]), (3, 4)),
    "the same memory in another shape": Seen(lambda x, w: F.linear(x, w.view(3, 4)), (6, 2)),
    "a single column": Seen(F.linear, (4,)),
    "a vector from the right": Seen(lambda x, w: w @ x[0], (3, 4)),
    "addmm of a matrix": Seen(lambda x, w: torch.addmm(draw(5, 3), x, w), (4, 3)),
    "addmm with factors": Seen(lambda x, w: torch.addmm(B, x, w, beta=2), (4, 3)),
    "a matrix across a stack": Seen(lambda x, w: F.linear(x, w[:, 0]), (3, 2, 4)),
    "times": Seen(lambda x, w: x * w, (5, 4)),
    "times a stack": Seen(lambda x, w: x * w, (2, 5, 4), x=(2, 5, 4)),
    "sums of products": Seen(lambda x, w: torch.addcmul(draw(4), x, w), (5, 4)),
    "between": Seen(lambda x, w: torch.lerp(x, w, torch.ones(4).double()), (2, 5, 4)),
    "a part of a stack": Seen(lambda x, w: torch.bmm(x, w[:2]), (3, 4, 3), x=(2, 5, 4)),
    "every second of a stack": Seen(lambda x, w: torch.bmm(x, w[::2]), (4, 4, 3), x=(2, 5, 4)),
    "bmm of other axes": Seen(lambda x, w: torch.bmm(x, w.transpose(0, 1)), (4, 2, 3), x=(2, 5, 4)),
    "bmm of an activation": Seen(lambda x, w: torch.bmm(x, x.mT) + w, (5, 5), x=(2, 5, 4)),
    "conv of a transpose": Seen(lambda x, w: F.conv1d(x, w.transpose(0, 1)), (4, 3, 3), x=(2, 4, 9)),
    "conv of a part": Seen(lambda x, w: F.conv1d(x, w[0]), (2, 3, 4, 3), x=(2, 4, 9)),
    "einsum of the vectors themselves": Seen(lambda x, w: torch.einsum("bi,bi->b", x, w), (5, 4)),
    "einsum of something computed": Seen(lambda x, w: torch.einsum("bi,oi->bo", x, 2 * w), (3, 4)),
    "einsum of a part": Seen(lambda x, w: torch.einsum("bi,oi->bo", x, w[:2]), (3, 4)),
    "einsum, batched": Seen(lambda x, w: torch.einsum("bi,boi->bo", x, w), (5, 3, 4)),
    "einsum that sums columns": Seen(lambda x, w: torch.einsum("bi,oi->b", x, w), (3, 4)),
    "einsum that sums vectors": Seen(lambda x, w: torch.einsum("bi,oi->o", x, w), (3, 4)),
    "einsum, outer": Seen(lambda x, w: torch.einsum("bi,o->bio", x, w), (3,)),
    "einsum without columns": Seen(lambda x, w: torch.einsum("bi,i->b", x, w), (4,)),
    "einsum of a diagonal": Seen(lambda x, w: torch.einsum("bi,ii->bi", x, w), (4, 4)),
    "einsum without an arrow": Seen(lambda x, w: torch.einsum("bi,oi", x, w), (3, 4)),
    "einsum with dots": Seen(lambda x, w: torch.einsum("...i,oi->...o", x, w), (3, 4)),
    "einsum of three": Seen(lambda x, w: torch.einsum("bi,oi,o->bo", x, w, B), (3, 4)),
    "einsum of one": Seen(lambda x, w: torch.einsum("oi->io", w) + 0 * x.sum(), (3, 4)),
}  # fmt: skip


class Look(TorchFunctionMode):
    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight, self.found = weight, []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = product_of(func, args, kwargs or {}, {id(self.weight): "w"})
        y = func(*args, **(kwargs or {}))
        if found is not None:
            self.found.append(found)
            digits = 1e-9 if y.dtype == torch.float64 else 1e-2
            torch.testing.assert_close(self.answered(found), y, rtol=digits, atol=digits)
        return y

    def answered(self, call: Call) -> Tensor:
        read = call.read

        def arrays(part: int, x: Tensor, bias: Tensor | None) -> Tensor:
            assert isinstance(part, int), "arrays are asked for by number"
            weight = self.weight.detach()
            if read.columns:
                weight = weight.permute(*read.columns, *read.rows).flatten(len(read.columns)).flatten(0, -2)
            weight = weight[part] if read.parts else weight
            return read.operator(x, weight.T if read.transposed else weight, bias)

        return call.answer(arrays)


def look(case: Seen) -> list[Call]:
    weight = nn.Parameter(draw(*case.weight).to(case.dtype))
    with Look(weight) as mode:
        case.call(draw(*case.x).to(case.dtype), weight)
    return mode.found


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel:UserWarning")
@pytest.mark.parametrize("name", SEEN)
def test_products_are_seen_and_answered(name):
    case = SEEN[name]
    found = look(case)
    assert found and all(call.parameter == "w" for call in found)
    stacked = len(case.weight) == 3 and not name.startswith(("conv", "einsum"))
    for call in found:
        assert call.part == case.part and call.read.parts == (case.weight[0] if stacked else 0)
        assert call.read.transposed == case.transposed and bool(call.read.columns) == ("einsum" in name)


@pytest.mark.parametrize("name", UNSEEN)
def test_other_calls_are_left_alone(name):
    assert look(UNSEEN[name]) == []
