/* The block of routing decisions: where its fields lie (struct moe of graph.h says what they
 * are). */
#include "config.h"

#include <assert.h>

#include "compiler/plan/lower.h"

struct decisions plan_decisions(const struct moe *m, int64_t micro)
{
    int64_t choices = micro * m->tokens * m->top_k, groups = (micro + m->group - 1) / m->group;
    struct decisions d = {.rows_per_tile = tile_expert_rows()};
    d.max_tiles = micro * m->rows / d.rows_per_tile + m->experts;
    d.slot = 4 * choices;
    d.pair = d.slot + 4 * choices * m->span;
    d.first = d.pair + 4 * micro * m->rows;
    d.tile = d.first + 4 * (m->experts + 1);
    d.tile_first = d.tile + 16 * d.max_tiles;
    d.stats = d.tile_first + 4 * (m->experts + 1);
    d.bytes = d.stats + groups * decisions_stats(m);
    return d;
}

int64_t decisions_stats(const struct moe *m)
{
    return 4 * (3 * (int64_t)m->experts + 2);
}

struct route_scratch plan_route_scratch(const struct moe *m)
{
    int64_t list = 4 * m->group * m->tokens;
    struct route_scratch s = {.index = list, .next_keys = 2 * list, .next_index = 3 * list};
    s.buckets = 4 * list;
    s.counts = s.buckets + 4 * 256;
    s.scores = s.counts + 4 * (int64_t)m->experts;
    s.bytes = 4 * list + 4096 + 16 * (int64_t)m->experts;
    assert(s.scores + 4 * (int64_t)m->experts <= s.bytes);
    return s;
}
