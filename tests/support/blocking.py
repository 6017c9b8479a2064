"""A Python in which some packages are not there, for tests of what runs without them."""

REFUSE = """
import sys
from importlib.abc import MetaPathFinder

BLOCKED = {blocked!r}

class Refuse(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.split(".")[0] in BLOCKED:
            raise ImportError(f"{{name}} is not there")

sys.meta_path.insert(0, Refuse())
"""

CLUSTER_AND_STORE = (
    *("ray", "boto3", "botocore", "s3fs", "fsspec", "webdataset", "typer", "optuna"),
    *("cli", "jobs"),
)
"""Libraries of the cluster, the store and the command line, and our packages above the method."""


def without(*packages: str) -> str:
    """The beginning of a script that refuses to import these packages; it leaves their names in BLOCKED."""
    return REFUSE.format(blocked=packages)
