"""QueryInst: dynamic filters, boxes that move, matching, and its losses."""

import math

import pytest
import torch
from torch import Tensor

from anomaly_gan.detectors.build import build_detector
from anomaly_gan.detectors.queryinst import (
    GRID,
    STAGES,
    BoxInteraction,
    DynamicConvolution,
    EqualisedLinear,
    MaskHead,
    QueryInst,
    dice_loss,
    match,
    moved,
)
from anomaly_gan.detectors.targets import to_image, to_instances, to_target
from tests.support.builders_detectors import bright_square, tiny

QUERIES = GRID**2


def queryinst(num_classes: int = 1) -> QueryInst:
    model = build_detector(num_classes, tiny("queryinst"))
    assert isinstance(model, QueryInst)
    return model


def test_a_query_becomes_the_filters_that_its_cells_go_through() -> None:
    """Two channels and two filters; norms of two numbers give 1 to the larger and -1 to the smaller."""
    layer = DynamicConvolution(2, 2)
    with torch.no_grad():
        layer.to_filters.weight.zero_()
        # The first layer leaves channels as they are, the second swaps them.
        layer.to_filters.bias.copy_(torch.tensor([1.0, 0, 0, 1, 0, 1, 1, 0]))
    cells = torch.tensor([[[3.0, 1.0], [1.0, 3.0]]])
    assert torch.allclose(layer(torch.zeros(1, 2), cells), torch.tensor([[[0.0, 1], [1, 0]]]), atol=1e-3)


def test_the_cells_of_a_box_are_seen_by_its_own_query_alone() -> None:
    torch.manual_seed(0)
    layer = DynamicConvolution(8, 4)
    queries, cells = torch.randn(3, 8), torch.randn(3, 5, 8)
    together = layer(queries, cells)
    assert together.shape == (3, 5, 8)
    for i in range(3):
        first, second = layer.to_filters(queries[i]).split(32)
        seen = layer.norms[0](cells[i] @ first.reshape(8, 4)).relu()
        seen = layer.norms[1](seen @ second.reshape(4, 8)).relu()
        assert torch.allclose(together[i], seen, atol=1e-5)


@pytest.mark.parametrize(("head", "side", "shape"), [(BoxInteraction, 7, (3, 128)), (MaskHead, 14, (3, 28, 28))])
def test_heads_have_their_shapes_and_learn_with_all_they_have(
    head: type[BoxInteraction] | type[MaskHead], side: int, shape: tuple[int, ...]
) -> None:
    torch.manual_seed(0)
    module = head()
    queries = torch.randn(3, 128, requires_grad=True)
    pooled = torch.randn(3, 128, side, side, requires_grad=True)
    seen: Tensor = module(queries, pooled)
    assert seen.shape == shape
    torch.autograd.backward((seen * torch.randn(shape)).sum())
    for each in (queries, pooled, *module.parameters()):
        assert each.grad is not None and each.grad.any()
    assert module(queries[:0], pooled[:0]).shape == (0, *shape[1:])


def test_an_equalised_layer_sums_its_inputs_over_the_root_of_their_number() -> None:
    torch.manual_seed(0)
    layer = EqualisedLinear(400, 50)
    assert layer.weight.std().item() == pytest.approx(1, abs=0.05)
    with torch.no_grad():
        layer.weight.fill_(2)
        layer.bias.fill_(3)
    assert torch.allclose(layer(torch.ones(1, 400)), torch.full((1, 50), 2 * 400 / 20 + 3.0))


def test_a_mask_is_drawn_where_its_cells_are() -> None:
    """Moving what lies in the box by two cells moves the mask by four, but for the rim."""
    torch.manual_seed(0)
    head = MaskHead()
    query, pooled = torch.randn(1, 128), torch.randn(1, 128, 14, 14)
    still, shifted = head(query, pooled), head(query, pooled.roll(2, 3))
    assert torch.allclose(shifted[:, :, 10:-4], still[:, :, 6:-8], atol=1e-5)


def test_moves_are_in_halves_of_a_side_and_in_e_folds_and_growth_has_an_end() -> None:
    boxes = torch.tensor([[10.0, 20, 30, 60]])
    assert moved(boxes, torch.zeros(1, 4)).tolist() == boxes.tolist()
    assert moved(boxes, torch.tensor([[1.0, -0.5, 0, 0]])).tolist() == [[20, 10, 40, 50]]
    halved = moved(boxes, torch.tensor([[0, 0, math.log(0.5), 0]]))
    assert halved.flatten().tolist() == pytest.approx([15, 20, 25, 60])
    assert moved(boxes, torch.full((1, 4), 99.0))[0, 2:].sub(
        moved(boxes, torch.full((1, 4), 99.0))[0, :2]
    ).tolist() == (pytest.approx([80, 160]))


def test_each_anomaly_has_the_query_that_makes_all_of_them_cheapest() -> None:
    """The middle query is the nearest to both anomalies; the one that loses least by it goes elsewhere."""
    boxes = torch.tensor([[0.0, 0, 0.2, 0.2], [0.3, 0, 0.5, 0.2], [0.8, 0.8, 1, 1]])
    truth = torch.tensor([[0.32, 0, 0.52, 0.2], [0.25, 0, 0.45, 0.2]])
    queries, anomalies = match(torch.zeros(3, 1), boxes, torch.tensor([1, 1]), truth)
    assert dict(zip(anomalies.tolist(), queries.tolist(), strict=True)) == {0: 1, 1: 0}


def test_distance_and_overlap_each_decide_where_the_other_is_equal() -> None:
    truth, labels = torch.tensor([[0.4, 0.4, 0.6, 0.6]]), torch.tensor([1])
    # Twice and half as large have the same overlap, 1/4; half as large is nearer.
    queries, _ = match(torch.zeros(2, 1), torch.tensor([[0.3, 0.3, 0.7, 0.7], [0.45, 0.45, 0.55, 0.55]]), labels, truth)
    assert queries.tolist() == [1]
    # Moved by .05 both ways and longer by .2 are as far; what is longer overlaps more.
    queries, _ = match(torch.zeros(2, 1), torch.tensor([[0.45, 0.45, 0.65, 0.65], [0.4, 0.4, 0.6, 0.8]]), labels, truth)
    assert queries.tolist() == [1]


def test_of_queries_at_one_place_the_surer_of_the_class_is_matched() -> None:
    boxes = torch.tensor([[0.2, 0.2, 0.4, 0.4]]).expand(2, 4)
    logits = torch.tensor([[2.0, -2], [-2, 2]])
    for label, query in ((1, 0), (2, 1)):
        queries, _ = match(logits, boxes, torch.tensor([label]), boxes[:1])
        assert queries.tolist() == [query]


def test_nothing_is_matched_without_anomalies_and_not_all_of_more_anomalies_than_queries() -> None:
    boxes = torch.tensor([[0.2, 0.2, 0.4, 0.4]]).expand(3, 4)
    queries, anomalies = match(torch.zeros(3, 2), boxes, torch.zeros(0, dtype=torch.int64), boxes[:0])
    assert len(queries) == len(anomalies) == 0
    queries, anomalies = match(torch.zeros(2, 2), boxes[:2], torch.tensor([1, 2, 1]), boxes)
    assert len(queries) == len(anomalies) == 2


def test_dice_of_a_hand_computed_case() -> None:
    truth = torch.zeros(2, 4, 4)
    truth[:, :2] = 1
    half = torch.full((1, 4, 4), 0.5)
    masks = torch.cat([truth[:1], half])
    assert dice_loss(masks, truth).item() == pytest.approx(0 + 1 - (2 * 4 + 1) / (8 + 8 + 1))


def test_losses_of_untrained_queries_that_move_nothing() -> None:
    """Stages whose last layers are 0 leave the grid as it is, so the sums can be taken by hand."""
    model = queryinst()
    for stage in model.stages:
        moves, classes = stage.get_submodule("moves.3"), stage.get_submodule("classes.3")
        for layer in (moves, classes):
            torch.nn.init.zeros_(layer.get_parameter("weight"))
            torch.nn.init.zeros_(layer.get_parameter("bias"))
    square = bright_square("a", top=20, left=16, side=16, size=96)
    terms = model([to_image(square)], [to_target(to_instances(square, ["hole"]))])
    # The box is 16..32, 20..36 of 96 px; that of the grid's query at 1/4, 1/4 is 12..36 both ways.
    assert terms["l1"].item() == pytest.approx(STAGES * 5 * (4 + 8 + 4 + 0) / 96, rel=1e-4)
    assert terms["giou"].item() == pytest.approx(STAGES * 2 * (1 - 16 * 16 / 24**2), rel=1e-4)
    # At probability 1/2 the focal loss is ln 2 / 4, by 1/4 where the class is there and by 3/4 where it is not.
    focal = math.log(2) / 4 * (0.25 + 0.75 * (QUERIES - 1))
    assert terms["class"].item() == pytest.approx(STAGES * 2 * focal, rel=1e-4)


def test_each_stage_starts_from_the_boxes_of_the_one_before_and_learns_by_itself() -> None:
    model = queryinst()
    first, last = (stage.get_submodule("moves.3") for stage in (model.stages[0], model.stages[-1]))
    with torch.no_grad():
        first.get_parameter("bias").copy_(torch.tensor([1.0, 0, 0, 0]))
    picture = to_image(bright_square("a", size=96))
    moves_of_grid = model.eval()([picture])[0]["boxes"]
    assert moves_of_grid[:, 0].min() > 0  # those at the left rim have moved by half a box
    square = bright_square("a", size=96)
    terms = model.train()([to_image(square)], [to_target(to_instances(square, ["hole"]))])
    terms["l1"].backward()
    assert all(stage.get_submodule("moves.3").get_parameter("bias").grad is not None for stage in model.stages)
    assert last.get_parameter("weight").grad is not None


def test_detections_are_as_many_as_queries_best_first_within_the_picture() -> None:
    model = queryinst(2).eval()
    (found,) = model([to_image(bright_square("a", size=80))])
    assert {name: tuple(tensor.shape) for name, tensor in found.items()} == {
        "boxes": (QUERIES, 4),
        "labels": (QUERIES,),
        "scores": (QUERIES,),
        "masks": (QUERIES, 1, 80, 80),
    }
    assert set(found["labels"].tolist()) <= {1, 2}
    assert found["scores"].tolist() == sorted(found["scores"].tolist(), reverse=True)
    assert found["boxes"].min() >= 0 and found["boxes"].max() <= 80


def test_a_prediction_of_a_picture_does_not_depend_on_smaller_ones_in_its_call() -> None:
    model = queryinst().eval()
    large, small = to_image(bright_square("a", size=96)), to_image(bright_square("b", size=64))
    (together, _), (alone,) = model([large, small]), model([large])
    assert all(torch.allclose(together[name].float(), alone[name].float(), atol=1e-4) for name in alone)
