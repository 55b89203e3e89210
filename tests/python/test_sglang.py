# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""The back end as SGLang's factory makes it and HiCache's controller calls it."""

import ctypes
import os
import shutil
import unittest

import engines

PAGE = 50000
PARTS = 2


class HostPool:
    """HiCache's memory: keys and values of a page apart, by their addresses."""

    def __init__(self, pages):
        self.memory = bytearray(pages * PAGE * PARTS)
        self.base = ctypes.addressof(ctypes.c_char.from_buffer(self.memory))

    def get_page_buffer_meta(self, indices):
        at = [self.base + (int(i) * PARTS + p) * PAGE for i in indices for p in range(PARTS)]
        return at, [PAGE] * len(at)

    def page(self, i):
        return bytes(self.memory[i * PAGE * PARTS : (i + 1) * PAGE * PARTS])


class Tensor:
    """What the legacy calls use of a torch.Tensor."""

    def __init__(self, data):
        self.data = bytearray(data)

    def contiguous(self):
        return self

    def is_contiguous(self):
        return True

    def data_ptr(self):
        return ctypes.addressof(ctypes.c_char.from_buffer(self.data))

    def numel(self):
        return len(self.data)

    def element_size(self):
        return 1


class SGLang(unittest.TestCase):
    def setUp(self):
        self.dir = engines.pool_directory("sglang")
        engines.use("sglang")
        from sglang.srt.mem_cache import hicache_storage
        from sglang.srt.mem_cache.storage.backend_factory import StorageBackendFactory

        # It wraps what it makes when it is told to inject failures.
        self.storage, self.factory = hicache_storage, StorageBackendFactory

    def tearDown(self):
        shutil.rmtree(self.dir)

    def config(self, **more):
        values = dict(
            tp_rank=0,
            tp_size=1,
            pp_rank=0,
            pp_size=1,
            attn_cp_rank=0,
            attn_cp_size=1,
            is_mla_model=False,
            enable_storage_metrics=False,
            is_page_first_layout=True,
            model_name="org/model",
            extra_config={
                "backend_name": "kvlift",
                "module_path": "kvlift.sglang",
                "class_name": "KvliftStorage",
                "interface_v1": 1,
                "path": self.dir,
            },
        )
        values.update(more)
        return self.storage.HiCacheStorageConfig(**values)

    def backend(self, pool, **more):
        backend = self.factory._do_create_backend("dynamic", self.config(**more), pool)
        self.assertIsInstance(backend, self.storage.HiCacheStorage)
        backend.register_mem_pool_host(pool)
        return backend

    def test_pages(self):
        pool = HostPool(20)
        pool.memory[:] = os.urandom(len(pool.memory))
        before = [pool.page(i) for i in range(20)]
        b = self.backend(pool)
        keys = [f"{i:064x}" for i in range(10)]
        self.assertEqual(b.batch_exists(keys), 0)
        self.assertEqual(b.batch_set_v1(keys, range(10)), [True] * 10)
        self.assertEqual(b.batch_exists(keys), 10)
        self.assertEqual(b.batch_exists(keys[:3] + ["f" * 64] + keys[3:]), 3)
        self.assertTrue(b.exists(keys[0]))
        self.assertEqual(b.batch_get_v1(keys + ["f" * 64], range(9, 20)), [True] * 10 + [False])
        for i in range(10):
            self.assertEqual(pool.page(9 + i), before[i])
        self.assertEqual(b.batch_get_v1([], []), [])
        self.assertEqual(b.counts()["pages_written"], 10)
        b.clear()
        self.assertEqual(b.batch_exists(keys), 0)
        b.close()

    def test_legacy(self):
        b = self.backend(HostPool(1))
        data = os.urandom(100000)
        self.assertTrue(b.set("a", Tensor(data)))
        into = Tensor(bytes(100000))
        self.assertIs(b.get("a", into), into)
        self.assertEqual(into.data, data)
        self.assertIsNone(b.get("b", into))
        self.assertIsNone(b.get("a", Tensor(bytes(99999))))
        self.assertTrue(b.batch_set(["c", "d"], [Tensor(b"1"), Tensor(b"2")]))
        got = b.batch_get(["c", "x", "d"], [Tensor(b"0"), Tensor(b"0"), Tensor(b"0")])
        self.assertEqual([g and bytes(g.data) for g in got], [b"1", None, b"2"])
        self.assertFalse(b.set("e"))
        b.close()

    def test_ranks_are_apart(self):
        pool = HostPool(1)
        one = self.backend(pool, tp_size=2)
        two = self.backend(pool, tp_size=2, tp_rank=1)
        self.assertEqual(one.batch_set_v1(["k"], [0]), [True])
        self.assertEqual(two.batch_exists(["k"]), 0)
        mla = self.backend(pool, tp_size=2, is_mla_model=True)
        mla1 = self.backend(pool, tp_size=2, tp_rank=1, is_mla_model=True)
        self.assertEqual(mla1.batch_set_v1(["k"], [0]), [True])
        self.assertEqual(mla1.batch_exists(["k"]), 0)
        self.assertEqual(mla.batch_set_v1(["k"], [0]), [True])
        self.assertEqual(mla1.batch_exists(["k"]), 1)

    def metrics(self):
        """SGLang's own class, without all that its module loads."""
        import ast
        import dataclasses
        import typing
        import zipfile

        with zipfile.ZipFile(engines._archive()) as z:
            tree = ast.parse(z.read("sglang/srt/observability/metrics_collector.py"))
        tree.body = [n for n in tree.body if getattr(n, "name", None) == "StorageMetrics"]
        names = {"dataclass": dataclasses.dataclass, "field": dataclasses.field, "List": typing.List}
        exec(compile(tree, "metrics_collector.py", "exec"), names)
        return names["StorageMetrics"]

    def test_stats(self):
        import kvlift.sglang

        pool = HostPool(4)
        quiet = self.backend(pool)
        self.assertIsNone(quiet.get_stats())
        b = self.backend(pool, enable_storage_metrics=True)
        metrics, kvlift.sglang.metrics_class = kvlift.sglang.metrics_class, self.metrics
        try:
            b.batch_set_v1(["a", "b", "c"], range(3))
            b.batch_get_v1(["a", "x"], range(2))
            stats = b.get_stats()
            self.assertEqual((stats.backup_pgs, stats.prefetch_pgs), ([3], [1]))
            self.assertTrue(0 < stats.prefetch_bandwidth[0] < 1000)
            self.assertEqual(b.get_stats().backup_pgs, [])
        finally:
            kvlift.sglang.metrics_class = metrics
        self.assertEqual(b.counts(), {"pages_read": 1, "pages_written": 3, "misses": 1, "errors": 0})

    def transfer(self, name, keys, indices, trailing=False):
        policy = self.storage.PoolHitPolicy
        return self.storage.PoolTransfer(
            name=self.storage.PoolName(name),
            keys=keys,
            host_indices=indices,
            hit_policy=policy.TRAILING_PAGES if trailing else policy.ALL_PAGES,
        )

    def test_hybrid_models(self):
        kv, state, index = HostPool(8), HostPool(8), HostPool(8)
        b = self.backend(kv)
        name = self.storage.PoolName
        b.register_mem_host_pool_v2(state, name.MAMBA)
        b.register_mem_host_pool_v2(index, name.INDEXER)
        state.memory[:] = os.urandom(len(state.memory))
        keys = [f"{i:064x}" for i in range(6)]
        self.assertEqual(b.batch_set_v1(keys, range(6)), [True] * 6)
        # Its state was saved after pages 2 and 4, its index of the first five pages.
        done = b.batch_set_v2([self.transfer("mamba", [keys[1], keys[3]], [0, 1]), self.transfer("indexer", keys[:5], range(5))])
        self.assertEqual(done, {name.MAMBA: [True] * 2, name.INDEXER: [True] * 5})
        hit = b.batch_exists_v2(keys, [self.transfer("indexer", None, None), self.transfer("mamba", ["last"], None, True)])
        self.assertEqual(hit.kv_hit_pages, 4)
        self.assertEqual(hit.restorable_prefix_pages, [2, 4])
        self.assertEqual(hit.extra_pool_hit_pages, {name.KV: 6, name.INDEXER: 5, name.MAMBA: 4})
        self.assertEqual(b.batch_exists_v2(["f" * 64], []).kv_hit_pages, 0)
        got = b.batch_get_v2([self.transfer("mamba", [keys[3], keys[4]], [6, 7])])
        self.assertEqual(got, {name.MAMBA: [True, False]})
        self.assertEqual(state.page(6), state.page(1))
        with self.assertLogs("kvlift.sglang", "ERROR"):
            self.assertEqual(b.batch_get_v2([self.transfer("mamba", keys[:2], [0])]), {name.MAMBA: [False] * 2})
        with self.assertLogs("kvlift.sglang", "ERROR"):
            self.assertEqual(b.batch_get_v2([self.transfer("swa", keys[:2], [0, 1])]), {name.SWA: [False] * 2})
        b.close()

    def test_nothing_is_raised(self):
        pool = HostPool(1)
        b = self.backend(pool)
        pool.get_page_buffer_meta = lambda _: (_ for _ in ()).throw(RuntimeError("broken"))
        with self.assertLogs("kvlift.sglang", "ERROR"):
            self.assertEqual(b.batch_get_v1(["a"], [0]), [False])
        b.close()
        with self.assertLogs("kvlift.sglang", "ERROR"):
            self.assertEqual(b.batch_exists(["a"]), 0)
        with self.assertRaises(ValueError):
            self.backend(HostPool(1), extra_config={"backend_name": "kvlift", "module_path": "kvlift.sglang", "class_name": "KvliftStorage"})


if __name__ == "__main__":
    unittest.main()
