// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/*
 * The mover: rings, batches, cancelling, copies that fail, a module that does
 * not keep to its word. Built a second time for the thread sanitizer.
 */
#include <dirent.h>

#include "fake_gated.h"

static void copied(void)
{
	struct kvlift_gpu *gpu = open_memcpy();
	char *memory = (char *)(uintptr_t)kvlift_gpu_base(gpu);
	uint32_t i;

	for (i = 0; i < WINDOW; i++) {
		fill(fake.window + i * FAKE_BLOCK, 1000 + i);
		fake_copy(KVLIFT_CMD_IN, i, SLOTS - 1 - i);
	}
	fake_wait(WINDOW);
	for (i = 0; i < WINDOW; i++) {
		CHECK_EQ(fake_res(i), 0);
		CHECK(holds(memory + (SLOTS - 1 - i) * FAKE_BLOCK, 1000 + i));
		fake_copy(KVLIFT_CMD_OUT, (i + 1) % WINDOW, SLOTS - 1 - i);
	}
	fake_wait(2 * WINDOW);
	for (i = 0; i < WINDOW; i++)
		CHECK(holds(fake.window + (i + 1) % WINDOW * FAKE_BLOCK,
			    1000 + i));
	close_gpu(gpu);
}

/* With memory of the caller. */
static void given(void)
{
	struct kvlift_gpu_opts o = opts(KVLIFT_GPU_MEMCPY);
	struct kvlift_gpu *gpu;
	char *memory = aligned_alloc(FAKE_BLOCK, SLOTS * FAKE_BLOCK);

	o.memory = kvl_ptr(memory);
	CHECK_EQ(kvl_gpu_open(-1, FAKE_BLOCK, &o, &kvl_gpu_memcpy, &gpu), 0);
	CHECK(kvlift_gpu_base(gpu) == kvl_ptr(memory));
	fill(fake.window, 77);
	fake_copy(KVLIFT_CMD_IN, 0, 3);
	fake_wait(1);
	close_gpu(gpu);
	CHECK(holds(memory + 3 * FAKE_BLOCK, 77));
	free(memory);
}

/* Counters pass 2^32, and rings their end, with all of depth in flight. */
static void wraps_around(void)
{
	uint32_t value[WINDOW] = { 0 }, i, n, sent = 0;
	struct kvlift_gpu *gpu;
	char *memory;

	fake.start = UINT32_MAX - 100;
	gpu = open_memcpy();
	memory = (char *)(uintptr_t)kvlift_gpu_base(gpu);
	for (n = 0; n < 100; n++) {
		for (i = 0; i < WINDOW; i++) {
			value[i] = n * WINDOW + i;
			fill(fake.window + i * FAKE_BLOCK, value[i]);
			fake_copy(KVLIFT_CMD_IN, i, i);
			if (i % 5 == 0)
				fake_kick();
		}
		sent += WINDOW;
		fake_wait(sent);
		for (i = 0; i < WINDOW; i++)
			CHECK(holds(memory + i * FAKE_BLOCK, value[i]));
	}
	CHECK(fake.ring->sq_head < 10000);
	CHECK_EQ(fake.ring->cq_head, fake.ring->sq_head);
	close_gpu(gpu);
}

static void batches(void)
{
	struct kvlift_gpu *gpu = open_gated();
	unsigned int i;

	/* In and out mixed: 9 and 5. */
	for (i = 0; i < 14; i++)
		fake_copy(i % 3 == 1 ? KVLIFT_CMD_OUT : KVLIFT_CMD_IN, i, i);
	/* Two batches of each direction are on their way, and no more. */
	wait_begun(4);
	fake_pause_us(20000);
	CHECK_EQ(atomic_load(&gated.begun), 4);
	CHECK_EQ(fake_res(0), FAKE_NOT_DONE);
	atomic_store(&gated.batch_gate, 100);
	fake_wait(14);
	CHECK_EQ(atomic_load(&gated.begun), 5);
	for (i = 0; i < 14; i++)
		CHECK_EQ(fake_res(i), 0);
	/* The first ones may have begun before all commands were there. */
	for (i = 0; i < 5; i++)
		CHECK(gated.count[i] <= (gated.dir[i] == KVL_GPU_IN ? 4 : 3));
	CHECK_EQ(fake.unknown, 0);
	close_gpu(gpu);
}

/* Whatever is told as done is there. */
static void done_means_done(void)
{
	struct kvlift_gpu *gpu = open_gated();
	unsigned int i, n, completed;

	memset(gated.memory, 0, sizeof(gated.memory));
	for (i = 0; i < WINDOW; i++) {
		fill(fake.window + i * FAKE_BLOCK, i + 1);
		fake_copy(KVLIFT_CMD_IN, i, i);
	}
	fake_kick();
	for (completed = 0, n = 1; completed < WINDOW; n++) {
		atomic_store(&gated.batch_gate, n);
		fake_pause_us(500);
		pthread_mutex_lock(&fake_lock);
		for (i = 0; i < fake.completed; i++)
			CHECK(holds(gated.memory + fake.order[i] * FAKE_BLOCK,
				    fake.order[i] + 1));
		/* In the order in which they came. */
		for (i = 1; i < fake.completed; i++)
			CHECK(fake.order[i] > fake.order[i - 1]);
		completed = fake.completed;
		pthread_mutex_unlock(&fake_lock);
		if (n > 30000)
			break;
	}
	CHECK_EQ(completed, WINDOW);
	CHECK(fake.ns[WINDOW - 1] > 0);
	close_gpu(gpu);
}

static void cancelled(void)
{
	struct kvlift_gpu *gpu = open_gated();
	unsigned int i;

	/* Two batches of at most four are on their way, the others wait. */
	for (i = 0; i < 12; i++)
		fake_copy(KVLIFT_CMD_IN, i, i);
	wait_begun(2);
	fake_cancel(10);
	fake_cancel(0);
	fake_cancel(9999);
	fake_wait(1);
	CHECK_EQ(fake_res(10), -ECANCELED);
	CHECK_EQ(fake_res(0), FAKE_NOT_DONE);
	/* Again, while it is known no more. */
	fake_cancel(10);
	atomic_store(&gated.batch_gate, 100);
	fake_wait(12);
	for (i = 0; i < 12; i++)
		CHECK_EQ(fake_res(i), i == 10 ? -ECANCELED : 0);
	close_gpu(gpu);
}

/* Commands that make no sense are answered, and nothing is copied. */
static void nonsense(void)
{
	static const struct {
		struct kvlift_cmd cmd;
		int res;
	} bad[] = {
		{ { .op = KVLIFT_CMD_IN, .window = WINDOW, .bytes = 1 },
		  -EINVAL },
		{ { .op = KVLIFT_CMD_OUT, .slot = SLOTS, .bytes = 1 },
		  -EINVAL },
		{ { .op = KVLIFT_CMD_IN, .slot = UINT32_MAX, .bytes = 1 },
		  -EINVAL },
		{ { .op = KVLIFT_CMD_IN, .bytes = 0 }, -EINVAL },
		{ { .op = KVLIFT_CMD_IN, .bytes = FAKE_BLOCK + 1 }, -EINVAL },
		{ { .op = 0, .bytes = 1 }, -EOPNOTSUPP },
		{ { .op = 99, .bytes = 1 }, -EOPNOTSUPP },
		{ { .op = KVLIFT_CMD_IN, .bytes = 1, .flags = ~0u }, 0 },
	};
	const unsigned int n = sizeof(bad) / sizeof(bad[0]);
	struct kvlift_gpu *gpu = open_memcpy();
	struct kvlift_gpu_info info;
	unsigned int i;

	pthread_mutex_lock(&fake_lock);
	for (i = 0; i < n; i++)
		fake_write(&bad[i].cmd);
	pthread_mutex_unlock(&fake_lock);
	fake_wait(n);
	for (i = 0; i < n; i++)
		CHECK_EQ(fake_res(i), bad[i].res);
	CHECK_EQ(kvlift_gpu_info(gpu, &info), 0);
	CHECK_EQ(info.copy_errors, n - 1);
	close_gpu(gpu);
}

/* Copies and leases that nobody waits for any more. */
static void failed_in_flight(void)
{
	struct kvlift_gpu *gpu = open_gated();
	const uint64_t cookie = 4;

	fake_copy(KVLIFT_CMD_IN, 0, 0);
	wait_begun(1);
	CHECK_EQ(kvlift_gpu_release_after(gpu, &cookie, 1, 1), 0);
	fake_fail();
	check_failed(gpu);
	CHECK_EQ(fake_released(), 0);
	close_gpu(gpu);
}

/* A module that does not keep to its word, too. */
static void rings_gone_wrong(void)
{
	struct kvlift_gpu *gpu = open_memcpy();
	unsigned int i;

	__atomic_store_n(&fake.ring->sq_tail, FAKE_SQ + 1, __ATOMIC_RELEASE);
	fake_kick();
	check_failed(gpu);
	close_gpu(gpu);

	fake.entries = 8;
	gpu = open_memcpy();
	pthread_mutex_lock(&fake_lock);
	fake.takes_nothing = true;
	pthread_mutex_unlock(&fake_lock);
	for (i = 0; i < 8; i++)
		fake_copy(KVLIFT_CMD_IN, 0, i);
	fake_kick();
	for (i = 0; i < 30000; i++, fake_pause_us(1000))
		if (__atomic_load_n(&fake.ring->sq_head, __ATOMIC_ACQUIRE) == 8)
			break;
	fake_copy(KVLIFT_CMD_IN, 0, 0);
	fake_kick();
	check_failed(gpu);
	close_gpu(gpu);
}

static void copy_errors(void)
{
	struct kvlift_gpu *gpu = open_gated();
	unsigned int i;

	/* One of a batch, then all of one. */
	atomic_store(&gated.batch_gate, 100);
	gated.bad_slot = 2;
	for (i = 0; i < 4; i++)
		fake_copy(KVLIFT_CMD_IN, i, i);
	fake_wait(4);
	for (i = 0; i < 4; i++)
		CHECK_EQ(fake_res(i), i == 2 ? -EIO : 0);
	close_gpu(gpu);

	gpu = open_gated();
	atomic_store(&gated.batch_gate, 100);
	gated.copy_error = -ENOMEM;
	for (i = 0; i < 4; i++)
		fake_copy(KVLIFT_CMD_OUT, i, i);
	fake_wait(4);
	for (i = 0; i < 4; i++)
		CHECK_EQ(fake_res(i), -ENOMEM);
	close_gpu(gpu);

	gpu = open_gated();
	atomic_store(&gated.batch_gate, 100);
	gated.poll_error = -EIO;
	fake_copy(KVLIFT_CMD_OUT, 0, 0);
	fake_wait(1);
	CHECK_EQ(fake_res(0), -EIO);
	close_gpu(gpu);
}

/* One thread, with its name, which no signal reaches; it sleeps when idle. */
static void thread(void)
{
	unsigned int n = 0, open_to_signals = 0, waits, i;
	struct kvlift_gpu *gpu = open_memcpy();
	char path[300], line[128], name[32];
	unsigned long long mask;
	struct dirent *entry;
	DIR *d;
	FILE *f;

	/* It has come to where it waits, and has its name. */
	fake_copy(KVLIFT_CMD_IN, 0, 0);
	fake_wait(1);
	fake_pause_us(50000);
	d = opendir("/proc/self/task");
	while ((entry = readdir(d))) {
		snprintf(path, sizeof(path), "/proc/self/task/%s/status",
			 entry->d_name);
		f = fopen(path, "r");
		if (!f)
			continue;
		name[0] = 0;
		mask = 0;
		while (fgets(line, sizeof(line), f)) {
			sscanf(line, "Name: %31s", name);
			sscanf(line, "SigBlk: %llx", &mask);
		}
		fclose(f);
		if (strcmp(name, "kvlift-mover"))
			continue;
		n++;
		open_to_signals += (mask & 0x7eff) != 0x7eff;
	}
	closedir(d);
	CHECK_EQ(n, 1);
	CHECK_EQ(open_to_signals, 0);
	pthread_mutex_lock(&fake_lock);
	waits = fake.waits;
	pthread_mutex_unlock(&fake_lock);
	fake_pause_us(100000);
	pthread_mutex_lock(&fake_lock);
	CHECK_EQ(fake.waits, waits);
	i = fake.enters;
	pthread_mutex_unlock(&fake_lock);
	/* At the start, and for the one completion. */
	CHECK_EQ(i, 2);
	close_gpu(gpu);
}

/* With something on its way it looks now and then, and does not spin. */
static void pauses(void)
{
	struct kvlift_gpu *gpu = open_gated();
	unsigned int waits;

	fake_copy(KVLIFT_CMD_IN, 0, 0);
	wait_begun(1);
	pthread_mutex_lock(&fake_lock);
	waits = fake.waits;
	pthread_mutex_unlock(&fake_lock);
	fake_pause_us(100000);
	pthread_mutex_lock(&fake_lock);
	waits = fake.waits - waits;
	pthread_mutex_unlock(&fake_lock);
	CHECK(waits > 3);
	CHECK(waits < 5000);
	atomic_store(&gated.batch_gate, 1);
	fake_wait(1);
	close_gpu(gpu);
}

int main(void)
{
	fake_reset();
	CASE(copied);
	CASE(given);
	CASE(wraps_around);
	CASE(batches);
	CASE(done_means_done);
	CASE(cancelled);
	CASE(nonsense);
	CASE(failed_in_flight);
	CASE(rings_gone_wrong);
	CASE(copy_errors);
	CASE(thread);
	CASE(pauses);
	UNIT_END();
}
