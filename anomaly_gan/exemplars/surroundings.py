"""What a picture would show in a mask if it went on as it is around it: smooth, without what lies in the mask."""

from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

LEAST_WEIGHT = 1e-6


def surroundings(image: Tensor, mask: Tensor) -> Tensor:
    """Each pixel of the mask filled from the nearest known ones, by averages over ever larger squares.

    Pull and push over a pyramid (Gortler et al. 1996): down, known pixels alone are averaged; up, what is not known
    is taken from the coarser level. It costs less than one convolution.

    Args:
        image: [N, C, H, W].
        mask: [N, 1, H, W] in {0, 1}, 1 = not known. Where all is masked, the filling is 0.

    Returns:
        [N, C, H, W]; outside the mask the image itself.
    """
    known = 1 - mask
    return _filled(image * known, known)


def _filled(weighted: Tensor, known: Tensor) -> Tensor:
    """Args:
    weighted: [N, C, h, w], the mean over each square of its known pixels' values and of 0 for the others.
    known: [N, 1, h, w] share of known pixels of each square.
    """
    sides = weighted.shape[2:]
    if max(sides) == 1:
        return weighted / known.clamp(min=LEAST_WEIGHT)
    coarse = _filled(avg_pool2d(weighted, 2, ceil_mode=True), avg_pool2d(known, 2, ceil_mode=True))
    # each coarse pixel is 2 x 2 fine ones, the last of an odd side too: stretched to the side, all would be shifted
    fine = interpolate(coarse, scale_factor=2, mode="bilinear", align_corners=False)[..., : sides[0], : sides[1]]
    return weighted + (1 - known) * fine
