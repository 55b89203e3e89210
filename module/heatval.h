/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Heat of a block: how many touches it has had, each counting half after
 * KVL_HEAT_HALF units of time (65.5 s where HZ is 250 or 1000). It is packed
 * with the time of its last change into the word that each block has:
 *
 *	bits 8..31	time of the last touch, in units of about 1/32 s
 *	bits 0..7	heat then: 0 for less than 1/256 touch, else
 *			2^((v - 1) / 8) / 256 touches, from 1/256 to 2^23.75
 *
 * On a scale of logarithms decay is a subtraction, and adding a table. A step
 * is 9 percent: sums are rounded up or down by a number that is as good as
 * random, so that touches that are less than a step each add up to what they
 * should on average (as in Morris' approximate counter).
 *
 * The time comes round after six days: a block that nobody has touched for so
 * long is as hot for half an hour as it was then.
 *
 * Pure: compiles in user space too, for the unit tests.
 */
#ifndef KVL_HEATVAL_H
#define KVL_HEATVAL_H

#include <linux/types.h>
#ifndef __KERNEL__
#include <stdbool.h>
typedef __u64 u64;
typedef __u32 u32;
typedef __s32 s32;
#endif

#define KVL_HEAT_SHIFT	8		/* of the time in the word */
#define KVL_HEAT_TIME	0xffffffu	/* its bits */
#define KVL_HEAT_HALF	2048		/* half-life in units of time */

/*
 * Logarithms of heat are in 2^-18 octaves, and so that a step of the word is a
 * step of them: what is below 1/256 touch is below KVL_HEAT_STEP.
 */
#define KVL_HEAT_OCTAVE	0x40000
#define KVL_HEAT_STEP_SHIFT 15
#define KVL_HEAT_STEP	0x8000
#define KVL_HEAT_ONE	(KVL_HEAT_STEP + 8 * KVL_HEAT_OCTAVE)

/* Its products with consecutive numbers fill 32 bits evenly. */
#define KVL_HEAT_ROUND	0x9e3779b1u

/* log2(1 + 2^-d) for d in steps, each at its middle. */
#define KVL_HEAT_SUMS	96
extern const u32 kvl_heat_sum[KVL_HEAT_SUMS];

/* What a touch of weight 1 adds to the middle of each step. */
extern const u32 kvl_heat_one[256];

s32 kvl_heatval_log_of(u32 weight);

/* Of so many touches; of 1 for 0. */
static inline s32 kvl_heatval_log(u32 weight)
{
	return weight <= 1 ? KVL_HEAT_ONE : kvl_heatval_log_of(weight);
}

/*
 * A touch that is this close to the last one is recent. The time of the last
 * one may be a little later than @now when another CPU wrote it.
 */
#define KVL_HEAT_RECENT	2
#define KVL_HEAT_LATER	(16 - KVL_HEAT_RECENT)

static inline bool kvl_heatval_recent(u32 word, u32 now)
{
	return !((now - (word >> KVL_HEAT_SHIFT) + KVL_HEAT_LATER) &
		 (KVL_HEAT_TIME & ~15u));
}

/* Units of time since the last touch. */
static inline u32 kvl_heatval_age(u32 word, u32 now)
{
	u32 age = (now - (word >> KVL_HEAT_SHIFT) + KVL_HEAT_LATER) &
		  KVL_HEAT_TIME;

	return age > KVL_HEAT_LATER ? age - KVL_HEAT_LATER : 0;
}

/* What is left after a time; may be far below 0. */
static inline s32 kvl_heatval_after(u32 word, u32 age)
{
	s32 v = (s32)(word & 0xff) * KVL_HEAT_STEP;

	return v - (s32)(age * (KVL_HEAT_OCTAVE / KVL_HEAT_HALF));
}

static inline s32 kvl_heatval_decayed(u32 word, u32 now)
{
	return kvl_heatval_after(word, kvl_heatval_age(word, now));
}

static inline u32 kvl_heatval_pack(s32 v, u32 now, u32 salt)
{
	v += (s32)((salt + now) * KVL_HEAT_ROUND >> (32 - KVL_HEAT_STEP_SHIFT));
	v = v < 0 ? 0 : v >> KVL_HEAT_STEP_SHIFT;
	return now << KVL_HEAT_SHIFT | (u32)(v > 255 ? 255 : v);
}

/*
 * The word after a touch at @now whose weight has the logarithm @w. @salt
 * decides about rounding; it should differ from block to block.
 */
static inline u32 kvl_heatval_add(u32 word, u32 now, s32 w, u32 salt)
{
	s32 v = kvl_heatval_decayed(word, now);
	u32 d = v > w ? (u32)v - (u32)w : (u32)w - (u32)v;

	if (v < w)
		v = w;
	d >>= KVL_HEAT_STEP_SHIFT;
	if (d < KVL_HEAT_SUMS)
		v += (s32)kvl_heat_sum[d];
	return kvl_heatval_pack(v, now, salt);
}

/*
 * The same for one touch that is not recent, for those who have many of them:
 * @round counts up by KVL_HEAT_ROUND from touch to touch and does what the salt
 * does.
 */
static inline u32 kvl_heatval_add_one(u32 word, u32 now, u32 round)
{
	u32 age = (now - (word >> KVL_HEAT_SHIFT)) & KVL_HEAT_TIME;
	s32 v = kvl_heatval_after(word, age);

	if (v < 0)
		v = 0;
	v += (s32)kvl_heat_one[(u32)v >> KVL_HEAT_STEP_SHIFT];
	v += (s32)(round >> (32 - KVL_HEAT_STEP_SHIFT));
	/* The last step adds nothing, so there is none beyond it. */
	return now << KVL_HEAT_SHIFT | (u32)v >> KVL_HEAT_STEP_SHIFT;
}

/* The word of a block that was not touched, with its heat as of @now. */
static inline u32 kvl_heatval_stamp(u32 word, u32 now, u32 salt)
{
	return kvl_heatval_pack(kvl_heatval_decayed(word, now), now, salt);
}

/* Heat at @now in 1/256 touches. */
u32 kvl_heatval_read(u32 word, u32 now);

#endif /* KVL_HEATVAL_H */
