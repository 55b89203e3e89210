// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/*
 * Copies from the memory of one attachment to that of another, and that the one
 * stays until they have ended, whoever closes or fails first. Built a second
 * time for the thread sanitizer. With the CUDA backend: test_gpu_cuda.c.
 */
#include <fcntl.h>

#include "fake_gated.h"

#define MEMBER(i) (1u << (FAKE_MEMBER + (i)))

static struct kvlift_gpu *gpu[FAKE_MOST];

/* Number @i is attached, and selected. */
static void open_at(unsigned int i, struct kvlift_gpu *(*open_one)(void))
{
	fake_select(i);
	gpu[i] = open_one();
}

static void close_at(unsigned int i)
{
	fake_select(i);
	kvlift_gpu_close(gpu[i]);
	fake_check_closed();
}

static char *slot(unsigned int i, uint32_t nr)
{
	return (char *)(uintptr_t)kvlift_gpu_base(gpu[i]) + nr * FAKE_BLOCK;
}

static uint32_t peers_of(unsigned int i)
{
	uint32_t ret;

	pthread_mutex_lock(&fake_lock);
	ret = fakes[i].peers;
	pthread_mutex_unlock(&fake_lock);
	return ret;
}

/* A call in a thread of its own: has it returned? */
struct call {
	pthread_t thread;
	struct kvlift_gpu *gpu, *from; /* NULL: close the former */
	atomic_bool ended;
};

static void *do_call(void *arg)
{
	struct call *c = arg;

	if (c->from)
		CHECK_EQ(kvlift_gpu_peer(c->gpu, c->from, false), 0);
	else
		kvlift_gpu_close(c->gpu);
	atomic_store(&c->ended, true);
	return NULL;
}

static void call(struct call *c, struct kvlift_gpu *one,
		 struct kvlift_gpu *from)
{
	c->gpu = one;
	c->from = from;
	atomic_store(&c->ended, false);
	pthread_create(&c->thread, NULL, do_call, c);
}

static void returned(struct call *c)
{
	pthread_join(c->thread, NULL);
	CHECK(atomic_load(&c->ended));
}

/* The module has been told that @i copies from these, and no others. */
static void wait_peers(unsigned int i, uint32_t members)
{
	unsigned int n;

	for (n = 0; n < 30000 && peers_of(i) != members; n++)
		fake_pause_us(1000);
	CHECK_EQ(peers_of(i), members);
}

/* In both directions, more than there is room for at a time. */
static void copied(void)
{
	uint32_t i, to;

	open_at(0, open_memcpy);
	open_at(1, open_memcpy);
	errno = 77;
	CHECK_EQ(kvlift_gpu_peer(gpu[1], gpu[0], true), 0);
	CHECK_EQ(peers_of(1), MEMBER(0));
	CHECK_EQ(peers_of(0), 0);
	CHECK_EQ(kvlift_gpu_peer(gpu[0], gpu[1], true), 0);
	CHECK_EQ(peers_of(0), MEMBER(1));
	/* Nothing new. */
	CHECK_EQ(kvlift_gpu_peer(gpu[0], gpu[1], true), 0);
	CHECK_EQ(peers_of(0), MEMBER(1));
	CHECK_EQ(errno, 77);
	for (to = 0; to < 2; to++) {
		fake_select(to);
		for (i = 0; i < SLOTS; i++)
			fill(slot(!to, i), (to + 1) * 1000 + i);
		for (i = 0; i < SLOTS; i++) {
			fake_peer(!to, i, i ^ 5);
			fake_copy(KVLIFT_CMD_OUT, i % WINDOW, i);
		}
		fake_wait(2 * SLOTS);
		for (i = 0; i < 2 * SLOTS; i++)
			CHECK_EQ(fake_res(i), 0);
		for (i = 0; i < SLOTS; i++)
			CHECK(holds(slot(to, i ^ 5), (to + 1) * 1000 + i));
	}
	CHECK_EQ(kvlift_gpu_peer(gpu[1], gpu[0], false), 0);
	CHECK_EQ(kvlift_gpu_peer(gpu[1], gpu[0], false), 0);
	CHECK_EQ(peers_of(1), 0);
	CHECK_EQ(peers_of(0), MEMBER(1));
	CHECK_EQ(errno, 77);
	close_at(1);
	CHECK_EQ(peers_of(0), 0);
	close_at(0);
}

static void refused(void)
{
	int proc = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct kvlift_gpu_opts o = opts(KVLIFT_GPU_MEMCPY);
	struct kvlift_event e;

	open_at(0, open_gated);
	open_at(1, open_other_gated);
	fake_select(2);
	CHECK_EQ(kvl_gpu_open(proc, FAKE_BLOCK, &o, &kvl_gpu_memcpy, &gpu[2]),
		 0);
	CHECK_EQ(kvlift_gpu_peer(gpu[1], gpu[1], true), -EINVAL);
	/* Not of the same kind. */
	CHECK_EQ(kvlift_gpu_peer(gpu[2], gpu[0], true), -EINVAL);
	close_at(2);
	/* Not of the same pool, whose members have other numbers. */
	o.backend = KVLIFT_GPU_CUDA;
	close_at(0);
	fake_select(0);
	CHECK_EQ(kvl_gpu_open(proc, FAKE_BLOCK, &o, &gated_ops, &gpu[0]), 0);
	CHECK_EQ(kvlift_gpu_peer(gpu[1], gpu[0], true), -EXDEV);
	CHECK_EQ(kvlift_gpu_peer(gpu[1], gpu[0], false), -EXDEV);
	close_at(0);
	open_at(0, open_other_gated);
	/* The device does not, the module does not. */
	gated.peer_error = -EOPNOTSUPP;
	CHECK_EQ(kvlift_gpu_peer(gpu[1], gpu[0], true), -EOPNOTSUPP);
	gated.peer_error = 0;
	CHECK_EQ(fakes[1].tells, 0);
	fakes[1].peers_error = -EPERM;
	CHECK_EQ(kvlift_gpu_peer(gpu[1], gpu[0], true), -EPERM);
	CHECK_EQ(fakes[1].peers, 0);
	fakes[1].peers_error = 0;
	fake_select(1);
	fake_peer(0, 0, 0);
	fake_wait(1);
	CHECK_EQ(fake_res(0), -ENODEV);
	/* One of them has failed, as the module knows. */
	fakes[1].peers_error = -ENXIO;
	CHECK_EQ(kvlift_gpu_peer(gpu[1], gpu[0], true), -ENODEV);
	fakes[1].peers_error = 0;
	fake_peer(0, 0, 0);
	fake_wait(2);
	CHECK_EQ(fake_res(1), -ENODEV);
	/* And as the library does. */
	fake_select(0);
	fake_fail();
	CHECK_EQ(kvlift_gpu_wait(gpu[0], &e, 1, 30000), -ENODEV);
	CHECK_EQ(kvlift_gpu_peer(gpu[1], gpu[0], true), -ENODEV);
	CHECK_EQ(kvlift_gpu_peer(gpu[0], gpu[1], true), -ENODEV);
	CHECK_EQ(fakes[0].tells, 0);
	close_at(0);
	close_at(1);
	close(proc);
}

/* Commands that make no sense are answered, and nothing is copied. */
static void nonsense(void)
{
	static const uint64_t args[] = {
		(uint64_t)FAKE_MEMBER << 32 | SLOTS,
		(uint64_t)FAKE_MEMBER << 32 | UINT32_MAX,
		(uint64_t)(FAKE_MEMBER + 1) << 32,
		(uint64_t)(FAKE_MEMBER + 2) << 32,
		3,
		32ULL << 32,
		(uint64_t)UINT32_MAX << 32,
	};
	struct kvlift_cmd cmd = {
		.op = KVLIFT_CMD_PEER,
		.bytes = FAKE_BLOCK,
	};
	struct kvlift_gpu_info info;
	unsigned int i;

	open_at(0, open_memcpy);
	open_at(1, open_memcpy);
	fill(slot(1, 0), 3);
	CHECK_EQ(kvlift_gpu_peer(gpu[1], gpu[0], true), 0);
	pthread_mutex_lock(&fake_lock);
	for (i = 0; i < 7; i++) {
		cmd.arg = args[i];
		fake_write(&cmd);
	}
	cmd.arg = (uint64_t)FAKE_MEMBER << 32;
	cmd.slot = SLOTS;
	fake_write(&cmd);
	cmd.slot = 0;
	cmd.bytes = FAKE_BLOCK + 1;
	fake_write(&cmd);
	cmd.bytes = 0;
	fake_write(&cmd);
	pthread_mutex_unlock(&fake_lock);
	fake_wait(10);
	for (i = 0; i < 10; i++)
		CHECK_EQ(fake_res(i), i < 2 || i > 6 ? -EINVAL : -ENODEV);
	CHECK(holds(slot(1, 0), 3));
	CHECK_EQ(kvlift_gpu_info(gpu[1], &info), 0);
	CHECK_EQ(info.copy_errors, 10);
	/* None of them counts as on its way. */
	CHECK_EQ(kvlift_gpu_peer(gpu[1], gpu[0], false), 0);
	fake_peer(0, 0, 0);
	fake_wait(11);
	CHECK_EQ(fake_res(10), -ENODEV);
	close_at(0);
	close_at(1);
}

/* Number 1 copies from 0: four blocks are on their way, two wait. */
static void begin_six(void)
{
	uint32_t i;

	open_at(0, open_gated);
	open_at(1, open_other_gated);
	CHECK_EQ(kvlift_gpu_peer(gpu[1], gpu[0], true), 0);
	for (i = 0; i < 6; i++) {
		fill(slot(0, i), 100 + i);
		fill(slot(1, i), 0);
	}
	/* In batches of two, whether or not all are there at the first look. */
	fake_peer(0, 0, 0);
	fake_peer(0, 1, 1);
	wait_begun(1);
	for (i = 2; i < 6; i++)
		fake_peer(0, i, i);
	fake_kick();
	for (i = 0; i < 30000 && atomic_load(&gated.begun) < 2; i++)
		fake_pause_us(1000);
	CHECK_EQ(atomic_load(&gated.begun), 2);
	CHECK_EQ(gated.dir[0], KVL_GPU_PEER);
	CHECK(gated.count[0] + gated.count[1] <= 4);
}

/* What was taken before is copied, what comes later is not. */
static void end_six(void)
{
	uint32_t i;

	fake_select(1);
	fake_peer(0, 9, 9);
	fake_wait(1);
	CHECK_EQ(fake_res(6), -ENODEV);
	CHECK_EQ(fake_res(0), FAKE_NOT_DONE);
	fake_pause_us(20000);
	for (i = 0; i < 6; i++)
		CHECK_EQ(fake_res(i), FAKE_NOT_DONE);
	atomic_store(&gated.batch_gate, 1000);
	fake_wait(7);
	for (i = 0; i < 6; i++) {
		CHECK_EQ(fake_res(i), 0);
		CHECK(holds(slot(1, i), 100 + i));
	}
}

static void switched_off(void)
{
	struct call off;

	begin_six();
	call(&off, gpu[1], gpu[0]);
	wait_peers(1, 0);
	fake_pause_us(20000);
	CHECK(!atomic_load(&off.ended));
	end_six();
	returned(&off);
	/* And on again. */
	CHECK_EQ(kvlift_gpu_peer(gpu[1], gpu[0], true), 0);
	fake_peer(0, 9, 9);
	fake_wait(8);
	CHECK_EQ(fake_res(7), 0);
	close_at(1);
	close_at(0);
}

/* The memory is there until the last copy from it has ended. */
static void source_closes(void)
{
	struct call off;

	begin_six();
	call(&off, gpu[0], NULL);
	wait_peers(1, 0);
	fake_pause_us(20000);
	CHECK(!atomic_load(&off.ended));
	CHECK_EQ(gated.opened, 2);
	end_six();
	returned(&off);
	CHECK_EQ(gated.opened, 1);
	/* Another has its number: it is not the same. */
	fake_select(0);
	fake_check_closed();
	open_at(0, open_other_gated);
	fake_select(1);
	fake_peer(0, 0, 0);
	fake_wait(8);
	CHECK_EQ(fake_res(7), -ENODEV);
	close_at(0);
	close_at(1);
}

/* Who copies fails, and its device goes on copying all the same. */
static void copier_fails(void)
{
	struct kvlift_event e;
	struct call off;

	begin_six();
	fake_fail();
	CHECK_EQ(kvlift_gpu_wait(gpu[1], &e, 1, 30000), -ENODEV);
	call(&off, gpu[0], NULL);
	fake_pause_us(20000);
	CHECK(!atomic_load(&off.ended));
	CHECK_EQ(gated.opened, 2);
	atomic_store(&gated.batch_gate, 1000);
	returned(&off);
	CHECK_EQ(gated.opened, 1);
	fake_select(0);
	fake_check_closed();
	close_at(1);
}

/* Both at once, either way round. */
static void both_close(void)
{
	struct call off[2];
	unsigned int first;

	for (first = 0; first < 2; first++) {
		begin_six();
		/* So that each has something of the other. */
		CHECK_EQ(kvlift_gpu_peer(gpu[0], gpu[1], true), 0);
		call(&off[first], gpu[first], NULL);
		wait_peers(!first, 0);
		call(&off[!first], gpu[!first], NULL);
		fake_pause_us(20000);
		CHECK(!atomic_load(&off[0].ended));
		CHECK(!atomic_load(&off[1].ended));
		CHECK_EQ(gated.opened, 2);
		atomic_store(&gated.batch_gate, 1000);
		returned(&off[0]);
		returned(&off[1]);
		CHECK_EQ(gated.opened, 0);
		fake_select(0);
		fake_check_closed();
		fake_select(1);
		fake_check_closed();
	}
}

/* Cancelled, or not copied, they count no more either. */
static void not_copied(void)
{
	uint32_t i;

	begin_six();
	fake_cancel(5);
	fake_cancel(4);
	fake_wait(2);
	CHECK_EQ(fake_res(4), -ECANCELED);
	CHECK_EQ(fake_res(5), -ECANCELED);
	atomic_store(&gated.batch_gate, 1000);
	fake_wait(6);
	gated.copy_error = -ENOMEM;
	for (i = 0; i < 3; i++)
		fake_peer(0, i, i);
	fake_wait(9);
	CHECK_EQ(fake_res(8), -ENOMEM);
	gated.copy_error = 0;
	gated.poll_error = -EIO;
	fake_peer(0, 0, 0);
	fake_wait(10);
	CHECK_EQ(fake_res(11), -EIO);
	CHECK_EQ(kvlift_gpu_peer(gpu[1], gpu[0], false), 0);
	close_at(0);
	close_at(1);
}

/* One that has failed is not in the way of what is said of the others. */
static void one_of_two_fails(void)
{
	open_at(0, open_memcpy);
	open_at(1, open_memcpy);
	open_at(2, open_memcpy);
	CHECK_EQ(kvlift_gpu_peer(gpu[2], gpu[0], true), 0);
	CHECK_EQ(kvlift_gpu_peer(gpu[2], gpu[1], true), 0);
	CHECK_EQ(peers_of(2), MEMBER(0) | MEMBER(1));
	fake_select(1);
	fake_fail();
	close_at(0);
	CHECK_EQ(peers_of(2), 0);
	open_at(0, open_memcpy);
	CHECK_EQ(kvlift_gpu_peer(gpu[2], gpu[0], true), 0);
	CHECK_EQ(peers_of(2), MEMBER(0));
	fake_select(2);
	fill(slot(0, 1), 8);
	fake_peer(0, 1, 2);
	fake_wait(1);
	CHECK(holds(slot(2, 2), 8));
	close_at(2);
	close_at(1);
	close_at(0);
}

#define ROUNDS 30u
static atomic_bool stop;

static void *toggle(void *arg)
{
	bool on = true;

	for (; !atomic_load(&stop); on = !on)
		CHECK_EQ(kvlift_gpu_peer(gpu[1], gpu[0], on), 0);
	return NULL;
}

/* Switched on and off, and closed, while commands come. */
static void at_any_time(void)
{
	unsigned int round, i, n = 0, good = 0;
	pthread_t toggler;
	struct call off;

	open_at(1, open_memcpy);
	for (round = 0; round < ROUNDS; round++) {
		open_at(0, open_memcpy);
		fill(slot(0, 3), round);
		atomic_store(&stop, false);
		pthread_create(&toggler, NULL, toggle, NULL);
		fake_select(1);
		for (i = 0; i < 40; i++) {
			if (i == 20) {
				atomic_store(&stop, true);
				pthread_join(toggler, NULL);
				CHECK_EQ(kvlift_gpu_peer(gpu[1], gpu[0], true),
					 0);
			}
			if (i == 30)
				call(&off, gpu[0], NULL);
			fake_peer(0, 3, i % SLOTS);
			fake_peer(0, 3, (i + 1) % SLOTS);
			n += 2;
			fake_wait(n);
			CHECK(fake_res(n - 1) == 0 ||
			      fake_res(n - 1) == -ENODEV);
			good += !fake_res(n - 1);
			if (!fake_res(n - 1))
				CHECK(holds(slot(1, (i + 1) % SLOTS), round));
			if (i >= 20 && i < 30)
				CHECK_EQ(fake_res(n - 1), 0);
		}
		returned(&off);
		fake_select(0);
		fake_check_closed();
	}
	CHECK(good >= ROUNDS * 10);
	close_at(1);
}

int main(void)
{
	unsigned int i;

	for (i = FAKE_MOST; i--;) {
		fake_select(i);
		fake_reset();
	}
	/* Who waits for ever does not. */
	alarm(300);
	CASE(copied);
	CASE(refused);
	CASE(nonsense);
	CASE(switched_off);
	CASE(source_closes);
	CASE(copier_fails);
	CASE(both_close);
	CASE(not_copied);
	CASE(one_of_two_fails);
	CASE(at_any_time);
	UNIT_END();
}
