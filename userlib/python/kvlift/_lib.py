# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""The C library: structures and prototypes as in its headers."""

import ctypes
import os
from ctypes import POINTER, c_char_p, c_int, c_int32, c_int64, c_size_t, c_ssize_t, c_uint, c_uint8, c_uint32, c_uint64, c_void_p

KEY_MAX = 255
PUT_REPLACE = 1
ITEM_IOV = 1 << 31
PUT, GET, EXISTS, DELETE, PREFETCH, ACQUIRE, RELEASE, DEMOTE, TOUCH, SEAL = range(1, 11)
TIERS = ("gpu", "dram", "cxl", "nvme")


class PoolInfo(ctypes.Structure):
    _c_name_ = "kvlift_info"
    _fields_ = [
        ("abi", c_uint32),
        ("block_size", c_uint32),
        ("features", c_uint64),
        ("pool", c_uint32),
        ("block_shift", c_uint32),
        ("nr_members", c_uint32 * 4),
        ("capacity", c_uint64),
        ("used", c_uint64),
        ("inline_max", c_uint32),
        ("pad", c_uint32),
        ("uuid", c_uint8 * 16),
        ("reserved", c_uint64 * 8),
    ]


class RegionInfo(ctypes.Structure):
    _c_name_ = "kvlift_region_info"
    _fields_ = [
        ("id", c_uint64),
        ("size", c_uint64),
        ("blocks", c_uint64 * 4),
        ("reserved_blocks", c_uint64),
        ("inline_bytes", c_uint64),
        ("flags", c_uint64),
        ("reserved", c_uint64 * 7),
    ]


class ObjectHandle(ctypes.Structure):
    _c_name_ = "kvlift_object"
    _fields_ = [("fd", c_int), ("flags", c_uint32), ("size", c_uint64), ("reserved", c_uint64 * 2)]


class IoOpts(ctypes.Structure):
    _c_name_ = "kvlift_io_opts"
    _fields_ = [("depth", c_uint32), ("threads", c_uint32), ("reserved", c_uint64 * 3)]


class Item(ctypes.Structure):
    _c_name_ = "kvlift_item"
    _fields_ = [
        ("op", c_uint32),
        ("flags", c_uint32),
        ("cache", c_void_p),
        ("key", c_void_p),
        ("key_len", c_size_t),
        ("buf", c_void_p),
        ("len", c_size_t),
        ("region", c_void_p),
        ("first", c_uint64),
        ("count", c_uint64),
        ("deadline_ns", c_uint64),
        ("tier", c_uint32),
        ("prio", c_uint32),
        ("lease_ms", c_uint32),
        ("res", c_int32),
        ("lease", c_uint64),
        ("done", c_uint64),
        ("reserved", c_uint64 * 3),
    ]


class IoEvent(ctypes.Structure):
    _c_name_ = "kvlift_io_event"
    _fields_ = [("user", c_uint64), ("items", c_uint32), ("failed", c_uint32), ("bytes", c_uint64), ("ns", c_uint64)]


class Iovec(ctypes.Structure):
    _c_name_ = "iovec"
    _fields_ = [("base", c_void_p), ("len", c_size_t)]


class PyBuffer(ctypes.Structure):
    """Py_buffer of CPython's stable ABI."""

    _fields_ = [
        ("buf", c_void_p),
        ("obj", ctypes.py_object),
        ("len", c_ssize_t),
        ("itemsize", c_ssize_t),
        ("readonly", c_int),
        ("ndim", c_int),
        ("format", c_char_p),
        ("shape", c_void_p),
        ("strides", c_void_p),
        ("suboffsets", c_void_p),
        ("internal", c_void_p),
    ]


_PROTOTYPES = {
    "kvlift_version": (c_char_p, []),
    "kvlift_strerror": (c_char_p, [c_int]),
    "kvlift_pool_open": (c_int, [c_char_p, POINTER(c_void_p)]),
    "kvlift_pool_close": (None, [c_void_p]),
    "kvlift_pool_info": (c_int, [c_void_p, POINTER(PoolInfo)]),
    "kvlift_region_create": (c_int, [c_void_p, c_char_p, c_uint64, c_uint, POINTER(c_void_p)]),
    "kvlift_region_open": (c_int, [c_void_p, c_char_p, c_int, POINTER(c_void_p)]),
    "kvlift_region_close": (None, [c_void_p]),
    "kvlift_region_fd": (c_int, [c_void_p]),
    "kvlift_region_info": (c_int, [c_void_p, POINTER(RegionInfo)]),
    "kvlift_region_size": (c_int, [c_void_p, c_uint64]),
    "kvlift_region_map": (c_int, [c_void_p, c_uint64, c_size_t, c_int, c_uint, POINTER(c_void_p)]),
    "kvlift_region_unmap": (c_int, [c_void_p, c_size_t]),
    "kvlift_prefetch": (c_int64, [c_void_p, c_uint64, c_uint64]),
    "kvlift_demote": (c_int64, [c_void_p, c_uint64, c_uint64]),
    "kvlift_touch": (c_int, [c_void_p, POINTER(c_uint64), c_uint]),
    "kvlift_seal": (c_int, [c_void_p, c_uint64, c_uint64, POINTER(c_uint64)]),
    "kvlift_seal_file": (c_int, [c_void_p, POINTER(c_uint64)]),
    "kvlift_where": (c_int64, [c_void_p, c_uint64, c_uint64, POINTER(c_uint64)]),
    "kvlift_cache_open": (c_int, [c_void_p, c_char_p, POINTER(c_void_p)]),
    "kvlift_cache_close": (None, [c_void_p]),
    "kvlift_cache_fd": (c_int, [c_void_p]),
    "kvlift_put": (c_int, [c_void_p, c_char_p, c_size_t, c_void_p, c_size_t, c_uint]),
    "kvlift_get": (c_ssize_t, [c_void_p, c_char_p, c_size_t, c_void_p, c_size_t]),
    "kvlift_exists": (c_int, [c_void_p, c_char_p, c_size_t]),
    "kvlift_delete": (c_int, [c_void_p, c_char_p, c_size_t]),
    "kvlift_object_open": (c_int, [c_void_p, c_char_p, c_size_t, POINTER(ObjectHandle)]),
    "kvlift_object_map": (c_int, [POINTER(ObjectHandle), POINTER(c_void_p)]),
    "kvlift_object_close": (None, [POINTER(ObjectHandle)]),
    "kvlift_io_open": (c_int, [c_void_p, POINTER(IoOpts), POINTER(c_void_p)]),
    "kvlift_io_close": (None, [c_void_p]),
    "kvlift_io_submit": (c_int, [c_void_p, POINTER(Item), c_uint, c_uint64]),
    "kvlift_io_fd": (c_int, [c_void_p]),
    "kvlift_io_poll": (c_int, [c_void_p, POINTER(IoEvent), c_uint]),
    "kvlift_io_wait": (c_int, [c_void_p, POINTER(IoEvent), c_uint, c_int]),
    "kvlift_io_drain": (c_int, [c_void_p, c_int]),
    "kvlift_io_cancel": (c_int, [c_void_p, c_uint64]),
}

_library = None


def lib():
    """libkvlift, loaded when it is first needed; KVLIFT_LIBRARY names another."""
    global _library
    if _library is None:
        library = ctypes.CDLL(os.environ.get("KVLIFT_LIBRARY", "libkvlift.so.0"))
        for name, (result, arguments) in _PROTOTYPES.items():
            function = getattr(library, name)
            function.restype = result
            function.argtypes = arguments
        _library = library
    return _library


_get_buffer = ctypes.pythonapi.PyObject_GetBuffer
_get_buffer.argtypes = [ctypes.py_object, POINTER(PyBuffer), c_int]
_get_buffer.restype = c_int
_release_buffer = ctypes.pythonapi.PyBuffer_Release
_release_buffer.argtypes = [POINTER(PyBuffer)]
_release_buffer.restype = None


class Held:
    """The address of an object's bytes, which stay where they are until release()."""

    def __init__(self, obj, writable):
        self._view = PyBuffer()
        _get_buffer(obj, ctypes.byref(self._view), 1 if writable else 0)
        self.address = self._view.buf or 0
        self.size = self._view.len

    def release(self):
        if self._view is not None:
            _release_buffer(ctypes.byref(self._view))
            self._view = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.release()
