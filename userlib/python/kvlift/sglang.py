# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""SGLang (0.5): a storage back end of HiCache, in a directory of a pool.

    --enable-hierarchical-cache --hicache-mem-layout page_first
    --hicache-storage-backend dynamic --hicache-storage-backend-extra-config
      '{"backend_name": "kvlift", "module_path": "kvlift.sglang", "class_name": "KvliftStorage",
        "interface_v1": 1, "path": "/mnt/kv/sglang"}'

Pages are copied between the host pool and the objects without another buffer.
HiCache calls from threads of its own that nobody starts again: the calls on
batches say what did not work and do not raise. Hybrid models have the parts of a
page in several host pools (the v2 calls); each part is an object of its own.

Keys name tokens, model and rank, and not how KV is quantised: give each
--kv-cache-dtype its own directory.
"""

import collections
import ctypes
import functools
import importlib
import logging
import threading

from sglang.srt.mem_cache import hicache_storage as hicache
from sglang.srt.mem_cache.hicache_storage import HiCacheStorage

from . import _lib
from .core import IO, Batch
from .lmcache import open_directory, short_key

log = logging.getLogger(__name__)


def suffix_of(config, every_rank=False):
    """The ranks a page belongs to; of MLA models all tensor ranks have the same KV."""
    parts = [(config.model_name or "").replace("/", "-")]
    if every_rank or not config.is_mla_model:
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
    """The bytes of a contiguous tensor, without a copy; it must live as long."""
    return bytes_at(value.data_ptr(), value.numel() * value.element_size())


@functools.lru_cache(maxsize=1)
def metrics_class():
    """What SGLang wants its counts in, wherever this release has it."""
    for module in ("sglang.srt.observability.metrics_collector", "sglang.srt.metrics.collector"):
        try:
            return importlib.import_module(module).StorageMetrics
        except (ImportError, AttributeError):
            pass
    return None


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
        self._rank_suffix = suffix_of(storage_config, every_rank=True)
        dcp = getattr(storage_config, "dcp_size", 1) > 1
        self._page_size = storage_config.logical_page_size if dcp else None
        self._writer = getattr(storage_config, "is_storage_writer", True)
        self._lock = threading.Lock()
        self._stats = {"pages_read": 0, "pages_written": 0, "misses": 0, "errors": 0}
        # Bounded, as nobody may ask for them.
        self._metrics = collections.deque(maxlen=4096) if getattr(storage_config, "enable_storage_metrics", False) else None

    def _key(self, key):
        return short_key(f"{key}_{self._suffix}")

    def _part_key(self, key, pool):
        """Of a page's part in one of several host pools."""
        pool = str(getattr(pool, "value", pool))
        if pool == "kv":
            return self._key(key)
        # Mamba's state is apart by rank even where KV is not.
        return short_key(f"{key}.{pool}_{self._rank_suffix if pool == 'mamba' else self._suffix}")

    def _run(self, op, keys, buffers):
        """One batch, and its end. Per item: did it work?"""
        # Of its own, as several threads call; they last as long as the batch.
        with IO(self._pool, 1, self._threads) as io:
            batch = Batch(op, self._cache, keys, buffers)
            io.submit(batch)
            while not io.wait():
                pass
            if op == _lib.EXISTS:
                return [r == 1 for r in batch.results]
            self._cache.forget_spoiled(batch)
            self._count(op, batch)
            return batch.whole

    def _count(self, op, batch):
        good = sum(batch.whole)
        with self._lock:
            if op == _lib.GET:
                self._stats["pages_read"] += good
                self._stats["misses"] += len(batch.keys) - good
            else:
                self._stats["pages_written"] += good
            if self._metrics is not None and good:
                # Bytes in a nanosecond are GB in a second.
                self._metrics.append((op, good, batch.bytes / max(batch.ns, 1)))

    def _failed(self, what, n):
        log.exception("kvlift: %s", what)
        with self._lock:
            self._stats["errors"] += 1
        return [False] * n

    def _guarded(self, op, keys, buffers):
        try:
            return self._run(op, keys, buffers)
        except Exception:
            return self._failed(f"a batch of {len(keys)} failed", len(keys))

    def _pages(self, pool, keys, host_indices, page_size=None):
        """The pieces of each page, wherever the host pool's layout has them."""
        page_size = page_size or getattr(pool, "page_size", None) or 1
        if len(host_indices) != len(keys) * page_size:
            raise ValueError(f"{len(host_indices)} indices of {len(keys)} pages of {page_size}")
        addresses, sizes = pool.get_page_buffer_meta(host_indices)
        per = len(addresses) // len(keys)
        if per * len(keys) != len(addresses):
            raise ValueError(f"{len(addresses)} pieces of {len(keys)} pages")
        pieces = [bytes_at(a, s) for a, s in zip(addresses, sizes)]
        return [pieces[i * per : (i + 1) * per] for i in range(len(keys))]

    def _batch_v1(self, op, keys, host_indices):
        if not keys:
            return []
        try:
            pages = self._pages(self.mem_pool_host, keys, host_indices, self._page_size)
        except Exception:
            return self._failed("the host pool's pages", len(keys))
        return self._guarded(op, [self._key(k) for k in keys], pages)

    def batch_get_v1(self, keys, host_indices, extra_info=None):
        return self._batch_v1(_lib.GET, keys, host_indices)

    def batch_set_v1(self, keys, host_indices, extra_info=None):
        if not self._writer:
            return [True] * len(keys)
        return self._batch_v1(_lib.PUT, keys, host_indices)

    def batch_exists(self, keys, extra_info=None):
        good = self._guarded(_lib.EXISTS, [self._key(k) for k in keys], None) if keys else []
        return good.index(False) if False in good else len(good)

    def exists(self, key):
        return self.batch_exists([key]) == 1

    def _transfer(self, op, transfer):
        keys = transfer.keys or []
        if not keys:
            return []
        try:
            pages = self._pages(self.registered_pools[transfer.name], keys, transfer.host_indices)
        except Exception:
            return self._failed(f"pages of {transfer.name}", len(keys))
        return self._guarded(op, [self._part_key(k, transfer.name) for k in keys], pages)

    def batch_get_v2(self, transfers, extra_info=None):
        return {t.name: self._transfer(_lib.GET, t) for t in transfers}

    def batch_set_v2(self, transfers, extra_info=None):
        return {t.name: self._transfer(_lib.PUT, t) for t in transfers}

    def _stops(self, keys, transfer):
        """Lengths of a prefix for which the pool has all parts it needs."""
        there = self._guarded(_lib.EXISTS, [self._part_key(k, transfer.name) for k in keys], None)
        n = len(keys)
        if transfer.hit_policy == hicache.PoolHitPolicy.TRAILING_PAGES:
            n = max(1, len(transfer.keys or []))
        return [end for end in range(1, len(keys) + 1) if all(there[max(0, end - n) : end])]

    def batch_exists_v2(self, keys, pool_transfers=None, extra_info=None):
        # A pool without KV of its own is only there to count pages.
        bare = getattr(self.mem_pool_host, "kv_buffer", self) is None
        pages = len(keys) if bare else self.batch_exists(keys)
        hits = {hicache.PoolName.KV: pages} if pages else {}
        restorable = set(range(1, pages + 1))
        binding = (hicache.PoolHitPolicy.ALL_PAGES, hicache.PoolHitPolicy.TRAILING_PAGES)
        for transfer in pool_transfers or []:
            if not restorable:
                break
            if transfer.hit_policy not in binding:
                continue  # says nothing about the others, and is not looked for
            stops = self._stops(keys[:pages], transfer)
            if stops:
                hits[transfer.name] = stops[-1]
            restorable.intersection_update(stops)
        result = hicache.PoolTransferResult(max(restorable, default=0), hits)
        if hasattr(result, "restorable_prefix_pages"):
            result.restorable_prefix_pages = sorted(restorable)
        return result

    def get(self, key, target_location=None, target_sizes=None):
        if target_location is None or not target_location.is_contiguous():
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
        value = value.contiguous()
        return self._guarded(_lib.PUT, [self._key(key)], [flat(value)])[0]

    def batch_set(self, keys, values=None, target_locations=None, target_sizes=None):
        if values is None or len(values) != len(keys):
            return False
        if not keys or not self._writer:
            return True
        values = [v.contiguous() for v in values]
        return all(self._guarded(_lib.PUT, [self._key(k) for k in keys], [flat(v) for v in values]))

    def clear(self):
        try:
            self._cache.clear()
        except OSError:
            log.exception("kvlift: clear")

    def get_stats(self):
        """Pages and GB/s of each batch since the last call, as SGLang exports them."""
        if self._metrics is None or metrics_class() is None:
            return None
        with self._lock:
            batches = list(self._metrics)
            self._metrics.clear()
        stats = metrics_class()()
        for op, pages, speed in batches:
            name = "prefetch" if op == _lib.GET else "backup"
            getattr(stats, name + "_pgs").append(pages)
            getattr(stats, name + "_bandwidth").append(speed)
        return stats

    def counts(self):
        """Pages read and written, misses, errors so far."""
        return dict(self._stats)

    def close(self):
        self._cache.close()
        self._pool.close()
