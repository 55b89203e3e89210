/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Fills hints for kvlift_hint(); part of kvlift.h. All in since 0.1. */
#ifndef KVLIFT_HINT_H
#define KVLIFT_HINT_H

#include "kvlift.h"

/**
 * kvlift_hint_of() - an empty hint, to be filled in
 * @op:		enum kvlift_hint_op
 *
 * Return: it, without region, session or blocks.
 */
static inline struct kvlift_hint kvlift_hint_of(uint32_t op)
{
	struct kvlift_hint h;

	h.op = op;
	h.fd = -1;
	h.session = 0;
	h.first = 0;
	h.count = 0;
	h.parent = 0;
	h.parent_fd = -1;
	h.ms = 0;
	h.value = 0;
	h.flags = 0;
	h.reserved = 0;
	return h;
}

/**
 * kvlift_hint_chain() - the next blocks of a request
 * @region:	where they are, open for reading; all that name blocks need that
 * @first:	first block
 * @count:	neighbours in prefix order, 1 to KVLIFT_REQ_MAX_BLOCKS
 *
 * Return: the hint.
 */
static inline struct kvlift_hint
kvlift_hint_chain(const struct kvlift_region *region, uint64_t first,
		  uint64_t count)
{
	struct kvlift_hint h = kvlift_hint_of(KVLIFT_HINT_CHAIN);

	h.fd = kvlift_region_fd(region);
	h.first = first;
	h.count = count;
	return h;
}

/**
 * kvlift_hint_request() - ends a chain: a request uses it now
 * @session:	whose it is, one number for each branch of a session; 0: not
 *		told. Numbers of different users do not mix
 * @partial:	not 0: the last block is not full, so that no other request
 *		can begin with it
 *
 * Return: the hint.
 */
static inline struct kvlift_hint kvlift_hint_request(uint64_t session,
						     int partial)
{
	struct kvlift_hint h = kvlift_hint_of(KVLIFT_HINT_REQUEST);

	h.session = session;
	h.flags = partial ? KVLIFT_HINT_PARTIAL : 0;
	return h;
}

/**
 * kvlift_hint_returns() - a turn has ended, and the session will be back
 * @session:	not 0
 * @ms:		milliseconds until then, about
 *
 * Return: the hint.
 */
static inline struct kvlift_hint kvlift_hint_returns(uint64_t session,
						     uint32_t ms)
{
	struct kvlift_hint h = kvlift_hint_of(KVLIFT_HINT_RETURNS);

	h.session = session;
	h.ms = ms;
	return h;
}

/**
 * kvlift_hint_over() - a session has ended for good
 * @session:	not 0
 *
 * Return: the hint.
 */
static inline struct kvlift_hint kvlift_hint_over(uint64_t session)
{
	struct kvlift_hint h = kvlift_hint_of(KVLIFT_HINT_OVER);

	h.session = session;
	return h;
}

/**
 * kvlift_hint_parent() - a block follows another one
 * @region:	of the block
 * @index:	the block
 * @parent_region: of the one before it, which may be another
 * @parent:	the one before it
 *
 * For blocks whose chain is not told. The first parent stays.
 *
 * Return: the hint.
 */
static inline struct kvlift_hint
kvlift_hint_parent(const struct kvlift_region *region, uint64_t index,
		   const struct kvlift_region *parent_region, uint64_t parent)
{
	struct kvlift_hint h = kvlift_hint_of(KVLIFT_HINT_PARENT);

	h.fd = kvlift_region_fd(region);
	h.first = index;
	h.count = 1;
	h.parent_fd = kvlift_region_fd(parent_region);
	h.parent = parent;
	return h;
}

/**
 * kvlift_hint_use() - when blocks are used next
 * @region:	their region
 * @first:	first block
 * @count:	1 to KVLIFT_REQ_MAX_BLOCKS
 * @ms:		milliseconds until then, about
 *
 * Return: the hint.
 */
static inline struct kvlift_hint
kvlift_hint_use(const struct kvlift_region *region, uint64_t first,
		uint64_t count, uint32_t ms)
{
	struct kvlift_hint h = kvlift_hint_of(KVLIFT_HINT_USE);

	h.fd = kvlift_region_fd(region);
	h.first = first;
	h.count = count;
	h.ms = ms;
	return h;
}

/**
 * kvlift_hint_prio() - blocks matter more or less than others
 * @region:	their region
 * @first:	first block
 * @count:	1 to KVLIFT_REQ_MAX_BLOCKS
 * @prio:	-128 to 127, 0 is normal
 *
 * Return: the hint.
 */
static inline struct kvlift_hint
kvlift_hint_prio(const struct kvlift_region *region, uint64_t first,
		 uint64_t count, int prio)
{
	struct kvlift_hint h = kvlift_hint_of(KVLIFT_HINT_PRIO);

	h.fd = kvlift_region_fd(region);
	h.first = first;
	h.count = count;
	h.value = prio;
	return h;
}

/**
 * kvlift_hint_clock() - for replays of traces: what time it is to the policy
 * @ns:		nanoseconds since some start; smaller ones than before are
 *		ignored. 0: the replay is over
 *
 * For all who use the pool, until the next one, or a minute without one. Then
 * the time of the policy goes on as the machine's. CAP_SYS_ADMIN.
 *
 * Return: the hint.
 */
static inline struct kvlift_hint kvlift_hint_clock(uint64_t ns)
{
	struct kvlift_hint h = kvlift_hint_of(KVLIFT_HINT_CLOCK);

	h.session = ns;
	return h;
}

#endif
