# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""The plug-in as LMCache loads and drives it: its config, factory and adapter."""

import importlib
import os
import shutil
import time
import unittest

import engines


class Bitmap:
    """In place of LMCache's compiled one."""

    def __init__(self, n):
        self.bits = [False] * n

    def set(self, i):
        self.bits[i] = True

    def get_indices_list(self):
        return [i for i, bit in enumerate(self.bits) if bit]


class Notifier:
    def __init__(self):
        self.fd = os.eventfd(0, os.EFD_NONBLOCK) if hasattr(os, "eventfd") else os.pipe()[0]

    def fileno(self):
        return self.fd

    def notify(self):
        pass

    def close(self):
        os.close(self.fd)


class Memory:
    """An object of LMCache's own memory."""

    def __init__(self, data):
        self.byte_array = memoryview(data)

    def get_size(self):
        return len(self.byte_array)


class LMCache(unittest.TestCase):
    def setUp(self):
        self.dir = engines.pool_directory("lmcache")
        engines.use("lmcache")
        native = importlib.import_module("lmcache.lmcache_native")
        native.Bitmap = Bitmap
        platform = importlib.import_module("lmcache.v1.platform")
        platform.create_event_notifier = Notifier
        plugin = importlib.import_module("lmcache.v1.distributed.l2_adapters.native_plugin_l2_adapter")
        connector = importlib.import_module("lmcache.v1.distributed.l2_adapters.native_connector_l2_adapter")
        self.api = importlib.import_module("lmcache.v1.distributed.api")
        connector.Bitmap = Bitmap
        connector.create_event_notifier = Notifier
        config = plugin.NativePluginL2AdapterConfig.from_dict(
            {
                "type": "native_plugin",
                "module_path": "kvlift.lmcache",
                "class_name": "KvliftClient",
                "adapter_params": {"path": self.dir, "depth": 2},
            }
        )
        self.adapter = plugin._create_native_plugin_l2_adapter(config)

    def tearDown(self):
        self.adapter.close()
        shutil.rmtree(self.dir)

    def key(self, i):
        return self.api.ObjectKey(chunk_hash=i.to_bytes(32, "big"), model_name="org/model", kv_rank=0, object_group_id=0)

    def wait(self, ask, task):
        end = time.monotonic() + 20
        while time.monotonic() < end:
            result = ask(task)
            if result is not None:
                return result
            time.sleep(0.01)
        self.fail("no result in 20 s")

    def stored(self, task):
        return self.wait(lambda t: self.adapter.pop_completed_store_tasks().get(t), task)

    def test_all(self):
        keys = [self.key(i) for i in range(50)]
        data = [os.urandom(100000) for _ in keys]
        task = self.adapter.submit_store_task(keys, [Memory(d) for d in data])
        result = self.stored(task)
        self.assertIn(True, [getattr(result, n) for n in dir(result) if not n.startswith("_") and isinstance(getattr(result, n), bool)] + [bool(result)])
        task = self.adapter.submit_lookup_and_lock_task(keys + [self.key(99)], {})
        bits = self.wait(self.adapter.query_lookup_and_lock_result, task).bits
        self.assertEqual(bits, [True] * 50 + [False])
        self.adapter.submit_unlock(keys)
        into = [bytearray(100000) for _ in keys]
        task = self.adapter.submit_load_task(keys + [self.key(99)], [Memory(b) for b in into] + [Memory(bytearray(100000))])
        bits = self.wait(self.adapter.query_load_result, task).bits
        self.assertEqual(bits, [True] * 50 + [False])
        self.assertEqual(into, data)
        # Another size than what is stored is no hit.
        task = self.adapter.submit_load_task(keys[:1], [Memory(bytearray(100001))])
        self.assertEqual(self.wait(self.adapter.query_load_result, task).bits, [False])
        self.adapter.delete(keys[:25])
        task = self.adapter.submit_lookup_and_lock_task(keys, {})
        self.assertEqual(self.wait(self.adapter.query_lookup_and_lock_result, task).bits, [False] * 25 + [True] * 25)

    def test_more_than_the_depth(self):
        keys = [self.key(i) for i in range(200)]
        tasks = [self.adapter.submit_store_task([k], [Memory(b"x" * 1000)]) for k in keys]
        done = {}
        end = time.monotonic() + 20
        while len(done) < len(tasks) and time.monotonic() < end:
            done.update(self.adapter.pop_completed_store_tasks())
            time.sleep(0.01)
        self.assertEqual(sorted(done), sorted(tasks))

    def test_long_keys(self):
        from kvlift.lmcache import short_key

        self.assertEqual(short_key("a@b"), b"a@b")
        self.assertLessEqual(len(short_key("x" * 1000)), 255)
        self.assertNotEqual(short_key("x" * 1000), short_key("x" * 999 + "y"))


if __name__ == "__main__":
    unittest.main()
