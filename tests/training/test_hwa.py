"""Hardware-aware training: what a session changes, that it leaves nothing behind, and that its noise has an address."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import mho
from mho.errors import WrongSetting
from mho.nn.source import Injected
from mho.training import HWA, Clip, Discretise, DropConnect, Gaussian, Programming, Schedule


def _model():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3, groups=2, bias=False), nn.ReLU(),
        nn.Flatten(), nn.Linear(8 * 36, 10),
    )  # fmt: skip


def _batches(n=6):
    generator = torch.Generator().manual_seed(1)
    return [
        (torch.randn(16, 1, 8, 8, generator=generator), torch.randint(10, (16,), generator=generator)) for _ in range(n)
    ]


def _train(net, batches, session=None, lr=0.05):
    optimizer = torch.optim.SGD(net.parameters(), lr, momentum=0.9)
    net.train()
    for x, y in batches:
        optimizer.zero_grad()
        F.cross_entropy(net(x), y).backward()
        optimizer.step()
        if session is not None:
            session.step()
    return net.eval()


def _analog(hw=None, model=None):
    net = mho.to_analog(model or _model(), hw or mho.Hardware.preset("pcm-cells"))
    return mho.calibrate(net, _batches(2))


def test_without_any_noise_it_is_digital_training_bit_for_bit():
    model = _model()
    hw = mho.Hardware.preset("pcm-cells").ideal()
    net = mho.to_analog(model, hw)
    recipe = HWA(weights=(Gaussian(sigma=0.0), DropConnect(share=0.0)), clip=Clip(bound=1e6, relative_to="absolute"))
    bare = mho.to_analog(model, hw)
    session = HWA(clip=Clip(bound=1e6, relative_to="absolute")).attach(bare, steps=6)
    for trained in (_train(net, _batches()), _train(bare, _batches(), session)):
        expected = _train(copy.deepcopy(model), _batches()).state_dict()
        found = trained.state_dict()
        assert expected.keys() == found.keys() and all(torch.equal(expected[k], found[k]) for k in expected)
    # With injections of size 0 weights are scaled and unscaled, which rounds: equal to float precision.
    near = mho.to_analog(model, hw)
    _train(near, _batches(), recipe.attach(near, steps=6))
    for a, b in zip(_train(model, _batches()).parameters(), near.parameters(), strict=True):
        assert torch.allclose(a, b, rtol=1e-4, atol=1e-5)


def test_a_session_changes_training_mode_only_and_leaves_nothing_behind():
    net, (x, _) = _analog(), _batches(1)[0]
    before = copy.deepcopy(net.state_dict())
    net.eval()
    clean = net(x)
    session = HWA(weights=Gaussian(sigma=0.1)).attach(net, steps=4)
    assert torch.equal(net(x), clean)
    chip = mho.program(net, 0).at("1 day")
    assert torch.equal(chip(x), chip.train().eval()(x))
    nn.Module.train(net)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
    noisy = net(x)
    assert not torch.allclose(noisy, clean, atol=1e-2)
    assert torch.equal(net(x), noisy)  # one step, one noise
    session.step()
    assert not torch.equal(net(x), noisy)
    session.detach()
    net.eval()
    assert torch.equal(net(x), clean)
    after = net.state_dict()
    assert before.keys() == after.keys() and all(torch.equal(before[k], after[k]) for k in before)


def test_noise_has_an_address_and_a_state_goes_on():
    batches, recipe = _batches(6), HWA(weights=(Gaussian(sigma=0.05), DropConnect(share=0.05)), clean=0.3,
                                       schedule=Schedule(warmup=0.3, end=0.5))  # fmt: skip
    hw = mho.Hardware.preset("pcm-cells")
    whole = _analog(hw)
    _train(whole, batches, recipe.attach(whole, steps=6, seed=3), lr=0.01)
    torch.randn(17)  # the default generator does not matter
    first = _analog(hw)
    session = recipe.attach(first, steps=6, seed=3)
    optimizer = torch.optim.SGD(first.parameters(), 0.01, momentum=0.9)
    for i, (x, y) in enumerate(batches):
        if i == 3:  # go on in another process, as it were
            state, weights, momenta = session.state_dict(), first.state_dict(), optimizer.state_dict()
            first = _analog(hw)
            first.load_state_dict(weights)
            optimizer = torch.optim.SGD(first.parameters(), 0.01, momentum=0.9)
            optimizer.load_state_dict(momenta)
            session = recipe.attach(first, steps=6, seed=3)
            session.load_state_dict(state)
        first.train()
        optimizer.zero_grad()
        F.cross_entropy(first(x), y).backward()
        optimizer.step()
        session.step()
    for a, b in zip(whole.parameters(), first.parameters(), strict=True):
        assert torch.equal(a, b)
    other = _analog(hw)
    with pytest.raises(WrongSetting, match="seed = 3, not 4"):
        recipe.attach(other, steps=6, seed=4).load_state_dict(session.state_dict())


def test_layers_have_their_factor_and_products_theirs():
    hw = mho.Hardware.preset("hwa-standard")
    net = _analog(hw)
    session = HWA(
        weights=Gaussian(sigma=0.1), products=2.0, layers={"6": 0.5, "3": 0.0}, schedule=Schedule(warmup=0.5)
    ).attach(net, steps=9)
    for _ in range(2):
        session.step()
    by_path = {path: module.matrix.source for path, module in net.named_modules() if hasattr(module, "matrix")}
    assert by_path["3"].change is None and by_path["3"].scheme.hw.noise.output == 0
    assert by_path["0"].change.strength == pytest.approx(0.5) and by_path["6"].change.strength == pytest.approx(0.25)
    noise = [by_path[path].scheme.hw.noise.output for path in ("0", "6")]
    assert noise == pytest.approx([0.04, 0.02])
    assert by_path["6"].scheme.hw.ir_drop.scale == pytest.approx(0.5)


def test_the_share_of_clean_steps():
    net = _analog()
    session = HWA(weights=Gaussian(sigma=0.1), clean=0.25).attach(net, steps=1)
    clean = 0
    for _ in range(400):
        clean += next(m for m in net.modules() if isinstance(m, Injected)).change is None
        session.step()
    assert 60 < clean < 140  # 100 ± 4.6 σ


@pytest.mark.parametrize("relative_to", ["absolute", "tensor_std", "column_std"])
def test_clipping(relative_to):
    net = _analog()
    session = HWA(clip=Clip(bound=0.05 if relative_to == "absolute" else 1.2, relative_to=relative_to)).attach(
        net, steps=2
    )
    before = [view.clone() for view in (net[0].weight.detach(), net[6].weight.detach())]
    session.step()
    for weight, old in zip((net[0].weight, net[6].weight), before, strict=True):
        rows = old.flatten(1)
        bound = {
            "absolute": torch.tensor(0.05),
            "tensor_std": 1.2 * rows.std(correction=0),
            "column_std": 1.2 * rows.std(1, correction=0, keepdim=True),
        }[relative_to]
        assert torch.allclose(weight.flatten(1), torch.minimum(torch.maximum(rows, -bound), bound))
        assert bool((weight.flatten(1) != rows).any())


def test_straight_through_noise_has_the_gradient_of_the_expectation():
    """With converters of infinite resolution the expected output is the ideal product, whose gradient is known."""
    hw = mho.Hardware.preset(
        "hwa-standard", dac={"bits": None}, adc={"bits": None, "range": "fixed"}, **{"ir_drop.scale": 0.0}
    )
    linear = nn.Linear(40, 7)
    net = mho.calibrate(mho.to_analog(linear, hw), [torch.ones(2, 40)])
    HWA().attach(net, steps=1)
    x = torch.randn(30, 40).requires_grad_()
    g = torch.randn(30, 7)
    net.train()
    (net(x) * g).sum().backward()
    assert torch.allclose(net.weight.grad, g.T @ x, atol=1e-4) and torch.allclose(x.grad, g @ net.weight, atol=1e-4)
    assert torch.allclose(net.bias.grad, g.sum(0), atol=1e-5)


def test_straight_through_is_close_to_the_full_gradient():
    """IR drop counts as a constant: the direction of the gradient changes by its relative size, a few per cent."""
    gradients, (x, y) = {}, _batches(1)[0]
    for kind in ("straight_through", "full"):
        net = _analog(mho.Hardware.preset("hwa-standard"), _model().eval())
        HWA(gradient=kind, weights=Gaussian(sigma=0.02)).attach(net, steps=1)
        net.train()
        total = None
        for i in range(30):
            torch.manual_seed(i)
            loss = F.cross_entropy(net(x), y)
            total = loss if total is None else total + loss
        total.backward()
        gradients[kind] = torch.cat([p.grad.flatten() for p in net.parameters()])
    a, b = gradients.values()
    assert float(F.cosine_similarity(a, b, dim=0)) > 0.99
    assert float(a.norm() / b.norm()) == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("preset", ["pcm-cells", "hwa-standard"])
def test_the_outputs_of_straight_through_and_full_training_are_the_same_in_distribution(preset):
    hw = mho.Hardware.preset(preset)
    x, found = torch.randn(400, 40), {}
    for kind in ("straight_through", "full"):
        torch.manual_seed(0)
        net = mho.calibrate(mho.to_analog(nn.Linear(40, 12), hw), [x])
        HWA(gradient=kind).attach(net, steps=1)
        net.train()
        found[kind] = torch.stack([net(x) for _ in range(200)]).detach()
    a, b = found.values()
    noise = a.std(0).mean()
    assert torch.allclose(a.mean(0), b.mean(0), atol=float(6 * noise / 200**0.5) + 1e-5)
    assert float(noise) == pytest.approx(float(b.std(0).mean()), rel=0.02, abs=1e-6)


def test_learned_dac_range_finds_the_optimum_of_a_gaussian():
    """The range that minimises the squared error of b-bit conversion of N(0, 1), found by quadrature."""
    bits, n = 4, 20_000
    half = (2**bits - 2) / 2
    z = torch.linspace(-8, 8, 200_001, dtype=torch.float64)
    density = torch.exp(-z.square() / 2)
    error = {
        r: float((((z * half / r).round().clamp(-half, half) * r / half - z).square() * density).sum())
        for r in torch.linspace(1.5, 4, 501).tolist()
    }
    optimum = min(error, key=error.get)
    hw = mho.Hardware.preset("pcm-cells", dac={"bits": bits, "range": "learned"}, adc={"bits": None})
    layer = nn.Linear(1, 1, bias=False)
    nn.init.ones_(layer.weight)
    net = mho.calibrate(mho.to_analog(layer, hw), [torch.full((4, 1), 8.0)])
    reach = net.matrix.input_range
    assert isinstance(reach, nn.Parameter) and reach.item() == 8
    optimizer = torch.optim.Adam([reach], 0.05)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 300)
    generator = torch.Generator().manual_seed(0)
    for _ in range(300):
        x = torch.randn(n, 1, generator=generator)
        optimizer.zero_grad()
        (net(x) - x).square().mean().backward()
        optimizer.step()
        schedule.step()
    assert reach.item() == pytest.approx(optimum, rel=0.04)


def test_learned_adc_range_finds_the_optimum_of_a_gaussian():
    bits, n = 4, 20_000
    half = (2**bits - 2) / 2
    z = torch.linspace(-8, 8, 200_001, dtype=torch.float64)
    density = torch.exp(-z.square() / 2)
    error = {
        r: float((((z * half / r).round().clamp(-half, half) * r / half - z).square() * density).sum())
        for r in torch.linspace(1.5, 4, 501).tolist()
    }
    optimum = min(error, key=error.get)
    hw = mho.Hardware.preset("pcm-cells", dac={"bits": None}, adc={"bits": bits, "range": "learned"})
    layer = nn.Linear(1, 1, bias=False)
    nn.init.ones_(layer.weight)
    net = mho.calibrate(mho.to_analog(layer, hw), [torch.full((4, 1), 1.0)])
    net.matrix.set_range("adc_range", torch.full((1, 1), 5.0))
    assert isinstance(net.matrix.adc_range, nn.Parameter)
    optimizer = torch.optim.Adam([net.matrix.adc_range], 0.05)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 300)
    generator = torch.Generator().manual_seed(0)
    for _ in range(300):
        x = torch.randn(n, 1, generator=generator)
        optimizer.zero_grad()
        (net(x) - x).square().mean().backward()
        optimizer.step()
        schedule.step()
    assert net.matrix.adc_range.item() * net.matrix.input_range.item() == pytest.approx(optimum, rel=0.04)


def test_schedules():
    ramp = Schedule(warmup=0.5, end=0.2)
    assert [ramp.strength(d) for d in (0, 0.25, 0.5, 0.75, 1)] == pytest.approx([0, 0.5, 1, 0.6, 0.2])
    cosine = Schedule(end=0.0, shape="cosine")
    assert [cosine.strength(d) for d in (0, 0.5, 1)] == pytest.approx([1, 0.5, 0])
    assert Schedule(warmup=1).strength(1.0) == 1 and Schedule().strength(0.3) == 1
    with pytest.raises(WrongSetting, match="warmup = 1 leaves no step"):
        Schedule(warmup=1, end=0.5)


def test_a_recipe_is_a_description():
    recipe = HWA(weights=[Gaussian(sigma=0.04, per="column"), Programming(time="1 day"), Discretise(bits=6)],
                 clip={"bound": 2.5}, layers={"conv*": 0.5})  # fmt: skip
    assert HWA.parse(recipe.as_dict()) == recipe
    assert HWA(weights={"kind": "gaussian", "sigma": 0.1}).weights == (Gaussian(sigma=0.1),)
    assert "0.04, relative to the largest |w| of the column" in " ".join(recipe.definitions())


def test_mistakes_are_named():
    net = _analog()
    with pytest.raises(WrongSetting, match="no arrays"):
        HWA().attach(_model(), steps=1)
    with pytest.raises(WrongSetting, match="steps = 0"):
        HWA().attach(net, steps=0)
    with pytest.raises(WrongSetting, match="no layer on arrays matches \\['1'\\]"):
        HWA(layers={"1": 0.5}).attach(net, steps=1)
    with pytest.raises(WrongSetting, match="programmed chip"):
        HWA().attach(mho.program(net, 0).at(0), steps=1)
    HWA().attach(net, steps=1)
    with pytest.raises(WrongSetting, match="attached already"):
        HWA().attach(net, steps=1)
    with pytest.raises(WrongSetting, match="unknown injection"):
        HWA(weights={"kind": "poly"})
    with pytest.raises(WrongSetting, match="unknown key 'noise'"):
        HWA(noise=3)


@pytest.mark.filterwarnings(
    "ignore:The .grad attribute of a Tensor"
)  # torch looks at what stands at a break of a graph
def test_steps_compile_nothing_anew():
    x, y = torch.randn(8, 6), torch.randint(0, 4, (8,))
    net = mho.calibrate(mho.to_analog(nn.Linear(6, 4), "pcm", example=x), [x])
    session = mho.HWA(weights=Gaussian(sigma=0.1)).attach(net.train(), steps=10)
    torch._dynamo.reset()
    compiled, graphs = torch.compile(net, backend="eager"), []
    for _ in range(4):
        torch.nn.functional.cross_entropy(compiled(x), y).backward()
        session.step()
        graphs.append(torch._dynamo.utils.counters["stats"]["unique_graphs"])
    assert graphs[0] > 0 and graphs[1:] == graphs[:-1]
