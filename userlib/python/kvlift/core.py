# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Pools, regions, keyed objects, batches."""

import collections
import ctypes
import errno
import mmap
import os
import threading
import time

from . import _lib
from ._lib import Held, lib


class KvliftError(OSError):
    """What a function of the library refused, with its errno."""


def version():
    """The library's version."""
    return lib().kvlift_version().decode()


def check(ret, what=None):
    """The result of a function of the library, or a KvliftError."""
    if ret < 0:
        raise KvliftError(-ret, lib().kvlift_strerror(ret).decode(), what)
    return ret


def key_bytes(key):
    """A key as bytes; text is encoded."""
    return key.encode() if isinstance(key, str) else bytes(key)


class _Closed:
    """Closed by close(), at the end of a with statement, or when forgotten."""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def __del__(self):
        try:
            self.close()
        except Exception:  # at the end of the interpreter anything may be gone
            pass


class _Handle(_Closed):
    _close = None

    def __init__(self):
        self._handle = ctypes.c_void_p()

    @property
    def handle(self):
        if not self._handle:
            raise ValueError("it is closed")
        return self._handle

    def close(self):
        if self._handle:
            handle, self._handle = self._handle, ctypes.c_void_p()
            getattr(lib(), self._close)(handle)


class Pool(_Handle):
    """A mounted pool, by any directory of it."""

    _close = "kvlift_pool_close"

    def __init__(self, path):
        super().__init__()
        self.path = os.fspath(path)
        check(lib().kvlift_pool_open(os.fsencode(path), ctypes.byref(self._handle)), self.path)

    def info(self):
        info = _lib.PoolInfo()
        check(lib().kvlift_pool_info(self.handle, ctypes.byref(info)), self.path)
        return info

    @property
    def block_size(self):
        return self.info().block_size

    def create(self, name, size, mode=0o600):
        """A new region of so many bytes, open for writing."""
        return Region(self, name, size=size, mode=mode)

    def open(self, name, writable=False):
        """A region that exists."""
        return Region(self, name, writable=writable)

    def cache(self, name=None):
        """A directory for objects."""
        return Cache(self, name)

    def io(self, depth=0, threads=0):
        """For batches of operations."""
        return IO(self, depth, threads)


class Region(_Handle):
    """A file of a pool."""

    _close = "kvlift_region_close"

    def __init__(self, pool, name, size=None, mode=0o600, writable=True):
        super().__init__()
        self.name = name
        self.writable = writable
        out = ctypes.byref(self._handle)
        if size is None:
            ret = lib().kvlift_region_open(pool.handle, os.fsencode(name), os.O_RDWR if writable else os.O_RDONLY, out)
        else:
            ret = lib().kvlift_region_create(pool.handle, os.fsencode(name), size, mode, out)
        check(ret, name)

    def fileno(self):
        return lib().kvlift_region_fd(self.handle)

    def info(self):
        info = _lib.RegionInfo()
        check(lib().kvlift_region_info(self.handle, ctypes.byref(info)), self.name)
        return info

    @property
    def size(self):
        return self.info().size

    def resize(self, size):
        check(lib().kvlift_region_size(self.handle, size), self.name)

    def memory(self, writable=None, offset=0, length=None):
        """A memoryview of the region's own memory. It outlives the region; the mapping
        goes with the last view of it."""
        writable = self.writable if writable is None else writable
        length = self.size - offset if length is None else length
        prot = mmap.PROT_READ | (mmap.PROT_WRITE if writable else 0)
        # By the file: mmap objects know when the last view has gone.
        view = mmap.mmap(self.fileno(), length, mmap.MAP_SHARED, prot, offset=offset)
        if hasattr(mmap, "MADV_DONTFORK"):
            view.madvise(mmap.MADV_DONTFORK)
        return memoryview(view)

    def numpy(self, dtype="uint8", **where):
        import numpy

        return numpy.frombuffer(self.memory(**where), dtype=dtype)

    def torch(self, dtype=None, **where):
        import torch

        return torch.frombuffer(self.memory(**where), dtype=dtype or torch.uint8)

    def prefetch(self, first=0, count=2**63):
        return check(lib().kvlift_prefetch(self.handle, first, count), self.name)

    def demote(self, first=0, count=2**63):
        return check(lib().kvlift_demote(self.handle, first, count), self.name)

    def touch(self, blocks):
        blocks = list(blocks)
        return check(lib().kvlift_touch(self.handle, (ctypes.c_uint64 * len(blocks))(*blocks), len(blocks)), self.name)

    def seal(self, first=None, count=None):
        """The whole file, for good, or some blocks of it."""
        done = ctypes.c_uint64()
        if first is None and count is None:
            check(lib().kvlift_seal_file(self.handle, ctypes.byref(done)), self.name)
        else:
            check(lib().kvlift_seal(self.handle, first or 0, 2**63 if count is None else count, ctypes.byref(done)), self.name)
        return done.value

    def where(self, first=0, count=1):
        """Names of tiers by block; None: it is in none."""
        words = (ctypes.c_uint64 * count)()
        n = check(lib().kvlift_where(self.handle, first, count, words), self.name)
        return [_lib.TIERS[w >> 61] if w >> 48 & 1 else None for w in words[:n]]


class Object(_Closed):
    """An open object: its bytes stay as long as it, or a view of it, is there."""

    def __init__(self, cache, key):
        key = key_bytes(key)
        self._object = _lib.ObjectHandle()
        self._object.fd = -1
        check(lib().kvlift_object_open(cache.handle, key, len(key), ctypes.byref(self._object)))

    @property
    def size(self):
        return self._object.size

    def fileno(self):
        return self._object.fd

    def memory(self):
        """A memoryview of the object itself, read-only."""
        if not self.size:
            return memoryview(b"")
        return memoryview(mmap.mmap(self.fileno(), self.size, mmap.MAP_SHARED, mmap.PROT_READ))

    def close(self):
        lib().kvlift_object_close(ctypes.byref(self._object))


class Cache(_Handle):
    """A directory of a pool whose files are objects, named by keys."""

    _close = "kvlift_cache_close"

    def __init__(self, pool, name=None):
        super().__init__()
        self.name = name or "."
        check(lib().kvlift_cache_open(pool.handle, os.fsencode(name) if name else None, ctypes.byref(self._handle)), self.name)

    def fileno(self):
        return lib().kvlift_cache_fd(self.handle)

    def put(self, key, data, replace=False):
        """True: stored. False: it was there, or the cache has no room for it."""
        key = key_bytes(key)
        with Held(data, False) as held:
            ret = lib().kvlift_put(self.handle, key, len(key), held.address, held.size, _lib.PUT_REPLACE if replace else 0)
        if ret == -errno.EAGAIN:
            return False
        return check(ret) == 0

    def get(self, key, into=None):
        """The object's bytes, or its length when there is a buffer for it; None: it is not there."""
        key = key_bytes(key)
        if into is None:
            try:
                with Object(self, key) as obj, obj.memory() as view:
                    return bytes(view)
            except KvliftError as e:
                if e.errno == errno.ENOENT:
                    return None
                raise
        with Held(into, True) as held:
            ret = lib().kvlift_get(self.handle, key, len(key), held.address, held.size)
        return None if ret == -errno.ENOENT else check(ret)

    def open(self, key):
        return Object(self, key)

    def exists(self, key):
        key = key_bytes(key)
        return check(lib().kvlift_exists(self.handle, key, len(key))) == 1

    def delete(self, key):
        """False: it was not there."""
        key = key_bytes(key)
        ret = lib().kvlift_delete(self.handle, key, len(key))
        if ret == -errno.ENOENT:
            return False
        return check(ret) == 0

    def forget_spoiled(self, batch):
        """Deletes the objects that a batch found to be of no use to anybody."""
        for key in batch.spoiled:
            try:
                self.delete(key)
            except KvliftError:  # of a directory that may only be read
                pass

    def clear(self):
        """Deletes all objects; how many there were."""
        n = 0
        with os.scandir(self.fileno()) as entries:
            for entry in entries:
                if entry.is_file(follow_symlinks=False):
                    os.unlink(entry.name, dir_fd=self.fileno())
                    n += 1
        return n


class Batch:
    """Operations that were submitted together. Results are there when it has ended.

    A buffer may be a list of buffers: then the object is all of them, one after the
    other."""

    def __init__(self, op, cache, keys, buffers):
        self.op = op
        self.keys = [key_bytes(k) for k in keys]
        self.bytes = 0
        self.ns = 0
        self._cache = cache
        self._held = []
        self._pieces = []
        self.sizes = []  # of the buffers
        self.items = (_lib.Item * len(self.keys))()
        try:
            for i, key in enumerate(self.keys):
                item = self.items[i]
                item.op = op
                item.cache = cache.handle
                item.key = ctypes.cast(ctypes.c_char_p(key), ctypes.c_void_p)
                item.key_len = len(key)
                if buffers is not None:
                    self._set_buffer(item, buffers[i], op == _lib.GET)
        except BaseException:
            self.let_go()
            raise

    def _hold(self, buffer, writable):
        held = Held(buffer, writable)
        self._held.append(held)
        return held

    def _set_buffer(self, item, buffer, writable):
        if not isinstance(buffer, (list, tuple)):
            held = self._hold(buffer, writable)
            item.buf = held.address
            item.len = held.size
            self.sizes.append(held.size)
            return
        pieces = (_lib.Iovec * len(buffer))()
        for piece, part in zip(pieces, buffer):
            held = self._hold(part, writable)
            piece.base = held.address
            piece.len = held.size
        self._pieces.append(pieces)
        item.flags = _lib.ITEM_IOV
        item.buf = ctypes.cast(pieces, ctypes.c_void_p)
        item.len = len(pieces)
        self.sizes.append(sum(piece.len for piece in pieces))

    def let_go(self):
        for held in self._held:
            held.release()
        self._held = []

    @property
    def results(self):
        """Per item what its function returns, a negative errno where it failed."""
        return [item.res for item in self.items]

    @property
    def whole(self):
        """Per item whether it was put, or was got and filled its buffer."""
        if self.op == _lib.GET:
            return [item.res >= 0 and item.done == size for item, size in zip(self.items, self.sizes)]
        return [item.res >= 0 for item in self.items]

    @property
    def done(self):
        """Per item the bytes that were put or got."""
        return [item.done for item in self.items]

    @property
    def spoiled(self):
        """Keys whose object is there, but cannot be read or has another length: no put
        brings a better one as long as it is there."""
        if self.op != _lib.GET:
            return []
        bad = (-errno.EIO, -errno.EMSGSIZE, -errno.ESTALE)
        return [
            key
            for key, item, size in zip(self.keys, self.items, self.sizes)
            if item.res in bad or (item.res >= 0 and item.done != size)
        ]


class IO(_Handle):
    """Batches of operations on objects; see kvlift_io(3). For several threads."""

    _close = "kvlift_io_close"
    EVENTS = 32

    def __init__(self, pool, depth=0, threads=0):
        super().__init__()
        opts = _lib.IoOpts(depth=depth, threads=threads)
        check(lib().kvlift_io_open(pool.handle, ctypes.byref(opts), ctypes.byref(self._handle)))
        self._lock = threading.Lock()
        self._batches = {}
        self._next = 0

    def fileno(self):
        """Readable while events wait; to be polled, not to be read."""
        return lib().kvlift_io_fd(self.handle)

    def put(self, cache, keys, buffers, replace=False):
        batch = Batch(_lib.PUT, cache, keys, buffers)
        for item in batch.items:
            item.flags |= _lib.PUT_REPLACE if replace else 0
        return self.submit(batch)

    def get(self, cache, keys, buffers):
        return self.submit(Batch(_lib.GET, cache, keys, buffers))

    def exists(self, cache, keys):
        return self.submit(Batch(_lib.EXISTS, cache, keys, None))

    def delete(self, cache, keys):
        return self.submit(Batch(_lib.DELETE, cache, keys, None))

    def submit(self, batch):
        """A number for the batch; KvliftError EAGAIN: as many as the depth are in flight."""
        with self._lock:
            number = self._next
            self._next += 1
            self._batches[number] = batch
        ret = lib().kvlift_io_submit(self.handle, batch.items, len(batch.items), number)
        if ret < 0:
            with self._lock:
                del self._batches[number]
            if ret != -errno.EAGAIN:
                batch.let_go()
            check(ret)
        return number

    def _take(self, events, n):
        ended = []
        for event in events[: check(n)]:
            with self._lock:
                batch = self._batches.pop(event.user)
            batch.bytes = event.bytes
            batch.ns = event.ns
            batch.let_go()
            ended.append((event.user, batch))
        return ended

    def poll(self):
        """(number, Batch) of those that have ended. Never waits."""
        events = (_lib.IoEvent * self.EVENTS)()
        return self._take(events, lib().kvlift_io_poll(self.handle, events, self.EVENTS))

    def wait(self, timeout=None):
        """The same, but waits for one, at most so many seconds."""
        events = (_lib.IoEvent * self.EVENTS)()
        ms = -1 if timeout is None else int(timeout * 1000)
        n = lib().kvlift_io_wait(self.handle, events, self.EVENTS, ms)
        return self._take(events, 0 if n == -errno.EINTR else n)

    def drain(self, timeout=None):
        """Until nothing is in flight; the events stay to be taken. False: it took too long."""
        end = None if timeout is None else time.monotonic() + timeout
        ret = -errno.EINTR
        while ret == -errno.EINTR:
            ms = -1 if end is None else max(0, int((end - time.monotonic()) * 1000))
            ret = lib().kvlift_io_drain(self.handle, ms)
        if ret == -errno.ETIME:
            return False
        return check(ret) == 0

    def close(self):
        super().close()
        # The library has let go of all of them.
        for batch in self.__dict__.pop("_batches", {}).values():
            batch.let_go()


class Backlog:
    """Batches of somebody's jobs, in order; what an IO has no room for waits. Not for
    several threads at once."""

    def __init__(self, io):
        self._io = io
        self._jobs = {}  # by the batch's number
        self._waiting = collections.deque()
        self._refused = []

    def __bool__(self):
        """Is anything in flight, waiting for it, or to be taken?"""
        return bool(self._jobs or self._waiting or self._refused)

    def add(self, job, batch):
        """Never waits. False: it was refused already, see take()."""
        self._waiting.append((job, batch))
        self._start()
        return not self._refused

    def _start(self):
        while self._waiting:
            job, batch = self._waiting[0]
            try:
                number = self._io.submit(batch)
            except KvliftError as e:
                if e.errno == errno.EAGAIN:
                    return
                # Whoever waits for it must hear of it.
                self._refused.append((job, batch, e))
            else:
                self._jobs[number] = job
            self._waiting.popleft()

    def take(self):
        """(job, batch, None) of those that have ended, (job, batch, error) of those that
        could not begin."""
        ended = []
        batches = self._io.poll()
        while batches:
            ended += [(self._jobs.pop(number), batch, None) for number, batch in batches]
            self._start()
            batches = self._io.poll()
        # Last: poll() reads the descriptor, so nobody would be told of later ones.
        ended += self._refused
        self._refused = []
        return ended

    def close(self):
        """What waits is given up; then the IO is closed."""
        for _, batch in self._waiting:
            batch.let_go()
        self._waiting.clear()
        self._io.close()
