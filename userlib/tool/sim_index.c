// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/*
 * The ordered index: a treap (Seidel and Aragon, "Randomized search trees",
 * Algorithmica 16, 1996) of blocks by key, equal keys in the order in which
 * they were set. Node i is block i - 1; node 0 is none.
 */
#include "sim.h"

#define NIL 0u

static bool is_before(const struct sim_node *a, const struct sim_node *b)
{
	return a->key != b->key ? a->key < b->key : a->turn < b->turn;
}

/* A bijection, so that no two nodes have the same: murmur3's finalizer. */
static uint32_t rank(uint32_t n)
{
	n ^= n >> 16;
	n *= 0x85ebca6bu;
	n ^= n >> 13;
	n *= 0xc2b2ae35u;
	return n ^ n >> 16;
}

/* Put n in the place of old below up. */
static void hang(struct sim *s, uint32_t up, uint32_t old, uint32_t n)
{
	if (up == NIL)
		s->root = n;
	else
		s->index[up].child[s->index[up].child[1] == old] = n;
	if (n != NIL)
		s->index[n].up = up;
}

/* n goes above its parent. */
static void rotate(struct sim *s, uint32_t n)
{
	struct sim_node *t = s->index;
	uint32_t up = t[n].up, inner;
	bool right = t[up].child[1] == n;

	inner = t[n].child[!right];
	hang(s, t[up].up, up, n);
	t[up].child[right] = inner;
	if (inner != NIL)
		t[inner].up = up;
	t[n].child[!right] = up;
	t[up].up = n;
}

/* The last node on the way to one side. */
static uint32_t end_of(const struct sim *s, uint32_t n, bool right)
{
	while (n != NIL && s->index[n].child[right] != NIL)
		n = s->index[n].child[right];
	return n;
}

void sim_index_del(struct sim *s, uint32_t id)
{
	struct sim_node *t = s->index;
	uint32_t n = id + 1, left, right;

	if (!t[n].turn)
		return;
	while (t[n].child[0] != NIL && t[n].child[1] != NIL) {
		left = t[n].child[0];
		right = t[n].child[1];
		rotate(s, rank(left) > rank(right) ? left : right);
	}
	hang(s, t[n].up, n, t[n].child[t[n].child[0] == NIL]);
	t[n] = (struct sim_node){ 0 };
}

void sim_index_set(struct sim *s, uint32_t id, uint64_t key)
{
	struct sim_node *t = s->index;
	uint32_t n = id + 1, at, up = NIL;
	bool right = false;

	sim_index_del(s, id);
	t[n].key = key;
	t[n].turn = ++s->turn;
	for (at = s->root; at != NIL; at = t[at].child[right]) {
		up = at;
		right = is_before(&t[at], &t[n]);
	}
	t[n].up = up;
	if (up == NIL)
		s->root = n;
	else
		t[up].child[right] = n;
	while (t[n].up != NIL && rank(n) > rank(t[n].up))
		rotate(s, n);
}

bool sim_index_first(const struct sim *s, struct sim_entry *e)
{
	uint32_t n = end_of(s, s->root, false);

	if (n == NIL)
		return false;
	*e = (struct sim_entry){ s->index[n].key, n - 1 };
	return true;
}

uint32_t sim_index_next(const struct sim *s, uint32_t id)
{
	const struct sim_node *t = s->index;
	uint32_t n = id + 1;

	if (!t[n].turn)
		return SIM_NONE;
	if (t[n].child[1] != NIL)
		return end_of(s, t[n].child[1], false) - 1;
	while (t[n].up != NIL && t[t[n].up].child[1] == n)
		n = t[n].up;
	return t[n].up - 1;
}
