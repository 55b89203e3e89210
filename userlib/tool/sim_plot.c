// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
/* Prefix hit rate over cache size as an SVG picture. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "kvlift.h"
#include "simulate.h"
#include "util.h"

/* Pixels of the picture and of the plot in it. */
#define WIDTH  720
#define HEIGHT 440
#define LEFT   64
#define RIGHT  590
#define TOP    48
#define BOTTOM 380

/* Okabe and Ito's colours, told apart by all; dashes tell them in print. */
static const struct {
	const char *colour, *dash;
} styles[] = {
	{ "#000000", "none" },	   { "#e69f00", "8 3" }, { "#56b4e9", "2 3" },
	{ "#009e73", "12 4" },	   { "#cc79a7", "5 5" }, { "#0072b2", "none" },
	{ "#d55e00", "10 3 2 3" },
};

#define NR_STYLES (sizeof(styles) / sizeof(styles[0]))

struct plot {
	const struct sim_report *r;
	FILE *f;
	double low, high; /* log of the sizes at both ends */
	double top;	  /* rate at the top */
};

static double x_of(const struct plot *p, uint32_t blocks)
{
	if (p->high <= p->low)
		return (LEFT + RIGHT) / 2.0;
	return LEFT +
	       (RIGHT - LEFT) * (log(blocks) - p->low) / (p->high - p->low);
}

static double y_of(const struct plot *p, double rate)
{
	return BOTTOM - (BOTTOM - TOP) * rate / p->top;
}

static void escaped(FILE *f, const char *s)
{
	for (; *s; s++) {
		if (*s == '<')
			fputs("&lt;", f);
		else if (*s == '&')
			fputs("&amp;", f);
		else if ((unsigned char)*s >= ' ')
			fputc(*s, f);
	}
}

static void range(struct plot *p)
{
	unsigned int i, k;
	double best = 0, rate;

	p->low = INFINITY;
	p->high = 0;
	for (k = 0; k < p->r->nr_sizes; k++) {
		p->low = fmin(p->low, log(p->r->sizes[k].blocks));
		p->high = fmax(p->high, log(p->r->sizes[k].blocks));
		for (i = 0; i < p->r->nr_policies; i++) {
			rate = sim_prefix_hit(sim_cell(p->r, i, k));
			best = fmax(best, rate);
		}
	}
	/* The next tenth above it, and never an empty scale. */
	p->top = fmin(fmax(ceil(best * 10 + 0.01) / 10, 0.1), 1);
}

static void frame(const struct plot *p)
{
	const char *name = strrchr(p->r->trace, '/');
	unsigned int k, i;

	name = name ? name + 1 : p->r->trace;
	fprintf(p->f,
		"<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" viewBox=\"0 0 %d %d\" font-family=\"sans-serif\" font-size=\"13\">\n"
		"<rect width=\"100%%\" height=\"100%%\" fill=\"#ffffff\"/>\n"
		"<text x=\"%d\" y=\"26\" font-size=\"15\">",
		WIDTH, HEIGHT, WIDTH, HEIGHT, LEFT);
	escaped(p->f, name);
	fputs("</text>\n", p->f);
	for (i = 0; i <= 5; i++) {
		double rate = p->top * i / 5, y = y_of(p, rate);

		fprintf(p->f,
			"<line x1=\"%d\" y1=\"%.1f\" x2=\"%d\" y2=\"%.1f\" stroke=\"#dddddd\"/>\n"
			"<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%.2f</text>\n",
			LEFT, y, RIGHT, y, LEFT - 8, y + 4, rate);
	}
	for (k = 0; k < p->r->nr_sizes; k++)
		fprintf(p->f,
			"<line x1=\"%.1f\" y1=\"%d\" x2=\"%.1f\" y2=\"%d\" stroke=\"#888888\"/>\n"
			"<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%s</text>\n",
			x_of(p, p->r->sizes[k].blocks), BOTTOM,
			x_of(p, p->r->sizes[k].blocks), BOTTOM + 5,
			x_of(p, p->r->sizes[k].blocks), BOTTOM + 22,
			p->r->sizes[k].text);
	fprintf(p->f,
		"<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">cache (log scale), of %u distinct blocks</text>\n"
		"<text transform=\"translate(16 %d) rotate(-90)\" text-anchor=\"middle\">prefix hit rate</text>\n",
		(LEFT + RIGHT) / 2, BOTTOM + 46, p->r->t->nr_ids,
		(TOP + BOTTOM) / 2);
}

/* The sizes from the smallest on, however they were given. */
static void order(const struct sim_report *r, unsigned int *at)
{
	unsigned int k, m;

	for (k = 0; k < r->nr_sizes; k++) {
		for (m = k;
		     m && r->sizes[at[m - 1]].blocks > r->sizes[k].blocks; m--)
			at[m] = at[m - 1];
		at[m] = k;
	}
}

static void line(const struct plot *p, unsigned int policy)
{
	const char *colour = styles[policy % NR_STYLES].colour;
	const char *dash = styles[policy % NR_STYLES].dash;
	unsigned int at[SIM_MAX_SIZES], k;
	double x, y;

	order(p->r, at);
	fprintf(p->f,
		"<polyline fill=\"none\" stroke=\"%s\" stroke-width=\"2\" stroke-dasharray=\"%s\" points=\"",
		colour, dash);
	for (k = 0; k < p->r->nr_sizes; k++)
		fprintf(p->f, "%s%.1f,%.1f", k ? " " : "",
			x_of(p, p->r->sizes[at[k]].blocks),
			y_of(p, sim_prefix_hit(sim_cell(p->r, policy, at[k]))));
	fputs("\"/>\n", p->f);
	for (k = 0; k < p->r->nr_sizes; k++) {
		x = x_of(p, p->r->sizes[k].blocks);
		y = y_of(p, sim_prefix_hit(sim_cell(p->r, policy, k)));
		fprintf(p->f,
			"<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3\" fill=\"%s\"/>\n",
			x, y, colour);
	}
	/* A key beside the plot: labels at the lines would lie on each other. */
	y = TOP + 12 + 22.0 * policy;
	fprintf(p->f,
		"<line x1=\"%d\" y1=\"%.1f\" x2=\"%d\" y2=\"%.1f\" stroke=\"%s\" stroke-width=\"2\" stroke-dasharray=\"%s\"/>\n"
		"<text x=\"%d\" y=\"%.1f\">%s</text>\n",
		RIGHT + 16, y, RIGHT + 52, y, colour, dash, RIGHT + 60, y + 4,
		p->r->policies[policy]->name);
}

int sim_plot(const struct sim_report *r, const char *path)
{
	struct plot p = { .r = r };
	unsigned int i;
	int ret = 0;

	p.f = fopen(path, "we");
	if (!p.f) {
		ret = -errno;
		error("%s: %s", path, kvlift_strerror(ret));
		return ret;
	}
	range(&p);
	frame(&p);
	for (i = 0; i < r->nr_policies; i++)
		line(&p, i);
	fputs("</svg>\n", p.f);
	if (ferror(p.f))
		ret = -EIO;
	if (fclose(p.f) && !ret)
		ret = -errno;
	if (ret)
		error("%s: %s", path, kvlift_strerror(ret));
	return ret;
}
