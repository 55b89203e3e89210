# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Pools of kvlift from Python: a thin layer of ctypes over libkvlift.

    pool = kvlift.Pool("/mnt/kv")
    with pool.create("cache", 1 << 30) as region:
        kv = region.numpy("float16")        # the region's own memory
    cache = pool.cache("prefixes")
    cache.put(key, kv_bytes)
    n = cache.get(key, buffer)

Adapters: kvlift.lmcache, kvlift.vllm, kvlift.sglang. Errors are KvliftError, an
OSError with errno. Nothing here imports torch unless a tensor is asked for.
"""

from .core import IO, Batch, Cache, KvliftError, Object, Pool, Region, version

__all__ = ["IO", "Batch", "Cache", "KvliftError", "Object", "Pool", "Region", "version"]
__version__ = "0.1.0"
