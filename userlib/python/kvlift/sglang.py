# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""SGLang (0.5): a storage back end of HiCache, in a directory of a pool.

    --enable-hierarchical-cache --hicache-mem-layout page_first
    --hicache-storage-backend dynamic --hicache-storage-backend-extra-config
      '{"backend_name": "kvlift", "module_path": "kvlift.sglang", "class_name": "KvliftStorage",
        "interface_v1": 1, "path": "/mnt/kv/sglang"}'

Pages are copied between the host pool and the objects without another buffer.
HiCache calls from threads of its own that nobody starts again: the calls on
batches say what did not work and do not raise.
"""

import ctypes
import functools
import logging

from sglang.srt.mem_cache.hicache_storage import HiCacheStorage

from . import _lib
from .core import IO, Batch
from .lmcache import open_directory, short_key

log = logging.getLogger(__name__)


def suffix_of(config):
    """The ranks a page belongs to; of MLA models all tensor ranks have the same."""
    parts = [(config.model_name or "").replace("/", "-")]
    if not config.is_mla_model:
        parts.append(f"tp{config.tp_rank}.{config.tp_size}")
    for name in ("pp", "attn_cp", "dcp"):
        if getattr(config, name + "_size", 1) > 1:
            parts.append(f"{name}{getattr(config, name + '_rank')}.{getattr(config, name + '_size')}")
    return "_".join(parts)


@functools.lru_cache(maxsize=64)
def _array_type(size):
    # ctypes never forgets one.
    return ctypes.c_ubyte * size


def bytes_at(address, size):
    """Memory of the host pool, by its address."""
    return _array_type(int(size)).from_address(int(address))


def flat(value):
    """The bytes of a tensor, without a copy."""
    value = value.contiguous()
    return bytes_at(value.data_ptr(), value.numel() * value.element_size())


class KvliftStorage(HiCacheStorage):
    """Pages as objects of a pool."""

    def __init__(self, storage_config, kwargs=None):
        extra = dict(storage_config.extra_config or {})
        path = extra.get("path")
        if not path:
            raise ValueError("kvlift.sglang: extra config needs \"path\", a directory of a pool")
        self._pool, self._cache = open_directory(path)
        self._threads = int(extra.get("threads", 4))
        self._suffix = suffix_of(storage_config)
        self._writer = getattr(storage_config, "is_storage_writer", True)
        self._stats = {"pages_read": 0, "pages_written": 0, "misses": 0, "errors": 0}

    def _key(self, key):
        return short_key(f"{key}_{self._suffix}")

    def _run(self, op, keys, buffers):
        """One batch, and its end. Per item: did it work?"""
        # Of its own, as several threads call; they last as long as the batch.
        with IO(self._pool, 1, self._threads) as io:
            batch = Batch(op, self._cache, keys, buffers)
            io.submit(batch)
            while not io.wait():
                pass
            return [r == 1 for r in batch.results] if op == _lib.EXISTS else batch.whole

    def _guarded(self, op, keys, buffers):
        try:
            return self._run(op, keys, buffers)
        except Exception:
            log.exception("kvlift: a batch of %d failed", len(keys))
            self._stats["errors"] += 1
            return [False] * len(keys)

    def _pages(self, keys, host_indices):
        """The pieces of each page, wherever the host pool's layout has them."""
        addresses, sizes = self.mem_pool_host.get_page_buffer_meta(host_indices)
        per = len(addresses) // len(keys)
        if per * len(keys) != len(addresses):
            raise ValueError(f"{len(addresses)} pieces of {len(keys)} pages")
        pieces = [bytes_at(a, s) for a, s in zip(addresses, sizes)]
        return [pieces[i * per : (i + 1) * per] for i in range(len(keys))]

    def _batch_v1(self, op, keys, host_indices):
        if not keys:
            return []
        try:
            pages = self._pages(keys, host_indices)
        except Exception:
            log.exception("kvlift: the host pool's pages")
            self._stats["errors"] += 1
            return [False] * len(keys)
        return self._guarded(op, [self._key(k) for k in keys], pages)

    def batch_get_v1(self, keys, host_indices, extra_info=None):
        good = self._batch_v1(_lib.GET, keys, host_indices)
        self._stats["pages_read"] += sum(good)
        self._stats["misses"] += len(good) - sum(good)
        return good

    def batch_set_v1(self, keys, host_indices, extra_info=None):
        if not self._writer:
            return [True] * len(keys)
        good = self._batch_v1(_lib.PUT, keys, host_indices)
        self._stats["pages_written"] += sum(good)
        return good

    def batch_exists(self, keys, extra_info=None):
        good = self._guarded(_lib.EXISTS, [self._key(k) for k in keys], None) if keys else []
        return good.index(False) if False in good else len(good)

    def exists(self, key):
        return self.batch_exists([key]) == 1

    def get(self, key, target_location=None, target_sizes=None):
        if target_location is None:
            return None
        good = self._guarded(_lib.GET, [self._key(key)], [flat(target_location)])
        return target_location if good[0] else None

    def batch_get(self, keys, target_locations=None, target_sizes=None):
        return [self.get(k, t) for k, t in zip(keys, target_locations or [None] * len(keys))]

    def set(self, key, value=None, target_location=None, target_sizes=None):
        if value is None:
            return False
        if not self._writer:
            return True
        return self._guarded(_lib.PUT, [self._key(key)], [flat(value)])[0]

    def batch_set(self, keys, values=None, target_locations=None, target_sizes=None):
        if values is None or len(values) != len(keys):
            return False
        if not keys or not self._writer:
            return True
        return all(self._guarded(_lib.PUT, [self._key(k) for k in keys], [flat(v) for v in values]))

    def clear(self):
        try:
            self._cache.clear()
        except OSError:
            log.exception("kvlift: clear")

    def get_stats(self):
        return None

    def counts(self):
        """Pages read and written, misses, errors so far."""
        return dict(self._stats)

    def close(self):
        self._cache.close()
        self._pool.close()
