import json
from pathlib import Path

from infra.storage_local import LocalStorage
from tests.builders_jobs import TRAIN_JOB, put_model
from tests.helpers import run_cli


def test_list_tells_what_each_model_makes(tmp_path: Path) -> None:
    args = ["models", "list", "--store", str(tmp_path)]
    assert run_cli(args).stdout == "no models in this store\n"
    put_model(LocalStorage(tmp_path))
    assert run_cli(args).stdout.splitlines() == [
        "model                       class  px  data set  images shown",
        f"{TRAIN_JOB}  crack  64  tiles     640",
    ]
    told = json.loads(run_cli([*args, "--json"]).stdout)
    assert told[TRAIN_JOB]["view"] == {"kind": "whole", "size": 64}
