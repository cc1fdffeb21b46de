"""The schedules, against PyTorch's and against formulas written another way."""

import math
import warnings

import pytest
import torch

from npnets.train.schedule import SCHEDULES, rate

LENGTHS = (1, 2, 3, 10, 30, 93, 465)


def rates(schedule, steps, lr=0.2):
    return [rate(schedule, lr, step, steps) for step in range(steps)]


def by_torch(steps, make, lr=0.2):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=lr)
    scheduler = make(optimizer)
    found = []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            scheduler.step()
    return found


@pytest.mark.parametrize("steps", LENGTHS)
def test_cosine_and_linear_are_pytorchs(steps):
    cosine = by_torch(steps, lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, steps))
    assert rates("cosine", steps) == pytest.approx(cosine, rel=1e-9)
    linear = by_torch(steps, lambda o: torch.optim.lr_scheduler.LinearLR(o, 1, 0, steps))
    assert rates("linear", steps) == pytest.approx(linear, rel=1e-9)


@pytest.mark.parametrize("steps", [3, 30, 93, 465, 3 * 49])
def test_step_is_pytorchs(steps):
    """Also in the very step where a third is over, where rounding could put it on either side."""
    expected = by_torch(steps, lambda o: torch.optim.lr_scheduler.StepLR(o, steps // 3, 0.1))
    assert rates("step", steps) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("steps", [10, 30, 93, 465])
def test_one_cycle_is_pytorchs(steps):
    """PyTorch's reaches the top and 0 *in* a step, ours between two: the same curve, with one more step, and so 0.3
    of the way is `(0.3 steps + 1) / (steps + 1)` there."""
    expected = by_torch(
        steps,
        lambda o: torch.optim.lr_scheduler.OneCycleLR(
            o, 0.2, steps + 1, pct_start=(0.3 * steps + 1) / (steps + 1), div_factor=25, final_div_factor=math.inf,
            cycle_momentum=False,
        ),
    )  # fmt: skip
    assert rates("one-cycle", steps) == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_closed_forms():
    """At points where the formulas have simple values."""
    assert rates("constant", 3, 1.0) == [1, 1, 1]
    assert rates("linear", 4, 1.0) == [1, 0.75, 0.5, 0.25]
    assert rates("step", 6, 1.0) == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01])
    assert rates("cosine", 6, 1.0) == pytest.approx([1, (2 + 3**0.5) / 4, 0.75, 0.5, 0.25, (2 - 3**0.5) / 4], rel=1e-12)
    one_cycle = rates("one-cycle", 20, 1.0)
    assert [one_cycle[step] for step in (0, 3, 6, 13)] == pytest.approx([0.04, 0.52, 1, 0.5], rel=1e-12)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("steps", LENGTHS)
def test_the_rate_stays_within_its_limits_and_scales(schedule, steps):
    found = rates(schedule, steps)
    assert all(0 < value <= 0.2 for value in found)
    assert found == pytest.approx([0.2 * value for value in rates(schedule, steps, 1.0)], rel=1e-15)
    if schedule == "one-cycle":
        top = found.index(max(found))
        assert found[: top + 1] == sorted(found[: top + 1])
        found = found[top:]
    assert found == sorted(found, reverse=True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("cosinus", 0.1, 0, 4), "`schedule` (='cosinus') must be one of 'constant', 'step', 'linear', 'cosine', "
         "'one-cycle'"),
        (("cosine", 0.1, 4, 4), "`step` (=4) must be from 0 to 3, the last one"),
        (("cosine", 0.1, -1, 4), "`step` (=-1) must be from 0 to 3, the last one"),
    ],
)  # fmt: skip
def test_errors(arguments, message):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 (the whole text is compared)
        rate(*arguments)
    assert str(caught.value) == message
