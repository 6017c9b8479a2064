"""What a tune job takes from the store; `tests/jobs/train/test_fill_in.py` has what it shares with a train job."""

import pytest

from infra.errors import UsageError
from jobs.spec.specs import TuneSpec
from tests.support.builders_jobs import put_dataset
from tests.support.helpers import MemoryStorage
from tests.support.specs import completed


def test_a_search_that_no_trial_could_run_is_refused_before_it_starts() -> None:
    storage = MemoryStorage()
    put_dataset(storage)
    with pytest.raises(UsageError, match=r"train\.batch_size: 5 pairs cannot be shared by 2 workers"):
        completed(storage, TuneSpec, train__batch_size=5, resources__workers=2)
