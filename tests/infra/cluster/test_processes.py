import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from infra.cluster.processes import ProcessMark, end, is_alive, mark, mark_tree

STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(60)"
PARENT = "import subprocess, time; subprocess.Popen(['sleep', '60']); print(flush=True); time.sleep(60)"


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "60"]) as process:
        yield process
        process.kill()


def started(code: str) -> subprocess.Popen[bytes]:
    """A Python child that has come to its first print."""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert process.stdout is not None and process.stdout.readline()
    return process


def marked(process: subprocess.Popen[bytes]) -> ProcessMark:
    found = mark(process.pid)
    assert found is not None
    return found


def is_gone(process: ProcessMark) -> bool:
    """Whether it ends within a moment."""
    deadline = time.monotonic() + 5
    while is_alive(process) and time.monotonic() < deadline:
        time.sleep(0.01)
    return not is_alive(process)


def test_a_mark_holds_id_and_start_and_survives_json(child: subprocess.Popen[bytes]) -> None:
    found = marked(child)
    assert found.pid == child.pid and abs(found.started_at - time.time()) < 60
    assert is_alive(ProcessMark.model_validate_json(found.model_dump_json()))


def test_an_ended_process_is_not_alive_and_has_no_mark(child: subprocess.Popen[bytes]) -> None:
    found = marked(child)
    child.kill()
    assert is_gone(found)  # a zombie until it is waited for
    child.wait()
    assert not is_alive(found) and mark(child.pid) is None and mark_tree(found) == []


def test_end_ends_the_process(child: subprocess.Popen[bytes]) -> None:
    found = marked(child)
    end([found], timeout_sec=5)
    assert not is_alive(found)


def test_a_reused_id_is_not_taken_for_ours(child: subprocess.Popen[bytes]) -> None:
    other = ProcessMark(pid=child.pid, started_at=marked(child).started_at - 10)
    assert not is_alive(other) and mark_tree(other) == []
    end([other], timeout_sec=0.1)
    assert child.poll() is None


def test_end_kills_what_does_not_listen() -> None:
    with started(STUBBORN) as process:
        end([marked(process)], timeout_sec=0.2)
        assert process.wait(5) == -9


def test_the_tree_holds_the_children_and_end_takes_them_along() -> None:
    with started(PARENT) as process:
        tree = mark_tree(marked(process))
        assert len(tree) == 2 and tree[0].pid == process.pid
        end(tree, timeout_sec=0.2)
        process.wait(5)
    assert all(is_gone(one) for one in tree)


def test_end_of_nothing_does_nothing() -> None:
    end([], timeout_sec=0)
