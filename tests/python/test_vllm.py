# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""The tier as vLLM makes and drives it: its factory, base class and jobs; and vLLM's
own file tier, unmodified, in a directory of a pool."""

import os
import shutil
import time
import types
import unittest

import engines

CHUNK = 128 << 10
NR = 32


def spec():
    """What the file mapper of vLLM asks of an OffloadingSpec."""
    make = types.SimpleNamespace
    return make(
        blocks_per_chunk=1,
        kv_events_config=make(enable_kv_cache_events=False),
        config=make(
            groups=[make(tokens_per_block=16, layer_names=["l0", "l1"])],
            parallel=make(tp_size=1, pp_size=1, pcp_size=1, dcp_size=1, rank=0, is_parallelism_agnostic=True),
            model=make(name="org/model", dtype="float16"),
            cache=make(tokens_per_hash=16),
            canonical_layout=False,
            kv_cache_layout=None,
            replicated_layout=False,
        ),
    )


class VLLM(unittest.TestCase):
    def setUp(self):
        self.dir = engines.pool_directory("vllm")
        engines.use("vllm")
        from vllm.v1.kv_offload import base
        from vllm.v1.kv_offload.tiering import base as tiering
        from vllm.v1.kv_offload.tiering import factory

        self.base, self.tiering, self.factory = base, tiering, factory
        self.memory = bytearray(CHUNK * NR)
        self.view = memoryview(self.memory).cast("B", (NR, CHUNK))
        self.jobs = 0

    def tearDown(self):
        shutil.rmtree(self.dir)

    def tier(self, **config):
        config = {"type": "KvliftTier", "module_path": "kvlift.vllm", "path": self.dir, **config}
        return self.factory.SecondaryTierFactory.create_secondary_tier(config, self.view, spec())

    def job(self, keys, chunks, promotion):
        import numpy

        self.jobs += 1
        return self.tiering.TransferJob(job_id=self.jobs, keys=keys, chunk_ids=numpy.array(chunks), is_promotion=promotion, req_context=None)

    def key(self, i, group=0):
        return self.base.make_offload_key(i.to_bytes(32, "big"), group)

    def finish(self, tier):
        end = time.monotonic() + 20
        while time.monotonic() < end:
            done = list(tier.get_finished_jobs())
            if done:
                return done
            time.sleep(0.005)
        self.fail("no job ended in 20 s")

    def round_trip(self, tier, nr=NR):
        hit, miss = self.base.LookupResult.HIT, self.base.LookupResult.MISS
        keys = [self.key(i) for i in range(nr)]
        data = os.urandom(CHUNK * nr)
        self.memory[: CHUNK * nr] = data
        tier.submit_store(self.job(keys, list(range(nr)), False))
        (result,) = self.finish(tier)
        self.assertTrue(result.success)
        self.memory[:] = bytes(CHUNK * NR)
        end = time.monotonic() + 20
        while [tier.lookup(k, types.SimpleNamespace(req_id="r")) for k in keys] != [hit] * nr and time.monotonic() < end:
            tier.on_schedule_end(types.SimpleNamespace(new_req_ids=(), preempted_req_ids=()))
            time.sleep(0.01)
        self.assertEqual([tier.lookup(k, types.SimpleNamespace(req_id="r")) for k in keys], [hit] * nr)
        # Into other slots than they came from.
        tier.submit_load(self.job(keys, list(range(nr - 1, -1, -1)), True))
        (result,) = self.finish(tier)
        self.assertTrue(result.success)
        for i in range(nr):
            at = CHUNK * (nr - 1 - i)
            self.assertEqual(self.memory[at : at + CHUNK], data[CHUNK * i : CHUNK * (i + 1)])
        return miss

    def test_tier(self):
        tier = self.tier()
        self.assertIsInstance(tier, self.tiering.SecondaryTierManager)
        self.assertEqual((tier.medium, tier.locality), (self.base.Medium.STORAGE, self.base.Locality.LOCAL))
        miss = self.round_trip(tier)
        self.assertEqual(tier.lookup(self.key(0, 1), None), miss)
        self.assertIsNotNone(tier.on_new_request(None))
        self.assertFalse(tier.has_pending_work())
        # Of a load with a key that is not there the rest is good.
        keys = [self.key(0), self.key(1000), self.key(2)]
        tier.submit_load(self.job(keys, [5, 6, 7], True))
        (result,) = self.finish(tier)
        self.assertFalse(result.success)
        self.assertEqual(set(result.successful_keys), {keys[0], keys[2]})
        tier.submit_store(self.job([], [], False))
        self.assertTrue(self.finish(tier)[0].success)
        tier.shutdown()

    def test_drain_and_depth(self):
        tier = self.tier(depth=1, threads=1)
        jobs = [self.job([self.key(i)], [i % NR], False) for i in range(100)]
        start = time.monotonic()
        for job in jobs:
            tier.submit_store(job)
        self.assertTrue(tier.has_pending_work())
        tier.drain_jobs()
        done = list(tier.get_finished_jobs())
        self.assertEqual(sorted(r.job_id for r in done), [j.job_id for j in jobs])
        self.assertTrue(all(r.success for r in done))
        self.assertLess(time.monotonic() - start, 60)
        tier.shutdown()

    def test_shared_and_apart(self):
        one, two = self.tier(), self.tier()
        other = self.tier(namespace="another model")
        one.submit_store(self.job([self.key(1)], [0], False))
        self.finish(one)
        self.assertEqual(two.lookup(self.key(1), None), self.base.LookupResult.HIT)
        self.assertEqual(other.lookup(self.key(1), None), self.base.LookupResult.MISS)
        for t in (one, two, other):
            t.shutdown()

    def test_no_loop_over_what_does_not_load(self):
        tier = self.tier()
        key = self.key(7)
        self.assertTrue(tier._cache.put(tier._key(key), b"too short"))
        self.assertEqual(tier.lookup(key, None), self.base.LookupResult.HIT)
        tier.submit_load(self.job([key], [0], True))
        (result,) = self.finish(tier)
        self.assertFalse(result.success)
        self.assertIsNone(result.successful_keys)
        self.assertEqual(tier.lookup(key, None), self.base.LookupResult.MISS)
        tier.submit_store(self.job([key], [0], False))
        self.assertTrue(self.finish(tier)[0].success)
        tier.submit_load(self.job([key], [1], True))
        self.assertTrue(self.finish(tier)[0].success)
        tier.shutdown()

    def test_buffers_are_let_go(self):
        tier = self.tier(depth=1, threads=1)
        for i in range(20):
            tier.submit_store(self.job([self.key(i)], [i], False))
        tier.shutdown()
        del tier
        self.view.release()
        self.memory.extend(b"x")

    def test_their_own_file_tier(self):
        from vllm.v1.kv_offload.tiering.fs.manager import FileSystemTierManager

        tier = FileSystemTierManager(spec(), self.view, "fs", root_dir=self.dir, n_read_threads=2, n_write_threads=2)
        self.round_trip(tier, 8)
        tier.shutdown()


if __name__ == "__main__":
    unittest.main()
