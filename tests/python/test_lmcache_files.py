# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""LMCache's own back ends, unmodified, with a directory of a pool or a region for
their path: its files (L2 "fs") and its arena on an mmap-able device (DAX)."""

import ctypes
import importlib
import os
import shutil
import sys
import time
import types
import unittest

import engines
import kvlift
from test_lmcache import Bitmap, Memory, Notifier

SLOT = 128 << 10
NR = 200  # more than what the test's pool has in memory


class Object(Memory):
    """What DaxCore asks of an object of LMCache's memory."""

    def __init__(self, data):
        super().__init__(data)
        self.metadata = types.SimpleNamespace(shape=(len(data),), dtype="uint8", cached_positions=None, fmt="KV_2LTD")
        self.data_ptr = ctypes.addressof(ctypes.c_char.from_buffer(data))

    def get_shapes(self):
        return [None]


class Files(unittest.TestCase):
    def setUp(self):
        self.dir = engines.pool_directory("lmcache-files")
        engines.use("lmcache")
        archive = engines._archive()
        if archive not in sys.path:
            sys.path.append(archive)

    def tearDown(self):
        shutil.rmtree(self.dir)

    def data(self):
        return [bytearray(os.urandom(SLOT - 100)) for _ in range(NR)]

    def tiers(self, names):
        """Blocks in each tier, of all these files together."""
        with kvlift.Pool(self.dir) as pool:
            total = [0] * len(kvlift._lib.TIERS)
            for name in names:
                with pool.open(name) as region:
                    total = [a + b for a, b in zip(total, region.info().blocks)]
        return dict(zip(kvlift._lib.TIERS, total))

    def in_all_tiers(self, names):
        blocks = self.tiers(names)
        for tier in ("dram", "cxl", "nvme"):
            self.assertGreater(blocks[tier], 0, blocks)

    def test_dax(self):
        utils = importlib.import_module("lmcache.utils")
        utils.DiskCacheMetadata = types.SimpleNamespace
        core = importlib.import_module("lmcache.v1.storage_backend.dax.core")
        with kvlift.Pool(self.dir) as pool:
            pool.create("arena", NR * SLOT).close()
        dax = core.DaxCore(device_path=self.dir + "/arena", max_dax_size_bytes=NR * SLOT, slot_bytes=SLOT)
        self.assertEqual(dax.max_slots, NR)
        data = self.data()
        keys = list(range(NR))
        self.assertEqual(dax.put_many(keys, [Object(d) for d in data]), [True] * NR)
        self.assertEqual(dax.exists_many(keys + [NR]), [True] * NR + [False])
        self.in_all_tiers(["arena"])
        into = [bytearray(SLOT - 100) for _ in keys]
        self.assertEqual(dax.load_many_into(keys, [Object(b) for b in into]), [True] * NR)
        self.assertEqual(into, data)
        dax.close()

    def wait(self, ask, task):
        end = time.monotonic() + 60
        while time.monotonic() < end:
            result = ask(task)
            if result is not None:
                return result
            time.sleep(0.01)
        self.fail("no result in 60 s")

    def test_files(self):
        fs = importlib.import_module("lmcache.v1.distributed.l2_adapters.fs_l2_adapter")
        api = importlib.import_module("lmcache.v1.distributed.api")
        fs.Bitmap = Bitmap
        fs.create_event_notifier = Notifier
        adapter = fs.FSL2Adapter(fs.FSL2AdapterConfig.from_dict({"base_path": self.dir}))
        keys = [api.ObjectKey(chunk_hash=i.to_bytes(32, "big"), model_name="org/model", kv_rank=0, object_group_id=0) for i in range(NR)]
        data = self.data()
        task = adapter.submit_store_task(keys, [Memory(d) for d in data])
        self.wait(lambda t: adapter.pop_completed_store_tasks().get(t), task)
        self.assertEqual(len(os.listdir(self.dir)), NR)
        self.in_all_tiers(os.listdir(self.dir))
        into = [bytearray(SLOT - 100) for _ in keys]
        task = adapter.submit_load_task(keys, [Memory(b) for b in into])
        self.assertEqual(self.wait(adapter.query_load_result, task).bits, [True] * NR)
        self.assertEqual(into, data)
        adapter.delete(keys)
        self.assertEqual(os.listdir(self.dir), [])
        adapter.close()


if __name__ == "__main__":
    unittest.main()
