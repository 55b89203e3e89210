// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The packed heat of a block beside the same in floating point. */
#include <math.h>

#include "unit.h"

/* Pure logic of the module, compiled here as it is. */
#include "heatval.c"

#define BLOCKS	 256
#define PER_HOUR (3600 * 31)

static u32 add(u32 word, u32 now, u32 weight, u32 salt)
{
	return kvl_heatval_add(word, now, kvl_heatval_log(weight), salt);
}

static double touches(u32 word, u32 now)
{
	return kvl_heatval_read(word, now) / 256.0;
}

static double decay(double heat, double units)
{
	return heat * exp2(-units / KVL_HEAT_HALF);
}

static double worse(double a, double b)
{
	return fabs(a) > fabs(b) ? fabs(a) : fabs(b);
}

static void one_touch(void)
{
	u32 w = add(0, 100, 1, 7);

	CHECK_EQ(kvl_heatval_read(0, 0), 0);
	CHECK_EQ(kvl_heatval_read(0, 12345678), 0);
	CHECK_EQ(kvl_heatval_read(w, 100), 256);
	CHECK_EQ(kvl_heatval_age(w, 100), 0);
	CHECK_EQ(kvl_heatval_age(w, 103), 3);
	CHECK_EQ(kvl_heatval_read(w, 100 + KVL_HEAT_HALF), 128);
	CHECK_EQ(kvl_heatval_read(w, 100 + 8 * KVL_HEAT_HALF), 1);
	CHECK_EQ(kvl_heatval_read(w, 101 + 8 * KVL_HEAT_HALF), 0);
	/* No weight is one. */
	CHECK_EQ(add(0, 100, 0, 7), w);
}

/* Within a step, which is 9 percent, of any weight. */
static void weights(void)
{
	double off = 0;
	u32 i, w;

	for (i = 1; i < 1 << 23; i += 1 + i / 64) {
		w = add(0, 5, i, i);
		off = worse(off, touches(w, 5) / i - 1);
	}
	CHECK(fabs(off) < 0.095);
	CHECK(fabs(off) > 0.01);
	/* The end of the scale. */
	w = add(0, 5, UINT32_MAX, 0);
	CHECK_EQ(w & 0xff, 255);
	w = add(w, 5, UINT32_MAX, 0);
	CHECK_EQ(w & 0xff, 255);
	CHECK(touches(w, 5) > 13e6 && touches(w, 5) < 15e6);
}

static void reading(void)
{
	double off = 0;
	u32 age, v;

	for (v = 120; v < 256; v++)
		for (age = 0; age < 6000; age += 61)
			off = worse(
				off,
				touches(v, age) / decay(exp2((v - 1) / 8.0 - 8),
							age) -
					1);
	CHECK(off < 0.006);
}

/* Another CPU's clock, or that of a block that has just moved. */
static void from_the_future(void)
{
	u32 w = add(0, 1000, 500, 3), i;

	for (i = 0; i <= KVL_HEAT_LATER; i++) {
		CHECK_EQ(kvl_heatval_age(w, 1000 - i), 0);
		CHECK(kvl_heatval_recent(w, 1000 - i));
		CHECK(touches(add(w, 1000 - i, 1, i), 1000) > 400);
		CHECK(touches(kvl_heatval_stamp(w, 1000 - i, i), 1000) > 400);
		CHECK(touches(w, 1000 - i) > 400);
	}
	CHECK(kvl_heatval_recent(w, 1001));
	CHECK(!kvl_heatval_recent(w, 1002));
	CHECK_EQ(kvl_heatval_age(w, 1002), 2);
}

static void wraps(void)
{
	u32 last = KVL_HEAT_TIME - 3, w = add(0, last, 1, 0);

	CHECK_EQ(kvl_heatval_age(w, last + 10), 10);
	CHECK_EQ(kvl_heatval_age(w, (last + 10) & KVL_HEAT_TIME), 10);
	w = add(w, last + 10, 1, 0);
	CHECK_EQ(w >> KVL_HEAT_SHIFT, 6);
	CHECK(touches(w, last + 10) > 1.8);
	/* jiffies that are more than the word holds */
	w = add(0, 0xfffffff0u, 1, 0);
	CHECK_EQ(kvl_heatval_age(w, 0x10u), 0x20);
}

/*
 * A stream of touches to many blocks: the mean of all is right within 10
 * percent, and none is off by more than half an octave or so.
 */
static void stream(u32 gap, u32 jitter, u32 weight)
{
	double mean = 0, off = 0, exact[BLOCKS] = { 0 };
	u32 word[BLOCKS] = { 0 }, now[BLOCKS] = { 0 }, i, n, seed = 1;
	u32 rounds = 8 * KVL_HEAT_HALF / (gap + jitter / 2) + 4;

	for (n = 0; n < rounds; n++) {
		for (i = 0; i < BLOCKS; i++) {
			u32 d = gap;

			seed = seed * 1664525 + 1013904223;
			if (jitter)
				d += (seed >> 16) % jitter;
			now[i] += d;
			exact[i] = decay(exact[i], d) + weight;
			word[i] = add(word[i], now[i], weight, i);
		}
	}
	for (i = 0; i < BLOCKS; i++) {
		double r = touches(word[i], now[i]) / exact[i];

		mean += r / BLOCKS;
		off = worse(off, log2(r));
	}
	printf("# every %u+%u, weight %u: mean %.4f, worst 2^%.3f\n", gap,
	       jitter, weight, mean, off);
	CHECK(fabs(mean - 1) < 0.1);
	CHECK(fabs(off) < 0.7);
}

static void streams(void)
{
	stream(1, 0, 1);
	stream(1, 3, 1);
	stream(31, 0, 1);
	stream(31, 200, 1);
	stream(256, 0, 1);
	stream(2048, 500, 1);
	stream(20000, 0, 1);
	stream(31, 31, 1000);
	stream(1, 2, 100);
}

/* Blocks are put in the right order when they differ by a third or more. */
static void one_of_many(void)
{
	double mean = 0, exact = 0, off = 0;
	u32 word[BLOCKS] = { 0 }, now, i, round = 5;

	for (now = 100; now < 8 * KVL_HEAT_HALF; now += 3 + now % 60) {
		for (i = 0; i < BLOCKS; i++) {
			round += KVL_HEAT_ROUND;
			word[i] = kvl_heatval_add_one(word[i], now, round);
		}
	}
	/* Beside the slower way. */
	for (i = 0; i < BLOCKS; i++) {
		u32 w = 0, t;

		for (t = 100; t < 8 * KVL_HEAT_HALF; t += 3 + t % 60)
			w = add(w, t, 1, i);
		exact = touches(word[i], now) / touches(w, now);
		mean += exact / BLOCKS;
		off = worse(off, log2(exact));
	}
	printf("# mean %.4f, worst 2^%.3f\n", mean, off);
	CHECK(fabs(mean - 1) < 0.1);
	CHECK(fabs(off) < 0.8);
	/* From nothing, and at the end of the scale. */
	CHECK_EQ(kvl_heatval_read(kvl_heatval_add_one(0, 100, 0), 100), 256);
	CHECK_EQ(kvl_heatval_add_one(255, 2, UINT32_MAX) & 0xff, 255);
}

static void order(void)
{
	u32 a = 0, b = 0, t, wrong = 0;

	for (t = 0; t < PER_HOUR; t++) {
		if (!(t % 40))
			a = add(a, t, 1, 1);
		if (!(t % 60))
			b = add(b, t, 1, 2);
		if (t > 2 * KVL_HEAT_HALF)
			wrong += kvl_heatval_read(a, t) <
				 kvl_heatval_read(b, t);
	}
	CHECK(wrong < PER_HOUR / 100);
}

/* Moved a thousand times without a touch: it decays as if it had not been. */
static void stamps(void)
{
	double mean = 0;
	u32 i, t;

	for (i = 0; i < BLOCKS; i++) {
		u32 w = add(0, 0, 1000, i);

		for (t = 0; t <= 2 * KVL_HEAT_HALF; t += 4)
			w = kvl_heatval_stamp(w, t, i);
		CHECK_EQ(kvl_heatval_age(w, t - 4), 0);
		mean += touches(w, t - 4) / BLOCKS;
	}
	printf("# %.1f of 250 are left\n", mean);
	CHECK(fabs(mean / 250 - 1) < 0.03);
	/* What is cold stays so. */
	CHECK_EQ(kvl_heatval_read(kvl_heatval_stamp(0, 777, 3), 777), 0);
}

int main(void)
{
	CASE(one_touch);
	CASE(weights);
	CASE(reading);
	CASE(from_the_future);
	CASE(wraps);
	CASE(streams);
	CASE(one_of_many);
	CASE(order);
	CASE(stamps);
	UNIT_END();
}
