/* SPDX-License-Identifier: GPL-2.0-only */
/* How callbacks of a policy are called; for advise*.c only. */
#ifndef KVL_ADVISE_CALL_H
#define KVL_ADVISE_CALL_H

#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/sched/clock.h>

#include "advise.h"

/* CPU time of a callback, ns, and rounds of its loops. */
#define KVL_CALL_NS	(200 * NSEC_PER_MSEC)
#define KVL_CALL_ROUNDS	BIT(18)

struct kvl_call_time {
	u64 start;
	u64 cpu;
};

/*
 * A BPF policy may go at any time: it is there for as long as the RCU section
 * lasts that this is called in. NULL: it has gone, or there is none.
 */
static inline const struct kvlift_policy_ops *
kvl_call_ops(struct kvl_advisor *a)
{
	const struct kvlift_policy_ops *ops = a->ops;

	if (!ops || likely(READ_ONCE(a->live) == (a->is_bpf ? ops : NULL)))
		return ops;
	a->ops = NULL;
	a->attached = false;
	a->refresh = true;
	return NULL;
}

static inline void kvl_call_start(struct kvl_advisor *a, enum kvl_call call,
				  struct kvl_call_time *t)
{
	a->call = call;
	a->rounds = KVL_CALL_ROUNDS;
	a->gone = KVL_CALL_ROUNDS;
	t->start = local_clock();
	t->cpu = current->se.sum_exec_runtime;
	a->deadline = t->cpu + KVL_CALL_NS;
}

void kvl_call_end(struct kvl_advisor *a, const struct kvl_call_time *t);

/* @call is what to do with call__, the callback, and a__, the advisor. */
#define KVL_CALL(advisor, which, member, call)				\
do {									\
	const struct kvlift_policy_ops *ops__;				\
	struct kvl_advisor *a__ = advisor;				\
									\
	rcu_read_lock();						\
	ops__ = kvl_call_ops(a__);					\
	if (ops__) {							\
		__auto_type call__ = ops__->member;			\
									\
		if (call__) {						\
			struct kvl_call_time t__;			\
									\
			kvl_call_start(a__, which, &t__);		\
			call;						\
			kvl_call_end(a__, &t__);			\
		}							\
	}								\
	rcu_read_unlock();						\
} while (0)

#define KVL_TELL(advisor, which, member, ...)				\
	KVL_CALL(advisor, which, member, call__(&a__->ctx, ##__VA_ARGS__))

/* A callback with a result; @none when there is no such callback. */
#define KVL_ASK(advisor, which, member, none, ...)			\
({									\
	typeof(none) ret__ = none;					\
									\
	KVL_CALL(advisor, which, member,				\
		 ret__ = call__(&a__->ctx, ##__VA_ARGS__));		\
	ret__;								\
})

#endif /* KVL_ADVISE_CALL_H */
