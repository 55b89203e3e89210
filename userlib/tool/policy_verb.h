/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* What the parts of `kvlift policy` share. */
#ifndef TOOL_POLICY_VERB_H
#define TOOL_POLICY_VERB_H

#include <stdbool.h>
#include <stdint.h>

#include "util.h"

struct bpf_object;

/* Where a policy rules. */
struct policy_place {
	char text[4200]; /* for messages */
	uint32_t pool;
	uint64_t domain; /* id of a directory, 0: the whole pool */
};

/*
 * The place that ARG names: a mount point, a directory in it that is a domain,
 * or POOL or POOL:DOMAIN by number. Complains; 0 or -1.
 */
int policy_place_find(const char *arg, struct policy_place *place);

/* "key value" lines of /sys/fs/kvlift/<pool>/policy about one place. */
#define POLICY_FIELDS 64

struct policy_report {
	unsigned int nr;
	struct {
		char key[32];
		char value[224];
	} field[POLICY_FIELDS];
};

/*
 * Takes the first report off text; returns what is left, NULL at its end. A
 * text that is only a name, as modules without BPF policies have it, is one.
 */
const char *policy_report_parse(const char *text, struct policy_report *r);
/* Value of a key, or NULL. */
const char *policy_report_get(const struct policy_report *r, const char *key);
uint64_t policy_report_u64(const struct policy_report *r, const char *key);
/* That of a place; 0 or -errno, -ENOENT: no such pool, or no policy there. */
int policy_report_read(const struct policy_place *place,
		       struct policy_report *r);

/* policy_show.c: the verbs. */
int policy_list(bool as_json);
int policy_show(const struct policy_place *place, bool as_json);

/*
 * policy_pin.c: where things are under bpffs. Names, relative to the pool's
 * directory: the link is "policy" or "policy-<domain>"; its programs and maps
 * are in directories that begin with that name.
 */
#define POLICY_BPFFS "/sys/fs/bpf"

struct policy_pins {
	char dir[64]; /* of the pool */
	char link[128];
	char progs[128], maps[128];
	char new_progs[128], new_maps[128]; /* while one is exchanged */
	int lock;
};

void policy_pins_name(const struct policy_place *place, struct policy_pins *p);
/* Mounts bpffs if need be, makes the directory, waits for others. 0 or -1. */
int policy_pins_lock(struct policy_pins *p);
/* When there is nothing to lock: -ENOENT, without a word. */
int policy_pins_lock_existing(struct policy_pins *p);
void policy_pins_unlock(struct policy_pins *p);
/* Programs and maps of a loaded object, under the names for new ones. */
int policy_pins_add(struct policy_pins *p, struct bpf_object *obj);
/* The new ones take the place of the old ones. */
int policy_pins_commit(struct policy_pins *p);
/* Takes away the new ones, or everything. */
void policy_pins_abort(struct policy_pins *p);
int policy_pins_remove(struct policy_pins *p);
/* Fills at most max ids of the pinned programs; returns how many there are. */
unsigned int policy_pins_progs(const struct policy_pins *p, uint32_t *ids,
			       unsigned int max);
unsigned int policy_pins_maps(const struct policy_pins *p, uint32_t *ids,
			      unsigned int max);

/* policy_load.c */
struct policy_load {
	const char *object; /* name, or path with a '/' or '.' in it */
	bool hold;	    /* attached as long as this runs */
	bool stats;	    /* instructions that the verifier looked at */
};

int policy_load(const struct policy_place *place, const struct policy_load *l);
int policy_unload(const struct policy_place *place);
/* Names of the embedded policies, each followed by a space, into buf. */
void policy_names(char *buf, size_t len);

/* policy_hint.c: what may be wrong with an object that was not accepted. */
void policy_hints(struct bpf_object *obj);

#endif
