"""Features laid out in the plane by t-SNE (van der Maaten and Hinton, JMLR 2008), to look at.

Points that are near each other in the plane were near each other as features. How far apart clusters are, and how large
or dense one is, means nothing.
"""

import numpy as np
from numpy.typing import NDArray

from infra.errors import DataError, NotFoundError

PERPLEXITY = 30.0
"""Neighbours that count for a row, where there are enough rows; the usual value."""

ROWS_PER_NEIGHBOUR = 3
"""Rows for each neighbour that counts: openTSNE looks at three times the perplexity."""

LEAST_ROWS = 10
"""Of fewer rows a picture of neighbourhoods says nothing."""


def embed(values: NDArray[np.float64], *, seed: int) -> NDArray[np.float64]:
    """Places of features in the plane, [N, K] -> [N, 2], with their mean at the origin.

    Args:
        values: a row for each picture.
        seed: of the optimisation; the same rows and seed give the same places.

    Raises:
        NotFoundError: the package openTSNE is not installed.
        DataError: fewer than `LEAST_ROWS` rows.
    """
    if len(values) < LEAST_ROWS:
        raise DataError(f"t-SNE: needs {LEAST_ROWS} or more pictures, got {len(values)}")
    try:
        from openTSNE import TSNE
    except ImportError as err:
        raise NotFoundError(f"t-SNE: needs the package openTSNE ({err}); install agan[tsne]") from err
    perplexity = min(PERPLEXITY, (len(values) - 1) / ROWS_PER_NEIGHBOUR)
    # exact neighbours and one thread: a sum in another order would be another picture
    method = TSNE(perplexity=perplexity, neighbors="exact", initialization="pca", random_state=seed, n_jobs=1)
    found: NDArray[np.float64] = np.asarray(method.fit(values), np.float64)
    found -= found.mean(axis=0)
    return found
