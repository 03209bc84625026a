"""What the studies of exits and of blocks say about rows whose answer is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from mho.blocks import Choices, Dropped, Reward, drop, random_keep
from mho.blocks.macs import BlockMacs
from mho.data import Dataset, load
from mho.exits import Answers, Gate
from mho.exits.macs import ExitMacs
from mho.models import block_drop, cifar_resnet
from mho.statistics.intervals import Interval, mean_interval
from mho.studies.dropping.arm import BlockArm
from mho.studies.dropping.claims import CLAIMS as OF_BLOCKS
from mho.studies.dropping.exact import taught
from mho.studies.dropping.rows import dropped, gains, place_row
from mho.studies.leaving.arm import ExitsArm, arms
from mho.studies.leaving.claims import CLAIMS as OF_EXITS
from mho.studies.leaving.measured import Measured
from mho.studies.leaving.rows import RULES, Seen, best_mix, by_rules, tuned
from mho.studies.leaving.rows import place_row as exits_at
from mho.studies.outcome import NotStored, Outcome, Results
from mho.studies.placed import DIGITAL, apart, over_seeds

CHIPS = 10
Ends = tuple[float, float]


def judged(claims: Any, start: str, arms: dict[Any, Any]) -> str:
    results: Results[Any, Any] = Results()
    for arm, rows in arms.items():
        results[arm.name] = Outcome(arm, rows if isinstance(rows, dict) else {0: rows})
    results.scale, results.unfinished = "cpu", {}
    return str(next(claim for claim in claims if claim.sentence.startswith(start)).judge(results).verdict)


def exit_rows(accuracy: list[float], front: float, gains: dict[str, float] | None = None) -> list[dict[str, Any]]:
    """Digital, and ten chips of pcm after a year whose exits have these accuracies, and thresholds for what exit 2 spends;
    gains are known to half a point."""
    rng = np.random.default_rng(0)
    known = {name: [gain, gain - 0.005, gain + 0.005] for name, gain in (gains or {}).items()}
    rows: list[dict[str, Any]] = [{"setting": "digital", "age": "0 s", "chip": -1, "accuracy": accuracy}]
    for chip in range(CHIPS):
        noise = 0.002 * rng.standard_normal()
        rows.append({
            "setting": "pcm", "age": "1 year", "chip": chip, "accuracy": [a + noise for a in accuracy], "samples": 10_000,
            "exit_macs": [0.3, 0.6, 1.0], "exit_energy": [0.3, 0.6, 1.0], "clean_macs": 0.4, "again_macs": 0.7,
            "front": {"macs": [0.6], "energy": [0.6], "accuracy": [front + noise]},
        })  # fmt: skip
    return [*rows, *({"setting": s, "age": a, "lead": [], "gains": known} for s, a in (DIGITAL, ("pcm", "1 year")))]


def answers(right: torch.Tensor, doubt: torch.Tensor, first: int = 0) -> Answers:
    """Of two classes: right or wrong (N, K), less sure where `doubt` (N, K) is larger; images are numbers from `first` on."""
    sure = 1 / (0.1 + doubt)
    scores = torch.stack([torch.where(right, sure, -sure), torch.where(right, -sure, sure)], -1)
    names, (n, k) = tuple(f"exit{i + 1}" for i in range(right.shape[1])), right.shape
    spent = tuple(10 * (i + 1) for i in range(k))
    images = torch.arange(first, first + n, dtype=torch.float32)[:, None]
    return Answers(names, scores, torch.zeros(n, dtype=torch.long), ("a", "b"), ExitMacs(spent, spent), (images,))


def test_the_best_mix_of_fixed_exits_is_that_of_any_two():
    assert best_mix([0.3, 0.6, 1.0], [0.6, 0.4, 0.45], 0.8) == [1.0, 0.0, 0.0]  # a cheaper exit may be better
    assert best_mix([0.2, 0.6, 1.0], [0.5, 0.4, 0.9], 0.6) == pytest.approx([0.5, 0.0, 0.5])  # past a weak exit
    assert best_mix([0.2, 0.6, 1.0], [0.5, 0.8, 0.9], 0.8) == pytest.approx([0.0, 0.5, 0.5])
    assert best_mix([0.2, 0.6, 1.0], [0.5, 0.8, 0.9], 0.1) == [1.0, 0.0, 0.0]


def test_gains_of_an_image_are_what_choices_answer_to_it():
    """By hand: thresholds over the last exit, over a mix of fixed exits, and those tuned again over those of before."""
    g = torch.Generator().manual_seed(0)
    parts = [
        answers(torch.rand(n, 3, generator=g) < torch.tensor([0.5, 0.6, 0.8]), torch.rand(n, 3, generator=g), first)
        for n, first in ((200, 0), (300, 1000), (200, 2000))
    ]
    choice, test, other = parts
    clean = tuned(other, 0.5)[0]
    seen = Seen.of(choice, test, clean)
    right, gains = test.right.double().numpy(), seen.gains()
    own, before = (seen.found[name].right.double().numpy() for name in ("again", "clean"))
    np.testing.assert_array_equal(gains["kept"], before - right[:, 2])
    np.testing.assert_array_equal(gains["tuning"], own - before)
    mixes = {
        name: right
        @ np.array(best_mix([1 / 3, 2 / 3, 1.0], choice.right.double().mean(0).tolist(), seen.found[name].macs_share))
        for name in ("again", "clean", "gate")
    }
    np.testing.assert_allclose(gains["over_fixed"], own - mixes["again"], atol=1e-12)
    np.testing.assert_allclose(gains["retuned"], own - mixes["again"] - before + mixes["clean"], atol=1e-12)
    np.testing.assert_array_equal(gains["static"], right[:, int(choice.right.double().mean(0).argmax())] - right[:, 2])
    gate = seen.found["gate"].right.double().numpy() - mixes["gate"]
    np.testing.assert_allclose(gains["gate"], gate - own + mixes["again"], atol=1e-12)
    row = exits_at("pcm", "1 year", [seen, Seen.of(choice, parts[1], clean)], 3)
    assert row["gains"]["tuning"][0] == pytest.approx((own - before).mean(), abs=1e-6)
    assert row["lead"][0][0] == pytest.approx((right[:, 2] - right[:, 0]).mean(), abs=1e-6)
    # What holds for all exits and places together is known less well than each alone, and that of classes less again.
    widths = [
        interval[2] - interval[1] for interval in (row["lead"][0], row["lead_of_all"][0], row["lead_of_class"]["a"][0])
    ]
    assert widths == sorted(widths) and widths[0] < widths[2]


def test_a_gate_learns_from_one_half_and_is_tuned_on_the_other():
    g = torch.Generator().manual_seed(0)
    given = answers(torch.rand(80, 3, generator=g) < 0.7, torch.rand(80, 3, generator=g))
    chosen = by_rules(given)
    gate = chosen["gate"].rule
    assert isinstance(gate, Gate) and gate.samples == given.part(slice(40)).samples and len(gate.samples) == 40
    assert chosen["gate"].answers.samples == given.samples - gate.samples and chosen["margin"].answers is given
    assert all(each.seen.macs_share <= 0.7 for each in chosen.values())


def test_other_rules_are_held_against_entropy():
    for gain, margin, gate in ((-0.05, "fails", "fails"), (0.0, "holds", "depends"), (0.05, "holds", "holds")):
        arms = {ExitsArm("a", "a"): exit_rows([0.5, 0.6, 0.7], 0.65, dict.fromkeys(RULES, gain))}
        assert judged(OF_EXITS, "The largest probability", arms) == margin
        assert judged(OF_EXITS, "and a gate that", arms) == gate


def test_exits_by_entropy_are_held_against_the_best_fixed_ones():
    for gain, verdict in ((-0.05, "fails"), (0.05, "holds"), (0.001, "depends")):
        rows = exit_rows([0.5, 0.6, 0.7], 0.65, {"over_fixed": gain})
        assert judged(OF_EXITS, "Exits by entropy", {ExitsArm("a", "a"): rows}) == verdict


def test_thresholds_that_spend_more_are_no_better_for_it():
    """What they gain is taken over fixed exits that spend as much; the plain gain stands beside it."""
    rows = exit_rows([0.5, 0.6, 0.9], 0.6, {"retuned": -0.02, "tuning": 0.13})
    assert judged(OF_EXITS, "Thresholds tuned again", {ExitsArm("a", "a"): rows}) == "fails"


def alone_rows(accuracy: float) -> list[dict[str, Any]]:
    """A network of one exit's depth, digital and on the same chips."""
    rng = np.random.default_rng(0)
    values = [accuracy + 0.002 * rng.standard_normal() for _ in range(CHIPS)]
    digital = {"setting": "digital", "age": "0 s", "chip": -1, "accuracy": accuracy, "samples": 10_000}
    return [
        digital,
        *({**digital, "setting": "pcm", "age": "1 year", "chip": c, "accuracy": v} for c, v in enumerate(values)),
    ]


def test_a_network_of_an_exits_depth_is_held_against_what_spends_as_much():
    joint = exit_rows([0.5, 0.6, 0.9], 0.67)
    for accuracy, verdict in ((0.55, "holds"), (0.8, "fails"), (0.665, "depends")):  # 10,000 images tell 1.3 points
        given = {ExitsArm("a", "a"): joint, ExitsArm("a-alone-2", "exit 2 alone", alone=2): alone_rows(accuracy)}
        assert (
            judged(OF_EXITS, "Exits by entropy are more accurate than a network of a later exit's depth", given)
            == verdict
        )
        assert judged(OF_EXITS, "and than that at equal energy", given) == verdict
    # Seeds are paired: what a seed brings to both counts for neither.
    better = {seed: exit_rows([0.5, 0.6, 0.9], 0.6 + 0.1 * seed) for seed in (0, 1, 2)}
    worse = {seed: alone_rows(0.58 + 0.1 * seed) for seed in (2, 0, 1)}
    given = {ExitsArm("a", "a"): better, ExitsArm("a-alone-2", "exit 2 alone", alone=2): worse}
    assert (
        judged(OF_EXITS, "Exits by entropy are more accurate than a network of a later exit's depth", given) == "holds"
    )


def test_an_exit_alone_is_held_against_the_same_exit_and_not_against_entropy():
    """For what exit 1 spends nothing can be decided."""
    joint = exit_rows([0.5, 0.6, 0.9], 0.67)
    for accuracy, verdict in ((0.45, "holds"), (0.55, "fails")):
        given = {ExitsArm("a", "a"): joint, ExitsArm("a-alone-1", "exit 1 alone", alone=1): alone_rows(accuracy)}
        assert judged(OF_EXITS, "Exits that are trained together", given) == verdict
        assert (
            judged(OF_EXITS, "Exits by entropy are more accurate than a network of a later exit's depth", given)
            == "open"
        )


def lead_rows(
    leads: dict[tuple[str, str], tuple[float, float]], of_class: tuple[float, float] = (0.0, 0.0)
) -> list[dict[str, Any]]:
    """The last of two exits less the first at each place, and for one class."""
    digital = {"setting": "digital", "age": "0 s", "chip": -1, "accuracy": [0.5, 0.5]}
    return [
        digital,
        *(
            {"setting": setting, "age": age, "lead": [], "lead_of_all": [[sum(ends) / 2, *ends]],
             "lead_of_class": {"a": [[sum(of_class) / 2, *of_class]]}}
            for (setting, age), ends in leads.items()
        ),
    ]  # fmt: skip


def test_the_best_exit_depends_on_age_where_it_is_surely_another_one():
    old = ("pcm", "1 year")
    for there, verdict in (((0.01, 0.1), "holds"), ((-0.2, -0.1), "fails"), ((-0.01, 0.1), "depends")):
        rows = lead_rows({DIGITAL: (-0.1, -0.05), old: there})
        assert judged(OF_EXITS, "Which exit is best depends", {ExitsArm("a", "a"): rows}) == verdict


def test_classes_of_an_earlier_exit_are_found_refused_or_not_to_be_told():
    for ends, verdict in (((-0.3, -0.1), "holds"), ((-0.005, 0.2), "fails"), ((-0.1, 0.2), "depends")):
        rows = lead_rows({DIGITAL: (0.0, 0.0), ("pcm", "1 year"): (0.0, 0.0)}, ends)
        assert judged(OF_EXITS, "For some classes", {ExitsArm("a", "a"): rows}) == verdict


def choice_rows(choice: list[list[float]], test: list[list[float]], own: list[int]) -> list[dict[str, Any]]:
    """Digital, whose choice is exit 3, and chips of σ and of pcm with accuracies of calibration and of test images."""
    chips = [
        {"setting": setting, "age": age, "chip": c, "choice_accuracy": known, "accuracy": there, "static_exit": k}
        for setting, age in (("σ 0.2", "0 s"), ("pcm", "1 year"))
        for c, (known, there, k) in enumerate(zip(choice, test, own, strict=True))
    ]
    held = [
        {"setting": s, "age": a, "lead": [[0.0, -0.002, 0.002]] * 2} for s, a in (("σ 0.2", "0 s"), ("pcm", "1 year"))
    ]
    return [
        {"setting": "digital", "age": "0 s", "chip": -1, "static_exit": 3, "accuracy": [0.5, 0.6, 0.9]},
        *chips,
        *held,
    ]


def test_a_chip_has_an_exit_of_its_own_where_that_gains_on_other_images():
    wobble = [0.001 * (c % 3) for c in range(CHIPS)]
    alike = choice_rows([[0.6, 0.5, 0.4]] * CHIPS, [[0.6 + w, 0.5, 0.4] for w in wobble], [1] * CHIPS)
    assert judged(OF_EXITS, "and it depends on the chip", {ExitsArm("a", "a"): alike}) == "fails"
    # Exits that are alike on other images: chips choose by chance, and gain nothing by it.
    rng = np.random.default_rng(1)
    known = (0.5 + 0.02 * rng.standard_normal((CHIPS, 3))).tolist()
    there = (0.5 + 0.02 * rng.standard_normal((CHIPS, 3))).tolist()
    chance = choice_rows(known, there, [int(np.argmax(k)) + 1 for k in known])
    assert judged(OF_EXITS, "and it depends on the chip", {ExitsArm("a", "a"): chance}) == "depends"
    # Chips that differ for good: each has an exit of its own.
    known = [[0.9, 0.1, 0.1] if c % 2 else [0.1, 0.1, 0.9] for c in range(CHIPS)]
    mixed = choice_rows(known, known, [1 if c % 2 else 3 for c in range(CHIPS)])
    assert judged(OF_EXITS, "and it depends on the chip", {ExitsArm("a", "a"): mixed}) == "holds"


def test_an_exit_may_lose_more_points_and_keep_a_larger_share():
    """From 90 to 50 %, and from 50 to 30: 40 points of 80, 20 of 40; a point less or more decides."""
    wobble = [0.001 * (c % 3) for c in range(CHIPS)]

    def rows(last: float) -> list[dict[str, Any]]:
        there = {"σ 0": [(0, [0.5, 0.9])], "σ 0.1": [(c, [0.3 + w, last + w]) for c, w in enumerate(wobble)]}
        digital = {
            "setting": "digital",
            "age": "0 s",
            "accuracy": [0.5, 0.9],
            "recall": {str(c): [] for c in range(10)},
        }
        chips = [
            {"setting": setting, "age": "0 s", "chip": c, "accuracy": accuracy}
            for setting, found in there.items() for c, accuracy in found
        ]  # fmt: skip
        return [digital, *chips]

    for last, verdict in ((0.49, "holds"), (0.51, "fails")):
        given = {ExitsArm("a", "a"): rows(last)}
        assert judged(OF_EXITS, "A deeper exit falls faster", given) == "holds"
        assert judged(OF_EXITS, "also as a share", given) == verdict


def test_intervals_have_training_seeds_in_them():
    one = [Interval(0.1, 0.05, 0.15)]
    assert over_seeds(one) == one[0]
    wide = over_seeds([Interval(v, v - 0.03, v + 0.03) for v in (0.1, 0.2, 0.3)])
    alike = over_seeds([Interval(0.2, 0.17, 0.23)] * 3)
    assert (alike.value, alike.low) == pytest.approx((0.2, 0.17)) and wide.value == pytest.approx(0.2)
    assert wide.half_width == pytest.approx((0.03**2 + mean_interval([0.1, 0.2, 0.3]).half_width ** 2) ** 0.5)


def test_leads_that_hold_together_have_seeds_at_that_confidence_too():
    """Twenty places where an exit leads in the mean of three seeds by 4.3 standard errors: sure of one, not of one of twenty."""
    places = [DIGITAL, *((f"σ {i}", "0 s") for i in range(19))]
    runs = {
        seed: [
            {"setting": "digital", "age": "0 s", "chip": -1, "accuracy": [0.5, 0.6]},
            *({"setting": s, "age": a, "chip": 0, "accuracy": [0.5, 0.6]} for s, a in places[1:]),
            *({"setting": s, "age": a, "lead": [[v, v, v]], "lead_of_all": [[v, v, v]]} for s, a in places),
        ]
        for seed, v in enumerate((0.08, 0.1, 0.12))
    }  # fmt: skip
    arm = Measured(Outcome(ExitsArm("a", "a"), runs))
    assert arm.lead(DIGITAL).low > 0 > arm.lead(DIGITAL, 0, "lead_of_all").low


def test_spending_is_between_energies_in_their_own_order_and_never_below_the_least():
    rows = exit_rows([0.5, 0.6, 0.9], 0.6)
    for row in rows:
        if "front" in row:
            row["front"] = {"macs": [0.4, 0.6, 0.8], "energy": [0.5, 0.9, 0.7], "accuracy": [0.6, 0.9, 0.8]}
    arm = Measured(Outcome(ExitsArm("a", "a"), {0: rows}))
    assert arm.spending(("pcm", "1 year"), 0.6, energy=True) == pytest.approx(0.7)
    assert arm.spending(("pcm", "1 year"), 0.8, energy=True) == pytest.approx(0.85)
    with pytest.raises(NotStored, match="at least"):
        arm.spending(("pcm", "1 year"), 0.3)


def test_arms_of_one_exit_stand_beside_their_network():
    for scale in ("smoke", "cpu", "full"):
        names = [arm.name for arm in arms(scale)]
        assert len(set(names)) == len(names)
        for arm in arms(scale):
            if arm.alone:
                assert names.index(arm.name.partition("-alone")[0]) < names.index(arm.name)


def block_rows(original: float, clean: float) -> list[dict[str, Any]]:
    """Without σ 0.92 and 0.85; at σ = 0.2 these."""

    def row(setting: str, values: tuple[float, float], chip: int) -> dict[str, Any]:
        choices = {n: {"accuracy": v, "blocks": 5.0} for n, v in zip(("original", "clean"), values, strict=True)}
        return {"setting": setting, "chip": chip, "age": "0 s", "choices": choices}

    rng = np.random.default_rng(0)
    noisy = [row("σ 0.2", (original + n, clean + n), c) for c, n in enumerate(0.001 * rng.standard_normal(CHIPS))]
    digital = row("digital", (0.92, 0.85), -1) | {"classes": 10, "samples": 1000}
    return [digital, row("σ 0", (0.92, 0.85), 0), *noisy]


@pytest.mark.parametrize(("values", "verdict"), [((0.1, 0.1), "depends"), ((0.4, 0.5), "holds"), ((0.6, 0.4), "fails")])
def test_a_policy_at_the_floor_has_kept_nothing(values, verdict):
    found = judged(OF_BLOCKS, "With its policy it keeps more", {BlockArm("a", "a"): block_rows(*values)})
    assert found == verdict


@pytest.mark.parametrize(("gain", "verdict"), [(0.1, "holds"), (0.0, "depends"), (-0.1, "fails")])
def test_the_tuned_network_stands_against_the_original_one(gain, verdict):
    """Over images, too: 1,000 of them know equal accuracies to three points and more."""
    rows = block_rows(0.5, 0.5)
    for row in rows:
        for name in ("joint", "all"):
            row["choices"][name] = {"accuracy": row["choices"]["original"]["accuracy"] + gain, "blocks": 5.0}
    for claim in ("With that (joint) policy", "and with all its blocks"):
        assert judged(OF_BLOCKS, claim, {BlockArm("a", "a"): rows}) == verdict


def test_the_exact_policy_stands_against_the_clean_one():
    def rows(exact: float) -> list[dict[str, Any]]:
        found = block_rows(0.5, 0.5)
        for row in found:
            earned = {"original": 0.0, "all": -0.1, "clean": 0.2, "exact": 0.2 + exact + 0.001 * row["chip"] * exact}
            row["choices"] = {
                name: {"accuracy": 0.5, "blocks": 9.0 if name == "all" else 5.0, "reward": each}
                for name, each in earned.items()
            }
        return found

    for exact, verdict in ((0.1, "holds"), (-0.1, "fails")):
        assert (
            judged(OF_BLOCKS, "and more than the clean policy", {BlockArm("a", "a", exact=True): rows(exact)})
            == verdict
        )


def test_all_blocks_are_no_choice():
    """Of a policy that keeps all blocks nothing is said; beside it one that drops some is judged alone."""

    def rows(kept: float, gain: float) -> list[dict[str, Any]]:
        choices = {name: {"blocks": kept if name == "clean" else 9.0} for name in ("clean", "all")}
        place = {"setting": "digital", "age": "0 s"}
        return [
            {**place, "chip": -1, "choices": choices},
            {**place, "gains": {"fixed": [gain, gain - 0.01, gain + 0.01]}},
        ]

    everything, some = {BlockArm("a", "a"): rows(9.0, 0.0)}, {BlockArm("b", "b"): rows(7.0, 0.05)}
    assert judged(OF_BLOCKS, "It beats the best fixed", everything) == "open"
    assert judged(OF_BLOCKS, "It beats the best fixed", {**everything, **some}) == "holds"


def test_a_policy_that_is_taught_exactly_tells_samples_apart():
    """Samples need one block, the other, or none, by the sign of what they are; noise decides nothing."""
    g = torch.Generator().manual_seed(0)
    x = 5 * torch.randn(600, 2, generator=g)
    keep = torch.tensor([[False, False], [False, True], [True, False], [True, True]])
    needs = x > 0
    right = (keep[None] | ~needs[:, None]).all(2)
    choices = Choices(keep, right)
    torch.manual_seed(0)
    first = torch.nn.Linear(2, 2)
    before = first.weight.detach().clone()
    policy = taught(first, x, choices, choices.rewards(Reward(1.0)), epochs=150, batch=32, seed=0)
    with torch.no_grad():
        assert ((policy(x) >= 0) == needs).float().mean() > 0.9  # the same for all: 0.5
    assert first.weight.equal(before) and not policy.training


def test_an_image_is_computed_once_for_choices_that_agree():
    net, data = block_drop(cifar_resnet(depth=8, width=4, channels=1), example=torch.zeros(2, 1, 8, 8)), load("digits")
    keeps = {
        "own": drop(net, data.subset(50)).keep, "all": torch.ones(3, dtype=torch.bool),
        "some": random_keep(torch.full((50,), 2), 3),
    }  # fmt: skip
    found = dropped(net, data.subset(50), keeps)
    for name, keep in keeps.items():
        expected = drop(net, data.subset(50), keep)
        assert found[name].right.equal(expected.right) and found[name].keep.equal(expected.keep)
        assert found[name].mean_macs == expected.mean_macs


def test_gains_of_blocks_are_at_equal_blocks():
    """A policy for chips that keeps a block more has to be better by what a block more is worth to fixed ones."""
    g, images, names = torch.Generator().manual_seed(0), 400, ("b0", "b1", "b2")
    given = {
        "clean": 1, "sigma": 2, "aged": 1, "random": 1, "fewer": 1, "more": 2, "original": 3, "on_chip": 1, "best": 2, "all": 3,
        "exact": 1,
    }  # fmt: skip

    def answered(kept: int, accuracy: float) -> Dropped:
        keep = torch.arange(3).expand(images, 3) < kept
        right = torch.rand(images, generator=g) < accuracy
        zeros, macs = torch.zeros(images, dtype=torch.long), BlockMacs(1, 10, (5, 5, 5), (0, 0, 0))
        return Dropped(names, keep, right, zeros, ("a",), macs, True)

    found = {name: answered(kept, 0.3 + 0.2 * kept) for name, kept in given.items()}
    right = {name: each.right.double().numpy() for name, each in found.items()}
    gained = gains(found, reward := Reward(1.0))
    assert "original" not in gained
    np.testing.assert_array_equal(gained["fixed"], right["clean"] - right["fewer"])  # as many as the clean policy keeps
    np.testing.assert_allclose(
        gained["sigma_accuracy"], right["sigma"] - right["clean"] - (right["more"] - right["fewer"]), atol=1e-12
    )
    np.testing.assert_array_equal(gained["aged_accuracy"], right["aged"] - right["clean"])
    worth = [reward(found[name].keep, found[name].right).double().numpy() for name in ("sigma", "clean")]
    np.testing.assert_allclose(gained["sigma_reward"], worth[0] - worth[1], atol=1e-12)
    best = reward(found["best"].keep, found["best"].right).double().numpy()
    np.testing.assert_allclose(gained["clean_earned"], worth[1] - best, atol=1e-12)
    assert gained["exact_earned"].mean() != gained["clean_earned"].mean()
    np.testing.assert_array_equal(gained["all"], right["clean"] - right["all"])
    row = place_row("σ 0.1", "0 s", [found, found], reward)
    assert row["gains"]["random"][0] == pytest.approx((right["clean"] - right["random"]).mean(), abs=1e-6)
    assert row["gains"]["random"][1] < row["gains"]["random"][0] < row["gains"]["random"][2]


def test_images_that_choose_are_drawn_from_all():
    """A test set in order of its classes gives both parts all of them."""
    labels = torch.arange(10).repeat_interleave(100)
    choice, test = apart(Dataset("a", torch.zeros(1000, 1), labels), None)
    assert set(choice.labels.tolist()) == set(test.labels.tolist()) == set(range(10))
    assert apart(Dataset("a", torch.zeros(1000, 1), labels), None)[0].labels.equal(choice.labels)


def test_images_that_choose_are_not_reported():
    data = load("digits")
    choice, test = apart(data, None)
    assert len(choice.labels) + len(test.labels) == len(data.labels) and len(choice.labels) == len(data.labels) // 4
    assert len(apart(data, 100)[1].labels) == 100
    seen = {row.numpy().tobytes() for row in choice.inputs.flatten(1)}
    whole = {row.numpy().tobytes() for row in data.inputs.flatten(1)}
    assert not seen & {row.numpy().tobytes() for row in test.inputs.flatten(1)} and seen < whole
