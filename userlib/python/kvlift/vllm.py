# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""vLLM (0.33): a secondary tier of its KV offloading, in a directory of a pool.

    --kv-transfer-config '{"kv_connector": "OffloadingConnector", "kv_role": "kv_both",
      "kv_connector_extra_config": {"spec_name": "TieringOffloadingSpec", "cpu_bytes_to_use": 8000000000,
        "secondary_tiers": [{"type": "KvliftTier", "module_path": "kvlift.vllm", "path": "/mnt/kv/vllm"}]}}'

Nothing here waits: a lookup is one system call on a name that the kernel has in
memory; copies are made by the library's threads. Instances that share a
directory share what they store, model by model.
"""

import hashlib
import json

from vllm.v1.kv_offload.base import LookupResult, RequestOffloadingContext
from vllm.v1.kv_offload.tiering.base import JobResult, SecondaryTierManager

from . import _lib
from .core import IO, Backlog, Batch, KvliftError
from .lmcache import open_directory

try:
    from vllm.v1.kv_offload.base import Locality, Medium
except ImportError:  # before tiers had a medium
    Locality = Medium = None


def namespace_of(spec):
    """Names all that must be the same for chunks of two instances to be the same:
    what vLLM's own file tier puts into the names of its directories."""
    try:
        from vllm.v1.kv_offload.file_mapper import FileMapper

        mapper = FileMapper.from_offloading_spec(
            root_dir="", offloading_spec=spec, blocks_per_file=spec.blocks_per_chunk, parallel_agnostic=True
        )
        text = json.dumps([mapper.get_run_config(), mapper.rank], sort_keys=True)
    except (ImportError, AttributeError, TypeError) as e:
        raise ValueError("this vLLM does not say what makes its chunks the same: give the tier a \"namespace\"") from e
    return hashlib.sha256(text.encode()).hexdigest()[:32]


class KvliftTier(SecondaryTierManager):
    """Chunks as objects of a pool."""

    medium = Medium.STORAGE if Medium is not None else None

    def __init__(self, offloading_spec, primary_kv_view, tier_type, path, threads=2, depth=64, namespace=None, locality=None, **more):
        super().__init__(offloading_spec, primary_kv_view, tier_type, **more)
        if Locality is not None:
            self.locality = Locality(locality) if locality else Locality.LOCAL
        if namespace is None:
            namespace = namespace_of(offloading_spec)
        self._prefix = namespace.encode() + b"-"
        self._pool, self._cache = open_directory(path)
        self._io = IO(self._pool, depth, threads)
        # Rows of a view of two dimensions cannot be had.
        self._row = primary_kv_view.strides[0]
        self._flat = primary_kv_view.cast("B")
        self._backlog = Backlog(self._io)
        self._finished = []

    def _key(self, key):
        return self._prefix + bytes(key)

    def lookup(self, key, req_context):
        try:
            return LookupResult.HIT if self._cache.exists(self._key(key)) else LookupResult.MISS
        except KvliftError:
            # What cannot be asked for is recomputed; an error would end the scheduler.
            return LookupResult.MISS

    def _submit(self, op, job):
        keys = list(job.keys)
        if not keys:
            self._finished.append(JobResult(job.job_id, True))
            return
        chunks = [self._flat[int(i) * self._row : (int(i) + 1) * self._row] for i in job.chunk_ids]
        self._backlog.add(job, Batch(op, self._cache, [self._key(k) for k in keys], chunks))

    def submit_store(self, job_metadata):
        self._submit(_lib.PUT, job_metadata)

    def submit_load(self, job_metadata):
        self._submit(_lib.GET, job_metadata)

    def _result(self, job, batch, refused):
        if refused:
            return JobResult(job.job_id, False)
        # Else it would be found, and fail to load, for ever.
        self._cache.forget_spoiled(batch)
        good = batch.whole
        more = {"transfer_time": batch.ns / 1e9}
        if hasattr(JobResult, "__dataclass_fields__") and "transfer_bytes" in JobResult.__dataclass_fields__:
            more["transfer_bytes"] = batch.bytes
        if batch.op == _lib.GET and not all(good):
            more["successful_keys"] = tuple(k for k, g in zip(job.keys, good) if g) or None
        return JobResult(job.job_id, all(good), **more)

    def get_finished_jobs(self):
        finished = self._finished + [self._result(*job) for job in self._backlog.take()]
        self._finished = []
        return finished

    def has_pending_work(self):
        return bool(self._backlog or self._finished)

    def on_new_request(self, req_context):
        return RequestOffloadingContext()

    def drain_jobs(self):
        while self._backlog:
            self._io.drain()
            self._finished = self.get_finished_jobs()

    def shutdown(self):
        self._backlog.close()
        self._cache.close()
        self._pool.close()
