// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/* Lists, kept for the policies of the simulator, and what a trace says. */
#include "sim.h"

/* Branches of a session come and go each by itself. */
uint32_t sim_branch(uint32_t session, uint32_t agent)
{
	uint32_t branch = agent < 63 ? agent : 63, key;

	if (session == TRACE_UNKNOWN)
		return 0;
	if (agent == TRACE_UNKNOWN)
		branch = 0;
	key = 1 + session * 64 + branch;
	return key && key != SIM_NONE ? key : 1;
}

uint32_t sim_whole_blocks(uint64_t input_length, uint32_t len)
{
	bool is_partial = input_length % 512 && len == input_length / 512 + 1;

	return len - is_partial;
}

uint64_t sim_time_ns(double ms)
{
	if (!(ms > 0))
		return 0;
	return ms < 1e13 ? (uint64_t)(ms * 1e6) : UINT64_MAX / 2;
}

void sim_list_init(struct sim_list *l)
{
	*l = (struct sim_list){ SIM_NONE, SIM_NONE, 0 };
}

void sim_link(struct sim_links *all, struct sim_list *l, uint32_t id)
{
	all[id] = (struct sim_links){ SIM_NONE, l->head };
	if (l->head != SIM_NONE)
		all[l->head].prev = id;
	else
		l->tail = id;
	l->head = id;
	l->len++;
}

void sim_unlink(struct sim_links *all, struct sim_list *l, uint32_t id)
{
	const struct sim_links *at = &all[id];

	if (at->prev != SIM_NONE)
		all[at->prev].next = at->next;
	else
		l->head = at->next;
	if (at->next != SIM_NONE)
		all[at->next].prev = at->prev;
	else
		l->tail = at->prev;
	l->len--;
}

void sim_list_add(struct sim *s, struct sim_list *l, uint32_t id)
{
	sim_link(s->links, l, id);
}

void sim_list_del(struct sim *s, struct sim_list *l, uint32_t id)
{
	sim_unlink(s->links, l, id);
}

uint32_t sim_list_oldest(const struct sim *s, const struct sim_list *l,
			 uint32_t *ids, uint32_t want)
{
	uint32_t n = 0, id;

	for (id = l->tail; id != SIM_NONE && n < want; id = s->links[id].prev)
		ids[n++] = id;
	return n;
}

int sim_queue_attach(struct sim *s)
{
	sim_list_init(s->priv);
	return 0;
}

void sim_queue_added(struct sim *s, uint32_t id)
{
	sim_list_add(s, s->priv, id);
}

uint32_t sim_queue_victims(struct sim *s, uint32_t *ids, uint32_t want)
{
	return sim_list_oldest(s, s->priv, ids, want);
}

void sim_queue_removed(struct sim *s, uint32_t id)
{
	sim_list_del(s, s->priv, id);
}
