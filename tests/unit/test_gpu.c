// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/*
 * Attachments of a GPU without a module and without a GPU: making and ending
 * them, registration, requests, leases that wait for a stream. Built a second
 * time for the thread sanitizer. What the mover does is in test_gpu_mover.c,
 * the CUDA backend in test_gpu_cuda.c, the real module in tests/guest.
 */
#include <sys/wait.h>

#include "fake_gated.h"

static void attached(void)
{
	struct kvlift_gpu *gpu = open_memcpy();
	struct kvlift_gpu_info info;

	CHECK_EQ(fake.asked.slots, SLOTS);
	CHECK_EQ(fake.asked.window, WINDOW);
	CHECK_EQ(fake.asked.depth, 32);
	CHECK_EQ(fake.asked.dmabuf, -1);
	CHECK_STR(fake.asked.name, "test");
	CHECK_EQ(fake.ready, WINDOW);
	CHECK_EQ(fake.readies, 1);
	CHECK_EQ(kvlift_gpu_info(gpu, &info), 0);
	CHECK_EQ(info.mover.state, KVLIFT_MOVER_LIVE);
	CHECK_EQ(info.mover.window_ready, WINDOW);
	CHECK_EQ(info.backend, KVLIFT_GPU_MEMCPY);
	CHECK_EQ(info.path, KVLIFT_GPU_PATH_MEMCPY);
	CHECK_EQ(info.block_size, FAKE_BLOCK);
	CHECK_EQ(info.window_bytes, WINDOW * FAKE_BLOCK);
	CHECK_EQ(info.registered_bytes, 0);
	CHECK_EQ(info.register_error, 0);
	CHECK(info.base == kvlift_gpu_base(gpu));
	CHECK(kvlift_gpu_window(gpu) == fake.window);
	kvlift_gpu_close(gpu);
	kvlift_gpu_close(NULL);
	fake_check_closed();
}

/* The window goes on in CXL memory: one mapping, of which all is registered. */
static void in_cxl(void)
{
	struct kvlift_gpu_opts o = opts(KVLIFT_GPU_MEMCPY);
	struct kvlift_gpu_info info;
	struct kvlift_gpu *gpu;

	o.window_cxl_bytes = 5 * FAKE_BLOCK + 7;
	CHECK_EQ(kvl_gpu_open(-1, FAKE_BLOCK, &o, &kvl_gpu_memcpy, &gpu), 0);
	CHECK_EQ(fake.asked.window, WINDOW);
	CHECK_EQ(fake.asked.window_cxl, 5);
	CHECK_EQ(fake.ready, WINDOW + 5);
	CHECK_EQ(kvlift_gpu_info(gpu, &info), 0);
	CHECK_EQ(info.window_bytes, (WINDOW + 5) * FAKE_BLOCK);
	/* A slot of the second part. */
	memset(fake.window + (WINDOW + 4) * FAKE_BLOCK, 0x5a, FAKE_BLOCK);
	fake_copy(KVLIFT_CMD_IN, WINDOW + 4, 3);
	fake_wait(1);
	CHECK_EQ(*(char *)(uintptr_t)(info.base + 3 * FAKE_BLOCK), 0x5a);
	CHECK_EQ(*(char *)(uintptr_t)(info.base + 4 * FAKE_BLOCK - 1), 0x5a);
	kvlift_gpu_close(gpu);
	fake_check_closed();
}

static void failed(void)
{
	struct kvlift_gpu *gpu = open_memcpy();
	struct kvlift_event event;

	fake_copy(KVLIFT_CMD_IN, 0, 0);
	fake_wait(1);
	CHECK_EQ(kvlift_gpu_wait(gpu, &event, 1, 1), 0);
	/* Events that are there are told before. */
	fake_end_request(3, -ENODEV);
	fake_fail();
	CHECK_EQ(kvlift_gpu_wait(gpu, &event, 1, -1), 1);
	CHECK_EQ(event.cookie, 3);
	CHECK_EQ(event.res, -ENODEV);
	check_failed(gpu);
	close_gpu(gpu);
}

/* Nothing is left behind: the leak sanitizer looks too. */
static void not_attached(void)
{
	struct kvlift_gpu_opts o = opts(KVLIFT_GPU_CUDA), good = o;
	struct kvlift_pool pool = { .fd = -1, .block_size = FAKE_BLOCK };
	struct kvlift_gpu *gpu;

#define REFUSED(err)                                                         \
	do {                                                                 \
		CHECK_EQ(kvl_gpu_open(-1, FAKE_BLOCK, &o, &gated_ops, &gpu), \
			 err);                                               \
		CHECK_EQ(gated.opened, 0);                                   \
		o = good;                                                    \
		fake_check_closed();                                         \
	} while (0)
	gated.bad_piece = 0;
	fake.attach_error = -EDQUOT;
	REFUSED(-EDQUOT);
	fake.ready_error = -ENXIO;
	REFUSED(-ENXIO);
	fake.entries = 48;
	REFUSED(-EPROTO);
	fake.entries = 0;
	REFUSED(-EPROTO);
	fake.entries = 1u << 31;
	REFUSED(-EPROTO);
	fake.bad_offset = true;
	REFUSED(-EPROTO);
	o.bytes = FAKE_BLOCK - 1;
	REFUSED(-EINVAL);
	o.window_bytes = FAKE_BLOCK - 1;
	REFUSED(-EINVAL);
	o.window_cxl_bytes = FAKE_BLOCK - 1;
	REFUSED(-EINVAL);
	o.window_cxl_bytes = KVLIFT_MOVER_WINDOW_MAX * FAKE_BLOCK;
	REFUSED(-EINVAL);
	/* With what is the default of the first part. */
	o.window_bytes = 0;
	o.window_cxl_bytes = (KVLIFT_MOVER_WINDOW_MAX - 1) * FAKE_BLOCK;
	REFUSED(-EINVAL);
	o.flags = KVLIFT_GPU_NO_KERNEL << 1;
	REFUSED(-EINVAL);
	o.pad = 1;
	REFUSED(-EINVAL);
	o.reserved[2] = 1;
	REFUSED(-EINVAL);
	o.memory = 8;
	REFUSED(-EINVAL);
	o.memory = UINT64_MAX - 255;
	REFUSED(-EINVAL);
	o.device = -1;
	REFUSED(-EINVAL);
	memset(o.name, 'x', sizeof(o.name));
	REFUSED(-EINVAL);
	gated.bad_piece = 1;
	REFUSED(-ENOMEM);
	gated.bad_piece = 0;
	CHECK_EQ(kvlift_gpu_attach(&pool, NULL, &o, &gpu), -EOPNOTSUPP);
	o.backend = 3;
	CHECK_EQ(kvlift_gpu_attach(&pool, NULL, &o, &gpu), -EINVAL);
	/* A directory, but not of a pool. */
	pool.features = KVLIFT_F_GPU;
	o.backend = KVLIFT_GPU_MEMCPY;
	CHECK_EQ(kvlift_gpu_attach(&pool, "/tmp", &o, &gpu), -EMEDIUMTYPE);
	CHECK_EQ(kvlift_gpu_attach(&pool, "/nowhere", &o, &gpu), -ENOENT);
}

/* Three pieces and a bit: those after the first come in the background. */
static void registered(void)
{
	const uint64_t bytes = 3 * KVL_GPU_PIECE + FAKE_BLOCK;
	struct kvlift_gpu_opts o = opts(KVLIFT_GPU_CUDA);
	struct kvlift_gpu_info info;
	struct kvlift_gpu *gpu;
	unsigned int i;

	o.window_bytes = bytes;
	gated.bad_piece = 0;
	CHECK_EQ(kvl_gpu_open(-1, FAKE_BLOCK, &o, &gated_ops, &gpu), 0);
	for (i = 0; i < 30000; i++, fake_pause_us(1000)) {
		kvlift_gpu_info(gpu, &info);
		CHECK(info.mover.window_ready >= KVL_GPU_PIECE / FAKE_BLOCK);
		if (info.mover.window_ready == bytes / FAKE_BLOCK)
			break;
	}
	CHECK_EQ(info.mover.window_ready, bytes / FAKE_BLOCK);
	CHECK_EQ(info.registered_bytes, bytes);
	CHECK_EQ(info.register_error, 0);
	CHECK_EQ(fake.readies, 4);
	close_gpu(gpu);

	/* The third fails: what is ready is used. */
	gated.bad_piece = 3;
	CHECK_EQ(kvl_gpu_open(-1, FAKE_BLOCK, &o, &gated_ops, &gpu), 0);
	for (i = 0; i < 30000; i++, fake_pause_us(1000)) {
		kvlift_gpu_info(gpu, &info);
		if (info.register_error)
			break;
	}
	CHECK_EQ(info.register_error, -ENOMEM);
	CHECK_EQ(info.registered_bytes, 2 * KVL_GPU_PIECE);
	CHECK_EQ(info.mover.window_ready, 2 * KVL_GPU_PIECE / FAKE_BLOCK);
	fake_copy(KVLIFT_CMD_IN, 0, 0);
	atomic_store(&gated.batch_gate, 100);
	fake_wait(1);
	close_gpu(gpu);
	gated.bad_piece = 0;

	o.flags = KVLIFT_GPU_NO_REGISTER;
	CHECK_EQ(kvl_gpu_open(-1, FAKE_BLOCK, &o, &gated_ops, &gpu), 0);
	CHECK_EQ(gated.pieces, 0);
	CHECK_EQ(fake.readies, 1);
	CHECK_EQ(fake.ready, bytes / FAKE_BLOCK);
	close_gpu(gpu);
}

static void released_after(void)
{
	const uint64_t first[3] = { 10, 11, 12 }, second = 20, third = 30;
	struct kvlift_gpu *gpu = open_gated();
	struct kvlift_gpu_info info;

	CHECK_EQ(kvlift_gpu_release(gpu, 1), 0);
	CHECK_EQ(fake_released(), 1);
	CHECK_EQ(kvlift_gpu_release_after(gpu, first, 3, 1), 0);
	CHECK_EQ(kvlift_gpu_release_after(gpu, &second, 1, 2), 0);
	CHECK_EQ(kvlift_gpu_release_after(gpu, &third, 1, 1), 0);
	fake_pause_us(20000);
	CHECK_EQ(fake_released(), 1);
	kvlift_gpu_info(gpu, &info);
	CHECK_EQ(info.releases, 5);
	/* The second stream comes first. */
	atomic_store(&gated.mark_gate, 1u << 2);
	fake_wait_released(2);
	CHECK_EQ(fake.released[1], 20);
	fake_pause_us(5000);
	CHECK_EQ(fake_released(), 2);
	/* They are late, and counted. */
	pthread_mutex_lock(&fake_lock);
	fake.release_error = -ETIME;
	pthread_mutex_unlock(&fake_lock);
	atomic_store(&gated.mark_gate, 1u << 1);
	fake_wait_released(6);
	CHECK_EQ(fake.released[2], 10);
	CHECK_EQ(fake.released[4], 12);
	CHECK_EQ(fake.released[5], 30);
	/* They are given back one after the other, the count at the end. */
	do
		kvlift_gpu_info(gpu, &info);
	while (info.releases);
	CHECK_EQ(info.late, 4);
	close_gpu(gpu);
}

static void many_released_after(void)
{
	static uint64_t cookies[KVLIFT_GPU_RELEASES];
	struct kvlift_gpu *gpu = open_gated();
	unsigned int i;

	for (i = 0; i < KVLIFT_GPU_RELEASES; i++)
		cookies[i] = i;
	CHECK_EQ(kvlift_gpu_release_after(gpu, cookies, 0, 1), -EINVAL);
	CHECK_EQ(kvlift_gpu_release_after(gpu, cookies, KVLIFT_GPU_RELEASES + 1,
					  1),
		 -EINVAL);
	/* What could not be recorded leaves no trace. */
	gated.mark_error = -EINVAL;
	for (i = 0; i < 2 * KVLIFT_GPU_MARKS; i++)
		CHECK_EQ(kvlift_gpu_release_after(gpu, cookies, 100, 1),
			 -EINVAL);
	gated.mark_error = 0;
	CHECK_EQ(kvlift_gpu_release_after(gpu, cookies, KVLIFT_GPU_RELEASES, 1),
		 0);
	CHECK_EQ(kvlift_gpu_release_after(gpu, cookies, 1, 2), -EAGAIN);
	atomic_store(&gated.mark_gate, 1u << 1);
	fake_wait_released(KVLIFT_GPU_RELEASES);
	for (i = 0; i < KVLIFT_GPU_RELEASES; i++)
		CHECK_EQ(fake.released[i], i);
	for (i = 0; i < KVLIFT_GPU_MARKS; i++)
		while (kvlift_gpu_release_after(gpu, cookies + i, 1, 2))
			fake_pause_us(100);
	CHECK_EQ(kvlift_gpu_release_after(gpu, cookies, 1, 2), -EAGAIN);
	atomic_store(&gated.mark_gate, 1u << 2);
	fake_wait_released(KVLIFT_GPU_RELEASES + KVLIFT_GPU_MARKS);
	close_gpu(gpu);
}

#define RELEASERS 3u
#define EACH	  1000u
static struct kvlift_gpu *shared;

static void *releaser(void *arg)
{
	uint64_t cookie = (uint64_t)(uintptr_t)arg * EACH, end = cookie + EACH;

	for (; cookie < end; cookie++)
		while (kvlift_gpu_release_after(shared, &cookie, 1, 1))
			fake_pause_us(50);
	return NULL;
}

/* From several threads, with copies going on. */
static void released_by_many(void)
{
	static bool seen[RELEASERS * EACH];
	pthread_t t[RELEASERS];
	unsigned int i;

	shared = open_gated();
	atomic_store(&gated.mark_gate, 1u << 1);
	atomic_store(&gated.batch_gate, UINT32_MAX);
	for (i = 0; i < RELEASERS; i++)
		pthread_create(&t[i], NULL, releaser, (void *)(uintptr_t)i);
	for (i = 0; i < 200; i++) {
		fake_copy(KVLIFT_CMD_IN, i % WINDOW, i % SLOTS);
		fake_wait(i + 1);
	}
	for (i = 0; i < RELEASERS; i++)
		pthread_join(t[i], NULL);
	fake_wait_released(RELEASERS * EACH);
	for (i = 0; i < RELEASERS * EACH; i++)
		seen[fake.released[i]] = true;
	for (i = 0; i < RELEASERS * EACH; i++)
		CHECK(seen[i]);
	close_gpu(shared);
}

static void asked(void)
{
	struct kvlift_region region = { .fd = 5 };
	struct kvlift_gpu_req r[70] = { 0 };
	struct kvlift_gpu *gpu = open_memcpy();
	struct kvlift_event e[2];
	unsigned int i;

	for (i = 0; i < 70; i++)
		r[i] = (struct kvlift_gpu_req){
			.region = &region,
			.first = i,
			.count = 2,
			.cookie = 100 + i,
			.deadline_ns = 7,
			.flags = KVLIFT_REQ_WINDOW | KVLIFT_REQ_WRITE,
			.prio = KVLIFT_PRIO_LOW,
			.lease_ms = i % 2 ? 9 : 0,
		};
	CHECK_EQ(kvlift_gpu_acquire(gpu, r, 0), 0);
	CHECK_EQ(kvlift_gpu_acquire(gpu, r, 40), 40);
	CHECK_EQ(fake.reqs, 40);
	CHECK_EQ(fake.req[39].cookie, 139);
	CHECK_EQ(fake.req[39].first, 39);
	CHECK_EQ(fake.req[39].count, 2);
	CHECK_EQ(fake.req[39].fd, 5);
	CHECK_EQ(fake.req[39].op, KVLIFT_OP_ACQUIRE);
	CHECK_EQ(fake.req[39].flags, KVLIFT_REQ_WINDOW | KVLIFT_REQ_WRITE);
	CHECK_EQ(fake.req[39].prio, KVLIFT_PRIO_LOW);
	CHECK_EQ(fake.req[39].lease_ms, 9);
	CHECK_EQ(fake.req[39].deadline_ns, 7);
	CHECK_EQ(fake.req[38].op, KVLIFT_OP_PREFETCH);
	/* There is room for 24 more, then for none. */
	CHECK_EQ(kvlift_gpu_acquire(gpu, r + 40, 30), 24);
	CHECK_EQ(kvlift_gpu_acquire(gpu, r, 1), -EAGAIN);
	pthread_mutex_lock(&fake_lock);
	fake.reqs = 0;
	pthread_mutex_unlock(&fake_lock);
	/* The ones before a wrong one are taken. */
	r[3].flags |= KVLIFT_REQ_GPU;
	CHECK_EQ(kvlift_gpu_acquire(gpu, r, 10), 3);
	CHECK_EQ(kvlift_gpu_acquire(gpu, r + 3, 1), -EINVAL);
	r[3].flags = 0;
	CHECK_EQ(kvlift_gpu_acquire(gpu, r + 3, 1), -EINVAL);
	r[4].reserved[1] = 1;
	CHECK_EQ(kvlift_gpu_acquire(gpu, r + 4, 1), -EINVAL);
	CHECK_EQ(kvlift_gpu_read(gpu, e, 2), 0);
	CHECK_EQ(kvlift_gpu_wait(gpu, e, 2, 0), 0);
	CHECK_EQ(kvlift_gpu_wait(gpu, e, 2, 3), 0);
	fake_end_request(101, 0);
	CHECK_EQ(kvlift_gpu_wait(gpu, e, 2, -1), 1);
	CHECK_EQ(e[0].cookie, 101);
	close_gpu(gpu);
}

static void addresses(void)
{
	static const uint64_t words[] = {
		0,
		3,
		SLOTS - 1,
		SLOTS,
		KVLIFT_LEASED_WINDOW | 2,
		KVLIFT_LEASED_WINDOW | WINDOW,
		KVLIFT_LEASED_MEMORY,
	};
	struct kvlift_gpu *gpu = open_gated();
	uint64_t base = kvlift_gpu_base(gpu), addr[8];

	memcpy(fake.words, words, sizeof(words));
	fake.nr_words = 7;
	CHECK_EQ(kvlift_gpu_addresses(gpu, 1, addr, 0), -EINVAL);
	CHECK_EQ(kvlift_gpu_addresses(gpu, 1, addr, 6), -ENOSPC);
	CHECK_EQ(kvlift_gpu_addresses(gpu, 1, addr, 8), 7);
	CHECK(addr[0] == base);
	CHECK(addr[1] == base + 3 * FAKE_BLOCK);
	CHECK(addr[2] == base + (SLOTS - 1) * FAKE_BLOCK);
	CHECK_EQ(addr[3], 0);
	CHECK(addr[4] == 0xa000000000 + 2 * FAKE_BLOCK);
	CHECK_EQ(addr[5], 0);
	CHECK_EQ(addr[6], 0);
	close_gpu(gpu);
}

static void detached(void)
{
	struct kvlift_gpu *gpu = open_gated();
	const uint64_t cookie = 1;

	fake.drain_left = 3;
	fake.drains_slowly = true;
	CHECK_EQ(kvlift_gpu_detach(gpu, 0), -ETIME);
	CHECK_EQ(kvlift_gpu_detach(gpu, 5), -ETIME);
	pthread_mutex_lock(&fake_lock);
	fake.drains_slowly = false;
	pthread_mutex_unlock(&fake_lock);
	/* A stream may still be reading a window. */
	CHECK_EQ(kvlift_gpu_release_after(gpu, &cookie, 1, 1), 0);
	CHECK_EQ(kvlift_gpu_detach(gpu, 100), -ETIME);
	CHECK_EQ(fake.drain_left, 0);
	atomic_store(&gated.mark_gate, 1u << 1);
	CHECK_EQ(kvlift_gpu_detach(gpu, 30000), 0);
	CHECK_EQ(fake_released(), 1);
	CHECK_EQ(gated.opened, 0);
	fake_check_closed();
}

/* Each call of a child, which has neither threads nor mappings: its bit. */
static int use_inherited(struct kvlift_gpu *gpu, struct kvlift_gpu *other)
{
	struct kvlift_region region = { .fd = 5 };
	const struct kvlift_gpu_req req = { .region = &region,
					    .count = 1,
					    .flags = KVLIFT_REQ_GPU };
	struct kvlift_event event;
	uint64_t addr = 0;
	int bad = 0;

	bad |= (kvlift_gpu_wait(gpu, &event, 1, -1) != -ENODEV) << 0;
	bad |= (kvlift_gpu_read(gpu, &event, 1) != -ENODEV) << 1;
	bad |= (kvlift_gpu_acquire(gpu, &req, 1) != -ENODEV) << 2;
	bad |= (kvlift_gpu_addresses(gpu, 1, &addr, 1) != -ENODEV) << 3;
	bad |= (kvlift_gpu_release(gpu, 1) != -ENODEV) << 4;
	bad |= (kvlift_gpu_release_after(gpu, &addr, 1, 0) != -ENODEV) << 5;
	bad |= (kvlift_gpu_detach(gpu, -1) != -ENODEV) << 6;
	bad |= (kvlift_gpu_peer(gpu, other, false) != -ENODEV) << 7;
	kvlift_gpu_close(gpu);
	return bad;
}

static void inherited(void)
{
	struct kvlift_gpu *gpu[2];
	int status;
	pid_t pid;

	gpu[0] = open_memcpy();
	fake_select(1);
	fake_reset();
	gpu[1] = open_memcpy();
	/* An event that is the parent's. */
	fake_end_request(8, 0);
	pid = fork();
	if (!pid) {
		alarm(60);
		_exit(use_inherited(gpu[1], gpu[0]));
	}
	waitpid(pid, &status, 0);
	CHECK_EQ(status, 0);
	/* To the parent nothing has happened. */
	CHECK_EQ(fake.events, 1);
	fake_copy(KVLIFT_CMD_IN, 0, 0);
	fake_wait(1);
	close_gpu(gpu[1]);
	fake_select(0);
	fake_copy(KVLIFT_CMD_IN, 0, 0);
	fake_wait(1);
	close_gpu(gpu[0]);
}

int main(void)
{
	fake_reset();
	CASE(attached);
	CASE(in_cxl);
	CASE(failed);
	CASE(not_attached);
	CASE(registered);
	CASE(released_after);
	CASE(many_released_after);
	CASE(released_by_many);
	CASE(asked);
	CASE(addresses);
	CASE(detached);
	CASE(inherited);
	UNIT_END();
}
