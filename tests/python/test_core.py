# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Pools, regions, objects and batches from Python, on a real pool."""

import errno
import os
import select
import unittest

import kvlift
from engines import pool_directory


class Core(unittest.TestCase):
    def setUp(self):
        self.dir = pool_directory("core")
        self.pool = kvlift.Pool(self.dir)
        self.block = self.pool.block_size

    def tearDown(self):
        self.pool.close()
        for name in os.listdir(self.dir):
            os.unlink(self.dir + "/" + name)
        os.rmdir(self.dir)

    def test_version(self):
        self.assertRegex(kvlift.version(), r"^\d+\.\d+\.\d+$")

    def test_region(self):
        import numpy

        size = 4 * self.block
        with self.pool.create("r", size) as r:
            self.assertEqual(r.size, size)
            kv = r.numpy("uint32")
            kv[:] = numpy.arange(len(kv), dtype="uint32")
            self.assertEqual(r.touch(range(4)), 4)
            self.assertEqual(r.where(0, 4)[0], "dram")
            del kv
            self.assertEqual(r.seal(), 4)
            r.demote()
            r.prefetch()
        with self.pool.open("r") as r:
            kv = r.numpy("uint32")
        # The view outlives the region.
        self.assertTrue((kv == numpy.arange(len(kv), dtype="uint32")).all())
        self.assertFalse(kv.flags.writeable)

    def test_errors(self):
        with self.assertRaises(kvlift.KvliftError) as e:
            kvlift.Pool("/tmp")
        self.assertEqual(e.exception.errno, errno.EMEDIUMTYPE)
        with self.assertRaises(kvlift.KvliftError):
            self.pool.open("nothing")
        pool = kvlift.Pool(self.dir)
        pool.close()
        pool.close()
        with self.assertRaises(ValueError):
            pool.info()

    def test_objects(self):
        with self.pool.cache() as cache:
            data = os.urandom(3 * self.block + 5)
            self.assertTrue(cache.put("model/x", data))
            self.assertFalse(cache.put("model/x", b"other"))
            self.assertTrue(cache.exists(b"model/x"))
            self.assertEqual(cache.get("model/x"), data)
            into = bytearray(len(data))
            self.assertEqual(cache.get("model/x", into), len(data))
            self.assertEqual(into, data)
            with self.assertRaises(kvlift.KvliftError) as e:
                cache.get("model/x", bytearray(10))
            self.assertEqual(e.exception.errno, errno.EMSGSIZE)
            with cache.open("model/x") as obj:
                view = obj.memory()
            self.assertEqual(view, data)
            view.release()
            self.assertTrue(cache.put("model/x", b"new", replace=True))
            self.assertEqual(cache.get("model/x"), b"new")
            self.assertTrue(cache.delete("model/x"))
            self.assertFalse(cache.delete("model/x"))
            self.assertIsNone(cache.get("model/x"))
            self.assertIsNone(cache.get("model/x", bytearray(1)))
            with self.assertRaises(kvlift.KvliftError):
                cache.put(b"x" * 256, b"")
            with self.assertRaises((TypeError, BufferError)):
                cache.get("model/x", b"cannot be written")
            self.assertTrue(cache.put("a", b"1") and cache.put("b", b""))
            self.assertEqual(cache.clear(), 2)

    def test_what_is_of_no_use_goes(self):
        with self.pool.cache() as cache, self.pool.io() as io:
            self.assertTrue(cache.put("short", b"12345") and cache.put("long", b"1" * 20) and cache.put("right", b"1" * 10))
            io.get(cache, ["short", "long", "right", "none"], [bytearray(10) for _ in range(4)])
            ((_, batch),) = io.wait(20)
            self.assertEqual(batch.whole, [False, False, True, False])
            self.assertEqual(batch.spoiled, [b"short", b"long"])
            cache.forget_spoiled(batch)
            self.assertEqual(sorted(os.listdir(self.dir)), ["right"])
            self.assertTrue(cache.put("short", b"1" * 10))
            cache.clear()

    def test_batches(self):
        cache = self.pool.cache()
        io = self.pool.io(depth=2, threads=2)
        keys = [f"k{i}" for i in range(40)]
        data = [os.urandom(self.block) for _ in keys]
        poll = select.poll()
        poll.register(io.fileno(), select.POLLIN)
        first = io.put(cache, keys, data)
        self.assertTrue(poll.poll(20000))
        ((number, batch),) = io.wait(20)
        self.assertEqual(number, first)
        self.assertEqual(batch.results, [0] * 40)
        self.assertEqual(batch.bytes, 40 * self.block)
        into = [bytearray(self.block) for _ in keys]
        io.get(cache, keys, into)
        self.assertTrue(io.drain(20))
        ((_, batch),) = io.poll()
        self.assertTrue(all(batch.whole))
        self.assertEqual(into, data)
        # A page in pieces is one object.
        io.put(cache, ["pieces"], [[data[0], data[1]]])
        io.wait(20)
        a, b = bytearray(10), bytearray(2 * self.block - 10)
        io.get(cache, ["pieces"], [[a, b]])
        ((_, batch),) = io.wait(20)
        self.assertEqual(batch.whole, [True])
        self.assertEqual(bytes(a + b), data[0] + data[1])
        io.exists(cache, ["k1", "no"])
        io.delete(cache, ["k1", "no"])
        with self.assertRaises(kvlift.KvliftError) as e:
            io.exists(cache, ["k1"])
        self.assertEqual(e.exception.errno, errno.EAGAIN)
        io.drain()
        ended = dict(io.poll())
        self.assertEqual(sorted(b.results for b in ended.values()), [[0, -errno.ENOENT], [1, 0]])
        # Closed with something in flight: buffers are let go, and whole.
        io.get(cache, keys[2:], into[2:])
        io.close()
        into[2].extend(b"x")
        cache.clear()
        cache.close()


if __name__ == "__main__":
    unittest.main()
