# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Imports the engines' own base classes and loaders, from engines.zip beside this or
in build/engines, without what they would load besides: torch, compiled parts,
configuration. What is loaded is theirs; what they do not use here is a stand-in."""

import importlib
import importlib.abc
import importlib.machinery
import os
import sys
import types
import unittest
import zipfile

STAND_INS = (
    "torch msgspec prometheus_client typing_extensions "
    "vllm.logger vllm.utils vllm.envs vllm.config vllm.v1.attention vllm.v1.kv_cache_interface "
    "vllm.v1.kv_cache_layout vllm.v1.kv_cache_spec_registry vllm.v1.kv_hints "
    "lmcache.lmcache_native lmcache.logging lmcache.v1.memory_management lmcache.v1.platform "
    "lmcache.utils lmcache.v1.distributed.serde lmcache.v1.mp_observability "
    "sglang.srt.utils sglang.srt.environ sglang.srt.mem_cache.memory_pool_host"
).split()


class _Meta(type):
    def __getattr__(cls, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return _Thing()


class _Thing(metaclass=_Meta):
    """Whatever is asked of it, it is that."""

    def __init__(self, *_, **__):
        pass

    def __init_subclass__(cls, **_):
        pass

    def __class_getitem__(cls, _):
        return cls

    def __getattr__(self, _):
        return lambda *_, **__: None

    def __call__(self, *args, **_):
        # As a decorator it leaves what it is given.
        return args[0] if args else None


class _Module(types.ModuleType):
    __path__ = []

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        if name == "override":
            return lambda f: f
        return _Meta(name, (_Thing,), {})


class _Package(_Module):
    """A package of an engine: its modules first, whatever else its __init__ has."""

    def __getattr__(self, name):
        if not name.startswith("__"):
            try:
                return importlib.import_module(f"{self.__name__}.{name}")
            except ModuleNotFoundError:
                pass
        return super().__getattr__(name)


class _StandIns(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, name, path, target=None):
        if any(name == s or name.startswith(s + ".") for s in STAND_INS):
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
        return None

    def create_module(self, spec):
        return _Module(spec.name)

    def exec_module(self, module):
        pass


def _archive():
    here = os.path.dirname(os.path.abspath(__file__))
    for path in (here + "/engines.zip", here + "/../../build/engines/engines.zip"):
        if os.path.exists(path):
            return path
    raise unittest.SkipTest("no engines.zip: scripts/lib/engines.sh makes it")


def use(*engines):
    """The packages of engines become importable; their own __init__ are not run."""
    path = _archive()
    if not any(isinstance(f, _StandIns) for f in sys.meta_path):
        sys.meta_path.insert(0, _StandIns())
    with zipfile.ZipFile(path) as z:
        names = z.namelist()
        sys.stderr.write("engines: " + z.read("VERSIONS").decode().replace("\n", ", ") + "\n")
    for name in names:
        parts = name.split("/")[:-1]
        for i in range(1, len(parts) + 1):
            package = ".".join(parts[:i])
            if parts[0] in engines and package not in sys.modules:
                module = _Package(package)
                module.__path__ = [path + "/" + "/".join(parts[:i])]
                sys.modules[package] = module


def pool_directory(name):
    """A new directory of the pool that KVLIFT_TEST_POOL names."""
    pool = os.environ.get("KVLIFT_TEST_POOL")
    if not pool:
        raise unittest.SkipTest("no pool: KVLIFT_TEST_POOL names one")
    path = f"{pool}/{name}.{os.getpid()}"
    os.makedirs(path, exist_ok=True)
    return path
