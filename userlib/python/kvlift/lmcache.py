# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""LMCache (0.5): a native plug-in for its L2, in a directory of a pool.

    {"type": "native_plugin", "module_path": "kvlift.lmcache", "class_name": "KvliftClient",
     "adapter_params": {"path": "/mnt/kv/lmcache"}}

Any number of LMCache processes may use the same directory. Make it a cache
(kvlift domain set --cache) and the pool drops what is not worth its room.
"""

import errno
import hashlib
import os
import threading

from . import _lib
from .core import IO, Backlog, Batch, Cache, Pool, lib


def short_key(key):
    """Text as a key; one that is too long by its hash (SHA-256)."""
    data = key.encode()
    if len(data) <= _lib.KEY_MAX:
        return data
    return b"sha256:" + hashlib.sha256(data).hexdigest().encode()


def open_directory(path):
    """Pool and cache of a directory, which is made when it is not there."""
    os.makedirs(path, exist_ok=True)
    pool = Pool(path)
    return pool, Cache(pool)


class KvliftClient:
    """What NativeConnectorL2Adapter drives: submit_batch_*, one descriptor, drain_completions."""

    def __init__(self, path, threads=2, depth=64):
        self._pool, self._cache = open_directory(path)
        self._io = IO(self._pool, depth, threads)
        self._backlog = Backlog(self._io)
        self._lock = threading.Lock()
        self._next = 1
        self._ended = []  # what there was nothing to be done for

    def event_fd(self):
        return self._io.fileno()

    def _submit(self, op, keys, buffers):
        batch = Batch(op, self._cache, [short_key(k) for k in keys], buffers) if keys else None
        with self._lock:
            future = self._next
            self._next += 1
            if batch is None:
                self._ended.append((future, True, "", []))
                self._nudge()
            elif not self._backlog.add(future, batch):
                self._nudge()
        return future

    def _nudge(self):
        """Makes the descriptor readable: a completion that no batch will bring."""
        os.eventfd_write(self.event_fd(), 1) if hasattr(os, "eventfd_write") else os.write(self.event_fd(), (1).to_bytes(8, "little"))

    def submit_batch_set(self, keys, bufs):
        return self._submit(_lib.PUT, keys, bufs)

    def submit_batch_get(self, keys, bufs):
        return self._submit(_lib.GET, keys, bufs)

    def submit_batch_exists(self, keys):
        return self._submit(_lib.EXISTS, keys, None)

    def submit_batch_delete(self, keys):
        return self._submit(_lib.DELETE, keys, None)

    def _completion(self, future, batch, refused):
        if refused:
            return (future, False, str(refused), [False] * len(batch.keys))
        self._cache.forget_spoiled(batch)
        if batch.op == _lib.EXISTS:
            good = [r == 1 for r in batch.results]
        else:
            # Shorter than the buffer: not what was stored under this key here.
            good = batch.whole
        bad = [r for r in batch.results if r < 0 and r != -errno.ENOENT]
        error = lib().kvlift_strerror(bad[0]).decode() if bad else ""
        ok = not bad if batch.op in (_lib.EXISTS, _lib.DELETE) else all(good)
        return (future, ok, error, good)

    def drain_completions(self):
        with self._lock:
            ended = [self._completion(*job) for job in self._backlog.take()]
            ended += self._ended
            self._ended = []
        return ended

    def close(self):
        with self._lock:
            self._backlog.close()
            self._cache.close()
            self._pool.close()
