import os
import resource
import subprocess
import sys

import pytest

from vidpred import allocator
from vidpred.errors import ConfigError

_needs_glibc = pytest.mark.skipif(allocator._glibc_version() is None, reason="the C library is not glibc")

# Page faults while 64 MiB are allocated, written and freed ten times, in the thread that did so last.
_COUNT_FAULTS = """
import ctypes, resource, threading
from vidpred.allocator import keep_freed_memory

keep_freed_memory()
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.malloc.argtypes = [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]

def churn(times):
    for _ in range(times):
        block = libc.malloc(64 << 20)
        ctypes.memset(block, 1, 64 << 20)
        libc.free(block)

def in_thread(times):
    thread = threading.Thread(target=churn, args=(times,))
    thread.start()
    thread.join()

churn(1)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
churn(5)
in_thread(5)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def _faults(choice: str) -> int:
    environment = os.environ | {"VIDPRED_MALLOC": choice}
    done = subprocess.run(
        [sys.executable, "-c", _COUNT_FAULTS], env=environment, capture_output=True, text=True, check=True
    )
    return int(done.stdout)


@_needs_glibc
def test_freed_blocks_are_reused_without_page_faults_in_every_thread():
    pages = 10 * (64 << 20) // resource.getpagesize()
    assert _faults("system") > 0.9 * pages
    assert _faults("keep") < 0.01 * pages


@_needs_glibc
def test_says_which_library_keeps_the_memory(monkeypatch):
    monkeypatch.delenv("VIDPRED_MALLOC", raising=False)
    monkeypatch.setattr(allocator, "_SETTINGS", ())
    assert allocator.keep_freed_memory() == f"{os.confstr('CS_GNU_LIBC_VERSION')}, freed memory kept"


def test_can_be_switched_off(monkeypatch):
    monkeypatch.setenv("VIDPRED_MALLOC", "system")
    assert allocator.keep_freed_memory() == "system default (VIDPRED_MALLOC=system)"


def test_does_nothing_off_glibc(monkeypatch):
    monkeypatch.delenv("VIDPRED_MALLOC", raising=False)
    monkeypatch.setattr(allocator, "_glibc_version", lambda: None)
    assert allocator.keep_freed_memory() == "system default (not glibc)"


def test_an_unknown_setting_is_an_error_that_names_the_choices(monkeypatch):
    monkeypatch.setenv("VIDPRED_MALLOC", "sytem")
    with pytest.raises(ConfigError, match="did you mean 'system'"):
        allocator.keep_freed_memory()
