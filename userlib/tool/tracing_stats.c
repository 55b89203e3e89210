// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/* What the maps of latencies hold, summed up. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <bpf/bpf.h>

#include "tracing.h"

const char *const trace_kinds[] = {
	"fault", "request", "promote",	"demote",
	"store", "io_read", "io_write", NULL,
};

static uint64_t mean(const struct kvl_hist *h, uint64_t count)
{
	return count ? h->total_ns / count : 0;
}

/*
 * Upper end of the power of two in which the quantile lies, and no more than
 * the largest value.
 */
static uint64_t quantile(const struct kvl_hist *h, double share)
{
	uint64_t want = (uint64_t)((double)h->count * share), seen = 0;
	unsigned int i;

	for (i = 0; i < KVL_HIST_SLOTS; i++) {
		seen += h->slots[i];
		if (seen > want && (2ULL << i) - 1 < h->max_ns)
			return (2ULL << i) - 1;
		if (seen > want)
			break;
	}
	return h->max_ns;
}

static const struct kvl_hist *phase(const struct kvl_latency *l, unsigned int i)
{
	const struct kvl_hist *const phases[KVL_NR_PHASES] = {
		&l->wait, &l->queue, &l->io, &l->copy, &l->publish,
	};

	return phases[i];
}

static void show_json(uint32_t pool, const char *kind,
		      const struct kvl_latency *l)
{
	struct json j;
	unsigned int i;

	json_init(&j, stdout);
	json_open(&j, NULL, '{');
	json_str(&j, "event", "stats");
	json_u64(&j, "pool", pool);
	json_str(&j, "kind", kind);
	json_u64(&j, "count", l->total.count);
	json_u64(&j, "total_ns", l->total.total_ns);
	json_u64(&j, "p50_ns", quantile(&l->total, .5));
	json_u64(&j, "p99_ns", quantile(&l->total, .99));
	json_u64(&j, "max_ns", l->total.max_ns);
	json_open(&j, "phases", '{');
	for (i = 0; i < KVL_NR_PHASES; i++) {
		const struct kvl_hist *h = phase(l, i);

		json_open(&j, trace_phase_names[i], '{');
		json_u64(&j, "count", h->count);
		json_u64(&j, "total_ns", h->total_ns);
		json_u64(&j, "p99_ns", quantile(h, .99));
		json_u64(&j, "max_ns", h->max_ns);
		json_close(&j, '}');
	}
	json_close(&j, '}');
	json_close(&j, '}');
	json_end(&j);
}

static void title(void)
{
	unsigned int i;

	printf("%4s %-8s %10s %8s %8s %8s %8s  mean of it:", "POOL", "WHAT",
	       "COUNT", "MEAN", "P50<=", "P99<=", "MAX");
	for (i = 0; i < KVL_NR_PHASES; i++)
		printf(" %8s", trace_phase_names[i]);
	putchar('\n');
}

static void show_text(uint32_t pool, const char *kind,
		      const struct kvl_latency *l)
{
	const struct kvl_hist *t = &l->total;
	char ns[SIZE_TEXT];
	unsigned int i;

	printf("%4u %-8s %10llu", pool, kind, (unsigned long long)t->count);
	printf(" %8s", ns_text(mean(t, t->count), ns));
	printf(" %8s", ns_text(quantile(t, .5), ns));
	printf(" %8s", ns_text(quantile(t, .99), ns));
	printf(" %8s %12s", ns_text(t->max_ns, ns), "");
	for (i = 0; i < KVL_NR_PHASES; i++)
		printf(" %8s", ns_text(mean(phase(l, i), t->count), ns));
	putchar('\n');
}

int trace_stats_map(int fd, const char *kind, const struct trace_opts *o,
		    bool *titled)
{
	struct kvl_pool_key key, *prev = NULL;
	struct kvl_latency *l = malloc(sizeof(*l));

	if (!l)
		return -ENOMEM;
	for (; !bpf_map_get_next_key(fd, prev, &key); prev = &key) {
		if (bpf_map_lookup_elem(fd, &key, l) ||
		    (o->filter.pool >= 0 && o->filter.pool != key.pool))
			continue;
		if (o->as_json) {
			show_json(key.pool, kind, l);
			continue;
		}
		if (!*titled)
			title();
		*titled = true;
		show_text(key.pool, kind, l);
	}
	free(l);
	return 0;
}
